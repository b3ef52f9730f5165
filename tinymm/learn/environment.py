"""`tinymm doctor`: what is installed, what the kernels run on, where files go, and whether it all works."""

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path

NEEDED = ("numpy", "scipy", "matplotlib", "numba", "tqdm", "safetensors")
OPTIONAL = ("torch", "transformers", "gensim", "jupytext", "pytest")


def report():
    """Print what is found. Returns 1 if something is missing that the lessons need, else 0."""
    import tinymm

    problems = []
    _row("tinymm", f"{tinymm.__version__}, {_installed_as()}")
    _row("Python", f"{platform.python_version()} at {sys.executable}")
    _row("system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    for name in NEEDED:
        version = _version(name)
        _row(name, version or "MISSING")
        if version is None:
            problems.append(f"{name} is missing; try: python -m pip install {name}")
    _row("optional", ", ".join(f"{n} {_version(n)}" for n in OPTIONAL if _version(n)) or "none")
    _row("processor", f"{processor()}, {os.cpu_count()} cores seen, {_allowed()} allowed")
    for name, value in _kernels(problems):
        _row(name, value)
    for name, folder in _folders():
        problem = _problem(folder)
        _row(name, f"{folder}{f' (not writeable: {problem})' if problem else ''}")
    _row("fonts", _fonts(problems))
    from tinymm.learn import lessons

    _row("lessons", f"{len(lessons.present())} in {lessons.folder()}")
    if not lessons.present():
        problems.append("no lessons found; install the wheel or run from a clone")
    for problem in problems:
        print(f"problem: {problem}")
    print("everything that the lessons need is here" if not problems else f"{len(problems)} problems")
    return int(bool(problems))


def warm():
    """Compile the kernels that lessons use, ahead, with a progress bar; they are kept in the cache folder."""
    from tinymm import kernels
    from tinymm.learn import compiling, warming

    if kernels.backend() != "numba":
        print("the kernels in use are the plain NumPy ones: nothing to compile")
        return
    from tqdm import tqdm

    with compiling.announced(stream=sys.stdout) as progress:
        for _, call in tqdm(warming.calls(), desc="kernels", unit="kernel", disable=None, leave=False):
            call()
    if not progress.count:
        print("all kernels were compiled already")


def processor():
    """The processor's name, as the system gives it."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
        if found:
            return found.group(1).strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _kernels(problems):
    from tinymm import kernels

    yield "kernels", f"{kernels.backend()}"
    if kernels.backend() == "numba":
        import numba

        from tinymm.kernels.compiled import _jit

        yield "cache", str(_jit.cache_folder() or "none: no folder is writeable, every process compiles anew")
        try:
            yield "products", _products()
        except Exception as problem:  # whatever is broken, the doctor goes on and says so
            problems.append(f"matrix products: {problem}")
        try:
            layer = numba.threading_layer()
        except ValueError:  # nothing has run in parallel
            layer = "not started"
        yield "threads", f"{numba.get_num_threads()}, threading layer {layer}"


def _products():
    """Which library multiplies matrices, on how many threads; with what speed."""
    import time

    import numpy as np

    from tinymm import kernels
    from tinymm.kernels.compiled._blas import blas

    a = np.ones((512, 512), np.float32)
    kernels.matmul(a, a)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        kernels.matmul(a, a)
        times.append(time.perf_counter() - start)
    found = blas()
    route = f"SciPy's {found.core} kernels" if found.route == "scipy" else f"NumPy's BLAS ({found.reason})"
    return f"{route}, {2 * 512**3 / sorted(times)[3] / 1e9:.0f} GFLOP/s at 512 x 512 x 512 in float32"


def _folders():
    from tinymm.learn import lesson, lessons

    yield "here", Path.cwd()
    root = lessons.clone()
    yield "figures", (root or Path.cwd()) / "figures"
    yield "spare", lesson.spare()
    if os.environ.get("TINYMM_DATA"):
        yield "TINYMM_DATA", Path(os.environ["TINYMM_DATA"])


def _problem(folder):
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return None if os.access(folder, os.W_OK) else "read-only"


def _fonts(problems):
    try:
        from matplotlib import font_manager

        font_manager.findfont("DejaVu Sans", fallback_to_default=False)
        hangul = re.compile(r"CJK|Nanum|Malgun|AppleGothic|Gulim|Batang|UnDotum|Baekmuk")
        korean = next((f.name for f in font_manager.fontManager.ttflist if hangul.search(f.name)), None)
    except Exception as problem:
        problems.append(f"fonts: {problem}")
        return "broken"
    return f"DejaVu Sans; for Korean {korean or 'none (romanised labels are used)'}"


def _installed_as():
    from tinymm.learn import lessons

    return f"a clone at {lessons.clone()}" if lessons.clone() else f"installed at {lessons.package()}"


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _allowed():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _row(name, value):
    print(f"{name:<12} {value}")
