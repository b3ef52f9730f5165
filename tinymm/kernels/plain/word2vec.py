"""Word2Vec in plain Python and NumPy: the inner loop of skip-gram and CBOW, written to be read.

One training *example* has an input vector h (skip-gram: the vector of one context word; CBOW: the mean of all of
them) and a short list of rows u of the output table, each with a label 0 or 1:

* negative sampling: the centre word with label 1, and `negative` words drawn from the noise with label 0;
* hierarchical softmax: the inner nodes on the centre word's path through a Huffman tree, labelled 1 - bit.

Its loss is the sum of -log sigmoid(u.h) over label 1 and of -log sigmoid(-u.h) over label 0, whose gradients are
(sigmoid(u.h) - label) u for h and (sigmoid(u.h) - label) h for u. That is all of Word2Vec; the rest is book-keeping.

Sources: Mikolov et al. 2013, "Efficient Estimation of Word Representations in Vector Space" and "Distributed
Representations of Words and Phrases and their Compositionality"; the C program `word2vec`; gensim 4.4. Where these
three disagree, `Rules` chooses.

Random numbers are those of the C program: a linear congruential generator of 48 bits, whose upper 32 are used. A
`state` goes in and comes out, so every draw can be replayed.
"""

import heapq
import math
from typing import NamedTuple

import numpy as np

__all__ = ["huffman_tree", "word2vec_noise", "word2vec_radius", "word2vec_subsample", "word2vec_train"]

DOMAIN = 2**31 - 1  # the last entry of every cumulative noise table
GUIDE_BITS = 16
MULTIPLIER, INCREMENT, STATE_BITS = 25214903917, 11, 48
LARGEST = 6.0  # beyond +-6 the references' sigmoid tables end
TABLE_SIZE = 1000


class Noise(NamedTuple):
    """Negative sampling: word t is drawn with probability (cumulative[t] - cumulative[t - 1]) / DOMAIN.

    ``guide[x >> 15]`` is where the search for x in `cumulative` starts: the same draw as bisection, in about one step.
    """

    cumulative: np.ndarray  # (V,) uint32, rising, the last entry is DOMAIN
    guide: np.ndarray  # (2**16,) int32
    negative: int  # draws per example


class Tree(NamedTuple):
    """Hierarchical softmax: the path of word w is ``nodes[starts[w]:starts[w + 1]]``, from the root down."""

    starts: np.ndarray  # (V + 1,) int64
    nodes: np.ndarray  # (sum of lengths,) int32: rows of the output table, 0 .. V - 2
    labels: np.ndarray  # (sum of lengths,) int8: 1 - Huffman bit


class Rules(NamedTuple):
    """What the references do differently. The defaults are true gradients."""

    cbow: bool = False
    mean: bool = True  # CBOW: h is the mean of the context vectors, or their sum
    true_gradient: bool = True  # CBOW: False leaves the division by their number out of the wrong pass (W9)
    table: bool = False  # sigmoid from the references' table of 1000 steps (W7), else exact
    skip: bool = False  # no update where |u.h| >= 6, else the saturated gradient (W8)
    merge: bool = True  # score a noise word that is drawn twice once, as the gradient does; the references score it
    #                     again after its first update
    blas: int = 0  # sum the first so many products u.h in BLAS's order, as gensim does: the table jumps by 0.003 where
    #                a last digit decides; 0: in the order that is fastest


def make_noise(counts, negative, power=0.75):
    """The noise distribution count**power / sum(count**power) as a cumulative table of 31-bit integers (W4).

    Parameters
    ----------
    counts : array of int, (V,)
    negative : int
        Draws per example, at least 1.
    power : float
        0.75 in the paper; 1 is the unigram distribution, 0 the uniform one.
    """
    weights = np.asarray(counts, dtype=np.float64) ** power
    cumulative = np.cumsum(weights)
    cumulative = np.rint(cumulative / cumulative[-1] * DOMAIN).astype(np.uint32)
    step = 2 ** (31 - GUIDE_BITS)
    guide = np.searchsorted(cumulative, np.arange(2**GUIDE_BITS, dtype=np.uint32) * np.uint32(step))
    return Noise(cumulative, guide.astype(np.int32), int(negative))


