"""Optimizer steps against torch's fused ones, and whole training steps of a small network against torch's."""

import numpy as np

# shapes of the parameters: one array, the network below, and a Transformer block of 12 with many small parts
SIZES = {
    "1 x 64": [(64,)],
    "1 x 65,536": [(65_536,)],
    "1 x 1M": [(1024, 1024)],
    "1 x 8M": [(8192, 1024)],
    "MLP 784-256-256-10": [(256, 784), (256,), (256, 256), (256,), (10, 256), (10,)],
    "12 blocks of width 128": 12 * [*4 * [(128, 128), (128,)], (512, 128), (512,), (128, 512), (128,), *4 * [(128,)]],
}


def run(bench):
    """Target: at least torch's speed."""
    for name, shapes in SIZES.items():
        for kind, peer, settings in (("Adam", "Adam", {}), ("AdamW", "AdamW", {"weight_decay": 0.01}),
                                     ("SGD", "SGD", {"momentum": 0.9})):
            if kind == "Adam" or name.startswith(("MLP", "1 x 1M")):
                optimizer_step(bench, f"{kind} step, {name}", kind, peer, shapes, settings)
    for batch in (64, 256):
        training_step(bench, batch)


def optimizer_step(bench, case, kind, peer, shapes, settings):
    import torch

    from tinymm import nn, optim

    rng = np.random.default_rng(0)
    values = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    gradients = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    ours, theirs = [nn.Parameter(v) for v in values], [torch.nn.Parameter(torch.tensor(v)) for v in values]
    mine = getattr(optim, kind)(ours, lr=1e-3, **settings)
    other = getattr(torch.optim, peer)(theirs, lr=1e-3, fused=True, **settings)
    for p, q, g in zip(ours, theirs, gradients):
        p.grad, q.grad = g.copy(), torch.tensor(g)

    def step():
        mine.step()
        return ours[0].data

    def torchs():
        other.step()
        return theirs[0]

    bench.compare(case, {"tinymm": step, "torch fused": torchs}, tolerance=1e-5)


def training_step(bench, batch):
    """Forward, backward and Adam of an MLP 784-256-256-10 with ReLU and cross entropy."""
    import torch

    from tinymm import nn, ops, optim

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(batch, 784)).astype(np.float32), rng.integers(0, 10, size=batch)
    torch.manual_seed(0)
    net = torch.nn
    theirs = net.Sequential(net.Linear(784, 256), net.ReLU(), net.Linear(256, 256), net.ReLU(), net.Linear(256, 10))
    ours = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    start = {key: value.numpy().copy() for key, value in theirs.state_dict().items()}
    ours.load_state_dict(start)
    mine, other = optim.Adam(ours.parameters()), torch.optim.Adam(theirs.parameters(), fused=True)
    t, u = torch.tensor(x), torch.tensor(y)

    def step():
        loss = ops.cross_entropy(ours(x), y)
        mine.zero_grad()
        loss.backward()
        mine.step()
        return loss.data

    def torchs():
        loss = torch.nn.functional.cross_entropy(theirs(t), u)
        other.zero_grad()
        loss.backward()
        other.step()
        return loss

    bench.compare(f"training step of an MLP, batch {batch}", {"tinymm": step, "torch": torchs}, tolerance=1e-4)
