"""Matrix products: compiled against plain, over all the forms that the operands can have."""

import inspect
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinymm import kernels
from tinymm.kernels.compiled import _blas
from tinymm.kernels.compiled import matmul as compiled
from tinymm.kernels.plain import matmul as plain

LADDER = ("matmul_loops", "matmul_ikj", "matmul_blocked", "matmul_unrolled", "matmul_tiled")
LEADING = [((), ()), ((3,), ()), ((), (2,)), ((3,), (3,)), ((2, 1), (1, 3)), ((1,), (4,)), ((2, 3), (3,)), ((0,), (1,))]
sizes = st.one_of(st.integers(0, 5), st.sampled_from([11, 12, 13, 31, 32, 33, 63, 64, 97]))
dtypes = st.sampled_from([np.float32, np.float64])
layouts = st.sampled_from(["C", "swapped", "every other", "read-only"])


def draw(rng, shape, dtype, layout):
    """An array of this shape whose numbers lie in memory as `layout` says."""
    if layout == "swapped":
        return rng.normal(size=(*shape[:-2], shape[-1], shape[-2])).astype(dtype).swapaxes(-1, -2)
    if layout == "every other":
        return rng.normal(size=(*shape[:-1], 2 * shape[-1])).astype(dtype)[..., ::2]
    x = rng.normal(size=shape).astype(dtype)
    x.flags.writeable = layout != "read-only"
    return x


def assert_product(c, a, b, bias=None):
    """c = a @ b, to a few roundings of sums of k terms of size 1."""
    expected = a.astype(np.float64) @ b.astype(np.float64) + (0 if bias is None else bias)
    assert c.shape == expected.shape
    assert c.dtype == a.dtype
    np.testing.assert_allclose(c, expected, rtol=0, atol=8 * np.finfo(c.dtype).eps * max(4, a.shape[-1]))


@settings(max_examples=200, deadline=None)
@given(sizes, sizes, sizes, st.sampled_from(LEADING), dtypes, layouts, layouts, *[st.booleans()] * 3)
def test_matmul_is_numpys(m, k, n, leading, dtype, layout_a, layout_b, transpose_a, transpose_b, with_bias):
    rng = np.random.default_rng(0)
    a = draw(rng, (*leading[0], *((k, m) if transpose_a else (m, k))), dtype, layout_a)
    b = draw(rng, (*leading[1], *((n, k) if transpose_b else (k, n))), dtype, layout_b)
    bias = rng.normal(size=n).astype(dtype) if with_bias else None
    before = a.copy(), b.copy()
    for module in (plain, compiled):
        c = module.matmul(a, b, transpose_a, transpose_b, bias)
        assert_product(c, a.swapaxes(-1, -2) if transpose_a else a, b.swapaxes(-1, -2) if transpose_b else b, bias)
        assert c.flags.c_contiguous and c.flags.writeable
    assert np.array_equal(a, before[0]) and np.array_equal(b, before[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape_a", "shape_b", "transpose_a", "cut"),
    [
        ((200, 150), (150, 170), False, "m"),
        ((90, 150), (150, 400), False, "n"),
        ((5000, 30), (5000, 70), True, "k"),
        ((3, 150, 120), (3, 120, 140), False, "m"),
        ((64, 33, 35), (64, 35, 37), False, ""),
    ],
)
def test_large_products_are_cut_and_right(shape_a, shape_b, transpose_a, cut, dtype):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=shape_a).astype(dtype), rng.normal(size=shape_b).astype(dtype)
    bias = rng.normal(size=shape_b[-1]).astype(dtype)
    cuts = compiled._plan(a.shape, b.shape, transpose_a, False)[-3:]
    assert {axis for axis, parts in zip("mnk", cuts) if parts > 1} >= set(cut) or compiled.CORES == 1
    left = a.swapaxes(-1, -2) if transpose_a else a
    assert_product(compiled.matmul(a, b, transpose_a, False, bias), left, b, bias)
    assert_product(compiled.matmul(a, b, transpose_a, False), left, b)


