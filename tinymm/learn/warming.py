"""Calls that make every kernel compile as lessons need it: float32, one array that is small and one for all threads."""

import numpy as np

SMALL, LARGE = (4, 8), (512, 256)


def calls():
    """List of (name, function without arguments), one for each kernel or model."""
    found = [(name, _every_size(make)) for name, make in _KERNELS.items()]
    return [*found, ("Word2Vec", _word2vec), ("GloVe", _glove)]


def _every_size(make):
    from tinymm import kernels

    def call():
        for shape in (SMALL, LARGE):
            make(kernels, _filled(*shape))

    return call


def _filled(m, n):
    return np.linspace(-1, 1, m * n, dtype=np.float32).reshape(m, n)


def _softmax(k, x):
    k.softmax_backward(x, k.softmax(x))
    k.log_softmax_backward(x, k.log_softmax(x))


def _logsumexp(k, x):
    y = k.logsumexp(x)
    k.logsumexp_backward(y, x, y)


def _layer_norm(k, x):
    row = np.ones(x.shape[1], np.float32)
    _, mean, rstd = k.layer_norm(x, row, row)
    k.layer_norm_backward(x, x, mean, rstd, row)


def _cross_entropy(k, x):
    targets = np.zeros(len(x), np.int64)
    loss, kept = k.cross_entropy(x, targets)
    k.cross_entropy_backward(loss, x, targets, kept)


def _products(k, x):
    k.matmul(x, x, transpose_a=True)
    for name in ("loops", "ikj", "blocked", "unrolled", "tiled"):
        product = getattr(k, f"matmul_{name}", None)
        if product is not None:
            product(x, x.T.copy())


def _elementwise(k, x):
    k.exp(x)
    for name in ("tanh", "sigmoid", "erf", "relu", "silu", "gelu", "gelu_tanh"):
        y = getattr(k, name)(x)
        getattr(k, f"{name}_backward")(x, y)


def _dropout(k, x):
    k.dropout(x, 0.5, 1)
    k.dropout_mask(x.shape, 0.5, 1)


def _optimizers(k, x):
    p, g, m, v = (np.ones(x.size, np.float32) for _ in range(4))
    k.sgd(p, g, m, 0.1, momentum=0.9)
    k.adagrad(p, g, v, 0.1)
    k.rmsprop(p, g, v, 0.1)
    k.adam(p, g, m, v, 0.1)
    k.adamw(p, g, m, v, 0.1)
    k.sum_of_squares(g)


def _rows(k, x):
    index = np.zeros(len(x), np.int64)
    k.scatter_add_rows(x.copy(), index, k.gather_rows(x, index))


_KERNELS = {"matrix products": _products, "softmax": _softmax, "logsumexp": _logsumexp, "layer norm": _layer_norm,
            "cross entropy": _cross_entropy, "element-wise": _elementwise, "dropout": _dropout,
            "optimizers": _optimizers, "rows of a table": _rows}  # fmt: skip


def _corpus():
    from tinymm.data import text

    return text.from_sentences([["a", "b", "c", "d"]] * 50, min_count=1)


def _word2vec():
    from tinymm.models.word2vec import Word2Vec

    Word2Vec(epochs=1).fit(_corpus())


def _glove():
    from tinymm.models.glove import GloVe

    model = GloVe(epochs=1)
    model.fit(model.count(_corpus()))
