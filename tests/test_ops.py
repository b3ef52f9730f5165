"""Every op: gradient, dtype, NumPy's values, safety against writes. An op joins these tests by being registered."""

import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinymm as mm
from tinymm import kernels
from tinymm.autograd import OPS, Sample, gradcheck, op
from tinymm.autograd.gradcheck import GradcheckError
from tinymm.autograd.op import Spec, _make_apply

NAMES = sorted(OPS)
few = settings(max_examples=40, deadline=None, derandomize=True)


def samples(name):
    o = OPS[name]
    drawn = [] if o.spec.samples is None else o.spec.samples(np.random.default_rng(zlib.crc32(name.encode())))
    if len(drawn) < 4:
        raise AssertionError(f"op {name} has {len(drawn)} samples; expected at least 4: @op(samples=lambda rng: [...])")
    return drawn


def check_op(name):
    """Gradient-check an op on all of its samples."""
    for sample in samples(name):
        if floats(sample):
            gradcheck(lambda *args: OPS[name](*args, **sample.static), sample.args, check=sample.check)  # noqa: B023


def floats(sample):
    """The positions of the arrays that are differentiated."""
    return [i for i, a in enumerate(sample.args) if isinstance(a, np.ndarray) and a.dtype.kind == "f"
            and (sample.check is None or i in sample.check)]


def tensors(sample, dtype=np.float64, requires_grad=True):
    found = []
    for i, a in enumerate(sample.args):
        if isinstance(a, np.ndarray):
            a = a.astype(dtype) if a.dtype.kind == "f" else a
            a = mm.Tensor(a, requires_grad=requires_grad and i in floats(sample))
        found.append(a)
    return found


def outputs(result):
    return result if isinstance(result, tuple) else (result,)


def backward(result, seed=0):
    """Backward with a random gradient for every output of floats."""
    rng = np.random.default_rng(seed)
    total = 0.0
    for y in outputs(result):
        if y.requires_grad:
            total = total + (y * np.asarray(rng.normal(size=y.shape), dtype=y.dtype)).sum()
    total.backward()


