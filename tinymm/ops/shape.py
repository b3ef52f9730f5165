"""Shapes and indices: what moves numbers about and computes nothing.

The gradient of such a function moves the gradient back; where one number went to several places, theirs are added.
"""

import builtins
import math

import numpy as np

from tinymm import kernels
from tinymm.autograd.op import Sample, op
from tinymm.autograd.tensor import Tensor
from tinymm.ops.math import choose

# ---- the same numbers under another shape --------------------------------------------------------------------------


@op(samples=lambda rng: [
    Sample(rng.normal(size=s), shape=to) for s, to in [
        ((2, 3, 5), (6, 5)), ((2, 3, 5), (-1, 2)), ((1, 7), 7), ((0, 3), (3, 0)), ((), (1, 1)), ((5, 2), (2, 5))]
    ] + [Sample(rng.normal(size=(5, 3)).T, shape=(-1,))], torch="reshape")
def reshape(x, *, shape):
    """The same elements in the same order under another shape; one entry may be -1."""
    old = x.shape
    return x.reshape(shape), (lambda g: g.reshape(old),)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3, 5, 1))), Sample(rng.normal(size=(2, 3, 5, 1)), start_axis=1),
    Sample(rng.normal(size=(2, 3, 5)), start_axis=-2, end_axis=-1), Sample(rng.normal(size=(0, 3))),
    Sample(rng.normal(size=())), Sample(rng.normal(size=(5, 3)).T, end_axis=0)], torch="flatten")
def flatten(x, *, start_axis=0, end_axis=-1):
    """The axes from `start_axis` to `end_axis` (included) as one axis; all of them by default."""
    old, n = x.shape, builtins.max(x.ndim, 1)
    start, end = start_axis % n, end_axis % n
    return x.reshape(*old[:start], math.prod(old[start:end + 1]), *old[end + 1:]), (lambda g: g.reshape(old),)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3, 5)), axes=(1, 2, 0)), Sample(rng.normal(size=(2, 3, 5)), axes=(-1, 0, 1)),
    Sample(rng.normal(size=(2, 3, 5))), Sample(rng.normal(size=(7,))),
    Sample(rng.normal(size=(1, 0, 3)), axes=(2, 0, 1)),
    Sample(rng.normal(size=(5, 3)).T[:, ::2])])
def transpose(x, *, axes=None):
    """The axes in another order (y's axis i is x's axis axes[i]); reversed if `axes` is None."""
    if axes is None:
        return x.transpose(), (lambda g: g.transpose(),)
    return x.transpose(axes), (lambda g: g.transpose(_inverse(axes)),)


def _inverse(axes):
    n = len(axes)
    back = [0] * n
    for i, a in enumerate(axes):
        back[a % n] = i
    return back


@op(samples=lambda rng: [Sample(*s.args, dims=s.static.get("axes", tuple(range(s.args[0].ndim))[::-1]))
                         for s in transpose.spec.samples(rng)], torch="permute")
def permute(x, *, dims):
    """`transpose` under torch's name."""
    return x.transpose(dims), (lambda g: g.transpose(_inverse(dims)),)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3, 5)), axis1=0, axis2=-1), Sample(rng.normal(size=(2, 3, 5)), axis1=-2, axis2=-1),
    Sample(rng.normal(size=(1, 7)), axis1=0, axis2=1), Sample(rng.normal(size=(0, 3)), axis1=1, axis2=0)],
    torch="swapaxes")
def swapaxes(x, *, axis1, axis2):
    """Two axes exchanged."""
    return x.swapaxes(axis1, axis2), (lambda g: g.swapaxes(axis1, axis2),)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3, 5)), source=0, destination=-1),
    Sample(rng.normal(size=(2, 3, 5)), source=(0, -1), destination=(1, 0)),
    Sample(rng.normal(size=(1, 7)), source=-1, destination=0),
    Sample(rng.normal(size=(0, 3, 2)), source=2, destination=0)],
    torch="moveaxis")
