"""Every optimizer takes torch's steps, over 10 of them with groups; schedules equal torch's and transformers'."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tinymm import nn, optim  # noqa: E402
from tinymm.optim import schedule  # noqa: E402

pytestmark = pytest.mark.parity
DTYPES = [(np.float32, 2e-5), (np.float64, 1e-12)]

OPTIMIZERS = {
    "SGD": [{}, {"lr": 0.1, "weight_decay": 0.1}, {"lr": 0.1, "momentum": 0.9},
            {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
            {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}],
    "Adagrad": [{}, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-5}],
    "RMSprop": [{}, {"lr": 0.05, "alpha": 0.9, "weight_decay": 0.1, "momentum": 0.7},
                {"lr": 0.05, "centered": True, "eps": 1e-5}, {"centered": True, "momentum": 0.7}],
    "Adam": [{}, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-5, "weight_decay": 0.1}],
    "AdamW": [{}, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-5, "weight_decay": 0.3}],
}
CASES = [(name, settings) for name in OPTIMIZERS for settings in OPTIMIZERS[name]]


def models(dtype):
    """The same small network in both libraries, one layer large enough for a kernel call of its own."""
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(
        torch.nn.Linear(5, 130), torch.nn.Tanh(), torch.nn.Linear(130, 130), torch.nn.Tanh(), torch.nn.Linear(130, 3))
    theirs = theirs.to(torch.float64 if dtype is np.float64 else torch.float32)
    ours = nn.Sequential(nn.Linear(5, 130), nn.Tanh(), nn.Linear(130, 130), nn.Tanh(), nn.Linear(130, 3)).astype(dtype)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return ours, theirs


def groups(model):
    """Weights and biases apart, with settings of their own."""
    named = list(model.named_parameters())
    return [{"params": [p for name, p in named if "weight" in name]},
            {"params": [p for name, p in named if "bias" in name], "lr": 0.03, "weight_decay": 0.0}]


def same(ours, theirs, tolerance):
    expected = theirs.state_dict()
    for name, value in ours.state_dict().items():
        np.testing.assert_allclose(value, expected[name].numpy(), rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_ten_steps_on_given_gradients(name, settings, dtype, tolerance):
    """The gradients are the same in both, so that only the optimizer is compared; one is missing at times."""
    ours, theirs = models(dtype)
    mine = getattr(optim, name)(groups(ours), **settings)
    peer = getattr(torch.optim, name)(groups(theirs), **settings)
    rng = np.random.default_rng(0)
    for step in range(10):
        for i, (p, q) in enumerate(zip(ours.parameters(), theirs.parameters())):
            p.grad = rng.normal(size=p.shape).astype(dtype)
            q.grad = torch.tensor(p.grad)
            if i == step % 4 and step > 2:
                p.grad = q.grad = None
        mine.step()
        peer.step()
    same(ours, theirs, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW"])
def test_ten_steps_of_training(name, dtype, tolerance):
    ours, theirs = models(dtype)
    settings = {"weight_decay": 0.01, "lr": 0.01}
    mine, peer = getattr(optim, name)(groups(ours), **settings), getattr(torch.optim, name)(groups(theirs), **settings)
    rng = np.random.default_rng(1)
    for _ in range(10):
        x, y = rng.normal(size=(16, 5)).astype(dtype), rng.normal(size=(16, 3)).astype(dtype)
        loss, loss_t = nn.MSELoss()(ours(x), y), torch.nn.MSELoss()(theirs(torch.tensor(x)), torch.tensor(y))
        assert loss.item() == pytest.approx(loss_t.item(), rel=tolerance)
        mine.zero_grad()
        peer.zero_grad()
        loss.backward()
        loss_t.backward()
        norm = optim.clip_grad_norm_(ours.parameters(), 0.5)
        norm_t = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        assert norm == pytest.approx(norm_t.item(), rel=tolerance)
        mine.step()
        peer.step()
    same(ours, theirs, tolerance)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
def test_clipping(norm_type):
    ours, theirs = models(np.float64)
    rng = np.random.default_rng(0)
    for p, q in zip(ours.parameters(), theirs.parameters()):
        p.grad = rng.normal(size=p.shape)
        q.grad = torch.tensor(p.grad)
    norm = optim.clip_grad_norm_(ours.parameters(), 1.5, norm_type)
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.5, norm_type).item(), rel=1e-12)
    for p, q in zip(ours.parameters(), theirs.parameters()):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-12)
    optim.clip_grad_value_(ours.parameters(), 0.001)
    torch.nn.utils.clip_grad_value_(theirs.parameters(), 0.001)
    for p, q in zip(ours.parameters(), theirs.parameters()):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-12)


def test_defaults_are_torchs():
    import inspect

    for name in OPTIMIZERS:
        theirs = inspect.signature(getattr(torch.optim, name)).parameters
        for key, parameter in inspect.signature(getattr(optim, name)).parameters.items():
            if key != "bias_correction":
                assert parameter.default == theirs[key].default, (name, key)


def rates(peer_schedule, steps):
    """The factors that a scheduler of torch's kind gives, one for each update."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = peer_schedule(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_step_schedule_is_torchs():
    ours = schedule.step(7, 0.3)
    theirs = rates(lambda o: torch.optim.lr_scheduler.StepLR(o, 7, 0.3), 40)
    np.testing.assert_allclose([ours(s) for s in range(40)], theirs, rtol=1e-12)


@pytest.mark.parametrize(("warmup", "total"), [(0, 30), (7, 30), (30, 30)])
def test_schedules_are_transformers(warmup, total):
    transformers = pytest.importorskip("transformers.optimization")
    pairs = [
        (schedule.constant(warmup), lambda o: transformers.get_constant_schedule_with_warmup(o, warmup)),
        (schedule.linear(warmup, total), lambda o: transformers.get_linear_schedule_with_warmup(o, warmup, total)),
        (schedule.cosine(warmup, total), lambda o: transformers.get_cosine_schedule_with_warmup(o, warmup, total)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose([ours(s) for s in range(40)], rates(theirs, 40), rtol=1e-12, atol=1e-15)
