"""Matrix products in plain NumPy, from three loops to the one line that everybody uses.

`matmul` is the kernel of the library. The others are the rungs of the ladder in lesson 02: the same product, each time
with one more idea. As plain Python they are only fit for small matrices; their compiled twins are the fast ones.
"""

import numpy as np

__all__ = ["matmul", "matmul_loops", "matmul_ikj", "matmul_blocked", "matmul_unrolled", "matmul_tiled"]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def matmul(a, b, transpose_a=False, transpose_b=False, bias=None):
    """Matrix product over the last two axes: (..., m, k) @ (..., k, n) -> (..., m, n).

    Leading axes broadcast as in `numpy.matmul`. Vectors are not taken: give them a second axis.

    Parameters
    ----------
    a : ndarray, (..., m, k), or (..., k, m) with `transpose_a`
        float32 or float64.
    b : ndarray, (..., k, n), or (..., n, k) with `transpose_b`
    transpose_a, transpose_b : bool
        Swap the last two axes of that operand, without a copy. The gradients of ``c = a @ b`` are
        ``d_a = matmul(d_c, b, transpose_b=True)`` and ``d_b = matmul(a, d_c, transpose_a=True)``.
    bias : ndarray, (n,), optional
        Added to every row.

    Returns
    -------
    ndarray, (..., m, n)
        A new array, float64 if one of the inputs is.

    Raises
    ------
    TypeError
        If an input is neither float32 nor float64.
    ValueError
        If the shapes do not fit together.
    """
    a, b, bias = check(a, b, transpose_a, transpose_b, bias)
    if transpose_a:
        a = a.swapaxes(-1, -2)
    if transpose_b:
        b = b.swapaxes(-1, -2)
    c = np.matmul(a, b)
    if bias is not None:
        c += bias
    return c


def matmul_loops(a, b):
    """c[i, j] = sum over p of a[i, p] b[p, j], as three loops in the order of the definition: (m, k), (k, n) -> (m, n).

    The inner loop walks down a column of `b`: each number that it reads lies in another line of the cache.
    """
    a, b = check_2d(a, b)
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), a.dtype)
    for i in range(m):
        for j in range(n):
            total = a.dtype.type(0)
            for p in range(k):
                total += a[i, p] * b[p, j]
            c[i, j] = total
    return c


def matmul_ikj(a, b):
    """The same three loops, the last two exchanged: the inner one walks along rows, and vectorises."""
    a, b = check_2d(a, b)
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), a.dtype)
    for i in range(m):
        for p in range(k):
            c[i] += a[i, p] * b[p]
    return c


def matmul_blocked(a, b, block=64):
    """Block by block, so that the three blocks at work stay in the nearest cache."""
    a, b = check_2d(a, b)
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), a.dtype)
    for i in range(0, m, block):
        for p in range(0, k, block):
            for j in range(0, n, block):
                c[i : i + block, j : j + block] += a[i : i + block, p : p + block] @ b[p : p + block, j : j + block]
    return c


def matmul_unrolled(a, b):
    """Four rows of `a` and four rows of `b` at a time: what has been loaded is used four times, not once."""
    a, b = check_2d(a, b)
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), a.dtype)
    for i in range(0, m, 4):
        for p in range(0, k, 4):
            c[i : i + 4] += a[i : i + 4, p : p + 4] @ b[p : p + 4]
    return c


def matmul_tiled(a, b, transpose_a=False, transpose_b=False):
    """Packed panels and a tile of the result that stays in registers: (m, k) @ (k, n) -> (m, n), without a BLAS.

    This twin shows the order of the work: a strip of `a` and a strip of `b` are copied so that each is read from front
    to back, and a tile of the result is a sum of outer products of what the two strips hold at step p.

    Source: Goto and van de Geijn, Anatomy of high-performance matrix multiplication, ACM TOMS 34(3), 2008.
    """
    a, b = check_2d(a, b, transpose_a, transpose_b)
    a = a.T if transpose_a else a
    b = b.T if transpose_b else b
    (m, k), n = a.shape, b.shape[1]
    rows, columns = 12, 32
    c = np.zeros((m, n), a.dtype)
    for j in range(0, n, columns):
        strip_b = np.ascontiguousarray(b[:, j : j + columns])  # (k, columns): one row a step
        for i in range(0, m, rows):
            strip_a = np.ascontiguousarray(a[i : i + rows].T)  # (k, rows): likewise
            tile = np.zeros((strip_a.shape[1], strip_b.shape[1]), a.dtype)
            for p in range(k):
                tile += np.multiply.outer(strip_a[p], strip_b[p])
            c[i : i + rows, j : j + columns] = tile
    return c


def check(a, b, transpose_a=False, transpose_b=False, bias=None):
    """The operands as arrays of one dtype, or an error that says what does not fit."""
    a, b = np.asarray(a), np.asarray(b)
    bias = None if bias is None else np.asarray(bias)
    for name, x in (("a", a), ("b", b), ("bias", bias)):
        if x is not None and x.dtype not in FLOATS:
            raise TypeError(
                f"matmul: {name} has dtype {x.dtype}; expected float32 or float64. Try {name}.astype(np.float32)"
            )
    for name, x in (("a", a), ("b", b)):
        if x.ndim < 2:
            raise ValueError(f"matmul: {name} has shape {x.shape}; expected at least two axes. Try {name}[None, :]")
    k_a, k_b = a.shape[-2 if transpose_a else -1], b.shape[-1 if transpose_b else -2]
    if k_a != k_b:
        raise ValueError(
            f"matmul: {_said(a, transpose_a)} @ {_said(b, transpose_b)} do not fit: the inner sizes are {k_a} and {k_b}"
        )
    try:
        if a.ndim > 2 and b.ndim > 2:
            np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(
            f"matmul: the leading axes of {_said(a, transpose_a)} @ {_said(b, transpose_b)} do not broadcast"
        ) from None
    n = b.shape[-2 if transpose_b else -1]
    if bias is not None and bias.shape != (n,):
        raise ValueError(f"matmul: bias has shape {bias.shape}; expected ({n},), one number for each column")
    dtype = a.dtype if a.dtype == b.dtype else np.dtype(np.float64)
    return a.astype(dtype, copy=False), b.astype(dtype, copy=False), bias if bias is None else bias.astype(dtype)


def check_2d(a, b, transpose_a=False, transpose_b=False):
    """As `check`, for products of two matrices."""
    a, b, _ = check(a, b, transpose_a, transpose_b)
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"expected two matrices, got shapes {a.shape} and {b.shape}. Try kernels.matmul")
    return a, b


def _said(x, transposed):
    return f"{x.shape}{'^T' if transposed else ''}"
