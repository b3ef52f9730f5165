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
* One VJP for each positional argument, None where there is none (None in place of the tuple: no gradient at all).
  Given dL/dy it returns dL/dx. Where x was broadcast it may return the larger shape: the engine sums, once, for all.
* An op of several outputs returns a tuple of arrays; its VJPs take one cotangent an output, None for an unused one.
* A fused op may return one callable in place of the tuple: given g and a tuple of booleans (which inputs need a
  gradient) it returns a tuple with one entry for each input.
* What a VJP captures is what is kept in memory until `backward`. Never capture a Tensor.
* An op whose result is its input unchanged returns ``x.view()``: then a write into the one is seen to be one into both.
"""

import functools
import inspect
import types

import numpy as np

from tinymm.autograd.tensor import CLOCK, MODE, OPS, Tensor, _new, _wrap

_ndarray = np.ndarray


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
        self.args = tuple(np.asarray(a) if isinstance(a, np.generic) else a for a in args)
        self.static, self.check = static, check

    def __repr__(self):
        shapes = [getattr(a, "shape", a) for a in self.args]
        return f"Sample({', '.join(map(str, shapes))}{''.join(f', {k}={v}' for k, v in self.static.items())})"


class Node:
    """One recorded call of an op: where its inputs came from, and how to send a gradient back to them.

    Attributes
    ----------
    edges : list
        For each input: its node, or the leaf itself, or None where neither its gradient nor its version matters.
    vjps : tuple of callable, or callable
        As the op returned them; None once the graph has been freed.
    serial : int
        The time at which the node was made.
    written : int
        The time of the last write into the output.
    captured : tuple of int
        The inputs that the VJPs have captured; -1 is the output.
    shape, dtype
        Of the output. None for an op of several outputs.
    rare : dict or None
        What few nodes have: "hooks"; "view of" (whose version counts); "output of", "place" (one output of several);
        "outputs" (how many); "trace" (under `detect_anomaly`).
    """

    __slots__ = ("edges", "vjps", "serial", "written", "captured", "shape", "dtype", "name", "rare")


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
                 "static", "captured")

    def __init__(self, function, samples, torch, fuses, composition):
        self.name, self.function, self.samples, self.torch = function.__name__, function, samples, torch
        self.fuses, self.composition, self.override = tuple(fuses), composition, None
        parameters = inspect.signature(function).parameters.values()
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.names = [p.name for p in parameters if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
        self.static = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
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
    function, variadic, captured_by, name = spec.function, spec.variadic, spec.captured, spec.name

    def apply(*xs, **static):
        if spec.override is not None:
            return spec.override(*xs, **static)
        if variadic and len(xs) == 1 and type(xs[0]) in (list, tuple):
            xs = tuple(xs[0])
        arrays, edges, record, frozen = [], [], False, False
        for x in xs:
            if type(x) is Tensor:
                arrays.append(x._array)
                edges.append(x.node or x)
                if x.requires_grad:
                    record = True
                else:
                    frozen = True
            else:
                arrays.append(_raw(x))
                edges.append(None)
        y, vjps = function(*arrays, **static)

        if type(y) is not _ndarray:
            if type(y) is tuple:
                return _several(spec, arrays, edges, record, y, vjps)
            y = np.asarray(y)
        out = _new(Tensor)
        out._array = y
        out.grad = out.rare = None
        out.written = 0
        anomaly = MODE.anomaly
        if anomaly:
            _check_forward(name, arrays, (y,))
        if not record or vjps is None or not MODE.recording:
            out.node = None
            out.requires_grad = False
            if y.base is not None:
                _note_view(out, arrays, edges)
            return out

        node = _new_node(Node)
        node.edges = edges
        node.vjps = vjps
        node.name = name
        node.shape = y.shape
        node.dtype = y.dtype
        node.written = 0
        node.rare = None
        node.serial = next(CLOCK)
        try:
            first = (vjps[0] or vjps[-1]) if type(vjps) is tuple else vjps
            node.captured = captured_by[id(first.__code__)]
        except (KeyError, TypeError, AttributeError):
            node.captured = _find_captured(spec, vjps, arrays, y)
        out.node = node
        out.requires_grad = True
        if y.base is not None:
            _note_view(node, arrays, edges, y)
        if frozen:
            _drop_unneeded(node)
        if anomaly:
            node.rare = {**(node.rare or {}), "trace": _stack()}
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


def _note_view(owner, arrays, edges, y=None):
    """A view shares its version with what it is a view of."""
    y = owner._array if y is None else y
    for x, edge in zip(arrays, edges):
        if edge is not None and (y is x or y.base is x or y.base is x.base):
            owner.rare = {"view of": edge if edge.rare is None else edge.rare.get("view of", edge)}


def _drop_unneeded(node):
    """Let go of inputs without gradient that no VJP has captured: their memory is not needed."""
    for i, edge in enumerate(node.edges):
        if type(edge) is Tensor and not edge.requires_grad and i not in node.captured:
            node.edges[i] = None


def _find_captured(spec, vjps, arrays, y):
    """Which inputs the VJPs have captured, by position, and -1 for the output.

    An input is captured if a closure holds it by its name, or holds an array that shares its memory. That depends on
    the code alone, so it is found once for each piece of VJP code (but for a variadic op that holds arrays each time).
    """
    first = vjps if type(vjps) is not tuple else vjps[0] or vjps[-1]
    key = _code_of(first)
    if key in spec.captured:
        return spec.captured[key]
    names = [] if spec.variadic else spec.names
    found, alike = set(), y.size > 0 and all(x.size > 0 for x in arrays if type(x) is _ndarray)  # alike: the next time
    for vjp in vjps if type(vjps) is tuple else (vjps,):
        for name, value in _cells(vjp):
            if name in names:
                found.add(names.index(name))
            elif isinstance(value, np.generic):
                alike = False  # a number, which will be an array next time
            for array in value if type(value) in (tuple, list) else (value,):
                if type(array) is _ndarray:
                    alike = alike and not spec.variadic
                    if np.may_share_memory(array, y):
                        found.add(-1)
                    found.update(
                        i for i, x in enumerate(arrays) if type(x) is _ndarray and np.may_share_memory(array, x)
                    )
    result = tuple(sorted(found))
    if key is not None and alike:
        spec.captured[key] = result
    return result


def _code_of(function):
    """What stands for the code of a VJP; for a function around functions, with theirs."""
    if type(function) is not types.FunctionType:
        return None
    inner = [value for _, value in _own_cells(function) if type(value) is types.FunctionType]
    code = id(function.__code__)
    return code if not inner else (code, *[id(f.__code__) for f in inner])


def _own_cells(function):
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a name that was never bound
            continue


def _cells(function):
    """The names and values that a function has captured, and that functions among them have."""
    if type(function) is types.FunctionType:
        for name, value in _own_cells(function):
            yield name, value
            if value is not function:
                yield from _cells(value)


def _several(spec, arrays, edges, record, ys, vjps):
    """An op of several outputs: one node for the op, and above it one for each float output."""
    ys = [np.asarray(y) for y in ys]
    if MODE.anomaly:
        _check_forward(spec.name, arrays, ys)
    outs = tuple([_wrap(y) for y in ys])
    record = record and MODE.recording
    if record:
        trace = {"trace": _stack()} if MODE.anomaly else {}
        node = _make_node(spec.name, edges, vjps, None, None, range(len(edges)), {"outputs": len(outs), **trace})
    for place, out in enumerate(outs):
        owner = out
        if record and out._array.dtype.kind == "f":
            owner = out.node = _make_node(spec.name, (), (), out.shape, out.dtype, (), None)
            out.requires_grad = True
        if out._array.base is not None:
            _note_view(owner, arrays, edges, out._array)
        if owner is not out:
            owner.rare = {**(owner.rare or {}), "output of": node, "place": place}
    return outs


def _make_node(name, edges, vjps, shape, dtype, captured, rare):
    """A node with everything said; `apply` does the same in line, where it must be fast."""
    node = Node()
    node.name, node.edges, node.vjps, node.shape, node.dtype = name, edges, vjps, shape, dtype
    node.captured, node.rare, node.written, node.serial = captured, rare, 0, next(CLOCK)
    return node


# ---- anomalies -------------------------------------------------------------------------------------------------------


def _bad(array):
    return type(array) is _ndarray and array.dtype.kind == "f" and bool(np.isnan(array).any())


def _check_forward(name, arrays, ys):
    if any(_bad(np.asarray(y)) for y in ys) and not any(_bad(x) for x in arrays):
        shapes = ", ".join(str(getattr(x, "shape", x)) for x in arrays)
        raise FloatingPointError(f"{name} made NaN of inputs that have none (shapes {shapes}); look at their range")


def _stack():
    import traceback

    return "".join(traceback.format_stack(limit=12)[:-3])
