"""Losses, with torch's names, arguments and defaults.

`reduction` is "mean" (over all elements, or over those that count), "sum" or "none".
"""

import math

import numpy as np

from tinymm import kernels
from tinymm.autograd.op import Sample, op
from tinymm.autograd.tensor import OPS
from tinymm.ops._samples import draw
from tinymm.ops.math import choose
from tinymm.ops.reduce import expand

_REDUCTIONS = ("mean", "sum", "none")


def _reduced(name, loss, reduction, vjps, count=None):
    """The loss under its reduction, and its VJPs, which are written for one gradient an element."""
    if reduction == "none":
        return loss, vjps
    if reduction not in _REDUCTIONS:
        raise ValueError(f"{name}: reduction is {reduction!r}; expected 'mean', 'sum' or 'none'")
    shape, scale = loss.shape, 1.0
    y = np.add.reduce(loss, axis=None)
    if reduction == "mean":
        count = loss.size if count is None else count
        scale = 1 / float(count) if count else math.nan  # the mean of nothing is NaN, as in torch
        y = y * scale

    def spread(vjp):
        return None if vjp is None else lambda g: vjp(expand(g * scale, shape, None, False))

    return np.asarray(y), tuple([spread(vjp) for vjp in vjps])


# ---- classes -------------------------------------------------------------------------------------------------------


def _class_samples(rng):
    def targets(high, *shape):
        return rng.integers(0, high, size=shape)

    ignored = np.array([1, -100, 0, 2, -100])
    return [
        Sample(rng.normal(size=(5, 3)), targets(3, 5)),
        Sample(rng.normal(size=(5, 3)), targets(3, 5), reduction="none"),
        Sample(rng.normal(size=(5, 3)), ignored, reduction="sum"), Sample(rng.normal(size=(5, 3)), ignored),
        Sample(rng.normal(size=(5, 3)), ignored % 3, ignore_index=1),
        Sample(rng.normal(size=(2, 3, 5, 7)), targets(3, 2, 5, 7)),
        Sample(rng.normal(size=(2, 5, 3)), targets(3, 2, 5), axis=-1, reduction="none"),
        Sample(rng.normal(size=(5, 3)), ignored, weight=np.array([0.2, 1.0, 3.0])),
        Sample(rng.normal(size=3), targets(3)),
        Sample(rng.normal(size=(5, 3)), targets(3, 5), weight=np.array([0.2, 1.0, 3.0]), reduction="none"),
        Sample(rng.normal(size=(0, 3)), targets(3, 0), reduction="sum"),
        Sample(rng.normal(size=(3, 5)).T, targets(3, 5)),
        Sample(rng.normal(size=(2, 1)), targets(1, 2))]


def _smooth_samples(rng):
    weight = np.array([0.2, 1.0, 3.0])
    return [
        Sample(rng.normal(size=(5, 3)), np.array([1, -100, 0, 2, -100]), label_smoothing=0.1),
        Sample(rng.normal(size=(2, 3, 5)), rng.integers(0, 3, size=(2, 5)), label_smoothing=0.2, weight=weight),
        Sample(rng.normal(size=(5, 3)), np.array([1, -100, 0, 2, -100]), label_smoothing=0.3, weight=weight,
        reduction="none"),
        Sample(rng.normal(size=(5, 3)), rng.dirichlet(np.ones(3), size=5), check=(0,)),
        Sample(rng.normal(size=(5, 3)), rng.dirichlet(np.ones(3), size=5), check=(0,), weight=weight,
        label_smoothing=0.1, reduction="sum"),
        Sample(rng.normal(size=(2, 3, 5)), rng.dirichlet(np.ones(3), size=(2, 5)).swapaxes(1, 2), check=(0,),
        reduction="none")]


def _cross_entropy_of_parts(logits, targets, *, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0,
                            axis=None):
    axis = (1 if logits.ndim > 1 else 0) if axis is None else axis
    q, count = _target_weights(logits.data, np.asarray(targets), weight, ignore_index, label_smoothing, axis)
    loss = OPS["negative"](OPS["sum"](OPS["multiply"](OPS["log_softmax"](logits, axis=axis), q), axis=axis))
    if reduction == "none":
        return loss
    total = OPS["sum"](loss)
    return total if reduction == "sum" else OPS["divide"](total, np.asarray(count, logits.dtype))


@op(samples=lambda rng: _class_samples(rng) + _smooth_samples(rng), torch="nn.functional.cross_entropy",
    fuses=("log_softmax",), composition=_cross_entropy_of_parts)
