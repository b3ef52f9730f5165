"""Row-wise kernels in plain NumPy: softmax and its relatives, layer normalisation, cross entropy.

Each gradient takes the gradient `g` of its output first and then what the forward pass kept. A row here is what lies
along `axis`. Masked entries are -inf; they get the weight 0 exactly, and a row that is masked as a whole gets zeros
(-inf from the logarithms) and no NaN. A NaN spoils its own row and no other.
"""

import numpy as np

from .._arrays import floats, integers

__all__ = [
    "softmax",
    "softmax_backward",
    "log_softmax",
    "log_softmax_backward",
    "logsumexp",
    "logsumexp_backward",
    "layer_norm",
    "layer_norm_backward",
    "cross_entropy",
    "cross_entropy_backward",
]

_quiet = np.errstate(all="ignore")  # infinities and NaN are defined results here


@_quiet
def softmax(x, axis=-1):
    """y_i = exp(x_i) / sum_j exp(x_j) along `axis`.

    Parameters
    ----------
    x : array (..., n, ...)
        float32 or float64. -inf gives exactly 0; a row of nothing but -inf gives zeros.
    axis : int

    Returns
    -------
    array like `x`

    Raises
    ------
    TypeError
        If `x` is neither float32 nor float64.
    """
    x = floats(x)
    if x.size == 0:
        return np.empty_like(x)
    e = np.exp(x - _largest(x, axis))
    total = e.sum(axis, keepdims=True)
    return e / np.where(total == 0, 1, total)


def softmax_backward(g, y, axis=-1):
    """The gradient of `softmax` from its output `y`: y * (g - <g, y>)."""
    g, y = floats(g, "g"), floats(y, "y")
    return y * (g - (g * y).sum(axis, keepdims=True))


@_quiet
def log_softmax(x, axis=-1):
    """y_i = x_i - log sum_j exp(x_j) along `axis`; a row of nothing but -inf gives -inf."""
    x = floats(x)
    if x.size == 0:
        return np.empty_like(x)
    top = _largest(x, axis)
    shifted = x - top
    total = np.exp(shifted).sum(axis, keepdims=True)
    return shifted - np.log(np.where(total == 0, 1, total))


def log_softmax_backward(g, y, axis=-1):
    """The gradient of `log_softmax` from its output `y`: g - exp(y) * sum(g)."""
    g, y = floats(g, "g"), floats(y, "y")
    return g - np.exp(y) * g.sum(axis, keepdims=True)


@_quiet
def logsumexp(x, axis=-1):
    """log sum_j exp(x_j) along `axis`, which disappears; -inf for rows that are empty or nothing but -inf."""
    x = floats(x)
    if x.shape[axis] == 0:
        return np.full(np.delete(x.shape, axis), -np.inf, x.dtype)
    top = _largest(x, axis)
    result = np.log(np.exp(x - top).sum(axis, keepdims=True)) + top
    return np.where(top == np.inf, top, result).squeeze(axis)


@_quiet
def logsumexp_backward(g, x, y, axis=-1):
    """The gradient of `logsumexp` from its input `x` and its output `y`: g * softmax(x)."""
    g, x, y = floats(g, "g"), floats(x), floats(y, "y")
    y = np.expand_dims(np.where(y == -np.inf, 0, y), axis)
    return (np.expand_dims(g, axis) * np.exp(x - y)).astype(x.dtype, copy=False)


