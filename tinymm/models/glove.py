"""GloVe: word vectors whose products are the logarithms of how often words meet.

Source: Pennington, Socher, Manning, "GloVe: Global Vectors for Word Representation" (EMNLP 2014).

    >>> from tinymm.data import text
    >>> from tinymm.models.glove import GloVe
    >>> corpus = text.documentation()                                              # doctest: +SKIP
    >>> model = GloVe(d_model=50).fit(corpus, progress=True)                       # doctest: +SKIP
    >>> model.most_similar("integer")                                              # doctest: +SKIP

Read in this order: `count_cooccurrence` (X), `glove_loss` (the objective, on the autograd engine), `fit_readable`
(AdaGrad on it), `GloVe` (the same, fast).
"""

import math
import os
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

import numpy as np

from tinymm import kernels
from tinymm.metrics.words import most_similar
from tinymm.models._checkpoint import TrainingFile

BLOCK = 1 << 20  # words looked at at a time, where a copy of all would take too much memory


@dataclass(frozen=True)
class GloVeConfig:
    """Everything that can be chosen. `GloVeConfig.reference()` is the authors' program.

    G-numbers mark where paper and program differ.

    Attributes
    ----------
    d_model : int
        D, the length of a vector.
    window : int
        How many words to each side count as neighbours, at most 255.
    distance_weighting : bool
        A neighbour at distance d adds 1/d (the program's default); False: 1.
    symmetric : bool
        Count neighbours on both sides; False: only those on the left.
    x_max, alpha : float
        The weighting ``f(X) = min(1, (X / x_max)^alpha)``, equation 9.
    lr : float
        AdaGrad's step is ``lr * g / sqrt(first_sum + sum of g^2)``, with the sum over all earlier steps.
    bias_lr : float or None
        Step size of the biases; None: the same. The program leaves its rate out of the biases' step since 2019, which
        is 1.0 here (G6).
    first_sum : float
        What the sum of squares begins with.
    scale_squares : bool
        True: the sum gathers (lr g)^2, as in the program (G5). With its lr of 0.05 and first sum of 1 that is the same
        as AdaGrad with an lr of 1 and a first sum of 400. The default is 100, a learning rate of 0.1 in their units.
    clip : float
        Limit of each component of a vector's gradient, taken before the rate; biases are not limited (G7).
    epochs : int
        Passes over the cells of X.
    shuffle : bool
        False: take the cells in the order given, on one thread.
    seed : int
        Decides the first vectors and the order of the cells.
    dtype : str
        "float32" or "float64".
    threads : int
        For counting and for training; 0: as many as there are cores. The result is the same, to the last bit, with
        any number of them.
    """

    d_model: int = 100
    window: int = 15
    distance_weighting: bool = True
    symmetric: bool = True
    x_max: float = 10.0
    alpha: float = 0.75
    lr: float = 1.0
    bias_lr: float | None = None
    first_sum: float = 100.0
    scale_squares: bool = False
    clip: float = math.inf
    epochs: int = 15
    shuffle: bool = True
    seed: int = 1
    dtype: str = "float32"
    threads: int = 0

    def __post_init__(self):
        for name, least in (("d_model", 1), ("window", 1), ("epochs", 0), ("threads", 0), ("seed", 0)):
            value = getattr(self, name)
            if value != int(value) or value < least:
                raise ValueError(f"{name} is {value}; expected a whole number of at least {least}")
        if self.window > 255:
            raise ValueError(f"window is {self.window}; expected at most 255")
        for name in ("x_max", "lr", "bias_lr", "first_sum", "clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; expected a number above 0")
        if not 0 <= self.alpha < math.inf:
            raise ValueError(f"alpha is {self.alpha}; expected a number, not negative")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is {self.dtype!r}; expected 'float32' or 'float64'")

    @classmethod
    def reference(cls, **changes):
        """The defaults and the peculiarities of the authors' C program (version of 2019 and later)."""
        as_it_is = dict(
            d_model=50, window=15, x_max=100.0, epochs=25, lr=0.05, bias_lr=1.0, first_sum=1.0, scale_squares=True,
            clip=100.0,
        )  # fmt: skip
        return cls(**{**as_it_is, **changes})

    def weight(self, x):
        """f(X), equation 9."""
        return np.minimum(1.0, (np.asarray(x) / self.x_max) ** self.alpha)


