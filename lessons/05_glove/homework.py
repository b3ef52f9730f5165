"""The exercises of lesson 05: counting which words meet, ratios by hand, a loss that cannot reach zero, PMI and SVD."""

import numpy as np

from tinymm.autograd import Tensor
from tinymm.learn.homework import Call, Diagnose, Experiment, Implement, Predict, Question, Test, Wrong, difference
from tinymm.models import glove

# ---- 1 ---------------------------------------------------------------------------------------------------------------


def count_cooccurrence(ids, starts, n_words, *, window=15, distance_weighting=True, symmetric=True, **others):
    """Which words stand near which, never across the end of a sentence.

    Words outside the vocabulary are removed before distances are counted.

    Parameters
    ----------
    ids : (n,) int array
        The words of all sentences, one after the other; -1 stands for a word outside the vocabulary.
    starts : (n_sentences + 1,) int array
        Sentence s is ``ids[starts[s]:starts[s + 1]]``.
    n_words : int
        V; ids go from 0 to V - 1.
    window : int
        How many words to each side count as neighbours.
    distance_weighting : bool
        A neighbour at distance d adds 1/d to the cell; False: 1.
    symmetric : bool
        Count neighbours on both sides; False: only those on the left.
    **others
        What else `GloVe` passes on (threads, memory, dtype): not needed here.

    Returns
    -------
    tinymm.models.glove.Cooccurrence
        ``Cooccurrence(row, col, x, n_words)``: the cells of X that are not zero, sorted by row and, within a row, by
        column. X[i, j] is how often, weighted, word j stands near word i.
    """
    from tinymm.models.glove import Cooccurrence

    ids = np.asarray(ids)
    sentence = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    ids, sentence = ids[ids >= 0].astype(np.int64), sentence[ids >= 0]
    cells, amounts = [np.empty(0, np.int64)], [np.empty(0)]
    for d in range(1, min(window, len(ids) - 1) + 1):
        left, right, same = ids[:-d], ids[d:], sentence[:-d] == sentence[d:]
        for row, col in [(right, left), (left, right)] if symmetric else [(right, left)]:
            cells.append((row * n_words + col)[same])
            amounts.append(np.full(np.count_nonzero(same), 1 / d if distance_weighting else 1.0))
    cells, which = np.unique(np.concatenate(cells), return_inverse=True)
    x = np.bincount(which, weights=np.concatenate(amounts), minlength=len(cells))
    row, col = np.divmod(cells, n_words)
    return Cooccurrence(row.astype(np.int32), col.astype(np.int32), x, n_words)


def counted(f, ids, starts, n_words, **options):
    cells = f(ids, starts, n_words, **options)
    for name in ("row", "col", "x", "n_words"):
        if not hasattr(cells, name):
            raise TypeError(f"a {type(cells).__name__} came back; expected Cooccurrence(row, col, x, n_words)")
    X = np.zeros((n_words, n_words))
    np.add.at(X, (np.asarray(cells.row), np.asarray(cells.col)), np.asarray(cells.x))
    return {"X": X}


def form_of_cells(f, ids, starts, n_words, **options):
    cells = f(ids, starts, n_words, **options)
    row, col, x = (np.asarray(a) for a in (cells.row, cells.col, cells.x))
    order = row.astype(np.int64) * n_words + col
    return {"cells, rising": int(np.count_nonzero(np.diff(order) > 0)) + 1, "cells of zero": int((x == 0).sum()),
            "whole numbers": int(row.dtype.kind in "iu" and col.dtype.kind in "iu")}  # fmt: skip


def used_by_the_model(f, ids, starts, n_words, **options):
    others = {"max_memory_mb": 4096, "threads": 1, "dtype": "float32", "progress": False}
    cells = f(ids, starts, n_words, **options, **others)
    return {"P(0|1)": cells.probability(0, 1), "X_i": cells.row_sums()}


def library_counts(call, value):
    ids, starts, n_words = call.args
    X = glove.count_cooccurrence(ids, starts, n_words, dtype="float64", **call.static)
    return difference(value, {"X": X.dense()})


def library_form(call, value):
    n = len(glove.count_cooccurrence(*call.args, dtype="float64", **call.static))
    return difference(value, {"cells, rising": n, "cells of zero": 0, "whole numbers": 1})


def library_cells(call, value):
    X = glove.count_cooccurrence(*call.args, dtype="float64", **call.static)
    return difference(value, {"P(0|1)": X.probability(0, 1), "X_i": X.row_sums()}, rtol=1e-6)


def sentences(rng, lengths, V, unknown=0.0):
    """ids, starts and V of random sentences; each word next to another one somewhere."""
    ids = rng.integers(0, V, sum(lengths))
    ids[rng.random(len(ids)) < unknown] = -1
    ids[:2] = 0, 1
    return ids, np.concatenate([[0], np.cumsum(lengths)]), V


def one_sentence(rng):
    return [Call(*sentences(rng, [n], V), window=w) for n, V, w in ((7, 5, 2), (23, 7, 5), (13, 11, 15))]


def several_sentences(rng):
    return [Call(*sentences(rng, lengths, V), window=w)
            for lengths, V, w in (([3, 5, 2, 7], 5, 3), ([2, 1, 11, 0, 3], 7, 7))]  # fmt: skip


