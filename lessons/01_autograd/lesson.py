# ---
# title: From the chain rule to an engine
# kind: core
# minutes: 45
# compile: 0
# needs: nothing
# mathematics: chain rule, Jacobian, vector-Jacobian product, central difference
# python: closures, decorators, broadcasting
# paper: Baydin, Pearlmutter, Radul, Siskind 2018, Automatic differentiation in machine learning: a survey
# ---

# %% [markdown]
# # 01 From the chain rule to an engine
#
# Everything in this course learns by one trick: compute a number that says how wrong we are, ask how that number would
# move if each weight moved a little, and move the weights the other way. This lesson builds the part that asks.
#
# Afterwards you can
# * say what a gradient is, and compute one by hand through a graph in which a value is used twice;
# * write an op (a function together with its gradient) and add it to the library;
# * check any gradient against numbers, and say how a careless check is fooled;
# * say which steps can be learned through, and which cannot.
#
# **New Python.** A *closure* is an inner function that remembers the variables of the outer one. A *decorator* is a
# function that takes a function and returns another: `@d` above `def f` means `f = d(f)`. *Broadcasting* repeats an
# array along the axes that it lacks.

# %%
import numpy as np

import tinymm as mm
from tinymm import learn, viz

lesson = learn.begin("01_autograd")
mm.kernels.use("numpy")  # plain NumPy below the engine; lesson 02 makes it fast


def twice(function):  # a decorator; the inner function is a closure: it remembers `function`
    return lambda x: function(function(x))


@twice
def plus_three(x):
    return x + 3


print(f"plus_three twice: 4 -> {plus_three(4)}; (2, 1) + (3,) -> {(np.ones((2, 1)) + np.ones(3)).shape}")

# %% [markdown]
# ## The question: what moved the output?
#
# The world reaches us through several channels, and they come in different forms. Below is one scene, a red circle to
# the left of a blue square, four times: as pixels, as a caption, as a sound (one pitch for each colour), as a table of
# regions. Thousands of numbers, where "is the circle on the left?" needs one bit. The course does three things with
# channels: *compare* them (lessons 16, 17), *translate* one into another (08, 09, 24, 28), and *consult* one to answer
# about another (18 to 23). A model is a function from such arrays to a number or a word, and the first question about
# it is always the same: *which input moved the output?*

