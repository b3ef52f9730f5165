# ---
# title: Training, and how to know that it worked
# kind: core
# minutes: 50
# compile: 15
# needs: 01
# mathematics: cross entropy, Kullback-Leibler divergence, variance of a sum, initialisation
# python: classes that are called, functions as arguments
# paper: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks
# ---

# %% [markdown]
# # 03 Training, and how to know that it worked
#
# Lesson 01 gave us gradients. This one turns them into a classifier of drawn digits, and, more important, into numbers
# that can be believed: against chance, against the prior, against shuffled labels, over several seeds.
#
# Afterwards you can
# * derive cross entropy, tell it from Kullback-Leibler divergence, and say what an untrained model costs;
# * train with `train.fit`, and compare optimizers and schedules fairly: each at its own best rate;
# * recognise a vanishing gradient before you have waited for it, and cure it.
#
# The digits are drawn here; `--data PATH` takes MNIST's four files in place of them.
#
# **New Python.** An object with `__call__` is used like a function: `model(x)`. And a function may be an argument:
# `fit` takes `loss_fn`, so that one loop trains everything in this course.

# %%
import numpy as np

import tinymm as mm
from tinymm import learn, nn, optim, train, viz
from tinymm.data import images
from tinymm.data.loader import Loader

lesson = learn.begin("03_training")


class Scale:  # an object that is called
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


print("Scale(3)(4) =", Scale(3)(4), "; applied by a function:", list(map(Scale(2), [1, 2])))

# %% [markdown]
# ## The question: where did the model look?
#
# Take 5 x 5 noise pictures and say "1" when the pixel at row 1, column 3 is brighter than the one at row 3, column 1.
# We know the right map: two cells, one positive, one negative. Train a small network on it and ask the engine for
# d (logit of "1" minus logit of "0") / d input: the **input gradient**. Does it find the two?

# %%
def network(*sizes, p_drop=0.0):
    """Linear layers with ReLU between them; dropout before the last."""
    layers = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        if i:
            layers += [nn.ReLU()] + ([nn.Dropout(p_drop)] if i == len(sizes) - 2 else [])
        layers.append(nn.Linear(a, b))
    return nn.Sequential(*layers)


def loss_fn(model, batch):
    x, y = batch
    return mm.cross_entropy(model(x), y)


def input_gradient(model, x, plus, minus=None):
    """d (logit `plus` - logit `minus`) / d x, one for each picture: of x's shape."""
    leaf = mm.Tensor(x, requires_grad=True)
    logits = model(leaf)
    rows = np.arange(len(x))
    out = logits[rows, plus] if minus is None else logits[rows, plus] - logits[rows, minus]
    out.sum().backward()
    return leaf.grad


noise = lesson.rng.random((2000, 25), dtype=np.float32)
brighter = (noise[:, 1 * 5 + 3] > noise[:, 3 * 5 + 1]).astype(np.int64)
mm.manual_seed(lesson.seed)
tiny = network(25, 32, 2)
train.fit(tiny, Loader((noise, brighter), 50, shuffle=True), optim.Adam(tiny.parameters(), lr=3e-3), loss_fn,
          epochs=lesson.pick(fast=10, full=30), progress=False)
tiny_map = input_gradient(tiny, noise, 1, 0).mean(0).reshape(5, 5)
share = (tiny_map[1, 3] - tiny_map[3, 1]) / abs(tiny_map).sum()
lesson.claim("looks_there", "share of the input gradient on the two cells that decide, with the right signs", share,
             above=0.5, settled="holds")
fig, axes = viz.figure(size=(3.6, 2.8))
viz.heatmap(axes, tiny_map, signed=True, numbers=True, digits=1, label="d (logit 1 - logit 0) / d pixel",
            title="Two cells decide", xlabel="column", ylabel="row")
lesson.figure(fig, "tiny_map", alt=f"Mean input gradient on a 5 by 5 picture: {tiny_map[1, 3]:.2f} at row 1, column 3, "
              f"{tiny_map[3, 1]:.2f} at row 3, column 1, close to zero elsewhere.")

