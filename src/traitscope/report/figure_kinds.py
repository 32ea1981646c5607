"""Every figure that a report may have: its section, its caption, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from traitscope import plots
from traitscope.findings import Findings


@dataclass(frozen=True, slots=True)
class Kind:
    """A figure that a report may have.

    Attributes:
        name: of its files. section: of the page. caption: what it shows.
        needs: the findings that it is made from; without one of them it is left out.
        make: gives the figure. data: gives what it draws, as a tidy frame.
    """

    name: str
    section: str
    caption: str
    needs: tuple[str, ...]
    make: Callable[[Any], Any]
    data: Callable[[Any], pd.DataFrame]


def _effects(
    name: str, section: str, caption: str, make: Callable[..., Any], data: Callable[..., pd.DataFrame]
) -> Kind:
    return Kind(name, section, caption, ("effects",), lambda c: make(c.effects), lambda c: data(c.effects))


def _traits(name: str, caption: str, make: Callable[..., Any], data: Callable[..., pd.DataFrame]) -> Kind:
    return Kind(name, "traits", caption, ("traits",), lambda c: make(c.traits), lambda c: data(c.traits))


def _layers(name: str, caption: str, make: Callable[..., Any], data: Callable[..., pd.DataFrame]) -> Kind:
    return Kind(name, "layers", caption, ("layers",), lambda c: make(c.layers), lambda c: data(c.layers))


def answer_lengths(findings: Findings) -> tuple[dict[str, Any], str]:
    """Lengths of the answers, by model (base first), on the task whose mean lengths move most, and that task.

    Raises:
        TraitscopeError: no task's answers are generated, or its cells cannot be read.
    """
    assert findings.effects is not None and findings.cells is not None
    table = plots.length_shift_data(findings.effects)
    # In units of the base's own length: tasks with long answers are not the only ones that count.
    size = (table["shift"] / table["base_length"].clip(lower=1)).abs()
    task = str(table["task"].iloc[int(size.to_numpy().argmax())])
    part = table[table["task"] == task]
    order = part["shift"].abs().sort_values(ascending=False, kind="stable").index[:5]
    bases = [m for i, m in enumerate(findings.scores.models) if findings.scores.base_index_I[i] == i]
    models = [*bases[:1], *(str(name) for name in part.loc[order, "model"])]
    lengths = {m: np.array([r.n_output for r in findings.cells.records(m, task)]) for m in dict.fromkeys(models)}
    return lengths, task


KINDS: tuple[Kind, ...] = (
    Kind(
        "overview",
        "files",
        "Gains and traits in one picture.",
        ("traits",),
        lambda c: plots.overview(c.scores, c.traits, c.effects),
        lambda c: plots.overview_data(c.scores, c.traits, c.effects),
    ),
    Kind(
        "scores",
        "files",
        "Scores of every model (rows) on every task (columns), each task by its first metric.",
        ("scores",),
        lambda c: plots.score_heatmap(c.scores, c.effects),
        lambda c: plots.score_heatmap_data(c.scores, c.effects),
    ),
    Kind(
        "gains",
        "files",
        "Gain over the base, in the direction in which the metric is better. Blue helps, red harms.",
        ("scores",),
        lambda c: plots.gain_heatmap(c.scores, c.effects),
        lambda c: plots.gain_heatmap_data(c.scores, c.effects),
    ),
    _effects(
        "training",
        "taught",
        "Loss of the training steps, means of up to 60 runs of steps, in nats per answer token; gain on the own task.",
        plots.training_curves,
        plots.training_curves_data,
    ),
    _effects(
        "transfer_by_target",
        "effects",
        "Gains on tasks that a model was not trained on, a panel per task; those that hold are bold.",
        plots.forest_by_target,
        plots.transfer_data,
    ),
    _effects(
        "transfer_by_source",
        "effects",
        "Gains on tasks that a model was not trained on, a panel per model; those that hold are bold.",
        plots.forest_by_source,
        plots.transfer_data,
    ),
    _traits(
        "explained_variance",
        "Explained variance beside the same for matrices whose columns were permuted one by one: "
        "what tasks that have nothing in common give.",
        plots.explained_variance,
        plots.explained_variance_data,
    ),
    _traits(
        "trait_stability",
        "How much each trait explains, and how much of it stays when an adapter, a task or the noise changes.",
        plots.trait_stability,
        plots.trait_stability_data,
    ),
    _traits(
        "loadings",
        "Loadings: which tasks a trait is made of. Signs follow one rule and mean opposite ends, not good and bad.",
        plots.loadings_heatmap,
        plots.loadings_data,
    ),
    _traits(
        "loadings_intervals",
        "Loadings with their intervals: which tasks a trait is made of, and how surely.",
        plots.loadings_bars,
        plots.loadings_data,
    ),
    _traits("biplot", "Models and tasks in the plane of the first traits.", plots.biplot, plots.biplot_data),
    _traits(
        "profiles",
        "Every adapter's profile: 100 times its score on each trait.",
        plots.profiles,
        plots.profiles_data,
    ),
    _effects(
        "habits",
        "effects",
        "How far every model's answers are from the base's, in the classes it names and in length: habits that a "
        "source leaves behind.",
        plots.habits,
        plots.habits_data,
    ),
    _effects(
        "class_shares",
        "effects",
        "What every model answers, beside the true shares.",
        plots.class_shares,
        plots.class_shares_data,
    ),
    _effects(
        "confusion_pair",
        "effects",
        "Confusion matrices of the base and of the model whose answers lie farthest from the base's, off its own task.",
        plots.confusion_pair,
        plots.confusion_pair_data,
    ),
    _effects(
        "length_shift",
        "effects",
        "Change of the mean answer length against the base.",
        plots.length_shift,
        plots.length_shift_data,
    ),
    Kind(
        "length_densities",
        "effects",
        "How long the answers are on the task on which lengths move most: the base, and the models farthest from it.",
        ("effects", "cells"),
        lambda c: plots.length_densities(*answer_lengths(c)),
        lambda c: plots.length_densities_data(answer_lengths(c)[0]),
    ),
    _effects(
        "relation_bars",
        "effects",
        "Right answers of model and base by tag of the examples (dependency relations), with the counts behind them.",
        plots.relation_bars,
        plots.relation_bars_data,
    ),
    _effects(
        "asymmetry",
        "effects",
        "Pairs of tasks whose two directions of transfer differ most, with intervals where errors are known.",
        plots.asymmetry,
        plots.asymmetry_data,
    ),
    _effects(
        "control_dumbbells",
        "effects",
        "Every control beside its source: what is left when labels are moved, or classes are balanced.",
        plots.control_dumbbells,
        plots.control_dumbbells_data,
    ),
    _effects(
        "surprises",
        "effects",
        "Gains against what the averages of source and task lead one to expect, each cell left out in turn.",
        plots.surprises,
        plots.surprises_data,
    ),
    _effects(
        "surprise_dumbbells",
        "effects",
        "The cells that are farthest above and below what source and task lead one to expect.",
        plots.surprise_dumbbells,
        plots.surprise_dumbbells_data,
    ),
    Kind(
        "across",
        "across",
        "Gains of source and task (rows) in every base model (columns), those that are surest of two base models "
        "first; bold where a gain holds in that base model by itself.",
        ("across",),
        lambda c: plots.across_heatmap(c.across),
        lambda c: plots.across_heatmap_data(c.across),
    ),
    Kind(
        "similarity",
        "stats",
        "How alike the datasets are.",
        ("stats",),
        lambda c: plots.similarity_maps(c.stats),
        lambda c: plots.similarity_maps_data(c.stats),
    ),
    _layers(
        "layer_similarity",
        "Similarity of base and mix with each task's own adapter, layer by layer; boxes over tasks.",
        plots.similarity_boxes,
        plots.similarity_boxes_data,
    ),
    _layers(
        "layer_sections",
        "The curves that sections are read from, and the sections found.",
        plots.section_curves,
        plots.section_curves_data,
    ),
    _layers(
        "layer_similarity_clusters",
        "Similarity of base and mix with each task's own adapter, layer by layer; boxes over the tasks of a cluster.",
        plots.cluster_boxes,
        plots.cluster_boxes_data,
    ),
    _layers(
        "layer_unseen",
        "Similarity of base and mix with the tasks' own adapters, over tasks that the mix never saw.",
        plots.unseen_curves,
        plots.unseen_curves_data,
    ),
    _layers(
        "layer_measures",
        "Similarity of base and mix with the tasks' own adapters by every measure, between the permutation null and, "
        "where these have a second seed, the two-seed ceiling: no model can be expected to lie nearer than that.",
        plots.measure_curves,
        plots.measure_curves_data,
    ),
    _layers(
        "layer_dimensions",
        "How many dimensions the hidden states use, and how unevenly; compare at equal n only.",
        plots.dimension_curves,
        plots.dimension_curves_data,
    ),
    _layers(
        "layer_maps",
        "Every layer of one model against every layer of another.",
        plots.layer_maps,
        plots.layer_maps_data,
    ),
    _layers(
        "layer_separability",
        "How well tasks and clusters can be told apart from the hidden states.",
        plots.separability_curves,
        plots.separability_curves_data,
    ),
    _layers(
        "layer_tsne",
        "Examples of all tasks, arranged by likeness of their hidden states.",
        plots.tsne_grid,
        plots.tsne_grid_data,
    ),
    Kind(
        "layer_correlates",
        "layers",
        "What goes with the similarity of the mix and the tasks' own adapters, and where the tasks of each trait part "
        "from the base.",
        ("layers", "correlates"),
        lambda c: plots.correlate_curves(c.correlates),
        lambda c: plots.correlate_curves_data(c.correlates),
    ),
    Kind(
        "causal_windows",
        "layers",
        "What is lost with the adapters off in a window of layers, and kept with them on only there.",
        ("layers", "causal"),
        lambda c: plots.causal_windows(c.causal, c.layers.sections.get("all tasks")),
        lambda c: plots.causal_windows_data(c.causal),
    ),
    Kind(
        "forecast_rankings",
        "forecast",
        "Which source is expected to help which target, with intervals; baselines beside them.",
        ("forecast",),
        lambda c: plots.forecast_rankings(c.forecast, c.scores.units),
        lambda c: plots.forecast_rankings_data(c.forecast),
    ),
    Kind(
        "forecast_calibration",
        "forecast",
        "How often the intervals of such forecasts held measured cells that were left out, and what is saved of each "
        "baseline's error.",
        ("evaluation",),
        lambda c: plots.forecast_calibration(c.evaluation),
        lambda c: plots.forecast_calibration_data(c.evaluation),
    ),
    Kind(
        "belt_coverage",
        "forecast",
        "What a belt of each size loses against the best model per task, and what the chosen one scores.",
        ("belt",),
        lambda c: plots.belt_coverage(c.belt),
        lambda c: plots.belt_coverage_data(c.belt),
    ),
)

NAMES = tuple(kind.name for kind in KINDS)
"""Every figure that a report may write, by file name."""
