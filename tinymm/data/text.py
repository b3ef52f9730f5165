"""Text: from a file, or from the documentation on this disk, to arrays of word numbers.

    >>> from tinymm.data import text
    >>> corpus = text.from_sentences([["a", "cat", "sat"], ["a", "dog", "sat"]], min_count=1)
    >>> corpus.ids, corpus.starts
    (array([0, 2, 1, 0, 3, 1], dtype=int32), array([0, 3, 6]))

* `documentation()` -- real English with no download: the Python documentation topics, and the docstrings and
  comments of the standard library and of the packages that this project needs.
* `read(path)` -- a text file (``.gz`` too), streamed. Words are what stands between white space.
* `from_sentences(sentences)` -- lists of words.

All three return a `Corpus`: every kept word as a number into a `Vocabulary`, and where each sentence starts.
"""

import ast
import gc
import gzip
import hashlib
import itertools
import os
import re
import sys
import sysconfig
import tempfile
import textwrap
import warnings
import zlib
from codecs import getincrementaldecoder
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinymm.kernels import _cache

BLOCK = 1 << 22  # bytes read at a time
END = "\0"  # stands for the end of a sentence among the words; refused inside a text
MAX_SENTENCE = 1000  # kept words, as in the reference word2vec program


class Vocabulary:
    """The words of a corpus, numbered by falling count; words of equal count in the order in which they came.

    Attributes
    ----------
    words : list of str
        Word of each id.
    counts : (V,) int64
        How often each word occurs, falling.
    ids : dict
        Word -> id.
    """

    def __init__(self, words, counts):
        self.words = list(words)
        self.counts = np.asarray(counts, dtype=np.int64)
        if self.counts.shape != (len(self.words),):
            raise ValueError(f"{len(self.words)} words but counts of shape {self.counts.shape}; expected one each")
        self.ids = {word: i for i, word in enumerate(self.words)}
        if len(self.ids) != len(self.words):
            twice = next(w for w, n in Counter(self.words).items() if n > 1)
            raise ValueError(f"the word {twice!r} stands twice in the vocabulary; expected each word once")

    @classmethod
    def count(cls, words, *, min_count=1, max_size=None):
        """The vocabulary of an iterable of words: those that occur `min_count` times, the `max_size` most frequent."""
        return cls._chosen(Counter(words), min_count, max_size)[0]

    @classmethod
    def _chosen(cls, counts, min_count, max_size):
        """The vocabulary, and for each key of the dict `counts`, in order, its id there or -1."""
        words = list(counts)
        numbers = np.fromiter(counts.values(), np.int64, len(words))
        order = np.argsort(-numbers, kind="stable")[:max_size]
        order = order[numbers[order] >= min_count]
        rank = np.full(len(words), -1, np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        return cls([words[i] for i in order], numbers[order]), rank

    def __len__(self):
        return len(self.words)

    def __contains__(self, word):
        return word in self.ids

    def __getitem__(self, word):
        """The id of `word`; KeyError if it is not in the vocabulary."""
        try:
            return self.ids[word]
        except KeyError:
            raise KeyError(f"{word!r} is not among the {len(self)} words of the vocabulary") from None

    def __repr__(self):
        return f"Vocabulary({len(self)} words: {', '.join(self.words[:5])}{', ...' if len(self) > 5 else ''})"

    def encode(self, words):
        """The ids of those words that are in the vocabulary: (n,) int32."""
        ids = [self.ids[w] for w in words if w in self.ids]
        return np.array(ids, dtype=np.int32)

    def decode(self, ids):
        """The words of these ids."""
        return [self.words[i] for i in ids]


@dataclass(frozen=True)
class Corpus:
    """A text as numbers. Sentence s is ``ids[starts[s]:starts[s + 1]]``; no sentence is empty.

    Attributes
    ----------
    ids : (n_words,) int32
        The kept words; what is not in the vocabulary has been left out.
    starts : (n_sentences + 1,) int64
    vocabulary : Vocabulary
    n_read : int
        Words before rare ones were left out.
    name : str
        Where it came from.
    """

    ids: np.ndarray
    starts: np.ndarray
    vocabulary: Vocabulary
    n_read: int
    name: str = "text"

    @property
    def n_words(self):
        return self.ids.size

    @property
    def n_sentences(self):
        return self.starts.size - 1

    def sentences(self) -> Iterator[list]:
        """Each sentence as a list of words."""
        words = self.vocabulary.words
        for a, b in itertools.pairwise(self.starts.tolist()):
            yield [words[i] for i in self.ids[a:b].tolist()]

    def select(self, which):
        """The corpus of some of the sentences (indices or a boolean mask), with the same vocabulary."""
        which = np.arange(self.n_sentences)[which]
        lengths = np.diff(self.starts)[which]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        ids = self.ids[np.repeat(self.starts[which] - starts[:-1], lengths) + np.arange(starts[-1])]
        return Corpus(ids, starts, self.vocabulary, ids.size, self.name)

    def pairs(self, window, *, keep=None, rng=None):
        """All pairs of words that stand at most `window` words apart in a sentence: (2, n) ids, centre and context.

        Every pair comes twice, once with each of its words as the centre.

        Parameters
        ----------
        window : int
        keep : (V,) array, optional
            Word2Vec's way: first a word w is dropped with probability 1 - keep[w], then each centre draws its own
            radius from 1 .. `window`. The default keeps all words, and all radii at `window`.
        rng : numpy.random.Generator, needed with `keep`
        """
        ids, sentence = self.ids, np.repeat(np.arange(self.n_sentences), np.diff(self.starts))
        if keep is not None:
            stay = rng.random(self.n_words) < np.asarray(keep)[ids]
            ids, sentence = ids[stay], sentence[stay]
        radius = np.full(len(ids), window) if keep is None else rng.integers(1, window + 1, len(ids))
        found = [np.empty((2, 0), np.int32)]
        for k in range(1, min(window, len(ids) - 1) + 1):
            left, right = ids[:-k], ids[k:]  # k words apart
            same = sentence[:-k] == sentence[k:]
            from_left, from_right = same & (radius[:-k] >= k), same & (radius[k:] >= k)
            found += [(left[from_left], right[from_left]), (right[from_right], left[from_right])]
        return np.concatenate(found, axis=1)

    def shuffle(self, seed=0):
        """The same words in random order, in sentences of the same lengths: a text with nothing to learn but counts."""
        ids = np.random.default_rng(seed).permutation(self.ids)
        return Corpus(ids, self.starts, self.vocabulary, self.n_read, f"{self.name}, shuffled")

    def merge(self, pairs):
        """The same sentences with both words of each pair written alike, as "a/b": words of two senses, made to order.

        Parameters
        ----------
        pairs : list of (word, word), no word twice
        """
        words, rename = self.vocabulary.words, np.arange(len(self.vocabulary))
        names = list(words)
        for a, b in pairs:
            i, j = self.vocabulary[a], self.vocabulary[b]
            rename[j], names[i] = i, f"{a}/{b}"
        counts = np.bincount(rename, self.vocabulary.counts, len(words)).astype(np.int64)
        order = np.argsort(-counts, kind="stable")[: len(words) - len(pairs)]
        new = np.empty(len(words), np.int32)
        new[order] = np.arange(len(order), dtype=np.int32)
        vocabulary = Vocabulary([names[i] for i in order], counts[order])
        return Corpus(new[rename[self.ids]], self.starts, vocabulary, self.n_read, self.name)

    def __repr__(self):
        return (
            f"Corpus({self.name}: {self.n_words:,} of {self.n_read:,} words, {self.n_sentences:,} sentences, "
            f"{len(self.vocabulary):,} different words)"
        )


# ---------------------------------------------------------------------------------------------- the three sources


def from_sentences(sentences, *, vocabulary=None, min_count=5, max_size=None, max_sentence=MAX_SENTENCE, name="text"):
    """A corpus from an iterable of lists of words (a word may hold spaces). Options and errors as for `read`."""
    if isinstance(sentences, str):
        raise TypeError("from_sentences takes lists of words, not one string; try [line.split() for line in ...]")

    def blocks():
        flat = itertools.chain.from_iterable(itertools.chain(s, (END,)) for s in sentences)
        while block := list(itertools.islice(flat, 1 << 19)):
            yield block

    return _encode(blocks(), vocabulary, min_count, max_size, max_sentence, name)


def read(
    path,
    *,
    vocabulary=None,
    min_count=5,
    max_size=None,
    max_sentence=MAX_SENTENCE,
    encoding="utf-8",
    clean=None,
    progress=True,
):
    """The corpus of a text file, read as a stream: memory grows with the vocabulary and by 4 bytes a word.

    A line is a sentence, and a line of more than `max_sentence` kept words is cut (text8 is one line).

    Parameters
    ----------
    path : path of a text file; one that is packed with gzip is unpacked on the fly.
    vocabulary : Vocabulary, optional
        Use this one; the default counts the text's own.
    min_count : int
        Words that occur less often are left out.
    max_size : int, optional
        Keep only this many of the most frequent words.
    max_sentence : int, optional
        None leaves lines whole.
    clean : callable, optional
        Applied to the text, block by block, before it is split into words: `plain_words`, or `str.lower`.
        The default leaves the text as it is.
    progress : bool
        Show a progress bar (only ever on a terminal).

    Raises
    ------
    OSError
        If the file is missing or a folder.
    ValueError
        If it is empty, damaged, or not text in this encoding (with the byte where it goes wrong), or if fewer than
        two different words are left.
    """
    blocks = _file_blocks(path, encoding, progress)
    if clean is not None:
        blocks = map(clean, blocks)
    words = (block.replace("\n", f" {END} ").split() for block in blocks)
    return _encode(words, vocabulary, min_count, max_size, max_sentence, str(path))


def documentation(*, min_count=5, max_size=None, max_sentence=MAX_SENTENCE, progress=True):
    """English that is on every reader's disk; see `documentation_lines`. About one and a half million words.

    The lines are kept as a text file in the user's cache folder, where one is writeable; the first call takes some
    seconds, the next ones one.
    """
    sources = _sources()
    options = {"min_count": min_count, "max_size": max_size, "max_sentence": max_sentence}
    cached = _cache_file(sources)
    if cached is not None and cached.exists():
        corpus = read(cached, progress=progress, **options)
    else:
        collecting = gc.isenabled()
        gc.disable()  # syntax trees hold no cycles, and looking for some takes a quarter of the time
        try:
            lines = list(documentation_lines(sources, progress=progress))
        finally:
            if collecting:
                gc.enable()
        if cached is not None:
            _write_cache(cached, lines)
        corpus = from_sentences(map(str.split, lines), **options)
    return Corpus(corpus.ids, corpus.starts, corpus.vocabulary, corpus.n_read, "documentation on this disk")


_NO_LETTER = re.compile(r"[^\w'\n]+|[\d_]+|(?<![^\W\d_])'+|'+(?![^\W\d_])")


def plain_words(text):
    """Lower case; all but letters (of any alphabet), apostrophes inside words and line ends becomes a space."""
    return _NO_LETTER.sub(" ", text.lower().replace("\u2019", "'"))


# ------------------------------------------------------------------------------------------- relations between words

_NOUNS = """file value function point string list object number element argument parameter method line vector column row
    image character field option dimension node edge angle color attribute module exception variable instance
    house river word year town state king game""".split()
_VERBS = """return call compute define create convert ignore replace raise remove store sort import check test parse
    perform generate handle add pass load use play work follow produce""".split()
_OPPOSITES = """minimum:maximum min:max first:last left:right lower:upper horizontal:vertical rows:columns width:height
    true:false start:end before:after input:output encode:decode signed:unsigned smaller:larger positive:negative
    small:large low:high top:bottom open:close smallest:largest previous:next parent:child north:south east:west
    northern:southern eastern:western early:late old:new""".split()
_FAMILY = "man:woman king:queen father:mother son:daughter brother:sister uncle:aunt boy:girl he:she".split()


def relations(vocabulary, *, min_count=30):
    """Pairs of words that stand in one relation, as far as they are in a vocabulary often enough.

    Returns
    -------
    dict
        Name of the relation -> list of pairs, at least four.
    """
    stem = [(word, word[:-1] if word.endswith("e") else word) for word in _VERBS]
    all_pairs = {
        "one and many": [(word, word + "s") for word in _NOUNS],
        "do and doing": [(word, short + "ing") for word, short in stem],
        "do and done": [(word, short + "ed") for word, short in stem],
        "opposites": [tuple(pair.split(":")) for pair in _OPPOSITES],
        "family": [tuple(pair.split(":")) for pair in _FAMILY],
    }
    frequent = {w for w, n in zip(vocabulary.words, vocabulary.counts) if n >= min_count}
    found = {name: [pair for pair in pairs if frequent.issuperset(pair)] for name, pairs in all_pairs.items()}
    return {name: pairs for name, pairs in found.items() if len(pairs) >= 4}


# ------------------------------------------------------------------------------------------------------- encoding


def _encode(blocks, vocabulary, min_count, max_size, max_sentence, name):
    """Blocks of words (lists of str, END between sentences) -> Corpus. Each word is looked up in a dict once."""
    for option, value in (("min_count", min_count), ("max_size", max_size), ("max_sentence", max_sentence)):
        if value is not None and (value != int(value) or value < 1):
            raise ValueError(f"{option} is {value}; expected a whole number of at least 1")
    first_seen = defaultdict()  # word -> a number in the order of first sight
    first_seen.default_factory = first_seen.__len__
    end = first_seen[END]
    encoded = [np.fromiter(map(first_seen.__getitem__, words), np.int32, len(words)) for words in blocks]

    counts = np.zeros(len(first_seen), np.int64)
    for block in encoded:
        counts += np.bincount(block, minlength=len(first_seen))
    counts[end] = 0  # the first of all
    n_read = int(counts.sum())
    if n_read == 0:
        raise ValueError(f"{name} holds no words; expected text")
    if vocabulary is None:
        vocabulary, rank = Vocabulary._chosen(dict(zip(first_seen, counts)), min_count, max_size)
    else:
        rank = np.fromiter((vocabulary.ids.get(word, -1) for word in first_seen), np.int32, len(first_seen))
    rank[end] = -2

    breaks, n = [], 0
    for i, block in enumerate(encoded):
        block = rank[block]
        kept = block >= 0
        breaks.append(n + np.cumsum(kept)[block == -2])
        encoded[i] = block[kept]
        n += encoded[i].size
    ids = np.concatenate(encoded)
    _check_vocabulary(vocabulary, n, n_read, min_count, name)
    starts = np.unique(np.concatenate([[0], *breaks, [n]])).astype(np.int64)
    return Corpus(ids, _cut(starts, max_sentence), vocabulary, n_read, name)


def _check_vocabulary(vocabulary, n_words, n_read, min_count, name):
    advice = f"{n_read} words were read with min_count={min_count}; try a longer text or a smaller min_count"
    if len(vocabulary) == 1:
        raise ValueError(f"{name}: a vocabulary of one word ({vocabulary.words[0]!r}); expected at least two. {advice}")
    if len(vocabulary) == 0:
        raise ValueError(f"{name}: no word occurs often enough; expected at least two. {advice}")
    if n_words == 0:
        raise ValueError(f"{name}: none of its {n_read} words is in the given vocabulary {vocabulary}")


def _cut(starts, longest):
    """Sentence starts, with further ones such that no sentence has more than `longest` words."""
    if longest is None:
        return starts
    long = np.flatnonzero(np.diff(starts) > longest)
    more = [np.arange(starts[s] + longest, starts[s + 1], longest) for s in long]
    return np.sort(np.concatenate([starts, *more])).astype(np.int64)


# ---------------------------------------------------------------------------------------------------------- files


def _file_blocks(path, encoding, progress):
    """The text of a file in blocks of some megabytes that end between two words."""
    from tqdm import tqdm

    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a text file")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected a text file")
    try:
        decoder = getincrementaldecoder(encoding)("strict")
    except LookupError:
        raise ValueError(f"unknown encoding {encoding!r}; try 'utf-8' or 'latin-1'") from None
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path} is empty; expected text")
    bar = tqdm(total=size, desc=f"reading {path.name}", unit="B", unit_scale=True, leave=False,
               disable=None if progress else True)  # fmt: skip
    with open(path, "rb") as raw, bar:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = gzip.open(raw) if packed else raw
        rest, n_before, at_start = "", 0, True
        while True:
            try:
                data = file.read(BLOCK)
            except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
                raise ValueError(f"{path}: damaged or cut-off gzip file ({problem}); try to fetch it again") from None
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as problem:
                at = n_before - pending + problem.start
                byte = problem.object[problem.start]
                raise ValueError(
                    f"{path} is not {encoding} text: byte 0x{byte:02x} at offset {at} ({problem.reason}); "
                    f"try encoding='latin-1', or convert the file to utf-8"
                ) from None
            if END in text:
                raise ValueError(f"{path} is not a text file: it holds a zero byte near offset {n_before}")
            if at_start and text:
                text, at_start = text.removeprefix("\ufeff"), False
            n_before += len(data)
            bar.update(raw.tell() - bar.n)
            text = rest + text
            if not data:
                yield text
                return
            cut = max(text.rfind(" "), text.rfind("\n")) + 1
            rest = text[cut:]
            yield text[:cut]


