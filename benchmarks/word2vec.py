"""Word2Vec against gensim: words per second on the same text with the same threads, and from text file to vectors.

    python -m benchmarks word2vec                                     with TINYMM_DATA set
    python -m benchmarks.word2vec --data FOLDER [--quick | --words N]

FOLDER holds ``enwiki-100m.txt``. gensim has two ways to read: a list of lists of words, and a file with a sentence a
line (`corpus_file`); both are measured. Training alone is one epoch over text that each side has read and counted
before; "file to vectors" is everything, with one epoch. Quality is in `word_vectors.py`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks._harness import Bench, available_cores
from benchmarks.word_vectors import SENTENCE, SIZE, data_folder, shortened, write_lines

KINDS = {
    "skip-gram": ({}, {"sg": 1}),
    "cbow": ({"cbow": True}, {"sg": 0}),
    "skip-gram, hierarchical": ({"hierarchical_softmax": True}, {"sg": 1, "hs": 1, "negative": 0}),
}
TARGET = 2.0


def run(bench, data=None, words=None):
    data = data_folder(data)
    if data is None:
        bench.note("word2vec: left out, TINYMM_DATA names no folder with enwiki-100m.txt")
        return
    path = data / "enwiki-100m.txt"
    with tempfile.TemporaryDirectory() as folder:
        if words:
            path = shortened(path, words, Path(folder) / "quick.txt")
        _measure(bench, path, write_lines(path, Path(folder) / "lines.txt"))


def _measure(bench, path, lines):
    import gensim
    from gensim.models import Word2Vec as Peer

    from tinymm.data import text
    from tinymm.models.word2vec import Word2Vec

    corpus = text.read(path, max_sentence=SENTENCE, progress=False)
    sentences = [line.split() for line in lines.read_text().splitlines()]
    million = corpus.n_read / 1e6
    bench.note(f"{path.name}: {corpus}; gensim {gensim.__version__}")
    few = corpus.select(slice(0, 2))
    rounds = dict(rounds=3, calls=1, tolerance=None, target=TARGET, work=million, unit="M words/s")

    for kind, (ours, theirs) in KINDS.items():
        if bench.only not in f"{kind}, training":
            continue
        Word2Vec(epochs=1, threads=bench.threads, **ours).fit(few)  # compiles
        options = dict(vector_size=SIZE, epochs=1, workers=bench.threads, **theirs)
        peers = {"gensim list": Peer(**options), "gensim file": Peer(**options)}
        peers["gensim list"].build_vocab(sentences)
        peers["gensim file"].build_vocab(corpus_file=str(lines))

        def train_list(model=peers["gensim list"]):
            model.train(sentences, total_examples=model.corpus_count, epochs=1)

        def train_file(model=peers["gensim file"]):
            model.train(corpus_file=str(lines), total_words=model.corpus_total_words, epochs=1)

        functions = {
            "tinymm": lambda ours=ours: Word2Vec(epochs=1, threads=bench.threads, **ours).fit(corpus),
            "gensim list": train_list,
            "gensim file": train_file,
        }
        bench.compare(f"{kind}, training", functions, **rounds)

    def whole():
        corpus = text.read(path, max_sentence=SENTENCE, progress=False)
        return Word2Vec(epochs=1, threads=bench.threads).fit(corpus)

    def peer_whole():
        return Peer(corpus_file=str(lines), sg=1, vector_size=SIZE, epochs=1, workers=bench.threads)

    bench.compare("skip-gram, file to vectors", {"tinymm": whole, "gensim file": peer_whole}, **rounds)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.word2vec", description="Word2Vec against gensim.")
    parser.add_argument("--data", help="folder with enwiki-100m.txt (default: $TINYMM_DATA)")
    parser.add_argument("--quick", action="store_true", help="only the first two million words")
    parser.add_argument("--words", type=int, help="only the first so many words")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--only", default="", metavar="TEXT", help="run only the cases whose name contains TEXT")
    parser.add_argument("--out", type=Path, help="folder for the JSON file and the picture")
    args = parser.parse_args(argv)
    if data_folder(args.data) is None:
        parser.error("no folder with enwiki-100m.txt; give one with --data or TINYMM_DATA")
    with Bench("word2vec", threads=args.threads, only=args.only) as bench:
        run(bench, args.data, 2_000_000 if args.quick else args.words)
    if args.out:
        bench.save(args.out)


if __name__ == "__main__":
    sys.exit(main())
