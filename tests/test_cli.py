"""The command `tinymm`: every subcommand does what it says, and exit codes mean something."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import tinymm
from tinymm import cli
from tinymm.data import text
from tinymm.learn import compiling, datasets, figures, lessons

QUICK = """# ---
# title: A quick lesson
# kind: optional
# minutes: 5
# compile: 0
# needs: nothing
# mathematics: none
# python: none
# paper: none
# ---

# %% [markdown]
# ## The question: is it quick?

# %%
from tinymm import learn, viz

lesson = learn.begin("02_kernels")
lesson.predict("quick", "is it quick?")
lesson.claim("quick", "two is more than one", 2.0, above=1.0, settled="holds")
fig, axes = viz.figure()
axes.plot([0, 1])
lesson.figure(fig, "line", alt="A line that rises from zero to one.")

# %% [markdown]
# ## Recap
{more}
# %%
lesson.end()
"""


def run(*arguments, **options):
    """The command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "tinymm", *arguments], capture_output=True, text=True, timeout=120,
                          **options)  # fmt: skip


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """A course of one quick lesson, 02, in a clone of its own; `quick(more)` adds code to it."""
    root = tmp_path / "clone"
    script = root / "lessons" / "02_kernels" / "lesson.py"
    script.parent.mkdir(parents=True)
    monkeypatch.setattr(lessons, "clone", lambda: root)

    def write(more=""):
        script.write_text(QUICK.format(more=more), encoding="utf-8")
        return root

    write()
    return write


# ---- list, run -------------------------------------------------------------------------------------------------------


def test_list_shows_what_is_here_and_what_is_to_come(capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    for name in lessons.COURSE:
        assert name in out
    head = lessons.header("01_autograd")
    assert head.title in out and f"{head.minutes} min" in out and "to come" in out


def test_the_same_as_a_module_and_as_a_command():
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"tinymm {tinymm.__version__}\n")
    command = shutil.which("tinymm", path=os.path.dirname(sys.executable))
    if command is not None:
        assert subprocess.run([command, "--version"], capture_output=True, text=True).stdout == done.stdout


@pytest.mark.parametrize("wanted", ["2", "02", "kernels", "02_kernels"])
def test_run_takes_a_lesson_by_number_or_name(quick, capsys, wanted):
    quick()
    assert cli.main(["run", wanted, "--predict", "quick=a"]) == 0
    out = capsys.readouterr().out
    order = ["Lesson 02: A quick lesson", "The question: is it quick?", "Predict (quick)", "you say: holds",
             "holds: two is more than one: 2; claimed above 1", "Right.", "Recap", "1 claims", "figures: line.png"]
    places = [out.index(text) for text in order]
    assert places == sorted(places)


def test_run_without_a_number_is_lesson_4():
    assert cli._parser().parse_args(["run"]).lesson == "4"
    assert [name for name in lessons.COURSE if name.startswith("04")] == ["04_word2vec"]


def test_a_full_run_draws_the_committed_figures_a_fast_one_does_not(quick, capsys):
    root = quick()
    assert cli.main(["run", "2", "--fast"]) == 0
    assert (root / "runs" / "02_kernels" / "line.png").is_file() and not (root / "figures").exists()
    assert cli.main(["run", "2", "--seed", "7"]) == 0
    assert (root / "figures" / "02_kernels" / "line.png").is_file()
    record = json.loads((root / "runs" / "02_kernels" / "claims.json").read_text())
    assert (record["seed"], record["fast"], record["figures"]) == (7, False, ["line.png"])


def test_what_a_failed_lesson_had_found_is_kept(quick, capsys):
    root = quick("1 / 0")
    assert cli.main(["run", "2"]) == 1
    err = capsys.readouterr().err
    line = QUICK.splitlines().index("{more}") + 1
    assert f"02_kernels, line {line}: division by zero (--debug shows the traceback)" in err
    assert "Traceback" not in err
    record = json.loads((root / "runs" / "02_kernels" / "claims.json").read_text())
    assert [c["verdict"] for c in record["claims"]] == ["holds"]