@settings(max_examples=80, deadline=None)
@given(sizes, sizes, sizes, dtypes, layouts, layouts, st.booleans(), st.booleans())
def test_tiled_is_numpys(m, k, n, dtype, layout_a, layout_b, transpose_a, transpose_b):
    rng = np.random.default_rng(2)
    a = draw(rng, (k, m) if transpose_a else (m, k), dtype, layout_a)
    b = draw(rng, (n, k) if transpose_b else (k, n), dtype, layout_b)
    for module in (plain, compiled):
        c = module.matmul_tiled(a, b, transpose_a, transpose_b)
        assert_product(c, a.T if transpose_a else a, b.T if transpose_b else b)


@pytest.mark.parametrize("transposed", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("shape", [(300, 600, 290), (40, 1000, 700), (700, 513, 33)])
def test_tiled_over_several_blocks(shape, transposed):
    """More steps than fit into a block of k, more strips than fit into a task."""
    m, k, n = shape
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    stored_a = np.ascontiguousarray(a.T) if transposed[0] else a
    stored_b = np.ascontiguousarray(b.T) if transposed[1] else b
    assert_product(compiled.matmul_tiled(stored_a, stored_b, *transposed), a, b)


@pytest.mark.parametrize("name", LADDER)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (13, 66, 34), (0, 3, 2), (3, 0, 2), (70, 65, 130)])
def test_every_rung_gives_the_product(name, dtype, shape):
    m, k, n = shape
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    for module in (plain, compiled):
        assert_product(getattr(module, name)(a, b), a, b)


def test_nan_and_infinity_come_through():
    a = np.ones((40, 40), np.float32)
    a[3, 4], a[5, 6] = np.nan, np.inf
    for name in ("matmul", "matmul_tiled"):
        c = getattr(compiled, name)(a, np.ones((40, 40), np.float32))
        assert np.isnan(c[3]).all() and np.isinf(c[5]).all() and np.isfinite(c[[0, 39]]).all()


def test_what_is_float64_stays_float64():
    a, b = np.ones((3, 4), np.float32), np.ones((4, 5))
    for module in (plain, compiled):
        assert module.matmul(a, b).dtype == np.float64
        assert module.matmul(a, a, transpose_b=True).dtype == np.float32


@pytest.mark.parametrize("module", [plain, compiled], ids=["plain", "compiled"])
@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((np.ones((2, 3), int), np.ones((3, 2))), TypeError, "a has dtype int64; expected float32 or float64"),
        ((np.ones((2, 3)), np.ones((3, 2), np.float16)), TypeError, "b has dtype float16"),
        ((np.ones((2, 3), int), np.ones((3, 2), int)), TypeError, "a has dtype int64"),
        ((np.ones(3), np.ones((3, 2))), ValueError, "at least two axes"),
        ((np.ones((3, 2)), np.ones(2)), ValueError, r"b has shape \(2,\); expected at least two axes"),
        ((np.ones((2, 3)), np.ones((2, 3))), ValueError, "the inner sizes are 3 and 2"),
        ((np.ones((2, 3)), np.ones((2, 3)), True, True), ValueError, r"\(2, 3\)\^T @ \(2, 3\)\^T .* 2 and 3"),
        ((np.ones((2, 4, 3)), np.ones((3, 3, 4))), ValueError, "leading axes .* do not broadcast"),
        ((np.ones((2, 3)), np.ones((3, 4)), False, False, np.ones(3)), ValueError, r"bias .* expected \(4,\)"),
        ((np.ones((2, 3)), np.ones((3, 4)), False, False, np.ones(4, int)), TypeError, "bias has dtype int64"),
    ],
)
def test_errors_say_what_does_not_fit(module, arguments, error, says):
    with pytest.raises(error, match=says):
        module.matmul(*arguments)


