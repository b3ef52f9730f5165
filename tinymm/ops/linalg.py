"""Products: matmul, einsum, linear and their relatives."""

import math

import numpy as np

from tinymm import kernels
from tinymm.autograd.op import Sample, op
from tinymm.autograd.tensor import OPS

_SMALL = 100_000  # below this many multiplications NumPy's own product is quicker than the way into a kernel


def product(a, b, transpose_a=False, transpose_b=False, bias=None):
    """a @ b + bias over the last two axes, either of them transposed first; arrays of at least two dimensions."""
    if a.size * b.shape[-2 if transpose_b else -1] < _SMALL or a.dtype.kind != "f" or b.dtype.kind != "f":
        if transpose_a:
            a = a.swapaxes(-1, -2)
        if transpose_b:
            b = b.swapaxes(-1, -2)
        return np.matmul(a, b) if bias is None else np.matmul(a, b) + bias
    return kernels.matmul(a, b, transpose_a, transpose_b) if bias is None else kernels.matmul(
        a, b, transpose_a, transpose_b, bias)


@op(samples=lambda rng: [
    Sample(rng.normal(size=a), rng.normal(size=b)) for a, b in [
        ((2, 3), (3, 5)), ((1, 3), (3, 1)), ((0, 3), (3, 5)), ((2, 0), (0, 5)), ((3,), (3,)), ((2, 3), (3,)),
        ((3,), (3, 5)), ((7, 2, 3), (3, 5)), ((7, 2, 3), (3,)), ((3,), (7, 3, 5)), ((2, 3), (7, 3, 5)),
        ((7, 2, 3), (7, 3, 5)), ((7, 1, 2, 3), (5, 3, 2)), ((1, 2, 3), (7, 3, 5)), ((0, 2, 3), (3, 5))]
    ] + [Sample(rng.normal(size=(3, 2)).T, rng.normal(size=(5, 6)).T[::2]),
         Sample(rng.normal(size=(2, 7, 3)).swapaxes(0, 1), rng.normal(size=(7, 5, 3)).swapaxes(1, 2))],
    torch="matmul")
def matmul(a, b):
    """The matrix product, as ``a @ b`` in NumPy.

    Parameters
    ----------
    a : (..., m, k) or (k,)
    b : (..., k, n) or (k,)
        Leading axes broadcast.

    Returns
    -------
    (..., m, n)
        Without m where `a` is a vector, and without n where `b` is one.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or one of them is a scalar.
    """
    if type(a) is not np.ndarray or type(b) is not np.ndarray:
        a, b = np.asarray(a), np.asarray(b)
    n_a, n_b = a.ndim, b.ndim
    if n_a == 2 and n_b == 2:
        if a.shape[1] != b.shape[0]:
            _check_inner(a, b, a.shape[1], b.shape[0])
        return product(a, b), (lambda g: product(g, b, False, True), lambda g: product(a, g, True, False))
    return _matmul_any(a, b, n_a, n_b)


def _matmul_any(a, b, n_a, n_b):
    """`matmul` for all but two matrices."""
    if n_a == 0 or n_b == 0:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape}; a scalar has no matrix product, multiply with *")
    _check_inner(a, b, a.shape[-1], b.shape[-2 if n_b > 1 else 0])
    if n_b <= 2:  # one matrix on the right: all rows of `a`, of the whole batch, in one product
        shape_a, shape_b, k, n = a.shape, b.shape, a.shape[-1], b.shape[1] if n_b == 2 else 1
        a, b = a.reshape(math.prod(shape_a[:-1]), k), b.reshape(k, n)
        y = product(a, b)

        def d_a(g):
            return product(g.reshape(len(a), n), b, False, True).reshape(shape_a)

        def d_b(g):
            return product(a, g.reshape(len(a), n), True, False).reshape(shape_b)

        return y.reshape(shape_a[:-1] + shape_b[1:]), (d_a, d_b)

    row = n_a == 1  # a batch on the right
    if row:
        a = a[None]

    def d_a(g):
        if row:
            g = np.expand_dims(g, -2)
        if a.ndim > 2:
            return product(g, b, False, True)
        columns = b.size // max(b.shape[-2], 1)  # one matrix on the left: sum over the batch within one product
        if not columns:
            return np.zeros(a.shape[-1:] if row else a.shape, g.dtype)
        g, right = (np.moveaxis(each, -2, 0).reshape(each.shape[-2], columns) for each in (g, b))
        d = product(g, right, False, True)
        return d[0] if row else d

    def d_b(g):
        return product(a, np.expand_dims(g, -2) if row else g, True, False)

    y = product(a, b)
    return y[..., 0, :] if row else y, (d_a, d_b)


def _check_inner(a, b, inner_a, inner_b):
    if inner_a != inner_b:
        raise ValueError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit: the inner sizes are {inner_a} and {inner_b}"
        )


@op(samples=lambda rng: [Sample(rng.normal(size=a), rng.normal(size=b)) for a, b in [
    ((3,), (3,)), ((2, 3), (3, 5)), ((2, 3), (3,)), ((), (2, 3)), ((5, 2, 3), (3,)), ((0, 3), (3, 2))]])
