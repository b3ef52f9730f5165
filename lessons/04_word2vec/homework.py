"""The exercises of lesson 04: the loss with its gradients, counting pairs, a test of analogies, a sampler."""

import numpy as np

from tinymm.autograd import Tensor
from tinymm.data import text
from tinymm.learn.homework import (
    Call,
    Diagnose,
    Experiment,
    Gradient,
    Implement,
    Predict,
    Question,
    Test,
    Wrong,
    difference,
)
from tinymm.metrics import words as metrics
from tinymm.models import word2vec

# ---- 1 ---------------------------------------------------------------------------------------------------------------


def negative_sampling_loss(h, outputs, centre, noise):
    """The loss of negative sampling, summed over B examples, with its gradients: an op in the form of lesson 01.

    Parameters
    ----------
    h : (B, D) array
        For each example the vector of the word that predicts.
    outputs : (V, D) array
        The table of output vectors u.
    centre : (B,) int array
        For each example the word o that is to be predicted: a row of `outputs`.
    noise : (B, K) int array
        For each example the K words that were drawn from the noise: rows of `outputs`.

    Returns
    -------
    loss : a number
    vjps : tuple
        (d_h, d_outputs, None, None): functions of g, the gradient of the loss itself, a number. ``d_h(g)`` is (B, D),
        ``d_outputs(g)`` is (V, D); word numbers have no gradient.
    """
    counts = noise != centre[:, None]  # (B, K)
    u_o, u_k = outputs[centre], outputs[noise]  # (B, D), (B, K, D)
    wanted, unwanted = (u_o * h).sum(axis=-1), (u_k * h[:, None]).sum(axis=-1)  # (B,), (B, K)
    loss = np.logaddexp(0, -wanted).sum() + (np.logaddexp(0, unwanted) * counts).sum()
    e_o = 0.5 * np.tanh(0.5 * wanted) - 0.5  # sigmoid - 1
    e_k = (0.5 * np.tanh(0.5 * unwanted) + 0.5) * counts  # sigmoid

    def d_h(g):
        return g * (e_o[:, None] * u_o + (e_k[..., None] * u_k).sum(axis=1))

    def d_outputs(g):
        d = np.zeros_like(outputs)
        np.add.at(d, centre, g * e_o[:, None] * h)
        np.add.at(d, noise, g * e_k[..., None] * h[:, None])
        return d

    return loss, (d_h, d_outputs, None, None)


def loss_alone(f, h, outputs, centre, noise, *, g):
    return {"loss": f(h, outputs, centre, noise)[0]}


def gradient_for_h(f, h, outputs, centre, noise, *, g):
    return {"d_h": f(h, outputs, centre, noise)[1][0](g)}


def gradient_for_outputs(f, h, outputs, centre, noise, *, g):
    return {"d_outputs": f(h, outputs, centre, noise)[1][1](g)}


def loss_and_gradients(f, h, outputs, centre, noise, *, g):
    loss, vjps = f(h, outputs, centre, noise)
    return {"loss": loss, "d_h": vjps[0](g), "d_outputs": vjps[1](g)}


def library_says(h, outputs, centre, noise, *, g):
    """The library's loss of these arrays, and the engine's gradients."""
    h, outputs = Tensor(h, requires_grad=True), Tensor(outputs, requires_grad=True)
    loss = word2vec.negative_sampling_loss(h, outputs, centre, noise)
    loss.backward()
    return {"loss": loss.numpy(), "d_h": g * h.grad, "d_outputs": g * outputs.grad}


def as_the_library(call, value, rtol=1e-9):
    expected = library_says(*call.args, **call.static)
    return difference(value, {key: expected[key] for key in expected if key in value}, rtol=rtol)


def as_the_library_in_single(call, value):
    return as_the_library(call, value, rtol=1e-4)


def example(rng, B, K, D, V, scale=1.0, dtype=np.float64):
    """Arrays for the loss; within one example no word comes twice."""
    words = np.stack([rng.permutation(V)[: K + 1] for _ in range(B)])
    h, outputs = rng.normal(size=(B, D)) * scale, rng.normal(size=(V, D)) * scale
    return h.astype(dtype), outputs.astype(dtype), words[:, 0], words[:, 1:]


def distinct(rng):
    return [Call(*example(rng, *shape), g=rng.normal()) for shape in ((1, 2, 3, 7), (3, 5, 2, 11), (5, 1, 7, 3))]


def repeating(rng):
    """Few words, drawn many times: as noise in one example, in several, and as centre and noise of different ones."""
    found = []
    for B, K, D, V in ((1, 7, 3, 2), (5, 3, 2, 5), (3, 5, 7, 3)):
        h, outputs, centre, _ = example(rng, B, 1, D, V)
        noise = (centre[:, None] + rng.integers(1, V, (B, K))) % V  # never the centre of its own example
        found.append(Call(h, outputs, centre, noise, g=rng.normal()))
    return found


def own(rng):
    found = []
    for B, K, D, V in ((1, 2, 3, 5), (3, 5, 2, 7)):
        h, outputs, centre, noise = example(rng, B, K, D, V)
        noise[:, 0] = centre
        found.append(Call(h, outputs, centre, noise, g=rng.normal()))
    return found


def extreme(rng):
    h, outputs, centre, noise = example(rng, 3, 5, 2, 7, scale=100.0)
    return [Call(np.abs(h), sign * np.abs(outputs), centre, noise, g=rng.normal()) for sign in (1, -1)]


def single(rng):
    return [Call(*example(rng, 3, 2, 5, 7, dtype=np.float32), g=np.float32(rng.normal()))]


