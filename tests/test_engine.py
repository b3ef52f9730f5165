"""The engine: graphs of every shape, memory, versions, hooks, NumPy's protocols. Each claim of the design is a test."""

import gc
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinymm as mm
from tinymm.autograd import OPS, op, unbroadcast


@pytest.fixture
def temporary_ops():
    """Ops that a test registers are taken out again."""
    before = dict(OPS)
    yield
    for name in set(OPS) - set(before):
        del OPS[name]


def leaf(*shape, seed=0):
    return mm.Tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


# ---- graphs of every shape -------------------------------------------------------------------------------------------


def test_a_chain_of_20000_ops_needs_no_recursion():
    x = leaf(3)
    y = x
    for _ in range(20_000):
        y = y * 1.0001
    y.sum().backward()
    np.testing.assert_allclose(x.grad, np.full(3, 1.0001**20_000))
    del y  # freeing the chain does not recurse either


def test_an_unused_chain_is_freed_without_recursion():
    y = leaf(3)
    for _ in range(200_000):
        y = y * 1.0
    del y


def test_40_residuals_visit_each_node_once(temporary_ops):
    calls = []

    @op
    def twice(x):
        def d_x(g):
            calls.append(1)
            return 2 * g

        return 2 * x, (d_x,)

    x = leaf(2)
    y = x
    for _ in range(40):
        y = y + twice(y)
    y.sum().backward()
    assert len(calls) == 40  # a walk of all paths would make 2 ** 40
    np.testing.assert_allclose(x.grad, np.full(2, 3.0**40))


def test_1000_uses_of_one_tensor_add_up():
    x = leaf(4)
    y = sum(x * float(i) for i in range(1000))
    y.sum().backward()
    np.testing.assert_allclose(x.grad, np.full(4, 999 * 1000 / 2))


def test_a_tensor_used_on_both_sides_of_one_op():
    x = leaf(3)
    (x * x).sum().backward()
    np.testing.assert_allclose(x.grad, 2 * x.data)


def test_unused_branches_do_no_harm():
    x, unused = leaf(3), leaf(3, seed=1)
    y = x * 2
    _side = (y * unused).tanh()  # computed, not part of the loss
    y.sum().backward()
    np.testing.assert_allclose(x.grad, np.full(3, 2.0))
    assert unused.grad is None


def test_a_diamond_waits_for_all_of_its_paths():
    x = leaf(3)
    a = x * 2
    b = a * a  # made before c, and must wait for c's part
    c = a.tanh()
    (b + c * b).sum().backward()
    v = 2 * x.data
    np.testing.assert_allclose(x.grad, 2 * (2 * v + 2 * v * np.tanh(v) + v**2 * (1 - np.tanh(v) ** 2)))


# ---- backward twice --------------------------------------------------------------------------------------------------


def test_a_second_backward_raises_and_says_what_to_do():
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()


def test_a_freed_graph_is_noticed_from_another_loss():
    x = leaf(3)
    h = x * x
    h.sum().backward()
    with pytest.raises(RuntimeError, match="freed"):
        (h * 2).sum().backward()


def test_retain_graph_allows_it_and_gradients_add_up():
    x = leaf(3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad, 4 * x.data)


def test_backward_of_a_leaf_and_of_a_shape():
    x = leaf(2)
    x.backward([3.0, 4.0])
    np.testing.assert_array_equal(x.grad, [3.0, 4.0])
    with pytest.raises(ValueError, match=r"shape \(2,\) needs a gradient"):
        (x * 2).backward()
    with pytest.raises(ValueError, match="expected"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        mm.Tensor([1.0]).backward()


# ---- writes into arrays that a gradient needs ------------------------------------------------------------------------


def test_a_write_into_a_saved_input_is_noticed():
    x = leaf(3)
    y = x * x
    with mm.no_grad():
        x[0] = 5.0
    with pytest.raises(RuntimeError, match="gradient of multiply needs was written"):
        y.sum().backward()


def test_a_write_into_a_saved_output_is_noticed():
    x = leaf(3)
    y = x.tanh()  # tanh's gradient is computed from its output
    with mm.no_grad():
        y[0] = 5.0
    with pytest.raises(RuntimeError, match="gradient of tanh"):
        y.sum().backward()


@pytest.mark.parametrize(
    "view", [lambda t: t.detach(), lambda t: t.reshape(2, 3), lambda t: t[1:], lambda t: t.reshape(3, 2).T]
)
def test_a_write_through_a_view_is_noticed(view):
    x = leaf(6)
    y = x * x
    with mm.no_grad():
        view(x)[...] = 1.0
    with pytest.raises(RuntimeError, match="was written"):
        y.sum().backward()


def test_a_write_into_the_base_is_noticed_by_a_user_of_the_view():
    x = leaf(6)
    rows = x.reshape(2, 3)
    y = rows * rows
    with mm.no_grad():
        x[0] = 1.0
    with pytest.raises(RuntimeError, match="was written"):
        y.sum().backward()


def test_a_write_into_an_array_that_no_gradient_needs_is_allowed():
    x, c = leaf(3), mm.Tensor(np.ones(3))
    y = x + c
    c[0] = 100.0
    with mm.no_grad():
        x[0] = 100.0
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, np.ones(3))


