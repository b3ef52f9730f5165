"""Matrix products: the dispatched one (`matmul`), our own kernel (`matmul_tiled`), and the rungs of lesson 02's ladder.

`matmul` cuts the product into pieces and hands each piece to BLAS on one of Numba's threads. How it is cut depends on
the shapes only, never on the number of threads, so that the result does not depend on it either.
"""

import functools
import math
import os

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinymm.kernels.compiled._blas import blas
from tinymm.kernels.compiled._jit import jit
from tinymm.kernels.plain import matmul as plain

__all__ = ["matmul"]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
NO_BIAS = {FLOAT32: np.empty(0, FLOAT32), FLOAT64: np.empty(0, FLOAT64)}
CORES = os.cpu_count() or 1  # of the machine: what this process may use can change, and must not change sums
SERIAL = 2**19  # multiplications up to which a product is done on the spot: to wake the threads takes a microsecond
DEEP = 1024  # steps of k in a piece where k is cut


def matmul(a, b, transpose_a=False, transpose_b=False, bias=None):
    """Matrix product over the last two axes: (..., m, k) @ (..., k, n) -> (..., m, n); see the plain twin."""
    if a.__class__ is not np.ndarray or b.__class__ is not np.ndarray or a.dtype != b.dtype or bias is not None:
        a, b, bias = plain.check(a, b, transpose_a, transpose_b, bias)
    flags = a.flags
    if not (flags.c_contiguous and flags.writeable):
        a, transpose_a = _oriented(a, transpose_a)
    flags = b.flags
    if not (flags.c_contiguous and flags.writeable):
        b, transpose_b = _oriented(b, transpose_b)
    dtype = a.dtype
    try:
        plan = _plan(a.shape, b.shape, transpose_a, transpose_b)
        bias = NO_BIAS[dtype] if bias is None else bias
    except (KeyError, IndexError, ValueError):
        plain.check(a, b, transpose_a, transpose_b, bias)
        raise
    shape, batch, step_a, step_b, m, n, k, transpose_a, transpose_b, cut_m, cut_n, cut_k = plan
    if cut_m == 0:
        return _unusual(a, b, transpose_a, transpose_b, bias)
    c = np.empty(shape, dtype)
    found = blas()
    if found.route == "numpy":
        return _numpy_product(a, b, c, transpose_a, transpose_b, bias)
    gemm = found.float32 if dtype == FLOAT32 else found.float64
    parts = c if cut_k == 1 else np.empty((cut_k, m, n), dtype)
    launch = _serial if batch * cut_m * cut_n * cut_k == 1 else _parallel
    launch(
        gemm, a.ravel(), b.ravel(), parts.ravel(), bias,
        batch, step_a, step_b, m, n, k, transpose_a, transpose_b, cut_m, cut_n, cut_k,
    )  # fmt: skip
    if cut_k > 1:
        np.add.reduce(parts, axis=0, out=c)
    return c


@functools.lru_cache(maxsize=4096)
def _plan(shape_a, shape_b, transpose_a, transpose_b):
    """What is to be done for two shapes, and in how many parts; decided by the shapes alone.

    Returns
    -------
    tuple
        The result's shape; how many products; how far apart their operands lie; m, n, k; whether each operand is
        transposed; how often m, n, k are cut. No cuts at all (0) stand for what `_unusual` does.
    """
    *batch_a, m, k = (*shape_a[:-2], *shape_a[:-3:-1]) if transpose_a else shape_a
    *batch_b, k_b, n = (*shape_b[:-2], *shape_b[:-3:-1]) if transpose_b else shape_b
    if k != k_b:
        raise ValueError
    leading = np.broadcast_shapes(tuple(batch_a), tuple(batch_b))
    shape = (*leading, m, n)
    batch, count_a, count_b = math.prod(leading), math.prod(batch_a), math.prod(batch_b)
    if count_b == 1 and not transpose_a:  # (B, T, D) @ (D, F): one product of B T rows
        batch, count_a, m = 1, 1, batch * m
    step_a, step_b = (m * k if count_a > 1 else 0), (k * n if count_b > 1 else 0)
    usual = count_a in (1, batch) and count_b in (1, batch) and batch * m * n * k > 0
    cuts = _cuts(batch, m, n, k) if usual else (0, 0, 0)
    return shape, batch, step_a, step_b, m, n, k, bool(transpose_a), bool(transpose_b), *cuts


