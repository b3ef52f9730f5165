"""The form of an exercise. A lesson's four stand in ``lessons/NN_name/homework.py``, in a list named ``exercises``.

CONTRIBUTING, "Writing an exercise", is the page on it; ``lessons/01_autograd/homework.py`` is the model. Four kinds:

* `Implement`: write a function, an op or a class that the library has. The library is the reference.
* `Predict`: say numbers before they are measured. They are drawn for each learner.
* `Diagnose`: write a test that tells a right thing from a broken one, and repair the broken one.
* `Extend`: write something new, checked as in `Implement`; `Experiment`: hand in numbers, controls and a verdict.

A test draws fresh inputs and says what to look at when it fails. A `Wrong` version names the test that must catch it.
Functions that stand for a learner's code (wrong versions, candidates, models) and drivers travel to another process as
text: they see NumPy as ``np`` and nothing else of the file.
"""

import dataclasses
import hashlib
import importlib.util
import inspect
import secrets
import sys
import textwrap
import threading

import numpy as np

from tinymm.learn import checker, child, lessons
from tinymm.learn.answers import agrees, as_literal, difference, in_words, literal, short
from tinymm.learn.checker import Request
from tinymm.learn.claims import judge as judge_claim

WIDTH = 110
_ALONE = threading.Lock()
HEADER = "import numpy as np\n"


class Call:
    """One set of arguments: positional ones (arrays, numbers, lists) and keyword-only ones."""

    def __init__(self, *args, **static):
        self.args, self.static = args, static

    def __repr__(self):
        for values in (6, 0):
            given = [short(a, values) for a in self.args]
            text = ", ".join(given + [f"{k}={short(v, values)}" for k, v in self.static.items()])
            if len(text) <= WIDTH:
                break
        return f"({text})"


@dataclasses.dataclass
class Line:
    """One line of a check: the test's name, whether it passed, what came out, where to look."""

    test: str
    passed: bool
    found: str = ""
    look: str = ""


@dataclasses.dataclass
class Result:
    """A checked exercise."""

    lines: list
    note: str = ""
    printed: str = ""
    changes: dict = dataclasses.field(default_factory=dict)

    @property
    def passed(self):
        return bool(self.lines) and all(line.passed for line in self.lines)


@dataclasses.dataclass
class Wrong:
    """A wrong version, by which the tests are tested.

    Parameters
    ----------
    name : str
        What is wrong with it.
    caught_by : str
        The name of the test that must catch it.
    version : function, class or dict
        What a learner might hand in: in the place of the exercise's function, or of the one that `part` names. For a
        `Predict`: ``version(draw)`` gives the answers, and `caught_by` is the key of a question. For an `Experiment`,
        a dict is the result handed in.
    """

    name: str
    caught_by: str
    version: object
    part: str | None = None


class Test:
    """Draw inputs, run the learner's function and the reference on them, compare.

    Parameters
    ----------
    name : str
        What is asked, as one short sentence; unique in the exercise.
    draw : callable
        ``draw(rng)`` gives a list of `Call`: several shapes, distinct primes as lengths.
    look : str
        Where to look when it fails.
    run : function, optional
        ``run(f, *args, **static)`` returns what is compared: arrays and numbers in lists, tuples or dicts. It travels
        as text. Default: ``f(*args, **static)``; for an op the output and its gradients at a random cotangent.
    judge : callable, optional
        ``judge(call, value)`` returns None or what is wrong, in the place of comparing with the reference.
    rtol, atol : float
    part : str, optional
        The function that is tested, if not the exercise's own.
    """

    __test__ = False  # no test of pytest's

    def __init__(self, name, draw, look, *, run=None, judge=None, rtol=1e-9, atol=1e-11, part=None):
        self.name, self.draw, self.look, self.run, self.judge = name, draw, look, run, judge
        self.rtol, self.atol, self.part = rtol, atol, part

    def plan(self, exercise, rng):
        """What is asked of the child: list of (request, call, expected value)."""
        planned = []
        for drawn in self.draw(rng):
            driver, args, static = "call", drawn.args, drawn.static
            if self.run is not None:
                driver = self.run.__name__
            elif exercise.form == "op":
                y, _ = exercise.function(self.part)(*args, **static)
                g = _cotangent(rng, y)
                driver, args, static = "call_op", (args, static, g), {}
            expected = None
            if self.judge is None:
                run = self.run or child.DRIVERS[driver]
                expected = run(exercise.function(self.part), *_copies(args), **static)
            planned.append((Request(self.part or exercise.name, driver, args, static), drawn, expected))
        return planned

    def verdict(self, planned, answers):
        """None, or what is wrong with the first answer that is."""
        for (_, drawn, expected), answer in zip(planned, answers):
            problem = answer.error
            if problem is None and answer.wrote:
                problem = "it wrote into its input; work on a copy"
            if problem is None:
                try:
                    problem = self.compare(drawn, answer.value, expected)
                except (TypeError, ValueError, KeyError, IndexError, AttributeError) as strange:
                    problem = f"what came back has another form than expected ({' '.join(str(strange).split())})"
            if problem is not None:
                return f"for {drawn!r}: {problem}"
        return None

    def compare(self, drawn, value, expected):
        if self.judge is not None:
            return self.judge(drawn, value)
        return difference(value, expected, self.rtol, self.atol)