# %% [markdown]
# ## Equation, shapes, code: cross entropy and KL
#
# A model gives a number for each class, the **logits** z. Softmax makes them probabilities: p_k = exp(z_k) / sum of
# exp(z_j). The cost of the true class y is **cross entropy**, L = -log p_y: how surprised the model was. The gradient
# is short: dL/dz = p - onehot(y).
#
# For two distributions, **Kullback-Leibler divergence** KL(q || p) = sum_k q_k log(q_k / p_k) says how much it costs to
# believe p where q is true. Cross entropy of q and p is the entropy of q plus KL(q || p); with one-hot labels q the
# entropy is 0 and the two are the same. KL is never negative, 0 only when p = q, and not symmetric.
#
# | symbol | meaning | shape | in the library |
# |---|---|---|---|
# | x | pictures, flattened | (B, pixels) | `data.images.glyphs` |
# | W, b | weights of a layer | (out, in), (out,) | `nn.Linear` |
# | z | logits | (B, classes) | `model(x)` |
# | L | mean cross entropy | () | `mm.cross_entropy(z, y)` |
# | KL | divergence | () | `mm.kl_div(log_p, q)` |
# | dropout | in training, a number becomes 0 with probability p, else is divided by 1 - p | that of x | `nn.Dropout` |

# %%
if lesson.data is None:
    x, y = images.glyphs(lesson.pick(fast=2000, full=5000), seed=lesson.seed)
    x_test, y_test = images.glyphs(2000, seed=lesson.seed + 1000)
    names = images.DIGITS
else:
    digits = images.read_mnist(lesson.data)
    n = lesson.pick(fast=3000, full=len(digits.train_x))
    x, y, x_test, y_test, names = digits.train_x[:n], digits.train_y[:n], digits.test_x, digits.test_y, digits.names
    if not (np.isfinite(x).all() and np.isfinite(x_test).all()):
        raise ValueError(f"{lesson.data}: the pictures hold NaN or infinity; expected brightness")
side, classes = x.shape[1], len(names)
x, x_test = x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)
some = lesson.pick(fast=4, full=8) if lesson.data is None else 2  # epochs of each run below
n_val = len(x) // 5  # held out from training: for choosing rates. The test set is for the last word only
x_val, y_val, x, y = x[:n_val], y[:n_val], x[n_val:], y[n_val:]
print(f"{len(x)} pictures of {side} x {side} to train on, {n_val} to choose with, {len(x_test)} to test")

# %% [markdown]
# ## By hand
#
# Logits (2, 1, 0), true class 0. exp: 7.389, 2.718, 1; their sum 11.107; p = (0.665, 0.245, 0.090). So L = -log 0.665 =
# 0.408, and the gradient is (-0.335, 0.245, 0.090). An untrained model of ten classes believes in nothing: p = 1/10
# each, and L = ln 10 = 2.303. **If your first loss is not ln(classes), something is wrong.**
#
# KL of (1/2, 1/2) from (9/10, 1/10) is 0.511; the other way round it is 0.368.

# %%
z = mm.Tensor([[2.0, 1.0, 0.0]], requires_grad=True, dtype=np.float32)
L = mm.cross_entropy(z, np.array([0]))
L.backward()
print(f"L = {L.item():.3f}, gradient {np.round(z.grad[0], 3)}")
q, p = np.array([0.5, 0.5]), np.array([0.9, 0.1])
kl = [mm.kl_div(mm.Tensor(np.log(b)), a, reduction="sum").item() for a, b in ((q, p), (p, q))]
print(f"KL(q || p) = {kl[0]:.3f}, KL(p || q) = {kl[1]:.3f}")
entropy, cross = -(q * np.log(q)).sum(), -(q * np.log(p)).sum()
lesson.claim("cross_is_sum", "cross entropy minus entropy minus KL", abs(cross - entropy - kl[0]), below=1e-12,
             settled="holds")


def fresh(seed, *sizes, **options):
    mm.manual_seed(seed)
    return network(*(sizes or (side * side, 64, classes)), **options)


with mm.no_grad():
    first = [loss_fn(fresh(seed), (x, y)).item() for seed in lesson.seeds]
lesson.claim("first_loss", f"loss of an untrained model, over ln {classes}", [loss / np.log(classes) for loss in first],
             within=(0.9, 1.1), settled="holds")

# %% [markdown]
# ## Gradient check
#
# The whole network at once, every parameter, dropout included: the check starts the library's random numbers anew at
# each call, so that the same units drop out both times. It runs in float64 on the plain NumPy kernels.

# %%
model = fresh(lesson.seed, 12, 9, 5, p_drop=0.5)
batch = lesson.rng.normal(size=(4, 12)), np.array([0, 3, 1, 4])
with mm.kernels.using("numpy"):
    report = mm.gradcheck(lambda v: loss_fn(model, (v, batch[1])), [batch[0]], params=model)
lesson.claim("gradcheck", f"largest error over {report.n_entries + report.n_directions} comparisons", report.max_error,
             below=1e-5, settled="holds")

