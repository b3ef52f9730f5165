"""The learner's folder: their files, their progress, and the commands on them.

``ex01.py`` holds the exercises of lesson 01. ``progress.json`` holds the learner's name, what is passed, guesses and
hints. ``backup/`` holds what `reset` took away. Nothing that a learner wrote is ever overwritten; every write is
atomic: a temporary file beside the target, flushed to the disk, then moved into its place.
"""

import ast
import getpass
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from tinymm import kernels
from tinymm.learn import homework, lessons
from tinymm.learn.lesson import shown

POLL = 0.3  # seconds between two looks at the file under --watch
VERSION = 1


def write(path, text):
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class Folder:
    """A learner's folder.

    Attributes
    ----------
    path : Path
    name : str
        The learner's.
    exercises : dict of str -> dict
        By number: "passed" (bool), "checks" (how often), "hints", "gave_up", and for predictions "guess", "because".
    """

    def __init__(self, path):
        self.path = Path(path).expanduser()
        self.progress = self.path / "progress.json"
        self.name, self.exercises = "", {}
        if self.progress.exists():
            try:
                record = json.loads(self.progress.read_text(encoding="utf-8"))
                self.name, self.exercises = str(record["name"]), dict(record["exercises"])
            except (ValueError, KeyError, TypeError) as problem:
                raise ValueError(
                    f"{self.progress} cannot be read ({problem}); move it away, and `tinymm start N` begins a new one"
                ) from None

    def save(self):
        """Write ``progress.json``."""
        record = {"version": VERSION, "name": self.name, "exercises": self.exercises}
        write(self.progress, json.dumps(record, indent=1, sort_keys=True) + "\n")

    def file(self, lesson):
        """The learner's file for a lesson."""
        return self.path / f"ex{lesson[:2]}.py"

    def record(self, exercise):
        """What is known of an exercise; a dict that may be changed."""
        return self.exercises.setdefault(exercise.number, {"passed": False, "checks": 0, "hints": 0})

    def draw(self, exercise):
        """The numbers drawn for this learner, or None."""
        return exercise.drawn(self.name)

    def text(self, lesson):
        """The learner's file as text.

        Raises
        ------
        FileNotFoundError
            If `start` has not been called.
        """
        path = self.file(lesson)
        if not path.is_file():
            begin = f"tinymm start {int(lesson[:2])}{self._at()}"
            raise FileNotFoundError(f"{shown(path)} is not there; begin with: {begin}")
        return path.read_text(encoding="utf-8", errors="replace")

    def _at(self):
        return "" if self.path == Path("work") else f" --work {self.path}"


# ---- start -----------------------------------------------------------------------------------------------------------


def start(folder, lesson, name=None):
    """Write the stubs of a lesson; into a file that is there, only those that are missing.

    Raises
    ------
    ValueError
        If the file is there and is no Python, so that it cannot be said what is missing.
    """
    exercises = homework.load(lesson)
    if not folder.name:
        folder.name = name or _ask_name()
    elif name and name != folder.name:
        raise ValueError(f"this folder is {folder.name}'s; numbers are drawn for that name. Another --work for {name}?")
    path = folder.file(lesson)
    if not path.exists():
        write(path, _head(lesson) + "".join(_section(e, folder.draw(e)) for e in exercises))
        folder.save()
        print(f"{shown(path)}: {len(exercises)} exercises for {folder.name}. Write into it, then: tinymm check "
              f"{int(lesson[:2])}{folder._at()}")  # fmt: skip
        return
    text = folder.text(lesson)
    try:
        there = _defined(text)
    except SyntaxError as problem:
        raise ValueError(f"{shown(path)}, line {problem.lineno}: {problem.msg}; nothing was changed") from None
    added = ""
    for exercise in exercises:
        missing = [part for part in exercise.parts if part not in there]
        if missing:  # with what is shown beside them, like the broken function of a diagnosis
            missing = [name for name in exercise.stub(folder.draw(exercise)) if name not in there]
            added += _section(exercise, folder.draw(exercise), missing)
            print(f"{exercise.number}: added {', '.join(missing)}")
    if added:
        write(path, text.rstrip("\n") + "\n" + added)
    else:
        print(f"{shown(path)} is complete; nothing was changed (anew: tinymm reset {int(lesson[:2])}{folder._at()})")
    folder.save()