def moveaxis(x, *, source, destination):
    """Axes moved to new places, the others staying in order."""
    return np.moveaxis(x, source, destination), (lambda g: np.moveaxis(g, destination, source),)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3)), axis=0), Sample(rng.normal(size=(2, 3)), axis=-1),
    Sample(rng.normal(size=()), axis=0),
    Sample(rng.normal(size=(0, 3)), axis=1), Sample(rng.normal(size=(2, 3)), axis=(0, -1))])
def expand_dims(x, *, axis):
    """A new axis of length 1 at `axis` (a number or a tuple, places in the result)."""
    old = x.shape
    return np.expand_dims(x, axis), (lambda g: g.reshape(old),)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 1, 3, 1))), Sample(rng.normal(size=(2, 1, 3, 1)), axis=-1),
    Sample(rng.normal(size=(1, 1, 3)), axis=(0, 1)), Sample(rng.normal(size=(1,))),
    Sample(rng.normal(size=(0, 1)), axis=1)],
    torch="squeeze")
def squeeze(x, *, axis=None):
    """Axes of length 1 removed: all of them, or those in `axis`."""
    old = x.shape
    return x.squeeze(axis), (lambda g: g.reshape(old),)


@op(samples=lambda rng: [Sample(rng.normal(size=s), shape=to) for s, to in [
    ((3,), (2, 3)), ((2, 1, 5), (7, 2, 3, 5)), ((), (2, 3)), ((1, 3), (0, 3)), ((0, 3), (2, 0, 3)),
    ((2, 3), (2, 3))]], torch="broadcast_to")
def broadcast_to(x, *, shape):
    """The array repeated along axes of length 1 and along new leading axes; the result is read-only memory."""
    return np.broadcast_to(x, shape), (lambda g: g,)


# ---- together and apart --------------------------------------------------------------------------------------------


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3)), rng.normal(size=(5, 3))),
    Sample(rng.normal(size=(2, 3)), rng.normal(size=(2, 0)), rng.normal(size=(2, 1)), axis=-1),
    Sample(rng.normal(size=(7,))), Sample(rng.normal(size=(0, 3)), rng.normal(size=(2, 3)), axis=0),
    Sample(rng.normal(size=(2, 3)), rng.normal(size=5), axis=None),
    Sample(rng.normal(size=(3, 2)).T, rng.normal(size=(2, 10))[:, ::2], axis=1)], torch="concatenate")
def concatenate(*xs, axis=0):
    """Arrays joined along an axis that they have: ``concatenate([a, b], axis=1)``. None flattens them first."""
    shapes = [x.shape for x in xs]

    def vjps(g, needs):
        found, start = [], 0
        for shape, need in zip(shapes, needs):
            n = math.prod(shape) if axis is None else shape[axis]
            where = (slice(start, start + n),) if axis is None else _along(axis, len(shape), slice(start, start + n))
            found.append(g[where].reshape(shape) if need else None)
            start += n
        return tuple(found)

    return np.concatenate(xs, axis=axis), vjps


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3)), rng.normal(size=(2, 3))),
    Sample(rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), axis=-1),
    Sample(rng.normal(size=()), rng.normal(size=()), rng.normal(size=())),
    Sample(rng.normal(size=(0, 3)), rng.normal(size=(0, 3)), axis=1),
    Sample(rng.normal(size=(3, 2)).T, rng.normal(size=(2, 3)), axis=1)], torch="stack")
def stack(*xs, axis=0):
    """Arrays of one shape joined along a new axis: ``stack([a, b])``."""

    def vjps(g, needs):
        g = np.moveaxis(g, axis, 0)
        return tuple(g[i] if need else None for i, need in enumerate(needs))

    return np.stack(xs, axis=axis), vjps


