"""Optimizer steps: compiled equals plain, one step worked by hand, in place, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinymm.kernels.compiled import optimizers
from tinymm.kernels.plain import optimizers as plain

TOLERANCE = {np.float32: 1e-6, np.float64: 1e-14}
STEPS = {  # name -> number of state arrays, arguments after the state
    "sgd": (1, [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
                {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}, {"momentum": 0.9, "first": True}]),
    "adagrad": (1, [{}, {"eps": 1e-3, "weight_decay": 0.1}]),
    "rmsprop": (1, [{}, {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}]),
    "adam": (2, [{}, {"beta1": 0.7, "beta2": 0.9, "eps": 1e-3, "weight_decay": 0.1},
                 {"correction1": 0.1, "correction2": 0.001}]),
    "adamw": (2, [{}, {"weight_decay": 0.3, "correction1": 0.1, "correction2": 0.001}]),
}  # fmt: skip
CASES = [(name, options) for name, (_, several) in STEPS.items() for options in several]
both = pytest.mark.parametrize("kernel", [plain, optimizers], ids=["plain", "compiled"])


def buffers(name, n, dtype, seed=0):
    rng = np.random.default_rng(seed)
    p, g = rng.normal(size=(2, n)).astype(dtype)
    return [p.copy(), g.copy(), *rng.random((STEPS[name][0], n)).astype(dtype)]


def step(kernel, name, arrays, lr, options):
    getattr(kernel, name)(*arrays, lr, **options)


@pytest.mark.parametrize(("name", "options"), CASES)
@settings(max_examples=15, deadline=None)
@given(st.one_of(st.integers(0, 70), st.integers(16_000, 50_000)), st.sampled_from([np.float32, np.float64]))
def test_compiled_step_equals_plain(name, options, n, dtype):
    ours, twins = buffers(name, n, dtype), buffers(name, n, dtype)
    gradient = ours[1].copy()
    for lr in (0.1, 0.01, 0.5):
        step(optimizers, name, ours, lr, options)
        step(plain, name, twins, lr, options)
    np.testing.assert_array_equal(ours[1], gradient)  # the gradient is only read
    for a, b in zip(ours, twins):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=10 * TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [5, 40_000])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop_with_velocity_and_mean(n, dtype, centred, momentum):
    results = []
    for kernel in (plain, optimizers):
        p, g, square = buffers("rmsprop", n, dtype)
        square += 5  # above the square of the mean
        mean, buffer = np.zeros(n, dtype), np.ones(n, dtype)
        for _ in range(3):
            kernel.rmsprop(
                p, g, square, 0.1, 0.9, 1e-6, 0.0, momentum, buffer if momentum else None, mean if centred else None
            )
        results.append((p, square, mean, buffer))
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=10 * TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])


@both
def test_one_step_by_hand(kernel):
    p, g, v = np.array([1.0]), np.array([0.5]), np.array([2.0])
    kernel.sgd(p, g, v, 0.1, momentum=0.9, dampening=0.5, weight_decay=0.2)
    assert v[0] == pytest.approx(0.9 * 2 + 0.5 * (0.5 + 0.2)) and p[0] == pytest.approx(1 - 0.1 * v[0])
    p, v = np.array([1.0]), np.array([np.nan])
    kernel.sgd(p, g, v, 0.1, momentum=0.9, dampening=0.5, nesterov=True, first=True)
    assert v[0] == 0.5 and p[0] == pytest.approx(1 - 0.1 * (0.5 + 0.9 * 0.5))
    p, total = np.array([1.0]), np.array([0.75])
    kernel.adagrad(p, g, total, 0.1, eps=0.5)
    assert total[0] == 1 and p[0] == pytest.approx(1 - 0.1 * 0.5 / 1.5)
    p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    kernel.adam(p, g, m, v, 0.1, 0.9, 0.99, 1e-8, 0.0, 0.1, 0.01)  # the first corrected step is lr * sign(g)
    assert p[0] == pytest.approx(0.9, abs=1e-8)
    p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    kernel.adam(p, g, m, v, 0.1, 0.9, 0.99, 0.0)  # uncorrected: 0.1 g / sqrt(0.01 g^2) = sign(g)
    assert p[0] == pytest.approx(0.9)
    p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    kernel.adamw(p, np.zeros(1), m, v, 0.1, weight_decay=0.5)
    assert p[0] == pytest.approx(0.95)


@both
def test_sgd_needs_no_buffer_without_momentum_and_says_so_with_it(kernel):
    p, g = np.ones(3, np.float32), np.ones(3, np.float32)
    kernel.sgd(p, g, None, 0.5, weight_decay=1.0)
    assert p.tolist() == [0, 0, 0] and g.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="no buffer for the velocity"):
        kernel.sgd(p, g, None, 0.5, momentum=0.9)
    with pytest.raises(ValueError, match="no buffer for the velocity"):
        kernel.rmsprop(p, g, np.ones(3, np.float32), 0.5, momentum=0.9)


@both
def test_any_shape_is_written_in_place(kernel):
    p, m, v = np.ones((3, 4)), np.zeros((3, 4)), np.zeros((3, 4))
    kernel.adam(p, np.ones((3, 4)), m, v, 0.1, correction1=0.1, correction2=0.001)
    np.testing.assert_allclose(p, 0.9, atol=1e-7)


@both
def test_what_cannot_be_written_in_place_is_refused(kernel):
    p = np.ones(6, np.float32)
    read_only = p.copy()
    read_only.setflags(write=False)
    for bad in (np.ones(12, np.float32)[::2], read_only):
        with pytest.raises(ValueError, match="in place"):
            kernel.adam(bad, p, p.copy(), p.copy(), 0.1)
        with pytest.raises(ValueError, match="in place"):
            kernel.adam(p, p.copy(), bad, p.copy(), 0.1)
    for bad in (np.ones(6, int), [1.0] * 6):
        with pytest.raises(TypeError, match="float32 or float64"):
            kernel.adagrad(bad, p, p.copy(), 0.1)
    for bad in (np.ones(5, np.float32), np.ones(6)):
        with pytest.raises(ValueError, match="must agree"):
            kernel.sgd(p, bad, None, 0.1)


@both
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 1000, 100_001])
def test_sum_of_squares_is_summed_in_float64(kernel, n, dtype):
    x = np.random.default_rng(0).normal(1, 1, size=n).astype(dtype)
    total = kernel.sum_of_squares(x)
    assert type(total) is float
    assert total == pytest.approx(float((x.astype(np.longdouble) ** 2).sum()), rel=1e-13)
