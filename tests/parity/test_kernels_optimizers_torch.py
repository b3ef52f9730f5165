"""Ten steps of every optimizer kernel equal ten steps of PyTorch's optimizer of that name."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tinymm.kernels.compiled import optimizers  # noqa: E402
from tinymm.kernels.plain import optimizers as plain  # noqa: E402

pytestmark = pytest.mark.parity
N, STEPS, LR = 257, 10, 0.03
CASES = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "eps": 1e-3}),
    ("Adam", {}),
    ("Adam", {"betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"betas": (0.7, 0.9), "weight_decay": 0.3}),
]


def run(kernel, name, options, p, gradients):
    """The loop that an optimizer class runs around its kernel."""
    zeros = [np.zeros_like(p) for _ in range(3)]
    if "initial_accumulator_value" in options:
        zeros[0] += options["initial_accumulator_value"]
    decay = options.get("weight_decay", 0.01 if name == "AdamW" else 0.0)
    beta1, beta2 = options.get("betas", (0.9, 0.999))
    for t, g in enumerate(gradients, 1):
        if name == "SGD":
            kernel.sgd(
                p, g, zeros[0], LR, options.get("momentum", 0.0), options.get("dampening", 0.0),
                options.get("nesterov", False), decay, first=t == 1,
            )  # fmt: skip
        elif name == "Adagrad":
            kernel.adagrad(p, g, zeros[0], LR / (1 + (t - 1) * options.get("lr_decay", 0.0)), 1e-10, decay)
        elif name == "RMSprop":
            kernel.rmsprop(
                p, g, zeros[0], LR, options.get("alpha", 0.99), options.get("eps", 1e-8), decay,
                options.get("momentum", 0.0), zeros[1], zeros[2] if options.get("centered") else None,
            )  # fmt: skip
        else:
            step = kernel.adam if name == "Adam" else kernel.adamw
            eps = options.get("eps", 1e-8)
            step(p, g, zeros[0], zeros[1], LR, beta1, beta2, eps, decay, 1 - beta1**t, 1 - math.pow(beta2, t))
    return p


@pytest.mark.parametrize("kernel", [plain, optimizers], ids=["plain", "compiled"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_ten_steps_equal_torch(name, options, dtype, tolerance, kernel):
    rng = np.random.default_rng(0)
    p, *gradients = rng.normal(size=(STEPS + 1, N)).astype(dtype)
    parameter = torch.nn.Parameter(torch.from_numpy(p.copy()))
    optimizer = getattr(torch.optim, name)([parameter], lr=LR, **options)
    for g in gradients:
        parameter.grad = torch.from_numpy(g.copy())
        optimizer.step()
    ours = run(kernel, name, options, p.copy(), gradients)
    np.testing.assert_allclose(ours, parameter.detach().numpy(), rtol=tolerance, atol=tolerance)