# ---- for each op ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_gradient(name):
    check_op(name)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_on_the_plain_kernels(name):
    with kernels.using("numpy"):
        check_op(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_samples_would_catch_a_wrong_gradient(name):
    """0.01 added to the gradient of any one input is noticed."""
    spec = OPS[name].spec
    for k in sorted({i for sample in samples(name) for i in floats(sample)}):
        broken = _make_apply(Spec(spoiled(spec.function, k), None, None, (), None))
        caught = 0
        for sample in samples(name):
            if k in floats(sample) and sample.args[k].size:
                try:
                    gradcheck(lambda *args: broken(*args, **sample.static), sample.args, check=sample.check)  # noqa: B023
                except GradcheckError:
                    caught += 1
        assert caught >= min(3, sum(k in floats(s) and s.args[k].size > 0 for s in samples(name)) - 1)
        assert caught > 0


def spoiled(function, k):
    def wrong(*args, **static):
        y, vjps = function(*args, **static)
        if not isinstance(vjps, tuple):
            return y, lambda g, needs: tuple(d + 0.01 if i == k else d for i, d in enumerate(vjps(g, needs)))
        return y, tuple((lambda *g: vjps[k](*g) + 0.01) if i == k else vjp for i, vjp in enumerate(vjps))
    return wrong


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_of_several_kinds(name):
    """Different shapes, a size-1 axis, nothing at all: each op on each kind, wherever it can."""
    drawn = samples(name)
    arrays = [a for s in drawn for a in s.args if isinstance(a, np.ndarray)]
    assert len({tuple(getattr(a, "shape", ()) for a in s.args) for s in drawn}) >= 3
    assert any(a.size == 0 for a in arrays)
    assert any(1 in a.shape or a.ndim == 0 for a in arrays) or name in ("cumsum", "dot", "outer")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_the_dtype_goes_through(name, dtype):
    for sample in samples(name):
        inputs = tensors(sample, dtype)
        if name == "astype":
            sample.static["dtype"] = dtype
        result = OPS[name](*inputs, **sample.static)
        assert all(y.dtype == dtype for y in outputs(result) if y.dtype.kind == "f")
        if any(y.requires_grad for y in outputs(result)):
            backward(result)
            assert all(t.grad.dtype == dtype for t in inputs if isinstance(t, mm.Tensor) and t.requires_grad)


@pytest.mark.parametrize("name", [n for n in NAMES if OPS[n].spec.fuses])
def test_a_fused_op_is_its_composition(name):
    spec = OPS[name].spec
    assert set(spec.fuses) <= set(OPS)
    for sample in samples(name):
        one, other = tensors(sample), tensors(sample)
        fused, composed = OPS[name](*one, **sample.static), spec.composition(*other, **sample.static)
        for y, z in zip(outputs(fused), outputs(composed), strict=True):
            np.testing.assert_allclose(y.data, z.data, rtol=1e-12, atol=1e-12)
        backward(fused)
        backward(composed)
        for i in floats(sample):
            np.testing.assert_allclose(one[i].grad, other[i].grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_write_after_use_raises_or_does_no_harm(name):
    """Whatever a gradient needs is watched: inputs, and the output."""
    for sample in [*samples(name), *samples(name)[::-1]]:
        if not floats(sample):
            continue
        mm.manual_seed(0)
        inputs = tensors(sample)
        backward(OPS[name](*inputs, **sample.static))
        right = [inputs[i].grad for i in floats(sample)]
        for victim in range(-1, len(inputs)):
            mm.manual_seed(0)
            inputs = tensors(sample)
            result = OPS[name](*inputs, **sample.static)
            written = outputs(result)[0] if victim < 0 else inputs[victim]
            if not isinstance(written, mm.Tensor) or not written._array.flags.writeable:
                continue
            with mm.no_grad():
                written[...] = written.data + 1 if written.dtype != bool else ~written.data
            try:
                backward(result)
            except RuntimeError as error:
                assert "written to after it was used" in str(error)
            else:
                for i, expected in zip(floats(sample), right):
                    np.testing.assert_array_equal(inputs[i].grad, expected)


@pytest.mark.parametrize("name", NAMES)
def test_an_op_changes_none_of_its_inputs(name):
    for sample in samples(name):
        arrays = [np.array(a) if isinstance(a, np.ndarray) else a for a in sample.args]
        before = [np.array(a) if isinstance(a, np.ndarray) else a for a in sample.args]
        OPS[name](*arrays, **sample.static)
        for a, b in zip(arrays, before):
            np.testing.assert_array_equal(a, b)


def test_an_op_without_samples_fails_and_so_does_one_with_a_wrong_gradient():
    try:
        @op
        def without_samples(x):
            return x, (lambda g: g,)

        @op(samples=lambda rng: [Sample(rng.normal(size=n)) for n in (1, 2, 3, 5)])
        def wrong_gradient(x):
            return x * x, (lambda g: g * x,)

        with pytest.raises(AssertionError, match="without_samples has 0 samples"):
            check_op("without_samples")
        with pytest.raises(GradcheckError):
            check_op("wrong_gradient")
    finally:
        OPS.pop("without_samples", None)
        OPS.pop("wrong_gradient", None)


def test_every_op_is_exported_and_documented():
    for name in NAMES:
        assert callable(getattr(mm, name))
        assert (OPS[name].__doc__ or mm.einsum.__doc__).strip()
    assert set(NAMES) <= set(mm.__all__)


# ---- NumPy's names mean NumPy's functions --------------------------------------------------------------------------

NUMPY_HAS = [n for n in NAMES if hasattr(np, n) and n not in ("split", "einsum", "astype")]


def numpy_call(name, args, static):
    function = getattr(np, name)
    if OPS[name].spec.variadic:
        return function(list(args), **static)
    return function(*args, **static)


@pytest.mark.parametrize("name", NUMPY_HAS)
def test_numpys_function_and_numpys_call_agree(name):
    for sample in samples(name):
        static = {k: v for k, v in sample.static.items() if not (name == "pad" and k == "constant_values" and v == 0)}
        expected = numpy_call(name, sample.args, static)
        ours = OPS[name](*sample.args, **sample.static)
        np.testing.assert_allclose(ours.data, expected, rtol=1e-13, atol=1e-13)
        through = numpy_call(name, tensors(sample), static)  # np.sum(t, axis=0)
        assert type(through) is mm.Tensor
        np.testing.assert_array_equal(through.data, ours.data)
        assert through.requires_grad


def leaf(*shape, seed=0):
    return mm.Tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


BY_POSITION = {
    "sum": lambda t: np.sum(t, 0), "mean": lambda t: np.mean(t, 1), "max": lambda t: np.amax(t, 1),
    "reshape": lambda t: np.reshape(t, (3, 2)), "reshape flat": lambda t: np.reshape(t, -1), "ravel": np.ravel,
    "concatenate": lambda t: np.concatenate([t, t], 1), "concatenate flat": lambda t: np.concatenate((t, t), axis=None),
    "stack": lambda t: np.stack([t, t], -1), "where": lambda t: np.where(np.asarray(t) > 0, t, 0.0),
    "clip": lambda t: np.clip(t, -0.5, 0.5), "clip above": lambda t: np.clip(t, None, 0.5),
    "clip by name": lambda t: np.clip(t, a_min=-1, a_max=0.1), "transpose": lambda t: np.transpose(t, (1, 0)),
    "split": lambda t: np.split(t, 3, 1)[1], "einsum": lambda t: np.einsum("ij,kj->ik", t, t),
    "norm": np.linalg.norm, "norm of rows": lambda t: np.linalg.norm(t, 1, 1), "pad": lambda t: np.pad(t, 1),
    "pad edge": lambda t: np.pad(t, ((1, 0), (0, 2)), "edge"), "roll": lambda t: np.roll(t, 1, 0),
    "flip": lambda t: np.flip(t, 0), "tile": lambda t: np.tile(t, (2, 1)), "repeat": lambda t: np.repeat(t, 2, 1),
    "take": lambda t: np.take(t, np.array([0, 0]), 1), "swapaxes": lambda t: np.swapaxes(t, 0, 1),
    "moveaxis": lambda t: np.moveaxis(t, 0, 1), "expand_dims": lambda t: np.expand_dims(t, 0),
    "broadcast_to": lambda t: np.broadcast_to(t, (5, 2, 3)), "var": lambda t: np.var(t, 0, ddof=1),
    "cumsum": lambda t: np.cumsum(t, 0), "sort": lambda t: np.sort(t, 0), "triu": lambda t: np.triu(t, 1),
    "array @ t": lambda t: np.ones((5, 2)) @ t, "array * t": lambda t: np.ones((2, 3)) * t, "1 / t": lambda t: 1 / t,
    "absolute": np.absolute, "arctan2": lambda t: np.arctan2(t, 1.0), "t ** 2": lambda t: t**2,
    "t.swapaxes": lambda t: t.swapaxes(0, 1), "t.clip": lambda t: t.clip(-0.5, 0.5),
    "t.reshape": lambda t: t.reshape(3, 2),
    "t.transpose": lambda t: t.transpose(1, 0), "t.T": lambda t: t.T, "t.sum": lambda t: t.sum(0),
    "t.repeat": lambda t: t.repeat(2, 1), "t[::-1, [0, 2]]": lambda t: t[::-1, [0, 2]],
}


@pytest.mark.parametrize("name", BY_POSITION)
def test_numpys_order_of_arguments_works(name):
    t = leaf(2, 3)
    result, expected = BY_POSITION[name](t), BY_POSITION[name](t.numpy())
    assert type(result) is mm.Tensor
    np.testing.assert_allclose(result.data, expected, rtol=1e-14)
    gradcheck(BY_POSITION[name], [t])


def test_what_has_no_gradient_says_so():
    t = leaf(2, 3)
    for call in (lambda: np.median(t), lambda: np.sum(t, dtype=np.float32), lambda: np.linalg.norm(t, 2),
                 lambda: np.add(t, t, out=t), lambda: np.add.reduce(t)):
        with pytest.raises(TypeError):
            call()


# ---- drawn by hypothesis -------------------------------------------------------------------------------------------

FLOATS = st.sampled_from([np.float32, np.float64])
SEEDS = st.integers(0, 2**32 - 1)


def draw(shape, seed, dtype=np.float64):
    """Numbers with no two closer than 0.01, and none close to 0."""
    rng = np.random.default_rng(seed)
    n = math.prod(shape)
    return ((rng.permutation(n) - n // 2 + 0.4).reshape(shape) * 0.03).astype(dtype)


@few
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3), SEEDS, FLOATS, FLOATS,
       st.sampled_from(["add", "subtract", "multiply", "divide", "maximum", "minimum", "arctan2", "logaddexp"]))
def test_binary(shapes, seed, dtype_a, dtype_b, name):
    (shape_a, shape_b), shape = shapes.input_shapes, shapes.result_shape
    a, b = draw(shape_a, seed, dtype_a), draw(shape_b, seed + 1, dtype_b) + np.asarray(0.0137, dtype_b)
    x, y = mm.Tensor(a, requires_grad=True), mm.Tensor(b, requires_grad=True)
    z = OPS[name](x, y)
    assert z.shape == shape and z.dtype == np.result_type(dtype_a, dtype_b)
    np.testing.assert_array_equal(z.data, getattr(np, name)(a, b))
    z.sum().backward()
    assert x.grad.shape == shape_a and x.grad.dtype == dtype_a
    assert y.grad.shape == shape_b and y.grad.dtype == dtype_b
    gradcheck(OPS[name], [a.astype(np.float64), b.astype(np.float64)])


@few
@given(st.data(), hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4), SEEDS, FLOATS, st.booleans(),
       st.sampled_from(["sum", "mean", "var", "std", "max", "min", "prod", "logsumexp", "norm"]))
def test_reduction(data, shape, seed, dtype, keepdims, name):
    axes = st.integers(-len(shape), len(shape) - 1) if shape else st.just(())
    axis = data.draw(st.one_of(st.none(), axes, st.lists(axes, unique_by=lambda a: a % len(shape)).map(tuple))
                     if shape else st.sampled_from([None, ()]))
    x = draw(shape, seed, dtype)
    result = OPS[name](mm.Tensor(x), axis=axis, keepdims=keepdims)
    reference = {"logsumexp": lambda x, **s: np.log(np.sum(np.exp(x), **s)),
                 "norm": lambda x, **s: np.sqrt(np.sum(x * x, **s))}.get(name, getattr(np, name, None))
    expected = reference(x, axis=axis, keepdims=keepdims)
    assert result.shape == expected.shape and result.dtype == dtype
    np.testing.assert_allclose(result.data, expected, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)
    if not (name == "std" and np.std(x, axis=axis).min() == 0):  # the root has a kink there
        gradcheck(lambda t: OPS[name](t, axis=axis, keepdims=keepdims), [x.astype(np.float64)])


@few
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4), SEEDS, FLOATS)
def test_indexing(data, shape, seed, dtype):
    basic = hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)
    choices = [basic, hnp.arrays(bool, shape)]
    if all(shape):
        choices.append(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)))
        choices.append(hnp.arrays(np.int64, st.integers(0, 5), elements=st.integers(-shape[0], shape[0] - 1)))
        if len(shape) > 1:
            part = hnp.arrays(np.int64, 3, elements=st.integers(-shape[0], shape[0] - 1))
            choices.append(st.tuples(part, st.slices(shape[1])))
    index = data.draw(st.one_of(*choices))
    x = draw(shape, seed, dtype)
    result = mm.Tensor(x, requires_grad=True)[index]
    np.testing.assert_array_equal(result.data, x[index])
    assert result.dtype == dtype
    gradcheck(lambda t: t[index], [x.astype(np.float64)])


