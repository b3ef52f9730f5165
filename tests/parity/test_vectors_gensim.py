"""Files and scores of word vectors against gensim's."""

import os
from pathlib import Path

import numpy as np
import pytest

from tinymm.data import text
from tinymm.io import vectors as io
from tinymm.metrics import words as metrics

pytest.importorskip("gensim")
from gensim.models import KeyedVectors, Word2Vec
from gensim.models.word2vec import LineSentence

pytestmark = pytest.mark.parity

WORDS = [f"w{i}" if i % 3 else f"W{i}" for i in range(400)] + ["\uae38", "don't"]
VECTORS = np.random.default_rng(0).normal(size=(402, 11)).astype(np.float32)


def keyed(words=WORDS, vectors=VECTORS):
    made = KeyedVectors(vectors.shape[1])
    made.add_vectors(words, vectors)
    return made


@pytest.mark.parametrize("binary", [True, False])
def test_gensim_reads_our_files(tmp_path, binary):
    io.save(tmp_path / "v", WORDS, VECTORS, binary=binary)
    theirs = KeyedVectors.load_word2vec_format(str(tmp_path / "v"), binary=binary)
    assert theirs.index_to_key == WORDS
    np.testing.assert_array_equal(theirs.vectors, VECTORS)


@pytest.mark.parametrize("binary", [True, False])
def test_we_read_gensims_files(tmp_path, binary):
    keyed().save_word2vec_format(str(tmp_path / "v"), binary=binary)
    words, vectors = io.load(tmp_path / "v", binary=binary)
    assert words == WORDS
    np.testing.assert_array_equal(vectors, VECTORS)


def test_our_binary_file_is_gensims_byte_for_byte(tmp_path):
    io.save(tmp_path / "ours.bin", WORDS, VECTORS)
    keyed().save_word2vec_format(str(tmp_path / "theirs.bin"), binary=True)
    assert (tmp_path / "ours.bin").read_bytes() == (tmp_path / "theirs.bin").read_bytes()


def test_most_similar_agrees():
    theirs = keyed()
    for query in ("w1", "W0", "don't"):
        expected = theirs.most_similar(query, topn=12)
        found = metrics.most_similar(VECTORS, WORDS, query, 12)
        assert [w for w, _ in found] == [w for w, _ in expected]
        np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-6)


def write_questions(path, words, n, seed):
    rng = np.random.default_rng(seed)
    lines = []
    for section in ("capital", "gram1-x"):
        lines.append(f": {section}")
        for _ in range(n):
            lines.append(" ".join(words[i] for i in rng.choice(len(words), 4, replace=False)))
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.parametrize("restrict", [402, 150])
def test_analogies_agree_question_by_question(tmp_path, restrict):
    """On vectors in which some questions are answered rightly; gensim lists which."""
    rng = np.random.default_rng(3)
    base = rng.normal(size=(100, 11))
    relation = rng.normal(size=11)
    vectors = np.vstack([base, base + relation + 0.35 * rng.normal(size=base.shape)]).astype(np.float32)
    vectors = vectors[rng.permutation(200)]
    words = [f"Word{i}" for i in range(200)]
    write_questions(tmp_path / "q.txt", words, 150, seed=4)
    with open(tmp_path / "q.txt", "a") as file:
        file.write("\n: gram2-pairs\n")
        distance = ((vectors[:, None] + relation - vectors) ** 2).sum(-1)
        match = distance.argmin(axis=1)
        for a, c in rng.integers(0, 200, (300, 2)):
            if len({a, match[a], c, match[c]}) == 4:
                file.write(" ".join(words[i].lower() for i in (a, match[a], c, match[c])) + "\n")
    accuracy, sections = keyed(words, vectors).evaluate_word_analogies(str(tmp_path / "q.txt"), restrict_vocab=restrict)
    ours = metrics.analogies(vectors, words, metrics.read_analogies(tmp_path / "q.txt"), restrict_vocab=restrict)
    assert 0.05 < accuracy < 0.95
    assert ours.total.accuracy == accuracy
    right = [tuple(w.upper() for w in answer[:4]) for answer in ours.answers if answer[3] == answer[4]]
    assert right == [q for s in sections[:-1] for q in s["correct"]]
    for theirs in sections[:-1]:
        score, correct = ours.sections[theirs["section"]], len(theirs["correct"])
        assert (score.correct, score.asked) == (correct, correct + len(theirs["incorrect"]))


@pytest.mark.parametrize("restrict", [402, 200])
def test_similarity_agrees(tmp_path, restrict):
    rng = np.random.default_rng(5)
    pairs = zip(*rng.integers(0, 402, (2, 90)), rng.random(90) * 10)
    lines = [f"{WORDS[a].lower()}\t{WORDS[b]}\t{s:.1f}" for a, b, s in pairs]
    (tmp_path / "p.txt").write_text("\n".join(lines + ["unknown\tw1\t3.0"]), encoding="utf-8")
    _, spearman, oov = keyed().evaluate_word_pairs(str(tmp_path / "p.txt"), restrict_vocab=restrict)
    ours = metrics.similarity(VECTORS, WORDS, metrics.read_pairs(tmp_path / "p.txt"), restrict_vocab=restrict)
    assert ours.rho == pytest.approx(spearman.statistic, abs=1e-12)
    assert 100 * (1 - ours.coverage) == pytest.approx(oov)


def test_the_vocabulary_of_a_file_is_gensims(tmp_path):
    rng = np.random.default_rng(0)
    lines = [" ".join(f"w{int(i)}" for i in rng.zipf(1.5, rng.integers(0, 30)) if i < 300) for _ in range(300)]
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines))
    theirs = Word2Vec(min_count=3)
    theirs.build_vocab(LineSentence(str(path)))
    corpus = text.read(path, min_count=3)
    assert set(corpus.vocabulary.words) == set(theirs.wv.index_to_key)
    ours = dict(zip(corpus.vocabulary.words, corpus.vocabulary.counts.tolist()))
    assert ours == {w: theirs.wv.get_vecattr(w, "count") for w in theirs.wv.index_to_key}
    assert corpus.n_read == theirs.corpus_total_words


@pytest.mark.data
def test_real_evaluation_sets_on_random_vectors_agree():
    folder = Path(os.environ.get("TINYMM_DATA", "")) / "word_eval"
    if "TINYMM_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("needs the evaluation sets in $TINYMM_DATA/word_eval")
    file = folder / "google_analogies" / "questions-words.txt"
    questions = metrics.read_analogies(file)
    words = sorted({w for section in questions.values() for q in section for w in q})
    words = list({w.lower(): w for w in words}.values())[:700]
    vectors = np.random.default_rng(0).normal(size=(len(words), 4)).astype(np.float32)
    accuracy, _ = keyed(words, vectors).evaluate_word_analogies(str(file))
    ours = metrics.analogies(vectors, words, questions)
    assert ours.total.accuracy == accuracy and ours.total.asked > 1000 and ours.total.correct > 0
    for path in sorted((folder / "data" / "word-sim").glob("*.txt")):
        ours = metrics.similarity(vectors, words, metrics.read_pairs(path), n_bootstrap=2)
        if ours.used > 2:
            _, spearman, _ = keyed(words, vectors).evaluate_word_pairs(str(path), delimiter=None)
            assert ours.rho == pytest.approx(spearman.statistic, abs=1e-6), path.name
