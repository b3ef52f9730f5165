"""Word vectors in the word2vec formats, text and binary, as the C program, gensim and others write and read them.

    text      a line "V D", then a line a word: the word and D numbers, separated by spaces
    binary    a line "V D", then for each word: the word, one space, D little-endian float32

The C program ends every word of a binary file with a line feed and every text line with a space; gensim does
neither. Both are read. GloVe writes the text format without its first line; that is read too.
"""

import contextlib
import gzip
import os
import tempfile
import zlib
from pathlib import Path

import numpy as np


def save(path, words, vectors, *, binary=None):
    """Write word vectors; the file appears under its name only when it is whole.

    Parameters
    ----------
    path : where to; packed with gzip if it ends in ".gz".
    words : V words without white space (or a `Vocabulary`).
    vectors : (V, D) array, written as float32. Both formats keep float32 exactly.
    binary : bool
        The default is True for names that end in ".bin" or ".bin.gz".

    Raises
    ------
    ValueError
        If the shapes disagree, a word is empty or holds white space, or a number is NaN or infinite.
    OSError
        If it cannot be written. A file that was there before is then still there.
    """
    path = Path(path)
    words = list(getattr(words, "words", words))
    vectors = np.asarray(vectors, dtype="<f4")
    if vectors.ndim != 2 or len(words) != len(vectors):
        raise ValueError(f"{len(words)} words and vectors of shape {vectors.shape}; expected one row a word")
    bad = next((word for word in words if not word or word.split() != [word]), None)
    if bad is not None:
        raise ValueError(f"the word {bad!r} is empty or holds white space, which the format cannot keep; try '_'")
    _check_finite(vectors, words, "vectors")
    binary = _is_binary(path, binary)
    with _replacing(path) as file:
        file.write(f"{len(words)} {vectors.shape[1]}\n".encode())
        if binary:
            for word, row in zip(words, vectors):
                file.write(word.encode() + b" " + row.tobytes())
        else:
            line = "%s" + " %.9g" * vectors.shape[1] + "\n"
            for word, row in zip(words, vectors):
                file.write((line % (word, *row.tolist())).encode())


def load(path, *, binary=None, limit=None):
    """Read word vectors.

    Parameters
    ----------
    path : the file; gzip is recognised.
    binary : bool
        The default is True for names that end in ".bin" or ".bin.gz".
    limit : int, optional
        Only the first so many words.

    Returns
    -------
    words : list of str
        In the order of the file. Of a word that comes twice the first is kept.
    vectors : (V, D) float32

    Raises
    ------
    OSError
        If the file is missing or a folder.
    ValueError
        If it is cut off, not in this format, not UTF-8, or holds NaN or infinity.
    """
    path = Path(path)
    binary = _is_binary(path, binary)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file of word vectors")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected a file of word vectors")
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            data = (gzip.open(raw) if packed else raw).read()
        except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
            raise ValueError(f"{path}: damaged or cut-off gzip file ({problem})") from None
    try:
        names, vectors = (_parse_binary if binary else _parse_text)(data, limit)
        words = [name.decode() for name in names]
    except UnicodeDecodeError:
        kind = "binary" if binary else "text"
        raise ValueError(f"{path}: not in the word2vec {kind} format (a word is not UTF-8); {_try(binary)}") from None
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}; {_try(binary)}") from None
    _check_finite(vectors, words, path)
    first = {word: i for i, word in reversed(list(enumerate(words)))}
    if len(first) < len(words):
        kept = sorted(first.values())
        words, vectors = [words[i] for i in kept], vectors[kept]
    return words, vectors


def _parse_binary(data, limit):
    n_words, width, at = _header(data)
    if n_words * (width * 4 + 2) > len(data):
        raise ValueError(f"its first line promises {n_words} words of {width} numbers, but it ends too soon for that")
    n_words = n_words if limit is None else min(n_words, limit)
    names, vectors = [], np.empty((n_words, width), np.float32)
    for i in range(n_words):
        space = data.find(b" ", at)
        if space < 0 or space + 1 + 4 * width > len(data):
            raise ValueError(f"it ends within word {i + 1} of {n_words}")
        names.append(data[at:space].lstrip(b"\n"))
        vectors[i] = np.frombuffer(data, "<f4", width, space + 1)
        at = space + 1 + 4 * width
    if limit is None and data[at:].strip(b"\n"):
        raise ValueError(f"{len(data) - at} bytes follow after the last of its {n_words} words")
    return names, vectors


def _parse_text(data, limit):
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    promised = None
    with contextlib.suppress(ValueError):
        promised, width, _ = _header(data)
        lines = lines[1:]
    if promised is None:  # GloVe
        width = len(lines[0].split()) - 1 if lines else 0
        if width < 1:
            raise ValueError("its first line is neither 'number-of-words numbers-a-word' nor a word with its numbers")
    elif promised != len(lines):
        raise ValueError(f"its first line promises {promised} words, but {len(lines)} follow")
    if data[-1:] != b"\n":
        raise ValueError("it is cut off: its last line does not end")
    names, vectors = [], np.empty((len(lines[:limit]), width), np.float32)
    for i, line in enumerate(lines[:limit]):
        name, _, numbers = line.rstrip(b" \r").partition(b" ")
        numbers = numbers.split()
        if len(numbers) != width:
            raise ValueError(f"line {i + 1} of the words has {len(numbers)} numbers; expected {width}")
        try:
            vectors[i] = [float(number) for number in numbers]
        except ValueError:
            raise ValueError(f"line {i + 1} of the words has something that is not a number") from None
        names.append(name)
    return names, vectors


def _header(data):
    """The numbers of the first line, and where the next one starts."""
    line = data[: data.find(b"\n", 0, 100) + 1]
    numbers = line.split()
    if len(numbers) != 2 or not all(n.isdigit() for n in numbers) or int(numbers[1]) < 1:
        raise ValueError("its first line is not 'number-of-words numbers-a-word'")
    return int(numbers[0]), int(numbers[1]), len(line)


def _is_binary(path, binary):
    return path.name.removesuffix(".gz").endswith(".bin") if binary is None else binary


def _try(binary):
    return f"expected the word2vec {'binary' if binary else 'text'} format, try binary={not binary}"


def _check_finite(vectors, words, where):
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise ValueError(f"{where}: NaN or infinity at the word {words[int(np.argmin(finite))]!r}")


@contextlib.contextmanager
def _replacing(path):
    """A file to write to that takes the name `path` once it is whole and on the disk."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as raw:
            if path.name.endswith(".gz"):
                with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
                    yield file
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
