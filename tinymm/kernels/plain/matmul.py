"""Matrix products in plain NumPy."""

import numpy as np

__all__ = ["matmul"]

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
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(
            f"matmul: the leading axes of {_said(a, transpose_a)} @ {_said(b, transpose_b)} do not broadcast"
        ) from None
    n = b.shape[-2 if transpose_b else -1]
    if bias is not None and bias.shape != (n,):
        raise ValueError(f"matmul: bias has shape {bias.shape}; expected ({n},), one number for each column")
    dtype = np.result_type(a, b)
    return a.astype(dtype, copy=False), b.astype(dtype, copy=False), bias if bias is None else bias.astype(dtype)


def check_2d(a, b, transpose_a=False, transpose_b=False):
    """As `check`, for products of two matrices."""
    a, b, _ = check(a, b, transpose_a, transpose_b)
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"expected two matrices, got shapes {a.shape} and {b.shape}. Try kernels.matmul")
    return a, b


def _said(x, transposed):
    return f"{x.shape}{'^T' if transposed else ''}"
