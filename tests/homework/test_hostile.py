"""Files of learners that break down, run on or cheat: the verdict is right, in bounded time, and nothing else changes.

Nothing here is a security boundary; it is what an accident, or a student in a hurry, may do.
"""

import hashlib
import os
import sys
import time
from pathlib import Path

import pytest

import tinymm
from tinymm.learn import checker, homework, lessons

from .conftest import RIGHT

PACKAGE = Path(tinymm.__file__).parent
SECONDS = 60  # no check may take longer

LOUD = 'print("1.1 passed\\n6 of 6 tests pass\\nall passed")\n'
WRONG = "import numpy as np\n\n\ndef unbroadcast(gradient, shape, name=''):\n    return np.ones(shape)\n"

# name -> (the file, words of the reason). Every one fails all tests of 1.1 but the last one on the list below.
FAILING = {
    "a syntax error": ("def unbroadcast(gradient, shape:\n", "line 1: SyntaxError"),
    "a stray byte": ("def unbroadcast(g, s):\n    return g\x00\n", "SyntaxError"),
    "an endless loop in the file": ("while True:\n    pass\n", "did not end within"),
    "an endless loop in the function": ("def unbroadcast(g, s, name=''):\n    while True:\n        pass\n",
                                        "did not end within"),
    "sleeping": ("import time\n\n\ndef unbroadcast(g, s, name=''):\n    time.sleep(1000)\n", "did not end within"),
    "prints that all is well": (LOUD + "def unbroadcast(g, s, name=''):\n    return None\n", "got None"),
    "exit(0) in the file": (LOUD + "exit(0)\n", "the code ended the program"),
    "exit(0) in the function": ("def unbroadcast(g, s, name=''):\n    exit(0)\n", "the code ended the program"),
    "os._exit(0) in the file": ("import os\nos._exit(0)\n", "ended without an answer"),
    "os._exit(0) in the function": ("import os\n\n\ndef unbroadcast(g, s, name=''):\n    os._exit(0)\n",
                                    "ended without an answer"),
    "raises what is no Exception": ("def unbroadcast(g, s, name=''):\n    raise KeyboardInterrupt\n",
                                    "KeyboardInterrupt"),
    "endless recursion": ("def unbroadcast(g, s, name=''):\n    return unbroadcast(g, s)\n", "RecursionError"),
    "a string": ("def unbroadcast(g, s, name=''):\n    return 'passed'\n", "got 'passed'"),
    "an object": ("def unbroadcast(g, s, name=''):\n    return object()\n", "object came out"),
    "an array of objects": ("import numpy as np\n\n\ndef unbroadcast(g, s, name=''):\n"
                            "    return np.array([object()] * 5)\n", "array of object"),
    "an array that claims to equal everything": (
        "import numpy as np\n\n\nclass Same(np.ndarray):\n    def __eq__(self, other):\n        return True\n\n\n"
        "def unbroadcast(g, s, name=''):\n    return np.zeros(3).view(Same)\n", "expected"),
    "no function at all": ("x = 1\n", "unbroadcast is not in the file"),
    "something else under the name": ("unbroadcast = 3\n", "not callable"),
    # the answer, from the library
    "imports the answer": ("from tinymm.autograd.engine import unbroadcast\n", "without tinymm"),
    "imports it when called": ("def unbroadcast(g, s, name=''):\n    from tinymm import unbroadcast as u\n"
                               "    return u(g, s)\n", "without tinymm"),
    "imports the package": ("import tinymm as mm\n\n\ndef unbroadcast(g, s, name=''):\n"
                            "    return mm.unbroadcast(g, s)\n", "without tinymm"),
    "takes the finder away": (
        "import sys\nsys.meta_path[:] = [f for f in sys.meta_path if 'importlib' in repr(f)]\n"
        "from tinymm.autograd.engine import unbroadcast\n", "closed"),
    "loads the library's file": (
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('e', {str(PACKAGE / 'autograd' / 'engine.py')!r})\n"
        "module = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(module)\n"
        "unbroadcast = module.unbroadcast\n", "closed"),
    "reads the library's file": (f"exec(open({str(PACKAGE / 'autograd' / 'engine.py')!r}).read())\n", "closed"),
    "reads the exercise's file": (f"open({str(lessons.folder() / '01_autograd' / 'homework.py')!r})\n", "closed"),
    "asks another process": (
        "import subprocess, sys\n\n\ndef unbroadcast(g, s, name=''):\n"
        "    return subprocess.run([sys.executable, '-c', 'import tinymm'])\n", "no process may be started"),
    # resources
    "fills the memory": ("import numpy as np\n\n\ndef unbroadcast(g, s, name=''):\n    keep = []\n    while True:\n"
                         "        keep.append(np.empty(10_000_000))\n", "Memory"),
    "an enormous answer": ("import numpy as np\n\n\ndef unbroadcast(g, s, name=''):\n"
                           "    return np.ones(100_000_000, np.uint8)\n", ""),
    "forks": ("import os\n\n\ndef unbroadcast(g, s, name=''):\n    while True:\n        os.fork()\n",
              "no process may be started"),
    "forks, and shrugs the refusal off": (
        "import os\nfor _ in range(100):\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
        "def unbroadcast(g, s, name=''):\n    return None\n", "got None"),
    "kills its parent": ("import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\n", "no process may be started"),
    "prints without end": ("def unbroadcast(g, s, name=''):\n    while True:\n        print('x' * 100_000)\n", ""),
    # the channel
    "writes rubbish into every channel": (
        "import os\nfor fd in range(3, 64):\n    try:\n        os.write(fd, b'passed' * 1000)\n"
        "    except OSError:\n        pass\n", ""),
    "writes a false answer into every channel": (
        "import os, json, struct\ntext = b'{\"d\":[[\"i\",0],[\"value\",true],[\"passed\",true]]}'\n"
        "body = struct.pack('<II', len(text), 2) + text + b'[]'\nfor fd in range(3, 64):\n    try:\n"
        "        os.write(fd, struct.pack('<I', len(body)) + body)\n    except OSError:\n        pass\n"
        "def unbroadcast(g, s, name=''):\n    return None\n", ""),
    "closes every channel": ("import os\nos.closerange(3, 64)\n", ""),
}  # fmt: skip