class Gradient(Test):
    """The gradients of an op against central differences of its own forward, under a random cotangent.

    Parameters
    ----------
    name, draw, look, part
        As for `Test`. All positional float arrays are checked.
    """

    def __init__(self, name, draw, look, *, rtol=1e-5, atol=1e-7, part=None):
        super().__init__(name, draw, look, rtol=rtol, atol=atol, part=part)

    def plan(self, exercise, rng):
        planned = []
        for drawn in self.draw(rng):
            y, _ = exercise.function(self.part)(*drawn.args, **drawn.static)
            g = _cotangent(rng, y)
            points, moves = [], []
            for place, x in enumerate(drawn.args):
                if not (isinstance(x, np.ndarray) and x.dtype == np.float64):
                    continue
                for v in _directions(x, rng):
                    h = 6e-6 * max(1.0, float(np.abs(x[v != 0]).max(initial=0.0)) if (v != 0).sum() == 1 else 1.0)
                    points += [(place, x + h * v), (place, x - h * v)]
                    moves.append((place, v, h))
            args = (drawn.args, drawn.static, g, points)
            request = Request(self.part or exercise.name, "differentiate", args)
            planned.append((request, drawn, (g, moves)))
        return planned

    def compare(self, drawn, value, expected):
        from tinymm.autograd.engine import unbroadcast

        (y, gradients), outputs = value
        g, moves = expected
        if type(g) is tuple:
            raise TypeError("several outputs")
        for place, v, h in moves:
            d, x = gradients[place], drawn.args[place]
            if d is None:
                return f"there is no gradient for argument {place + 1}"
            if d.dtype != x.dtype:
                return f"the gradient for argument {place + 1} is {d.dtype}; expected {x.dtype}"
            d = unbroadcast(d, x.shape, "argument")
            up, down, outputs = outputs[0], outputs[1], outputs[2:]
            if up.shape != g.shape:
                return f"the output has shape {up.shape}; expected {g.shape}"
            measured, claimed = float((g * (up - down)).sum() / (2 * h)), float((d * v).sum())
            slack = 1e-15 * float(np.abs(g * y).sum()) / h
            if not abs(measured - claimed) <= self.atol + self.rtol * max(abs(measured), abs(claimed)) + slack:
                where = np.argwhere(v)
                at = f"at {[int(i) for i in where[0]]}" if len(where) == 1 else "along a random direction"
                return (f"the gradient for argument {place + 1}, {at}, is {claimed:.6g}; central differences of your "
                        f"own output give {measured:.6g}")  # fmt: skip
        return None


def _directions(x, rng):
    """Each element for a small array, random directions and a few elements for a large one."""
    if x.size <= 64:
        yield from np.eye(x.size).reshape(x.size, *x.shape)
        return
    for _ in range(3):
        yield rng.choice([-1.0, 1.0], size=x.shape)
    for i in rng.choice(x.size, 6, replace=False):
        v = np.zeros(x.shape)
        v.flat[i] = 1.0
        yield v


def _cotangent(rng, y):
    if type(y) is tuple:
        return tuple(_cotangent(rng, part) for part in y)
    return rng.normal(size=np.shape(y)).astype(np.result_type(np.asarray(y).dtype, np.float32))


def _copies(value):
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (list, tuple)):
        return type(value)(_copies(v) for v in value)
    return value


# ---- exercises -------------------------------------------------------------------------------------------------------


