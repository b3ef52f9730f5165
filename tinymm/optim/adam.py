"""Adam and AdamW."""

from tinymm import kernels
from tinymm.optim.optimizer import Optimizer


class Adam(Optimizer):
    """m and v are running means of g and g^2; p <- p - lr * m^ / (sqrt(v^) + eps), m^ and v^ being bias-corrected.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float
    betas : tuple of two floats
        How much of m and of v is kept in a step.
    eps : float
    weight_decay : float
        Times p, added to the gradient (so Adam's division scales it too; compare `AdamW`).
    bias_correction : bool
        Whether m and v are divided by 1 - beta^t. BERT's own optimizer does not (google-research/bert,
        optimization.py, AdamWeightDecayOptimizer), which makes its first steps larger by (1 - beta1^t) /
        sqrt(1 - beta2^t): 3.2 times at step 1.

    Source: Kingma and Ba 2015, algorithm 1.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, *, bias_correction=True):
        super().__init__(params, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay,
                         bias_correction=bias_correction)

    def _check(self, group):
        super()._check(group)
        if len(group["betas"]) != 2 or not all(0 <= beta < 1 for beta in group["betas"]):
            raise ValueError(f"{type(self).__name__}: betas are {group['betas']}; expected two numbers in [0, 1)")
        if not group["eps"] >= 0:
            raise ValueError(f"{type(self).__name__}: eps is {group['eps']}; expected 0 or more")

    def _state_names(self, group):
        return ("exp_avg", "exp_avg_sq")

    def _update(self, p, g, state, lr, step, group):
        self._step(kernels.adam, p, g, state, lr, step, group)

    def _step(self, kernel, p, g, state, lr, step, group):
        beta1, beta2 = group["betas"]
        corrections = (1 - beta1**step, 1 - beta2**step) if group["bias_correction"] else (1.0, 1.0)
        kernel(p, g, *state, lr, beta1, beta2, group["eps"], group["weight_decay"], *corrections)


class AdamW(Adam):
    """Adam with decoupled weight decay: p shrinks by lr * weight_decay, whatever its gradient. Arguments: see `Adam`.

    Source: Loshchilov and Hutter 2019, algorithm 2.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bias_correction=True):
        super().__init__(params, lr, betas, eps, weight_decay, bias_correction=bias_correction)

    def _update(self, p, g, state, lr, step, group):
        self._step(kernels.adamw, p, g, state, lr, step, group)