# -------------------------------------------------------------------------------------------------- documentation

PACKAGES = ("numpy", "scipy", "matplotlib", "mpl_toolkits", "numba", "llvmlite", "PIL", "dateutil", "fontTools",
            "pyparsing", "contourpy", "packaging", "tqdm")  # fmt: skip
_SKIPPED = {"site-packages", "__pycache__", "test", "tests", "idlelib", "lib2to3", "_vendor", "ensurepip"}
_COMMENTS = re.compile(r"(?:^[ \t]*#+[ \t].*\n)+", re.MULTILINE)
_WORD = re.compile(r"(?<![\w.\\@%$/:<=])[a-z]+(?:'[a-z]+)?(?![\w(=\\/@]|[.:][\w:])")
_SENTENCE_END = re.compile(r"[.!?:;](?:\s+|$)|\s--\s")


def documentation_lines(sources=None, *, progress=True):
    """The sentences of the documentation on this disk, lower case, each different one once, in a fixed order.

    Taken from the Python documentation topics (`pydoc_data`), and from docstrings, other strings of several lines
    and comments in the source files of the standard library and of `PACKAGES`. The files are parsed, never run.
    Examples (``>>>``), blocks of code and names such as ``np.dot`` or ``max_len`` are dropped.

    Yields
    ------
    str
        Words separated by single spaces.
    """
    from tqdm import tqdm

    paragraphs, seen = set(), set()
    sources = _sources() if sources is None else sources
    for path in tqdm(sources, desc="collecting documentation", unit="file", leave=False,
                     disable=None if progress else True):  # fmt: skip
        for passage in _passages(path):
            for paragraph in _paragraphs(passage):
                if paragraph in paragraphs:
                    continue
                paragraphs.add(paragraph)
                for sentence in _SENTENCE_END.split(paragraph.lower()):
                    words = _WORD.findall(sentence)
                    if len(words) < max(3, 0.6 * len(sentence.split())):
                        continue  # mostly names and numbers
                    words = " ".join(words)
                    if words not in seen:
                        seen.add(words)
                        yield words