class Exercise:
    """What all kinds share.

    Attributes
    ----------
    number : str
        "1.2": the lesson, and the place in its list.
    title, text : str
        What it is called, and what is to be done.
    hints : tuple of three str
        The idea, the shapes, almost the code.
    star : bool
        The one to do if there is time for one.
    wrong : list of Wrong
    parts : list of str
        The names that the learner's file must define.
    """

    kind = ""
    form = "function"
    library = "closed"
    hides = ()
    number = "0.0"
    lesson = ""
    file = None
    seconds = 5.0

    def tests(self, draw=None):
        """The names of the tests."""
        raise NotImplementedError

    def stub(self, draw=None):
        """The text that `start` writes for each part: dict of name -> source."""
        raise NotImplementedError

    def from_library(self):
        """Whether the reference is the library's, so that it can be checked only with the library open."""
        return any(_of_library(r) for r in getattr(self, "references", {}).values())

    def drivers(self):
        """The functions that travel to the learner's process."""
        return [t.run for t in [*getattr(self, "_tests", ()), *getattr(self, "repairs", ())] if t.run is not None]

    def test_called(self, name, draw=None):
        """The name under which a check shows the test `name`."""
        return name

    def wrong_submission(self, wrong, draw=None):
        """A file as a learner would hand it in who has got it wrong in that way."""
        part = wrong.part or self.name
        return self.submission({part: named(wrong.version, part)}, draw)

    def explain(self, draw=None):
        """The task as lines of comment above the stub."""
        star = "; if there is time for one, this" if self.star else ""
        lines = [f"# ---- {self.number} {self.title} ({self.kind}{star}) ".ljust(WIDTH, "-")]
        for paragraph in textwrap.dedent(self.text_for(draw)).strip().split("\n\n"):
            code = paragraph.startswith("    ")
            body = paragraph.splitlines() if code else textwrap.wrap(" ".join(paragraph.split()), WIDTH - 2)
            lines += ["#", *[f"# {line}".rstrip() for line in body]]
        return "\n".join(lines)

    def text_for(self, draw):
        return self.text.format(**draw) if draw else self.text

    def drawn(self, name):
        """The numbers drawn for a learner, or None."""
        return None

    def solution(self, draw=None):
        """The reference, as text."""
        raise NotImplementedError

    def submission(self, replaced=(), draw=None):
        """A file as a learner would hand it in: the reference solution, but for the parts in `replaced`."""
        raise NotImplementedError

    def not_written(self, name):
        return f'raise NotImplementedError("{self.number} {name} is not written yet; try: tinymm hint {self.number}")'

    def check(self, text, path, *, draw=None, record=None, library=None, rng=None):
        """Check a learner's file.

        Parameters
        ----------
        text : str
            The file's text, and `path`: where it is.
        draw : dict or None
            The numbers drawn for this learner.
        record : dict
            What the progress file knows of this exercise; for a prediction also "store", which is called with the guess
            before anything is measured.
        library : str, optional
            In place of the exercise's own; see `checker.ask`.
        rng : numpy.random.Generator, optional
            Default: fresh random numbers each time.

        Returns
        -------
        Result
        """
        raise NotImplementedError

    def _plan(self, tests, rng):
        """What each test asks; one exercise at a time, since references may share the library's generator."""
        with _ALONE:
            return [test.plan(self, rng) for test in tests]

    def _ask(self, text, path, planned, rng, *, library=None, drivers=(), candidates=(), seconds=None):
        """Run the requests of all tests in one child: one list of answers a test, and the run."""
        calls = [request for test in planned for request, *_ in test]
        sources = {d.__name__: source_of(d) for d in drivers if d is not None}
        seconds = seconds or self.seconds
        run = checker.ask(text, path, calls, about=self.number, library=library or self.library, hides=self.hides,
                          drivers=sources, candidates=candidates, seconds=seconds,
                          total_seconds=max(30.0, 3 * seconds))  # fmt: skip
        answers = iter(run.answers)
        return [[next(answers) for _ in test] for test in planned], run