def test_a_write_before_the_use_is_allowed():
    x = leaf(3)
    with mm.no_grad():
        x.assign(np.arange(3.0))
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 2.0, 4.0])


def test_recorded_tensors_cannot_be_written_to():
    x = leaf(3)
    with pytest.raises(RuntimeError, match=r"no_grad\(\)"):
        x[0] = 1.0
    y = x * 2
    with pytest.raises(RuntimeError, match="computed by multiply"):
        y.assign(np.zeros(3))
    with pytest.raises(ValueError, match="expected"), mm.no_grad():
        x.assign(np.zeros(4))


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_backward_frees_the_graph_by_reference_count_alone():
    gc.collect()
    gc.disable()
    try:
        x = leaf(100)
        h = x.tanh()
        kept_by_tanh = weakref.ref(h._array)
        y = (h * h).sum()
        del h
        assert kept_by_tanh() is not None  # its gradient is computed from it
        y.backward()
        assert kept_by_tanh() is None  # y still lives
    finally:
        gc.enable()


def test_a_graph_that_is_dropped_is_freed_by_reference_count_alone():
    gc.collect()
    gc.disable()
    try:
        x = leaf(100)
        y = ((x.tanh() * x).reshape(10, 10) @ x.reshape(10, 10))[1:].sum()
        alive = weakref.ref(y._array)
        graph = weakref.ref(y)
        del y
        assert alive() is None
        assert graph() is None
        before = len(gc.get_objects())
        for _ in range(50):
            ((x.tanh() * x).reshape(10, 10) @ x.reshape(10, 10))[1:].sum().backward()
        assert len(gc.get_objects()) <= before + 5
    finally:
        gc.enable()


def test_what_no_gradient_needs_is_not_kept():
    x, y = leaf(1000), leaf(1000, seed=1)
    h = x + y
    array = weakref.ref(h._array)
    z = h + y
    del h
    assert array() is None  # addition needs none of its inputs
    frozen = mm.Tensor(np.ones(1000)) * 3.0
    array = weakref.ref(frozen._array)
    z = z + frozen
    del frozen
    assert array() is None
    z.sum().backward()


def test_memory_after_1000_steps_equals_memory_after_10():
    w = leaf(50, 50)
    x = mm.Tensor(np.ones((20, 50)))

    def steps(n):
        for _ in range(n):
            loss = ((x @ w).tanh() * (x @ w)).sum()
            loss.backward()
            with mm.no_grad():
                w[...] = w.data - 1e-6 * w.grad
            w.zero_grad()

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        steps(10)
        after_10 = tracemalloc.get_traced_memory()[0]
        steps(990)
        after_1000 = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after_1000 - after_10 < 20_000  # one matrix of a step has 20,000 bytes


# ---- leaves and their gradients --------------------------------------------------------------------------------------


def test_a_leaf_copies_the_users_array():
    array = np.ones(3)
    t = mm.Tensor(array)
    array[0] = 7
    assert t.data[0] == 1


def test_a_leafs_gradient_is_its_own():
    a, b = leaf(3, 4), leaf(3, 4, seed=1)
    (a + b).backward(np.ones((3, 4)))
    for t in (a, b):
        assert t.grad.flags.c_contiguous and t.grad.flags.writeable
    assert not np.shares_memory(a.grad, b.grad)
    first = a.grad
    a.T.sum().backward()
    assert a.grad is first  # added to in place
    np.testing.assert_array_equal(b.grad, np.ones((3, 4)))


