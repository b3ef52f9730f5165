"""Learning-rate schedules: pure functions of the step, so that a resumed run cannot differ.

Each function here returns ``schedule(step) -> factor``. `step` is the number of updates already made (0 in the first),
and the factor multiplies the learning rate: ``optimizer.step(schedule(step))``.
"""

import math


def constant(warmup=0):
    """1 throughout, after a rise from 0 over the first `warmup` steps."""
    _check("constant", warmup=warmup)
    return lambda step: _rise(step, warmup)


def linear(warmup, total):
    """A straight rise from 0 to 1 over `warmup` steps, then straight down to 0 at step `total`.

    Source: Devlin et al. 2019 (BERT), appendix A.2.
    """
    _check("linear", warmup=warmup, total=total)

    def schedule(step):
        if step < warmup:
            return _rise(step, warmup)
        return max(0.0, (total - step) / max(1, total - warmup))

    return schedule


def cosine(warmup, total, cycles=0.5):
    """A straight rise from 0 to 1 over `warmup` steps, then (1 + cos) / 2 over `cycles` periods until step `total`.

    Source: Loshchilov and Hutter 2017 (SGDR), equation 5, without restarts.
    """
    _check("cosine", warmup=warmup, total=total)

    def schedule(step):
        if step < warmup:
            return _rise(step, warmup)
        progress = (step - warmup) / max(1, total - warmup)
        return max(0.0, 0.5 * (1 + math.cos(2 * math.pi * cycles * progress)))

    return schedule


def noam(d_model, warmup=4000, factor=1.0):
    """factor * d_model^-0.5 * min(s^-0.5, s * warmup^-1.5) with s = step + 1; use it with ``lr=1.0``.

    The paper counts steps from 1. Its code (tensor2tensor) later used factor 2 and 8,000 steps.

    Source: Vaswani et al. 2017, equation 3.
    """
    _check("noam", warmup=warmup, d_model=d_model)
    if not (d_model and warmup):
        raise ValueError(f"noam: d_model {d_model} and warmup {warmup} must be at least 1")
    return lambda step: factor * d_model**-0.5 * min((step + 1) ** -0.5, (step + 1) * warmup**-1.5)


def step(every, gamma=0.1):
    """gamma^k after k times `every` steps."""
    if every < 1:
        raise ValueError(f"step: every is {every}; expected at least 1 step")
    return lambda step: gamma ** (step // every)


def _rise(step, warmup):
    return min(1.0, step / max(1, warmup)) if warmup else 1.0


def _check(name, **counts):
    for key, value in counts.items():
        if value < 0:
            raise ValueError(f"{name}: {key} is {value}; expected 0 or more")
