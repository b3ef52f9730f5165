"""Run a lesson in this process: section by section, with its headings, and the table of claims at the end."""

import ast
import contextlib
import linecache
import sys

from tinymm.learn import compiling, lessons, milestones
from tinymm.learn import lesson as context


class LessonError(Exception):
    """A lesson's code failed: which lesson, which line, and what it said."""


def run(name, swap=None, **options):
    """Run the lesson `name` (as `lessons.resolve` gives it) and return its `Lesson`.

    Parameters
    ----------
    swap : path or list of paths, optional
        A learner's files, whose functions and layers the lesson then runs on; see `tinymm.use`.
    **options
        As for `Lesson`: fast, data, seed, figures, predict.

    Raises
    ------
    LessonError
        If the lesson's code fails; what it had found out by then is written to ``claims.json`` all the same.
    """
    from tinymm import kernels
    from tinymm.autograd import OPS

    head = lessons.header(name)
    backend, ops = kernels.backend(), set(OPS)
    lesson = context.Lesson(name, **options)
    print(f"Lesson {name[:2]}: {head.title} ({head.kind}, {head.minutes} minutes to read"
          f"{'; --fast' if lesson.fast else ''})")  # fmt: skip
    print(f"  text: {context.shown(lessons.script(name))}")
    context._active = lesson
    try:
        with _swapped(swap) as used, compiling.announced(head.compile or None):
            _execute(lessons.script(name))
            lesson.end()
            if (lessons.folder() / name / "homework.py").is_file():
                print(f"  exercises: tinymm start {int(name[:2])}")
            milestones.after(name, used, lesson.fast)
        later = [other for other in lessons.present() if other > name]
        if later:
            print(f"  next: tinymm run {int(later[0][:2])} ({lessons.header(later[0]).title})")
    except BaseException:
        if lesson.claims and not lesson.ended:
            print(f"stopped; what was found so far: {context.shown(lesson.write_claims())}", file=sys.stderr)
        raise
    finally:
        context._active = None
        kernels.use(backend)
        for op in set(OPS) - ops:  # what the lesson has added
            del OPS[op]
    return lesson


def _swapped(swap):
    if swap is None:
        return contextlib.nullcontext()
    return milestones.use(swap)


def _execute(path):
    """Run a script statement by statement, printing each heading when its section begins."""
    source = path.read_text(encoding="utf-8")
    linecache.checkcache(str(path))
    headings = [(i, line[5:]) for i, line in enumerate(source.splitlines(), 1) if line.startswith("# ## ")]
    names = {"__name__": "__main__", "__file__": str(path)}
    for statement in ast.parse(source, str(path)).body:
        while headings and headings[0][0] < statement.lineno:
            title = headings.pop(0)[1]
            print(f"\n{title}\n{'-' * len(title)}", flush=True)
        code = compile(ast.Module([statement], []), str(path), "exec")
        try:
            exec(code, names)
        except Exception as problem:
            line = _line_in(problem.__traceback__, str(path))
            text = " ".join(str(problem).split()) or type(problem).__name__
            raise LessonError(f"{path.parent.name}, line {line}: {text}") from problem


def _line_in(traceback, path):
    """The deepest line of the file `path` in a traceback."""
    line = 0
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == path:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
