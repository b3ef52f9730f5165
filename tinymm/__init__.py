"""tinymm: multimodal learning from the chain rule up, in NumPy and Numba.

>>> import tinymm as mm
>>> x = mm.Tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
array([2., 4.])
"""

from tinymm import autograd, kernels, nn, ops, optim, train
from tinymm.autograd import *  # noqa: F403
from tinymm.ops import *  # noqa: F403

__version__ = "0.1.0"
__all__ = [*autograd.__all__, *ops.__all__, "kernels", "nn", "optim", "train"]


def __getattr__(name):
    if name == "use":  # it belongs to the course, which is imported when it is wanted
        from tinymm.learn.swap import use

        return use
    raise AttributeError(f"module 'tinymm' has no attribute {name!r}")
