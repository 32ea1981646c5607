"""Which figures a report has, in which section, with which captions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from traitscope import plots
from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.matrix import looked_at
from traitscope.plots.style import inline_svg, svg_text
from traitscope.ticks import ticks


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure of the report: its file name, section, caption, SVG document, and the element for the page."""

    name: str
    section: str
    caption: str
    svg: str
    inline: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    section: str
    caption: str
    make: Callable[[], Any]


NAMES = (
    "overview",
    "scores",
    "gains",
    "training",
    "explained_variance",
    "loadings",
    "loadings_intervals",
    "biplot",
    "profiles",
    "class_shares",
    "length_shift",
    "asymmetry",
    "surprises",
    "across",
    "similarity",
    "layer_similarity",
    "layer_similarity_clusters",
    "layer_sections",
    "layer_measures",
    "layer_dimensions",
    "layer_maps",
    "layer_separability",
    "layer_tsne",
    "layer_correlates",
    "causal_windows",
)
"""Every figure that a report may write, by file name."""


def draw(findings: Findings) -> list[Drawn]:
    """All figures that the contents allow; what a result does not hold is left out.

    Of a large matrix they show the part that is looked at cell by cell (``matrix.looked_at``).
    """
    drawn, part = [], looked_at(findings.scores)
    if part.note:
        traits = findings.traits and findings.traits.shown(part.models, part.tasks)
        findings = replace(findings, scores=findings.scores.select(models=part.models, tasks=part.tasks), traits=traits)
    every = (
        *_matrix(findings),
        *_taught(findings),
        *_traits(findings),
        *_effects(findings),
        *_across(findings),
        *_layers(findings),
    )
    shown = f" Shown are {len(part.models)} models on {len(part.tasks)} tasks, spread evenly." if part.note else ""
    for wanted in ticks(every, "figures", len(every)):
        try:
            figure = wanted.make()
        except TraitscopeError:
            continue  # the text says what is missing
        svg = svg_text(figure, wanted.name)
        caption = wanted.caption + (shown if wanted.section in ("matrix", "files", "traits") else "")
        drawn.append(Drawn(wanted.name, wanted.section, caption, svg, inline_svg(svg, caption)))
    return drawn


def _matrix(c: Findings) -> Iterator[_Wanted]:
    yield _Wanted(
        "scores",
        "files",
        "Scores of every model (rows) on every task (columns), each task by its first metric.",
        lambda: plots.score_heatmap(c.scores, c.effects),
    )
    yield _Wanted(
        "gains",
        "files",
        "Gain over the base, in the direction in which the metric is better. Blue helps, red harms.",
        lambda: plots.gain_heatmap(c.scores, c.effects),
    )


def _taught(c: Findings) -> Iterator[_Wanted]:
    effects = c.effects
    if effects is not None:
        yield _Wanted(
            "training",
            "taught",
            "Loss of every training step, in nats per answer token, with the gain on the adapter's own task.",
            lambda: plots.training_curves(effects),
        )


def _traits(c: Findings) -> Iterator[_Wanted]:
    traits = c.traits
    if traits is None:
        return
    yield _Wanted(
        "overview",
        "files",
        "Gains and traits in one picture.",
        lambda: plots.overview(c.scores, traits, c.effects),
    )
    yield _Wanted(
        "explained_variance",
        "traits",
        "Explained variance beside the same for matrices whose columns were permuted one by one: "
        "what tasks that have nothing in common give.",
        lambda: plots.explained_variance(traits),
    )
    yield _Wanted(
        "loadings",
        "traits",
        "Loadings: which tasks a trait is made of. Signs follow one rule and mean opposite ends, not good and bad.",
        lambda: plots.loadings_heatmap(traits),
    )
    yield _Wanted(
        "loadings_intervals",
        "traits",
        "The same loadings with their intervals.",
        lambda: plots.loadings_bars(traits),
    )
    yield _Wanted(
        "biplot", "traits", "Models and tasks in the plane of the first traits.", lambda: plots.biplot(traits)
    )
    yield _Wanted(
        "profiles",
        "traits",
        "Every adapter's profile: 100 times its score on each trait.",
        lambda: plots.profiles(traits),
    )


def _effects(c: Findings) -> Iterator[_Wanted]:
    effects, stats = c.effects, c.stats
    if effects is not None:
        yield _Wanted(
            "class_shares",
            "effects",
            "What every model answers, beside the true shares: habits that a source leaves behind.",
            lambda: plots.class_shares(effects),
        )
        yield _Wanted(
            "length_shift",
            "effects",
            "Change of the mean answer length against the base.",
            lambda: plots.length_shift(effects),
        )
        yield _Wanted(
            "asymmetry",
            "effects",
            "Pairs of tasks whose two directions of transfer differ most, both of them with intervals.",
            lambda: plots.asymmetry(effects),
        )
        yield _Wanted(
            "surprises",
            "effects",
            "Gains against what the averages of source and task lead one to expect, each cell left out in turn.",
            lambda: plots.surprises(effects),
        )
    if stats is not None:
        yield _Wanted("similarity", "stats", "How alike the datasets are.", lambda: plots.similarity_maps(stats))


def _across(c: Findings) -> Iterator[_Wanted]:
    across = c.across
    if across is not None:
        yield _Wanted(
            "across",
            "across",
            "Gains of source and task (rows) in every base model (columns), those that are surest of two base models "
            "first; bold where a gain holds in that base model by itself.",
            lambda: plots.across_heatmap(across),
        )


def _layers(c: Findings) -> Iterator[_Wanted]:
    layers, causal = c.layers, c.causal
    if layers is None:
        return
    sections = layers.sections.get("all tasks")
    wanted: tuple[tuple[str, str, Callable[[], Any]], ...] = (
        (
            "layer_similarity",
            "Similarity of base and mix with each task's own adapter, layer by layer; boxes over tasks.",
            lambda: plots.similarity_boxes(layers),
        ),
        (
            "layer_sections",
            "The curves that sections are read from, and the sections found.",
            lambda: plots.section_curves(layers),
        ),
        ("layer_similarity_clusters", "The same by cluster of tasks.", lambda: plots.cluster_boxes(layers)),
        (
            "layer_measures",
            "The same by every measure, between the permutation null and, where controls have a second seed, the "
            "two-seed ceiling: no model can be expected to be closer to a control than its own second seed.",
            lambda: plots.measure_curves(layers),
        ),
        (
            "layer_dimensions",
            "How many dimensions the hidden states use, and how unevenly; compare at equal n only.",
            lambda: plots.dimension_curves(layers),
        ),
        ("layer_maps", "Every layer of one model against every layer of another.", lambda: plots.layer_maps(layers)),
        (
            "layer_separability",
            "How well tasks and clusters can be told apart from the hidden states.",
            lambda: plots.separability_curves(layers),
        ),
        (
            "layer_tsne",
            "Examples of all tasks, arranged by likeness of their hidden states.",
            lambda: plots.tsne_grid(layers),
        ),
    )
    for name, caption, make in wanted:
        yield _Wanted(name, "layers", caption, make)
    if c.correlates is not None:
        correlates = c.correlates
        yield _Wanted(
            "layer_correlates",
            "layers",
            "What goes with the similarity of mix and control over tasks, and where the tasks of each trait part from "
            "the base.",
            lambda: plots.correlate_curves(correlates),
        )
    if causal is not None:
        yield _Wanted(
            "causal_windows",
            "layers",
            "What is lost with the adapters off in a window of layers, and kept with them on only there.",
            lambda: plots.causal_windows(causal, sections),
        )