def _cuts(batch, m, n, k):
    """In how many parts the axes m, n, k of each of `batch` products are cut."""
    work = batch * m * n * k
    if work <= SERIAL or (batch > 1 and (batch % CORES == 0 or batch >= 4 * CORES)):
        return 1, 1, 1
    cut_m, cut_n, cut_k = 1, 1, 1
    if batch == 1 and k >= 2 * DEEP and k > 4 * max(m, n):
        cut_k = min(8, k // DEEP)
    pieces = min(-(-CORES // cut_k), max(1, 4 * work // SERIAL))
    for factor in _prime_factors(pieces):
        if m // cut_m >= n // cut_n:
            cut_m *= factor
        else:
            cut_n *= factor
    return cut_m, cut_n, cut_k


def _prime_factors(number):
    """The prime factors of `number`, the largest first."""
    factors, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors[::-1]


@jit(parallel=True)
def _parallel(
    gemm, a, b, c, bias, batch, step_a, step_b, m, n, k, transpose_a, transpose_b, cut_m, cut_n, cut_k
):  # fmt: skip
    """All pieces of all products, shared out over the threads."""
    for t in prange(batch * cut_m * cut_n * cut_k):
        _piece(
            t, gemm, a, b, c, bias, step_a, step_b, m, n, k, transpose_a, transpose_b, cut_m, cut_n, cut_k
        )  # fmt: skip


@jit
def _serial(gemm, a, b, c, bias, batch, step_a, step_b, m, n, k, transpose_a, transpose_b, cut_m, cut_n, cut_k):
    """The same on this thread."""
    for t in range(batch * cut_m * cut_n * cut_k):
        _piece(t, gemm, a, b, c, bias, step_a, step_b, m, n, k, transpose_a, transpose_b, cut_m, cut_n, cut_k)


@jit
def _piece(t, gemm, a, b, c, bias, step_a, step_b, m, n, k, transpose_a, transpose_b, cut_m, cut_n, cut_k):
    """Piece `t`: rows i0..i1 and columns j0..j1 of one product, summed over p0..p1, by one call of BLAS."""
    rest, p = divmod(t, cut_k)
    rest, j = divmod(rest, cut_n)
    item, i = divmod(rest, cut_m)
    i0, i1 = m * i // cut_m, m * (i + 1) // cut_m
    j0, j1 = n * j // cut_n, n * (j + 1) // cut_n
    p0, p1 = k * p // cut_k, k * (p + 1) // cut_k
    at_a = item * step_a + (p0 * m + i0 if transpose_a else i0 * k + p0)
    at_b = item * step_b + (j0 * k + p0 if transpose_b else p0 * n + j0)
    at_c = (item + p) * m * n + i0 * n + j0
    add = bias.shape[0] > 0 and p == 0
    if add:
        columns = bias[j0:j1]
        for row in range(i1 - i0):
            target = c[at_c + row * n : at_c + row * n + (j1 - j0)]
            for column in range(target.shape[0]):
                target[column] = columns[column]
    _gemm(
        gemm,
        a, at_a, m if transpose_a else k, transpose_a,
        b, at_b, k if transpose_b else n, transpose_b,
        c, at_c, n,
        i1 - i0, j1 - j0, p1 - p0, add,
    )  # fmt: skip


@intrinsic
def _gemm(typing, gemm, a, at_a, width_a, transpose_a, b, at_b, width_b, transpose_b, c, at_c, width_c, m, n, k, add):
    """c[at_c:] (m, n) = a[at_a:] (m, k) @ b[at_b:] (k, n), or += with `add`; `width`: numbers from row to row.

    BLAS thinks in columns: what it is told is the transposed product, c^T = b^T a^T.
    """
    size, flag = types.int64, types.boolean
    signature = types.void(size, a, size, size, flag, b, size, size, flag, c, size, size, size, size, size, flag)

    def generate(context, builder, signature, values):
        gemm, a, at_a, width_a, transpose_a, b, at_b, width_b, transpose_b, c, at_c, width_c, m, n, k, add = values
        number = context.get_data_type(signature.args[1].dtype)
        int32, char = ir.IntType(32), ir.IntType(8)

        def place(array_type, array, at):
            return builder.gep(context.make_array(array_type)(context, builder, array).data, [at])

        def by_reference(value):
            return cgutils.alloca_once_value(builder, value)

        def integer(value):
            return by_reference(builder.trunc(value, int32))

        def letter(transposed):
            return by_reference(builder.select(transposed, char(ord("T")), char(ord("N"))))

        arguments = [
            letter(transpose_b),
            letter(transpose_a),
            integer(n),
            integer(m),
            integer(k),
            by_reference(number(1.0)),
            place(signature.args[5], b, at_b),
            integer(width_b),
            place(signature.args[1], a, at_a),
            integer(width_a),
            by_reference(builder.select(add, number(1.0), number(0.0))),
            place(signature.args[9], c, at_c),
            integer(width_c),
        ]
        function = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        builder.call(builder.inttoptr(gemm, function.as_pointer()), arguments)
        return context.get_dummy_value()

    return signature, generate


def _oriented(x, transpose):
    """`x` as a C-contiguous array, and whether its last two axes are to be swapped; copied only if neither fits."""
    if x.ndim > 1 and x.flags.writeable:
        swapped = x.swapaxes(-1, -2)
        if swapped.flags.c_contiguous:
            return swapped, not transpose
    return x.copy(order="C"), transpose


def _unusual(a, b, transpose_a, transpose_b, bias):
    """Empty operands, and leading axes like (3, 1) and (1, 4), where both operands must be expanded."""
    leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.broadcast_to(a, (*leading, *a.shape[-2:])).copy()
    b = np.broadcast_to(b, (*leading, *b.shape[-2:])).copy()
    bias = bias if len(bias) else None
    if a.size == 0 or b.size == 0:
        return plain.matmul(a, b, transpose_a, transpose_b, bias)
    return matmul(a, b, transpose_a, transpose_b, bias)


def _numpy_product(a, b, c, transpose_a, transpose_b, bias):
    np.matmul(a.swapaxes(-1, -2) if transpose_a else a, b.swapaxes(-1, -2) if transpose_b else b, out=c)
    if len(bias):
        c += bias
    return c