# %% [markdown]
# ## Training
#
# **First overfit one batch.** A network that cannot learn 32 pictures by heart has a fault, and no data will cure it.

# %%
def accuracy(model, x, y):
    model.eval()  # dropout off
    with mm.no_grad():
        return float((model(x).data.argmax(1) == y).mean())


def run(seed, optimizer, *, data=None, sizes=(), epochs=None, p_drop=0.0, schedule=None):
    """Train a fresh network. Returns it, and its history."""
    data = (x, y) if data is None else data
    model = fresh(seed, *sizes, p_drop=p_drop)
    history = train.fit(model, Loader(data, 50, shuffle=True, seed=seed), optimizer(model.parameters()), loss_fn,
                        epochs=epochs or some, schedule=schedule, progress=lesson.data is not None)
    return model, history


def adam(parameters):
    return optim.Adam(parameters, lr=3e-3)


one_batch = run(lesson.seed, adam, data=(x[:32], y[:32]), epochs=200)[1].loss[-1]
lesson.claim("overfits", "loss on one batch of 32 after 200 steps", one_batch, below=0.05, settled="holds")

# %% [markdown]
# **Then against baselines.** *Chance* is 1/10. The *prior* always answers the most frequent class. *Shuffled labels*:
# the same network, the same pictures, labels dealt out at random, so that it can only learn by heart.
#
# On MNIST (48,000 pictures to train on, two epochs a run) this network reached a test accuracy of 0.962 (three seeds,
# interval 0.953 to 0.970); the whole lesson took 82 s on two cores. There the cosine schedule below did pay.

# %%
trained = [run(seed, adam) for seed in lesson.seeds]
control = [run(seed, adam, data=(x, lesson.rng.permutation(y))) for seed in lesson.seeds]
scores = [accuracy(model, x_test, y_test) for model, _ in trained]
scores_control = [accuracy(model, x_test, y_test) for model, _ in control]
prior = float((y_test == np.bincount(y).argmax()).mean())
print(f"test accuracy {np.mean(scores):.3f}; chance {1 / classes:.3f}, prior {prior:.3f}, "
      f"shuffled labels {np.mean(scores_control):.3f}")
lesson.claim("learns", "test accuracy", scores, above=0.75, settled="holds")
lesson.claim("beats_prior", "test accuracy above that of the prior, by", [s - prior for s in scores], above=0.0,
             settled="holds")
lesson.claim("shuffled_is_chance", "test accuracy after training on shuffled labels", scores_control, within=(0.0, 0.2),
             settled="holds")

# %% [markdown]
# **Optimizers.** All follow the gradient; they differ in what they remember. *Momentum* keeps a running mean of
# gradients, *Adagrad* divides by the root of the sum of their squares, *RMSprop* by that of a running mean of squares,
# *Adam* does both and corrects for the start, *AdamW* takes weight decay out of the gradient. A comparison at one
# learning rate compares rates. So each gets three rates, and the one that is best on the validation set is tested.

# %%
makers = {
    "SGD": (lambda p, lr: optim.SGD(p, lr=lr), (0.03, 0.1, 0.3)),
    "momentum": (lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9), (0.01, 0.03, 0.1)),
    "Adagrad": (lambda p, lr: optim.Adagrad(p, lr=lr), (0.01, 0.03, 0.1)),
    "RMSprop": (lambda p, lr: optim.RMSprop(p, lr=lr), (1e-3, 3e-3, 1e-2)),
    "Adam": (lambda p, lr: optim.Adam(p, lr=lr), (1e-3, 3e-3, 1e-2)),
    "AdamW": (lambda p, lr: optim.AdamW(p, lr=lr), (1e-3, 3e-3, 1e-2)),
}
lesson.predict("adam", "each at its own best rate: Adam tests better than SGD with momentum")
curves, tested = {}, {}
for name, (maker, rates) in lesson.progress(makers.items(), "optimizers"):
    best = max(rates, key=lambda lr: accuracy(run(99, lambda p: maker(p, lr))[0], x_val, y_val))  # noqa: B023
    runs = [run(seed, lambda p: maker(p, best)) for seed in lesson.seeds]  # noqa: B023
    curves[f"{name}, {best:g}"] = [h.loss for _, h in runs]
    tested[name] = [accuracy(model, x_test, y_test) for model, _ in runs]
    print(f"  {name:<9} best rate {best:<6g} test accuracy {np.mean(tested[name]):.3f}")
