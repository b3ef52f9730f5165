"""GloVe with Numba. The plain twins say what is computed; here is how it is made fast.

Counting. The positions of the words `first` to `last` are gathered first, so that one row after the other can be added
up in an array of V numbers that stays in the cache; a bit for each column says which of them to read back, so that no
row needs sorting. Two threads take different rows and share nothing.

Training waits for memory: a cell touches four rows. Cells laid out in blocks (`glove_blocks`) find them in the cache,
1.7 times as fast; and rows of full cache lines (64 bytes) keep two threads, which write to neighbouring rows, from
taking lines from each other all the time, which is a factor of 3 on two cores.
"""

import numpy as np

from tinymm.kernels import _arrays
from tinymm.kernels.compiled._jit import jit

BITS = np.zeros(64, dtype=np.int64)  # BITS[(b * DE_BRUIJN) >> 58] is the place of the only bit set in b
DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
for _place in range(64):
    BITS[((1 << _place) * int(DE_BRUIJN) % 2**64) >> 58] = _place


def cooccurrence(ids, starts, n_words, weights, *, symmetric=True, first=0, last=None):
    """See `tinymm.kernels.plain.glove.cooccurrence`."""
    last = n_words if last is None else last
    ids = _arrays.integers(ids, "ids", np.int32)
    starts = _arrays.integers(starts, "starts")
    weights = _arrays.integers(weights, "weights")
    if len(weights) > 255:
        raise ValueError(f"weights has {len(weights)} entries; a window reaches at most 255 words")
    counts = _count(ids, first, last)
    ends = np.cumsum(counts)
    positions = np.empty(int(counts.sum()), dtype=np.int64)
    _gather(ids, starts, first, last, len(weights), ends - counts, positions)
    most = np.minimum(counts * len(weights) * (2 if symmetric else 1), n_words)
    col = np.empty(int(most.sum()), dtype=np.int32)
    total = np.empty(len(col), dtype=np.int64)
    n_cells = np.zeros(last - first, dtype=np.int64)
    n = _add_up(ids, n_words, weights, symmetric, ends, positions, n_cells, col, total)
    return n_cells, col[:n], total[:n]


def glove_blocks(row, col, x, row_part, col_part, n_parts, seed):
    """See `tinymm.kernels.plain.glove.glove_blocks`."""
    row, col = _arrays.integers(row, "row", np.int32), _arrays.integers(col, "col", np.int32)
    x = _arrays.floats(x, "x")
    row_part = _arrays.integers(row_part, "row_part", np.int32)
    col_part = _arrays.integers(col_part, "col_part", np.int32)
    out = np.empty_like(row), np.empty_like(col), np.empty_like(x)
    bounds = np.zeros(n_parts**2 + 1, dtype=np.int64)
    seed = seed * 0x9E3779B97F4A7C15 % 2**64
    _deal(row, col, x, row_part, col_part, n_parts, np.uint64(seed), *out, bounds)
    return *out, bounds


def glove_adagrad(
    row, col, x, words, contexts, words_sq, contexts_sq,
    *, x_max, alpha, lr, bias_lr, clip, scale_squares,
):  # fmt: skip
    """See `tinymm.kernels.plain.glove.glove_adagrad`."""
    for name, table in (("words", words), ("contexts", contexts), ("words_sq", words_sq), ("contexts_sq", contexts_sq)):
        if _arrays.floats(table, name) is not table or table.dtype != words.dtype:
            raise ValueError(f"{name} is changed in place: expected a C-contiguous, writeable array like `words`")
    row, col = _arrays.integers(row, "row", np.int32), _arrays.integers(col, "col", np.int32)
    real = words.dtype.type
    x = _arrays.floats(np.asarray(x, dtype=real), "x")
    lrs = np.array([lr, bias_lr], dtype=real)
    squares = lrs if scale_squares else np.ones(2, dtype=real)
    weighting = np.array([np.log(x_max), alpha, clip], dtype=real)
    return _adagrad(row, col, x, words, contexts, words_sq, contexts_sq, lrs, squares, weighting)


@jit
def _count(ids, first, last):
    counts = np.zeros(last - first, dtype=np.int64)
    for t in range(ids.shape[0]):
        if first <= ids[t] < last:
            counts[ids[t] - first] += 1
    return counts


@jit
def _gather(ids, starts, first, last, window, cursor, positions):
    """Write where each word stands, with how far its sentence reaches to the left and right: 48, 8 and 8 bits."""
    for s in range(starts.shape[0] - 1):
        begin, end = starts[s], starts[s + 1]
        for p in range(begin, end):
            i = ids[p] - first
            if 0 <= i < last - first:
                positions[cursor[i]] = p << 16 | min(window, p - begin) << 8 | min(window, end - 1 - p)
                cursor[i] += 1


