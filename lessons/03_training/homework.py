"""The exercises of lesson 03: AdamW, numbers known before training, four faulty runs, a schedule."""

import inspect

import numpy as np

from tinymm import optim
from tinymm.kernels.plain import optimizers as plain_optimizers
from tinymm.learn.homework import Call, Diagnose, Extend, Implement, Predict, Question, Test, Wrong

# ---- 1 ---------------------------------------------------------------------------------------------------------------


def steps(f, shapes, *, count, seed, size=1.0, scaled=False, missing=False, **settings):
    """The parameters after each of `count` steps; those at the end of the list have now and then no gradient."""
    import tinymm
    from tinymm.autograd import Tensor

    rng, seen = np.random.default_rng(seed), {}
    with tinymm.kernels.using("numpy"):
        params = [Tensor(rng.normal(size=shape) * 2, requires_grad=True) for shape in shapes]
        optimizer = f(params, **settings)
        for k in range(1, count + 1):
            for p in params:
                p.grad = rng.normal(size=p.shape) * size
            if missing and k % 2:
                params[-1].grad = None
            optimizer.step(*([rng.uniform(0.1, 0.9)] if scaled else []))
            for i, p in enumerate(params, 1):
                seen[f"parameter {i} after step {k}"] = np.array(p.data)
    return seen


def after_zero_grad(f, values):
    """Whether any parameter still has a gradient, and whether they are as they were."""
    from tinymm.autograd import Tensor

    params = [Tensor(v.copy(), requires_grad=True) for v in values]
    for p in params:
        p.grad = np.ones(p.shape)
    f(params).zero_grad()
    return ["None" if p.grad is None else "a gradient" for p in params], [np.array(p.data) for p in params]


def fitted(f, x, y):
    """The losses of a small model in training, as the lesson trains."""
    import tinymm
    from tinymm import nn, train

    with tinymm.kernels.using("numpy"):
        tinymm.manual_seed(0)
        model = nn.Sequential(nn.Linear(x.shape[1], 5), nn.Tanh(), nn.Linear(5, 3))
        history = train.fit(model, [(x, y)], f(model.parameters(), lr=0.03),
                            lambda m, batch: tinymm.cross_entropy(m(batch[0]), batch[1]), epochs=7,
                            schedule=lambda step: 1 / (1 + step), progress=False)  # fmt: skip
        return np.array(history.loss)


def stepping(count, *shapes, weight_decay=0.0, **more):
    """So many steps for parameters of these shapes, with a drawn rate."""
    return lambda rng: [Call(list(shapes), count=count, seed=int(rng.integers(10**6)), weight_decay=weight_decay,
                             lr=round(float(rng.uniform(0.01, 0.1)), 4), **more)]  # fmt: skip


def fit_data(rng):
    return [Call(rng.normal(size=(11, 7)).astype(np.float32), rng.integers(0, 3, 11))]


def some_values(rng):
    return [Call([rng.normal(size=(2, 3)), rng.normal(size=5)])]