def to_check(rng):
    return [Call(*call.args) for call in (*distinct(rng)[:2], *repeating(rng)[:2], *own(rng))]


def negatives_pulled(h, outputs, centre, noise):
    counts = noise != centre[:, None]
    u_o, u_k = outputs[centre], outputs[noise]
    wanted, unwanted = (u_o * h).sum(axis=-1), (u_k * h[:, None]).sum(axis=-1)
    e_o, e_k = -1 / (1 + np.exp(wanted)), -1 / (1 + np.exp(unwanted)) * counts

    def d_outputs(g):
        d = np.zeros_like(outputs)
        np.add.at(d, centre, g * e_o[:, None] * h)
        np.add.at(d, noise, g * e_k[..., None] * h[:, None])
        return d

    loss = np.logaddexp(0, -wanted).sum() + (np.logaddexp(0, -unwanted) * counts).sum()
    return loss, (lambda g: g * (e_o[:, None] * u_o + (e_k[..., None] * u_k).sum(axis=1)), d_outputs, None, None)


def overwrites_repeats(h, outputs, centre, noise):
    counts = noise != centre[:, None]
    u_o, u_k = outputs[centre], outputs[noise]
    wanted, unwanted = (u_o * h).sum(axis=-1), (u_k * h[:, None]).sum(axis=-1)
    e_o, e_k = -1 / (1 + np.exp(wanted)), 1 / (1 + np.exp(-unwanted)) * counts

    def d_outputs(g):
        d = np.zeros_like(outputs)
        d[centre] += g * e_o[:, None] * h
        d[noise] += g * e_k[..., None] * h[:, None]
        return d

    loss = np.logaddexp(0, -wanted).sum() + (np.logaddexp(0, unwanted) * counts).sum()
    return loss, (lambda g: g * (e_o[:, None] * u_o + (e_k[..., None] * u_k).sum(axis=1)), d_outputs, None, None)


def keeps_its_own(h, outputs, centre, noise):
    u_o, u_k = outputs[centre], outputs[noise]
    wanted, unwanted = (u_o * h).sum(axis=-1), (u_k * h[:, None]).sum(axis=-1)
    e_o, e_k = -1 / (1 + np.exp(wanted)), 1 / (1 + np.exp(-unwanted))

    def d_outputs(g):
        d = np.zeros_like(outputs)
        np.add.at(d, centre, g * e_o[:, None] * h)
        np.add.at(d, noise, g * e_k[..., None] * h[:, None])
        return d

    loss = np.logaddexp(0, -wanted).sum() + np.logaddexp(0, unwanted).sum()
    return loss, (lambda g: g * (e_o[:, None] * u_o + (e_k[..., None] * u_k).sum(axis=1)), d_outputs, None, None)


def moves_in_mid_sum(h, outputs, centre, noise):
    counts = noise != centre[:, None]
    u_o, u_k = outputs[centre], outputs[noise]
    wanted, unwanted = (u_o * h).sum(axis=-1), (u_k * h[:, None]).sum(axis=-1)
    loss = np.logaddexp(0, -wanted).sum() + (np.logaddexp(0, unwanted) * counts).sum()
    e_o = -1 / (1 + np.exp(wanted))
    moved = h - 0.025 * e_o[:, None] * u_o
    e_k = counts / (1 + np.exp(-(u_k * moved[:, None]).sum(axis=-1)))

    def d_outputs(g):
        d = np.zeros_like(outputs)
        np.add.at(d, centre, g * e_o[:, None] * h)
        np.add.at(d, noise, g * e_k[..., None] * moved[:, None])
        return d

    return loss, (lambda g: g * (e_o[:, None] * u_o + (e_k[..., None] * u_k).sum(axis=1)), d_outputs, None, None)


def gradients_of_zero(h, outputs, centre, noise):
    counts = noise != centre[:, None]
    wanted, unwanted = (outputs[centre] * h).sum(axis=-1), (outputs[noise] * h[:, None]).sum(axis=-1)
    loss = np.logaddexp(0, -wanted).sum() + (np.logaddexp(0, unwanted) * counts).sum()
    return loss, (lambda g: np.zeros_like(h), lambda g: np.zeros_like(outputs), None, None)


def gradients_flipped(h, outputs, centre, noise):
    counts = noise != centre[:, None]
    u_o, u_k = outputs[centre], outputs[noise]
    wanted, unwanted = (u_o * h).sum(axis=-1), (u_k * h[:, None]).sum(axis=-1)
    e_o, e_k = 1 / (1 + np.exp(wanted)), -1 / (1 + np.exp(-unwanted)) * counts

    def d_outputs(g):
        d = np.zeros_like(outputs)
        np.add.at(d, centre, g * e_o[:, None] * h)
        np.add.at(d, noise, g * e_k[..., None] * h[:, None])
        return d

    loss = np.logaddexp(0, -wanted).sum() + (np.logaddexp(0, unwanted) * counts).sum()
    return loss, (lambda g: g * (e_o[:, None] * u_o + (e_k[..., None] * u_k).sum(axis=1)), d_outputs, None, None)


def one_example_only(h, outputs, centre, noise):
    counts = noise[0] != centre[0]
    u_o, u_k = outputs[centre[0]], outputs[noise[0]]
    wanted, unwanted = u_o @ h[0], u_k @ h[0]
    e_o, e_k = -1 / (1 + np.exp(wanted)), 1 / (1 + np.exp(-unwanted)) * counts

    def d_outputs(g):
        d = np.zeros_like(outputs)
        d[centre[0]] += g * e_o * h[0]
        np.add.at(d, noise[0], g * e_k[:, None] * h[0])
        return d

    loss = np.logaddexp(0, -wanted) + (np.logaddexp(0, unwanted) * counts).sum()
    return loss, (lambda g: g * (e_o * u_o + e_k @ u_k)[None], d_outputs, None, None)


