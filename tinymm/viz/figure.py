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
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        fig = Figure(figsize=(size[0] * cols, size[1] * rows), dpi=DPI, layout="constrained")
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
    boxes = []
    for text in fig.findobj(Text):
        if not text.get_visible() or not text.get_text().strip() or text.get_rotation() % 90:
            continue
        box = text.get_window_extent(renderer)
        if _hidden(text, fig, box):
            continue
        boxes.append((text.get_text(), box.x0 + 1, box.y0 + 1, box.x1 - 1, box.y1 - 1))
    return [
        (a[0], b[0])
        for a, b in itertools.combinations(boxes, 2)
        if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
    ]


def _hidden(text, fig, box):
    """Ticks beyond the axes' limits keep their texts, undrawn; so do texts of axes that are switched off."""
    axes = text.axes
    if axes is None:
        return False
    if not axes.get_visible():
        return True
    if not axes.axison and text in [*axes.get_xticklabels(which="both"), *axes.get_yticklabels(which="both"),
                                    axes.xaxis.label, axes.yaxis.label]:  # fmt: skip
        return True
    area = axes.get_window_extent()
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    if text in axes.get_xticklabels(which="both"):
        return not area.x0 - 1 <= x <= area.x1 + 1
    if text in axes.get_yticklabels(which="both"):
        return not area.y0 - 1 <= y <= area.y1 + 1
    return False


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
