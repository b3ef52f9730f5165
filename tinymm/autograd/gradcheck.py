"""`gradcheck`: does a gradient agree with what the function really does? The project's conscience.

The derivative of L = <c, f(x)> along a direction v is (L(x + h v) - L(x - h v)) / 2h, up to an error of h^2. It is
compared with <gradient, v>, in float64. The cotangent c is random: with c = 1 everywhere, a softmax whose backward
returns zero would pass, because its outputs sum to 1 whatever the inputs are.

Small inputs are checked element by element. Large ones along random directions that move all elements at once, where a
single wrong element shows, and at a few single elements. If a direction disagrees, halving it finds the culprit.
"""

import dataclasses
import math
import warnings

import numpy as np

from tinymm.autograd import random
from tinymm.autograd.engine import backward
from tinymm.autograd.op import Spec, _make_apply
from tinymm.autograd.tensor import Tensor, _wrap, enable_grad, no_grad

_PRECISION = np.finfo(np.float64).eps


class GradcheckError(AssertionError):
    """A gradient that is wrong; the message shows where, with both numbers."""


class KinkWarning(UserWarning):
    """The function has no derivative at a point that was to be checked."""


@dataclasses.dataclass
class Report:
    """What a passed `gradcheck` found.

    Attributes
    ----------
    max_error : float
        The largest difference between gradient and finite difference, divided by max(1, their size).
    worst : str
        Where that was.
    n_entries, n_directions : int
        How many single elements and random directions were compared.
    n_kinks : int
        How many of them were left out, because the function has a kink there.
    """

    max_error: float = 0.0
    worst: str = "nothing compared"
    n_entries: int = 0
    n_directions: int = 0
    n_kinks: int = 0


def gradcheck(fn, inputs=(), *, params=(), check=None, eps=6e-6, rtol=1e-5, atol=1e-7, seed=0, max_entries=64,
              n_directions=3, n_single=6):
    """Compare the gradients of ``fn(*inputs)`` with central differences; raise where they disagree.

    Parameters
    ----------
    fn : callable
        Of Tensors; returns a Tensor, or Tensors in a tuple, list, dict or dataclass. If it is a Module, or anything
        else with `named_parameters`, its parameters are checked too.
    inputs : sequence of arrays, Tensors and other arguments
        Floats are copied as float64 and checked; all else is passed on.
    params : sequence of Tensors, dict of name -> Tensor, or an object with `named_parameters`
        What `fn` reads besides its inputs. While checking they hold float64.
    check : sequence of int, optional
        The positions in `inputs` to check, if not all floats.
    eps : float
        The step, times max(1, |x|).
    rtol, atol : float
        Allowed difference: atol + rtol * size, and what rounding may do to the finite difference.
    seed : int
        Of the cotangents and directions. The library's generator (dropout) starts from it at each call of `fn`, and is
        put back in the end.
    max_entries, n_directions, n_single : int
        Arrays of up to `max_entries` elements are checked at each element, larger ones along `n_directions` random
        directions and at `n_single` random elements.

    Returns
    -------
    Report

    Raises
    ------
    GradcheckError
        If a gradient is wrong; if `fn` writes into its inputs, gives float32 for float64, or raises in backward.
    ValueError
        If there is nothing to check, or two calls of `fn` give different values.

    Warns
    -----
    KinkWarning
        Where one-sided differences disagree (relu at 0): that element is left out.
    """
    if isinstance(inputs, (Tensor, np.ndarray)) or np.isscalar(inputs):
        inputs = (inputs,)
    parameters = {**_named(params), **_named(fn, only_modules=True)}
    before = [(p, p._array, p.grad) for p in parameters.values()]
    state = random.get_state()
    try:
        for p in parameters.values():
            p._array = np.array(p._array, dtype=np.float64)
        return _Check(fn, inputs, parameters, check, eps, rtol, atol, seed).run(max_entries, n_directions, n_single)
    finally:
        random.set_state(state)
        for p, array, grad in before:
            p._array, p.grad = array, grad


