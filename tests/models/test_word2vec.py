"""Word2Vec: draws, steps and quirks by hand; kernel, plain twin and autograd form reach the same vectors."""

import itertools
import math
import threading

import numpy as np
import pytest
from scipy import stats

import tinymm as mm
from tinymm import kernels
from tinymm.data.text import Corpus, Vocabulary, from_sentences
from tinymm.kernels.compiled import word2vec as compiled
from tinymm.kernels.plain import word2vec as plain
from tinymm.kernels.plain.word2vec import Noise, Rules, make_noise
from tinymm.models import word2vec as w2v
from tinymm.models.word2vec import Word2Vec, Word2VecConfig, find_phrases, join_phrases, keep_table

BOTH = pytest.mark.parametrize("kernel", [plain, compiled], ids=["plain", "compiled"])
OBJECTIVES = [
    dict(hierarchical_softmax=hs, cbow=cbow, cbow_mean=mean)
    for hs, (cbow, mean) in itertools.product((False, True), ((False, True), (True, True), (True, False)))
]


def zipf_sentences(lengths=(1, 7, 2, 30, 15), size=12, seed=0):
    rng = np.random.default_rng(seed)
    return [[f"w{i}" for i in np.minimum(rng.zipf(1.5, n), size)] for n in lengths]


def topics(n_sentences=400, seed=0):
    """Sentences that draw all their words from one of two lists."""
    rng = np.random.default_rng(seed)
    lists = [[f"{letter}{i}" for i in range(10)] for letter in "ab"]
    return [list(rng.choice(lists[i % 2], 12)) for i in range(n_sentences)]


def apart(a, b):
    return max(np.abs(a.vectors - b.vectors).max(), np.abs(a.output_vectors - b.output_vectors).max())


def one_example(kernel, objective, inputs, outputs, *, ids=(0, 1), radius=(1, 0), rate=0.1, **rules):
    """Train on one sentence; by default the word 1 predicts the word 0, and no more. Returns both tables."""
    inputs, outputs = np.array(inputs, np.float64), np.array(outputs, np.float64)
    ids, starts = np.array(ids, np.int32), np.array([0, len(ids)])
    radius = np.array(radius, np.int32)
    kernel.word2vec_train(ids, starts, radius, inputs, outputs, objective, Rules(**rules), (rate, rate), 2**40 + 77)
    return inputs, outputs


def always(word, size=2, negative=1):
    """Noise that draws one word only."""
    counts = np.zeros(size)
    counts[word] = 1
    return make_noise(counts, negative)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# ------------------------------------------------------------------------------------------------- three forms agree


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_kernel_and_autograd_form_agree_on_one_pass(objective, dtype, tolerance):
    options = dict(objective, min_count=1, d_model=7, window=3, epochs=1, lr=0.3, init_range=4, sample=0.1, dtype=dtype)
    sentences = zipf_sentences()
    fast = Word2Vec(**options, cbow_true_gradient=True, threads=1).fit(sentences)
    readable = Word2Vec(**options, cbow_true_gradient=True).fit(sentences, readable=True)
    assert apart(fast, readable) < tolerance
    assert np.abs(fast.output_vectors).max() > 0.1  # and something was learnt


def test_that_pass_had_noise_words_drawn_twice_and_draws_of_the_centre_word():
    corpus = from_sentences(zipf_sentences(), min_count=1)
    draws, _ = kernels.word2vec_noise(make_noise(corpus.vocabulary.counts, 5), 500, 7)
    assert sum(len(set(five)) < 5 for five in draws.reshape(-1, 5).tolist()) > 50
    assert (draws == 0).sum() > 20


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize(
    "quirks",
    [
        {},
        {"sigmoid": "table", "merge_repeats": False},
        {"sigmoid": "table", "saturation": "skip", "smooth_lr": False},
        {"saturation": "skip", "shrink_window": False, "sample": 0},
        {"cbow_true_gradient": True},
    ],
    ids=str,
)
def test_compiled_kernel_equals_its_plain_twin(objective, quirks):
    options = dict(min_count=1, d_model=5, window=3, epochs=1, lr=0.2, init_range=20, dtype="float64", threads=1)
    options = {**options, "sample": 0.1, **objective, **quirks}
    with kernels.using("numba"):
        fast = Word2Vec(**options).fit(zipf_sentences())
    with kernels.using("numpy"):
        slow = Word2Vec(**options).fit(zipf_sentences())
    assert apart(fast, slow) < 1e-12


