"""Checks: what a line says, how arrays are compared, what travels, predictions, diagnoses, experiments."""

import numpy as np
import pytest

from tinymm.autograd import OPS
from tinymm.learn import checker, child, homework
from tinymm.learn.homework import Call, Diagnose, Experiment, Gradient, Implement, Question, Test, Wrong

from .conftest import RIGHT, answers


def check(exercise, text, **options):
    return exercise.check(text, homework.script("01_autograd").parent / "no" / "ex01.py", **options)


def lesson_1(number):
    return homework.load("01_autograd")[number - 1]


# ---- the wire --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [
    None, True, 3, -2.5, float("inf"), "words", [1, (2.0, "x"), {"k": None}], (), {},
    np.zeros((0, 3)), np.arange(6, dtype=np.float32).reshape(2, 3), np.array(2.5), np.array([True, False]),
    np.arange(6).reshape(2, 3).T, [np.ones(2), {"a": np.array([1, 2], np.int8)}],
], ids=str)  # fmt: skip
def test_what_is_packed_comes_back(value):
    got = child.unpack(child.pack(value))
    assert homework.difference(got, value) is None and type(got) is type(value)
    if isinstance(value, np.ndarray):
        assert got.dtype == value.dtype and got.flags.writeable


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), np.array(["a"]), lambda: 0, 1j],
                         ids=["object", "set", "objects", "strings", "function", "complex"])
def test_anything_else_is_refused(value):
    with pytest.raises(TypeError, match="expected"):
        child.pack([value])


def test_bytes_that_nobody_packed_are_refused():
    good = child.pack([np.arange(100.0)])
    rng = np.random.default_rng(0)
    for n in range(0, len(good), 7):
        with pytest.raises(ValueError, match="cannot be read"):
            child.unpack(good[:n])
    for _ in range(200):
        bad = bytearray(good)
        bad[int(rng.integers(60))] = int(rng.integers(256))
        try:
            child.unpack(bytes(bad))
        except ValueError:
            pass  # and nothing else
    with pytest.raises(ValueError):
        child.unpack(b"\x80\x04" + b"cos\nsystem\n" * 5)


# ---- comparing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "expected", "problem"), [
    (np.ones(3), np.ones(3), None),
    (1.0, np.array(1.0), None),
    (np.ones(3), np.ones((3, 1)), "got shape (3,); expected (3, 1)"),
    (np.ones(3, np.float32), np.ones(3), "got float32; expected float64"),
    (np.array([1.0, 5.0, 2.0]), np.array([1.0, 2.0, 2.0]), "got 5 at [1]; expected 2 (1 of 3 differ)"),
    (np.array([1.0, np.nan]), np.array([1.0, 2.0]), "got nan at [1]; expected 2 (1 of 2 differ)"),
    (np.array([np.nan]), np.array([np.nan]), None),
    (None, np.ones(2), "got None; expected array"),
    ("passed", np.ones(2), "got 'passed'"),
    ([np.ones(2)], [np.ones(2), np.ones(2)], "expected 2 results"),
    ({"a": np.ones(2)}, {"a": np.zeros(2)}, "a: got 1 at [0]; expected 0"),
    ({"b": 1}, {"a": 1}, "expected a"),
    ("x", "y", "expected y"),
    (np.array(True), np.array(False), "got True; expected False"),
])  # fmt: skip
def test_a_difference_is_said(value, expected, problem):
    found = homework.difference(value, expected)
    assert found is problem is None or problem in found


def test_one_line_says_what_was_asked_what_came_out_and_where_to_look():
    text = RIGHT.replace("keepdims=True).reshape(shape)", "keepdims=True)[0]")
    line = next(line for line in check(lesson_1(1), text).lines if line.test.startswith("an axis of length 1"))
    assert not line.passed
    assert line.found.endswith("got shape (1,); expected (2, 1)") and "(2, 1)" in line.found and line.look


def test_an_error_names_the_learners_own_line():
    text = RIGHT.replace("    axes = tuple", "    1 / 0\n    axes = tuple", 1)
    assert "line 8: ZeroDivisionError: division by zero" in check(lesson_1(1), text).lines[0].found


def test_inputs_are_fresh_each_time():
    plans = [lesson_1(1)._tests[0].plan(lesson_1(1), np.random.default_rng(seed)) for seed in (1, 2)]
    assert not np.array_equal(plans[0][0][0].args[0], plans[1][0][0].args[0])


def test_right_answers_pass_every_exercise():
    draw = lesson_1(2).drawn("Ada")
    for k in (1, 2, 3, 4):
        result = check(lesson_1(k), RIGHT + answers("Ada"), draw=draw if k == 2 else None)
        assert result.passed, [line.found for line in result.lines]


# ---- gradients -------------------------------------------------------------------------------------------------------

