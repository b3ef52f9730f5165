"""Scores of word vectors, against cases that can be worked out by hand and against plain loops."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tinymm.data import text
from tinymm.data.text import Vocabulary
from tinymm.metrics import words as metrics

WORDS = ["man", "woman", "king", "queen", "apple"]
VECTORS = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 2], [1, 1, 2], [-3, 0, 0.1]], dtype=np.float32)


def random_vectors(n=60, width=7, seed=0, dtype=np.float32):
    return [f"w{i}" for i in range(n)], np.random.default_rng(seed).normal(size=(n, width)).astype(dtype)


# ------------------------------------------------------------------------------------------------------ neighbours


def test_most_similar_orders_by_cosine_and_leaves_the_query_out():
    words = ["a", "b", "c", "d"]
    vectors = np.array([[1.0, 0.0], [5.0, 5.0], [0.1, 0.0], [-1.0, 0.0]])
    found = metrics.most_similar(vectors, words, "a")
    assert [w for w, _ in found] == ["c", "b", "d"]
    np.testing.assert_allclose([s for _, s in found], [1, 0.5**0.5, -1])
    assert [w for w, _ in metrics.most_similar(vectors, words, "a", 2, exclude=False)] == ["a", "c"]
    assert [w for w, _ in metrics.most_similar(vectors, words, "a", exclude=["c", "a"])] == ["b", "d"]
    assert [w for w, _ in metrics.most_similar(vectors, words, "d", restrict_vocab=2)] == ["b", "a"]
    assert [w for w, _ in metrics.most_similar(vectors, words, np.array([0.0, 9.0]), 1)] == ["b"]


def test_most_similar_takes_a_vocabulary_and_names_an_unknown_word():
    vocabulary = Vocabulary(WORDS, [5, 4, 3, 2, 1])
    assert metrics.most_similar(VECTORS, vocabulary, "king", 1)[0][0] == "queen"
    with pytest.raises(KeyError, match="'pear' is not among the 5 words"):
        metrics.most_similar(VECTORS, vocabulary, "pear")


def test_vectors_that_do_not_fit_or_hold_nan_are_refused():
    with pytest.raises(ValueError, match="shape .5, 3. for 4 words"):
        metrics.most_similar(VECTORS, WORDS[:4], "king")
    with pytest.raises(ValueError, match="NaN or infinity; the training has diverged"):
        metrics.most_similar(np.full_like(VECTORS, np.nan), WORDS, "king")


# ------------------------------------------------------------------------------------------------------- analogies


def test_analogies_by_hand():
    result = metrics.analogies(VECTORS, WORDS, {"family": [("man", "woman", "king", "queen")], "gram1": []})
    assert result.answers == [("man", "woman", "king", "queen", "queen")]
    assert result.total == metrics.Score(1, 1, 0) == result.semantic
    assert result.syntactic == metrics.Score(0, 0, 0)


def plain_answer(unit, a, b, c, barred, limit):
    target = unit[b] - unit[a] + unit[c]
    scores = [unit[i] @ target if i not in barred else -np.inf for i in range(limit)]
    return int(np.argmax(scores))


@pytest.mark.parametrize("exclude", [True, False])
@pytest.mark.parametrize("limit", [60, 23])
@pytest.mark.parametrize("block", [1, 4, 512])
def test_analogies_agree_with_a_plain_loop(monkeypatch, exclude, limit, block):
    monkeypatch.setattr(metrics, "BLOCK", block)
    words, vectors = random_vectors(dtype=np.float64)
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 60, (41, 4))
    questions = {"one": [[words[i] for i in r] for r in rows[:20]], "two": [[words[i] for i in r] for r in rows[20:]]}
    result = metrics.analogies(vectors, words, questions, exclude=exclude, restrict_vocab=limit)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    known = [r for r in rows if r.max() < limit]
    expected = [plain_answer(unit, a, b, c, {a, b, c} if exclude else (), limit) for a, b, c, _ in known]
    assert [answer[4] for answer in result.answers] == [words[i] for i in expected]
    assert result.total.correct == sum(e == r[3] for e, r in zip(expected, known))
    assert result.total.asked == len(known) and result.total.skipped == len(rows) - len(known)


def test_exclusion_does_part_of_the_work():
    """Where b - a is small, the nearest word to b - a + c is c itself: only exclusion makes the answer right."""
    vectors = np.array([[1, 0, 0], [1, 0.1, 0], [0, 0, 1], [0, 0.3, 1]], dtype=float)
    question = [("a", "b", "c", "d")]
    assert metrics.analogies(vectors, list("abcd"), question).total.correct == 1
    without = metrics.analogies(vectors, list("abcd"), question, exclude=False)
    assert without.total.correct == 0 and without.answers[0][4] == "c"


def test_questions_from_relations_and_their_controls():
    questions = metrics.questions_from({"r": [("a", "b"), ("c", "d")]})
    assert questions == {"r": [("a", "b", "c", "d"), ("c", "d", "a", "b")]}
    assert metrics.without_relation(questions) == {"r": [("c", "c", "c", "d"), ("a", "a", "a", "b")]}
    words, vectors = random_vectors(dtype=np.float64)
    asked = {"r": [(words[i], words[i + 1], words[i + 2], words[i + 3]) for i in range(40)]}
    answers = metrics.analogies(vectors, words, metrics.without_relation(asked)).answers
    assert [a[4] for a in answers] == [metrics.most_similar(vectors, words, a[2], 1)[0][0] for a in answers]
    false = metrics.false_relation(asked, words, first=5)
    assert [q[2:] for q in false["r"]] == [q[2:] for q in asked["r"]]
    assert {w for q in false["r"] for w in q[:2]} == set(words[:5])


def test_parallel_by_hand():
    words, vectors = list("abcdef"), np.array([[1, 0], [0, 1], [-1, 0], [0, 1], [0, -2], [3, 0]], dtype=float)
    assert metrics.parallel(vectors, words, [("a", "b"), ("c", "d")]) == pytest.approx(0)  # (-1, 1) and (1, 1)
    assert metrics.parallel(vectors, words, [("a", "b"), ("e", "c")]) == pytest.approx(1)  # (-1, 1) twice
    three = [("a", "b"), ("c", "d"), ("e", "c")]
    assert metrics.parallel(vectors, words, three) == pytest.approx((0 + 1 + 0) / 3)


def test_each_of_the_three_query_words_is_barred():
    """Once for each of a, b, c: vectors with which that word would be the answer."""
    cos, sin = np.cos(0.3), np.sin(0.3)
    nearest_is_a = np.array([[1, 0], [cos, sin], [cos, -sin], [0.5, 0.6]])
    nearest_is_b = np.array([[1, 0], [0.8, 0.6], [0.99, 0.1], [0.6, 0.8]])
    nearest_is_c = nearest_is_b[[0, 2, 1, 3]]
    for word, vectors in zip("abc", (nearest_is_a, nearest_is_b, nearest_is_c)):
        free = metrics.analogies(vectors, list("abcd"), [("a", "b", "c", "d")], exclude=False)
        assert free.answers[0][4] == word
        assert metrics.analogies(vectors, list("abcd"), [("a", "b", "c", "d")]).answers[0][4] == "d"


def test_case_is_the_same_and_other_spellings_of_a_query_word_are_barred_too():
    words = ["Man", "Woman", "King", "queen", "KING", "apple"]
    vectors = np.vstack([VECTORS[:4], VECTORS[2:3] * 1.01, VECTORS[4:]])
    result = metrics.analogies(vectors, words, [("man", "WOMAN", "king", "Queen")])
    assert result.total == metrics.Score(1, 1, 0)
    assert result.answers == [("Man", "Woman", "King", "queen", "queen")]  # King comes before KING
    same = metrics.analogies(vectors, words, [("man", "man", "king", "apple")])
    assert same.answers[0][4] != "KING"


def test_scores_add_up_and_carry_their_standard_error():
    score = metrics.Score(30, 100, 50)
    assert score.accuracy == 0.3 and score.coverage == pytest.approx(2 / 3)
    assert score.standard_error == pytest.approx((0.3 * 0.7 / 100) ** 0.5)
    assert score + metrics.Score(1, 2, 3) == metrics.Score(31, 102, 53)
    assert np.isnan(metrics.Score(0, 0, 4).accuracy) and str(score) == "30.0 % +- 4.6 (100 asked, 50 skipped)"


def test_read_analogies(tmp_path):
    (tmp_path / "q.txt").write_text(": capital\nAthens Greece Oslo Norway\n\n: gram1-x\na b c d\ne f g h\n")
    assert metrics.read_analogies(tmp_path / "q.txt") == {
        "capital": [("Athens", "Greece", "Oslo", "Norway")],
        "gram1-x": [("a", "b", "c", "d"), ("e", "f", "g", "h")],
    }


@pytest.mark.parametrize("content", ["a b c d\n", ": s\na b c\n", ": s\na b c d e\n"])
def test_wrong_analogy_files_are_one_clear_line(tmp_path, content):
    (tmp_path / "q.txt").write_text(content)
    with pytest.raises(ValueError, match=r"q\.txt, line [12]: expected"):
        metrics.read_analogies(tmp_path / "q.txt")


# ---------------------------------------------------------------------------------------------------------- senses


def test_the_words_around_tell_two_senses_apart_and_one_vector_cannot():
    """x stands among a's and y among b's, except for every fourth sentence, which lies."""
    rng = np.random.default_rng(0)
    sentences = []
    for i in range(400):
        name, other = ("x", "a") if i % 2 else ("y", "b")
        other = {"a": "b", "b": "a"}[other] if i % 8 in (0, 1) else other
        sentences.append([f"{other}{k}" for k in rng.integers(0, 3, 2)] + [name, f"{other}0"])
    original = text.from_sentences(sentences, min_count=1)
    merged = original.merge([("x", "y")])
    words = merged.vocabulary.words
    vectors = np.array([[w[0] == "a", w[0] == "b", "/" in w] for w in words]) + rng.normal(0, 0.01, (len(words), 3))
    near = (["a0", "a1"], ["b0", "b1"])
    own, around = metrics.tell_senses(vectors, merged, original, ("x", "y"), near)
    assert own == 0.5 and around == 0.75
    _, swapped = metrics.tell_senses(vectors, merged, original, ("x", "y"), near[::-1])
    assert swapped == 0.25


# ------------------------------------------------------------------------------------------------------ similarity


@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(-5, 5)), min_size=3, max_size=40))
def test_spearman_agrees_with_scipy_with_and_without_ties(pairs):
    x, y = np.array(pairs, dtype=float).T
    if len(set(x)) < 2 or len(set(y)) < 2:
        assert np.isnan(metrics.spearman(x, y))
    else:
        assert metrics.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_similarity_reports_coverage_and_rank_correlation():
    words, vectors = random_vectors(dtype=np.float64)
    rng = np.random.default_rng(2)
    pairs = [(f"W{a}", f"w{b}", float(s)) for a, b, s in zip(*rng.integers(0, 70, (2, 80)), rng.normal(size=80))]
    known = [(int(a[1:]), int(b[1:]), s) for a, b, s in pairs if int(a[1:]) < 60 and int(b[1:]) < 60]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = stats.spearmanr([s for *_, s in known], [unit[a] @ unit[b] for a, b, _ in known]).statistic
    result = metrics.similarity(vectors, words, pairs)
    assert result.rho == pytest.approx(expected, abs=1e-12)
    assert (result.used, result.total) == (len(known), 80) and result.coverage == len(known) / 80


def test_the_standard_error_is_that_of_drawing_other_pairs():
    """Against the spread of rho over many independent sets of pairs."""
    rng = np.random.default_rng(0)
    words, vectors = random_vectors(2000, 5, dtype=np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def draw():
        a, b = rng.integers(0, 2000, (2, 200))
        people = (unit[a] * unit[b]).sum(axis=1) + rng.normal(0, 0.5, 200)
        return [(words[i], words[j], s) for i, j, s in zip(a, b, people)]

    found = [metrics.similarity(vectors, words, draw(), n_bootstrap=1).rho for _ in range(150)]
    claimed = metrics.similarity(vectors, words, draw()).standard_error
    assert claimed == pytest.approx(np.std(found), rel=0.3)


def test_too_few_known_pairs_give_nan_not_an_error():
    result = metrics.similarity(VECTORS, WORDS, [("man", "king", 1.0), ("man", "pear", 2.0)])
    assert np.isnan(result.rho) and (result.used, result.total) == (1, 2)


def test_read_pairs(tmp_path):
    (tmp_path / "p.txt").write_text("# comment\ncar\tautomobile\t3.92\ngem jewel 3.84\n\n")
    assert metrics.read_pairs(tmp_path / "p.txt") == [("car", "automobile", 3.92), ("gem", "jewel", 3.84)]
    (tmp_path / "p.txt").write_text("car automobile high\n")
    with pytest.raises(ValueError, match=r"p\.txt, line 1: expected two words and a number"):
        metrics.read_pairs(tmp_path / "p.txt")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        metrics.read_pairs(tmp_path / "none.txt")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        metrics.read_analogies(tmp_path)
    (tmp_path / "p.txt").write_bytes(b"a b 1\nc\xff d 2\n")
    with pytest.raises(ValueError, match="not utf-8 text.* offset 7"):
        metrics.read_pairs(tmp_path / "p.txt")


@pytest.mark.data
def test_the_real_sets_are_read_whole():
    folder = Path(os.environ.get("TINYMM_DATA", "")) / "word_eval"
    if "TINYMM_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("needs the evaluation sets in $TINYMM_DATA/word_eval")
    questions = metrics.read_analogies(folder / "google_analogies" / "questions-words.txt")
    assert sum(map(len, questions.values())) == 19_544 and len(questions) == 14
    assert sum(name.startswith("gram") for name in questions) == 9
    sizes = {"WS-353-ALL": 353, "SIMLEX-999": 999, "MEN-TR-3k": 3000, "RG-65": 65}
    for name, size in sizes.items():
        assert len(metrics.read_pairs(folder / "data" / "word-sim" / f"EN-{name}.txt")) == size
