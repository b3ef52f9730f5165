"""The commands on a learner's folder, from a newcomer's first hour to a kill in the middle of a write."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tinymm.learn import homework, work

from .conftest import RIGHT, answers, tinymm

FILE = "ex01.py"


def run(*arguments, cwd, code=0, **options):
    done = tinymm(*arguments, cwd=cwd, **options)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


# ---- the newcomer ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_newcomers_path(tmp_path):
    """Look around, run a lesson, begin its homework, see red, fill in, see green, run the lesson on one's own code."""
    assert "01_autograd" in run("list", cwd=tmp_path)
    assert "holds" in run("run", 1, "--fast", "--figures", "figures", cwd=tmp_path)
    assert "work/ex01.py: 4 exercises for Ada" in run("start", 1, "--name", "Ada", cwd=tmp_path)
    red = run("check", 1, cwd=tmp_path, code=1)
    tests = [line for line in red.splitlines() if line.startswith("  ")]
    states = [line.split()[0] for line in tests if line.startswith(("  ok", "  WRONG"))]
    assert len(states) >= 20 and set(states) == {"WRONG"}
    assert len([line for line in tests if "look: " in line]) == len(states)  # each line helpful
    (tmp_path / "work" / FILE).write_text(RIGHT + answers("Ada"))
    green = run("check", 1, cwd=tmp_path)
    assert "WRONG" not in green and len(re.findall("^  ok", green, re.M)) == len(states)
    out = run("run", 1, "--fast", "--figures", "figures", "--with", "work/ex01.py", cwd=tmp_path)
    counted = re.findall(r"(\w+) \(\w+\): forward: yours x(\d+), reference x(\d+)", out)
    assert {name for name, *_ in counted} == {"unbroadcast", "cumsum"}
    assert all(int(yours) > 0 and int(reference) == 0 for _, yours, reference in counted)
    assert "not swapped: check_gradient" in out
    assert "4 of 4 exercises passed" in re.sub(r"4 of \d+", "4 of 4", run("status", cwd=tmp_path).splitlines()[-1])


def test_a_lesson_that_never_calls_theirs_fails(tmp_path):
    (tmp_path / "mine.py").write_text("def layer_norm(x, *args, **kwargs):\n    return x\n")
    done = tinymm("run", 1, "--fast", "--figures", "figures", "--with", "mine.py", cwd=tmp_path)
    assert done.returncode == 1 and "use: nothing of mine.py was called" in done.stderr
    done = tinymm("run", 1, "--with", "stub.py", cwd=tmp_path)
    assert done.returncode == 1 and "stub.py is not there" in done.stderr and len(done.stderr.splitlines()) == 1


# ---- start -----------------------------------------------------------------------------------------------------------


def test_a_stub_has_the_librarys_signature_and_docstring(folder):
    import inspect

    from tinymm.autograd import unbroadcast

    text = folder.text("01_autograd")
    node = work._defined(text)["unbroadcast"]
    assert ast.get_docstring(node) == inspect.getdoc(unbroadcast)
    assert f"({ast.unparse(node.args)})" == str(inspect.signature(unbroadcast))
    assert 'raise NotImplementedError("1.1 unbroadcast is not written yet' in text


def test_start_never_overwrites(folder, capsys):
    path = folder.file("01_autograd")
    mine = RIGHT + answers("Ada")
    path.write_text(mine)
    work.start(folder, "01_autograd")
    assert path.read_text() == mine and "nothing was changed" in capsys.readouterr().out


def test_a_newer_course_adds_only_what_is_missing(folder, capsys):
    path = folder.file("01_autograd")
    mine = "import numpy as np\n\n\ndef unbroadcast(g, s, name=''):\n    return 'mine'  # a note\n"
    path.write_text(mine)
    work.start(folder, "01_autograd")
    text = path.read_text()
    assert text.startswith(mine) and text.count("def unbroadcast") == 1
    for name in ("predict_1_2", "test_check_gradient", "check_gradient", "cumsum"):
        assert name in work._defined(text)
    assert "1.4: added cumsum" in capsys.readouterr().out


def test_start_leaves_a_file_that_is_no_python(folder):
    path = folder.file("01_autograd")
    path.write_text("def half(:\n")
    with pytest.raises(ValueError, match="line 1: .*nothing was changed"):
        work.start(folder, "01_autograd")
    assert path.read_text() == "def half(:\n"


def test_start_keeps_to_the_name(folder):
    with pytest.raises(ValueError, match="this folder is Ada's"):
        work.start(folder, "01_autograd", "Emmy")