@few
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3), SEEDS)
def test_shape(data, shape, seed):
    x, n = draw(shape, seed), len(shape)
    axis, other = data.draw(st.integers(-n, n - 1)), data.draw(st.integers(-n, n - 1))
    order = tuple(data.draw(st.permutations(range(n))))
    shift, count = data.draw(st.integers(-5, 5)), data.draw(st.integers(0, 3))
    name, static = data.draw(st.sampled_from([
        ("transpose", {"axes": order}), ("swapaxes", {"axis1": axis, "axis2": other}), ("flip", {"axis": axis}),
        ("moveaxis", {"source": axis, "destination": other}), ("roll", {"shift": shift, "axis": axis}),
        ("expand_dims", {"axis": axis}), ("repeat", {"repeats": count, "axis": axis}), ("cumsum", {"axis": axis}),
        ("tile", {"reps": (count,) * (1 + n % 3)}), ("sort", {"axis": axis}), ("squeeze", {}),
        ("reshape", {"shape": tuple(shape[i] for i in order)}), ("broadcast_to", {"shape": (count, *shape)}),
        ("pad", {"pad_width": tuple((abs(shift), count) for _ in shape)})]))
    result = OPS[name](mm.Tensor(x), **static)
    np.testing.assert_allclose(result.data, getattr(np, name)(x, **static), rtol=1e-14, atol=1e-14)
    gradcheck(lambda t: OPS[name](t, **static), [x])


