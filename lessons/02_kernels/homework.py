"""The exercises of lesson 02: softmax in one walk, operations and bytes, an unfair benchmark, a blocked product."""

import numpy as np

from tinymm.kernels.plain import matmul as plain_matmul
from tinymm.kernels.plain import rowwise
from tinymm.learn.homework import Call, Diagnose, Extend, Implement, Predict, Question, Test, Wrong, difference

# ---- 1 ---------------------------------------------------------------------------------------------------------------


def absorb(m, s, scores):
    """Take further scores of each row into its running maximum and sum.

    Parameters
    ----------
    m : array (rows,)
        The largest score of each row so far; -inf before the first.
    s : array (rows,)
        The sum of exp(score - m) over the row's scores so far; 0 before the first.
    scores : array (rows, n)
        The next n scores of each row. -inf is a masked one.

    Returns
    -------
    (array (rows,), array (rows,))
        m and s with these scores taken in, as new arrays.
    """
    top = np.maximum(m, scores.max(axis=1))
    shift = np.where(top == -np.inf, 0, top).astype(top.dtype)
    return top, s * np.exp(m - shift) + np.exp(scores - shift[:, None]).sum(axis=1)


def softmax(x, axis=-1):
    """y_i = exp(x_i) / sum_j exp(x_j) along `axis`.

    Parameters
    ----------
    x : array (..., n, ...)
        float32 or float64. -inf gives exactly 0; a row of nothing but -inf gives zeros.
    axis : int

    Returns
    -------
    array
        Of x's shape and dtype.
    """
    moved = np.moveaxis(x, axis, -1)
    rows = moved.reshape(-1, moved.shape[-1])
    m, s = np.full(len(rows), -np.inf, x.dtype), np.zeros(len(rows), x.dtype)
    for start in range(0, rows.shape[1], 32):
        m, s = absorb(m, s, rows[:, start : start + 32])
    m, s = np.where(m == -np.inf, 0, m).astype(x.dtype), np.where(s == 0, 1, s).astype(x.dtype)
    y = np.exp(rows - m[:, None]) / s[:, None]
    return np.moveaxis(y.reshape(moved.shape), -1, axis)


def as_the_library(call, value):
    x = call.args[0]
    expected = rowwise.softmax(x, *call.args[1:])
    return difference(value, expected, *((1e-9, 1e-11) if x.dtype == np.float64 else (1e-5, 1e-6)))


def absorb_pieces(f, x, cuts):
    m, s = np.full(len(x), -np.inf, x.dtype), np.zeros(len(x), x.dtype)
    for start, stop in zip([0, *cuts], [*cuts, x.shape[1]]):
        m, s = f(m, s, x[:, start:stop])
    return m, s


def pieces(call, value):
    """m and s by their definitions, over the whole row at once."""
    x = call.args[0].astype(np.float64)
    m = x.max(axis=1)
    with np.errstate(invalid="ignore"):
        s = np.where(m == -np.inf, 0.0, np.exp(x - m[:, None]).sum(axis=1))
    found, expected = [np.asarray(v, np.float64) for v in value], (m, s)
    names = ("the maximum", "the sum")
    problems = [difference(v, e, 1e-9, 1e-12) for v, e in zip(found, expected)]
    if len(found) != 2:
        return f"{len(found)} results came back; expected m and s"
    return next((f"{name}: {problem}" for name, problem in zip(names, problems) if problem), None)


def rising(rng):
    """Rows whose scores rise, so that the maximum changes in every piece."""
    x = np.sort(rng.normal(size=(3, 7)) * 3, axis=1)
    y = np.sort(rng.normal(size=(5, 11)) * 3, axis=1)[:, ::-1].copy()
    return [Call(x, [2, 5]), Call(x, [1, 2, 3, 4, 5, 6]), Call(y, [3]), Call(rng.normal(size=(2, 13)), [5, 8])]


def masked_pieces(rng):
    x = rng.normal(size=(3, 7))
    x[0, :2] = -np.inf
    x[1] = -np.inf
    return [Call(x, [2, 5]), Call(x, [1])]


def tables(*shapes, dtype=np.float64, scale=3.0):
    return lambda rng: [Call((rng.normal(size=shape) * scale).astype(dtype)) for shape in shapes]


def far_apart(rng):
    x = rng.normal(size=(3, 5))
    x[0] -= 10_000
    x[1] += 10_000
    y = rng.normal(size=(2, 7))
    y[0, 3] = 5_000
    return [Call(x), Call(y)]


def masked(rng):
    x = rng.normal(size=(5, 7))
    x[0, 3] = x[1, 0] = x[2, :6] = -np.inf
    x[3] = -np.inf
    return [Call(x)]


def other_axes(rng):
    return [Call(rng.normal(size=(2, 3, 5)), axis) for axis in (0, 1, -1)] + [Call(rng.normal(size=7))]


def no_maximum(x, axis=-1):
    with np.errstate(all="ignore"):
        e = np.exp(x)
        return e / e.sum(axis=axis, keepdims=True)