OPERATION = """
def multiply(a, b):
    return a * b, ({0}, {1})
"""


def product(**options):
    draw = lambda rng: [Call(rng.normal(size=(2, 3)), rng.normal(size=shape)) for shape in ((2, 3), (3,), (2, 1))]  # noqa: E731
    return Implement("multiply", reference=OPS["multiply"], title="", text="", hints=("a", "b", "c"), wrong=[],
                     tests=[Gradient("gradient", draw, "look")])  # fmt: skip


@pytest.mark.parametrize(("d_a", "d_b", "problem"), [
    ("lambda g: g * b", "lambda g: g * a", None),
    ("lambda g: np.zeros_like(a)", "lambda g: g * a", "argument 1"),
    ("lambda g: -g * b", "lambda g: g * a", "argument 1"),
    ("lambda g: g * b", "lambda g: g * b", "argument 2"),
    ("lambda g: np.abs(g) * b", "lambda g: g * a", "argument 1"),
    ("lambda g: g.sum() * b / g.size", "lambda g: g * a", "argument 1"),
    ("None", "lambda g: g * a", "no gradient for argument 1"),
    ("lambda g: g.T", "lambda g: g * a", "another form"),
    ("lambda g: (g * b).astype(np.float32)", "lambda g: g * a", "float32; expected float64"),
])  # fmt: skip
def test_a_false_gradient_is_found(d_a, d_b, problem):
    (line,) = check(product(), "import numpy as np\n" + OPERATION.format(d_a, d_b)).lines
    assert line.passed if problem is None else problem in line.found, line.found


def test_one_vjp_too_few_is_said():
    (line,) = check(product(), "def multiply(a, b):\n    return a * b, (lambda g: g * b,)\n").lines
    assert "1 VJPs came back; expected 2" in line.found


def test_a_large_input_is_checked_along_directions():
    draw = lambda rng: [Call(rng.normal(size=(31, 37)), rng.normal(size=(31, 37)))]  # noqa: E731
    exercise = product()
    exercise._tests = [Gradient("gradient", draw, "look")]
    one_row = "lambda g: np.concatenate([np.zeros((1, 37)), (g * b)[1:]])"
    assert check(exercise, "import numpy as np\n" + OPERATION.format("lambda g: g * b", "lambda g: g * a")).passed
    assert not check(exercise, "import numpy as np\n" + OPERATION.format(one_row, "lambda g: g * a")).passed


# ---- with the library open -------------------------------------------------------------------------------------------


def open_exercise():
    return Implement("logsigmoid", reference=OPS["logsigmoid"], title="", text="", hints=("a", "b", "c"), wrong=[],
                     library="open",
                     tests=[Test("value", lambda rng: [Call(rng.normal(size=(2, 3)))], "", run=by_hand)])  # fmt: skip


def by_hand(f, x):
    import tinymm as mm

    y = f(mm.Tensor(x)) if not isinstance(f(x), tuple) else f(x)[0]
    return np.asarray(y)


@pytest.mark.parametrize("text", [
    "import tinymm as mm\n\n\ndef logsigmoid(x):\n    return mm.logsigmoid(x)\n",
    "from tinymm import OPS\n\n\ndef logsigmoid(x):\n    return OPS['logsigmoid'].spec.function(x)\n",
    "import tinymm as mm\n\n\ndef logsigmoid(x):\n    return mm.OPS['logsigmoid'](mm.Tensor(x))\n",
])  # fmt: skip
def test_with_the_library_open_the_reference_is_closed(text):
    (line,) = check(open_exercise(), text).lines
    assert "PermissionError" in line.found and "the library's logsigmoid is closed" in line.found


# ---- predictions -----------------------------------------------------------------------------------------------------


def guess(**values):
    return f"predict_1_2 = {values!r}\n"


def test_numbers_are_drawn_for_the_name():
    exercise = lesson_1(2)
    assert exercise.drawn("Ada") == exercise.drawn("Ada") != exercise.drawn("Emmy")
    assert len({tuple(exercise.drawn(f"learner {k}").values()) for k in range(50)}) > 30


def test_a_guess_without_a_reason_is_not_taken():
    exercise, stored = lesson_1(2), []
    result = check(exercise, guess(d_a=1, d_b=2, by_number=3, depth_first=4, because=""), draw=exercise.drawn("Ada"),
                   record={"store": stored.append})  # fmt: skip
    assert not result.passed and stored == [] and "no reason yet" in result.lines[0].found


def test_the_guess_is_stored_before_anything_runs():
    exercise, order = lesson_1(2), []
    measure = exercise.measure
    exercise.measure = lambda **draw: order.append("measured") or measure(**draw)
    check(exercise, guess(d_a=1, d_b=2, by_number=3, depth_first=4, because="just a guess"), draw=exercise.drawn("Ada"),
          record={"store": lambda changes: order.append(changes["guess"])})  # fmt: skip
    assert order == [{"d_a": 1, "d_b": 2, "by_number": 3, "depth_first": 4}, "measured"]


