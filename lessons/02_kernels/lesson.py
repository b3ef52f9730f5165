# ---
# title: From three loops to the register tile
# kind: optional
# minutes: 45
# compile: 15
# needs: 01
# mathematics: counting operations and bytes, the roofline, a sum that is rescaled as it goes
# python: compiled functions (Numba), views and strides, timing
# paper: Goto and van de Geijn 2008, Anatomy of high-performance matrix multiplication
# ---

# %% [markdown]
# # 02 From three loops to the register tile
#
# A model is matrix products with a little between them. Written as the definition says, a product runs at a thousandth
# of what the same processor can do. Nothing about the mathematics changes on the way from one to the other; only the
# order in which numbers are touched does.
#
# Afterwards you can
# * count operations and bytes, and say which of the two a step waits for;
# * read a compiled kernel beside its plain twin, and check one against the other;
# * time code without fooling yourself: compile first, same types, many repeats;
# * compute a softmax in one pass over memory, safely.
#
# **New Python.** `numba.njit` turns a function of arrays and numbers into machine code, at its first call, once for
# each type of its arguments. An array's *strides* say how many bytes lie between neighbours along each axis; `a.T` is
# the same memory with the strides exchanged.

# %%
import subprocess
import sys
import time

import numba
import numpy as np

import tinymm as mm
from tinymm import kernels, learn, viz

lesson = learn.begin("02_kernels")
rng = lesson.rng
kernels.matmul(np.eye(2), np.eye(2))  # first of all: what compiles first decides how SciPy's BLAS is started


@numba.njit
def total_of(x):
    total = 0.0
    for i in range(x.size):
        total += x[i]
    return total


x = rng.random(1_000_000)
start = time.perf_counter()
total_of(x)
first = time.perf_counter() - start
start = time.perf_counter()
total_of(x)
second = time.perf_counter() - start
print(f"a compiled sum: first call {first * 1e3:.0f} ms (compiles), second {second * 1e3:.1f} ms")
print(f"strides of a (3, 4) array: {np.zeros((3, 4)).strides}, of its transpose: {np.zeros((3, 4)).T.strides}")

# %% [markdown]
# ## The question: which row looks where, and what does it cost?
#
# Softmax turns each row of scores into weights that sum to 1; it will be the heart of attention. Take five rows whose
# answer is known: equal scores (all alike), one score far above (all the weight there), a masked score of minus
# infinity (exactly 0: a masked word must not leak), scores around 10,000 (no overflow, please), and a row with two
# equal winners.

# %%
inf = np.inf
scores = np.array([[1, 1, 1, 1], [0, 9, 0, 0], [0, 0, -inf, 0], [10_000, 9_999, 10_000, -10_000], [2, -9, 2, -9]],
                  dtype=np.float32)
e = np.exp(-1.0)
known = np.array([[0.25] * 4, [0, 1, 0, 0], [1 / 3, 1 / 3, 0, 1 / 3], [1 / (2 + e), e / (2 + e), 1 / (2 + e), 0],
                  [0.5, 0, 0.5, 0]])
weights = kernels.softmax(scores)
rows = ["equal", "one winner", "one masked", "large", "two winners"]
fig, axes = viz.figure(size=(4.2, 3.0))
viz.heatmap(axes, weights, rows=rows, cols=["k0", "k1", "k2", "k3"], numbers=True, digits=3, label="weight", vmax=1.0,
            mask=np.isfinite(scores), title="Softmax of each row", ylabel="query", xlabel="key")
lesson.figure(fig, "softmax_rows", alt="Softmax weights of five rows over four keys: equal scores share alike, one "
              "winner takes all, a masked key gets exactly zero and is hatched, large scores do not overflow, two "
              "winners halve.")
lesson.claim("rows", "distance of the five rows from their known weights", abs(weights - known).max(), below=1e-3,
             settled="holds")
lesson.claim("masked", "weight of the masked score", weights[2, 2], within=(0, 0), settled="holds")