def _ask_name():
    if sys.stdin is not None and sys.stdin.isatty():
        answer = input("Your name (the numbers of predictions are drawn from it): ").strip()
        if answer:
            return answer
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "learner"


def _head(lesson):
    n = int(lesson[:2])
    title = lessons.header(lesson).title
    return (f'"""Homework of lesson {lesson[:2]}, {title}.\n\nFill in, then: tinymm check {n} (or one: tinymm check '
            f'{n}.1; at each save: --watch). Stuck: tinymm hint {n}.1\n"""\n\nimport numpy as np\n')  # fmt: skip


def _section(exercise, draw, parts=None):
    stubs = exercise.stub(draw)
    wanted = [source for name, source in stubs.items() if parts is None or name in parts]
    return "\n\n" + exercise.explain(draw) + "\n\n\n" + "\n\n".join(wanted)


def _defined(text):
    """The names that a file defines at its top level: name -> node."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found.update((t.id, node) for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update((a.asname or a.name, node) for a in node.names)
    return found


# ---- check -----------------------------------------------------------------------------------------------------------


def check(folder, wanted, first_failure=False):
    """Check exercises, print one line a test, keep what is passed. Returns whether all passed."""
    lesson, exercises = homework.find(wanted)
    text, path = folder.text(lesson), folder.file(lesson)
    right = True
    for exercise in exercises:
        result = _check_one(folder, exercise, text, path)
        right = right and result.passed
        _show(exercise, result, first_failure)
        if first_failure and not result.passed:
            return False
    return right


def _check_one(folder, exercise, text, path):
    record = dict(folder.record(exercise))

    def store(changes):
        folder.exercises[exercise.number].update(changes)
        folder.save()

    with kernels.using("numpy"):  # nothing is compiled for a few small arrays
        result = exercise.check(text, path, draw=folder.draw(exercise), record={**record, "store": store})
    known = folder.record(exercise)
    known.update(result.changes)
    known["checks"] += 1
    if result.passed and not known["passed"]:
        known["passed"] = True
        known["when"] = time.strftime("%Y-%m-%d %H:%M")
    folder.save()
    return result


def _show(exercise, result, first_failure):
    n = sum(line.passed for line in result.lines)
    state = "passed" if result.passed else f"{n} of {len(result.lines)} tests pass"
    print(f"{exercise.number} {exercise.title} ({exercise.kind}): {state}")
    lines = [line for line in result.lines if not line.passed][:1] if first_failure else result.lines
    for line in lines:
        print(f"  {'ok   ' if line.passed else 'WRONG'} {line.test}")
        if line.found and (not line.passed or exercise.kind == "predict"):
            print(f"          {line.found}")
        if line.look and not line.passed:
            print(f"          look: {line.look}")
    if result.note:
        print(f"  {result.note}")
    if result.printed.strip() and not result.passed:
        print("  your code printed:")
        for row in result.printed.strip().splitlines()[:10]:
            print(f"    | {row[:200]}")
    sys.stdout.flush()


def watch(folder, wanted, limit=None):
    """Check whenever the file is saved, showing the first failure only; ends when all is right, or with Ctrl-C."""
    lesson, _ = homework.find(wanted)
    path = folder.file(lesson)
    folder.text(lesson)
    print(f"watching {shown(path)}; Ctrl-C ends", flush=True)
    seen = None
    while True:
        now = _stamp(path)
        if now is not None and now != seen:
            seen = now
            print(f"\n---- {time.strftime('%H:%M:%S')}", flush=True)
            try:
                if check(folder, wanted, first_failure=True):
                    print("all right", flush=True)
                    return True
            except OSError as problem:  # some editors take the file away for a moment
                print(problem, flush=True)
        time.sleep(POLL)


def _stamp(path):
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


# ---- hint, solution, status, reset -----------------------------------------------------------------------------------


def one(wanted):
    """The one exercise that ``3.2`` names."""
    if "." not in str(wanted):
        raise LookupError(f"{wanted} is a lesson; name one exercise, like {wanted}.1")
    return homework.find(wanted)[1][0]


def hint(folder, wanted):
    """Print the next hint of an exercise, after those seen before."""
    exercise = one(wanted)
    record = folder.record(exercise)
    record["hints"] = min(record["hints"] + 1, len(exercise.hints))
    folder.save()
    for level, text in zip(("idea", "shapes", "almost the code"), exercise.hints[: record["hints"]]):
        print(f"{exercise.number}, {level}: {text}")
    if record["hints"] < len(exercise.hints):
        print(f"(the next one: tinymm hint {exercise.number} again)")


def solution(folder, wanted, give_up=False):
    """Print the reference, if the exercise is passed or given up.

    Raises
    ------
    ValueError
        Otherwise.
    """
    exercise = one(wanted)
    record = folder.record(exercise)
    draw = folder.draw(exercise)
    if not record["passed"] and not give_up:
        n = exercise.number
        raise ValueError(f"{n} is not passed yet; tinymm hint {n} helps, --give-up shows the solution")
    if exercise.kind == "predict" and record.get("guess") is None:
        raise ValueError(f"{exercise.number}: guess first; a wrong guess costs nothing")
    if not record["passed"]:
        record["gave_up"] = True
        folder.save()
    print(exercise.solution(draw))


def status(folder):
    """Print what is passed, of all exercises that there are."""
    print(f"{folder.name or 'nobody yet'}, {shown(folder.path)}")
    done = count = 0
    for name in lessons.present():
        if not homework.script(name).is_file():
            continue
        exercises = homework.load(name)
        begun = folder.file(name).exists()
        passed = sum(folder.exercises.get(e.number, {}).get("passed", False) for e in exercises)
        done, count = done + passed, count + len(exercises)
        print(f"{name}: {passed} of {len(exercises)}{'' if begun else ' (tinymm start ' + str(int(name[:2])) + ')'}")
        for e in exercises if begun else ():
            record = folder.exercises.get(e.number, {})
            state = "passed" if record.get("passed") else "tried" if record.get("checks") else "open"
            extra = [f"{record['checks']} checks"] if record.get("checks") else []
            extra += [f"{record['hints']} hints"] if record.get("hints") else []
            extra += ["solution seen"] if record.get("gave_up") else []
            print(f"  {e.number:<5} {state:<7} {e.title}{'  (' + ', '.join(extra) + ')' if extra else ''}")
    print(f"{done} of {count} exercises passed")


def reset(folder, wanted):
    """Begin a lesson or one exercise anew; what was there goes into ``backup/``.

    Raises
    ------
    ValueError
        If one exercise is to be reset in a file that is no Python.
    """
    lesson, exercises = homework.find(wanted)
    text, path = folder.text(lesson), folder.file(lesson)
    whole = "." not in str(wanted)
    if not whole:
        try:
            nodes = _defined(text)
        except SyntaxError as problem:
            raise ValueError(f"{shown(path)}, line {problem.lineno}: {problem.msg}; mend it, or reset "
                             f"{int(lesson[:2])} as a whole") from None  # fmt: skip
    kept = backup(folder, path)
    if whole:
        new = _head(lesson) + "".join(_section(e, folder.draw(e)) for e in exercises)
    else:
        new = _renewed(text, nodes, exercises[0].stub(folder.draw(exercises[0])))
    write(path, new)
    for exercise in exercises:
        kept_guess = {k: v for k, v in folder.record(exercise).items() if k in ("guess", "because", "hints")}
        folder.exercises[exercise.number] = {"passed": False, "checks": 0, "hints": 0, **kept_guess}
    folder.save()
    print(f"{', '.join(e.number for e in exercises)} begun anew; what was there is in {shown(kept)}")


def backup(folder, path):
    """Copy a file into ``backup/`` under a name of its own, and return that."""
    stem = f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    target = folder.path / "backup" / f"{stem}{path.suffix}"
    k = 1
    while target.exists():
        k += 1
        target = target.with_name(f"{stem}-{k}{path.suffix}")
    write(target, path.read_text(encoding="utf-8", errors="replace"))
    return target


def _renewed(text, nodes, stubs):
    """The text with the definitions that `stubs` names put back, those that are missing at the end."""
    lines = text.splitlines()
    places = []
    for name, source in stubs.items():
        node = nodes.get(name)
        if node is None:
            places.append((len(lines), len(lines), ["", "", *source.splitlines()]))
            continue
        first = min([node.lineno, *[d.lineno for d in getattr(node, "decorator_list", ())]])
        places.append((first - 1, node.end_lineno, source.splitlines()))
    for first, last, source in sorted(places, key=lambda place: place[:2], reverse=True):
        lines[first:last] = source
    return "\n".join(lines) + "\n"
