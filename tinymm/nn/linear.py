"""The linear layer."""

import math

import numpy as np

from tinymm import ops
from tinymm.autograd.shapes import shapes
from tinymm.nn import init
from tinymm.nn.module import Module, Parameter


class Linear(Module):
    """y = x W^T + b, along the last axis: (..., in_features) -> (..., out_features).

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    dtype : optional
        float32 or float64.

    Attributes
    ----------
    weight : Tensor (out_features, in_features)
    bias : Tensor (out_features,) or None
        Both start uniform on +-1/sqrt(in_features), as torch's do.

    Raises
    ------
    ValueError
        If a size is negative.
    """

    def __init__(self, in_features, out_features, bias=True, *, dtype=np.float32):
        if in_features < 0 or out_features < 0:
            raise ValueError(f"Linear: sizes ({in_features}, {out_features}) must not be negative")
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(np.empty((out_features, in_features), dtype))
        self.bias = Parameter(np.empty(out_features, dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self):
        """Draw the first values."""
        bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    @shapes("... D -> ... E")
    def forward(self, x):
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self):
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"