@few
@given(hnp.mutually_broadcastable_shapes(signature="(m?,k),(k,n?)->(m?,n?)", max_dims=2, min_side=0, max_side=3), SEEDS,
       FLOATS, FLOATS, st.booleans())
def test_matmul(shapes, seed, dtype_a, dtype_b, strided):
    a, b = (draw(s, seed + i, d) for i, (s, d) in enumerate(zip(shapes.input_shapes, (dtype_a, dtype_b))))
    if strided:
        a = np.asfortranarray(a)
    result = mm.matmul(a, mm.Tensor(b))
    assert result.shape == shapes.result_shape and result.dtype == np.result_type(dtype_a, dtype_b)
    np.testing.assert_allclose(result.data, np.matmul(a, b), rtol=1e-5, atol=1e-6)
    gradcheck(mm.matmul, [a.astype(np.float64), b.astype(np.float64)])


@few
@given(st.data(), SEEDS)
def test_einsum(data, seed):
    sizes = {c: data.draw(st.integers(0, 3)) for c in "ijkl"}
    inputs = data.draw(st.lists(st.text("ijkl", min_size=1, max_size=3), min_size=1, max_size=3))
    labels = sorted(set("".join(inputs)))
    output = "".join(data.draw(st.lists(st.sampled_from(labels), unique=True, max_size=3)))
    arrays = [draw([sizes[c] for c in text], seed + i) for i, text in enumerate(inputs)]
    subscripts = f"{','.join(inputs)}->{output}"
    expected = np.einsum(subscripts, *arrays)
    np.testing.assert_allclose(mm.einsum(subscripts, *arrays).data, expected, rtol=1e-12, atol=1e-12)
    gradcheck(lambda *xs: mm.einsum(subscripts, *xs), arrays)


