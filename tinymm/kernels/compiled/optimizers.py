"""One optimizer step over flat buffers, compiled, in place; the formulas stand in `tinymm.kernels.plain.optimizers`."""

import math

import numpy as np
from numba import prange

from ..plain import optimizers as plain
from ..plain.optimizers import _check, _velocity
from ._jit import jit

BLOCK = 16384  # elements that one thread takes at a time; work is divided by the shape only
SERIAL = 16384  # up to so many elements, waking a second thread costs more than it saves


def sgd(p, g, buffer, lr, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0, first=False):
    _check(p=p, g=g, buffer=_velocity(buffer, momentum))
    if buffer is None:
        buffer = g  # not touched without momentum
    share = 1.0 if first else 1.0 - dampening
    keep = 0.0 if first else float(momentum)
    _sgd(
        p.ravel(), g.ravel(), buffer.ravel(), float(lr), float(momentum), keep, share, bool(nesterov),
        float(weight_decay),
    )


def adagrad(p, g, total, lr, eps=1e-10, weight_decay=0.0):
    _check(p=p, g=g, total=total)
    _adagrad(p.ravel(), g.ravel(), total.ravel(), float(lr), float(eps), float(weight_decay))


def rmsprop(p, g, square, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, buffer=None, mean=None):
    _check(p=p, g=g, square=square, buffer=_velocity(buffer, momentum), mean=mean)
    centred = mean is not None
    mean = mean if centred else g  # not touched
    buffer = g if buffer is None else buffer  # not touched without momentum
    _rmsprop(
        p.ravel(), g.ravel(), square.ravel(), mean.ravel(), buffer.ravel(), float(lr), float(alpha), float(eps),
        float(weight_decay), float(momentum), centred,
    )


def adam(p, g, m, v, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, correction1=1.0, correction2=1.0):
    _check(p=p, g=g, m=m, v=v)
    _adam(
        p.ravel(), g.ravel(), m.ravel(), v.ravel(), lr / correction1, float(beta1), float(beta2), float(eps),
        1.0 / math.sqrt(correction2), float(weight_decay), 1.0,
    )


def adamw(p, g, m, v, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01, correction1=1.0, correction2=1.0):
    _check(p=p, g=g, m=m, v=v)
    _adam(
        p.ravel(), g.ravel(), m.ravel(), v.ravel(), lr / correction1, float(beta1), float(beta2), float(eps),
        1.0 / math.sqrt(correction2), 0.0, 1.0 - lr * weight_decay,
    )


def sum_of_squares(x):
    _check(x=x)
    return _sum_of_squares(x.ravel())


@jit
def _sgd_block(p, g, buffer, lr, momentum, keep, share, nesterov, decay):
    T = p.dtype.type
    lr, momentum, keep, share, decay = T(lr), T(momentum), T(keep), T(share), T(decay)
    if momentum == 0:
        for j in range(p.shape[0]):
            p[j] -= lr * (g[j] + decay * p[j])
    elif nesterov:
        for j in range(p.shape[0]):
            d = g[j] + decay * p[j]
            b = (keep * buffer[j] if keep != 0 else T(0)) + share * d
            buffer[j] = b
            p[j] -= lr * (d + momentum * b)
    else:
        for j in range(p.shape[0]):
            d = g[j] + decay * p[j]
            b = (keep * buffer[j] if keep != 0 else T(0)) + share * d
            buffer[j] = b
            p[j] -= lr * b


