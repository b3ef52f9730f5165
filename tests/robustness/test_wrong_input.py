"""Wrong input: one line on standard error, exit code 1, no traceback, and nothing that was there before is lost."""

import os
import struct
import subprocess
import sys

import numpy as np
import pytest

from tinymm.learn import lessons


def fails(*arguments, said, cwd=None, env=None, timeout=120):
    """Run the command; assert that it fails on one line that says `said`. Returns that line."""
    done = subprocess.run([sys.executable, "-m", "tinymm", *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, cwd=cwd, env={**os.environ, **(env or {})})  # fmt: skip
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("tinymm: ")]
    assert len(lines) == 1, done.stderr
    others = [line for line in done.stderr.splitlines() if line and line != lines[0]]
    allowed = ("compiling kernels", "compiled ", "stopped; what was found", "cannot write to")
    assert all(line.startswith(allowed) for line in others), done.stderr
    for text in (said,) if isinstance(said, str) else said:
        assert text in lines[0]
    return lines[0]


# ---- which lesson ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["99", "0", "-1", "nonsense", "../01_autograd", ""])
def test_an_unknown_lesson_names_those_that_exist(wanted):
    fails("run", "--", wanted, said=("there is no lesson", "01_autograd"))


def test_a_lesson_that_is_not_written_yet_says_so():
    missing = next(name for name in lessons.COURSE if name not in lessons.present())
    fails("run", missing, said=("is not written yet", "01_autograd"))


def test_an_unknown_op_names_near_ones():
    fails("gradcheck", "sofmax", said=("there is no op 'sofmax'", "softmax"))


# ---- data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lesson", lessons.present())
def test_missing_data(lesson, tmp_path):
    fails("run", lesson, "--fast", "--data", tmp_path / "no.txt", "--figures", tmp_path, said="no.txt does not exist")


BAD_TEXTS = {
    "empty": (b"", "is empty"),
    "only white space": (b" \n\t \n", "holds no words"),
    "one word": (b"word " * 500, "vocabulary of one word"),
    "not utf-8": ("ein gr\u00fcner Baum ".encode("latin-1") * 500, "is not utf-8 text"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(200), "is not utf-8 text"),
    "cut-off gzip": (b"\x1f\x8b\x08\x00" + b"\x00" * 6 + b"\xff", "gzip"),
}


@pytest.mark.parametrize("kind", BAD_TEXTS)
def test_text_that_is_none(kind, tmp_path):
    content, said = BAD_TEXTS[kind]
    (tmp_path / "text.txt").write_bytes(content)
    fails("run", "4", "--fast", "--data", tmp_path / "text.txt", "--figures", tmp_path, said=("text.txt", said))
    fails("data", tmp_path / "text.txt", said=("text.txt", said))


def test_a_folder_for_a_text(tmp_path):
    (tmp_path / "folder").mkdir()
    fails("run", "4", "--fast", "--data", tmp_path / "folder", "--figures", tmp_path, said="folder")


def idx(array, code, kind):
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(kind).tobytes()


def write_mnist(folder, pictures, labels):
    folder.mkdir(exist_ok=True)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_bytes(pictures)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(labels)


@pytest.mark.parametrize("kind, said", [
    ("no files", "holds no train-images"), ("damaged", "header"), ("NaN", "hold NaN"), ("labels missing", "do not fit"),
])  # fmt: skip
def test_pictures_that_are_none(kind, said, tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (200, 12, 12)) / 1.0
    labels = idx(rng.integers(0, 10, 200), 0x08, "u1")
    folder = tmp_path / "digits"
    folder.mkdir()
    if kind == "damaged":
        write_mnist(folder, idx(pictures, 0x08, "u1")[:-7], labels)
    elif kind == "NaN":
        pictures[17, 3, 3] = np.nan
        write_mnist(folder, idx(pictures, 0x0D, ">f4"), labels)
    elif kind == "labels missing":
        write_mnist(folder, idx(pictures, 0x08, "u1"), idx(rng.integers(0, 10, 199), 0x08, "u1"))
    fails("run", "3", "--fast", "--data", folder, "--figures", tmp_path, said=said)


