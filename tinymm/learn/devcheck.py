"""`tinymm dev check`: the exercises are themselves checked.

For each exercise: the untouched stub fails every test, the reference passes, and each named wrong version fails, on the
test that is meant to catch it. For a prediction besides: answers that are right for one learner are wrong for others.
"""

import ast
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tinymm import kernels
from tinymm.learn import homework, lessons

NAMES = ("Ada", "Emmy", "Sofia", "Maryam", "Hypatia")  # learners for whom predictions are drawn
AT_LEAST = 3  # wrong versions an exercise
DOES_NOT_RUN = ("NameError", "SyntaxError", "ImportError", "ModuleNotFoundError")
HERE = Path("ex.py")


def check(names=None):
    """Check all exercises of the lessons `names` (default: of all); print one line each. Returns 1 if any is bad."""
    names = names or [name for name in lessons.present() if homework.script(name).is_file()]
    bad = count = 0
    for name in names:
        for exercise in homework.load(name):
            problems = examine(exercise)
            count, bad = count + 1, bad + bool(problems)
            tests = len(exercise.tests(exercise.drawn(NAMES[0])))
            summary = f"{tests} tests, {len(exercise.wrong)} wrong versions caught"
            print(f"{'BAD' if problems else 'ok':<4} {exercise.number:<5} {exercise.kind:<10} {exercise.title}"
                  f"{'' if problems else f': {summary}'}", flush=True)  # fmt: skip
            for problem in problems:
                print(f"         {problem}", flush=True)
    print(f"{count} exercises, {bad or 'none'} bad")
    return int(bad > 0 or count == 0)


def examine(exercise):
    """What is wrong with an exercise: list of lines, empty if it is sound."""
    draw = exercise.drawn(NAMES[0])
    problems = form(exercise, draw)
    if problems:
        return problems
    workers = 1 if exercise.kind == "predict" else os.cpu_count() or 1  # what is measured here is measured alone
    with kernels.using("numpy"), ThreadPoolExecutor(max_workers=workers) as pool:
        stub = pool.submit(exercise.check, stub_file(exercise, draw), HERE, draw=draw)
        library = "free" if exercise.from_library() else None
        reference = pool.submit(exercise.check, exercise.submission(draw=draw), HERE, draw=draw, library=library)
        wrong = [(w, pool.submit(_check_wrong, exercise, w, draw)) for w in exercise.wrong]
        for line in stub.result().lines:
            if line.passed:
                problems.append(f"the untouched stub passes {line.test!r}: that test asks nothing")
        if not stub.result().lines:
            problems.append("there is no test")
        for line in reference.result().lines:
            if not line.passed:
                problems.append(f"the reference fails {line.test!r}: {line.found}")
        for version, future in wrong:
            problems += judge_wrong(exercise, version, future.result(), draw)
    if exercise.kind == "predict":
        problems += _copied_answers(exercise)
    return problems


def stub_file(exercise, draw):
    """The file of `tinymm start`, with this exercise alone."""
    return homework.HEADER + "\n\n" + "\n\n".join(exercise.stub(draw).values())


def judge_wrong(exercise, version, result, draw):
    """What is amiss with how a wrong version was judged: list of lines."""
    if result.passed:
        return [f"the wrong version {version.name!r} is accepted"]
    meant = exercise.test_called(version.caught_by, draw)
    failed = [line for line in result.lines if not line.passed]
    if meant not in [line.test for line in failed]:
        return [f"the wrong version {version.name!r} is caught by {', '.join(repr(x.test) for x in failed)}, not by "
                f"{version.caught_by!r}"]  # fmt: skip
    odd = next((x.found for x in failed if any(e in x.found for e in DOES_NOT_RUN)), None)
    if odd and len(failed) == len(result.lines):
        return [f"the wrong version {version.name!r} does not run at all: {odd}"]
    return []


def form(exercise, draw):
    """What is missing in the exercise's form: list of lines."""
    problems = []
    tests = exercise.tests(draw)
    if len(set(tests)) < len(tests):
        problems.append("two tests have the same name")
    if len(exercise.hints) != 3 or not all(exercise.hints):
        problems.append(f"{len(exercise.hints)} hints; expected three: the idea, the shapes, almost the code")
    if len(exercise.wrong) < AT_LEAST:
        problems.append(f"{len(exercise.wrong)} wrong versions; expected at least {AT_LEAST}")
    if exercise.form == "op" and not any("zero" in w.name for w in exercise.wrong):
        problems.append("no wrong version with a gradient of zeros (say 'zero' in its name)")
    for driver in dict.fromkeys(exercise.drivers()) if exercise.library == "closed" else ():
        if "tinymm" in homework.source_of(driver):
            problems.append(f"{driver.__name__} uses tinymm, which is closed while this is checked: library='open'?")
    for version in exercise.wrong:
        if exercise.test_called(version.caught_by, draw) not in tests:
            problems.append(f"the wrong version {version.name!r} names a test that is not there: {version.caught_by!r}")
    try:
        text = f"{homework.HEADER}\n{exercise.explain(draw)}\n\n" + "\n\n".join(exercise.stub(draw).values())
        ast.parse(text)
    except SyntaxError as problem:
        problems.append(f"the stub is no Python: line {problem.lineno}: {problem.msg}")
    return problems


def _check_wrong(exercise, wrong, draw):
    try:
        return exercise.check(exercise.wrong_submission(wrong, draw), HERE, draw=draw)
    except ValueError as problem:
        return homework.Result([homework.Line("(its own form)", False, str(problem))])


def _copied_answers(exercise):
    """Answers right for one learner must be wrong for each other one (also a constant answer then is)."""
    problems = []
    draws = {name: exercise.drawn(name) for name in NAMES}
    for name, draw in draws.items():
        text = exercise.submission(draw=draw)
        for other, theirs in draws.items():
            if other != name and exercise.check(text, HERE, draw=theirs).passed:
                problems.append(f"the answers of {name} are right for {other} too: draw from more numbers")
    return problems[:1]
