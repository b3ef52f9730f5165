"""A table of vectors, one for each index."""

import numpy as np

from tinymm import ops
from tinymm.autograd.shapes import shapes
from tinymm.autograd.tensor import no_grad
from tinymm.nn import init
from tinymm.nn.module import Module, Parameter


class Embedding(Module):
    """Row i of the table for each index i: integers of any shape (...) -> (..., embedding_dim).

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows and columns of the table.
    padding_idx : int, optional
        A row that starts as 0 and never gets a gradient. A negative one counts from the end.
    dtype : optional
        float32 or float64.

    Attributes
    ----------
    weight : Tensor (num_embeddings, embedding_dim)
        Starts standard normal.

    Raises
    ------
    ValueError
        If `padding_idx` is no row of the table.
    """

    def __init__(self, num_embeddings, embedding_dim, padding_idx=None, *, dtype=np.float32):
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"Embedding: padding_idx {padding_idx} is outside the {num_embeddings} rows of the table")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(np.empty((num_embeddings, embedding_dim), dtype))
        self.reset_parameters()

    def reset_parameters(self):
        """Draw the first values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    @shapes("... -> ... D")
    def forward(self, indices):
        return ops.embedding(indices, self.weight, padding_idx=self.padding_idx)

    def extra_repr(self):
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
