"""How good are word vectors? Neighbours, analogies, and agreement with people about similarity.

Everywhere `vectors` is a (V, D) array, one row a word, and `words` their V names, most frequent first: a list or a
`tinymm.data.text.Vocabulary`. Similarity is the cosine.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BLOCK = 512  # analogies answered at a time


def most_similar(vectors, words, query, k=10, *, exclude=True, restrict_vocab=None):
    """The k words nearest to a word or a vector.

    Parameters
    ----------
    query : str or (D,) array
    exclude : bool or iterable of words
        Words that may not be answers; True: the query itself.
    restrict_vocab : int, optional
        Only the first so many words may be answers.

    Returns
    -------
    list of (word, cosine), nearest first.

    Raises
    ------
    KeyError
        If a word is not in the vocabulary.
    """
    names, index = _names(words)
    unit = _unit(vectors, len(names))
    if isinstance(query, str):
        excluded = [query] if exclude is True else exclude
        query = unit[_lookup(index, query)]
    else:
        excluded = () if exclude is True else exclude
        query = _unit(np.asarray(query)[None])[0]
    score = unit[:restrict_vocab] @ query
    for word in excluded or ():
        if (i := _lookup(index, word)) < len(score):
            score[i] = -np.inf
    best = np.argsort(-score, kind="stable")[:k]
    return [(names[i], float(score[i])) for i in best if score[i] > -np.inf]


# ------------------------------------------------------------------------------------------------------ analogies


def read_analogies(path):
    """The questions of a file in the questions-words format: {section: [(a, b, c, d), ...]}.

    A line ": name" opens a section, every other line is one question "a is to b as c is to d".

    Raises
    ------
    ValueError
        If a line is neither.
    """
    sections = {}
    for number, line in enumerate(_lines(path), 1):
        if line.startswith(":"):
            section = sections.setdefault(line[1:].strip(), [])
        elif line.strip():
            question = tuple(line.split())
            if len(question) != 4 or not sections:
                raise ValueError(f"{path}, line {number}: expected ': section' first and then four words a line")
            section.append(question)
    return sections


@dataclass(frozen=True)
class Score:
    """`correct` of `asked` questions; `skipped` ones had a word that is not in the vocabulary."""

    correct: int
    asked: int
    skipped: int

    @property
    def accuracy(self):
        """Share of right answers, 0 to 1 (NaN if nothing was asked)."""
        return self.correct / self.asked if self.asked else float("nan")

    @property
    def standard_error(self):
        """That of a share, sqrt(p (1 - p) / n). Questions share words, so the true one is larger."""
        return (self.accuracy * (1 - self.accuracy) / self.asked) ** 0.5 if self.asked else float("nan")

    @property
    def coverage(self):
        """Share of the questions that could be asked."""
        total = self.asked + self.skipped
        return self.asked / total if total else float("nan")

    def __add__(self, other):
        return Score(self.correct + other.correct, self.asked + other.asked, self.skipped + other.skipped)

    def __str__(self):
        share = f"{100 * self.accuracy:.1f} % +- {100 * self.standard_error:.1f}"
        return f"{share} ({self.asked} asked, {self.skipped} skipped)"


@dataclass(frozen=True)
class Analogies:
    """What `analogies` found.

    Attributes
    ----------
    sections : dict of Score
    answers : list of (a, b, c, d, answer)
        Every question asked, in order.
    """

    sections: dict
    answers: list

    @property
    def total(self):
        return sum(self.sections.values(), Score(0, 0, 0))

    @property
    def semantic(self):
        """The sections whose names do not start with "gram"."""
        return sum((s for name, s in self.sections.items() if not name.startswith("gram")), Score(0, 0, 0))

    @property
    def syntactic(self):
        """The sections whose names start with "gram"."""
        return sum((s for name, s in self.sections.items() if name.startswith("gram")), Score(0, 0, 0))


def analogies(vectors, words, questions, *, exclude=True, restrict_vocab=30_000):
    """a is to b as c is to ...? The answer is the word nearest to b - a + c, all at unit length (3CosAdd).

    Upper and lower case are the same; of two words that differ in case only the more frequent one counts.

    Parameters
    ----------
    questions : dict {section: list of (a, b, c, d)}, or such a list
    exclude : bool
        Whether a, b and c are barred from being the answer, as everyone does and few say. Without it the answer is
        mostly b or c.
    restrict_vocab : int or None
        Only the most frequent words take part; questions with another one are skipped. 30,000 is the choice of the
        reference program.

    Returns
    -------
    Analogies

    References
    ----------
    Mikolov, Yih, Zweig 2013, "Linguistic regularities in continuous space word representations"
    """
    if not isinstance(questions, dict):
        questions = {"all": questions}
    names, _ = _names(words)
    unit = _unit(vectors, len(names))[:restrict_vocab]
    folded = [name.upper() for name in names[:restrict_vocab]]
    index = {name: i for i, name in reversed(list(enumerate(folded)))}
    same = {}  # folded word -> all of its rows, where there are several
    for i, name in enumerate(folded):
        if index[name] != i:
            same.setdefault(name, [index[name]]).append(i)
    sections, answers = {}, []
    for section, asked in questions.items():
        rows = [[index.get(word.upper(), -1) for word in question] for question in asked]
        rows = np.array(rows, dtype=np.int64).reshape(-1, 4)
        known = (rows >= 0).all(axis=1)
        correct = 0
        rows = rows[known]
        for start in range(0, len(rows), BLOCK):
            a, b, c, d = rows[start : start + BLOCK].T
            score = (unit[b] - unit[a] + unit[c]) @ unit.T  # (B, V)
            if exclude:
                for given in (a, b, c):
                    score[np.arange(len(a)), given] = -np.inf
                    for i, row in enumerate(given if same else ()):
                        score[i, same.get(folded[row], [])] = -np.inf
            found = score.argmax(axis=1)
            for *question, answer in zip(a, b, c, d, found):
                correct += folded[answer] == folded[question[3]]
                answers.append((*(names[i] for i in question), names[answer]))
        sections[section] = Score(int(correct), len(rows), int((~known).sum()))
    return Analogies(sections, answers)


def questions_from(relations):
    """Every two pairs of one relation as a question: {name: [(a, b), ...]} -> {name: [(a, b, c, d), ...]}."""
    return {name: [(*p, *q) for p, q in itertools.permutations(pairs, 2)] for name, pairs in relations.items()}


def without_relation(questions):
    """The same questions with b - a = 0: what is right now is right because d is near c, whatever a and b are."""
    return {name: [(c, c, c, d) for _, _, c, d in asked] for name, asked in questions.items()}


def false_relation(questions, words, *, first=3000, seed=0):
    """The same questions with a and b drawn at random from the `first` words: a control for `analogies`."""
    names, rng = _names(words)[0][:first], np.random.default_rng(seed)
    found = {}
    for name, asked in questions.items():
        draws = rng.integers(0, len(names), (len(asked), 2))
        found[name] = [(names[i], names[j], c, d) for (i, j), (_, _, c, d) in zip(draws, asked)]
    return found


def parallel(vectors, words, pairs):
    """Mean cosine between the offsets b - a of different pairs: 1 if a relation is one direction, 0 by chance.

    Parameters
    ----------
    pairs : list of (a, b)
        At least two, of words that are known.
    """
    names, index = _names(words)
    unit = _unit(vectors, len(names))
    a, b = np.array([[_lookup(index, word) for word in pair] for pair in pairs]).T
    offsets = _unit(unit[b] - unit[a])
    return float((offsets @ offsets.T)[~np.eye(len(offsets), dtype=bool)].mean())


# ----------------------------------------------------------------------------------------------------- similarity


def read_pairs(path):
    """The word pairs of a similarity set, a line each "word word score": [(a, b, score), ...].

    Raises
    ------
    ValueError
        If a line is something else.
    """
    pairs = []
    for number, line in enumerate(_lines(path), 1):
        if line.strip() and not line.startswith("#"):
            try:
                a, b, score = line.split()
                pairs.append((a, b, float(score)))
            except ValueError:
                raise ValueError(f"{path}, line {number}: expected two words and a number, got {line!r}") from None
    return pairs


@dataclass(frozen=True)
class Similarity:
    """Spearman's `rho` between people's scores and cosines, over the `used` pairs of `total` that are known."""

    rho: float
    standard_error: float
    used: int
    total: int

    @property
    def coverage(self):
        return self.used / self.total if self.total else float("nan")

    def __str__(self):
        return f"rho {self.rho:.3f} +- {self.standard_error:.3f} ({self.used} of {self.total} pairs)"


def similarity(vectors, words, pairs, *, restrict_vocab=None, n_bootstrap=200, seed=0):
    """Rank correlation of cosines with people's scores.

    Parameters
    ----------
    pairs : list of (a, b, score)
        Pairs with an unknown word are left out. Upper and lower case are the same.
    n_bootstrap : int
        Resamples of the pairs from which the standard error comes.

    Returns
    -------
    Similarity
        NaN where fewer than three pairs are known.
    """
    names, _ = _names(words)
    unit = _unit(vectors, len(names))
    folded = [name.upper() for name in names[:restrict_vocab]]
    index = {name: i for i, name in reversed(list(enumerate(folded)))}
    known = [(index[a.upper()], index[b.upper()], s) for a, b, s in pairs if a.upper() in index and b.upper() in index]
    if len(known) < 3:
        return Similarity(float("nan"), float("nan"), len(known), len(pairs))
    a, b, people = (np.array(column) for column in zip(*known))
    cosine = (unit[a] * unit[b]).sum(axis=1)
    rng = np.random.default_rng(seed)
    resamples = rng.integers(0, len(known), (n_bootstrap, len(known)))
    spread = np.std([spearman(people[r], cosine[r]) for r in resamples], ddof=1) if n_bootstrap > 1 else float("nan")
    return Similarity(spearman(people, cosine), float(spread), len(known), len(pairs))


def spearman(x, y):
    """Spearman's rank correlation of two (n,) arrays: the correlation of their ranks; equal values share theirs."""
    x, y = (_ranks(np.asarray(v)) for v in (x, y))
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale else float("nan")


