"""GloVe in plain NumPy: counting which words meet, and the AdaGrad pass over the counts.

Source: Pennington, Socher, Manning, "GloVe: Global Vectors for Word Representation" (EMNLP 2014), sections 3 and 4.2.
"""

import numpy as np

__all__ = ["cooccurrence", "glove_adagrad", "glove_blocks"]


def cooccurrence(ids, starts, n_words, weights, *, symmetric=True, first=0, last=None):
    """Add up the weights of all pairs of words that stand near each other, for the rows `first` to `last`.

    ``X[i, j]`` gains ``weights[d - 1]`` each time word `j` stands `d` places from word `i` in the same sentence.

    Parameters
    ----------
    ids : (n_tokens,) int32
        The words of all sentences, one after the other. A negative id is a word outside the vocabulary: it takes up
        its place, so that distances count it, but is itself not counted.
    starts : (n_sentences + 1,) int64
        Sentence s is ``ids[starts[s]:starts[s + 1]]``.
    n_words : int
        V; every id is below it.
    weights : (window,) int64
        What a pair at distance 1, 2, ... adds, at most 255 of them. Whole numbers, so that the order in which pairs
        are met cannot change a single bit.
    symmetric : bool
        Count the words on both sides of word `i`; False: only those on its left.
    first, last : int
        The rows to count; `last` is excluded, None means V.

    Returns
    -------
    n_cells : (last - first,) int64
        How many cells of each row are not zero.
    col : (n,) int32
        The column of each such cell, row by row, rising within a row.
    total : (n,) int64
        What the cell holds.
    """
    last = n_words if last is None else last
    ids = np.asarray(ids)
    sentence = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    keys, amounts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for distance, weight in enumerate(weights, start=1):
        left, right = ids[:-distance].astype(np.int64), ids[distance:].astype(np.int64)
        met = (sentence[:-distance] == sentence[distance:]) & (left >= 0) & (right >= 0)
        pairs = [(right, left), (left, right)] if symmetric else [(right, left)]
        for row, col in pairs:
            wanted = met & (row >= first) & (row < last)
            keys.append(row[wanted] * n_words + col[wanted])
            amounts.append(np.full(np.count_nonzero(wanted), weight, dtype=np.int64))
    cells, which = np.unique(np.concatenate(keys), return_inverse=True)
    total = np.zeros(len(cells), dtype=np.int64)
    np.add.at(total, which, np.concatenate(amounts))
    row, col = np.divmod(cells, n_words)
    n_cells = np.bincount(row - first, minlength=last - first).astype(np.int64)
    return n_cells, col.astype(np.int32), total


def glove_blocks(row, col, x, row_part, col_part, n_parts, seed):
    """Shuffle the cells and lay them out in ``n_parts ** 2`` blocks that can be trained side by side.

    The words are dealt into parts, once as rows and once as columns. Block ``r * n_parts + p`` holds the cells whose
    row is in part `p` and whose column is in part ``(p + r) % n_parts``. So the `n_parts` blocks of a round `r` share
    no row and no column: whether they run one after the other or at once, the result is the same to the last bit.

    Parameters
    ----------
    row, col : (n,) int32
    x : (n,) float
    row_part, col_part : (V,) int32
        The part of each word, 0 to `n_parts` - 1.
    n_parts : int
    seed : int
        Decides the order within the blocks.

    Returns
    -------
    row, col, x : arrays like those given, in the new order
    bounds : (n_parts ** 2 + 1,) int64
        Block `b` is ``bounds[b]:bounds[b + 1]``.
    """
    p = row_part[row].astype(np.int64)
    block = (col_part[col] - p) % n_parts * n_parts + p
    order = np.argsort(block, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(block, minlength=n_parts**2))]).astype(np.int64)
    for b in range(n_parts**2):  # Fisher-Yates, with a generator small enough to be written twice
        state = (seed * 0x9E3779B97F4A7C15 + b) % 2**64
        for k in range(bounds[b + 1] - 1, bounds[b], -1):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            other = bounds[b] + ((state >> 32) * int(k - bounds[b] + 1) >> 32)
            order[k], order[other] = order[other], order[k]
    return row[order], col[order], x[order], bounds


def glove_adagrad(
    row, col, x, words, contexts, words_sq, contexts_sq,
    *, x_max, alpha, lr, bias_lr, clip, scale_squares,
):  # fmt: skip
    """One AdaGrad step for each cell, in the order given; the four tables are changed in place.

    The loss of a cell is ``f(X) (w_i . w~_j + b_i + b~_j - log X)^2 / 2`` with ``f(X) = min(1, (X / x_max)^alpha)``
    (equations 8 and 9 of the paper; the half as in the authors' program).

    Parameters
    ----------
    row, col : (n,) int32
    x : (n,) float
        What the cells hold, above zero.
    words, contexts : (V, W) float
        A word's vector, and in the last column its bias: w_i and b_i, w~_j and b~_j. Columns in between may be zero:
        they stay so. With rows of full cache lines (W a multiple of 16) two threads do not hinder each other.
    words_sq, contexts_sq : (V, W) float
        The sums of squares that AdaGrad divides by.
    x_max, alpha : float
        The weighting f.
    lr, bias_lr : float
        Step sizes of vectors and of biases.
    clip : float
        Components of a vector's gradient are limited to +-`clip`; those of biases are not.
    scale_squares : bool
        False: the sums gather g^2, as AdaGrad is defined. True: they gather (step size * g)^2.

    Returns
    -------
    float
        The sum of the losses, each taken before its step.
    """
    real = words.dtype.type
    W = words.shape[1]
    steps = np.full(W, lr, dtype=real)
    steps[-1] = bias_lr
    limits = np.full(W, clip, dtype=real)
    limits[-1] = np.inf
    one = np.ones(1, dtype=real)
    cost = 0.0
    for i, j, x_ij in zip(row, col, x):
        log_x = np.log(x_ij)
        f = min(real(1), np.exp(real(alpha) * (log_x - real(np.log(x_max)))))
        diff = words[i, :-1] @ contexts[j, :-1] + words[i, -1] + contexts[j, -1] - log_x
        cost += 0.5 * float(f * diff * diff)
        # d loss / d (w_i, b_i) = f diff (w~_j, 1), and the same with words and contexts exchanged.
        d_word = np.clip(f * diff * np.concatenate([contexts[j, :-1], one]), -limits, limits)
        d_context = np.clip(f * diff * np.concatenate([words[i, :-1], one]), -limits, limits)
        for table, squares, at, d in ((words, words_sq, i, d_word), (contexts, contexts_sq, j, d_context)):
            table[at] -= steps * d / np.sqrt(squares[at])
            squares[at] += (steps * d) ** 2 if scale_squares else d**2
    return cost