def _sources():
    """The source files that documentation is taken from, in a fixed order."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    roots = [stdlib / "pydoc_data", stdlib]
    for place in dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path)):
        roots += [Path(place) / package for package in PACKAGES]
    found = {}
    for root in roots:
        if root.name in PACKAGES and any(root.name == other.name for other in found):
            continue  # an earlier place has this package
        files = []
        for folder, inner, names in os.walk(root):
            inner[:] = sorted(name for name in inner if name not in _SKIPPED)
            files += [Path(folder, name) for name in sorted(names) if name.endswith(".py")]
        if files:
            found[root] = files
    return list(dict.fromkeys(itertools.chain.from_iterable(found.values())))


def _passages(path):
    """Docstrings, strings of several lines, and comments of one source file."""
    try:
        source = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in others' files
            tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError):
        return
    yield from _strings(tree)
    for comment in _COMMENTS.findall(source):
        yield re.sub(r"^[ \t]*#+[ \t]?", "", comment, flags=re.MULTILINE)


def _strings(node):
    """The docstrings below a node of the tree, and other strings that are written over several lines."""
    for part in ("body", "handlers", "orelse", "finalbody"):
        for statement in getattr(node, part, ()):
            value = getattr(statement, "value", None)
            if isinstance(statement, ast.Expr) and isinstance(value, ast.Constant):
                if isinstance(value.value, str):
                    yield value.value
            elif isinstance(value, ast.AST) and statement.end_lineno > statement.lineno:
                for inner in ast.walk(value):
                    if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and "\n" in inner.value:
                        yield inner.value
            yield from _strings(statement)


_CODE = re.compile(r">>>|\.\.\. |\$ |def |class |import |from \S+ import |return |[\w.\[\]]+ *=[^=]|[-=~^*+|]{3}|@|#")


def _paragraphs(passage):
    """The paragraphs of English in a docstring, each on one line, without headings, examples and code."""
    passage = textwrap.dedent(passage.expandtabs())
    for paragraph in re.split(r"\n\s*\n", passage):
        if ">>>" in paragraph:
            paragraph = paragraph.partition(">>>")[0]
        lines = [line.strip() for line in paragraph.splitlines()]
        lines = [line for line in lines if line and not _CODE.match(line)]
        if lines:
            yield " ".join(lines)


def _cache_file(sources):
    """Where the collected lines are kept; its name is a hash of what they were collected from."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sources:
        digest.update(f"{path}:{path.stat().st_size}\n".encode())
    base = next(filter(_cache.writeable, _cache.bases()), None)
    return base and base / f"documentation-{digest.hexdigest()[:16]}.txt"


def _write_cache(path, lines):
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            file.write("\n".join(lines))
        os.replace(file.name, path)
    except OSError:  # a full disk: work without the cache
        pass
