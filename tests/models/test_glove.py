"""GloVe: what is counted, what a step does, and that neither depends on memory or threads.

The steps are compared three ways: the kernel with its NumPy twin, both with numbers printed by the authors' program,
and the kernel with AdaGrad on the gradient of the autograd engine.
"""

import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tinymm import kernels
from tinymm.data import text
from tinymm.kernels.compiled import glove as compiled
from tinymm.kernels.plain import glove as plain
from tinymm.models.glove import Cooccurrence, GloVe, GloVeConfig, count_cooccurrence, fit_readable, glove_loss


def count(sentences, n_words, **options):
    ids = np.concatenate([np.array(s, dtype=np.int32) for s in sentences])
    starts = np.concatenate([[0], np.cumsum([len(s) for s in sentences])])
    options = {"dtype": "float64", **options}
    return count_cooccurrence(ids, starts, n_words, **options)


@pytest.fixture
def random_text():
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 40, size=60)
    ids = np.minimum(rng.zipf(1.3, size=lengths.sum()) - 1, 46).astype(np.int32)
    return ids, np.concatenate([[0], np.cumsum(lengths)])


# ------------------------------------------------------------------------------------------------- counting


def test_counts_by_hand():
    X = count([[0, 1, 2, 0]], 3, window=2).dense()
    np.testing.assert_allclose(
        X,
        [
            [0.0, 1.5, 1.5],  # 0 1 at distance 1; 1 0 at 2; 0 2 at 2; 2 0 at 1; the two 0 stand too far apart
            [1.5, 0.0, 1.0],
            [1.5, 1.0, 0.0],
        ],
        rtol=0,
        atol=0,
    )


def test_counts_by_hand_flat_and_one_sided():
    np.testing.assert_array_equal(
        count([[0, 1, 2, 0]], 3, window=2, distance_weighting=False).dense(), [[0, 2, 2], [2, 0, 1], [2, 1, 0]]
    )
    # One-sided: the row's neighbours on its left.
    np.testing.assert_array_equal(
        count([[0, 1, 2, 0]], 3, window=2, symmetric=False).dense(), [[0, 0.5, 1], [1, 0, 0], [0.5, 1, 0]]
    )


def test_a_word_meets_itself_from_both_sides():
    assert count([[0, 0, 1]], 2, window=1)[0, 0] == 2.0


def test_never_across_the_end_of_a_sentence():
    together = count([[0, 1, 2, 3]], 4, window=3)
    apart = count([[0, 1], [], [2, 3]], 4, window=3)
    assert together[1, 2] == 1.0
    assert apart[1, 2] == apart[0, 2] == apart[0, 3] == 0.0
    assert apart[0, 1] == apart[2, 3] == 1.0


def test_unknown_words_are_removed_before_or_after_distances_are_counted():
    assert count([[0, -1, 1]], 2, window=2)[0, 1] == 1.0
    assert count([[0, -1, 1]], 2, window=2, oov="before")[0, 1] == 1.0
    assert count([[0, -1, 1]], 2, window=2, oov="after")[0, 1] == 0.5


@pytest.mark.parametrize("block", [1, 3, 7, 1000])
def test_removing_unknown_words_in_blocks(random_text, monkeypatch, block):
    ids, starts = random_text[0] - 1, random_text[1]
    monkeypatch.setattr("tinymm.models.glove.BLOCK", block)
    X = count_cooccurrence(ids, starts, 46, window=3, dtype="float64")
    sentences = [[i for i in ids[a:b] if i >= 0] for a, b in zip(starts, starts[1:])]
    np.testing.assert_array_equal(X.dense(), count(sentences, 46, window=3).dense())


def test_removing_unknown_words_keeps_the_sentences_apart():
    X = count([[0, -1], [-1, -1], [1, 2, -1]], 3, window=5)
    assert X[0, 1] == 0.0
    assert X[1, 2] == 1.0


