"""Reductions: sum, mean, max and the others that make an array smaller, and the cumulative sum.

All take `axis` (None for all axes, a number, or a tuple of numbers; negative ones count from the end) and `keepdims`,
and mean by them what NumPy does.
"""

import builtins
import math

import numpy as np

from tinymm import kernels
from tinymm.autograd.op import Sample, op
from tinymm.ops._samples import draw
from tinymm.ops.math import choose


def _samples(low=-2.0, high=2.0, kinks=(), empty=True, **static):
    def samples(rng):
        cases = [((2, 3, 5), None, False), ((2, 3, 5), 1, False), ((2, 3, 5), (0, -1), True), ((3, 1, 2), -2, False),
                 ((3, 1, 2), None, True), ((7,), 0, True), ((), None, False), ((2, 3), (), False)]
        if empty:
            cases += [((0, 3), 0, False), ((0, 3), None, False)]
        cases += [((0, 3), 1, True)]
        found = [Sample(draw(rng, s, low, high, kinks), axis=a, keepdims=k, **static) for s, a, k in cases]
        return found + [Sample(draw(rng, (5, 3), low, high, kinks).T[:, ::2], axis=-1, keepdims=False, **static)]

    return samples


def expand(g, shape, axis, keepdims):
    """`g`, what a reduction of an array of `shape` left, repeated to `shape`. Maybe a read-only view."""
    if not keepdims and axis is not None:
        g = g.reshape(_kept(shape, axis))
    if g.size * 2048 > math.prod(shape):
        out = np.empty(shape, g.dtype)
        out[...] = g
        return out
    return np.broadcast_to(g, shape)


def _kept(shape, axis):
    """The shape that the reduction leaves with keepdims."""
    kept = list(shape)
    for a in range(len(shape)) if axis is None else axis if type(axis) is tuple else (axis,):
        kept[a] = 1
    return kept


def _axes(axis, n):
    """`axis` as a list of numbers from 0 to n - 1."""
    if axis is None:
        return list(range(n))
    return [a % builtins.max(n, 1) for a in (axis if type(axis) is tuple else (axis,))]


def _count(shape, axis):
    """How many elements fall together into one."""
    if axis is None:
        return math.prod(shape)
    return math.prod(shape[a] for a in (axis if type(axis) is tuple else (axis,)))


@op(samples=_samples(), torch="sum")
def sum(x, *, axis=None, keepdims=False):
    """The sum over `axis`."""
    shape = x.shape
    return np.add.reduce(x, axis=axis, keepdims=keepdims), (lambda g: expand(g, shape, axis, keepdims),)


@op(samples=_samples(empty=False), torch="mean")
def mean(x, *, axis=None, keepdims=False):
    """The mean over `axis`."""
    shape, n = x.shape, _count(x.shape, axis)
    return np.add.reduce(x, axis=axis, keepdims=keepdims) / n, (lambda g: expand(g / n, shape, axis, keepdims),)


@op(samples=lambda rng: _var_samples(rng), torch="var")
def var(x, *, axis=None, ddof=0, keepdims=False):
    """The mean squared distance from the mean over `axis`: sum((x - mean)^2) / (n - ddof).

    `ddof` is 0 as in NumPy (the biased variance, which normalisation layers use); torch's default is 1.
    """
    n = _count(x.shape, axis) - ddof

    def d_x(g):
        centred = x - x.mean(axis=axis, keepdims=True)
        return centred * expand(np.asarray(g * (2 / n)), x.shape, axis, keepdims)

    return x.var(axis=axis, ddof=ddof, keepdims=keepdims), (d_x,)


@op(samples=lambda rng: _var_samples(rng), torch="std")
def std(x, *, axis=None, ddof=0, keepdims=False):
    """The square root of `var`; `ddof` is 0 as in NumPy, torch's default is 1. Where it is 0, so is the gradient."""
    n = _count(x.shape, axis) - ddof
    y = np.asarray(x.std(axis=axis, ddof=ddof, keepdims=keepdims))

    def d_x(g):
        centred = x - x.mean(axis=axis, keepdims=True)
        return centred * expand(np.where(y > 0, g / np.where(y > 0, y * n, 1), 0), x.shape, axis, keepdims)

    return y, (d_x,)


def _var_samples(rng):
    return [Sample(rng.normal(size=(2, 3, 5)), axis=1), Sample(rng.normal(size=(2, 3, 5)), axis=None, ddof=1),
            Sample(rng.normal(size=(2, 3, 5)), axis=(0, -1), keepdims=True), Sample(rng.normal(size=(1, 7)), axis=-1),
            Sample(rng.normal(size=(0, 3)), axis=1), Sample(rng.normal(size=(5, 3)).T[:, ::2], axis=-1, ddof=1)]


def _distinct(rng):
    """Samples with no two elements closer than 0.1, so that a small step changes no maximum."""
    return [Sample(0.1 * rng.permutation(math.prod(s)).reshape(s)[..., ::step], axis=axis, keepdims=keep)
            for s, step, axis, keep in [((2, 3, 5), 1, None, False), ((2, 3, 5), 1, 1, False), ((3, 1, 2), 1, -2, True),
                                        ((2, 3, 5), 1, (0, -1), True), ((0, 3), 1, 1, False), ((3, 10), 2, -1, False)]]


@op(samples=_distinct, torch="amax")
def max(x, *, axis=None, keepdims=False):
    """The largest over `axis`. Where several are the largest they share the gradient equally."""
    y = np.asarray(np.maximum.reduce(x, axis=axis, keepdims=keepdims))
    return y, (lambda g: _to_extreme(g, x, y, axis, keepdims),)


