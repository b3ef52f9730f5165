"""GloVe against the authors' C program: counting pairs, and passes over the counts, with the same threads.

    python -m benchmarks glove                       with TINYMM_DATA and TINYMM_GLOVE_C set
    python -m benchmarks.glove --data FOLDER --c FOLDER [--quick]

FOLDER of the data holds ``enwiki-100m.txt`` (text8 style); that of the program (stanfordnlp/GloVe, built with its own
Makefile) holds ``vocab_count``, ``cooccur``, ``shuffle`` and ``glove``. Counting goes from the text file to X, with the
vocabulary known on both sides; the program counts on one thread. Training is `PASSES` passes over the same X on both
sides, our shuffling included and the program's (a tool of its own) left out. Before anything is timed X is compared,
cell by cell. Quality is in `word_vectors.py`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._harness import Bench, available_cores
from benchmarks.word_vectors import data_folder, shortened

SIZE, WINDOW, X_MAX, MIN_COUNT, PASSES = 100, 10, 10.0, 5, 2
TOOLS = ("vocab_count", "cooccur", "shuffle", "glove")
CELL = np.dtype([("row", "<i4"), ("col", "<i4"), ("x", "<f8")])


def run(bench, data=None, program=None, words=None):
    data, program = data_folder(data), program_folder(program)
    if data is None or program is None:
        missing = "TINYMM_DATA names no folder with enwiki-100m.txt" if data is None else (
            f"TINYMM_GLOVE_C names no folder with {', '.join(TOOLS)}")  # fmt: skip
        bench.note(f"glove: left out, {missing}")
        return
    path = data / "enwiki-100m.txt"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if words:
            path = shortened(path, words, folder / "quick.txt")
        _measure(bench, path, program, folder)


def program_folder(given=None):
    """The folder of the C program's tools, or None."""
    folder = given or os.environ.get("TINYMM_GLOVE_C")
    found = folder and all((Path(folder) / tool).exists() for tool in TOOLS)
    return Path(folder).resolve() if found else None


def _measure(bench, path, program, folder):
    from tinymm.data import text
    from tinymm.models.glove import GloVe, count_cooccurrence

    def tool(name, source, target, *options):
        """Run one of the C tools; it reads from `source` and writes to `target`."""
        with open(source, "rb") as reads, open(folder / target, "wb") as writes:
            command = [program / name, *map(str, options), "-verbose", "0"]
            subprocess.run(command, stdin=reads, stdout=writes, stderr=subprocess.DEVNULL, cwd=folder, check=True)

    tool("vocab_count", path, "vocab.txt", "-min-count", MIN_COUNT)
    lines = (folder / "vocab.txt").read_text().splitlines()
    words, counts = zip(*(line.split() for line in lines))
    vocabulary = text.Vocabulary(words, np.array(counts, dtype=np.int64))
    options = dict(window=WINDOW, threads=bench.threads)

    def count():
        corpus = text.read(path, vocabulary=vocabulary, max_sentence=None, progress=False)
        return count_cooccurrence(corpus.ids, corpus.starts, len(vocabulary), **options)

    def c_count():
        tool("cooccur", path, "counts.bin", "-vocab-file", "vocab.txt", "-window-size", WINDOW, "-memory", "4.0")

    GloVe(d_model=SIZE, epochs=1).fit(text.from_sentences([["a", "b"]] * 5))  # compiles
    X = count()
    c_count()
    bench.note(f"{path.name}: {len(vocabulary):,} words, {len(X):,} cells; {_apart(X, folder / 'counts.bin')}")
    bench.compare(
        "count pairs, text file to X", {"tinymm": count, "C program": c_count}, target=1.0, tolerance=None,
        rounds=2, calls=1,
    )  # fmt: skip

    tool("shuffle", folder / "counts.bin", "shuffled.bin", "-memory", "4.0", "-seed", 1)
    sizes = ("-vector-size", SIZE, "-x-max", X_MAX, "-threads", bench.threads, "-binary", 1, "-seed", 1)
    files = ("-input-file", "shuffled.bin", "-vocab-file", "vocab.txt", "-save-file", "vectors")
    bench.compare(
        f"{PASSES} passes over X, {SIZE} dimensions",
        {
            "tinymm": lambda: GloVe(d_model=SIZE, x_max=X_MAX, epochs=PASSES, threads=bench.threads).fit(X),
            "C program": lambda: tool("glove", os.devnull, "log", *sizes, *files, "-iter", PASSES),
        },
        target=1.0, tolerance=None, work=PASSES * len(X) / 1e6, unit="M cells/s", rounds=1, calls=1,
    )  # fmt: skip


def _apart(X, path):
    """Compare X with the program's; the first cell is left out, which it doubles when nothing overflows its memory."""
    theirs = np.fromfile(path, dtype=CELL)
    same = [np.array_equal(theirs[name] - 1, getattr(X, name)) for name in ("row", "col")]
    assert all(same), f"the program counts {len(theirs)} cells, we count {len(X)}, or they are others"
    apart = np.abs(X.x[1:] / theirs["x"][1:] - 1).max()
    assert apart < 1e-6, f"a count differs by {apart:.1e} of itself"
    return f"the same cells as the program's, equal to {apart:.0e} (float32)"


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.glove", description="GloVe against the C program.")
    parser.add_argument("--data", help="folder with enwiki-100m.txt (default: $TINYMM_DATA)")
    parser.add_argument("--c", help="folder with the C program's tools (default: $TINYMM_GLOVE_C)")
    parser.add_argument("--quick", action="store_true", help="the first two million words")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args(argv)
    with Bench("glove", threads=args.threads) as bench:
        run(bench, args.data, args.c, 2_000_000 if args.quick else None)
        if bench.rows:
            bench.save(args.out)


if __name__ == "__main__":
    sys.exit(main())