def test_a_wrong_data_folder(tmp_path):
    fails("data", said=("TINYMM_DATA", "is not a folder"), env={"TINYMM_DATA": str(tmp_path / "no")})
    fails("data", "no_such_thing", said=("no data named 'no_such_thing'", "documentation"))


# ---- options ---------------------------------------------------------------------------------------------------------


def test_a_negative_seed(tmp_path):
    fails("run", "1", "--seed", "-1", "--figures", tmp_path, said="seed is -1")


def test_a_prediction_without_an_answer(tmp_path):
    fails("run", "1", "--predict", "forgot", "--figures", tmp_path, said="expected NAME=ANSWER")


@pytest.mark.parametrize("sizes", [(-3, 2), (3, -2)])
def test_negative_sizes(sizes):
    import tinymm as mm

    with pytest.raises(ValueError, match="negative"):
        mm.nn.Linear(*sizes)
    with pytest.raises(ValueError, match=r"expected|negative"):
        mm.nn.Embedding(*sizes)


# ---- folders that cannot be written ----------------------------------------------------------------------------------


def test_a_file_in_the_way_of_the_figures(tmp_path):
    (tmp_path / "figures").write_text("mine")
    fails("run", "1", "--fast", "--figures", tmp_path / "figures", said=("--figures", "cannot write there"))
    assert (tmp_path / "figures").read_text() == "mine"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder that nobody can write to: /proc")
def test_a_read_only_folder_for_the_figures():
    fails("run", "1", "--fast", "--figures", "/proc/figures", said=("/proc/figures", "cannot write there"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder that nobody can write to: /proc")
def test_read_only_home_cache_and_place_still_run_and_draw(tmp_path):
    """Nothing is writeable but the temporary folder; the figures go there, and one line says so."""
    env = {**os.environ, "HOME": "/proc", "XDG_CACHE_HOME": "/proc/cache", "XDG_CONFIG_HOME": "/proc/config",
           "TMPDIR": str(tmp_path), "TINYMM_CACHE": "/proc/tinymm"}  # fmt: skip
    env.pop("MPLCONFIGDIR", None)
    code = "from tinymm.learn import lessons; lessons.clone = lambda: None; " \
           "import pathlib; folder = lessons.package().parent / 'lessons'; lessons.folder = lambda: folder; " \
           "import sys; from tinymm.cli import main; sys.exit(main(['run', '1', '--fast']))"  # fmt: skip
    if lessons.clone() is None:
        code = "import sys; from tinymm.cli import main; sys.exit(main(['run', '1', '--fast']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd="/proc",
                          env=env)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cannot write to /proc/" in done.stderr and "Traceback" not in done.stderr
    drawn = list(tmp_path.glob("tinymm-*/figures/01_autograd/*.png"))
    assert len(drawn) == len(lessons.figure_names("01_autograd")) and str(drawn[0].parent) in done.stdout


# ---- nothing lost ----------------------------------------------------------------------------------------------------


def test_a_run_that_fails_leaves_earlier_figures_and_numbers(tmp_path):
    first = subprocess.run([sys.executable, "-m", "tinymm", "run", "1", "--fast", "--figures", str(tmp_path)],
                           capture_output=True, text=True, timeout=120)  # fmt: skip
    assert first.returncode == 0, first.stderr
    before = {p.name: p.read_bytes() for p in (tmp_path / "01_autograd").iterdir()}
    assert "claims.json" in before
    fails("run", "1", "--fast", "--figures", tmp_path, "--predict", "nonsense", said="NAME=ANSWER")
    fails("run", "1", "--fast", "--figures", tmp_path, "--data", tmp_path / "no", said="does not exist")
    assert {p.name: p.read_bytes() for p in (tmp_path / "01_autograd").iterdir()} == before