@_quiet
def layer_norm(x, weight=None, bias=None, eps=1e-5):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last axis; var is the biased variance.

    Parameters
    ----------
    x : array (..., n)
    weight, bias : array (n,), optional
    eps : float

    Returns
    -------
    y : array (..., n)
    mean, rstd : array (...)
        The mean, and 1 / sqrt(var + eps), of each row: what `layer_norm_backward` needs.

    Source: Ba, Kiros, Hinton 2016, equation 4.
    """
    x = floats(x)
    n = max(x.shape[-1], 1)
    mean = x.sum(-1) / x.dtype.type(n)
    centred = x - mean[..., None]
    rstd = 1 / np.sqrt((centred * centred).sum(-1) / x.dtype.type(n) + x.dtype.type(eps))
    y = centred * rstd[..., None]
    if weight is not None:
        y = y * _vector(weight, x, "weight")
    if bias is not None:
        y = y + _vector(bias, x, "bias")
    return y, mean, rstd


@_quiet
def layer_norm_backward(g, x, mean, rstd, weight=None):
    """The gradients of `layer_norm`.

    Parameters
    ----------
    g, x : array (..., n)
    mean, rstd : array (...)
        As `layer_norm` returned them.
    weight : array (n,), optional

    Returns
    -------
    d_x : array (..., n)
    d_weight, d_bias : array (n,)
        What they would be even where `weight` or `bias` was None.
    """
    g, x = floats(g, "g"), floats(x)
    n = x.shape[-1]
    normed = (x - mean[..., None]) * rstd[..., None]
    d_normed = g if weight is None else g * _vector(weight, x, "weight")
    a = d_normed.sum(-1, keepdims=True) / x.dtype.type(max(n, 1))
    b = (d_normed * normed).sum(-1, keepdims=True) / x.dtype.type(max(n, 1))
    d_x = rstd[..., None] * (d_normed - a - normed * b)
    batch = tuple(range(x.ndim - 1))
    return d_x, (g * normed).sum(batch), g.sum(batch)


@_quiet
def cross_entropy(logits, targets, ignore_index=-100, label_smoothing=0.0):
    """The loss of each row: -sum_c q_c log softmax(logits)_c, where q is one-hot at the target, smoothed.

    With label smoothing a, every class has q = a / V and the target has 1 - a more (Szegedy et al. 2016, section 7).
    Rows whose target is `ignore_index` have loss 0. Averaging over the others is the caller's business.

    Parameters
    ----------
    logits : array (..., V)
    targets : integer array (...)

    Returns
    -------
    loss : array (...)
    kept : array (..., 2)
        What `cross_entropy_backward` needs: the largest logit of each row, and log sum_c exp(logit_c - largest). Their
        sum would be one number, but in float32 a sum of 10,000 and 0.5 has lost four digits of the 0.5.

    Raises
    ------
    IndexError
        If a target is neither `ignore_index` nor in 0 .. V-1.
    """
    logits, targets = floats(logits, "logits"), _targets(targets, logits, ignore_index)
    V = logits.shape[-1]
    keep = targets != ignore_index
    picked = np.where(keep, targets, 0)[..., None]
    if targets.size == 0 or V == 0:
        return np.zeros(targets.shape, logits.dtype), np.zeros((*targets.shape, 2), logits.dtype)
    top = _largest(logits, -1)
    shifted = logits - top
    log_sum = np.log(np.exp(shifted).sum(-1))
    loss = log_sum - np.take_along_axis(shifted, picked, -1)[..., 0]
    if label_smoothing:
        loss = (1 - label_smoothing) * loss + label_smoothing * (log_sum - shifted.mean(-1))
    return np.where(keep, loss, 0).astype(logits.dtype, copy=False), np.stack([top[..., 0], log_sum], -1)


@_quiet
def cross_entropy_backward(g, logits, targets, kept, ignore_index=-100, label_smoothing=0.0):
    """The gradient of `cross_entropy`: g * (softmax(logits) - q), one `g` a row."""
    g, logits = floats(g, "g"), floats(logits, "logits")
    targets = _targets(targets, logits, ignore_index)
    V = logits.shape[-1]
    keep = (targets != ignore_index)[..., None]
    if logits.size == 0:
        return np.empty_like(logits)
    top, log_sum = kept[..., :1], kept[..., 1:]
    d = np.exp(logits - top - log_sum)
    if label_smoothing:
        d -= label_smoothing / V
    d -= (1 - label_smoothing) * (np.arange(V) == targets[..., None])
    return np.where(keep, d * g[..., None], 0).astype(logits.dtype, copy=False)


def _largest(x, axis):
    """The largest of each row, 0 where that is -inf: then exp(x - largest) is 0 and not NaN."""
    top = x.max(axis, keepdims=True)
    return np.where(top == -np.inf, 0, top).astype(x.dtype, copy=False)


def _vector(v, x, name):
    """`v`, if it has one element of the dtype of `x` for each column of `x`."""
    v = floats(v, name)
    if v.dtype != x.dtype or v.shape != x.shape[-1:]:
        raise ValueError(f"{name} is {v.dtype} {v.shape}; expected {x.dtype} {x.shape[-1:]} for x {x.shape}")
    return v


def _targets(targets, logits, ignore_index):
    targets = integers(targets, "targets")
    if targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"targets has shape {targets.shape}; expected {logits.shape[:-1]}, "
            f"one class index for each row of logits {logits.shape}"
        )
    wrong = ((targets < 0) | (targets >= logits.shape[-1])) & (targets != ignore_index)
    if wrong.any():
        raise IndexError(
            f"target {targets[wrong][0]} is out of range for {logits.shape[-1]} classes; "
            f"expected 0 .. {logits.shape[-1] - 1}, or ignore_index={ignore_index}"
        )
    return targets
