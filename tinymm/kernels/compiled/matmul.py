"""Matrix products: the dispatched one (`matmul`), our own kernel (`matmul_tiled`), and the rungs of lesson 02's ladder.

`matmul` cuts the product into pieces and hands each piece to BLAS on one of Numba's threads. How it is cut depends on
the shapes only, never on the number of threads, so that the result does not depend on it either.
"""

import functools
import math
import os
import platform
import threading

import numpy as np
from llvmlite import binding, ir
from numba import get_num_threads, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinymm.kernels.compiled._blas import blas
from tinymm.kernels.compiled._jit import jit
from tinymm.kernels.plain import matmul as plain

__all__ = ["matmul", "matmul_loops", "matmul_ikj", "matmul_blocked", "matmul_unrolled", "matmul_tiled"]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
CORES = os.cpu_count() or 1  # of the machine: what this process may use can change, and must not change sums
SERIAL = 2**19  # multiplications up to which a product is done on the spot: to wake the threads takes a microsecond
DEEP = 1024  # steps of k in a piece where k is cut

_blas_for = []  # for float32 and float64: the address of BLAS's function (0: use NumPy) and an empty bias


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
        gemm, no_bias = _blas_for[0 if dtype == FLOAT32 else 1 if dtype == FLOAT64 else 2]
        plan = _plan(a.shape, b.shape, transpose_a, transpose_b)
    except (IndexError, ValueError):
        plain.check(a, b, transpose_a, transpose_b, bias)
        if _blas_for:
            raise
        _load_blas()
        return matmul(a, b, transpose_a, transpose_b, bias)
    shape, batch, step_a, step_b, m, n, k, transpose_a, transpose_b, cut_m, cut_n, cut_k = plan
    if cut_m == 0:
        return _unusual(a, b, transpose_a, transpose_b, bias)
    c = np.empty(shape, dtype)
    bias = no_bias if bias is None else bias
    if not gemm:
        return _numpy_product(a, b, c, transpose_a, transpose_b, bias)
    parts = c if cut_k == 1 else np.empty((cut_k, m, n), dtype)
    launch = _serial if batch * cut_m * cut_n * cut_k == 1 else _parallel
    launch(
        gemm, a.ravel(), b.ravel(), parts.ravel(), bias,
        batch, step_a, step_b, m, n, k, transpose_a, transpose_b, cut_m, cut_n, cut_k,
    )  # fmt: skip
    if cut_k > 1:
        np.add.reduce(parts, axis=0, out=c)
    return c


def _load_blas():
    found = blas()
    _blas_for[:] = [(found.float32, np.empty(0, FLOAT32)), (found.float64, np.empty(0, FLOAT64))]


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
    if a.size == 0 or b.size == 0:
        return plain.matmul(a, b, transpose_a, transpose_b, bias)
    return matmul(a, b, transpose_a, transpose_b, bias)


def _numpy_product(a, b, c, transpose_a, transpose_b, bias):
    np.matmul(a.swapaxes(-1, -2) if transpose_a else a, b.swapaxes(-1, -2) if transpose_b else b, out=c)
    if len(bias) > 0:
        c += bias
    return c


# ---------------------------------------------------------------------------------------------------------------------
# The ladder: no BLAS from here on. Each rung is the same product with one more idea; lesson 02 measures them.


def matmul_loops(a, b):
    """Three loops in the order of the definition; see the plain twin."""
    a, b = _matrices(a, b)
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    _loops(a, b, c)
    return c


@jit
def _loops(a, b, c):
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            total = c.dtype.type(0)
            for p in range(b.shape[0]):
                total += a[i, p] * b[p, j]
            c[i, j] = total


def matmul_ikj(a, b):
    """The last two loops exchanged, so that the inner one walks along rows; see the plain twin."""
    a, b = _matrices(a, b)
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    _ikj(a, b, c)
    return c


@jit
def _ikj(a, b, c):
    for i in range(c.shape[0]):
        row = c[i]
        for p in range(b.shape[0]):
            factor, other = a[i, p], b[p]
            for j in range(row.shape[0]):
                row[j] += factor * other[j]