def _ranks(x):
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


# --------------------------------------------------------------------------------------------------------- senses


def tell_senses(vectors, merged, original, pair, near, *, window=4, most=200, seed=0):
    """Which of two words stood here before both were written alike? Asked of vectors learnt from the merged text.

    An answer is the side on which a vector lies: nearer to the words near the first of the pair, or the second.

    Parameters
    ----------
    vectors : (V, D) array
        For the words of `merged`.
    merged, original : Corpus
        From `Corpus.merge`: the same sentences.
    pair : (word, word)
    near : (list of words, list of words)
        Neighbours of each of the two, which must be in `merged`.
    window : int
        How many words to each side count as the surroundings.
    most : int
        How many places of each of the two words are asked about.

    Returns
    -------
    own, around : float
        Shares of right answers, each sense counting one half, from the word's own vector, and from the mean of the
        words around it.
    """
    unit, rng = _unit(vectors, len(merged.vocabulary)), np.random.default_rng(seed)
    sides = [unit[merged.vocabulary.encode(words)].mean(axis=0) for words in near]
    direction = sides[0] - sides[1]
    sentence = np.repeat(np.arange(original.n_sentences), np.diff(original.starts))
    steps = np.array([k for k in range(-window, window + 1) if k])
    right = []
    for word, sign in zip(pair, (1, -1)):
        places = np.flatnonzero(original.ids == original.vocabulary[word])
        places = rng.permutation(places)[:most]
        there = (places[:, None] + steps).clip(0, original.n_words - 1)
        valid = (there == places[:, None] + steps) & (sentence[there] == sentence[places][:, None])
        valid &= merged.ids[there] != merged.ids[places][:, None]
        around = (unit[merged.ids[there]] * valid[..., None]).sum(axis=1)  # (places, D)
        right.append([np.mean(sign * (x @ direction) > 0) for x in (unit[merged.ids[places]], around)])
    own, around = np.mean(right, axis=0)
    return float(own), float(around)


# -------------------------------------------------------------------------------------------------------- helpers


def _names(words):
    names = list(getattr(words, "words", words))
    return names, getattr(words, "ids", None) or {name: i for i, name in enumerate(names)}


def _lookup(index, word):
    if word not in index:
        raise KeyError(f"{word!r} is not among the {len(index)} words; try another, or a smaller min_count")
    return index[word]


def _unit(vectors, n_words=None):
    """The rows at length 1; a row of zeros stays."""
    vectors = np.asarray(vectors)
    if vectors.dtype not in (np.float32, np.float64):
        vectors = vectors.astype(np.float64)
    if vectors.ndim != 2 or (n_words is not None and len(vectors) != n_words):
        raise ValueError(f"vectors of shape {vectors.shape} for {n_words} words; expected one row a word")
    length = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    if not np.isfinite(length).all():
        raise ValueError("the vectors hold NaN or infinity; the training has diverged: try a smaller learning rate")
    return vectors / np.where(length > 0, length, 1)


def _lines(path):
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a text file")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected a text file")
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as problem:
        raise ValueError(f"{path} is not utf-8 text: {problem.reason} at offset {problem.start}") from None