def one_maximum(x, axis=-1):
    with np.errstate(all="ignore"):
        e = np.exp(x - x.max())
        return e / e.sum(axis=axis, keepdims=True)


def masked_row_is_nan(x, axis=-1):
    with np.errstate(all="ignore"):
        e = np.exp(x - x.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)


def last_axis_only(x, axis=-1):
    m = x.max(axis=-1, keepdims=True)
    e = np.exp(x - np.where(np.isinf(m), 0, m))
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def becomes_double(x, axis=-1):
    m = x.max(axis=axis, keepdims=True)
    e = np.exp(x.astype(np.float64) - np.where(np.isinf(m), 0, m))
    total = e.sum(axis=axis, keepdims=True)
    return e / np.where(total == 0, 1, total)


def not_rescaled(m, s, scores):
    top = np.maximum(m, scores.max(axis=1))
    shift = np.where(top == -np.inf, 0, top)
    return top, s + np.exp(scores - shift[:, None]).sum(axis=1)


def rescaled_upside_down(m, s, scores):
    top = np.maximum(m, scores.max(axis=1))
    shift = np.where(top == -np.inf, 0, top)
    old = np.where(m == -np.inf, shift, m)
    return top, s * np.exp(shift - old) + np.exp(scores - shift[:, None]).sum(axis=1)


def forgets_the_old(m, s, scores):
    top = scores.max(axis=1)
    shift = np.where(top == -np.inf, 0, top)
    return top, np.exp(scores - shift[:, None]).sum(axis=1)


def nan_before_the_first(m, s, scores):
    with np.errstate(all="ignore"):
        top = np.maximum(m, scores.max(axis=1))
        return top, s * np.exp(m - top) + np.exp(scores - top[:, None]).sum(axis=1)


PIECES = "absorb: piece by piece gives what the whole row gives"
PIECES_MASKED = "absorb: a row of which all so far is masked has m = -inf and s = 0, no NaN"
ROWS = "softmax: rows of several lengths"
FAR = "softmax: rows at -10,000 and at 10,000, side by side"
MASKED = "softmax: masked scores get exactly 0, also where a whole row is masked"
AXES = "softmax: along any axis"
FLOAT32 = "softmax: float32 stays float32"

one_walk = Implement(
    "softmax",
    reference=softmax,
    slot="kernel:softmax",
    more={"absorb": absorb},
    title="Softmax with a running maximum and a running sum",
    star=True,
    text="""
        Softmax needs the largest score of a row and the sum of exp(score - largest). Both can be had in one walk over
        the row: keep the largest so far, m, and the sum relative to it, s. When a larger score comes, rescale s.

        First write `absorb(m, s, scores)` (the second stub below), one step of that walk, for all rows at once and for
        n scores of each row at a time (arrays: m and s of shape (rows,), scores of shape (rows, n)). It returns the
        new m and s. For the row (1, 3, 2) of the lesson, one score at a time (each list stands for an array):

            m, s = absorb([-inf], [0], [[1]])      gives [1], [1]
            m, s = absorb(m, s, [[3]])             gives [3], [1.135]: the old 1 was rescaled by exp(1 - 3)
            m, s = absorb(m, s, [[2]])             gives [3], [1.503]

        At the start, and for as long as all scores of a row were masked (-inf), m is -inf and s is 0. Mind what
        -inf - (-inf) is.

        Then `softmax(x, axis=-1)` for an array of any number of axes: walk along `axis` with `absorb`, in pieces of
        whatever size you like, then compute exp(x - m) / s. `np.moveaxis(x, axis, -1)` and a reshape give you rows.
        A masked score gets the weight 0, and a row that is masked as a whole gets zeros. The result has x's dtype.

        Afterwards `tinymm run 2 --fast --with` your file runs the lesson on your softmax. Where it then says "the
        library's", it means yours, and its claim that this is faster than NumPy fails, of course.
    """,
    tests=[
        Test(PIECES, rising, "when the maximum rises from m to top, each old exp(score - m) must become "
             "exp(score - top): which factor does that?", run=absorb_pieces, judge=pieces, part="absorb"),
        Test(PIECES_MASKED, masked_pieces, "-inf - (-inf) is NaN: subtract 0 where the maximum is -inf",
             run=absorb_pieces, judge=pieces, part="absorb"),
        Test(ROWS, tables((2, 3), (5, 7), (3, 1), (11, 2), (3, 101)), "exp(x - m) / s, with m and s of its own row",
             judge=as_the_library),
        Test(FAR, far_apart, "each row has a maximum of its own, and it is subtracted before exp",
             judge=as_the_library),
        Test(MASKED, masked, "in a row that is masked as a whole m is -inf, so subtract 0 there; and where s is 0, "
             "divide by 1", judge=as_the_library),
        Test(AXES, other_axes, "np.moveaxis there, and back again at the end", judge=as_the_library),
        Test(FLOAT32, tables((3, 5), dtype=np.float32), "np.zeros and np.full make float64 if not told a dtype",
             judge=as_the_library),
    ],
    hints=(
        "A sum of exp(score - m) becomes a sum of exp(score - top) when it is multiplied by one number.",
        "top = np.maximum(m, scores.max(axis=1)), of shape (rows,). The old sum counts exp(m - top) times, and each "
        "new score adds exp(score - top), so top needs a second axis there: top[:, None].",
        "shift = np.where(top == -np.inf, 0, top); return top, s * np.exp(m - shift) + np.exp(scores - "
        "shift[:, None]).sum(axis=1). In softmax: moved = np.moveaxis(x, axis, -1); rows = moved.reshape(-1, "
        "moved.shape[-1]); start with m = np.full(len(rows), -np.inf, x.dtype).",
    ),
    wrong=[
        Wrong("the sum is not rescaled", PIECES, not_rescaled, part="absorb"),
        Wrong("rescaled by the inverse", PIECES, rescaled_upside_down, part="absorb"),
        Wrong("the old sum is forgotten", PIECES, forgets_the_old, part="absorb"),
        Wrong("NaN before the first unmasked score", PIECES_MASKED, nan_before_the_first, part="absorb"),
        Wrong("no maximum", FAR, no_maximum),
        Wrong("one maximum for the whole matrix", FAR, one_maximum),
        Wrong("a row of -inf gives NaN", MASKED, masked_row_is_nan),
        Wrong("right for the last axis only", AXES, last_axis_only),
        Wrong("always float64", FLOAT32, becomes_double),
    ],
)  # fmt: skip