def forgets_g(h, outputs, centre, noise):
    counts = noise != centre[:, None]
    u_o, u_k = outputs[centre], outputs[noise]
    wanted, unwanted = (u_o * h).sum(axis=-1), (u_k * h[:, None]).sum(axis=-1)
    e_o, e_k = -1 / (1 + np.exp(wanted)), 1 / (1 + np.exp(-unwanted)) * counts

    def d_outputs(g):
        d = np.zeros_like(outputs)
        np.add.at(d, centre, e_o[:, None] * h)
        np.add.at(d, noise, e_k[..., None] * h[:, None])
        return d

    loss = np.logaddexp(0, -wanted).sum() + (np.logaddexp(0, unwanted) * counts).sum()
    return loss, (lambda g: e_o[:, None] * u_o + (e_k[..., None] * u_k).sum(axis=1), d_outputs, None, None)


def overflows(h, outputs, centre, noise):
    counts = noise != centre[:, None]
    u_o, u_k = outputs[centre], outputs[noise]
    wanted, unwanted = (u_o * h).sum(axis=-1), (u_k * h[:, None]).sum(axis=-1)
    s_o, s_k = 1 / (1 + np.exp(-wanted)), 1 / (1 + np.exp(-unwanted))
    e_o, e_k = s_o - 1, s_k * counts

    def d_outputs(g):
        d = np.zeros_like(outputs)
        np.add.at(d, centre, g * e_o[:, None] * h)
        np.add.at(d, noise, g * e_k[..., None] * h[:, None])
        return d

    loss = -np.log(s_o).sum() - (np.log(1 - s_k) * counts).sum()
    return loss, (lambda g: g * (e_o[:, None] * u_o + (e_k[..., None] * u_k).sum(axis=1)), d_outputs, None, None)


LOSS, D_H, D_U = "the loss", "the gradient for h", "the gradient for the output table"
TWICE = "a word that is drawn several times gets the sum of its gradients"
OWN = "a draw of the word that is to be predicted counts for nothing"
LARGE = "scores of several thousand: everything is finite and right"

loss = Implement(
    "negative_sampling_loss",
    reference=negative_sampling_loss,
    title="The loss of negative sampling and its gradients",
    star=True,
    text="""
        One example: the vector h, the word o that is to be predicted, and K words k drawn from the noise. Its loss is
        -log s(u_o . h) - sum over k of log s(-u_k . h), where u is a row of `outputs` and s(x) = 1 / (1 + exp(-x)).
        Return the sum over all B examples, and its gradients, in the form of lesson 01: `return loss, (d_h, d_outputs,
        None, None)`. d_h and d_outputs are functions of g, which is one number here; they return g times the gradient.

        The example of the lesson: h = [[1., 0.]], outputs = [[1., 2.], [-1., 1.]], centre = [0], noise = [[1]] give
        0.627; d_h(1.0) is [[-0.538, -0.269]], d_outputs(1.0) is [[-0.269, 0.], [0.269, 0.]].

        Three things to mind. The same word may be drawn twice, or be the centre of one example and noise in another:
        its row of d_outputs is then the sum. If the noise draws the very word o of its own example, that draw counts
        for nothing, in the loss and in the gradients. And exp(1000) is infinite; the loss of a score of 1000 is not.

        When all tests pass, train Word2Vec on yours: tinymm run 4 --fast --with work/ex04.py
    """,
    tests=[
        Test(LOSS, distinct, "work the example of the lesson by hand; is it a sum over the examples, not a mean?",
             run=loss_alone, judge=as_the_library),
        Test(D_H, distinct, "(s(u_o . h) - 1) u_o + sum over k of s(u_k . h) u_k, times g, all at the same h",
             run=gradient_for_h, judge=as_the_library),
        Test(D_U, distinct, "row o gets (s(u_o . h) - 1) h, row k gets s(u_k . h) h, times g; a row that two examples "
             "share gets the sum (the next test says how); other rows 0",
             run=gradient_for_outputs, judge=as_the_library),
        Test(TWICE, repeating, "d[rows] += x keeps only the last x for a row that comes twice; np.add.at adds all",
             run=gradient_for_outputs, judge=as_the_library),
        Test(OWN, own, "noise != centre[:, None] says which draws count", run=loss_and_gradients,
             judge=as_the_library),
        Gradient("all gradients, against central differences of your own loss", to_check,
                 "if a test of a gradient above fails, mend that first; else: is the loss the one whose gradient you "
                 "wrote?"),
        Test(LARGE, extreme, "-log s(x) = log(1 + exp(-x)) = np.logaddexp(0, -x)", run=loss_and_gradients,
             judge=as_the_library),
        Test("float32 stays float32", single, "numbers far apart: mend the tests above first; else: does an array of "
             "another type come in between?",
             run=loss_and_gradients, judge=as_the_library_in_single),
    ],
    hints=(
        "Each score u . h belongs to one row u and one h. Let e be the derivative of the loss by that score: then u "
        "gets e h, and h gets e u. All the rest is adding up in the right place.",
        "Scores of the centres: (outputs[centre] * h).sum(-1), (B,). Scores of the noise: (outputs[noise] * h[:, "
        "None]).sum(-1), (B, K). e_o = s(score) - 1 is (B,), e_k = s(score) where the draw counts, else 0, is (B, K).",
        "loss = np.logaddexp(0, -wanted).sum() + (np.logaddexp(0, unwanted) * counts).sum(). d_h: g * (e_o[:, None] * "
        "outputs[centre] + (e_k[..., None] * outputs[noise]).sum(axis=1)). d_outputs: d = np.zeros_like(outputs), then "
        "np.add.at(d, centre, g * e_o[:, None] * h) and np.add.at(d, noise, g * e_k[..., None] * h[:, None]).",
    ),
    wrong=[
        Wrong("the sign of the negatives", LOSS, negatives_pulled),
        Wrong("a noise word drawn twice is overwritten, not added", TWICE, overwrites_repeats),
        Wrong("the target is kept among its own negatives", OWN, keeps_its_own),
        Wrong("h is updated in mid-sum", D_U, moves_in_mid_sum),
        Wrong("gradients of zero", D_H, gradients_of_zero),
        Wrong("gradients with the sign flipped", "all gradients, against central differences of your own loss",
              gradients_flipped),
        Wrong("right for one example only", LOSS, one_example_only),
        Wrong("forgets g", D_H, forgets_g),
        Wrong("overflows", LARGE, overflows),
    ],
)  # fmt: skip

