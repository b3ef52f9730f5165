"""Modules: registration, state, modes, slots, initialisers, and every layer's gradients."""

import copy
import gc
import weakref

import numpy as np
import pytest

import tinymm as mm
from tinymm import nn
from tinymm.autograd.shapes import ShapeError, shapes
from tinymm.nn import init

rng = np.random.default_rng(3)


class Block(nn.Module):
    """A residual block, as a model file would write it."""

    def __init__(self, d_model, d_ff):
        self.norm = nn.LayerNorm(d_model)
        self.up = nn.Linear(d_model, d_ff)
        self.down = nn.Linear(d_ff, d_model)
        self.register_buffer("calls", np.zeros((), np.int64))

    def forward(self, x):
        return x + self.down(mm.ops.gelu(self.up(self.norm(x))))


# ---- registration ---------------------------------------------------------------------------------------------------


def test_parameters_are_plain_tensors_registered_by_assignment():
    block = Block(3, 5)
    names = ["norm.weight", "norm.bias", "up.weight", "up.bias", "down.weight", "down.bias"]
    assert [name for name, _ in block.named_parameters()] == names
    assert all(type(p) is mm.Tensor and p.requires_grad for p in block.parameters())
    assert [name for name, _ in block.named_modules()] == ["", "norm", "up", "down"]
    assert list(block.children()) == [block.norm, block.up, block.down]
    assert [name for name, _ in block.named_buffers()] == ["calls"]


def test_a_name_that_is_assigned_again_is_what_it_now_is():
    module = nn.Module()
    module.a = nn.Parameter([1.0])
    module.a = nn.Linear(2, 2)
    assert [name for name, _ in module.named_parameters()] == ["a.weight", "a.bias"]
    module.a = None
    assert not list(module.parameters()) and not list(module.children())
    module.b = nn.Parameter([1.0])
    del module.b
    assert not list(module.parameters()) and not hasattr(module, "b")


def test_a_tensor_without_gradient_is_no_parameter_but_a_frozen_one_stays_one():
    module = nn.Module()
    module.constant = mm.Tensor([1.0])
    module.weight = nn.Parameter([1.0])
    module.freeze()
    module.weight = mm.Tensor([2.0])  # the frozen parameter is exchanged
    assert [name for name, _ in module.named_parameters()] == ["weight"]


def test_a_computed_tensor_cannot_be_a_parameter():
    module = nn.Module()
    with pytest.raises(TypeError, match=r"Module.a: a computed tensor cannot be a parameter; try nn.Parameter"):
        module.a = nn.Parameter([1.0]) * 2


def test_a_shared_parameter_comes_once_but_is_saved_under_each_name():
    module = nn.ModuleList([nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)])
    module[1].weight = module[0].weight
    assert [name for name, _ in module.named_parameters()] == ["0.weight"]
    assert set(module.state_dict()) == {"0.weight", "1.weight"}


def test_a_module_that_is_used_twice_is_walked_once():
    shared = nn.Linear(2, 2)
    module = nn.Sequential(shared, nn.ReLU(), shared)
    assert len(list(module.modules())) == 3
    assert len(list(module.parameters())) == 2


def test_a_deep_copy_is_independent():
    block = Block(3, 5)
    mm.optim.SGD(block.parameters())  # the parameters are now views of one buffer
    other = copy.deepcopy(block)
    assert [n for n, _ in other.named_parameters()] == [n for n, _ in block.named_parameters()]
    with mm.no_grad():
        other.up.weight[...] = 7
    assert dict(other.named_parameters())["up.weight"] is other.up.weight
    assert not (block.up.weight.data == 7).any() and other.up.weight._array.base is not block.up.weight._array.base


def test_a_buffer_must_be_an_array():
    with pytest.raises(TypeError, match="register_buffer: a is a list; expected an ndarray"):
        nn.Module().register_buffer("a", [1.0])


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


def test_a_model_is_freed_at_once_without_the_garbage_collector():
    gc.disable()
    try:
        block = Block(3, 5)
        block(np.ones((2, 3), np.float32)).sum().backward()
        gone = weakref.ref(block.up)
        del block
        assert gone() is None
    finally:
        gc.enable()


# ---- state ----------------------------------------------------------------------------------------------------------


def test_state_dict_goes_round_and_is_a_copy():
    one, other = Block(3, 5), Block(3, 5)
    one.calls[...] = 7
    state = one.state_dict()
    assert other.load_state_dict(state) == ([], [])
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    state["up.weight"][...] = 99
    assert not (one.up.weight.data == 99).any()
    assert other.calls == 7


