"""How tinymm compiles: where the code is kept, when it is thrown away, and how parallel functions are launched."""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinymm
from tinymm.kernels.compiled import _jit

PACKAGE = Path(tinymm.__file__).parent
PRODUCT = """
import numpy as np
from tinymm import kernels
a = np.ones((100, 100), np.float32)
assert np.array_equal(kernels.matmul(a, a), np.full((100, 100), 100, np.float32))
"""


def run(code, folder=None, **environment):
    """The output of Python code in a process of its own; `folder` is where that process finds tinymm."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("TINYMM_CACHE", "NUMBA_"))}
    variables.update(environment)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=variables,
        cwd=folder or PACKAGE.parent,  # Python looks for modules there first
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@_jit.jit
def half(x):
    return x / 2


def test_jit_keeps_nan_and_infinity_and_divides_as_numpy_does():
    assert half(1.0) == 0.5
    assert np.isnan(half(np.nan)) and half(np.inf) == np.inf

    @_jit.jit(cache=False)
    def divide(a, b):
        return a / b

    assert divide(1.0, 0.0) == np.inf
    assert divide in _jit.COMPILED


def test_code_is_kept_in_the_cache_folder_and_used_again(tmp_path):
    code = PRODUCT + """
from tinymm.kernels.compiled import matmul, _jit
print(_jit.cache_folder(), sum(matmul._parallel.stats.cache_hits.values()))
"""
    folder, hits = run(code, TINYMM_CACHE=str(tmp_path)).split()
    assert Path(folder).parent == tmp_path and hits == "0"
    assert list(Path(folder).rglob("*.nbi"))
    assert run(code, TINYMM_CACHE=str(tmp_path)).split() == [folder, "1"]


def test_an_edit_to_any_kernel_source_makes_another_folder(tmp_path):
    """Also an edit to a helper in another file, which Numba alone would miss."""
    code = "from tinymm.kernels.compiled import _jit; print(_jit.cache_folder())"
    shutil.copytree(PACKAGE, tmp_path / "tinymm", ignore=shutil.ignore_patterns("__pycache__"))
    cache = str(tmp_path / "cache")
    first = run(code, tmp_path, TINYMM_CACHE=cache)
    assert run(code, tmp_path, TINYMM_CACHE=cache) == first
    with open(tmp_path / "tinymm" / "kernels" / "compiled" / "scatter.py", "a") as file:
        file.write("# edited\n")
    assert run(code, tmp_path, TINYMM_CACHE=cache) != first


def test_a_changed_helper_is_seen_by_its_callers(tmp_path):
    """The case behind the hash: the caller's file stays the same, the helper's changes."""
    shutil.copytree(PACKAGE, tmp_path / "tinymm", ignore=shutil.ignore_patterns("__pycache__"))
    compiled = tmp_path / "tinymm" / "kernels" / "compiled"
    (compiled / "helper.py").write_text(
        "from tinymm.kernels.compiled._jit import jit\n@jit\ndef number():\n    return 1\n", encoding="utf-8"
    )
    (compiled / "caller.py").write_text(
        "from tinymm.kernels.compiled._jit import jit\nfrom tinymm.kernels.compiled.helper import number\n"
        "@jit\ndef call():\n    return number()\n",
        encoding="utf-8",
    )
    code = "from tinymm.kernels.compiled import caller; print(caller.call())"
    cache = str(tmp_path / "cache")
    assert run(code, tmp_path, TINYMM_CACHE=cache) == "1"
    helper = compiled / "helper.py"
    helper.write_text(helper.read_text(encoding="utf-8").replace("return 1", "return 2"), encoding="utf-8")
    assert run(code, tmp_path, TINYMM_CACHE=cache) == "2"


@pytest.fixture
def unwriteable(tmp_path):
    """Paths under which no folder can be made, for root neither: they lie below a file."""
    file = tmp_path / "file"
    file.write_text("not a folder", encoding="utf-8")
    return str(file / "home")


def test_where_home_cannot_be_written_the_temporary_folder_is_used(unwriteable, tmp_path):
    code = PRODUCT + "from tinymm.kernels.compiled import _jit; print(_jit.cache_folder())"
    places = {"HOME": unwriteable, "XDG_CACHE_HOME": unwriteable, "LOCALAPPDATA": unwriteable}
    assert run(code, **places, TMPDIR=str(tmp_path), TEMP=str(tmp_path)).startswith(str(tmp_path))


def test_where_nothing_can_be_written_nothing_is_cached(unwriteable, tmp_path):
    """Home, package and temporary folder: as in a container that is mounted read-only."""
    shutil.copytree(PACKAGE, tmp_path / "tinymm", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (tmp_path / "tinymm").rglob("*"):
        path.chmod(stat.S_IREAD | (stat.S_IEXEC if path.is_dir() else 0))
    code = PRODUCT + """
