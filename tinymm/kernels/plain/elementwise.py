"""Element-wise kernels in plain NumPy: exp, the activations and their gradients, dropout.

Each gradient takes the gradient `g` of its output and, as its name for the second argument says, the input `x` or the
output `y` of the forward pass.
"""

import math

import numpy as np

from .._arrays import floats

__all__ = [
    "exp",
    "tanh",
    "tanh_backward",
    "sigmoid",
    "sigmoid_backward",
    "erf",
    "erf_backward",
    "relu",
    "relu_backward",
    "silu",
    "silu_backward",
    "gelu",
    "gelu_backward",
    "gelu_tanh",
    "gelu_tanh_backward",
    "dropout",
    "dropout_mask",
]

_quiet = np.errstate(all="ignore")  # infinities and NaN are defined results here


@_quiet
def exp(x):
    """e to the power of x. Its gradient is g * y."""
    return np.exp(floats(x))


def tanh(x):
    """The hyperbolic tangent."""
    return np.tanh(floats(x))


def tanh_backward(g, y):
    """The gradient of `tanh` from its output: g * (1 - y^2)."""
    g, y = floats(g, "g"), floats(y, "y")
    return g * (1 - y * y)


@_quiet
def sigmoid(x):
    """1 / (1 + exp(-x)), with no overflow on either side."""
    x = floats(x)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def sigmoid_backward(g, y):
    """The gradient of `sigmoid` from its output: g * y * (1 - y)."""
    g, y = floats(g, "g"), floats(y, "y")
    return g * y * (1 - y)


def erf(x):
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    from scipy import special

    return special.erf(floats(x))


@_quiet
def erf_backward(g, x):
    """The gradient of `erf`: g * 2 / sqrt(pi) * exp(-x^2)."""
    g, x = floats(g, "g"), floats(x)
    return g * (2 / math.sqrt(math.pi) * np.exp(-x * x))


def relu(x):
    """max(x, 0); NaN stays NaN."""
    return np.maximum(floats(x), 0)


def relu_backward(g, y):
    """The gradient of `relu` from its output (or input): g where y > 0, else 0."""
    g, y = floats(g, "g"), floats(y, "y")
    return np.where(y > 0, g, 0).astype(g.dtype, copy=False)


@_quiet
def silu(x):
    """x * sigmoid(x)."""
    x = floats(x)
    return x * sigmoid(x)


@_quiet
def silu_backward(g, x):
    """The gradient of `silu`: g * s * (1 + x * (1 - s)) with s = sigmoid(x)."""
    g, x = floats(g, "g"), floats(x)
    s = sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


@_quiet
def gelu(x):
    """x * Phi(x), Phi the normal distribution function: 0.5 x (1 + erf(x / sqrt 2)).

    Source: Hendrycks and Gimpel 2016, section 2.
    """
    x = floats(x)
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


@_quiet
def gelu_backward(g, x):
    """The gradient of `gelu`: g * (Phi(x) + x * phi(x)), phi the normal density."""
    g, x = floats(g, "g"), floats(x)
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return g * (0.5 * (1 + erf(x * math.sqrt(0.5))) + x * density)


@_quiet
def gelu_tanh(x):
    """The approximation of `gelu` that GPT and many BERT variants use: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).

    Source: Hendrycks and Gimpel 2016, section 2.
    """
    x = floats(x)
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@_quiet
def gelu_tanh_backward(g, x):
    """The gradient of `gelu_tanh`."""
    g, x = floats(g, "g"), floats(x)
    t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


def dropout(x, p, seed):
    """x / (1 - p) where the mask keeps it, 0 elsewhere.

    The mask is a function of `seed`, `p` and the position only (see `dropout_mask`): nothing needs to be stored for
    the gradient, which is ``dropout(g, p, seed)``.

    Parameters
    ----------
    x : array
    p : float in [0, 1]
        The probability that an element is dropped.
    seed : int

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Source: Srivastava et al. 2014, section 4; scaled while training, so that nothing changes when evaluating.
    """
    x = floats(x)
    mask = dropout_mask(x.shape, p, seed)
    return np.where(mask, x * x.dtype.type(1 / (1 - p) if p < 1 else 0), x.dtype.type(0))


@_quiet
def dropout_mask(shape, p, seed):
    """The mask that `dropout` uses: a bool array of `shape`, True = kept.

    Element i (counted in C order) gets 32 random bits: half i mod 2 (the lower half is 0) of number i // 2 of the
    SplitMix64 generator, whose n-th number needs no number before it. The element is dropped if the bits, as an
    integer, are below p * 2^32. So the mask depends on no state and on no order.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Source: Steele, Lea, Flood 2014, figure 17 (`mix64variant13` with the golden-ratio step).
    """
    threshold = np.uint64(_threshold(p))
    n = math.prod(shape) if np.iterable(shape) else int(shape)
    counter = np.arange((n + 1) // 2, dtype=np.uint64)
    z = _mix(np.uint64(int(seed) % 2**63)) + (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = _mix(z)
    bits = np.stack([z & np.uint64(0xFFFFFFFF), z >> np.uint64(32)], axis=-1).reshape(-1)[:n]
    return (bits >= threshold).reshape(shape)


def _threshold(p):
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is {p}; expected a probability between 0 and 1")
    return round(float(p) * 2**32)


def _mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
