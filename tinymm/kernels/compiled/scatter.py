"""Rows by index, compiled; what each computes stands in `tinymm.kernels.plain.scatter`."""

import numpy as np
from numba import prange

from .._arrays import integers
from ..plain import scatter as plain
from ..plain.scatter import _checked, _in_range, _table
from ._jit import jit

SERIAL = 32768  # up to so many elements, waking a second thread costs more than it saves
COLUMNS = 64  # columns that one thread owns when rows are added up


def gather_rows(table, index):
    table, index = _table(table), integers(index)
    V, D = table.shape
    out = np.empty((*index.shape, D), table.dtype)
    if _gather(table, index.ravel(), out.reshape(index.size, D)):
        _in_range(index, V)  # raises
    return out


def scatter_add_rows(out, index, rows):
    index, rows = _checked(out, index, rows)
    _in_range(index, len(out))
    _scatter_add(out, index.ravel(), rows.reshape(index.size, out.shape[1]))
    return out


@jit
def _gather_block(table, index, out):
    """Returns how many indices are out of range."""
    bad = 0
    for i in range(index.shape[0]):
        k = index[i]
        if k < 0 or k >= table.shape[0]:
            bad += 1
        else:
            to, row = out[i], table[k]
            for j in range(to.shape[0]):
                to[j] = row[j]
    return bad


@jit(parallel=True)
def _gather(table, index, out):
    n, D = out.shape
    bad = 0
    if n * D <= SERIAL:
        bad += _gather_block(table, index, out)
    else:
        size = max(1, 16384 // D)
        for b in prange((n + size - 1) // size):
            bad += _gather_block(table, index[b * size : (b + 1) * size], out[b * size : (b + 1) * size])
    return bad


@jit
def _scatter_add_columns(out, index, rows, first, last):
    for i in range(index.shape[0]):
        to, row = out[index[i], first:last], rows[i, first:last]
        for j in range(to.shape[0]):
            to[j] += row[j]


@jit(parallel=True)
def _scatter_add(out, index, rows):
    """Each thread owns some columns of the table: every sum is made by one thread, in the order of the index."""
    n, D = rows.shape
    if n * D <= SERIAL or D < 2 * COLUMNS:
        _scatter_add_columns(out, index, rows, 0, D)
    else:
        for b in prange((D + COLUMNS - 1) // COLUMNS):
            _scatter_add_columns(out, index, rows, b * COLUMNS, min(D, (b + 1) * COLUMNS))


for _name in plain.__all__:
    globals()[_name].__doc__ = getattr(plain, _name).__doc__
