"""Row-wise kernels, compiled; what each computes stands in `tinymm.kernels.plain.rowwise`.

Every kernel is a function over some rows that vectorises, and a parallel one that hands out blocks of rows; which rows
form a block depends on the shape only, so the number of threads does not change a bit of the result. Rows shorter than
SHORT would leave most of a vector loop to its scalar remainder; for them the exponentials of many rows are one loop.
"""

import math
from functools import lru_cache

import numpy as np
from numba import prange

from .._arrays import floats, integers
from ..plain import rowwise as plain
from ..plain.rowwise import _targets, _vector
from ._jit import jit
from ._math import blend, exp_down, from_sort_key, minus, sort_key

BLOCK = 8192  # elements that one thread takes at a time
SERIAL = 24576  # up to so many elements, waking a second thread costs more than it saves
SHORT = 64


def softmax(x, axis=-1):
    x = floats(x)
    if axis != -1 and axis != x.ndim - 1:
        return _along(softmax, axis, x)
    y = np.empty_like(x)
    if x.size:
        _softmax(_rows(x), _rows(y), False)
    return y


def log_softmax(x, axis=-1):
    x = floats(x)
    if axis != -1 and axis != x.ndim - 1:
        return _along(log_softmax, axis, x)
    y = np.empty_like(x)
    if x.size:
        _softmax(_rows(x), _rows(y), True)
    return y


def softmax_backward(g, y, axis=-1):
    y, g = floats(y, "y"), _gradient(g, y)
    if axis != -1 and axis != y.ndim - 1:
        return _along(softmax_backward, axis, g, y)
    d = np.empty_like(y)
    if y.size:
        _softmax_backward(_rows(g), _rows(y), _rows(d), False)
    return d


def log_softmax_backward(g, y, axis=-1):
    y, g = floats(y, "y"), _gradient(g, y)
    if axis != -1 and axis != y.ndim - 1:
        return _along(log_softmax_backward, axis, g, y)
    d = np.empty_like(y)
    if y.size:
        _softmax_backward(_rows(g), _rows(y), _rows(d), True)
    return d


def logsumexp(x, axis=-1):
    x = floats(x)
    if axis != -1 and axis != x.ndim - 1:
        x = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    y = np.full(x.shape[:-1], -np.inf, x.dtype)
    if x.size:
        _logsumexp(_rows(x), y.ravel())
    return y


def logsumexp_backward(g, x, y, axis=-1):
    x = floats(x)
    if axis != -1 and axis != x.ndim - 1:
        d = logsumexp_backward(g, np.ascontiguousarray(np.moveaxis(x, axis, -1)), y)
        return np.ascontiguousarray(np.moveaxis(d, -1, axis))
    y = _per_row(y, x, "y")
    g = _per_row(g, x, "the gradient g")
    d = np.empty_like(x)
    if x.size:
        _logsumexp_backward(g.ravel(), _rows(x), y.ravel(), _rows(d))
    return d


def layer_norm(x, weight=None, bias=None, eps=1e-5):
    x = floats(x)
    n = x.shape[-1]
    weight = _constant(1, n, x.dtype) if weight is None else _vector(weight, x, "weight")
    bias = _constant(0, n, x.dtype) if bias is None else _vector(bias, x, "bias")
    y = np.empty_like(x)
    shape = x.shape[:-1]
    mean, rstd = np.empty(shape, x.dtype), np.empty(shape, x.dtype)
    _layer_norm(_rows(x), weight, bias, float(eps), _rows(y), mean.ravel(), rstd.ravel())
    return y, mean, rstd


