"""The table of lessons, where their scripts are, and what their headers say.

A header stands at the top of ``lesson.py``, one ``# key: value`` a line between two lines ``# ---``.
"""

import ast
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

PARTS = (
    ("I engine", "01_autograd 02_kernels 03_training"),
    ("II words", "04_word2vec 05_glove"),
    ("III sight and sentences",
     "06_convolution 07_recurrence 08_show_and_tell 09_show_attend_and_tell 10_hard_attention"),
    ("IV attention", "11_self_attention 12_positional_encoding 13_transformer 14_bert 15_vit"),
    ("V joint spaces", "16_visual_semantic_embedding 17_recipe_retrieval 18_vqa 19_modality_balance"),
    ("VI vision-language Transformers", "20_vl_bert 21_vilbert 22_lxmert 23_downstream"),
    ("VII sound and generation",
     "24_text_to_image 25_soundnet 26_sound_localisation 27_speech2face 28_image_to_speech"),
    ("VIII beyond", "29_explaining_attention 30_data_parallel"),
)  # fmt: skip
COURSE = {name: part for part, names in PARTS for name in names.split()}
SHORT_ROUTE = ("01", "03", "04", "07", "08", "09", "11", "12", "13", "14", "20", "22")

KEYS = ("title", "kind", "minutes", "compile", "needs", "mathematics", "python", "paper")
SECTIONS = ("The question", "Equation, shapes, code", "By hand", "Gradient check", "Training", "Figures", "Break it",
            "Exercises", "Recap")  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What stands at the top of a lesson.

    Attributes
    ----------
    title : str
    kind : "core" or "optional"
    minutes : int
        To read and run it.
    compile : int
        About how many seconds the first run spends on compiling.
    needs : tuple of str
        Numbers of the lessons it builds on.
    mathematics, python : str
        What of them is new.
    paper : str
    """

    title: str
    kind: str
    minutes: int
    compile: int
    needs: tuple
    mathematics: str
    python: str
    paper: str


def package():
    """The folder of the package."""
    return Path(__file__).resolve().parent.parent


def clone():
    """The root of the clone that the package is used from, or None for an installed one."""
    root = package().parent
    return root if (root / "setup.cfg").is_file() and (root / "lessons").is_dir() else None


def folder():
    """Where the lessons are: ``lessons/`` of a clone, or the copy inside an installed package."""
    return clone() / "lessons" if clone() else package() / "_lessons"


def script(name):
    """The path of a lesson's script, whether it exists or not."""
    return folder() / name / "lesson.py"


def present():
    """The names of the lessons that are here, in order."""
    return [name for name in COURSE if script(name).is_file()]


def resolve(wanted):
    """The name of a lesson that is here: ``4``, ``04``, ``word2vec`` and ``04_word2vec`` are the same.

    Raises
    ------
    LookupError
        If there is none, naming those that are here.
    """
    wanted = str(wanted).strip().strip("/")
    for name in COURSE:
        number, _, rest = name.partition("_")
        if wanted in (name, number, str(int(number)), rest):
            if script(name).is_file():
                return name
            raise LookupError(f"lesson {name} is not written yet; here are: {', '.join(present()) or 'none'}")
    raise LookupError(f"there is no lesson {wanted!r}; here are: {', '.join(present()) or 'none'}")


def header(name):
    """Read a lesson's header.

    Raises
    ------
    ValueError
        If a key is missing, unknown, or not of its kind.
    """
    path = script(name)
    found = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[:1] != ["# ---"] or "# ---" not in lines[1:]:
        raise ValueError(f"{path}: no header; expected '# key: value' lines between two lines '# ---'")
    for line in lines[1 : lines.index("# ---", 1)]:
        key, colon, value = line.removeprefix("#").partition(":")
        if not colon:
            raise ValueError(f"{path}: cannot read the header line {line!r}; expected '# key: value'")
        found[key.strip()] = value.strip()
    if set(found) != set(KEYS):
        wrong = ", ".join(sorted(set(found) ^ set(KEYS)))
        raise ValueError(f"{path}: the header's keys differ in: {wrong}; expected {', '.join(KEYS)}")
    needs = tuple(re.findall(r"\d\d", found["needs"]))
    if found["kind"] not in ("core", "optional") or not found["minutes"].isdigit() or not found["compile"].isdigit():
        raise ValueError(f"{path}: expected kind: core or optional, and whole numbers for minutes and compile")
    return Header(found["title"], found["kind"], int(found["minutes"]), int(found["compile"]), needs,
                  found["mathematics"], found["python"], found["paper"])  # fmt: skip


def headings(name):
    """The headings ``## ...`` of a lesson: list of (line number, text)."""
    lines = script(name).read_text(encoding="utf-8").splitlines()
    return [(i, line[5:].strip()) for i, line in enumerate(lines, 1) if line.startswith("# ## ")]


def figure_names(name):
    """The figures that a lesson draws: the constant names in its calls of ``lesson.figure(fig, NAME, ...)``."""
    tree = ast.parse(script(name).read_text(encoding="utf-8"))
    return [
        call.args[1].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "lesson.figure" and len(call.args) > 1
        and isinstance(call.args[1], ast.Constant)
    ]  # fmt: skip


def code_hash(name):
    """A hash of a lesson's code, blind to comments and prose: a figure is stale when it was drawn by other code."""
    tree = ast.dump(ast.parse(script(name).read_text(encoding="utf-8")))
    return hashlib.sha256(tree.encode()).hexdigest()[:12]