def test_load_state_dict_lists_everything_that_is_wrong_and_loads_nothing():
    block = Block(3, 5)
    state = block.state_dict()
    before = block.state_dict()
    state["up.wieght"] = state.pop("up.weight")
    state["down.bias"] = np.zeros(4, np.float32)
    state["norm.bias"] = np.zeros(3, complex)
    state["norm.weight"] = np.full(3, 5.0)
    with pytest.raises(ValueError) as error:
        block.load_state_dict(state)
    message = str(error.value)
    assert "does not fit Block" in message
    assert "missing: up.weight" in message
    assert "unknown: up.wieght" in message
    assert "down.bias (4,), expected (3,)" in message
    assert "norm.bias complex128, expected float32" in message
    assert "\n" not in message
    for name, array in block.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_load_state_dict_that_is_not_strict_says_what_it_left_out():
    block = Block(3, 5)
    state = {"norm.weight": np.full(3, 5.0), "more": np.zeros(2)}
    missing, unknown = block.load_state_dict(state, strict=False)
    assert "up.weight" in missing and "norm.weight" not in missing and unknown == ["more"]
    np.testing.assert_array_equal(block.norm.weight.data, np.full(3, 5, np.float32))
    with pytest.raises(ValueError, match="norm.weight"):
        block.load_state_dict({"norm.weight": np.zeros(2)}, strict=False)


def test_loading_between_forward_and_backward_is_noticed():
    linear = nn.Linear(3, 2)
    loss = linear(mm.Tensor(np.ones((4, 3), np.float32), requires_grad=True)).sum()
    linear.load_state_dict(linear.state_dict())
    with pytest.raises(RuntimeError, match="written to"):
        loss.backward()


def test_astype_makes_everything_float64():
    block = Block(3, 5).astype(np.float64)
    assert {p.dtype for p in block.parameters()} == {np.dtype(np.float64)}
    assert block.calls.dtype == np.int64
    assert block(np.ones((2, 3))).dtype == np.float64
    with pytest.raises(TypeError, match="int32 is not supported"):
        block.astype(np.int32)


def test_both_types_start_from_the_same_draws():
    mm.manual_seed(5)
    single = nn.Linear(7, 5)
    mm.manual_seed(5)
    double = nn.Linear(7, 5, dtype=np.float64)
    np.testing.assert_array_equal(single.weight.data, double.weight.data.astype(np.float32))


# ---- modes ----------------------------------------------------------------------------------------------------------


def test_train_and_eval_reach_all_parts():
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    assert model.eval() is model and not any(m.training for m in model.modules())
    x = np.ones((4, 5), np.float32)
    assert model(x) is x
    assert model.train() is model and all(m.training for m in model.modules())
    assert (model(x).data == 0).any()


def test_frozen_parameters_get_no_gradient_and_cost_no_node():
    block = Block(3, 5)
    assert block.norm.freeze() is block.norm
    block(np.ones((2, 3), np.float32)).sum().backward()
    assert block.norm.weight.grad is None and block.up.weight.grad is not None
    block.freeze()
    assert block.up.weight.grad is None
    assert block(np.ones((2, 3), np.float32)).node is None
    block.unfreeze()
    assert all(p.requires_grad for p in block.parameters())


def test_apply_goes_from_the_parts_to_the_whole():
    seen = []
    block = Block(3, 5)
    assert block.apply(lambda module: seen.append(type(module).__name__)) is block
    assert seen == ["LayerNorm", "Linear", "Linear", "Block"]


def test_zero_grad():
    linear = nn.Linear(3, 2)
    linear(np.ones((4, 3), np.float32)).sum().backward()
    linear.zero_grad()
    assert linear.weight.grad is None and linear.bias.grad is None


def test_summary_is_a_table_with_names_shapes_and_counts():
    block = Block(3, 5)
    block.norm.freeze()
    lines = block.summary().splitlines()
    assert lines[0].split() == ["parameter", "shape", "count"]
    assert lines[2].split() == ["norm.weight", "*", "3", "3"]
    assert lines[4].split() == ["up.weight", "5", "x", "3", "15"]
    assert lines[-2].split() == ["total", "44"]
    assert lines[-1].split()[-1] == "6"