def cross_entropy(logits, targets, *, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0, axis=None):
    """-log softmax(logits) at the target class.

    Parameters
    ----------
    logits : (B, V), (B, V, ...) or (V,)
        Unnormalised. The classes are on axis 1 as in torch, unless `axis` says otherwise: (B, T, V) with axis=-1.
    targets : integers (B, ...), or probabilities of the shape of `logits`
        Probabilities get no gradient.
    weight : array (V,), optional
        One factor a class. The mean is then divided by the sum of the factors of the targets.
    ignore_index : int
        Targets of this value have no loss, and do not count in the mean.
    reduction : "mean", "sum" or "none"
    label_smoothing : float
        The target is 1 - a + a/V at the class and a/V elsewhere (Szegedy et al. 2016, section 7).
    axis : int, optional

    Raises
    ------
    IndexError
        If a target is out of range.
    ValueError
        If the shapes do not fit together.
    """
    axis = (1 if logits.ndim > 1 else 0) if axis is None else axis
    if reduction not in _REDUCTIONS:
        raise ValueError(f"cross_entropy: reduction is {reduction!r}; expected 'mean', 'sum' or 'none'")
    if weight is None and targets.dtype.kind in "iu":
        last = axis == -1 or axis == logits.ndim - 1
        if not last:
            logits = np.moveaxis(logits, axis, -1)
        loss, lse = kernels.cross_entropy(logits, targets, ignore_index, label_smoothing)

        scale, y = 1.0, loss  # the reduction in line: this is the loss of every language model
        if reduction == "mean":
            count = int(np.count_nonzero(targets != ignore_index))
            scale = 1 / count if count else math.nan
        if reduction != "none":
            y = np.asarray(np.add.reduce(loss, axis=None) * scale)

        def d_logits(g):
            if reduction != "none":
                g = np.full(targets.shape, g * scale, dtype=logits.dtype)
            d = kernels.cross_entropy_backward(g, logits, targets, lse, ignore_index, label_smoothing)
            return d if last else np.moveaxis(d, -1, axis)

        return y, (d_logits, None)

    targets, count = _target_weights(logits, targets, weight, ignore_index, label_smoothing, axis)
    y = kernels.log_softmax(logits, axis)

    def d_logits(g):
        return kernels.log_softmax_backward(np.expand_dims(g, axis) * -targets, y, axis)

    return _reduced("cross_entropy", -np.sum(targets * y, axis=axis), reduction, (d_logits, None), count)


def _target_weights(logits, targets, weight, ignore_index, label_smoothing, axis):
    """What log softmax is weighted with, of the shape of the logits; and what the mean is divided by."""
    V, dtype = logits.shape[axis], logits.dtype
    weight = None if weight is None else np.asarray(weight, dtype=dtype)
    if weight is not None and weight.shape != (V,):
        raise ValueError(f"weight has shape {weight.shape}; expected ({V},), one factor for each class")
    if targets.dtype.kind == "f":
        if targets.shape != logits.shape:
            raise ValueError(f"target probabilities have shape {targets.shape}; expected {logits.shape}, as the logits")
        q = np.moveaxis(targets, axis, -1)
        count = q.size // max(V, 1)
    else:
        expected = np.moveaxis(logits, axis, -1).shape[:-1]
        keep = targets != ignore_index
        if targets.shape != expected:
            raise ValueError(f"targets have shape {targets.shape}; expected {expected}, one class a row of logits")
        if ((targets < 0) | (targets >= V))[keep].any():
            raise IndexError(f"a target is out of range for {V} classes; expected 0 .. {V - 1}, or {ignore_index}")
        q = (np.where(keep, targets, -1)[..., None] == np.arange(V)).astype(dtype)
        count = keep.sum() if weight is None else (q * weight).sum()
    if label_smoothing:
        smooth = label_smoothing / V
        q = q * (1 - label_smoothing) + (smooth if targets.dtype.kind == "f" else np.where(keep[..., None], smooth, 0))
    q = (q if weight is None else q * weight).astype(dtype, copy=False)
    return np.moveaxis(q, -1, axis), count


@op(samples=_class_samples, torch="nn.functional.nll_loss")
def nll_loss(log_probs, targets, *, weight=None, ignore_index=-100, reduction="mean", axis=None):
    """-log_probs at the target class; arguments as in `cross_entropy`, which takes logits instead."""
    axis = (1 if log_probs.ndim > 1 else 0) if axis is None else axis
    q, count = _target_weights(log_probs, targets, weight, ignore_index, 0.0, axis)
    loss = -np.sum(np.where(q > 0, log_probs, 0) * q, axis=axis)
    return _reduced("nll_loss", loss, reduction, (lambda g: np.expand_dims(g, axis) * -q, None), count)