class Implement(Exercise):
    """Write what the library has.

    Parameters
    ----------
    name : str
        The function or class to be written.
    reference : callable
        The library's own: a function, an op of `OPS`, a class; or a self-contained function of the homework file.
    title, text : str
    tests : list of Test
    hints : tuple of three str
    wrong : list of Wrong
    slot : str, optional
        Where `tinymm.use` puts it, if the library has it under another name; see `tinymm.learn.swap`.
    library : "closed", "open"
        Whether the learner's code may use tinymm while it is checked; when open, not the reference and what `hides`
        lists ("op:NAME", "kernel:NAME", "MODULE:NAME").
    docstring : str, optional
        For the stub, in place of the reference's.
    more : dict of name -> callable
        Further functions that belong to the exercise, with their references.
    """

    kind = "implement"

    def __init__(self, name, *, reference, title, text, tests, hints, wrong, star=False, slot=None, library="closed",
                 hides=(), docstring=None, more=None, seconds=5.0):  # fmt: skip
        self.name, self.reference, self.title, self.text, self._tests = name, reference, title, text, tests
        self.hints, self.wrong, self.star, self.slot = hints, wrong, star, slot
        self.library, self.docstring, self.seconds = library, docstring, seconds
        self.references = {name: reference, **(more or {})}
        self.form = "op" if hasattr(reference, "spec") else "function"
        self.hides = tuple(hides) or (
            tuple(_address(r) for r in self.references.values() if _of_library(r)) if library == "open" else ())

    @property
    def parts(self):
        return list(self.references)

    def function(self, part=None):
        """The reference, as a function of arrays."""
        return _plain(self.references[part or self.name])

    def tests(self, draw=None):
        return [test.name for test in self._tests]

    def stub(self, draw=None):
        return {name: self._stub_of(name) for name in self.parts}

    def _stub_of(self, name):
        function, doc = self.function(name), self.docstring if name == self.name else None
        body = self.not_written(name)
        if isinstance(function, type):
            lines = [f"class {name}:", _quoted(doc or inspect.getdoc(function), 4)]
            methods = dict(vars(function))
            methods.update((key, getattr(function, key)) for key in ("forward", "zero_grad", "step")
                           if hasattr(function, key))
            for key, method in methods.items():
                if inspect.isfunction(method) and (not key.startswith("_") or key in ("__init__", "__call__")):
                    lines += ["", f"    def {key}{_signature(method)}:"]
                    lines += [_quoted(inspect.getdoc(method), 8)] if method.__doc__ else []
                    lines += [f"        {body}"]
            return "\n".join(lines) + "\n"
        head = f"def {name}{_signature(function)}:"
        return "\n".join([head, _quoted(doc or inspect.getdoc(function), 4), f"    {body}"]) + "\n"

    def solution(self, draw=None):
        parts = []
        for name, reference in self.references.items():
            function = _plain(reference)
            where = f"{function.__module__}".replace("_homework_", "the homework of lesson ")
            parts.append(f"# {name}, as it stands in {where}\n{textwrap.dedent(inspect.getsource(function))}")
        return "\n\n".join(parts)

    def submission(self, replaced=(), draw=None):
        replaced = dict(replaced)
        text = HEADER
        for name, reference in self.references.items():
            text += "\n\n" + (replaced[name] if name in replaced else _importing(name, reference))
        return text

    def check(self, text, path, *, draw=None, record=None, library=None, rng=None):
        rng = rng or np.random.default_rng(secrets.randbits(64))
        planned = self._plan(self._tests, rng)
        answers, run = self._ask(text, path, planned, rng, library=library, drivers=[t.run for t in self._tests])
        return Result(_lines(self._tests, planned, answers, run), printed=run.printed)


class Extend(Implement):
    """Write something that goes beyond the lesson; checked as in `Implement`."""

    kind = "extend"


def _lines(tests, planned, answers, run):
    lines = []
    for test, plan, given in zip(tests, planned, answers):
        problem = run.broken or test.verdict(plan, given) if plan else "this test asks nothing"
        lines.append(Line(test.name, problem is None, problem or "", test.look))
    return lines


@dataclasses.dataclass
class Question:
    """One number that is to be predicted.

    Parameters
    ----------
    key : str
        Its name in the learner's file.
    text : str
    look : str
        Where to look when the guess was wrong.
    rtol, atol : float
        How near is right.
    """

    key: str
    text: str
    look: str
    rtol: float = 0.02
    atol: float = 1e-9


