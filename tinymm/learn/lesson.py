"""What a lesson script talks to: options, claims, predictions, figures.

    from tinymm import learn
    lesson = learn.begin("01_autograd")
    steps = lesson.pick(fast=100, full=1000)
    lesson.claim("falls", "the loss falls", last - first, below=0.0, settled="holds")
    lesson.figure(fig, "loss", alt="...")
    lesson.end()

The same script runs under ``tinymm run``, as a plain script with the same options, and in a notebook.
"""

import argparse
import getpass
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tinymm.learn import lessons
from tinymm.learn.claims import VERDICTS, judge

_active = None  # the lesson that the runner has prepared


def begin(name):
    """The lesson's context; `name` is its folder's. Reads the command line when the lesson is run as a script."""
    global _active
    if _active is not None and _active.name == name:
        return _active
    script = sys.argv and Path(sys.argv[0]).name.startswith("lesson")
    lesson = Lesson(name, **vars(options(f"lesson {name}").parse_args(None if script else [])))
    return lesson


def options(prog, parser=None):
    """The options that every lesson takes."""
    parser = parser or argparse.ArgumentParser(prog=prog)
    parser.add_argument("--fast", action="store_true", help="smaller: under a minute, some claims are not tested")
    parser.add_argument("--data", metavar="PATH", help="a real data set or text, where the lesson can use one")
    parser.add_argument("--seed", type=int, default=0, help="start of the random numbers (default 0)")
    parser.add_argument("--figures", metavar="DIR", help="folder for the figures")
    parser.add_argument("--predict", metavar="NAME=ANSWER", action="append", default=[],
                        help="your answer to one of the lesson's questions")  # fmt: skip
    return parser


