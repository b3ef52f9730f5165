"""What an op costs over NumPy on tiny arrays, and ops of every kind on large ones, forward and backward, beside torch.

The row-wise ops have a benchmark of their own: `rowwise`.
"""

import statistics

import numpy as np


def run(bench):
    """Targets: at most 1.5 us an op over NumPy; torch's time for what has a kernel, half its speed for the rest."""
    import torch
    import torch.nn.functional as F

    import tinymm as mm

    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(3, 5)), rng.normal(size=(5, 3)), rng.uniform(1, 2, size=5)
    X, W, B = (mm.Tensor(a, requires_grad=True) for a in (x, w, b))
    tiny = {
        "add": (lambda: X + B, lambda: x + b),
        "multiply": (lambda: X * B, lambda: x * b),
        "divide": (lambda: X / B, lambda: x / b),
        "times a number": (lambda: X * 2.0, lambda: x * 2.0),
        "square": (lambda: X**2, lambda: x**2),
        "exp": (lambda: mm.exp(X), lambda: np.exp(x)),
        "tanh": (lambda: mm.tanh(X), lambda: np.tanh(x)),
        "relu": (lambda: mm.relu(X), lambda: np.maximum(x, 0)),
        "matmul": (lambda: X @ W, lambda: x @ w),
        "sum": (lambda: X.sum(axis=0), lambda: x.sum(axis=0)),
        "mean": (lambda: X.mean(), lambda: x.mean()),
        "reshape": (lambda: X.reshape(5, 3), lambda: x.reshape(5, 3)),
        "transpose": (lambda: X.T, lambda: x.T),
        "slice": (lambda: X[1:], lambda: x[1:]),
    }
    costs = []
    for name, (ours, numpys) in tiny.items():
        times = bench.compare(f"{name} 3x5, forward while recording", {"tinymm": ours, "numpy": numpys}, target=0)
        if times:
            costs.append((times["tinymm"] - times["numpy"]) * 1e6)
    if costs:
        bench.note(f"over NumPy, us an op: median {statistics.median(costs):.2f}, highest {max(costs):.2f}; target 1.5")

    shape = (2048, 256)
    a = rng.normal(size=shape).astype(np.float32)
    index, columns = rng.integers(0, 2048, size=2048), rng.integers(0, 256, size=shape)
    t_index, t_columns, mask, t_mask = torch.as_tensor(index), torch.as_tensor(columns), a > 0, torch.as_tensor(a > 0)
    p = rng.random(shape).astype(np.float32)
    P, t_p = mm.Tensor(p), torch.as_tensor(p)
    large = {
        "add": (1, lambda t: t + t, lambda t: t + t),
        "exp": (1, mm.exp, torch.exp),
        "tanh": (1, mm.tanh, torch.tanh),
        "sigmoid": (1, mm.sigmoid, torch.sigmoid),
        "silu": (1, mm.silu, F.silu),
        "leaky_relu": (0.5, mm.leaky_relu, F.leaky_relu),
        "cube": (0.5, lambda t: t**3, lambda t: t**3),
        "clip": (0.5, lambda t: mm.clip(t, min=-1, max=1), lambda t: torch.clip(t, -1, 1)),
        "masked_fill": (0.5, lambda t: mm.masked_fill(t, mask, value=-1.0), lambda t: t.masked_fill(t_mask, -1.0)),
        "sum of columns": (0.5, lambda t: t.sum(axis=0), lambda t: t.sum(0)),
        "var": (0.5, lambda t: t.var(axis=1), lambda t: t.var(1, correction=0)),
        "max": (0.5, lambda t: t.max(axis=1), lambda t: t.amax(1)),
        "concatenate": (0.5, lambda t: mm.concatenate([t, t]), lambda t: torch.cat([t, t])),
        "rows by index": (1, lambda t: t[index], lambda t: t[t_index]),
        "gather": (0.5, lambda t: mm.gather(t, columns, axis=1), lambda t: t.gather(1, t_columns)),
        "sort": (0.5, lambda t: mm.sort(t), lambda t: t.sort().values),
        "topk": (0.5, lambda t: mm.topk(t, k=5)[0], lambda t: t.topk(5).values),
        "einsum": (1, lambda t: mm.einsum("ij,kj->ik", t, t[:256]), lambda t: torch.einsum("ij,kj->ik", t, t[:256])),
        "batch_norm": (0.5, lambda t: mm.batch_norm(t, training=True),
                       lambda t: F.batch_norm(t, None, None, training=True)),
        "bce_with_logits": (0.5, lambda t: mm.bce_with_logits(t, P),
                            lambda t: F.binary_cross_entropy_with_logits(t, t_p)),
        "mse_loss": (0.5, lambda t: mm.mse_loss(t, P), lambda t: F.mse_loss(t, t_p)),
    }
    for name, (target, ours, torchs) in large.items():
        T, t = mm.Tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
        g = np.ones(ours(T).shape, np.float32)
        t_g = torch.as_tensor(g)

        def tinymms(T=T, f=ours, g=g):
            T.grad = None
            f(T).backward(g)
            return T.grad

        def peers(t=t, f=torchs, g=t_g):
            t.grad = None
            f(t).backward(g)
            return t.grad

        bench.compare(f"{name} 2048x256, forward and backward", {"tinymm": tinymms, "torch": peers}, target=target,
                      rounds=5)
