"""Row-wise, element-wise and scatter kernels: compiled equals plain, plain equals SciPy, edges are as documented."""

import ast
import importlib
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from tinymm import kernels
from tinymm.kernels.compiled import elementwise, rowwise, scatter
from tinymm.kernels.plain import elementwise as plain_elementwise
from tinymm.kernels.plain import rowwise as plain_rowwise
from tinymm.kernels.plain import scatter as plain_scatter

DTYPES = (np.float32, np.float64)
TOLERANCE = {np.float32: 1e-6, np.float64: 1e-14}
BACKENDS = {"plain": (plain_rowwise, plain_elementwise, plain_scatter), "compiled": (rowwise, elementwise, scatter)}
MAPS = ["exp", "tanh", "sigmoid", "erf", "relu", "silu", "gelu", "gelu_tanh"]
FROM_OUTPUT = {"tanh", "sigmoid", "relu"}  # their gradients take y, the others' take x

both = pytest.mark.parametrize("backend", BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
some_shapes = st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple)
seeds = st.integers(0, 2**32 - 1)
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e4, -1e4, 1e-30, 80.0, -80.0]


def draw(seed, shape, dtype, special_share=0.0):
    """Normal numbers, some of them replaced by special ones; every second array is not contiguous."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 3, size=(*shape[:-1], 2 * shape[-1])).astype(dtype)
    special_ones = rng.choice(np.array(SPECIAL, dtype), size=x.shape)
    x = np.where(rng.random(x.shape) < special_share, special_ones, x)
    return x[..., ::2] if seed % 2 else x[..., : shape[-1]].copy()


def agree(a, b, tolerance=None, scale=1.0):
    """Equal shape, dtype, NaN and infinities; the rest within `tolerance` of max(scale, largest finite)."""
    if isinstance(b, tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b):
            agree(one, other, tolerance, scale)
        return
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape and a.dtype == b.dtype
    tolerance = tolerance or 4 * TOLERANCE[b.dtype.type]
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite], b[~finite])
    largest = max(scale, np.abs(b[finite]).max(initial=0))
    assert np.abs(a[finite].astype(np.float64) - b[finite]).max(initial=0) <= tolerance * largest


# ---------------------------------------------------------------------- compiled equals plain


@settings(max_examples=60, deadline=None)
@given(some_shapes, seeds, st.sampled_from(DTYPES), st.integers(-3, 2), st.sampled_from([0.0, 0.1, 0.5]))
def test_softmax_family_equals_its_twin(shape, seed, dtype, axis, share):
    axis = axis % len(shape)
    x, g = draw(seed, shape, dtype, share), draw(seed + 1, shape, dtype)
    with np.errstate(all="ignore"):
        for name in ("softmax", "log_softmax"):
            y = getattr(plain_rowwise, name)(x, axis)
            agree(getattr(rowwise, name)(x, axis), y)
            backward = name + "_backward"
            agree(getattr(rowwise, backward)(g, y, axis), getattr(plain_rowwise, backward)(g, y, axis))
        y = plain_rowwise.logsumexp(x, axis)
        agree(rowwise.logsumexp(x, axis), y)
        d_y = draw(seed + 2, (*y.shape, 1), dtype)[..., 0]
        agree(rowwise.logsumexp_backward(d_y, x, y, axis), plain_rowwise.logsumexp_backward(d_y, x, y, axis))


@settings(max_examples=40, deadline=None)
@given(some_shapes, seeds, st.sampled_from(DTYPES), st.booleans(), st.booleans(), st.sampled_from([0.0, 0.1]))
def test_layer_norm_equals_its_twin(shape, seed, dtype, with_weight, with_bias, share):
    x, g = draw(seed, shape, dtype, share), draw(seed + 1, shape, dtype)
    x[np.abs(x) == 1e4] = 1  # two such in a row leave only rounding of the mean
    weight = draw(seed + 2, shape[-1:], dtype) if with_weight else None
    bias = draw(seed + 3, shape[-1:], dtype) if with_bias else None
    with np.errstate(all="ignore"):
        expected = plain_rowwise.layer_norm(x, weight, bias, 1e-2)
        agree(rowwise.layer_norm(x, weight, bias, 1e-2), expected)
        _, mean, rstd = expected
        agree(
            rowwise.layer_norm_backward(g, x, mean, rstd, weight),
            plain_rowwise.layer_norm_backward(g, x, mean, rstd, weight),
            scale=100.0,
        )


@settings(max_examples=60, deadline=None)
@given(some_shapes, seeds, st.sampled_from(DTYPES), st.sampled_from([0.0, 0.1]), st.sampled_from([0.0, 0.1]))
def test_cross_entropy_equals_its_twin(shape, seed, dtype, smoothing, share):
    shape = (*shape[:-1], shape[-1] + 1)
    logits = draw(seed, shape, dtype, share)
    g = draw(seed + 1, (*shape[:-1], 1), dtype)[..., 0]
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, shape[-1], shape[:-1])
    targets = np.where(rng.random(targets.shape) < 0.2, -100, targets)
    with np.errstate(all="ignore"):
        expected = plain_rowwise.cross_entropy(logits, targets, -100, smoothing)
        agree(rowwise.cross_entropy(logits, targets, -100, smoothing), expected)
        kept = expected[1]
        agree(
            rowwise.cross_entropy_backward(g, logits, targets, kept, -100, smoothing),
            plain_rowwise.cross_entropy_backward(g, logits, targets, kept, -100, smoothing),
        )


@pytest.mark.parametrize("name", MAPS)
@settings(max_examples=30, deadline=None)
@given(some_shapes, seeds, st.sampled_from(DTYPES), st.sampled_from([0.0, 0.2]))
def test_maps_equal_their_twins(name, shape, seed, dtype, share):
    x, g = draw(seed, shape, dtype, share), draw(seed + 1, shape, dtype)
    with np.errstate(all="ignore"):
        y = getattr(plain_elementwise, name)(x)
        agree(getattr(elementwise, name)(x), y)
        if name != "exp":
            argument = y if name in FROM_OUTPUT else np.where(np.abs(x) == 1e4, 1, x)
            backward = name + "_backward"
            agree(getattr(elementwise, backward)(g, argument), getattr(plain_elementwise, backward)(g, argument))


@each_dtype
@pytest.mark.parametrize("shape", [(700, 63), (700, 64), (300, 130), (1, 60_000), (60_000, 1), (3, 5, 7000)])
def test_large_arrays_take_the_parallel_way_to_the_same_result(shape, dtype):
    x, g = draw(2, shape, dtype), draw(4, shape, dtype)
    weight = draw(6, shape[-1:], dtype)
    rows = x.shape[:-1]
    targets = np.random.default_rng(0).integers(0, shape[-1], rows)
    for name in ("softmax", "log_softmax"):
        y = getattr(plain_rowwise, name)(x)
        agree(getattr(rowwise, name)(x), y)
        backward = name + "_backward"
        agree(getattr(rowwise, backward)(g, y), getattr(plain_rowwise, backward)(g, y), scale=x.shape[-1] ** 0.5)
    d = draw(8, (*rows, 1), dtype)[..., 0]
    y = plain_rowwise.logsumexp(x)
    agree(rowwise.logsumexp(x), y)
    agree(rowwise.logsumexp_backward(d, x, y), plain_rowwise.logsumexp_backward(d, x, y))
    expected = plain_rowwise.layer_norm(x, weight, weight)
    agree(rowwise.layer_norm(x, weight, weight), expected, scale=10.0)
    _, mean, rstd = expected
    agree(
        rowwise.layer_norm_backward(g, x, mean, rstd, weight),
        plain_rowwise.layer_norm_backward(g, x, mean, rstd, weight),
        scale=1000.0,
    )
    for smoothing in (0.0, 0.1):
        expected = plain_rowwise.cross_entropy(x, targets, 0, smoothing)
        agree(rowwise.cross_entropy(x, targets, 0, smoothing), expected)
        agree(
            rowwise.cross_entropy_backward(d, x, targets, expected[1], 0, smoothing),
            plain_rowwise.cross_entropy_backward(d, x, targets, expected[1], 0, smoothing),
        )
    agree(elementwise.gelu(x), plain_elementwise.gelu(x))
    agree(elementwise.gelu_backward(g, x), plain_elementwise.gelu_backward(g, x))
    np.testing.assert_array_equal(elementwise.dropout(x, 0.3, 9), plain_elementwise.dropout(x, 0.3, 9))


# ---------------------------------------------------------------------- how exact


def error_in_ulp(y, truth):
    truth = truth.astype(np.longdouble)
    tiny = np.finfo(y.dtype).tiny
    ulp = np.spacing(np.maximum(np.abs(truth), tiny).astype(y.dtype))
    return float((np.abs(y.astype(np.longdouble) - truth) / ulp).max())


@each_dtype
def test_compiled_functions_are_within_their_stated_units_in_the_last_place(dtype):
    wide = np.float64 if dtype is np.float32 else np.longdouble
    x = np.concatenate([np.linspace(-86, 88, 300_001), np.linspace(-1, 1, 100_001)]).astype(dtype)
    assert error_in_ulp(elementwise.exp(x), np.exp(x.astype(wide))) < 1.2
    x = np.concatenate([np.linspace(-12, 12, 300_001), np.logspace(-30, 0, 10_001)]).astype(dtype)
    e = np.exp(-np.abs(x.astype(wide)))
    assert error_in_ulp(elementwise.tanh(x), np.tanh(x.astype(wide))) < 2.5
    assert error_in_ulp(elementwise.sigmoid(x), np.where(x > 0, 1, e) / (1 + e)) < 2.5
    assert error_in_ulp(elementwise.erf(x), special.erf(x.astype(np.float64))) < 2.5


def test_float32_against_float64_truth():
    x = np.linspace(-9, 9, 400_001).astype(np.float32)
    wide = x.astype(np.float64)
    one = np.ones_like(x)
    phi, density = special.ndtr(wide), np.exp(-wide * wide / 2) / np.sqrt(2 * np.pi)
    assert np.abs(elementwise.gelu(x) - wide * phi).max() < 1.2e-6
    assert np.abs(elementwise.gelu(x) - wide * phi)[np.abs(x) < 4].max() < 1e-6
    assert np.abs(elementwise.gelu_backward(one, x) - (phi + wide * density)).max() < 5e-7
    inner = np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)
    assert np.abs(elementwise.gelu_tanh(x) - 0.5 * wide * (1 + np.tanh(inner))).max() < 1e-6
    rows = np.random.default_rng(0).uniform(-4, 4, size=(200, 300)).astype(np.float32)  # x - largest rounds by 2e-7
    truth = special.softmax(rows.astype(np.float64), axis=-1)
    assert (np.abs(rowwise.softmax(rows) - truth) / truth).max() < 1e-6


@both
@each_dtype
def test_softmax_and_logsumexp_equal_scipy(backend, dtype):
    kernel = BACKENDS[backend][0]
    x = draw(0, (7, 11, 5), dtype)
    for axis in (-1, 0, 1):
        agree(kernel.softmax(x, axis), special.softmax(x.astype(np.float64), axis).astype(dtype))
        agree(kernel.log_softmax(x, axis), special.log_softmax(x.astype(np.float64), axis).astype(dtype))
        agree(kernel.logsumexp(x, axis), special.logsumexp(x.astype(np.float64), axis).astype(dtype))


@both
@pytest.mark.parametrize("name", [name for name in MAPS if name not in ("exp", "relu")])
def test_gradients_are_the_slopes(backend, name):
    kernel = BACKENDS[backend][1]
    x, g = draw(0, (500,), np.float64), draw(2, (500,), np.float64)
    h = 1e-5
    forward = getattr(kernel, name)
    slope = (forward(x + h) - forward(x - h)) / (2 * h)
    argument = forward(x) if name in FROM_OUTPUT else x
    np.testing.assert_allclose(getattr(kernel, name + "_backward")(g, argument), g * slope, atol=1e-9)


@both
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_gradients_of_the_softmax_family_are_the_slopes(backend, name):
    kernel = BACKENDS[backend][0]
    x, v = draw(0, (5, 7), np.float64), draw(2, (5, 7), np.float64)
    forward, backward = getattr(kernel, name), getattr(kernel, name + "_backward")
    y = forward(x)
    g = np.random.default_rng(1).normal(size=y.shape)
    slope = ((forward(x + 1e-5 * v) - forward(x - 1e-5 * v)) * g).sum() / 2e-5
    d = backward(g, x, y) if name == "logsumexp" else backward(g, y)
    assert abs((d * v).sum() - slope) < 1e-8


@both
def test_gradients_of_layer_norm_are_the_slopes(backend):
    kernel = BACKENDS[backend][0]
    inputs = [draw(0, (3, 5, 7), np.float64), draw(2, (7,), np.float64), draw(4, (7,), np.float64)]
    y, mean, rstd = kernel.layer_norm(*inputs)
    g = draw(6, y.shape, np.float64)
    gradients = kernel.layer_norm_backward(g, inputs[0], mean, rstd, inputs[1])
    for place, d in enumerate(gradients):
        v = draw(8, inputs[place].shape, np.float64)
        up, down = list(inputs), list(inputs)
        up[place], down[place] = inputs[place] + 1e-5 * v, inputs[place] - 1e-5 * v
        slope = ((kernel.layer_norm(*up)[0] - kernel.layer_norm(*down)[0]) * g).sum() / 2e-5
        assert abs((d * v).sum() - slope) < 1e-7


@both
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradient_of_cross_entropy_is_the_slope(backend, smoothing):
    kernel = BACKENDS[backend][0]
    x, v, g = draw(0, (5, 7), np.float64), draw(2, (5, 7), np.float64), draw(4, (5,), np.float64)
    targets = np.array([0, 6, -1, 3, 3])
    up, down = (kernel.cross_entropy(x + h * v, targets, -1, smoothing)[0] for h in (1e-5, -1e-5))
    d = kernel.cross_entropy_backward(g, x, targets, kernel.cross_entropy(x, targets, -1)[1], -1, smoothing)
    assert abs((d * v).sum() - ((up - down) * g).sum() / 2e-5) < 1e-8
    assert not d[2].any()


# ---------------------------------------------------------------------- edges


@both
@each_dtype
@pytest.mark.parametrize("columns", [3, 100])
def test_masked_entries_infinities_and_nan_in_softmax(backend, dtype, columns):
    kernel = BACKENDS[backend][0]
    x = np.zeros((6, columns), dtype)
    x[0, 1] = np.nan
    x[1, 0] = -np.inf
    x[2] = -np.inf
    x[3, 0], x[3, 1] = 1e4, -1e4
    x[4] = -1e4
    y = kernel.softmax(x)
    assert np.isnan(y[0]).all() and np.isfinite(y[1:]).all()
    assert y[1, 0] == 0
    np.testing.assert_allclose(y[1, 1:], 1 / (columns - 1), rtol=1e-6)
    assert not y[2].any()
    assert y[3, 0] == 1 and not y[3, 1:].any()
    np.testing.assert_allclose(y[4:], 1 / columns, rtol=1e-6)
    log_y = kernel.log_softmax(x)
    assert np.isnan(log_y[0]).all() and (log_y[2] == -np.inf).all() and log_y[1, 0] == -np.inf
    assert log_y[3, 0] == 0 and log_y[3, 1] == -2e4
    lse = kernel.logsumexp(x)
    assert np.isnan(lse[0]) and lse[2] == -np.inf and lse[3] == 1e4
    assert not kernel.logsumexp_backward(np.ones(6, dtype), x, lse)[2].any()
    x[5, 2] = np.inf
    assert kernel.logsumexp(x)[5] == np.inf


@both
def test_large_logits_keep_their_digits_in_float32(backend):
    kernel = BACKENDS[backend][0]
    x = np.random.default_rng(0).normal(size=(50, 9))
    targets = np.arange(50) % 9
    big = (x.astype(np.float32) + np.float32(1e4)).astype(np.float64)
    loss, kept = kernel.cross_entropy(big, targets)
    single_loss, single_kept = kernel.cross_entropy(big.astype(np.float32), targets)
    np.testing.assert_allclose(single_loss, loss, atol=1e-6)
    g = np.ones(50)
    np.testing.assert_allclose(
        kernel.cross_entropy_backward(g.astype(np.float32), big.astype(np.float32), targets, single_kept),
        kernel.cross_entropy_backward(g, big, targets, kept),
        atol=1e-6,
    )
    np.testing.assert_allclose(kernel.log_softmax(big.astype(np.float32)), kernel.log_softmax(big), atol=1e-6)
    np.testing.assert_allclose(kernel.layer_norm(big.astype(np.float32))[0], kernel.layer_norm(big)[0], atol=2e-3)


@both
@each_dtype
def test_infinities_and_nan_in_the_maps(backend, dtype):
    kernel = BACKENDS[backend][1]
    x = np.array([-np.inf, np.inf, np.nan, 0.0, -0.0], dtype)
    np.testing.assert_array_equal(kernel.exp(x), np.array([0, np.inf, np.nan, 1, 1], dtype))
    np.testing.assert_array_equal(kernel.tanh(x), np.array([-1, 1, np.nan, 0, 0], dtype))
    np.testing.assert_array_equal(kernel.sigmoid(x), np.array([0, 1, np.nan, 0.5, 0.5], dtype))
    np.testing.assert_array_equal(kernel.erf(x), np.array([-1, 1, np.nan, 0, 0], dtype))
    np.testing.assert_array_equal(kernel.relu(x), np.array([0, np.inf, np.nan, 0, 0], dtype))
    np.testing.assert_array_equal(kernel.gelu(x)[1:], np.array([np.inf, np.nan, 0, 0], dtype))
    assert kernel.gelu(np.array([-1e4, 1e4], dtype)).tolist() == [0, 1e4]


def test_exp_of_a_float32_goes_down_to_the_smallest_and_up_to_the_largest():
    x = np.array([-110, -104, -103, -100, -87.5, 88.7, 88.8, 1000], np.float32)
    with np.errstate(over="ignore"):
        expected = np.exp(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(elementwise.exp(x), expected, rtol=2e-7, atol=1.5e-45)


@both
@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0), (0, 0), (2, 0, 3), (2, 3, 0)])
def test_zero_sizes(backend, shape):
    rows, maps, _ = BACKENDS[backend]
    x = np.zeros(shape, np.float32)
    assert rows.softmax(x).shape == rows.softmax_backward(x, x).shape == shape
    assert rows.log_softmax(x).shape == rows.log_softmax_backward(x, x).shape == shape
    lse = rows.logsumexp(x)
    assert lse.shape == shape[:-1] and (lse == -np.inf).all()
    assert rows.logsumexp_backward(lse, x, lse).shape == shape
    y, mean, rstd = rows.layer_norm(x)
    assert y.shape == shape and mean.shape == rstd.shape == shape[:-1]
    d_x, d_weight, d_bias = rows.layer_norm_backward(y, x, mean, rstd)
    assert d_x.shape == shape and d_weight.tolist() == d_bias.tolist() == [0] * shape[-1]
    targets = np.full(shape[:-1], -100)
    loss, kept = rows.cross_entropy(x, targets)
    assert loss.shape == shape[:-1] and not loss.any()
    assert rows.cross_entropy_backward(loss, x, targets, kept).shape == shape
    for name in MAPS:
        assert getattr(maps, name)(x).shape == shape
    assert maps.dropout(x, 0.5, 0).shape == shape


@both
def test_inputs_are_left_alone_and_may_be_read_only_strided_or_broadcast(backend):
    rows, maps, _ = BACKENDS[backend]
    base = draw(0, (6, 10), np.float64)
    read_only = base.copy()
    read_only.setflags(write=False)
    wide = np.broadcast_to(base[0], (6, 10))
    packed = np.frombuffer(b"x" + base.tobytes(), np.uint8)[1:].view(np.float64).reshape(6, 10)  # not aligned
    for x in (base, read_only, base[::2, ::-1], base.T, wide, packed):
        before = x.copy()
        agree(rows.softmax(x), special.softmax(before, -1))
        agree(maps.gelu(x), before * special.ndtr(before))
        agree(rows.softmax_backward(x, rows.softmax(x)), rows.softmax_backward(before, rows.softmax(before)))
        np.testing.assert_array_equal(x, before)


# ---------------------------------------------------------------------- dropout


def test_dropout_is_the_same_function_of_seed_and_position_in_both_twins():
    for shape in [(1,), (7, 3), (64, 64), (300, 301)]:
        x = draw(0, shape, np.float32)
        for seed in (0, 1, 2**40 + 3, -5):
            mask = plain_elementwise.dropout_mask(shape, 0.3, seed)
            y = elementwise.dropout(x, 0.3, seed)
            np.testing.assert_array_equal(y, plain_elementwise.dropout(x, 0.3, seed))
            np.testing.assert_array_equal(y, np.where(mask, x * np.float32(1 / 0.7), np.float32(0)))
    whole = plain_elementwise.dropout_mask(1000, 0.5, 3)
    np.testing.assert_array_equal(whole[:77], plain_elementwise.dropout_mask(77, 0.5, 3))


def test_dropout_drops_the_share_asked_for_independently_of_place_and_seed():
    n = 1_000_000
    for p in (0.001, 0.1, 0.5, 0.9):
        dropped = n - np.count_nonzero(elementwise.dropout(np.ones(n, np.float32), p, 11))
        assert abs(dropped - n * p) < 5 * (n * p * (1 - p)) ** 0.5
    masks = [plain_elementwise.dropout_mask(n, 0.5, seed).astype(np.float64) - 0.5 for seed in (0, 1, 2, 2**32, 2**33)]
    for i, a in enumerate(masks):
        for lag in (1, 2, 3, 64, 256, 4096):
            assert abs(a[:-lag] @ a[lag:]) < 5 * 0.25 * n**0.5
        for b in masks[:i]:
            assert abs(a @ b) < 5 * 0.25 * n**0.5


@both
def test_dropout_of_nothing_and_of_everything(backend):
    kernel = BACKENDS[backend][1]
    x = draw(0, (50, 7), np.float32)
    np.testing.assert_array_equal(kernel.dropout(x, 0.0, 1), x)
    assert not kernel.dropout(x, 1.0, 1).any()
    assert not kernel.dropout(x, 1 - 1e-12, 1).any()
    for p in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            kernel.dropout(x, p, 1)


# ---------------------------------------------------------------------- rows by index


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 9), some_shapes, seeds, st.sampled_from(DTYPES))
def test_gather_and_scatter_equal_their_twins(V, D, shape, seed, dtype):
    rng = np.random.default_rng(seed)
    table, index = rng.normal(size=(V, D)).astype(dtype), rng.integers(0, V, shape)
    rows = rng.normal(size=(*shape, D)).astype(dtype)
    np.testing.assert_array_equal(scatter.gather_rows(table, index), table[index])
    np.testing.assert_array_equal(plain_scatter.gather_rows(table, index), table[index])
    ours, twins = table.copy(), table.copy()
    assert scatter.scatter_add_rows(ours, index, rows) is ours
    assert plain_scatter.scatter_add_rows(twins, index, rows) is twins
    np.testing.assert_array_equal(ours, twins)  # the same order of additions: the same bits
    expected = table + np.stack([rows[index == v].sum(0) for v in range(V)])
    np.testing.assert_allclose(ours, expected, rtol=1e-5 if dtype is np.float32 else 1e-13, atol=1e-5)


@each_dtype
@pytest.mark.parametrize("D", [3, 64, 130, 512])
def test_large_gather_and_scatter_equal_their_twins(D, dtype):
    rng = np.random.default_rng(0)
    table, index = rng.normal(size=(50, D)).astype(dtype), rng.integers(0, 50, 20_000)
    rows = rng.normal(size=(20_000, D)).astype(dtype)
    np.testing.assert_array_equal(scatter.gather_rows(table, index), table[index])
    np.testing.assert_array_equal(
        scatter.scatter_add_rows(table.copy(), index, rows), plain_scatter.scatter_add_rows(table.copy(), index, rows)
    )


# ---------------------------------------------------------------------- errors


@both
def test_errors_say_what_is_wrong(backend):
    rows, maps, by_index = BACKENDS[backend]
    x = np.zeros((3, 4), np.float32)
    wrong = [np.zeros((3, 4), int), np.zeros((3, 4), np.float16), np.zeros((3, 4), complex), np.zeros((3, 4), bool)]
    for bad in wrong:
        for kernel in (rows.softmax, rows.logsumexp, rows.layer_norm, maps.gelu, maps.exp):
            with pytest.raises(TypeError, match=r"float32 or float64. Try .*astype"):
                kernel(bad)
    with pytest.raises(ValueError, match=r"expected float32 \(4,\)"):
        rows.layer_norm(x, np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"expected float32 \(4,\)"):
        rows.layer_norm(x, np.ones(4))
    with pytest.raises(np.exceptions.AxisError):
        rows.softmax(x, 2)
    for targets in ([0, 1, 4], [0, -1, 0]):
        with pytest.raises(IndexError, match="out of range for 4 classes"):
            rows.cross_entropy(x, targets)
    with pytest.raises(ValueError, match="one class index for each row"):
        rows.cross_entropy(x, [0, 1])
    with pytest.raises(TypeError, match="expected integers"):
        rows.cross_entropy(x, [0.0, 1.0, 2.0])
    loss, kept = rows.cross_entropy(x, [0, 1, 2])
    with pytest.raises(IndexError, match="out of range for 4 classes"):
        rows.cross_entropy_backward(loss, x, [0, 1, 9], kept)
    for index in ([0, 3], [-1]):
        with pytest.raises(IndexError, match="out of range for 3 rows"):
            by_index.gather_rows(x, index)
        with pytest.raises(IndexError, match="out of range for 3 rows"):
            by_index.scatter_add_rows(x.copy(), index, np.ones((len(index), 4), np.float32))
    with pytest.raises(ValueError, match="two dimensions"):
        by_index.gather_rows(x[0], [0])
    with pytest.raises(ValueError, match="one row of out"):
        by_index.scatter_add_rows(x.copy(), [0, 1], np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match="in place"):
        by_index.scatter_add_rows(np.zeros((3, 8), np.float32)[:, ::2], [0], np.ones((1, 4), np.float32))
    with pytest.raises(TypeError, match="out must be"):
        by_index.scatter_add_rows(np.zeros((3, 4), int), [0], np.ones((1, 4), np.float32))


def test_compiled_gradients_of_another_shape_or_dtype_are_refused():
    x = np.zeros((3, 4), np.float32)
    _, mean, rstd = rowwise.layer_norm(x)
    _, kept = rowwise.cross_entropy(x, [0, 1, 2])
    for g in (np.zeros((3, 5), np.float32), np.zeros((4, 3), np.float32), np.zeros((3, 4))):
        for call in (
            lambda g: rowwise.softmax_backward(g, x),
            lambda g: rowwise.log_softmax_backward(g, x),
            lambda g: rowwise.layer_norm_backward(g, x, mean, rstd),
            lambda g: elementwise.gelu_backward(g, x),
        ):
            with pytest.raises(ValueError, match="gradient g is"):
                call(g)
    for g in (np.zeros(4, np.float32), np.zeros(3)):
        with pytest.raises(ValueError, match="one number a row"):
            rowwise.cross_entropy_backward(g, x, [0, 1, 2], kept)
        with pytest.raises(ValueError, match="one number a row"):
            rowwise.logsumexp_backward(g, x, mean)
        with pytest.raises(ValueError, match="one number a row"):
            rowwise.layer_norm_backward(x, x, g, rstd)
    with pytest.raises(ValueError, match="what cross_entropy returned"):
        rowwise.cross_entropy_backward(mean, x, [0, 1, 2], kept[:2])


# ---------------------------------------------------------------------- threads and compilation

FINGERPRINT = """
import hashlib, numba, numpy as np
from tinymm import kernels as k
from tinymm.kernels.compiled import rowwise
assert numba.get_num_threads() == {threads}
k.use("numba")
rng = np.random.default_rng(0)
digest = hashlib.sha256()
for shape in [(1000, 256), (9000, 32), (3, 70_000), (70_000, 3)]:
    x, g = rng.normal(size=(2, *shape)).astype(np.float32)
    w, t = x[0].copy(), rng.integers(0, shape[1], shape[0])
    p, state = x.copy(), np.zeros((2, x.size), np.float32)
    k.adam(p, g, *state, 1e-3)
    y, mean, rstd = k.layer_norm(x, w, w)
    loss, kept = k.cross_entropy(x, t, -100, 0.1)
    values = [
        k.softmax(x), k.softmax_backward(g, x), k.log_softmax(x), k.logsumexp(x), y, mean, rstd,
        *k.layer_norm_backward(g, x, mean, rstd, w), loss, kept, k.cross_entropy_backward(mean, x, t, kept, -100, 0.1),
        k.gelu(x), k.gelu_backward(g, x), k.dropout(x, 0.1, 3), p, np.float64(k.sum_of_squares(x)),
        k.scatter_add_rows(np.zeros((3, shape[1]), np.float32), t % 3, x), k.gather_rows(x, t % 3),
    ]
    for value in values:
        digest.update(np.ascontiguousarray(value).tobytes())
