"""Lines, bars, heat maps, pictures: all take arrays and an axes, so that they can be put side by side."""

import numpy as np

# Okabe and Ito's palette: told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C00")
SIGNED = "RdBu_r"
PLAIN = "viridis"


def lines(axes, x, curves, *, xlabel, ylabel, title=None, logx=False, logy=False, legend=True):
    """Lines with a legend; where a curve is (seeds, n), the mean with the range over seeds as a band.

    Parameters
    ----------
    x : (n,) array, or None for 0, 1, ...
    curves : dict
        label -> (n,) or (seeds, n) array.
    legend : bool or "below"
        Inside where there is room, or below the axes.
    """
    styles = ("-", "--", "-.", ":")
    for i, (label, y) in enumerate(curves.items()):
        y = np.atleast_2d(np.asarray(y, float))
        at = np.arange(y.shape[1]) if x is None else np.asarray(x)[: y.shape[1]]
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(at, y.mean(0), label=label, color=colour, linestyle=styles[(i // 3) % 4], linewidth=1.6)
        if len(y) > 1:
            axes.fill_between(at, y.min(0), y.max(0), color=colour, alpha=0.18, linewidth=0)
    if logx:
        axes.set_xscale("log")
    if logy:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if title:
        axes.set_title(title)
    if legend and len(curves) > 1:
        if legend == "below":
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, fontsize=8)
        else:
            axes.legend()
    return axes


def bars(axes, values, *, xlabel, title=None, reference=None, digits=3, log=False):
    """Horizontal bars, each with its number at the end.

    Parameters
    ----------
    values : dict
        label -> number, or (number, low, high) with an interval, or a list of three or more numbers (seeds): their
        mean, each one a dot.
    reference : (float, str), optional
        A dashed vertical line; its name stands below the axis.
    """
    labels = list(values)
    top = 0.0
    for i, v in enumerate(values.values()):
        v = np.atleast_1d(np.asarray(v, float))
        seeds = len(v) >= 3 and not isinstance(list(values.values())[i], tuple)
        mean = v.mean() if seeds else v[0]
        axes.barh(i, mean, color=COLOURS[0], alpha=0.75, height=0.7)
        end = mean
        if seeds:
            axes.plot(v, np.full(len(v), i), "o", color=COLOURS[6], markersize=3)
            end = v.max()
        elif len(v) == 3:
            axes.plot(v[1:], [i, i], color=COLOURS[6], linewidth=1.5)
            end = v[2]
        axes.annotate(f"{mean:.{digits}g}", (max(end, mean), i), (4, 0), textcoords="offset points", va="center")
        top = max(top, end)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(right=top * 4)
    else:
        axes.set_xlim(right=top * 1.2)
    if reference is not None:
        axes.axvline(reference[0], color=COLOURS[1], linestyle="--", linewidth=1.2)
        xlabel = f"{xlabel}\ndashed: {reference[1]}, {reference[0]:.{digits}g}"
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(xlabel)
    if title:
        axes.set_title(title)
    return axes


def heatmap(axes, matrix, *, rows=None, cols=None, ylabel=None, xlabel=None, title=None, signed=False, vmin=None,
            vmax=None, numbers=False, mask=None, bar=True, label=None, digits=2):  # fmt: skip
    """A matrix as colours. Query (target) on y, key (source) on x.

    Parameters
    ----------
    matrix : (m, n) array
    rows, cols : list of str, optional
        Token labels; all are shown.
    signed : bool
        A diverging map centred on 0; otherwise viridis from 0 (or the minimum, if that is below 0 or given) up.
    numbers : bool
        Write each number into its cell.
    mask : (m, n) array of bool, optional
        True = may attend; the other cells are hatched.
    bar : bool
        A colour bar with `label`.

    Returns
    -------
    The image, for a shared colour bar.
    """
    matrix = np.asarray(matrix, float)
    shown = matrix if mask is None else np.ma.masked_array(matrix, ~np.asarray(mask))
    if signed:
        vmax = float(np.abs(shown).max()) if vmax is None else vmax
        vmin = -vmax
    else:
        vmax = float(shown.max()) if vmax is None else vmax
        vmin = min(0.0, float(shown.min())) if vmin is None else vmin
    image = axes.imshow(shown, cmap=SIGNED if signed else PLAIN, vmin=vmin, vmax=vmax, aspect="auto")
    if mask is not None:
        from matplotlib.patches import Rectangle

        for i, j in np.argwhere(~np.asarray(mask)):
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, hatch="////", edgecolor="0.6", linewidth=0))
    m, n = matrix.shape
    if cols is not None:
        upright = max(map(len, cols)) * n < 60
        axes.set_xticks(range(n), cols, rotation=0 if upright else 90)
    if rows is not None:
        axes.set_yticks(range(m), rows)
    if numbers:
        for (i, j), value in np.ndenumerate(matrix):
            if mask is None or mask[i][j]:
                axes.text(j, i, f"{value:.{digits}f}", ha="center", va="center",
                          color=_readable(image, value))  # fmt: skip
    axes.set(xlabel=xlabel or "", ylabel=ylabel or "")
    if title:
        axes.set_title(title)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if bar:
        axes.figure.colorbar(image, ax=axes, label=label or "", fraction=0.05)
    return image