def dot(a, b):
    """The inner product of two vectors; `matmul` for matrices, `multiply` where one is a scalar, as in NumPy.

    Raises
    ------
    ValueError
        If `b` has more than two dimensions: `einsum` says what is meant.
    """
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return OPS["multiply"].spec.function(a, b)
    if b.ndim > 2:
        raise ValueError(f"dot: b has shape {b.shape}; expected at most two dimensions. Try einsum")
    return matmul.spec.function(a, b)


@op(samples=lambda rng: [Sample(rng.normal(size=a), rng.normal(size=b)) for a, b in [
    ((2,), (3,)), ((1,), (5,)), ((0,), (3,)), ((2, 3), (5,)), ((), (3,))]])
def outer(a, b):
    """y[i, j] = a[i] * b[j]; inputs of more dimensions are flattened, as in NumPy."""
    shape_a, shape_b = np.shape(a), np.shape(b)
    a, b = np.ravel(a), np.ravel(b)
    return np.multiply.outer(a, b), (lambda g: (g @ b).reshape(shape_a), lambda g: (a @ g).reshape(shape_b))


def _linear(x, weight, bias=None):
    y = OPS["matmul"](x, OPS["transpose"](weight))
    return y if bias is None else OPS["add"](y, bias)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3)), rng.normal(size=(5, 3)), rng.normal(size=5)),
    Sample(rng.normal(size=(7, 1, 3)), rng.normal(size=(2, 3)), rng.normal(size=2)),
    Sample(rng.normal(size=(2, 7, 3)), rng.normal(size=(5, 3))),
    Sample(rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=5)),
    Sample(rng.normal(size=(0, 3)), rng.normal(size=(5, 3)), rng.normal(size=5)),
    Sample(rng.normal(size=(3, 2)).T, rng.normal(size=(3, 5)).T, rng.normal(size=10)[::2])],
    torch="nn.functional.linear", fuses=("matmul", "transpose", "add"), composition=_linear)
def linear(x, weight, bias=None):
    """y = x @ weight.T + bias.

    Parameters
    ----------
    x : (..., in)
    weight : (out, in)
    bias : (out,), optional

    Returns
    -------
    (..., out)

    Raises
    ------
    ValueError
        If the last axis of `x` is not as long as a row of `weight`.
    """
    shape = x.shape
    if shape[-1:] != weight.shape[1:]:
        raise ValueError(f"linear: x has shape {shape} and weight {weight.shape}; expected (..., in) and (out, in)")
    if x.ndim != 2:
        x = x.reshape(math.prod(shape[:-1]), shape[-1])
    y = product(x, weight, False, True, bias)

    def d_x(g):
        return product(g.reshape(len(x), len(weight)) if g.ndim != 2 else g, weight).reshape(shape)

    def d_weight(g):
        return product(g.reshape(len(x), len(weight)) if g.ndim != 2 else g, x, True, False)

    def d_bias(g):
        return np.add.reduce(g.reshape(len(x), len(weight)), axis=0)

    return y if len(shape) == 2 else y.reshape(*shape[:-1], len(weight)), (d_x, d_weight, d_bias)


# ---- einsum --------------------------------------------------------------------------------------------------------


def _einsum_samples(rng):
    cases = [("ij,jk->ik", (2, 3), (3, 5)), ("bij,bjk->bik", (7, 2, 3), (7, 3, 5)), ("ij->ji", (2, 3)),
             ("ij->", (2, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)), ("iij,j->i", (2, 2, 3), (3,)),
             ("...ij,...jk->...ik", (7, 2, 3), (3, 5)), ("...ij,...jk", (1, 2, 3), (7, 3, 5)),
             ("i,j->ij", (2,), (3,)), ("ij,kl->il", (2, 3), (5, 7)), ("ab,bc,cd", (2, 3), (3, 5), (5, 2)),
             ("i,i->", (3,), (3,)), ("bhtk,bhsk->bhts", (2, 3, 5, 7), (2, 3, 1, 7)), ("ij,jk->ik", (0, 3), (3, 5)),
             ("i...->...", (2, 3, 5))]
    return [Sample(*[rng.normal(size=s) for s in shapes], subscripts=text) for text, *shapes in cases]


@op(samples=_einsum_samples, name="einsum")
def _einsum(*arrays, subscripts):
    arrays = [np.asarray(x) for x in arrays]
    inputs, output = _parse(subscripts, [x.ndim for x in arrays])
    sizes = {}
    for labels, x in zip(inputs, arrays):
        for label, n in zip(labels, x.shape):
            if n != 1 and sizes.setdefault(label, n) != n:
                raise ValueError(f"einsum: {subscripts!r}: {label!r} is {sizes[label]} in one operand, {n} in another")

    def vjps(g, needs):
        return tuple(_d_einsum(g, arrays, inputs, output, i, sizes) if need else None for i, need in enumerate(needs))

    return _contract(arrays, inputs, output), vjps