def test_another_work_folder(tmp_path):
    run("start", 1, "--name", "Ada", "--work", "elsewhere/mine", cwd=tmp_path)
    assert sorted(p.name for p in (tmp_path / "elsewhere" / "mine").iterdir()) == [FILE, "progress.json"]
    assert not (tmp_path / "work").exists()
    done = tinymm("check", 1, cwd=tmp_path)
    assert done.returncode == 1 and "begin with: tinymm start 1" in done.stderr


@pytest.mark.parametrize(("arguments", "message"), [
    (("check", "1.9"), "no exercise 1.9; there are 1.1, 1.2, 1.3, 1.4"),
    (("check", "99"), "there is no lesson '99'"),
    (("hint", "1"), "name one exercise, like 1.1"),
    (("solution", "1.1"), "1.1 is not passed yet"),
    (("solution", "1.2", "--give-up"), "guess first"),
    (("run", "1", "--with", "nothing.py"), "nothing.py is not there"),
])  # fmt: skip
def test_wrong_use_is_one_line(tmp_path, arguments, message):
    run("start", 1, "--name", "Ada", cwd=tmp_path)
    done = tinymm(*arguments, cwd=tmp_path)
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1


# ---- hint, solution, status ------------------------------------------------------------------------------------------


def test_hints_come_one_after_the_other(folder, capsys):
    exercise = homework.load("01_autograd")[0]
    for k in (1, 2, 3, 3):
        capsys.readouterr()
        work.hint(work.Folder(folder.path), "1.1")
        out = capsys.readouterr().out
        assert [hint in out for hint in exercise.hints] == [i < k for i in range(3)]
    assert work.Folder(folder.path).exercises["1.1"]["hints"] == 3


def test_the_solution_comes_after_passing_or_giving_up(folder, capsys):
    with pytest.raises(ValueError, match="not passed yet"):
        work.solution(folder, "1.1")
    folder.file("01_autograd").write_text(RIGHT)
    work.check(folder, "1.1")
    capsys.readouterr()
    work.solution(folder, "1.1")
    assert "def unbroadcast(gradient, shape" in capsys.readouterr().out
    work.solution(folder, "1.4", give_up=True)
    assert "def cumsum(x, *, axis=None)" in capsys.readouterr().out
    work.status(folder)
    out = capsys.readouterr().out
    assert "1.1   passed" in out and re.search("1.4 .*solution seen", out) and "01_autograd: 1 of 4" in out


@pytest.mark.parametrize("number", ["1.1", "1.2", "1.3", "1.4"])
def test_every_solution_is_python_and_passes(folder, capsys, number):
    folder.exercises[number] = {"passed": True, "checks": 1, "hints": 0, "guess": {}}
    capsys.readouterr()
    work.solution(folder, number)
    ast.parse(capsys.readouterr().out)


def test_what_has_passed_stays_passed(folder, capsys):
    folder.file("01_autograd").write_text(RIGHT)
    assert work.check(folder, "1.1")
    folder.file("01_autograd").write_text("broken(")
    assert not work.check(folder, "1.1")
    assert work.Folder(folder.path).exercises["1.1"]["passed"]


def test_a_guess_is_kept_in_the_progress(folder):
    path = folder.file("01_autograd")
    guess = 'predict_1_2 = {"d_a": 1, "d_b": 2, "by_number": 3, "depth_first": 4, "because": "just a guess", "why": ""}'
    path.write_text(guess)
    assert not work.check(folder, "1.2")
    path.write_text(answers("Ada"))
    assert not work.check(work.Folder(folder.path), "1.2")
    work.reset(folder, "1.2")
    path.write_text(answers("Ada"))
    assert not work.check(work.Folder(folder.path), "1.2")  # not by a reset either
    path.write_text(guess.replace('"why": ""', '"why": "a leads to y twice"'))
    assert work.check(work.Folder(folder.path), "1.2")


# ---- reset -----------------------------------------------------------------------------------------------------------


def test_reset_keeps_a_backup(folder, capsys):
    path, stub = folder.file("01_autograd"), folder.text("01_autograd")
    path.write_text(RIGHT)
    work.check(folder, "1.1")
    work.reset(folder, "1")
    work.reset(folder, "1")  # within the same second
    assert path.read_text() == stub and not folder.exercises["1.1"]["passed"]
    kept = sorted((folder.path / "backup").iterdir())
    assert sorted(p.read_text() for p in kept) == sorted([RIGHT, stub]) and len(kept) == 2


def test_reset_of_one_exercise_leaves_the_others(folder):
    path = folder.file("01_autograd")
    path.write_text(RIGHT + "\n# the end\n")
    work.reset(folder, "1.4")
    text = path.read_text()
    assert text.startswith(RIGHT[: RIGHT.index("def cumsum")]) and text.endswith("# the end\n")
    assert 'raise NotImplementedError("1.4 cumsum' in text and text.count("def cumsum") == 1
    assert RIGHT[RIGHT.index("def check_gradient") :] in text