def test_accumulation_does_not_write_into_what_a_vjp_returned(temporary_ops):
    returned = []

    @op
    def same(x):
        def d_x(g):
            returned.append((g, g.copy()))
            return g

        return x.copy(), (d_x,)

    x = leaf(3)
    h = x * 1.0
    (same(h) * 2 + same(h) * 3 + same(h) * 5).sum().backward()
    np.testing.assert_allclose(x.grad, np.full(3, 10.0))
    for array, copy in returned:
        np.testing.assert_array_equal(array, copy)


def test_a_gradient_that_the_op_still_holds_is_copied(temporary_ops):
    kept = []

    @op
    def keeper(x):
        def d_x(g):
            kept.append(2 * g)
            return kept[0]

        return 2 * x, (d_x,)

    x = leaf(3)
    keeper(x).sum().backward()
    assert x.grad is not kept[0]
    x.grad += 1
    np.testing.assert_array_equal(kept[0], np.full(3, 2.0))


def test_a_gradient_that_is_a_view_is_taken_over_only_if_nobody_else_holds_its_base(temporary_ops):
    kept = []

    @op
    def reshaped(x):
        return 2 * x, (lambda g: (2 * g).reshape(-1).reshape(x.shape),)

    @op
    def reshaped_keeper(x):
        def d_x(g):
            kept.append((2 * g).reshape(-1))
            return kept[0].reshape(x.shape)

        return 2 * x, (d_x,)

    @op
    def part(x):
        return 2 * x, (lambda g: np.full(100, 2.0)[:3],)

    for function in (reshaped, reshaped_keeper, part):
        x = leaf(3)
        function(x).sum().backward()
        np.testing.assert_array_equal(x.grad, np.full(3, 2.0))
        x.grad += 1
        assert x.grad.base is None or x.grad.base.size == 3
    np.testing.assert_array_equal(kept[0], np.full(3, 2.0))


def test_a_gradient_of_another_shape_or_dtype_is_refused(temporary_ops):
    @op
    def wrong_shape(x):
        return x * 2, (lambda g: np.ones(7),)

    @op
    def wrong_dtype(x):
        return x * 2, (lambda g: g.astype(np.float32),)

    @op
    def nothing(x):
        return x * 2, (lambda g: None,)

    with pytest.raises(ValueError, match=r"wrong_shape has shape \(7,\); expected \(3,\)"):
        wrong_shape(leaf(3)).sum().backward()
    with pytest.raises(TypeError, match="wrong_dtype for its argument 1 is float32; expected float64"):
        wrong_dtype(leaf(3)).sum().backward()
    with pytest.raises(TypeError, match="is None"):
        nothing(leaf(3)).sum().backward()


def test_an_argument_without_gradient_says_so(temporary_ops):
    @op
    def half(a, b):
        return a * b, (lambda g: g, None)

    with pytest.raises(RuntimeError, match="no gradient for its argument 2"):
        half(leaf(3), leaf(3)).sum().backward()


def test_frozen_inputs_cost_nothing(temporary_ops):
    called = []

    @op
    def product(a, b):
        def d_a(g):
            called.append("a")
            return g * b

        def d_b(g):
            called.append("b")
            return g * a

        return a * b, (d_a, d_b)

    product(leaf(3), mm.Tensor(np.ones(3))).sum().backward()
    assert called == ["a"]


def test_a_fused_op_hears_which_gradients_are_wanted(temporary_ops):
    heard = []

    @op
    def fused(a, b, c):
        def vjps(g, needs):
            heard.append(needs)
            return (g if needs[0] else None, g if needs[1] else None, None)

        return a + b + c, vjps

    a = leaf(3)
    fused(a, mm.Tensor(np.ones(3)), np.ones(3)).sum().backward()
    assert heard == [(True, False, False)]
    np.testing.assert_array_equal(a.grad, np.ones(3))


