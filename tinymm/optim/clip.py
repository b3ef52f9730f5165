"""Gradient clipping, in place, between `backward` and ``optimizer.step()``."""

import math

import numpy as np

from tinymm import kernels
from tinymm.autograd.tensor import Tensor


def clip_grad_norm_(parameters, max_norm, norm_type=2.0):
    """Scale all gradients by one factor, so that the norm of all of them together is at most `max_norm`.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
    max_norm : float
    norm_type : float
        2 by default; ``math.inf`` for the largest absolute value.

    Returns
    -------
    float
        The norm before clipping. A norm that is not finite is returned, and the gradients then are left as they are.

    Source: Pascanu et al. 2013, algorithm 1; torch adds 1e-6 to the norm that it divides by, and so does this.
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_: max_norm is {max_norm}; expected 0 or more")
    gradients = _gradients(parameters)
    if norm_type == 2:
        norm = math.sqrt(sum(kernels.sum_of_squares(g) for g in gradients))
    elif norm_type == math.inf:
        norm = max((float(np.abs(g).max(initial=0)) for g in gradients), default=0.0)
    else:
        norm = sum(float((np.abs(g).astype(np.float64) ** norm_type).sum()) for g in gradients) ** (1 / norm_type)
    factor = max_norm / (norm + 1e-6)
    if factor < 1 and math.isfinite(norm):
        for g in gradients:
            g *= g.dtype.type(factor)
    return norm


def clip_grad_value_(parameters, clip_value):
    """Clip each number of each gradient to [-clip_value, clip_value]."""
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value_: clip_value is {clip_value}; expected 0 or more")
    for g in _gradients(parameters):
        np.clip(g, -clip_value, clip_value, out=g)


def _gradients(parameters):
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]