# %% [markdown]
# ## Equation, shapes, code: operations and bytes
#
# **The product.** c[i, j] = sum over p of a[i, p] b[p, j]: m n k multiplications and as many additions, 2 m n k
# operations. It reads m k + k n numbers and writes m n. **Softmax** does about ten operations a number, and reads and
# writes each once.
#
# **The roofline.** A step takes at least operations / peak, and at least bytes / bandwidth. What decides is the ratio
# operations / byte, the *intensity*: below peak / bandwidth a step waits for memory, above it for arithmetic.
#
# | step | operations | bytes (float32) | intensity |
# |---|---|---|---|
# | product, n = 512 | 2 n^3 = 268 million | 3 n^2 x 4 = 3.1 million | n / 6 = 85 |
# | softmax, 4096 x 256 | 10.5 million | 8.4 million | 1.25 |
#
# So a product *can* be fast: each number loaded takes part in n products. Whether it *is*, depends on whether it is
# still near when it is needed again. Memory is a ladder of its own: registers (a few hundred bytes, at once), caches
# (some 32 kB, then 1 MB, then more), main memory (hundreds of cycles away).
#
# | rung | what changes | in the library |
# |---|---|---|
# | three loops in Python | the definition | below |
# | the same, compiled | no interpreter | `kernels.matmul_loops` |
# | loops i, k, j | the inner loop walks along rows, and vectorises | `kernels.matmul_ikj` |
# | blocks | what is at work stays in the cache | `kernels.matmul_blocked` |
# | 4 x 4 unrolled, on all threads | what is loaded is used four times | `kernels.matmul_unrolled` |
# | register tile | packed panels, a 12 x 32 tile that never leaves the registers | `kernels.matmul_tiled` |
# | dispatched | BLAS, one call for each piece, on Numba's threads | `kernels.matmul` |

# %%
def three_loops(a, b):
    c = [[0.0] * len(b[0]) for _ in a]
    for i in range(len(a)):
        for j in range(len(b[0])):
            for p in range(len(b)):
                c[i][j] += a[i][p] * b[p][j]
    return c


RUNGS = {"loops, compiled": "matmul_loops", "loops i, k, j": "matmul_ikj", "blocks": "matmul_blocked",
         "4 x 4, all threads": "matmul_unrolled", "register tile": "matmul_tiled", "dispatched": "matmul"}

# %% [markdown]
# ## By hand: softmax in one pass
#
# exp(10,000) is infinite, so softmax subtracts the row's maximum first. That takes three walks over the row: maximum,
# sum, division. But the sum can be kept *relative to the maximum so far*: when a larger score comes, rescale.
#
# Row (1, 3, 2): start m = 1, s = 1. Score 3 is larger: s = 1 x exp(1 - 3) + 1 = 1.135, m = 3. Score 2: s = 1.135 +
# exp(2 - 3) = 1.503. So the weights are exp(-2) / 1.503 = 0.090, 1 / 1.503 = 0.665, exp(-1) / 1.503 = 0.245.
# One walk for maximum and sum together. The same trick is what makes attention fit into small memory, in lesson 11.

# %%
@numba.njit(error_model="numpy")
def one_pass(x):
    """Softmax of each row: maximum and sum in one walk, the weights in a second."""
    y = np.empty_like(x)
    for i in range(x.shape[0]):
        m, s = x[i, 0], x.dtype.type(1)
        for j in range(1, x.shape[1]):
            if x[i, j] > m:
                s = s * np.exp(m - x[i, j]) + 1
                m = x[i, j]
            else:
                s += np.exp(x[i, j] - m)
        for j in range(x.shape[1]):
            y[i, j] = np.exp(x[i, j] - m) / s
    return y


def three_passes(x):
    """As one writes it in NumPy: five walks over memory, and three arrays that are thrown away."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


print("by hand:", np.round(one_pass(np.array([[1.0, 3.0, 2.0]], np.float32)), 3))
logits = rng.normal(size=(4096, 256)).astype(np.float32) * 3
three, one, ours = three_passes(logits), one_pass(logits), kernels.softmax(logits)
lesson.claim("one_pass", "largest difference between one pass and three", abs(one - three).max(), below=1e-6,
             settled="holds")
lesson.claim("twin", "largest difference of the compiled kernel from float64",
             abs(ours - three_passes(logits.astype(np.float64))).max(), below=1e-6, settled="holds")

# %% [markdown]
# ## Gradient check
#
# A kernel has a backward too: for c = a b, d_a = g b^T and d_b = a^T g, products again, without a copied transpose.
# Checked through the engine, on the compiled kernels, in float64.

# %%
report = mm.gradcheck(lambda a, b: (a @ b).softmax(), [rng.normal(size=(5, 7)), rng.normal(size=(7, 3))])
lesson.claim("gradcheck", f"product, then softmax: largest error of {report.n_entries} entries", report.max_error,
             below=1e-6, settled="holds")

# %% [markdown]
# ## Training: none here; the ladder is measured in its place
#
# The rules of timing: *compile first* (the first call of each rung is not timed), *same inputs, same type, same
# threads*, the *median of many* runs, and *compare the results before the times*. The baseline is NumPy's `a @ b`, in a
# process of its own: two libraries in one process would fight for the cores.

# %%
def seconds(function, *arguments):
    """Median time of a call; the first call, which may compile, is not counted."""
    function(*arguments)
    times = []
    while len(times) < 5 or sum(times) < lesson.pick(fast=0.1, full=0.5):
        start = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


BASELINE = """
import time, numpy as np
a = np.ones(({n}, {n}), np.float32)
times = []
for _ in range({repeats}):
    start = time.perf_counter()
    a @ a
    times.append(time.perf_counter() - start)
