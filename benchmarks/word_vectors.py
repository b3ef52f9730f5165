"""How good are the word vectors, and how long do they take? Same text, same size, each in a process of its own.

    python -m benchmarks.word_vectors --data FOLDER [--quick] [--seeds 1 2 3] [--only NAME ...] [--keep FILE]

FOLDER holds ``enwiki-100m.txt`` (text8 style) and ``word_eval/`` (questions-words and the similarity sets). The same
schedule for all of Word2Vec: 100 dimensions, window 5, 5 noise words, sample 1e-3, min-count 5, 3 epochs; the row
"tinymm" and gensim's start at the rate 0.025, the others at the library's own. Sentences are of 1,000 words.

For each row the table gives means over the seeds, with the standard error of the mean: analogies (right answers in
percent, 30,000 most frequent words) and Spearman's rho on WordSim-353, SimLex-999 and MEN; words per second of
training alone; seconds from the text file to vectors, reading and counting included; and the process's largest memory.

A new row is a function in `ROWS` that takes (text file with a sentence a line, seed, threads, epochs) and returns
(words, vectors, words per second of training).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SENTENCE = 1000
SIZE = 100
GLOVE_PASSES = 8 / 3  # passes over GloVe's counts that take the time of one epoch of Word2Vec
SETS = {"WordSim-353": "EN-WS-353-ALL.txt", "SimLex-999": "EN-SIMLEX-999.txt", "MEN": "EN-MEN-TR-3k.txt"}


def tinymm_word2vec(path, seed, threads, epochs, **changes):
    from tinymm.data import text
    from tinymm.models.word2vec import Word2Vec

    corpus = text.read(path, max_sentence=SENTENCE, progress=False)
    began = time.perf_counter()
    model = Word2Vec(seed=seed, threads=threads, epochs=epochs, **changes).fit(corpus)
    return model.vocabulary.words, model.vectors, corpus.n_read * epochs / (time.perf_counter() - began)


def tinymm_glove(path, seed, threads, epochs, **changes):
    """GloVe with as many passes as take Word2Vec's time, counting included; its words per second are those counted."""
    from tinymm.data import text
    from tinymm.models.glove import GloVe

    corpus = text.read(path, max_sentence=SENTENCE, progress=False)
    began = time.perf_counter()
    passes = round(GLOVE_PASSES * epochs)
    model = GloVe(seed=seed, threads=threads, epochs=passes, d_model=SIZE, **changes).fit(corpus)
    return model.vocabulary.words, model.vectors, corpus.n_read * epochs / (time.perf_counter() - began)


def gensim_list(path, seed, threads, epochs, **changes):
    from gensim.models import Word2Vec

    sentences = [line.split() for line in Path(path).read_text().splitlines()]
    model = Word2Vec(**_gensim(seed, threads, epochs, changes))
    model.build_vocab(sentences)
    began = time.perf_counter()
    model.train(sentences, total_examples=model.corpus_count, epochs=epochs)
    speed = model.corpus_total_words * epochs / (time.perf_counter() - began)
    return model.wv.index_to_key, model.wv.vectors, speed


def gensim_file(path, seed, threads, epochs, **changes):
    from gensim.models import Word2Vec

    model = Word2Vec(**_gensim(seed, threads, epochs, changes))
    model.build_vocab(corpus_file=str(path))
    began = time.perf_counter()
    model.train(corpus_file=str(path), total_words=model.corpus_total_words, epochs=epochs)
    speed = model.corpus_total_words * epochs / (time.perf_counter() - began)
    return model.wv.index_to_key, model.wv.vectors, speed


def _gensim(seed, threads, epochs, changes):
    return {"vector_size": SIZE, "sg": 1, "seed": seed, "workers": threads, "epochs": epochs, **changes}


def write_lines(path, target):
    """The text with a line end after each `SENTENCE` words: the same sentences for everybody."""
    words = Path(path).read_text().split()
    with open(target, "w") as file:
        for i in range(0, len(words), SENTENCE):
            file.write(" ".join(words[i : i + SENTENCE]) + "\n")
    return target


ROWS = {
    "tinymm": lambda *a: tinymm_word2vec(*a, lr=0.025),
    "tinymm, default rate": tinymm_word2vec,
    "gensim, list": gensim_list,
    "gensim, file": gensim_file,
    "tinymm glove": tinymm_glove,
    "tinymm cbow": lambda *a: tinymm_word2vec(*a, cbow=True),
    "gensim cbow, file": lambda *a: gensim_file(*a, sg=0),
    "tinymm hierarchical": lambda *a: tinymm_word2vec(*a, hierarchical_softmax=True),
    "gensim hierarchical, file": lambda *a: gensim_file(*a, hs=1, negative=0),
}
SHORT = ("tinymm", "tinymm, default rate", "gensim, list", "gensim, file")  # the rows without --only


