"""First values of parameters. Each function writes into its Tensor and returns it, as torch's of the same name.

All draw from the generator of `tinymm.manual_seed`, in float64, and round to the Tensor's type: with the same seed a
float32 and a float64 model start from the same numbers.
"""

import math

import numpy as np

from tinymm.autograd import random
from tinymm.autograd.tensor import no_grad


def _write(tensor, values):
    with no_grad():
        return tensor.assign(values)


def uniform_(tensor, a=0.0, b=1.0):
    """Uniform on [a, b)."""
    return _write(tensor, random.generator().uniform(a, b, tensor.shape))


def normal_(tensor, mean=0.0, std=1.0):
    """Normal."""
    return _write(tensor, random.generator().normal(mean, std, tensor.shape))


def constant_(tensor, value):
    """All the same."""
    return _write(tensor, np.full(tensor.shape, value, np.float64))


def zeros_(tensor):
    """All 0."""
    return constant_(tensor, 0.0)


def ones_(tensor):
    """All 1."""
    return constant_(tensor, 1.0)


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0):
    """Normal, drawn again until it falls into [a, b]; a and b are values, not multiples of `std`.

    Raises
    ------
    ValueError
        If [a, b] is empty or farther than 4 `std` from the mean, where almost no draw would fall into it.
    """
    if not a < b or a > mean + 4 * std or b < mean - 4 * std:
        raise ValueError(f"trunc_normal_: [{a}, {b}] is empty or too far from mean {mean} with std {std}")
    values = random.generator().normal(mean, std, tensor.size)
    while (outside := np.flatnonzero((values < a) | (values > b))).size:
        values[outside] = random.generator().normal(mean, std, outside.size)
    return _write(tensor, values.reshape(tensor.shape))


def xavier_uniform_(tensor, gain=1.0):
    """Uniform on +-gain * sqrt(6 / (fan_in + fan_out)).

    Source: Glorot and Bengio 2010, equation 16.
    """
    fan_in, fan_out = fans(tensor)
    bound = gain * math.sqrt(6 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor, gain=1.0):
    """Normal of standard deviation gain * sqrt(2 / (fan_in + fan_out)).

    Source: Glorot and Bengio 2010, equation 12.
    """
    fan_in, fan_out = fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2 / (fan_in + fan_out)))


def kaiming_uniform_(tensor, a=0.0, mode="fan_in", nonlinearity="leaky_relu"):
    """Uniform on +-gain * sqrt(3 / fan), with the gain of the nonlinearity that follows.

    Parameters
    ----------
    a : float
        The slope of leaky_relu for negative inputs.
    mode : str
        "fan_in" keeps the variance of the activations, "fan_out" that of the gradients.

    Source: He et al. 2015, equations 10, 14 and 15.
    """
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / _fan(tensor, mode))
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor, a=0.0, mode="fan_in", nonlinearity="leaky_relu"):
    """Normal of standard deviation gain / sqrt(fan); arguments and source as for `kaiming_uniform_`."""
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)))


def orthogonal_(tensor, gain=1.0):
    """Orthogonal rows or columns (whichever are fewer), times `gain`; axes after the first count as one.

    Source: Saxe et al. 2014.
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: shape {tensor.shape} has {tensor.ndim} axes; expected at least 2")
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    draw = random.generator().normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(draw)
    q *= np.sign(np.diag(r))  # makes the draw uniform over all orthogonal matrices
    return _write(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


def calculate_gain(nonlinearity, param=None):
    """The factor that makes up for what a nonlinearity does to the variance; torch's table.

    Raises
    ------
    ValueError
        For an unknown nonlinearity.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}; expected leaky_relu, "
                         f"{', '.join(gains)}")
    return gains[nonlinearity]


def fans(tensor):
    """How many inputs an output sees and how many outputs an input reaches, for a weight of shape (out, in, ...)."""
    if tensor.ndim < 2:
        raise ValueError(f"fan in and fan out need a weight of at least 2 axes; this one has shape {tensor.shape}")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _fan(tensor, mode):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"unknown mode {mode!r}; expected 'fan_in' or 'fan_out'")
    return fans(tensor)[mode == "fan_out"]