class Predict(Exercise):
    """Say numbers before they are measured.

    Parameters
    ----------
    draw : callable
        ``draw(rng)`` gives a dict of numbers, which `text` may show as ``{name}``.
    measure : callable
        ``measure(**draw)`` runs the lesson's code and returns a dict: key of a question -> number, word or list.
    questions : list of Question
    title, text, hints, wrong, star
        As for `Implement`; ``version(draw)`` of a `Wrong` gives a dict of answers.
    """

    kind = "predict"

    def __init__(self, *, title, text, draw, questions, measure, hints, wrong, star=False):
        self.title, self.text, self.draw, self.questions, self.measure = title, text, draw, questions, measure
        self.hints, self.wrong, self.star = hints, wrong, star

    @property
    def name(self):
        return f"predict_{self.number.replace('.', '_')}"

    @property
    def parts(self):
        return [self.name]

    def drawn(self, name):
        """The numbers of the learner of that name."""
        seed = int.from_bytes(hashlib.sha256(f"{self.number} {name}".encode()).digest()[:8], "big")
        return self.draw(np.random.default_rng(seed))

    def tests(self, draw=None):
        return [q.text.format(**draw) if draw else q.text for q in self.questions]

    def test_called(self, name, draw=None):
        return next((q.text.format(**draw) for q in self.questions if q.key == name), name)

    def wrong_submission(self, wrong, draw=None):
        return self.written(wrong.version(draw))

    def text_for(self, draw):
        asked = "\n\n".join(f'"{q.key}": {q.text}' for q in self.questions)
        text = f"{textwrap.dedent(self.text).strip()}\n\n{asked}"
        return text.format(**draw) if draw else text

    def stub(self, draw=None):
        rows = [f'    "{q.key}": None,\n' for q in self.questions]
        rows.append('    "because": "",  # one line of reason, before you check\n')
        rows.append('    "why": "",  # only after a wrong guess: what had you overlooked?\n')
        return {self.name: f"{self.name} = {{\n{''.join(rows)}}}\n"}

    def solution(self, draw=None):
        measured = self.measure(**draw)
        return f"{self.name} = {{\n" + "".join(f'    "{k}": {as_literal(v)},\n' for k, v in measured.items()) + "}\n"

    def submission(self, replaced=(), draw=None):
        return self.written(self.measure(**draw))

    def written(self, answers):
        """Answers as they stand in a learner's file."""
        rows = {k: as_literal(v) for k, v in answers.items()}
        return f"{self.name} = { {**rows, 'because': 'I have worked it out by hand'}!r}\n"

    def check(self, text, path, *, draw=None, record=None, library=None, rng=None):
        record = record or {}
        names = self.tests(draw)

        def all_wrong(problem, look):
            return Result([Line(name, False, problem, look) for name in names])

        given, problem = literal(text, self.name)
        if problem:
            return all_wrong(problem, "numbers and strings only: this is read, not run")
        keys = [q.key for q in self.questions]
        guess = {key: given.get(key) for key in keys}
        changes, note = {}, ""
        if record.get("guess") is not None:
            if {k: as_literal(v) for k, v in guess.items()} != record["guess"]:
                note = "your first guess counts, as it was stored; what you overlooked goes into \"why\""
            guess = record["guess"]
        else:
            missing = [key for key in keys if guess[key] is None]
            if missing:
                look = "write down a guess; a wrong one costs nothing"
                return all_wrong(f"no guess yet for {', '.join(missing)}", look)
            if len(str(given.get("because", "")).split()) < 3:
                return all_wrong("no reason yet", 'write one line of at least three words into "because", then check')
            changes = {"guess": {k: as_literal(v) for k, v in guess.items()}, "because": str(given["because"])}
            if record.get("store"):
                record["store"](changes)  # kept before anything runs
        measured = self.measure(**draw)
        lines = []
        for q, name in zip(self.questions, names):
            right = agrees(guess[q.key], measured[q.key], q)
            found = f"you said {in_words(guess[q.key])}; measured {in_words(measured[q.key])}"
            look = q.look.format(**draw) if draw else q.look
            lines.append(Line(name, right, found, "" if right else look))
        why = str(given.get("why", ""))
        if not all(line.passed for line in lines):
            if len(why.split()) >= 3:
                for line in lines:
                    line.passed = True
                note, changes["why"] = "a wrong guess, and you have said what was overlooked: that counts in full", why
            else:
                note = note or 'a wrong guess costs nothing: write into "why" what you had overlooked, and check again'
        return Result(lines, note, changes=changes)


