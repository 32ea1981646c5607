"""Figures: one file per family; every function takes a result and returns a matplotlib ``Figure``.

Save one with ``figure.savefig``, or get bytes that never differ with ``svg_text``, ``pdf_bytes`` and ``png_bytes``. A
figure whose result is empty raises ``TraitscopeError`` with the reason. What it draws is given by the function of its
name and ``_data`` as a tidy frame (for loadings and forest plots one for both figures), in the units of its axes:
shares in percent, gains of shares in points.
"""

from traitscope.plots.across import across_heatmap, across_heatmap_data
from traitscope.plots.answers import (
    confusion_pair,
    confusion_pair_data,
    length_densities,
    length_densities_data,
    relation_bars,
    relation_bars_data,
)
from traitscope.plots.belt import belt_coverage, belt_coverage_data
from traitscope.plots.biplot import biplot, biplot_data
from traitscope.plots.causal import causal_windows
from traitscope.plots.controls import control_dumbbells, control_dumbbells_data
from traitscope.plots.correlates import correlate_curves
from traitscope.plots.datasets import similarity_maps, similarity_maps_data
from traitscope.plots.effects import (
    asymmetry,
    asymmetry_data,
    class_shares,
    class_shares_data,
    length_shift,
    length_shift_data,
)
from traitscope.plots.embeddings import separability_curves, tsne_grid
from traitscope.plots.forecast import (
    forecast_calibration,
    forecast_calibration_data,
    forecast_rankings,
    forecast_rankings_data,
)
from traitscope.plots.habits import habits, habits_data
from traitscope.plots.layer_data import (
    causal_windows_data,
    cluster_boxes_data,
    correlate_curves_data,
    dimension_curves_data,
    layer_maps_data,
    measure_curves_data,
    section_curves_data,
    separability_curves_data,
    similarity_boxes_data,
    tsne_grid_data,
    unseen_curves_data,
)
from traitscope.plots.layers import (
    cluster_boxes,
    dimension_curves,
    layer_maps,
    section_curves,
    similarity_boxes,
)
from traitscope.plots.matrix import gain_heatmap, gain_heatmap_data, score_heatmap, score_heatmap_data
from traitscope.plots.measures import measure_curves, unseen_curves
from traitscope.plots.overview import overview, overview_data
from traitscope.plots.stability import trait_stability, trait_stability_data
from traitscope.plots.style import inline_svg, pdf_bytes, png_bytes, svg_text
from traitscope.plots.surprises import surprise_dumbbells, surprise_dumbbells_data, surprises, surprises_data
from traitscope.plots.training import training_curves, training_curves_data
from traitscope.plots.traits import (
    explained_variance,
    explained_variance_data,
    loadings_bars,
    loadings_data,
    loadings_heatmap,
    profiles,
    profiles_data,
)
from traitscope.plots.transfer import forest_by_source, forest_by_target, transfer_data

__all__ = [
    "across_heatmap",
    "across_heatmap_data",
    "asymmetry",
    "asymmetry_data",
    "belt_coverage",
    "belt_coverage_data",
    "biplot",
    "biplot_data",
    "causal_windows",
    "causal_windows_data",
    "class_shares",
    "class_shares_data",
    "cluster_boxes",
    "cluster_boxes_data",
    "confusion_pair",
    "confusion_pair_data",
    "control_dumbbells",
    "control_dumbbells_data",
    "correlate_curves",
    "correlate_curves_data",
    "dimension_curves",
    "dimension_curves_data",
    "explained_variance",
    "explained_variance_data",
    "forecast_calibration",
    "forecast_calibration_data",
    "forecast_rankings",
    "forecast_rankings_data",
    "forest_by_source",
    "forest_by_target",
    "gain_heatmap",
    "gain_heatmap_data",
    "habits",
    "habits_data",
    "inline_svg",
    "layer_maps",
    "layer_maps_data",
    "length_densities",
    "length_densities_data",
    "length_shift",
    "length_shift_data",
    "loadings_bars",
    "loadings_data",
    "loadings_heatmap",
    "measure_curves",
    "measure_curves_data",
    "overview",
    "overview_data",
    "pdf_bytes",
    "png_bytes",
    "profiles",
    "profiles_data",
    "relation_bars",
    "relation_bars_data",
    "score_heatmap",
    "score_heatmap_data",
    "section_curves",
    "section_curves_data",
    "separability_curves",
    "separability_curves_data",
    "similarity_boxes",
    "similarity_boxes_data",
    "similarity_maps",
    "similarity_maps_data",
    "surprise_dumbbells",
    "surprise_dumbbells_data",
    "surprises",
    "surprises_data",
    "svg_text",
    "training_curves",
    "training_curves_data",
    "trait_stability",
    "trait_stability_data",
    "transfer_data",
    "tsne_grid",
    "tsne_grid_data",
    "unseen_curves",
    "unseen_curves_data",
]
