"""Word2Vec and GloVe: killed, interrupted, out of disk; every resume ends bit-identical with the uninterrupted run."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from tinymm.data.text import from_sentences
from tinymm.io import checkpoints
from tinymm.io.checkpoints import CheckpointError
from tinymm.models._checkpoint import TrainingFile
from tinymm.models.glove import Cooccurrence, GloVe
from tinymm.models.word2vec import Word2Vec, Word2VecConfig

KILLS = 20
VARIANTS = {
    "own": dict(deterministic=True),
    "tree": dict(threads=1, cbow=True, hierarchical_softmax=True, dtype="float64", shrink_window=False, sample=0),
    "gensim": vars(Word2VecConfig.like_gensim()),
    "readable": dict(),
}


def sentences(n_words=30_000, size=60):
    rng = np.random.default_rng(3)
    words = np.minimum(rng.geometric(0.05, n_words), size)
    return [[f"w{i}" for i in words[a : a + 12]] for a in range(0, n_words, 12)]


def cells(n_words=900, share=0.21):
    """Enough for two parts, so for two rounds a pass."""
    rng = np.random.default_rng(4)
    row, col = np.nonzero(rng.random((n_words, n_words)) < share)
    assert len(row) > 160_000
    return Cooccurrence(row.astype(np.int32), col.astype(np.int32), rng.exponential(5, len(row)) + 0.1, n_words)


def word2vec(variant="own", text=None, changes=(), **options):
    readable = variant == "readable"
    text = text or sentences(400 if readable else 30_000)
    model = Word2Vec(**{**VARIANTS[variant], "d_model": 8, "min_count": 1, "epochs": 3, **dict(changes)})
    return model.fit(text, readable=readable, **options)


def glove(X, changes=(), **options):
    return GloVe(**{"d_model": 4, "epochs": 3, **dict(changes)}).fit(X, **options)


def bits(model):
    names = ("words", "contexts", "words_sq", "contexts_sq") if isinstance(model, GloVe) else ("_inputs", "_outputs")
    return [getattr(model, name).tobytes() for name in names], getattr(model, "history", None)


def stop_after(monkeypatch, n):
    """Let training fail as if killed after `n` steps; the returned list says how many there were."""
    steps, after = [], TrainingFile.after

    def stop(self, *args):
        after(self, *args)
        steps.append(args)
        if len(steps) == n:
            raise InterruptedError

    monkeypatch.setattr(TrainingFile, "after", stop)
    return steps


@pytest.fixture
def path(tmp_path):
    return tmp_path / "words.safetensors"


# ---- killed -------------------------------------------------------------------------------------------------------

TRAIN = """
import sys
sys.path.insert(0, {folder!r})
from test_kill_resume_words import cells, glove, sentences, word2vec

X = cells() if sys.argv[2] == "glove" else sentences()

def run(path, epochs, **options):
    if sys.argv[2] == "glove":
        glove(X, dict(epochs=epochs, threads=int(sys.argv[3])), checkpoint=path, checkpoint_every=1, **options)
    else:
        word2vec(sys.argv[2], X, dict(epochs=epochs), checkpoint=path, checkpoint_every=10_000, **options)