# ---- 2 ---------------------------------------------------------------------------------------------------------------

SIZES = (29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89)


def draw_machine(rng):
    m, k, n = (int(v) for v in rng.choice(SIZES, 3, replace=False))
    intensity = 2 * m * k * n / (4 * (m * k + k * n + m * n))
    bandwidth = int(rng.integers(11, 60))
    peak = max(1, round(bandwidth * intensity * float(rng.choice([0.04, 0.5, 2.0]))))
    return {"m": m, "k": k, "n": n, "each": int(rng.integers(7, 20)), "bandwidth": bandwidth, "peak": peak}


def measure_intensity(m, k, n, each, bandwidth, peak):
    """Count what three loops do and what the arrays hold."""
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    operations = 0
    for _ in range(m):
        for _ in range(n):
            for _ in range(k):
                operations += 2  # one multiplication, one addition
    moved = a.nbytes + b.nbytes + plain_matmul.matmul(a, b).nbytes
    x = np.ones((m, n), np.float32)
    softmax = each * x.size / (x.nbytes + rowwise.softmax(x).nbytes)
    return {"operations": operations, "bytes": moved, "softmax": softmax,
            "waits": who_waits(operations / moved, softmax, peak / bandwidth)}  # fmt: skip


def who_waits(product, softmax, ridge):
    waiting = [name for name, intensity in (("product", product), ("softmax", softmax)) if intensity < ridge]
    return "neither" if not waiting else "both" if len(waiting) == 2 else waiting[0]


def answers(d, operations=2, per_number=4, inputs=1, outputs=1):
    """What one says who counts so many operations, bytes a number, and only some of the arrays."""
    m, k, n = d["m"], d["k"], d["n"]
    done = operations * m * k * n
    moved = per_number * (inputs * (m * k + k * n) + outputs * m * n)
    softmax = d["each"] / (per_number * (inputs + outputs))
    return {"operations": done, "bytes": moved, "softmax": softmax,
            "waits": who_waits(done / moved, softmax, d["peak"] / d["bandwidth"])}  # fmt: skip