@pytest.mark.parametrize("window", [1, 2, 10, 15, 40])
@pytest.mark.parametrize("distance_weighting", [True, False])
def test_symmetric_to_the_last_bit_and_sorted(random_text, window, distance_weighting):
    X = count_cooccurrence(
        *random_text, 47, window=window, distance_weighting=distance_weighting, dtype="float64", progress=False
    )
    dense = X.dense()
    assert np.array_equal(dense, dense.T)
    assert np.all(X.x > 0)
    assert np.all(np.diff(X.row.astype(np.int64) * 47 + X.col) > 0)
    assert (X.row.dtype, X.col.dtype) == (np.int32, np.int32)


def test_counts_agree_with_a_double_loop(random_text):
    ids, starts = random_text
    expected = np.zeros((47, 47))
    for a, b in zip(starts, starts[1:]):
        for p in range(a, b):
            for q in range(max(a, p - 7), min(b, p + 8)):
                if p != q:
                    expected[ids[p], ids[q]] += 1 / abs(p - q)
    X = count_cooccurrence(ids, starts, 47, window=7, dtype="float64")
    np.testing.assert_allclose(X.dense(), expected, rtol=1e-14)


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_twins_count_alike(random_text, symmetric):
    ids, starts = random_text
    ids = ids - 1  # some are unknown
    for first, last in ((0, None), (0, 46), (5, 17), (45, 46), (3, 3)):
        options = dict(symmetric=symmetric, first=first, last=last)
        ours = compiled.cooccurrence(ids, starts, 46, np.array([6, 3, 2]), **options)
        theirs = plain.cooccurrence(ids, starts, 46, np.array([6, 3, 2]), **options)
        for a, b in zip(ours, theirs):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def test_more_than_64_columns():
    sentences = np.random.default_rng(1).integers(0, 1000, (50, 30))
    a = count(sentences, 1000, window=29)
    with kernels.using("numpy"):
        b = count(sentences, 1000, window=29)
    assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("row", "col", "x"))


def test_memory_and_threads_do_not_change_a_bit(random_text):
    ids, starts = random_text
    ids = np.tile(ids, 20)
    starts = np.unique(np.concatenate([starts + k * starts[-1] for k in range(20)]))
    expected = count_cooccurrence(ids, starts, 47)
    for options in (dict(max_memory_mb=0.7), dict(threads=1), dict(threads=3), dict(threads=1, max_memory_mb=0.25)):
        X = count_cooccurrence(ids, starts, 47, progress=False, **options)
        for name in ("row", "col", "x"):
            np.testing.assert_array_equal(getattr(X, name), getattr(expected, name))


def test_a_large_result_goes_to_files_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sentences = np.random.default_rng(2).integers(0, 600, (2000, 20))
    X = count(sentences, 600, max_memory_mb=6)
    assert isinstance(X.x, np.memmap)
    assert not any(tmp_path.iterdir()) or sys.platform == "win32"
    Y = count(sentences, 600)
    assert not isinstance(Y.x, np.memmap)
    np.testing.assert_array_equal(X.x, Y.x)
    np.testing.assert_array_equal(X.col, Y.col)
    model = GloVe(d_model=4, epochs=1).fit(X)
    assert model.history == GloVe(d_model=4, epochs=1).fit(Y).history


PEAK = """
import sys, tracemalloc
import numpy as np
from tinymm.models.glove import count_cooccurrence
limit, measure = float(sys.argv[1]), sys.argv[2]
def peak():
    if measure == "tracemalloc":
        return tracemalloc.get_traced_memory()[1] / 2**20
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
ids = (30_000 * np.random.default_rng(0).random(600_000) ** 3).astype(np.int32)
starts = np.arange(0, 600_001, 500)
count_cooccurrence(ids[:5000], starts[:11], 30_000)   # compiles, or loads what is compiled
if measure == "tracemalloc":
    tracemalloc.start()
before = peak()
X = count_cooccurrence(ids, starts, 30_000, max_memory_mb=limit)
print(peak() - before, X.x.nbytes + X.col.nbytes + X.row.nbytes)
"""