@op(samples=lambda rng: [
    Sample(rng.normal(size=(6, 5)), indices_or_sections=3),
    Sample(rng.normal(size=(2, 7)), indices_or_sections=[2, 3], axis=-1),
    Sample(rng.normal(size=(2, 1, 3)), indices_or_sections=1, axis=1),
    Sample(rng.normal(size=(0, 3)), indices_or_sections=3, axis=1),
    Sample(rng.normal(size=(2, 3)), indices_or_sections=(0, 1), axis=1)])
def split(x, *, indices_or_sections, axis=0):
    """A tuple of pieces along `axis`: that many equal ones, or cut at the indices given, as in NumPy.

    torch's `split` takes the length of a piece instead.
    """
    pieces = tuple(np.split(x, indices_or_sections, axis=axis))
    shapes, dtype = [p.shape for p in pieces], x.dtype

    def d_x(*gs):
        return np.concatenate([np.zeros(s, dtype) if g is None else g for g, s in zip(gs, shapes)], axis=axis)

    return pieces, (d_x,)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3)), pad_width=((1, 2), (0, 3))),
    Sample(rng.normal(size=(2, 3)), pad_width=1, constant_values=2.0),
    Sample(rng.normal(size=(0, 3)), pad_width=((1, 0), (2, 1))), Sample(rng.normal(size=(5, 3)).T, pad_width=(2, 1)),
    Sample(rng.normal(size=(1, 5, 3)), pad_width=((0, 0), (2, 3), (2, 1)), mode="reflect"),
    Sample(rng.normal(size=(2, 3)), pad_width=((2, 1), (4, 5)), mode="edge"),
    Sample(rng.normal(size=(2, 3)), pad_width=((0, 0), (2, 3)), mode="wrap")])
def pad(x, *, pad_width, mode="constant", constant_values=0):
    """The array with `pad_width` elements before and after, along each axis, as in NumPy.

    Parameters
    ----------
    x : (...)
    pad_width : int, (before, after), or one such pair an axis
    mode : "constant", "edge", "reflect", "symmetric" or "wrap"
    constant_values : float
        For "constant".
    """
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    shape = x.shape
    if mode == "constant":
        inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, shape))
        return np.pad(x, widths, constant_values=constant_values), (lambda g: g[inside],)
    sources = [np.pad(np.arange(n), width, mode=mode) for n, width in zip(shape, widths)]  # where each element is from

    def d_x(g):
        for axis, source in enumerate(sources):
            g = _add_along((*g.shape[:axis], shape[axis], *g.shape[axis + 1:]), axis, source, g)
        return g

    y = x
    for axis, source in enumerate(sources):
        y = y.take(source, axis=axis)
    return y, (d_x,)


def _add_along(shape, axis, index, g):
    """Zeros of `shape`, to which each g[:, i] is added at [:, index[i]] (for axis 1, and so on)."""
    n, axis = shape[axis], axis % len(shape)
    before, after = math.prod(shape[:axis]), math.prod(shape[axis + 1:])
    rows = g.reshape(before, index.size, after).swapaxes(0, 1).reshape(index.size, before * after)
    d = np.zeros((n, before * after), g.dtype)
    if d.size and rows.size:
        kernels.scatter_add_rows(d, index.reshape(-1) % n, rows)
    return d.reshape(n, before, after).swapaxes(0, 1).reshape(shape)


def _add_at(shape, where, g):
    """Zeros of `shape`, to which each element of `g` is added at its place: `where` has one index array an axis."""
    flat = np.zeros((), np.int64)  # the number of the place, counted in C order
    for n, index in zip(shape, where):
        flat = flat * n + (np.where(index < 0, index + n, index) if (index < 0).any() else index)
    d = np.bincount(flat.reshape(-1), g.reshape(-1), minlength=math.prod(shape))
    return d.astype(g.dtype, copy=False).reshape(shape)