def no_correction(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
    from tinymm.optim.optimizer import Optimizer

    class Own(Optimizer):
        def _state_names(self, group):
            return "m", "v"

        def _update(self, p, g, state, lr, t, group):
            m, v = state
            m[...] = betas[0] * m + (1 - betas[0]) * g
            v[...] = betas[1] * v + (1 - betas[1]) * g * g
            p *= 1 - lr * weight_decay
            p -= lr * m / (np.sqrt(v) + eps)

    return Own(params, lr=lr, weight_decay=weight_decay)


def always_corrects(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
    from tinymm.optim.optimizer import Optimizer

    class Own(Optimizer):
        def _state_names(self, group):
            return "m", "v"

        def _update(self, p, g, state, lr, t, group):
            m, v = state
            m[...] = betas[0] * m + (1 - betas[0]) * g
            v[...] = betas[1] * v + (1 - betas[1]) * g * g
            p *= 1 - lr * weight_decay
            p -= lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)

    return Own(params, lr=lr, weight_decay=weight_decay)


def time_from_zero(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
    from tinymm.optim.optimizer import Optimizer

    class Own(Optimizer):
        def _state_names(self, group):
            return "m", "v"

        def _update(self, p, g, state, lr, t, group):
            m, v = state
            m[...] = betas[0] * m + (1 - betas[0]) * g
            v[...] = betas[1] * v + (1 - betas[1]) * g * g
            p *= 1 - lr * weight_decay
            c1, c2 = 1 - betas[0] ** (t - 1), 1 - betas[1] ** (t - 1)
            with np.errstate(all="ignore"):
                p -= lr * (m / c1) / (np.sqrt(v / c2) + eps)

    return Own(params, lr=lr, weight_decay=weight_decay)


def keeps_the_corrected(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
    from tinymm.optim.optimizer import Optimizer

    class Own(Optimizer):
        def _state_names(self, group):
            return "m", "v"

        def _update(self, p, g, state, lr, t, group):
            m, v = state
            m[...] = betas[0] * m + (1 - betas[0]) * g
            v[...] = betas[1] * v + (1 - betas[1]) * g * g
            p *= 1 - lr * weight_decay
            c1, c2 = (1 - betas[0] ** t, 1 - betas[1] ** t) if bias_correction else (1, 1)
            m /= c1
            v /= c2
            p -= lr * m / (np.sqrt(v) + eps)

    return Own(params, lr=lr, weight_decay=weight_decay)


def eps_inside(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
    from tinymm.optim.optimizer import Optimizer

    class Own(Optimizer):
        def _state_names(self, group):
            return "m", "v"

        def _update(self, p, g, state, lr, t, group):
            m, v = state
            m[...] = betas[0] * m + (1 - betas[0]) * g
            v[...] = betas[1] * v + (1 - betas[1]) * g * g
            p *= 1 - lr * weight_decay
            c1, c2 = (1 - betas[0] ** t, 1 - betas[1] ** t) if bias_correction else (1, 1)
            p -= lr * (m / c1) / np.sqrt(v / c2 + eps)

    return Own(params, lr=lr, weight_decay=weight_decay)


def decay_in_the_gradient(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
    from tinymm.optim.optimizer import Optimizer

    class Own(Optimizer):
        def _state_names(self, group):
            return "m", "v"

        def _update(self, p, g, state, lr, t, group):
            m, v = state
            g = g + weight_decay * p
            m[...] = betas[0] * m + (1 - betas[0]) * g
            v[...] = betas[1] * v + (1 - betas[1]) * g * g
            c1, c2 = (1 - betas[0] ** t, 1 - betas[1] ** t) if bias_correction else (1, 1)
            p -= lr * (m / c1) / (np.sqrt(v / c2) + eps)

    return Own(params, lr=lr, weight_decay=weight_decay)


def decay_without_the_rate(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
    from tinymm.optim.optimizer import Optimizer

    class Own(Optimizer):
        def _state_names(self, group):
            return "m", "v"

        def _update(self, p, g, state, lr, t, group):
            m, v = state
            m[...] = betas[0] * m + (1 - betas[0]) * g
            v[...] = betas[1] * v + (1 - betas[1]) * g * g
            p *= 1 - weight_decay
            c1, c2 = (1 - betas[0] ** t, 1 - betas[1] ** t) if bias_correction else (1, 1)
            p -= lr * (m / c1) / (np.sqrt(v / c2) + eps)

    return Own(params, lr=lr, weight_decay=weight_decay)


def uphill(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
    from tinymm.optim.optimizer import Optimizer

    class Own(Optimizer):
        def _state_names(self, group):
            return "m", "v"

        def _update(self, p, g, state, lr, t, group):
            m, v = state
            m[...] = betas[0] * m + (1 - betas[0]) * g
            v[...] = betas[1] * v + (1 - betas[1]) * g * g
            p *= 1 - lr * weight_decay
            c1, c2 = (1 - betas[0] ** t, 1 - betas[1] ** t) if bias_correction else (1, 1)
            p += lr * (m / c1) / (np.sqrt(v / c2) + eps)

    return Own(params, lr=lr, weight_decay=weight_decay)


def gradient_taken_as_zero(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
    from tinymm.optim.optimizer import Optimizer

    class Own(Optimizer):
        def _state_names(self, group):
            return "m", "v"

        def _update(self, p, g, state, lr, t, group):
            m, v = state
            g = np.zeros_like(g)
            m[...] = betas[0] * m + (1 - betas[0]) * g
            v[...] = betas[1] * v + (1 - betas[1]) * g * g
            p *= 1 - lr * weight_decay
            c1, c2 = (1 - betas[0] ** t, 1 - betas[1] ** t) if bias_correction else (1, 1)
            p -= lr * (m / c1) / (np.sqrt(v / c2) + eps)

    return Own(params, lr=lr, weight_decay=weight_decay)


class SharesByShape:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
        self.params = list(params)
        self.param_groups = [{"params": self.params, "lr": lr}]
        self.settings, self.state = (*betas, eps, weight_decay, bias_correction), {}

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    def step(self, scale=1.0):
        import tinymm

        b1, b2, eps, decay, corrects = self.settings
        lr = self.param_groups[0]["lr"] * scale
        for p in self.params:
            if p.grad is None:
                continue
            t, m, v = self.state.get(p.shape, (0, 0.0, 0.0))
            t, m, v = t + 1, b1 * m + (1 - b1) * p.grad, b2 * v + (1 - b2) * p.grad**2
            self.state[p.shape] = t, m, v
            c1, c2 = (1 - b1**t, 1 - b2**t) if corrects else (1, 1)
            with tinymm.no_grad():
                p.assign((1 - lr * decay) * p.data - lr * (m / c1) / (np.sqrt(v / c2) + eps))


class OneTime:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
        self.params, self.t = list(params), 0
        self.param_groups = [{"params": self.params, "lr": lr}]
        self.settings = (*betas, eps, weight_decay, bias_correction)
        self.state = [(0.0, 0.0) for _ in self.params]

    def zero_grad(self):
        for p in self.params:
            p.grad = 0 * p.data

    def step(self, scale=1.0):
        import tinymm

        b1, b2, eps, decay, corrects = self.settings
        lr = self.param_groups[0]["lr"] * scale
        self.t += 1
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            m, v = self.state[i]
            m, v = self.state[i] = b1 * m + (1 - b1) * p.grad, b2 * v + (1 - b2) * p.grad**2
            c1, c2 = (1 - b1**self.t, 1 - b2**self.t) if corrects else (1, 1)
            with tinymm.no_grad():
                p.assign((1 - lr * decay) * p.data - lr * (m / c1) / (np.sqrt(v / c2) + eps))


class IgnoresTheScale:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
        self.params = list(params)
        self.settings = (lr, *betas, eps, weight_decay, bias_correction)
        self.state = [(0, 0.0, 0.0) for _ in self.params]

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    def step(self, scale=1.0):
        import tinymm

        lr, b1, b2, eps, decay, corrects = self.settings
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            t, m, v = self.state[i]
            t, m, v = self.state[i] = t + 1, b1 * m + (1 - b1) * p.grad, b2 * v + (1 - b2) * p.grad**2
            c1, c2 = (1 - b1**t, 1 - b2**t) if corrects else (1, 1)
            with tinymm.no_grad():
                p.assign((1 - lr * decay) * p.data - lr * (m / c1) / (np.sqrt(v / c2) + eps))


class MakesNewTensors:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
        self.params = list(params)
        self.param_groups = [{"params": self.params, "lr": lr}]
        self.settings = (*betas, eps, weight_decay, bias_correction)
        self.state = [(0, 0.0, 0.0) for _ in self.params]

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    def step(self, scale=1.0):
        import tinymm

        b1, b2, eps, decay, corrects = self.settings
        lr = self.param_groups[0]["lr"] * scale
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            t, m, v = self.state[i]
            t, m, v = self.state[i] = t + 1, b1 * m + (1 - b1) * p.grad, b2 * v + (1 - b2) * p.grad**2
            c1, c2 = (1 - b1**t, 1 - b2**t) if corrects else (1, 1)
            with tinymm.no_grad():
                p -= lr * decay * p.data + lr * (m / c1) / (np.sqrt(v / c2) + eps)


FIRST = "the first step of each parameter"
SEVERAL = "seven steps, with other gradients each time"
OWN = "two parameters of one shape have states of their own"
DECAY = "weight decay shrinks p, and m and v know nothing of it"
EPS = "eps is added outside of the root"
NONE = "without a gradient a parameter stays as it is, and its t too"
SCALE = "a scale multiplies the rate of its step, in the decay too"
BIASED = "with bias_correction=False m and v are taken as they are"
ZERO = "zero_grad sets each gradient to None"
FIT = "train.fit trains a model with it"
NEAR = {"rtol": 1e-6, "atol": 1e-8}


class WithKernel(Implement):
    """The library's AdamW leaves the arithmetic to a kernel, so that belongs to the solution."""

    def solution(self, draw=None):
        twin = "".join(f"\n\n{inspect.getsource(f)}" for f in (plain_optimizers.adamw, plain_optimizers.adam))
        return f"{super().solution(draw)}\n\n# and its kernel, in plain NumPy{twin}"


adamw = WithKernel(
    "AdamW",
    reference=optim.AdamW,
    library="open",
    hides=("tinymm.optim.adam:AdamW", "tinymm.optim.adam:Adam", "kernel:adam", "kernel:adamw"),
    title="AdamW",
    text="""
        Write the optimizer AdamW as a class of its own (without the library's Adam). Each parameter p, with its
        gradient g, has an m and a v, arrays of p's shape, 0 at first, and a t, the number of its updates, 0 at first.
        One step, with b1, b2 = betas:

            t = t + 1
            m = b1 m + (1 - b1) g                    the running mean of g
            v = b2 v + (1 - b2) g^2                  the running mean of g^2
            m^ = m / (1 - b1^t)                      bias correction: m began at 0, and so is too small
            v^ = v / (1 - b2^t)                      (m and v themselves are kept as they are)
            p = p - lr weight_decay p                decoupled: the decay does not pass through m and v
            p = p - lr m^ / (sqrt(v^) + eps)

        With lr = 0.1, no decay, p = 2 and g = -3 the first step leads to p = 2.1: whatever the gradient's size, p moves
        by lr. Without the correction m = -0.3 and sqrt(v) = 0.0949, and p would move 3.16 times as far. With
        `bias_correction=False` it is left out all the same (BERT's optimizer does).

        `params` is a list or a generator of Tensors; make it a list. p.data is the array of p, to be read only;
        p.grad is an array, or None: then p, its m, v and t stay as they are in this step. To change a Tensor:

            import tinymm                            at the top of your file: its stub has only NumPy
            with tinymm.no_grad():
                p.assign(values)                     an array of p's shape

        (`p -= update` would make a new Tensor, named p, of which the model knows nothing.)

        In `step(scale)` the rate is lr * scale: so a schedule changes it. `train.fit` also reads, and you should too,
        `self.param_groups = [{"params": the list of parameters, "lr": lr}]`. `zero_grad()` sets each p.grad to None.
        Afterwards `tinymm run 3 --fast --with` your file trains on yours.
    """,
    docstring="Adam with decoupled weight decay. The equations stand above.",
    tests=[
        Test(FIRST, stepping(1, (2, 3), (5,)), "has p itself changed, by p.assign, and downhill? t is 1 at the "
             "first step; at 0 the correction would divide by 0", run=steps, **NEAR),
        Test(SEVERAL, stepping(7, (2, 3), (5,), (), (7, 1, 2), betas=(0.8, 0.95)),
             "m and v of the last step go on, uncorrected; m^ and v^ are made anew in each", run=steps, **NEAR),
        Test(OWN, stepping(5, (2, 3), (2, 3), (3, 2)), "a list with m, v and t of each parameter, no dict by shape",
             run=steps, **NEAR),
        Test(DECAY, stepping(5, (2, 3), (5,), weight_decay=0.3), "g stays as it came; p shrinks by lr weight_decay p",
             run=steps, **NEAR),
        Test(EPS, stepping(3, (2, 3), eps=0.1, size=0.1), "sqrt(v^) + eps, not sqrt(v^ + eps)", run=steps, **NEAR),
        Test(NONE, stepping(5, (2, 3), (7,), weight_decay=0.1, missing=True), "each p counts its own t; if "
             "p.grad is None: continue, before t is raised and p decays", run=steps, **NEAR),
        Test(SCALE, stepping(5, (2, 3), weight_decay=0.3, scaled=True), "the rate is lr * scale wherever lr stands",
             run=steps, **NEAR),
        Test(BIASED, stepping(3, (2, 3), (5,), bias_correction=False), "m^ = m and v^ = v then", run=steps, **NEAR),
        Test(ZERO, some_values, "p.grad = None for each p", run=after_zero_grad),
        Test(FIT, fit_data, 'if only this fails: fit calls zero_grad() and step(scale), and reads '
             'param_groups[0]["lr"]', run=fitted, rtol=1e-4, atol=1e-5),
    ],
    hints=(
        "After one step v is (1 - b2) g^2, and 1 - b2 is 0.001: far too small a mean of g^2. Dividing by 1 - b2^t "
        "mends just that, and its effect fades as t grows.",
        "In __init__: self.params = list(params), param_groups, and for each p a list [t, m, v] with m = "
        "np.zeros_like(p.data). In step, go through zip(self.params, self.state), and skip where p.grad is None.",
        "state[0] += 1; state[1] = b1 * state[1] + (1 - b1) * p.grad; state[2] = b2 * state[2] + (1 - b2) * p.grad**2; "
        "t, m, v = state; m, v = m / (1 - b1**t), v / (1 - b2**t) if wanted; with tinymm.no_grad(): "
        "p.assign(p.data - lr * self.weight_decay * p.data - lr * m / (np.sqrt(v) + self.eps)). lr is "
        "param_groups[0]['lr'] * scale.",
    ),
    wrong=[
        Wrong("no bias correction", FIRST, no_correction),
        Wrong("bias correction whatever is asked", BIASED, always_corrects),
        Wrong("time starting at 0", FIRST, time_from_zero),
        Wrong("m and v kept corrected", SEVERAL, keeps_the_corrected),
        Wrong("eps inside of the root", EPS, eps_inside),
        Wrong("decay mixed into the gradient", DECAY, decay_in_the_gradient),
        Wrong("decay not multiplied by the rate", DECAY, decay_without_the_rate),
        Wrong("the sign flipped: uphill", FIRST, uphill),
        Wrong("a gradient of zeros", FIRST, gradient_taken_as_zero),
        Wrong("one state for equal shapes", OWN, SharesByShape),
        Wrong("one t for all parameters", NONE, OneTime),
        Wrong("gradients set to zeros, not None", ZERO, OneTime),
        Wrong("p -= update, which leaves the model's parameter alone", FIRST, MakesNewTensors),
        Wrong("the scale ignored", SCALE, IgnoresTheScale),
        Wrong("no param_groups", FIT, IgnoresTheScale),
    ],
)  # fmt: skip

# ---- 2 ---------------------------------------------------------------------------------------------------------------


def measure_first(classes, depth, beta1, beta2):
    """What the library gives: a loss of equal logits, the largest slope of a sigmoid, a step of Adam."""
    import tinymm as mm

    with mm.kernels.using("numpy"):
        first = mm.cross_entropy(mm.Tensor(np.zeros((5, classes))), np.arange(5) % classes).item()
        x = mm.Tensor(np.linspace(-9.0, 9.0, 1001), requires_grad=True)
        mm.sigmoid(x).sum().backward()
        p = mm.Tensor(np.zeros(1), requires_grad=True)
        p.grad = np.ones(1)
        optim.Adam([p], lr=1.0, betas=(beta1, beta2), eps=0.0, bias_correction=False).step()
    return {"first_loss": first, "bound": float(x.grad.max()) ** depth, "first_step": float(-p.data[0])}


def guessed(d, log=np.log, bound=None, step=None):
    """What one says who takes another logarithm, another bound or another first step."""
    right = (1 - d["beta1"]) / np.sqrt(1 - d["beta2"])
    return {"first_loss": float(log(d["classes"])), "bound": 0.25 ** d["depth"] if bound is None else bound,
            "first_step": float(right if step is None else step)}  # fmt: skip


predict = Predict(
    title="Three numbers that are known before training",
    text="""
        On paper or with a pocket calculator; nothing is run before your guess is stored. Write plain
        numbers (no quotes, no expressions); three digits are enough, and small ones may be written as 1.23e-4.
    """,
    draw=lambda rng: {"classes": int(rng.integers(11, 98)), "depth": int(rng.integers(7, 31)),
                      "beta1": float(rng.choice([0.7, 0.8, 0.85, 0.9])),
                      "beta2": float(rng.choice([0.98, 0.99, 0.995, 0.999]))},
    questions=[
        Question("first_loss", "the cross entropy of an untrained model of {classes} classes: all of its logits are 0",
                 "each class gets one over the number of classes, and the loss is minus the natural logarithm of that"),
        Question("bound", "a gradient passes {depth} sigmoids (and nothing else) on its way back. The largest share of "
                 "it that can arrive", "a sigmoid's slope is at most 1/4, and slopes multiply", atol=0.0),
        Question("first_step", "Adam with betas = ({beta1}, {beta2}), without bias correction: its first step, as a "
                 "multiple of the learning rate (gradient not 0, eps = 0)",
                 "m = (1 - b1) g and v = (1 - b2) g^2: what is m over the root of v?"),
    ],
    measure=measure_first,
    hints=(
        "What is softmax of equal logits? What does the chain rule do to slopes? What are m and v after one step?",
        "-log(1 / classes); one factor for each sigmoid; m = (1 - b1) g, v = (1 - b2) g^2.",
        "The natural logarithm of the number of classes; 0.25 to the power of the depth; (1 - b1) / sqrt(1 - b2).",
    ),
    wrong=[
        Wrong("the logarithm to base 2", "first_loss", lambda d: guessed(d, log=np.log2)),
        Wrong("the logarithm to base 10", "first_loss", lambda d: guessed(d, log=np.log10)),
        Wrong("1 / classes", "first_loss", lambda d: guessed(d, log=lambda n: 1 / n)),
        Wrong("a quarter times the depth", "bound", lambda d: guessed(d, bound=0.25 * d["depth"])),
        Wrong("nothing at all arrives", "bound", lambda d: guessed(d, bound=0.0)),
        Wrong("one sigmoid too few", "bound", lambda d: guessed(d, bound=0.25 ** (d["depth"] - 1))),
        Wrong("the first step as if corrected", "first_step", lambda d: guessed(d, step=1.0)),
        Wrong("the root forgotten", "first_step",
              lambda d: guessed(d, step=(1 - d["beta1"]) / (1 - d["beta2"]))),
    ],
)  # fmt: skip

# ---- 3 ---------------------------------------------------------------------------------------------------------------


def train(x, y, x_val, epochs=30, p_drop=0.5, rate=0.3, batch=20, seed=0):
    """Train a classifier of two classes by gradient descent, and let it judge new rows.

    It is one layer: the probability of class 1 is sigmoid(x @ w), and w begins at 0. Inputs are scaled to mean 0 and
    standard deviation 1 (NumPy's `std`) of each column.

    Parameters
    ----------
    x : array (n, d)
        To train on.
    y : array (n,)
        0 or 1 for each row of x.
    x_val : array (m, d)
        To be judged after training. What is learnt, scaling included, does not depend on it.
    epochs : int
        How often each row is used.
    p_drop : float
        In training each input becomes 0 with this probability, else it is divided by 1 - p_drop. Off in validation.
    rate : float
        Each step: w = w - rate * (mean gradient of the batch).
    batch : int
        Rows in a step. The rows come in a new order in each epoch, with their labels.
    seed : int
        Of the order and of the dropout.

    Returns
    -------
    (array (d,), array (m,))
        w, and for each row of x_val the probability of class 1.
    """
    rng = np.random.default_rng(seed)
    mean, std = x.mean(axis=0), x.std(axis=0)
    x, x_val = (x - mean) / std, (x_val - mean) / std
    w = np.zeros(x.shape[1])

    def probability(rows, training):
        if training:
            rows = rows * (rng.random(rows.shape) >= p_drop) / (1 - p_drop)
        return rows, 1 / (1 + np.exp(-rows @ w))

    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            chosen = order[start : start + batch]
            rows, p = probability(x[chosen], True)
            gradient = np.zeros(len(w))
            gradient += rows.T @ (p - y[chosen]) / len(chosen)
            w = w - rate * gradient
    return w, probability(x_val, False)[1]


def not_cleared(x, y, x_val, epochs=30, p_drop=0.5, rate=0.3, batch=20, seed=0):
    rng = np.random.default_rng(seed)
    mean, std = x.mean(axis=0), x.std(axis=0)
    x, x_val = (x - mean) / std, (x_val - mean) / std
    w, gradient = np.zeros(x.shape[1]), np.zeros(x.shape[1])

    def probability(rows, training):
        if training:
            rows = rows * (rng.random(rows.shape) >= p_drop) / (1 - p_drop)
        return rows, 1 / (1 + np.exp(-rows @ w))

    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            chosen = order[start : start + batch]
            rows, p = probability(x[chosen], True)
            gradient += rows.T @ (p - y[chosen]) / len(chosen)
            w = w - rate * gradient
    return w, probability(x_val, False)[1]


def drops_in_validation(x, y, x_val, epochs=30, p_drop=0.5, rate=0.3, batch=20, seed=0):
    rng = np.random.default_rng(seed)
    mean, std = x.mean(axis=0), x.std(axis=0)
    x, x_val = (x - mean) / std, (x_val - mean) / std
    w = np.zeros(x.shape[1])

    def probability(rows, training):
        if training:
            rows = rows * (rng.random(rows.shape) >= p_drop) / (1 - p_drop)
        return rows, 1 / (1 + np.exp(-rows @ w))

    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            chosen = order[start : start + batch]
            rows, p = probability(x[chosen], True)
            gradient = np.zeros(len(w))
            gradient += rows.T @ (p - y[chosen]) / len(chosen)
            w = w - rate * gradient
    return w, probability(x_val, True)[1]


def shuffled_apart(x, y, x_val, epochs=30, p_drop=0.5, rate=0.3, batch=20, seed=0):
    rng = np.random.default_rng(seed)
    mean, std = x.mean(axis=0), x.std(axis=0)
    x, x_val = (x - mean) / std, (x_val - mean) / std
    w = np.zeros(x.shape[1])

    def probability(rows, training):
        if training:
            rows = rows * (rng.random(rows.shape) >= p_drop) / (1 - p_drop)
        return rows, 1 / (1 + np.exp(-rows @ w))

    for _ in range(epochs):
        order, labels = rng.permutation(len(x)), rng.permutation(y)
        for start in range(0, len(x), batch):
            chosen = order[start : start + batch]
            rows, p = probability(x[chosen], True)
            gradient = np.zeros(len(w))
            gradient += rows.T @ (p - labels[start : start + batch]) / len(chosen)
            w = w - rate * gradient
    return w, probability(x_val, False)[1]


def scaled_by_validation(x, y, x_val, epochs=30, p_drop=0.5, rate=0.3, batch=20, seed=0):
    rng = np.random.default_rng(seed)
    both = np.concatenate([x, x_val])
    mean, std = both.mean(axis=0), both.std(axis=0)
    x, x_val = (x - mean) / std, (x_val - mean) / std
    w = np.zeros(x.shape[1])

    def probability(rows, training):
        if training:
            rows = rows * (rng.random(rows.shape) >= p_drop) / (1 - p_drop)
        return rows, 1 / (1 + np.exp(-rows @ w))

    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            chosen = order[start : start + batch]
            rows, p = probability(x[chosen], True)
            gradient = np.zeros(len(w))
            gradient += rows.T @ (p - y[chosen]) / len(chosen)
            w = w - rate * gradient
    return w, probability(x_val, False)[1]


def scaled_by_itself(x, y, x_val, epochs=30, p_drop=0.5, rate=0.3, batch=20, seed=0):
    rng = np.random.default_rng(seed)
    mean, std = x.mean(axis=0), x.std(axis=0)
    x, x_val = (x - mean) / std, (x_val - x_val.mean(axis=0)) / (x_val.std(axis=0) + 1e-9)
    w = np.zeros(x.shape[1])

    def probability(rows, training):
        if training:
            rows = rows * (rng.random(rows.shape) >= p_drop) / (1 - p_drop)
        return rows, 1 / (1 + np.exp(-rows @ w))

    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            chosen = order[start : start + batch]
            rows, p = probability(x[chosen], True)
            gradient = np.zeros(len(w))
            gradient += rows.T @ (p - y[chosen]) / len(chosen)
            w = w - rate * gradient
    return w, probability(x_val, False)[1]


def never_drops(x, y, x_val, epochs=30, p_drop=0.5, rate=0.3, batch=20, seed=0):
    rng = np.random.default_rng(seed)
    mean, std = x.mean(axis=0), x.std(axis=0)
    x, x_val = (x - mean) / std, (x_val - mean) / std
    w = np.zeros(x.shape[1])

    def probability(rows, training):
        if training:
            rows = rows * (rng.random(rows.shape) >= p_drop) / (1 - p_drop)
        return rows, 1 / (1 + np.exp(-rows @ w))

    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            chosen = order[start : start + batch]
            rows, p = probability(x[chosen], False)
            gradient = np.zeros(len(w))
            gradient += rows.T @ (p - y[chosen]) / len(chosen)
            w = w - rate * gradient
    return w, probability(x_val, False)[1]


def learns_nothing_from_zeros(x, y, x_val, epochs=30, p_drop=0.5, rate=0.3, batch=20, seed=0):
    rng = np.random.default_rng(seed)
    mean, std = x.mean(axis=0), x.std(axis=0)
    x, x_val = (x - mean) / std, (x_val - mean) / std
    w = np.zeros(x.shape[1])

    def probability(rows, training):
        if training:
            rows = rows * (rng.random(rows.shape) >= p_drop) / (1 - p_drop)
        return rows, 1 / (1 + np.exp(-rows @ w))

    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            chosen = order[start : start + batch]
            rows, p = probability(x[chosen], True)
            gradient = np.zeros(len(w))
            w = w - rate * gradient
    return w, probability(x_val, False)[1]


def climbs(x, y, x_val, epochs=30, p_drop=0.5, rate=0.3, batch=20, seed=0):
    rng = np.random.default_rng(seed)
    mean, std = x.mean(axis=0), x.std(axis=0)
    x, x_val = (x - mean) / std, (x_val - mean) / std
    w = np.zeros(x.shape[1])

    def probability(rows, training):
        if training:
            rows = rows * (rng.random(rows.shape) >= p_drop) / (1 - p_drop)
        return rows, 1 / (1 + np.exp(-rows @ w))

    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            chosen = order[start : start + batch]
            rows, p = probability(x[chosen], True)
            gradient = np.zeros(len(w))
            gradient += rows.T @ (p - y[chosen]) / len(chosen)
            w = w + rate * gradient
    return w, probability(x_val, False)[1]


def test_of_training(train):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)) + 5.0
    y = (x[:, 0] > 5.0).astype(int)
    x_val = rng.normal(size=(7, 3)) + 5.0

    # Clear cut: column 0 decides. Labels that are shuffled apart teach nothing.
    w, p = train(x, y, x)
    assert ((p > 0.5) == y).mean() > 0.9

    # Rows that are alike are judged alike, and a row is judged alike in any company.
    p = train(x, y, np.repeat(x_val[:1], 20, axis=0))[1]
    assert np.allclose(p, p[0])
    w, p = train(x, y, x_val)
    other_w, other_p = train(x, y, np.concatenate([x_val[:1], 100 * x_val[1:]]))
    assert np.allclose(w, other_w) and np.allclose(p[0], other_p[0])

    # Two steps over all rows, by hand.
    w, _ = train(x, y, x_val, epochs=2, p_drop=0.0, rate=0.5, batch=60)
    z, by_hand = (x - x.mean(axis=0)) / x.std(axis=0), np.zeros(3)
    for _ in range(2):
        by_hand -= 0.5 * z.T @ (1 / (1 + np.exp(-z @ by_hand)) - y) / 60
    assert np.allclose(w, by_hand)


def only_the_accuracy(train):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = (x[:, 0] > 0).astype(int)
    p = train(x, y, x)[1]
    assert ((p > 0.5) == y).mean() > 0.7


def asserts_nothing(train):
    pass


def always_fails(train):
    raise AssertionError("broken")


def asks_for_certainty(train):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = (x[:, 0] > 0).astype(int)
    p = train(x, y, x)[1]
    assert ((p > 0.5) == y).all() and abs(p - y).max() < 0.01


def only_by_hand(train):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)) + 5.0
    y = (x[:, 0] > 5.0).astype(int)
    w, _ = train(x, y, x, epochs=2, p_drop=0.0, rate=0.5, batch=60)
    z, by_hand = (x - x.mean(axis=0)) / x.std(axis=0), np.zeros(3)
    for _ in range(2):
        by_hand -= 0.5 * z.T @ (1 / (1 + np.exp(-z @ by_hand)) - y) / 60
    assert np.allclose(w, by_hand)


def whole_batches(f, x, y, x_val, *, epochs, rate):
    """Without dropout and with all rows in a step nothing is left to chance."""
    return f(x, y, x_val, epochs=epochs, p_drop=0.0, rate=rate, batch=len(x))


def share_right(f, x, y, *, seed):
    return float(((f(x, y, x, seed=seed)[1] > 0.5) == y).mean())


def judged_alike(f, x, y, x_val, *, seed):
    """Answers for one row twenty times, and for this row in two kinds of company."""
    alone = f(x, y, np.repeat(x_val[:1], 20, axis=0), seed=seed)[1]
    w, p = f(x, y, x_val, seed=seed)
    moved_w, moved_p = f(x, y, np.concatenate([x_val[:1], 50 * x_val[1:] + 3]), seed=seed)
    return {"spread": float(np.ptp(alone)), "company": float(abs(p[0] - moved_p[0])),
            "weights": float(np.abs(w - moved_w).max())}  # fmt: skip


def with_and_without_dropout(f, x, y, x_val, *, seed):
    """How far dropout moves the weights where nothing else is left to chance."""
    a, b = (f(x, y, x_val, epochs=5, p_drop=p, batch=len(x), seed=seed)[0] for p in (0.0, 0.5))
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def two_classes(rng, n, d):
    x = rng.normal(size=(n, d)) * 2 + rng.uniform(3, 7, size=d)
    return x, (x[:, 0] > np.median(x[:, 0])).astype(np.int64)


def batches_of_all(rng):
    drawn = []
    for n, d, epochs in ((37, 3, 2), (41, 5, 7)):
        x, y = two_classes(rng, n, d)
        drawn.append(Call(x, y, rng.normal(size=(7, d)) + 5, epochs=epochs, rate=float(rng.choice([0.2, 0.4, 0.7]))))
    return drawn


def easy(rng):
    return [Call(*two_classes(rng, 199, d), seed=int(rng.integers(1000))) for d in (3, 5, 7)]


def with_new_rows(rng):
    x, y = two_classes(rng, 53, 3)
    return [Call(x, y, rng.normal(size=(11, 3)) + 5, seed=int(rng.integers(1000)))]


def nine_in_ten(call, value):
    return None if value > 0.9 else f"{value:.2f} of the rows are judged right; expected more than 0.9"


def no_difference(call, value):
    said = {"spread": "the same row, asked 20 times at once, gets answers that differ by",
            "company": "a row's answer changes with the other rows of x_val, by",
            "weights": "the weights change with x_val, by"}  # fmt: skip
    return next((f"{said[key]} {v:.3g}" for key, v in value.items() if not v < 1e-9), None)


def some_difference(call, value):
    return None if value > 1e-6 else "with p_drop=0.5 and 0.0 the weights are the same; expected dropout in training"


BY_HAND = "without dropout, all rows in one step: the weights of plain gradient descent"
EASY = "easy data are learnt, with dropout and in batches"
ALIKE = "a row of x_val is always judged alike, and teaches nothing"
DROPS = "dropout is on in training"

diagnose = Diagnose(
    "train",
    reference=train,
    fault=not_cleared,
    siblings={"dropout on in validation": drops_in_validation,
              "inputs and labels shuffled apart": shuffled_apart,
              "scaling learnt from the validation set too": scaled_by_validation,
              "the validation set scaled by its own mean": scaled_by_itself},
    model_test=test_of_training,
    title="Four curves, four faults",
    star=True,
    text="""
        Four people train the same small classifier, and each shows a curve:

            A  the training loss falls for some steps, rises again, and swings like that for ever
            B  the validation loss is above the training loss, and another one each time it is asked for
            C  the training loss stays where it began, near ln 2 = 0.693; accuracy is now above one half, now below
            D  the validation loss is fine, and only new pictures are judged worse than it promised

        None of the four programs stops with an error. You are shown that of A, `broken_train`. What a right one does
        stands under `train`, further below.

        First write `test_train(train)`: it calls `train`, and raises an AssertionError if that is broken. It must let
        a right one pass, and find A's fault and the unseen ones of B, C and D (of D there are two kinds). For instance:

            rng = np.random.default_rng(0)
            x = rng.normal(size=(60, 3))
            y = (x[:, 0] > 0).astype(int)
            w, p = train(x, y, x)
            assert ((p > 0.5) == y).mean() > 0.7

        That finds one of the five. Only `assert` or `raise AssertionError` counts, no returned value. "It learns" is
        not enough: A learns too. Think of what must come out exactly, and of what must not change the result.

        Then the repair: write `train` so that it is right. (In which order you draw random numbers is up to you.)
    """,
    tests=[
        Test(BY_HAND, batches_of_all, "what is in `gradient` when the second step begins? And with "
             "p_drop = 0 nothing is dropped; columns are divided by NumPy's std", run=whole_batches, rtol=1e-7,
             atol=1e-9),
        Test(EASY, easy, "does each row keep its label when the rows are put in order?", run=share_right,
             judge=nine_in_ten),
        Test(ALIKE, with_new_rows, "dropout is for training; mean and std are those of x alone", run=judged_alike,
             judge=no_difference),
        Test(DROPS, with_new_rows, "in each step a new mask on the rows of the batch", run=with_and_without_dropout,
             judge=some_difference),
    ],
    hints=(
        "A: every step adds to what the last one left. Each other fault breaks a sentence of the docstring: dropout "
        "off in validation; the rows with their labels; scaling does not depend on x_val.",
        "With p_drop=0 and batch=len(x) nothing is random: compute w of two steps yourself and compare. For B give one "
        "row of x_val twenty times. For D change the other rows of x_val: neither w nor the first answer may change.",
        "z = (x - x.mean(axis=0)) / x.std(axis=0); twice v -= 0.5 * z.T @ (1 / (1 + np.exp(-z @ v)) - y) / len(x), "
        "from v = np.zeros(3); compare with train(x, y, x, epochs=2, p_drop=0.0, rate=0.5, batch=len(x))[0] by "
        "np.allclose. The repair: in broken_train, set gradient to zeros before each `gradient +=`.",
    ),
    wrong=[
        Wrong("a test that asks only whether it learns", Diagnose.FAULT, only_the_accuracy, part="test_train"),
        Wrong("a test that asserts nothing", Diagnose.FAULT, asserts_nothing, part="test_train"),
        Wrong("a test that fails on everything", Diagnose.RIGHT, always_fails, part="test_train"),
        Wrong("a test that asks for certainty", Diagnose.RIGHT, asks_for_certainty, part="test_train"),
        Wrong("a test of the first fault only", "your test fails for: dropout on in validation", only_by_hand,
              part="test_train"),
        Wrong("the fault handed in as its repair", BY_HAND, not_cleared),
        Wrong("dropout left on in validation", ALIKE, drops_in_validation),
        Wrong("dropout switched off altogether", DROPS, never_drops),
        Wrong("inputs and labels shuffled apart", EASY, shuffled_apart),
        Wrong("scaled by the validation set", ALIKE, scaled_by_validation),
        Wrong("a gradient of zeros", BY_HAND, learns_nothing_from_zeros),
        Wrong("the sign flipped", BY_HAND, climbs),
    ],
)  # fmt: skip

# ---- 4 ---------------------------------------------------------------------------------------------------------------


def warm_cosine(warmup, total, floor=0.0):
    """A schedule: a straight rise to 1 at step `warmup`, then half a cosine down to `floor` at step `total`.

    Parameters
    ----------
    warmup, total : int
        Steps; 0 <= warmup < total.
    floor : float
        The last factor, which also holds for all steps after `total`.

    Returns
    -------
    callable
        ``schedule(step) -> float``, the factor of the learning rate after `step` updates (0 before the first).
    """

    def schedule(step):
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / (total - warmup))
        return floor + (1 - floor) * (1 + np.cos(np.pi * done)) / 2

    return schedule


def factors(f, at, *, warmup, total, floor):
    """The factors at these steps, in this order, of one schedule; named, so that a message says the step."""
    schedule = f(warmup, total, floor=floor) if floor else f(warmup, total)
    return {f"step {step}": float(schedule(step)) for step in at}


def twice(f, at, *, warmup, total):
    """Two schedules made side by side, and each asked for a step twice."""
    a, b = f(warmup, total), f(warmup + 2, total + 3)
    asked = {"": a, " of a second schedule": b, ", asked again": a}
    return {f"step {step}{which}": float(schedule(step)) for step in at for which, schedule in asked.items()}


SPANS = ((7, 31), (2, 11), (13, 29), (1, 5))


def at_steps(choose, floor=False, spans=SPANS):
    return lambda rng: [Call(choose(warmup, total), warmup=warmup, total=total,
                             floor=round(float(rng.uniform(0.1, 0.4)), 3) if floor else 0.0)
                        for warmup, total in spans]  # fmt: skip


def in_any_order(rng):
    return [Call([int(k) for k in rng.permutation(total + 5)], warmup=warmup, total=total) for warmup, total in SPANS]


def starts_at_zero(warmup, total, floor=0.0):
    def schedule(step):
        if step < warmup:
            return step / warmup
        done = min(1.0, (step - warmup) / (total - warmup))
        return floor + (1 - floor) * (1 + np.cos(np.pi * done)) / 2

    return schedule


def off_at_the_join(warmup, total, floor=0.0):
    def schedule(step):
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step + 1 - warmup) / (total - warmup))
        return floor + (1 - floor) * (1 + np.cos(np.pi * done)) / 2

    return schedule


def cosine_from_the_start(warmup, total, floor=0.0):
    def schedule(step):
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return floor + (1 - floor) * (1 + np.cos(np.pi * min(1.0, step / total))) / 2

    return schedule


def rises_again(warmup, total, floor=0.0):
    def schedule(step):
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = (step - warmup) / (total - warmup)
        return floor + (1 - floor) * (1 + np.cos(np.pi * done)) / 2

    return schedule


def counts_its_calls(warmup, total, floor=0.0):
    calls = [-1]

    def schedule(step):
        calls[0] += 1
        step = calls[0]
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / (total - warmup))
        return floor + (1 - floor) * (1 + np.cos(np.pi * done)) / 2

    return schedule