def test_twins_draw_the_same_and_leave_the_same_state():
    rng = np.random.default_rng(0)
    ids = rng.integers(-1, 30, 500).astype(np.int32)
    starts = np.array([0, 0, 7, 120, 500])
    keep = keep_table(np.arange(30, 0, -1) ** 2, 1e-2)
    for table in (keep, keep[:0]):
        a, b = (k.word2vec_subsample(ids, starts, table, 2**47 + 5) for k in (plain, compiled))
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
        assert a[2] == b[2] and len(a[0]) == a[1][-1] and (a[0] >= 0).all()
    noise = make_noise(np.arange(3000, 0, -1) ** 2, 5)
    for a, b in [
        [k.word2vec_radius(300, 7, 99) for k in (plain, compiled)],
        [k.word2vec_noise(noise, 300, 99) for k in (plain, compiled)],
    ]:
        np.testing.assert_array_equal(a[0], b[0])
        assert a[1] == b[1]


def test_loss_of_the_twins_is_the_readable_loss():
    """At a rate of 0 the tables stand still, so the sums must be equal where every centre word is watched."""
    corpus = from_sentences([[f"w{i}" for i in range(1)] + ["w1"]], min_count=1)
    rng = np.random.default_rng(0)
    inputs, outputs = rng.normal(size=(2, 2, 8))
    noise = make_noise([3, 2], 4)
    arguments = (corpus.ids, corpus.starts, np.array([1, 0], np.int32), inputs, outputs, noise, Rules(), (0.0, 0.0), 5)
    losses = [f(*arguments) for f in (plain.word2vec_train, compiled.word2vec_train, w2v.train_readable)]
    assert losses[0][2] == losses[1][2] == losses[2][2] == 1
    np.testing.assert_allclose([loss for _, loss, _ in losses], losses[2][1], rtol=1e-12)


def test_readable_form_refuses_what_is_no_gradient():
    for quirk in ({"sigmoid": "table"}, {"saturation": "skip"}, {"merge_repeats": False}, {"cbow": True}):
        with pytest.raises(ValueError, match="the readable form follows the gradient; expected sigmoid='exact'"):
            Word2Vec(min_count=1, **quirk).fit(zipf_sentences(), readable=True)


# ------------------------------------------------------------------------------------------------- the losses


def test_gradients_of_the_losses_match_finite_differences():
    rng = np.random.default_rng(0)
    inputs, outputs = rng.normal(size=(2, 7, 3))
    context = np.array([[1, 2, -1], [4, 4, 6]])
    centre, noise = np.array([0, 5]), np.array([[1, 1, 0], [3, 5, 2]])
    tree = kernels.huffman_tree([9, 7, 5, 4, 3, 2, 1])

    def negative(v, u):
        return w2v.negative_sampling_loss(w2v.hidden(v, context), u, centre, noise)

    def hierarchical(v, u):
        return w2v.hierarchical_softmax_loss(w2v.hidden(v, context), u, centre, tree)

    assert mm.gradcheck(negative, [inputs, outputs])
    assert mm.gradcheck(hierarchical, [inputs, outputs[:6]])