def _along(axis, n, index):
    """An index that is `index` along one axis of n, and everything along the others."""
    where = [slice(None)] * n
    where[axis] = index
    return tuple(where)


# ---- repeated and turned -------------------------------------------------------------------------------------------


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3)), shift=2, axis=1), Sample(rng.normal(size=(2, 3)), shift=-1),
    Sample(rng.normal(size=(2, 3, 5)), shift=(1, -2), axis=(0, -1)), Sample(rng.normal(size=(0, 3)), shift=1, axis=1),
    Sample(rng.normal(size=(5, 3)).T, shift=4, axis=-1),
    Sample(rng.normal(size=(2, 1)), shift=1, axis=-1)], torch="roll")
def roll(x, *, shift, axis=None):
    """Elements moved along by `shift`; what falls off the end comes in at the beginning."""
    back = tuple(-s for s in shift) if isinstance(shift, (tuple, list)) else -shift
    return np.roll(x, shift, axis=axis), (lambda g: np.roll(g, back, axis=axis),)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3)), axis=0), Sample(rng.normal(size=(2, 3))),
    Sample(rng.normal(size=(2, 3, 5)), axis=(0, -1)),
    Sample(rng.normal(size=(0, 3)), axis=-1), Sample(rng.normal(size=(3, 1)), axis=1)], torch="flip")
def flip(x, *, axis=None):
    """The order of the elements along `axis` reversed."""
    return np.flip(x, axis), (lambda g: np.flip(g, axis),)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3)), reps=2), Sample(rng.normal(size=(2, 3)), reps=(3, 1)),
    Sample(rng.normal(size=(3,)), reps=(2, 5)),
    Sample(rng.normal(size=(0, 3)), reps=(2, 2)), Sample(rng.normal(size=(5, 2, 1)), reps=(2, 3)),
    Sample(rng.normal(size=(2,)), reps=0)],
    torch="tile")
def tile(x, *, reps):
    """The whole array repeated, `reps` times along each axis."""
    reps = (reps,) if np.ndim(reps) == 0 else tuple(reps)
    n = builtins.max(x.ndim, len(reps))
    shape, reps = (1,) * (n - x.ndim) + x.shape, (1,) * (n - len(reps)) + reps
    old = x.shape

    def d_x(g):
        apart = g.reshape([k for pair in zip(reps, shape) for k in pair])
        return apart.sum(axis=tuple(range(0, 2 * n, 2))).reshape(old)

    return np.tile(x, reps), (d_x,)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3)), repeats=2, axis=1), Sample(rng.normal(size=(2, 3)), repeats=3),
    Sample(rng.normal(size=(2, 3)), repeats=[2, 0, 5], axis=-1), Sample(rng.normal(size=(0, 3)), repeats=2, axis=0),
    Sample(rng.normal(size=(5, 3)).T, repeats=2, axis=0),
    Sample(rng.normal(size=(1, 3)), repeats=2, axis=0)], torch="repeat_interleave")
def repeat(x, *, repeats, axis=None):
    """Each element repeated, next to itself; `repeats` is a number, or one number for each place along `axis`."""
    old = x.shape
    n = x.size if axis is None else old[axis]
    source = np.repeat(np.arange(n), repeats)

    def d_x(g):
        if axis is None:
            return _add_at((n,), (source,), g).reshape(old)
        return _add_along(old, axis, source, g)

    return np.repeat(x, repeats, axis=axis), (d_x,)


# ---- picked by index -----------------------------------------------------------------------------------------------


