"""The BLAS that the dispatched product runs on: SciPy's own OpenBLAS, one thread a call, inside Numba's threads.

Why not NumPy's? Its OpenBLAS has its own threads, and they keep spinning for a while after a product; a Numba kernel
that comes next finds the cores taken. SciPy's wheels bring a second copy of OpenBLAS, which no threads have been
started for until `scipy.linalg` is first imported. We import it with two environment variables set (and put back right
afterwards): one thread, because the splitting is done here, over Numba's threads; and, where the processor has
AVX-512, the kernels for it, which not every version chooses by itself on every processor.

What that means for you: NumPy's BLAS stays as it is; SciPy's own linear algebra then runs on one thread in this
process. ``TINYMM_BLAS=numpy`` in the environment undoes it: products then go to NumPy. If `scipy.linalg` was imported
before, its OpenBLAS is set to one thread, and keeps the kernels that it has chosen. Installations whose SciPy has no
OpenBLAS of its own (conda, Linux distributions, Accelerate on macOS) use NumPy's products.
"""

import ctypes
import dataclasses
import functools
import os
import sys
import threading
from pathlib import Path

from tinymm.kernels.compiled._jit import environment

_loading = threading.Lock()
AVX512 = ("avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd")


@dataclasses.dataclass(frozen=True)
class Blas:
    """What the products run on: `route` is "scipy" or "numpy", `reason` says why not "scipy"."""

    route: str
    library: str = ""
    core: str = ""
    threads: int = 0
    float32: int = 0  # addresses of the two functions, to be called as BLAS's ?gemm
    float64: int = 0
    reason: str = ""


def blas():
    """The BLAS in use; loads it at the first call."""
    with _loading:
        return _load()


@functools.cache
def _load():
    wish = os.environ.get("TINYMM_BLAS", "scipy")
    if wish not in ("scipy", "numpy"):
        raise ValueError(f"TINYMM_BLAS is {wish!r}; expected 'scipy' or 'numpy'")
    if wish == "numpy":
        return Blas("numpy", reason="TINYMM_BLAS=numpy")
    library = _library_file()
    if library is None:
        return Blas("numpy", reason="this SciPy brings no OpenBLAS of its own")
    late = "scipy.linalg" in sys.modules
    with environment(_variables()):
        import scipy.linalg.cython_blas  # noqa: F401
    try:
        openblas = _OpenBLAS(library)
    except (OSError, AttributeError) as error:
        return Blas("numpy", library=str(library), reason=f"cannot steer it: {error}")
    if openblas.threads() != 1:
        openblas.set_threads(1)
    if openblas.threads() != 1:
        return Blas("numpy", str(library), openblas.core(), openblas.threads(), reason="it does not keep to one thread")
    from numba.extending import get_cython_function_address

    addresses = {
        name: get_cython_function_address("scipy.linalg.cython_blas", function)
        for name, function in (("float32", "sgemm"), ("float64", "dgemm"))
    }
    reason = "scipy.linalg was imported first: the kernels it chose stay" if late else ""
    return Blas("scipy", str(library), openblas.core(), 1, **addresses, reason=reason)


def _variables():
    """The environment in which SciPy's OpenBLAS is to start."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    core = {"OPENBLAS_CORETYPE": "SkylakeX"} if all(features.get(name) for name in AVX512) else {}
    return {"OPENBLAS_NUM_THREADS": "1", **core}


def _library_file():
    """SciPy's OpenBLAS in a wheel of SciPy, or None."""
    import scipy

    package = Path(scipy.__file__).parent
    for folder in (package.parent / "scipy.libs", package / ".dylibs", package / ".libs"):
        for path in sorted(folder.glob("*openblas*")) if folder.is_dir() else ():
            return path
    return None


class _OpenBLAS:
    """The few functions that steer an OpenBLAS; SciPy's copy has a prefix before their names."""

    def __init__(self, path):
        self._library = ctypes.CDLL(str(path))
        self._prefix = "scipy_openblas" if hasattr(self._library, "scipy_openblas_get_num_threads") else "openblas"
        self.threads()

    def _function(self, name, result, *arguments):
        function = getattr(self._library, f"{self._prefix}_{name}")
        function.restype, function.argtypes = result, arguments
        return function

    def threads(self):
        return self._function("get_num_threads", ctypes.c_int)()

    def set_threads(self, number):
        self._function("set_num_threads", None, ctypes.c_int)(number)

    def core(self):
        return self._function("get_corename", ctypes.c_char_p)().decode()
