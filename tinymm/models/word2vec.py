"""Word2Vec: word vectors that predict neighbouring words (Mikolov et al. 2013a, 2013b).

>>> from tinymm.data import text
>>> from tinymm.models.word2vec import Word2Vec
>>> model = Word2Vec(epochs=5).fit(text.documentation(), progress=True)     # doctest: +SKIP
>>> model.most_similar("integer")                                           # doctest: +SKIP

The model has two tables of V vectors, `inputs` and `outputs`. Skip-gram: the vector h of a word predicts each word
near it, out of the outputs u, by

    negative sampling      loss = -log sigmoid(u_o . h) - sum_k log sigmoid(-u_k . h),   k drawn from the noise
    hierarchical softmax   loss = -sum_j log sigmoid((1 - 2 b_j) u_j . h),   j on the path to o in a Huffman tree

CBOW: h is the mean of the vectors of all words near, and predicts the word in the middle.

It is written twice. `negative_sampling_loss` and `hierarchical_softmax_loss` are the equations on the autograd
engine, and `train_readable` takes a step of gradient descent for each example. `Word2Vec.fit` runs the same steps in
a kernel, some thousand times as fast; ``fit(corpus, readable=True)`` runs the readable ones, and
`tests/models/test_word2vec.py` shows that both reach the same vectors.
"""

import os
import threading
import time
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, get_args, get_origin

import numpy as np

from tinymm import kernels
from tinymm.autograd import Tensor, no_grad
from tinymm.data.text import Vocabulary, from_sentences
from tinymm.kernels.plain.word2vec import Rules, Tree, make_noise
from tinymm.metrics.words import most_similar
from tinymm.models._checkpoint import TrainingFile
from tinymm.ops import logsigmoid

LEAST = 100_000  # words for which a further thread is worth its races
JOB = 10_000  # words a kernel call trains on: long enough to cost nothing, short enough for Ctrl-C and a progress bar


