"""Claims: a sentence of a lesson, a measured number with its interval, and the verdict that follows from them.

Nobody writes a verdict. A claim states in which region the number must lie (above, below or within bounds). It *holds*
when the whole interval lies in that region, *fails* when the whole interval lies outside, and is *undecided* between.

    >>> claim = judge("a", "the coin is fair", proportion(48, 100), within=(0.35, 0.65))
    >>> claim.verdict
    'holds'
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

VERDICTS = ("holds", "fails", "undecided", "not tested in --fast")

# Student's t, 97.5 % quantile, by degrees of freedom; between two rows the upper (wider) one counts.
_T = ((1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (6, 2.4469), (7, 2.3646), (8, 2.3060),
      (9, 2.2622), (10, 2.2281), (12, 2.1788), (15, 2.1314), (20, 2.0860), (30, 2.0423), (60, 2.0003),
      (120, 1.9799), (math.inf, 1.9600))  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval, and how the interval came about."""

    value: float
    low: float
    high: float
    how: str
    values: tuple = ()


@dataclass(frozen=True)
class Claim:
    """A judged claim; see `judge`."""

    name: str
    statement: str
    measured: Measured | None
    direction: str
    bound: float | tuple
    settled: str | None
    verdict: str

    def as_dict(self):
        return asdict(self)

    def line(self):
        """The claim on one line: verdict, statement, number, interval, bound."""
        if self.measured is None:
            return f"{self.verdict}: {self.statement}"
        m = self.measured
        number = _short(m.value)
        if m.low != m.high:
            number = f"{_short(m.value)} [{_short(m.low)}, {_short(m.high)}] ({m.how})"
        return f"{self.verdict}: {self.statement}: {number}; {_region(self.direction, self.bound)}"


def proportion(k, n):
    """`k` successes in `n` trials, with Wilson's interval.

    >>> round(proportion(9, 10).low, 3)
    0.596

    Raises
    ------
    ValueError
        If not 0 <= k <= n and n >= 1.
    """
    if not (n >= 1 and 0 <= k <= n):
        raise ValueError(f"proportion: {k} of {n}; expected 0 <= k <= n and n >= 1")
    z, p = 1.96, k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Measured(p, max(0.0, centre - half), min(1.0, centre + half), f"{k} of {n}")


def measure(x):
    """`x` as a `Measured`: a number stands for itself; a list (one number a seed) gets the t-interval of its mean.

    Raises
    ------
    ValueError
        If a list holds fewer than two numbers.
    """
    if isinstance(x, Measured):
        return x
    if np.ndim(x) == 0:
        value = float(x)
        return Measured(value, value, value, "one number")
    values = tuple(float(v) for v in x)
    if len(values) < 2:
        raise ValueError(f"claim: a list of {len(values)} numbers has no interval; give one number, or at least two")
    mean = float(np.mean(values))
    half = t_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Measured(mean, mean - half, mean + half, f"mean of {len(values)}", values)


def t_quantile(freedom):
    """The 97.5 % quantile of Student's t (never too small: it is rounded up between the rows of a table)."""
    return next(t for f, t in reversed(_T) if f <= freedom)


def decide(low, high, direction, bound):
    """The verdict on an interval: does it lie "above", "below" or "within" the bound? NaN always fails."""
    if math.isnan(low) or math.isnan(high):
        return "fails"
    a, b = {"above": (bound, math.inf), "below": (-math.inf, bound)}.get(direction) or bound
    if a <= low and high <= b:
        return "holds"
    if high < a or low > b:
        return "fails"
    return "undecided"


def judge(name, statement, measured, *, above=None, below=None, within=None, settled=None, tested=True):
    """Make a `Claim`.

    Parameters
    ----------
    name : str
        Short; unique in its lesson.
    statement : str
        What is claimed, without a full stop.
    measured : float, list of float, or Measured
        A number; one number a seed; or e.g. `proportion(k, n)`.
    above, below, within
        Exactly one: the region in which the number must lie for the statement to hold (bounds included).
    settled : "holds", "fails" or None
        The verdict that tests insist on. None: open, whichever way it falls.
    tested : bool
        False: not tested in this run (in ``--fast``).

    Raises
    ------
    ValueError
        If not exactly one region is given, or `settled` is none of the three.
    """
    given = [(d, b) for d, b in (("above", above), ("below", below), ("within", within)) if b is not None]
    if len(given) != 1:
        raise ValueError(f"claim {name!r}: {len(given)} regions given; expected one of above=, below=, within=")
    if settled not in ("holds", "fails", None):
        raise ValueError(f"claim {name!r}: settled={settled!r}; expected 'holds', 'fails' or None")
    direction, bound = given[0]
    bound = tuple(float(b) for b in bound) if direction == "within" else float(bound)
    if not tested:
        return Claim(name, statement, None, direction, bound, settled, VERDICTS[3])
    m = measure(measured)
    return Claim(name, statement, m, direction, bound, settled, decide(m.low, m.high, direction, bound))


def _short(x):
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def _region(direction, bound):
    if direction != "within":
        return f"claimed {direction} {_short(bound)}"
    low, high = bound
    return f"claimed {_short(low)}" if low == high else f"claimed {_short(low)} to {_short(high)}"
