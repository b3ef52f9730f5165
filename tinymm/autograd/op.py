"""`@op`: a NumPy function that also returns its vector-Jacobian products becomes a function of Tensors.

An op is written once, forward and gradient side by side::

    @op(samples=lambda rng: [Sample(rng.normal(size=(2, 3)), rng.normal(size=3))])
    def multiply(a, b):
        def d_a(g):
            return g * b
        def d_b(g):
            return g * a
        return a * b, (d_a, d_b)

* Positional arguments are tensors (the function sees their arrays), keyword-only arguments are static.
* One VJP for each positional argument, None where there is none. Given dL/dy it returns dL/dx. Where x was broadcast
  it may return the larger shape: the engine sums, once, for all ops.
* An op of several outputs returns a tuple of arrays; its VJPs then take one cotangent an output, None for an unused one.
* A fused op may return one callable in place of the tuple: given g and a tuple of booleans (which inputs need a
  gradient) it returns a tuple with one entry for each input.
* What a VJP captures is what is kept in memory until `backward`. Never capture a Tensor.
"""

import functools
import inspect
import types

import numpy as np

from tinymm.autograd.tensor import MODE, OPS, Tensor, _new, _wrap

_ndarray = np.ndarray
_SERIAL = [0]  # the number of the node made last


class Sample:
    """One set of arguments on which an op is gradient-checked.

    Parameters
    ----------
    *args
        The positional arguments: float64 arrays are checked, anything else (integers, None) is passed on as it is.
    check : tuple of int, optional
        The positions to check, where not all float arrays are differentiable.
    **static
        The keyword-only arguments.
    """

    def __init__(self, *args, check=None, **static):
        self.args, self.static, self.check = args, static, check

    def __repr__(self):
        shapes = [getattr(a, "shape", a) for a in self.args]
        return f"Sample({', '.join(map(str, shapes))}{''.join(f', {k}={v}' for k, v in self.static.items())})"


class Node:
    """One recorded call of an op: where its inputs came from, and how to send a gradient back to them."""

    __slots__ = ("edges", "vjps", "serial", "name", "versions", "shape", "dtype", "hooks", "parent", "place", "trace",
                 "__weakref__")


class Spec:
    """What is known of an op; ``some_op.spec``.

    Attributes
    ----------
    function : callable
        The NumPy function, as written.
    samples : callable or None
        ``samples(rng)`` gives a list of `Sample`.
    torch : str or None
        The name of torch's counterpart below ``torch``, for the parity tests.
    fuses : tuple of str
        For a fused op, the names of the ops that its composition is made of.
    composition : callable or None
        For a fused op, the same function as a composition of those ops on Tensors: its twin in tests, and what runs
        when one of `fuses` is replaced.
    override : callable or None
        What is called in place of the op (`tinymm.use`). It takes and returns Tensors.
    """

    __slots__ = ("name", "function", "samples", "torch", "fuses", "composition", "override", "variadic", "names",
                 "captured")

    def __init__(self, function, samples, torch, fuses, composition):
        self.name, self.function, self.samples, self.torch = function.__name__, function, samples, torch
        self.fuses, self.composition, self.override = tuple(fuses), composition, None
        parameters = inspect.signature(function).parameters.values()
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.names = [p.name for p in parameters if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
        self.captured = {}


def op(function=None, *, samples=None, torch=None, fuses=(), composition=None, name=None):
    """Turn a NumPy function with VJPs into an op on Tensors, and enter it into `OPS`. See the module's text.

    Parameters
    ----------
    samples, torch, fuses, composition
        See `Spec`. An op without samples fails the test suite.
    name : str, optional
        The name in `OPS`, if not the function's.

    Raises
    ------
    ValueError
        If the name is taken.
    """
    if function is None:
        return functools.partial(op, samples=samples, torch=torch, fuses=fuses, composition=composition, name=name)
    spec = Spec(function, samples, torch, fuses, composition)
    if name is not None:
        spec.name = name
    if spec.name in OPS:
        raise ValueError(f"op: there is an op named {spec.name!r} already")
    apply = _make_apply(spec)
    functools.update_wrapper(apply, function)
    apply.__name__ = spec.name
    apply.spec = spec
    OPS[spec.name] = apply
    return apply


def _make_apply(spec):
    captured_by = spec.captured

    def apply(*xs, **static):
        if spec.override is not None:
            return spec.override(*xs, **static)
        if spec.variadic and len(xs) == 1 and type(xs[0]) in (list, tuple):
            xs = tuple(xs[0])
        arrays = [x._array if type(x) is Tensor else _raw(x) for x in xs]
        y, vjps = spec.function(*arrays, **static)

        if type(y) is not _ndarray:
            if type(y) is tuple:
                return _several(spec, xs, arrays, y, vjps)
            y = np.asarray(y)
        out = _new(Tensor)
        out._array = y
        out.grad = out.node = out._hooks = None
        out.requires_grad = False
        out._version = [0] if y.base is None else _shared_version(xs, y)
        if MODE.anomaly:
            _check_forward(spec.name, arrays, (y,))
        if not MODE.recording:
            return out

        edges = [
            None if type(x) is not Tensor or not x.requires_grad else x if x.node is None else x.node for x in xs
        ]
        for edge in edges:
            if edge is not None:
                break
        else:
            return out
        node = _new_node(Node)
        node.edges = edges
        node.vjps = vjps
        node.name = spec.name
        node.shape = y.shape
        node.dtype = y.dtype
        node.hooks = node.parent = None
        _SERIAL[0] = node.serial = _SERIAL[0] + 1
        first = vjps if type(vjps) is not tuple else vjps[0] if vjps[0] is not None else vjps[-1]
        try:
            inputs, output = captured_by[first.__code__]
        except (KeyError, AttributeError):
            inputs, output = _remember_captured(spec, first, vjps, arrays, y)
        if output:
            node.versions = [(out._version, 0)] if not inputs else _versions(xs, inputs) + [(out._version, out._version[0])]
        else:
            node.versions = _versions(xs, inputs) if inputs else ()
        if MODE.anomaly:
            node.trace = _stack()
        out.node = node
        out.requires_grad = True
        return out

    return apply


_new_node = Node.__new__


def _raw(x):
    """An argument that is no Tensor. NumPy's scalars count as Python's, so that np.sqrt(64) leaves float32 float32."""
    if x is None or type(x) in (_ndarray, float, int):
        return x
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, (list, tuple)) and any(type(i) is Tensor for i in x):
        raise TypeError("an op got a list of Tensors where it expects one; try tinymm.stack([...])")
    return np.asarray(x)


