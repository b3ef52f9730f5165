"""The exercises of lesson 01: undo broadcasting, predict gradients, mend a gradient check, write an op."""

import numpy as np

from tinymm.autograd import OPS, Tensor, unbroadcast
from tinymm.learn.homework import Call, Diagnose, Extend, Gradient, Implement, Predict, Question, Test, Wrong

# ---- 1 ---------------------------------------------------------------------------------------------------------------


def shapes(*pairs):
    """Gradients of the first shape each, to be brought to the second."""
    return lambda rng: [Call(rng.normal(size=big), small) for big, small in pairs]


def refuses(f, gradient, shape):
    try:
        f(gradient, shape)
    except ValueError:
        return "ValueError"
    return "no error"


def leading_only(gradient, shape, name=""):
    return gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))


def loses_the_axis(gradient, shape, name=""):
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    return gradient.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1))


def one_slice(gradient, shape, name=""):
    while gradient.ndim > len(shape):
        gradient = gradient[0]
    for i, n in enumerate(shape):
        if n == 1:
            gradient = np.take(gradient, [0], axis=i)
    return gradient


def averages(gradient, shape, name=""):
    gradient = gradient.mean(axis=tuple(range(gradient.ndim - len(shape))))
    return gradient.mean(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def all_zero(gradient, shape, name=""):
    return np.zeros(shape)


def one_shape(gradient, shape, name=""):
    return gradient.sum(axis=0).sum(axis=1, keepdims=True)


def never_refuses(gradient, shape, name=""):
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    for i, n in enumerate(shape):
        if n != gradient.shape[i]:
            gradient = gradient.sum(axis=i, keepdims=True)
    return gradient


IN_FRONT = "an axis that was added in front is summed away"
KEPT = "an axis of length 1 is summed and stays, with length 1"

undo = Implement(
    "unbroadcast",
    reference=unbroadcast,
    title="Undo broadcasting",
    star=True,
    text="""
        In `x + b` a bias of shape (5,) is repeated for each row of x. Backward, each of the copies gets a gradient,
        and b's own is their sum. Write `unbroadcast(gradient, shape)`: bring `gradient` to `shape` by summing over all
        axes along which an array of `shape` was repeated. From (2, 3, 5, 7), for instance, to (3, 1, 7).

        If no array of `shape` can have been broadcast to the gradient's shape, raise a ValueError. `name` is there for
        that message only: the engine gives the name of the op.
    """,
    tests=[
        Test(IN_FRONT, shapes(((2, 3, 5), (5,)), ((3, 7), (7,)), ((2, 3), ()), ((2, 3, 5, 7), (5, 7))),
             "how many axes has the gradient more than the shape?"),
        Test(KEPT, shapes(((2, 3), (2, 1)), ((2, 3, 5), (1, 3, 5)), ((2, 3, 5), (2, 1, 1)), ((7,), (1,))),
             "np.sum has keepdims"),
        Test("both at once", shapes(((2, 3, 5, 7), (3, 1, 7)), ((5, 2, 3), (2, 1)), ((3, 5, 2), (1, 1))),
             "axes are counted from the right when shapes are broadcast"),
        Test("what was not broadcast stays as it is", shapes(((3, 5), (3, 5)), ((2, 1, 7), (2, 1, 7)), ((), ())),
             "no axis goes that has the same length on both sides, not even one of length 1"),
        Test("no element at all: zeros come out", shapes(((0, 3), (3,)), ((2, 0), (1, 0))),
             "a sum over nothing is 0. If the shape is wrong, see the tests above; else: do you divide, or index?"),
        Test("a shape that cannot be is refused with a ValueError",
             shapes(((2, 3), (2, 2)), ((3,), (2, 3)), ((2, 3), (3, 3))),
             "compare the lengths: each must be the same, or 1", run=refuses),
    ],
    hints=(
        "A value that is used several times gets the sum of what comes back. Broadcasting uses a value several times.",
        "Two kinds of axes are summed: the first gradient.ndim - len(shape) ones, which vanish; and those where the "
        "shape has 1 and the gradient more, which stay.",
        "extra = gradient.ndim - len(shape); collect extra + i for each i with shape[i] == 1, sum over range(extra) "
        "and these with keepdims=True, then reshape to `shape`. Before that: is each other length the same?",
    ),
    wrong=[
        Wrong("sums leading axes only", KEPT, leading_only),
        Wrong("loses the axis of length 1", KEPT, loses_the_axis),
        Wrong("takes one slice", IN_FRONT, one_slice),
        Wrong("averages", IN_FRONT, averages),
        Wrong("returns zeros", IN_FRONT, all_zero),
        Wrong("right for one shape only", "what was not broadcast stays as it is", one_shape),
        Wrong("sums whatever does not fit", "a shape that cannot be is refused with a ValueError", never_refuses),
    ],
)  # fmt: skip

# ---- 2 ---------------------------------------------------------------------------------------------------------------


def overwriting(a, b, depth_first):
    """What a.grad is in the end for (a + b) * a, if each arrival overwrites the last."""
    total = a + b
    grad = {}

    def into_sum(g):
        grad["a"] = g
        grad["b"] = g

    if depth_first:  # follow the first factor to the leaves, then turn to the second
        into_sum(a)
        grad["a"] = total
    else:  # hand on to both factors, then let the sum hand on
        grad["a"] = total
        into_sum(a)
    return grad["a"]


def measure_gradients(a, b):
    x, y = Tensor(float(a), requires_grad=True), Tensor(float(b), requires_grad=True)
    ((x + y) * x).backward()
    return {"d_a": float(x.grad), "d_b": float(y.grad), "by_number": overwriting(a, b, False),
            "depth_first": overwriting(a, b, True)}  # fmt: skip


predict = Predict(
    title="Gradients that add up, and one engine that overwrites",
    text="""
        Let y = (a + b) * a with a = {a} and b = {b}. Work it out on paper; nothing is run before your guess is stored.

        Then think of an engine that says `x.grad = g` where it should add. What is a.grad in the end? That depends on
        the order of its walk, so there are two answers.
    """,
    draw=lambda rng: {"a": int(rng.integers(3, 12)), "b": int(rng.integers(13, 40))},
    questions=[
        Question("d_a", "dy/da for a = {a}, b = {b}", "a is used twice: two paths lead to it, and they add up"),
        Question("d_b", "dy/db for a = {a}, b = {b}", "b is used once, and what it is multiplied with is a"),
        Question("by_number", "a.grad, overwritten, if the product hands on to both of its factors first, and then the "
                 "sum a + b hands on to a and b", "which of the two arrives last?"),
        Question("depth_first", "a.grad, overwritten, if the engine follows the product's first factor, the sum, down "
                 "to a and b before it turns to the second", "now the other one arrives last"),
    ],
    measure=measure_gradients,
    hints=(
        "Draw the graph: a goes into the sum and into the product. How many ways lead from y back to a?",
        "The product sends its g times the other factor to each factor. The sum sends its g unchanged to both.",
        "To the sum goes a, and it passes a on to a and to b. To the second factor goes a + b. Add, or take the last.",
    ),
    wrong=[
        Wrong("the true gradient given for the overwriting engine too", "by_number",
              lambda d: {"d_a": 2 * d["a"] + d["b"], "d_b": d["a"], "by_number": 2 * d["a"] + d["b"],
                         "depth_first": 2 * d["a"] + d["b"]}),
        Wrong("one of the two orders given for both", "depth_first",
              lambda d: {"d_a": 2 * d["a"] + d["b"], "d_b": d["a"], "by_number": d["a"], "depth_first": d["a"]}),
        Wrong("one path forgotten", "d_a",
              lambda d: {"d_a": d["a"] + d["b"], "d_b": d["a"], "by_number": d["a"], "depth_first": d["a"] + d["b"]}),
        Wrong("zeros", "d_b", lambda d: {"d_a": 0, "d_b": 0, "by_number": 0, "depth_first": 0}),
    ],
)  # fmt: skip

# ---- 3 ---------------------------------------------------------------------------------------------------------------


def check_gradient(op, x, rng):
    """Whether the gradient of `op` at `x` agrees with central differences.

    Parameters
    ----------
    op : callable
        ``op(x)`` returns (y, (d_x,)), as in the lesson: the output, and a tuple with one VJP.
    x : array of float64
    rng : numpy.random.Generator

    Returns
    -------
    bool
    """
    y, (d_x,) = op(x)
    g = rng.normal(size=np.shape(y))
    claimed = d_x(g)
    for i in range(x.size):
        h = np.zeros(x.shape)
        h.flat[i] = 1e-6
        measured = (g * (op(x + h)[0] - op(x - h)[0])).sum() / 2e-6
        if not abs(measured - claimed.flat[i]) <= 1e-6 + 1e-5 * abs(measured):
            return False
    return True


def sums_the_output(op, x, rng):
    y, (d_x,) = op(x)
    claimed = d_x(np.ones(np.shape(y)))
    for i in range(x.size):
        h = np.zeros(x.shape)
        h.flat[i] = 1e-6
        measured = (op(x + h)[0].sum() - op(x - h)[0].sum()) / 2e-6
        if not abs(measured - claimed.flat[i]) <= 1e-6 + 1e-5 * abs(measured):
            return False
    return True


def averages_the_output(op, x, rng):
    y, (d_x,) = op(x)
    claimed = d_x(np.full(np.shape(y), 1 / np.size(y)))
    for i in range(x.size):
        h = np.zeros(x.shape)
        h.flat[i] = 1e-6
        measured = (op(x + h)[0].mean() - op(x - h)[0].mean()) / 2e-6
        if not abs(measured - claimed.flat[i]) <= 1e-6 + 1e-5 * abs(measured):
            return False
    return True


def one_random_number(op, x, rng):
    y, (d_x,) = op(x)
    g = np.full(np.shape(y), rng.normal())
    claimed = d_x(g)
    for i in range(x.size):
        h = np.zeros(x.shape)
        h.flat[i] = 1e-6
        measured = (g * (op(x + h)[0] - op(x - h)[0])).sum() / 2e-6
        if not abs(measured - claimed.flat[i]) <= 1e-6 + 1e-5 * abs(measured):
            return False
    return True


def empty_cotangent(op, x, rng):
    y, (d_x,) = op(x)
    return not d_x(np.zeros(np.shape(y))).any()


def test_that_finds_it(check_gradient):
    def lazy_softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum(), (lambda g: np.zeros(x.shape),)

    def tanh(x):
        y = np.tanh(x)
        return y, (lambda g: g * (1 - y * y),)

    rng = np.random.default_rng(0)
    x = np.array([0.3, -0.7, 1.1])
    assert check_gradient(tanh, x, rng)
    assert not check_gradient(lazy_softmax, x, rng)


def on_right_ops(check, x):
    def tanh(x):
        y = np.tanh(x)
        return y, (lambda g: g * (1 - y * y),)

    def softmax(x):
        e = np.exp(x - x.max())
        y = e / e.sum()
        return y, (lambda g: y * (g - (g * y).sum()),)

    def square(x):
        return x * x, (lambda g: 2 * g * x,)

    return [bool(check(op, x, np.random.default_rng(1))) for op in (tanh, softmax, square)]


def on_false_ops(check, x):
    def zero_softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum(), (lambda g: np.zeros(x.shape),)

    def flipped(x):
        return np.tanh(x), (lambda g: -g * (1 - np.tanh(x) ** 2),)

    def last_forgotten(x):
        def d_x(g):
            d = 2 * g * x
            d.flat[-1] = 0
            return d
        return x * x, (d_x,)

    def wrong_place(x):
        return x.ravel()[::-1].reshape(x.shape) * 1.0, (lambda g: g,)

    return [bool(check(op, x, np.random.default_rng(1))) for op in (zero_softmax, flipped, last_forgotten, wrong_place)]


def all_right(call, value):
    return None if value == [True] * 3 else f"it says {value} of tanh, softmax and a square; expected True of each"


def all_false(call, value):
    names = ("softmax with a gradient of zeros", "tanh with the sign flipped", "a square whose last entry is forgotten",
             "a reversal whose gradient is not reversed")  # fmt: skip
    missed = [name for name, v in zip(names, value) if v is not False]
    return f"it lets pass: {', '.join(missed)}" if missed or len(value) != 4 else None


def asks_a_right_op_to_fail(check_gradient):
    def square(x):
        return x * x, (lambda g: 2 * g * x,)

    assert not check_gradient(square, np.array([0.3, -0.7]), np.random.default_rng(0))


def asks_what_both_find(check_gradient):
    def flipped(x):
        return np.tanh(x), (lambda g: -g * (1 - np.tanh(x) ** 2),)

    assert not check_gradient(flipped, np.array([0.3, -0.7]), np.random.default_rng(0))


def is_noisy(check_gradient):
    noise = np.random.default_rng(0)

    def noisy(x):
        return x + noise.normal(size=x.shape), (lambda g: g,)

    assert not check_gradient(noisy, np.array([0.3, -0.7]), np.random.default_rng(0))


def asserts_nothing(check_gradient):
    pass


def always_fails(check_gradient):
    raise AssertionError("broken")


def accepts_nothing(op, x, rng):
    return False


def small(rng):
    return [Call(rng.normal(size=shape)) for shape in ((3,), (2, 5), (7,))]


REJECTS = "your check finds false gradients"

diagnose = Diagnose(
    "check_gradient",
    reference=check_gradient,
    fault=sums_the_output,
    siblings={"a check of the mean": averages_the_output,
              "a cotangent that is one random number for all outputs": one_random_number,
              "a cotangent of zeros": empty_cotangent},
    model_test=test_that_finds_it,
    title="A gradient check that is fooled",
    text="""
        `broken_check_gradient` below sums the output and checks that one number. It lets false gradients pass.

        First the test: find an op with a false gradient that it accepts, and write
        `test_check_gradient(check_gradient)`. The check to be tested is its argument: call it, as
        `check_gradient(your_op, x, rng)`, and raise an AssertionError (`assert` does) if it accepts your op. What the
        test returns is not looked at. It must pass for a right check. It is tried on a right one, on the broken one,
        and on others that are fooled in the same way.

        Then the repair: write `check_gradient` so that it accepts right gradients and finds false ones.
    """,
    tests=[
        Test("your check accepts right gradients", small, "is the step too small or too large, the tolerance tight?",
             run=on_right_ops, judge=all_right),
        Test(REJECTS, small, "which weights make the sum of a softmax's outputs say something?", run=on_false_ops,
             judge=all_false),
    ],
    hints=(
        "Some outputs always have the same sum, whatever goes in. What is the true gradient of that sum?",
        "Softmax sums to 1, so the gradient of its sum is 0: a softmax whose d_x returns zeros passes. The repair "
        "weighs the outputs: a random cotangent g of y's shape, and the number (g * y).sum().",
        "In the test: assert not check(lazy_softmax, x, np.random.default_rng(0)). In the repair: g = "
        "rng.normal(size=y.shape), claimed = d_x(g), measured = (g * (op(x + h)[0] - op(x - h)[0])).sum() / 2e-6.",
    ),
    wrong=[
        Wrong("hands in a correct op", Diagnose.RIGHT, asks_a_right_op_to_fail, part="test_check_gradient"),
        Wrong("hands in an op that fails both", Diagnose.FAULT, asks_what_both_find, part="test_check_gradient"),
        Wrong("hands in an op that is merely noisy", Diagnose.FAULT, is_noisy, part="test_check_gradient"),
        Wrong("a test that asserts nothing", "your test fails for: a check of the mean", asserts_nothing,
              part="test_check_gradient"),
        Wrong("a test that always fails", Diagnose.RIGHT, always_fails, part="test_check_gradient"),
        Wrong("the fault handed in as its repair", REJECTS, sums_the_output),
        Wrong("a check that accepts nothing", "your check accepts right gradients", accepts_nothing),
    ],
)  # fmt: skip

# ---- 4 ---------------------------------------------------------------------------------------------------------------


def output_of(f, x, *, axis):
    return f(x, axis=axis)[0]


def along(*axes, dtype=np.float64):
    return lambda rng: [Call(rng.normal(size=(2, 3, 5)).astype(dtype), axis=axis) for axis in axes]


def forward_as_gradient(x, *, axis=None):
    return np.cumsum(x, axis=axis), (lambda g: np.cumsum(g, axis=axis).reshape(x.shape),)


def flipped_elsewhere(x, *, axis=None):
    other = 0 if axis is None else (axis + 1) % x.ndim

    def d_x(g):
        return np.flip(np.cumsum(np.flip(g.reshape(x.shape), other), axis=axis).reshape(x.shape), other)

    return np.cumsum(x, axis=axis), (d_x,)


def not_flipped_back(x, *, axis=None):
    return np.cumsum(x, axis=axis), (lambda g: np.cumsum(np.flip(g, axis), axis=axis).reshape(x.shape),)


def zero_gradient(x, *, axis=None):
    return np.cumsum(x, axis=axis), (lambda g: np.zeros_like(x),)


def sign_flipped(x, *, axis=None):
    def d_x(g):
        return -np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis).reshape(x.shape)

    return np.cumsum(x, axis=axis), (d_x,)


