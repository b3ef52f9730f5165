"""The one way in which tinymm compiles: Numba's `njit` with this project's flags and its own cache.

Flags. ``fastmath={reassoc, contract, nsz, arcp}`` with ``error_model="numpy"`` lets LLVM reorder and fuse sums, and
keeps NaN and infinity defined: plain ``fastmath=True`` would let it assume that neither exists.

Cache. Compiled code is kept in a folder whose name is a hash of every source file of the kernels, because Numba
alone looks only at the file of the function itself: after an edit to a jitted helper in another file its callers
would stay stale. Where no folder is writeable nothing is cached, and everything still works.
"""

import functools
import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path

import numba
from numba import config

FAST = {"reassoc", "contract", "nsz", "arcp"}
COMPILED = []  # every dispatcher made here, so that a test can count the signatures that were compiled


def jit(function=None, *, parallel=False, fast=True, inline="never", cache=True):
    """``numba.njit`` without the GIL, with NumPy's error model and this project's cache.

    Parameters
    ----------
    parallel : bool
        Allow `numba.prange`. Only functions that the main thread calls may be parallel.
    fast : bool
        Allow sums to be reordered (see the module's text); False keeps the order of the source exactly.
    inline : str
        As for `numba.njit`.
    cache : bool
        False for functions that close over other functions (Numba cannot cache those).
    """
    if function is None:
        return functools.partial(jit, parallel=parallel, fast=fast, inline=inline, cache=cache)
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
    return dispatcher


@functools.cache
def cache_folder():
    """The folder of this version's compiled code, or None where nothing is writeable."""
    if config.DISABLE_JIT:
        return None
    for base in _cache_bases():
        folder = base / f"kernels-{source_hash()}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError:
            continue
        if _is_ours(folder):
            return folder
    return None


@functools.cache
def source_hash():
    """A hash of all kernel sources and of the versions that decide what they compile to."""
    digest = hashlib.sha256(f"{sys.version}{numba.__version__}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_bases():
    if "TINYMM_CACHE" in os.environ:
        yield Path(os.environ["TINYMM_CACHE"])
        return
    if sys.platform == "win32":
        yield Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "tinymm"
    elif sys.platform == "darwin":
        yield Path.home() / "Library" / "Caches" / "tinymm"
    else:
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinymm"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir()) / f"tinymm-{user}"


def _is_ours(folder):
    """Cached code is executed: never take it from a folder that somebody else could have written."""
    if not hasattr(os, "getuid"):
        return True
    for path in (folder, folder.parent):
        info = path.stat()
        if info.st_uid != os.getuid() or info.st_mode & stat.S_IWOTH:
            return False
    return True