predict = Predict(
    title="Operations, bytes, and who waits for memory",
    text="""
        A product c = a b of float32 arrays, a of shape ({m}, {k}) and b of shape ({k}, {n}). And the softmax of each
        row of a float32 array of shape ({m}, {n}), done at about {each} operations a number. Count as the lesson does:
        a multiplication is one operation and an addition another; each array that is read or written moves through
        memory once, whole. Three digits are enough, and an expression, such as 4 * 7 / 3, will do.

        The machine: at most {peak} GFLOP/s (thousand million operations a second) and {bandwidth} GB/s (thousand
        million bytes a second).
    """,
    draw=draw_machine,
    questions=[
        Question("operations", "operations of the product ({m}, {k}) times ({k}, {n})",
                 "m x n sums of k products each, for (m, k) times (k, n); and every product is a multiplication and an "
                 "addition", 0.005),
        Question("bytes", "bytes that it reads and writes, float32",
                 "three arrays, four bytes a number: a and b are read, c is written", 0.005),
        Question("softmax", "operations a byte of the softmax, {each} operations a number, float32",
                 "each number is read once and written once, four bytes each time; how many there are cancels", 0.005),
        Question("waits", 'which waits for memory at {peak} GFLOP/s and {bandwidth} GB/s: "product", "softmax", "both" '
                 'or "neither"', "one of these four words; operations a byte, against peak / bandwidth: below it "
                 "a step waits for memory"),
    ],
    measure=measure_intensity,
    hints=(
        "How many numbers does c have, and what is done for each of them? How many bytes has a float32?",
        "Operations 2 m k n. Bytes 4 (m k + k n + m n). Softmax: operations a number over 8 bytes a number.",
        "peak / bandwidth is a number of operations a byte. Divide the first answer by the second; compare this, and "
        "the third, with it.",
    ),
    wrong=[
        Wrong("multiplications only", "operations", lambda d: answers(d, operations=1)),
        Wrong("the output's bytes only", "bytes", lambda d: answers(d, inputs=0)),
        Wrong("the inputs' bytes only", "bytes", lambda d: answers(d, outputs=0)),
        Wrong("eight bytes a number, as float64 has", "bytes", lambda d: answers(d, per_number=8)),
        Wrong("softmax's numbers are read, but not written", "softmax", lambda d: answers(d, outputs=0)),
        Wrong("the comparison upside down", "waits",
              lambda d: {**answers(d), "waits": {"product": "softmax", "softmax": "product", "both": "neither",
                                                 "neither": "both"}[answers(d)["waits"]]}),
    ],
)  # fmt: skip

# ---- 3 ---------------------------------------------------------------------------------------------------------------


def benchmark(f, g, x, clock, repeats=7, threads=2):
    """How many times as long `f` takes as `g`.

    Parameters
    ----------
    f, g : callable
        ``f(x, threads)`` returns an array. The first call of each may take longer: it compiles.
    x : array
        Both get this same array.
    clock : callable
        ``clock()`` is the time in seconds.
    repeats : int
        How many calls of each are timed.
    threads : int
        Both get this number.

    Returns
    -------
    float
        The median time of a call of `f`, over that of a call of `g`; calls that compile are not counted.

    Raises
    ------
    ValueError
        If the two do not return the same numbers: then there is nothing to compare.
    """
    if not np.allclose(f(x, threads), g(x, threads), rtol=1e-4):  # this also compiles both
        raise ValueError("f and g return different numbers")

    def seconds(function):
        times = []
        for _ in range(repeats):
            start = clock()
            function(x, threads)
            times.append(clock() - start)
        return float(np.median(times))

    return seconds(f) / seconds(g)


def compilation_timed(f, g, x, clock, repeats=7, threads=2):
    def seconds(function):
        start = clock()
        for _ in range(repeats):
            result = function(x, threads)
        return (clock() - start) / repeats, result

    (of_f, result), (of_g, expected) = seconds(f), seconds(g)
    if not np.allclose(result, expected, rtol=1e-4):
        raise ValueError("f and g return different numbers")
    return of_f / of_g


def one_sample(f, g, x, clock, repeats=7, threads=2):
    if not np.allclose(f(x, threads), g(x, threads), rtol=1e-4):
        raise ValueError("f and g return different numbers")

    def seconds(function):
        start = clock()
        function(x, threads)
        return clock() - start

    return seconds(f) / seconds(g)


def unequal_types(f, g, x, clock, repeats=7, threads=2):
    def seconds(function, x):
        result, times = function(x, threads), []
        for _ in range(repeats):
            start = clock()
            function(x, threads)
            times.append(clock() - start)
        return float(np.median(times)), result

    (of_f, result), (of_g, expected) = seconds(f, x.astype(np.float64)), seconds(g, x.astype(np.float32))
    if not np.allclose(result, expected, rtol=1e-4):
        raise ValueError("f and g return different numbers")
    return of_f / of_g


def unequal_threads(f, g, x, clock, repeats=7, threads=2):
    if not np.allclose(f(x, 1), g(x, threads), rtol=1e-4):
        raise ValueError("f and g return different numbers")

    def seconds(function, threads):
        times = []
        for _ in range(repeats):
            start = clock()
            function(x, threads)
            times.append(clock() - start)
        return float(np.median(times))

    return seconds(f, 1) / seconds(g, threads)


def results_not_compared(f, g, x, clock, repeats=7, threads=2):
    def seconds(function):
        function(x, threads)
        times = []
        for _ in range(repeats):
            start = clock()
            function(x, threads)
            times.append(clock() - start)
        return float(np.median(times))

    return seconds(f) / seconds(g)


def test_of_benchmarks(benchmark):
    now = [0.0]

    def clock():
        return now[0]

    def pretend(cost, compiles=0.0, hiccup=None, factor=2.0):
        calls = [0]

        def function(x, threads):
            calls[0] += 1
            now[0] += cost * x.itemsize / threads
            if calls[0] == 1:
                now[0] += compiles
            if calls[0] == hiccup:
                now[0] += 1000.0
            return factor * x

        return function

    for x in (np.ones(5, np.float32), np.ones(5)):
        assert abs(benchmark(pretend(1.0, compiles=100.0), pretend(4.0), x, clock) - 0.25) < 1e-6
        assert abs(benchmark(pretend(1.0, hiccup=2), pretend(4.0), x, clock) - 0.25) < 1e-6
        try:
            benchmark(pretend(1.0), pretend(1.0, factor=3.0), x, clock)
        except ValueError:
            pass
        else:
            raise AssertionError("two that return different numbers were compared")


