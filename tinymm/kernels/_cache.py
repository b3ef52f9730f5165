"""Where compiled code and collected texts are kept; knows neither Numba nor NumPy."""

import os
import sys
import tempfile
from pathlib import Path


def bases():
    """The folders to try, one after the other: the user's cache folder, then one below the temporary folder."""
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


def writeable(folder):
    """Whether `folder` can be written to; it is made where there is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
