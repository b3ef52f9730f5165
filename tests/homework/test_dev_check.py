"""The checker is checked: `tinymm dev check` is green, and turns red when an exercise is spoilt in any way."""

import shutil

import pytest

from tinymm.learn import devcheck, homework, lessons

HERE = [name for name in lessons.present() if homework.script(name).is_file()]


@pytest.mark.parametrize(("name", "k"), [(name, k) for name in HERE for k in range(4)])
def test_every_exercise_is_sound(name, k):
    exercises = homework.load(name)
    assert len(exercises) == 4
    assert devcheck.examine(exercises[k]) == []


@pytest.mark.parametrize("name", HERE)
def test_each_kind_is_there(name):
    assert [e.kind for e in homework.load(name)] == ["implement", "predict", "diagnose", "extend"]


@pytest.mark.parametrize("name", HERE)
def test_every_exercise_has_zero_among_its_wrong_versions_where_there_is_a_gradient(name):
    for exercise in homework.load(name):
        if any(isinstance(test, homework.Gradient) for test in getattr(exercise, "_tests", ())):
            assert any("zero" in wrong.name for wrong in exercise.wrong), exercise.number


RIGHT_ONE = '''def right(gradient, shape, name=""):
    extra = gradient.ndim - len(shape)
    if extra < 0 or any(s not in (1, n) for s, n in zip(shape, gradient.shape[extra:])):
        raise ValueError
    axes = tuple(range(extra)) + tuple(extra + i for i, s in enumerate(shape) if s == 1)
    return gradient.sum(axis=axes, keepdims=True).reshape(shape)
'''


@pytest.fixture
def spoilt(tmp_path):
    """``spoilt(k, old, new)``: exercise k of lesson 01 with one line of its file changed."""
    path = tmp_path / "homework.py"

    def make(k, *changes):
        shutil.copy(homework.script("01_autograd"), path)
        text = path.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        return homework.load("01_autograd", path)[k]

    return make


def test_the_copy_is_sound(spoilt):
    assert [devcheck.examine(spoilt(k)) for k in range(4)] == [[]] * 4


def test_a_vacuous_exercise_is_found(spoilt):
    """A test that accepts whatever comes back."""
    exercise = spoilt(3)
    exercise._tests[0].verdict = lambda planned, answers: None
    problems = devcheck.examine(exercise)
    assert problems[0] == "the untouched stub passes 'the output along an axis': that test asks nothing"
    assert len(problems) == 2
    assert problems[1].startswith("the wrong version 'the last axis, whatever is asked' is caught by ")


def test_a_vacuous_judge_is_found(spoilt):
    exercise = spoilt(2, ("    return f\"it lets pass: {', '.join(missed)}\" if missed or len(value) != 4 else None\n",
                          "    return None\n"))  # fmt: skip
    assert devcheck.examine(exercise) == ["the wrong version 'the fault handed in as its repair' is accepted"]


def test_a_test_without_inputs_is_found(spoilt):
    exercise = spoilt(3)
    exercise._tests[0].draw = lambda rng: []
    assert any("this test asks nothing" in problem for problem in devcheck.examine(exercise))


def test_a_wrong_version_that_is_accepted_is_found(spoilt):
    exercise = spoilt(0, ('Wrong("averages", IN_FRONT, averages)', 'Wrong("averages", IN_FRONT, right)'),
                      ("def averages(", RIGHT_ONE + "\n\ndef averages("))  # fmt: skip
    assert devcheck.examine(exercise) == ["the wrong version 'averages' is accepted"]


def test_a_wrong_version_that_another_test_catches_is_found(spoilt):
    exercise = spoilt(0, ('Wrong("averages", IN_FRONT,', 'Wrong("averages", "what was not broadcast stays as it is",'))
    (problem,) = devcheck.examine(exercise)
    assert problem.startswith("the wrong version 'averages' is caught by 'an axis that was added in front")


