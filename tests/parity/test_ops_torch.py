"""Every op gives torch's values and torch's gradients, on every sample that it is gradient-checked on."""

import zlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tinymm as mm  # noqa: E402
from tinymm.autograd import OPS  # noqa: E402

F = torch.nn.functional
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}

WITHOUT_COUNTERPART = {
    "dropout": "its random numbers are another generator's; test_ops.py checks mask, scale and gradient by themselves",
}

RENAMED = {"axis": "dim", "keepdims": "keepdim", "ddof": "correction", "k": "diagonal"}


def torch_call(name, args, static):
    """torch's result for our arguments: by the name in `torch=`, or by a translation below."""
    if name in TRANSLATED:
        return TRANSLATED[name](*args, **static)
    function = torch
    for part in OPS[name].spec.torch.split("."):
        function = getattr(function, part)
    return function(*args, **{RENAMED.get(k, k): v for k, v in static.items()})


def reduction(function, many=True):
    """NumPy's axis is None for all and () for none; torch's dim is () for all in some functions."""

    def call(x, *, axis=None, keepdims=False, **static):
        if axis == ():
            return x
        dims = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        static = {RENAMED.get(k, k): v for k, v in static.items()}
        if many:
            return function(x, dim=dims, keepdim=keepdims, **static)
        for d in sorted((d % max(x.ndim, 1) for d in dims), reverse=True):
            x = function(x, dim=d, keepdim=keepdims)
        return x

    return call


def pad(x, *, pad_width, mode="constant", constant_values=0.0):
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))
    if mode == "constant":
        return F.pad(x, widths[::-1].reshape(-1).tolist(), value=constant_values)
    last = widths[-2:][::-1].reshape(-1).tolist()  # torch pads the last two axes of four
    mode = {"edge": "replicate", "wrap": "circular"}.get(mode, mode)
    return F.pad(x.reshape(1, -1, *x.shape[-2:]), last, mode=mode).reshape(*x.shape[:-2], *[
        n + sum(w) for n, w in zip(x.shape[-2:], widths[-2:].tolist())])


def take(x, indices, *, axis=None):
    if axis is None:
        return torch.take(x, indices)
    axis %= x.ndim
    y = torch.index_select(x, axis, indices.reshape(-1) % x.shape[axis])
    return y.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1:])


def getitem(x, *, index):
    """torch has no negative steps, so it picks by the numbers of the elements that NumPy's index picks."""
    numbers = np.arange(x.numel()).reshape(x.shape)[index]
    return x.reshape(-1)[torch.as_tensor(np.array(numbers))]


def normalised(function, shape_first):
    def call(x, weight=None, bias=None, *, eps=1e-5, num_groups=None):
        if shape_first:
            given = weight if weight is not None else bias
            return function(x, x.shape[-1:] if given is None else given.shape, weight, bias, eps)
        return function(x, num_groups, weight, bias, eps)

    return call


def batch_norm(x, weight=None, bias=None, *, running_mean=None, running_var=None, **static):
    return F.batch_norm(x, running_mean, running_var, weight, bias, **static)


def classes(function):
    def call(x, targets, *, axis=None, **static):
        if axis is not None:
            x = x.movedim(axis, 1)
        return function(x, targets, **static)

    return call


def flattened(function):
    def call(x, *, axis=-1):
        return function(x.reshape(-1), 0) if axis is None else function(x, axis)

    return call


