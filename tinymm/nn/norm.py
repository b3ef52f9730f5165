"""Normalisation."""

import math

import numpy as np

from tinymm import ops
from tinymm.autograd.shapes import shapes
from tinymm.nn import init
from tinymm.nn.module import Module, Parameter


class LayerNorm(Module):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the last axes. The variance is the biased one.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The sizes of the axes to normalise over.
    eps : float
    elementwise_affine : bool
        Whether there are `weight` and `bias`.
    bias : bool
        Whether there is a `bias` beside `weight`.
    dtype : optional
        float32 or float64.

    Attributes
    ----------
    weight, bias : Tensor (*normalized_shape) or None
        Start as 1 and 0.

    Source: Ba, Kiros, Hinton 2016, equation 3.
    """

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, *, dtype=np.float32):
        shape = (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.weight = Parameter(np.empty(shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(np.empty(shape, dtype)) if elementwise_affine and bias else None
        self.reset_parameters()

    def reset_parameters(self):
        """Put `weight` to 1 and `bias` to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    @shapes("... D -> ... D")
    def forward(self, x):
        if x.shape[-len(self.normalized_shape):] != self.normalized_shape:
            raise ValueError(f"LayerNorm: input of shape {x.shape}; expected it to end in {self.normalized_shape}")
        if self.weight is not None or len(self.normalized_shape) == 1:
            return ops.layer_norm(x, self.weight, self.bias, eps=self.eps)
        rows = x.reshape(*x.shape[:-len(self.normalized_shape)], math.prod(self.normalized_shape))
        return ops.layer_norm(rows, eps=self.eps).reshape(x.shape)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps:g}, elementwise_affine={self.elementwise_affine}"
