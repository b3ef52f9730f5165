"""`tinymm.use`: theirs runs everywhere in the library's place, both are counted, and all is put back."""

import types

import numpy as np
import pytest

import tinymm as mm
from tinymm import kernels, nn, optim
from tinymm.autograd import engine
from tinymm.learn import swap
from tinymm.models import word2vec

from .conftest import RIGHT


def softmax(x, *, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    y = e / e.sum(axis=axis, keepdims=True)
    return y, (lambda g: y * (g - (g * y).sum(axis=axis, keepdims=True)),)


def doubled_matmul(a, b):
    return 2 * (a @ b), (lambda g: 2 * g @ np.swapaxes(b, -1, -2), lambda g: 2 * np.swapaxes(a, -1, -2) @ g)


def tensor_softmax(x, *, axis=-1):
    e = mm.exp(x - mm.Tensor(np.asarray(x)).max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def state():
    """Everything that a swap may change."""
    ops = {name: (op.spec.override, op.spec.function) for name, op in mm.OPS.items()}
    names = {name: vars(kernels)[name] for name in kernels.names()}
    code = [f.__code__ for f in (engine.unbroadcast, word2vec.negative_sampling_loss, word2vec.hidden)]
    places = [engine.unbroadcast, mm.unbroadcast, word2vec.negative_sampling_loss, optim.AdamW, optim.Adam, optim.SGD]
    return ops, names, code, places, nn.LayerNorm.forward, optim.AdamW.step, type(nn.LayerNorm(3)), kernels.use


@pytest.fixture(autouse=True)
def put_back():
    with kernels.using("numpy"):
        before = state()
        yield
        assert state() == before


def test_an_op_runs_wherever_a_model_uses_it_and_is_counted(capsys):
    rng = np.random.default_rng(0)
    x = mm.Tensor(rng.normal(size=(3, 5)), requires_grad=True)
    y = mm.softmax(x)
    y.backward(np.arange(15.0).reshape(3, 5))
    expected = x.grad.copy()
    x.zero_grad()
    with mm.use({"softmax": softmax}) as used:
        for got in (mm.softmax(x), x.softmax()):
            assert got.node.name == "softmax" and np.allclose(got.data, y.data, rtol=1e-14)
        got.backward(np.arange(15.0).reshape(3, 5))
    assert np.allclose(x.grad, expected, rtol=1e-13)
    assert (used.counts[0].yours, used.counts[0].reference) == (2, 0)
    assert "softmax (op): forward: yours x2, reference x0" in capsys.readouterr().out


def test_a_function_of_tensors_serves_as_an_op():
    x = mm.Tensor(np.array([[1.0, 2.0, 4.0]]), requires_grad=True)
    with mm.use({"softmax": tensor_softmax}, quiet=True) as used:
        got = mm.softmax(x)
    assert np.allclose(got.data, mm.softmax(x).data) and got.node.name == "divide"
    assert used.counts[0].yours == 1


def test_a_fused_op_that_contains_it_runs_as_its_composition(capsys):
    """Without it, nn.Linear would go past the learner's matmul."""
    layer = nn.Linear(3, 2)
    x = mm.Tensor(np.ones((5, 3), np.float32))
    before = layer(x).data - layer.bias.data
    with mm.use({"matmul": doubled_matmul}) as used:
        after = layer(x).data - layer.bias.data
    assert np.allclose(after, 2 * before, rtol=1e-5) and abs(before).max() > 0
    assert (used.counts[0].yours, used.counts[0].reference) == (1, 0)
    assert "linear contains it and runs as its composition" in capsys.readouterr().out
    assert np.allclose(layer(x).data - layer.bias.data, before, rtol=1e-6)


def test_what_a_fused_op_contains_through_another_is_found(monkeypatch):
    calls = []
    outer = mm.op(lambda x: (x, (lambda g: g,)), name="wrapped", fuses=("cross_entropy",),
                  composition=lambda x: calls.append("unfused") or x)  # fmt: skip
    try:
        with mm.use({"log_softmax": lambda x, *, axis=-1: mm.log(mm.softmax(x, axis=axis))}, quiet=True):
            outer(mm.Tensor([1.0]))
            mm.cross_entropy(mm.Tensor([[1.0, 2.0]]), np.array([0]))
    finally:
        del mm.OPS["wrapped"]
    assert calls == ["unfused"]


def test_a_fused_op_without_a_composition_is_said(capsys):
    mm.op(lambda x: (x, (lambda g: g,)), name="wrapped", fuses=("softmax",))
    try:
        with mm.use({"softmax": softmax}):
            mm.softmax(mm.Tensor([1.0]))
    finally:
        del mm.OPS["wrapped"]
    assert "not swapped inside wrapped" in capsys.readouterr().out


def test_zero_calls_is_a_failure():
    with pytest.raises(swap.SwapError, match="nothing of the given functions was called"), \
            mm.use({"softmax": softmax}):  # fmt: skip
        mm.exp(mm.Tensor([1.0]))


def test_the_librarys_called_in_place_of_theirs_is_a_failure():
    with pytest.raises(swap.SwapError, match="unbroadcast: yours was never called, the library's own was"), \
            mm.use({"unbroadcast": lambda g, s, name="": g, "softmax": softmax}, quiet=True) as used:  # fmt: skip
        mm.softmax(mm.Tensor([1.0]))
        ORIGINAL(np.ones((2, 3)), (3,))
    assert used.counts[0].reference == 1


ORIGINAL = engine.unbroadcast  # as someone holds it who imported it before


def test_a_learners_function_that_hands_on_to_the_librarys_is_counted():
    with mm.use({"unbroadcast": lambda g, s, name="": ORIGINAL(g, s)}, quiet=True) as used:
        (mm.Tensor(np.ones(3), requires_grad=True) * np.ones((2, 3))).sum().backward()
    assert used.counts[0].yours == used.counts[0].reference > 0


def test_theirs_may_ask_the_library_for_the_same_name():
    """No endless recursion; it is counted as the library's."""
    theirs = {"exp": lambda x: mm.exp(x) * 2.0, "unbroadcast": lambda g, s, name="": engine.unbroadcast(g, s),
              "gelu": lambda x: kernels.gelu(x)}  # fmt: skip
    with mm.use(theirs, quiet=True) as used:
        x = mm.Tensor(np.zeros(3), requires_grad=True)
        y = mm.exp(x)
        (y + np.zeros((2, 3))).sum().backward()
        kernels.gelu(np.zeros(3))
    assert y.tolist() == [2.0] * 3 and x.grad.tolist() == [4.0] * 3
    assert [(c.yours, c.reference) for c in used.counts] == [(1, 1), (1, 1), (1, 1)]


def test_only_demands_that_each_is_called():
    with pytest.raises(swap.SwapError, match="exp: never called"), \
            mm.use({"softmax": softmax, "exp": lambda x: (np.exp(x), (None,))}, only=["softmax", "exp"], quiet=True):
        mm.softmax(mm.Tensor([1.0]))


def test_everything_is_put_back_after_an_exception():
    before = state()
    with pytest.raises(ZeroDivisionError), mm.use({"softmax": softmax, "unbroadcast": lambda g, s, n="": g,
                                                   "LayerNorm": Norm, "gelu": lambda x: x}, quiet=True):  # fmt: skip
        raise ZeroDivisionError
    assert state() == before


def test_everything_is_put_back_when_entering_fails():
    before = state()
    with pytest.raises(swap.SwapError, match="there is no op 'no_such'"), \
            mm.use({"softmax": softmax, "other": softmax}, slots={"other": "op:no_such"}, quiet=True):  # fmt: skip
        pass
    assert state() == before


def test_blocks_nest():
    x = mm.Tensor(np.array([1.0, 3.0]))
    with mm.use({"exp": lambda x: (x + 1, (lambda g: g,))}, quiet=True) as outer:
        with mm.use({"exp": lambda x: (x + 2, (lambda g: g,))}, quiet=True) as inner:
            assert mm.exp(x).data.tolist() == [3.0, 5.0]
        assert mm.exp(x).data.tolist() == [2.0, 4.0]
    assert np.allclose(mm.exp(x).data, np.exp([1.0, 3.0]))
    assert inner.counts[0].yours == outer.counts[0].yours == 1


def test_functions_nest():
    with mm.use({"unbroadcast": lambda g, s, name="": np.full(s, 1.0)}, quiet=True):
        with mm.use({"unbroadcast": lambda g, s, name="": np.full(s, 2.0)}, quiet=True):
            assert engine.unbroadcast(np.ones((2, 3)), (3,)).tolist() == [2.0] * 3
        assert engine.unbroadcast(np.ones((2, 3)), (3,)).tolist() == [1.0] * 3


class Norm(nn.Module):
    def __init__(self, size, **options):
        self.size = size

    def forward(self, x):
        return x * 2.0


def test_a_layer_is_built_in_the_place_of_the_librarys():
    x = mm.Tensor(np.ones((2, 3)))
    with mm.use({"LayerNorm": Norm}, quiet=True) as used:
        model = nn.Sequential(nn.LayerNorm(3), nn.LayerNorm(3))
        assert model(x).data.tolist() == [[4.0] * 3] * 2
    assert (used.counts[0].yours, used.counts[0].reference) == (2, 0)


def test_a_layer_built_before_counts_as_the_librarys():
    layer = nn.LayerNorm(3)
    with pytest.raises(swap.SwapError, match="yours was never called"), mm.use({"LayerNorm": Norm}, quiet=True):
        layer(mm.Tensor(np.ones((2, 3), np.float32)))


def test_an_optimizer():
    class SGD(optim.Optimizer):
        def __init__(self, params, lr):
            self.params, self.lr = list(params), lr

        def step(self, scale=1.0):
            with mm.no_grad():
                for p in self.params:
                    p.assign(p.data - 2 * self.lr * p.grad)

    p = mm.Tensor(np.array([1.0]), requires_grad=True)
    p.grad = np.array([1.0])
    with mm.use({"SGD": SGD}, quiet=True) as used:
        optim.SGD([p], lr=0.25).step()
    assert p.data.tolist() == [0.5] and used.counts[0].yours == 1


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_kernel_stays_swapped_when_the_block_changes_the_backend(backend):
    with kernels.using(backend):
        with mm.use({"gelu": lambda x: x + 100}, quiet=True) as used:
            assert kernels.gelu(np.zeros(2)).tolist() == [100, 100]
            with kernels.using("numpy"):
                assert kernels.gelu(np.zeros(2)).tolist() == [100, 100]
            assert kernels.gelu(np.zeros(2)).tolist() == [100, 100]
        assert kernels.gelu(np.zeros(2)).tolist() == [0, 0] and kernels.backend() == backend
    assert (used.counts[0].yours, used.counts[0].reference) == (3, 0)


def test_word2vec_trains_on_their_loss_and_their_op(capsys):
    """The readable form runs on it; that the kernel does not is said."""
    def logsigmoid(x):
        return -np.logaddexp(0, -x), (lambda g: g / (1 + np.exp(x)),)

    def negative_sampling_loss(h, outputs, centre, noise):
        counts = (noise != centre[:, None]).astype(h.dtype)
        wanted = (outputs[centre] * h).sum(axis=-1)
        unwanted = (outputs[noise] * h.reshape(len(centre), 1, -1)).sum(axis=-1)
        return -mm.logsigmoid(wanted).sum() - (mm.logsigmoid(-unwanted) * counts).sum()

    from tinymm.data import text

    corpus = text.from_sentences([["a", "b", "c", "d", "e"]] * 7, min_count=1)
    options = {"d_model": 8, "window": 2, "sample": 0, "epochs": 1, "dtype": "float64"}
    expected = word2vec.Word2Vec(**options).fit(corpus, readable=True).vectors
    theirs = {"negative_sampling_loss": negative_sampling_loss, "logsigmoid": logsigmoid}
    with mm.use(theirs) as used:
        got = word2vec.Word2Vec(**options).fit(corpus, readable=True).vectors
    assert np.allclose(got, expected, rtol=1e-9, atol=1e-12)
    assert all(c.yours > 20 and c.reference == 0 for c in used.counts)
    assert "not swapped everywhere: negative_sampling_loss: the kernel of Word2Vec.fit" in capsys.readouterr().out


def test_a_function_written_as_an_op_serves_where_tensors_are_given():
    """The loss of negative sampling with its gradients by hand."""
    def negative_sampling_loss(h, outputs, centre, noise):
        counts = noise != centre[:, None]
        wanted = (outputs[centre] * h).sum(-1)
        unwanted = np.einsum("bkd,bd->bk", outputs[noise], h)
        push, pull = (1 / (1 + np.exp(-unwanted)) * counts), 1 / (1 + np.exp(wanted))

        def d_h(g):
            return g * (np.einsum("bk,bkd->bd", push, outputs[noise]) - pull[:, None] * outputs[centre])

        def d_outputs(g):
            d = np.zeros_like(outputs)
            np.add.at(d, centre, -g * pull[:, None] * h)
            np.add.at(d, noise, g * push[:, :, None] * h[:, None])
            return d

        loss = np.logaddexp(0, -wanted).sum() + (np.logaddexp(0, unwanted) * counts).sum()
        return np.asarray(loss), (d_h, d_outputs, None, None)

    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(3, 5)), rng.normal(size=(7, 5))
    centre, noise = np.array([1, 2, 6]), np.array([[1, 3]] * 3)
    found = []
    for swapped in (False, True):
        h, u = (mm.Tensor(a, requires_grad=True) for a in arrays)
        theirs = {"negative_sampling_loss": negative_sampling_loss} if swapped else {"exp": mm.exp}
        with mm.use(theirs, quiet=True) as used:
            mm.exp(h)
            loss = word2vec.negative_sampling_loss(h, u, centre, noise)
            loss.backward()
        found.append([loss.item(), h.grad, u.grad])
    assert used.counts[0].yours == 1  # finding out its form is not counted
    for a, b in zip(*found):
        assert np.allclose(a, b, rtol=1e-12, atol=1e-13)


def test_the_milestone_trains_on_theirs_and_names_the_same_neighbours(capsys):
    from tinymm.data import text
    from tinymm.learn import milestones

    rng = np.random.default_rng(0)
    groups = [[f"{letter}{i}" for i in range(7)] for letter in "abc"]
    lines = [list(rng.choice(groups[int(rng.integers(3))], 9)) for _ in range(3000)]
    corpus = text.from_sentences(lines, min_count=1)
    original = word2vec.negative_sampling_loss
    theirs = types.FunctionType(original.__code__, original.__globals__, "theirs")
    with mm.use({"negative_sampling_loss": theirs}, quiet=True) as used:
        shared = milestones.word2vec(corpus=corpus)
    assert shared > 0.5 and used.counts[0].yours > 5 and used.counts[0].reference == 0
    assert "of five neighbours both name" in capsys.readouterr().out


def test_a_milestone_runs_only_where_its_part_is_swapped(monkeypatch):
    from tinymm.learn import milestones

    ran = []
    monkeypatch.setitem(milestones.MILESTONES, "04_word2vec", ("negative_sampling_loss", ran.append))
    with mm.use({"exp": mm.exp}, quiet=True) as used:
        mm.exp(mm.Tensor([1.0]))
        milestones.after("04_word2vec", used, True)
        milestones.after("01_autograd", used, True)
    milestones.after("04_word2vec", None)
    assert ran == []
    used.counts[0].name = "negative_sampling_loss"
    milestones.after("04_word2vec", used, True)
    assert ran == [True]


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_file_and_what_is_not_swapped_is_said(tmp_path, capsys):
    path = tmp_path / "ex01.py"
    path.write_text(RIGHT.replace("def check_gradient", "def exp(x):\n    raise NotImplementedError('1.9')\n\n\n"
                                                        "def check_gradient"))  # fmt: skip
    with mm.use(path) as used:
        x = mm.Tensor(np.ones(3), requires_grad=True)
        (x.cumsum() * np.ones((2, 3))).sum().backward()
    assert x.grad.tolist() == [6.0, 4.0, 2.0]
    assert {c.name: (c.kind, c.yours > 0, c.reference) for c in used.counts} == {
        "unbroadcast": ("function", True, 0), "cumsum": ("op", True, 0)}  # fmt: skip
    out = capsys.readouterr().out
    assert "not swapped: exp: still a stub" in out
    assert "not swapped: check_gradient: no op, kernel or function of that name" in out


def test_several_files(tmp_path):
    (tmp_path / "one.py").write_text("def exp(x):\n    return x + 1, (lambda g: g,)\n")
    (tmp_path / "two.py").write_text("def log(x):\n    return x + 2, (lambda g: g,)\n")
    with mm.use([tmp_path / "one.py", tmp_path / "two.py"], quiet=True):
        assert mm.log(mm.exp(mm.Tensor([1.0]))).tolist() == [4.0]
    with pytest.raises(swap.SwapError, match="exp is in .*one.py and in another file"), \
            mm.use([tmp_path / "one.py"] * 2, quiet=True):  # fmt: skip
        pass


@pytest.mark.parametrize(("text", "message"), [
    ("def nothing_here():\n    pass\n", "nothing in .*ex09.py takes the place of anything"),
    ("x = 1\n", "it defines nothing"),
    ("def exp(x:\n", "ex09.py, line 1: SyntaxError"),
    ("exit(0)\n", "ex09.py: SystemExit"),
    ("1 / 0\n", "ex09.py: ZeroDivisionError"),
    ("from numpy import exp\n", "it defines nothing"),
])  # fmt: skip
def test_a_file_of_no_use(tmp_path, text, message):
    (tmp_path / "ex09.py").write_text(text)
    with pytest.raises(swap.SwapError, match=message), mm.use(tmp_path / "ex09.py", quiet=True):
        pass


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="not there; expected a Python file"), mm.use(tmp_path / "ex.py"):
        pass


def test_every_function_slot_is_there():
    import importlib

    for name, place in swap.FUNCTIONS.items():
        module, _, attribute = place.partition(":")
        assert callable(getattr(importlib.import_module(module), attribute or name))
    assert set(swap.INSIDE) <= set(swap.FUNCTIONS)