@pytest.mark.parametrize("limit", [20, 40])
@pytest.mark.parametrize("measure", ["of the process", "tracemalloc"])
def test_peak_memory_stays_within_the_bound(limit, measure):
    if measure == "of the process" and sys.platform == "win32":
        measure = "tracemalloc"
    for _ in range(2 if measure == "of the process" else 1):  # the first run compiles, which takes more memory
        result = subprocess.run(
            [sys.executable, "-c", PEAK, str(limit), measure], capture_output=True, text=True, timeout=300
        )
    assert result.returncode == 0, result.stderr
    grown, size = map(float, result.stdout.split())
    assert size / 2**20 > limit, "the text is too small for the test"
    assert grown <= limit
    assert grown > limit / 4 or measure == "of the process", "nothing was measured"


INTERRUPTED = """
import signal
import numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)   # a shell may have started us with SIGINT ignored
from tinymm.models import glove
ids = np.random.default_rng(0).integers(0, 20_000, 1_000_000).astype(np.int32)
append = glove._Store.append
def slowly(self, arrays):
    append(self, arrays)
    if self.files:
        print("spilling", flush=True)
        import time; time.sleep(0.2)
glove._Store.append = slowly
glove.count_cooccurrence(ids, np.array([0, len(ids)]), 20_000, progress=False, max_memory_mb=40)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_nothing_is_left_behind_when_stopped(tmp_path, name):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    with process:
        assert process.stdout.readline() == "spilling\n"
        process.send_signal(getattr(signal, name))
        before = time.monotonic()
        assert process.wait(timeout=60) != 0
        assert time.monotonic() - before < 30
    assert [path for path in tmp_path.rglob("*") if "glove" in path.name] == []


def test_probabilities_and_their_ratio():
    X = count([[0, 1, 0, 1, 2], [3, 2, 3, 0]], 4, window=1)
    assert X.probability(1, 0) == 3 / 4
    assert X.probability(1, 3) == 0.0
    assert X.ratio(1, 0, 3) == math.inf
    assert X.ratio(3, 0, 2) == (1 / 4) / (2 / 3)
    assert math.isnan(X.ratio(2, 2, 2))
    np.testing.assert_allclose(X.row_sums(), X.dense().sum(axis=1))


# ------------------------------------------------------------------------------------------------- the step


def cells(rng, V=13, n=60, dtype=np.float64):
    flat = np.sort(rng.choice(V * V, n, replace=False))
    row, col = np.divmod(flat, V)
    return Cooccurrence(row.astype(np.int32), col.astype(np.int32), rng.uniform(0.1, 30, n).astype(dtype), V)


OPTIONS = {
    "plain": {},
    "scale_squares": {"scale_squares": True},
    "bias_lr": {"bias_lr": 1.0},
    "clip": {"clip": 0.05},
    "reference": {"scale_squares": True, "bias_lr": 1.0, "clip": 0.1},
    "alpha": {"alpha": 0.0},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_twins_take_the_same_steps(name, dtype):
    rng = np.random.default_rng(3)
    X = cells(rng, dtype=dtype)
    tables = [rng.normal(scale=0.3, size=(13, 8)).astype(dtype) for _ in range(2)]
    tables += [rng.uniform(0.5, 1.5, size=(13, 8)).astype(dtype) for _ in range(2)]
    options = dict(x_max=10.0, alpha=0.75, lr=0.05, bias_lr=0.05, clip=math.inf, scale_squares=False)
    options.update(OPTIONS[name])
    ours, theirs = [t.copy() for t in tables], [t.copy() for t in tables]
    a = compiled.glove_adagrad(X.row, X.col, X.x, *ours, **options)
    b = plain.glove_adagrad(X.row, X.col, X.x, *theirs, **options)
    tolerance = 1e-13 if dtype == np.float64 else 1e-5
    assert a == pytest.approx(b, rel=tolerance)
    for mine, other, before in zip(ours, theirs, tables):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)
        assert np.abs(mine - before).max() > 1e-3


# Three lines, "a b c a", "b c d", "d a b", went through the authors' program (stanfordnlp/GloVe, commit 52f7dbc):
# vocab_count -min-count 1; cooccur; shuffle -seed 3; glove -threads 1 -iter 4 -vector-size 3 -x-max 2 -seed 5
# -save-init-param 1 -binary 1, with -gradsq-file. Words: a b c d. The first cell counted, (a, a), is 4/3 where 2/3 is
# right: the program doubles it when nothing overflows its memory. The steps do not mind.
REFERENCE_CELLS = [
    (1, 0, 2.5), (1, 2, 2.0), (0, 0, 4 / 3), (0, 3, 1.0), (3, 0, 1.0), (2, 1, 2.0), (2, 3, 1.0), (1, 3, 1.0),
    (3, 1, 1.0), (2, 0, 1.5), (3, 2, 1.0), (0, 2, 1.5), (0, 1, 2.5),
]  # fmt: skip
REFERENCE_BEFORE = np.array(
    [
        [
            [-0.07508480125498872, -0.15117741173653743, 0.1642517414864083, -0.13998985165108765],
            [-0.11743706772915881, -0.14011844246343327, -0.07314450786129782, -0.0171815316117593],
            [-0.0005840557474879141, 0.13133395430538833, -0.16144178776448057, -0.07511659458983531],
            [0.15713958022672356, -0.09290728497299083, -0.027834967645429216, -0.08128766649462639],
        ],
        [
            [-0.04552689747831795, -0.07605096290014574, -0.02801107795040329, -0.08125235912448371],
            [-0.06571651276467205, -0.01291012058325273, -0.01627767839606122, -0.07153635390019185],
            [-0.14121558717819035, 0.10724717080930583, 0.15507957587099927, -0.03608610335244772],
            [-0.042125857687613864, 0.15656714389251258, -0.007543786975653129, 0.04945600772406411],
        ],
    ]
)
REFERENCE_AFTER = np.array(
    [
        [
            [-0.07760257405241933, -0.1399674543617521, 0.16573984733824462, 0.3628358548959687],
            [-0.11472160643377156, -0.15627031168832242, -0.08150157024243895, 0.37432226640883604],
            [-0.0009312107091533264, 0.1279632225962741, -0.1616555821662057, 0.16302932834805064],
            [0.15428669856012983, -0.08598418426143536, -0.01896413116335907, -0.2763830716292725],
        ],
        [
            [-0.05178066335977215, -0.0757094553748169, -0.04621727305856495, 0.24420997719745963],
            [-0.0775498349159238, -0.015757266496517045, -0.00731391238873176, 0.6544997134176119],
            [-0.1292223683361666, 0.10807180751587984, 0.15661205167499131, 0.2195820616619423],
            [-0.04037922438679038, 0.15439656641382685, 0.005116772122730806, -0.29603683010952364],
        ],
    ]
)
REFERENCE_SQUARES = np.array(
    [
        [
            [1.0000158603709246, 1.0000236177581554, 1.0000099812511571, 2.2695181596003704],
            [1.0000190915187812, 1.0000348283933835, 1.0000179197615335, 2.6372878562062994],
            [1.0000115984533928, 1.0000308834675304, 1.0000008204793511, 2.371097302699536],
            [1.0000207609866556, 1.000012760368466, 1.0000227357137206, 1.6949018295986054],
        ],
        [
            [1.0000568811922192, 1.0000955875027338, 1.0000593504895665, 2.953473915645883],
            [1.000018664748929, 1.0000590559036922, 1.0000805721393398, 2.417954602309935],
            [1.0000331228220771, 1.000027626376581, 1.000012969633779, 1.738420161874637],
            [1.0000088802228415, 1.0000411523315613, 1.0000480712402837, 1.8629564682743547],
        ],
    ]
)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_replays_the_authors_program(backend):
    row, col, x = map(np.array, zip(*REFERENCE_CELLS))
    X = Cooccurrence(row.astype(np.int32), col.astype(np.int32), x, 4)
    config = GloVeConfig.reference(d_model=3, x_max=2.0, epochs=4, dtype="float64", shuffle=False)
    model = GloVe(config).start(4)
    model.w[...], model.b[...] = REFERENCE_BEFORE[0, :, :3], REFERENCE_BEFORE[0, :, 3]
    model.w_tilde[...], model.b_tilde[...] = REFERENCE_BEFORE[1, :, :3], REFERENCE_BEFORE[1, :, 3]
    with kernels.using(backend):
        model.fit(X)
    ours = np.stack([np.column_stack([model.w, model.b]), np.column_stack([model.w_tilde, model.b_tilde])])
    np.testing.assert_allclose(ours, REFERENCE_AFTER, rtol=0, atol=1e-12)
    squares = np.stack([t[:, [0, 1, 2, -1]] for t in (model.words_sq, model.contexts_sq)])
    np.testing.assert_allclose(squares, REFERENCE_SQUARES, rtol=0, atol=1e-12)
    assert np.abs(REFERENCE_AFTER - REFERENCE_BEFORE).max() > 0.7


def test_the_programs_adagrad_is_adagrad_with_another_first_sum():
    X = cells(np.random.default_rng(20))
    options = dict(d_model=4, epochs=5, dtype="float64")
    theirs = GloVe(lr=0.05, first_sum=1.0, scale_squares=True, **options).fit(X)
    ours = GloVe(lr=1.0, first_sum=400.0, scale_squares=False, **options).fit(X)
    np.testing.assert_allclose(ours.words, theirs.words, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(ours.words_sq[:, :4] * 0.05**2, theirs.words_sq[:, :4], rtol=1e-12)


@pytest.mark.parametrize(
    "wrong", [{"bias_lr": None}, {"scale_squares": False}, {"alpha": 1.0}, {"x_max": 100.0}, {"lr": 0.06}]
)
def test_each_option_of_the_replay_matters(wrong):
    row, col, x = map(np.array, zip(*REFERENCE_CELLS))
    X = Cooccurrence(row.astype(np.int32), col.astype(np.int32), x, 4)
    options = {"d_model": 3, "x_max": 2.0, "epochs": 4, "dtype": "float64", "shuffle": False, **wrong}
    model = GloVe(GloVeConfig.reference(**options)).start(4)
    model.w[...], model.b[...] = REFERENCE_BEFORE[0, :, :3], REFERENCE_BEFORE[0, :, 3]
    model.w_tilde[...], model.b_tilde[...] = REFERENCE_BEFORE[1, :, :3], REFERENCE_BEFORE[1, :, 3]
    model.fit(X)
    assert np.abs(np.column_stack([model.w, model.b]) - REFERENCE_AFTER[0]).max() > 1e-6


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-6)])
@pytest.mark.parametrize("bias_lr", [None, 0.2])
def test_one_pass_equals_adagrad_on_the_autograd_engine(dtype, tolerance, bias_lr):
    X = cells(np.random.default_rng(4), dtype=np.dtype(dtype).type)
    config = GloVeConfig(d_model=5, epochs=1, dtype=dtype, shuffle=False, bias_lr=bias_lr)
    fast = GloVe(config).fit(X)
    readable = fit_readable(GloVe(config), X)
    for name in ("words", "contexts", "words_sq", "contexts_sq"):
        a, b = getattr(fast, name), getattr(readable, name)
        assert a.dtype == b.dtype == np.dtype(dtype)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert fast.history == pytest.approx(readable.history, rel=tolerance)


def test_the_readable_form_learns_in_batches():
    X = cells(np.random.default_rng(5))
    config = GloVeConfig(d_model=5, epochs=60, dtype="float64", scale_squares=False, lr=0.2)
    model = fit_readable(GloVe(config), X, batch_size=len(X))
    assert model.history[-1] < 0.1 * model.history[0]


def test_gradient_of_the_loss():
    from tinymm import gradcheck

    rng = np.random.default_rng(6)
    X = cells(rng, V=5, n=11)
    config = GloVeConfig(d_model=3)
    parameters = [rng.normal(size=shape) for shape in ((5, 3), (5, 3), 5, 5)]
    assert gradcheck(lambda w, c, b, d: glove_loss(w, c, b, d, X.row, X.col, X.x, config), parameters)


def test_the_readable_form_refuses_what_is_no_gradient():
    X = cells(np.random.default_rng(7))
    for options in ({"scale_squares": True}, {"clip": 1.0, "scale_squares": False}):
        with pytest.raises(ValueError, match="true gradient|follows the gradient"):
            fit_readable(GloVe(**options), X)


# ------------------------------------------------------------------------------------------------- training


def test_no_loss_and_no_step_where_log_x_has_rank_d():
    rng = np.random.default_rng(8)
    model = GloVe(d_model=3, dtype="float64", epochs=2).start(11)
    for part in (model.w, model.w_tilde, model.b, model.b_tilde):
        part[...] = rng.normal(size=part.shape)
    row, col = np.divmod(np.arange(121), 11)
    x = np.exp(model.predicted_log_x(row, col))
    before = model.words.copy()
    model.fit(Cooccurrence(row.astype(np.int32), col.astype(np.int32), x, 11))
    assert model.history[0] < 1e-28
    np.testing.assert_allclose(model.words, before, atol=1e-13)


def test_finds_a_model_of_rank_d():
    rng = np.random.default_rng(9)
    truth = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 20))
    row, col = np.divmod(np.arange(400), 20)
    X = Cooccurrence(row.astype(np.int32), col.astype(np.int32), np.exp(truth[row, col]), 20)
    model = GloVe(d_model=4, epochs=400, dtype="float64").fit(X)
    assert model.history[-1] < 1e-4 * model.history[0]


def test_the_weighting_is_continuous_and_ends_at_one():
    config = GloVeConfig(x_max=10.0, alpha=0.75)
    assert config.weight(10.0) == 1.0
    assert config.weight(1e6) == 1.0
    assert config.weight(10.0 * (1 - 1e-9)) == pytest.approx(1.0, abs=1e-8)
    assert config.weight(1.0) == pytest.approx(0.1**0.75)
    # The kernel's: the loss of one cell on either side of x_max.
    losses = []
    for x in (10 * (1 - 1e-9), 10.0, 10 * (1 + 1e-9)):
        tables = [np.full((2, 3), 0.1), np.full((2, 3), 0.2), np.ones((2, 3)), np.ones((2, 3))]
        index = np.zeros(1, np.int32)
        options = dict(x_max=10.0, alpha=0.75, lr=0.05, bias_lr=0.05, clip=math.inf, scale_squares=False)
        losses.append(kernels.glove_adagrad(index, index + 1, np.array([x]), *tables, **options))
    np.testing.assert_allclose(losses, losses[1], rtol=1e-8)


def test_the_same_bits_with_any_number_of_threads():
    ids = (1500 * np.random.default_rng(10).random(60_000) ** 2).astype(np.int32)
    X = count_cooccurrence(ids, np.array([0, len(ids)]), 1500)
    assert len(X) > 160_000, "too few cells for several parts"
    results = [GloVe(d_model=8, epochs=2, threads=threads).fit(X) for threads in (1, 2, 3)]
    for other in results[1:]:
        np.testing.assert_array_equal(other.vectors, results[0].vectors)
        assert other.history == results[0].history
    assert not np.array_equal(GloVe(d_model=8, epochs=2, seed=2).fit(X).vectors, results[0].vectors)


def test_blocks_of_a_round_share_no_row_and_no_column():
    rng = np.random.default_rng(11)
    X = cells(rng, V=40, n=900)
    parts = [rng.integers(0, 4, 40).astype(np.int32) for _ in range(2)]
    for module in (plain, compiled):
        row, col, x, bounds = module.glove_blocks(X.row, X.col, X.x, *parts, 4, 12345)
        assert sorted(zip(row, col, x)) == sorted(zip(X.row, X.col, X.x))
        assert bounds[0] == 0 and bounds[-1] == 900 and len(bounds) == 17
        for r in range(4):
            blocks = [slice(bounds[b], bounds[b + 1]) for b in range(4 * r, 4 * r + 4)]
            for index in (row, col):
                used = [set(index[b]) for b in blocks]
                assert sum(map(len, used)) == len(set.union(*used))
    for a, b in zip(plain.glove_blocks(X.row, X.col, X.x, *parts, 4, 5), compiled.glove_blocks(
        X.row, X.col, X.x, *parts, 4, 5
    )):  # fmt: skip
        np.testing.assert_array_equal(a, b)
    shuffled = plain.glove_blocks(X.row, X.col, X.x, *[np.zeros(40, np.int32)] * 2, 1, 6)
    moved = np.mean(shuffled[0] * 40 + shuffled[1] != X.row * 40 + X.col)
    assert moved > 0.98


def test_padding_stays_zero_and_rows_fill_cache_lines():
    X = cells(np.random.default_rng(12), dtype=np.float32)
    model = GloVe(d_model=20, epochs=3).fit(X)
    for table in (model.words, model.contexts):
        assert table.strides[0] % 64 == 0 and table.ctypes.data % 64 == 0
        assert not table[:, 20:-1].any()
        assert table[:, :20].all() and table[:, -1].all()
    assert model.vectors.shape == (13, 20)
    np.testing.assert_array_equal(model.vectors, model.w + model.w_tilde)


def test_training_goes_on_where_it_stopped_and_stops_when_told():
    X = cells(np.random.default_rng(13))
    model = GloVe(d_model=4, epochs=5)
    model.fit(X, callback=lambda m: len(m.history) == 2)
    assert len(model.history) == 2
    model.fit(X)
    assert len(model.history) == 7
    assert np.all(np.diff(model.history) < 0)


def test_ratios_from_vectors_that_fit():
    ids = np.random.default_rng(14).integers(0, 6, 4000)
    X = count_cooccurrence(ids, np.array([0, 4000]), 6, window=2, dtype="float64")
    config = GloVeConfig(d_model=8, epochs=1500, dtype="float64")
    model = GloVe(config).fit(X)
    for k, i, j in ((0, 1, 2), (3, 1, 5), (5, 0, 4)):
        assert model.ratio(k, i, j) == pytest.approx(X.ratio(k, i, j), rel=0.02)


def test_from_a_corpus():
    lines = ["the cat sat on the mat", "the dog sat on the log", "the cat ate the dog"]
    corpus = text.from_sentences([line.split() for line in lines], min_count=1)
    model = GloVe(d_model=6, epochs=3).fit(corpus)
    assert model.vectors.shape == (len(corpus.vocabulary), 6)
    assert model.vocabulary is corpus.vocabulary
    words = corpus.vocabulary.ids
    X = model.count(corpus)
    assert X[words["cat"], words["sat"]] == 1.0
    assert GloVe(d_model=6, epochs=3).fit(X).most_similar("cat") == model.most_similar("cat")
    np.testing.assert_array_equal(model["cat"], model.vectors[words["cat"]])
    assert "cat" not in dict(model.most_similar("cat", n=3)) and len(model.most_similar("cat", n=3)) == 3


# ------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_model": 0}, "d_model is 0"),
        ({"d_model": -3}, "d_model is -3"),
        ({"window": 0}, "window is 0"),
        ({"window": 256}, "at most 255"),
        ({"threads": -1}, "threads is -1"),
        ({"epochs": -1}, "epochs is -1"),
        ({"x_max": 0.0}, "x_max is 0.0"),
        ({"x_max": math.nan}, "x_max is nan"),
        ({"lr": -0.1}, "lr is -0.1"),
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        GloVeConfig(**options)


@pytest.mark.parametrize(
    ("ids", "starts", "n_words", "message"),
    [
        ([], [0, 0], 5, "the text is empty"),
        ([1, 1, 1], [0, 3], 5, "1 different words"),
        ([-1, -1], [0, 2], 5, "0 different words"),
        ([0, 1], [0, 2], 1, "a vocabulary of 1 words"),
        ([0, 5], [0, 2], 5, "ids go from 0 to 5"),
        ([0, -2], [0, 2], 5, "ids go from -2 to 0"),
        ([0, 1], [0, 1], 5, "starts must rise from 0 to 2"),
        ([0, 1], [0, 3, 2], 5, "starts must rise"),
        ([0.0, 1.0], [0, 2], 5, "dtype float64"),
        ([0, 1], [0, 1, 2], 5, "no two words of the text stand in one sentence"),
    ],
)
def test_a_wrong_text_is_named(ids, starts, n_words, message):
    with pytest.raises(ValueError, match=message) as caught:
        ids = np.array(ids) if ids else np.empty(0, np.int32)
        count_cooccurrence(ids, np.array(starts), n_words)
    assert "\n" not in str(caught.value)


def test_too_little_memory_says_how_much_is_needed():
    ids = np.random.default_rng(15).integers(0, 500, 100_000)
    with pytest.raises(ValueError, match=r"max_memory_mb is 0.01; this text needs at least (\d+) with 2") as caught:
        count_cooccurrence(ids, np.array([0, len(ids)]), 500, max_memory_mb=0.01, threads=2)
    least = int(str(caught.value).split("at least ")[1].split()[0])
    assert len(count_cooccurrence(ids, np.array([0, len(ids)]), 500, max_memory_mb=least, threads=2)) > 0


def test_wrong_option_of_counting():
    with pytest.raises(ValueError, match="oov is 'never'"):
        count([[0, 1]], 2, oov="never")


@pytest.mark.parametrize("bad", [math.nan, 0.0, -1.0, math.inf])
def test_wrong_counts_are_refused_before_training(bad):
    X = cells(np.random.default_rng(16))
    X.x[7] = bad
    model = GloVe(d_model=4)
    with pytest.raises(ValueError, match="expected finite numbers above 0"):
        model.fit(X)


def test_other_wrong_cells():
    X = cells(np.random.default_rng(17))
    with pytest.raises(ValueError, match="co-occurrences are of 13 words; expected 14"):
        GloVe().start(14).fit(X)
    X.col[3] = 13
    with pytest.raises(ValueError, match="col goes from 0 to 13; expected 0 to 12"):
        GloVe().fit(X)
    none = np.empty(0, np.int32)
    with pytest.raises(ValueError, match="no co-occurrences"):
        GloVe().fit(Cooccurrence(none, none, np.empty(0), 13))
    with pytest.raises(ValueError, match="lengths 0, 0 and 1"):
        Cooccurrence(none, none, np.empty(1), 13)
    with pytest.raises(ValueError, match="the vocabulary has 1 words"):
        GloVe().start(1)
    with pytest.raises(ValueError, match="try fit first"):
        GloVe().start(5).ratio(0, 1, 2)
    for too_early in (lambda m: m.vectors, lambda m: m["cat"], lambda m: m.most_similar("cat"), lambda m: m.b_tilde):
        with pytest.raises(ValueError, match="try fit first"):
            too_early(GloVe())
    with pytest.raises(ValueError, match="only by number; try fit with a Corpus"):
        GloVe().start(5).most_similar("cat")


def test_divergence_is_said():
    X = cells(np.random.default_rng(18))
    with pytest.raises(FloatingPointError, match="diverged in pass .; try an lr below 1e"), np.errstate(all="ignore"):
        GloVe(d_model=4, lr=1e30, scale_squares=False, epochs=9).fit(X)


def test_the_kernel_refuses_tables_that_it_could_not_change():
    X = cells(np.random.default_rng(19))
    tables = [np.ones((13, 5)) for _ in range(4)]
    tables[1] = np.ones((13, 10))[:, ::2]
    options = dict(x_max=10.0, alpha=0.75, lr=0.05, bias_lr=0.05, clip=1.0, scale_squares=False)
    with pytest.raises(ValueError, match="contexts is changed in place"):
        compiled.glove_adagrad(X.row, X.col, X.x, *tables, **options)