def heatmaps(matrices, titles, *, label, shape=None, size=(3.0, 2.8), signed=False, title=None, **options):
    """Several matrices of one kind: one scale, one colour bar.

    Parameters
    ----------
    matrices : list of (m, n) arrays
    titles : list of str
    label : str
        What the colour means, with its unit.
    shape : (rows, cols), optional
        Default: one row.
    **options
        For `heatmap`: rows, cols, xlabel, ylabel, numbers, mask.

    Returns
    -------
    fig
    """
    from tinymm.viz.canvas import figure

    rows, cols = shape or (1, len(matrices))
    fig, axes = figure(rows, cols, size, title=title)
    axes = np.atleast_1d(axes).ravel()
    if signed:
        scale = {"vmax": max(float(np.abs(m).max()) for m in matrices)}
    else:
        low, high = min(float(np.min(m)) for m in matrices), max(float(np.max(m)) for m in matrices)
        scale = {"vmin": min(0.0, low), "vmax": high}
    scale |= {k: options.pop(k) for k in ("vmin", "vmax") if k in options}
    for ax, matrix, name in zip(axes, matrices, titles):
        image = heatmap(ax, matrix, title=name, signed=signed, bar=False, **scale, **options)
    for ax in axes[len(matrices):]:
        ax.set_visible(False)
    fig.colorbar(image, ax=list(axes), label=label, shrink=0.85)
    return fig


def images(pictures, titles=None, *, cols=None, size=1.3, signed=False, title=None, vmax=None):
    """Small pictures in a grid, without axes: (n, h, w) or (n, h, w, 3) arrays.

    Returns
    -------
    fig
    """
    from tinymm.viz.canvas import figure

    pictures = list(pictures)
    cols = cols or min(len(pictures), 8)
    rows = -(-len(pictures) // cols)
    fig, axes = figure(rows, cols, (size, size * (1.25 if titles else 1.0)), title=title)
    axes = np.atleast_1d(axes).ravel()
    for ax in axes:
        ax.set_axis_off()
    if signed:
        top = vmax or max(float(np.abs(p).max()) for p in pictures)
        scale = {"cmap": SIGNED, "vmin": -top, "vmax": top}
    else:
        scale = {"cmap": "gray", "vmin": 0.0, "vmax": vmax or max(float(np.max(p)) for p in pictures)}
    for i, (ax, picture) in enumerate(zip(axes, pictures)):
        image = ax.imshow(picture, **scale)
        if titles:
            ax.set_title(titles[i], fontsize=8)
    if signed:
        fig.colorbar(image, ax=list(axes), shrink=0.85)
    return fig


def _readable(image, value):
    """Black or white, whichever is read better on the colour of `value`."""
    r, g, b, _ = image.cmap(image.norm(value))
    return "black" if 0.299 * r + 0.587 * g + 0.114 * b > 0.55 else "white"