# ---- 2 ---------------------------------------------------------------------------------------------------------------


def draw_sentence(rng):
    n, window = int(rng.integers(9, 24)), int(rng.integers(2, 5))
    first = int(rng.integers(window + 1, n - window))  # in the middle, so that its loss is felt on both sides
    return {"n": n, "window": window, "first": first, "second": first + 1}


def count_pairs(n, window):
    sentence = text.from_sentences([[f"word{i}" for i in range(n)]], min_count=1, max_sentence=None)
    return sentence.pairs(window).shape[1]


def measure_pairs(n, window, first, second):
    return {"fixed": count_pairs(n, window),
            "drawn": float(np.mean([count_pairs(n, r) for r in range(1, window + 1)])),
            "dropped": count_pairs(n - 2, window),
            "long": count_pairs(1001, window) - count_pairs(1000, window)}  # fmt: skip


def each_word_full(draw):
    n, w = draw["n"], draw["window"]
    return {"fixed": 2 * n * w, "drawn": n * (w + 1), "dropped": 2 * (n - 2) * w, "long": 2 * w}


def each_pair_once(draw):
    return {key: value / 2 for key, value in measure_pairs(**draw).items()}


def thinned_afterwards(draw):
    n, w, gone = draw["n"], draw["window"], (draw["first"] - 1, draw["second"] - 1)
    left = sum(i != j and abs(i - j) <= w for i in range(n) for j in range(n) if i not in gone and j not in gone)
    return {**measure_pairs(**draw), "dropped": left}


def at_the_mean_radius(draw):
    mean = (1 + draw["window"]) // 2
    return {**measure_pairs(**draw), "drawn": count_pairs(draw["n"], mean)}


pairs = Predict(
    title="How many pairs are in a sentence?",
    text="""
        Skip-gram learns from pairs (centre, context). A sentence has {n} different words. Each word is a centre once,
        and its partners are the words at most {window} places away, inside the sentence. (a, b) and (b, a) are two
        pairs. For seven words and a window of 2 there are 22: 2 + 3 + 4 + 4 + 4 + 3 + 2.

        Do not write a program. Find the rule: how many pairs have distance 1, 2, ...?
    """,
    draw=draw_sentence,
    questions=[
        Question("fixed", "pairs of {n} words, window {window}", "words near an end have fewer partners: at distance k "
                 "there are n - k places, and each gives two pairs", rtol=0, atol=1e-6),
        Question("drawn", "the expected number of pairs of {n} words if each centre draws its own radius, 1 to "
                 "{window} equally likely", "the expectation of a sum is the sum of expectations: average the numbers "
                 "for window 1, 2, ...", rtol=0, atol=0.05),
        Question("dropped", "pairs of the {n} words, window {window}, once words number {first} and {second} (counted "
                 "from 1) have been dropped as too frequent, as Word2Vec does it: before windows are laid",
                 "words are dropped first, and their neighbours move together: what is left is a shorter sentence",
                 rtol=0, atol=1e-6),
        Question("long", "in a sentence of 1000 words, window {window}: by how many pairs does one more word raise "
                 "their number?", "one more word adds one place at each distance", rtol=0, atol=1e-6),
    ],
    measure=measure_pairs,
    hints=(
        "Count by distance, not by word: how many places in the sentence have two words exactly k apart?",
        "For each k from 1 to the window there are n - k such places, and each gives two pairs.",
        "fixed = sum over k of 2 (n - k). drawn = the mean of that number over all windows from 1 to yours. dropped: "
        "put n - 2 for n. long: the rule for n = 1001 minus the rule for n = 1000.",
    ),
    wrong=[
        Wrong("the ends of the sentence forgotten", "fixed", each_word_full),
        Wrong("each pair counted once", "long", each_pair_once),
        Wrong("frequent words thinned after windowing", "dropped", thinned_afterwards),
        Wrong("the mean radius in the place of the mean number", "drawn", at_the_mean_radius),
        Wrong("the example copied", "fixed", lambda d: {"fixed": 22, "drawn": 17, "dropped": 14, "long": 4}),
    ],
)  # fmt: skip

# ---- 3 ---------------------------------------------------------------------------------------------------------------