print(np.median(times))
"""
n = lesson.pick(fast=256, full=512)
a, b = (rng.normal(size=(n, n)).astype(np.float32) for _ in range(2))
truth = a.astype(np.float64) @ b.astype(np.float64)
worst, speed = 0.0, {}
lesson.predict("first_tenfold", "the largest single gain after leaving Python is at", list(RUNGS)[1:])
small_a, small_b = a[:64, :64].tolist(), b[:64, :64].tolist()
speed["three loops, Python"] = 2 * 64**3 / seconds(three_loops, small_a, small_b) / 1e9
for rung, name in lesson.progress(RUNGS.items(), "the ladder"):
    product = getattr(kernels, name)
    worst = max(worst, abs(product(a, b) - truth).max() / abs(truth).max())
    speed[rung] = 2 * n**3 / seconds(product, a, b) / 1e9
alone = subprocess.run([sys.executable, "-c", BASELINE.format(n=n, repeats=lesson.pick(fast=200, full=500))],
                       capture_output=True, text=True, check=True)
blas = 2 * n**3 / float(alone.stdout) / 1e9
for rung, gflops in [*speed.items(), ("NumPy's BLAS", blas)]:
    print(f"  {rung:<20} {gflops:>9.3f} GFLOP/s  {gflops / blas:>7.4f} of NumPy's BLAS")
gains = {rung: speed[rung] / speed[before] for before, rung in zip(list(RUNGS), list(RUNGS)[1:])}
lesson.reveal("first_tenfold", max(gains, key=gains.get))
lesson.claim("same_result", "largest error of any rung, over the largest entry", worst, below=1e-5, settled="holds")
lesson.claim("blocks", "blocks are faster than whole rows by the factor", speed["blocks"] / speed["loops i, k, j"],
             above=1.0)
lesson.claim("python_loses", "the dispatched product is faster than three loops in Python by the factor",
             speed["dispatched"] / speed["three loops, Python"], above=1000.0)
lesson.claim("tile", f"the register tile's speed over NumPy's BLAS, n = {n}", speed["register tile"] / blas, above=0.9)
lesson.claim("dispatched", f"the dispatched product's speed over NumPy's BLAS, n = {n}", speed["dispatched"] / blas,
             above=1.0)

# %% [markdown]
# **Softmax likewise.** Its intensity is low, so the question is how often memory is walked, and whether exp
# vectorises: the library's exp is a polynomial that the compiler can do for 16 numbers at once; the one-pass loop
# calls the standard one, number by number, and has a branch in its inner loop.

# %%
ladder = {"three passes, NumPy": three_passes, "one pass, scalar": one_pass, "the library's": kernels.softmax}
per_second = {name: logits.size / seconds(f, logits) / 1e9 for name, f in ladder.items()}
for name, rate in per_second.items():
    print(f"  {name:<20} {rate:.2f} billion numbers a second")
lesson.claim("softmax", "the library's softmax is faster than three passes in NumPy by the factor",
             per_second["the library's"] / per_second["three passes, NumPy"], above=2.0)

# %% [markdown]
# ## Figures: the ladder, and the roof
#
# The roof on the right is measured too: the flat part is the fastest product seen, the slopes are the rates at which an
# array is copied, a large one in memory and one of softmax's size, which the last cache may hold. A dot far below the
# roof is a step that could be faster; a dot at the slope waits for data, and no cleverness with arithmetic helps it.

# %%
def bandwidth(size):
    array = rng.random(size, dtype=np.float32)
    return 2 * array.nbytes / seconds(np.copyto, np.empty_like(array), array) / 1e9


peak = max(*speed.values(), blas)
slopes = {"memory": bandwidth(lesson.pick(fast=16_000_000, full=50_000_000)), "cache": bandwidth(logits.size)}
ridge = peak / slopes["memory"]
print(", ".join(f"{name} {rate:.1f} GB/s" for name, rate in slopes.items())
      + f", {peak:.0f} GFLOP/s: below {ridge:.0f} operations a byte a step waits for memory")
dots = {f"product, n = {n}": (n / 6, speed["dispatched"]), "softmax": (1.25, 10 * per_second["the library's"]),
        "softmax, NumPy": (1.25, 10 * per_second["three passes, NumPy"])}
fig, (left, right) = viz.figure(1, 2, (4.8, 3.4))
viz.bars(left, speed | {"NumPy's BLAS": blas}, xlabel="GFLOP/s (logarithmic)", log=True,
         title=f"One product, {n} x {n}, {numba.get_num_threads()} threads at most")
intensity = np.logspace(-1, 3, 100)
roofs = {f"data in {name}": np.minimum(peak, intensity * rate) for name, rate in slopes.items()}
viz.lines(right, intensity, roofs, logx=True, logy=True, xlabel="operations a byte", ylabel="GFLOP/s",
          title="The roofline of this machine", legend="below")
viz.place_labels(right, list(dots.values()), list(dots))
right.plot(*zip(*dots.values()), "o", color=viz.COLOURS[1])
lesson.figure(fig, "ladder", alt="Left: speed of one matrix product on a logarithmic scale, rung by rung: "
              + ", ".join(f"{rung} {gflops:.3g}" for rung, gflops in speed.items())
              + f" and NumPy's BLAS {blas:.3g} GFLOP/s. Right: the roofline; the product lies near the flat roof, "
              "softmax near the slope, where memory decides.")
lesson.claim("who_waits", "softmax waits for memory: its intensity, over that at which the roof turns flat",
             1.25 / ridge, below=1.0)

# %% [markdown]
# ## Break it: overflow, rounding, compile time
#
# Four ways to get it wrong. **Drop the maximum**: exp(10,000) is infinite, and infinity over infinity is NaN. **Add in
# order**: a running float32 sum of many small numbers loses them one by one; adding in blocks keeps them. **Time the
# compilation**: the first call of a kernel is not the kernel. **Feed strides**: a transposed view is walked across.

# %%
with np.errstate(all="ignore"):
    naive = np.exp(scores[3]) / np.exp(scores[3]).sum()
lesson.claim("no_maximum", "entries that are NaN without the maximum, of 4", int(np.isnan(naive).sum()), above=1,
             settled="holds")
tenths = np.full(2**24 if not lesson.fast else 2**22, 0.1, np.float32)
in_order = float(np.cumsum(tenths)[-1])
blockwise = float(tenths.sum())
exact = float(np.float32(0.1)) * tenths.size
print(f"{tenths.size:,} tenths in float32: in order {in_order:,.0f}, in blocks {blockwise:,.0f}, exact {exact:,.0f}")
lesson.claim("in_order", "relative error of a float32 sum in order", abs(in_order / exact - 1), above=0.01,
             settled="holds")
lesson.claim("in_blocks", "relative error of a float32 sum in blocks", abs(blockwise / exact - 1), below=1e-4,
             settled="holds")


@numba.njit
def column_sums(x):
    sums = np.zeros(x.shape[1], x.dtype)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            sums[j] += x[i, j]
    return sums


big = rng.random((2048, 2048), dtype=np.float32)
lesson.predict("strided", "the same loop over a transposed view takes more than twice as long")
start = time.perf_counter()
column_sums(big)
cold = time.perf_counter() - start
contiguous, strided = seconds(column_sums, big), seconds(column_sums, big.T)
print(f"first call {cold * 1e3:.0f} ms, then {contiguous * 1e3:.2f} ms; transposed view {strided * 1e3:.2f} ms")
lesson.claim("compile", "timed with its compilation the loop looks slower by the factor", cold / contiguous, above=10.0)
lesson.claim("strided", "time over a transposed view, over that of the array itself", strided / contiguous, above=2.0)

# %% [markdown]
# ## Exercises
#
# 1. Write softmax of each row with a running maximum and a running sum. What if a row is masked as a whole?
# 2. Predict operations, bytes and intensity of a 512 product, and of a layer norm over 4096 x 256. Who waits for
#    memory?
# 3. Somebody's benchmark has Numba lose a hundredfold. Name three ways in which that can be the benchmark's fault.
# 4. Write a blocked product for sizes that the block does not divide, with either operand transposed.

# %% [markdown]
# ## Recap
#
# * Intensity decides: products can be bound by arithmetic, everything between them by memory.
# * Speed is locality: rows, register tiles, one walk in place of three. A rung that ought to help may not: where whole
#   rows fit into the cache, blocks only make the inner loops short. Measure.
# * The plain twin is the text and the oracle; the kernel is checked against it before it is timed.
#
# *Glossary*: FLOP (one addition or multiplication), bandwidth, intensity, roofline, cache, register, stride,
# contiguous, vectorised (one instruction for 4 to 16 numbers), packing, kernel, twin.
#
# *Where papers and code disagree*: Goto's panels are sized by the cache of one core; with threads on a shared cache
# codes choose smaller ones. Peak on paper assumes two fused operations a cycle, which thermal limits seldom allow.

# %%
lesson.end()