def evaluate(words, vectors, folder):
    """{measure: score} of one set of vectors; `folder` is ``word_eval/``."""
    from tinymm.metrics import words as metrics

    questions = metrics.read_analogies(folder / "google_analogies" / "questions-words.txt")
    found = metrics.analogies(vectors, words, questions, restrict_vocab=30_000)
    scores = {"analogies": 100 * found.total.accuracy, "analogies se": 100 * found.total.standard_error}
    for name, file in SETS.items():
        pairs = metrics.read_pairs(folder / "data" / "word-sim" / file)
        agreement = metrics.similarity(vectors, words, pairs)
        scores[name], scores[f"{name} se"] = agreement.rho, agreement.standard_error
    return scores


def measure(name, seed, threads, epochs, text, data):
    """Train one row in a process of its own: its scores, seconds and largest memory in GB."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "vectors.npz"
        job = {"name": name, "seed": seed, "threads": threads, "epochs": epochs, "path": str(text), "save": str(target)}
        command = [sys.executable, "-m", "benchmarks.word_vectors", "--one", json.dumps(job)]
        done = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True)
        cost = json.loads(done.stdout.splitlines()[-1])
        with np.load(target) as stored:
            scores = evaluate(stored["words"].tolist(), stored["vectors"], Path(data) / "word_eval")
    return {"row": name, "seed": seed, "threads": threads, "epochs": epochs, "text": Path(text).name, **cost, **scores}


def _one(job):
    """The other end of `measure`."""
    began = time.perf_counter()
    words, vectors, speed = ROWS[job["name"]](job["path"], job["seed"], job["threads"], job["epochs"])
    seconds = time.perf_counter() - began
    memory = largest_memory()
    np.savez(job["save"], words=np.array(words), vectors=vectors)
    print(json.dumps({"k words/s": speed / 1000, "seconds": seconds, "memory GB": memory}))


def largest_memory():
    """The largest memory of this process so far, in GB."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():  # Linux counts what the starting process had into ru_maxrss
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def table(results):
    """One line a row: means over the seeds, with the standard error of the mean where there is more than one."""
    measures = ["analogies", *SETS, "k words/s", "seconds", "memory GB"]
    lines = [f"{'':28}{'seeds':>6}" + "".join(f"{m:>17}" for m in measures)]
    for name in dict.fromkeys(r["row"] for r in results):
        of = [r for r in results if r["row"] == name]
        cells = []
        for m in measures:
            values = [r[m] for r in of]
            digits = {"analogies": 2, "memory GB": 2, "k words/s": 0, "seconds": 1}.get(m, 3)
            error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
            spread = f" +-{error:.{digits}f}" if error is not None else ""
            cells.append(f"{statistics.mean(values):.{digits}f}{spread}".rjust(17))
        lines.append(f"{name:28}{len(of):6}" + "".join(cells))
    return "\n".join(lines)


def data_folder(given=None):
    """The folder of real data, or None."""
    folder = given or os.environ.get("TINYMM_DATA")
    found = folder and (Path(folder) / "enwiki-100m.txt").exists()
    return Path(folder) if found else None


def shortened(path, words, target):
    """The first `words` words of a text8-style file."""
    with open(path) as file:
        text = file.read(words * 8)
    Path(target).write_text(" ".join(text.split()[:words]))
    return Path(target)


def run(bench):
    """As one of ``python -m benchmarks``: one seed, in full; see the command line above for more."""
    data = data_folder()
    if data is None:
        bench.note("word_vectors: left out, TINYMM_DATA names no folder with enwiki-100m.txt")
        return
    with tempfile.TemporaryDirectory() as folder:
        text = write_lines(data / "enwiki-100m.txt", Path(folder) / "enwiki-100m.txt")
        results = [measure(name, 1, bench.threads, 3, text, data) for name in SHORT]
    for line in table(results).splitlines():
        bench.note(line)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.word_vectors", description="Quality of word vectors.")
    parser.add_argument("--data", help="folder with enwiki-100m.txt and word_eval/ (default: $TINYMM_DATA)")
    parser.add_argument("--quick", action="store_true", help="the first two million words and one seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=SHORT, choices=ROWS, metavar="ROW", help=f"of: {'; '.join(ROWS)}")
    parser.add_argument("--keep", type=Path, help="JSON file to which results are added; the table shows all of it")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.one:
        return _one(json.loads(args.one))
    data = data_folder(args.data)
    if data is None:
        parser.error("no folder with enwiki-100m.txt; give one with --data or TINYMM_DATA")
    results = json.loads(args.keep.read_text()) if args.keep and args.keep.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        text = data / "enwiki-100m.txt"
        if args.quick:
            text, args.seeds = shortened(text, 2_000_000, Path(folder) / "quick.txt"), args.seeds[:1]
        text = write_lines(text, Path(folder) / f"lines-{text.name}")
        for seed in args.seeds:  # the rows in turn, so that a busy machine hits all of them
            for name in args.only:
                results.append(measure(name, seed, args.threads, args.epochs, text, data))
                print(table(results[-1:]), flush=True)
                if args.keep:
                    args.keep.write_text(json.dumps(results, indent=1) + "\n")
    print("\n" + table(results))


if __name__ == "__main__":
    main()
