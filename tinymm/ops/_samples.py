"""Arguments on which ops are gradient-checked, for the many ops that need the same ones.

Dimensions are distinct primes, so that swapped axes fail. Values stay away from `kinks`, where an op has no derivative.
"""

import numpy as np

from tinymm.autograd.op import Sample


def draw(rng, shape, low=-2.0, high=2.0, kinks=()):
    """Numbers between `low` and `high`, at least 0.05 away from each kink."""
    x = rng.uniform(low, high, size=shape)
    for kink in kinks:
        near = np.abs(x - kink) < 0.05
        x = np.where(near, kink + np.where(x < kink, -0.1, 0.1), x)
    return x


def unary(low=-2.0, high=2.0, kinks=(), **static):
    """Samples of one array: a scalar, a row, a size-1 axis, nothing at all, every second column of a transpose."""

    def samples(rng):
        shapes = [(), (7,), (2, 1, 5), (0, 3)]
        arrays = [draw(rng, s, low, high, kinks) for s in shapes]
        arrays.append(draw(rng, (7, 3), low, high, kinks).T[:, ::2])
        return [Sample(x, **static) for x in arrays]

    return samples


def binary(low=-2.0, high=2.0, low2=None, high2=None, kinks=()):
    """Samples of two arrays that broadcast, in both directions; none of the elements are within 0.05 of each other."""
    low2, high2 = low if low2 is None else low2, high if high2 is None else high2

    def samples(rng):
        shapes = [((3,), (3,)), ((2, 3, 5), (5,)), ((3, 1), (2, 3, 5)), ((2, 1, 5), (3, 1)), ((0, 3), (3,)), ((7,), ())]
        pairs = [(draw(rng, s, low, high, kinks), draw(rng, t, low2, high2, kinks)) for s, t in shapes]
        pairs.append((draw(rng, (5, 3), low, high, kinks).T, draw(rng, (3, 10), low2, high2, kinks)[:, ::-2]))
        return [Sample(a, _apart(a, b)) for a, b in pairs]

    return samples


def _apart(a, b):
    """`b`, moved up by 0.1 at a time until nothing in it is close to what it meets in `a`."""
    b = np.array(b)
    while True:
        near = np.abs(a - b) < 0.05
        if not near.any():
            return b
        extra = near.ndim - b.ndim
        kept = near.any(axis=tuple(range(extra)))
        ones = tuple(i for i, n in enumerate(b.shape) if n == 1)
        b = b + 0.1 * kept.any(axis=ones, keepdims=True)


def shapes(*of, **static):
    """Samples of one array each, of the shapes given, all with the same static arguments."""
    return lambda rng: [Sample(rng.normal(size=s), **static) for s in of]
