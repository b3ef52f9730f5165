"""Element-wise kernels, compiled; what each computes stands in `tinymm.kernels.plain.elementwise`.

There is one compiled function for all maps x -> y and one for all maps (g, x) -> d, with the operation as an argument:
a parallel function costs the better part of a second to compile, a loop inside it next to nothing.
"""

import numpy as np
from numba import prange

from .._arrays import floats
from ..plain import elementwise as plain
from ..plain.elementwise import dropout_mask  # noqa: F401  the same for both backends
from . import _math
from ._jit import jit

BLOCK = 8192  # elements that one thread takes at a time; work is divided by the shape only
SERIAL = 24576  # up to so many elements, waking a second thread costs more than it saves

EXP, TANH, SIGMOID, ERF, RELU, SILU, GELU, GELU_TANH = range(8)


def exp(x):
    return _map(EXP, x)


def tanh(x):
    return _map(TANH, x)


def sigmoid(x):
    return _map(SIGMOID, x)


def erf(x):
    return _map(ERF, x)


def relu(x):
    return _map(RELU, x)


def silu(x):
    return _map(SILU, x)


def gelu(x):
    return _map(GELU, x)


def gelu_tanh(x):
    return _map(GELU_TANH, x)


def tanh_backward(g, y):
    return _map_backward(TANH, g, y)


def sigmoid_backward(g, y):
    return _map_backward(SIGMOID, g, y)


def erf_backward(g, x):
    return _map_backward(ERF, g, x)


def relu_backward(g, y):
    return _map_backward(RELU, g, y)


def silu_backward(g, x):
    return _map_backward(SILU, g, x)


def gelu_backward(g, x):
    return _map_backward(GELU, g, x)


def gelu_tanh_backward(g, x):
    return _map_backward(GELU_TANH, g, x)


def dropout(x, p, seed):
    x = floats(x)
    threshold = plain._threshold(p)
    if threshold == 2**32:
        return np.zeros_like(x)
    y = np.empty_like(x)
    _dropout_flat(x.ravel(), y.ravel(), threshold, 1.0 / (1.0 - float(p)), int(seed) % 2**63)
    return y


def _map(op, x):
    x = floats(x)
    y = np.empty_like(x)
    _map_flat(op, x.ravel(), y.ravel())
    return y


def _map_backward(op, g, x):
    x = floats(x)
    g = floats(g, "g")
    if g.shape != x.shape or g.dtype != x.dtype:
        raise ValueError(f"the gradient g is {g.dtype} {g.shape}; expected {x.dtype} {x.shape} as the forward pass had")
    d = np.empty_like(x)
    _map_backward_flat(op, g.ravel(), x.ravel(), d.ravel())
    return d


@jit(parallel=True)
def _map_flat(op, x, y):
    n = x.size
    if n <= SERIAL:
        _map_block(op, x, y)
    else:
        for b in prange((n + BLOCK - 1) // BLOCK):
            _map_block(op, x[b * BLOCK : (b + 1) * BLOCK], y[b * BLOCK : (b + 1) * BLOCK])


@jit(parallel=True)
def _map_backward_flat(op, g, x, d):
    n = x.size
    if n <= SERIAL:
        _map_backward_block(op, g, x, d)
    else:
        for b in prange((n + BLOCK - 1) // BLOCK):
            start, stop = b * BLOCK, (b + 1) * BLOCK
            _map_backward_block(op, g[start:stop], x[start:stop], d[start:stop])


@jit
def _map_block(op, x, y):
    one = x.dtype.type(1)
    half = x.dtype.type(0.5)
    if op == EXP:
        for j in range(x.shape[0]):
            y[j] = _math.exp(x[j])
    elif op == TANH:
        for j in range(x.shape[0]):
            y[j] = _math.tanh(x[j])
    elif op == SIGMOID:
        for j in range(x.shape[0]):
            y[j] = _math.sigmoid(x[j])
    elif op == ERF:
        for j in range(x.shape[0]):
            y[j] = _math.erf(x[j])
    elif op == RELU:
        zero = x.dtype.type(0)
        for j in range(x.shape[0]):
            y[j] = zero if x[j] <= zero else x[j]
    elif op == SILU:
        for j in range(x.shape[0]):
            y[j] = x[j] * _math.sigmoid(x[j])
    elif op == GELU:
        for j in range(x.shape[0]):
            y[j] = x[j] * _math.normal_cdf(x[j])
    elif op == GELU_TANH:
        a, b = x.dtype.type(0.7978845608028654), x.dtype.type(0.7978845608028654 * 0.044715)
        for j in range(x.shape[0]):
            v = x[j]
            y[j] = half * v * (one + _math.tanh(v * (a + b * v * v)))


@jit
def _map_backward_block(op, g, x, d):
    one = x.dtype.type(1)
    half = x.dtype.type(0.5)
    if op == TANH:
        for j in range(x.shape[0]):
            d[j] = g[j] * (one - x[j] * x[j])
    elif op == SIGMOID:
        for j in range(x.shape[0]):
            d[j] = g[j] * x[j] * (one - x[j])
    elif op == ERF:
        scale = x.dtype.type(1.1283791670955126)
        for j in range(x.shape[0]):
            d[j] = g[j] * scale * _math.exp_down(-x[j] * x[j])
    elif op == RELU:
        zero = x.dtype.type(0)
        for j in range(x.shape[0]):
            d[j] = g[j] if x[j] > zero else zero
    elif op == SILU:
        for j in range(x.shape[0]):
            s = _math.sigmoid(x[j])
            d[j] = g[j] * s * (one + x[j] * (one - s))
    elif op == GELU:
        density = x.dtype.type(0.3989422804014327)
        for j in range(x.shape[0]):
            v = x[j]
            phi, e = _math.normal(v)
            d[j] = g[j] * (phi + v * density * e)
    elif op == GELU_TANH:
        a, b = x.dtype.type(0.7978845608028654), x.dtype.type(0.7978845608028654 * 0.044715)
        b3 = x.dtype.type(0.7978845608028654 * 0.044715 * 3)
        for j in range(x.shape[0]):
            v = x[j]
            t = _math.tanh(v * (a + b * v * v))
            d[j] = g[j] * half * (one + t + v * (one - t * t) * (a + b3 * v * v))


HASHES = 2048  # hashes that are drawn at a time, two elements each


@jit(parallel=True)
def _dropout_flat(x, y, threshold, scale, seed):
    n = x.size
    size = 2 * HASHES
    if n <= SERIAL // 2:
        _dropout_block(x, y, threshold, scale, seed, 0)
    else:
        for b in prange((n + size - 1) // size):
            start, stop = b * size, (b + 1) * size
            _dropout_block(x[start:stop], y[start:stop], threshold, scale, seed, b * HASHES)


@jit
def _dropout_block(x, y, threshold, scale, seed, first):
    """`first`: the number of the first hash that this block uses."""
    n = x.shape[0]
    zero, factor = x.dtype.type(0), x.dtype.type(scale)
    lowest = np.uint32(threshold)
    hashes = np.empty((n + 1) // 2, np.uint64)
    start = _mix(np.uint64(seed)) + np.uint64(first + 1) * np.uint64(0x9E3779B97F4A7C15)
    for j in range(hashes.shape[0]):
        hashes[j] = _mix(start + np.uint64(j) * np.uint64(0x9E3779B97F4A7C15))
    bits = hashes.view(np.uint32)
    for j in range(n):
        y[j] = x[j] * factor if bits[j] >= lowest else zero


@jit
def _mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


for _name in plain.__all__:
    globals()[_name].__doc__ = getattr(plain, _name).__doc__