def with_unknown(rng):
    return [Call(*sentences(rng, lengths, V, 0.4), window=w)
            for lengths, V, w in (([11], 3, 2), ([13, 7, 17], 5, 3))]  # fmt: skip


def repeated_words(rng):
    return [Call(np.array([0, 1, 0, 0, 1]), np.array([0, 5]), 2, window=3),
            Call(*sentences(rng, [17, 5], 2), window=5)]  # fmt: skip


def with_options(rng):
    return [Call(*sentences(rng, [7, 11], 5), window=3, **{name: False})
            for name in ("distance_weighting", "symmetric")]  # fmt: skip


def any_text(rng):
    return [Call(*sentences(rng, [13, 5, 2], 7, 0.2), window=5)]


def one_direction(ids, starts, n_words, *, window=15, distance_weighting=True, symmetric=True, **others):
    from tinymm.models.glove import Cooccurrence

    X = np.zeros((n_words, n_words))
    for begin, end in zip(starts[:-1], starts[1:]):
        words = [i for i in ids[begin:end] if i >= 0]
        for a in range(len(words)):
            for b in range(max(0, a - window), a):
                X[words[a], words[b]] += 1 / (a - b) if distance_weighting else 1
    row, col = np.nonzero(X)
    return Cooccurrence(row, col, X[row, col], n_words)


def across_sentences(ids, starts, n_words, *, window=15, distance_weighting=True, symmetric=True, **others):
    from tinymm.models.glove import Cooccurrence

    X, words = np.zeros((n_words, n_words)), [i for i in ids if i >= 0]
    for a in range(len(words)):
        for b in range(max(0, a - window), a):
            amount = 1 / (a - b) if distance_weighting else 1
            X[words[a], words[b]] += amount
            X[words[b], words[a]] += amount if symmetric else 0
    row, col = np.nonzero(X)
    return Cooccurrence(row, col, X[row, col], n_words)


def unknown_keep_their_place(ids, starts, n_words, *, window=15, distance_weighting=True, symmetric=True, **others):
    from tinymm.models.glove import Cooccurrence

    X = np.zeros((n_words, n_words))
    for begin, end in zip(starts[:-1], starts[1:]):
        for a in range(begin, end):
            for b in range(max(begin, a - window), a):
                if ids[a] >= 0 and ids[b] >= 0:
                    amount = 1 / (a - b) if distance_weighting else 1
                    X[ids[a], ids[b]] += amount
                    X[ids[b], ids[a]] += amount if symmetric else 0
    row, col = np.nonzero(X)
    return Cooccurrence(row, col, X[row, col], n_words)


def meets_itself(ids, starts, n_words, *, window=15, distance_weighting=True, symmetric=True, **others):
    from tinymm.models.glove import Cooccurrence

    X = np.zeros((n_words, n_words))
    for begin, end in zip(starts[:-1], starts[1:]):
        words = [i for i in ids[begin:end] if i >= 0]
        for a in range(len(words)):
            last = len(words) if symmetric else a + 1
            for b in range(max(0, a - window), min(last, a + window + 1)):
                X[words[a], words[b]] += 1 / max(abs(a - b), 1) if distance_weighting else 1
    row, col = np.nonzero(X)
    return Cooccurrence(row, col, X[row, col], n_words)


def repeats_overwritten(ids, starts, n_words, *, window=15, distance_weighting=True, symmetric=True, **others):
    from tinymm.models.glove import Cooccurrence

    sentence = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    ids, sentence = ids[ids >= 0], sentence[ids >= 0]
    X = np.zeros((n_words, n_words))
    for d in range(1, min(window, len(ids) - 1) + 1):
        same = sentence[:-d] == sentence[d:]
        left, right = ids[:-d][same], ids[d:][same]
        X[right, left] += 1 / d if distance_weighting else 1
        if symmetric:
            X[left, right] += 1 / d if distance_weighting else 1
    row, col = np.nonzero(X)
    return Cooccurrence(row, col, X[row, col], n_words)


def options_ignored(ids, starts, n_words, *, window=15, **others):
    from tinymm.models.glove import Cooccurrence

    X = np.zeros((n_words, n_words))
    for begin, end in zip(starts[:-1], starts[1:]):
        words = [i for i in ids[begin:end] if i >= 0]
        for a in range(len(words)):
            for b in range(max(0, a - window), a):
                X[words[a], words[b]] += 1 / (a - b)
                X[words[b], words[a]] += 1 / (a - b)
    row, col = np.nonzero(X)
    return Cooccurrence(row, col, X[row, col], n_words)


def all_cells_listed(ids, starts, n_words, *, window=15, distance_weighting=True, symmetric=True, **others):
    from tinymm.models.glove import Cooccurrence

    X = np.zeros((n_words, n_words))
    for begin, end in zip(starts[:-1], starts[1:]):
        words = [i for i in ids[begin:end] if i >= 0]
        for a in range(len(words)):
            for b in range(max(0, a - window), a):
                amount = 1 / (a - b) if distance_weighting else 1
                X[words[a], words[b]] += amount
                X[words[b], words[a]] += amount if symmetric else 0
    row, col = (part.ravel() for part in np.indices(X.shape))
    return Cooccurrence(row, col, X.ravel(), n_words)