def share_right(inputs, outputs, words, questions):
    """The share of analogies "a is to b as c is to d" that word vectors solve.

    The answer is the word whose vector has the largest cosine with b - a + c, where a, b, c are taken at length 1. The
    words a, b and c themselves cannot be the answer. Upper and lower case are the same. A question with a word that is
    not in the vocabulary is not counted.

    Parameters
    ----------
    inputs, outputs : (V, D) arrays
        The two tables of a trained Word2Vec; a word's vector is its row of `inputs`.
    words : list of V str
    questions : list of (a, b, c, d)

    Returns
    -------
    float
        Right answers by questions counted, 0 to 1.
    """
    unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    number = {word.lower(): i for i, word in enumerate(words)}
    right = asked = 0
    for question in questions:
        if not all(word.lower() in number for word in question):
            continue
        a, b, c, d = (number[word.lower()] for word in question)
        score = unit @ (unit[b] - unit[a] + unit[c])
        score[[a, b, c]] = -np.inf
        asked += 1
        right += int(score.argmax()) == d
    return right / asked


def given_words_allowed(inputs, outputs, words, questions):
    unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    number = {word.lower(): i for i, word in enumerate(words)}
    right = asked = 0
    for question in questions:
        if not all(word.lower() in number for word in question):
            continue
        a, b, c, d = (number[word.lower()] for word in question)
        score = unit @ (unit[b] - unit[a] + unit[c])
        asked += 1
        right += int(score.argmax()) == d
    return right / asked


def raw_products(inputs, outputs, words, questions):
    number = {word.lower(): i for i, word in enumerate(words)}
    right = asked = 0
    for question in questions:
        if not all(word.lower() in number for word in question):
            continue
        a, b, c, d = (number[word.lower()] for word in question)
        score = inputs @ (inputs[b] - inputs[a] + inputs[c])
        score[[a, b, c]] = -np.inf
        asked += 1
        right += int(score.argmax()) == d
    return right / asked


def the_other_table(inputs, outputs, words, questions):
    unit = outputs / np.linalg.norm(outputs, axis=1, keepdims=True)
    number = {word.lower(): i for i, word in enumerate(words)}
    right = asked = 0
    for question in questions:
        if not all(word.lower() in number for word in question):
            continue
        a, b, c, d = (number[word.lower()] for word in question)
        score = unit @ (unit[b] - unit[a] + unit[c])
        score[[a, b, c]] = -np.inf
        asked += 1
        right += int(score.argmax()) == d
    return right / asked


def one_side_in_lower_case(inputs, outputs, words, questions):
    unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    number = {word: i for i, word in enumerate(words)}
    right = asked = 0
    for question in questions:
        asked += 1
        if not all(word.lower() in number for word in question):
            continue
        a, b, c, d = (number[word.lower()] for word in question)
        score = unit @ (unit[b] - unit[a] + unit[c])
        score[[a, b, c]] = -np.inf
        right += int(score.argmax()) == d
    return right / asked


def unknown_words_are_wrong(inputs, outputs, words, questions):
    unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    number = {word.lower(): i for i, word in enumerate(words)}
    right = 0
    for question in questions:
        if not all(word.lower() in number for word in question):
            continue
        a, b, c, d = (number[word.lower()] for word in question)
        score = unit @ (unit[b] - unit[a] + unit[c])
        score[[a, b, c]] = -np.inf
        right += int(score.argmax()) == d
    return right / len(questions)


def test_that_tells(share_right):
    words = ["Man", "woman", "King", "queen", "much"]
    #                    kind: person, ruler; female; noise of each pair
    vectors = np.array([[3.0, 0.0, 0.0, 0.0, 0.0],
                        [3.0, 0.0, 1.0, 1.5, 0.0],
                        [0.0, 3.0, 0.0, 0.0, 0.0],
                        [0.0, 3.0, 1.0, 0.0, 1.5],
                        [9.0, 60.0, 9.0, 60.0, -60.0]])  # fmt: skip
    other = np.eye(5)
    other[4] = 1.0  # by this table "much" is the answer
    questions = [("man", "woman", "king", "queen"), ("King", "QUEEN", "Man", "Woman")]
    assert share_right(vectors, other, words, questions) == 1.0
    assert share_right(vectors, other, words, [*questions, ("man", "woman", "emperor", "empress")]) == 1.0
    assert share_right(vectors, other, words, [("man", "woman", "king", "much")]) == 0.0


def draw_analogies(rng, pairs=5, extra=11, D=31):
    """Vectors that solve most analogies by the right rules, and few by wrong ones."""
    kinds, offset = np.linalg.qr(rng.normal(size=(D, D)))[0][:pairs] * 3, rng.normal(size=D) / D**0.5 * 1.5
    second = kinds + offset + rng.normal(size=(pairs, D)) / D**0.5 * 1.5
    loud = rng.normal(size=(extra, D)) * 20
    vectors = np.concatenate([np.stack([kinds, second], axis=1).reshape(-1, D), loud])
    vectors *= rng.uniform(0.5, 2.0, size=(len(vectors), 1))
    words = [f"Word{i}" if i % 3 else f"word{i}" for i in range(len(vectors))]
    names = [(words[2 * k].lower(), words[2 * k + 1].upper()) for k in range(pairs)]
    questions = [(*names[i], *names[j]) for i in range(pairs) for j in range(pairs) if i != j]
    questions = questions[:13] + [("word0", "word1", "word2", "nobody")] * 3
    return Call(vectors, rng.normal(size=vectors.shape), words, [tuple(q) for q in questions])


def several_analogies(rng):
    return [draw_analogies(rng) for _ in range(3)]


def as_the_metric(call, value):
    vectors, _, words, questions = call.args
    expected = metrics.analogies(vectors, words, questions).total.accuracy
    return difference(value, expected)


def in_lower_case(call):
    inputs, outputs, words, questions = call.args
    known = [tuple(w.lower() for w in q) for q in questions if "nobody" not in q]
    return Call(inputs, outputs, [w.lower() for w in words], known)