# ------------------------------------------------------------------------------------------------- counting


@dataclass(frozen=True)
class Cooccurrence:
    """The cells of X that are not zero, sorted by row and, within a row, by column.

    Attributes
    ----------
    row, col : (n,) int32
    x : (n,) float32 or float64
        ``x[k]`` is X[row[k], col[k]]: how often, weighted by nearness, word `col[k]` stands near word `row[k]`.
    n_words : int
        V; X is (V, V).
    vocabulary : tinymm.data.text.Vocabulary, optional
    """

    row: np.ndarray
    col: np.ndarray
    x: np.ndarray
    n_words: int
    vocabulary: object = None

    def __post_init__(self):
        if not len(self.row) == len(self.col) == len(self.x):
            raise ValueError(f"row, col and x have lengths {len(self.row)}, {len(self.col)} and {len(self.x)}")

    def __len__(self):
        return len(self.x)

    def __getitem__(self, cell):
        """X[i, j], 0 where the words never met."""
        i, j = cell
        a, b = np.searchsorted(self.row, [i, i + 1])
        at = a + np.searchsorted(self.col[a:b], j)
        return float(self.x[at]) if at < b and self.col[at] == j else 0.0

    def row_sums(self):
        """X_i, the sum of each row: (V,) float64."""
        return np.bincount(self.row, weights=self.x, minlength=self.n_words)

    def probability(self, k, i):
        """P(k|i) = X_ik / X_i: of all neighbours of word `i`, the share that is word `k`."""
        a, b = np.searchsorted(self.row, [i, i + 1])
        return self[i, k] / float(self.x[a:b].sum(dtype=np.float64)) if b > a else math.nan

    def ratio(self, k, i, j):
        """P(k|i) / P(k|j): large if word `k` belongs to `i`, small if to `j`, near one if to both or neither.

        Source: section 3 and Table 1 of the paper. NaN where neither of the pairs was met.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.float64(self.probability(k, i)) / self.probability(k, j))

    def dense(self):
        """X as a (V, V) array, for small vocabularies."""
        X = np.zeros((self.n_words, self.n_words), dtype=self.x.dtype)
        X[self.row, self.col] = self.x
        return X


def count_cooccurrence(
    ids, starts, n_words, *, window=15, distance_weighting=True, symmetric=True, oov="before",
    max_memory_mb=4096, threads=0, dtype="float32", progress=False,
):  # fmt: skip
    """Which words stand near which, never across the end of a sentence.

    Pairs are added up as whole numbers (units of one over the least common multiple of 1 ... `window`), so that the
    result does not depend on the number of threads or on `max_memory_mb`, and a symmetric X is symmetric to the last
    bit.

    Parameters
    ----------
    ids : (n_tokens,) integers
        The words of the text; -1 stands for a word outside the vocabulary.
    starts : (n_sentences + 1,) int64
        Sentence s is ``ids[starts[s]:starts[s + 1]]``, as in `tinymm.data.text.Corpus`.
    n_words : int
        V.
    window, distance_weighting, symmetric
        See `GloVeConfig`.
    oov : str
        "before": words outside the vocabulary are removed before distances are counted, as the authors' program does.
        "after": they count as places.
    max_memory_mb : float
        Working memory and result together stay within so many megabytes (the caller's `ids` and some 2 MB for the
        threads not included). A result that would take more than half of it goes to temporary files, which vanish
        with it or with the process.
    threads : int
    dtype : str
        Of the result: "float32" or "float64".
    progress : bool

    Returns
    -------
    Cooccurrence

    Raises
    ------
    ValueError
        If there are no words, or fewer than two different ones; if an id or a start is out of range; if
        `max_memory_mb` is too small even for one row.
    """
    given = ids
    ids, starts = _checked_text(ids, starts, n_words)
    config = GloVeConfig(window=window, threads=threads, dtype=dtype)  # checks them
    if oov not in ("before", "after"):
        raise ValueError(f"oov is {oov!r}; expected 'before' or 'after'")
    if oov == "before" and ids.min() < 0:
        ids, starts = _without_unknown(ids, starts)
    copied = 0 if ids is given else ids.nbytes
    budget = max_memory_mb * 2**20 - copied
    weights, scale = _whole_weights(config.window, distance_weighting)
    counts = _word_counts(ids, n_words)
    if np.count_nonzero(counts) < 2:
        n = np.count_nonzero(counts)
        raise ValueError(f"the text has {n} different words; expected at least two. Try a longer text")

    threads = _threads(threads)
    chunks, least = _row_chunks(counts, len(weights) * (2 if symmetric else 1), budget / 2, threads)
    if budget < least:
        least = math.ceil((least + copied) / 2**20)
        raise ValueError(f"max_memory_mb is {max_memory_mb}; this text needs at least {least} with {threads} threads")

    def count(chunk):
        first, last = chunk
        n_cells, col, total = kernels.cooccurrence(
            ids, starts, n_words, weights, symmetric=symmetric, first=first, last=last
        )
        row = np.repeat(np.arange(first, last, dtype=np.int32), n_cells)
        return row, col.copy(), np.divide(total, scale, out=np.empty(len(total), dtype), casting="unsafe")

    with _Store(budget / 2, dtype) as store:
        bar = _progress(progress, len(chunks), "counting pairs", "part")
        for part in _in_order(count, chunks, threads, bar):
            store.append(part)
        row, col, x = store.finish()
    if len(x) == 0:
        raise ValueError("no two words of the text stand in one sentence within the window; expected sentences")
    return Cooccurrence(row, col, x, n_words)


def _checked_text(ids, starts, n_words):
    ids, starts = np.asarray(ids), np.asarray(starts)
    if n_words < 2:
        raise ValueError(f"a vocabulary of {n_words} words; expected at least two")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise ValueError(f"ids has dtype {ids.dtype} and {ids.ndim} axes; expected one axis of integers")
    if len(ids) == 0:
        raise ValueError("the text is empty; expected at least two words")
    if ids.min() < -1 or ids.max() >= n_words:
        raise ValueError(f"ids go from {ids.min()} to {ids.max()}; expected -1 (unknown) to {n_words - 1}")
    if starts.ndim != 1 or len(starts) < 2 or starts[0] != 0 or starts[-1] != len(ids) or np.any(np.diff(starts) < 0):
        raise ValueError(f"starts must rise from 0 to {len(ids)}, the number of words; got {starts}")
    return ids.astype(np.int32, copy=False), starts.astype(np.int64, copy=False)


def _without_unknown(ids, starts):
    moved, n = np.empty_like(starts), 0
    for a in range(0, len(ids) + 1, BLOCK):  # `moved` is the number of known words before each start
        before = n + np.concatenate([[0], np.cumsum(ids[a : a + BLOCK] >= 0)])
        some = slice(*np.searchsorted(starts, [a, a + BLOCK]))
        moved[some] = before[starts[some] - a]
        n = before[-1]
    return ids[ids >= 0], moved


def _whole_weights(window, distance_weighting):
    """Weights at distance 1 ... `window` as whole numbers, and the number that stands for 1."""
    if not distance_weighting:
        return np.ones(window, dtype=np.int64), 1
    scale = math.lcm(*range(1, window + 1))
    if scale > 2**32:  # beyond a window of 22: exact no more, but as near as 1e-10
        scale = 2**32
    return np.array([round(scale / d) for d in range(1, window + 1)], dtype=np.int64), scale


def _word_counts(ids, n_words):
    counts = np.zeros(n_words, dtype=np.int64)
    for a in range(0, len(ids), BLOCK):  # bincount makes a copy of 8 bytes a word
        block = ids[a : a + BLOCK]
        counts += np.bincount(block[block >= 0], minlength=n_words)
    return counts


def _row_chunks(counts, neighbours, budget, threads):
    """Ranges of rows of which `threads` fit into `budget` bytes at once; and twice the least budget that allows it."""
    # A position takes 8 bytes; a cell 12 while it is counted, 16 more while it is copied out.
    cost = 8 * counts + 28 * np.minimum(neighbours * counts, len(counts))
    fixed = 16 * len(counts)  # the array that a row is added up in, and the counts
    room = min(budget / threads - fixed, cost.sum() / (8 * threads))  # at least some parts for each thread
    chunks, first, spent = [], 0, 0
    for i, c in enumerate(cost.tolist()):
        if spent + c > room and i > first:
            chunks.append((first, i))
            first, spent = i, 0
        spent += c
    return [*chunks, (first, len(counts))], 2 * threads * (cost.max() + fixed)


def _in_order(function, items, threads, bar):
    """``map(function, items)`` on threads, with no more than `threads` results waiting."""
    with ThreadPoolExecutor(threads) as pool, bar:
        pending = deque()
        try:
            for item in items:
                if len(pending) == threads:
                    yield pending.popleft().result()
                    bar.update()
                pending.append(pool.submit(function, item))
            while pending:
                yield pending.popleft().result()
                bar.update()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Store:
    """Gathers (row, col, x): in memory as long as it stays within `limit` bytes, else in temporary files.

    The files have no name (on Windows: vanish when closed), so that nothing is left even if the process is killed.
    """

    def __init__(self, limit, dtype):
        self.limit, self.files = limit, []
        self.dtypes = (np.dtype(np.int32), np.dtype(np.int32), np.dtype(dtype))
        self.parts, self.n = ([], [], []), 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for file in self.files:  # what `finish` has mapped stays
            file.close()

    def append(self, arrays):
        self.n += len(arrays[0])
        # Joining the parts in the end needs the longest of the three arrays a second time.
        if not self.files and self.n * (sum(d.itemsize for d in self.dtypes) + 8) > self.limit:
            self.files = [tempfile.TemporaryFile(prefix="tinymm-glove-") for _ in self.dtypes]
            for file, parts in zip(self.files, self.parts):
                while parts:
                    file.write(parts.pop(0).data)
        for k, array in enumerate(arrays):
            if not self.files:
                self.parts[k].append(array)
            elif len(array):
                self.files[k].write(array.data)

    def finish(self):
        if not self.files:
            arrays = []
            for parts, dtype in zip(self.parts, self.dtypes):
                arrays.append(np.concatenate([np.empty(0, dtype), *parts]))
                parts.clear()
            return arrays
        for file in self.files:
            file.flush()
        return [np.memmap(f, d, mode="c", shape=(self.n,)) for f, d in zip(self.files, self.dtypes)]


def _threads(threads):
    if threads:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _progress(progress, total, what, unit):
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=unit, leave=False, disable=None if progress else True)


# ------------------------------------------------------------------------------------------------- readable


def glove_loss(w, c, b_w, b_c, row, col, x, config):
    """The objective on the autograd engine, equation 8: the sum of f(X_ij) (w_i . w~_j + b_i + b~_j - log X_ij)^2 / 2.

    Parameters
    ----------
    w, c : (V, D) Tensor
        Word and context vectors.
    b_w, b_c : (V,) Tensor
        Their biases.
    row, col : (n,) int
    x : (n,) float
        Cells of X: all, or a few.
    config : GloVeConfig

    Returns
    -------
    Tensor
        A scalar. The half is the authors' program's, so that the gradient has no 2.
    """
    predicted = (w[row] * c[col]).sum(axis=-1) + b_w[row] + b_c[col]  # (n, D) -> (n,)
    return (config.weight(x) * (predicted - np.log(x)) ** 2).sum() * 0.5


def fit_readable(model, cooccurrence, *, batch_size=1):
    """Train `model` as `GloVe.fit` does, written on the autograd engine; the cells in the order given.

    With ``batch_size=1`` it takes the very steps of the fast kernel. Larger batches sum the gradients of their cells,
    so that they take fewer steps.

    Raises
    ------
    ValueError
        If an option is no true gradient: `scale_squares` and `clip`.
    """
    from tinymm.autograd import Tensor, no_grad

    config = model.config
    if config.scale_squares or config.clip != math.inf:
        raise ValueError("fit_readable follows the gradient; expected scale_squares=False and clip=inf")
    if model.words is None:
        model.start(cooccurrence.vocabulary or cooccurrence.n_words)
    D = config.d_model
    bias_lr = config.lr if config.bias_lr is None else config.bias_lr
    tables = [(model.w, config.lr), (model.w_tilde, config.lr), (model.b, bias_lr), (model.b_tilde, bias_lr)]
    sums = [model.words_sq[:, :D], model.contexts_sq[:, :D], model.words_sq[:, -1], model.contexts_sq[:, -1]]
    parameters = [Tensor(table, requires_grad=True) for table, _ in tables]
    row, col, x = cooccurrence.row, cooccurrence.col, cooccurrence.x.astype(config.dtype)
    for _ in range(config.epochs):
        cost = 0.0
        for a in range(0, len(x), batch_size):
            some = slice(a, a + batch_size)
            loss = glove_loss(*parameters, row[some], col[some], x[some], config)
            loss.backward()
            cost += loss.item()
            with no_grad():
                for parameter, squares, (_, lr) in zip(parameters, sums, tables):
                    parameter.assign(parameter.data - lr * parameter.grad / np.sqrt(squares))
                    squares += parameter.grad**2
                    parameter.zero_grad()
        model.history.append(cost / len(x))
    for parameter, (table, _) in zip(parameters, tables):
        table[...] = parameter.data
    model.row_sums = cooccurrence.row_sums()
    return model


# ------------------------------------------------------------------------------------------------- fast


class GloVe:
    """Vectors for the words of a vocabulary.

    Parameters
    ----------
    config : GloVeConfig, optional
    **changes
        Fields of the config: ``GloVe(d_model=50)``.

    Attributes
    ----------
    vocabulary : tinymm.data.text.Vocabulary, or None
    words, contexts : (V, W) array
        Row i holds w_i and, in its last column, b_i; w~_j and b~_j. Zeros in between fill up whole cache lines. The
        properties `w`, `w_tilde` (V, D) and `b`, `b_tilde` (V,) are views of the parts.
    words_sq, contexts_sq : (V, W) array
        AdaGrad's sums, laid out alike.
    history : list of float
        The mean loss of a cell in each pass.
    """

    def __init__(self, config=None, **changes):
        self.config = replace(config or GloVeConfig(), **changes)
        self.vocabulary = self.words = self.row_sums = None
        self.history = []

    def start(self, vocabulary):
        """Draw the first vectors for a vocabulary, or for so many words; `fit` does it where nobody has."""
        self.vocabulary = None if isinstance(vocabulary, (int, np.integer)) else vocabulary
        V = int(vocabulary) if self.vocabulary is None else len(vocabulary)
        if V < 2:
            raise ValueError(f"the vocabulary has {V} words; expected at least two")
        D, dtype, one = self.config.d_model, self.config.dtype, self.config.first_sum
        rng = np.random.default_rng(self.config.seed)
        self.words, self.contexts, self.words_sq, self.contexts_sq = (_table(V, D, dtype, x) for x in (0, 0, one, one))
        for part in (self.w, self.w_tilde, self.b, self.b_tilde):  # vectors and biases alike, as the authors' program
            part[...] = (rng.random(part.shape) - 0.5) / D
        self.history = []
        return self

    @property
    def w(self):
        return self._started().words[:, : self.config.d_model]

    @property
    def w_tilde(self):
        return self._started().contexts[:, : self.config.d_model]

    @property
    def b(self):
        return self._started().words[:, -1]

    @property
    def b_tilde(self):
        return self._started().contexts[:, -1]

    @property
    def vectors(self):
        """w_i + w~_i, the vectors to use (section 4.2 of the paper): (V, D)."""
        return self.w + self.w_tilde

    def __getitem__(self, word):
        """The vector of `word`; KeyError if it is not in the vocabulary."""
        i = self._names()[word]
        return self.w[i] + self.w_tilde[i]

    def most_similar(self, query, n=10):
        """The `n` words nearest to a word or a vector, by cosine; see `tinymm.metrics.words.most_similar`."""
        return most_similar(self.vectors, self._names().words, query, n)

    def count(self, corpus, *, max_memory_mb=4096, progress=False):
        """X of a `tinymm.data.text.Corpus`, with this model's options."""
        c = self.config
        cells = count_cooccurrence(
            corpus.ids, corpus.starts, len(corpus.vocabulary), window=c.window, symmetric=c.symmetric,
            distance_weighting=c.distance_weighting, max_memory_mb=max_memory_mb, threads=c.threads, dtype=c.dtype,
            progress=progress,
        )  # fmt: skip
        return replace(cells, vocabulary=corpus.vocabulary)

    def fit(self, data, progress=False, callback=None, checkpoint=None, checkpoint_every=None, resume=False):
        """Train for ``config.epochs`` passes; a second call goes on where the first ended.

        Parameters
        ----------
        data : tinymm.data.text.Corpus, or Cooccurrence
        progress : bool
            Show a progress bar (only ever on a terminal).
        callback : callable, optional
            Called as ``callback(model)`` after each pass; training ends if it returns True.
        checkpoint, checkpoint_every, resume : path, int, bool
            A file written at the start, after each pass, and about every so many cells (where no thread is at work).
            With `resume` an existing one is gone on from instead of what the model holds, and the end is, bit for
            bit, that of a run that was never interrupted; a finished one is returned at once. Ctrl-C then saves at
            the next such moment, and interrupts.

        Returns
        -------
        GloVe
            Itself.

        Raises
        ------
        ValueError
            If the corpus is empty, if X holds something else than finite numbers above zero, or if the vocabulary is
            not the one that training began with.
        CheckpointError
            If the checkpoint is damaged, or of another config or text.
        FloatingPointError
            If training diverges. The last checkpoint stays as it is.
        """
        cells = data if isinstance(data, Cooccurrence) else self.count(data, progress=progress)
        config = self.config
        settings = {"model": "GloVe", **asdict(config)}
        del settings["threads"]  # the bits are the same with any number
        file = TrainingFile(
            checkpoint, checkpoint_every, resume, epoch=len(cells), settings=settings,
            data=(cells.vocabulary and cells.vocabulary.words, cells.row, cells.col, cells.x),
        )  # fmt: skip
        if self.words is None:
            self.start(cells.vocabulary or cells.n_words)
        self._check(cells)
        self.row_sums = cells.row_sums()
        tables = {name: getattr(self, name) for name in ("words", "contexts", "words_sq", "contexts_sq")}
        place = {"passes before": len(self.history), "rounds": 0, "cost": 0.0, "history": np.array(self.history)}
        if file.place:
            place = file.place
            self.history = place["history"].tolist()
            for name, table in tables.items():
                table[...] = file.tables[name]
        rng = np.random.default_rng([config.seed, place["passes before"]])
        if config.shuffle:
            n_parts = _number_of_parts(len(cells))
            parts = [_deal_words(self.row_sums, n_parts, rng) for _ in range(2)]
            row, col, x, bounds = kernels.glove_blocks(
                cells.row, cells.col, cells.x, *parts, n_parts, int(rng.integers(2**62))
            )
        else:
            n_parts, row, col, x, bounds = 1, cells.row, cells.col, cells.x, np.array([0, len(cells)])
        options = dict(
            x_max=config.x_max, alpha=config.alpha, lr=config.lr, clip=config.clip,
            bias_lr=config.lr if config.bias_lr is None else config.bias_lr, scale_squares=config.scale_squares,
        )  # fmt: skip

        def train(block):
            some = slice(bounds[block], bounds[block + 1])
            return kernels.glove_adagrad(
                row[some], col[some], x[some], self.words, self.contexts, self.words_sq, self.contexts_sq, **options
            )

        rounds = [int(r) for _ in range(config.epochs) for r in rng.permutation(n_parts)]
        sizes = np.diff(bounds[::n_parts]).tolist()
        done, cost = sum(sizes[r] for r in rounds[: place["rounds"]]), place["cost"]
        bar = _progress(progress, config.epochs * len(cells), "GloVe", "cell")
        bar.unit_scale, bar.n, bar.initial = True, done, done
        with ThreadPoolExecutor(_threads(config.threads)) as pool, bar, file:
            file.save(tables, place)  # a place that cannot be written to is found now, and not after an hour
            for n, r in enumerate(rounds[place["rounds"] :], place["rounds"] + 1):
                # The blocks of a round share no row and no column: see kernels.glove_blocks.
                cost += sum(pool.map(train, range(r * n_parts, (r + 1) * n_parts)))
                bar.update(sizes[r])
                if not math.isfinite(cost):
                    raise FloatingPointError(
                        f"GloVe diverged in pass {len(self.history) + 1}; try an lr below {config.lr}"
                    )
                over = False
                if n % n_parts == 0:  # the end of a pass
                    self.history.append(cost / len(cells))
                    cost = 0.0
                    bar.set_postfix(loss=f"{self.history[-1]:.4f}")
                    over = callback is not None and callback(self)
                done += sizes[r]
                place = {**place, "rounds": len(rounds) if over else n, "cost": cost, "history": np.array(self.history)}
                file.after(sizes[r], done, tables, place)
                if over:
                    break
        return self

    def _started(self):
        if self.words is None:
            raise ValueError("the model has seen no text yet; try fit first")
        return self

    def _names(self):
        if self._started().vocabulary is None:
            raise ValueError("the model knows its words only by number; try fit with a Corpus")
        return self.vocabulary

    def _check(self, cells):
        V = len(self.words)
        if cells.n_words != V:
            raise ValueError(f"the co-occurrences are of {cells.n_words} words; expected {V}, as in the vocabulary")
        if len(cells) == 0:
            raise ValueError("no co-occurrences; expected a text with at least two words side by side")
        low, high = float(np.min(cells.x)), float(np.max(cells.x))
        if not (low > 0 and high < math.inf):  # NaN passes through min and max and fails both
            raise ValueError(f"co-occurrences go from {low} to {high}; expected finite numbers above 0")
        for name, index in (("row", cells.row), ("col", cells.col)):
            if index.min() < 0 or index.max() >= V:
                raise ValueError(f"{name} goes from {index.min()} to {index.max()}; expected 0 to {V - 1}")

    def predicted_log_x(self, i, j):
        """w_i . w~_j + b_i + b~_j, what the model has for log X[i, j]; indices or arrays of them."""
        return (self.w[i] * self.w_tilde[j]).sum(axis=-1) + self.b[i] + self.b_tilde[j]

    def ratio(self, k, i, j):
        """P(k|i) / P(k|j) from the vectors; compare `Cooccurrence.ratio`.

        The rows' sums X_i and X_j, which P is divided by, are those counted.
        """
        if self.row_sums is None:
            raise ValueError("the model has seen no text yet; try fit first")
        log_ratio = float(self.predicted_log_x(i, k)) - float(self.predicted_log_x(j, k))
        return math.exp(log_ratio) * float(self.row_sums[j] / self.row_sums[i])


def _table(V, D, dtype, fill):
    """(V, W) with room for D numbers and a bias in whole cache lines of 64 bytes, beginning at the first of one."""
    per_line = 64 // np.dtype(dtype).itemsize
    W = -(-(D + 1) // per_line) * per_line
    memory = np.empty(V * W + per_line, dtype=dtype)
    start = -memory.ctypes.data % 64 // memory.itemsize
    table = memory[start : start + V * W].reshape(V, W)
    table[...] = fill
    return table


def _number_of_parts(n_cells):
    """Into how many parts to deal the words: 16 of them keep a block in the cache, but small data need few."""
    return max(p for p in (1, 2, 4, 8, 16) if p == 1 or n_cells >= 40_000 * p * p)


def _deal_words(row_sums, n_parts, rng):
    """A part for each word, such that each part gets one of the `n_parts` most frequent words, one of the next, ..."""
    V = len(row_sums)
    part = np.empty(V, dtype=np.int32)
    decks = rng.permuted(np.tile(np.arange(n_parts, dtype=np.int32), (-(-V // n_parts), 1)), axis=1)
    part[np.argsort(-row_sums, kind="stable")] = decks.ravel()[:V]
    return part