# ---- large enough for the kernels ----------------------------------------------------------------------------------

LARGE = {
    "exp": lambda t: mm.exp(t), "tanh": lambda t: mm.tanh(t), "matmul": lambda t: t @ t.T, "gelu": lambda t: mm.gelu(t),
    "linear": lambda t: mm.linear(t, t[:67] * 0.5), "sum": lambda t: t.sum(axis=0), "softmax": lambda t: mm.softmax(t),
    "batched": lambda t: t.reshape(3, 23, 71) @ t[:71 // 2].T, "norm": lambda t: mm.layer_norm(t),
    "batch on the right": lambda t: t[:7, :69] @ mm.stack([t, t * 2, t + 1]),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_arrays(name):
    """Above the sizes from which on a kernel takes over: gradient, and the same in float32."""
    x = np.random.default_rng(0).normal(size=(69, 71))
    gradcheck(LARGE[name], [x])
    one, other = mm.Tensor(x, requires_grad=True), mm.Tensor(x.astype(np.float32), requires_grad=True)
    y, z = LARGE[name](one), LARGE[name](other)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.data, y.data, rtol=2e-4, atol=2e-5)
    y.backward(np.cos(np.arange(y.size)).reshape(y.shape))
    z.backward(np.cos(np.arange(y.size)).reshape(y.shape))
    np.testing.assert_allclose(other.grad, one.grad, rtol=1e-3, atol=1e-4)


# ---- single ops ----------------------------------------------------------------------------------------------------


def test_ties_are_shared_equally():
    x = mm.Tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    mm.max(x, axis=1).sum().backward()
    np.testing.assert_allclose(x.grad, [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]])
    a, b = mm.Tensor([1.0, 2.0], requires_grad=True), mm.Tensor([1.0, 3.0], requires_grad=True)
    mm.maximum(a, b).sum().backward()
    np.testing.assert_array_equal(a.grad, [0.5, 0])
    np.testing.assert_array_equal(b.grad, [0.5, 1])