import pathlib, tinymm
from tinymm.kernels.compiled import _jit
print(_jit.cache_folder(), list(pathlib.Path(tinymm.__file__).parent.rglob("*.nb?")))
"""
    try:
        assert run(code, tmp_path, TINYMM_CACHE=unwriteable, PYTHONDONTWRITEBYTECODE="1") == "None []"
    finally:
        for path in (tmp_path / "tinymm").rglob("*"):
            path.chmod(stat.S_IRWXU)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no owner bits")
def test_a_folder_that_others_can_write_is_not_trusted(tmp_path):
    folder = tmp_path / "kernels-0"
    folder.mkdir()
    tmp_path.chmod(0o700)
    folder.chmod(0o700)
    assert _jit._is_ours(folder)
    folder.chmod(0o777)
    assert not _jit._is_ours(folder)
    folder.chmod(0o700)
    tmp_path.chmod(0o777)
    assert not _jit._is_ours(folder)


def test_folders_unused_for_a_month_are_removed(tmp_path):
    current, recent, old, foreign = (tmp_path / name for name in ("kernels-1", "kernels-2", "kernels-3", "other"))
    for folder in (current, recent, old, foreign):
        folder.mkdir()
        (folder / "code").write_text("x", encoding="utf-8")
    long_ago = time.time() - 2 * _jit.UNUSED
    for folder in (current, old, foreign):
        os.utime(folder, (long_ago, long_ago))
    _jit._remove_unused(current)
    assert current.exists() and recent.exists() and foreign.exists() and not old.exists()
    assert time.time() - current.stat().st_mtime < 60


LAUNCHES = """
import threading
import numpy as np
from tinymm import kernels
a = np.ones((150, 150))
wrong = []
def launch():
    for _ in range(200):
        if not np.array_equal(kernels.matmul(a, a), np.full((150, 150), 150.0)):
            wrong.append(1)
kernels.matmul(a, a)
threads = [threading.Thread(target=launch) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not wrong
import numba
from tinymm.kernels.compiled import _jit, matmul
print(numba.threading_layer(), _jit.only_workqueue(), len(matmul._parallel.signatures))
"""


def test_launches_from_several_threads_wait_for_each_other():
    """Without the lock Numba's workqueue ends the process here."""
    assert run(LAUNCHES, NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS="2") == "workqueue True 1"


def test_launches_from_several_threads_in_the_usual_layer():
    layer, locked, _ = run(LAUNCHES, NUMBA_NUM_THREADS="2").split()
    assert (layer == "workqueue") == (locked == "True")


@pytest.mark.parametrize("mine", [{}, {"GOMP_SPINCOUNT": "77"}, {"OMP_WAIT_POLICY": "active"}])
def test_the_spin_count_is_set_for_the_loading_only(mine):
    code = """
import os
seen = []
import importlib
real = importlib.import_module
def watched(name, *rest):
    if name.endswith("omppool"):
        seen.append(os.environ.get("GOMP_SPINCOUNT"))
    return real(name, *rest)
importlib.import_module = watched
before = dict(os.environ)
from tinymm.kernels.compiled import _jit
assert dict(os.environ) == before
print(*seen)
"""
    assert run(code, **mine) == ("" if mine else _jit.SPIN)


def test_environment_is_put_back_after_an_error(monkeypatch):
    monkeypatch.setenv("TINYMM_TEST_A", "before")
    with pytest.raises(KeyError), _jit.environment({"TINYMM_TEST_A": "1", "TINYMM_TEST_B": "2"}):
        assert os.environ["TINYMM_TEST_A"] == "1" and os.environ["TINYMM_TEST_B"] == "2"
        raise KeyError
    assert os.environ["TINYMM_TEST_A"] == "before" and "TINYMM_TEST_B" not in os.environ


def test_without_jit_there_is_no_cache_and_no_compiling():
    code = """
from tinymm.kernels.compiled import _jit
@_jit.jit(parallel=True)
def f(x):
    return x + 1
print(f(1), _jit.cache_folder())
"""
    assert run(code, NUMBA_DISABLE_JIT="1") == "2 None"