@op(samples=lambda rng: [
    Sample(rng.normal(size=(5, 3)), rng.integers(0, 3, size=5)),
    Sample(rng.normal(size=(5, 7)), rng.integers(0, 7, size=5), reduction="none"),
    Sample(rng.normal(size=(5, 3)), rng.integers(0, 3, size=5), margin=0.3, reduction="sum"),
    Sample(rng.normal(size=(5, 3)), rng.integers(0, 3, size=5), p=2), Sample(rng.normal(size=(1, 3)), np.array([2])),
    Sample(rng.normal(size=(0, 3)), np.zeros(0, int), reduction="sum")],
    torch="nn.functional.multi_margin_loss")
def multi_margin_loss(x, targets, *, p=1, margin=1.0, reduction="mean"):
    """The multi-class hinge loss: sum over c != t of max(0, margin - x_t + x_c)^p / V, for each row of (B, V)."""
    rows, V = np.arange(len(x)), x.shape[1]
    gap = margin - x[rows, targets][:, None] + x
    gap[rows, targets] = 0
    gap = np.maximum(gap, 0)

    def d_x(g):
        d = g[:, None] * (p * gap ** (p - 1) * (gap > 0) / V).astype(x.dtype, copy=False)
        d[rows, targets] -= d.sum(axis=1)
        return d

    return _reduced("multi_margin_loss", (gap**p).sum(axis=1) / V, reduction, (d_x, None))


# ---- yes or no -----------------------------------------------------------------------------------------------------


@op(samples=lambda rng: [
    Sample(rng.normal(size=(2, 3)), rng.random((2, 3))), Sample(rng.normal(size=(2, 1, 3)), rng.random((2, 1, 3))),
    Sample(rng.normal(size=(7,)), rng.random(7), reduction="none"),
    Sample(rng.normal(size=(2, 3)), rng.random((2, 3)), weight=rng.random(3), pos_weight=rng.random(3),
    reduction="sum"),
    Sample(rng.normal(size=(0, 3)), rng.random((0, 3)), reduction="sum"),
    Sample(rng.normal(size=(5, 2)).T, rng.random((2, 5)))],
    torch="nn.functional.binary_cross_entropy_with_logits")
def bce_with_logits(logits, targets, *, weight=None, pos_weight=None, reduction="mean"):
    """-(t log s + (1 - t) log(1 - s)) with s = sigmoid(logits), without overflow.

    Parameters
    ----------
    logits, targets : (...)
        Of one shape; targets between 0 and 1.
    weight : array, optional
        A factor, broadcast to the loss.
    pos_weight : array, optional
        A factor for the part of t = 1.
    """
    _same_shape("bce_with_logits", logits, targets)
    factor = 1 if weight is None else np.asarray(weight, dtype=logits.dtype)
    pos = 1 if pos_weight is None else np.asarray(pos_weight, dtype=logits.dtype)
    off = np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0)  # -log(1 - s); and -log s is this minus the logits
    loss = factor * (pos * targets * (off - logits) + (1 - targets) * off)

    def d_logits(g):
        s = kernels.sigmoid(logits)
        return g * factor * ((1 - targets) * s - pos * targets * (1 - s))

    return _reduced("bce_with_logits", loss, reduction, (d_logits, lambda g: g * factor * (pos * (off - logits) - off)))


@op(samples=lambda rng: [
    Sample(draw(rng, s, 0.1, 0.9), draw(rng, s, 0, 1), reduction=r) for s, r in [
        ((2, 3), "mean"), ((7,), "none"), ((2, 1, 5), "sum"),
        ((0, 3), "sum")]], torch="nn.functional.binary_cross_entropy")
def binary_cross_entropy(probs, targets, *, reduction="mean"):
    """-(t log p + (1 - t) log(1 - p)); the logarithms are not allowed below -100, as in torch."""
    _same_shape("binary_cross_entropy", probs, targets)
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(probs), -100), np.maximum(np.log1p(-probs), -100)

    def d_probs(g):
        return g * (probs - targets) / np.maximum(probs * (1 - probs), 1e-12)

    return _reduced("binary_cross_entropy", -(targets * yes + (1 - targets) * no), reduction,
                    (d_probs, lambda g: g * (no - yes)))


@op(samples=lambda rng: [
    Sample(np.log(draw(rng, s, 0.1, 0.9)), t(draw(rng, s, 0.1, 0.9)), reduction=r, log_target=t is np.log) for s, r,
    t in [
        ((2, 3), "mean", np.array), ((2, 3), "batchmean", np.array), ((7,), "none", np.log),
        ((2, 1, 5), "sum", np.log),
        ((0, 3), "sum", np.array)]], torch="nn.functional.kl_div")
