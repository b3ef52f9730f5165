"""Optimizers over flat buffers, schedules, clipping: what they promise beside their formulas (see tests/parity)."""

import gc
import math
import tracemalloc

import numpy as np
import pytest

import tinymm as mm
from tinymm import nn, optim
from tinymm.optim import schedule
from tinymm.optim.optimizer import LARGE

MAKE = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.1, momentum=0.5, centered=True),
    "adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.1),
}
SIZES = [(3, 2), (5,), (LARGE, 1), (), (7, LARGE // 4), (0, 3), (2, 3)]  # small and large ones, mixed


def parameters(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [nn.Parameter(rng.normal(size=size).astype(dtype)) for size in SIZES]


def fill_gradients(params, seed):
    rng = np.random.default_rng(seed)
    for p in params:
        p.grad = rng.normal(size=p.shape).astype(p.dtype)


def values(params):
    return [p.numpy() for p in params]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MAKE)
def test_together_is_the_same_as_each_alone(name):
    together, alone = parameters(), parameters()
    one, many = MAKE[name](together), [MAKE[name]([p]) for p in alone]
    for step in range(4):
        fill_gradients(together, step)
        fill_gradients(alone, step)
        one.step()
        for optimizer in many:
            optimizer.step()
    for p, q in zip(together, alone):
        np.testing.assert_allclose(p.data, q.data, rtol=2e-6, atol=1e-7)
    assert not np.array_equal(together[0].data, parameters()[0].data)


@pytest.mark.parametrize("name", MAKE)
def test_a_parameter_without_gradient_is_skipped_and_keeps_its_own_step_count(name):
    params, alone = parameters(), parameters()
    optimizer, separate = MAKE[name](params), [MAKE[name]([p]) for p in alone]
    skipped = {0: {0, 2}, 1: {1}, 2: {0, 3, 6}, 3: set()}
    for step, missing in skipped.items():
        fill_gradients(params, step)
        fill_gradients(alone, step)
        before = values(params)
        for i in missing:
            params[i].grad = alone[i].grad = None
        optimizer.step()
        for i, one in enumerate(separate):
            one.step()
            if i in missing:
                np.testing.assert_array_equal(params[i].data, before[i])
    for p, q in zip(params, alone):
        np.testing.assert_allclose(p.data, q.data, rtol=2e-6, atol=1e-7)
    assert [entry["step"] for entry in optimizer.state_dict()["state"]] == [2, 3, 3, 3, 4, 4, 3]


@pytest.mark.parametrize("name", MAKE)
def test_the_state_goes_round_and_the_next_steps_are_bit_identical(name):
    params = parameters()
    optimizer = MAKE[name](params)
    for step in range(3):
        fill_gradients(params, step)
        optimizer.step()
    state = optimizer.state_dict()
    again = [nn.Parameter(v) for v in values(params)]
    other = MAKE[name](again)
    other.load_state_dict(state)
    for step in range(3, 6):
        fill_gradients(params, step)
        fill_gradients(again, step)
        optimizer.step()
        other.step()
    assert_same(values(params), values(again))


def test_state_dict_is_a_copy_with_torchs_names():
    params = parameters()
    optimizer = optim.Adam(params)
    fill_gradients(params, 0)
    optimizer.step()
    state = optimizer.state_dict()
    assert set(state["state"][0]) == {"step", "exp_avg", "exp_avg_sq"}
    assert state["state"][4]["exp_avg"].shape == SIZES[4]
    assert state["param_groups"][0]["params"] == list(range(len(SIZES)))
    assert state["param_groups"][0]["betas"] == (0.9, 0.999)
    state["state"][0]["exp_avg"][...] = 99
    assert not (optimizer.state_dict()["state"][0]["exp_avg"] == 99).any()


def test_a_state_of_something_else_is_refused_and_changes_nothing():
    params = parameters()
    optimizer = optim.Adam(params)
    fill_gradients(params, 0)
    optimizer.step()
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"the state has groups of \[2\] parameters; expected \[7\]"):
        optimizer.load_state_dict(optim.Adam(parameters()[:2]).state_dict())
    with pytest.raises(ValueError, match="the state of parameter 0 is .*; expected"):
        optimizer.load_state_dict(optim.SGD(parameters(), momentum=0.9).state_dict())
    with pytest.raises(ValueError, match="the state of parameter 1"):
        optimizer.load_state_dict(optim.Adam([nn.Parameter(np.zeros((3, 2), np.float32)) for _ in SIZES]).state_dict())
    for one, other in zip(before["state"], optimizer.state_dict()["state"]):
        np.testing.assert_array_equal(one["exp_avg"], other["exp_avg"])


def test_parameters_become_views_of_one_buffer():
    params = parameters()
    before = values(params)
    optim.SGD(params)
    assert_same(values(params), before)
    assert len({id(p._array.base) for p in params}) == 1
    assert all(p._array.flags.c_contiguous for p in params)


def test_a_step_between_forward_and_backward_is_noticed():
    p = nn.Parameter(np.ones(3, np.float32))
    optimizer = optim.SGD([p])
    loss = (p * p).sum()
    p.grad = np.ones(3, np.float32)
    optimizer.step()
    with pytest.raises(RuntimeError, match="written to"):
        loss.backward()


def test_float32_and_float64_in_one_group():
    mixed = [nn.Parameter(np.ones(3, np.float32)), nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3, np.float32))]
    optimizer = optim.SGD(mixed, lr=0.5)
    for p in mixed:
        p.grad = np.ones(3, p.dtype)
    optimizer.step()
    assert [p.dtype.itemsize for p in mixed] == [4, 8, 4]
    assert all((p.data == 0.5).all() for p in mixed)


