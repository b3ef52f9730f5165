"""Adagrad and RMSprop: a rate of its own for each number, from the squares of its gradients."""

from tinymm import kernels
from tinymm.optim.optimizer import Optimizer


class Adagrad(Optimizer):
    """s <- s + g^2, p <- p - lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr, lr_decay : float
    weight_decay : float
        Times p, added to the gradient.
    initial_accumulator_value : float
        What s starts from.
    eps : float

    Source: Duchi, Hazan, Singer 2011, figure 1 (diagonal).
    """

    def __init__(self, params, lr=1e-2, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10):
        super().__init__(params, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay,
                         initial_accumulator_value=initial_accumulator_value, eps=eps)

    def _check(self, group):
        super()._check(group)
        for name in ("lr_decay", "initial_accumulator_value", "eps"):
            if not group[name] >= 0:
                raise ValueError(f"Adagrad: {name} is {group[name]}; expected 0 or more")

    def _state_names(self, group):
        return ("sum",)

    def _first_value(self, group):
        return group["initial_accumulator_value"]

    def _update(self, p, g, state, lr, step, group):
        kernels.adagrad(p, g, *state, lr / (1 + (step - 1) * group["lr_decay"]), group["eps"], group["weight_decay"])


class RMSprop(Optimizer):
    """s <- alpha s + (1 - alpha) g^2, p <- p - lr * g / (sqrt(s) + eps).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr, alpha, eps : float
    weight_decay : float
        Times p, added to the gradient.
    momentum : float
        If not 0, steps along v <- momentum * v + g / (sqrt(s) + eps).
    centered : bool
        Take the square of the gradient's running mean off s: a variance in place of a mean square.

    Source: Tieleman and Hinton 2012, lecture 6.5; centred: Graves 2013, equations 38-45.
    """

    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum,
                         centered=centered)

    def _check(self, group):
        super()._check(group)
        for name in ("alpha", "eps", "momentum"):
            if not group[name] >= 0:
                raise ValueError(f"RMSprop: {name} is {group[name]}; expected 0 or more")

    def _state_names(self, group):
        momentum = ("momentum_buffer",) if group["momentum"] else ()
        return ("square_avg", *momentum, *(("grad_avg",) if group["centered"] else ()))

    def _update(self, p, g, state, lr, step, group):
        square, *rest = state
        mean = rest.pop() if group["centered"] else None
        buffer = rest.pop() if rest else None
        kernels.rmsprop(p, g, square, lr, group["alpha"], group["eps"], group["weight_decay"],
                        group["momentum"] if buffer is not None else 0.0, buffer, mean)
