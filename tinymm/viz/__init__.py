"""Figures: one look, alt text always, the same file from the same numbers.

Matplotlib is imported when the first figure is made. No global state is touched: figures are made without pyplot.
"""

from tinymm.viz.canvas import ALT_SUFFIX, MAX_BYTES, figure, overlaps, save
from tinymm.viz.embeddings import arrows, pca, place_labels, scatter
from tinymm.viz.graph import draw_graph
from tinymm.viz.plots import COLOURS, bars, heatmap, heatmaps, images, lines

__all__ = ["ALT_SUFFIX", "COLOURS", "MAX_BYTES", "arrows", "bars", "draw_graph", "figure", "heatmap", "heatmaps",
           "images", "lines", "overlaps", "pca", "place_labels", "save", "scatter"]