class Diagnose(Exercise):
    """Tell a right thing from broken ones, and repair.

    The learner writes ``test_NAME(candidate)``, which must pass for the reference and raise an AssertionError for the
    fault and all siblings, and ``NAME``, the repaired function. All functions here are self-contained.

    Parameters
    ----------
    name : str
        What is to be repaired.
    reference : function
        The right one.
    fault : function
        What the learner is shown.
    siblings : dict of str -> function
        Other faults that the learner's test must find too; the learner sees their names only when one slips through.
    model_test : function
        A test that does it, for `solution`.
    tests : list of Test
        What the repaired function must pass.
    """

    kind = "diagnose"

    def __init__(self, name, *, reference, fault, siblings, model_test, title, text, tests, hints, wrong, star=False,
                 library="closed", hides=(), docstring=None, seconds=5.0):  # fmt: skip
        self.name, self.reference, self.fault, self.siblings = name, reference, fault, siblings
        self.model_test, self.title, self.text, self.repairs = model_test, title, text, tests
        self.hints, self.wrong, self.star, self.docstring = hints, wrong, star, docstring
        self.library, self.hides, self.seconds = library, tuple(hides), seconds

    @property
    def test_name(self):
        return f"test_{self.name}"

    @property
    def parts(self):
        return [self.test_name, self.name]

    def function(self, part=None):
        return self.reference

    RIGHT = "your test passes for a right one"
    FAULT = "your test fails for the fault you were shown"

    def tests(self, draw=None):
        return [self.RIGHT, self.FAULT, *[f"your test fails for: {label}" for label in self.siblings],
                *[test.name for test in self.repairs]]  # fmt: skip

    def stub(self, draw=None):
        shown = named(self.fault, f"broken_{self.name}")
        head = f"def {self.name}{_signature(self.reference)}:"
        doc = _quoted(self.docstring or inspect.getdoc(self.reference), 4)
        test = [f"def {self.test_name}({self.name}):",
                f'    """Raise an AssertionError if `{self.name}` is broken, and nothing if it is right."""',
                f"    {self.not_written(self.test_name)}\n"]  # fmt: skip
        return {f"broken_{self.name}": shown, self.test_name: "\n".join(test),
                self.name: "\n".join([head, doc, f"    {self.not_written(self.name)}\n"])}  # fmt: skip

    def solution(self, draw=None):
        return f"{named(self.model_test, self.test_name)}\n\n{named(self.reference, self.name)}"

    def submission(self, replaced=(), draw=None):
        parts = {self.test_name: named(self.model_test, self.test_name),
                 self.name: named(self.reference, self.name), **dict(replaced)}  # fmt: skip
        return HEADER + "".join(f"\n\n{source}" for source in parts.values())

    def check(self, text, path, *, draw=None, record=None, library=None, rng=None):
        rng = rng or np.random.default_rng(secrets.randbits(64))
        functions = [self.reference, self.fault, *self.siblings.values()]
        order = [int(i) for i in rng.permutation([0, *range(len(functions)), 0])]  # the right one comes three times
        candidates = [named(f, "candidate") for f in functions]
        trial = [(Request(self.test_name, "try_test", ([int(i) for i in order],)), None, None)]
        planned = [trial, *self._plan(self.repairs, rng)]
        answers, run = self._ask(text, path, planned, rng, library=library, candidates=candidates,
                                 drivers=[t.run for t in self.repairs])  # fmt: skip
        lines = []
        for k, name in enumerate(self.tests()[: len(functions)]):
            found = run.broken or answers[0][0].error or self._outcome(answers[0][0].value, order, k)
            look = "what does a right one do that this one does not?" if k else "does it ask for more than is true?"
            lines.append(Line(name, found is None, found or "", look))
        return Result(lines + _lines(self.repairs, planned[1:], answers[1:], run), printed=run.printed)

    @staticmethod
    def _outcome(outcomes, order, k):
        if not isinstance(outcomes, list) or len(outcomes) != len(order):
            return "no answer"
        seen = [o for o, i in zip(outcomes, order) if i == k]
        expected = "fails" if k else "passes"
        if all(o == expected for o in seen):
            return None
        odd = next(o for o in seen if o != expected)
        if odd in ("passes", "fails"):
            return f"it {odd}" + ("" if len(set(seen)) == 1 else ", though not each time")
        return f"it stopped with {odd}; expected {'an AssertionError' if k else 'that it passes'}"


