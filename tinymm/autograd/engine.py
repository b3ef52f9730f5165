"""`backward`: the chain rule, walked from the last node to the first.

Every node got a number when it was made, and its inputs were made before it. So the order is known without a search:
collect what can be reached, then take the nodes by falling number. When a node's turn comes, everything that uses its
output has had its turn, and its gradient is complete. No recursion, each node once, however the paths branch and join.
"""

import contextlib
import sys

import numpy as np

from tinymm.autograd.op import Node, Sample, _bad, _make_node, op
from tinymm.autograd.tensor import MODE, Tensor, _wrap, enable_grad, no_grad


def _count_alone():
    array = np.empty(0)
    return sys.getrefcount(array)


_ALONE = _count_alone()  # what sys.getrefcount says of an array that only one local variable holds


def _base_is_alone(array):
    """Whether `array` is all of its base, under another shape, and nobody else holds that base."""
    base = array.base
    return type(base) is np.ndarray and base.base is None and base.size == array.size \
        and sys.getrefcount(base) == _ALONE + 1


def backward(tensor, gradient=None, retain_graph=False):
    """Add d tensor / d leaf, times `gradient`, to ``leaf.grad`` of every leaf that requires a gradient.

    Parameters
    ----------
    tensor : Tensor
        What is differentiated; usually a loss of one element.
    gradient : array_like, optional
        dL/d tensor, of the tensor's shape. May be left out only for a tensor of one element: then it is 1.
    retain_graph : bool
        Keep the graph, for another backward through it. Otherwise it is freed as the walk passes.

    Raises
    ------
    RuntimeError
        If the tensor does not require a gradient, if the graph was freed by an earlier backward, or if an array that
        a gradient needs was written to in the meantime.
    ValueError
        If `gradient` is missing or has another shape.
    """
    if not tensor.requires_grad:
        raise RuntimeError("backward: this tensor does not require a gradient; nothing that it was computed from does")
    if gradient is None:
        if tensor._array.size != 1:
            raise ValueError(
                f"backward: a tensor of shape {tensor.shape} needs a gradient of that shape; "
                "try t.sum().backward(), or t.backward(gradient)"
            )
        gradient = np.ones_like(tensor._array)
    else:
        gradient = np.asarray(gradient._array if type(gradient) is Tensor else gradient, dtype=tensor.dtype)
        if gradient.shape != tensor.shape:
            raise ValueError(f"backward: gradient has shape {gradient.shape}; expected {tensor.shape}")
    root = tensor.node
    if root is None:
        _leave(tensor, gradient)
        return

    nodes = _collect(root)
    gradients = {root: gradient}
    owned = set()  # nodes whose gradient is a sum made here: it may be added to in place
    for serial in sorted(nodes, reverse=True):
        node = nodes.pop(serial)
        g = gradients.pop(node, None)
        if owned:
            owned.discard(node)
        if g is None:
            continue
        if node.rare is not None:
            g = _run_hooks(node.rare.get("hooks", ()), g, node)
            parent = node.rare.get("output of")
            if parent is not None:  # one output of several: hand the gradient to the op
                gradients.setdefault(parent, [None] * parent.rare["outputs"])[node.rare["place"]] = g
                if not retain_graph:
                    node.vjps = None
                    del node.rare["output of"]
                continue
        if MODE.last_write > node.serial and _written_since(node):
            raise RuntimeError(
                f"backward: an array that the gradient of {node.name} needs was written to after it was used. "
                "Write into a copy, or call backward before the write"
            )
        _send(node, g, gradients, owned)
        if not retain_graph:
            node.edges = node.captured = ()
            node.vjps = None


def _collect(root):
    """All nodes that can be reached, by number."""
    nodes, stack = {}, [root]
    while stack:
        node = stack.pop()
        if node.serial in nodes:
            continue
        if node.vjps is None:
            raise RuntimeError(
                f"backward: the graph behind {node.name} was freed by an earlier backward. "
                "Compute the result again, or call the first backward with retain_graph=True"
            )
        nodes[node.serial] = node
        if node.rare is not None and "output of" in node.rare:
            stack.append(node.rare["output of"])
        for edge in node.edges:
            if edge is not None and type(edge) is not Tensor:
                stack.append(edge)
    return nodes


def _written_since(node):
    """Whether an array that the node's VJPs need has been written to since."""
    for i in node.captured:
        place = node if i < 0 else node.edges[i] if i < len(node.edges) else None  # None: an input that was left out
        if place is not None:
            if place.rare is not None:
                place = place.rare.get("view of", place)
            if place.written > node.serial:
                return True
    return False


def _run_hooks(hooks, gradient, owner):
    for hook in tuple(hooks):
        changed = hook(gradient)
        if changed is not None:
            gradient = np.asarray(changed, dtype=owner.dtype).reshape(owner.shape)
    return gradient


def _wants(edge):
    return type(edge) is not Tensor or edge.requires_grad