def test_debug_shows_the_traceback(quick):
    quick("1 / 0")
    with pytest.raises(Exception, match="division by zero"):
        cli.main(["run", "2", "--debug"])
    with pytest.raises(Exception, match="division by zero"):
        cli.main(["--debug", "run", "2"])


def test_a_lesson_leaves_ops_and_backend_as_they_were(quick):
    from tinymm import kernels

    before = set(tinymm.OPS), kernels.backend()
    quick("import tinymm as mm\nmm.op(lambda x: (x, (None,)), name='left_over')\nmm.kernels.use('numpy')")
    assert cli.main(["run", "2", "--fast"]) == 0
    assert (set(tinymm.OPS), kernels.backend()) == before


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT from outside on Windows")
def test_ctrl_c_stops_with_130(tmp_path):
    command = [sys.executable, "-c", "import sys; from tinymm.cli import main; from tinymm.learn import runner\n"
               "def run(*a, **k):\n import time; print('started', flush=True); time.sleep(60)\n"
               "runner.run = run; sys.exit(main(['run', '1']))"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout.readline() == "started\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err.strip() == "tinymm: stopped"


# ---- gradcheck, data, figures, doctor --------------------------------------------------------------------------------


def test_gradcheck_checks_the_ops_named(capsys):
    assert cli.main(["gradcheck", "softmax", "add"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("ok     softmax") and out[1].startswith("ok     add") and out[-1] == "2 ops, none wrong"


def test_gradcheck_finds_a_wrong_gradient_and_an_op_without_samples(capsys):
    import numpy as np

    samples = lambda rng: [tinymm.Sample(rng.normal(size=3))]  # noqa: E731
    try:
        tinymm.op(lambda x: (np.tanh(x), (lambda g: g,)), name="wrong_tanh", samples=samples)
        tinymm.op(lambda x: (np.tanh(x), (lambda g: g,)), name="no_samples")
        assert cli.main(["gradcheck", "wrong_tanh", "no_samples", "tanh"]) == 1
    finally:
        tinymm.OPS.pop("wrong_tanh", None)
        tinymm.OPS.pop("no_samples", None)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("WRONG  wrong_tanh") and "finite difference" in out[0]
    assert out[1].startswith("WRONG  no_samples") and out[2].startswith("ok     tanh") and out[3] == "3 ops, 2 wrong"


def test_data_lists_what_is_below_the_folder_and_looks_into_it(tmp_path, capsys, monkeypatch):
    small = text.from_sentences([["a", "cat", "sat"], ["a", "dog", "sat"]], min_count=1, name="documentation")
    monkeypatch.setattr(datasets, "_documentation", lambda: small)
    (tmp_path / "mine.txt").write_text("one two two\n" * 9)
    monkeypatch.setenv("TINYMM_DATA", str(tmp_path))
    assert cli.main(["data"]) == 0
    out = capsys.readouterr().out
    assert "documentation" in out and "6 words in 2 sentences" in out and "mine.txt" in out and "mnist" in out
    assert cli.main(["data", "mine.txt"]) == 0
    assert "27 words" in capsys.readouterr().out
    assert cli.main(["data", str(tmp_path / "mine.txt")]) == 0
    monkeypatch.delenv("TINYMM_DATA")
    assert cli.main(["data"]) == 0
    assert "TINYMM_DATA is not set" in capsys.readouterr().out


def test_words_that_the_terminal_cannot_show_are_no_error(tmp_path):
    (tmp_path / "korean.txt").write_text("\ub098\ub294 \ub108\ub97c\n" * 9, encoding="utf-8")
    done = run("data", str(tmp_path / "korean.txt"), env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0 and "18 words" in done.stdout


def test_figures_draws_anew_and_says_what_changed(quick, capsys):
    root = quick()
    path = root / "figures" / "02_kernels" / "line.png"
    assert cli.main(["figures", "--check"]) == 1
    assert "02_kernels/line: missing" in capsys.readouterr().out
    assert cli.main(["figures", "2"]) == 0
    assert "changed: 02_kernels/line: new" in capsys.readouterr().out
    drawn = path.read_bytes()
    assert cli.main(["figures"]) == 0
    assert "every figure came out as it was" in capsys.readouterr().out and path.read_bytes() == drawn
    assert cli.main(["figures", "--check"]) == 0

    quick("# a comment, and prose, make nothing stale")
    assert cli.main(["figures", "--check"]) == 0
    quick("axes.plot([1, 0])")
    capsys.readouterr()
    assert cli.main(["figures", "--check"]) == 1
    assert "stale" in capsys.readouterr().out


def test_figures_check_finds_each_fault(quick, capsys):
    root = quick()
    assert cli.main(["run", "2"]) == 0
    folder = root / "figures" / "02_kernels"
    problems = lambda: [s.problem for s in figures.check("02_kernels", folder) if s.problem]  # noqa: E731
    assert problems() == []
    (folder / "old.png").write_bytes((folder / "line.png").read_bytes())
    assert problems() == ["the lesson does not draw it"]
    (folder / "old.png").unlink()
    (folder / "line.alt.txt").unlink()
    assert problems() == ["no alt text"]
    (folder / "line.alt.txt").write_text("A line that rises from zero to one.")
    (folder / "line.png").write_bytes(b"no picture")
    assert problems() == ["not a readable picture"]
    (folder / "line.png").write_bytes(b"0" * 300_001)
    assert "bytes" in problems()[0]


def test_doctor_says_what_is_here(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for row in ("tinymm", "Python", "numpy", "processor", "threads", "cache", "products", "figures", "fonts"):
        assert f"\n{row} " in "\n" + out
    assert "everything that the lessons need is here" in out


def test_doctor_says_what_is_missing(capsys, monkeypatch):
    from tinymm.learn import environment

    version = environment._version
    monkeypatch.setattr(environment, "_version", lambda name: None if name == "safetensors" else version(name))
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "safetensors  MISSING" in out and "problem: safetensors is missing" in out


# ---- exit codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["dance"], ["run", "1", "--speed", "9"], ["run", "1", "--seed", "x"]])
def test_wrong_usage_is_2(arguments, capsys):
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert "usage: tinymm" in said.err + said.out


def test_help_is_0(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in ("list", "run", "gradcheck", "data", "figures", "doctor"):
        assert command in out.partition("commands:")[2].split()
        assert cli.main([command, "--help"]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no pipe of this kind on Windows")
def test_a_reader_that_goes_away_is_no_error():
    with subprocess.Popen([sys.executable, "-m", "tinymm", "list"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:  # fmt: skip
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait(timeout=30) == 0


def test_nothing_is_compiled_and_matplotlib_not_loaded_for_a_list():
    code = ("import sys; from tinymm.cli import main; main(['list']); "
            "print([m for m in ('numba', 'matplotlib', 'scipy.linalg') if m in sys.modules])")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


# ---- compiling -------------------------------------------------------------------------------------------------------


def test_compilation_is_announced_with_its_time_and_the_cache():
    import io

    import numba

    stream = io.StringIO()
    with compiling.announced(about=3, stream=stream) as progress:
        numba.njit(lambda x: x + 1)(1.0)
        numba.njit(lambda x: x + 2)(1.0)
    said = stream.getvalue().splitlines()
    assert progress.count == 2 and progress.seconds > 0
    assert said[0].startswith("compiling kernels, once, about 3 s (") and said[-1].startswith("compiled 2 kernels in")


def test_where_nothing_is_compiled_nothing_is_said():
    import io

    stream = io.StringIO()
    with compiling.announced(stream=stream):
        pass
    assert stream.getvalue() == ""


def test_warming_calls_every_kernel(monkeypatch):
    from tinymm import kernels
    from tinymm.learn import warming

    with kernels.using("numpy"):
        called = set()

        def spy(name, kernel):
            def call(*args, **kwargs):
                called.add(name)
                return kernel(*args, **kwargs)
            return call

        for name in kernels.names():
            monkeypatch.setattr(kernels, name, spy(name, getattr(kernels, name)))
        for _, call in warming.calls():
            call()
        wanted = {name for name, module in kernels.names().items() if module not in ("word2vec", "glove")}
        assert wanted - called == set()
        assert {"word2vec_train", "cooccurrence", "glove_adagrad"} <= called
        monkeypatch.undo()