@dataclass(frozen=True)
class Word2VecConfig:
    """Every choice of a Word2Vec model. W-numbers are places where paper, C program and gensim disagree.

    The defaults learn best of what was measured on 17 million words of Wikipedia (``benchmarks/word_vectors.py``); a
    shorter text wants a higher rate or more epochs. `like_gensim` and `like_c` give the references' choices.
    """

    d_model: int = 100
    window: int = 5  # words to each side
    cbow: bool = False  # predict the word from the mean of its context, else (skip-gram) from each context word
    negative: int = 5  # noise words per example; unused with hierarchical softmax
    hierarchical_softmax: bool = False
    noise_power: float = 0.75  # W4: noise is drawn in proportion to count**0.75
    sample: float = 1e-3  # W2: keep a word of frequency f with probability sqrt(t/f) + t/f; 0 keeps all
    min_count: int = 5  # only where `fit` is given lists of words; a Corpus comes with its vocabulary
    epochs: int = 5
    lr: float | None = None  # None: 0.035, or 0.1 for CBOW; the references take 0.025, or 0.05 for CBOW in C
    min_lr: float = 1e-4  # W6: the rate falls linearly to this one
    seed: int = 1
    threads: int = 0  # 0: as many as the processor has cores; at most one for every 100,000 words
    deterministic: bool = False  # train in the exact order, which is on one thread
    dtype: Literal["float32", "float64"] = "float32"

    # Where the references are no true gradient, or differ from one another.
    shrink_window: bool = True  # W3: the radius is uniform on 1 .. window, else always `window`
    init_range: float = 1.0  # W5: inputs start as U(-r, r) / d_model; gensim 1.0, C 0.5. Outputs start at 0
    smooth_lr: bool = True  # W6: a new rate for each word; the references refresh it every 10,000
    sigmoid: Literal["exact", "table"] = "exact"  # W7: a table of 1000 steps whose index is scaled by 83 for 83.33
    saturation: Literal["gradient", "skip"] = "gradient"  # W8: beyond |u.h| = 6 gensim, and C's tree, do not update
    cbow_mean: bool = True  # W9: h is the mean of the context vectors, else their sum
    cbow_true_gradient: bool = False  # W9: the references give each context vector n times its gradient for the mean,
    #                                   and 1/n of it for the sum
    merge_repeats: bool = True  # a noise word drawn twice for one example is scored once and counts twice (gradient),
    #                             else it is scored again after its own update
    draws: Literal["own", "gensim"] = "own"  # "gensim": replay gensim 4.4 with workers=1, random numbers included

    def __post_init__(self):
        for name, least in (("d_model", 1), ("window", 1), ("negative", 0), ("min_count", 1), ("epochs", 1)):
            value = getattr(self, name)
            if value != int(value) or value < least:
                raise ValueError(f"{name} is {value}; expected a whole number of at least {least}")
        if self.negative == 0 and not self.hierarchical_softmax:
            raise ValueError("negative is 0; expected at least 1 noise word, or hierarchical_softmax=True")
        for name in ("first_lr", "init_range"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name.removeprefix('first_')} is {getattr(self, name)}; expected a positive number")
        for name in ("sample", "min_lr", "threads"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if self.min_lr > self.first_lr:
            raise ValueError(f"min_lr {self.min_lr} is above lr {self.first_lr}; expected a rate that falls")
        for field in fields(self):
            choices = get_args(field.type) if get_origin(field.type) is Literal else ()
            if choices and getattr(self, field.name) not in choices:
                raise ValueError(f"{field.name} is {getattr(self, field.name)!r}; expected one of {', '.join(choices)}")
        if self.draws == "gensim" and self.threads > 1:
            raise ValueError(f"draws='gensim' replays one worker, but threads is {self.threads}; expected threads=1")

    @property
    def first_lr(self):
        """The learning rate at the first word."""
        return self.lr if self.lr is not None else 0.1 if self.cbow else 0.035

    @classmethod
    def like_gensim(cls, **changes):
        """gensim 4.4 with ``workers=1``: the same vectors to the last float32 digits from the same sentences."""
        quirks = dict(sigmoid="table", saturation="skip", smooth_lr=False, merge_repeats=False, draws="gensim")
        return cls(**{**quirks, "lr": 0.025, "threads": 1, **changes})

    @classmethod
    def like_c(cls, **changes):
        """The C program's choices, as far as they are not its random numbers."""
        hs, lr = changes.get("hierarchical_softmax", False), 0.05 if changes.get("cbow", False) else 0.025
        quirks = dict(sigmoid="table", saturation="skip" if hs else "gradient", smooth_lr=False, merge_repeats=False)
        return cls(**{**quirks, "init_range": 0.5, "lr": lr, "min_lr": 1e-4 * lr, **changes})

    def rules(self):
        """The options that the kernel takes."""
        return Rules(
            cbow=self.cbow,
            mean=self.cbow_mean,
            true_gradient=self.cbow_true_gradient,
            table=self.sigmoid == "table",
            skip=self.saturation == "skip",
            merge=self.merge_repeats,
            blas=self.d_model if self.draws == "gensim" else 0,
        )


@dataclass(frozen=True)
class Progress:
    """What a progress callback is told."""

    words: int  # of all epochs, so far; dropped ones count
    total: int
    words_per_second: float
    lr: float
    loss: float  # mean over an example, since the last report
    seconds: float


# ---------------------------------------------------------------------------------------------- the readable form


def examples_of(ids, starts, radius, cbow):
    """All training examples of some sentences, in the order in which they are trained on.

    Parameters
    ----------
    ids, starts, radius : arrays as for `kernels.word2vec_train`
    cbow : bool

    Returns
    -------
    centre : (B,) int array
        Where in `ids` the word stands that is to be predicted.
    context : (B, C) int array
        Words that predict it; shorter lists are filled up with -1. Skip-gram: C = 1, CBOW: up to twice the window.
    """
    centre, context = [], []
    for begin, end in zip(starts[:-1], starts[1:]):
        for i in range(begin, end):
            near = range(max(begin, i - radius[i]), min(end, i + radius[i] + 1))
            words = [int(ids[j]) for j in near if j != i]
            for group in [words] if cbow else [[word] for word in words]:
                centre.append(i)
                context.append(group)
    width = max(map(len, context), default=1)
    padded = [group + [-1] * (width - len(group)) for group in context]
    return np.array(centre, np.int64), np.array(padded, np.int64).reshape(len(centre), width)


def hidden(inputs, context, mean=True):
    """The vector h of each example: the mean (or sum) of its context words' vectors, (V, D), (B, C) -> (B, D)."""
    used = context >= 0
    h = (inputs[np.where(used, context, 0)] * used[..., None].astype(inputs.dtype)).sum(axis=1)
    return h / np.maximum(used.sum(axis=1, keepdims=True), 1).astype(inputs.dtype) if mean else h


def negative_sampling_loss(h, outputs, centre, noise):
    """-log sigmoid(u_o . h) - sum_k log sigmoid(-u_k . h), summed over the examples (2013b, equation 4).

    Parameters
    ----------
    h : (B, D) Tensor
    outputs : (V, D) Tensor
    centre : (B,) int array
        The words o to be predicted.
    noise : (B, K) int array
        Drawn words k; a draw of the centre word itself counts for nothing (W4).
    """
    counts = (noise != centre[:, None]).astype(h.dtype)
    wanted = (outputs[centre] * h).sum(axis=-1)  # (B,)
    unwanted = (outputs[noise] * h.reshape(len(centre), 1, -1)).sum(axis=-1)  # (B, K)
    return -logsigmoid(wanted).sum() - (logsigmoid(-unwanted) * counts).sum()


def hierarchical_softmax_loss(h, outputs, centre, tree):
    """-sum_j log sigmoid((1 - 2 b_j) u_j . h) over the nodes j on the path to each centre word (2013b, equation 3).

    Parameters
    ----------
    h : (B, D) Tensor
    outputs : (V - 1, D) Tensor
        One vector for each inner node.
    centre : (B,) int array
    tree : Tree
        From `kernels.huffman_tree`.
    """
    path = [np.arange(tree.starts[word], tree.starts[word + 1]) for word in centre]
    example = np.repeat(np.arange(len(centre)), [len(nodes) for nodes in path])
    path = np.concatenate(path)
    sign = (2 * tree.labels[path] - 1).astype(h.dtype)
    return -logsigmoid((outputs[tree.nodes[path]] * h[example]).sum(axis=-1) * sign).sum()


def train_readable(ids, starts, radius, inputs, outputs, objective, rules, rate, state, batch_size=1):
    """`kernels.word2vec_train` on the autograd engine: the same arguments, examples, draws and steps.

    With a larger `batch_size` the gradients of so many examples are summed for one step, which is faster and learns
    less from each.

    Raises
    ------
    ValueError
        If `rules` ask for something that is no gradient.
    """
    if rules.table or rules.skip or not rules.merge or (rules.cbow and not rules.true_gradient):
        raise ValueError(
            "the readable form follows the gradient; expected sigmoid='exact', saturation='gradient', "
            "merge_repeats=True and, for CBOW, cbow_true_gradient=True"
        )
    v, u = Tensor(inputs, requires_grad=True), Tensor(outputs, requires_grad=True)
    position, context = examples_of(ids, starts, radius, rules.cbow)
    total = 0.0
    for a in range(0, len(position), batch_size):
        batch = slice(a, a + batch_size)
        centre = ids[position[batch]]
        h = hidden(v, context[batch], rules.mean or not rules.cbow)
        if isinstance(objective, Tree):
            loss = hierarchical_softmax_loss(h, u, centre, objective)
        else:
            noise, state = kernels.word2vec_noise(objective, len(centre) * objective.negative, state)
            loss = negative_sampling_loss(h, u, centre, noise.reshape(len(centre), -1))
        loss.backward()
        lr = rate[0] + (rate[1] - rate[0]) * position[a] / len(ids)
        with no_grad():
            for table in (v, u):
                table.assign(table.data - table.dtype.type(lr) * table.grad)
                table.zero_grad()
        total += loss.item()
    inputs[:], outputs[:] = v.data, u.data
    return state, total, len(position)


# ---------------------------------------------------------------------------------------------- the fast form


class Word2Vec:
    """Word vectors learnt from text.

    Parameters
    ----------
    config : Word2VecConfig, optional
    **changes
        Single fields of the config: ``Word2Vec(d_model=50, cbow=True)``.

    Attributes
    ----------
    vocabulary : Vocabulary
    vectors : (V, d_model) array
        The input vectors: the ones to use.
    output_vectors : (V, d_model) array
        Those of the words as they are predicted; with hierarchical softmax those of the tree's V - 1 inner nodes.
    """

    def __init__(self, config=None, **changes):
        self.config = replace(config or Word2VecConfig(), **changes)
        self.vocabulary = self._inputs = self._outputs = None

    def fit(self, corpus, progress=False, initial=None, readable=False, checkpoint=None, checkpoint_every=None,
            resume=False):  # fmt: skip
        """Learn vectors for the words of `corpus`, and return self.

        Several threads update the same tables without locks (Hogwild), each on its own part of the text: fast, as
        good, and not repeatable to the last digit. ``threads=1`` or ``deterministic=True`` is.

        Parameters
        ----------
        corpus : Corpus, or iterable of lists of words
        progress : bool or callable
            True shows a progress bar on a terminal; a callable is given a `Progress` about five times a second.
        initial : (V, d_model) array, optional
            Start from these vectors.
        readable : bool
            Train with `train_readable`, in the exact order, instead of the kernel. Slow: for a few thousand words.
        checkpoint, checkpoint_every, resume : path, int, bool
            A file written at the start, after each epoch, and about every so many words (between two jobs of up to
            10,000). With `resume` an existing one is gone on from, `initial` is not used, and the end is, bit for
            bit, that of a run that was never interrupted; a finished one is returned at once. Only with
            ``threads=1`` or ``deterministic=True``. Ctrl-C then saves after the current job, and interrupts.

        Raises
        ------
        ValueError
            If the corpus is empty or its vocabulary is a single word, or if `initial` has a wrong shape or holds NaN.
            If a checkpoint is asked for where several threads could train.
        CheckpointError
            If the checkpoint is damaged, or of another config or corpus.
        FloatingPointError
            If training diverges. The last checkpoint stays as it is.
        """
        if self.config.draws == "gensim":
            corpus = _as_gensim_reads(corpus, self.config.min_count)
        elif not hasattr(corpus, "vocabulary"):
            corpus = from_sentences(corpus, min_count=self.config.min_count)
        if len(corpus.ids) == 0:
            raise ValueError("the corpus is empty; expected text of at least two different words")
        if self.config.draws == "gensim" and (longest := np.diff(corpus.starts).max()) > JOB:
            raise ValueError(f"a sentence has {longest} words; gensim takes at most {JOB}. Cut it")
        if len(corpus.vocabulary) < 2:
            raise ValueError(
                f"the vocabulary has {len(corpus.vocabulary)} word; expected at least two. "
                "Try a longer text or a smaller min_count"
            )
        exact = readable or self.config.deterministic or self.config.threads == 1 or self.config.draws == "gensim"
        if checkpoint is not None and not exact:
            raise ValueError(
                "a checkpoint is for a training that can be repeated, but several threads race for the tables "
                "(Hogwild); try threads=1 or deterministic=True"
            )
        settings = {"model": "Word2Vec", **asdict(self.config), "readable": readable}
        for unimportant in ("threads", "deterministic"):  # the order is the exact one
            del settings[unimportant]
        file = TrainingFile(
            checkpoint, checkpoint_every, resume, epoch=len(corpus.ids), settings=settings,
            data=(corpus.vocabulary.words, corpus.vocabulary.counts, corpus.ids, corpus.starts),
        )  # fmt: skip
        self._set_up(corpus.vocabulary, initial)
        if file.tables is not None:
            self._inputs[:], self._outputs[:] = file.tables["inputs"], file.tables["outputs"]
        self._step = train_readable if readable else kernels.word2vec_train
        with _Report(progress, self.config.epochs * len(corpus.ids)) as report:
            if self.config.draws == "gensim":
                self._in_order(self._replay_gensim(corpus, **(file.place or {})), report, file)
            else:
                self._train(corpus, report, file)
        if not np.isfinite(self.vectors).all():
            lr = self.config.first_lr
            raise FloatingPointError(f"training diverged: the vectors hold NaN. Try a rate below lr={lr}")
        return self

    @property
    def vectors(self):
        if self._inputs is None:
            raise ValueError("the model has learnt nothing yet; expected fit(corpus) first")
        return self._inputs[:, : self.config.d_model]

    @property
    def output_vectors(self):
        rows = len(self.vectors) - self.config.hierarchical_softmax
        return self._outputs[:rows, : self.config.d_model]

    def __getitem__(self, word):
        """The vector of `word`; KeyError if it is not in the vocabulary."""
        vectors = self.vectors
        return vectors[self.vocabulary[word]]

    def most_similar(self, positive, n=10, *, negative=()):
        """The `n` words nearest to the sum of some unit vectors minus others, by cosine, those words excluded.

        ``most_similar("cat")`` lists neighbours; ``most_similar(["king", "woman"], negative="man")`` solves man is to
        king as woman is to ... (W12). Returns a list of (word, cosine).
        """
        positive = [positive] if isinstance(positive, str) else list(positive)
        negative = [negative] if isinstance(negative, str) else list(negative)
        query = np.zeros(self.config.d_model)
        for sign, words in ((1, positive), (-1, negative)):
            for word in words:
                query += sign * self[word] / max(np.linalg.norm(self[word]), 1e-12)
        return most_similar(self.vectors, self.vocabulary, query, n, exclude=positive + negative)

    # ---------------------------------------------------------------------------------------------- training

    def _set_up(self, vocabulary, initial):
        """Tables, noise or tree, and the probability of keeping each word."""
        c = self.config
        self.vocabulary, counts = vocabulary, vocabulary.counts
        size, dtype = len(vocabulary), np.dtype(c.dtype)
        if initial is None:
            rng = np.random.default_rng(c.seed)
            initial = (rng.random((size, c.d_model), np.float32) * 2 - 1) * np.float32(c.init_range) / c.d_model
        initial = np.asarray(initial)
        if initial.shape != (size, c.d_model):
            raise ValueError(f"initial vectors have shape {initial.shape}; expected {(size, c.d_model)}")
        if not np.isfinite(initial).all():
            raise ValueError("initial vectors hold NaN or infinity; expected finite numbers")
        self._inputs, self._outputs = _table(size, c.d_model, dtype), _table(size, c.d_model, dtype)
        self.vectors[:] = initial
        if c.hierarchical_softmax:
            self.objective = kernels.huffman_tree(counts)
        else:
            self.objective = make_noise(counts, c.negative, c.noise_power)
        self._keep = keep_table(counts, c.sample)

    def _train(self, corpus, report, file):
        """Each thread takes its own contiguous part of the text through all epochs."""
        c = self.config
        exact = c.deterministic or self._step is train_readable
        threads = 1 if exact else min(c.threads or _cores(), -(-len(corpus.ids) // LEAST))
        cuts = np.searchsorted(corpus.starts, np.arange(threads + 1) * (len(corpus.ids) / threads))
        parts = [(a, b) for a, b in zip(cuts[:-1], cuts[1:]) if a < b]
        kernels.word2vec_train(  # compile here, not in every thread: one word has no context, so nothing is learnt
            np.zeros(1, np.int32), np.array([0, 1]), np.ones(1, np.int32), self._inputs, self._outputs, self.objective,
            c.rules(), (0.0, 0.0), 0,
        )  # fmt: skip
        if len(parts) == 1:
            self._in_order(self._train_part(corpus, *parts[0], thread=0, **(file.place or {})), report, file)
            return

        report.start()
        failed, stop = [], threading.Event()

        def work(thread, part):
            try:
                for *step, _ in self._train_part(corpus, *part, thread=thread):
                    report.add(*step, quiet=True)
                    if stop.is_set():
                        return
            except BaseException as error:
                failed.append(error)
                stop.set()

        workers = [threading.Thread(target=work, args=item, daemon=True) for item in enumerate(parts)]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                while worker.is_alive():
                    worker.join(0.2)
                    report.show()
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        if failed:
            raise failed[0]

    def _in_order(self, steps, report, file):
        """Train job after job on this thread; `file` may save between two of them."""
        tables = {"inputs": self._inputs, "outputs": self._outputs}
        place = file.place or {"jobs": 0, "words": 0, "random": None}
        report.start(place["words"])
        with file:
            file.save(tables, place)  # a place that cannot be written to is found now, and not after an hour
            for words, lr, loss, examples, random in steps:
                report.add(words, lr, loss, examples)
                place = {"jobs": place["jobs"] + 1, "words": place["words"] + words, "random": random}
                file.after(words, place["words"], tables, place)

    def _train_part(self, corpus, first, last, thread, jobs=0, words=0, random=None):
        """Train on sentences first .. last - 1 for all epochs; yield (words, lr, loss, examples, random) of each job.

        To go on, give the number of jobs done, of their words, and the state of the generator after them.
        """
        c = self.config
        starts = corpus.starts
        total = c.epochs * int(starts[last] - starts[first])
        state = int(np.random.default_rng([c.seed, thread]).integers(2**48)) if random is None else random
        done = words
        for a, b in (_jobs(starts, first, last) * c.epochs)[jobs:]:
            words = int(starts[b] - starts[a])
            ids, job_starts = corpus.ids[starts[a] : starts[b]], starts[a : b + 1] - starts[a]
            ids, job_starts, state = kernels.word2vec_subsample(ids, job_starts, self._keep, state)
            if c.shrink_window:
                radius, state = kernels.word2vec_radius(len(ids), c.window, state)
            else:
                radius = np.full(len(ids), c.window, np.int32)
            rate = self._rate(done / total), self._rate((done + words * c.smooth_lr) / total)
            state, loss, examples = self._step(
                ids, job_starts, radius, self._inputs, self._outputs, self.objective, c.rules(), rate, state
            )
            done += words
            yield words, rate[1], loss, examples, state

    def _rate(self, progress):
        c = self.config
        return max(c.min_lr, c.first_lr - (c.first_lr - c.min_lr) * progress)

    def _replay_gensim(self, corpus, jobs=0, words=0, random=None):
        """gensim's order of random numbers and its learning rates; as `_train_part`.

        A job is as many whole sentences as fit into 10,000 words, rare ones included. Each job draws two numbers of
        24 bits, which seed the generator of 48 bits for subsampling and noise, and then the windows. The rate of a
        job falls with the number of sentences before it.
        """
        c = self.config
        rng = np.random.RandomState(c.seed)
        if random is not None:
            rng.set_state(random)
        starts, sentences = corpus.starts, len(corpus.starts) - 1
        epoch_jobs = _jobs(starts, 0, sentences)
        for n in range(jobs, c.epochs * len(epoch_jobs)):
            epoch, (a, b) = n // len(epoch_jobs), epoch_jobs[n % len(epoch_jobs)]
            lr = self._rate((epoch + a / sentences) / c.epochs)
            state = 0
            if c.sample or not c.hierarchical_softmax:
                state = 2**24 * rng.randint(0, 2**24) + rng.randint(0, 2**24)
            ids, job_starts = corpus.ids[starts[a] : starts[b]], starts[a : b + 1] - starts[a]
            ids, job_starts, state = kernels.word2vec_subsample(ids, job_starts, self._keep, state)
            shrink = rng.randint(0, c.window, len(ids)) if c.shrink_window else np.zeros(len(ids), int)
            radius = (c.window - shrink).astype(np.int32)
            _, loss, examples = self._step(
                ids, job_starts, radius, self._inputs, self._outputs, self.objective, c.rules(), (lr, lr), state
            )
            yield int(starts[b] - starts[a]), lr, loss, examples, rng.get_state(legacy=False)


def keep_table(counts, sample):
    """For each word the largest draw of 32 bits with which it stays: (V,) uint32; empty where all words stay (W2).

    The C program keeps a word of frequency f with probability sqrt(t/f) + t/f, the paper with sqrt(t/f); t = sample.
    """
    if not sample:
        return np.zeros(0, np.uint32)
    counts = np.asarray(counts, np.float64)
    threshold = sample * counts.sum()
    probability = (np.sqrt(counts / threshold) + 1) * (threshold / counts)
    return (np.minimum(probability, 1.0) * (2**32 - 1)).astype(np.uint32)


def find_phrases(corpus, min_count=5, threshold=100.0):
    """Pairs of neighbouring words that occur together far more often than by chance (2013b, equation 6; W13).

    The score of "a b" is (n_ab - min_count) / (n_a n_b), times the number of words as in the program `word2phrase`.
    Subtracting `min_count` keeps pairs of rare words out.

    Parameters
    ----------
    corpus : Corpus, or iterable of lists of words
        A Corpus should keep its rare words (``min_count=1``), else words become neighbours that are none.
    min_count : int
    threshold : float
        Higher finds fewer phrases.

    Returns
    -------
    dict
        (a, b) -> score, for scores above the threshold, highest first.
    """
    if min_count < 0 or not threshold >= 0:
        raise ValueError(f"min_count is {min_count} and threshold {threshold}; expected 0 or more")
    if not hasattr(corpus, "vocabulary"):
        corpus = from_sentences(corpus, min_count=1, max_sentence=None)
    words, counts, size = corpus.vocabulary.words, corpus.vocabulary.counts, len(corpus.vocabulary)
    pairs = corpus.ids[:-1].astype(np.int64) * size + corpus.ids[1:]
    inside = np.ones(len(corpus.ids), bool)
    inside[corpus.starts[1:] - 1] = False  # the last word of a sentence has no right neighbour
    pairs, together = np.unique(pairs[inside[:-1]], return_counts=True)
    a, b = pairs // size, pairs % size
    score = (together - min_count) / (counts[a] * counts[b].astype(np.float64)) * corpus.n_read
    score[(counts[a] < min_count) | (counts[b] < min_count)] = 0
    found = np.flatnonzero(score > threshold)
    found = found[np.argsort(-score[found], kind="stable")]
    return {(words[a[i]], words[b[i]]): float(score[i]) for i in found}


def join_phrases(sentences, phrases, joiner="_"):
    """The sentences with each phrase made one word, from left to right: ["new", "york"] -> ["new_york"].

    Run `find_phrases` and this again on the result for phrases of up to four words.
    """
    for sentence in sentences:
        joined, i = [], 0
        while i < len(sentence):
            pair = tuple(sentence[i : i + 2])
            joined.append(joiner.join(pair) if pair in phrases else sentence[i])
            i += 2 if pair in phrases else 1
        yield joined


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _table(rows, columns, dtype):
    """Zeros whose rows are padded to whole cache lines of 64 bytes and start on one."""
    width = -(-columns * dtype.itemsize // 64) * 64
    memory = np.zeros(rows * width + 64, np.uint8)
    offset = -memory.ctypes.data % 64
    return memory[offset : offset + rows * width].view(dtype).reshape(rows, width // dtype.itemsize)


def _jobs(starts, first, last):
    """Cut sentences first .. last - 1 into runs [a, b) of at most `JOB` words, or of one sentence."""
    jobs, a = [], first
    while a < last:
        b = int(np.searchsorted(starts, starts[a] + JOB, side="right")) - 1
        b = min(max(b, a + 1), last)
        jobs.append((a, b))
        a = b
    return jobs


@dataclass(frozen=True)
class _Sentences:
    """Like a Corpus, but words outside of the vocabulary are kept as -1, and empty sentences are kept."""

    ids: np.ndarray
    starts: np.ndarray
    vocabulary: Vocabulary


def _as_gensim_reads(sentences, min_count):
    """Lists of words with gensim's numbering: by falling count, of equal ones the one seen last comes first."""
    if hasattr(sentences, "vocabulary"):
        return sentences
    sentences = list(sentences)
    counts = {}
    for word in (word for sentence in sentences for word in sentence):
        counts[word] = counts.get(word, 0) + 1
    counts = {word: n for word, n in counts.items() if n >= min_count}
    words, numbers = list(counts), np.array(list(counts.values()), np.int64)
    order = np.lexsort((-np.arange(len(numbers)), -numbers))
    vocabulary = Vocabulary([words[i] for i in order], numbers[order])
    ids = np.array([vocabulary.ids.get(word, -1) for sentence in sentences for word in sentence], np.int32)
    starts = np.concatenate([[0], np.cumsum([len(sentence) for sentence in sentences])]).astype(np.int64)
    return _Sentences(ids, starts, vocabulary)


class _Report:
    """Counts words and loss over all threads, and shows them as a bar or to a callback."""

    def __init__(self, progress, total):
        self.call = progress if callable(progress) else None
        self.bar = None
        self.total = total
        self.wanted = bool(progress)
        self.words, self.lr, self.loss, self.examples = 0, 0.0, 0.0, 0
        self.mean_loss = float("nan")
        self.lock = threading.Lock()

    def __enter__(self):
        if self.wanted and self.call is None:
            from tqdm import tqdm

            self.bar = tqdm(total=self.total, unit=" words", unit_scale=True, disable=None, desc="word2vec")
        return self

    def start(self, words=0):
        """The clock begins now; `words` were trained on before."""
        self.began = self.shown = time.perf_counter()
        self.words = self.before = words
        if self.bar is not None:
            self.bar.reset()
            self.bar.n = self.bar.initial = words

    def add(self, words, lr, loss, examples, quiet=False):
        with self.lock:
            self.words, self.lr = self.words + words, lr
            self.loss, self.examples = self.loss + loss, self.examples + examples
        if not quiet and time.perf_counter() - self.shown > 0.2:
            self.show()

    def show(self):
        if not self.wanted:
            return
        with self.lock:
            words, lr = self.words, self.lr
            if self.examples:
                self.mean_loss, self.loss, self.examples = self.loss / self.examples, 0.0, 0
            loss = self.mean_loss
        self.shown = time.perf_counter()
        seconds = self.shown - self.began
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss:.3f} lr {lr:.4f}", refresh=False)
            self.bar.update(words - self.bar.n)
        else:
            self.call(Progress(words, self.total, (words - self.before) / max(seconds, 1e-9), lr, loss, seconds))

    def __exit__(self, *error):
        if hasattr(self, "began"):
            self.show()
        if self.bar is not None:
            self.bar.close()