def test_several_outputs(temporary_ops):
    cotangents = []

    @op
    def sum_and_product(a, b):
        def d_a(gs, gp):
            cotangents.append((gs is None, gp is None))
            return (0 if gs is None else gs) + (0 if gp is None else gp * b)

        def d_b(gs, gp):
            return (0 if gs is None else gs) + (0 if gp is None else gp * a)

        return (a + b, a * b), (d_a, d_b)

    a, b = leaf(3), leaf(3, seed=1)
    s, p = sum_and_product(a, b)
    (s * 2 + p * 3).sum().backward()
    np.testing.assert_allclose(a.grad, 2 + 3 * b.data)
    np.testing.assert_allclose(b.grad, 2 + 3 * a.data)
    a.zero_grad()
    _, p = sum_and_product(a, b)
    p.sum().backward()
    np.testing.assert_allclose(a.grad, b.data)
    assert cotangents == [(False, False), (True, False)]
    with pytest.raises(RuntimeError, match="freed"):
        p.sum().backward()


def test_a_registered_name_cannot_be_taken_twice():
    def tanh(x):
        return x, (None,)

    with pytest.raises(ValueError, match="already"):
        op(tanh)


# ---- modes -----------------------------------------------------------------------------------------------------------


def test_no_grad_records_nothing_and_is_undone_by_an_exception():
    x = leaf(3)
    with pytest.raises(KeyError), mm.no_grad():
        assert not (x * 2).requires_grad
        with mm.enable_grad():
            assert (x * 2).requires_grad
        raise KeyError
    assert (x * 2).requires_grad


def test_hooks_see_and_change_gradients():
    x = leaf(3)
    seen = []
    h = x * 2
    remove = h.register_hook(lambda g: seen.append(g.copy()))
    h.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    h.sum().backward(retain_graph=True)
    np.testing.assert_array_equal(seen, [np.ones(3)])
    np.testing.assert_array_equal(x.grad, np.full(3, 21.0))
    remove()
    h.sum().backward()
    assert len(seen) == 1
    with pytest.raises(RuntimeError, match="does not require"):
        mm.Tensor([1.0]).register_hook(print)


def test_retain_grad_keeps_the_gradient_of_a_computed_tensor():
    x = leaf(3)
    h = (x * 2).retain_grad()
    (h * h).sum().backward()
    np.testing.assert_allclose(h.grad, 2 * h.data)


def test_detect_anomaly_names_the_op_forward_and_backward():
    x = mm.Tensor([-1.0, 4.0], requires_grad=True)
    with np.errstate(all="ignore"), mm.detect_anomaly():
        with pytest.raises(FloatingPointError, match="log made NaN"):
            x.log()
        zero = mm.Tensor([0.0], requires_grad=True)
        y = (zero * 0.0).sqrt() * 0.0  # forward fine; backward 0 * infinity
        with pytest.raises(FloatingPointError, match=r"gradient of sqrt(.|\n)*test_engine"):
            y.sum().backward()
    with np.errstate(all="ignore"):
        assert np.isnan(x.log().data[0])  # outside, NaN is a value


# ---- checkpoint ------------------------------------------------------------------------------------------------------


def test_checkpoint_gives_the_same_gradients():
    x, w = leaf(4, 4), leaf(4, 4, seed=1)

    def block(t):
        return ((t @ w).tanh() @ w).tanh()

    block(block(x)).sum().backward()
    expected = x.grad, w.grad
    x.zero_grad(), w.zero_grad()
    mm.checkpoint(block, mm.checkpoint(block, x)).sum().backward()
    np.testing.assert_array_equal(x.grad, expected[0])
    np.testing.assert_array_equal(w.grad, expected[1])


def test_checkpoint_reaches_parameters_when_no_input_needs_a_gradient():
    w = leaf(3)
    mm.checkpoint(lambda t: t * w, mm.Tensor(np.full(3, 2.0))).sum().backward()
    np.testing.assert_array_equal(w.grad, np.full(3, 2.0))


def test_checkpoint_draws_the_same_random_numbers_again():
    x = leaf(50)
    masks = []

    def noisy(t):
        mask = mm.autograd.random.generator().random(50)
        masks.append(mask)
        return t * mask

    mm.checkpoint(noisy, x).sum().backward()
    after = mm.autograd.random.generator().random()
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(x.grad, masks[0])
    assert after not in masks[0]  # the second pass has not put the generator back for everybody


