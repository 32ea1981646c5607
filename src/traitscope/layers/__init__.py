"""Layer by layer: similarity of representations, spectra, separability, sections, causal checks.

Works on arrays of hidden states (acts_LSD) and never on models; `analyse_layers` does everything for one study.
"""

from traitscope.layers.activations import Acts, Provider, TaskActs, align, per_model
from traitscope.layers.analysis import analyse_layers
from traitscope.layers.causal import CausalCheck, WindowEffect, causal_check, sliding_windows
from traitscope.layers.cka import Interval, cka_jackknife, linear_cka
from traitscope.layers.correlates import layer_correlates, trait_layers
from traitscope.layers.embedding import Embedding, tsne
from traitscope.layers.measures import MEASURES, Measure, compare, cosine_measure, subsample_interval
from traitscope.layers.options import DEFAULT_MEASURES, LayerOptions
from traitscope.layers.representation import Representation, linear_gram
from traitscope.layers.result import LayersResult
from traitscope.layers.section_types import Boundary, Nearer, Sections, told_apart
from traitscope.layers.sections import CALIBRATION, SectionCurves, find_sections
from traitscope.layers.segments import Bends, Rises, fit_bends, fit_rises
from traitscope.layers.separability import Separability, separability
from traitscope.layers.spectrum import Spectrum, dims_for_share, effective_rank, participation_ratio, spectrum
from traitscope.layers.task_figures import TaskFigures, task_figures

__all__ = [
    "Acts",
    "Bends",
    "Boundary",
    "CALIBRATION",
    "CausalCheck",
    "DEFAULT_MEASURES",
    "Embedding",
    "Interval",
    "LayerOptions",
    "LayersResult",
    "MEASURES",
    "Measure",
    "Nearer",
    "Provider",
    "Representation",
    "Rises",
    "SectionCurves",
    "Sections",
    "Separability",
    "Spectrum",
    "TaskActs",
    "TaskFigures",
    "WindowEffect",
    "align",
    "analyse_layers",
    "causal_check",
    "cka_jackknife",
    "compare",
    "cosine_measure",
    "dims_for_share",
    "effective_rank",
    "find_sections",
    "fit_bends",
    "fit_rises",
    "layer_correlates",
    "linear_cka",
    "linear_gram",
    "participation_ratio",
    "per_model",
    "separability",
    "sliding_windows",
    "spectrum",
    "subsample_interval",
    "task_figures",
    "told_apart",
    "trait_layers",
    "tsne",
]