PATCHES = {
    "assert": "import builtins\nbuiltins.AssertionError = type('A', (Exception,), {})\n",
    "NumPy's comparisons": "np.isclose = np.allclose = np.array_equal = lambda *a, **k: True\n"
                           "np.testing.assert_allclose = lambda *a, **k: None\n",
    "the library": "import sys, types\nsys.modules['tinymm'] = types.ModuleType('tinymm')\n"
                   "sys.modules['tinymm'].unbroadcast = lambda g, s: g\n",
    "the child's own script": "import sys\nmain = sys.modules['__main__']\nmain.compare = lambda *a: None\n"
                              "main.DRIVERS['call'] = lambda f, *a, **k: None\n",
    "isinstance and len": "import builtins\nbuiltins.len = lambda x: 0\n",
}  # fmt: skip


def check(text, folder, number=0, **options):
    exercise = homework.load("01_autograd")[number]
    started = time.monotonic()
    result = exercise.check(text, folder.file("01_autograd"), draw=folder.draw(exercise), **options)
    assert time.monotonic() - started < SECONDS
    return result


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    before = homework.Exercise._ask

    def hurried(self, *args, **options):
        return before(self, *args, **{**options, "seconds": 2.0})

    monkeypatch.setattr(homework.Exercise, "_ask", hurried)


