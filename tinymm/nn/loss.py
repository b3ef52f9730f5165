"""Losses as modules; the functions of the same meaning are ops: `tinymm.cross_entropy` and so on."""

from tinymm import ops
from tinymm.nn.module import Module


class _Loss(Module):
    def __init__(self, reduction="mean"):
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(f"{type(self).__name__}: reduction is {reduction!r}; expected 'none', 'mean' or 'sum'")
        self.reduction = reduction

    def extra_repr(self):
        return f"reduction={self.reduction!r}"


class CrossEntropyLoss(_Loss):
    """-log softmax(logits)[target]: logits (B, V) or (B, V, ...) and integer targets (B) or (B, ...).

    Parameters
    ----------
    weight : ndarray (V,), optional
        A factor for each class; "mean" then divides by the sum of the targets' factors.
    ignore_index : int
        Targets of this value count for nothing.
    reduction : str
        "mean" over the targets that count, "sum", or "none".
    label_smoothing : float
        This share of the target's probability is spread over all classes.
    axis : int, optional
        Where the classes are, if not on axis 1: -1 for logits (B, T, V).
    """

    def __init__(self, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0, *, axis=None):
        super().__init__(reduction)
        self.weight, self.ignore_index, self.label_smoothing, self.axis = weight, ignore_index, label_smoothing, axis

    def forward(self, logits, target):
        return ops.cross_entropy(logits, target, weight=self.weight, ignore_index=self.ignore_index,
                                 reduction=self.reduction, label_smoothing=self.label_smoothing, axis=self.axis)


class MSELoss(_Loss):
    """(input - target)^2.

    Parameters
    ----------
    reduction : str
        "mean" over all numbers, "sum", or "none".
    """

    def forward(self, input, target):
        return ops.mse_loss(input, target, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """-(t log p + (1 - t) log(1 - p)) with p = sigmoid(logits), computed without overflow.

    Parameters
    ----------
    weight : ndarray, optional
        A factor for each number; broadcast.
    reduction : str
        "mean" over all numbers, "sum", or "none".
    pos_weight : ndarray, optional
        A factor on the first term, for each class; broadcast.
    """

    def __init__(self, weight=None, reduction="mean", pos_weight=None):
        super().__init__(reduction)
        self.weight, self.pos_weight = weight, pos_weight

    def forward(self, logits, target):
        return ops.bce_with_logits(logits, target, weight=self.weight, pos_weight=self.pos_weight,
                                   reduction=self.reduction)