@op(samples=lambda rng: [Sample(rng.normal(size=s), index=index) for s, index in [
    ((2, 3, 5), 1), ((2, 3, 5), (slice(None), -1)), ((7, 3), slice(5, None, -2)), ((2, 3, 5), (..., None, 2)),
    ((7,), 3), ((0, 3), (slice(None), slice(0, 2))), ((2, 3), (None, slice(None), slice(2, 0, -1))),
    ((5, 3), np.array([0, 2, 2, -1])), ((5, 3), np.array([[0, 2], [2, -1]])), ((5, 3), [4, 0, 4]),
    ((5, 3), (np.array([0, 1, 0]), np.array([2, 2, 2]))), ((5, 3), np.arange(15).reshape(5, 3) % 2 == 0),
    ((5, 3), np.array([True, False, False, True, True])), ((5, 3), (slice(None), np.array([False, True, True]))),
    ((2, 3, 5), (np.array([[0], [1]]), slice(None), np.array([1, 1, 3]))),
    ((2, 3, 5), (0, slice(None, None, -1), [1, 1])),
    ((5, 3), np.zeros(0, int)), ((5, 3), np.zeros((5, 3), bool)), ((2, 3, 5), (..., np.array([0, 0]))), ((), ())]])
def getitem(x, *, index):
    """x[index]: numbers, slices, None, ..., arrays of integers or booleans, and any mixture, as in NumPy.

    Elements that are picked more than once get the sum of their gradients. A basic index gives a view.
    """
    index, basic = _plain_index(index)
    shape = x.shape

    def d_x(g):
        if type(index) is np.ndarray and index.dtype.kind in "iu":
            return _add_along(shape, 0, index, g)
        d = np.zeros(shape, g.dtype)
        if basic:
            d[index] = g
        else:
            np.add.at(d, index, g)
        return d

    return x[index], (d_x,)


_BASIC = (int, slice, type(None), type(...), np.integer)


def _plain_index(index):
    """The index with arrays for Tensors and lists, in memory of its own; and whether no element is picked twice."""
    if isinstance(index, tuple):
        parts = [_plain_index(i) for i in index]
        once = all(basic for _, basic in parts)
        masks = [i for i, _ in parts if type(i) is np.ndarray]
        return tuple(i for i, _ in parts), once and (len(masks) == 0 or len(parts) == 1)
    if isinstance(index, _BASIC) and not isinstance(index, bool):
        return index, True
    index = np.array(index._array if type(index) is Tensor else index)
    if index.size == 0 and index.dtype.kind == "f":
        index = index.astype(np.int64)  # an empty list
    return index, index.dtype == bool


@op(samples=lambda rng: [
    Sample(rng.normal(size=(5, 3)), np.array([0, 2, 2, -1]), axis=0),
    Sample(rng.normal(size=(2, 5)), np.array([[4, 0], [4, 1]]), axis=-1),
    Sample(rng.normal(size=(2, 3)), np.array([5, 0, 5])), Sample(rng.normal(size=(2, 3, 5)), np.array(1), axis=1),
    Sample(rng.normal(size=(5, 3)).T, np.array([], int), axis=1),
    Sample(rng.normal(size=(0, 3)), np.array([1, 1]), axis=1)])
def take(x, indices, *, axis=None):
    """Elements by number along `axis` (of the flattened array for None); the shape of `indices` replaces that axis."""
    shape = x.shape
    indices = np.asarray(indices)

    def d_x(g):
        if axis is None:
            return _add_at((math.prod(shape),), (indices,), g).reshape(shape)
        return _add_along(shape, axis, indices, g)

    return x.take(indices, axis=axis), (d_x, None)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(5, 3)), np.array([0, 2, 2]), axis=0),
    Sample(rng.normal(size=(2, 5)), np.array([4, 0, 4, 1]), axis=-1),
    Sample(rng.normal(size=(2, 1, 3)), np.array([0, 0]), axis=1),
    Sample(rng.normal(size=(0, 3)), np.array([2]), axis=1)],
    torch="index_select")
def index_select(x, index, *, axis):
    """`take` under torch's name, for a vector of indices."""
    if np.ndim(index) != 1:
        raise ValueError(f"index_select: index has shape {np.shape(index)}; expected one dimension. Try take")
    return take.spec.function(x, index, axis=axis)


