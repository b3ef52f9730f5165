"""One optimizer step over flat buffers, in plain NumPy, in place.

`p` are the parameters, `g` their gradients, the other arrays the optimizer's state; all have the same size and dtype,
and all but `g` are written. The formulas are those of PyTorch's optimizers; learning-rate schedules, step counts and
parameter groups are the caller's.
"""

import math

import numpy as np

from .._arrays import FLOATS

__all__ = ["sgd", "adagrad", "rmsprop", "adam", "adamw", "sum_of_squares"]


def sgd(p, g, buffer, lr, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0, first=False):
    """Stochastic gradient descent.

    Parameters
    ----------
    p, g : array (n,)
    buffer : array (n,) or None
        The velocity; may be None if `momentum` is 0.
    first : bool
        The first step fills the velocity with the gradient, undampened.

    Source: Sutskever et al. 2013, equations 1-4, in PyTorch's form (the rate multiplies the velocity).
    """
    _check(p=p, g=g, buffer=_velocity(buffer, momentum))
    if weight_decay:
        g = g + weight_decay * p
    if momentum:
        buffer[...] = g if first else momentum * buffer + (1 - dampening) * g
        g = g + momentum * buffer if nesterov else buffer
    p -= lr * g


def adagrad(p, g, total, lr, eps=1e-10, weight_decay=0.0):
    """Adagrad; `total` holds the sum of the squared gradients so far.

    Source: Duchi, Hazan, Singer 2011, figure 1 (diagonal).
    """
    _check(p=p, g=g, total=total)
    if weight_decay:
        g = g + weight_decay * p
    total += g * g
    p -= lr * g / (np.sqrt(total) + eps)


def rmsprop(p, g, square, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, buffer=None, mean=None):
    """RMSProp: the gradient divided by a running root mean square.

    Parameters
    ----------
    square : array (n,)
        The running mean of the squared gradients.
    buffer : array (n,), optional
        The velocity; needed if `momentum` is not 0.
    mean : array (n,), optional
        If given, the running mean of the gradients, whose square is taken off (the centred variant of Graves 2013).

    Source: Tieleman and Hinton 2012, lecture 6.5; Graves 2013, equations 38-45.
    """
    _check(p=p, g=g, square=square, buffer=_velocity(buffer, momentum), mean=mean)
    if weight_decay:
        g = g + weight_decay * p
    square[...] = alpha * square + (1 - alpha) * g * g
    variance = square
    if mean is not None:
        mean[...] = alpha * mean + (1 - alpha) * g
        variance = square - mean * mean
    step = g / (np.sqrt(variance) + eps)
    if momentum:
        buffer[...] = momentum * buffer + step
        step = buffer
    p -= lr * step


def adam(p, g, m, v, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, correction1=1.0, correction2=1.0):
    """Adam; weight decay is added to the gradient (coupled L2).

    Parameters
    ----------
    m, v : array (n,)
        The running means of the gradient and of its square.
    correction1, correction2 : float
        1 - beta1^t and 1 - beta2^t at step t (from 1); 1 switches the bias correction off.

    Source: Kingma and Ba 2015, algorithm 1.
    """
    _check(p=p, g=g, m=m, v=v)
    if weight_decay:
        g = g + weight_decay * p
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * g * g
    p -= (lr / correction1) * m / (np.sqrt(v) / math.sqrt(correction2) + eps)


def adamw(p, g, m, v, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01, correction1=1.0, correction2=1.0):
    """Adam with decoupled weight decay: p shrinks by lr * weight_decay first. Arguments as for `adam`.

    Source: Loshchilov and Hutter 2019, algorithm 2.
    """
    _check(p=p, g=g, m=m, v=v)
    p *= 1 - lr * weight_decay
    adam(p, g, m, v, lr, beta1, beta2, eps, 0.0, correction1, correction2)


def sum_of_squares(x):
    """The sum of the squares of all elements, summed in float64, as a Python float."""
    _check(x=x)
    x = x.reshape(-1).astype(np.float64, copy=False)
    return float(x @ x)


def _velocity(buffer, momentum):
    if momentum and buffer is None:
        raise ValueError(f"momentum is {momentum}, but there is no buffer for the velocity. Try np.zeros_like(p)")
    return buffer


def _check(**arrays):
    """In place needs the caller's own memory: nothing is copied or converted here."""
    first = None
    for name, a in arrays.items():
        if a is None:
            continue
        if not isinstance(a, np.ndarray) or a.dtype not in FLOATS:
            what = a.dtype if isinstance(a, np.ndarray) else type(a).__name__
            raise TypeError(f"{name} is {what}; optimizer steps take NumPy arrays of float32 or float64")
        if not (a.flags.c_contiguous and a.flags.writeable):
            raise ValueError(f"{name} is not a contiguous, writeable array; steps work in place. Try np.array({name})")
        first = a if first is None else first
        if a.dtype != first.dtype or a.size != first.size:
            raise ValueError(
                f"{name} is {a.dtype} of size {a.size}, but the first array is {first.dtype} of size {first.size}; "
                "parameters, gradients and state must agree"
            )