def test_checkpoint_keeps_less():
    def peak(use):
        x = leaf(100, 100)

        def block(t):
            for _ in range(20):
                t = t.tanh()
            return t

        block(x)  # the first call imports and compiles
        tracemalloc.start()
        y = x
        for _ in range(5):
            y = mm.checkpoint(block, y) if use else block(y)
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return kept

    assert peak(True) < 0.1 * peak(False)


# ---- a Tensor among NumPy's functions --------------------------------------------------------------------------------


def test_numpy_reads_a_tensor_and_cannot_write_into_it():
    t = leaf(2, 3)
    array = np.asarray(t)
    assert np.shares_memory(array, t._array) and not array.flags.writeable
    assert not t.data.flags.writeable
    assert t.numpy().flags.writeable
    assert np.asarray(t, dtype=np.float32).dtype == np.float32


def test_numpys_functions_and_operators_record():
    t = leaf(3)
    y = np.exp(np.ones(3) * t) + np.concatenate([t, t])[:3] + np.float64(2.0) * t + np.maximum(t, 0.0)
    assert isinstance(y, mm.Tensor)
    y.sum().backward()
    np.testing.assert_allclose(t.grad, np.exp(t.data) + 1 + 2 + (t.data > 0))
    with pytest.raises(TypeError, match="t.data"):
        np.spacing(t)
    with pytest.raises(TypeError, match="t.data"):
        np.fft.fft(t)
    with pytest.raises(TypeError, match="assign"):
        np.add(t, 1, out=t)


def test_numpy_scalars_do_not_widen_float32():
    t = mm.Tensor(np.ones(3, np.float32), requires_grad=True)
    assert (t * np.sqrt(64)).dtype == np.float32
    assert (t / np.float64(3)).dtype == np.float32
    assert (t * np.ones(3)).dtype == np.float64  # an array does, as in NumPy
    (t * np.ones(3)).sum().backward()
    assert t.grad.dtype == np.float32


def test_comparisons_give_arrays_and_tensors_are_hashable():
    t = mm.Tensor([1.0, 2.0])
    np.testing.assert_array_equal(t > 1.5, [False, True])
    np.testing.assert_array_equal(t == mm.Tensor([1.0, 3.0]), [True, False])
    np.testing.assert_array_equal(np.array([3.0, 0.0]) > t, [True, False])
    assert len({t, t}) == 1


def test_len_iter_repr_bool_float():
    t = mm.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert len(t) == 2
    assert [row.tolist() for row in t] == [[1.0, 2.0], [3.0, 4.0]]
    assert "requires_grad=True" in repr(t)
    assert "op=multiply" in repr(t * 2)
    assert "float32" in repr(mm.Tensor(np.ones(1, np.float32)))
    assert float(mm.Tensor(2.5)) == 2.5 and int(mm.Tensor(3)) == 3 and bool(mm.Tensor([1.0]))
    assert [10, 20, 30][mm.Tensor(1)] == 20
    with pytest.raises(TypeError, match="scalar"):
        iter(mm.Tensor(1.0))
    t += 1  # a new tensor; the old one is untouched
    assert t.node is not None


def test_what_cannot_be_a_tensor_says_why():
    with pytest.raises(TypeError, match="integer|int64"):
        mm.Tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match="expected numbers"):
        mm.Tensor([[1.0], [1.0, 2.0]])
    with pytest.raises(TypeError, match="numeric"):
        mm.Tensor(["a"])
    with pytest.raises(TypeError, match="stack"):
        mm.exp([mm.Tensor(1.0), mm.Tensor(2.0)])
    with pytest.raises(RuntimeError, match="detach"):
        (leaf(2) * 2).requires_grad_(False)


# ---- unbroadcast -----------------------------------------------------------------------------------------------------


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=1, max_side=4), st.integers(0, 2**32 - 1))
def test_unbroadcast_is_the_transpose_of_broadcast_to(shapes, seed):
    rng = np.random.default_rng(seed)
    (shape, _), result = shapes.input_shapes, shapes.result_shape
    x, g = rng.normal(size=shape), rng.normal(size=result)
    back = unbroadcast(g, shape)
    assert back.shape == shape
    np.testing.assert_allclose((np.broadcast_to(x, result) * g).sum(), (x * back).sum(), atol=1e-10)


def test_importing_compiles_nothing():
    import subprocess

    code = "import sys, tinymm; print([m for m in ('numba', 'matplotlib', 'scipy.linalg', 'tqdm') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