class Lesson:
    """One run of a lesson.

    Attributes
    ----------
    fast : bool
    seed : int
    seeds : list of int
        Three, from `seed` on: for what training decides.
    data : Path or None
        What the user gave with ``--data``.
    rng : numpy.random.Generator
    figures : Path
        Where the figures go.
    claims : list of Claim
    """

    def __init__(self, name, *, fast=False, data=None, seed=0, figures=None, predict=()):
        if seed < 0:
            raise ValueError(f"seed is {seed}; expected 0 or more")
        self.name, self.fast, self.seed = name, fast, seed
        self.seeds = [seed, seed + 1, seed + 2]
        self.data = None if data is None else Path(data)
        if self.data is not None and not self.data.exists():
            raise FileNotFoundError(f"--data {self.data} does not exist; expected a file or folder")
        self.rng = np.random.default_rng(seed)
        self.answers = dict(_answer(a) for a in (*predict, *filter(None, _from_environment())))
        self.claims, self.drawn, self.predictions = [], [], {}
        self.figures, self.runs = places(name, fast, figures)
        self.started = time.perf_counter()
        self.ended = False
        _prepare_matplotlib()
        from tinymm.autograd import manual_seed

        manual_seed(seed)

    def pick(self, *, fast, full):
        """`fast` under ``--fast``, `full` otherwise."""
        return fast if self.fast else full

    def progress(self, items, description):
        """Iterate over `items` (anything with a length) behind a progress bar, which only a terminal shows."""
        from tqdm import tqdm

        return tqdm(items, desc=description, disable=None, leave=False)

    # ---- claims ------------------------------------------------------------------------------------------------------

    def claim(self, name, statement, measured=None, *, settled=None, tested=True, **region):
        """Judge a claim, print the verdict, keep it. Parameters as for `tinymm.learn.claims.judge`.

        ``tested=not lesson.fast`` for what ``--fast`` cannot decide.

        Returns
        -------
        str
            The verdict.
        """
        if any(c.name == name for c in self.claims):
            raise ValueError(f"claim: there is a claim named {name!r} already")
        claim = judge(name, statement, measured, settled=settled, tested=tested, **region)
        self.claims.append(claim)
        print(f"  * {claim.line()}")
        if name in self.predictions and self.predictions[name][1] == VERDICTS[:3] and tested:
            self.reveal(name, claim.verdict)
        return claim.verdict

    def predict(self, name, question, options=VERDICTS[:3]):
        """Ask before the run. The answer is ``--predict NAME=ANSWER`` (a letter, or the option itself), or none."""
        options = tuple(options)
        print(f"  ? Predict ({name}): {question}")
        letters = [chr(ord("a") + i) for i in range(len(options))]
        print("      " + "   ".join(f"{letter}) {option}" for letter, option in zip(letters, options)))
        answer = self.answers.get(name)
        if answer is not None:
            if answer in letters:
                answer = options[letters.index(answer)]
            if answer not in options:
                raise ValueError(f"--predict {name}={answer}: expected one of {', '.join(letters)}")
            print(f"      you say: {answer}")
        elif not self.predictions:
            print(f"      (answer before the run: tinymm run {int(self.name[:2])} --predict {name}={letters[0]})")
        self.predictions[name] = (answer, options)

    def reveal(self, name, right):
        """Say whether the prediction was right."""
        answer = self.predictions[name][0]
        if answer is not None:
            print(f"      you said: {answer}; measured: {right}. {'Right.' if answer == str(right) else 'Look again.'}")

    # ---- figures -----------------------------------------------------------------------------------------------------

    def figure(self, fig, name, alt):
        """Save a figure as ``NAME.png`` with its alt text beside it; see `tinymm.viz.save`."""
        from tinymm import viz

        path = viz.save(fig, self.figures / name, alt=alt, source=_hash_or_none(self.name))
        self.drawn.append(path)
        print(f"  figure: {shown(path)}")
        return path

    # ---- the end -----------------------------------------------------------------------------------------------------

    def end(self):
        """Print the table of claims and where the figures are; write ``claims.json``."""
        if self.ended:
            return
        self.ended = True
        self.seconds = time.perf_counter() - self.started
        print(f"\nLesson {self.name}: {self.seconds:.0f} s, {len(self.claims)} claims")
        for verdict in VERDICTS:
            names = [c.name for c in self.claims if c.verdict == verdict]
            if names:
                print(f"  {verdict}: {', '.join(names)}")
        if self.drawn:
            print(f"  figures: {', '.join(p.name for p in self.drawn)} in {shown(self.figures)}")
        path = self.write_claims()
        print(f"  numbers: {shown(path)}")

    def write_claims(self):
        """Write ``claims.json``, and return its path."""
        self.runs.mkdir(parents=True, exist_ok=True)
        path = self.runs / "claims.json"
        record = {
            "lesson": self.name, "fast": self.fast, "seed": self.seed, "data": self.data and str(self.data),
            "claims": [c.as_dict() for c in self.claims], "figures": [p.name for p in self.drawn],
        }  # fmt: skip
        with open(path, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
        return path


# ---- folders ---------------------------------------------------------------------------------------------------------


def places(name, fast=False, given=None):
    """The folders for a lesson's figures and for its numbers; the first that can be written to.

    From a clone a full run draws ``figures/NAME``, which is committed; ``--fast`` draws ``runs/NAME``, which is not.
    An installed package draws to ``figures/NAME`` where the user stands. Where that is read-only: a temporary folder.

    Raises
    ------
    OSError
        If the folder that the user named cannot be written to.
    """
    if given is not None:
        folder = Path(given) / name
        problem = not_writeable(folder)
        if problem:
            raise OSError(f"--figures {given}: cannot write there ({problem}); try another folder")
        return folder, folder
    root = lessons.clone()
    here = Path.cwd() / "figures" / name
    first = here if root is None else root / ("runs" if fast else "figures") / name
    for folder in (first, here, spare() / "figures" / name):
        problem = not_writeable(folder)
        if not problem:
            break
        print(f"cannot write to {folder} ({problem})", file=sys.stderr)
    else:
        raise OSError("no folder for the figures can be written to; try --figures DIR")
    runs = root / "runs" / name if root is not None and folder == first else folder
    return folder, runs if not not_writeable(runs) else folder


def spare():
    """The folder of last resort, below the system's temporary one."""
    return Path(tempfile.gettempdir()) / f"tinymm-{_user()}"


def not_writeable(folder):
    """Why `folder` cannot be written to, or None. It is created if it can be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        return problem.strerror or str(problem)
    return None


def shown(path):
    """A path as a person wants to read it: relative to where they stand, if it is below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _user():
    try:
        return os.getuid()
    except AttributeError:
        return getpass.getuser()


def _prepare_matplotlib():
    """No window, and a folder for its font list where the home folder is read-only."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    if "MPLCONFIGDIR" in os.environ or "matplotlib" in sys.modules:
        return
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matplotlib"
    if sys.platform.startswith("linux") and not_writeable(base):
        folder = spare() / "matplotlib"
        if not not_writeable(folder):
            os.environ["MPLCONFIGDIR"] = str(folder)


def _hash_or_none(name):
    return lessons.code_hash(name) if lessons.script(name).is_file() else None


def _from_environment():
    return os.environ.get("TINYMM_PREDICT", "").split(",")


def _answer(text):
    name, equals, answer = text.partition("=")
    if not equals or not name or not answer:
        raise ValueError(f"--predict {text}: expected NAME=ANSWER")
    return name.strip(), answer.strip()