def test_reset_of_one_exercise_in_a_broken_file_changes_nothing(folder):
    path = folder.file("01_autograd")
    path.write_text("def half(:\n")
    with pytest.raises(ValueError, match="reset 1 as a whole"):
        work.reset(folder, "1.4")
    assert path.read_text() == "def half(:\n" and not (folder.path / "backup").exists()


# ---- watch -----------------------------------------------------------------------------------------------------------


class Watcher:
    def __init__(self, cwd, *arguments):
        self.process = subprocess.Popen([sys.executable, "-u", "-m", "tinymm", "check", *arguments, "--watch"], cwd=cwd,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        os.set_blocking(self.process.stdout.fileno(), False)
        self.seen = ""

    def until(self, words, seconds=200):
        """What was printed until the words came."""
        started = time.monotonic()
        while words not in self.seen:
            assert time.monotonic() - started < seconds, f"no {words!r} in {self.seen!r}"
            self.seen += (self.process.stdout.read() or b"").decode()
            time.sleep(0.01)
        text, _, self.seen = self.seen.partition(words)
        return text


def test_watch(folder):
    """Reacts to a save, shows the first failure only, survives a syntax error and an endless loop, ends when all is
    right."""
    assert work.POLL < 0.5  # within a second of a save
    path = folder.file("01_autograd")
    watcher = Watcher(folder.path.parent, "1.1")
    try:
        watcher.until("look: ")
        work.write(path, "def unbroadcast(:\n")
        text = watcher.until("look: ")
        assert text.count("WRONG") == 1 and "SyntaxError" in text
        path.unlink()  # some editors take the file away for a moment
        time.sleep(2 * work.POLL)
        work.write(path, "def unbroadcast(g, s, name=''):\n    while True:\n        pass\n")
        text = watcher.until("look: ")
        assert text.count("WRONG") == 1 and "did not end within" in text
        work.write(path, RIGHT)
        text = watcher.until("all right")
        assert "1.1 Undo broadcasting (implement): passed" in text
        assert watcher.process.wait(timeout=60) == 0
    finally:
        watcher.process.kill()
        watcher.process.wait()
        watcher.process.stdout.close()


def test_watch_ends_with_ctrl_c(folder):
    watcher = Watcher(folder.path.parent, "1.1")
    try:
        watcher.until("look: ")
        watcher.process.send_signal(signal.SIGINT)
        assert watcher.process.wait(timeout=60) == 130
    finally:
        watcher.process.kill()
        watcher.process.wait()
        watcher.process.stdout.close()


# ---- whole files -----------------------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from tinymm.learn import work
path = Path(sys.argv[1])
k = 0
while True:
    work.write(path, chr(97 + k % 26) * 300_000 + "\\n")
    if k == 3:
        print("going", flush=True)
    k += 1
"""


def test_killed_in_the_middle_of_a_write_the_file_is_whole(tmp_path):
    path = tmp_path / FILE
    for k in range(8):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "going\n"
        time.sleep(0.003 * k + 0.001)
        process.kill()
        process.wait()
        process.stdout.close()
        text = path.read_text()
        assert len(text) == 300_001 and len(set(text)) == 2


@pytest.mark.parametrize("command", [("check", "1"), ("start", "1"), ("reset", "1.4"), ("hint", "1.1")])
def test_killed_at_any_moment_file_and_progress_are_whole(folder, command):
    path = folder.file("01_autograd")
    mine = RIGHT + answers("Ada")
    work.write(path, mine)
    folder.exercises["1.3"] = {"passed": True, "checks": 3, "hints": 1}
    folder.save()
    for delay in (0.15, 0.3, 0.45, 0.6, 0.8, 1.0):
        process = subprocess.Popen([sys.executable, "-m", "tinymm", *command], cwd=folder.path.parent,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        time.sleep(delay)
        process.kill()
        process.wait()
        ast.parse(path.read_text())
        assert path.read_text() == mine or command[0] == "reset"
        record = json.loads((folder.path / "progress.json").read_text())
        assert record["name"] == "Ada" and record["exercises"]["1.3"]["passed"]


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, step):
    path = tmp_path / FILE
    work.write(path, "before")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(work.os, step, full)
    with pytest.raises(OSError, match="No space left"):
        work.write(path, "after")
    assert path.read_text() == "before" and os.listdir(tmp_path) == [FILE]


def test_a_progress_file_that_cannot_be_read_is_said_and_kept(folder):
    folder.progress.write_text("{half")
    with pytest.raises(ValueError, match="progress.json cannot be read .*move it away"):
        work.Folder(folder.path)
    assert folder.progress.read_text() == "{half"