def test_softmax_at_the_extremes():
    x = np.array([[1e4, -1e4, 0], [-np.inf, 0, 0], [-np.inf, -np.inf, -np.inf]])
    t = mm.Tensor(x, requires_grad=True)
    y = mm.softmax(t)
    np.testing.assert_array_equal(y.data, [[1, 0, 0], [0, 0.5, 0.5], [0, 0, 0]])
    y.backward(np.ones((3, 3)))
    assert np.isfinite(t.grad).all()


def test_losses_do_not_overflow():
    x = mm.Tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss = mm.cross_entropy(x, np.array([0, 0]))
    assert loss.item() == 1e4
    loss.backward()
    np.testing.assert_allclose(x.grad, [[0, 0], [-0.5, 0.5]])
    z = mm.Tensor([1e4, -1e4], requires_grad=True)
    loss = mm.bce_with_logits(z, mm.Tensor([0.0, 1.0]), reduction="sum")
    assert loss.item() == 2e4
    loss.backward()
    np.testing.assert_allclose(z.grad, [1, -1])
    for f in (mm.sigmoid, mm.logsigmoid, mm.softplus, mm.tanh, mm.silu, mm.gelu):
        t = mm.Tensor([-1e4, 1e4], requires_grad=True)
        f(t).sum().backward()
        assert np.isfinite(t.grad).all()


def test_dropout_keeps_the_mean_and_uses_one_mask():
    x = mm.Tensor(np.ones((200, 500)), requires_grad=True)
    y = mm.dropout(x, p=0.2)
    kept = y.data != 0
    assert abs(kept.mean() - 0.8) < 0.005  # four standard errors
    np.testing.assert_allclose(y.data[kept], 1.25)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)


def test_dropout_follows_the_seed_and_can_be_off():
    x = mm.Tensor(np.ones(1000))
    mm.manual_seed(3)
    first, second = mm.dropout(x).numpy(), mm.dropout(x).numpy()
    mm.manual_seed(3)
    np.testing.assert_array_equal(mm.dropout(x).data, first)
    assert (first != second).any()
    np.testing.assert_array_equal(mm.dropout(x, seed=7).data, mm.dropout(x, seed=7).data)
    for off in (mm.dropout(x, training=False), mm.dropout(x, p=0.0)):
        np.testing.assert_array_equal(off.data, 1)
    np.testing.assert_array_equal(mm.dropout(x, p=1.0).data, 0)


def test_whole_numbers_stay_out_of_the_graph():
    t = leaf(5)
    values, indices = mm.topk(t, k=2)
    assert values.requires_grad and not indices.requires_grad and indices.dtype.kind == "i"
    assert not mm.astype(t, dtype=np.int64).requires_grad
    np.testing.assert_array_equal(mm.exp(np.arange(3)).data, np.exp(np.arange(3)))
    np.testing.assert_allclose(mm.sigmoid(0).data, 0.5)