def asserts_nothing(benchmark):
    pass


def always_fails(benchmark):
    raise AssertionError("broken")


def asks_for_one_number(benchmark):
    def slow(x, threads):
        return x + 1

    ticks = iter(range(1000))
    assert benchmark(slow, slow, np.ones(3, np.float32), lambda: float(next(ticks))) == 0.5


def only_compilation(benchmark):
    now = [0.0]

    def f(x, threads):
        now[0] += 1.0 if f.called else 100.0
        f.called = True
        return x

    def g(x, threads):
        now[0] += 1.0
        return x

    f.called = False
    assert abs(benchmark(f, g, np.ones(3, np.float32), lambda: now[0]) - 1) < 1e-6


def only_positive(benchmark):
    now = [0.0]

    def f(x, threads):
        now[0] += 1.0
        return x

    assert benchmark(f, f, np.ones(3, np.float32), lambda: now[0]) > 0


def timed(f, x, *, f_takes, g_takes, first_call_takes, hiccup_in_call, repeats, threads):
    """The ratio of two that pretend to take so long; the types and thread numbers that they were called with."""
    now, seen = [0.0], {"f": set(), "g": set()}

    def pretend(name, cost):
        calls = [0]

        def function(x, threads):
            calls[0] += 1
            seen[name].add((str(x.dtype), x.shape, int(threads)))
            now[0] += cost + first_call_takes * (calls[0] == 1) + 1000.0 * (calls[0] == hiccup_in_call)
            return 2.0 * x

        return function

    ratio = f(pretend("f", f_takes), pretend("g", g_takes), x, lambda: now[0], repeats=repeats, threads=threads)
    return {"ratio": float(ratio), "f was called with": str(sorted(seen["f"])),
            "g was called with": str(sorted(seen["g"]))}  # fmt: skip


def different(f, x):
    now = [0.0]

    def first(x, threads):
        now[0] += 1.0
        return x

    def second(x, threads):
        now[0] += 1.0
        y = x.copy()
        y.flat[-1] += 1.0
        return y

    try:
        f(first, second, x, lambda: now[0])
    except ValueError:
        return "ValueError"
    return "no error"


def timings(compiles=0.0, hiccups=(0, 0, 0)):
    def draw(rng):
        drawn = []
        kinds = ((np.float32, 7, 2), (np.float64, 5, 3), (np.float32, 11, 1))
        for (dtype, repeats, threads), hiccup in zip(kinds, hiccups):
            cost_f, cost_g = (round(float(v), 2) for v in rng.uniform(1.0, 9.0, 2))
            x = rng.normal(size=(2, 3)).astype(dtype)
            drawn.append(Call(x, f_takes=cost_f, g_takes=cost_g, first_call_takes=compiles, hiccup_in_call=hiccup,
                              repeats=repeats, threads=threads))  # fmt: skip
        return drawn

    return draw


COMPILES = "a first call that takes long does not count"
HICCUP = "one call out of many that takes long does not count"
ALIKE = "both get x as it is, and the same number of threads"
DIFFERENT = "two that return different numbers are refused with a ValueError"

