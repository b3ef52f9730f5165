"""Matrix products: the dispatched `matmul` and our own `matmul_tiled` against NumPy's BLAS.

NumPy runs in a process of its own, into which tinymm is never imported. Its OpenBLAS chooses its kernels by the
processor, unless ``OPENBLAS_CORETYPE`` (or another variable of OpenBLAS) is set in the environment. Where one is set,
NumPy is measured twice: "numpy" without these variables, "numpy as set" with them.
"""

import os

import numpy as np

SQUARES = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048)
# (rows B T, d_model D, d_ff F) of Transformers: each gives the forward product and the two of the backward pass.
LAYERS = ((320, 64, 64), (320, 64, 256), (1024, 128, 128), (1024, 128, 512), (2048, 64, 256), (4096, 128, 512),
          (4096, 256, 1024))  # fmt: skip
# (products B H, T, K, S) of attention: scores q k^T and the values' weighted sums.
ATTENTION = ((128, 32, 32, 32), (32, 64, 32, 64), (64, 128, 32, 128), (32, 128, 64, 128), (32, 256, 64, 256))


def run(bench):
    from tinymm import kernels

    found = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    peers = {"numpy": bench.process("benchmarks.matmul", "numpy_product", without=tuple(found))}
    if found:
        bench.note(f"set in this environment: {', '.join(f'{name}={value}' for name, value in found.items())}")
        peers["numpy as set"] = bench.process("benchmarks.matmul", "numpy_product")
    bench.note(f"tinymm's products: {kernels.blas_info()}")

    def compare(case, shape_a, shape_b, dtype="float32", transpose_a=False, transpose_b=False, own=None):
        """One product; `own` is the target of our own kernel, None where it is not asked for."""
        arguments = {
            "shape_a": shape_a,
            "shape_b": shape_b,
            "dtype": dtype,
            "transpose_a": transpose_a,
            "transpose_b": transpose_b,
        }
        a, b = operands(shape_a, shape_b, dtype)
        k = shape_a[-2 if transpose_a else -1]
        work = 2 * np.prod(shape_a, dtype=float) * shape_b[-2 if transpose_b else -1] / 1e9
        theirs = {name: process.case(**arguments) for name, process in peers.items()}
        tolerance = (1e-6 if dtype == "float32" else 1e-15) * max(10, k**0.5)
        ours = {"tinymm": (lambda: kernels.matmul(a, b, transpose_a, transpose_b), 1.0)}
        if own is not None:
            ours["tinymm tiled"] = (lambda: kernels.matmul_tiled(a, b, transpose_a, transpose_b), own)
        for name, (function, target) in ours.items():
            bench.compare(
                f"{dtype} {case}",
                {name: function, **theirs},
                target=target,
                tolerance=tolerance,
                work=work,
                unit="GFLOP/s",
            )

    for dtype in ("float32", "float64"):
        for n in SQUARES:
            own = None if n < 256 else 0.9 if n < 512 else 1.0
            compare(f"{n} x {n} x {n}", (n, n), (n, n), dtype, own=own)
        for rows, d_in, d_out in LAYERS:
            x, weight, g = (rows, d_in), (d_out, d_in), (rows, d_out)
            size = f"{rows} x {d_in} x {d_out}"
            compare(f"forward {size}", x, weight, dtype, transpose_b=True, own=1.0)
            compare(f"d_x {size}", g, weight, dtype, own=1.0)
            compare(f"d_weight {size}", g, x, dtype, transpose_a=True, own=1.0)
        for batch, t, width, s in ATTENTION:
            size = f"{batch} x ({t}, {width}, {s})"
            compare(f"q k^T {size}", (batch, t, width), (batch, s, width), dtype, transpose_b=True)
            compare(f"p v {size}", (batch, t, s), (batch, s, width), dtype)
            compare(f"d_v {size}", (batch, t, s), (batch, t, width), dtype, transpose_a=True)


def operands(shape_a, shape_b, dtype):
    """The same two arrays in every process."""
    rng = np.random.default_rng(0)
    return rng.normal(size=shape_a).astype(dtype), rng.normal(size=shape_b).astype(dtype)


def numpy_product(shape_a, shape_b, dtype, transpose_a, transpose_b):
    """The peer: NumPy's BLAS, in its own process."""
    a, b = operands(shape_a, shape_b, dtype)
    a = a.swapaxes(-1, -2) if transpose_a else a
    b = b.swapaxes(-1, -2) if transpose_b else b
    return lambda: np.matmul(a, b)