class Experiment(Exercise):
    """Hand in numbers, controls and a verdict.

    The learner writes ``NAME(seed)``, which returns a dict of numbers, and the literal ``result_N_K``: a dict with
    "seeds" (three or more), "numbers" (name -> list, one a seed) and "verdict". The checker recomputes the verdict
    from the numbers and runs one of the seeds again.

    Parameters
    ----------
    name : str
    reference : function
        Self-contained, or one of the library.
    numbers : dict of str -> str
        What must be measured, controls among them, and what each means.
    claim : callable
        ``claim(numbers)`` gives (list of numbers one a seed, region such as {"above": 0.0}): what the verdict is of.
    statement : str
        What holds or fails.
    tests : list of Test
        Of the function, or of further parts in `more`.
    """

    kind = "extend"

    def __init__(self, name, *, reference, numbers, claim, statement, title, text, hints, wrong, tests=(), star=False,
                 library="open", hides=(), docstring=None, more=None, seconds=30.0, rtol=1e-6):  # fmt: skip
        self.name, self.reference, self.numbers, self.claim, self.statement = name, reference, numbers, claim, statement
        self.title, self.text, self._tests, self.hints, self.wrong = title, text, list(tests), hints, wrong
        self.star, self.library, self.hides, self.docstring = star, library, tuple(hides), docstring
        self.references, self.seconds, self.rtol = {**(more or {}), name: reference}, seconds, rtol  # parts come first

    FORM = "three seeds or more, all numbers and controls"
    VERDICT = "the verdict follows from the numbers"
    AGAIN = "one of the seeds, run again, gives the numbers handed in"

    @property
    def result_name(self):
        return f"result_{self.number.replace('.', '_')}"

    @property
    def parts(self):
        return [*self.references, self.result_name]

    function, _stub_of = Implement.function, Implement._stub_of

    def tests(self, draw=None):
        return [*[test.name for test in self._tests], self.FORM, self.VERDICT, self.AGAIN]

    def stub(self, draw=None):
        rows = "".join(f'        "{key}": [],  # {what}\n' for key, what in self.numbers.items())
        literal = (f'{self.result_name} = {{\n    "seeds": [],\n    "numbers": {{\n{rows}    }},\n'
                   f'    "verdict": "",  # holds, fails or undecided: {self.statement}\n}}\n')  # fmt: skip
        return {**{name: self._stub_of(name) for name in self.references}, self.result_name: literal}

    def verdict(self, numbers):
        """What follows from numbers."""
        values, region = self.claim({key: np.asarray(v, float) for key, v in numbers.items()})
        return judge_claim("handed in", self.statement, np.asarray(values).tolist(), **region).verdict

    solution = Implement.solution

    def wrong_submission(self, wrong, draw=None):
        if isinstance(wrong.version, dict):
            return self.submission({self.result_name: f"{self.result_name} = {wrong.version!r}\n"}, draw)
        return super().wrong_submission(wrong, draw)

    def submission(self, replaced=(), draw=None):
        replaced = dict(replaced)
        text = Implement.submission(self, replaced)
        if self.result_name in replaced:
            return f"{text}\n\n{replaced[self.result_name]}"
        seeds = [0, 1, 2]
        rows = [self.function()(seed) for seed in seeds]
        numbers = {key: [float(row[key]) for row in rows] for key in self.numbers}
        result = {"seeds": seeds, "numbers": numbers, "verdict": self.verdict(numbers)}
        return f"{text}\n\n{self.result_name} = {result!r}\n"

    def check(self, text, path, *, draw=None, record=None, library=None, rng=None):
        rng = rng or np.random.default_rng(secrets.randbits(64))
        given, problem = literal(text, self.result_name)
        problem = problem or self._form(given)
        seeds = given.get("seeds") if problem is None else None
        planned = self._plan(self._tests, rng)
        if seeds:
            k = int(rng.integers(len(seeds)))
            planned.append([(Request(self.name, "call", (seeds[k],)), None, None)])
        answers, run = self._ask(text, path, planned, rng, library=library, drivers=[t.run for t in self._tests])
        lines = _lines(self._tests, planned, answers, run)
        lines.append(Line(self.FORM, problem is None, problem or "", "what is a number worth without its control?"))
        said = found = problem
        if problem is None:
            right = self.verdict(given["numbers"])
            says = given.get("verdict")
            said = None if says == right else f"you say {says!r}; the numbers say {right!r}"
            answer = answers[-1][0]
            expected = {key: given["numbers"][key][k] for key in self.numbers}
            found = run.broken or answer.error
            if found is None:
                value = {key: v for key, v in answer.value.items() if key in self.numbers} \
                    if isinstance(answer.value, dict) else answer.value  # fmt: skip
                found = difference(value, expected, self.rtol, 1e-9)
                found = found and f"seed {seeds[k]}: {found.replace('expected', 'handed in')}"
        lines.append(Line(self.VERDICT, said is None, said or "", "compare the interval over the seeds with the bound"))
        lines.append(Line(self.AGAIN, found is None, found or "", "does anything depend on more than the seed?"))
        return Result(lines, printed=run.printed)

    def _form(self, given):
        seeds, numbers = given.get("seeds"), given.get("numbers")
        if not isinstance(seeds, list) or len(set(map(repr, seeds))) < 3 or not all(type(s) is int for s in seeds):
            return "expected three different seeds or more"
        for key in self.numbers:
            row = numbers.get(key) if isinstance(numbers, dict) else None
            if not isinstance(row, list) or len(row) != len(seeds):
                return f"{key}: expected a list of {len(seeds)} numbers, one a seed"
            if not all(type(v) in (int, float) and np.isfinite(v) for v in row):
                return f"{key}: expected finite numbers"
        return None