def test_repr_shows_the_tree():
    model = nn.Sequential(nn.Linear(3, 5, bias=False), nn.Sequential(nn.Dropout(0.1)))
    assert repr(model) == ("Sequential(\n  (0): Linear(3, 5, bias=False)\n"
                           "  (1): Sequential(\n    (0): Dropout(p=0.1)\n  )\n)")


def test_containers_behave_as_lists():
    layers = nn.ModuleList([nn.Linear(2, 2)])
    layers.append(nn.ReLU())
    assert len(layers) == 2 and [type(m) for m in layers] == [nn.Linear, nn.ReLU]
    assert layers[-1] is list(layers)[1] and len(layers[:1]) == 1
    model = nn.Sequential({"first": nn.Linear(2, 3), "second": nn.Identity()})
    assert [name for name, _ in model.named_parameters()] == ["first.weight", "first.bias"]
    assert model[0] is model.first and len(model[1:]) == 1 and len(model) == 2


# ---- slots ----------------------------------------------------------------------------------------------------------


class Mine(nn.Module):
    """A learner's layer: inherits from Module only."""

    made = 0

    def __init__(self, normalized_shape):
        Mine.made += 1
        self.gain = nn.Parameter(np.full(normalized_shape, 2.0, np.float32))

    def forward(self, x):
        return x * self.gain


def test_a_learners_layer_takes_the_slot_wherever_a_model_builds_it():
    before = Mine.made
    with nn.using(LayerNorm=Mine):
        block = Block(3, 5)
    assert Mine.made == before + 1  # __init__ ran once
    assert [name for name, _ in block.norm.named_parameters()] == ["gain"]
    assert isinstance(block.norm, Mine) and isinstance(block.norm, nn.LayerNorm) and isinstance(block.norm, nn.Module)
    assert not isinstance(block.up, Mine) and not isinstance(block.norm, nn.Linear)
    np.testing.assert_array_equal(block.norm(np.ones((2, 3), np.float32)).data, np.full((2, 3), 2))
    assert repr(block.norm) == "Mine()"
    assert type(Block(3, 5).norm) is nn.LayerNorm  # put back at the end of the block


def test_a_layer_of_the_same_name_and_one_that_inherits():
    class LayerNorm(nn.LayerNorm):
        made = 0

        def __init__(self, *args):
            type(self).made += 1
            super().__init__(*args)

    with nn.using(LayerNorm=LayerNorm):
        block = Block(3, 5)
        LayerNorm(3)
    assert type(block.norm) is LayerNorm and LayerNorm.made == 2
    assert block.norm.weight.shape == (3,)


def test_a_library_class_that_inherits_keeps_its_own_slot():
    class Special(nn.LayerNorm):
        pass

    with nn.using(LayerNorm=Mine):
        assert type(Special(3)) is Special


def test_slots_are_put_back_after_an_error_and_nest():
    with pytest.raises(KeyError), nn.using(LayerNorm=Mine):
        raise KeyError
    assert type(nn.LayerNorm(3)) is nn.LayerNorm
    with nn.using(LayerNorm=Mine), nn.using(Dropout=nn.Identity):
        with nn.using(LayerNorm=nn.Identity):
            pass
        assert isinstance(nn.LayerNorm(3), Mine)


def test_wrong_slots_are_named():
    with pytest.raises(ValueError, match="there is no layer 'Layernorm'; there are .*LayerNorm"), \
            nn.using(Layernorm=Mine):
        pass
    with pytest.raises(TypeError, match="is no layer; expected a class that inherits from nn.Module"), \
            nn.using(LayerNorm=len):
        pass


def test_every_layer_has_a_slot():
    layers = {name for name in nn.__all__ if isinstance(getattr(nn, name), type) and name != "Module"}
    assert layers <= set(nn.SLOTS)


# ---- layers: gradients ----------------------------------------------------------------------------------------------


def x(*shape):
    return rng.normal(size=shape)