def kl_div(log_probs, targets, *, reduction="mean", log_target=False):
    """targets * (log targets - log_probs): summed over classes, the divergence KL(targets || probs).

    Parameters
    ----------
    log_probs : (B, ...)
        Logarithms.
    targets : (B, ...)
        Probabilities, or their logarithms with `log_target`.
    reduction : "mean", "batchmean", "sum" or "none"
        "mean" divides by the number of elements, as in torch; "batchmean", by the length of the first axis, is the
        divergence in the mathematical sense.
    """
    _same_shape("kl_div", log_probs, targets)
    if log_target:
        t, log_t = np.exp(targets), targets
    else:
        t, log_t = targets, np.log(np.where(targets > 0, targets, 1))
    loss = t * (log_t - log_probs)

    def d_targets(g):
        return g * (t + loss) if log_target else g * np.where(targets > 0, 1 + log_t - log_probs, 0)

    count = len(log_probs) if reduction == "batchmean" else None
    reduction = "mean" if reduction == "batchmean" else reduction
    return _reduced("kl_div", loss, reduction, (lambda g: -g * t, d_targets), count)


# ---- distances -----------------------------------------------------------------------------------------------------


def _pairs(**static):
    """Pairs of one shape, with differences away from 0 and from 1 and 0.4 on either side."""
    def samples(rng):
        found = []
        for shape, reduction in [((2, 3), "mean"), ((7,), "none"), ((2, 1, 5), "sum"), ((0, 3), "sum")]:
            b = rng.normal(size=shape)
            found.append(Sample(b + draw(rng, shape, -2, 2, [-1, -0.4, 0, 0.4, 1]), b, reduction=reduction, **static))
        b = rng.normal(size=(3, 5))
        return found + [Sample((b.T + draw(rng, (5, 3), -2, 2, [-1, -0.4, 0, 0.4, 1])), b.T, **static)]

    return samples


@op(samples=_pairs(), torch="nn.functional.mse_loss")
def mse_loss(x, target, *, reduction="mean"):
    """(x - target)^2; x and target have one shape."""
    _same_shape("mse_loss", x, target)
    d = x - target
    return _reduced("mse_loss", d * d, reduction, (lambda g: g * d * 2, lambda g: g * d * -2))


@op(samples=_pairs(), torch="nn.functional.l1_loss")
def l1_loss(x, target, *, reduction="mean"):
    """|x - target|; x and target have one shape."""
    _same_shape("l1_loss", x, target)
    d = x - target
    return _reduced("l1_loss", np.abs(d), reduction, (lambda g: g * np.sign(d), lambda g: -g * np.sign(d)))


@op(samples=lambda rng: _pairs()(rng) + _pairs(beta=0.4)(rng), torch="nn.functional.smooth_l1_loss")
def smooth_l1_loss(x, target, *, reduction="mean", beta=1.0):
    """d^2 / (2 beta) where |d| < beta, else |d| - beta/2, with d = x - target. Source: Girshick 2015, equation 3."""
    _same_shape("smooth_l1_loss", x, target)
    d = x - target
    near = np.abs(d) < beta
    slope = choose(near, d / (beta or 1), np.sign(d))
    loss = choose(near, 0.5 * d * slope, np.abs(d) - 0.5 * beta)
    return _reduced("smooth_l1_loss", loss, reduction, (lambda g: g * slope, lambda g: -g * slope))


@op(samples=lambda rng: _pairs()(rng) + _pairs(delta=0.4)(rng), torch="nn.functional.huber_loss")
def huber_loss(x, target, *, reduction="mean", delta=1.0):
    """d^2 / 2 where |d| < delta, else delta (|d| - delta/2), with d = x - target. Source: Huber 1964."""
    _same_shape("huber_loss", x, target)
    d = x - target
    slope = np.clip(d, -delta, delta)
    return _reduced("huber_loss", slope * (d - 0.5 * slope), reduction, (lambda g: g * slope, lambda g: -g * slope))


# ---- margins -------------------------------------------------------------------------------------------------------


def _signs(rng, *shape):
    return rng.choice([-1.0, 1.0], size=shape)


@op(samples=lambda rng: [
    Sample(draw(rng, s, -2, 2, [-1, 1, 0.3]), _signs(rng, *s), margin=m, reduction=r, check=(0,)) for s, m, r in [
        ((2, 3), 1.0, "mean"), ((7,), 0.3, "none"), ((2, 1, 5), 1.0, "sum"), ((0, 3), 1.0, "sum")]],
    torch="nn.functional.hinge_embedding_loss")