TRANSLATED = {
    "sum": reduction(torch.sum), "mean": reduction(torch.mean), "var": lambda x, ddof=0, **s: reduction(torch.var)(
        x, correction=ddof, **s), "std": lambda x, ddof=0, **s: reduction(torch.std)(x, correction=ddof, **s),
    "max": reduction(torch.amax), "min": reduction(torch.amin), "prod": reduction(torch.prod, many=False),
    "logsumexp": reduction(torch.logsumexp), "norm": reduction(torch.linalg.vector_norm),
    "cumsum": lambda x, axis=None: flattened(torch.cumsum)(x, axis=axis),
    "sort": flattened(lambda x, d: torch.sort(x, dim=d).values),
    "topk": lambda x, k, axis=-1, largest=True: torch.topk(x, k, dim=axis, largest=largest),
    "astype": lambda x, dtype: x.to(getattr(torch, np.dtype(dtype).name)),
    "dot": lambda a, b: a * b if a.ndim == 0 or b.ndim == 0 else torch.matmul(a, b),
    "outer": lambda a, b: torch.outer(a.reshape(-1), b.reshape(-1)),
    "einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs),
    "reshape": lambda x, shape: torch.reshape(x, shape if isinstance(shape, tuple) else (shape,)),
    "flatten": lambda x, start_axis=0, end_axis=-1: torch.flatten(x, start_axis, end_axis),
    "transpose": lambda x, axes=None: torch.permute(x, axes or tuple(range(x.ndim))[::-1]),
    "swapaxes": lambda x, axis1, axis2: torch.swapaxes(x, axis1, axis2),
    "expand_dims": lambda x, axis: torch.unsqueeze(torch.unsqueeze(x, axis[0]), axis[1]) if isinstance(axis, tuple)
    else torch.unsqueeze(x, axis),
    "squeeze": lambda x, axis=None: torch.squeeze(x) if axis is None else torch.squeeze(x, axis),
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "concatenate": lambda *xs, axis=0: torch.cat([x.reshape(-1) for x in xs] if axis is None else xs, axis or 0),
    "stack": lambda *xs, axis=0: torch.stack(xs, axis),
    "split": lambda x, indices_or_sections, axis=0: torch.tensor_split(x, indices_or_sections, axis),
    "pad": pad, "take": take, "getitem": getitem,
    "roll": lambda x, shift, axis=None: torch.roll(x, shift, axis),
    "flip": lambda x, axis=None: torch.flip(
        x, tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)),
    "tile": lambda x, reps: torch.tile(x, reps if isinstance(reps, tuple) else (reps,)),
    "repeat": lambda x, repeats, axis=None: torch.repeat_interleave(x, torch.as_tensor(repeats), axis),
    "index_select": lambda x, index, axis: torch.index_select(x, axis, index),
    "gather": lambda x, index, axis: torch.gather(x, axis, index),
    "scatter_add": lambda x, index, src, axis: torch.scatter_add(x, axis, index, src),
    "layer_norm": normalised(F.layer_norm, True), "group_norm": normalised(F.group_norm, False),
    "batch_norm": batch_norm,
    "cross_entropy": classes(F.cross_entropy), "nll_loss": classes(F.nll_loss),
    "where": torch.where,
}


def samples():
    found = []
    for name, o in OPS.items():
        if name not in WITHOUT_COUNTERPART:
            drawn = o.spec.samples(np.random.default_rng(zlib.crc32(name.encode())))
            if name == "multi_margin_loss":  # torch's is uninitialised memory for an empty batch
                drawn = [sample for sample in drawn if sample.args[0].size]
            found += [pytest.param(name, sample, id=f"{name}-{i}") for i, sample in enumerate(drawn)]
    return found


def cast(x, dtype):
    """`x` with every array of floats in it as `dtype`."""
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return x.astype(dtype)
    return x


def to_torch(x):
    return torch.as_tensor(np.ascontiguousarray(x).reshape(x.shape)) if isinstance(x, np.ndarray) else x


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:.*degrees of freedom is <= 0")  # torch's own
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name, sample", samples())
def test_value_and_gradients_are_torchs(name, sample, dtype):
    args = [cast(a, dtype) for a in sample.args]
    static = {k: cast(v, dtype) for k, v in sample.static.items()}
    if name == "astype":
        static["dtype"] = dtype
    checked = [i for i, a in enumerate(args) if isinstance(a, np.ndarray) and a.dtype == dtype
               and (sample.check is None or i in sample.check)]
    ours = [mm.Tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    theirs = [to_torch(a) for a in args]
    for i in checked:
        ours[i].requires_grad = True
        theirs[i].requires_grad = True

    theirs_static = {k: v if name == "getitem" else to_torch(v) for k, v in static.items()}
    if name in ("reshape", "repeat"):
        theirs_static = static
    expected = torch_call(name, theirs, theirs_static)
    result = OPS[name](*ours, **static)
    several = isinstance(result, tuple)
    result, expected = (result, expected) if several else ((result,), (expected,))

    rng = np.random.default_rng(0)
    ours_total, theirs_total = [], []
    for y, z in zip(result, expected, strict=True):
        assert y.shape == tuple(z.shape)
        assert y.dtype == z.detach().numpy().dtype
        near(y.data, z.detach().numpy(), dtype)
        if y.requires_grad:
            c = np.asarray(rng.normal(size=y.shape), dtype=dtype)
            ours_total.append((y * c).sum())
            theirs_total.append((z * torch.as_tensor(c)).sum())
    if not ours_total:
        assert not checked
        return
    sum(ours_total[1:], ours_total[0]).backward()
    sum(theirs_total[1:], theirs_total[0]).backward()
    for i in checked:
        assert ours[i].grad.dtype == dtype
        expected = theirs[i].grad
        near(ours[i].grad, np.zeros_like(args[i]) if expected is None else expected.numpy(), dtype)


def near(ours, theirs, dtype):
    """Within the tolerance of the largest number in the array, or of 1."""
    scale = max(1.0, float(np.abs(theirs).max(initial=0, where=np.isfinite(theirs))))
    np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)