def test_a_wrong_guess_counts_once_the_learner_has_said_why():
    exercise = lesson_1(2)
    draw = exercise.drawn("Ada")
    wrong = {"d_a": 1, "d_b": draw["a"], "by_number": 3, "depth_first": 4, "because": "just a guess"}
    result = check(exercise, guess(**wrong), draw=draw)
    assert [line.passed for line in result.lines] == [False, True, False, False]
    assert "you said 1; measured" in result.lines[0].found and "costs nothing" in result.note
    record = {"guess": result.changes["guess"]}
    assert check(exercise, guess(**wrong, why="I forgot one path"), draw=draw, record=record).passed


@pytest.mark.parametrize(("text", "value"), [
    ("2 * 512**3", 2 * 512**3), ("0.25**20", 0.25**20), ("-(3 + 4) / 2", -3.5), ("[1 + 1, 7 // 2]", [2, 3]),
])  # fmt: skip
def test_a_number_may_be_written_as_it_was_found(text, value):
    assert homework.literal(f"x = {{'n': {text}}}", "x") == ({"n": value}, None)


@pytest.mark.parametrize("text", ["9**9**9**9", "'a' * 10**9", "1 / 0", "f(2) + 1", "[1] * 10**9", "1e300 * 1e300"])
def test_and_no_more_than_that(text):
    assert homework.literal(f"x = {{'n': {text}}}", "x")[1] is not None


def test_the_first_guess_counts():
    """The right numbers, put in after they were shown."""
    exercise = lesson_1(2)
    first = {"d_a": 1, "d_b": 2, "by_number": 3, "depth_first": 4}
    result = check(exercise, answers("Ada"), draw=exercise.drawn("Ada"), record={"guess": first})
    assert not result.passed and "your first guess counts" in result.note and "you said 1;" in result.lines[0].found


def test_answers_of_another_and_constant_answers_fail():
    exercise = lesson_1(2)
    assert not check(exercise, answers("Emmy"), draw=exercise.drawn("Ada")).passed
    constant = guess(d_a=7, d_b=7, by_number=7, depth_first=7, because="always say seven")
    assert not any(check(exercise, constant, draw=exercise.drawn(n)).passed for n in ("Ada", "Emmy", "Sofia"))


@pytest.mark.parametrize(("text", "problem"), [
    ("", "predict_1_2 is not in the file"),
    ("predict_1_2 = {", "line 1"),
    ("predict_1_2 = [1]", "is no dict"),
    ("predict_1_2 = {'d_a': 1 + n}", "not made of plain numbers"),
    ("predict_1_2 = {'d_a': 1}", "no guess yet for d_b, by_number, depth_first"),
])  # fmt: skip
def test_a_guess_that_cannot_be_read(text, problem):
    result = check(lesson_1(2), text, draw=lesson_1(2).drawn("Ada"))
    assert all(problem in line.found and not line.passed for line in result.lines)


@pytest.mark.parametrize(("said", "measured", "right"), [
    (46, 46, True), (46.5, 46, True), (50, 46, False), ("Memory", "memory", True), ("cpu", "memory", False),
    ([1, 2], [1, 2], True), ([1, 2], [1, 3], False), ([1], [1, 2], False), ("46", 46, True), (True, 1, True),
    ({"a": 1}, 46, False), (float("nan"), 46, False),
])  # fmt: skip
def test_how_near_is_right(said, measured, right):
    assert homework.agrees(said, measured, Question("k", "t", "l", rtol=0.02)) is right


# ---- diagnoses -------------------------------------------------------------------------------------------------------


def double(x):
    return 2 * x


def triple(x):
    return 3 * x


def double_of_size(x):
    return 2 * abs(x)


def finds_both(double):
    assert double(2) == 4 and double(-2) == -4


def diagnosis():
    return Diagnose("double", reference=double, fault=triple, siblings={"the sign lost": double_of_size},
                    model_test=finds_both, title="", text="", hints=("a", "b", "c"), wrong=[],
                    tests=[Test("doubles", lambda rng: [Call(rng.normal(size=3))], "")])  # fmt: skip


