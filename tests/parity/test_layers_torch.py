"""Every layer equals torch's of the same name: values and all gradients, in both types."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tinymm import Tensor, nn  # noqa: E402

pytestmark = pytest.mark.parity
DTYPES = [(np.float32, 2e-5), (np.float64, 1e-12)]
rng = np.random.default_rng(11)


def x(*shape):
    return rng.normal(size=shape)


# name -> (how both libraries build the layer, inputs)
LAYERS = {
    "linear": (lambda lib, **k: lib.Linear(7, 5, **k), [x(2, 3, 7)]),
    "linear without bias": (lambda lib, **k: lib.Linear(7, 5, bias=False, **k), [x(3, 7)]),
    "linear of a vector": (lambda lib, **k: lib.Linear(7, 5, **k), [x(7)]),
    "linear, wide": (lambda lib, **k: lib.Linear(131, 257, **k), [x(67, 131) / 8]),
    "embedding": (lambda lib, **k: lib.Embedding(11, 5, **k), [rng.integers(0, 11, size=(2, 3, 7))]),
    "embedding with padding": (lambda lib, **k: lib.Embedding(11, 5, padding_idx=-2, **k),
                               [rng.integers(0, 11, size=(13, 7))]),
    "layer norm": (lambda lib, **k: lib.LayerNorm(7, **k), [x(2, 3, 7)]),
    "layer norm of two axes": (lambda lib, **k: lib.LayerNorm((3, 7), eps=1e-12, **k), [x(2, 5, 3, 7)]),
    "layer norm, plain": (lambda lib, **k: lib.LayerNorm((3, 7), elementwise_affine=False, **k), [x(2, 3, 7)]),
    "layer norm without bias": (lambda lib, **k: lib.LayerNorm(7, bias=False, **k), [x(2, 3, 7)]),
    "relu": (lambda lib, **k: lib.ReLU(), [x(3, 7)]),
    "gelu": (lambda lib, **k: lib.GELU(), [x(3, 7) * 3]),
    "gelu, tanh": (lambda lib, **k: lib.GELU(approximate="tanh"), [x(3, 7) * 3]),
    "tanh": (lambda lib, **k: lib.Tanh(), [x(3, 7)]),
    "sigmoid": (lambda lib, **k: lib.Sigmoid(), [x(3, 7)]),
    "identity": (lambda lib, **k: lib.Identity(), [x(3, 7)]),
    "dropout in eval mode": (lambda lib, **k: lib.Dropout(0.5).eval(), [x(3, 7)]),
    "sequential": (lambda lib, **k: lib.Sequential(lib.Linear(7, 11, **k), lib.GELU(), lib.LayerNorm(11, **k),
                                                   lib.Linear(11, 3, **k)), [x(5, 7)]),
}

targets = np.array([0, 4, -100, 2, 2, 1, -100])
LOSSES = {
    "cross entropy": (lambda lib, array: lib.CrossEntropyLoss(), [x(7, 5), targets]),
    "cross entropy, sum": (lambda lib, array: lib.CrossEntropyLoss(reduction="sum", label_smoothing=0.1),
                           [x(7, 5), targets]),
    "cross entropy, none": (lambda lib, array: lib.CrossEntropyLoss(reduction="none", ignore_index=2),
                            [x(7, 5), np.abs(targets) % 5]),
    "cross entropy, weighted": (lambda lib, array: lib.CrossEntropyLoss(array(np.arange(1.0, 6)), label_smoothing=0.2),
                                [x(7, 5), targets]),
    "cross entropy of maps": (lambda lib, array: lib.CrossEntropyLoss(), [x(2, 5, 3), rng.integers(0, 5, size=(2, 3))]),
    "mse": (lambda lib, array: lib.MSELoss(), [x(3, 7), x(3, 7)]),
    "mse, none": (lambda lib, array: lib.MSELoss(reduction="none"), [x(3, 7), x(3, 7)]),
    "bce": (lambda lib, array: lib.BCEWithLogitsLoss(), [x(3, 7) * 5, rng.uniform(size=(3, 7))]),
    "bce, weighted": (lambda lib, array: lib.BCEWithLogitsLoss(weight=array(np.arange(1.0, 8)), reduction="sum",
                                                               pos_weight=array(np.arange(7.0, 0, -1))),
                      [x(3, 7), rng.uniform(size=(3, 7))]),
}


def close(ours, theirs, tolerance):
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * max(1, np.abs(theirs).max(initial=0)))


def compare(ours, theirs, inputs, dtype, tolerance):
    """Values, and the gradients of a random combination of them."""
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in inputs]
    our_inputs = [Tensor(a, requires_grad=a.dtype.kind == "f" and i == 0) for i, a in enumerate(arrays)]
    their_inputs = [torch.tensor(a, requires_grad=a.dtype.kind == "f" and i == 0) for i, a in enumerate(arrays)]
    y, z = ours(*our_inputs), theirs(*their_inputs)
    close(y, z, tolerance)
    cotangent = np.random.default_rng(0).normal(size=y.shape).astype(dtype)
    y.backward(cotangent)
    z.backward(torch.tensor(cotangent))
    if our_inputs[0].requires_grad:
        close(our_inputs[0].grad, their_inputs[0].grad, tolerance)
    gradients = dict(theirs.named_parameters())
    assert [name for name, _ in ours.named_parameters()] == list(gradients)
    for name, p in ours.named_parameters():
        close(p.grad, gradients[name].grad, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, dtype, tolerance):
    build, inputs = LAYERS[name]
    torch.manual_seed(0)
    theirs = build(torch.nn, dtype=torch.float64 if dtype is np.float64 else torch.float32)
    ours = build(nn, dtype=dtype)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    compare(ours, theirs, inputs, dtype, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, dtype, tolerance):
    build, inputs = LOSSES[name]
    ours = build(nn, lambda a: a.astype(dtype))
    theirs = build(torch.nn, lambda a: torch.tensor(a.astype(dtype)))
    compare(ours, theirs, inputs, dtype, tolerance)


def test_torch_opens_a_checkpoint_and_takes_its_weights(tmp_path):
    from safetensors.torch import load_file

    from tinymm.io import checkpoints

    ours = nn.Sequential(nn.Linear(7, 5), nn.LayerNorm(5))
    checkpoints.save(tmp_path / "c", {"model": ours.state_dict(), "step": 3})
    theirs = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.LayerNorm(5))
    theirs.load_state_dict({name.removeprefix("model."): value for name, value in load_file(tmp_path / "c").items()})
    x = rng.normal(size=(3, 7)).astype(np.float32)
    close(ours(x).data, theirs(torch.tensor(x)), 2e-5)


def test_defaults_are_torchs():
    import inspect

    for name in ("Linear", "Embedding", "LayerNorm", "Dropout", "GELU", "CrossEntropyLoss", "MSELoss",
                 "BCEWithLogitsLoss"):
        theirs = inspect.signature(getattr(torch.nn, name)).parameters
        for key, parameter in inspect.signature(getattr(nn, name)).parameters.items():
            if key not in ("dtype", "axis"):
                assert parameter.default == theirs[key].default, (name, key)


@pytest.mark.parametrize("draw", ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_",
                                  "uniform_", "normal_", "orthogonal_", "trunc_normal_"])
def test_initialisers_have_torchs_distribution(draw):
    from scipy.stats import ks_2samp

    ours, theirs = Tensor(np.empty((200, 150)), requires_grad=True), torch.empty(200, 150, dtype=torch.float64)
    getattr(nn.init, draw)(ours)
    torch.manual_seed(1)
    getattr(torch.nn.init, draw)(theirs)
    assert ks_2samp(ours.data.ravel(), theirs.numpy().ravel()).pvalue > 1e-3
