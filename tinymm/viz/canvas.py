"""Making and saving a figure."""

import io
import itertools
import os
import tempfile
from pathlib import Path

MAX_BYTES = 300_000
ALT_SUFFIX = ".alt.txt"
DPI = 110

STYLE = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib, so that labels look and fit alike everywhere
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "image.cmap": "viridis",
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "svg.hashsalt": "tinymm",
}


def figure(rows=1, cols=1, size=(4.0, 3.0), title=None, **subplots):
    """An empty figure and its axes.

    Parameters
    ----------
    rows, cols : int
    size : (float, float)
        Width and height of one panel, in inches.
    title : str, optional
        Over the whole figure.
    **subplots
        For ``Figure.subplots``: sharex, sharey, width_ratios, ...

    Returns
    -------
    fig : matplotlib.figure.Figure
    axes : one Axes, or an array of them: (cols,) or (rows,) for a single row or column, else (rows, cols)
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        fig = Figure(figsize=(size[0] * cols, size[1] * rows), dpi=DPI, layout="constrained")
        FigureCanvasAgg(fig)
        axes = fig.subplots(rows, cols, **subplots)
        if title:
            fig.suptitle(title, fontsize=11)
    return fig, axes


def save(fig, path, *, alt, source=None, overlap=False):
    """Save `fig` as PNG, with its alt text in ``NAME.alt.txt`` beside it. The same numbers give the same bytes.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    path : path
        ``.png`` is added where it is missing.
    alt : str
        What the figure shows, for those who cannot see it: what is plotted, and what follows from it.
    source : str, optional
        A mark of the code that drew it, kept inside the file (`tinymm figures --check` compares it).
    overlap : bool
        Allow texts to overlap.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If the alt text is missing or says nothing, if two texts overlap, or if the file exceeds `MAX_BYTES`.
    """
    import matplotlib

    path = Path(path)
    path = path if path.suffix == ".png" else path.with_name(path.name + ".png")
    alt = " ".join((alt or "").split())
    if len(alt) < 20:
        raise ValueError(f"save {path.name}: the alt text is {alt!r}; expected what the figure shows")
    with matplotlib.rc_context(STYLE):
        clashes = [] if overlap else overlaps(fig)
        if clashes:
            a, b = clashes[0]
            raise ValueError(
                f"save {path.name}: {len(clashes)} pairs of texts overlap ({a!r} and {b!r}); make the figure larger"
            )
        buffer = io.BytesIO()
        metadata = {"Software": None} | ({"Source": source} if source else {})
        fig.savefig(buffer, format="png", dpi=DPI, metadata=metadata)
    data = buffer.getvalue()
    if len(data) > MAX_BYTES:
        data = _fewer_colours(buffer, source)
    if len(data) > MAX_BYTES:
        raise ValueError(f"save {path.name}: {len(data):,} bytes; expected at most {MAX_BYTES:,}. Make it smaller")
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, data)
    _replace(path.with_name(path.stem + ALT_SUFFIX), (alt + "\n").encode())
    return path


def overlaps(fig):
    """The pairs of visible texts of a figure whose boxes overlap (slanted texts are passed over)."""
    from matplotlib.text import Text

    fig.draw_without_rendering()
    renderer = fig.canvas.get_renderer()
    hidden = _hidden(fig)
    boxes = []
    for text in fig.findobj(Text):
        if text.get_visible() and text.get_text().strip() and not text.get_rotation() % 90 and id(text) not in hidden:
            box = text.get_window_extent(renderer)
            air = 1 + 0.12 * min(box.width, box.height)  # a text's box is larger than its ink
            boxes.append((text.get_text(), box.x0 + 1, box.y0 + air, box.x1 - 1, box.y1 - air))
    return [
        (a[0], b[0])
        for a, b in itertools.combinations(boxes, 2)
        if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
    ]


def _hidden(fig):
    """The ids of texts that exist and are not drawn: of axes that are off, and of ticks beyond an axis's limits."""
    found = set()
    for axes in fig.axes:
        for axis in (axes.xaxis, axes.yaxis):
            shown = axes.get_visible() and axes.axison and axis.get_visible()
            scale = axis.get_transform().transform
            low, high = sorted(scale(axis.get_view_interval()))
            slack = 1e-6 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not (shown and low - slack <= scale(tick.get_loc()) <= high + slack):
                    found |= {id(tick.label1), id(tick.label2)}
            if not shown:
                found |= {id(axis.label), id(axis.offsetText)}
        if not axes.get_visible():
            found |= {id(text) for text in (axes.title, axes._left_title, axes._right_title, *axes.texts)}
    return found


def _fewer_colours(buffer, source):
    """The same picture with 256 colours."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if source:
        info.add_text("Source", source)
    buffer.seek(0)
    small = io.BytesIO()
    image = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(small, "PNG", optimize=True, pnginfo=info, dpi=(DPI, DPI))
    return small.getvalue()


def _replace(path, data):
    """Write a file whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(data)
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            file.close()
            Path(file.name).unlink(missing_ok=True)
            raise