@BOTH
def test_a_kernel_step_is_the_rate_times_the_finite_difference(kernel):
    """CBOW with three context words, one of them twice; noise words 3, with a repeat."""
    rng = np.random.default_rng(1)
    inputs, outputs = rng.normal(size=(2, 4, 3))
    ids, radius = (1, 1, 0, 2), (0, 0, 2, 0)
    noise = always(3, size=4, negative=2)

    def loss(v, u):
        h = v[[1, 1, 2]].mean(axis=0)
        return -np.log(sigmoid(u[0] @ h)) - 2 * np.log(sigmoid(-u[3] @ h))

    new = one_example(kernel, noise, inputs, outputs, ids=ids, radius=radius, rate=0.1, cbow=True)
    for which, table in enumerate((inputs, outputs)):
        for place in np.ndindex(table.shape):
            tables = [[inputs.copy(), outputs.copy()] for _ in range(2)]
            tables[0][which][place] += 1e-6
            tables[1][which][place] -= 1e-6
            slope = (loss(*tables[0]) - loss(*tables[1])) / 2e-6
            assert new[which][place] - table[place] == pytest.approx(-0.1 * slope, abs=1e-9)


def test_leaf_probabilities_of_the_tree_sum_to_one():
    rng = np.random.default_rng(0)
    counts = np.sort(rng.integers(1, 1000, 37))[::-1]
    tree, u, h = kernels.huffman_tree(counts), mm.Tensor(rng.normal(size=(36, 5))), mm.Tensor(rng.normal(size=(1, 5)))
    loss = [w2v.hierarchical_softmax_loss(h, u, np.array([word]), tree).item() for word in range(37)]
    assert sum(math.exp(-x) for x in loss) == pytest.approx(1, abs=1e-12)