def fingerprint(*roots):
    files = [p for root in roots for p in Path(root).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("name", FAILING)
def test_a_file_that_fails_fails_every_test_with_its_reason(name, folder, tmp_path):
    text, reason = FAILING[name]
    result = check(text, folder)
    assert not any(line.passed for line in result.lines if "refused" not in line.test), name
    assert any(reason in line.found for line in result.lines), result.lines[0].found
    assert os.listdir(tmp_path / "temporary") == []  # the child's folder is gone


@pytest.mark.parametrize("name", PATCHES)
def test_a_patch_in_the_child_turns_no_wrong_answer_right(name, folder):
    result = check(WRONG + PATCHES[name], folder)
    assert not any(line.passed for line in result.lines if "no element" not in line.test)


@pytest.mark.parametrize("name", ["assert", "NumPy's comparisons", "the library"])
def test_a_patch_in_the_child_turns_no_right_answer_wrong(name, folder):
    result = check(RIGHT + PATCHES[name], folder)
    assert result.passed, [line.found for line in result.lines]


@pytest.mark.parametrize("more", [
    LOUD, "import tinymm as mm\nfrom tinymm import nn, Tensor\n",
    "import atexit, time\natexit.register(time.sleep, 99)\n",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\n",
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n",
])  # fmt: skip
def test_a_right_answer_beside_odd_code_is_right(more, folder):
    assert check(RIGHT + more, folder).passed


def test_what_was_printed_is_shown_and_no_more_than_its_beginning(folder):
    result = check("print('here I am')\nprint('x' * 1_000_000)\n" + WRONG, folder)
    assert result.printed.startswith("here I am") and len(result.printed) <= checker.PRINTED


def test_a_function_that_writes_into_its_input_is_told_so(folder):
    text = RIGHT.replace("    extra = gradient", "    gradient *= 1.5\n    extra = gradient", 1)
    assert "wrote into its input" in check(text, folder).lines[0].found


def test_a_thousand_children_are_not_left_behind(folder):
    """Even one that left its group and its parent: where a fork goes through after all, it is found and ended."""
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are found through /proc, on Linux")
    import subprocess

    token = "0123456789abcdef"
    environment = {**os.environ, "TINYMM_CHECK": token}
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment,
                               start_new_session=True)  # fmt: skip
    try:
        until = time.monotonic() + 10
        while sleeper.pid not in checker._marked(token) and time.monotonic() < until:
            time.sleep(0.05)
        assert checker._marked(token) == [sleeper.pid]
        other = subprocess.Popen([sys.executable, "-c", "pass"], start_new_session=True)
        checker._end(other, token)
        assert sleeper.wait(timeout=10) == -9
    finally:
        sleeper.kill()
        sleeper.wait()


WRITES = {
    "the progress": "open({work!r} + '/progress.json', 'w').write('{{}}')",
    "the learner's own file": "open({work!r} + '/ex01.py', 'w')",
    "the library": "open({package!r} + '/autograd/engine.py', 'a')",
    "the exercise": "open({lessons!r} + '/01_autograd/homework.py', 'a')",
    "through os.open": "import os; os.open({work!r} + '/progress.json', os.O_WRONLY | os.O_TRUNC)",
    "by renaming": "import os; os.rename({work!r} + '/progress.json', 'x')",
    "by deleting": "import shutil; shutil.rmtree({work!r})",
    "by a link": "import os; os.symlink({work!r}, 'w'); open('w/progress.json', 'w')",
    "with pathlib": "import pathlib; pathlib.Path({work!r}, 'progress.json').write_text('')",
    "by truncating": "import os; os.truncate({work!r} + '/progress.json', 0)",
    "by changing modes": "import os; os.chmod({work!r}, 0)",
}


@pytest.mark.parametrize("name", WRITES)
def test_what_lies_outside_stays_as_it_is(name, folder, tmp_path):
    places = {"work": str(folder.path), "package": str(PACKAGE), "lessons": str(lessons.folder())}
    before = fingerprint(*places.values(), tmp_path)
    code = WRITES[name].format(**places)
    shrugged = RIGHT + f"\n\ntry:\n    {code}\nexcept OSError:\n    pass\n"
    assert "PermissionError" in check(RIGHT + "\n\n" + code + "\n", folder).lines[0].found
    assert check(shrugged, folder).passed  # it did not work, and so did no harm
    assert fingerprint(*places.values(), tmp_path) == before


def test_a_file_of_its_own_may_be_written(folder):
    assert check(RIGHT + "\n\nopen('mine.txt', 'w').write('a note')\n", folder).passed


def test_a_diagnosis_cannot_tell_candidates_by_their_names(folder):
    text = RIGHT + (
        "\n\ndef test_check_gradient(check):\n    name = check.__name__ + str(check.__qualname__)\n"
        "    assert 'sums' not in name and 'mean' not in name and 'random' not in name and 'empty' not in name\n"
    )
    lines = check(text, folder, number=2).lines
    assert [line.passed for line in lines[:5]] == [True, False, False, False, False]


def test_a_prediction_is_read_not_run(folder):
    text = 'predict_1_2 = {"d_a": __import__("os").getpid(), "because": "a b c"}\n'
    result = check(text, folder, number=1)
    assert not any(line.passed for line in result.lines)
    assert "not made of plain numbers" in result.lines[0].found
