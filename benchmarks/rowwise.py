"""Softmax, layer norm, cross entropy, gelu, dropout, embedding and Adam against torch.

Each op is measured through `Tensor`, forward alone (nothing recorded) and forward with backward, at a large and at a
small size; and so are the kernels beneath it, which shows what the engine costs.
"""

import numpy as np

from tinymm import kernels

SIZES = [(4096, 256), (64, 32)]
P_DROP = 0.1


def run(bench):
    for size in SIZES:
        for op in (_softmax, _layer_norm, _cross_entropy, _gelu, _dropout, _embedding):
            op(bench, *size)
        _adam(bench, *size)
    bench.note("dropout draws from another generator than torch's: shares of zeros are compared instead of outputs")


def _softmax(bench, m, n):
    import torch

    import tinymm

    x, g = _normal(m, n), _normal(m, n)
    _through_tensor(bench, "softmax", [x], g, tinymm.softmax, lambda x: torch.softmax(x, -1))
    _kernel(bench, "softmax", [x], g, lambda: kernels.softmax_backward(g, kernels.softmax(x)),
            lambda x: torch.softmax(x, -1))  # fmt: skip


def _layer_norm(bench, m, n):
    import torch

    import tinymm

    x, g, weight, bias = _normal(m, n), _normal(m, n), _normal(n), _normal(n)

    def peer(x, weight, bias):
        return torch.nn.functional.layer_norm(x, (n,), weight, bias)

    def kernel():
        _, mean, rstd = kernels.layer_norm(x, weight, bias)
        return kernels.layer_norm_backward(g, x, mean, rstd, weight)

    _through_tensor(bench, "layer norm", [x, weight, bias], g, tinymm.layer_norm, peer)
    _kernel(bench, "layer norm", [x, weight, bias], g, kernel, peer)


def _cross_entropy(bench, m, n):
    import torch

    import tinymm

    x, targets = _normal(m, n), np.random.default_rng(0).integers(0, n, m)
    t = torch.from_numpy(targets)
    one = np.ones((), np.float32)

    def peer(x):
        return torch.nn.functional.cross_entropy(x, t)

    def kernel():
        loss, kept = kernels.cross_entropy(x, targets)
        return kernels.cross_entropy_backward(np.full(m, loss.dtype.type(1 / m)), x, targets, kept)

    _through_tensor(bench, "cross entropy", [x], one, lambda x: tinymm.cross_entropy(x, targets), peer)
    _kernel(bench, "cross entropy", [x], one, kernel, peer)


def _gelu(bench, m, n):
    import torch

    import tinymm

    x, g = _normal(m, n), _normal(m, n)
    _through_tensor(bench, "gelu", [x], g, tinymm.gelu, torch.nn.functional.gelu)

    def kernel():
        kernels.gelu(x)
        return kernels.gelu_backward(g, x)

    _kernel(bench, "gelu", [x], g, kernel, torch.nn.functional.gelu)


def _dropout(bench, m, n):
    import torch

    import tinymm

    x, g = _normal(m, n), _normal(m, n)

    def ours(x):
        return tinymm.dropout(x, p=P_DROP)

    def peer(x):
        return torch.nn.functional.dropout(x, P_DROP)

    for y in (ours(tinymm.Tensor(x)).numpy(), peer(torch.from_numpy(x)).numpy()):
        assert abs((y == 0).mean() - P_DROP) < 0.05, "dropout drops another share than was asked for"
    _through_tensor(bench, "dropout", [x], g, ours, peer, tolerance=None)

    def kernel():
        kernels.dropout(x, P_DROP, 3)
        return kernels.dropout(g, P_DROP, 3)

    _kernel(bench, "dropout", [x], g, kernel, peer, tolerance=None)


def _embedding(bench, m, n, V=2000):
    import torch

    import tinymm

    table, index, g = _normal(V, n), np.random.default_rng(0).integers(0, V, m), _normal(m, n)
    t = torch.from_numpy(index)

    def peer(table):
        return torch.nn.functional.embedding(t, table)

    def kernel():
        kernels.gather_rows(table, index)
        return kernels.scatter_add_rows(np.zeros_like(table), index, g)

    _through_tensor(bench, "embedding", [table], g, lambda table: tinymm.embedding(index, table), peer)
    _kernel(bench, "embedding", [table], g, kernel, peer)


def _adam(bench, m, n):
    import torch

    import tinymm

    p, g = _normal(m, n), _normal(m, n)
    ours, theirs = tinymm.Tensor(p, requires_grad=True), torch.nn.Parameter(torch.from_numpy(p.copy()))
    ours.grad, theirs.grad = g.copy(), torch.from_numpy(g.copy())
    optimizer, peer = tinymm.optim.Adam([ours], lr=1e-3), torch.optim.Adam([theirs], lr=1e-3, fused=True)

    def our_step():
        optimizer.step()
        return ours.data

    def peer_step():
        peer.step()
        return theirs.detach()

    bench.compare(f"adam, {m}x{n}", {"tinymm": our_step, "torch": peer_step}, target=1.0, tolerance=1e-5)
    flat, state = p.ravel().copy(), np.zeros((2, p.size), np.float32)
    bench.compare(
        f"adam, {m}x{n}, kernel",
        {"tinymm kernel": lambda: kernels.adam(flat, g.ravel(), *state, 1e-3), "torch": peer_step},
        target=1.0,
        tolerance=None,
    )


def _through_tensor(bench, name, arrays, g, ours, peer, tolerance=1e-5):
    """Forward alone and forward with backward; the gradients of all `arrays` are compared."""
    import torch

    import tinymm

    m, n = (g if g.ndim else arrays[0]).shape
    mine = [tinymm.Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.from_numpy(a.copy()).requires_grad_(True) for a in arrays]
    their_g = torch.from_numpy(g.copy())

    def our_forward():
        with tinymm.no_grad():
            return ours(*mine)

    def their_forward():
        with torch.no_grad():
            return peer(*theirs)

    def our_gradients():
        for tensor in mine:
            tensor.grad = None
        ours(*mine).backward(g)
        return [tensor.grad for tensor in mine]

    def their_gradients():
        for tensor in theirs:
            tensor.grad = None
        peer(*theirs).backward(their_g)
        return [tensor.grad for tensor in theirs]

    bench.compare(f"{name}, {m}x{n}, forward", {"tinymm": our_forward, "torch": their_forward},
                  target=0.8, tolerance=tolerance)  # fmt: skip
    bench.compare(f"{name}, {m}x{n}, forward + backward", {"tinymm": our_gradients, "torch": their_gradients},
                  target=1.0, tolerance=tolerance)  # fmt: skip


def _kernel(bench, name, arrays, g, ours, peer, tolerance=1e-5):
    """The kernels alone, forward with backward."""
    import torch

    m, n = (g if g.ndim else arrays[0]).shape
    theirs = [torch.from_numpy(a.copy()).requires_grad_(True) for a in arrays]
    their_g = torch.from_numpy(g.copy())
    bench.compare(
        f"{name}, {m}x{n}, kernels",
        {"tinymm kernels": ours, "torch": lambda: torch.autograd.grad(peer(*theirs), theirs, their_g)},
        target=1.0,
        tolerance=tolerance,
    )


def _normal(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)
