"""Figures: one file per family; every function takes a result and returns a matplotlib ``Figure``.

Save one with ``figure.savefig``, or get bytes that never differ with ``svg_text`` and ``png_bytes``. A figure whose
result is empty raises ``TraitscopeError`` with the reason.
"""

from traitscope.plots.across import across_heatmap
from traitscope.plots.causal import causal_windows
from traitscope.plots.correlates import correlate_curves
from traitscope.plots.datasets import similarity_maps
from traitscope.plots.effects import asymmetry, class_shares, length_shift, surprises
from traitscope.plots.embeddings import separability_curves, tsne_grid
from traitscope.plots.layers import (
    cluster_boxes,
    dimension_curves,
    layer_maps,
    section_curves,
    similarity_boxes,
)
from traitscope.plots.matrix import gain_heatmap, score_heatmap
from traitscope.plots.measures import measure_curves
from traitscope.plots.overview import overview
from traitscope.plots.style import inline_svg, png_bytes, svg_text
from traitscope.plots.training import training_curves
from traitscope.plots.traits import biplot, explained_variance, loadings_bars, loadings_heatmap, profiles

__all__ = [
    "across_heatmap",
    "asymmetry",
    "biplot",
    "causal_windows",
    "class_shares",
    "training_curves",
    "cluster_boxes",
    "correlate_curves",
    "dimension_curves",
    "explained_variance",
    "gain_heatmap",
    "inline_svg",
    "layer_maps",
    "length_shift",
    "loadings_bars",
    "loadings_heatmap",
    "measure_curves",
    "overview",
    "png_bytes",
    "profiles",
    "score_heatmap",
    "section_curves",
    "separability_curves",
    "similarity_boxes",
    "similarity_maps",
    "surprises",
    "svg_text",
    "tsne_grid",
]