def _send(node, g, gradients, owned):
    """Run a node's VJPs and add what they return to the gradients of its inputs."""
    vjps, edges, results, several = node.vjps, node.edges, None, node.shape is None
    if type(vjps) is not tuple:
        results = list(vjps(g, tuple([edge is not None and _wants(edge) for edge in edges])))
    for i, edge in enumerate(edges):
        if edge is None:
            continue
        if type(edge) is Tensor:
            if not edge.requires_grad:
                continue
            shape, dtype = edge._array.shape, edge._array.dtype
        else:
            shape, dtype = edge.shape, edge.dtype
        if results is not None:
            d, results[i] = results[i], None
        else:
            vjp = vjps[i]
            if vjp is None:
                raise RuntimeError(f"{node.name} has no gradient for its argument {i + 1}; detach it: x.detach()")
            d = vjp(*g) if several else vjp(g)
        if type(d) is not np.ndarray:
            if d is None:
                raise TypeError(f"the gradient of {node.name} for its argument {i + 1} is None; expected an array")
            d = np.asarray(d)
        if d.shape != shape:
            d = unbroadcast(d, shape, node.name)
        if d.dtype is not dtype and d.dtype != dtype:
            if not several and node.dtype == dtype:
                raise TypeError(f"the gradient of {node.name} for its argument {i + 1} is {d.dtype}; expected {dtype}")
            d = d.astype(dtype)  # the op itself changed the type: float32 and float64 met in it
        if MODE.anomaly:
            _check_backward(node, i, g, d)

        if type(edge) is Tensor:
            if edge.grad is None and edge.rare is None and sys.getrefcount(d) == _ALONE \
                    and (d.base is None or _base_is_alone(d)) and d.flags.c_contiguous and d.flags.writeable:
                edge.grad = d  # nobody else holds it: the leaf may keep it without a copy
            else:
                _leave(edge, d)
        else:
            old = gradients.get(edge)
            if old is None:
                gradients[edge] = d
            elif edge in owned:
                old += d
            else:
                gradients[edge] = old + d
                if old.ndim:
                    owned.add(edge)


def _leave(leaf, gradient):
    """Add a gradient to a leaf's own."""
    if leaf.rare is not None:
        gradient = _run_hooks(leaf.rare.get("hooks", ()), gradient, leaf)
    if leaf.grad is None:
        leaf.grad = np.array(gradient, order="C")
    else:
        leaf.grad = leaf.grad + gradient if leaf.grad.ndim == 0 else np.add(leaf.grad, gradient, out=leaf.grad)


def unbroadcast(gradient, shape, name="unbroadcast"):
    """Undo broadcasting: sum `gradient` over the axes along which an array of `shape` was repeated.

    >>> unbroadcast(np.ones((2, 3, 4)), (3, 1)).tolist()
    [[8.0], [8.0], [8.0]]

    Raises
    ------
    ValueError
        If an array of `shape` cannot be broadcast to the gradient's shape.
    """
    extra = gradient.ndim - len(shape)
    kept = gradient.shape[extra:]
    if extra < 0 or any(s != k and s != 1 for s, k in zip(shape, kept)):
        raise ValueError(f"the gradient of {name} has shape {gradient.shape}; expected {shape}, or one broadcast to it")
    axes = tuple(range(extra)) + tuple(extra + i for i, (s, k) in enumerate(zip(shape, kept)) if s == 1 and k != 1)
    return gradient.sum(axis=axes, keepdims=True).reshape(shape)


# ---- NaN hunting -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def detect_anomaly():
    """Inside ``with detect_anomaly():`` the op that first makes NaN, forward or backward, raises and is named. Slow.

    Raises
    ------
    FloatingPointError
        Naming the op; for a backward one, with the lines that called it forward.
    """
    before = MODE.anomaly
    MODE.anomaly = True
    try:
        yield
    finally:
        MODE.anomaly = before


def _check_backward(node, i, g, d):
    if _bad(d) and not any(_bad(c) for c in (g if type(g) is list else [g])):
        trace = (node.rare or {}).get("trace", "")
        where = f"; it was called here:\n{trace}" if trace else ""
        raise FloatingPointError(f"the gradient of {node.name} for its argument {i + 1} is NaN{where}")


# ---- recompute instead of remember -----------------------------------------------------------------------------------


def checkpoint(function, *inputs):
    """``function(*inputs)``, whose inner results are not kept but computed again in `backward`: memory for time.

    Parameters
    ----------
    function : callable
        Of Tensors, returning one Tensor. It is called twice; random draws (dropout) are the same both times.
    *inputs : Tensor
        Parameters that `function` reads by itself get their gradients too.

    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost".
    """
    from tinymm.autograd import random

    if not MODE.recording:
        return function(*inputs)
    state = random.get_state()
    with no_grad():
        value = function(*inputs)
    if type(value) is not Tensor:
        raise TypeError(f"checkpoint: the function returned {type(value).__name__}; expected one Tensor")
    arrays = [x._array if type(x) is Tensor else None for x in inputs]  # captured: the arrays, not the tensors
    others = [None if type(x) is Tensor else x for x in inputs]
    wanted = [type(x) is Tensor and x.requires_grad for x in inputs]

    def vjps(g, needs):
        again = [x if a is None else _wrap(a) for a, x in zip(arrays, others)]
        for x, want in zip(again, wanted):
            if want:
                x.requires_grad = True
        now = random.get_state()
        random.set_state(state)
        try:
            with enable_grad():
                result = function(*again)
            if result.requires_grad:
                backward(result, g)
        finally:
            random.set_state(now)
        return tuple((x.grad if x.grad is not None else np.zeros_like(x._array)) if want else None
                     for x, want in zip(again, wanted))

    edges = [(x.node or x) if type(x) is Tensor else None for x in inputs]
    node = _make_node("checkpoint", edges, vjps, value.shape, value.dtype, range(len(edges)), None)
    out = _wrap(value._array)
    out.node, out.requires_grad = node, True
    return out


__all__ = ["Node", "Sample", "backward", "checkpoint", "detect_anomaly", "op", "unbroadcast"]