def _grid(index, axis):
    """The index arrays that pick x[i, index[i, j]] for axis 1, and so on."""
    grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    grid[axis] = index
    return tuple(grid)


def _gather_samples(rng):
    return [Sample(rng.normal(size=s), rng.integers(0, s[axis], size=i), axis=axis) for s, i, axis in [
        ((5, 3), (2, 3), 0), ((2, 5), (2, 7), -1), ((2, 3, 5), (2, 1, 5), 1), ((3,), (7,), 0), ((2, 3), (0, 3), 0)]]


@op(samples=lambda rng: _gather_samples(rng) + [
    Sample(rng.normal(size=(5, 3)), rng.integers(0, 5, size=(2, 2)), axis=0)], torch="gather")
def gather(x, index, *, axis):
    """y[i, j] = x[i, index[i, j]] for axis 1 of two, and so on.

    Parameters
    ----------
    x : (...)
    index : integer array
        As many dimensions as `x`, none longer than x's except `axis`. The result has this shape.
    axis : int
    """
    if np.ndim(index) != x.ndim:
        raise ValueError(f"gather: index has {np.ndim(index)} dimensions and x has {x.ndim}; expected as many")
    shape, where = x.shape, _grid(index, axis)

    def d_x(g):
        return _add_at(shape, where, g)

    return x[where], (d_x, None)


@op(samples=_gather_samples, torch="take_along_dim")
def take_along_axis(x, indices, *, axis=-1):
    """As `gather`, NumPy's name; apart from `axis` the shapes broadcast."""
    axis %= x.ndim
    wanted = list(np.broadcast_shapes(x.shape[:axis] + (1,) + x.shape[axis + 1:],
                                      indices.shape[:axis] + (1,) + indices.shape[axis + 1:]))
    indices = np.broadcast_to(indices, (*wanted[:axis], indices.shape[axis], *wanted[axis + 1:]))
    wanted[axis] = x.shape[axis]
    where = _grid(indices, axis)

    def d_x(g):
        return _add_at(wanted, where, g)

    return np.take_along_axis(np.broadcast_to(x, wanted), indices, axis), (d_x, None)


@op(samples=lambda rng: [
    Sample(rng.normal(size=s), rng.integers(0, s[axis], size=i), rng.normal(size=i), axis=axis) for s, i, axis in [
        ((5, 3), (2, 3), 0), ((2, 5), (2, 7), -1), ((2, 3, 5), (2, 1, 5), 1), ((3,), (7,), 0), ((2, 3), (0, 3), 0)]],
    torch="scatter_add")
def scatter_add(x, index, src, *, axis):
    """x with src[i, j] added at [i, index[i, j]] (for axis 1 of two, and so on); the opposite of `gather`."""
    where = _grid(index, axis)
    return x + _add_at(x.shape, where, src), (lambda g: g, None, lambda g: g[where])


@op(samples=lambda rng: [
    Sample(np.array([0, 2, 2]), rng.normal(size=(5, 3))), Sample(np.array([[1, 0], [4, 4]]), rng.normal(size=(5, 1))),
    Sample(np.array(3), rng.normal(size=(5, 2))), Sample(np.zeros((0, 2), int), rng.normal(size=(5, 3))),
    Sample(np.array([1, 3, 3]), rng.normal(size=(3, 5)).T)], torch="nn.functional.embedding")
def embedding(index, weight, *, padding_idx=None):
    """One row of a table for each index.

    Parameters
    ----------
    index : (...) integers, each in 0 .. V-1
    weight : (V, D)
    padding_idx : int, optional
        This row gets no gradient.

    Returns
    -------
    (..., D)

    Raises
    ------
    IndexError
        If an index is out of range.
    """
    shape = weight.shape

    def d_weight(g):
        d = np.zeros(shape, g.dtype)
        kernels.scatter_add_rows(d, index, g)
        if padding_idx is not None:
            d[padding_idx] = 0
        return d

    return kernels.gather_rows(weight, index), (None, d_weight)