ONE, ENDS, UNKNOWN = "one sentence, 1 / distance to both sides", "no pair across the end of a sentence", \
    "words outside the vocabulary are removed before distances are counted"  # fmt: skip
REPEATED, OPTIONS, FORM = "a word that comes again meets itself, and each meeting adds", \
    "distance_weighting=False, symmetric=False", "the cells are sorted, and none is zero"  # fmt: skip

count = Implement(
    "count_cooccurrence",
    reference=count_cooccurrence,
    library="open",
    hides=("tinymm.models.glove:count_cooccurrence", "kernel:cooccurrence"),
    title="Count which words stand near which",
    star=True,
    text="""
        X[i, j] says how often word j stands near word i. Two words of one sentence that stand d places apart, d at most
        `window`, add 1/d to X[i, j] and 1/d to X[j, i]. The sentence 0 1 2 with a window of 2 gives X[0, 1] = X[1, 0] =
        X[1, 2] = X[2, 1] = 1 and X[0, 2] = X[2, 0] = 1/2.

        ids = [0, 1, 2, 0, 2] with starts = [0, 3, 5] is two sentences, 0 1 2 and 0 2. No pair crosses the end of a
        sentence. A word -1 is outside the vocabulary: take it out first, then count distances; 0 -1 2 is the sentence
        0 2. A word does not meet itself where it stands, but if it comes twice in a sentence, the two meet: in 0 1 0
        with a window of 2, X[0, 0] gets 1/2 from each of them, together 1.

        Return `Cooccurrence(row, col, x, n_words)` from tinymm.models.glove; this exercise may use the library, but for
        its own counting. Filling a (V, V) array X and `row, col = np.nonzero(X)` is all right for the check. GloVe then
        counts with yours: tinymm run 5 --fast --with work/ex05.py. For that text a (V, V) array takes most of a
        gigabyte, and a loop over its words minutes; a loop over the distances takes seconds (hint 3).
    """,
    tests=[
        Test(ONE, one_sentence, "count 0 1 2 by hand; does each pair add to two cells? On the diagonal, [i, i]: a word "
             "that comes twice meets itself, and both cells are this one", run=counted, judge=library_counts),
        Test(ENDS, several_sentences, "if the test above passes: sentence s ends before starts[s + 1]; sentences of no "
             "word occur", run=counted, judge=library_counts),
        Test(UNKNOWN, with_unknown, "take -1 out, and move the starts along (or number each word's sentence first)",
             run=counted, judge=library_counts),
        Test(REPEATED, repeated_words, "X[rows, cols] += x keeps one x for a cell that comes twice; np.add.at adds "
             "all. And the distance is never 0", run=counted, judge=library_counts),
        Test(OPTIONS, with_options, "False: each neighbour adds 1; False: X[i, j] counts only j to the left of i",
             run=counted, judge=library_counts),
        Test(FORM, any_text, "np.nonzero of a dense X gives rows and columns in the right order", run=form_of_cells,
             judge=library_form),
        Test("GloVe can use the cells", any_text, "another number: mend the tests above first, -1 too; an error: GloVe "
             "passes on threads, dtype and more, does **others take them?", run=used_by_the_model, judge=library_cells),
    ],
    hints=(
        "Each pair of places in a sentence is looked at once, the later word and an earlier one; it adds to two cells.",
        "For each sentence the list of its known words; for each place a in it, the places b from a - window to a - 1: "
        "X[w_a, w_b] and X[w_b, w_a] gain 1 / (a - b). X is (V, V); np.nonzero gives row and col, x is X[row, col].",
        "The fast way: sentence = np.repeat(np.arange(len(starts) - 1), np.diff(starts)); keep ids >= 0 in both. For "
        "each d the pairs are ids[:-d] and ids[d:] where sentence[:-d] == sentence[d:]. Number the cells, row * V + "
        "col as int64, put them all together; np.unique(..., return_inverse=True), np.bincount(inverse, "
        "weights=amounts), np.divmod(cells, V).",
    ),
    wrong=[
        Wrong("one direction only", ONE, one_direction),
        Wrong("across the ends of sentences", ENDS, across_sentences),
        Wrong("unknown words removed after distances were taken", UNKNOWN, unknown_keep_their_place),
        Wrong("a word counted with itself", REPEATED, meets_itself),
        Wrong("a pair that comes again overwrites", REPEATED, repeats_overwritten),
        Wrong("the options ignored", OPTIONS, options_ignored),
        Wrong("all cells listed, zeros too", FORM, all_cells_listed),
    ],
)  # fmt: skip

# ---- 2 ---------------------------------------------------------------------------------------------------------------


def draw_counts(rng):
    while True:
        half = rng.integers(5, 48, size=(4, 4))
        X = half + half.T
        p = X / X.sum(axis=1, keepdims=True)
        ratio, turned = p[0, 2] / p[1, 2], p[2, 0] / p[2, 1]
        near = [abs(np.log(a / b)) < 0.1 for a, b in
                ((ratio, 1), (ratio, turned), (ratio, X[0, 2] / X[1, 2]), (p[0, 2], p[2, 0]))]  # fmt: skip
        if X.min() >= 10 and X.max() < 100 and not any(near):
            return {"X": X.tolist()}


