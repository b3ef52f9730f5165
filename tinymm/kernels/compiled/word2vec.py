"""Word2Vec, compiled. Read `kernels/plain/word2vec.py` first: same names, same draws, same order of updates.

What makes it fast, besides being compiled:

* The width of a row is a constant at compile time, so the loops over a row become a few vector instructions. Each
  width compiles once (about 3 s) and is kept on disk. Rows padded with zeros to a multiple of 64 bytes (`padded`)
  never straddle a cache line more than they must.
* The noise words of all examples of one centre word are drawn first and their rows prefetched: most of them are in
  no cache.
* The guide table replaces 17 steps of bisection per draw by about one.
* The gradient for h and the update of u are one pass over the row.
"""

import ctypes
import functools
import math

import numpy as np
from llvmlite import ir
from numba import int64, types
from numba.core import cgutils
from numba.extending import intrinsic

from .. import _arrays
from ..plain import word2vec as plain
from ..plain.word2vec import Noise, Tree
from ._jit import jit

M = np.uint64(plain.MULTIPLIER)
A = np.uint64(plain.INCREMENT)
MASK = np.uint64(2**plain.STATE_BITS - 1)
S16 = np.uint64(16)
GUIDE_SHIFT = np.uint64(31 - plain.GUIDE_BITS)
DOMAIN = np.uint64(plain.DOMAIN)
LARGEST = plain.LARGEST

_NO_TREE = Tree(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int8))
_NO_NOISE = Noise(np.zeros(1, np.uint32), np.zeros(1, np.int32), 0)
_NO_TABLE = np.zeros(0, np.float32)


def huffman_tree(counts):
    parent, bit = _huffman(_arrays.integers(counts, "counts"))
    return plain.paths(parent, bit)


def word2vec_subsample(ids, starts, keep, state):
    ids, starts = _sentences(ids, starts)
    if len(keep):
        _below(ids, len(keep), "ids", "keep")
    kept, kept_starts, state = _subsample(ids, starts, _arrays.integers(keep, "keep", np.uint32), np.uint64(state))
    return kept, kept_starts, int(state)


def word2vec_radius(n, window, state):
    radius, state = _radius(n, np.uint64(window), np.uint64(state))
    return radius, int(state)


def word2vec_noise(noise, n, state):
    words, state = _noise(noise.cumulative, noise.guide, n, np.uint64(state))
    return words, int(state)


def word2vec_train(ids, starts, radius, inputs, outputs, objective, rules, rate, state):
    ids, starts = _sentences(ids, starts)
    radius = _arrays.integers(radius, "radius", np.int32)
    if len(radius) != len(ids):
        raise ValueError(f"{len(radius)} radii for {len(ids)} words; expected one each")
    for table in (inputs, outputs):
        if table.dtype not in _arrays.FLOATS or not (table.flags.c_contiguous and table.flags.writeable):
            raise ValueError("the tables are changed in place; expected writeable, contiguous float32 or float64")
    if inputs.dtype != outputs.dtype or inputs.shape[1] != outputs.shape[1]:
        raise ValueError(
            f"word2vec_train: inputs are {inputs.dtype} {inputs.shape} and outputs {outputs.dtype} {outputs.shape}; "
            "expected the same dtype and width"
        )
    if len(ids) == 0:
        return state, 0.0, 0
    hierarchical = isinstance(objective, Tree)
    noise, tree = (_NO_NOISE, objective) if hierarchical else (objective, _NO_TREE)
    n_words = len(tree.starts) - 1 if hierarchical else len(noise.cumulative)
    _below(ids, min(n_words, len(inputs)), "ids", "objective or the inputs")
    if len(outputs) < n_words - hierarchical:
        raise ValueError(f"outputs have {len(outputs)} rows; expected {n_words - hierarchical}")
    table = plain.SIGMOID_TABLE if rules.table else _NO_TABLE
    longest = int(np.diff(tree.starts).max()) if hierarchical else noise.negative + 1
    state, loss, examples = _train_for(inputs.shape[1], rules.blas)(
        ids, starts, radius, inputs, outputs, noise.cumulative, noise.guide, noise.negative, tree.starts, tree.nodes,
        tree.labels, longest, rules.cbow, rules.mean, rules.true_gradient, table, rules.skip, rules.merge,
        float(rate[0]), float(rate[1]), np.uint64(state),
    )  # fmt: skip
    return int(state), loss, examples


def _sentences(ids, starts):
    """Both as the kernels take them, after a look at what would make them read outside of an array."""
    ids, starts = _arrays.integers(ids, "ids", np.int32), _arrays.integers(starts, "starts")
    if len(starts) == 0 or starts[0] != 0 or starts[-1] != len(ids) or (np.diff(starts) < 0).any():
        raise ValueError(
            f"starts must rise from 0 to the number of words, {len(ids)}, with one entry a sentence and one"
        )
    return ids, starts