@op(samples=lambda rng: [
    Sample(rng.normal(size=s), rng.random(m) < 0.5, value=v)
    for s, m, v in [((2, 3), (2, 3), 0.5), ((2, 3, 5), (5,), -2.0), ((2, 3, 5), (3, 1), 0.0), ((0, 3), (3,), 1.0),
                    ((), (), 7.0)]], torch="masked_fill")
def masked_fill(x, mask, *, value):
    """x, with `value` where `mask` holds; the mask broadcasts to x."""
    mask = np.asarray(mask, dtype=bool)
    return choose(~mask, x, np.full((), value, x.dtype)), (lambda g: choose(~mask, g), None)


@op(samples=lambda rng: [
    Sample(rng.normal(size=s), k=k) for s, k in [((3, 5), 0), ((2, 5, 3), 1), ((3, 3), -1), ((1, 5), 2),
    ((0, 3), 0)]], torch="triu")
def triu(x, *, k=0):
    """The part on and above the k-th diagonal of the last two axes; the rest is 0."""
    return np.triu(x, k), (lambda g: np.triu(g, k),)


@op(samples=lambda rng: triu.spec.samples(rng), torch="tril")
def tril(x, *, k=0):
    """The part on and below the k-th diagonal of the last two axes; the rest is 0."""
    return np.tril(x, k), (lambda g: np.tril(g, k),)


# ---- in order ------------------------------------------------------------------------------------------------------


def _distinct(rng, shape):
    return rng.permutation(math.prod(shape)).reshape(shape) * 0.1


@op(samples=lambda rng: [
    Sample(_distinct(rng, (2, 7))), Sample(_distinct(rng, (2, 3, 5)), axis=1), Sample(_distinct(rng, (3, 1)), axis=-1),
    Sample(_distinct(rng, (0, 3))), Sample(_distinct(rng, (5, 3)).T, axis=0),
    Sample(_distinct(rng, (2, 3)), axis=None)])
def sort(x, *, axis=-1):
    """The elements in rising order along `axis`. With None, of the flattened array."""
    shape = x.shape
    if axis is None:
        x, axis = x.reshape(-1), 0
    order = np.argsort(x, axis=axis)

    def d_x(g):
        d = np.empty_like(g)
        np.put_along_axis(d, order, g, axis)
        return d.reshape(shape)

    return np.take_along_axis(x, order, axis), (d_x,)


@op(samples=lambda rng: [
    Sample(_distinct(rng, (2, 7)), k=3), Sample(_distinct(rng, (2, 5, 3)), k=2, axis=1),
    Sample(_distinct(rng, (3, 1)), k=1), Sample(_distinct(rng, (0, 3)), k=2),
    Sample(_distinct(rng, (7, 2)).T, k=5, largest=False)],
    torch="topk")
def topk(x, *, k, axis=-1, largest=True):
    """The k largest along `axis`, largest first (or the k smallest, smallest first).

    Returns
    -------
    values, indices
        Both with length k along `axis`; the indices are integers without gradient.
    """
    n = x.shape[axis]
    if not 0 <= k <= n:
        raise ValueError(f"topk: k is {k}; expected 0 .. {n}, the length of axis {axis}")
    shape, rising, first = x.shape, -x if largest else x, _along(axis, x.ndim, slice(k))
    order = np.argpartition(rising, k - 1, axis=axis)[first] if 0 < k < n else np.argsort(rising, axis=axis)[first]
    order = np.take_along_axis(order, np.argsort(np.take_along_axis(rising, order, axis), axis=axis), axis)

    def d_x(g, _):
        d = np.zeros(shape, g.dtype)
        np.put_along_axis(d, order, g, axis)
        return d

    return (np.take_along_axis(x, order, axis), order), (d_x,)
