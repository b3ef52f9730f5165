"""Stochastic gradient descent."""

from tinymm import kernels
from tinymm.optim.optimizer import Optimizer


class SGD(Optimizer):
    """p <- p - lr * g, or with momentum: v <- momentum * v + (1 - dampening) * g, p <- p - lr * v.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float
    momentum : float
    dampening : float
        Not applied in a parameter's first step, whose gradient fills the velocity.
    weight_decay : float
        Times p, added to the gradient.
    nesterov : bool
        Step along g + momentum * v.

    Raises
    ------
    ValueError
        If `nesterov` comes without momentum or with dampening.

    Source: Sutskever et al. 2013, equations 1-4, in torch's form (the rate multiplies the velocity).
    """

    def __init__(self, params, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
        super().__init__(params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay,
                         nesterov=nesterov)

    def _check(self, group):
        super()._check(group)
        if not group["momentum"] >= 0:
            raise ValueError(f"SGD: momentum is {group['momentum']}; expected 0 or more")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and a dampening of 0")

    def _state_names(self, group):
        return ("momentum_buffer",) if group["momentum"] else ()

    def _update(self, p, g, state, lr, step, group):
        momentum = group["momentum"]
        kernels.sgd(p, g, state[0] if momentum else None, lr, momentum, group["dampening"], group["nesterov"],
                    group["weight_decay"], step == 1)