@pytest.mark.parametrize("name", LADDER)
def test_the_ladder_takes_two_matrices(name):
    for module in (plain, compiled):
        with pytest.raises(ValueError, match="expected two matrices"):
            getattr(module, name)(np.ones((2, 3, 4)), np.ones((4, 5)))


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads to compare one with two")
@pytest.mark.parametrize("name", ["matmul", "matmul_tiled", "matmul_unrolled"])
@pytest.mark.parametrize("shape", [(333, 217, 129), (70, 5000, 30), (64, 100, 900)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_changes_no_bit(name, shape, dtype):
    m, k, n = shape
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    before = numba.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            results.append(getattr(compiled, name)(a, b))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(*results)


def test_processes_with_other_numbers_of_threads_agree_to_the_bit():
    code = """
import hashlib, numba
import numpy as np
from tinymm import kernels
rng, digest = np.random.default_rng(0), hashlib.sha256()
for m, k, n in ((869, 11, 766), (764, 958, 289), (1333, 27, 321), (70, 5000, 30), (333, 217, 129)):
    a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    digest.update(kernels.matmul(a, b).tobytes() + kernels.matmul_tiled(a, b).tobytes())
print(digest.hexdigest())
"""
    assert run(code, NUMBA_NUM_THREADS="1") == run(code, NUMBA_NUM_THREADS="2") == run(code, NUMBA_NUM_THREADS="3")


def test_the_cuts_depend_on_shapes_only():
    parameters = inspect.signature(compiled._cuts).parameters
    assert list(parameters) == ["batch", "m", "n", "k"]
    assert compiled._cuts(1, 64, 64, 64) == (1, 1, 1), "tiny: on the spot"
    for cores, expected in ((2, (2, 1, 1)), (6, (3, 2, 1)), (8, (4, 2, 1))):
        code = f"from tinymm.kernels.compiled import matmul as m; m.CORES = {cores}; print(m._cuts(1, 1024, 1000, 64))"
        assert run(code, NUMBA_NUM_THREADS="1") == str(expected)


@pytest.mark.parametrize("number", range(1, 40))
def test_prime_factors(number):
    factors = compiled._prime_factors(number)
    assert int(np.prod(factors)) == number
    assert all(f > 1 and all(f % d for d in range(2, f)) for f in factors)


def test_few_signatures_are_compiled():
    """Whatever the operands look like, one version for float32 and one for float64."""
    for dtype in (np.float32, np.float64):
        for m in (3, 200):
            a = np.ones((m, m), dtype)
            readonly = np.ones((m, m), dtype)
            readonly.flags.writeable = False
            for x in (a, a.T, a[::-1], readonly, a[None], np.broadcast_to(a, (2, m, m))):
                for flag in (True, 0, np.bool_(True)):
                    compiled.matmul(x, x, flag, transpose_b=flag, bias=a[0])
                    compiled.matmul(x, a, flag)
                if x.ndim == 2:
                    compiled.matmul_tiled(x, x, 1)
    for function in (compiled._serial, compiled._parallel, compiled._tiled):
        assert len(function.signatures) == 2, function.signatures


@pytest.mark.parametrize("name", sorted(kernels.names()))
def test_twins_have_one_signature(name):
    """Of all kernels, not only of the products."""
    import importlib

    module = kernels.names()[name]
    twins = [getattr(importlib.import_module(f"tinymm.kernels.{p}.{module}"), name) for p in ("plain", "compiled")]
    assert inspect.signature(twins[0]) == inspect.signature(twins[1])


# The BLAS underneath. Each of these needs a process in which nothing has been loaded yet.


def run(code, **environment):
    """The output of Python code in a process of its own; a variable given as None is not set there."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS", "TINYMM_"))}
    for name, value in environment.items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


RIGHT = """
import numpy as np
rng = np.random.default_rng(0)
for shape in ((5, 7, 3), (200, 150, 170)):
    a, b = rng.normal(size=shape[:2]), rng.normal(size=shape[1:])
    assert np.allclose(kernels.matmul(a, b, bias=b[0]), a @ b + b[0], atol=1e-12, rtol=0)
"""


def test_importing_tinymm_loads_neither_numba_nor_scipy():
    code = """
import sys
import tinymm, tinymm.kernels
print([name for name in ("numba", "scipy.linalg", "llvmlite") if name in sys.modules])
"""
    assert run(code) == "[]"


@pytest.mark.parametrize("core", [None, "Haswell"])
def test_the_environment_is_put_back(core):
    code = f"""
import os, sys
from tinymm import kernels
before = dict(os.environ)
assert "scipy.linalg" not in sys.modules
{RIGHT}
assert "scipy.linalg" in sys.modules or kernels.blas_info()["route"] == "numpy"
assert dict(os.environ) == before
print(os.environ.get("OPENBLAS_CORETYPE"), os.environ.get("OPENBLAS_NUM_THREADS"))
"""
    assert run(code, OPENBLAS_CORETYPE=core, OPENBLAS_NUM_THREADS=None) == f"{core} None"


def test_numpys_blas_is_left_alone():
    pytest.importorskip("threadpoolctl")
    code = f"""
import threadpoolctl
from tinymm import kernels
def pools():
    return {{d["filepath"]: d["num_threads"] for d in threadpoolctl.threadpool_info() if d["user_api"] == "blas"}}
before = pools()
{RIGHT}
after = pools()
assert before and all(after[path] == threads for path, threads in before.items()), (before, after)
info = kernels.blas_info()
if info["route"] == "scipy":
    assert after[info["library"]] == 1 and info["library"] not in before
print("ok")
"""
    assert run(code) == "ok"


@pytest.mark.parametrize("wish", ["numpy", None])
def test_the_route_can_be_chosen(wish):
    code = f"""
import sys
from tinymm import kernels
{RIGHT}
print(kernels.blas_info()["route"], "scipy.linalg" in sys.modules)
"""
    if wish == "numpy":
        assert run(code, TINYMM_BLAS=wish) == "numpy False"
    elif _blas._library_file() is not None:
        assert run(code) == "scipy True"
    else:
        assert run(code).startswith("numpy")


def test_an_unknown_route_is_an_error():
    code = """
from tinymm import kernels
try:
    kernels.blas_info()
except ValueError as error:
    print(error)
"""
    assert run(code, TINYMM_BLAS="mkl") == "TINYMM_BLAS is 'mkl'; expected 'scipy' or 'numpy'"


@pytest.mark.skipif(_blas._library_file() is None, reason="this SciPy brings no OpenBLAS of its own")
def test_scipy_linalg_may_have_been_imported_before():
    code = f"""
import scipy.linalg
from tinymm import kernels
{RIGHT}
info = kernels.blas_info()
print(info["route"], info["threads"], info["reason"])
"""
    assert run(code) == "scipy 1 scipy.linalg was imported first: the kernels it chose stay"


def test_without_an_openblas_of_its_own_numpy_multiplies(monkeypatch):
    monkeypatch.setattr(_blas, "_library_file", lambda: None)
    assert _blas._load.__wrapped__().route == "numpy"
    monkeypatch.setattr(_blas, "_library_file", lambda: "no such file")
    found = _blas._load.__wrapped__()
    assert found.route == "numpy" and "cannot steer it" in found.reason


def test_without_compiling_everything_still_works():
    code = f"""
from tinymm import kernels
assert kernels.backend() == "numpy"
{RIGHT}
from tinymm.kernels.compiled import matmul as compiled
assert np.allclose(compiled.matmul_ikj(a, b), a @ b)
print(kernels.blas_info()["route"])
"""
    assert run(code, NUMBA_DISABLE_JIT="1") == "numpy"