@jit(parallel=True)
def _sgd(p, g, buffer, lr, momentum, keep, share, nesterov, decay):
    n = p.size
    if n <= SERIAL:
        _sgd_block(p, g, buffer, lr, momentum, keep, share, nesterov, decay)
    else:
        for b in prange((n + BLOCK - 1) // BLOCK):
            s = slice(b * BLOCK, (b + 1) * BLOCK)
            _sgd_block(p[s], g[s], buffer[s], lr, momentum, keep, share, nesterov, decay)


@jit
def _adagrad_block(p, g, total, lr, eps, decay):
    T = p.dtype.type
    lr, eps, decay = T(lr), T(eps), T(decay)
    for j in range(p.shape[0]):
        d = g[j] + decay * p[j]
        t = total[j] + d * d
        total[j] = t
        p[j] -= lr * d / (math.sqrt(t) + eps)


@jit(parallel=True)
def _adagrad(p, g, total, lr, eps, decay):
    n = p.size
    if n <= SERIAL:
        _adagrad_block(p, g, total, lr, eps, decay)
    else:
        for b in prange((n + BLOCK - 1) // BLOCK):
            s = slice(b * BLOCK, (b + 1) * BLOCK)
            _adagrad_block(p[s], g[s], total[s], lr, eps, decay)


@jit
def _rmsprop_block(p, g, square, mean, buffer, lr, alpha, eps, decay, momentum, centred):
    T = p.dtype.type
    lr, eps, decay, momentum = T(lr), T(eps), T(decay), T(momentum)
    keep, share = T(alpha), T(1 - alpha)
    for j in range(p.shape[0]):
        d = g[j] + decay * p[j]
        v = keep * square[j] + share * d * d
        square[j] = v
        if centred:
            a = keep * mean[j] + share * d
            mean[j] = a
            v = v - a * a
        step = d / (math.sqrt(v) + eps)
        if momentum != 0:
            step = momentum * buffer[j] + step
            buffer[j] = step
        p[j] -= lr * step


@jit(parallel=True)
def _rmsprop(p, g, square, mean, buffer, lr, alpha, eps, decay, momentum, centred):
    n = p.size
    if n <= SERIAL:
        _rmsprop_block(p, g, square, mean, buffer, lr, alpha, eps, decay, momentum, centred)
    else:
        for b in prange((n + BLOCK - 1) // BLOCK):
            s = slice(b * BLOCK, (b + 1) * BLOCK)
            _rmsprop_block(p[s], g[s], square[s], mean[s], buffer[s], lr, alpha, eps, decay, momentum, centred)


@jit
def _adam_block(p, g, m, v, lr, beta1, beta2, eps, correction, decay, shrink):
    T = p.dtype.type
    lr, eps, correction, decay, shrink = T(lr), T(eps), T(correction), T(decay), T(shrink)
    keep1, share1, keep2, share2 = T(beta1), T(1 - beta1), T(beta2), T(1 - beta2)
    for j in range(p.shape[0]):
        d = g[j] + decay * p[j]
        a = keep1 * m[j] + share1 * d
        b = keep2 * v[j] + share2 * d * d
        m[j] = a
        v[j] = b
        p[j] = shrink * p[j] - lr * a / (math.sqrt(b) * correction + eps)


@jit(parallel=True)
def _adam(p, g, m, v, lr, beta1, beta2, eps, correction, decay, shrink):
    n = p.size
    if n <= SERIAL:
        _adam_block(p, g, m, v, lr, beta1, beta2, eps, correction, decay, shrink)
    else:
        for b in prange((n + BLOCK - 1) // BLOCK):
            s = slice(b * BLOCK, (b + 1) * BLOCK)
            _adam_block(p[s], g[s], m[s], v[s], lr, beta1, beta2, eps, correction, decay, shrink)


@jit
def _sum_of_squares_block(x):
    total = 0.0
    for j in range(x.shape[0]):
        total += np.float64(x[j]) * np.float64(x[j])
    return total


@jit(parallel=True)
def _sum_of_squares(x):
    n = x.size
    if n <= SERIAL:
        return _sum_of_squares_block(x)
    parts = np.empty((n + BLOCK - 1) // BLOCK)
    for b in prange(parts.size):
        parts[b] = _sum_of_squares_block(x[b * BLOCK : (b + 1) * BLOCK])
    total = 0.0
    for b in range(parts.size):  # in this order, however many threads there are
        total += parts[b]
    return total


for _name in plain.__all__:
    globals()[_name].__doc__ = getattr(plain, _name).__doc__
