"""What networks are made of: softmax, the normalisations, dropout, similarity."""

import math

import numpy as np

from tinymm import kernels
from tinymm.autograd import random
from tinymm.autograd.op import Sample, op

_rows = [((2, 3, 5), -1), ((2, 3, 5), 1), ((3, 1), -1), ((0, 3), -1), ((7,), 0)]


def _softmax_samples(rng):
    return [Sample(rng.normal(size=s), axis=axis) for s, axis in _rows] + [Sample(rng.normal(size=(5, 6)).T[::2],
    axis=-1)]


@op(samples=_softmax_samples, torch="nn.functional.softmax")
def softmax(x, *, axis=-1):
    """y_i = exp(x_i) / sum_j exp(x_j) along `axis`. -inf gives exactly 0; a row of nothing but -inf gives zeros."""
    y = kernels.softmax(x, axis)
    return y, (lambda g: kernels.softmax_backward(g, y, axis),)


@op(samples=_softmax_samples, torch="nn.functional.log_softmax")
def log_softmax(x, *, axis=-1):
    """y_i = x_i - log sum_j exp(x_j) along `axis`."""
    y = kernels.log_softmax(x, axis)
    return y, (lambda g: kernels.log_softmax_backward(g, y, axis),)


# ---- normalisation -------------------------------------------------------------------------------------------------


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3, 5)), rng.normal(size=5), rng.normal(size=5)),
    Sample(rng.normal(size=(2, 3, 5)), rng.normal(size=(3, 5)), rng.normal(size=(3, 5)), eps=1e-3),
    Sample(rng.normal(size=(2, 7))), Sample(rng.normal(size=(2, 7)), rng.normal(size=7)),
    Sample(rng.normal(size=(2, 7)), None, rng.normal(size=7)),
    Sample(rng.normal(size=(0, 3)), rng.normal(size=3), rng.normal(size=3)),
    Sample(rng.normal(size=(2, 1)), rng.normal(size=1), rng.normal(size=1)),
    Sample(rng.normal(size=(5, 3)).T, rng.normal(size=5), rng.normal(size=5))], torch="nn.functional.layer_norm")