def plain_analogies(rng):
    return [in_lower_case(call) for call in several_analogies(rng)]


def test_asserts_nothing(share_right):
    share_right(np.eye(3), np.eye(3), ["a", "b", "c"], [("a", "b", "c", "a")])


def test_always_fails(share_right):
    raise AssertionError("0 % cannot be")


def test_of_the_range(share_right):
    rng = np.random.default_rng(0)
    share = share_right(rng.normal(size=(5, 3)), np.eye(5, 3), list("abcde"), [("a", "b", "c", "d")])
    assert 0 <= share <= 1


def test_of_one_rule(share_right):
    vectors = np.array([[3, 0, 0, 0, 0], [3, 0, 1, 1.5, 0], [0, 3, 0, 0, 0], [0, 3, 1, 0, 1.5]])
    assert share_right(vectors, vectors, ["man", "woman", "king", "queen"], [("man", "woman", "king", "queen")]) == 1


def test_of_random_vectors(share_right):
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(97)]
    questions = [tuple(words[i] for i in rng.permutation(97)[:4]) for _ in range(50)]
    assert share_right(rng.normal(size=(97, 5)), rng.normal(size=(97, 5)), words, questions) > 0.5


RULES, PLAIN = "upper case, lower case and unknown words", "words that are all known and in lower case"

analogies = Diagnose(
    "share_right",
    reference=share_right,
    fault=given_words_allowed,
    siblings={
        "raw products in the place of cosines": raw_products,
        "the output table taken for the vectors": the_other_table,
        "only the questions brought to lower case": one_side_in_lower_case,
        "questions with unknown words counted as wrong": unknown_words_are_wrong,
    },
    model_test=test_that_tells,
    title="Good vectors, and 0 % of the analogies right",
    text="""
        A colleague's vectors list sensible neighbours, and yet `broken_share_right` below finds hardly an analogy
        right. Read the rules in the docstring of `share_right`: one of them is broken.

        First the test. `test_share_right(share_right)` gets a function, calls it as share_right(inputs, outputs,
        words, questions) on small vectors that you make up, and asserts what must come out. Make vectors of which you
        know the answer: say man, woman, king, queen with a direction for man and woman, one for king and queen, one for
        female, and one more that queen alone has: without it the broken function would find queen, too. Your test must
        pass for a right function and fail for the broken one; it is tried on functions that break each of the other
        rules, too. So look at every rule, and at what the docstring says of each argument: what would come out if it
        were broken? If that is what you assert, your test cannot tell; numbers drawn at random may be right by luck.

        Then the repair: write `share_right` by all of the rules.
    """,
    tests=[
        Test(PLAIN, plain_analogies, "unit length first; then b - a + c; then bar a, b, c; then the largest",
             judge=as_the_metric),
        Test(RULES, several_analogies, "bring both the vocabulary and the questions to one case; leave out what is not "
             "known, also from the number that you divide by", judge=as_the_metric),
    ],
    hints=(
        "b - a + c lies near c and near b. With nothing barred, which words come first? And a long vector has large "
        "products with everything: when does that show?",
        "Four words in five dimensions: man (3 0 0 0 0), woman (3 0 1 1.5 0), king (0 3 0 0 0), queen (0 3 1 0 1.5). "
        "Add a word with a very long vector, another table as `outputs` (two rows exchanged, say), a capital "
        "letter in `words`, and one question with a word that is not there.",
        "assert share_right(vectors, other, ['Man', 'woman', 'King', 'queen', 'much'], [('man', 'woman', 'king', "
        "'queen'), ('man', 'woman', 'emperor', 'empress')]) == 1.0, with much = (9 60 9 60 -60), whose cosine with "
        "woman - man + king is small and whose product is large. The repair: score[[a, b, c]] = -np.inf.",
    ),
    wrong=[
        Wrong("a test that asserts nothing", Diagnose.FAULT, test_asserts_nothing, part="test_share_right"),
        Wrong("a test that always fails", Diagnose.RIGHT, test_always_fails, part="test_share_right"),
        Wrong("a test of the range alone", Diagnose.FAULT, test_of_the_range, part="test_share_right"),
        Wrong("a test of the shown fault alone", "your test fails for: raw products in the place of cosines",
              test_of_one_rule, part="test_share_right"),
        Wrong("a test that asks for much of random vectors", Diagnose.RIGHT, test_of_random_vectors,
              part="test_share_right"),
        Wrong("the fault handed in as its repair", PLAIN, given_words_allowed),
        Wrong("barred, but raw products", PLAIN, raw_products),
        Wrong("barred, but one side only in lower case", RULES, one_side_in_lower_case),
    ],
)  # fmt: skip

# ---- 4 ---------------------------------------------------------------------------------------------------------------


def draw_noise(counts, power, n, rng):
    """Draw words in proportion to count ** power.

    Parameters
    ----------
    counts : (V,) int array
        How often each word occurs, all above 0.
    power : float
    n : int
    rng : an object with one method
        ``rng.random(n)`` gives n numbers, uniform on [0, 1). There is no rng.choice.

    Returns
    -------
    (n,) int array
        Word numbers, 0 to V - 1.
    """
    edges = np.cumsum(counts.astype(float) ** power)
    return np.searchsorted(edges, rng.random(n) * edges[-1], side="right")