def _below(ids, size, name, table):
    largest = int(ids.max(initial=-1))
    if largest >= size:
        raise ValueError(f"{name} hold word {largest}, but the {table} know {size} words")


@intrinsic
def _prefetch(typing_context, array, row, column):
    """Ask for one cache line of ``array[row, column:]``, to be written."""

    def generate(context, builder, signature, arguments):
        table = context.make_array(signature.args[0])(context, builder, arguments[0])
        strides = cgutils.unpack_tuple(builder, table.strides)
        word, byte_pointer, flag = ir.IntType(64), ir.IntType(8).as_pointer(), ir.IntType(32)
        address = builder.ptrtoint(table.data, word)
        for index, stride in zip(arguments[1:], strides):
            address = builder.add(address, builder.mul(index, stride))
        kind = ir.FunctionType(ir.VoidType(), [byte_pointer, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.inttoptr(address, byte_pointer), flag(1), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


def _gensim_blas():
    """The two BLAS functions that gensim calls, called as it calls them.

    gensim first takes `sdot` for a function that returns double, and keeps to that if 10 * 0.01 comes out near 0.1.
    Where BLAS sums in double, as OpenBLAS does, it passes: the register still holds the upper half of the double,
    and the lower half is the float32 result. So gensim's scores are off by 1e-6 of themselves, which its sigmoid
    table turns into 0.003 now and then. A replay to the last digit needs the same.
    """
    from scipy.linalg import blas

    pointer_of, name_of = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_GetName
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]

    def load(function, result, n_arguments):
        capsule = function._cpointer
        kind = ctypes.CFUNCTYPE(result, *[ctypes.c_void_p] * n_arguments)
        return kind(pointer_of(capsule, name_of(capsule)))

    one, ten, hundredth = np.ones(1, np.int32), np.array([10], np.float32), np.array([0.01], np.float32)
    as_double = load(blas.sdot, ctypes.c_double, 5)
    arguments = [x.ctypes.data for x in (one, ten, one, hundredth, one)]
    near = abs(as_double(*arguments) - 0.1) < 1e-4
    return as_double if near else load(blas.sdot, ctypes.c_float, 5), load(blas.saxpy, None, 6)


@functools.cache
def _train_for(width, blas):
    """The training loop for rows of `width` numbers, or (`blas` > 0) in gensim's arithmetic for `blas` numbers."""
    dot, axpy = _gensim_blas() if blas else (None, None)

    @jit(cache=not blas)
    def train(ids, starts, radius, inputs, outputs, cumulative, guide, negative, tree_starts, nodes, bits, longest,
              cbow, mean, true_gradient, table, skip, merge, first, last, state):  # fmt: skip
        real = inputs.dtype.type
        zero, one = real(0), real(1)
        line = 64 // inputs.itemsize
        d_h, hidden = np.empty(width, inputs.dtype), np.empty(width, inputs.dtype)
        drawn = np.empty(negative * (2 * radius.max() + 1), np.int32)
        rows = np.empty(longest, np.int64)
        labels, weights = np.empty(longest, inputs.dtype), np.empty(longest, inputs.dtype)
        size, stride, factor = np.array([blas], np.int32), np.ones(1, np.int32), np.ones(1, inputs.dtype)
        loss, examples = 0.0, 0
        slope = (last - first) / len(ids)
        for s in range(len(starts) - 1):
            begin, end = starts[s], starts[s + 1]
            for i in range(begin, end):
                centre = int64(ids[i])
                lr = real(first + slope * i)
                low, high = max(begin, i - radius[i]), min(end, i + radius[i] + 1)
                n_context = high - low - 1
                n_examples = 1 if cbow else n_context
                watch = i % 8 == 0
                for d in range(negative * n_examples):
                    x = (state >> S16) % DOMAIN
                    state = (state * M + A) & MASK
                    t = int64(guide[int64(x >> GUIDE_SHIFT)])
                    while cumulative[t] < x:
                        t += 1
                    drawn[d] = t
                    for column in range(0, width, line):
                        _prefetch(outputs, t, column)
                n_rows = 0
                if negative == 0:
                    for b in range(tree_starts[centre], tree_starts[centre + 1]):
                        rows[n_rows] = nodes[b]
                        labels[n_rows] = real(bits[b])
                        weights[n_rows] = one
                        n_rows += 1
                if n_context == 0:
                    continue
                if cbow:
                    for k in range(width):
                        hidden[k] = zero
                    for j in range(low, high):
                        if j != i:
                            v = inputs[ids[j]]
                            for k in range(width):
                                hidden[k] += v[k]
                    if mean:
                        share = one / real(n_context)
                        for k in range(width):
                            hidden[k] *= share
                for e in range(n_examples):
                    if negative:
                        rows[0], labels[0], weights[0] = centre, one, one
                        n_rows = 1
                        for d in range(e * negative, (e + 1) * negative):
                            t = int64(drawn[d])
                            if t == centre:
                                continue
                            repeat = 0
                            if merge:
                                for r in range(1, n_rows):
                                    if rows[r] == t:
                                        repeat = r
                            if repeat:
                                weights[repeat] += one
                            else:
                                rows[n_rows], labels[n_rows], weights[n_rows] = t, zero, one
                                n_rows += 1
                    j = low + e
                    if j >= i:
                        j += 1
                    h = hidden if cbow else inputs[ids[j]]
                    for k in range(width):
                        d_h[k] = zero
                    for r in range(n_rows):
                        u = outputs[rows[r]]
                        if blas:
                            score = real(dot(size.ctypes, h.ctypes, stride.ctypes, u.ctypes, stride.ctypes))
                        else:
                            score = zero
                            for k in range(width):
                                score += h[k] * u[k]
                        if abs(score) < LARGEST or (len(table) == 0 and not skip):
                            if len(table):
                                p = real(table[int64((score + 6.0) * 83.0)])
                            else:
                                p = one / (one + math.exp(-score))
                        elif skip:
                            continue
                        else:
                            p = one if score > zero else zero
                        if watch:
                            q = p if labels[r] == one else one - p
                            loss -= weights[r] * math.log(max(q, 1e-30))
                        step = (labels[r] - p) * lr * weights[r]
                        if blas:
                            factor[0] = step
                            axpy(size.ctypes, factor.ctypes, u.ctypes, stride.ctypes, d_h.ctypes, stride.ctypes)
                            axpy(size.ctypes, factor.ctypes, h.ctypes, stride.ctypes, u.ctypes, stride.ctypes)
                        else:
                            for k in range(width):
                                old = u[k]
                                d_h[k] += step * old
                                u[k] = old + step * h[k]
                    if cbow:
                        if mean == true_gradient:
                            share = one / real(n_context)
                            for k in range(width):
                                d_h[k] *= share
                        for j in range(low, high):
                            if j != i:
                                v = inputs[ids[j]]
                                for k in range(width):
                                    v[k] += d_h[k]
                    else:
                        for k in range(width):
                            h[k] += d_h[k]
                if watch:
                    examples += n_examples
        return state, loss, examples

    return train


@jit
def _subsample(ids, starts, keep, state):
    kept, kept_starts = np.empty(len(ids), np.int32), np.empty(len(starts), np.int64)
    kept_starts[0] = n = 0
    for s in range(len(starts) - 1):
        for i in range(starts[s], starts[s + 1]):
            word = ids[i]
            if word < 0:
                continue
            if len(keep):
                draw = state >> S16
                state = (state * M + A) & MASK
                if keep[word] < draw:
                    continue
            kept[n] = word
            n += 1
        kept_starts[s + 1] = n
    return kept[:n], kept_starts, state


@jit
def _radius(n, window, state):
    radius = np.empty(n, np.int32)
    for i in range(n):
        radius[i] = int64(window - (state >> S16) % window)
        state = (state * M + A) & MASK
    return radius, state


@jit
def _noise(cumulative, guide, n, state):
    words = np.empty(n, np.int32)
    for i in range(n):
        x = (state >> S16) % DOMAIN
        state = (state * M + A) & MASK
        t = int64(guide[int64(x >> GUIDE_SHIFT)])
        while cumulative[t] < x:
            t += 1
        words[i] = t
    return words, state


@jit
def _huffman(counts):
    """`heapq` on (count, node), comparing counts only, step for step: ties must fall as they do there."""
    size = len(counts)
    weight = np.empty(2 * size - 1, np.int64)
    weight[:size] = counts
    parent, bit = np.zeros(2 * size - 1, np.int64), np.zeros(2 * size - 1, np.int8)
    heap = np.arange(size)
    for place in range(size // 2 - 1, -1, -1):
        _sift_up(heap, size, place, weight)
    n = size
    for inner in range(size, 2 * size - 1):
        for side in range(2):
            node = heap[0]
            n -= 1
            heap[0] = heap[n]
            if n:
                _sift_up(heap, n, 0, weight)
            parent[node], bit[node] = inner, side
            if side == 0:
                weight[inner] = weight[node]
            else:
                weight[inner] += weight[node]
        heap[n] = inner
        n += 1
        _sift_down(heap, 0, n - 1, weight)
    return parent, bit


@jit
def _sift_down(heap, start, place, weight):
    node = heap[place]
    while place > start:
        above = (place - 1) >> 1
        if not weight[node] < weight[heap[above]]:
            break
        heap[place] = heap[above]
        place = above
    heap[place] = node


@jit
def _sift_up(heap, n, place, weight):
    start, node = place, heap[place]
    child = 2 * place + 1
    while child < n:
        other = child + 1
        if other < n and not weight[heap[child]] < weight[heap[other]]:
            child = other
        heap[place] = heap[child]
        place = child
        child = 2 * place + 1
    heap[place] = node
    _sift_down(heap, start, place, weight)