F = {"dtype": np.float64}
GRADIENTS = {
    "linear": (nn.Linear(7, 5, **F), [x(2, 3, 7)]),
    "linear without bias": (nn.Linear(7, 5, bias=False, **F), [x(3, 7)]),
    "linear of one vector": (nn.Linear(7, 5, **F), [x(7)]),
    "linear of nothing": (nn.Linear(7, 5, **F), [x(0, 7)]),
    "embedding": (nn.Embedding(7, 5, **F), [rng.integers(0, 7, size=(2, 3))]),
    "embedding with padding": (nn.Embedding(7, 5, padding_idx=-1, **F), [np.array([[0, 1, 5], [1, 1, 2]])]),
    "layer norm": (nn.LayerNorm(5, **F), [x(2, 3, 5)]),
    "layer norm of two axes": (nn.LayerNorm((3, 5), eps=1e-3, **F), [x(2, 3, 5)]),
    "layer norm of two axes, plain": (nn.LayerNorm((3, 5), elementwise_affine=False), [x(2, 3, 5)]),
    "layer norm without bias": (nn.LayerNorm(5, bias=False, **F), [x(2, 5)]),
    "dropout": (nn.Dropout(0.3), [x(3, 5)]),
    "relu": (nn.ReLU(), [x(3, 5) + 0.01]),
    "gelu": (nn.GELU(), [x(3, 5)]),
    "gelu, tanh": (nn.GELU("tanh"), [x(3, 5)]),
    "tanh": (nn.Tanh(), [x(3, 5)]),
    "sigmoid": (nn.Sigmoid(), [x(3, 5)]),
    "identity": (nn.Identity(), [x(3, 5)]),
    "sequential": (nn.Sequential(nn.Linear(7, 5, **F), nn.Tanh(), nn.Linear(5, 2, **F)), [x(3, 7)]),
    "cross entropy": (nn.CrossEntropyLoss(label_smoothing=0.1), [x(3, 5), np.array([0, 4, -100])]),
    "cross entropy, weighted": (nn.CrossEntropyLoss(np.arange(1.0, 6)), [x(3, 5), np.array([0, 4, 2])]),
    "cross entropy, last axis": (nn.CrossEntropyLoss(axis=-1), [x(2, 3, 5), rng.integers(0, 5, size=(2, 3))]),
    "mse": (nn.MSELoss(), [x(3, 5), x(3, 5)]),
    "bce": (nn.BCEWithLogitsLoss(pos_weight=np.arange(1.0, 6)), [x(3, 5), rng.uniform(size=(3, 5))]),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    module, inputs = GRADIENTS[name]
    assert mm.gradcheck(module, inputs, check=(0,) if name == "bce" else None)


def test_the_padding_row_starts_at_0_and_gets_no_gradient():
    embedding = nn.Embedding(5, 3, padding_idx=1)
    assert not embedding.weight.data[1].any() and embedding.weight.data[0].all()
    embedding(np.array([1, 2, 1])).sum().backward()
    np.testing.assert_array_equal(embedding.weight.grad[:3], [[0] * 3, [0] * 3, [1] * 3])


def test_dropout_keeps_the_mean_and_follows_the_seed():
    dropout, ones = nn.Dropout(0.25), np.ones(40_000, np.float32)
    mm.manual_seed(1)
    first = dropout(ones).data
    mm.manual_seed(1)
    np.testing.assert_array_equal(dropout(ones).data, first)
    assert (dropout(ones).data != first).any()
    assert abs(first.mean() - 1) < 4 * np.sqrt(0.25 / 0.75 / 40_000)  # four standard errors
    assert set(np.unique(first).tolist()) == {0.0, float(np.float32(1) / np.float32(0.75))}


@pytest.mark.parametrize(("build", "message"), [
    (lambda: nn.Linear(-1, 2), r"sizes \(-1, 2\) must not be negative"),
    (lambda: nn.Embedding(5, 2, padding_idx=5), "padding_idx 5 is outside the 5 rows"),
    (lambda: nn.Dropout(1.5), "p is 1.5; expected a probability"),
    (lambda: nn.GELU("erf"), "unknown approximate 'erf'"),
    (lambda: nn.MSELoss("avg"), "reduction is 'avg'; expected"),
    (lambda: nn.LayerNorm(4)(np.ones((2, 3), np.float32)), r"input of shape \(2, 3\); expected it to end in \(4,\)"),
    (lambda: init.orthogonal_(nn.Parameter([1.0])), "expected at least 2"),
    (lambda: init.xavier_uniform_(nn.Parameter([1.0])), "need a weight of at least 2 axes"),
    (lambda: init.kaiming_uniform_(nn.Parameter([[1.0]]), mode="in"), "unknown mode 'in'"),
    (lambda: init.calculate_gain("gelu"), "unknown nonlinearity 'gelu'"),
    (lambda: init.trunc_normal_(nn.Parameter([1.0]), a=2, b=1), "is empty"),
    (lambda: init.trunc_normal_(nn.Parameter([1.0]), a=9, b=10), "too far from mean"),
])
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# ---- initialisers ---------------------------------------------------------------------------------------------------

TALL = (300, 200)


@pytest.mark.parametrize(("draw", "std", "bound"), [
    (lambda t: init.uniform_(t, -2, 2), 2 / np.sqrt(3), 2),
    (lambda t: init.normal_(t, 0, 0.3), 0.3, np.inf),
    (lambda t: init.xavier_uniform_(t, gain=2), 2 * np.sqrt(2 / 500), 2 * np.sqrt(6 / 500)),
    (lambda t: init.xavier_normal_(t), np.sqrt(2 / 500), np.inf),
    (lambda t: init.kaiming_uniform_(t), np.sqrt(2 / 200), np.sqrt(6 / 200)),
    (lambda t: init.kaiming_uniform_(t, a=np.sqrt(5)), np.sqrt(1 / 600), np.sqrt(1 / 200)),
    (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="linear"), np.sqrt(1 / 300), np.inf),
    (lambda t: init.trunc_normal_(t, std=1.0, a=-1, b=1), 0.5396, 1),  # variance 1 - 2 phi(1) / (2 Phi(1) - 1)
])
def test_initialisers_have_their_spread_and_bounds(draw, std, bound):
    t = nn.Parameter(np.empty(TALL))
    assert draw(t) is t
    n = t.size
    assert abs(t.data.std() / std - 1) < 4 / np.sqrt(n)
    assert abs(t.data.mean()) < 4 * std / np.sqrt(n)
    assert np.abs(t.data).max() <= bound
    if np.isfinite(bound):
        assert np.abs(t.data).max() > 0.999 * bound