def sigmoid_table():
    """The references' table: entry i is sigmoid((i / 1000 * 2 - 1) * 6), rounded to float32 where they do."""
    x = (np.arange(TABLE_SIZE, dtype=np.float32) / np.float32(TABLE_SIZE)).astype(np.float64)
    e = np.exp((x * 2 - 1) * LARGEST).astype(np.float32).astype(np.float64)
    return (e / (e + 1)).astype(np.float32)


SIGMOID_TABLE = sigmoid_table()


def table_index(x):
    """Where the references look sigmoid(x) up. The scale 1000 / 6 / 2 is integer division: 83, not 83.33 (W7)."""
    return int((float(x) + LARGEST) * (TABLE_SIZE // int(LARGEST) // 2))


def next_state(state):
    """One step of the generator: state -> 25214903917 state + 11 modulo 2**48."""
    return (state * MULTIPLIER + INCREMENT) % 2**STATE_BITS


def huffman_tree(counts):
    """The Huffman tree of the words: join the two rarest nodes until one is left (W10).

    Ties go as in Python's `heapq` when only counts are compared (as gensim does), so that trees can be compared.

    Parameters
    ----------
    counts : array of int, (V,), V >= 2

    Returns
    -------
    Tree
        The most frequent words have the shortest paths; inner node V - 2 is the root.
    """
    counts = [int(count) for count in counts]
    size = len(counts)

    class Node:
        __slots__ = ("count", "index")

        def __init__(self, count, index):
            self.count, self.index = count, index

        def __lt__(self, other):
            return self.count < other.count

    heap = [Node(count, index) for index, count in enumerate(counts)]
    heapq.heapify(heap)
    parent, bit = np.zeros(2 * size - 1, np.int64), np.zeros(2 * size - 1, np.int8)
    for inner in range(size, 2 * size - 1):
        left, right = heapq.heappop(heap), heapq.heappop(heap)
        parent[left.index] = parent[right.index] = inner
        bit[right.index] = 1
        heapq.heappush(heap, Node(left.count + right.count, inner))
    return paths(parent, bit)


def paths(parent, bit):
    """Each word's path from the root, given every node's parent and the bit on the edge to it.

    An inner node has a larger number than its children, so depths follow from the root downwards.
    """
    size, root = (len(parent) + 1) // 2, len(parent) - 1
    depth = np.zeros(len(parent), np.int64)
    for node in range(root - 1, -1, -1):
        depth[node] = depth[parent[node]] + 1
    starts = np.concatenate([[0], np.cumsum(depth[:size])])
    nodes, labels = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int8)
    node, place = np.arange(size), starts[1:] - 1  # all words climb at once, one step a round
    while len(node):
        nodes[place], labels[place] = parent[node] - size, 1 - bit[node]
        node, place = parent[node], place - 1
        below = node != root
        node, place = node[below], place[below]
    return Tree(starts, nodes, labels)


def word2vec_subsample(ids, starts, keep, state):
    """Drop words at random, frequent ones more often, before windows are laid (W2).

    Parameters
    ----------
    ids : array of int32, (n,)
        Words; negative ones are outside of the vocabulary and always dropped, without a draw.
    starts : array of int64, (sentences + 1,)
        Sentence s is ``ids[starts[s]:starts[s + 1]]``.
    keep : array of uint32, (V,)
        Word w stays if a draw of 32 bits is at most ``keep[w]``. An empty array keeps all words and draws nothing.
    state : int

    Returns
    -------
    kept : array of int32
    kept_starts : array of int64, (sentences + 1,)
    state : int
    """
    kept, kept_starts = [], [0]
    for s in range(len(starts) - 1):
        for word in ids[starts[s] : starts[s + 1]]:
            if word < 0:
                continue
            if len(keep):
                draw, state = state >> 16, next_state(state)
                if keep[word] < draw:
                    continue
            kept.append(word)
        kept_starts.append(len(kept))
    return np.array(kept, np.int32), np.array(kept_starts, np.int64), state


def word2vec_radius(n, window, state):
    """`n` window radii, uniform on 1 .. window (W3). Returns (array of int32, state)."""
    radius = np.empty(n, np.int32)
    for i in range(n):
        radius[i], state = window - (state >> 16) % window, next_state(state)
    return radius, state


def word2vec_noise(noise, n, state):
    """`n` draws from `noise`. Returns (array of int32, state)."""
    words = np.empty(n, np.int32)
    for i in range(n):
        words[i], state = np.searchsorted(noise.cumulative, (state >> 16) % DOMAIN), next_state(state)
    return words, state


def word2vec_train(ids, starts, radius, inputs, outputs, objective, rules, rate, state):
    """Train on sentences that are already subsampled; `inputs` and `outputs` change in place.

    For each centre word from left to right and, in skip-gram, for each of its context words from left to right: the
    context word's input vector predicts the centre word (W1: the paper turns this round; the pairs are the same).

    Parameters
    ----------
    ids, starts : arrays as for `word2vec_subsample`, without negative ids
    radius : array of int32, (n,)
        How many words to each side of each centre word are context.
    inputs, outputs : arrays of float32 or float64, (V, D)
        Both of one dtype. `outputs` needs V - 1 rows for a `Tree`. Columns may be padded with zeros.
    objective : Noise or Tree
    rules : Rules
    rate : pair of float
        Learning rate at the first and behind the last word; linear between.
    state : int

    Returns
    -------
    state : int
    loss : float
        Sum over a sample of the examples, those of every eighth centre word.
    examples : int
        How many examples that sample has.
    """
    real = inputs.dtype.type
    first, last = rate
    loss, examples = 0.0, 0
    for s in range(len(starts) - 1):
        begin, end = int(starts[s]), int(starts[s + 1])
        for i in range(begin, end):
            lr = real(first + (last - first) * i / len(ids))
            window = range(max(begin, i - int(radius[i])), min(end, i + int(radius[i]) + 1))
            context = [ids[j] for j in window if j != i]
            for words in [context] if rules.cbow else [[word] for word in context]:
                rows, labels, weights, state = _targets(int(ids[i]), objective, rules, state)
                if not words:
                    continue
                h = inputs[words].sum(axis=0)
                if rules.cbow and rules.mean:
                    h /= len(words)
                d_h = np.zeros_like(h)
                for row, label, weight in zip(rows, labels, weights):
                    score = h @ outputs[row]
                    if abs(score) < LARGEST or not (rules.table or rules.skip):
                        p = real(SIGMOID_TABLE[table_index(score)] if rules.table else _sigmoid(score))
                    elif rules.skip:
                        continue
                    else:
                        p = real(score > 0)
                    if i % 8 == 0:
                        loss -= weight * math.log(max(p if label else 1 - p, 1e-30))
                    step = (real(label) - p) * lr * real(weight)
                    d_h += step * outputs[row]
                    outputs[row] += step * h
                if rules.cbow and rules.mean == rules.true_gradient:
                    d_h /= len(words)
                for word in words:
                    inputs[word] += d_h
                examples += i % 8 == 0
    return state, loss, examples


def _targets(centre, objective, rules, state):
    """The rows of the output table for one example, their labels, and how often each counts."""
    if isinstance(objective, Tree):
        path = slice(objective.starts[centre], objective.starts[centre + 1])
        return objective.nodes[path], objective.labels[path], np.ones(path.stop - path.start), state
    draws, state = word2vec_noise(objective, objective.negative, state)
    draws = [int(word) for word in draws if word != centre]  # a draw of the centre word is skipped, not repeated
    if rules.merge:
        weights = [draws.count(word) for word in dict.fromkeys(draws)]
        draws = list(dict.fromkeys(draws))
    else:
        weights = [1] * len(draws)
    return [centre, *draws], [1] + [0] * len(draws), [1, *weights], state


def _sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