def test_every_op_is_compared_or_has_a_reason():
    compared = {p.values[0] for p in samples()}
    assert compared | set(WITHOUT_COUNTERPART) == set(OPS)
    untranslated = [n for n in compared if n not in TRANSLATED and OPS[n].spec.torch is None]
    assert untranslated == []


def test_ties_are_shared_as_in_torch():
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    for name, function in [("max", torch.amax), ("min", torch.amin)]:
        ours, theirs = mm.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        OPS[name](ours, axis=1).sum().backward()
        function(theirs, dim=1).sum().backward()
        np.testing.assert_array_equal(ours.grad, theirs.grad.numpy())
    for name in ("maximum", "minimum"):
        ours, theirs = mm.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        OPS[name](ours, 2.0).sum().backward()
        getattr(torch, name)(theirs, torch.tensor(2.0, dtype=torch.float64)).sum().backward()
        np.testing.assert_array_equal(ours.grad, theirs.grad.numpy())


@pytest.mark.parametrize("name", ["abs", "relu", "sign", "leaky_relu", "elu", "softplus", "logsigmoid", "clip", "gelu"])
def test_at_the_kink_too(name):
    x = np.array([-1.0, -0.0, 0.0, 1.0])
    static = {"min": 0.0, "max": 1.0} if name == "clip" else {}
    ours, theirs = mm.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    OPS[name](ours, **static).sum().backward()
    torch_call(name, [theirs], static).sum().backward()
    near(ours.grad, theirs.grad.numpy(), np.float64)


def test_running_statistics_are_torchs():
    x, rng = np.random.default_rng(1).normal(size=(5, 3, 2)), np.random.default_rng(2)
    mean, var = rng.normal(size=3), rng.uniform(0.5, 2, size=3)
    theirs_mean, theirs_var = torch.tensor(mean), torch.tensor(var)
    ours_mean, ours_var = mean.copy(), mm.Tensor(var)  # an array and a Tensor both will do
    mm.batch_norm(mm.Tensor(x), running_mean=ours_mean, running_var=ours_var, training=True, momentum=0.3)
    F.batch_norm(torch.tensor(x), theirs_mean, theirs_var, training=True, momentum=0.3)
    near(ours_mean, theirs_mean.numpy(), np.float64)
    near(ours_var.data, theirs_var.numpy(), np.float64)


def test_padding_row_gets_no_gradient():
    index, weight = np.array([[1, 0], [1, 2]]), np.random.default_rng(0).normal(size=(3, 5))
    ours, theirs = mm.Tensor(weight, requires_grad=True), torch.tensor(weight, requires_grad=True)
    mm.embedding(index, ours, padding_idx=1).sum().backward()
    F.embedding(torch.tensor(index), theirs, padding_idx=1).sum().backward()
    np.testing.assert_array_equal(ours.grad, theirs.grad.numpy())


def test_mean_of_no_targets_is_nan_as_in_torch():
    logits, targets = np.zeros((2, 3)), np.array([-100, -100])
    assert np.isnan(F.cross_entropy(torch.tensor(logits), torch.tensor(targets)).item())
    assert np.isnan(mm.cross_entropy(mm.Tensor(logits), targets).item())