diagnose = Diagnose(
    "benchmark",
    reference=benchmark,
    fault=compilation_timed,
    siblings={"one call of each is timed, and that call may have a hiccup": one_sample,
              "one gets float64 and the other float32": unequal_types,
              "one runs on one thread and the other on all": unequal_threads,
              "the results are not compared": results_not_compared},
    model_test=test_of_benchmarks,
    title="A benchmark in which Numba loses a hundredfold",
    text="""
        `broken_benchmark(f, g, x, clock)` below says how many times as long f takes as g. It is not fair: of an f that
        Numba compiles at its first call it says 100 where 0.25 would be true.

        First write `test_benchmark(benchmark)`. It gets a benchmark, tries it, and raises an AssertionError if that is
        unfair. Yours is tried on a fair one, which it must let pass, on the broken one, and on four others, each of
        which breaks another promise of the docstring of `benchmark`, further below. Read it promise by promise.

        Real time is different each time, so a test brings its own clock, and functions that only pretend to take
        time. This f pretends to take 1 second a call, and 2800 more at its first:

            now = [0.0]
            def clock():
                return now[0]
            def f(x, threads):
                now[0] += 1.0 if f.called else 2801.0
                f.called = True
                return 2 * x
            f.called = False

        With a g that takes 4 seconds a call and returns the same, a fair benchmark says 0.25, the broken one 100. How
        would you notice a different type of x, or different threads? Your f and g are told both. And a hiccup, one call
        that takes far longer? A benchmark may time as few as one call of each: the first one after the compilation.

        Then the repair: write `benchmark` so that it keeps all promises. (At least 5 calls of each are timed, and at
        most one of them has a hiccup.)
    """,
    tests=[
        Test(COMPILES, timings(compiles=100.0), "call both once before you look at the clock", run=timed),
        Test(HICCUP, timings(hiccups=(2, 3, 5)), "the clock before and after each single call; np.median of these",
             run=timed),
        Test(ALIKE, timings(), "hand on x and threads unchanged, also in the first call", run=timed),
        Test(DIFFERENT, lambda rng: [Call(rng.normal(size=(3, 5))), Call(rng.normal(size=7))],
             "np.allclose of what the first calls return", run=different),
    ],
    hints=(
        "Promises: compiling does not count; the median, so that one slow call of many does not count; the same "
        "array; the same threads; different results are refused. A test needs an f for each.",
        "Let your f and g take time as x and threads say: now[0] += cost * x.itemsize / threads. Then the ratio is "
        "wrong if they were given different ones. And count the calls, so that the second can take 1000 seconds more.",
        "Test: assert abs(benchmark(f, g, x, clock) - 0.25) < 1e-6 for a float32 x and for a float64 one, where f "
        "compiles, then where f has a hiccup in its second call; and try: benchmark(f, other, x, clock), except "
        "ValueError: pass, else: raise AssertionError. Repair: first compare f(x, threads) with g(x, threads), "
        "then times = [], and for each repeat start = clock(); function(x, threads); times.append(clock() - start).",
    ),
    wrong=[
        Wrong("a test that asserts nothing", Diagnose.FAULT, asserts_nothing, part="test_benchmark"),
        Wrong("a test that fails on everything", Diagnose.RIGHT, always_fails, part="test_benchmark"),
        Wrong("a test that asks for a wrong ratio", Diagnose.RIGHT, asks_for_one_number, part="test_benchmark"),
        Wrong("a test that asks for any positive ratio", Diagnose.FAULT, only_positive, part="test_benchmark"),
        Wrong("a test of the compilation only", "your test fails for: one runs on one thread and the other on all",
              only_compilation, part="test_benchmark"),
        Wrong("the fault handed in as its repair", COMPILES, compilation_timed),
        Wrong("one sample", HICCUP, one_sample),
        Wrong("unequal types", ALIKE, unequal_types),
        Wrong("unequal threads", ALIKE, unequal_threads),
        Wrong("results not compared", DIFFERENT, results_not_compared),
    ],
)  # fmt: skip

# ---- 4 ---------------------------------------------------------------------------------------------------------------


def matmul_blocked(a, b, transpose_a=False, transpose_b=False, block=64, multiply=None):
    """The product of two matrices, block by block.

    Parameters
    ----------
    a : array (m, k), or (k, m) with `transpose_a`
    b : array (k, n), or (n, k) with `transpose_b`
    transpose_a, transpose_b : bool
        Take that operand transposed.
    block : int
        No block has more rows or columns than this. The sizes need not be multiples of it.
    multiply : callable, optional
        ``multiply(x, y)`` is the product of two blocks, (r, p) and (p, c) -> (r, c). Every product goes through it.
        Default: ``np.matmul``.

    Returns
    -------
    array (m, n)
        A new array of a's and b's dtype.
    """
    multiply = np.matmul if multiply is None else multiply
    a = a.T if transpose_a else a
    b = b.T if transpose_b else b
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), np.result_type(a, b))
    for i in range(0, m, block):
        for j in range(0, n, block):
            for p in range(0, k, block):
                c[i : i + block, j : j + block] += multiply(
                    a[i : i + block, p : p + block], b[p : p + block, j : j + block]
                )
    return c


def by_default(f, a, b):
    return f(a, b)


def of_views(f, a, b, *, block):
    """`a` as every other row and column of a larger array, `b` column after column: not contiguous."""
    larger = np.full((2 * a.shape[0], 2 * a.shape[1]), 7.0)
    larger[::2, ::2] = a
    return f(larger[::2, ::2], np.asfortranarray(b), block=block)


def in_used_memory(f, a, b, *, block):
    """As most memory is that one gets: with something in it."""
    results = []
    for _ in range(3):
        used = [np.full((len(a), b.shape[1]), np.nan) for _ in range(7)]
        del used
        results.append(f(a, b, block=block).copy())
    return results


def watched(f, a, b, *, block):
    """What goes through `multiply`: the most rows and columns of a block, and all multiplications together."""
    seen = [0, 0]

    def multiply(x, y):
        seen[0] = max(seen[0], *x.shape, *y.shape)
        seen[1] += x.shape[0] * x.shape[1] * y.shape[1]
        return np.matmul(x, y)

    f(a, b, block=block, multiply=multiply)
    return seen