@jit
def _add_up(ids, n_words, weights, symmetric, ends, positions, n_cells, col, total):
    amount = np.zeros(n_words, dtype=np.int64)
    seen = np.zeros((n_words + 63) // 64, dtype=np.uint64)
    one, low = np.uint64(1), np.uint64(63)
    n = 0
    begin = 0
    for i in range(ends.shape[0]):
        for at in range(begin, ends[i]):
            p = positions[at] >> 16
            for side in range(2 if symmetric else 1):
                step = 1 if side else -1
                reach = positions[at] & 255 if side else positions[at] >> 8 & 255
                for d in range(reach):
                    j = ids[p + step * (d + 1)]
                    if j >= 0:
                        if amount[j] == 0:
                            seen[j >> 6] |= one << (np.uint64(j) & low)
                        amount[j] += weights[d]
        begin = ends[i]
        before = n
        for word in range(seen.shape[0]):
            bits = seen[word]
            seen[word] = 0
            while bits != 0:
                lowest = bits & (~bits + one)
                j = word * 64 + BITS[np.int64((lowest * DE_BRUIJN) >> np.uint64(58))]
                col[n] = j
                total[n] = amount[j]
                amount[j] = 0
                n += 1
                bits ^= lowest
        n_cells[i] = n - before
    return n


@jit
def _deal(row, col, x, row_part, col_part, n_parts, seed, row_out, col_out, x_out, bounds):
    for t in range(row.shape[0]):
        p = row_part[row[t]]
        bounds[(col_part[col[t]] - p) % n_parts * n_parts + p + 1] += 1
    for b in range(n_parts * n_parts):
        bounds[b + 1] += bounds[b]
    cursor = bounds.copy()
    for t in range(row.shape[0]):
        p = row_part[row[t]]
        b = (col_part[col[t]] - p) % n_parts * n_parts + p
        row_out[cursor[b]], col_out[cursor[b]], x_out[cursor[b]] = row[t], col[t], x[t]
        cursor[b] += 1
    half = np.uint64(32)
    for b in range(n_parts * n_parts):
        state = seed + np.uint64(b)
        begin = bounds[b]
        for k in range(bounds[b + 1] - 1, begin, -1):
            state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            other = begin + np.int64((state >> half) * np.uint64(k - begin + 1) >> half)
            row_out[k], row_out[other] = row_out[other], row_out[k]
            col_out[k], col_out[other] = col_out[other], col_out[k]
            x_out[k], x_out[other] = x_out[other], x_out[k]


@jit
def _adagrad(row, col, x, words, contexts, words_sq, contexts_sq, lrs, squares, weighting):
    last = words.shape[1] - 1
    log_x_max, alpha, clip = weighting[0], weighting[1], weighting[2]
    lr, bias_lr = lrs[0], lrs[1]
    # What turns a step into what the sum of squares gathers: 1 for (lr g)^2, 1 / lr for g^2.
    gather, bias_gather = squares[0] / lrs[0], squares[1] / lrs[1]
    cost = 0.0
    for t in range(row.shape[0]):
        i, j = row[t], col[t]
        w, c = words[i, :last], contexts[j, :last]
        w_sq, c_sq = words_sq[i, :last], contexts_sq[j, :last]
        dot = x.dtype.type(0)
        for k in range(w.shape[0]):
            dot += w[k] * c[k]
        log_x = np.log(x[t])
        f = np.exp(alpha * min(log_x - log_x_max, x.dtype.type(0)))
        diff = dot + words[i, last] + contexts[j, last] - log_x
        pull = f * diff
        cost += 0.5 * np.float64(pull * diff)
        for k in range(w.shape[0]):
            step_w = min(max(pull * c[k], -clip), clip) * lr
            step_c = min(max(pull * w[k], -clip), clip) * lr
            w[k] -= step_w / np.sqrt(w_sq[k])
            c[k] -= step_c / np.sqrt(c_sq[k])
            w_sq[k] += (step_w * gather) ** 2
            c_sq[k] += (step_c * gather) ** 2
        step = pull * bias_lr
        words[i, last] -= step / np.sqrt(words_sq[i, last])
        contexts[j, last] -= step / np.sqrt(contexts_sq[j, last])
        words_sq[i, last] += (step * bias_gather) ** 2
        contexts_sq[j, last] += (step * bias_gather) ** 2
    return cost
