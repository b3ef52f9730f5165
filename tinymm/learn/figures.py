"""The state of the drawn figures: there, described, small, and drawn by the lesson as it is now."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinymm.learn import lessons
from tinymm.viz import ALT_SUFFIX, MAX_BYTES


@dataclass(frozen=True)
class State:
    """One figure of a lesson, and what is wrong with it ("" for nothing)."""

    lesson: str
    name: str
    path: Path
    problem: str


def check(name, folder):
    """The state of each figure that the lesson `name` draws, and of files that it does not draw.

    Parameters
    ----------
    name : str
    folder : path
        Where the lesson's figures are.

    Returns
    -------
    list of State
    """
    folder = Path(folder)
    wanted = lessons.figure_names(name)
    paths = [folder / f"{figure}.png" for figure in wanted]
    found = [State(name, path.stem, path, _problem(name, path)) for path in paths]
    for path in sorted(folder.glob("*.png")):
        if path.stem not in wanted:
            found.append(State(name, path.stem, path, "the lesson does not draw it"))
    return found


def _problem(name, path):
    if not path.is_file():
        return "missing"
    alt = path.with_name(path.stem + ALT_SUFFIX)
    if not alt.is_file() or len(alt.read_text(encoding="utf-8").strip()) < 20:
        return "no alt text"
    if path.stat().st_size > MAX_BYTES:
        return f"{path.stat().st_size:,} bytes; expected at most {MAX_BYTES:,}"
    from PIL import Image

    try:
        with Image.open(path) as image:
            source = image.info.get("Source")
    except OSError:
        return "not a readable picture"
    if source != lessons.code_hash(name):
        return "stale: the lesson's code has changed since it was drawn"
    return ""


def pixels(folder):
    """The pixels of all figures in a folder: name -> array."""
    from PIL import Image

    found = {}
    for path in sorted(Path(folder).glob("*.png")):
        with Image.open(path) as image:
            found[path.stem] = np.asarray(image.convert("RGB"))
    return found


def compare(before, after):
    """What changed between two results of `pixels`: list of (name, what)."""
    changes = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            changes.append((name, "new"))
        elif name not in after:
            changes.append((name, "gone"))
        elif before[name].shape != after[name].shape:
            changes.append((name, "another size"))
        elif not np.array_equal(before[name], after[name]):
            share = np.mean(np.any(before[name] != after[name], axis=-1))
            changes.append((name, f"{100 * share:.1f} % of its pixels"))
    return changes