def measure_ratio(X):
    row, col = np.indices((4, 4)).reshape(2, -1)
    cells = glove.Cooccurrence(row, col, np.array(X, float).ravel(), 4)
    return {"p_ice": cells.probability(2, 0), "p_steam": cells.probability(2, 1), "ratio": cells.ratio(2, 0, 1),
            "difference": float(np.log(cells.ratio(2, 0, 1)))}  # fmt: skip


def without_row_sums(draw):
    (_, _, a, _), (_, _, b, _) = draw["X"][:2]
    return {**measure_ratio(**draw), "ratio": a / b, "difference": float(np.log(a / b))}


def the_other_way_round(draw):
    a, b, *_ = np.array(draw["X"][2]) / sum(draw["X"][2])
    return {"p_ice": a, "p_steam": b, "ratio": a / b, "difference": float(np.log(a / b))}


def the_logarithm(draw):
    right = measure_ratio(**draw)
    return {**right, "ratio": right["difference"]}


def logarithm_to_base_2(draw):
    right = measure_ratio(**draw)
    return {**right, "difference": right["difference"] / np.log(2)}


def shares_of_the_whole(draw):
    X = np.array(draw["X"], float)
    a, b = X[0, 2] / X.sum(), X[1, 2] / X.sum()
    return {"p_ice": a, "p_steam": b, "ratio": a / b, "difference": float(np.log(a / b))}


ratio = Predict(
    title="A ratio of probabilities, by hand",
    text="""
        Counts X of four words, ice, steam, solid, gas; row i, column k: how often k stands near i.

               ice steam solid gas
        ice    {X[0]}
        steam  {X[1]}
        solid  {X[2]}
        gas    {X[3]}

        P(k|i) is the share of word k among all neighbours of word i. Work with pencil or a pocket calculator, to three
        digits.
    """,
    draw=draw_counts,
    questions=[
        Question("p_ice", "P(solid|ice)", "divide by the sum of the row of ice, its own cell included"),
        Question("p_steam", "P(solid|steam)", "divide by the sum of the row of steam"),
        Question("ratio", "P(solid|ice) / P(solid|steam)", "the two rows have different sums: they do not cancel"),
        Question("difference", "what (w_ice - w_steam) . w~_solid must be for GloVe's vectors to give this ratio by "
                 "the lesson's equation exp((w_i - w_j) . w~_k) = P(k|i) / P(k|j)",
                 "the natural logarithm of the ratio", rtol=0.02, atol=0.01),
    ],
    measure=measure_ratio,
    hints=(
        "A probability of k given i looks at one row only, that of i. What must its four shares add up to?",
        "P(solid|ice) = X[ice, solid] / (sum of row ice). The same for steam with its own row.",
        "ratio = (X[0][2] / sum(X[0])) / (X[1][2] / sum(X[1])); difference = ln(ratio).",
    ),
    wrong=[
        Wrong("counts without row sums", "ratio", without_row_sums),
        Wrong("P(i|k)", "p_ice", the_other_way_round),
        Wrong("the logarithm given for the ratio", "ratio", the_logarithm),
        Wrong("the logarithm to base 2", "difference", logarithm_to_base_2),
        Wrong("shares of the whole table", "p_steam", shares_of_the_whole),
    ],
)  # fmt: skip

# ---- 3 ---------------------------------------------------------------------------------------------------------------


def dense_loss(w, c, b_w, b_c, X):
    """The loss of GloVe over a whole table, equation 8.

    The sum, over all cells with X_ij > 0, of f(X_ij) (w_i . c_j + b_w_i + b_c_j - log X_ij)^2 / 2, with
    f(x) = min(1, (x / 10)^0.75).

    Parameters
    ----------
    w, c : (V, D) arrays
        Vectors of words, and of words as contexts.
    b_w, b_c : (V,) arrays
        Their biases.
    X : (V, V) array
        Counts, zeros among them.

    Returns
    -------
    float
    """
    met = X > 0
    log_x = np.log(np.where(met, X, 1.0))
    error = w @ c.T + b_w[:, None] + b_c - log_x
    return float((np.minimum(1.0, (X / 10) ** 0.75) * met * error**2).sum() / 2)


def one_table_for_both(w, c, b_w, b_c, X):
    met = X > 0
    log_x = np.log(np.where(met, X, 1.0))
    error = w @ w.T + b_w[:, None] + b_c - log_x
    return float((np.minimum(1.0, (X / 10) ** 0.75) * met * error**2).sum() / 2)


def one_bias_missing(w, c, b_w, b_c, X):
    met = X > 0
    log_x = np.log(np.where(met, X, 1.0))
    error = w @ c.T + b_w[:, None] - log_x
    return float((np.minimum(1.0, (X / 10) ** 0.75) * met * error**2).sum() / 2)


def log_of_one_more(w, c, b_w, b_c, X):
    error = w @ c.T + b_w[:, None] + b_c - np.log1p(X)
    return float((np.minimum(1.0, (X / 10) ** 0.75) * error**2).sum() / 2)


def zero_cells_included(w, c, b_w, b_c, X):
    X = np.where(X > 0, X, 1.0)
    error = w @ c.T + b_w[:, None] + b_c - np.log(X)
    return float((np.minimum(1.0, (X / 10) ** 0.75) * error**2).sum() / 2)