def last_axis_always(x, *, axis=None):
    return np.cumsum(x, axis=-1), (lambda g: np.cumsum(g[..., ::-1], axis=-1)[..., ::-1],)


def becomes_double(x, *, axis=None):
    def d_x(g):
        return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis).reshape(x.shape).astype(np.float64)

    return np.cumsum(x, axis=axis, dtype=np.float64), (d_x,)


ALONG = "the gradient along an axis, against central differences"

extend = Extend(
    "cumsum",
    reference=OPS["cumsum"],
    title="An op of your own: cumsum with its gradient",
    text="""
        Write `cumsum` as an op, in the form of the lesson: a function of arrays that returns the output and a tuple
        with one VJP. (No decorator: `tinymm.use` makes an op of it.) With axis=None the array is flattened first.

        Look at its map in the lesson, a triangle. What does the transpose of that triangle do to g?
    """,
    tests=[
        Test("the output along an axis", along(0, 1, 2, -1), "np.cumsum will do", run=output_of),
        Test("the output where axis is None", along(None), "flatten, then add up", run=output_of),
        Gradient(ALONG, along(0, 1, 2, -2), "y_i holds x_j for all j <= i, so x_j gets g_i for all i >= j"),
        Gradient("the gradient where axis is None", along(None), "bring the gradient back to the shape of x"),
        Test("float32 stays float32", along(1, dtype=np.float32), "if the numbers differ, see the gradient "
             "tests above; if the type does: does an array of another type come in between?",
             rtol=1e-4, atol=1e-5),
    ],
    hints=(
        "x_0 is part of every sum, the last x only of the last one. So who hears of which g?",
        "x_j gets the sum of g_i over i >= j, along the same axis: a cumulative sum that runs backwards.",
        "np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis); for axis=None do that with the flat g, then reshape.",
    ),
    wrong=[
        Wrong("a forward cumulative sum as gradient", ALONG, forward_as_gradient),
        Wrong("flipped along another axis", ALONG, flipped_elsewhere),
        Wrong("not flipped back", ALONG, not_flipped_back),
        Wrong("a gradient of zeros", ALONG, zero_gradient),
        Wrong("the sign flipped", "the gradient where axis is None", sign_flipped),
        Wrong("the last axis, whatever is asked", "the output along an axis", last_axis_always),
        Wrong("always float64", "float32 stays float32", becomes_double),
    ],
)  # fmt: skip

exercises = [undo, predict, diagnose, extend]