def against_the_library(call, value):
    a, b = call.args
    flags = [call.static.get(key, False) for key in ("transpose_a", "transpose_b")]
    slack = 1e-9 if a.dtype == np.float64 else 1e-4
    return difference(value, plain_matmul.matmul(a, b, *flags), slack, slack)


def three_times(call, value):
    a, b = call.args
    return difference(value, [plain_matmul.matmul(a, b)] * 3, 1e-9, 1e-9)


def small_blocks(call, value):
    (a, b), block = call.args, call.static["block"]
    largest, done = value
    if largest > block:
        return f"a block of {largest} rows or columns went through multiply; expected at most {block}"
    all_of_it = a.shape[0] * a.shape[1] * b.shape[1]
    if done < all_of_it:  # more, where blocks at the edges are filled up with zeros
        return f"{done} multiplications of numbers went through multiply; expected {all_of_it}"
    return None


def products(*sizes, flags=(False, False), dtype=np.float64):
    def draw(rng):
        drawn = []
        for m, k, n, block in sizes:
            a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
            a = np.ascontiguousarray(a.T) if flags[0] else a
            b = np.ascontiguousarray(b.T) if flags[1] else b
            drawn.append(Call(a, b, transpose_a=flags[0], transpose_b=flags[1], block=block))
        return drawn

    return draw


def pairs(*sizes):
    return lambda rng: [Call(rng.normal(size=(m, k)), rng.normal(size=(k, n)), block=block) for m, k, n, block in sizes]


def default_pairs(rng):
    return [Call(rng.normal(size=(67, 131)).astype(np.float32), rng.normal(size=(131, 71)).astype(np.float32))]


def each_way(rng):
    drawn = []
    for flags in ((True, False), (False, True), (True, True)):
        drawn += products((5, 7, 3, 2), (2, 11, 5, 3), flags=flags)(rng)
    return drawn


def remainder_dropped(a, b, transpose_a=False, transpose_b=False, block=64, multiply=None):
    multiply = np.matmul if multiply is None else multiply
    a, b = a.T if transpose_a else a, b.T if transpose_b else b
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), np.result_type(a, b))
    for i in range(0, m - m % block, block):
        for j in range(0, n - n % block, block):
            for p in range(0, k - k % block, block):
                c[i : i + block, j : j + block] += multiply(
                    a[i : i + block, p : p + block], b[p : p + block, j : j + block]
                )
    return c


def inner_remainder_dropped(a, b, transpose_a=False, transpose_b=False, block=64, multiply=None):
    multiply = np.matmul if multiply is None else multiply
    a, b = a.T if transpose_a else a, b.T if transpose_b else b
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), np.result_type(a, b))
    for i in range(0, m, block):
        for j in range(0, n, block):
            for p in range(0, max(k - k % block, min(k, block)), block):
                c[i : i + block, j : j + block] += multiply(
                    a[i : i + block, p : p + block], b[p : p + block, j : j + block]
                )
    return c


def starts_anywhere(a, b, transpose_a=False, transpose_b=False, block=64, multiply=None):
    multiply = np.matmul if multiply is None else multiply
    a, b = a.T if transpose_a else a, b.T if transpose_b else b
    (m, k), n = a.shape, b.shape[1]
    c = np.empty((m, n), np.result_type(a, b))
    for i in range(0, m, block):
        for j in range(0, n, block):
            for p in range(0, k, block):
                c[i : i + block, j : j + block] += multiply(
                    a[i : i + block, p : p + block], b[p : p + block, j : j + block]
                )
    return c


def last_one_wins(a, b, transpose_a=False, transpose_b=False, block=64, multiply=None):
    multiply = np.matmul if multiply is None else multiply
    a, b = a.T if transpose_a else a, b.T if transpose_b else b
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), np.result_type(a, b))
    for i in range(0, m, block):
        for j in range(0, n, block):
            for p in range(0, k, block):
                c[i : i + block, j : j + block] = multiply(
                    a[i : i + block, p : p + block], b[p : p + block, j : j + block]
                )
    return c


def assumes_contiguity(a, b, transpose_a=False, transpose_b=False, block=64, multiply=None):
    multiply = np.matmul if multiply is None else multiply

    def rows_of(x):  # as if row i began i * columns numbers after the first
        step = x.itemsize
        return np.lib.stride_tricks.as_strided(x, x.shape, (x.shape[1] * step, step))

    a, b = rows_of(a), rows_of(b)
    a, b = a.T if transpose_a else a, b.T if transpose_b else b
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), np.result_type(a, b))
    for i in range(0, m, block):
        for j in range(0, n, block):
            for p in range(0, k, block):
                c[i : i + block, j : j + block] += multiply(
                    a[i : i + block, p : p + block], b[p : p + block, j : j + block]
                )
    return c


def reshapes_to_transpose(a, b, transpose_a=False, transpose_b=False, block=64, multiply=None):
    multiply = np.matmul if multiply is None else multiply
    a = a.reshape(a.shape[::-1]) if transpose_a else a
    b = b.reshape(b.shape[::-1]) if transpose_b else b
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), np.result_type(a, b))
    for i in range(0, m, block):
        for j in range(0, n, block):
            for p in range(0, k, block):
                c[i : i + block, j : j + block] += multiply(
                    a[i : i + block, p : p + block], b[p : p + block, j : j + block]
                )
    return c


