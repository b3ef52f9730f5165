"""The graph that the engine walks, drawn: each value with the gradient that has arrived at it."""

import numpy as np

from tinymm.autograd import Tensor


def draw_graph(output, names, *, title=None, digits=3):
    """Draw how `output` was computed, with the value and the gradient of each tensor.

    Parameters
    ----------
    output : Tensor
        Of one element. Its graph is kept; the leaves' own ``grad`` is left as it was.
    names : dict
        name -> Tensor, for the leaves and for every step whose value shall be shown.
    title : str, optional

    Returns
    -------
    fig

    Raises
    ------
    ValueError
        If `output` has more than one element or no graph.
    """
    if output.size != 1 or output.node is None:
        raise ValueError(f"draw_graph: shape {output.shape}; expected one number that was computed from tensors")
    places, edges = _layout(output.node)
    gradients = _gradients(output, places)
    known = {(t if t.node is None else t.node): (name, t) for name, t in names.items()}

    from matplotlib.patches import FancyBboxPatch

    from tinymm.viz.canvas import figure

    width, height = 1.9, 1.15
    n_cols = 1 + max(x for x, _ in places.values())
    n_rows = 1 + max(y for _, y in places.values()) - min(y for _, y in places.values())
    fig, axes = figure(size=(width * n_cols + 0.2, height * n_rows + (0.45 if title else 0.1)))
    axes.set_axis_off()
    axes.set(xlim=(-0.5, n_cols - 0.5), ylim=(min(y for _, y in places.values()) - 0.5,
                                              max(y for _, y in places.values()) + 0.5))  # fmt: skip
    for a, b in edges:
        (x0, y0), (x1, y1) = places[a], places[b]
        bend = 0.0 if x1 - x0 == 1 else 0.25 if y0 <= y1 else -0.25  # around the steps between
        axes.annotate("", (x1 - 0.36, y1), (x0 + 0.36, y0), zorder=0,
                      arrowprops={"arrowstyle": "->", "color": "0.4", "connectionstyle": f"arc3,rad={bend}"})
    for item, (x, y) in places.items():
        name, tensor = known.get(item, ("", None))
        leaf = type(item) is Tensor
        tensor = item if leaf else tensor
        head = name if leaf else f"{name} = {item.name}" if name else item.name
        body = [] if tensor is None else [f"value {_text(tensor.data, digits)}"]
        gradient = gradients.get(item)
        body.append("no gradient" if gradient is None else f"grad {_text(gradient, digits)}")
        axes.add_patch(FancyBboxPatch((x - 0.36, y - 0.3), 0.72, 0.6, boxstyle="round,pad=0,rounding_size=0.05",
                                      facecolor="#DCEBF5" if leaf else "#FBE9DA", edgecolor="0.4"))  # fmt: skip
        axes.text(x, y + 0.17, head, ha="center", va="center", fontweight="bold", fontsize=9)
        axes.text(x, y - 0.1, "\n".join(body), ha="center", va="center", fontsize=8)
    if title:
        axes.set_title(title)
    return fig


def _text(array, digits):
    if np.size(array) == 1:
        return f"{float(np.reshape(array, ())):.{digits}g}"
    if np.size(array) <= 3:
        return "[" + ", ".join(f"{v:.{digits}g}" for v in np.ravel(array)) + "]"
    return f"of shape {np.shape(array)}"


def _layout(root):
    """Each node's place: x = its longest way from a leaf, y = its row. And the edges, inputs first."""
    edges, order, seen, stack = [], [], set(), [(root, False)]
    while stack:
        item, done = stack.pop()
        if done:
            order.append(item)
            continue
        if item in seen:
            continue
        seen.add(item)
        stack.append((item, True))
        for below in reversed(_inputs(item)):
            edges.append((below, item))
            stack.append((below, False))
    depth = {}
    for item in order:
        depth[item] = 1 + max((depth[b] for b in _inputs(item)), default=-1)
    for item in order:  # a leaf stands just before its first use
        if not _inputs(item):
            depth[item] = min(depth[b] for a, b in edges if a is item) - 1
    columns = {}
    for item in order:
        columns.setdefault(depth[item], []).append(item)
    places = {}
    for x in sorted(columns):
        column = columns[x]
        wanted = {}
        for i, item in enumerate(column):
            below = [places[b][1] for b in _inputs(item)]
            wanted[item] = (float(np.mean(below)) if below else float(i), i)
        column.sort(key=lambda item: wanted[item])
        for i, item in enumerate(column):
            places[item] = (x, (len(column) - 1) / 2 - i)
    return places, list(dict.fromkeys(edges))


def _inputs(item):
    """What a node was computed from, each once. A pair of outputs of one op is one step."""
    if type(item) is Tensor:
        return []
    if item.rare is not None and "output of" in item.rare:
        return [item.rare["output of"]]
    return list(dict.fromkeys(e for e in item.edges if e is not None and (type(e) is not Tensor or e.requires_grad)))


def _gradients(output, places):
    """The gradient of `output` with respect to each place, leaving every ``grad`` as it was."""
    found, hooked = {}, []
    kept = [(item, item.grad) for item in places if type(item) is Tensor]
    for item in places:
        def hook(gradient, item=item):
            found[item] = found.get(item, 0) + gradient  # a leaf is visited once for each use

        if item.rare is None:
            item.rare = {}
        hooks = item.rare.setdefault("hooks", [])
        hooks.append(hook)
        hooked.append((hooks, hook))
    try:
        output.backward(retain_graph=True)
    finally:
        for leaf, grad in kept:
            leaf.grad = grad
        for hooks, hook in hooked:
            hooks.remove(hook)
    return found