print(digest.hexdigest())
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
def test_the_number_of_threads_does_not_change_a_bit():
    outputs = set()
    for threads in (1, 2):
        environment = {**os.environ, "NUMBA_NUM_THREADS": str(threads)}
        program = FINGERPRINT.format(threads=threads)
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs.add(done.stdout)
    assert len(outputs) == 1


SIGNATURES = """
import numpy as np
from tinymm.kernels.compiled import _jit, elementwise as e, rowwise as r, scatter as s
for dtype in (np.float32, np.float64):
    base = np.ones((4, 6, 8), dtype)
    read_only = base.copy()
    read_only.setflags(write=False)
    strided = base[:, ::2, ::2]
    for x in (base, base[0], base[0, 0], strided, strided[0], base.T, read_only, np.broadcast_to(base[0], (3, 6, 8))):
        for axis in (-1, 0):
            r.softmax_backward(x, r.softmax(x, axis), axis)
        for eps in (1e-5, 0, np.float32(1)):
            y, mean, rstd = r.layer_norm(x, x[(0,) * (x.ndim - 1)], None, eps)
            r.layer_norm_backward(y, x, mean, rstd)
        for t in (np.zeros(x.shape[:-1], int), np.zeros(x.shape[:-1], np.int32), np.zeros(x.shape[:-1], np.uint8)):
            loss, kept = r.cross_entropy(x, t, np.int32(-100), 0)
            r.cross_entropy_backward(loss, x, t, kept, -100, 0.1)
        e.gelu_backward(x, e.gelu(x))
        for p, seed in ((0.1, 3), (0, np.int64(3)), (np.float32(0.1), 2**62)):
            e.dropout(x, p, seed)
    s.gather_rows(base[0], np.zeros((2, 2), np.int32))
print({d.py_func.__name__: len(d.signatures) for d in _jit.COMPILED if d.py_func.__module__.split(".")[-1] in
       ("rowwise", "elementwise", "scatter") and len(d.signatures) > 2})
"""


def test_no_input_compiles_more_than_one_version_for_each_dtype():
    done = subprocess.run([sys.executable, "-c", SIGNATURES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    versions = ast.literal_eval(done.stdout)
    assert versions == {}


def test_every_compiled_kernel_has_its_twins_name_signature_and_text():
    for name, module in kernels.names().items():
        if module in ("rowwise", "elementwise", "scatter", "optimizers"):
            path = f"tinymm.kernels.{{}}.{module}".format
            twin, ours = (getattr(importlib.import_module(path(kind)), name) for kind in ("plain", "compiled"))
            assert inspect.signature(ours) == inspect.signature(twin)
            assert ours.__doc__ == twin.__doc__ and ours.__doc__