# ---- texts -----------------------------------------------------------------------------------------------------------


def source_of(function):
    """A function's or class's own text.

    Raises
    ------
    ValueError
        For a lambda or an inner function.
    """
    if function.__qualname__ != function.__name__ or not function.__name__.isidentifier():
        raise ValueError(f"{function.__qualname__}: expected a function of the file's top level, no lambda")
    return textwrap.dedent(inspect.getsource(function))


def named(function, name):
    """A function's text under another name."""
    return checker.named(source_of(function), function.__name__, name)


def _plain(reference):
    return reference.spec.function if hasattr(reference, "spec") else reference


def _importing(name, reference):
    """Code that defines `name` as the reference."""
    if hasattr(reference, "spec"):
        key = reference.spec.name
        return f"import tinymm.ops\nfrom tinymm.autograd.tensor import OPS\n{name} = OPS[{key!r}].spec.function\n"
    if _of_library(reference):
        return f"from {reference.__module__} import {reference.__name__} as {name}\n"
    return named(reference, name)


def _of_library(reference):
    return hasattr(reference, "spec") or reference.__module__.startswith("tinymm.")


def _address(reference):
    return f"op:{reference.spec.name}" if hasattr(reference, "spec") else f"{reference.__module__}:{reference.__name__}"


def _signature(function):
    return str(inspect.signature(function))


def _quoted(doc, indent):
    doc = (doc or "").replace("\\", "\\\\").replace('"""', "'''")
    lines = doc.splitlines() or ["To be written."]
    closed = [f'"""{lines[0]}"""'] if len(lines) == 1 else [f'"""{lines[0]}', *lines[1:], '"""']
    return textwrap.indent("\n".join(closed), " " * indent)


# ---- the files -------------------------------------------------------------------------------------------------------


def script(name):
    """The path of a lesson's exercises, whether there are any or not."""
    return lessons.folder() / name / "homework.py"


def load(name, path=None):
    """The exercises of lesson `name`, numbered.

    Raises
    ------
    LookupError
        If the lesson has none yet.
    """
    path = path or script(name)
    if not path.is_file():
        have = ", ".join(n for n in lessons.present() if script(n).is_file()) or "none"
        raise LookupError(f"lesson {name} has no exercises yet; these have: {have}")
    spec = importlib.util.spec_from_file_location(f"_homework_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # the text of a class is found through its module
    spec.loader.exec_module(module)
    for k, exercise in enumerate(module.exercises, 1):
        exercise.number, exercise.lesson, exercise.file = f"{int(name[:2])}.{k}", name, path
    return module.exercises


def find(wanted):
    """The exercises that ``3`` or ``3.2`` names: (name of the lesson, list).

    Raises
    ------
    LookupError
        If there are none.
    """
    lesson, dot, k = str(wanted).partition(".")
    name = lessons.resolve(lesson)
    exercises = load(name)
    if dot:
        chosen = [e for e in exercises if e.number.partition(".")[2] == k]
        if not chosen:
            have = ", ".join(e.number for e in exercises)
            raise LookupError(f"lesson {name} has no exercise {wanted}; there are {have}")
        exercises = chosen
    return name, exercises
