"""Vectors in the plane: principal components, points with labels that keep out of each other's way, arrows."""

import numpy as np

from tinymm.viz.plots import COLOURS


def pca(vectors, n=2):
    """The first `n` principal components.

    Parameters
    ----------
    vectors : (m, d) array

    Returns
    -------
    points : (m, n) array
    share : (n,) array
        The share of the variance that each component explains. State it where the points are shown.
    """
    x = np.asarray(vectors, float)
    x = x - x.mean(0)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    signs = np.sign(vt[np.arange(len(vt)), np.abs(vt).argmax(1)])  # the sign of a component means nothing: fix it
    total = max(float((s**2).sum()), np.finfo(float).tiny)
    return (u * s * signs)[:, :n], (s**2 / total)[:n]


def scatter(axes, points, labels=None, *, groups=None, xlabel="component 1", ylabel="component 2", title=None, size=18):
    """Points, each with its label where there is room; returns the labels that found none.

    Parameters
    ----------
    points : (m, 2) array
    labels : list of str, optional
    groups : list of str, optional
        Points of one group get one colour and marker, and an entry in the legend.
    """
    points = np.asarray(points, float)
    markers = "os^Dv*PX"
    if groups is None:
        axes.scatter(*points.T, s=size, color=COLOURS[0])
    else:
        for i, group in enumerate(dict.fromkeys(groups)):
            which = np.array([g == group for g in groups])
            axes.scatter(*points[which].T, s=size, color=COLOURS[i % 8], marker=markers[i % 8], label=group)
        axes.legend()
    axes.margins(0.12)
    axes.grid(alpha=0.3)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if title:
        axes.set_title(title)
    return [] if labels is None else place_labels(axes, points, labels)


def arrows(axes, points, pairs, labels, *, share=None, title=None):
    """Arrows from word to word, e.g. from each country to its capital.

    Parameters
    ----------
    points : (m, 2) array
    pairs : list of (i, j)
        An arrow from point i to point j.
    labels : list of str
        One a point.
    share : (2,) array, optional
        What `pca` says the components explain; written on the axes.

    Returns
    -------
    list of str
        The labels that found no room.
    """
    names = ["component 1", "component 2"]
    if share is not None:
        names = [f"{name} ({100 * s:.0f} % of the variance)" for name, s in zip(names, share)]
    points = np.asarray(points, float)
    for i, j in pairs:
        axes.annotate("", points[j], points[i],
                      arrowprops={"arrowstyle": "->", "color": "0.55", "shrinkA": 3, "shrinkB": 3})
    starts = {i for i, _ in pairs}
    groups = ["from" if i in starts else "to" for i in range(len(points))]
    for i, group in enumerate(("from", "to")):
        which = np.array([g == group for g in groups])
        axes.scatter(*points[which].T, s=18, color=COLOURS[i], marker="os"[i])
    axes.margins(0.15)
    axes.grid(alpha=0.3)
    axes.set(xlabel=names[0], ylabel=names[1])
    if title:
        axes.set_title(title)
    return place_labels(axes, points, labels)


def place_labels(axes, points, labels, fontsize=8):
    """Write each label beside its point, at the first of 24 places where it covers no other label and no point.

    Returns
    -------
    list of str
        The labels that found no room and are not written.
    """
    fig = axes.figure
    fig.draw_without_rendering()
    renderer = fig.canvas.get_renderer()
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    area = axes.get_window_extent()
    dots = axes.transData.transform(np.asarray(points, float))
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in dots]
    left = []
    for (x, y), label in zip(points, labels):
        text = axes.annotate(label, (x, y), (0, 0), textcoords="offset points", fontsize=fontsize)
        for dx, dy, ha, va in _places():
            text.set(position=(dx, dy), ha=ha, va=va)
            box = text.get_window_extent(renderer)
            me = (box.x0 - 1, box.y0 - 1, box.x1 + 1, box.y1 + 1)
            inside = me[0] >= area.x0 and me[2] <= area.x1 and me[1] >= area.y0 and me[3] <= area.y1
            if inside and not any(me[0] < t[2] and t[0] < me[2] and me[1] < t[3] and t[1] < me[3] for t in taken):
                taken.append(me)
                break
        else:
            text.remove()
            left.append(label)
    return left


def _places():
    for r in (4, 8, 13):
        yield from ((r, 0, "left", "center"), (-r, 0, "right", "center"), (0, r, "center", "bottom"),
                    (0, -r, "center", "top"), (r, r, "left", "bottom"), (-r, r, "right", "bottom"),
                    (r, -r, "left", "top"), (-r, -r, "right", "top"))  # fmt: skip
