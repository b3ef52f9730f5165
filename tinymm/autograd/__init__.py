"""The engine: tensors, the form of an op, and backward.

Read in this order: `tensor.py` (what a Tensor is), `op.py` (how a function becomes an op), `engine.py` (the walk).
"""

from tinymm.autograd.engine import backward, checkpoint, detect_anomaly, unbroadcast
from tinymm.autograd.gradcheck import GradcheckError, KinkWarning, gradcheck
from tinymm.autograd.op import Sample, op
from tinymm.autograd.random import manual_seed
from tinymm.autograd.tensor import OPS, Tensor, enable_grad, no_grad

__all__ = ["OPS", "GradcheckError", "KinkWarning", "Sample", "Tensor", "backward", "checkpoint", "detect_anomaly",
           "enable_grad", "gradcheck", "manual_seed", "no_grad", "op", "unbroadcast"]
