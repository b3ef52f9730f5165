"""gradcheck accepts what is right, and catches gradients that are wrong in all the ways in which they go wrong."""

import dataclasses
import warnings

import numpy as np
import pytest

import tinymm as mm
from tinymm.autograd import random
from tinymm.autograd.gradcheck import GradcheckError, KinkWarning, gradcheck
from tinymm.autograd.op import Spec, _make_apply

rng = np.random.default_rng(0)


def local(function):
    """An op that is not entered into OPS."""
    return _make_apply(Spec(function, None, None, (), None))


def softmax_array(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ---- what must be caught: name -> (op, inputs) ---------------------------------------------------------------------

WRONG = {}


def wrong(*shapes, scale=1.0):
    def enter(function):
        WRONG[function.__name__] = (local(function), [scale * rng.normal(size=s) for s in shapes])
        return function
    return enter


@wrong((3, 5))
def zero(x):
    return np.tanh(x), (lambda g: np.zeros_like(g),)


@wrong((3, 5))
def softmax_with_zero_gradient(x):
    return softmax_array(x), (lambda g: np.zeros_like(g),)


@wrong((3, 5))
def sign_flipped(x):
    return np.sin(x), (lambda g: -g * np.cos(x),)


@wrong((3, 5))
def softmax_without_cross_terms(x):
    y = softmax_array(x)
    return y, (lambda g: g * y * (1 - y),)


@wrong((3, 3))
def softmax_along_the_wrong_axis(x):
    y = softmax_array(x)
    return y, (lambda g: y * (g - (g * y).sum(axis=0, keepdims=True)),)


@wrong((3, 3), (3, 3))
def matmul_untransposed(a, b):
    return a @ b, (lambda g: g @ b, lambda g: a.T @ g)


@wrong((2, 3), (3,))
def broadcast_averaged_instead_of_summed(a, b):
    return a * b, (lambda g: g * b, lambda g: (g * a).mean(axis=0))


@wrong((3, 5), (5,))
def broadcast_taken_from_the_first_row(a, b):
    return a + b, (lambda g: g, lambda g: g[0])


@wrong((3, 5))
def factor_two_missing(x):
    return x * x, (lambda g: g * x,)


@wrong((7,))
def off_by_one(x):
    return np.roll(x, 2), (lambda g: np.roll(g, -1),)


@wrong((3, 5))
def missing_one_of_two_paths(x):
    return x * np.exp(x), (lambda g: g * np.exp(x),)


@wrong((2, 3))
def variance_with_the_wrong_count(x):
    return x.var(axis=1), (lambda g: 2 * g[:, None] * (x - x.mean(axis=1, keepdims=True)) / 2,)


@wrong((7, 3))
def rows_overwritten_instead_of_added(x):
    index = np.array([1, 1, 4])

    def d_x(g):
        d = np.zeros_like(x)
        d[index] = g
        return d

    return x[index], (d_x,)


@wrong((40, 50))
def wrong_at_one_element_of_many(x):
    def d_x(g):
        d = g * np.cos(x)
        d[17, 31] *= 1.5
        return d
    return np.sin(x), (d_x,)


@wrong((40, 50))
def two_elements_of_many_exchanged(x):
    def d_x(g):
        d = g * np.cos(x)
        d[3, 7], d[8, 9] = d[8, 9], d[3, 7]
        return d
    return np.sin(x), (d_x,)


@wrong((1000, 300))
def wrong_at_one_element_of_very_many(x):
    def d_x(g):
        d = g * np.cos(x)
        d[17, 31] += 0.1
        return d
    return np.sin(x) + 5, (d_x,)


@wrong((5,), scale=1e-3)
def wrong_by_a_thousandth(x):
    return np.sin(x), (lambda g: 1.001 * g * np.cos(x),)


@wrong((5,))
def computed_in_float32(x):
    return np.sin(x), (lambda g: g * np.cos(x.astype(np.float32) * np.float32(1000)) / 1000,)


@wrong((5,))
def of_the_wrong_type(x):
    return np.sin(x), (lambda g: (g * np.cos(x)).astype(np.float32),)


@wrong((5,))
def of_the_wrong_shape(x):
    return np.sin(x), (lambda g: (g * np.cos(x))[:3],)


@wrong((5,))
def not_a_number(x):
    return np.sin(x), (lambda g: g * np.where(x > 0, np.nan, np.cos(x)),)


@wrong((2, 3))
def only_the_first_outputs_gradient(x):
    return (np.sin(x), np.cos(x)), (lambda g, h: g * np.cos(x) if g is not None else np.zeros_like(x),)


@wrong((2, 3))
def one_of_two_outputs_if_both_are_used(x):
    def d_x(g, h):
        return g * np.cos(x) if g is not None else -h * np.sin(x)
    return (np.sin(x), np.cos(x)), (d_x,)


@wrong((5,))
def of_the_input_after_it_was_overwritten(x):
    y = np.exp(x)
    kept = x.copy()
    kept *= 2
    return y, (lambda g: g * np.exp(kept),)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_gradient_is_caught(name):
    f, inputs = WRONG[name]
    with pytest.raises(GradcheckError):
        gradcheck(f, inputs)


def test_there_are_enough_of_them():
    assert len(WRONG) >= 12


def test_a_stale_mask_is_caught():
    keep = {"mask": np.ones(30, bool)}

    def dropout_with_the_last_mask(x):
        before, keep["mask"] = keep["mask"], random.generator().random(30) < 0.5
        return x * keep["mask"], (lambda g: g * before,)

    def dropout_with_its_own_mask(x):
        mask = random.generator().random(30) < 0.5
        return x * mask, (lambda g: g * mask,)

    x = rng.normal(size=30)
    gradcheck(local(dropout_with_its_own_mask), [x])
    late = local(dropout_with_the_last_mask)
    with pytest.raises(GradcheckError):
        gradcheck(lambda t: late(t) + 3 * late(t), [x])


def test_a_detached_branch_is_caught_and_named():
    w = mm.Tensor(rng.normal(size=3), requires_grad=True)
    with pytest.raises(GradcheckError, match="input 1.*\n(.*\n)*.*detached"):
        gradcheck(lambda a, b: a * b.detach(), [rng.normal(size=3), rng.normal(size=3)])
    with pytest.raises(GradcheckError, match="weight"):
        gradcheck(lambda a: a * w.detach(), [rng.normal(size=3)], params={"weight": w})


def test_a_write_into_the_input_is_caught():
    def careless(t):
        y = t * 1.0
        t._array *= 2
        return y

    with pytest.raises((GradcheckError, ValueError), match="wrote into input 0|different values"):
        gradcheck(careless, [rng.normal(size=3)])


def test_a_float32_output_is_caught():
    with pytest.raises(GradcheckError, match="float32"):
        gradcheck(lambda t: t.astype(np.float32), [rng.normal(size=3)])


def test_the_sum_of_the_outputs_is_fooled_and_a_random_cotangent_is_not():
    """The rows of softmax sum to 1: with the cotangent 1, a zero gradient is 'right'."""
    f, (x,) = WRONG["softmax_with_zero_gradient"]
    t = mm.Tensor(x, requires_grad=True)
    f(t).sum().backward()
    h = 1e-6
    differences = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        differences[i] = (softmax_array(up).sum() - softmax_array(down).sum()) / (2 * h)
    np.testing.assert_allclose(t.grad, differences, atol=1e-8)  # so the usual check passes it
    with pytest.raises(GradcheckError):
        gradcheck(f, [x])


# ---- what must be accepted -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (3, 5), (40, 50)])
def test_right_gradients_are_accepted(shape):
    x = rng.normal(size=shape)
    report = gradcheck(lambda t: mm.sin(t) * t + mm.exp(-t * t), [x])
    assert report.max_error < 1e-6
    assert report.n_entries + report.n_directions == (x.size if x.size <= 64 else 9)
    assert (report.n_directions > 0) == (x.size > 64)


def test_large_and_small_scales_are_accepted():
    gradcheck(lambda t: t * t * 1e6, [rng.normal(size=5)])
    gradcheck(lambda t: t * t * 1e-6, [rng.normal(size=5)])
    gradcheck(lambda t: mm.sum(t * t), [rng.normal(size=5) * 1e4])
    gradcheck(lambda t: mm.sin(50 * t), [rng.normal(size=5)])


def test_one_wrong_element_is_named_with_both_numbers():
    f, (x,) = WRONG["wrong_at_one_element_of_many"]
    with pytest.raises(GradcheckError) as caught:
        gradcheck(f, [x])
    message = str(caught.value)
    assert "input 0[17, 31], shape (40, 50)" in message
    assert "ratio 1.5" in message
    assert "gradient" in message and "finite difference" in message


def test_inputs_keep_their_values_and_may_have_any_layout():
    x = rng.normal(size=(6, 5)).T[::2]
    before = x.copy()
    seen = []

    def f(t):
        seen.append(t._array.flags.c_contiguous)
        return mm.tanh(t)

    gradcheck(f, [x])
    np.testing.assert_array_equal(x, before)
    assert not any(seen)


def test_only_what_is_to_be_checked_is_checked():
    wrong_for_b = local(lambda a, b: (a * b, (lambda g: g * b, lambda g: g * 7)))
    a, b = rng.normal(size=3), rng.normal(size=3)
    gradcheck(wrong_for_b, [a, b], check=(0,))
    gradcheck(lambda t: wrong_for_b(t, b), [a])
    with pytest.raises(GradcheckError, match="input 1"):
        gradcheck(wrong_for_b, [a, b])


def test_integers_and_other_arguments_are_passed_on():
    report = gradcheck(lambda t, index, n: t[index] * n, [rng.normal(size=5), np.array([0, 0, 3]), 2])
    assert report.n_entries == 5


@dataclasses.dataclass
class Output:
    logits: mm.Tensor
    loss: mm.Tensor
    ids: object = None


@pytest.mark.parametrize("pack", [
    lambda a, b: (a, b), lambda a, b: [a, [b]], lambda a, b: {"a": a, "b": b}, lambda a, b: Output(a, b),
    lambda a, b: (a, b, mm.Tensor([1, 2]), None)])
def test_several_outputs_are_all_checked(pack):
    x = rng.normal(size=(2, 3))
    gradcheck(lambda t: pack(mm.sin(t), (t * t).sum()), [x])
    with pytest.raises(GradcheckError, match="output 1"):
        gradcheck(lambda t: pack(mm.sin(t), (t * t.detach()).sum()), [x])


class Layer:
    """What gradcheck needs to know of a module."""

    def __init__(self, dtype=np.float32):
        self.weight = mm.Tensor(rng.normal(size=(20, 30)), requires_grad=True, dtype=dtype)
        self.bias = mm.Tensor(rng.normal(size=20), requires_grad=True, dtype=dtype)
        self.frozen = mm.Tensor(rng.normal(size=20), dtype=dtype)

    def named_parameters(self):
        return [("weight", self.weight), ("bias", self.bias), ("frozen", self.frozen)]

    def __call__(self, x):
        return mm.tanh(mm.linear(x, self.weight, self.bias)) * self.frozen


def test_parameters_of_a_module_are_checked_in_float64_and_put_back():
    layer = Layer()
    array, values = layer.weight._array, layer.weight.numpy()
    layer.weight.grad = grad = np.ones((20, 30), np.float32)
    report = gradcheck(layer, [rng.normal(size=(2, 30))])
    assert layer.weight._array is array and layer.weight.grad is grad and layer.bias.grad is None
    np.testing.assert_array_equal(layer.weight.data, values)
    assert report.n_entries == 60 + 6 + 20 and report.n_directions == 3  # the input, some of weight, bias
    assert gradcheck(lambda x: layer(x), [rng.normal(size=(2, 30))], params=layer).n_entries == 86


def test_parameters_are_put_back_after_a_failure_too():
    layer = Layer()
    array = layer.weight._array
    with pytest.raises(GradcheckError, match="bias"):
        gradcheck(lambda x: mm.linear(x, layer.weight) + layer.bias.detach(), [rng.normal(size=(2, 30))], params=layer)
    assert layer.weight._array is array


def test_a_parameter_used_twice_and_a_wrong_one_among_many():
    layer = Layer()
    gradcheck(lambda x: layer(x) + layer(x * 2), [rng.normal(size=(2, 30))], params=layer)


def test_dropout_draws_the_same_mask_each_time_and_the_generator_is_put_back():
    mm.manual_seed(5)
    state = random.get_state()
    gradcheck(lambda t: mm.dropout(t, p=0.5), [rng.normal(size=(5, 7))])
    assert random.get_state() == state


def test_a_function_that_is_never_the_same_is_refused():
    noise = np.random.default_rng(0)
    with pytest.raises(ValueError, match="different values"):
        gradcheck(lambda t: t * noise.normal(), [rng.normal(size=3)])


def test_nothing_to_check_is_an_error():
    with pytest.raises(ValueError, match="nothing to check"):
        gradcheck(lambda t: t, [np.arange(3)])
    with pytest.raises(ValueError, match="no Tensor"):
        gradcheck(lambda t: t.data, [np.ones(3)])


def test_a_kink_is_warned_of_and_left_out():
    x = np.array([-1.0, 0.0, 2.0])
    with pytest.warns(KinkWarning, match=r"input 0\[1\].*kink"):
        report = gradcheck(mm.relu, [x])
    assert report.n_kinks == 1
    with pytest.warns(KinkWarning):
        gradcheck(mm.abs, [x])
    half = local(lambda x: (np.maximum(x, 0), (lambda g: g * (x >= 0) * 0.5,)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(GradcheckError, match=r"input 0\[2\]"):  # a kink elsewhere excuses nothing
            gradcheck(half, [x])


def test_a_gradient_outside_of_both_sides_of_a_kink_is_wrong():
    steep = local(lambda x: (np.abs(x), (lambda g: g * np.where(x == 0, 3.0, np.sign(x)),)))
    with pytest.raises(GradcheckError, match=r"input 0\[1\]"):
        gradcheck(steep, [np.array([-1.0, 0.0, 2.0])])


def test_no_false_alarm_close_to_kinks():
    """A thousand relus, dozens of them within a step of their kink, along random directions."""
    x = rng.normal(size=1000)
    x[:30] = rng.uniform(-4e-6, 4e-6, size=30)
    gradcheck(mm.relu, [x], n_single=0)
    layer = Layer()
    gradcheck(lambda t: mm.relu(layer(t)).sum(), [rng.normal(size=(200, 30))], params=layer)


def test_a_scalar_and_an_array_alone_will_do():
    assert gradcheck(mm.sin, 0.5).n_entries == 1
    assert gradcheck(mm.sin, np.ones(3)).n_entries == 3
    assert gradcheck(mm.sin, mm.Tensor(np.ones(3, np.float32))).n_entries == 3
