"""Layer by layer: similarity of representations, spectra, separability, sections, causal checks.

Works on arrays of hidden states (acts_LSD) and never on models; `analyse_layers` does everything for one study.
"""

from traitscope.layers.activations import Acts, Provider, TaskActs, align, per_model
from traitscope.layers.analysis import analyse_layers
from traitscope.layers.causal import CausalCheck, WindowEffect, causal_check, sliding_windows
from traitscope.layers.changepoints import ChangePoints, best_segmentations, change_points
from traitscope.layers.cka import Interval, cka_jackknife, linear_cka
from traitscope.layers.correlates import layer_correlates, trait_layers
from traitscope.layers.embedding import Embedding, tsne
from traitscope.layers.hinge import HingeTest, hinge_test
from traitscope.layers.measures import MEASURES, Measure, compare, cosine_measure, subsample_interval
from traitscope.layers.options import DEFAULT_MEASURES, LayerOptions
from traitscope.layers.representation import Representation, linear_gram
from traitscope.layers.result import LayersResult
from traitscope.layers.rule import RuleOutcome, apply_rule
from traitscope.layers.section_types import Boundary, Sections
from traitscope.layers.sections import SectionCurves, find_sections
from traitscope.layers.separability import Separability, separability
from traitscope.layers.spectrum import Spectrum, dims_for_share, effective_rank, participation_ratio, spectrum
from traitscope.layers.task_figures import TaskFigures, task_figures

__all__ = [
    "Acts",
    "Boundary",
    "CausalCheck",
    "ChangePoints",
    "DEFAULT_MEASURES",
    "Embedding",
    "HingeTest",
    "Interval",
    "LayerOptions",
    "LayersResult",
    "MEASURES",
    "Measure",
    "Provider",
    "Representation",
    "RuleOutcome",
    "SectionCurves",
    "Sections",
    "Separability",
    "Spectrum",
    "TaskActs",
    "TaskFigures",
    "WindowEffect",
    "align",
    "analyse_layers",
    "apply_rule",
    "best_segmentations",
    "causal_check",
    "change_points",
    "cka_jackknife",
    "compare",
    "cosine_measure",
    "dims_for_share",
    "effective_rank",
    "find_sections",
    "hinge_test",
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
    "trait_layers",
    "tsne",
]