run(sys.argv[1] + ".warm", 1)  # everything is imported, and compiled or read from the cache
print("ready", flush=True)
run(sys.argv[1], int(sys.argv[4]), resume=True)
"""


def start(path, name, threads, epochs):
    """A training process that has imported everything and is about to begin, or to go on."""
    code = TRAIN.format(folder=os.path.dirname(__file__))
    arguments = [str(path), name, str(threads), str(epochs)]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize(("name", "epochs", "steps"), [("own", 150, "jobs"), ("glove", 150, "rounds")])
def test_killed_twenty_times_ends_where_an_uninterrupted_run_does(tmp_path, name, epochs, steps):
    whole, path = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    process = start(whole, name, 1, epochs)
    started = time.perf_counter()
    assert process.wait(timeout=900) == 0
    process.stdout.close()
    duration = time.perf_counter() - started

    draw, done = random.Random(5), [0]
    for k in range(KILLS):
        process = start(path, name, 1 + k % 2, epochs)
        time.sleep(draw.uniform(0, 1) * duration / KILLS)  # half of the run in all: it is never at its end
        assert process.poll() is None
        process.kill()
        process.wait()
        process.stdout.close()
        if path.exists():
            done.append(checkpoints.load(path)["place"][steps])  # whatever the moment, it loads
    assert done == sorted(done)
    assert len(set(done)) >= KILLS // 2, f"the kills fell between too few checkpoints to prove anything: {done}"
    process = start(path, name, 2, epochs)
    assert process.wait(timeout=900) == 0
    process.stdout.close()
    ended, expected = checkpoints.load(path), checkpoints.load(whole)
    for part in ("tables", "place"):
        assert ended[part].keys() == expected[part].keys()
        for key, value in expected[part].items():
            assert np.asarray(ended[part][key]).tobytes() == np.asarray(value).tobytes(), key


# ---- stopped at each place ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_word2vec_stopped_after_any_job_ends_alike(path, monkeypatch, variant):
    expected = bits(word2vec(variant))
    with monkeypatch.context() as m:
        jobs = stop_after(m, 0)
        assert bits(word2vec(variant, checkpoint=path)) == expected  # saving changes nothing
    for n in range(1, len(jobs)):
        with monkeypatch.context() as m:
            stop_after(m, n)
            with pytest.raises(InterruptedError):
                word2vec(variant, checkpoint=path, checkpoint_every=1)
        assert bits(word2vec(variant, checkpoint=path, resume=True)) == expected, n
    assert len(jobs) >= 3


@pytest.mark.parametrize("shuffle", [True, False])
def test_glove_stopped_after_any_round_ends_alike(path, monkeypatch, shuffle):
    X, changes = cells(), dict(shuffle=shuffle)
    expected = bits(glove(X, changes))
    with monkeypatch.context() as m:
        rounds = stop_after(m, 0)
        assert bits(glove(X, changes, checkpoint=path)) == expected
    assert len(rounds) == (6 if shuffle else 3)
    for n in range(1, len(rounds)):
        with monkeypatch.context() as m:
            stop_after(m, n)
            with pytest.raises(InterruptedError):
                glove(X, changes, checkpoint=path, checkpoint_every=1)
        assert bits(glove(X, changes, checkpoint=path, resume=True)) == expected, n


def test_glove_on_its_second_fit(path, monkeypatch):
    X = cells()
    expected = bits(glove(X).fit(X))
    model = glove(X)
    stop_after(monkeypatch, 3)
    with pytest.raises(InterruptedError):
        model.fit(X, checkpoint=path, checkpoint_every=1)
    monkeypatch.undo()
    assert bits(glove(X, checkpoint=path, resume=True)) == expected


def test_glove_stopped_by_its_callback_stays_stopped(path):
    X = cells()
    model = glove(X, callback=lambda model: True, checkpoint=path)
    again = glove(X, checkpoint=path, resume=True)
    assert bits(again) == bits(model) and len(again.history) == 1


def test_saved_after_each_epoch_and_so_many_words_or_cells(path, monkeypatch):
    saved, save = [], checkpoints.save

    def see(path, state):
        saved.append(state["place"])
        save(path, state)

    monkeypatch.setattr(checkpoints, "save", see)
    word2vec(checkpoint=path)  # jobs of 9,996, 9,996, 9,996 and 12 words
    assert [place["words"] for place in saved] == [0, 30_000, 60_000, 90_000]
    saved.clear()
    word2vec(changes=dict(epochs=1), checkpoint=path, checkpoint_every=15_000)
    assert [place["words"] for place in saved] == [0, 19_992, 30_000]
    saved.clear()
    glove(cells(), dict(epochs=2), checkpoint=path)
    assert [place["rounds"] for place in saved] == [0, 2, 4]


def test_progress_counts_on_from_where_it_was(path, monkeypatch):
    reports = []
    stop_after(monkeypatch, 5)
    with pytest.raises(InterruptedError):
        word2vec(checkpoint=path, checkpoint_every=1)
    monkeypatch.undo()
    word2vec(checkpoint=path, resume=True, progress=reports.append)
    assert reports[-1].words == reports[-1].total == 90_000
    assert reports[-1].words_per_second * reports[-1].seconds == pytest.approx(90_000 - 39_996)


# ---- Ctrl-C, a full disk, divergence --------------------------------------------------------------------------------


def test_ctrl_c_saves_and_interrupts(path, monkeypatch):
    rate, calls = Word2Vec._rate, []

    def press(self, progress):
        calls.append(progress)
        if len(calls) == 9:  # two calls a job: in the middle of the fifth
            signal.raise_signal(signal.SIGINT)
        return rate(self, progress)

    expected = bits(word2vec())
    monkeypatch.setattr(Word2Vec, "_rate", press)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        word2vec(checkpoint=path)
    monkeypatch.undo()
    assert checkpoints.load(path)["place"]["jobs"] == 5
    assert signal.getsignal(signal.SIGINT) is handler
    assert bits(word2vec(checkpoint=path, resume=True)) == expected

    X = cells()
    expected = bits(glove(X))
    with pytest.raises(KeyboardInterrupt):
        glove(X, checkpoint=path, callback=lambda model: signal.raise_signal(signal.SIGINT))
    assert checkpoints.load(path)["place"]["rounds"] == 2
    assert bits(glove(X, checkpoint=path, resume=True)) == expected


@pytest.mark.parametrize("where", ["fsync", "replace"])
@pytest.mark.parametrize("fit", [word2vec, glove])
def test_a_full_disk_keeps_the_last_good_one(path, monkeypatch, where, fit):
    data = cells() if fit is glove else sentences()
    options = dict(text=data) if fit is word2vec else dict(X=data)
    expected = bits(fit(**options))
    real, before = getattr(os, where), []

    def full(*args):
        before.append(path.read_bytes() if path.exists() else b"")
        if len(before) == 5:  # in the third save (of two fsync each), or the fifth
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*args)

    monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match="No space left"):
        fit(**options, checkpoint=path, checkpoint_every=1)
    monkeypatch.undo()
    assert path.read_bytes() == before[-1] and os.listdir(path.parent) == [path.name]
    assert bits(fit(**options, checkpoint=path, resume=True)) == expected


def test_what_diverged_is_not_saved(path):
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="diverged: .* hold NaN or inf.* lower lr"):
        word2vec(changes=dict(lr=1e30), checkpoint=path, checkpoint_every=1)
    tables = checkpoints.load(path)["tables"]
    assert all(np.isfinite(table).all() for table in tables.values())


# ---- refused --------------------------------------------------------------------------------------------------------


def refused(error, message, fit, *args, **options):
    with pytest.raises(error, match=message) as found:
        fit(*args, **options)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("options", [dict(threads=0), dict(threads=2)])
def test_hogwild_is_refused(path, options):
    message = r"several threads race for the tables \(Hogwild\); try threads=1 or deterministic=True"
    refused(ValueError, message, Word2Vec(**options).fit, sentences(), checkpoint=path)
    assert not path.exists()


def test_a_file_is_needed_and_a_sensible_interval(path):
    for fit, data in ((Word2Vec(threads=1).fit, sentences()), (GloVe().fit, cells())):
        refused(ValueError, "need a file; expected checkpoint=PATH", fit, data, resume=True)
        refused(ValueError, "need a file; expected checkpoint=PATH", fit, data, checkpoint_every=5)
        refused(ValueError, "checkpoint_every is 0; expected at least 1", fit, data, checkpoint=path,
                checkpoint_every=0)
        refused(FileNotFoundError, "there is no folder", fit, data, checkpoint=path / "no" / "c")


def test_a_damaged_checkpoint_is_refused_and_kept(path):
    X = cells()
    for fit, data in ((word2vec, dict()), (glove, dict(X=X))):
        fit(**data, checkpoint=path)
        whole = path.read_bytes()
        for damaged in (whole[:-9], whole[:-50] + bytes([whole[-50] ^ 1]) + whole[-49:], b"", b"\x80\x04pickle"):
            path.write_bytes(damaged)
            refused(CheckpointError, "words.safetensors: ", fit, **data, checkpoint=path, resume=True)
            assert path.read_bytes() == damaged
        path.unlink()


def test_another_text_config_or_model_is_refused(path):
    X = cells()
    word2vec(checkpoint=path)
    again = dict(checkpoint=path, resume=True)
    message = "words.safetensors: the checkpoint of another training: {}. Try what it began with, or resume=False"
    text = message.format("it began with another text or vocabulary")
    refused(CheckpointError, text, word2vec, text=sentences()[:-1], **again)
    refused(CheckpointError, text, word2vec, text=sentences()[::-1], **again)
    renamed = [[f"x{word}" for word in sentence] for sentence in sentences()]
    refused(CheckpointError, text, word2vec, text=renamed, **again)
    refused(CheckpointError, message.format("its lr is None, expected 0.05"), word2vec, changes=dict(lr=0.05), **again)
    refused(CheckpointError, message.format("its epochs is 3, expected 4"), word2vec, changes=dict(epochs=4), **again)
    refused(CheckpointError, message.format("its model is 'Word2Vec', expected 'GloVe'"), glove, X, **again)
    assert bits(word2vec(changes=dict(threads=1, deterministic=False), **again)) == bits(word2vec())

    glove(X, checkpoint=path)
    refused(CheckpointError, text, glove, replace(X, x=X.x * 2), **again)
    refused(CheckpointError, message.format("its seed is 1, expected 2"), glove, X, changes=dict(seed=2), **again)
    assert bits(glove(X, dict(threads=1), **again)) == bits(glove(X))

    checkpoints.save(path, {"model": {}, "optimizer": {}})
    refused(CheckpointError, "a checkpoint of something else: it has no settings, data", glove, X, **again)


def test_a_corpus_and_a_checkpoint_for_it(path):
    corpus = from_sentences(sentences(size=150), min_count=1)
    model = glove(corpus, checkpoint=path)
    again = GloVe(model.config).fit(corpus, checkpoint=path, resume=True)
    assert bits(again) == bits(model) and again["w1"].tobytes() == model["w1"].tobytes()