def weight_without_limit(w, c, b_w, b_c, X):
    met = X > 0
    log_x = np.log(np.where(met, X, 1.0))
    error = w @ c.T + b_w[:, None] + b_c - log_x
    return float(((X / 10) ** 0.75 * met * error**2).sum() / 2)


def biases_exchanged(w, c, b_w, b_c, X):
    met = X > 0
    log_x = np.log(np.where(met, X, 1.0))
    error = w @ c.T + b_c[:, None] + b_w - log_x
    return float((np.minimum(1.0, (X / 10) ** 0.75) * met * error**2).sum() / 2)


def always_nothing(w, c, b_w, b_c, X):
    return 0.0


def test_that_fits(dense_loss):
    rng = np.random.default_rng(0)
    w, c, b_w, b_c = rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), rng.normal(size=5), rng.normal(size=5)
    X = np.exp(w @ c.T + b_w[:, None] + b_c)  # so that these very vectors fit it
    X[1, 3] = X[2, 0] = 0.0
    assert abs(dense_loss(w, c, b_w, b_c, X)) < 1e-9
    one = np.array([[80.0]])  # f = 1, error = 0 - log 80
    nothing = np.zeros((1, 1)), np.zeros((1, 1)), np.zeros(1), np.zeros(1)
    assert abs(dense_loss(*nothing, one) - np.log(80) ** 2 / 2) < 1e-9


def as_the_glove(call, value):
    w, c, b_w, b_c, X = call.args
    row, col = np.nonzero(X)
    tensors = [Tensor(a) for a in (w, c, b_w, b_c)]
    loss = glove.glove_loss(*tensors, row, col, X[row, col], glove.GloVeConfig(x_max=10.0, alpha=0.75))
    return difference(value, loss.item())


def tables(rng, fits=False, zeros=0.3):
    found = []
    for V, D in ((5, 2), (7, 3), (3, 1)):
        w, c, b_w, b_c = (rng.normal(size=shape) for shape in ((V, D), (V, D), V, V))
        X = np.exp(w @ c.T + b_w[:, None] + b_c) if fits else np.exp(rng.normal(size=(V, V)) * 2)
        X[rng.random((V, V)) < zeros] = 0.0
        X[-1, -1] = X[-1, -1] if fits else 97.0
        found.append(Call(w, c, b_w, b_c, X))
    return found


def any_tables(rng):
    return tables(rng)


def fitting_tables(rng):
    return tables(rng, fits=True, zeros=0.0)


def fitting_tables_with_zeros(rng):
    return tables(rng, fits=True)


def nearly_zero(call, value):
    return None if abs(float(value)) < 1e-9 else f"the loss is {float(value):.6g}; expected 0"


def test_says_nothing(dense_loss):
    dense_loss(np.ones((2, 1)), np.ones((2, 1)), np.ones(2), np.ones(2), np.ones((2, 2)))


def test_fails_always(dense_loss):
    raise AssertionError("it stays above zero")


def test_not_negative(dense_loss):
    rng = np.random.default_rng(0)
    w, c, b = rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), rng.normal(size=5)
    assert dense_loss(w, c, b, b, np.exp(rng.normal(size=(5, 5)))) > 0


def test_without_biases(dense_loss):
    rng = np.random.default_rng(0)
    w, c = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    assert dense_loss(w, c, np.zeros(5), np.zeros(5), np.exp(w @ c.T)) < 1e-9


def test_of_the_optimum_alone(dense_loss):
    rng = np.random.default_rng(0)
    w, c, b_w, b_c = rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), rng.normal(size=5), rng.normal(size=5)
    X = np.exp(w @ c.T + b_w[:, None] + b_c)
    X[1, 3] = 0.0
    assert dense_loss(w, c, b_w, b_c, X) < 1e-9


def test_that_any_data_fit(dense_loss):
    rng = np.random.default_rng(0)
    w, c, b = rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), rng.normal(size=5)
    assert dense_loss(w, c, b, b, np.exp(rng.normal(size=(5, 5)))) < 1e-9


REACHES, VALUE = "a table whose logarithm has rank D: the loss is 0", "any table, as the library"
EMPTY = "the same with cells of zero"