def cut_at_the_floor(warmup, total, floor=0.0):
    def schedule(step):
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / (total - warmup))
        return max(floor, (1 + np.cos(np.pi * done)) / 2)

    return schedule


def needs_a_warmup(warmup, total, floor=0.0):
    def schedule(step):
        if step <= warmup:
            return step / warmup if step == warmup else (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / (total - warmup))
        return floor + (1 - floor) * (1 + np.cos(np.pi * done)) / 2

    return schedule


def one_length(warmup, total, floor=0.0):
    def schedule(step):
        if step < 7:
            return (step + 1) / 8
        return floor + (1 - floor) * (1 + np.cos(np.pi * min(1.0, (step - 7) / 24))) / 2

    return schedule


RISE = "the rise: no step is 0, and each is as much longer than the last"
JOIN = "at the step where rise and cosine meet: exactly 1"
FALL = "the fall along the cosine"
END = "at step total and after it: the floor"
FLOOR = "a floor squeezes the cosine between itself and 1"
PURE = "asked in any order, and twice, it says the same: a run can be resumed"
NO_RISE = "no warm-up at all: 1 at step 0"

extend = Extend(
    "warm_cosine",
    reference=warm_cosine,
    slot="tinymm.optim.schedule:cosine",
    title="Warm-up and cosine as a pure function of the step",
    text="""
        The library's `optim.schedule.cosine` rises from 0: its first update has the rate 0 and does nothing. Yours
        is to do better, and to have a floor. `warm_cosine(warmup, total, floor=0.0)` returns a function,
        `schedule(step)`, which gives the factor of the learning rate. `step` counts the updates already made: 0,
        1, 2 and so on.

            step < warmup            (step + 1) / (warmup + 1)
            step = warmup            exactly 1
            from warmup to total     floor + (1 - floor) * (1 + cos(pi * done)) / 2, where done goes from 0
                                     (at warmup) straight to 1 (at total)
            step >= total            floor

        For warmup = 3 and total = 7 steps 0 to 8 give 0.25, 0.5, 0.75, 1, 0.854, 0.5, 0.146, 0, 0.

        The factor depends on `step` and on nothing else: not on how often or in which order it was asked for. That is
        why a run that was interrupted can be resumed with no difference.

        Afterwards `tinymm run 3 --fast --with` your file trains with yours in the place of the library's cosine.
    """,
    tests=[
        Test(RISE, at_steps(lambda w, t: list(range(w))), "step counts from 0, so this update has the number step + 1, "
             "and that at warmup the number warmup + 1", run=factors),
        Test(JOIN, at_steps(lambda w, t: [w]), "done is 0 there", run=factors),
        Test(FALL, at_steps(lambda w, t: list(range(w, t))), "done = (step - warmup) / (total - warmup)", run=factors),
        Test(END, at_steps(lambda w, t: [t, t + 1, t + 3, 2 * t, 3 * t + 7]), "done stays at 1: a cosine would rise "
             "again", run=factors),
        Test(FLOOR, at_steps(lambda w, t: list(range(t + 3)), floor=True), "floor + (1 - floor) * (what it is without)",
             run=factors),
        Test(PURE, in_any_order, "if only this fails: is anything kept from one call to the next?", run=twice),
        Test(NO_RISE, at_steps(lambda w, t: [0, 1, t - 1, t], spans=((0, 7), (0, 13))), "nothing is divided by warmup",
             run=factors),
    ],
    hints=(
        "A function that makes a function: inside of warm_cosine define schedule(step), and return schedule itself.",
        "Two cases, step < warmup and the rest. In the rest, done is a share of total - warmup steps, at most 1.",
        "if step < warmup: return (step + 1) / (warmup + 1); done = min(1.0, (step - warmup) / (total - warmup)); "
        "return floor + (1 - floor) * (1 + np.cos(np.pi * done)) / 2.",
    ),
    wrong=[
        Wrong("a first update of length zero", RISE, starts_at_zero),
        Wrong("off by one at the join", JOIN, off_at_the_join),
        Wrong("a cosine that began at step 0", JOIN, cosine_from_the_start),
        Wrong("rising again after the end", END, rises_again),
        Wrong("dependent on the previous call", PURE, counts_its_calls),
        Wrong("cut off at the floor", FLOOR, cut_at_the_floor),
        Wrong("division by a warm-up of 0", NO_RISE, needs_a_warmup),
        Wrong("right for one length only", JOIN, one_length),
    ],
)  # fmt: skip

exercises = [adamw, predict, diagnose, extend]