def hinge_embedding_loss(x, y, *, margin=1.0, reduction="mean"):
    """x where y is 1, max(0, margin - x) where y is -1; x is a distance. Labels y have no gradient."""
    pull, push = y == 1, (y == -1) & (x < margin)
    loss = np.where(pull, x, np.where(push, margin - x, 0))
    return _reduced("hinge_embedding_loss", loss, reduction, (lambda g: np.where(pull, g, np.where(push, -g, 0)), None))


@op(samples=lambda rng: [
    Sample(draw(rng, s, -2, 0), draw(rng, s, 0.4, 2), _signs(rng, *s), margin=m, reduction=r, check=(0, 1)) for s, m,
    r in [
        ((2, 3), 0.0, "mean"), ((7,), 0.3, "none"), ((2, 1, 5), 0.0, "sum"), ((0, 3), 0.0, "sum")]],
    torch="nn.functional.margin_ranking_loss")
def margin_ranking_loss(a, b, y, *, margin=0.0, reduction="mean"):
    """max(0, margin - y (a - b)): y = 1 says that a shall be larger, y = -1 that b shall. Labels y have no gradient."""
    loss = margin - y * (a - b)
    on = np.where(loss > 0, y, 0).astype(loss.dtype, copy=False)
    return _reduced("margin_ranking_loss", np.maximum(loss, 0), reduction, (lambda g: -g * on, lambda g: g * on, None))


@op(samples=lambda rng: [
    Sample(rng.normal(size=s), rng.normal(size=s), rng.normal(size=s), margin=m, reduction=r) for s, m, r in [
        ((7, 3), 1.0, "mean"), ((5, 2), 0.3, "none"), ((2, 1, 5), 2.0, "sum"), ((0, 3), 1.0, "sum")]],
    torch="nn.functional.triplet_margin_loss")
def triplet_margin_loss(anchor, positive, negative, *, margin=1.0, reduction="mean"):
    """max(0, |anchor - positive| - |anchor - negative| + margin), lengths along the last axis.

    As in torch, 1e-6 is added to each difference. Source: Schroff et al. 2015, equation 2.
    """
    to_p, to_n = anchor - positive + 1e-6, anchor - negative + 1e-6
    near = np.sqrt(np.add.reduce(to_p * to_p, axis=-1))
    far = np.sqrt(np.add.reduce(to_n * to_n, axis=-1))
    loss = near - far + margin
    on = loss > 0

    def d_near(g):
        return (np.where(on, g, 0) / near)[..., None] * to_p

    def d_far(g):
        return (np.where(on, g, 0) / far)[..., None] * to_n

    return _reduced("triplet_margin_loss", np.where(on, loss, 0), reduction,
                    (lambda g: d_near(g) - d_far(g), lambda g: -d_near(g), d_far))


@op(samples=lambda rng: [
    Sample(rng.normal(size=s), rng.normal(size=s), _signs(rng, *s[:-1]), margin=m, reduction=r, check=(0, 1))
    for s, m, r in [((7, 3), 0.0, "mean"), ((5, 2), 0.3, "none"), ((3,), 0.0, "sum"), ((0, 3), 0.0, "sum")]],
    torch="nn.functional.cosine_embedding_loss")
def cosine_embedding_loss(a, b, y, *, margin=0.0, reduction="mean"):
    """1 - cos(a, b) where y is 1, max(0, cos(a, b) - margin) where y is -1.

    As in torch, 1e-12 is added to the squared lengths.

    Parameters
    ----------
    a, b : (B, D) or (D,)
    y : (B,) or ()
        Labels 1 and -1; no gradient.
    """
    square_a, square_b = np.add.reduce(a * a, axis=-1) + 1e-12, np.add.reduce(b * b, axis=-1) + 1e-12
    cos = np.add.reduce(a * b, axis=-1) / np.sqrt(square_a * square_b)
    pull, push = np.equal(y, 1), np.equal(y, -1) & (cos > margin)
    loss = np.where(pull, 1 - cos, np.where(push, cos - margin, 0))

    def toward(g, mine, other, square):
        g = np.where(pull, -g, np.where(push, g, 0))
        return (g / np.sqrt(square_a * square_b))[..., None] * other - (g * cos / square)[..., None] * mine

    return _reduced("cosine_embedding_loss", loss, reduction,
                    (lambda g: toward(g, a, b, square_a), lambda g: toward(g, b, a, square_b), None))


def _same_shape(name, x, target):
    if x.shape != target.shape:
        raise ValueError(f"{name}: the input has shape {x.shape}, the target {target.shape}; expected the same")