@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (3, 2, 2)])
def test_orthogonal(shape):
    flat = init.orthogonal_(nn.Parameter(np.empty(shape)), gain=2).data.reshape(shape[0], -1)
    small = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_constants():
    t = nn.Parameter(np.empty((2, 3)))
    assert (init.ones_(t).data == 1).all() and (init.zeros_(t).data == 0).all()
    assert (init.constant_(t, 0.5).data == 0.5).all()


def test_linear_starts_within_its_bound():
    linear = nn.Linear(25, 400)
    for p in linear.parameters():
        assert 0.19 < np.abs(p.data).max() <= 0.2


# ---- shape contracts ------------------------------------------------------------------------------------------------


@shapes("B T D, D E -> B T E")
def project(x, w, scale=1.0):
    return x @ w * scale


def test_a_kept_contract_changes_nothing():
    np.testing.assert_array_equal(project(np.ones((2, 3, 5)), w=np.ones((5, 7)), scale=2.0), np.full((2, 3, 7), 10))


def test_a_broken_contract_names_argument_shape_and_sizes():
    with pytest.raises(ShapeError, match=r"project: w has shape \(4, 7\); expected \(D E\) with D=5"):
        project(np.ones((2, 3, 5)), np.ones((4, 7)))
    with pytest.raises(ShapeError, match=r"project: x has shape \(3, 5\); expected \(B T D\)"):
        project(np.ones((3, 5)), np.ones((5, 7)))


def test_results_and_leading_axes_and_methods_and_none():
    class Layer:
        @shapes("... D, _, D -> ... D, ()")
        def forward(self, x, anything, bias=None):
            return (x if bias is None else x[0]), np.float64(1)

    layer = Layer()
    assert layer.forward(np.ones((2, 3, 5)), "a")[0].shape == (2, 3, 5)
    with pytest.raises(ShapeError, match=r"result 1 has shape \(3, 5\); expected \(... D\) with ...=\(2, 3\), D=5"):
        layer.forward(np.ones((2, 3, 5)), "a", bias=np.ones(5))
    with pytest.raises(ShapeError, match="gave 1 results, not 2"):
        shapes("D -> D, D")(lambda x: x)(np.ones(3))
    with pytest.raises(ShapeError, match=r"expected \(2 D\)"):
        shapes("2 D -> D")(lambda x: x[0])(np.ones((3, 2)))


@pytest.mark.parametrize("contract", ["B T D", "B, -> B", "B ... -> B", "B-1 -> B"])
def test_a_contract_that_cannot_be_read_is_refused(contract):
    with pytest.raises(ValueError, match="cannot read"):
        shapes(contract)


def test_contracts_cost_nothing_outside_of_tests(monkeypatch):
    monkeypatch.setenv("TINYMM_SHAPES", "0")

    def function(x):
        return x

    assert shapes("B -> B")(function) is function
