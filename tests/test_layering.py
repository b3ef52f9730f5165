"""Layers only point down: every import of the package is read, wherever it stands, and none goes upward."""

import ast
import shutil
from pathlib import Path

import pytest

import tinymm

PACKAGE = Path(tinymm.__file__).parent
ROOT = PACKAGE.parent

# A module may import from its own level and from lower ones.
LEVELS = {
    "kernels": 0,
    "data": 0,
    "metrics": 0,
    "autograd": 1,
    "ops": 2,
    "nn": 3,
    "optim": 3,
    "io": 3,
    "viz": 3,
    "models": 4,
    "train": 5,
    "learn": 6,
    "cli": 7,
    "__main__": 8,
}
# What stands beside another part on the same level, and must not know it.
FORBIDDEN = {"kernels": {"data", "metrics"}, "viz": {"nn", "optim", "ops"}, "optim": {"nn"}}
NO_TENSOR = ("kernels", "data", "metrics")  # these import nothing of the engine


def imports(path, package):
    """(line, dotted name) of every import in a file, also of those inside functions; relative ones are resolved."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                above = ".".join(parents[:len(parents) - node.level + 1])
                base = f"{above}.{base}" if base else above
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            text = ast.unparse(node.args[0]).strip("f'\"")
            yield node.lineno, text.replace("{__name__}", package)


def part_of(name):
    """ "tinymm.nn.linear" -> "nn"; the package itself is ""; None for other libraries."""
    names = name.split(".")
    if names[0] != "tinymm":
        return None
    return names[1] if len(names) > 1 and names[1] in LEVELS else ""


def problems(package):
    """One line for each import that points the wrong way, in a copy of the package at `package`."""
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        part = place.parts[0].removesuffix(".py")
        if part == "__init__":  # the package itself shows everything
            continue
        if part not in LEVELS:
            found.append(f"{place}: {part} has no level; add it to LEVELS")
            continue
        dotted = ".".join(["tinymm", *place.parts[:-1]])
        for line, name in imports(path, dotted):
            target = part_of(name)
            if target is None or (target == "" and (_is_plain(name) or LEVELS[part] > LEVELS["train"])):
                continue
            if target == "":
                found.append(f"{place}:{line}: imports {name}, the whole package; name the part")
            elif LEVELS[target] > LEVELS[part]:
                found.append(f"{place}:{line}: {part} imports {name}, which is above it")
            elif target in FORBIDDEN.get(part, ()) or (part in NO_TENSOR and target in ("autograd", "ops", "nn")):
                found.append(f"{place}:{line}: {part} must not import {name}")
    return found


def _is_plain(name):
    """tinymm.__version__ and the like."""
    return name.split(".")[1:2] and name.split(".")[1].startswith("__")


def test_no_import_points_upward():
    assert problems(PACKAGE) == []


def test_lessons_import_only_the_public_package():
    """No module whose name begins with an underscore, nothing of tests or benchmarks."""
    found = []
    for path in sorted((ROOT / "lessons").rglob("*.py")):
        for line, name in imports(path, "lessons"):
            names = name.split(".")
            if names[0] in ("tests", "benchmarks") or (
                    names[0] == "tinymm" and any(n.startswith("_") and not n.startswith("__") for n in names)):
                found.append(f"{path.name}:{line}: {name}")
    assert found == []


@pytest.mark.parametrize(("file", "code", "message"), [
    ("nn/linear.py", "from tinymm.models import word2vec", "nn imports tinymm.models.word2vec, which is above it"),
    ("ops/math.py", "def f():\n    import tinymm.nn.module", "ops imports tinymm.nn.module, which is above it"),
    ("kernels/plain/matmul.py", "from ...autograd import Tensor", "kernels imports tinymm.autograd.Tensor, which is"),
    ("kernels/_arrays.py", "from .. import nn", "kernels imports tinymm.nn, which is above it"),
    ("data/text.py", "from tinymm.autograd.tensor import Tensor", "data imports tinymm.autograd.tensor.Tensor"),
    ("metrics/__init__.py", "import tinymm.ops", "metrics imports tinymm.ops, which is above it"),
    ("io/checkpoints.py", "from tinymm import train", "io imports tinymm.train, which is above it"),
    ("optim/sgd.py", "from tinymm.nn import Module", "optim must not import tinymm.nn.Module"),
    ("train.py", "import importlib\nimportlib.import_module('tinymm.learn.runner')", "train imports tinymm.learn"),
    ("viz/__init__.py", "from tinymm.models import glove", "viz imports tinymm.models.glove, which is above it"),
    ("ops/math.py", "import tinymm", "ops/math.py:1: imports tinymm, the whole package; name the part"),
    ("novel.py", "x = 1", "novel has no level"),
])
def test_a_planted_import_is_found(tmp_path, file, code, message):
    path = tmp_path / "tinymm" / file
    path.parent.mkdir(parents=True)
    path.write_text(code + "\n", encoding="utf-8")
    found = problems(tmp_path / "tinymm")
    assert len(found) == 1 and found[0].startswith(file) and message in found[0]


def test_one_upward_import_in_a_copy_of_the_package_is_found(tmp_path):
    copy = tmp_path / "tinymm"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with open(copy / "nn" / "linear.py", "a", encoding="utf-8") as file:
        file.write("\n\ndef late():\n    from tinymm.train import fit\n    return fit\n")
    assert [line.split(": ", 1)[1] for line in problems(copy)] == ["nn imports tinymm.train.fit, which is above it"]
