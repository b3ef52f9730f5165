"""Dropout."""

from tinymm import ops
from tinymm.autograd.shapes import shapes
from tinymm.nn.module import Module


class Dropout(Module):
    """While training, each number becomes 0 with probability `p`, else is divided by 1 - p; otherwise unchanged.

    Draws from the generator of `tinymm.manual_seed`.

    Parameters
    ----------
    p : float
        On [0, 1].

    Raises
    ------
    ValueError
        If `p` is no probability.

    Source: Srivastava et al. 2014, in the inverted form.
    """

    def __init__(self, p=0.5):
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is {p}; expected a probability, 0 to 1")
        self.p = p

    @shapes("... -> ...")
    def forward(self, x):
        return ops.dropout(x, p=self.p) if self.training and self.p else x

    def extra_repr(self):
        return f"p={self.p}"
