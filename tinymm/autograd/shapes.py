"""`@shapes`: a function's shapes as a contract that is checked while testing, and costs nothing otherwise.

    @shapes("B H T K, B H S K, B H S K -> B H T K")
    def attention(q, k, v): ...

An axis of one name has one size in a whole call. Contracts are checked if the environment variable TINYMM_SHAPES was
set to 1 when the function was defined (the tests do so); otherwise the decorator returns the function itself.
"""

import functools
import inspect
import os

import numpy as np


class ShapeError(ValueError):
    """An argument or a result does not have the shape that the function promises."""


def shapes(contract):
    """Check the shapes of positional arguments and results.

    Parameters
    ----------
    contract : str
        One list of axes for each argument, separated by commas, then ``->`` and the same for the result or results.
        An axis is a name, a number, or ``...`` at the front for any axes (the same ones everywhere in a call); ``()``
        is a scalar and ``_`` leaves an argument unchecked. Arguments that are None are not checked, nor are arguments
        beyond the contract. For a method, `self` is not counted.

    Raises
    ------
    ShapeError
        At a call, naming the argument, its shape, and what was expected.
    ValueError
        At the definition, for a contract that cannot be read.
    """
    inputs, outputs = _parse(contract)

    def decorate(function):
        if os.environ.get("TINYMM_SHAPES", "0") in ("", "0"):
            return function
        names = list(inspect.signature(function).parameters)
        first = 1 if names[:1] == ["self"] else 0
        names = names[first:]

        @functools.wraps(function)
        def checked(*args, **kwargs):
            sizes = {}
            given = dict(zip(names, args[first:]), **kwargs)
            for axes, name in zip(inputs, names):
                _match(function, name, axes, given.get(name), sizes, contract)
            result = function(*args, **kwargs)
            results = result if isinstance(result, tuple) and len(outputs) > 1 else (result,)
            if len(results) != len(outputs):
                raise ShapeError(f"{function.__qualname__} gave {len(results)} results, not {len(outputs)}, {contract}")
            for i, (axes, value) in enumerate(zip(outputs, results)):
                _match(function, "the result" if len(outputs) == 1 else f"result {i + 1}", axes, value, sizes, contract)
            return result

        return checked

    return decorate


def _parse(contract):
    sides = contract.split("->")
    if len(sides) != 2:
        raise ValueError(f"shapes: cannot read {contract!r}; expected 'B T D, D -> B T'")
    parsed = []
    for side in sides:
        parsed.append([None if part.strip() == "_" else [] if part.strip() == "()" else part.split()
                       for part in side.split(",")])
        for axes in parsed[-1]:
            bad = [a for i, a in enumerate(axes or ())
                   if not (a.isidentifier() or a.isdigit() or (a == "..." and i == 0))]
            if bad or (axes == [] and "()" not in side):
                raise ValueError(f"shapes: cannot read {contract!r}: {bad or 'an empty place'}; "
                                 "expected names, numbers, a leading '...', '()' or '_'")
    return parsed


def _match(function, name, axes, value, sizes, contract):
    """Compare a value's shape with its axes; `sizes` holds what each name stands for in this call."""
    if axes is None or value is None:
        return
    shape = tuple(value.shape if hasattr(value, "shape") else np.shape(value))
    named = axes[1:] if axes[:1] == ["..."] else axes
    split = len(shape) - len(named)
    fits = split >= 0 if named is not axes else split == 0
    if fits:
        pairs = list(zip(named, shape[split:]))
        if named is not axes:
            pairs.append(("...", shape[:split]))
        for axis, size in pairs:
            if (int(axis) if axis.isdigit() else sizes.setdefault(axis, size)) != size:
                fits = False
    if not fits:
        known = ", ".join(f"{axis}={sizes[axis]}" for axis in axes if axis in sizes)
        raise ShapeError(f"{function.__qualname__}: {name} has shape {shape}; expected ({' '.join(axes)})"
                         f"{f' with {known}' if known else ''} ({contract})")