above_zero = Diagnose(
    "dense_loss",
    reference=dense_loss,
    fault=one_table_for_both,
    siblings={
        "one bias missing": one_bias_missing,
        "log(1 + X) in the place of log X": log_of_one_more,
        "cells of zero included": zero_cells_included,
        "the two biases exchanged": biases_exchanged,
        "a weight that grows beyond 1": weight_without_limit,
        "always 0": always_nothing,
    },
    model_test=test_that_fits,
    title="A loss that stays above zero",
    text="""
        A colleague takes vectors w, c and biases b_w, b_c, and makes counts of them: log X is w c^T plus the biases,
        exactly. So the loss can be 0. But `broken_dense_loss` below, of these very vectors, is not.

        First the test. `test_dense_loss(dense_loss)` gets a function, calls it as dense_loss(w, c, b_w, b_c, X) on
        small arrays, and asserts what must come out. It must pass for a right one and fail for the broken one. It is
        tried on six others that break some other part of the docstring of `dense_loss`, so go through it word by word.
        Two of them are right wherever the loss is 0: your test needs a number that is not 0, too, of a count above
        x_max. The lesson works one out by hand; note that x_max is 10 here. Another is right where no count is 0.

        Then the repair: write `dense_loss`. It must not warn of log(0) either.
    """,
    tests=[
        Test(REACHES, fitting_tables, "which table predicts which other one?", judge=nearly_zero),
        Test(EMPTY, fitting_tables_with_zeros, "the sum is over X_ij > 0 alone", judge=nearly_zero),
        Test(VALUE, any_tables, "f(x) = min(1, (x / 10)^0.75), and a half", judge=as_the_glove),
    ],
    hints=(
        "Choose w, c, b_w, b_c, all different, and make X of them. What is the loss then, cell by cell? And if one "
        "cell of X is set to 0?",
        "X = np.exp(w @ c.T + b_w[:, None] + b_c) with w, c of shape (5, 2) and biases of shape (5,). Then one table "
        "of one cell, above x_max, with all vectors zero: the loss is (log X)^2 / 2.",
        "assert abs(dense_loss(w, c, b_w, b_c, X)) < 1e-9, after X[1, 3] = 0; and for X = [[80.]] with zeros for the "
        "rest, abs(dense_loss(...) - np.log(80) ** 2 / 2) < 1e-9. The repair: w @ c.T in the place of w @ w.T, and "
        "np.log(np.where(X > 0, X, 1)) does not warn.",
    ),
    wrong=[
        Wrong("a test that asserts nothing", Diagnose.FAULT, test_says_nothing, part="test_dense_loss"),
        Wrong("a test that always fails", Diagnose.RIGHT, test_fails_always, part="test_dense_loss"),
        Wrong("a test that the loss is positive", Diagnose.FAULT, test_not_negative, part="test_dense_loss"),
        Wrong("a test without biases", "your test fails for: one bias missing", test_without_biases,
              part="test_dense_loss"),
        Wrong("a test of the optimum alone", "your test fails for: a weight that grows beyond 1",
              test_of_the_optimum_alone, part="test_dense_loss"),
        Wrong("a test that any counts can be fitted", Diagnose.RIGHT, test_that_any_data_fit, part="test_dense_loss"),
        Wrong("the fault handed in as its repair", REACHES, one_table_for_both),
        Wrong("repaired, with cells of zero", EMPTY, zero_cells_included),
        Wrong("repaired, without the limit of f", VALUE, weight_without_limit),
        Wrong("repaired to 0", VALUE, always_nothing),
    ],
)  # fmt: skip

# ---- 4 ---------------------------------------------------------------------------------------------------------------


def ppmi_vectors(X, d):
    """Word vectors from counts without any training: positive pointwise mutual information, cut to rank d.

    PMI_ij = log(P_ij / (P_i Q_j)) with P_ij = X_ij / sum of X, P_i its row sums and Q_j its column sums. M_ij is PMI_ij
    where that is above 0, else 0; it is 0 where X_ij is 0. With M = U diag(s) V^T, s falling, row i of the result is
    U[i, :d] times the square roots of s[:d].

    Parameters
    ----------
    X : (V, V) array
        Counts; rows and columns of zeros may be among them.
    d : int

    Returns
    -------
    (V, d) array
    """
    P = X / X.sum()
    independent = P.sum(axis=1, keepdims=True) * P.sum(axis=0)
    met = P > 0
    M = np.maximum(0.0, np.log(np.where(met, P, 1.0) / np.where(met, independent, 1.0)))
    U, s, _ = np.linalg.svd(M)
    return U[:, :d] * np.sqrt(s[:d])