def no_blocks(a, b, transpose_a=False, transpose_b=False, block=64, multiply=None):
    multiply = np.matmul if multiply is None else multiply
    return multiply(a.T if transpose_a else a, b.T if transpose_b else b)


def double_always(a, b, transpose_a=False, transpose_b=False, block=64, multiply=None):
    return np.matmul(a.T if transpose_a else a, b.T if transpose_b else b).astype(np.float64)


RAGGED = "sizes that the block does not divide"
SMALL = "sizes smaller than one block, and a block of 1"
TRANSPOSED = "either operand transposed, and both"
CLEAN = "sums start at 0, also in memory that was used before"
VIEWS = "operands that do not lie row after row in memory"
BLOCKS = "all products go through multiply, in blocks of at most `block` rows and columns"
DEFAULTS = "without a block size or multiply given; float32 stays float32"
RAGGED_SIZES = ((5, 7, 3, 2), (13, 11, 17, 5), (7, 2, 19, 3), (3, 23, 2, 7))

extend = Extend(
    "matmul_blocked",
    reference=matmul_blocked,
    slot="kernel:matmul_blocked",
    title="A blocked product with ragged edges and transposed operands",
    text="""
        Write `matmul_blocked(a, b, ...)`, the matrix product c = a b (of matrices), block by block: three loops over
        blocks, and in the innermost one the product of one block of a and one block of b is added to a block of c. So
        what is at work stays in the cache. In NumPy a block is a slice, `a[i : i + block, p : p + block]`.

        For a of shape (5, 7), b of shape (7, 3) and block = 2, c has 3 x 2 blocks, and each is a sum of 4 products; the
        blocks at the right and lower edges are smaller. With `transpose_a` the array a has shape (k, m), and its
        transpose is meant; `transpose_b` likewise.

        The product of two blocks is `multiply(x, y)`, an argument, so that the check can see what you multiply. Where
        it is None, as it is by default, use np.matmul. (You may write a `multiply` with Numba and try it.)

        Afterwards `tinymm run 2 --fast --with` your file puts yours on the ladder, as its rung "blocks".
    """,
    tests=[
        Test(RAGGED, products(*RAGGED_SIZES), "is the last block, the smaller one, done along all three axes?",
             judge=against_the_library),
        Test(SMALL, products((2, 3, 5, 64), (3, 5, 2, 1), (1, 7, 1, 11)), "range(0, m, block) has at least one entry",
             judge=against_the_library),
        Test(TRANSPOSED, each_way, "transpose the whole array before it is cut: the block (i, p) of a.T is no "
             "transposed block (i, p) of a. a.T copies nothing; a reshape is no transpose",
             judge=against_the_library),
        Test(CLEAN, pairs((5, 7, 3, 2), (3, 5, 11, 2)), "np.empty holds what was there before; np.zeros does not",
             run=in_used_memory, judge=three_times),
        Test(VIEWS, pairs((5, 7, 3, 2), (11, 13, 2, 5)), "index with slices; do not compute places in memory "
             "from the shape", run=of_views,
             judge=against_the_library),
        Test(BLOCKS, pairs(*RAGGED_SIZES), "three loops, with multiply in the innermost", run=watched,
             judge=small_blocks),
        Test(DEFAULTS, default_pairs, "give np.zeros the dtype of a and b", run=by_default,
             judge=against_the_library),
    ],
    hints=(
        "Write it for sizes that fit first. Then ask what a[4:6] is, for an a of five rows.",
        "c (m, n) starts at 0. For i, j and p in steps of `block`, over m, n and k: c's block at (i, j) gets more by "
        "the product of a's block at (i, p) and b's block at (p, j).",
        "a = a.T if transpose_a else a, b likewise; c = np.zeros((m, n), a.dtype); innermost: c[i : i + block, j : j + "
        "block] += multiply(a[i : i + block, p : p + block], b[p : p + block, j : j + block]).",
    ),
    wrong=[
        Wrong("the remainder dropped", RAGGED, remainder_dropped),
        Wrong("the remainder of the inner axis dropped", RAGGED, inner_remainder_dropped),
        Wrong("sums started in uninitialised memory", CLEAN, starts_anywhere),
        Wrong("a cell overwritten where it is added to", RAGGED, last_one_wins),
        Wrong("contiguity assumed", VIEWS, assumes_contiguity),
        Wrong("reshaped in place of transposed", TRANSPOSED, reshapes_to_transpose),
        Wrong("no blocks at all", BLOCKS, no_blocks),
        Wrong("always float64, and multiply not used", DEFAULTS, double_always),
    ],
)  # fmt: skip

exercises = [one_walk, predict, diagnose, extend]
