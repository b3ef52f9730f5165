"""Rows by index, in plain NumPy: the embedding lookup and its gradient."""

import numpy as np

from .._arrays import FLOATS, floats, integers

__all__ = ["gather_rows", "scatter_add_rows"]


def gather_rows(table, index):
    """table[index]: one row of the table for each index.

    Parameters
    ----------
    table : array (V, D)
    index : integer array (...)
        Each in 0 .. V-1; negative ones do not count from the end.

    Returns
    -------
    array (..., D)

    Raises
    ------
    IndexError
        If an index is out of range.
    """
    table, index = _table(table), integers(index)
    _in_range(index, len(table))
    return table[index]


def scatter_add_rows(out, index, rows):
    """out[index] += rows, in place; where an index comes several times, all of its rows are added, in their order.

    Parameters
    ----------
    out : array (V, D)
        Contiguous and writeable.
    index : integer array (...)
    rows : array (..., D)
        Of the dtype of `out`.

    Returns
    -------
    out

    Raises
    ------
    IndexError
        If an index is out of range.
    """
    index, rows = _checked(out, index, rows)
    _in_range(index, len(out))
    np.add.at(out, index.reshape(-1), rows.reshape(index.size, out.shape[1]))
    return out


def _table(table):
    table = floats(table, "table")
    if table.ndim != 2:
        raise ValueError(f"table has shape {table.shape}; expected two dimensions, (V, D)")
    return table


def _checked(out, index, rows):
    index, rows = integers(index), floats(rows, "rows")
    if not isinstance(out, np.ndarray) or out.dtype not in FLOATS or out.ndim != 2:
        raise TypeError("out must be a two-dimensional NumPy array of float32 or float64: it is added to in place")
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError("out is not a contiguous, writeable array; rows are added in place. Try np.array(out)")
    if rows.dtype != out.dtype or rows.shape != (*index.shape, out.shape[1]):
        raise ValueError(
            f"rows is {rows.dtype} {rows.shape}; expected {out.dtype} {(*index.shape, out.shape[1])}, "
            f"one row of out {out.shape} for each index {index.shape}"
        )
    return index, rows


def _in_range(index, V):
    if index.size and (index.min() < 0 or index.max() >= V):
        wrong = index[(index < 0) | (index >= V)].flat[0]
        raise IndexError(f"index {wrong} is out of range for {V} rows; expected 0 .. {V - 1}")
