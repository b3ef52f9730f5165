"""The course: every lesson runs, its claims follow from its numbers, and it uses only what was introduced."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from tinymm.learn import claims, figures, lessons, modules
from tinymm.learn import lesson as context

HERE = lessons.present()

# ---- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("region, verdict", [
    ({"above": 0.0}, "holds"), ({"above": 2.5}, "fails"), ({"above": 1.5}, "undecided"),
    ({"below": 3.0}, "holds"), ({"below": 0.5}, "fails"), ({"below": 1.5}, "undecided"),
    ({"within": (0.5, 2.5)}, "holds"), ({"within": (2.5, 3)}, "fails"), ({"within": (1.5, 3)}, "undecided"),
    ({"within": (1.4, 1.6)}, "undecided"),
])  # fmt: skip
def test_the_verdict_follows_from_interval_and_region(region, verdict):
    measured = claims.Measured(1.5, 1.0, 2.0, "given")
    assert claims.judge("a", "a claim", measured, **region).verdict == verdict


def test_nan_never_holds():
    for region in ({"above": 0.0}, {"below": 0.0}, {"within": (-9.0, 9.0)}):
        assert claims.judge("a", "a claim", math.nan, **region).verdict == "fails"
        assert claims.judge("a", "a claim", [1.0, math.nan, 2.0], **region).verdict == "fails"


def test_the_interval_of_seeds_is_students():
    m = claims.measure([1.0, 2.0, 3.0])
    assert (m.value, m.how, m.values) == (2.0, "mean of 3", (1.0, 2.0, 3.0))
    assert m.high - m.value == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)  # sd 1, two degrees of freedom
    assert m.value - m.low == pytest.approx(m.high - m.value)
    with pytest.raises(ValueError, match="at least two"):
        claims.measure([1.0])


def test_the_table_of_t_is_students_and_never_too_small():
    from scipy.stats import t

    for freedom in range(1, 200):
        exact = t.ppf(0.975, freedom)
        assert exact - 1e-4 <= claims.t_quantile(freedom) <= exact * 1.04


def test_wilsons_interval():
    m = claims.proportion(0, 10)
    assert (m.value, m.low) == (0.0, 0.0) and m.high == pytest.approx(0.2775, abs=1e-3)
    assert claims.proportion(10, 10).low == pytest.approx(1 - m.high)
    with pytest.raises(ValueError, match="11 of 10"):
        claims.proportion(11, 10)


@pytest.mark.parametrize("wrong", [{}, {"above": 1, "below": 2}, {"above": 1, "settled": "sure"}])
def test_a_claim_without_one_region_is_refused(wrong):
    with pytest.raises(ValueError, match="claim 'a'"):
        claims.judge("a", "a claim", 1.0, **wrong)


def test_what_fast_cannot_test_says_so():
    claim = claims.judge("a", "a claim", None, above=1.0, tested=False)
    assert claim.verdict == "not tested in --fast" and "not tested" in claim.line() and claim.measured is None


# ---- lesson, prediction ----------------------------------------------------------------------------------------------


@pytest.fixture
def lesson(tmp_path):
    return context.Lesson("01_autograd", fast=True, figures=tmp_path, predict=["coin=b"])


def test_a_prediction_is_asked_before_and_answered_after(lesson, capsys):
    lesson.predict("coin", "is it fair?")
    assert lesson.claim("coin", "the coin is fair", 0.9, within=(0.4, 0.6)) == "fails"
    out = capsys.readouterr().out
    assert out.index("Predict (coin)") < out.index("you say: fails") < out.index("0.9") < out.index("Right.")


def test_a_prediction_without_an_answer_does_not_wait(lesson, capsys):
    lesson.predict("other", "is it?", ["yes", "no"])
    lesson.reveal("other", "yes")
    assert "you" not in capsys.readouterr().out


def test_an_answer_that_is_none_of_the_options_is_refused(tmp_path):
    lesson = context.Lesson("01_autograd", figures=tmp_path, predict=["coin=z"])
    with pytest.raises(ValueError, match="coin=z"):
        lesson.predict("coin", "is it fair?")
    with pytest.raises(ValueError, match="NAME=ANSWER"):
        context.Lesson("01_autograd", figures=tmp_path, predict=["coin"])


def test_a_claim_has_a_name_of_its_own(lesson):
    lesson.claim("a", "a claim", 1.0, above=0.0)
    with pytest.raises(ValueError, match="already"):
        lesson.claim("a", "another claim", 1.0, above=0.0)


def test_figures_of_a_clone_go_where_they_belong(tmp_path, monkeypatch):
    root = lessons.clone()
    if root is None:  # installed: where the user stands
        monkeypatch.chdir(tmp_path)
        assert context.places("01_autograd") == (tmp_path / "figures" / "01_autograd",) * 2
        return
    assert context.places("01_autograd") == (root / "figures" / "01_autograd", root / "runs" / "01_autograd")
    assert context.places("01_autograd", fast=True) == (root / "runs" / "01_autograd",) * 2


def test_figures_of_an_installed_package_go_where_the_user_stands(tmp_path, monkeypatch):
    monkeypatch.setattr(lessons, "clone", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert context.places("01_autograd") == (tmp_path / "figures" / "01_autograd",) * 2
    assert lessons.folder() == lessons.package() / "_lessons"


def test_where_nothing_else_is_writeable_figures_go_to_the_temporary_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lessons, "clone", lambda: None)
    monkeypatch.setattr(context, "spare", lambda: tmp_path / "spare")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "figures").write_text("a file is in the way")
    assert context.places("01_autograd")[0] == tmp_path / "spare" / "figures" / "01_autograd"
    assert "cannot write to" in capsys.readouterr().err


# ---- every lesson: form ----------------------------------------------------------------------------------------------


def test_the_lessons_that_are_here_are_in_the_table():
    folders = {p.parent.name for p in lessons.folder().glob("*/lesson.py")}
    assert folders and folders == set(HERE)


@pytest.mark.parametrize("name", HERE)
def test_header_and_needs(name):
    head = lessons.header(name)
    assert head.title and head.kind in ("core", "optional") and 5 <= head.minutes <= 120
    assert name[:2] in modules.reach(name)  # and what it needs exists and comes before it


@pytest.mark.parametrize("name", HERE)
def test_sections_stand_in_the_course_order(name):
    found = [text for _, text in lessons.headings(name)]
    places = {section: [i for i, text in enumerate(found) if text.startswith(section)] for section in lessons.SECTIONS}
    assert [section for section, at in places.items() if len(at) != 1] == []
    assert sorted(places, key=places.get) == list(lessons.SECTIONS)


@pytest.mark.parametrize("name", HERE)
def test_length_and_last_line(name):
    lines = lessons.script(name).read_text(encoding="utf-8").splitlines()
    assert 250 <= len(lines) <= 480
    assert lines[-1] == "lesson.end()"


@pytest.mark.parametrize("name", HERE)
def test_a_lesson_uses_only_what_was_introduced(name):
    assert modules.too_early(name) == []


def test_the_table_of_modules_names_things_that_exist():
    import importlib

    import tinymm
    import tinymm.ops

    for dotted, number in modules.INTRODUCED.items():
        module, _, last = dotted.rpartition(".")
        if number is not None and f"{number}" > "05":
            continue  # to come
        if module in ("", "tinymm") and last in tinymm.OPS:
            continue
        try:
            importlib.import_module(dotted)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), last), dotted


def test_use_before_introduction_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "02_kernels").mkdir()
    values = {"kind": "core", "minutes": "5", "compile": "0", "needs": "nothing"}
    header = [f"# {key}: {values.get(key, 'x')}" for key in lessons.KEYS]
    code = ["import tinymm as mm", "from tinymm.data import text", "mm.nn.Linear(2, 3)", "mm.kernels.matmul"]
    text = "\n".join(["# ---", *header, "# ---", *code])
    (tmp_path / "02_kernels" / "lesson.py").write_text(text)
    monkeypatch.setattr(lessons, "folder", lambda: tmp_path)
    assert modules.too_early("02_kernels") == [("tinymm.data.text", "04"), ("tinymm.nn.Linear", "03")]


@pytest.mark.parametrize("name", HERE)
def test_jupytext_reads_a_lesson_as_a_notebook(name):
    jupytext = pytest.importorskip("jupytext")
    notebook = jupytext.read(lessons.script(name))
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds.count("markdown") >= 8 and kinds.count("code") >= 8


# ---- every lesson: run -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", HERE)
def test_a_lesson_runs_fast_with_verdicts_that_follow_and_figures_that_are_described(name, tmp_path):
    command = [sys.executable, "-m", "tinymm", "run", name, "--fast", "--figures", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=280,
                             env={**os.environ, "PYTHONWARNINGS": "default"})  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert "Warning" not in process.stderr, process.stderr
    for _, heading in lessons.headings(name):
        assert heading in process.stdout
    assert str(tmp_path / name) in process.stdout

    record = json.loads((tmp_path / name / "claims.json").read_text(encoding="utf-8"))
    assert record["fast"] and record["claims"]
    for claim in record["claims"]:
        follows(claim)

    states = figures.check(name, tmp_path / name)
    assert [s for s in states if s.problem] == []
    assert sorted(record["figures"]) == sorted(f"{n}.png" for n in lessons.figure_names(name))


def follows(claim):
    """The verdict follows from the numbers, and is the one that a settled claim must have."""
    m = claim["measured"]
    if m is None:
        assert claim["verdict"] == "not tested in --fast"
        return
    if m["values"]:
        again = claims.measure(m["values"])
        assert (m["value"], m["low"], m["high"]) == (again.value, again.low, again.high)
    assert m["low"] <= m["value"] <= m["high"]
    bound, direction = claim["bound"], claim["direction"]
    low, high = bound if direction == "within" else (bound, math.inf) if direction == "above" else (-math.inf, bound)
    inside = low <= m["low"] and m["high"] <= high
    outside = m["high"] < low or m["low"] > high
    assert claim["verdict"] == ("holds" if inside else "fails" if outside else "undecided"), claim["name"]
    if claim["settled"] is not None:
        assert claim["verdict"] == claim["settled"], f"{claim['name']}: {claim['statement']}: {m}"


@pytest.mark.skipif(lessons.clone() is None, reason="an installed package carries no drawn figures")
@pytest.mark.parametrize("name", HERE)
def test_the_committed_figures_are_whole(name):
    states = figures.check(name, lessons.clone() / "figures" / name)
    assert [(s.name, s.problem) for s in states if s.problem and not s.problem.startswith("stale")] == []


def test_a_lesson_runs_as_a_plain_script(tmp_path):
    command = [sys.executable, str(lessons.script("01_autograd")), "--fast", "--figures", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    record = json.loads((tmp_path / "01_autograd" / "claims.json").read_text())
    assert np.isin("holds", [c["verdict"] for c in record["claims"]])