def test_an_index_is_copied():
    x, index = leaf(5), np.array([0, 1])
    y = x[index]
    index[:] = 4
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [1, 1, 0, 0, 0])


def test_one_product_for_a_batch_of_rows(monkeypatch):
    """(B, T, D) @ (D, F) is one two-dimensional product, and so are its gradients."""
    from tinymm.ops import linalg

    seen = []

    def product(a, b, *transposed, real=linalg.product):
        seen.append((a.ndim, b.ndim))
        return real(a, b, *transposed)

    monkeypatch.setattr(linalg, "product", product)
    for f, shapes in [(mm.matmul, [(2, 3, 5), (5, 7)]), (mm.linear, [(2, 3, 5), (7, 5)])]:
        gradcheck(f, [np.random.default_rng(0).normal(size=s) for s in shapes])
    assert set(seen) == {(2, 2)}


@pytest.mark.parametrize("call, error, words", [
    (lambda: mm.matmul(np.ones((2, 3)), np.ones((2, 3))), ValueError, "inner sizes are 3 and 2"),
    (lambda: mm.matmul(np.ones((2, 3)), 2.0), ValueError, "multiply with"),
    (lambda: mm.linear(np.ones((2, 3)), np.ones((5, 2))), ValueError, r"expected \(..., in\)"),
    (lambda: mm.clip(np.ones(2)), ValueError, "at least one"),
    (lambda: mm.gelu(np.ones(2), approximate="sigmoid"), ValueError, "'none' or 'tanh'"),
    (lambda: mm.dropout(np.ones(2), p=1.5), ValueError, "between 0 and 1"),
    (lambda: mm.topk(np.ones(2), k=3), ValueError, r"0 \.\. 2"),
    (lambda: mm.gather(np.ones((2, 3)), np.zeros(2, int), axis=0), ValueError, "as many"),
    (lambda: mm.index_select(np.ones((2, 3)), np.zeros((1, 1), int), axis=0), ValueError, "take"),
    (lambda: mm.embedding(np.array([5]), np.ones((3, 2))), IndexError, r"0 \.\. 2"),
    (lambda: mm.layer_norm(np.ones((2, 3)), np.ones(2)), ValueError, "weight"),
    (lambda: mm.group_norm(np.ones((2, 3, 5)), num_groups=2), ValueError, "3 channels"),
    (lambda: mm.batch_norm(np.ones((2, 3))), ValueError, "running_mean"),
    (lambda: mm.batch_norm(np.ones((1, 3)), training=True), ValueError, "more than one value"),
    (lambda: mm.cross_entropy(np.ones((2, 3)), np.array([0, 3])), IndexError, r"0 \.\. 2"),
    (lambda: mm.cross_entropy(np.ones((2, 3)), np.array([0, 3]), weight=np.ones(3)), IndexError, r"0 \.\. 2"),
    (lambda: mm.cross_entropy(np.ones((2, 3)), np.array([0, 1]), weight=np.ones(2)), ValueError, r"\(3,\)"),
    (lambda: mm.cross_entropy(np.ones((2, 3)), np.array([0, 1, 1])), ValueError, "targets"),
    (lambda: mm.cross_entropy(np.ones((2, 3)), np.array([0, 1]), reduction="max"), ValueError, "'sum' or 'none'"),
    (lambda: mm.mse_loss(np.ones((2, 3)), np.ones(3)), ValueError, "the same"),
    (lambda: mm.einsum("ij,jk", np.ones((2, 3))), ValueError, "2 operands; 1"),
    (lambda: mm.einsum("ij,jk", np.ones((2, 3)), np.ones((5, 2))), ValueError, "'j' is 3 in one operand, 5"),
    (lambda: mm.einsum("ij->ik", np.ones((2, 3))), ValueError, "label"),
    (lambda: mm.einsum("ijk", np.ones((2, 3))), ValueError, "2 dimensions"),
    (lambda: mm.dot(np.ones((2, 3)), np.ones((2, 3, 5))), ValueError, "einsum"),
])
def test_errors_say_what_was_expected(call, error, words):
    with pytest.raises(error, match=words):
        call()