def test_tree_by_hand():
    """Counts 4 2 1 1: the two ones are joined, then with 2, then with 4: paths of 1, 2, 3, 3 nodes."""
    for kernel in (plain, compiled):
        tree = kernel.huffman_tree([4, 2, 1, 1])
        paths = [tree.nodes[a:b].tolist() for a, b in itertools.pairwise(tree.starts)]
        assert paths == [[2], [2, 1], [2, 1, 0], [2, 1, 0]]
        assert set(tree.labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    "counts", [[1] * 50, [5, 3, 3, 3, 2, 1, 1, 1, 1], 10**7 // np.arange(1, 3000), [2, 1], 2 ** np.arange(30, 0, -1)]
)
def test_tree_is_optimal_and_equal_in_both_twins(counts):
    tree, other = plain.huffman_tree(counts), compiled.huffman_tree(np.asarray(counts))
    for a, b in zip(tree, other):
        np.testing.assert_array_equal(a, b)
    counts, lengths = np.asarray(counts, np.float64), np.diff(tree.starts)
    assert lengths.max() <= 40
    assert (2.0**-lengths).sum() == pytest.approx(1)  # Kraft's sum: no leaf wasted
    mean, entropy = (counts @ lengths) / counts.sum(), stats.entropy(counts, base=2)
    assert entropy <= mean + 1e-9 and mean < entropy + 1


# ------------------------------------------------------------------------------------------------- draws, W2 to W6


def test_words_rarer_than_the_threshold_are_always_kept():
    counts = np.array([50_000, 1000, 100, 99, 2])  # of 51,201 words; with t = 0.002 the threshold is at 102.4
    kept = keep_table(counts, 0.002).astype(float) / (2**32 - 1)
    ratio = 0.002 * counts.sum() / counts  # t / f
    np.testing.assert_allclose(kept, np.minimum(np.sqrt(ratio) + ratio, 1), atol=1e-9)
    assert (kept[2:] == 1).all() and kept[0] < kept[1] < 1
    ids = np.tile(np.arange(5, dtype=np.int32), 20_000)
    left, _, _ = kernels.word2vec_subsample(ids, np.array([0, len(ids)]), keep_table(counts, 0.002), 12345)
    shares = np.bincount(left, minlength=5) / 20_000
    assert (shares[2:] == 1).all()
    np.testing.assert_allclose(shares[:2], kept[:2], atol=4 * 0.5 / math.sqrt(20_000))


def test_radius_is_uniform():
    radius, _ = kernels.word2vec_radius(100_000, 5, 2**40 + 1)
    assert stats.chisquare(np.bincount(radius)[1:]).pvalue > 1e-3
    assert set(radius.tolist()) == {1, 2, 3, 4, 5}


def test_noise_follows_the_counts_to_the_power_of_three_quarters():
    counts = 10_000 // np.arange(1, 200)
    draws, _ = kernels.word2vec_noise(make_noise(counts, 5), 400_000, 2**45 + 3)
    seen = np.bincount(draws, minlength=len(counts))
    p_value = {}
    for power in (0.75, 1.0, 0.5):
        expected = counts**power / (counts**power).sum()
        p_value[power] = stats.chisquare(seen, expected * len(draws)).pvalue
    assert p_value[0.75] > 1e-3 and p_value[1.0] < 1e-9 and p_value[0.5] < 1e-9


def test_guide_table_finds_what_bisection_finds():
    noise = make_noise(np.r_[10**6, 10**5 // np.arange(1, 5000), np.ones(500)], 5)
    draws, _ = compiled.word2vec_noise(noise, 100_000, 11)
    state, expected = 11, []
    for _ in range(100_000):
        expected.append((state >> 16) % plain.DOMAIN)
        state = plain.next_state(state)
    np.testing.assert_array_equal(draws, np.searchsorted(noise.cumulative, np.array(expected, np.uint32)))


@BOTH
def test_a_draw_on_the_edge_of_two_words_belongs_to_the_first(kernel):
    noise = make_noise([1, 1, 1], 1)
    for word, edge in enumerate(noise.cumulative[:2]):
        for x, expected in ((int(edge), word), (int(edge) + 1, word + 1)):
            assert kernel.word2vec_noise(noise, 1, x << 16)[0].tolist() == [expected]


@BOTH
def test_a_draw_of_the_centre_word_is_skipped(kernel):
    v, u = [[0, 0], [1, 2]], [[0.5, -1], [0, 0]]
    new_v, new_u = one_example(kernel, always(0, negative=3), v, u)
    step = 0.1 * (1 - sigmoid(0.5 - 2))
    np.testing.assert_allclose(new_u[0], np.add(u[0], step * np.array(v[1])), rtol=1e-12)
    np.testing.assert_allclose(new_v[1], np.add(v[1], step * np.array(u[0])), rtol=1e-12)


@BOTH
@pytest.mark.parametrize("merge", [True, False])
def test_a_noise_word_drawn_twice(kernel, merge):
    """True: twice its gradient. False: its second score is taken after its first update, as the references do."""
    v, u = [[0, 0], [1, 2]], [[0, 0], [0.5, -1]]
    _, new_u = one_example(kernel, always(1, negative=2), v, u, merge=merge)
    h, expected = np.array(v[1]), np.array(u[1])
    if merge:
        expected = expected - 2 * 0.1 * sigmoid(expected @ h) * h
    else:
        for _ in range(2):
            expected = expected - 0.1 * sigmoid(expected @ h) * h
    np.testing.assert_allclose(new_u[1], expected, rtol=1e-12)


@pytest.mark.parametrize("init_range", [1.0, 0.5])
def test_start_values(init_range):
    """Sentences of one word have no context, so nothing moves."""
    model = Word2Vec(min_count=1, d_model=50, seed=3, init_range=init_range, sample=0).fit(
        [[f"w{i}"] for i in range(99)]
    )
    assert (model.output_vectors == 0).all()
    span = init_range / 50
    assert stats.kstest(model.vectors.ravel(), stats.uniform(-span, 2 * span).cdf).pvalue > 1e-3


@BOTH
def test_rate_falls_linearly_from_word_to_word(kernel):
    """With u = 0 and one example a centre word, the step of word i is rate_i * h / 2."""
    ids = np.array([0, 4, 1, 4, 2, 4, 3, 4], np.int32)
    radius = np.array([1, 0, 1, 0, 1, 0, 1, 0], np.int32)  # every second word is predicted, by word 4
    starts = np.arange(0, 9, 2)  # in sentences of two
    v, u = np.full((5, 2), 0.0), np.zeros((5, 2))
    v[4] = 1
    kernel.word2vec_train(ids, starts, radius, v, u, always(0, 5), Rules(), (0.8, 0.4), 1)
    rates = 0.8 - 0.4 * np.arange(0, 8, 2) / 8
    np.testing.assert_allclose(u[1:4], np.outer(rates[1:] / 2, [1, 1]), rtol=0.25)  # h moves a little
    model = Word2Vec(lr=0.8, min_lr=0.4)
    assert [model._rate(p) for p in (0, 0.5, 1, 2)] == pytest.approx([0.8, 0.6, 0.4, 0.4])


# ------------------------------------------------------------------------------------------------- quirks, W7 to W9


def test_sigmoid_table_is_the_references_one():
    def from_table(x):
        return plain.SIGMOID_TABLE[plain.table_index(x)]

    assert from_table(0.0) == pytest.approx(0.4940, abs=5e-5)
    x = np.linspace(-5.999, 5.999, 20_001)
    error = np.abs([from_table(each) for each in x] - sigmoid(x)).max()
    assert 0.0085 < error < 0.0095


@BOTH
def test_step_from_the_table(kernel):
    for table, p in ((False, 0.5), (True, 0.4940)):
        _, new_u = one_example(kernel, always(0), [[0, 0], [1, 0]], [[0, 0], [0, 0]], table=table)
        assert new_u[0, 0] == pytest.approx(0.1 * (1 - p), abs=1e-5)


@BOTH
@pytest.mark.parametrize(
    "rules, p",
    [
        ({}, sigmoid(-7.0)),
        ({"table": True}, 0.0),  # the C program: the saturated gradient
        ({"skip": True}, None),  # gensim: none
        ({"skip": True, "table": True}, None),
    ],
)
def test_beyond_six(kernel, rules, p):
    v, u = [[0, 0], [1, 0]], [[-7, 0], [0, 0]]
    _, new_u = one_example(kernel, always(0), v, u, **rules)
    expected = -7 if p is None else -7 + 0.1 * (1 - p)
    assert new_u[0, 0] == pytest.approx(expected, rel=1e-12)


@BOTH
@pytest.mark.parametrize(
    "mean, true, factor", [(True, True, 1 / 3), (True, False, 1), (False, True, 1), (False, False, 1 / 3)]
)
def test_cbow_divides_by_the_number_of_context_words_or_not(kernel, mean, true, factor):
    """d loss / d context vector is d_h / 3 for a mean of three and d_h for a sum."""
    v, u = [[0, 0], [1, 0], [0, 1], [1, 1]], [[0.5, 0.25], [0, 0], [0, 0], [0, 0]]
    rules = dict(cbow=True, mean=mean, true_gradient=true)
    new_v, _ = one_example(kernel, always(0, 4), v, u, ids=(1, 2, 0, 3), radius=(0, 0, 2, 0), **rules)
    h = np.array([2, 2]) / (3 if mean else 1)
    d_h = 0.1 * (1 - sigmoid(h @ u[0])) * np.array(u[0])
    np.testing.assert_allclose(new_v[1:] - np.array(v)[1:], [factor * d_h] * 3, rtol=1e-9)


def test_presets_name_the_references_choices():
    gensim, c, tree = (
        Word2VecConfig.like_gensim(),
        Word2VecConfig.like_c(),
        Word2VecConfig.like_c(hierarchical_softmax=True),
    )
    assert (gensim.sigmoid, gensim.saturation, gensim.init_range, gensim.threads) == ("table", "skip", 1.0, 1)
    assert (c.sigmoid, c.saturation, c.init_range, c.min_lr) == ("table", "gradient", 0.5, pytest.approx(2.5e-6))
    assert tree.saturation == "skip" and Word2VecConfig.like_c(cbow=True).lr == 0.05
    assert gensim.lr == Word2VecConfig.like_gensim(cbow=True).lr == 0.025
    assert (Word2VecConfig().first_lr, Word2VecConfig(cbow=True).first_lr) == (0.035, 0.1)


# ------------------------------------------------------------------------------------------------- the model


@pytest.mark.parametrize("objective", [o for o in OBJECTIVES if o["cbow_mean"]], ids=str)
def test_learns_who_stands_with_whom(objective):
    model = Word2Vec(d_model=16, epochs=20, lr=0.05, sample=0, **objective).fit(topics())
    words = model.vocabulary.words
    right = [other[0] == word[0] for word in words for other, _ in model.most_similar(word, 9)]
    assert len(right) == 20 * 9 and np.mean(right) > 0.95  # 9 / 19 by chance


def test_same_seed_same_vectors_on_one_thread():
    corpus = from_sentences(topics(), min_count=1)
    one = Word2Vec(d_model=8, threads=1).fit(corpus)
    assert apart(one, Word2Vec(d_model=8, threads=1).fit(corpus)) == 0
    assert apart(one, Word2Vec(d_model=8, threads=2, deterministic=True).fit(corpus)) == 0
    assert apart(one, Word2Vec(d_model=8, threads=1, seed=2).fit(corpus)) > 0.01


def test_several_threads_train_on_all_of_the_text(monkeypatch):
    trained = []
    part = Word2Vec._train_part

    def watched(self, corpus, first, last, thread):
        trained.append((thread, int(first), int(last)))
        return part(self, corpus, first, last, thread)

    monkeypatch.setattr(Word2Vec, "_train_part", watched)
    reports = []
    model = Word2Vec(d_model=16, threads=3, epochs=2, sample=0).fit(topics(20_000), reports.append)
    assert reports[-1].words == reports[-1].total == 2 * 20_000 * 12
    assert sorted(trained) == [(0, 0, 6667), (1, 6667, 13334), (2, 13334, 20_000)]
    assert all(word[0] == "a" for word, _ in model.most_similar("a0", 9))
    trained.clear()
    Word2Vec(d_model=16, threads=3, epochs=1).fit(topics())  # too short to be worth several
    assert trained == [(0, 0, 400)]


def test_progress_is_told_while_the_kernel_runs():
    reports = []
    Word2Vec(d_model=200, threads=1, epochs=8, sample=0).fit(topics(5000), reports.append)
    words = [report.words for report in reports]
    assert len(reports) > 2 and words == sorted(words) and words[-1] == reports[-1].total == 8 * 60_000
    assert reports[0].lr > reports[-1].lr == pytest.approx(1e-4)
    assert 1 < reports[-1].loss < 6 * math.log(2) and reports[-1].words_per_second > 0  # it begins at 6 log 2


def test_progress_bar_is_silent_without_a_terminal(capfd):
    Word2Vec(d_model=8, epochs=1).fit(topics(), progress=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("threads", [1, 2])
def test_stopped_from_the_callback_no_thread_goes_on(threads, monkeypatch):
    trained = []
    add = w2v._Report.add

    def count(self, words, *args, **options):
        trained.append(words)
        add(self, words, *args, **options)

    def stop(report):
        raise KeyboardInterrupt

    monkeypatch.setattr(w2v._Report, "add", count)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        Word2Vec(d_model=200, threads=threads, epochs=30, sample=0).fit(topics(10_000), stop)
    assert threading.active_count() == before
    assert 0 < sum(trained) < 0.5 * 30 * 120_000


def test_a_failure_in_a_thread_is_raised(monkeypatch):
    def fail(*args):
        raise MemoryError("no room")

    monkeypatch.setattr(Word2Vec, "_rate", fail)
    with pytest.raises(MemoryError, match="no room"):
        Word2Vec(d_model=8, threads=2).fit(topics(10_000))


def test_most_similar_solves_analogies_and_leaves_the_given_words_out():
    model = Word2Vec(d_model=2)
    model.vocabulary = Vocabulary(["man", "woman", "king", "queen", "tree"], [5, 4, 3, 2, 1])
    model._inputs = np.array([[1, 0], [1, 1], [3, 0], [3.1, 3], [-1, 0]], np.float32)
    assert model.most_similar(["king", "woman"], 1, negative="man")[0][0] == "queen"
    assert [word for word, _ in model.most_similar("man", 9)] == ["king", "queen", "woman", "tree"]
    np.testing.assert_array_equal(model["tree"], [-1, 0])
    with pytest.raises(KeyError, match="'cat' is not among the 5 words"):
        model.most_similar("cat")


@pytest.mark.parametrize("d_model", [1, 16, 17, 100])
def test_rows_are_whole_cache_lines(d_model):
    model = Word2Vec(d_model=d_model, min_count=1, epochs=1).fit(zipf_sentences())
    assert model.vectors.shape == (len(model.vocabulary), d_model)
    table = model.vectors.base
    assert model._inputs.ctypes.data % 64 == 0 and model._inputs.strides[0] % 64 == 0 and table is not None
    assert (model._inputs[:, d_model:] == 0).all() and (model._outputs[:, d_model:] == 0).all()


# ------------------------------------------------------------------------------------------------- phrases, W13


def test_phrases_by_hand():
    sentences = [
        ["new", "york", "is", "big"],
        ["in", "new", "york"],
        ["new", "york", "new", "york"],
        ["york", "is", "in"],
    ]
    # 14 words; new 4, york 5, "new york" 4, "york is" 2, is 2
    found = find_phrases(sentences, min_count=1, threshold=1.0)
    assert found[("new", "york")] == pytest.approx((4 - 1) / (4 * 5) * 14)
    assert found[("york", "is")] == pytest.approx((2 - 1) / (5 * 2) * 14)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert ("big", "in") not in find_phrases(sentences, min_count=0, threshold=0)  # they meet across sentences only
    assert find_phrases(sentences, min_count=3, threshold=0.1) == {("new", "york"): pytest.approx(1 / 20 * 14)}
    joined = list(join_phrases(sentences, {("new", "york"): 1.0, ("york", "is"): 1.0}))
    assert joined[0] == ["new_york", "is", "big"]  # from the left, and a word joins once
    assert joined[2:] == [["new_york", "new_york"], ["york_is", "in"]]


# ------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    "field, value, text",
    [
        ("d_model", 0, "d_model is 0; expected a whole number of at least 1"),
        ("window", -2, "window is -2; expected a whole number"),
        ("epochs", 1.5, "epochs is 1.5; expected a whole number"),
        ("negative", -5, "negative is -5; expected a whole number of at least 0"),
        ("negative", 0, "negative is 0; expected at least 1 noise word, or hierarchical_softmax=True"),
        ("min_count", 0, "min_count is 0"),
        ("lr", 0, "lr is 0; expected a positive number"),
        ("lr", float("nan"), "lr is nan; expected a positive number"),
        ("min_lr", 0.5, "min_lr 0.5 is above lr 0.035"),
        ("sample", -1e-3, "sample is -0.001; expected 0 or more"),
        ("threads", -1, "threads is -1; expected 0 or more"),
        ("sigmoid", "tabel", "sigmoid is 'tabel'; expected one of exact, table"),
        ("dtype", "float16", "dtype is 'float16'; expected one of float32, float64"),
    ],
)
def test_wrong_options(field, value, text):
    with pytest.raises(ValueError, match=text):
        Word2Vec(**{field: value})


def test_gensims_replay_has_one_thread():
    with pytest.raises(ValueError, match="replays one worker, but threads is 2; expected threads=1"):
        Word2VecConfig.like_gensim(threads=2)


def test_wrong_text():
    with pytest.raises(ValueError, match="no words; expected text"):
        Word2Vec().fit([])
    with pytest.raises(ValueError, match="expected at least two"):
        Word2Vec(min_count=1).fit([["word"] * 9])
    with pytest.raises(ValueError, match="the corpus is empty; expected text"):
        Word2Vec(Word2VecConfig.like_gensim()).fit([[], []])
    one = Corpus(np.zeros(9, np.int32), np.array([0, 9]), Vocabulary(["word"], [9]), 9)
    with pytest.raises(ValueError, match="the vocabulary has 1 word; expected at least two. Try a longer text"):
        Word2Vec().fit(one)


def test_nothing_learnt_yet():
    for use in (lambda m: m.vectors, lambda m: m["word"], lambda m: m.most_similar("word")):
        with pytest.raises(ValueError, match=r"has learnt nothing yet; expected fit\(corpus\) first"):
            use(Word2Vec())


def test_wrong_initial_vectors():
    corpus = from_sentences(topics(), min_count=1)
    initial = np.zeros((20, 8))
    with pytest.raises(ValueError, match=r"initial vectors have shape \(20, 8\); expected \(20, 9\)"):
        Word2Vec(d_model=9).fit(corpus, initial=initial)
    initial[3, 4] = np.nan
    with pytest.raises(ValueError, match="initial vectors hold NaN or infinity; expected finite numbers"):
        Word2Vec(d_model=8).fit(corpus, initial=initial)


def test_tables_of_two_kinds():
    for inputs, outputs in ((np.zeros((2, 8)), np.zeros((2, 8), np.float32)), (np.zeros((2, 8)), np.zeros((2, 16)))):
        with pytest.raises(ValueError, match="expected the same dtype and width"):
            compiled.word2vec_train(
                np.zeros(2, np.int32), np.array([0, 2]), np.ones(2, np.int32), inputs, outputs, always(0), Rules(),
                (0.1, 0.1), 1,
            )  # fmt: skip


def test_the_kernel_never_reads_outside_of_its_arrays():
    v, ids, starts = np.zeros((2, 8)), np.array([0, 1], np.int32), np.array([0, 2])
    wrong = [
        (dict(ids=np.array([0, 2], np.int32)), "ids hold word 2, but the objective or the inputs know 2 words"),
        (dict(starts=np.array([0, 3])), "starts must rise from 0 to the number of words, 2"),
        (dict(starts=np.array([0, 5, 2])), "starts must rise"),
        (dict(radius=np.ones(1, np.int32)), "1 radii for 2 words; expected one each"),
        (dict(outputs=np.zeros((1, 8))), "outputs have 1 rows; expected 2"),
        (dict(inputs=np.zeros((2, 16))[:, ::2]), "expected writeable, contiguous float32 or float64"),
        (dict(inputs=np.zeros((2, 8), np.float16)), "expected writeable, contiguous float32 or float64"),
    ]
    right = dict(ids=ids, starts=starts, radius=np.ones(2, np.int32), inputs=v, outputs=v.copy(), objective=always(0))
    for change, text in wrong:
        with pytest.raises(ValueError, match=text):
            compiled.word2vec_train(**{**right, **change}, rules=Rules(), rate=(0.1, 0.1), state=1)
    with pytest.raises(ValueError, match="ids hold word 1, but the keep know 1 words"):
        compiled.word2vec_subsample(ids, starts, np.ones(1, np.uint32), 1)


def test_divergence_is_said():
    with pytest.raises(FloatingPointError, match="training diverged: the vectors hold NaN. Try a rate below lr=1e"):
        Word2Vec(d_model=8, lr=1e30, epochs=2).fit(topics())


def test_noise_is_a_named_tuple_of_arrays():
    noise = make_noise([3, 2, 1], 4)
    assert isinstance(noise, Noise) and noise.negative == 4 and noise.cumulative[-1] == plain.DOMAIN