# %%
size, rate = 32, 8000
yy, xx = np.mgrid[:size, :size]
circle = (yy - 18) ** 2 + (xx - 9) ** 2 <= 34
square = (abs(yy - 14) <= 5) & (abs(xx - 23) <= 5)
pixels = np.where(circle[..., None], (0.84, 0.15, 0.1), np.where(square[..., None], (0.1, 0.3, 0.8), 1.0))
caption = "a red circle left of a blue square".split()
word_ids = np.array([sorted(set(caption)).index(word) for word in caption])
t = np.arange(rate // 4) / rate
wave = np.concatenate([np.sin(2 * np.pi * pitch * t) * np.exp(-8 * t) for pitch in (262.0, 440.0)])
regions = np.array([[y.min(), x.min(), y.max(), x.max(), *pixels[mask].mean(0)]
                    for mask in (circle, square) for y, x in [np.nonzero(mask)]])

channels = {"pixels": pixels, "caption": word_ids, "sound": wave, "regions": regions}
fig, axes = viz.figure(2, 2, (4.2, 2.6), title="One scene, four channels")
axes[0, 0].imshow(pixels)
axes[0, 1].text(0.5, 0.6, "a red circle\nleft of a blue square", ha="center", fontsize=12)
axes[0, 1].text(0.5, 0.25, f"word numbers {' '.join(map(str, word_ids))}", ha="center")
axes[1, 0].plot(np.arange(wave.size) / rate, wave, linewidth=0.5)
axes[1, 0].set(xlabel="seconds")
viz.heatmap(axes[1, 1], regions / [size, size, size, size, 1, 1, 1], rows=["circle", "square"], numbers=True, bar=False,
            cols=["top", "left", "bottom", "right", "red", "green", "blue"])
axes[1, 1].tick_params(labelsize=7)
for ax, (name, array) in zip(axes.ravel(), channels.items()):
    ax.set_title(f"{name}: shape {array.shape}, {array.size:,} numbers")
for ax in axes[0]:
    ax.set_axis_off()
lesson.figure(fig, "channels", alt="One scene, a red circle left of a blue square, in four channels: an image of 32 by "
              "32 by 3 numbers, a caption of 8 word numbers, a sound of 4,000 samples, 2 regions of 7 numbers each.")

# %% [markdown]
# To see an answer before we can compute one, take three functions of five numbers whose answer is known: *reverse*
# (output i is input 4 - i: an anti-diagonal), *cumulative sum* (output i is the sum of inputs 0 to i: a triangle), and
# *softmax* (every output depends on every input: raising one raises its own share and lowers all others').
#
# The table of all answers, d out i / d in j, is the **Jacobian**. Draw what you expect of softmax before you go on.

# %%
def jacobian(function, x):
    """d out / d in, one backward for each output: (outputs, inputs)."""
    rows = []
    for i in range(len(x)):
        leaf = mm.Tensor(x, requires_grad=True)
        function(leaf)[i].backward()
        rows.append(leaf.grad)
    return np.array(rows)


x = np.array([0.5, -1.0, 2.0, 0.0, 1.0])
y = np.exp(x) / np.exp(x).sum()
known = {"reverse": np.eye(5)[::-1], "cumulative sum": np.tri(5), "softmax": np.diag(y) - np.outer(y, y)}
functions = {"reverse": lambda v: v[::-1], "cumulative sum": lambda v: v.cumsum(), "softmax": lambda v: v.softmax()}
maps = {name: jacobian(function, x) for name, function in functions.items()}
worst = max(abs(maps[name] - known[name]).max() for name in maps)
lesson.claim("maps", "the engine's maps differ from the known ones by at most", worst, below=1e-12, settled="holds")

fig, axes = viz.figure(1, 3, (3.2, 2.7))
for ax, (name, matrix) in zip(axes, maps.items()):
    viz.heatmap(ax, matrix, title=name, signed=True, numbers=True, bar=False, vmax=1.0, ylabel="out i", xlabel="in j")
lesson.figure(fig, "who_depends_on_whom", alt="Three 5 by 5 maps of d output i / d input j. Reverse: ones on the "
              "anti-diagonal. Cumulative sum: ones on and below the diagonal. Softmax: positive on the diagonal, "
              "negative elsewhere, largest at the largest input.")

# %% [markdown]
# ## Equation, shapes, code
#
# **The chain rule.** If L depends on y and y on x, then dL/dx_j = sum over i of dL/dy_i * dy_i/dx_j. In words: take
# the numbers g = dL/dy that arrive at an op, multiply them with the op's Jacobian, hand the result on. That product is
# the **vector-Jacobian product** (VJP). The Jacobian itself is never built.
#
# | symbol | meaning | shape | in the library |
# |---|---|---|---|
# | x | an input of an op | any | `Tensor.data` |
# | y | its output | any | the op's first return value |
# | g | dL/dy, what arrives | that of y | the argument of a VJP |
# | d_x | dL/dx, what is handed on | that of x | what a VJP returns; ends in `Tensor.grad` |
#
# An **op** is a function that returns its value together with its VJPs, one for each input. Here are two, undecorated:
# plain NumPy, and closures that remember what they need.

# %%
def times(a, b):
    return a * b, (lambda g: g * b, lambda g: g * a)


def swish(x):  # x * sigmoid(x)
    s = 1 / (1 + np.exp(-x))
    return x * s, (lambda g: g * (s + x * s * (1 - s)),)


a, b = np.array(2.0), np.array(3.0)
product, (d_a, d_b) = times(a, b)  # forward: values, in order
L, (d_product,) = swish(product)
g = d_product(np.array(1.0))  # backward: VJPs, in reverse order, starting with dL/dL = 1
print(f"swish(2 * 3) = {L:.4f}; dL/da = {d_a(g):.4f}, dL/db = {d_b(g):.4f}")

# %% [markdown]
# That is all there is. What remains is book-keeping: remember which op was called on what, and walk back. `@mm.op`
# does it: decorated, the same function takes and returns Tensors. `samples` says on which arguments its gradient is to
# be checked; an op without them fails the library's tests.

# %%
mm.OPS.pop("lesson_1", None)  # so that this cell can be run again
swish_op = mm.op(swish, name="lesson_1", samples=lambda rng: [mm.Sample(rng.normal(size=(2, 3)))])
ta, tb = mm.Tensor(2.0, requires_grad=True), mm.Tensor(3.0, requires_grad=True)
swish_op(ta * tb).backward()
difference = max(abs(ta.grad - d_a(g)), abs(tb.grad - d_b(g)))
lesson.claim("by_hand", "engine and hand-made chain differ by at most", difference, below=1e-12, settled="holds")

# %% [markdown]
# ## By hand: a value that is used twice
#
# Let a = 2, b = 3, s = a + b, y = s * b. Then y = 15. b reaches y on two ways: through s, and directly. Along the first
# dy/db = b = 3, along the second dy/db = s = 5. **Gradients of several uses add up**: 3 + 5 = 8, and dy/da = 3.
# An engine that *overwrites* instead of adding returns 3 or 5 for b, whichever comes last.

# %%
a, b = mm.Tensor(2.0, requires_grad=True), mm.Tensor(3.0, requires_grad=True)
s = a + b
y = s * b
fig = viz.draw_graph(y, {"a": a, "b": b, "s": s, "y": y}, title="y = (a + b) b")
lesson.figure(fig, "graph", alt="Graph of y = (a + b) times b for a = 2, b = 3. The leaves a and b go into s = add "
              "with value 5; s and b go into y = multiply with value 15. Gradients: y 1, s 3, a 3, b 8, since b is "
              "used twice and 3 + 5 = 8.")
y.backward()
lesson.claim("reuse", "the gradient of the value that is used twice is", b.grad, within=(8, 8), settled="holds")

# %% [markdown]
# **Residual paths.** In x -> x + f(x), repeated n times, the number of *ways* from the output to the input doubles at
# every step: 2^n. An engine that follows each way is lost at n = 40. One that waits until all gradients of a node have
# arrived visits each node once. Nodes are numbered as they are made, so walking by falling number is waiting enough.
#
# **Unbroadcast.** A bias of shape (3,) added to a (2, 3) array is used twice, once a row. So its gradient is the sum
# over the rows. The engine does this once, for all ops: `mm.unbroadcast` sums over the axes that broadcasting made.

# %%
h, visits = mm.Tensor(np.ones(3), requires_grad=True), []
for _ in range(40):
    h = h + h.tanh() * 0.1
    h.register_hook(lambda g: visits.append(g))  # called each time that a gradient is handed on
h.sum().backward()
print(f"following every way would take {2.0**41:.1e} calls")
lesson.claim("residuals", "visits to 40 residual steps in one backward", len(visits), within=(40, 40), settled="holds")

bias = mm.Tensor(np.zeros(3), requires_grad=True)
rows = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
((rows + bias) * rows).sum().backward()
gap = abs(bias.grad - rows.sum(0)).max()
lesson.claim("unbroadcast", "distance of the bias's gradient from the sum over rows", gap, below=0.0, settled="holds")

# %% [markdown]
# ## Gradient check
#
# Never trust a gradient that has not met a number. Move one input by h, both ways, and compare the **central
# difference** (L(x + h) - L(x - h)) / 2h with what backward says. Its error has two parts: cutting off the Taylor
# series costs about h^2, rounding costs about 1e-16 / h. Where would you put h?

# %%
def numeric(function, x, h):
    """Central differences of a function of one vector that returns a number."""
    return np.array([(function(x + e) - function(x - e)) / (2 * h) for e in h * np.eye(x.size)])


x0 = np.array([0.3, -0.7, 1.1])
leaf = mm.Tensor(x0, requires_grad=True)
leaf.tanh().sum().backward()
steps = np.logspace(-12, -0.5, 47)
errors = np.array([abs(numeric(lambda v: np.tanh(v).sum(), x0, h) - leaf.grad).max() for h in steps])
best, coarse = steps[errors.argmin()], (steps > 1e-3) & (steps < 1e-1)
slope = np.polyfit(np.log(steps[coarse]), np.log(errors[coarse]), 1)[0]
lesson.claim("coarse", "for coarse steps the error grows as h to the", slope, within=(1.9, 2.1), settled="holds")
fig, axes = viz.figure(size=(5.2, 3.2))
viz.lines(axes, steps, {"error": errors}, xlabel="step h", ylabel="largest error of the gradient", logx=True, logy=True,
          title="Too small is as bad as too large")
axes.annotate(f"best near {best:.0e}", (best, errors.min()), (0, 60), textcoords="offset points", ha="center",
              arrowprops={"arrowstyle": "->"})
lesson.figure(fig, "step_size", alt=f"Error of central differences against the step h, logarithmic: a V, lowest "
              f" near {best:.0e}; left of it rounding dominates, right of it the Taylor series, with slope 2.")

# %% [markdown]
# **How a check is fooled.** It is tempting to sum the output and check that one number. But the outputs of softmax sum
# to 1 whatever the input: the true gradient of the *sum* is 0, and a softmax whose backward returns zeros passes.
# So `mm.gradcheck` weighs the outputs with *random* numbers before it sums.

# %%
def new_op(function):
    """An op under a name that may be used again."""
    mm.OPS.pop("lesson_1", None)
    return mm.op(function, name="lesson_1")


def passes(function, x):
    """Whether `mm.gradcheck` lets it pass; prints what it says."""
    try:
        report = mm.gradcheck(function, [x])
        print(f"  passes: {report.n_entries} entries compared, largest error {report.max_error:.1e}")
        return 1.0
    except (AssertionError, ValueError) as problem:
        print("  caught:", " ".join(str(problem).split())[:110])
        return 0.0


@new_op
def lazy_softmax(v):
    e = np.exp(v - v.max())
    return e / e.sum(), (lambda g: np.zeros_like(g),)  # wrong: softmax has a gradient


fooled = passes(lambda v: lazy_softmax(v).sum(), x0)
caught = passes(lazy_softmax, x0)
lesson.claim("sum_is_fooled", "a check of the sum lets it pass (1 = yes)", fooled, within=(1, 1), settled="holds")
lesson.claim("random_is_not", "a check with a random cotangent lets it pass", caught, within=(1, 1), settled="fails")

# %% [markdown]
# **"Smooth steps can be back-propagated."** A smooth step passes. A *rounded* step is flat between its jumps: its true
# gradient is 0, and of no use; give it another and the check fails. A *sampled* step, a coin that shows 1 with
# probability p, answers differently at each call: the quotient of two draws is 0 or +-1/(2h), and shrinking h makes it
# worse. What has a derivative is the *mean* of many draws: lesson 10 builds on that.

# %%
rng = lesson.rng
lesson.predict("sampled", "the two coins come nearer, h = 0.1, 0.01, 0.001: the spread of the quotient falls below 1")
smooth = passes(lambda v: v.softmax().tanh(), x0)
rounded = passes(new_op(lambda v: (np.round(v), (lambda g: g,))), x0)
sampled = passes(new_op(lambda v: ((rng.random(v.shape) < v) * 1.0, (lambda g: g,))), np.full(40, 0.4))
lesson.claim("smooth", "a smooth step passes the gradient check", smooth, within=(1, 1), settled="holds")
lesson.claim("rounded", "a rounded step with the gradient 1 passes", rounded, within=(1, 1), settled="fails")
lesson.claim("drawn", "a sampled step with the gradient 1 passes", sampled, within=(1, 1), settled="fails")


def quotients(h, n, p=0.4):
    return ((rng.random(n) < p + h) * 1.0 - (rng.random(n) < p - h)) / (2 * h)


for h in (0.1, 0.01, 0.001):
    print(f"  h = {h}: the quotients of 2,000 pairs of draws spread by {quotients(h, 2000).std():.3g}")
spreads, means = zip(*[(quotients(0.001, 2000).std(), quotients(0.1, 200_000).mean()) for _ in range(3)])
lesson.claim("sampled", "the quotient settles: its spread at h = 0.001", spreads, below=1.0, settled="fails")
lesson.claim("mean_of_draws", "the mean of 200,000 draws has p's slope", means, within=(0.9, 1.1), settled="holds")

# %% [markdown]
# ## Training
#
# Now use it: fit a bumpy curve with one hidden layer of 16 units, all of it written out. Two baselines say what a
# number is worth: always answer the mean, and train on *shuffled* targets, so that there is nothing to learn.

# %%
def fit(seed, steps, shuffle=False, forget_to_clear=False):
    """Returns the validation error, its curve, and the fitted function."""
    rng = np.random.default_rng(seed)
    x, x_val = rng.uniform(-1, 1, (64, 1)), np.linspace(-1, 1, 41)[:, None]
    target, target_val = np.sin(5 * x), np.sin(5 * x_val)
    target = rng.permutation(target) if shuffle else target
    start = rng.normal(size=(1, 16)) * 3, rng.normal(size=16), rng.normal(size=(16, 1)) / 4, np.zeros(1)
    w1, b1, w2, b2 = parameters = [mm.Tensor(p, requires_grad=True) for p in start]

    def predict(x):
        return (x @ w1 + b1).tanh() @ w2 + b2

    curve = []
    for _ in range(steps):
        if not forget_to_clear:
            for p in parameters:
                p.zero_grad()
        loss = ((predict(x) - target) ** 2).mean()
        loss.backward()
        with mm.no_grad():
            for p in parameters:
                p.assign(p.data - 0.05 * p.grad)
            curve.append(float(((predict(x_val) - target_val) ** 2).mean()))
    return curve[-1], curve, predict


steps = lesson.pick(fast=400, full=3000)
lesson.predict("forgot", "with gradients that are never cleared nothing is learned: worse than answering the mean")
trained = [fit(seed, steps) for seed in lesson.seeds]
shuffled = [fit(seed, steps, shuffle=True) for seed in lesson.seeds]
always_mean = np.var(np.sin(5 * np.linspace(-1, 1, 41)))
lesson.claim("learns", "validation error, in units of that of always answering the mean",
             [t[0] / always_mean for t in trained], below=0.5, settled="holds")
lesson.claim("beats_shuffled", "validation error below that of training on shuffled targets, by",
             [s[0] - t[0] for s, t in zip(shuffled, trained)], above=0.0, settled="holds")

# %% [markdown]
# ## Figures: the fit, the loss, and one failure
#
# Inside the range that it has seen, the curve is right. Outside, nothing has told it anything: tanh units flatten out
# and the sine goes on. A model's error is only known where it was measured.

# %%
wide = np.linspace(-2, 2, 161)[:, None]
with mm.no_grad():
    guesses = np.array([t[2](wide).data[:, 0] for t in trained])
fig, axes = viz.figure(1, 2, (4.4, 3.0))
viz.lines(axes[0], wide[:, 0], {"sin 5x": np.sin(5 * wide[:, 0]), "fit (3 seeds)": guesses}, xlabel="x", ylabel="y",
          title="Right inside [-1, 1] only")
axes[0].axvspan(-1, 1, color="0.93", zorder=0)
axes[0].set_ylim(-4, 4)
curves = {"trained": [t[1] for t in trained], "shuffled targets": [s[1] for s in shuffled],
          "always the mean": np.full(steps, always_mean)}
viz.lines(axes[1], None, curves, xlabel="step", ylabel="mean square", logy=True, title="Validation error")
inside = abs(wide[:, 0]) <= 1
square_error = (guesses - np.sin(5 * wide[:, 0])) ** 2
lesson.figure(fig, "training", alt=f"Left: the fitted curve follows sin 5x between -1 and 1 (mean square error "
              f"{square_error[:, inside].mean():.2g}) and leaves it outside ({square_error[:, ~inside].mean():.2g}). "
              "Right: validation error falls far below that of answering the mean; with shuffled targets it does not.")
ratios = [np.log10(e[~inside].mean() / e[inside].mean()) for e in square_error]
lesson.claim("outside", "the error outside the range seen in training is larger, by powers of ten", ratios, above=0.0)

# %% [markdown]
# ## Break it: forget to clear the gradients
#
# `backward` *adds* to `grad`, since a value may be used twice. So between two steps someone must clear it. Leave that
# out and each step walks along the sum of all gradients so far, like a ball without friction: it overshoots for ever.
# You were asked to predict; here is the run. The worst faults are those that still learn a little.

# %%
broken = [fit(seed, steps, forget_to_clear=True) for seed in lesson.seeds]
lesson.claim("forgot", "without clearing nothing is learned: error in units of that of answering the mean",
             [b[0] / always_mean for b in broken], above=1.0)
lesson.claim("forgot_costs", "without clearing the error is larger than with it, by powers of ten",
             [np.log10(b[0] / t[0]) for b, t in zip(broken, trained)], above=0.0)

# %% [markdown]
# ## Exercises
#
# 1. Implement `unbroadcast(g, shape)`: bring a gradient of shape (2, 3, 4, 5) to (3, 1, 5). Which axes are summed, and
#    which of them stay, with length 1?
# 2. Predict all gradients of (a + b) a for numbers of your own; then say what an engine returns that overwrites.
# 3. Write an op with a wrong gradient that passes a check of the summed output and fails a random cotangent.
# 4. Write `cumsum` as an op. Look at its map above: what does the transpose of that triangle do to g?

# %% [markdown]
# ## Recap
#
# * An op is a function with its VJPs. The engine records calls and walks back by falling number, adding what arrives.
# * A gradient is right when numbers agree with it under a random cotangent, in float64, at several shapes.
# * Smooth steps carry gradients. Rounding carries none, and a draw has none: only its mean does.
#
# *Glossary*: Jacobian, vector-Jacobian product (VJP), cotangent (the g that arrives), leaf (a tensor made by hand),
# central difference, closure, broadcasting.
#
# *Where texts and code disagree*: texts draw gradients on the graph's edges; code keeps them on nodes, and afterwards
# only those of leaves (`retain_grad` keeps others). At a kink (relu at 0) there is none; each library chooses one.

# %%
lesson.end()
