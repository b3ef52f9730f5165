"""gensim 4.4 with one worker, replayed: the same random numbers, jobs and rates, so the same vectors."""

import itertools

import numpy as np
import pytest

gensim = pytest.importorskip("gensim")

from tinymm.models.word2vec import Word2Vec, Word2VecConfig  # noqa: E402

pytestmark = pytest.mark.parity


def zipf_sentences(n_words, size, seed=0):
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, size + 1) ** 0.8
    words = [f"w{i}" for i in rng.choice(size, n_words, p=share / share.sum())]
    ends = np.cumsum(rng.integers(0, 40, n_words))
    ends = [0, *ends[ends < n_words], n_words]
    return [words[a:b] for a, b in itertools.pairwise(ends)]


def both(sentences, *, hs=False, cbow=False, mean=True, epochs=2, sample=1e-3, shrink=True, d_model=16, window=5):
    theirs = gensim.models.Word2Vec(
        sentences, vector_size=d_model, window=window, min_count=2, hs=int(hs), negative=0 if hs else 5,
        sg=int(not cbow), cbow_mean=int(mean), sample=sample, epochs=epochs, seed=7, workers=1, shrink_windows=shrink,
    )  # fmt: skip
    config = Word2VecConfig.like_gensim(
        d_model=d_model, window=window, min_count=2, hierarchical_softmax=hs, cbow=cbow, cbow_mean=mean, sample=sample,
        epochs=epochs, seed=7, shrink_window=shrink,
    )  # fmt: skip
    return theirs, Word2Vec(config).fit(sentences)


def apart(theirs, ours):
    assert ours.vocabulary.words == theirs.wv.index_to_key
    outputs = theirs.syn1[:-1] if ours.config.hierarchical_softmax else theirs.syn1neg
    return max(np.abs(theirs.wv.vectors - ours.vectors).max(), np.abs(outputs - ours.output_vectors).max())


@pytest.mark.parametrize("n_words, size", [(3_000, 800), (25_000, 3_000)], ids=["one job", "several jobs"])
@pytest.mark.parametrize(
    "cbow, mean", [(False, True), (True, True), (True, False)], ids=["sg", "cbow mean", "cbow sum"]
)
@pytest.mark.parametrize("hs", [False, True], ids=["negative", "hierarchical"])
def test_replay(n_words, size, hs, cbow, mean):
    sentences = zipf_sentences(n_words, size)
    theirs, ours = both(sentences, hs=hs, cbow=cbow, mean=mean)
    assert apart(theirs, ours) < 1e-6
    start = (np.random.default_rng(7).random(ours.vectors.shape, np.float32) * 2 - 1) / 16
    assert np.abs(ours.vectors - start).max() > 1e-2  # far more than rounding was learnt


@pytest.mark.parametrize(
    "options",
    [
        dict(hs=True, sample=0, shrink=False),  # no random number but the start
        dict(sample=0),
        dict(sample=1e-2, window=1),
        dict(d_model=100, epochs=1),
        dict(d_model=5, cbow=True, epochs=5, sample=1e-2),
    ],
    ids=str,
)
def test_replay_with_other_options(options):
    assert apart(*both(zipf_sentences(12_000, 500, seed=1), **options)) < 1e-6


def test_replay_tells_apart_what_differs_by_one_job():
    """The tolerance is no blanket: with gensim's rate left out, the same draws end 1,000 times as far away."""
    sentences = zipf_sentences(25_000, 3_000)
    theirs, _ = both(sentences)
    config = Word2VecConfig.like_gensim(d_model=16, min_count=2, epochs=2, seed=7, min_lr=0.02)
    assert apart(theirs, Word2Vec(config).fit(sentences)) > 1e-3


def test_replay_refuses_a_sentence_that_gensim_would_cut():
    with pytest.raises(ValueError, match="a sentence has 10001 words; gensim takes at most 10000"):
        Word2Vec(Word2VecConfig.like_gensim(min_count=1)).fit([["a", "b"] * 5_000 + ["a"]])