@pytest.mark.parametrize(("test", "passed"), [
    ("assert double(2) == 4 and double(-2) == -4", [True, True, True]),
    ("assert double(2) == 4", [True, True, False]),
    ("assert double(-3) == -6", [True, True, True]),
    ("assert double(2) > 0", [True, False, False]),
    ("pass", [True, False, False]),
    ("assert False", [False, True, True]),
    ("raise ValueError", [False, False, False]),
    ("if double(2) != 4 or double(-2) > 0:\n        raise ValueError", [True, False, False]),
    ("import random\n    assert random.random() < 0.5", None),
])  # fmt: skip
def test_a_learners_test_must_tell_right_from_wrong(test, passed):
    text = f"def double(x):\n    return x + x\n\n\ndef test_double(double):\n    {test}\n"
    lines = check(diagnosis(), text).lines
    if passed is None:
        assert not all(line.passed for line in lines)
    else:
        assert [line.passed for line in lines] == [*passed, True]


def test_the_repair_is_tested_too():
    text = "def double(x):\n    return 3 * x\n\n\ndef test_double(double):\n    assert double(-2) == -4\n"
    assert [line.passed for line in check(diagnosis(), text).lines] == [True, True, True, False]


# ---- experiments -----------------------------------------------------------------------------------------------------


def coin(seed):
    rng = np.random.default_rng(seed)
    return {"heads": float((rng.random(101) < 0.9).mean()), "control": float((rng.random(101) < 0.5).mean())}


def unseeded(seed):
    rng = np.random.default_rng()
    return {"heads": float((rng.random(101) < 0.9).mean()), "control": float((rng.random(101) < 0.5).mean())}


def experiment():
    return Experiment("coin", reference=coin, numbers={"heads": "share", "control": "of a fair coin"}, title="",
                      text="", claim=lambda n: (n["heads"] - n["control"], {"above": 0.0}), statement="more heads",
                      hints=("a", "b", "c"), library="closed",
                      wrong=[Wrong("unseeded", Experiment.AGAIN, unseeded)])  # fmt: skip


def handed_in(function=coin, **changes):
    rows = [coin(seed) for seed in (4, 5, 6)]
    numbers = {k: [row[k] for row in rows] for k in rows[0]}
    result = {"seeds": [4, 5, 6], "numbers": numbers, "verdict": "holds", **changes}
    return "import numpy as np\n" + homework.named(function, "coin") + f"\n\nresult_0_0 = {result!r}\n"


def test_an_experiment_is_judged_by_its_numbers():
    assert [line.passed for line in check(experiment(), handed_in()).lines] == [True, True, True]


@pytest.mark.parametrize(("text", "passed", "words"), [
    (handed_in(verdict="fails"), [True, False, True], "you say 'fails'; the numbers say 'holds'"),
    (handed_in(unseeded), [True, True, False], "handed in"),
    (handed_in(seeds=[4, 4, 4]), [False] * 3, "three different seeds"),
    (handed_in(seeds=[4, 5]), [False] * 3, "three different seeds"),
    (handed_in(seeds=[4, 5, 7]), None, ""),
    (handed_in(numbers={"heads": [0.9, 0.9, 0.9]}), [False] * 3, "control: expected a list of 3 numbers"),
    (handed_in(numbers={"heads": [0.9, 0.9, float("inf")], "control": [0.5] * 3}), [False] * 3, ""),
    (handed_in(numbers={"heads": [0.99] * 3, "control": [0.5] * 3}), [True, True, False], "handed in"),
])  # fmt: skip
def test_an_experiment_that_does_not_add_up(text, passed, words):
    lines = check(experiment(), text).lines
    if passed is not None:
        assert [line.passed for line in lines] == passed
    assert any(words in line.found for line in lines)


# ---- the form --------------------------------------------------------------------------------------------------------


def test_a_lambda_cannot_travel():
    with pytest.raises(ValueError, match="expected a function of the file's top level, no lambda"):
        homework.source_of(lambda x: x)


def test_a_stub_of_a_class_has_its_methods():
    from tinymm import optim

    exercise = Implement("AdamW", reference=optim.AdamW, title="", text="", tests=[], hints=(), wrong=[])
    stub = exercise.stub()["AdamW"]
    assert "def __init__(self, params, lr=0.001" in stub and "def step(self, scale=1.0):" in stub
    space = {}
    exec(stub, space)
    with pytest.raises(NotImplementedError, match="0.0 AdamW is not written yet"):
        space["AdamW"]([])


def test_the_time_of_one_call_is_bounded(tmp_path):
    run = checker.ask("def f():\n    while True:\n        pass\n", tmp_path / "x.py", [checker.Request("f")] * 2,
                      about="x", seconds=0.5)  # fmt: skip
    assert "did not end within 0.5 s" in run.answers[0].error and "was not reached" in run.answers[1].error


def test_the_time_of_all_calls_is_bounded(tmp_path):
    text = "import time\n\n\ndef f():\n    time.sleep(0.4)\n"
    run = checker.ask(text, tmp_path / "x.py", [checker.Request("f")] * 9, about="x", seconds=2, total_seconds=1.0)
    assert [a.error is None for a in run.answers][0] and "was not reached" in run.answers[-1].error
