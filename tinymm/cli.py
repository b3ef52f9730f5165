"""The command ``tinymm``.

Exit codes: 0 done, 1 failed (one line says why; ``--debug`` shows the traceback), 2 wrong usage, 130 Ctrl-C.
"""

import argparse
import io
import os
import sys

NEWCOMER = "4"  # the lesson that `tinymm run` runs


def main(arguments=None):
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a word that the terminal cannot show is no reason to stop
            stream.reconfigure(errors="replace")
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 2
    if options.command is None:
        parser.print_help()
        return 2
    debug = options.debug or os.environ.get("TINYMM_DEBUG", "") not in ("", "0")
    try:
        code = options.command(options)
        sys.stdout.flush()
        return code or 0
    except KeyboardInterrupt:
        print("\ntinymm: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `tinymm list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as problem:
        if debug:
            raise
        print(f"tinymm: {_one_line(problem)}", file=sys.stderr)
        return 1


def _one_line(problem):
    """What went wrong, on one line."""
    text = str(problem.args[0]) if isinstance(problem, LookupError) and problem.args else str(problem)
    if isinstance(problem, OSError) and problem.filename is not None and problem.strerror:
        text = f"{problem.filename}: {problem.strerror}"
    text = " ".join(text.split())
    plain = isinstance(problem, (ValueError, OSError, LookupError, RuntimeError, TypeError))
    from tinymm.learn.runner import LessonError

    if isinstance(problem, LessonError):
        return f"{text} (--debug shows the traceback)"
    return text if plain and text else f"{type(problem).__name__}: {text or 'no message'} (--debug shows the traceback)"


def _parser():
    import tinymm
    from tinymm.learn.lesson import options as lesson_options

    parser = argparse.ArgumentParser(
        prog="tinymm", description="A course and library for multimodal learning, in NumPy and Numba."
    )
    parser.add_argument("--version", action="version", version=f"tinymm {tinymm.__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name, function, help):
        sub = commands.add_parser(name, help=help, description=help)
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        sub.set_defaults(command=function)
        return sub

    command("list", list_lessons, "the lessons: title, time, what they need, whether they are here")
    run = command("run", run_lesson, "run a lesson (without a number: lesson 4, word vectors from real English)")
    run.add_argument("lesson", nargs="?", default=NEWCOMER, metavar="N", help="4, 04, word2vec or 04_word2vec")
    lesson_options("tinymm run", run)
    run.add_argument("--with", dest="swap", metavar="FILE", action="append",
                     help="run on the functions and layers of your file; may be given several times")  # fmt: skip

    def homework(name, function, help, wanted="N.K"):
        sub = command(name, function, help)
        if wanted:
            sub.add_argument("wanted", metavar=wanted, help="a lesson" if wanted == "N" else "like 3 or 3.2")
        sub.add_argument("--work", metavar="DIR", default="work", help="your folder (default: ./work)")
        return sub

    start = homework("start", start_lesson, "begin the exercises of a lesson: stubs in a folder of your own", "N")
    start.add_argument("--name", help="your name; the numbers of predictions are drawn from it")
    check = homework("check", check_work, "check your exercises: N for a lesson, N.K for one", "N|N.K")
    check.add_argument("--watch", action="store_true", help="check again whenever the file is saved")
    homework("hint", give_hint, "the next hint for an exercise")
    solution = homework("solution", show_solution, "the reference solution, once yours passes")
    solution.add_argument("--give-up", action="store_true", help="show it though yours does not pass")
    homework("status", show_status, "what you have passed", None)
    homework("reset", reset_work, "begin an exercise anew; what was there is kept in backup/", "N|N.K")
    dev = command("dev", check_exercises, "for authors: `dev check` checks the exercises themselves")
    dev.add_argument("what", choices=["check"])
    dev.add_argument("lessons", nargs="*", metavar="N", help="these lessons only")
    gradcheck = command("gradcheck", check_gradients, "check the gradients of all ops, or of those named")
    gradcheck.add_argument("ops", nargs="*", metavar="OP")
    data = command("data", show_data, "which texts and data sets are found")
    data.add_argument("name", nargs="?", metavar="NAME", help="look into one of them")
    figures = command("figures", show_figures, "draw the figures of the lessons anew, and say what changed")
    figures.add_argument("lessons", nargs="*", metavar="N", help="these lessons only")
    figures.add_argument("--check", action="store_true",
                         help="draw nothing: are all there, described, small enough, not stale?")  # fmt: skip
    doctor = command("doctor", examine, "what is installed, how fast it can be, where it writes")
    doctor.add_argument("--warm", action="store_true", help="compile the kernels ahead")
    return parser


# ---- commands --------------------------------------------------------------------------------------------------------


def list_lessons(options):
    """tinymm list"""
    from tinymm.learn import lessons

    here = lessons.present()
    part = None
    for name, where in lessons.COURSE.items():
        if where != part:
            part = where
            print(f"\n{part}" if here else part)
        short = "*" if name[:2] in lessons.SHORT_ROUTE else " "
        if name in here:
            head = lessons.header(name)
            needs = f"needs {' '.join(head.needs)}" if head.needs else "needs nothing"
            print(f" {short} {name:<28} {head.title}  ({head.minutes} min, {needs})")
        else:
            print(f" {short} {name:<28} to come")
    print(f"\n{len(here)} of {len(lessons.COURSE)} lessons are here; * marks the short route. "
          f"Run one: tinymm run {int(here[0][:2]) if here else 'N'}")  # fmt: skip


def run_lesson(options):
    """tinymm run [N]"""
    from tinymm.learn import lessons, runner

    name = lessons.resolve(options.lesson)
    runner.run(name, fast=options.fast, data=options.data, seed=options.seed, figures=options.figures,
               predict=options.predict, swap=options.swap)  # fmt: skip


def start_lesson(options):
    """tinymm start N"""
    from tinymm.learn import lessons, work

    work.start(work.Folder(options.work), lessons.resolve(options.wanted), options.name)


def check_work(options):
    """tinymm check N | N.K [--watch]"""
    from tinymm.learn import work

    folder = work.Folder(options.work)
    return 0 if (work.watch if options.watch else work.check)(folder, options.wanted) else 1


def give_hint(options):
    """tinymm hint N.K"""
    from tinymm.learn import work

    work.hint(work.Folder(options.work), options.wanted)


def show_solution(options):
    """tinymm solution N.K [--give-up]"""
    from tinymm.learn import work

    work.solution(work.Folder(options.work), options.wanted, options.give_up)


def show_status(options):
    """tinymm status"""
    from tinymm.learn import work

    work.status(work.Folder(options.work))


def reset_work(options):
    """tinymm reset N | N.K"""
    from tinymm.learn import work

    work.reset(work.Folder(options.work), options.wanted)


def check_exercises(options):
    """tinymm dev check [N ...]"""
    from tinymm.learn import devcheck, lessons

    return devcheck.check([lessons.resolve(n) for n in options.lessons])


def check_gradients(options):
    """tinymm gradcheck [OP ...]"""
    from tinymm.learn import gradients

    return gradients.check(options.ops)


def show_data(options):
    """tinymm data [NAME]"""
    from tinymm.learn import datasets

    if options.name is None:
        datasets.show_all()
    else:
        datasets.show(options.name)


def show_figures(options):
    """tinymm figures [--check] [N ...]"""
    from tinymm.learn import figures, lessons, runner

    names = [lessons.resolve(n) for n in options.lessons] or lessons.present()
    root = lessons.clone()
    if root is None:
        from pathlib import Path

        root = Path.cwd()
    wrong = 0
    for name in names:
        folder = root / "figures" / name
        if not options.check:
            before = figures.pixels(folder)
            runner.run(name)
            changes = figures.compare(before, figures.pixels(folder))
            for figure, what in changes:
                print(f"  changed: {name}/{figure}: {what}")
            if not changes:
                print(f"  {name}: every figure came out as it was")
        for state in figures.check(name, folder):
            wrong += bool(state.problem)
            print(f"  {'wrong' if state.problem else 'ok':<6} {name}/{state.name}"
                  f"{': ' + state.problem if state.problem else ''}")  # fmt: skip
    print(f"{wrong or 'no'} problems")
    return int(wrong > 0)


def examine(options):
    """tinymm doctor [--warm]"""
    from tinymm.learn import environment

    if options.warm:
        environment.warm()
    return environment.report()