def test_two_optimizers_on_the_same_parameters_take_turns():
    params, plain = parameters(), parameters()
    first, second = optim.SGD(params, lr=0.1), optim.SGD(params, lr=0.2)
    for step in range(4):
        fill_gradients(params, step)
        (first if step % 2 == 0 else second).step()
        fill_gradients(plain, step)
        for p in plain:
            p._array -= np.float32(0.1 if step % 2 == 0 else 0.2) * p.grad
    for p, q in zip(params, plain):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-6, atol=1e-7)


def test_values_loaded_after_the_optimizer_was_made_are_trained():
    linear = nn.Linear(3, 2)
    optimizer = optim.SGD(linear.parameters(), lr=1.0)
    linear.load_state_dict({"weight": np.ones((2, 3)), "bias": np.ones(2)})
    for p in linear.parameters():
        p.grad = np.ones(p.shape, p.dtype)
    optimizer.step()
    assert not linear.weight.data.any() and not linear.bias.data.any()


def test_astype_after_the_optimizer_was_made_is_named():
    linear = nn.Linear(3, 2)
    optimizer = optim.SGD(linear.parameters())
    linear.astype(np.float64)
    linear(np.ones((1, 3))).sum().backward()
    with pytest.raises(RuntimeError, match=r"float32 \(2, 3\) became float64 \(2, 3\); make the optimizer after"):
        optimizer.step()


def test_groups_have_their_own_settings_and_can_be_added():
    a, b, c = (nn.Parameter(np.zeros(2, np.float32)) for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": c, "lr": 2.0})
    for p in (a, b, c):
        p.grad = -np.ones(2, np.float32)
    optimizer.step()
    np.testing.assert_allclose([a.data[0], b.data[0], c.data[0]], [0.1, 0.5, 2.0], rtol=1e-6)
    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step(scale=0.5)
    np.testing.assert_allclose([a.data[0], b.data[0], c.data[0]], [0.6, 0.75, 3.0], rtol=1e-6)
    optimizer.zero_grad()
    assert a.grad is b.grad is c.grad is None


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda p: optim.SGD([]), ValueError, "SGD: there are no parameters"),
    (lambda p: optim.SGD([p, p]), ValueError, r"SGD: a parameter of shape \(2,\) is given twice"),
    (lambda p: optim.SGD([{"params": [p]}, {"params": [p]}]), ValueError, "is given twice"),
    (lambda p: optim.SGD([p * 2]), ValueError, "a tensor computed by multiply is no parameter"),
    (lambda p: optim.SGD([np.ones(2)]), TypeError, "cannot train a ndarray"),
    (lambda p: optim.SGD([mm.Tensor([1, 2])]), ValueError, "cannot train a tensor of int64"),
    (lambda p: optim.SGD([{"params": [p], "learning_rate": 1}]), ValueError, "unknown setting learning_rate"),
    (lambda p: optim.SGD([p], lr=-1), ValueError, "lr is -1; expected 0 or more"),
    (lambda p: optim.SGD([p], lr=math.nan), ValueError, "lr is nan"),
    (lambda p: optim.SGD([p], weight_decay=-1), ValueError, "weight_decay is -1"),
    (lambda p: optim.SGD([p], momentum=-1), ValueError, "momentum is -1"),
    (lambda p: optim.SGD([p], nesterov=True), ValueError, "nesterov needs a momentum above 0"),
    (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, r"Adam: betas are \(0.9, 1.0\)"),
    (lambda p: optim.AdamW([p], eps=-1), ValueError, "AdamW: eps is -1"),
    (lambda p: optim.Adagrad([p], lr_decay=-1), ValueError, "Adagrad: lr_decay is -1"),
    (lambda p: optim.RMSprop([p], alpha=-1), ValueError, "RMSprop: alpha is -1"),
])
def test_wrong_settings_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make(nn.Parameter([1.0, 2.0]))


