"""Activations as modules, for `Sequential`."""

from tinymm import ops
from tinymm.nn.module import Module


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x):
        return ops.relu(x)


class Tanh(Module):
    """tanh x."""

    def forward(self, x):
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x):
        return ops.sigmoid(x)


class GELU(Module):
    """x times the probability that a standard normal number is below x.

    Parameters
    ----------
    approximate : str
        "none" computes it with erf; "tanh" is the approximation that GPT-2 uses.

    Source: Hendrycks and Gimpel 2016, section 2.
    """

    def __init__(self, approximate="none"):
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: unknown approximate {approximate!r}; expected 'none' or 'tanh'")
        self.approximate = approximate

    def forward(self, x):
        return ops.gelu(x, approximate=self.approximate)

    def extra_repr(self):
        return f"approximate={self.approximate!r}"