def sweep_powers(seed):
    """Draw a million words with the powers 0, 0.75 and 1, and compare each with count ** 0.75 by chi-square.

    Parameters
    ----------
    seed : int

    Returns
    -------
    dict
        Chi-square by V - 1: "power_0", "power_075" and "power_1".
    """
    counts = 100_000 // np.arange(1, 998)
    expected = counts**0.75 / (counts**0.75).sum() * 1_000_000
    rng, found = np.random.default_rng(seed), {}
    for name, power in (("power_0", 0.0), ("power_075", 0.75), ("power_1", 1.0)):
        edges = np.cumsum(counts.astype(float) ** power)
        words = np.searchsorted(edges, rng.random(1_000_000) * edges[-1], side="right")
        drawn = np.bincount(words, minlength=len(counts))
        found[name] = float(((drawn - expected) ** 2 / expected).sum() / (len(counts) - 1))
    return found


def histogram(f, counts, power, n, seed):
    class OnlyRandom:
        def __init__(self):
            self.inner = np.random.default_rng(seed)

        def random(self, size=None):
            return self.inner.random(size)

    words = np.asarray(f(counts, power, n, OnlyRandom()))
    if words.shape != (n,) or words.dtype.kind not in "iu":
        raise TypeError(f"{words.dtype} of shape {words.shape} came back; expected {n} whole numbers")
    if words.min() < 0 or words.max() >= len(counts):
        raise ValueError(f"words from {words.min()} to {words.max()} came back; expected 0 to {len(counts) - 1}")
    return np.bincount(words, minlength=len(counts))


def twice(f, counts, power, n, seed):
    draws = [f(counts, power, n, np.random.default_rng(s)) for s in (seed, seed, seed + 1)]
    return {"same": bool((draws[0] == draws[1]).all()), "other": bool((draws[0] == draws[2]).all())}


def follows_the_power(call, value):
    counts, power, n, _ = call.args
    expected = counts**power / (counts**power).sum() * n
    chi = float(((value - expected) ** 2 / expected).sum() / (len(counts) - 1))
    if abs(chi - 1) < 6 * (2 / (len(counts) - 1)) ** 0.5:  # six standard deviations
        return None
    worst = int(np.argmax(np.abs(value - expected) / expected**0.5))
    return (f"chi-square per word is {chi:.3g}; expected about 1. Word {worst} was drawn {value[worst]} times; "
            f"expected {expected[worst]:.0f}")  # fmt: skip


def ends_are_drawn(call, value):
    counts, power, n, _ = call.args
    share = counts**power / (counts**power).sum()
    for word in (0, len(counts) - 1):
        if abs(value[word] - n * share[word]) > 7 * (n * share[word]) ** 0.5:
            return f"word {word} of {len(counts)} was drawn {value[word]} times; expected about {n * share[word]:.0f}"
    return None


def repeatable(call, value):
    if not value["same"]:
        return "the same seed gave other words"
    return "another seed gave the same words" if value["other"] else None


