"""Milestones: a model of the course trained on the learner's own parts, beside the same model on the library's.

`tinymm run N --with FILE` adds the lesson's milestone, where the file holds the part that it is about.
"""

import time

import numpy as np

from tinymm.learn.swap import use

BATCH = 1024  # examples whose gradients are summed for one step: a thousand calls of theirs, not a million
WORDS = 1000


def after(name, used, fast=False):
    """Run the milestone of lesson `name`, if the swap `used` holds the part that it is about."""
    if name in MILESTONES and used is not None:
        part, milestone = MILESTONES[name]
        if part in [count.name for count in used.counts]:
            milestone(fast)


def word2vec(fast=False, corpus=None):
    """Train word vectors on the loss in use, and by the kernel; print both tables of neighbours.

    Parameters
    ----------
    fast : bool
        A third of the text.
    corpus : Corpus, optional
        Default: the documentation on this disk.

    Returns
    -------
    float
        The mean share of a word's five neighbours that both tables name, over the hundred most frequent words.
    """
    from tinymm.data import text
    from tinymm.models import word2vec as model

    if corpus is None:
        corpus = text.documentation(max_size=WORDS).select(slice(0, 40_000 if fast else 120_000))
    settings = {"d_model": 50, "window": 3, "lr": 0.05, "epochs": 2, "threads": 1, "seed": 0}
    readable = model.train_readable

    def in_batches(*args):
        return readable(*args, batch_size=BATCH)

    print(f"\nMilestone: Word2Vec on your loss, {corpus.n_words:,} words twice", flush=True)
    started = time.perf_counter()
    slot = {"train_readable": "tinymm.models.word2vec:train_readable"}
    with use({"train_readable": in_batches}, slots=slot, quiet=True):
        yours = model.Word2Vec(**settings).fit(corpus, progress=True, readable=True)
    seconds = time.perf_counter() - started
    reference = model.Word2Vec(**settings).fit(corpus)
    words = corpus.vocabulary.words

    def near(trained, word):
        return [other for other, _ in trained.most_similar(word, 5)]

    shown = words[40:401:40] or words[:8]
    width = max(len(", ".join(near(yours, word))) for word in shown)
    print(f"  {'word':<14} {'near it, trained on yours':<{width}}  by the library's kernel")
    for word in shown:
        print(f"  {word:<14} {', '.join(near(yours, word)):<{width}}  {', '.join(near(reference, word))}")
    shared = float(np.mean([len(set(near(yours, w)) & set(near(reference, w))) / 5 for w in words[:100]]))
    print(f"  of five neighbours both name {5 * shared:.1f} (by chance {25 / len(words):.2f}); "
          f"yours took {seconds:.0f} s, in steps of {BATCH} examples")  # fmt: skip
    return shared


MILESTONES = {"04_word2vec": ("negative_sampling_loss", word2vec)}