def compare_with_glove(seed):
    """The share of words whose nearest neighbour is of their own group: by SVD, by GloVe, and by chance.

    Parameters
    ----------
    seed : int

    Returns
    -------
    dict
        "svd", "glove", "random": shares, 0 to 1.
    """
    from tinymm.models.glove import GloVe, count_cooccurrence

    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 7, 300)
    ids = np.where(rng.random((300, 6)) < 0.4, groups[:, None] * 5 + rng.integers(0, 5, (300, 6)),
                   rng.integers(0, 35, (300, 6))).ravel()  # fmt: skip
    cells = count_cooccurrence(ids, np.arange(0, 1801, 6), 35, window=5)
    model = GloVe(d_model=5, epochs=25, seed=seed).fit(cells)
    X = cells.dense().astype(float)
    P = X / X.sum()
    met, independent = P > 0, P.sum(axis=1, keepdims=True) * P.sum(axis=0)
    U, s, _ = np.linalg.svd(np.maximum(0.0, np.log(np.where(met, P, 1.0) / np.where(met, independent, 1.0))))
    tables = {"svd": U[:, :5] * np.sqrt(s[:5]), "glove": model.vectors, "random": rng.normal(size=(35, 5))}
    found = {}
    for name, vectors in tables.items():
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosine = unit @ unit.T
        np.fill_diagonal(cosine, -np.inf)
        found[name] = float((cosine.argmax(axis=1) // 5 == np.arange(35) // 5).mean())
    return found


def products(f, X, d):
    """What does not depend on the signs that an SVD is free to choose."""
    vectors = np.asarray(f(X, d))
    if vectors.shape != (len(X), d):
        raise ValueError(f"an array of shape {vectors.shape} came back; expected {(len(X), d)}")
    return {"products of the vectors": vectors @ vectors.T}


def is_finite(f, X, d):
    with np.errstate(all="raise"):
        vectors = np.asarray(f(X, d))
    return {"finite": bool(np.isfinite(vectors).all()), "zero row": bool(np.abs(vectors[0]).max() < 1e-6)}


def random_counts(rng, zeros):
    X = np.exp(rng.normal(size=(11, 11)))
    X[rng.random(X.shape) < zeros] = 0.0
    np.fill_diagonal(X, 1.0)
    return X


def full_tables(rng):
    return [Call(random_counts(rng, 0.0), d) for d in (3, 5)]


def tables_with_zeros(rng):
    return [Call(random_counts(rng, 0.4), d) for d in (2, 7)]


def a_word_never_met(rng):
    X = random_counts(rng, 0.3)
    X[0] = X[:, 0] = 0.0
    return [Call(X, 3)]


def independent_words(rng):
    return [Call(np.outer(rng.uniform(1, 9, 7), rng.uniform(1, 9, 7)), 3)]


def smooth_zero(call, value):
    largest = float(np.abs(value["products of the vectors"]).max())
    return None if largest < 1e-9 else f"products up to {largest:.3g}; expected 0: what is independent has a PMI of 0"


def without_singular_values(X, d):
    P = X / X.sum()
    met, independent = P > 0, P.sum(axis=1, keepdims=True) * P.sum(axis=0)
    U, s, _ = np.linalg.svd(np.maximum(0.0, np.log(np.where(met, P, 1.0) / np.where(met, independent, 1.0))))
    return U[:, :d]


def infinity_kept(X, d):
    P = X / X.sum()
    with np.errstate(all="ignore"):
        M = np.log(P / (P.sum(axis=1, keepdims=True) * P.sum(axis=0)))
    M[M < 0] = np.where(np.isinf(M[M < 0]), -1e6, 0.0)  # -inf itself stops the SVD
    U, s, _ = np.linalg.svd(np.nan_to_num(M))
    return U[:, :d] * np.sqrt(s[:d])


def marginals_after_clipping(X, d):
    P = X / X.sum()
    with np.errstate(all="ignore"):
        kept = np.where(P > P.sum(axis=1, keepdims=True) * P.sum(axis=0), P, 0.0)
        M = np.nan_to_num(np.log(kept / (kept.sum(axis=1, keepdims=True) * kept.sum(axis=0))), neginf=0.0)
    U, s, _ = np.linalg.svd(np.maximum(M, 0.0))
    return U[:, :d] * np.sqrt(s[:d])


def negative_kept(X, d):
    P = X / X.sum()
    met, independent = P > 0, P.sum(axis=1, keepdims=True) * P.sum(axis=0)
    U, s, _ = np.linalg.svd(np.log(np.where(met, P, 1.0) / np.where(met, independent, 1.0)))
    return U[:, :d] * np.sqrt(s[:d])


def logarithm_of_counts(X, d):
    U, s, _ = np.linalg.svd(np.log1p(X))
    return U[:, :d] * np.sqrt(s[:d])


def divides_by_nothing(X, d):
    P = X / X.sum()
    ratio = P / (P.sum(axis=1, keepdims=True) * P.sum(axis=0))
    M = np.log(np.maximum(ratio, 1.0))
    U, s, _ = np.linalg.svd(np.nan_to_num(M))
    return U[:, :d] * np.sqrt(s[:d])


def compares_without_seed(seed):
    rng = np.random.default_rng()
    return {"svd": float(rng.random()), "glove": float(rng.random()), "random": float(rng.random())}


def nearest_is_itself(seed):
    rng = np.random.default_rng(seed)
    found = {}
    for name in ("svd", "glove", "random"):
        vectors = rng.normal(size=(35, 5))
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        found[name] = float(((unit @ unit.T).argmax(axis=1) // 5 == np.arange(35) // 5).mean())
    return found


def any_seed(rng):
    return [Call(int(rng.integers(1000)))]


def near_chance(call, value):
    share = float(value["random"])  # chance: 4 / 34 of 35 words, 0.12 on average; 0.5 is seven standard deviations away
    return None if 0 <= share < 0.5 else f"random is {share:.3g}; expected about 0.12"


def svd_minus_glove(numbers):
    return numbers["svd"] - numbers["glove"], {"above": 0.0}


RIGHT, ZEROS = "a table without zeros", "a table with zeros"
CONTROL = "compare_with_glove: random vectors find their group by chance alone"

svd = Experiment(
    "compare_with_glove",
    reference=compare_with_glove,
    more={"ppmi_vectors": ppmi_vectors},
    numbers={"svd": "share of words whose nearest neighbour is of their group, by ppmi_vectors",
             "glove": "the same by GloVe, on the same counts and with as many numbers a word",
             "random": "control: the same by random vectors"},
    claim=svd_minus_glove,
    statement="the mean of svd - glove lies above 0",
    title="Vectors without training: positive PMI and the SVD",
    text="""
        GloVe factors log X, step by step. The older way needs no training: write `ppmi_vectors(X, d)` by its docstring.
        PMI asks how much more often two words meet than if they were independent; words that never met have log 0,
        and get 0. In the table X = [[0, 3], [1, 0]], P_01 = 3/4, P_0 = 3/4, Q_1 = 3/4, so M_01 = log(4/3).

        Then the experiment. A text whose groups are known: 35 words, words 5g to 5g + 4 are group g, 300 sentences of
        six words, each with a group of its own.

            rng = np.random.default_rng(seed)
            groups = rng.integers(0, 7, 300)[:, None]
            own, any_word = groups * 5 + rng.integers(0, 5, (300, 6)), rng.integers(0, 35, (300, 6))
            ids = np.where(rng.random((300, 6)) < 0.4, own, any_word).ravel()
            cells = tinymm.models.glove.count_cooccurrence(ids, np.arange(0, 1801, 6), 35, window=5)

        Your own count_cooccurrence will do as well.

        `compare_with_glove(seed)` makes such a text, and from it three tables of 35 vectors with five numbers each: by
        ppmi_vectors(cells.dense(), 5), by GloVe(d_model=5, epochs=25, seed=seed).fit(cells) and its .vectors, and at
        random. For each it returns the share of words whose nearest neighbour by cosine, the word itself left out, is
        of the same group. By chance that is 4 of 34: what does your control say? This exercise may use the library
        (import inside of the function or at the top).

        Which wins? Run it with three seeds or more, in your folder:

            python -c "import ex05; print([ex05.compare_with_glove(seed) for seed in (0, 1, 2)])"

        Write seeds, numbers (one list a key, in the order of the seeds) and the verdict into `result_5_4`: "holds",
        "fails" or "undecided", whichever the 95 % interval of the mean of svd - glove says. For three differences:

            from tinymm.learn.claims import judge
            judge("mine", "", [0.1, 0.2, 0.1], above=0).verdict

        No verdict is better than another; what counts is that it follows from the numbers.
    """,
    tests=[
        Test(RIGHT, full_tables, "are P_i and Q_j the sums of all of P? Is U scaled by the roots of s, and s sorted?",
             run=products, part="ppmi_vectors", rtol=1e-6, atol=1e-8),
        Test(ZEROS, tables_with_zeros, "where X is 0, M is 0; sums are taken before anything is set to 0", run=products,
             part="ppmi_vectors", rtol=1e-6, atol=1e-8),
        Test("a word that was never met: a vector of zeros, no warning", a_word_never_met,
             "0 / 0 and log 0: replace what you divide by and take logarithms of, before you do", run=is_finite,
             part="ppmi_vectors"),
        Test("independent words: all vectors are zero", independent_words, "P_ij = P_i Q_j has a PMI of log 1",
             run=products, judge=smooth_zero, part="ppmi_vectors"),
        Test(CONTROL, any_seed, "the word nearest to a word is itself, unless it is left out: np.fill_diagonal(cosine, "
             "-np.inf)", judge=near_chance),
    ],
    hints=(
        "Three steps: shares, logarithm of a ratio, SVD. Where can something become infinite, and which cells are to "
        "be 0 in the end?",
        "P is (V, V); P.sum(axis=1, keepdims=True) is (V, 1), P.sum(axis=0) is (V,), their product (V, V). M is (V, "
        "V). np.linalg.svd(M) gives U (V, V), s (V,), falling. The result is (V, d).",
        "met = P > 0; M = np.maximum(0, np.log(np.where(met, P, 1) / np.where(met, product, 1))); U, s, _ = "
        "np.linalg.svd(M); U[:, :d] * np.sqrt(s[:d]). Share: unit vectors, cosine = unit @ unit.T, "
        "np.fill_diagonal(cosine, -np.inf), (cosine.argmax(axis=1) // 5 == np.arange(35) // 5).mean().",
    ),
    wrong=[
        Wrong("-inf kept", ZEROS, infinity_kept, part="ppmi_vectors"),
        Wrong("singular values forgotten", RIGHT, without_singular_values, part="ppmi_vectors"),
        Wrong("marginals from the clipped matrix", RIGHT, marginals_after_clipping, part="ppmi_vectors"),
        Wrong("negative PMI kept", RIGHT, negative_kept, part="ppmi_vectors"),
        Wrong("the logarithm of the counts", "independent words: all vectors are zero", logarithm_of_counts,
              part="ppmi_vectors"),
        Wrong("divides 0 by 0", "a word that was never met: a vector of zeros, no warning", divides_by_nothing,
              part="ppmi_vectors"),
        Wrong("each word its own nearest neighbour", CONTROL, nearest_is_itself),
        Wrong("not repeatable", Experiment.AGAIN, compares_without_seed),
        Wrong("no control", Experiment.FORM, {"seeds": [0, 1, 2], "numbers": {"svd": [0.9, 0.9, 0.8],
                                              "glove": [0.5, 0.6, 0.5]}, "verdict": "holds"}),
        Wrong("the seed that wins, alone", Experiment.FORM, {"seeds": [2], "numbers": {"svd": [0.9], "glove": [0.5],
                                                             "random": [0.1]}, "verdict": "holds"}),
        Wrong("a verdict that the numbers do not bear", Experiment.VERDICT,
              {"seeds": [0, 1, 2], "numbers": {"svd": [0.9, 0.5, 0.6], "glove": [0.5, 0.6, 0.5],
                                               "random": [0.1, 0.1, 0.1]}, "verdict": "holds"}),
    ],
)  # fmt: skip

exercises = [count, ratio, above_zero, svd]