@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
def test_bias_correction_off_makes_the_first_step_larger(kind):
    def first_step(**options):
        p = nn.Parameter(np.zeros(1))
        optimizer = kind([p], lr=0.1, eps=0.0, weight_decay=0.0, **options)
        p.grad = np.full(1, 3.0)
        optimizer.step()
        return -p.item()

    assert first_step() == pytest.approx(0.1, rel=1e-12)
    assert first_step(bias_correction=False) == pytest.approx(0.1 * 0.1 / math.sqrt(0.001), rel=1e-12)


def test_memory_after_1000_steps_is_that_after_10():
    """With the collector off: neither arrays nor objects stay behind."""
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.LayerNorm(16), nn.Linear(16, 3))
    optimizer, loss_fn = optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    x, y = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32), np.arange(32) % 3

    def train(steps):
        for _ in range(steps):
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optim.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        del loss
        # Python keeps freed tuples for itself, up to 2,000 of each length: count objects, and bytes of arrays alone
        arrays = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)])
        return sum(trace.size for trace in arrays.traces), len(gc.get_objects())

    tracemalloc.start()
    train(2)  # compiles
    gc.collect()
    gc.disable()
    try:
        memory, objects = train(10)
        later_memory, later_objects = train(990)
    finally:
        tracemalloc.stop()
        gc.enable()
    assert later_memory == memory > 0
    assert later_objects - objects < 20


# ---- schedules ------------------------------------------------------------------------------------------------------


def test_schedules_by_hand():
    linear = schedule.linear(4, 10)
    assert [round(linear(s), 6) for s in (0, 2, 4, 7, 10, 12)] == [0, 0.5, 1, 0.5, 0, 0]
    cosine = schedule.cosine(4, 12)
    assert [round(cosine(s), 6) for s in (0, 2, 4, 8, 12)] == [0, 0.5, 1, 0.5, 0]
    assert [schedule.constant()(s) for s in (0, 5)] == [1, 1]
    assert [schedule.constant(4)(s) for s in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
    assert [round(schedule.step(3, 0.5)(s), 6) for s in (0, 2, 3, 6)] == [1, 1, 0.5, 0.25]


def test_noam_is_equation_3_and_peaks_at_the_end_of_the_warm_up():
    noam = schedule.noam(512, warmup=4000)
    for s in (1, 10, 3999, 4000, 4001, 100_000):
        assert noam(s - 1) == pytest.approx(512**-0.5 * min(s**-0.5, s * 4000**-1.5), rel=1e-14)
    assert max(range(10_000), key=noam) == 3999
    assert schedule.noam(512, factor=2.0)(7) == 2 * noam(7)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: schedule.linear(-1, 10), "linear: warmup is -1"),
    (lambda: schedule.cosine(1, -10), "cosine: total is -10"),
    (lambda: schedule.constant(-1), "constant: warmup is -1"),
    (lambda: schedule.noam(0), "must be at least 1"),
    (lambda: schedule.step(0), "every is 0"),
])
def test_wrong_schedules_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- clipping -------------------------------------------------------------------------------------------------------


def test_clip_grad_norm():
    params = parameters()
    fill_gradients(params, 0)
    before = [p.grad.copy() for p in params]
    params[3].grad = None
    norm = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for i, g in enumerate(before) if i != 3))
    assert optim.clip_grad_norm_(params, 2.0) == pytest.approx(norm, rel=1e-6)
    assert optim.clip_grad_norm_(params, 9.0) == pytest.approx(2.0, rel=1e-5)  # small enough: left alone
    np.testing.assert_allclose(params[0].grad, before[0] * (2.0 / norm), rtol=1e-5)
    largest = max(np.abs(p.grad).max() for p in params if p.grad is not None and p.size)
    assert optim.clip_grad_norm_(params, 1.0, norm_type=math.inf) == pytest.approx(largest)
    assert optim.clip_grad_norm_(iter([]), 1.0) == 0.0


def test_clip_grad_norm_of_nan_says_so_and_clips_nothing():
    p = nn.Parameter(np.ones(2, np.float32))
    p.grad = np.array([np.nan, 3], np.float32)
    assert math.isnan(optim.clip_grad_norm_(p, 1.0))
    assert p.grad[1] == 3


def test_clip_grad_value():
    p = nn.Parameter(np.ones(3, np.float32))
    p.grad = np.array([-5, 0.5, 2], np.float32)
    optim.clip_grad_value_(p, 1.0)
    np.testing.assert_array_equal(p.grad, np.array([-1, 0.5, 1], np.float32))


def test_wrong_bounds_are_named():
    p = nn.Parameter(np.ones(3, np.float32))
    with pytest.raises(ValueError, match="max_norm is -1"):
        optim.clip_grad_norm_(p, -1)
    with pytest.raises(ValueError, match="clip_value is -1"):
        optim.clip_grad_value_(p, -1)