@op(samples=_distinct, torch="amin")
def min(x, *, axis=None, keepdims=False):
    """The smallest over `axis`. Where several are the smallest they share the gradient equally."""
    y = np.asarray(np.minimum.reduce(x, axis=axis, keepdims=keepdims))
    return y, (lambda g: _to_extreme(g, x, y, axis, keepdims),)


def _to_extreme(g, x, y, axis, keepdims):
    kept = _kept(x.shape, axis)
    hit = x == y.reshape(kept)
    return choose(hit, g.reshape(kept) / np.add.reduce(hit, axis=axis, keepdims=True, dtype=g.dtype))


@op(samples=lambda rng: _samples()(rng) + [Sample(np.array([[2.0, 0.0, 3.0], [0.0, 5.0, 0.0]]), axis=1)], torch="prod")
def prod(x, *, axis=None, keepdims=False):
    """The product over `axis`. The gradient is right at zeros too: the product of all the others."""

    def d_x(g):
        axes = _axes(axis, x.ndim)
        order = [a for a in range(x.ndim) if a not in axes] + axes
        last = x.transpose(order)
        flat = last.reshape(*last.shape[:x.ndim - len(axes)], _count(x.shape, axis))
        others = np.ones_like(flat)
        if flat.size:
            others[..., 1:] = np.cumprod(flat[..., :-1], axis=-1)
            others[..., :-1] *= np.cumprod(flat[..., :0:-1], axis=-1)[..., ::-1]
        return others.reshape(last.shape).transpose(np.argsort(order)) * expand(g, x.shape, axis, keepdims)

    return np.multiply.reduce(x, axis=axis, keepdims=keepdims), (d_x,)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3, 5)), axis=-1), Sample(rng.normal(size=(2, 3, 5)), axis=1, keepdims=True),
    Sample(rng.normal(size=(2, 3, 5)), axis=(0, -1)), Sample(rng.normal(size=(2, 3)), axis=None),
    Sample(rng.normal(size=(3, 1)), axis=-1), Sample(rng.normal(size=(0, 3)), axis=-1),
    Sample(rng.normal(size=(5, 3)).T[:, ::2], axis=-1)], torch="logsumexp")
def logsumexp(x, *, axis=None, keepdims=False):
    """log(sum(exp(x))) over `axis`, without overflow; -inf for what is empty or nothing but -inf."""
    shape, axes = x.shape, _axes(axis, x.ndim)
    if len(axes) == 1:
        y = kernels.logsumexp(x, axes[0])

        def d_x(g):
            return kernels.logsumexp_backward(g.reshape(y.shape), x, y, axes[0])

    else:  # several axes: bring them to the end, as one
        order = [a for a in range(x.ndim) if a not in axes] + axes
        x = x.transpose(order)
        apart = x.shape
        x = x.reshape(*apart[:len(order) - len(axes)], _count(shape, axis))
        y = kernels.logsumexp(x)

        def d_x(g):
            return kernels.logsumexp_backward(g.reshape(y.shape), x, y).reshape(apart).transpose(np.argsort(order))

    return y.reshape(_kept(shape, axis)) if keepdims else y, (d_x,)


@op(samples=lambda rng: [
    Sample(draw(rng, s, -2, 2, [0]), axis=a, keepdims=k, ord=p)
    for s, a, k, p in [((2, 3, 5), None, False, 2), ((2, 3, 5), 1, False, 2), ((2, 3, 5), (0, -1), True, 2),
                       ((7,), -1, False, 1), ((2, 3), 0, True, 3), ((0, 3), 1, False, 2), ((3, 1), -1, False, 1.5)]
    ] + [Sample(s.args[0] - 1.03, **s.static, ord=math.inf) for s in _distinct(rng)[:3]], torch="linalg.vector_norm")
def norm(x, *, ord=2, axis=None, keepdims=False):
    """The length of the vectors along `axis` (all elements together for None): (sum |x|^ord)^(1/ord).

    A matrix counts as a long vector (Frobenius), as in `torch.linalg.vector_norm`. `ord` may be `inf`. At the zero
    vector the gradient is 0.
    """
    kept = _kept(x.shape, axis)
    size = np.abs(x)
    if ord == math.inf:
        y = np.maximum.reduce(size, axis=axis, keepdims=True)
    elif ord == 2:
        y = np.sqrt(np.add.reduce(x * x, axis=axis, keepdims=True))
    else:
        y = np.add.reduce(size**ord, axis=axis, keepdims=True) ** (1 / ord)

    def d_x(g):
        g = g.reshape(kept)
        if ord == math.inf:
            hit = np.abs(x) == y
            return np.where(hit, g / np.add.reduce(hit, axis=axis, keepdims=True, dtype=g.dtype), 0) * np.sign(x)
        g = np.where(y > 0, g / np.where(y > 0, y, 1) ** (ord - 1), 0)
        return g * x if ord == 2 else g * np.sign(x) * np.abs(x) ** (ord - 1)

    return y if keepdims else y.squeeze(tuple(_axes(axis, x.ndim))), (d_x,)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3, 5)), axis=1), Sample(rng.normal(size=(2, 3, 5)), axis=-1),
    Sample(rng.normal(size=(2, 3))), Sample(rng.normal(size=(3, 1)), axis=1), Sample(rng.normal(size=(0, 3)), axis=0),
    Sample(rng.normal(size=(5, 3)).T[:, ::2], axis=-1)], torch="cumsum")
def cumsum(x, *, axis=None):
    """y_i = x_0 + ... + x_i along `axis`; with None, of the flattened array."""
    shape = x.shape

    def d_x(g):
        if axis is None:
            return np.cumsum(g[::-1])[::-1].reshape(shape)
        return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis)

    return np.cumsum(x, axis=axis), (d_x,)