def layer_norm_backward(g, x, mean, rstd, weight=None):
    x = floats(x)
    g = _gradient(g, x)
    n = x.shape[-1]
    weight = _constant(1, n, x.dtype) if weight is None else _vector(weight, x, "weight")
    mean, rstd = _per_row(mean, x, "mean"), _per_row(rstd, x, "rstd")
    blocks = min(16, max(1, x.size // SERIAL))
    d_x, sums = np.empty_like(x), np.zeros((blocks, 2 * n), x.dtype)
    _layer_norm_backward(_rows(g), _rows(x), mean.ravel(), rstd.ravel(), weight, _rows(d_x), sums)
    return d_x, sums[0, :n], sums[0, n:]


def cross_entropy(logits, targets, ignore_index=-100, label_smoothing=0.0):
    logits, targets = floats(logits, "logits"), integers(targets, "targets")
    shape = targets.shape
    if shape != logits.shape[:-1]:
        _targets(targets, logits, ignore_index)  # raises
    loss, kept = np.zeros(shape, logits.dtype), np.zeros((*shape, 2), logits.dtype)
    bad = _cross_entropy(
        _rows(logits), targets.ravel(), loss.ravel(), kept.reshape(-1, 2), ignore_index, float(label_smoothing)
    )
    if bad:
        _targets(targets, logits, ignore_index)  # raises
    return loss, kept


def cross_entropy_backward(g, logits, targets, kept, ignore_index=-100, label_smoothing=0.0):
    logits, targets = floats(logits, "logits"), integers(targets, "targets")
    if targets.shape != logits.shape[:-1]:
        _targets(targets, logits, ignore_index)  # raises
    g = _per_row(g, logits, "the gradient g")
    kept = floats(kept, "kept")
    if kept.shape != (*g.shape, 2) or kept.dtype != g.dtype:
        raise ValueError(f"kept is {kept.dtype} {kept.shape}; expected what cross_entropy returned for these logits")
    d = np.empty_like(logits)
    if logits.size:
        bad = _cross_entropy_backward(
            g.ravel(), _rows(logits), targets.ravel(), kept.reshape(-1, 2), _rows(d), ignore_index,
            float(label_smoothing),
        )
        if bad:
            _targets(targets, logits, ignore_index)  # raises
    return d


# ---------------------------------------------------------------------- arguments


def _rows(x):
    """(..., n) -> (m, n)."""
    if x.ndim == 2:
        return x
    if x.ndim == 0:
        raise np.exceptions.AxisError(-1, 0)
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _along(kernel, axis, *arrays):
    """A row-wise kernel along another axis."""
    y = kernel(*[np.ascontiguousarray(np.moveaxis(a, axis, -1)) for a in arrays])
    return np.ascontiguousarray(np.moveaxis(y, -1, axis))


def _gradient(g, y):
    """`g`, if it fits to `y`: compiled code does not look again."""
    g = floats(g, "g")
    if g.shape != y.shape or g.dtype != y.dtype:
        raise ValueError(f"the gradient g is {g.dtype} {g.shape}; expected {y.dtype} {y.shape} as the forward pass had")
    return g


def _per_row(v, x, name):
    v = floats(v, name)
    if v.shape != x.shape[:-1] or v.dtype != x.dtype:
        raise ValueError(f"{name} is {v.dtype} {v.shape}; expected {x.dtype} {x.shape[:-1]}, one number a row")
    return v


@lru_cache(32)
def _constant(value, n, dtype):
    return np.full(n, value, dtype)


# ---------------------------------------------------------------------- softmax


@jit
def _largest(x):
    """The largest element; 0 if that is -inf, so that x - largest is -inf and not NaN."""
    k = sort_key(x[0])
    for j in range(x.shape[0]):
        k = max(k, sort_key(x[j]))
    top = from_sort_key(k)
    return x.dtype.type(0) if top == -np.inf else top


@jit
def _exp_short(x, tops, e):
    """e = exp(x - tops), tops the largest of each row: one loop of exponentials for all rows."""
    for i in range(x.shape[0]):
        xi, ei = x[i], e[i]
        top = _largest(xi)
        tops[i] = top
        for j in range(xi.shape[0]):
            ei[j] = xi[j] - top
    flat = e.reshape(-1)
    for j in range(flat.shape[0]):
        flat[j] = exp_down(flat[j])


@jit
def _sum(x):
    total = x.dtype.type(0)
    for j in range(x.shape[0]):
        total += x[j]
    return total


@jit
def _tops_and_totals(x, tops, totals):
    """The largest of each row and the sum of exp(x - largest)."""
    if x.shape[1] < SHORT:
        e = np.empty_like(x)
        _exp_short(x, tops, e)
        for i in range(x.shape[0]):
            totals[i] = _sum(e[i])
    else:
        for i in range(x.shape[0]):
            xi = x[i]
            top = _largest(xi)
            total = x.dtype.type(0)
            for j in range(xi.shape[0]):
                total += exp_down(xi[j] - top)
            tops[i] = top
            totals[i] = total


@jit
def _softmax_rows(x, y):
    one = x.dtype.type(1)
    short = x.shape[1] < SHORT
    if short:
        _exp_short(x, np.empty(x.shape[0], x.dtype), y)
    for i in range(x.shape[0]):
        xi, yi = x[i], y[i]
        if short:
            total = _sum(yi)
        else:
            top = _largest(xi)
            total = x.dtype.type(0)
            for j in range(xi.shape[0]):
                e = exp_down(xi[j] - top)
                yi[j] = e
                total += e
        scale = one / (one if total == 0 else total)
        for j in range(yi.shape[0]):
            yi[j] *= scale


@jit
def _log_softmax_rows(x, y):
    tops, totals = np.empty(x.shape[0], x.dtype), np.empty(x.shape[0], x.dtype)
    _tops_and_totals(x, tops, totals)
    for i in range(x.shape[0]):
        xi, yi = x[i], y[i]
        top = tops[i]
        log_total = x.dtype.type(0) if totals[i] == 0 else x.dtype.type(math.log(totals[i]))
        for j in range(xi.shape[0]):
            yi[j] = minus(minus(xi[j], top), log_total)


@jit(parallel=True)
def _softmax(x, y, log):
    m, n = x.shape
    if m * n <= SERIAL:
        if log:
            _log_softmax_rows(x, y)
        else:
            _softmax_rows(x, y)
    else:
        size = max(1, BLOCK // n)
        for b in prange((m + size - 1) // size):
            if log:
                _log_softmax_rows(x[b * size : (b + 1) * size], y[b * size : (b + 1) * size])
            else:
                _softmax_rows(x[b * size : (b + 1) * size], y[b * size : (b + 1) * size])


@jit
def _softmax_backward_rows(g, y, d):
    for i in range(y.shape[0]):
        gi, yi, di = g[i], y[i], d[i]
        dot = y.dtype.type(0)
        for j in range(yi.shape[0]):
            dot += gi[j] * yi[j]
        for j in range(yi.shape[0]):
            di[j] = yi[j] * (gi[j] - dot)


@jit
def _log_softmax_backward_rows(g, y, d):
    flat_y, flat_d = y.reshape(-1), d.reshape(-1)
    for j in range(flat_y.shape[0]):
        flat_d[j] = exp_down(flat_y[j])
    for i in range(y.shape[0]):
        gi, di = g[i], d[i]
        total = _sum(gi)
        for j in range(gi.shape[0]):
            di[j] = gi[j] - di[j] * total


@jit(parallel=True)
def _softmax_backward(g, y, d, log):
    m, n = y.shape
    if m * n <= SERIAL:
        if log:
            _log_softmax_backward_rows(g, y, d)
        else:
            _softmax_backward_rows(g, y, d)
    else:
        size = max(1, BLOCK // n)
        for b in prange((m + size - 1) // size):
            start, stop = b * size, (b + 1) * size
            if log:
                _log_softmax_backward_rows(g[start:stop], y[start:stop], d[start:stop])
            else:
                _softmax_backward_rows(g[start:stop], y[start:stop], d[start:stop])


@jit
def _logsumexp_rows(x, y):
    totals = np.empty(x.shape[0], x.dtype)
    _tops_and_totals(x, y, totals)
    for i in range(x.shape[0]):
        y[i] = y[i] if y[i] == np.inf else y[i] + math.log(totals[i])


@jit(parallel=True)
def _logsumexp(x, y):
    m, n = x.shape
    if m * n <= SERIAL:
        _logsumexp_rows(x, y)
    else:
        size = max(1, BLOCK // n)
        for b in prange((m + size - 1) // size):
            _logsumexp_rows(x[b * size : (b + 1) * size], y[b * size : (b + 1) * size])


@jit
def _logsumexp_backward_rows(g, x, y, d):
    for i in range(x.shape[0]):
        xi, di, gi = x[i], d[i], g[i]
        yi = x.dtype.type(0) if y[i] == -np.inf else y[i]
        for j in range(xi.shape[0]):
            di[j] = gi * exp_down(xi[j] - yi)


@jit(parallel=True)
def _logsumexp_backward(g, x, y, d):
    m, n = x.shape
    if m * n <= SERIAL:
        _logsumexp_backward_rows(g, x, y, d)
    else:
        size = max(1, BLOCK // n)
        for b in prange((m + size - 1) // size):
            start, stop = b * size, (b + 1) * size
            _logsumexp_backward_rows(g[start:stop], x[start:stop], y[start:stop], d[start:stop])


# ---------------------------------------------------------------------- layer normalisation


@jit
def _layer_norm_rows(x, weight, bias, eps, y, mean, rstd):
    n = x.dtype.type(max(1, x.shape[1]))
    for i in range(x.shape[0]):
        xi, yi = x[i], y[i]
        mu = _sum(xi) / n
        total = x.dtype.type(0)
        for j in range(xi.shape[0]):
            total += (xi[j] - mu) * (xi[j] - mu)
        r = x.dtype.type(1) / math.sqrt(total / n + x.dtype.type(eps))
        for j in range(xi.shape[0]):
            yi[j] = (xi[j] - mu) * r * weight[j] + bias[j]
        mean[i] = mu
        rstd[i] = r


@jit(parallel=True)
def _layer_norm(x, weight, bias, eps, y, mean, rstd):
    m, n = x.shape
    if m * n <= SERIAL:
        _layer_norm_rows(x, weight, bias, eps, y, mean, rstd)
    else:
        size = max(1, BLOCK // n)
        for b in prange((m + size - 1) // size):
            start, stop = b * size, (b + 1) * size
            _layer_norm_rows(x[start:stop], weight, bias, eps, y[start:stop], mean[start:stop], rstd[start:stop])


@jit
def _layer_norm_backward_rows(g, x, mean, rstd, weight, d_x, d_weight, d_bias):
    n = x.dtype.type(max(1, x.shape[1]))
    for i in range(x.shape[0]):
        gi, xi, di = g[i], x[i], d_x[i]
        mu, r = mean[i], rstd[i]
        a = x.dtype.type(0)
        b = x.dtype.type(0)
        for j in range(xi.shape[0]):
            normed = (xi[j] - mu) * r
            d_normed = gi[j] * weight[j]
            a += d_normed
            b += d_normed * normed
            d_weight[j] += gi[j] * normed
            d_bias[j] += gi[j]
        a /= n
        b /= n
        for j in range(xi.shape[0]):
            di[j] = r * (gi[j] * weight[j] - a - (xi[j] - mu) * r * b)


@jit(parallel=True)
def _layer_norm_backward(g, x, mean, rstd, weight, d_x, sums):
    """Row 0 of `sums` becomes (d_weight, d_bias); its other rows are the partial sums of the other blocks."""
    m, n = x.shape
    blocks = sums.shape[0]
    if blocks == 1:
        _layer_norm_backward_rows(g, x, mean, rstd, weight, d_x, sums[0, :n], sums[0, n:])
    else:
        for b in prange(blocks):
            start, stop = m * b // blocks, m * (b + 1) // blocks
            _layer_norm_backward_rows(
                g[start:stop], x[start:stop], mean[start:stop], rstd[start:stop], weight, d_x[start:stop],
                sums[b, :n], sums[b, n:],
            )
        first = sums[0]
        for b in range(1, blocks):
            other = sums[b]
            for j in range(first.shape[0]):
                first[j] += other[j]


# ---------------------------------------------------------------------- cross entropy


@jit
def _cross_entropy_rows(x, targets, loss, kept, ignore_index, smoothing):
    """Returns how many targets are out of range."""
    T = x.dtype.type
    m, n = x.shape
    tops, totals = np.empty(m, x.dtype), np.empty(m, x.dtype)
    _tops_and_totals(x, tops, totals)
    bad = 0
    for i in range(m):
        top = tops[i]
        log_total = T(math.log(totals[i]))
        kept[i, 0] = top
        kept[i, 1] = log_total
        t = targets[i]
        if t == ignore_index:
            loss[i] = T(0)
        elif t < 0 or t >= n:
            bad += 1
        else:
            loss[i] = minus(log_total, minus(x[i, t], top))
            if smoothing != 0:
                xi = x[i]
                shifted = T(0)
                for j in range(xi.shape[0]):
                    shifted += minus(xi[j], top)
                loss[i] = blend(loss[i], minus(log_total, shifted / T(n)), T(smoothing))
    return bad


@jit(parallel=True)
def _cross_entropy(x, targets, loss, kept, ignore_index, smoothing):
    m, n = x.shape
    bad = 0
    if n == 0:
        for i in range(m):
            bad += targets[i] != ignore_index
    elif m * n <= SERIAL:
        bad += _cross_entropy_rows(x, targets, loss, kept, ignore_index, smoothing)
    else:
        size = max(1, BLOCK // n)
        for b in prange((m + size - 1) // size):
            start, stop = b * size, (b + 1) * size
            bad += _cross_entropy_rows(
                x[start:stop], targets[start:stop], loss[start:stop], kept[start:stop], ignore_index, smoothing
            )
    return bad


@jit
def _cross_entropy_backward_rows(g, x, targets, kept, d, ignore_index, smoothing):
    T = x.dtype.type
    m, n = x.shape
    bad = 0
    uniform = T(smoothing / n)
    if n < SHORT:
        for i in range(m):
            xi, di = x[i], d[i]
            top, log_total = kept[i, 0], kept[i, 1]
            for j in range(xi.shape[0]):
                di[j] = minus(minus(xi[j], top), log_total)
        flat = d.reshape(-1)
        for j in range(flat.shape[0]):
            flat[j] = exp_down(flat[j])
    for i in range(m):
        xi, di, gi = x[i], d[i], g[i]
        top, log_total = kept[i, 0], kept[i, 1]
        t = targets[i]
        if t == ignore_index:
            for j in range(di.shape[0]):
                di[j] = T(0)
        elif t < 0 or t >= n:
            bad += 1
        else:
            if n < SHORT:
                for j in range(di.shape[0]):
                    di[j] = gi * (di[j] - uniform)
            else:
                for j in range(xi.shape[0]):
                    di[j] = gi * (exp_down(minus(minus(xi[j], top), log_total)) - uniform)
            di[t] -= gi * T(1 - smoothing)
    return bad


@jit(parallel=True)
def _cross_entropy_backward(g, x, targets, kept, d, ignore_index, smoothing):
    m, n = x.shape
    bad = 0
    if m * n <= SERIAL:
        bad += _cross_entropy_backward_rows(g, x, targets, kept, d, ignore_index, smoothing)
    else:
        size = max(1, BLOCK // n)
        for b in prange((m + size - 1) // size):
            start, stop = b * size, (b + 1) * size
            bad += _cross_entropy_backward_rows(
                g[start:stop], x[start:stop], targets[start:stop], kept[start:stop], d[start:stop],
                ignore_index, smoothing,
            )
    return bad


for _name in plain.__all__:
    globals()[_name].__doc__ = getattr(plain, _name).__doc__