def matmul_blocked(a, b, block=64):
    """Block by block, so that what is at work stays in the nearest cache; see the plain twin."""
    a, b = _matrices(a, b)
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    _blocked(a, b, c, int(block))
    return c


@jit
def _blocked(a, b, c, block):
    m, n, k = c.shape[0], c.shape[1], b.shape[0]
    for p0 in range(0, k, block):
        for j0 in range(0, n, block):
            for i in range(m):
                row = c[i, j0 : j0 + block]
                for p in range(p0, min(p0 + block, k)):
                    factor, other = a[i, p], b[p, j0 : j0 + block]
                    for j in range(row.shape[0]):
                        row[j] += factor * other[j]


def matmul_unrolled(a, b):
    """Four rows of `a` and four of `b` at a time, over all threads; see the plain twin."""
    a, b = _matrices(a, b)
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    _unrolled(a, b, c)
    return c


@jit(parallel=True)
def _unrolled(a, b, c):
    m, k = a.shape
    for t in prange((m + 3) // 4):
        i = 4 * t
        if i + 4 <= m:
            c0, c1, c2, c3 = c[i], c[i + 1], c[i + 2], c[i + 3]
            for p in range(0, k - 3, 4):
                b0, b1, b2, b3 = b[p], b[p + 1], b[p + 2], b[p + 3]
                a00, a01, a02, a03 = a[i, p], a[i, p + 1], a[i, p + 2], a[i, p + 3]
                a10, a11, a12, a13 = a[i + 1, p], a[i + 1, p + 1], a[i + 1, p + 2], a[i + 1, p + 3]
                a20, a21, a22, a23 = a[i + 2, p], a[i + 2, p + 1], a[i + 2, p + 2], a[i + 2, p + 3]
                a30, a31, a32, a33 = a[i + 3, p], a[i + 3, p + 1], a[i + 3, p + 2], a[i + 3, p + 3]
                for j in range(b0.shape[0]):
                    x0, x1, x2, x3 = b0[j], b1[j], b2[j], b3[j]
                    c0[j] += a00 * x0 + a01 * x1 + a02 * x2 + a03 * x3
                    c1[j] += a10 * x0 + a11 * x1 + a12 * x2 + a13 * x3
                    c2[j] += a20 * x0 + a21 * x1 + a22 * x2 + a23 * x3
                    c3[j] += a30 * x0 + a31 * x1 + a32 * x2 + a33 * x3
            for r in range(i, i + 4):
                _add_rows(c[r], a[r], b, k - k % 4)
        else:
            for r in range(i, m):
                _add_rows(c[r], a[r], b, 0)


@jit
def _add_rows(row, factors, b, first):
    """row += factors[first:] @ b[first:], one row of `b` after the other."""
    for p in range(first, b.shape[0]):
        factor, other = factors[p], b[p]
        for j in range(row.shape[0]):
            row[j] += factor * other[j]


def matmul_tiled(a, b, transpose_a=False, transpose_b=False):
    """Packed panels and a tile of the result that stays in registers; see the plain twin.

    The tile is as large as the registers allow: in float32 12 x 32 numbers with the 32 registers of AVX-512, 6 x 16
    with the 16 of AVX2, 12 x 8 with NEON; half as wide in float64.
    """
    a, b = plain.check_2d(a, b, transpose_a, transpose_b)
    a, transpose_a = _oriented(a, bool(transpose_a))
    b, transpose_b = _oriented(b, bool(transpose_b))
    (k, m), n = a.shape if transpose_a else a.shape[::-1], b.shape[0 if transpose_b else 1]
    c = np.empty((m, n), a.dtype)
    if k == 0:
        c[:] = 0
    elif m and n:
        columns = BYTES // c.itemsize
        strips_a, strips_b = -(-m // ROWS), -(-n // columns)
        packed_a = _workspace("a", strips_a * ROWS * k, c.dtype)
        packed_b = _workspace("b", strips_b * columns * k, c.dtype)
        _tiled(a, b, c, packed_a, packed_b, k, transpose_a, transpose_b, get_num_threads())
    return c


def _workspace(name, size, dtype):
    """An array of `size` numbers that begins at a line of the cache; kept from call to call, one for each thread.

    To map fresh memory costs as much as to multiply two matrices of 512 x 512.
    """
    needed = size * dtype.itemsize + VECTOR_BYTES
    kept = getattr(_kept, name, None)
    if kept is None or kept.size < needed:
        kept = np.empty(needed, np.uint8)
        if needed <= KEEP:
            setattr(_kept, name, kept)
    start = -kept.ctypes.data % VECTOR_BYTES
    return kept[start : start + size * dtype.itemsize].view(dtype)


def _registers():
    """Bytes of a vector register of this processor, and how many of them there are."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx"):
        return 32, 16
    if platform.machine().lower() in ("arm64", "aarch64"):
        return 16, 32
    return 16, 16


VECTOR_BYTES, REGISTERS = _registers()
ROWS = 12 if REGISTERS == 32 else 6  # of a tile; with two vectors a row this fills three quarters of the registers
BYTES = 2 * VECTOR_BYTES  # of a row of a tile
DEPTH = 256  # steps of k for which a strip of b stays in the nearest cache
STRIPS = 24  # strips of a that go over the same strip of b
KEEP = 2**26  # bytes of a workspace that are kept at most

_kept = threading.local()


@jit(parallel=True)
def _tiled(a, b, c, packed_a, packed_b, k, transpose_a, transpose_b, threads):
    """Pack both operands into strips; then each task multiplies a block of strips of one with all of the other."""
    m, n = c.shape
    columns = BYTES // c.itemsize
    strips_a, strips_b = (m + ROWS - 1) // ROWS, (n + columns - 1) // columns
    for t in prange(strips_a + strips_b):
        if t < strips_a:
            _pack(packed_a[t * ROWS * k : (t + 1) * ROWS * k], ROWS, a, t * ROWS, m, k, transpose_a)
        else:
            s = t - strips_a
            _pack(packed_b[s * columns * k : (s + 1) * columns * k], columns, b, s * columns, n, k, not transpose_b)
    by_rows = strips_a >= 2 * threads or strips_a >= strips_b
    strips = strips_a if by_rows else strips_b
    tasks = max(min(threads, strips), (strips + STRIPS - 1) // STRIPS)
    tasks = (tasks + threads - 1) // threads * threads
    for t in prange(tasks):
        first, last = strips * t // tasks, strips * (t + 1) // tasks
        a0, a1 = (first, last) if by_rows else (0, strips_a)
        b0, b1 = (0, strips_b) if by_rows else (first, last)
        _block(packed_a, packed_b, c, k, a0, a1, b0, b1)


@jit
def _pack(strip, width, x, first, size, k, by_step):
    """Strip: for each step p of k, `width` numbers: those of rows (or, `by_step`, columns) `first` onwards of `x`."""
    here = min(width, size - first)  # the last strip may be narrower; what its rest holds never reaches the result
    if by_step:
        for p in range(k):
            source, target = x[p, first : first + here], strip[p * width : p * width + here]
            for i in range(here):
                target[i] = source[i]
    else:
        whole = k - k % 16
        for p0 in range(0, whole, 16):  # one line of the cache at a time
            for i in range(here):
                source, target = x[first + i, p0 : p0 + 16], strip[p0 * width + i :]
                for p in range(16):
                    target[p * width] = source[p]
        for p in range(whole, k):
            for i in range(here):
                strip[p * width + i] = x[first + i, p]


@jit
def _block(packed_a, packed_b, c, k, a0, a1, b0, b1):
    """Strips a0..a1 of a times strips b0..b1 of b: one tile of `c` each."""
    m, n = c.shape
    columns = BYTES // c.itemsize
    flat = c.reshape(-1)
    edge = np.empty(ROWS * columns, c.dtype)
    for p0 in range(0, k, DEPTH):
        depth = min(DEPTH, k - p0)
        for s in range(b0, b1):
            at_b = (s * k + p0) * columns
            for t in range(a0, a1):
                at_a = (t * k + p0) * ROWS
                i0, j0 = t * ROWS, s * columns
                rows, width = min(ROWS, m - i0), min(columns, n - j0)
                if rows == ROWS and width == columns:
                    _tile(packed_a, at_a, packed_b, at_b, flat, i0 * n + j0, n, depth, p0 > 0)
                    continue
                _tile(packed_a, at_a, packed_b, at_b, edge, 0, columns, depth, False)
                for i in range(rows):
                    for j in range(width):
                        value = edge[i * columns + j]
                        c[i0 + i, j0 + j] = value + c[i0 + i, j0 + j] if p0 > 0 else value


@intrinsic
def _tile(typing, a, at_a, b, at_b, c, at_c, width_c, depth, add):
    """c[at_c:] (ROWS, 2 vectors) = or += the sum over `depth` steps of the outer products of two strips.

    The sums are ROWS x 2 vectors that LLVM keeps in registers: a step loads two vectors of b, and for each row one
    number of a, spread over a vector.
    """
    size, flag = types.int64, types.boolean
    signature = types.void(a, size, b, size, c, size, size, size, flag)

    def generate(context, builder, signature, values):
        a, at_a, b, at_b, c, at_c, width_c, depth, add = values
        number = context.get_data_type(signature.args[0].dtype)
        lanes = VECTOR_BYTES // context.get_abi_sizeof(number)
        vector = ir.VectorType(number, lanes)
        index, lane = ir.IntType(64), ir.IntType(32)
        suffix = f"v{lanes}f{8 * context.get_abi_sizeof(number)}"
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.{suffix}"
        )
        align = context.get_abi_sizeof(number)

        def pointer(argument, array, at):
            return builder.gep(context.make_array(signature.args[argument])(context, builder, array).data, [at])

        def at(place, offset):
            return builder.gep(place, [offset])

        def load(place):
            return builder.load(builder.bitcast(place, vector.as_pointer()), align=align)

        def spread(value):
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, lane(0))
            zeros = ir.Constant(ir.VectorType(lane, lanes), [0] * lanes)
            return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

        strip_a, strip_b, tile = pointer(0, a, at_a), pointer(2, b, at_b), pointer(4, c, at_c)
        before = builder.block
        loop, after = builder.append_basic_block("steps"), builder.append_basic_block("store")
        builder.branch(loop)

        builder.position_at_end(loop)
        step = builder.phi(index)
        step.add_incoming(index(0), before)
        sums = [[builder.phi(vector) for _ in range(2)] for _ in range(ROWS)]
        here_a, here_b = at(strip_a, builder.mul(step, index(ROWS))), at(strip_b, builder.mul(step, index(2 * lanes)))
        vectors = [load(at(here_b, index(v * lanes))) for v in range(2)]
        new = []
        for i in range(ROWS):
            factor = spread(builder.load(at(here_a, index(i))))
            new.append([builder.call(multiply_add, [factor, vectors[v], sums[i][v]]) for v in range(2)])
        for i in range(ROWS):
            for v in range(2):
                sums[i][v].add_incoming(ir.Constant(vector, [0.0] * lanes), before)
                sums[i][v].add_incoming(new[i][v], loop)
        following = builder.add(step, index(1))
        step.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)

        builder.position_at_end(after)
        with builder.if_else(add) as (then, otherwise):
            for branch, adding in ((then, True), (otherwise, False)):
                with branch:
                    for i in range(ROWS):
                        for v in range(2):
                            place = at(tile, builder.add(builder.mul(width_c, index(i)), index(v * lanes)))
                            value = builder.fadd(load(place), new[i][v]) if adding else new[i][v]
                            builder.store(value, builder.bitcast(place, vector.as_pointer()), align=align)
        return context.get_dummy_value()

    return signature, generate


def _matrices(a, b):
    a, b = plain.check_2d(a, b)
    return tuple(np.require(x, requirements=("C", "W")) for x in (a, b))