def _versions(xs, inputs):
    return [(xs[i]._version, xs[i]._version[0]) for i in inputs if i < len(xs) and type(xs[i]) is Tensor]


def _shared_version(xs, y):
    """A view shares its version number with what it is a view of."""
    for x in xs:
        if type(x) is Tensor and (y is x._array or y.base is x._array or y.base is x._array.base):
            return x._version
    return [0]


def _remember_captured(spec, first, vjps, arrays, y):
    """Which inputs, and whether the output, the VJPs have captured; found once for each piece of VJP code."""
    if spec.variadic:
        names = set()
    else:
        names = set(spec.names)
    found, output = set(), False
    for vjp in vjps if type(vjps) is tuple else (vjps,):
        for name, value in _cells(vjp):
            if name in names:
                found.add(spec.names.index(name))
            for array in value if type(value) in (tuple, list) else (value,):
                if type(array) is _ndarray:
                    output = output or np.may_share_memory(array, y)
                    found.update(i for i, x in enumerate(arrays) if type(x) is _ndarray and np.may_share_memory(array, x))
    result = (tuple(sorted(found)), output)
    if not spec.variadic and hasattr(first, "__code__"):
        spec.captured[first.__code__] = result
    return result


def _cells(function):
    if not isinstance(function, types.FunctionType):
        return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            value = cell.cell_contents
        except ValueError:  # a name that was never bound
            continue
        yield name, value
        if isinstance(value, types.FunctionType) and value is not function:
            yield from _cells(value)


def _several(spec, xs, arrays, ys, vjps):
    """An op of several outputs: one node for the op, and above it one for each float output."""
    if MODE.anomaly:
        _check_forward(spec.name, arrays, ys)
    outs = tuple(_wrap(np.asarray(y), _shared_version(xs, np.asarray(y))) for y in ys)
    if not MODE.recording or not any(type(x) is Tensor and x.requires_grad for x in xs):
        return outs
    node = Node()
    node.edges = [None if type(x) is not Tensor or not x.requires_grad else x.node or x for x in xs]
    node.vjps, node.name, node.hooks, node.parent = vjps, spec.name, None, None
    node.shape = node.dtype = None
    node.place = len(outs)
    _SERIAL[0] = node.serial = _SERIAL[0] + 1
    node.versions = [(x._version, x._version[0]) for x in xs if type(x) is Tensor]
    if MODE.anomaly:
        node.trace = _stack()
    for place, out in enumerate(outs):
        if out._array.dtype.kind != "f":
            continue
        pick = Node()
        pick.edges, pick.vjps, pick.name, pick.hooks = (), (), spec.name, None
        pick.shape, pick.dtype, pick.versions = out._array.shape, out._array.dtype, ()
        pick.parent, pick.place = node, place
        _SERIAL[0] = pick.serial = _SERIAL[0] + 1
        out.node, out.requires_grad = pick, True
    return outs


# ---- anomalies -----------------------------------------------------------------------------------------------------------


def _bad(array):
    return type(array) is _ndarray and array.dtype.kind == "f" and bool(np.isnan(array).any())


def _check_forward(name, arrays, ys):
    if any(_bad(np.asarray(y)) for y in ys) and not any(_bad(x) for x in arrays):
        shapes = ", ".join(str(getattr(x, "shape", x)) for x in arrays)
        raise FloatingPointError(f"{name} made NaN of inputs that have none (shapes {shapes}); look at its inputs' range")


def _stack():
    import traceback

    return "".join(traceback.format_stack(limit=12)[:-3])
