"""The one way in which tinymm compiles: Numba's `njit` with this project's flags and its own cache.

Flags. ``fastmath={reassoc, contract, nsz, arcp}`` with ``error_model="numpy"`` lets LLVM reorder and fuse sums, and
keeps NaN and infinity defined: plain ``fastmath=True`` would let it assume that neither exists.

Cache. Compiled code is kept in a folder whose name is a hash of every source file of the kernels, because Numba
alone looks only at the file of the function itself: after an edit to a jitted helper in another file its callers
would stay stale. Where no folder is writeable nothing is cached, and everything still works. Folders that have not
been used for a month are removed.

Threads. GNU's OpenMP, over which Numba shares out a `prange` on Linux, lets a thread that waits spin for 20 ms. On
idle cores that costs nothing, but as soon as any other program wants a core too, two of our threads share one, and
every launch takes those 20 ms (measured: a product of 16 us). So it is told to spin for 0.05 ms and then to sleep
(0.08 ms; on idle cores 16 us as before, 38 us after a pause), unless the user has set `GOMP_SPINCOUNT` or
`OMP_WAIT_POLICY`. Where Numba finds neither OpenMP nor TBB, its own "workqueue" ends the process if two threads launch
at once; there a lock makes them wait for each other.
"""

import contextlib
import functools
import hashlib
import importlib
import os
import shutil
import stat
import sys
import threading
import time
from pathlib import Path

import numba
from numba import config

from tinymm.kernels import _cache

FAST = {"reassoc", "contract", "nsz", "arcp"}
COMPILED = []  # every dispatcher made here, so that a test can count the signatures that were compiled
SPIN = "1000"  # rounds; 0.05 ms
UNUSED = 30 * 24 * 3600  # seconds after which a folder of compiled code is removed


def jit(function=None, *, parallel=False, fast=True, inline="never", cache=True):
    """``numba.njit`` without the GIL, with NumPy's error model and this project's cache.

    Parameters
    ----------
    parallel : bool
        Allow `numba.prange`. Parallel functions are called from Python only, never from a compiled function.
    fast : bool
        Allow sums to be reordered (see the module's text); False keeps the order of the source exactly.
    inline : str
        As for `numba.njit`.
    cache : bool
        False for functions that close over other functions (Numba cannot cache those).
    """
    if function is None:
        return functools.partial(jit, parallel=parallel, fast=fast, inline=inline, cache=cache)
    _load_blas()
    dispatcher = numba.njit(
        function, parallel=parallel, nogil=True, fastmath=FAST if fast else False, error_model="numpy", inline=inline
    )
    COMPILED.append(dispatcher)
    folder = cache_folder() if cache else None
    if folder is not None:
        before = config.CACHE_DIR
        config.CACHE_DIR = str(folder)
        try:
            dispatcher.enable_caching()
        except RuntimeError:  # no locator: e.g. a function typed at the prompt
            pass
        finally:
            config.CACHE_DIR = before
    return _OneAtATime(dispatcher) if parallel and only_workqueue() else dispatcher


@contextlib.contextmanager
def environment(variables):
    """Set environment variables for the length of a block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@functools.cache
def only_workqueue():
    """Whether Numba shares out work by its own threads only, which must not be asked from two places at once."""
    if config.DISABLE_JIT:
        return False
    if config.THREADING_LAYER == "workqueue":
        return True
    for layer in ("omppool", "tbbpool"):
        try:
            importlib.import_module(f"numba.np.ufunc.{layer}")
        except ImportError:
            continue
        return False
    return True


@functools.cache
def _load_blas():
    """Numba's first compilation imports `scipy.linalg`; SciPy's OpenBLAS has to be started our way before that."""
    from tinymm.kernels.compiled import _blas

    _blas.blas()


def _load_openmp():
    """OpenMP reads its environment once, when it is loaded."""
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
        with environment({"GOMP_SPINCOUNT": SPIN}), contextlib.suppress(ImportError):
            importlib.import_module("numba.np.ufunc.omppool")


class _OneAtATime:
    """A parallel function behind the lock that all of them share."""

    _lock = threading.RLock()

    def __init__(self, dispatcher):
        self._dispatcher = dispatcher

    def __call__(self, *args):
        with self._lock:
            return self._dispatcher(*args)

    def __getattr__(self, name):
        return getattr(self._dispatcher, name)


@functools.cache
def cache_folder():
    """The folder of this version's compiled code, or None where nothing is writeable."""
    if config.DISABLE_JIT:
        return None
    for base in _cache.bases():
        folder = base / f"kernels-{source_hash()}"
        if _cache.writeable(folder) and _is_ours(folder):
            _remove_unused(folder)
            return folder
    return None


def _remove_unused(folder):
    """Remove the code of other versions that nobody has used for a month; `folder` is in use now."""
    with contextlib.suppress(OSError):
        os.utime(folder)
        for other in folder.parent.glob("kernels-*"):
            if other != folder and time.time() - other.stat().st_mtime > UNUSED:
                shutil.rmtree(other, ignore_errors=True)


@functools.cache
def source_hash():
    """A hash of all kernel sources and of the versions that decide what they compile to."""
    digest = hashlib.sha256(f"{sys.version}{numba.__version__}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _is_ours(folder):
    """Cached code is executed: never take it from a folder that somebody else could have written."""
    if not hasattr(os, "getuid"):
        return True
    for path in (folder, folder.parent):
        info = path.stat()
        if info.st_uid != os.getuid() or info.st_mode & stat.S_IWOTH:
            return False
    return True


if not config.DISABLE_JIT:
    _load_openmp()