def test_a_wrong_version_that_does_not_run_is_found(spoilt):
    exercise = spoilt(0, ("    return np.zeros(shape)", "    return something_of_the_file(shape)"))
    (problem,) = devcheck.examine(exercise)
    assert problem.startswith("the wrong version 'returns zeros' does not run at all") and "NameError" in problem


def test_a_driver_that_uses_the_closed_library_is_found(spoilt):
    """It would fail every right answer, and the reference, which may use the library, would not show it."""
    exercise = spoilt(3, ("    return f(x, axis=axis)[0]\n", "    import tinymm\n    return f(x, axis=axis)[0]\n"))
    (problem,) = devcheck.examine(exercise)
    assert problem.startswith("output_of uses tinymm, which is closed")


def test_a_reference_that_breaks_is_found(spoilt, monkeypatch):
    exercise = spoilt(3)
    monkeypatch.setattr(exercise, "submission", lambda replaced=(), draw=None: (
        homework.HEADER + "def cumsum(x, *, axis=None):\n    return np.cumsum(x, axis), (lambda g: g,)\n"
        if not replaced else type(exercise).submission(exercise, replaced, draw)))  # fmt: skip
    problems = devcheck.examine(exercise)
    assert len(problems) == 3 and all(p.startswith("the reference fails") for p in problems)


def test_a_library_that_breaks_is_found(spoilt):
    """The reference's gradient no longer fits its output."""
    exercise = spoilt(2, ("    y, (d_x,) = op(x)\n    g = rng.normal(size=np.shape(y))\n    claimed = d_x(g)\n",
                          "    y, (d_x,) = op(x)\n    g = np.ones(np.shape(y))\n    claimed = d_x(g)\n"))  # fmt: skip
    problems = devcheck.examine(exercise)
    assert any(p.startswith("the reference fails 'your test passes for a right one'") for p in problems)
    assert any(p.startswith("the reference fails 'your check finds false gradients'") for p in problems)


def test_predictions_that_are_the_same_for_all_are_found(spoilt):
    exercise = spoilt(1, ('draw=lambda rng: {"a": int(rng.integers(3, 12)), "b": int(rng.integers(13, 40))}',
                          'draw=lambda rng: {"a": 5, "b": 17}'))  # fmt: skip
    (problem,) = devcheck.examine(exercise)
    assert "right for" in problem and "draw from more numbers" in problem


@pytest.mark.parametrize(("change", "message"), [
    (lambda e: setattr(e, "hints", ("one",)), "1 hints; expected three"),
    (lambda e: setattr(e, "wrong", e.wrong[:2]), "2 wrong versions; expected at least 3"),
    (lambda e: setattr(e.wrong[0], "caught_by", "nothing"), "names a test that is not there: 'nothing'"),
    (lambda e: setattr(e._tests[1], "name", e._tests[0].name), "two tests have the same name"),
    (lambda e: setattr(e, "wrong", [w for w in e.wrong if "zero" not in w.name]), "no wrong version with a gradient"),
])  # fmt: skip
def test_an_incomplete_exercise_is_found(change, message):
    exercise = homework.load("01_autograd")[3]
    change(exercise)
    assert any(message in problem for problem in devcheck.examine(exercise))


def test_the_command_prints_a_line_an_exercise_and_its_exit_code(capsys, monkeypatch):
    assert devcheck.check(["01_autograd"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in out] == [["ok", f"1.{k}"] for k in (1, 2, 3, 4)] + [["4", "exercises,"]]
    monkeypatch.setattr(devcheck, "examine", lambda exercise: ["spoilt"] if exercise.number == "1.3" else [])
    assert devcheck.check(["01_autograd"]) == 1
    assert "BAD  1.3" in capsys.readouterr().out


def test_no_exercise_at_all_is_not_green(monkeypatch):
    monkeypatch.setattr(lessons, "present", lambda: [])
    assert devcheck.check() == 1
