"""All ops: each a NumPy function and its gradient, side by side (`tinymm.autograd.op` says how)."""

from tinymm.autograd.tensor import OPS
from tinymm.ops import linalg, loss, math, nn, reduce, shape  # noqa: F401  (each enters its ops into OPS)

globals().update(OPS)
einsum = linalg.einsum  # its subscripts come first

__all__ = sorted(OPS)