def _contract(arrays, inputs, output):
    """The sum, two operands at a time."""
    arrays, inputs = list(arrays), list(inputs)
    while len(arrays) > 2:
        rest = set(output).union(*inputs[2:])
        between = "".join(c for c in dict.fromkeys(inputs[0] + inputs[1]) if c in rest)
        arrays[:2] = [_contract_pair(*arrays[:2], *inputs[:2], between)]
        inputs[:2] = [between]
    if len(arrays) == 2:
        return _contract_pair(*arrays, *inputs, output)
    return np.einsum(f"{inputs[0]}->{output}", arrays[0])


def _contract_pair(a, b, labels_a, labels_b, output):
    """Two operands as one batched matrix product: (batch, rows, inner) @ (batch, inner, columns)."""
    a, labels_a = _reduced_to(a, labels_a, set(labels_b + output), b, labels_b)
    b, labels_b = _reduced_to(b, labels_b, set(labels_a + output), a, labels_a)
    batch = [c for c in labels_a if c in labels_b and c in output]
    inner = [c for c in labels_a if c in labels_b and c not in output]
    rows = [c for c in labels_a if c not in labels_b]
    columns = [c for c in labels_b if c not in labels_a]
    a = a.transpose([labels_a.index(c) for c in batch + rows + inner])
    b = b.transpose([labels_b.index(c) for c in batch + inner + columns])
    n, m = len(batch), len(inner)
    shape = a.shape[:n + len(rows)] + b.shape[n + m:]
    sizes = [math.prod(s) for s in (a.shape[n:n + len(rows)], b.shape[n:n + m], b.shape[n + m:])]
    y = product(a.reshape(*a.shape[:n], sizes[0], sizes[1]), b.reshape(*b.shape[:n], sizes[1], sizes[2])).reshape(shape)
    return y.transpose([(batch + rows + columns).index(c) for c in output])


def _reduced_to(x, labels, needed, other, labels_other):
    """`x` with diagonals read, with axes summed that nobody else has, and without axes of length 1 that broadcast."""
    kept = "".join(c for c in dict.fromkeys(labels) if c in needed)
    if kept != labels:
        x = np.einsum(f"{labels}->{kept}", x)
    for i, c in reversed(list(enumerate(kept))):
        if x.shape[i] == 1 and c in labels_other and other.shape[labels_other.index(c)] != 1:
            x, kept = x.squeeze(i), kept.replace(c, "")
    return x, kept


def _d_einsum(g, arrays, inputs, output, i, sizes):
    """The gradient for operand i: the same sum, with the output's gradient in the operand's place."""
    others = [k for k in range(len(arrays)) if k != i]
    own = "".join(dict.fromkeys(inputs[i]))  # each label once
    seen = set(output).union(*[inputs[k] for k in others])
    reached = "".join(label for label in own if label in seen)
    d = _contract([g, *[arrays[k] for k in others]], [output, *[inputs[k] for k in others]], reached)
    d = d.reshape([d.shape[reached.index(label)] if label in reached else 1 for label in own])
    d = np.broadcast_to(d, [sizes.get(label, 1) for label in own])
    if own == inputs[i]:
        return d
    full = np.zeros(arrays[i].shape, d.dtype)  # a repeated label reads a diagonal
    np.einsum(f"{inputs[i]}->{own}", full)[...] = d
    return full


def _parse(subscripts, dims):
    """The labels of each input and of the output, with "..." written out in letters of its own."""
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(dims):
        raise ValueError(f"einsum: {subscripts!r} names {len(inputs)} operands; {len(dims)} were given")
    free = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba" if c not in subscripts]
    most = max([n - len(labels.replace("...", "")) for labels, n in zip(inputs, dims) if "..." in labels], default=0)
    dots = "".join(free[:most])
    for k, (labels, n) in enumerate(zip(inputs, dims)):
        extra = n - len(labels.replace("...", ""))
        if extra < 0 or (extra and "..." not in labels):
            raise ValueError(f"einsum: operand {k + 1} has {n} dimensions; {labels!r} does not fit")
        inputs[k] = labels.replace("...", dots[most - extra:] if extra else "")
    if not arrow:
        text = "".join(inputs)
        output = ("..." if most else "") + "".join(sorted(c for c in set(text) - set(dots) if text.count(c) == 1))
    output = output.replace("...", dots)
    if len(set(output)) < len(output) or set(output) - set("".join(inputs)):
        raise ValueError(f"einsum: {subscripts!r}: each label of the result comes once, and is one of an operand")
    return inputs, output


def einsum(subscripts, *operands):
    """Einstein's summation: ``einsum("bij,bjk->bik", a, b)``, as `numpy.einsum`.

    Parameters
    ----------
    subscripts : str
        Labels of the axes of each operand, and of the result after ``->``. A label that the result lacks is summed
        over. ``...`` stands for any leading axes, which broadcast.
    *operands : Tensor or array

    Raises
    ------
    ValueError
        If labels and operands do not fit together.
    """
    return OPS["einsum"](*operands, subscripts=subscripts)