lesson.claim("adam", "Adam's test accuracy minus that of SGD with momentum, each at its best rate",
             np.subtract(tested["Adam"], tested["momentum"]), above=0.0)
lesson.claim("momentum", "momentum's test accuracy minus that of plain SGD, each at its best rate",
             np.subtract(tested["momentum"], tested["SGD"]), above=0.0)

# %% [markdown]
# **Schedules.** The rate may change with the step: a high one to get there, a low one to settle. A schedule is a pure
# function of the step, so that a resumed run cannot differ.

# %%
total = len(Loader((x, y), 50)) * some
schedules = {"constant": optim.schedule.constant(), "linear": optim.schedule.linear(total // 10, total),
             "cosine": optim.schedule.cosine(total // 10, total), "step": optim.schedule.step(total // 3, 0.3)}
by_schedule = {name: [accuracy(run(seed, lambda p: optim.AdamW(p, lr=1e-2), schedule=schedule)[0], x_test, y_test)
                      for seed in lesson.seeds] for name, schedule in schedules.items()}
lesson.claim("cosine", "at a high rate, cosine tests better than constant, by",
             np.subtract(by_schedule["cosine"], by_schedule["constant"]), above=0.0)

# %% [markdown]
# **Dropout** hides half of the hidden units at each step, so that none can rely on one neighbour. It should help where
# data is scarce. Here is a network with 100 pictures, with and without.

# %%
few = (x[:100], y[:100])
lesson.predict("dropout", "with 100 pictures, dropout of one half tests better")
plain, dropped = ([run(seed, adam, data=few, sizes=(side * side, 256, classes), epochs=200, p_drop=p)[0]
                   for seed in lesson.seeds] for p in (0.0, 0.5))
gain = [accuracy(b, x_test, y_test) - accuracy(a, x_test, y_test) for a, b in zip(plain, dropped)]
lesson.claim("dropout", "gain in test accuracy by dropout", gain, above=0.0)

# %% [markdown]
# ## Figures: loss, input gradients, and what goes wrong
#
# The input gradient of the true class says which pixels, made darker, would raise its logit. Mean over a class: red ink
# helps, blue ink speaks against it. Read it with care: it is a slope at these pictures, not a reason.

# %%
fig, axes = viz.figure(1, 3, (4.0, 3.6), width_ratios=(1.25, 1, 1))
smooth = {name: [np.convolve(c, np.ones(20) / 20, "valid") for c in loss] for name, loss in curves.items()}
viz.lines(axes[0], None, smooth, xlabel="step", ylabel="training loss (mean of 20 steps)", logy=True,
          title="Six optimizers, each at its best rate", legend="below")
viz.lines(axes[1], None, {n: [s(i) for i in range(total)] for n, s in schedules.items()}, xlabel="step",
          ylabel="factor of the rate", title="Four schedules", legend="below")
viz.bars(axes[2], by_schedule | {"chance": 1 / classes}, xlabel="test accuracy", title="AdamW at rate 0.01")
described = ", ".join(f"{n} {np.mean(v):.3f}" for n, v in by_schedule.items())
lesson.figure(fig, "optimizers", alt="Left: training loss of six optimizers, three seeds each; the adaptive ones and "
              f"momentum fall fastest. Middle: four schedules. Right: test accuracy by schedule: {described}.")

model = trained[0][0]
gradient = input_gradient(model, x_test, y_test)
maps = [gradient[y_test == k].mean(0).reshape(side, side) for k in range(classes)]
fig = viz.images(maps, list(names), cols=5, signed=True, title="d logit of the class / d pixel, mean over a class")
lesson.figure(fig, "input_gradients", alt="Mean input gradient for each of the ten digits: positive along the strokes "
              "of the digit, negative where other digits have ink.")
with mm.no_grad():
    probability = mm.softmax(model(x_test)).data
guess = probability.argmax(1)
wrong = np.flatnonzero(guess != y_test)
worst = wrong[np.argsort(-probability[wrong, guess[wrong]])[:8]]
fig = viz.images(x_test[worst].reshape(-1, side, side),
                 [f"{names[y_test[i]]} as {names[guess[i]]}, {probability[i, guess[i]]:.2f}" for i in worst], cols=4)
lesson.figure(fig, "mistakes", alt="The eight mistakes that the network is surest of: each drawn digit with its true "
              "class, the answer, and the probability given to it. Being sure is not being right.")

# %% [markdown]
# ## Break it: twenty sigmoids
#
# The sigmoid's slope is at most 1/4. A gradient that passes twenty of them has been multiplied by at most 0.25^20 =
# 9e-13 (and by weights). The cure is arithmetic: the variance of a sum of n products is n times that of one, so weights
# of variance 2/n keep the size of activations and gradients through ReLU, which is 0 for half of its inputs (*He
# initialisation*, `nn.init.kaiming_normal_`). Predict: does the deep sigmoid network learn anything?

# %%
def deep(seed, activation, he):
    mm.manual_seed(seed)
    layers = [nn.Linear(side * side, 32), activation()]
    for _ in range(19):
        layers += [nn.Linear(32, 32), activation()]
    for layer in layers[::2]:
        if he:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers, nn.Linear(32, classes))


def gradient_norms(model):
    """The norm of the gradient of each layer's weights, first layer first."""
    loss_fn(model, (x[:256], y[:256])).backward()
    return [float(np.linalg.norm(p.grad)) for name, p in model.named_parameters() if name.endswith("weight")][:20]


kinds = {"sigmoid": (nn.Sigmoid, False), "ReLU, usual start": (nn.ReLU, False), "ReLU, He": (nn.ReLU, True)}
norms = {name: [gradient_norms(deep(seed, *kind)) for seed in lesson.seeds] for name, kind in kinds.items()}
decay = {name: [np.log10(n[0] / n[-1]) for n in found] for name, found in norms.items()}
lesson.claim("vanishes", "twenty sigmoids: gradient of the first layer over that of the last, power of ten",
             decay["sigmoid"], below=-6.0, settled="holds")
lesson.claim("he_keeps", "twenty ReLUs after He: the same power of ten", decay["ReLU, He"], within=(-2, 2),
             settled="holds")
lesson.predict("deep_sigmoid", "the network of twenty sigmoids gets above twice chance")
deep_scores = {}
for name, kind in kinds.items():
    deep_scores[name] = []
    for seed in lesson.seeds:
        model = deep(seed, *kind)
        train.fit(model, Loader((x, y), 50, shuffle=True, seed=seed), optim.Adam(model.parameters(), lr=1e-3), loss_fn,
                  epochs=some, progress=lesson.data is not None)
        deep_scores[name].append(accuracy(model, x_test, y_test))
lesson.claim("deep_sigmoid", "test accuracy of twenty sigmoids", deep_scores["sigmoid"], above=2 / classes)
lesson.claim("deep_he", "test accuracy of twenty ReLUs after He", deep_scores["ReLU, He"], above=2 / classes,
             settled="holds")
fig, axes = viz.figure(1, 2, (4.4, 3.0))
viz.lines(axes[0], np.arange(1, 21), norms, xlabel="layer", ylabel="norm of the weights' gradient", logy=True,
          title="Before training: who hears the loss?")
axes[0].set_xticks([1, 5, 10, 15, 20])
viz.bars(axes[1], deep_scores, xlabel="test accuracy", title="After training", reference=(1 / classes, "chance"))
lesson.figure(fig, "vanishing", alt="Left: norm of the gradient by layer for twenty layers, logarithmic. With sigmoids "
              f"it falls by {-np.mean(decay['sigmoid']):.0f} powers of ten towards the first layer; with ReLU and He's "
              "start it stays level. Right: test accuracy: "
              + ", ".join(f"{n} {np.mean(v):.2f}" for n, v in deep_scores.items()) + ".")

# %% [markdown]
# ## Exercises
#
# 1. Implement AdamW. Without bias correction its first step is 3.16 times too long: why?
# 2. Predict the first loss of a model with 37 classes, and the largest share of a gradient that passes 12 sigmoids.
# 3. Four loss curves, four faults: gradients not cleared, dropout on in validation, inputs and labels shuffled apart,
#    scaling learnt from the test set. Which is which?
# 4. Write warm-up and cosine as one pure function of the step. What must it give at the step where they meet?

# %% [markdown]
# ## Recap
#
# * The first loss is ln(classes); one batch can be learnt by heart; shuffled labels give chance. Check these first.
# * Optimizers are compared each at its own best rate, chosen on data that is not the test set, over several seeds.
# * Gradients multiply through layers. Start from weights that keep their size, or the first layers hear nothing.
#
# *Glossary*: logit, cross entropy, KL divergence, prior, validation and test set, momentum, weight decay, dropout,
# schedule, warm-up, vanishing gradient, input gradient.
#
# *Where papers and code disagree*: dropout's paper scales at test time, code while training. Adam's paper puts epsilon
# outside the corrected root, some codes inside. AdamW in code multiplies its decay by the learning rate.

# %%
lesson.end()
