"""`tinymm gradcheck`: every op on its own samples, in float64 with random cotangents, one line each."""

import difflib
import warnings

import numpy as np

from tinymm.autograd.tensor import OPS


def check(names=(), seed=0):
    """Check the ops named, or all. Returns 1 if a gradient is wrong or an op has no samples, else 0.

    Raises
    ------
    LookupError
        If there is no op of that name.
    """
    import tinymm.ops  # noqa: F401  (enters all ops into OPS)

    for name in names:
        if name not in OPS:
            near = difflib.get_close_matches(name, OPS, n=3) or [*sorted(OPS)[:8], "..."]
            raise LookupError(f"there is no op {name!r}; did you mean one of: {', '.join(near)}")
    wrong = 0
    names = names or sorted(OPS)
    for name in names:
        right, text = check_op(OPS[name], seed)
        wrong += not right
        print(f"{'ok' if right else 'WRONG':<6} {name:<24} {text}", flush=True)
    print(f"{len(names)} ops, {wrong or 'none'} wrong")
    return int(wrong > 0)


def check_op(op, seed=0):
    """Gradient-check one op on all of its samples.

    Returns
    -------
    right : bool
    text : str
        What was compared, or what is wrong.
    """
    from tinymm.autograd import gradcheck

    if op.spec.samples is None:
        return False, "has no samples; give @op(samples=...)"
    samples = op.spec.samples(np.random.default_rng(seed))
    worst, entries = 0.0, 0
    for i, sample in enumerate(samples):
        static = sample.static
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # entries at kinks are left out and counted
                report = gradcheck(lambda *xs, static=static: op(*xs, **static), sample.args, check=sample.check)
        except (AssertionError, ValueError) as problem:
            return False, f"sample {i}, {sample}: {' '.join(str(problem).split())}"
        worst = max(worst, report.max_error)
        entries += report.n_entries + report.n_directions
    return True, f"{len(samples)} samples, {entries} comparisons, largest error {worst:.1e}"