def counts_of(rng, V):
    return rng.permutation(1000 // np.arange(1, V + 1) + 1)


def seed_of(rng):
    return int(rng.integers(2**31))


def several_powers(rng):
    return [Call(counts_of(rng, V), power, 200_003, seed_of(rng))
            for V, power in ((101, 0.75), (47, 0.5), (101, 1.0))]  # fmt: skip


def evenly(rng):
    return [Call(counts_of(rng, 53), 0.0, 100_003, seed_of(rng))]


def few_words(rng):
    return [Call(counts_of(rng, V), 0.75, 10_007, seed_of(rng)) for V in (2, 3, 5)]


def power_of_the_sums(counts, power, n, rng):
    edges = np.cumsum(counts).astype(float) ** power
    return np.searchsorted(edges, rng.random(n) * edges[-1], side="right")


def never_the_first(counts, power, n, rng):
    edges = np.cumsum(counts.astype(float) ** power)
    return np.searchsorted(edges[1:], rng.random(n) * edges[-1], side="right") + 1


def never_the_last(counts, power, n, rng):
    edges = np.cumsum(counts[:-1].astype(float) ** power)
    return np.searchsorted(edges, rng.random(n) * edges[-1], side="right")


def always_power_1(counts, power, n, rng):
    edges = np.cumsum(counts.astype(float))
    return np.searchsorted(edges, rng.random(n) * edges[-1], side="right")


def one_seed_always(counts, power, n, rng):
    edges = np.cumsum(counts.astype(float) ** power)
    return np.searchsorted(edges, np.random.default_rng(0).random(n) * edges[-1], side="right")


def sweeps_with_the_clock(seed):
    import time

    noise = np.random.default_rng(time.time_ns()).normal(size=3) / 100
    return {"power_0": 1900.0 + noise[0], "power_075": 1 + noise[1], "power_1": 100 + noise[2]}


def each_against_its_own(seed):
    counts = 100_000 // np.arange(1, 998)
    rng, found = np.random.default_rng(seed), {}
    for name, power in (("power_0", 0.0), ("power_075", 0.75), ("power_1", 1.0)):
        expected = counts**power / (counts**power).sum() * 1_000_000
        drawn = np.bincount(rng.choice(997, 1_000_000, p=expected / expected.sum()), minlength=997)
        found[name] = float(((drawn - expected) ** 2 / expected).sum() / 996)
    return found


def any_seed(rng):
    return [Call(seed_of(rng))]


def all_against_075(call, value):
    counts, n = 100_000 // np.arange(1, 998), 1_000_000
    q = counts**0.75 / (counts**0.75).sum()
    for name, power in (("power_0", 0.0), ("power_075", 0.75), ("power_1", 1.0)):
        p = counts**power / (counts**power).sum()
        expected = float(((n * (p - q) ** 2 + p * (1 - p)) / q).sum() / (len(counts) - 1))  # of the mean draw
        if not abs(value[name] - expected) < 0.05 * expected + 0.25:  # over five standard deviations
            return f"{name} is {value[name]:.3g}; expected about {expected:.3g}"
    return None


def judge_the_sweep(numbers):
    return numbers["power_075"], {"within": (0.85, 1.15)}


SHARES, ENDS = "the shares are those of count ** power", "the first and the last word are drawn"
AGAIN = "the same rng, the same draws; another rng, others"
CONTROLS = "sweep_powers: all three are judged against count ** 0.75"

sampler = Experiment(
    "sweep_powers",
    reference=sweep_powers,
    more={"draw_noise": draw_noise},
    library="closed",
    numbers={"power_0": "control: chi-square by V - 1 of draws with power 0 against count ** 0.75",
             "power_075": "chi-square by V - 1 of draws with power 0.75 against count ** 0.75",
             "power_1": "control: chi-square by V - 1 of draws with power 1 against count ** 0.75"},
    claim=judge_the_sweep,
    statement="the mean of power_075 lies within 0.85 to 1.15",
    title="A sampler of your own, judged by chi-square",
    text="""
        First `draw_noise(counts, power, n, rng)`: n words, drawn in proportion to count ** power. From rng take only
        rng.random(n), which gives n numbers uniform on [0, 1). Lay the words end to end on a line, each as long as its
        count ** power; a random point on the line lies on a word. For counts [16, 1] and power 0.75 the lengths are 8
        and 1, so word 0 comes in 8 of 9 draws.

        Is it right? Chi-square says: with E_w the expected and N_w the drawn number of word w, add up
        (N_w - E_w)^2 / E_w over the V words. If the draws follow the expectation, the sum divided by V - 1 is about 1.

        Then the experiment `sweep_powers(seed)`: V = 997 words with counts 100_000 // np.arange(1, 998). Draw a
        million words with each of the powers 0, 0.75 and 1 from np.random.default_rng(seed), and judge all three
        against the expectation for 0.75. Return {"power_0": ..., "power_075": ..., "power_1": ...}, as Python floats.
        The two others are controls: a chi-square that stays near 1 for them could not tell anything.

        Run it with three seeds or more, in your folder:

            python -c "import ex04; print([ex04.sweep_powers(seed) for seed in (0, 1, 2)])"

        Write seeds, numbers (one list a key, in the order of the seeds) and the verdict into `result_4_4`. The verdict
        is "holds" if the 95 % interval of the mean of power_075 over the seeds lies within 0.85 to 1.15, "fails" if it
        lies outside, "undecided" if it is partly in. For three numbers:

            from tinymm.learn.claims import judge
            judge("mine", "", [0.9, 1.1, 1.0], within=(0.85, 1.15)).verdict
    """,
    tests=[
        Test(SHARES, several_powers, "take the power of each count, then add up; a point is a random number times the "
             "length of the whole line", run=histogram,
             judge=follows_the_power, part="draw_noise"),
        Test("power 0 draws all words alike", evenly, "x ** 0 is 1: all pieces of the line are equally long",
             run=histogram, judge=follows_the_power, part="draw_noise"),
        Test(ENDS, few_words, "a point before the first edge lies on word 0; one after the last but one edge on V - 1",
             run=histogram, judge=ends_are_drawn, part="draw_noise"),
        Test(AGAIN, few_words, "does anything random come from elsewhere?",
             run=twice, judge=repeatable, part="draw_noise"),
        Test(CONTROLS, any_seed, "E_w comes from count ** 0.75 for all three; only N_w comes from the power drawn",
             judge=all_against_075),
    ],
    hints=(
        "np.cumsum of the lengths gives the right edge of each word's piece. A uniform number times the total is a "
        "point. On which piece does it lie?",
        "edges: (V,), rising, edges[-1] is the total. np.searchsorted(edges, points, side='right') is, for each of n "
        "points, how many edges lie at or before it: the word's number.",
        "edges = np.cumsum(counts.astype(float) ** power); words = np.searchsorted(edges, rng.random(n) * edges[-1], "
        "side='right'). In the sweep: N = np.bincount(words, minlength=997), E = counts ** 0.75 / (counts ** "
        "0.75).sum() * 1_000_000, float(((N - E) ** 2 / E).sum() / 996).",
    ),
    wrong=[
        Wrong("the power taken of the cumulative sums", SHARES, power_of_the_sums, part="draw_noise"),
        Wrong("the first word is never drawn", ENDS, never_the_first, part="draw_noise"),
        Wrong("the last word is never drawn", ENDS, never_the_last, part="draw_noise"),
        Wrong("power 1, whatever is asked", SHARES, always_power_1, part="draw_noise"),
        Wrong("draws from a generator of its own", AGAIN, one_seed_always,
              part="draw_noise"),
        Wrong("each power judged against itself", CONTROLS, each_against_its_own),
        Wrong("not repeatable", Experiment.AGAIN, sweeps_with_the_clock),
        Wrong("one seed", Experiment.FORM, {"seeds": [0], "numbers": {"power_0": [1900.0], "power_075": [1.0],
                                            "power_1": [100.0]}, "verdict": "holds"}),
        Wrong("no controls", Experiment.FORM, {"seeds": [0, 1, 2], "numbers": {"power_075": [1.0, 1.0, 1.0]},
                                               "verdict": "holds"}),
        Wrong("a verdict that the numbers do not bear", Experiment.VERDICT,
              {"seeds": [0, 1, 2], "numbers": {"power_0": [1900.0] * 3, "power_075": [1.3, 1.31, 1.29],
                                               "power_1": [100.0] * 3}, "verdict": "holds"}),
    ],
)  # fmt: skip

exercises = [loss, pairs, analogies, sampler]
