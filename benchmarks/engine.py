"""The engine's own cost: what recording adds to an op, and a chain of 1,000 small ops forward and backward."""

import numpy as np

LENGTH = 1000


def run(bench):
    """Targets: at most 1.5 us an op over NumPy; at most 0.8 of torch's time and 0.5 of HIPS autograd's."""
    import autograd
    import autograd.numpy as anp
    import torch

    import tinymm as mm

    start = np.linspace(0.1, 0.9, 8).astype(np.float32)
    x = mm.Tensor(start, requires_grad=True)
    t = torch.tensor(start, requires_grad=True)

    def plain():
        y = start
        for _ in range(LENGTH // 2):
            y = np.tanh(y * 1.001)
        return y

    def recording():
        y = x
        for _ in range(LENGTH // 2):
            y = mm.tanh(y * 1.001)
        return y

    def ours():
        x.grad = None
        recording().sum().backward()
        return x.grad

    def torchs():
        t.grad = None
        y = t
        for _ in range(LENGTH // 2):
            y = torch.tanh(y * 1.001)
        y.sum().backward()
        return t.grad

    def chain(y):
        for _ in range(LENGTH // 2):
            y = anp.tanh(y * 1.001)
        return anp.sum(y)

    hips = autograd.grad(chain)
    times = bench.compare("forward while recording", {"tinymm": recording, "numpy": plain}, target=0)
    overhead = (times["tinymm"] - times["numpy"]) / LENGTH * 1e6
    bench.note(f"overhead of recording: {overhead:.2f} us an op (target: at most 1.5)")
    bench.compare("1,000 ops forward and backward", {"tinymm": ours, "torch": torchs}, target=1 / 0.8)
    bench.compare("1,000 ops forward and backward", {"tinymm": ours, "HIPS autograd": lambda: hips(start)}, target=2.0)