class _Check:
    def __init__(self, fn, inputs, parameters, check, eps, rtol, atol, seed):
        self.fn, self.eps, self.rtol, self.atol, self.seed = fn, eps, rtol, atol, seed
        self.rng = np.random.default_rng(seed)
        self.args, self.leaves = [], {}
        for i, x in enumerate(inputs):
            array = x._array if type(x) is Tensor else x
            if isinstance(array, (float, np.ndarray, np.floating)) and np.asarray(array).dtype.kind == "f":
                wanted = check is None or i in check
                if wanted or not isinstance(x, float):
                    x = _wrap(_float64(np.asarray(array)))
                if wanted:
                    x.requires_grad = True
                    self.leaves[f"input {i}"] = x
            self.args.append(x)
        self.leaves.update((name, p) for name, p in parameters.items() if p.requires_grad)
        if not self.leaves:
            raise ValueError("gradcheck: nothing to check: no float input and no parameter that requires a gradient")
        self.report = Report()

    def run(self, max_entries, n_directions, n_single):
        outputs = self.outputs()
        self.cotangents = [self.rng.normal(size=y.shape) for y in outputs]
        terms = [c * y._array for c, y in zip(self.cotangents, outputs)]  # what rounding acts upon
        self.scale = math.sqrt(sum(float((t * t).sum()) for t in terms)) + sum(abs(float(t.sum())) for t in terms)
        del outputs, terms
        self.middle = self.value()
        if not np.allclose(self.middle, self.value(), rtol=1e-12, atol=0, equal_nan=True):
            raise ValueError("gradcheck: two calls of the function on the same inputs give different values")
        gradients = self.gradients()
        for name, leaf in self.leaves.items():
            self.name, self.x, self.gradient = name, leaf._array, gradients[name]
            n = self.x.size
            if n <= max_entries:
                single = range(n)
            else:
                single = self.rng.choice(n, n_single, replace=False)
                for _ in range(n_directions):
                    self.compare(np.arange(n), self.rng.choice([-1.0, 1.0], size=n))
            for i in single:
                self.compare(np.array([i]), np.ones(1))
        return self.report

    # ---- the function ----------------------------------------------------------------------------------------------

    def outputs(self):
        random.manual_seed(self.seed)
        found = list(_tensors(self.fn(*self.args)))
        if not found:
            raise ValueError("gradcheck: the function returned no Tensor of floats")
        for i, y in enumerate(found):
            if y.dtype != np.float64:
                raise GradcheckError(f"gradcheck: output {i} is {y.dtype} for float64 inputs; expected float64")
        return found

    def value(self):
        """<c, y> for each output."""
        with no_grad(), np.errstate(invalid="ignore"):
            outputs = self.outputs()
        if [y.shape for y in outputs] != [c.shape for c in self.cotangents]:
            raise ValueError("gradcheck: two calls of the function give outputs of different shapes")
        return np.array([float((c * y._array).sum()) for c, y in zip(self.cotangents, outputs)])

    def gradients(self):
        """The gradient of each leaf, one row for each output alone; all outputs together must give their sum."""
        copies = {name: leaf._array.copy() for name, leaf in self.leaves.items()}
        count = len(self.cotangents)
        rows = [self.backward([k == i for k in range(count)]) for i in range(count)]
        together = rows[0] if count == 1 else self.backward([True] * count)
        for name, leaf in self.leaves.items():
            if not np.array_equal(copies[name], leaf._array, equal_nan=True):
                raise GradcheckError(f"gradcheck: the function wrote into {name}")
            parts = np.sum([row[name] for row in rows], axis=0)
            if not np.allclose(together[name], parts, rtol=1e-9, atol=1e-9, equal_nan=True):
                raise GradcheckError(
                    f"gradcheck: the gradient of {name} for all outputs together is not the sum of those for each alone"
                )
        return {name: np.stack([row[name].reshape(-1) for row in rows]) for name in self.leaves}

    def backward(self, wanted):
        for leaf in self.leaves.values():
            leaf.grad = None
        with enable_grad():
            outputs = self.outputs()
            picked = [(y, c) for y, c, want in zip(outputs, self.cotangents, wanted) if want]
            total = _contract(*[y for y, _ in picked], cotangents=[c for _, c in picked])
        if total.requires_grad:
            try:
                backward(total)
            except Exception as error:
                raise GradcheckError(f"gradcheck: backward raised {type(error).__name__}: {error}") from error
        found = {}
        for name, leaf in self.leaves.items():
            found[name] = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad
            if found[name].shape != leaf.shape or found[name].dtype != np.float64:
                raise GradcheckError(
                    f"gradcheck: the gradient of {name} is {found[name].dtype} {found[name].shape}; "
                    f"expected float64 {leaf.shape}"
                )
        return found

    # ---- one comparison --------------------------------------------------------------------------------------------

    def compare(self, where, v):
        """Compare along the direction that is `v` at the flat indices `where`, 0 elsewhere."""
        single = len(where) == 1
        if single:
            self.report.n_entries += 1
        else:
            self.report.n_directions += 1
        h = self.eps * (max(1.0, float(np.abs(self.x.flat[where[0]]))) if single else 1.0)
        gradient = self.gradient[:, where] @ v
        central, left, right, slack = self.differences(where, v, h)
        error = np.abs(gradient - central)
        fine = error <= self.allowed(gradient, central, slack)
        bent = np.abs(left - right) > 0.01 * (np.abs(left) + np.abs(right)) + self.atol + 4 * slack
        if not fine.all() or (single and bent.any()):
            for part in (32, 1024):  # a wrong gradient is wrong at any step; a kink close by is left behind
                central, near_left, near_right, slack = self.differences(where, v, h / part)
                room = self.allowed(gradient, central, slack)
                agrees = fine | (np.abs(gradient - central) <= room)
                kink = np.abs(near_left - near_right) > np.abs(left - right) / 4 + 4 * slack  # does not shrink with h
                low, high = np.minimum(near_left, near_right) - room, np.maximum(near_left, near_right) + room
                excused = agrees | (kink & (low <= gradient) & (gradient <= high))
                if excused.all():
                    break
            else:
                self.fail(where, v, int(np.argmax(np.where(excused, -1, np.nan_to_num(error, nan=np.inf)))))
            if kink.any():
                self.report.n_kinks += 1
                if single:
                    warnings.warn(
                        f"gradcheck: {self.place(where)} lies at a kink: the differences to the left and to the right "
                        f"are {near_left[0]:.6g} and {near_right[0]:.6g}; left out", KinkWarning, stacklevel=5)
                return
            error = np.abs(gradient - central)
        relative = np.max(error / np.maximum(1, np.maximum(np.abs(gradient), np.abs(central))))
        if relative >= self.report.max_error:
            self.report.max_error, self.report.worst = float(relative), self.place(where)

    def differences(self, where, v, h):
        """The central, left and right difference, one entry an output; and what rounding may add to them."""
        flat = self.x.flat
        old = flat[where]
        flat[where] = old + h * v
        up = self.value()
        flat[where] = old - h * v
        down = self.value()
        flat[where] = old
        return (up - down) / (2 * h), (self.middle - down) / h, (up - self.middle) / h, 16 * _PRECISION * self.scale / h

    def allowed(self, gradient, central, slack):
        return self.atol + self.rtol * np.maximum(np.abs(gradient), np.abs(central)) + slack

    def fail(self, where, v, k):
        """Find the element that is wrong, by halves, and raise."""
        while len(where) > 1:
            halves = [(where[:len(where) // 2], v[:len(where) // 2]), (where[len(where) // 2:], v[len(where) // 2:])]
            errors = [abs((self.gradient[:, w] @ d)[k] - self.differences(w, d, self.eps)[0][k]) for w, d in halves]
            where, v = halves[int(np.argmax(np.nan_to_num(errors, nan=np.inf)))]
        size = max(1.0, float(np.abs(self.x.flat[where[0]])))
        gradient = self.gradient[k, where[0]]
        central = self.differences(where, np.ones(1), self.eps * size)[0][k]
        ratio = gradient / central if central else math.nan
        output = f" (of output {k})" if len(self.cotangents) > 1 else ""
        nothing = "\n  no gradient reached this at all: is it detached on the way?" if not self.gradient.any() else ""
        raise GradcheckError(
            f"gradcheck: wrong gradient of {self.place(where)}{output}\n"
            f"  gradient           {gradient: .10g}\n  finite difference  {central: .10g}\n"
            f"  difference         {gradient - central: .3g}, ratio {ratio:.6g}{nothing}"
        )

    def place(self, where):
        if len(where) > 1:
            return f"{self.name}, shape {self.x.shape}, along a random direction"
        index = ", ".join(str(int(i)) for i in np.unravel_index(where[0], self.x.shape))
        return f"{self.name}[{index}], shape {self.x.shape}"


def _contract_arrays(*ys, cotangents):
    total = np.asarray(sum(float((c * y).sum()) for c, y in zip(cotangents, ys)))
    return total, lambda g, needs: tuple(g * c for c in cotangents)


_contract = _make_apply(Spec(_contract_arrays, None, None, (), None))  # sum of <c, y>; no entry in OPS


def _tensors(result):
    """All Tensors of floats in what the function returned."""
    if type(result) is Tensor:
        if result.dtype.kind == "f":
            yield result
    elif isinstance(result, (tuple, list)):
        for r in result:
            yield from _tensors(r)
    elif isinstance(result, dict):
        yield from _tensors(list(result.values()))
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        yield from _tensors([getattr(result, field.name) for field in dataclasses.fields(result)])


def _named(params, only_modules=False):
    """Parameters as a dict name -> Tensor."""
    if hasattr(params, "named_parameters"):
        return dict(params.named_parameters())
    if only_modules:
        return {}
    if isinstance(params, dict):
        return dict(params)
    return {f"parameter {i}": p for i, p in enumerate(params)}


def _float64(array):
    """A copy in float64; one that is not contiguous stays so."""
    if array.flags.c_contiguous or array.ndim == 0:
        return np.array(array, dtype=np.float64, order="C")
    spread = np.zeros([2 * n for n in array.shape], order="F")[(slice(None, None, 2),) * array.ndim]
    spread[...] = array
    return spread