def layer_norm(x, weight=None, bias=None, *, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis; var is the biased variance.

    Parameters
    ----------
    x : (..., D)
    weight, bias : (D,), optional
        If they have more dimensions, the mean is over as many of the last axes of `x`.

    Raises
    ------
    ValueError
        If `weight` or `bias` does not have the shape of the last axes of `x`.

    Source: Ba, Kiros, Hinton 2016, equation 4.
    """
    shape = x.shape
    given = weight if weight is not None else bias
    normalized = shape[-1:] if given is None else given.shape
    if shape[len(shape) - len(normalized):] != normalized or (bias is not None and bias.shape != normalized):
        raise ValueError(f"layer_norm: weight and bias have shapes {np.shape(weight)} and {np.shape(bias)}; expected "
                         f"both to have the end of x's shape, {shape}")
    if len(normalized) > 1:  # several axes, as one
        n = math.prod(normalized)
        x = x.reshape(math.prod(shape[:len(shape) - len(normalized)]), n)
        weight, bias = (p if p is None else p.reshape(n) for p in (weight, bias))
    y, mean, rstd = kernels.layer_norm(x, weight, bias, eps)

    def vjps(g, needs):
        d_x, d_weight, d_bias = kernels.layer_norm_backward(g.reshape(x.shape), x, mean, rstd, weight)
        return d_x.reshape(shape), d_weight.reshape(normalized), d_bias.reshape(normalized)

    return y.reshape(shape), vjps


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 6, 5)), rng.normal(size=6), rng.normal(size=6), num_groups=3),
    Sample(rng.normal(size=(2, 6, 3, 5)), rng.normal(size=6), rng.normal(size=6), num_groups=1),
    Sample(rng.normal(size=(2, 3, 5)), num_groups=3),
    Sample(rng.normal(size=(0, 4, 5)), rng.normal(size=4), rng.normal(size=4), num_groups=2),
    Sample(rng.normal(size=(5, 6)), rng.normal(size=6), num_groups=2), Sample(rng.normal(size=(1, 2, 3)), num_groups=1),
    Sample(rng.normal(size=(5, 4, 2)).T, rng.normal(size=4), rng.normal(size=4), num_groups=2)],
    torch="nn.functional.group_norm")
def group_norm(x, weight=None, bias=None, *, num_groups, eps=1e-5):
    """The channels in `num_groups` groups, each group of each example normalised on its own.

    Parameters
    ----------
    x : (B, C, ...)
    weight, bias : (C,), optional
    num_groups : int
        Divides C.

    Raises
    ------
    ValueError
        If C cannot be divided.

    Source: Wu and He 2018, equation 7.
    """
    shape, C = x.shape, x.shape[1]
    if C % num_groups:
        raise ValueError(f"group_norm: {C} channels cannot be split into {num_groups} groups")
    n = C // num_groups * math.prod(shape[2:])
    x = x.reshape(shape[0] * num_groups, n)
    normed, mean, rstd = kernels.layer_norm(x, None, None, eps)
    y, per_channel = normed.reshape(shape), (C,) + (1,) * (len(shape) - 2)
    others = (0, *range(2, len(shape)))

    def d_x(g):
        if weight is not None:
            g = g * weight.reshape(per_channel)
        return kernels.layer_norm_backward(g.reshape(x.shape), x, mean, rstd)[0].reshape(shape)

    def d_weight(g):
        return np.add.reduce(g * ((x - mean[:, None]) * rstd[:, None]).reshape(shape), axis=others)

    if weight is not None:
        y = y * weight.reshape(per_channel)
    if bias is not None:
        y = y + bias.reshape(per_channel)
    return y, (d_x, d_weight, lambda g: np.add.reduce(g, axis=others))


def _batch_norm_samples(rng):
    def arrays(*shape):
        return rng.normal(size=shape), rng.normal(size=shape[1]), rng.normal(size=shape[1])

    return [Sample(*arrays(5, 3), training=True), Sample(*arrays(2, 3, 5, 7), training=True),
            Sample(arrays(7, 1, 2)[0], training=True), Sample(*arrays(5, 3, 2)[:2], training=True, eps=1e-3),
            Sample(*arrays(5, 3), running_mean=rng.normal(size=3), running_var=rng.uniform(0.5, 2, size=3)),
            Sample(*arrays(0, 3), running_mean=rng.normal(size=3), running_var=rng.uniform(0.5, 2, size=3)),
            Sample(arrays(3, 5)[0].T, rng.normal(size=3), rng.normal(size=3), training=True)]


@op(samples=_batch_norm_samples, torch="nn.functional.batch_norm")
def batch_norm(x, weight=None, bias=None, *, running_mean=None, running_var=None, training=False, momentum=0.1,
               eps=1e-5):
    """Each channel normalised over the batch and all places.

    Parameters
    ----------
    x : (B, C, ...)
    weight, bias : (C,), optional
    running_mean, running_var : (C,), arrays or Tensors, optional
        While training, moved by `momentum` towards the batch's mean and (unbiased) variance, in place. Otherwise used
        in place of the batch's.
    training : bool
    momentum, eps : float

    Raises
    ------
    ValueError
        If not training and there are no running values; if training on one value a channel.

    Source: Ioffe and Szegedy 2015, algorithm 1.
    """
    others = (0, *range(2, x.ndim))
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    n = x.size // max(x.shape[1], 1)
    if training:
        if n < 2:
            raise ValueError(f"batch_norm: x has shape {x.shape}; training needs more than one value a channel")
        mean, var = x.mean(axis=others), x.var(axis=others)
        for old, new in ((running_mean, mean), (running_var, var * (n / (n - 1)))):
            if old is not None:
                old[...] = (1 - momentum) * np.asarray(old) + momentum * new
    else:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: not training, and no running_mean and running_var to use")
        mean, var = np.asarray(running_mean, dtype=x.dtype), np.asarray(running_var, dtype=x.dtype)
    rstd = 1 / np.sqrt(var + eps)
    normed = (x - mean.reshape(per_channel)) * rstd.reshape(per_channel)

    def d_x(g):
        scale = (rstd if weight is None else rstd * weight).reshape(per_channel)
        if not training:
            return g * scale
        a = g.mean(axis=others, keepdims=True)
        b = (g * normed).mean(axis=others, keepdims=True)
        return scale * (g - a - normed * b)

    y = normed.copy() if weight is None else normed * weight.reshape(per_channel)
    if bias is not None:
        y = y + bias.reshape(per_channel)
    return y, (d_x, lambda g: np.add.reduce(g * normed, axis=others), lambda g: np.add.reduce(g, axis=others))


# ---- dropout -------------------------------------------------------------------------------------------------------


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3, 5)), p=0.5, seed=3), Sample(rng.normal(size=(7, 1)), p=0.2),
    Sample(rng.normal(size=(0, 3))),
    Sample(rng.normal(size=(5, 3)).T, p=0.3), Sample(rng.normal(size=(2, 3)), training=False),
    Sample(rng.normal(size=(2, 3)), p=0.0),
    Sample(rng.normal(size=(2, 3)), p=1.0)], torch="nn.functional.dropout")
def dropout(x, *, p=0.5, training=True, seed=None):
    """Each element 0 with probability `p`, the others divided by 1 - p; unchanged if not `training`.

    The mask follows from `seed`, which is drawn from the library's generator (`tinymm.manual_seed`) if not given.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Source: Srivastava et al. 2014, section 4.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is {p}; expected a probability between 0 and 1")
    if p == 0 or not training:
        return x.view(), (lambda g: g,)
    if seed is None:
        seed = int(random.generator().integers(2**63))
    return kernels.dropout(x, p, seed), (lambda g: kernels.dropout(g, p, seed),)


# ---- similarity ----------------------------------------------------------------------------------------------------


@op(samples=lambda rng: [
    Sample(rng.normal(size=a), rng.normal(size=b), axis=axis) for a, b, axis in [
        ((2, 3), (2, 3), 1), ((2, 1, 5), (3, 5), -1), ((7, 3), (7, 3), 0), ((0, 3), (0, 3), 1), ((2, 1), (2, 1), 1),
        ((3,), (3,), 0)]],
    torch="nn.functional.cosine_similarity")
def cosine_similarity(a, b, *, axis=1, eps=1e-8):
    """<a, b> / (max(|a|, eps) max(|b|, eps)) along `axis`; a and b broadcast."""
    a, b = np.broadcast_arrays(a, b)
    norm_a = np.sqrt(np.add.reduce(a * a, axis=axis, keepdims=True))
    norm_b = np.sqrt(np.add.reduce(b * b, axis=axis, keepdims=True))
    unit_a, unit_b = a / np.maximum(norm_a, eps), b / np.maximum(norm_b, eps)
    y = np.add.reduce(unit_a * unit_b, axis=axis, keepdims=True)

    def d_a(g):
        inward = np.where(norm_a > eps, y * unit_a, 0)
        return np.expand_dims(g, axis) * (unit_b - inward) / np.maximum(norm_a, eps)

    def d_b(g):
        inward = np.where(norm_b > eps, y * unit_b, 0)
        return np.expand_dims(g, axis) * (unit_a - inward) / np.maximum(norm_b, eps)

    return y.squeeze(axis), (d_a, d_b)
