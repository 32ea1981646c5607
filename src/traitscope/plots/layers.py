"""Figures layer by layer: box plots, curves with bands, sections under the curves, maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.heat import SEQUENTIAL, draw_cells
from traitscope.plots.panels import legend_above
from traitscope.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    ORANGE,
    SKY,
    Axes,
    Figure,
    measure_title,
    new_figure,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from traitscope.layers import LayersResult, Sections

ROLE_COLOURS = {"base": GREY, "mix": BLUE, "control": ORANGE}
# "control" means an altered dataset elsewhere in a report: a task's own adapter is called what it is.
ROLE_NAMES = {"base": "base", "mix": "mix", "control": "single-task model"}
SECTION_COLOURS = {"shared": SKY, "transition": ORANGE, "refinement": GREEN}
ALL, UNSEEN, NULL = "(all)", "(unseen)", "(null)"


def sample_text(result: LayersResult) -> str:
    """Tasks, n and n/D, for captions."""
    meta = result.meta
    return f"{len(result.tasks)} tasks, n = {meta['n']} examples each, n/D = {meta['n_over_d']:.2f}"


def pairs_of(result: LayersResult, measure: str) -> list[str]:
    """The pairs of roles that a measure was computed for."""
    part = result.table[result.table["measure"] == measure]
    return list(dict.fromkeys(part["pair"]))


def draw_sections(axes: Axes, sections: Sections | None) -> None:
    """A strip of the identified sections under the curves; their uncertain or missing ends in words."""
    if sections is None:
        return
    low, high = axes.get_ylim()
    depth = 0.09 * (high - low)
    axes.set_ylim(low - 1.3 * depth, high)
    windows = sections.windows()
    for name, (first, last) in windows.items():
        axes.axvspan(first - 0.5, last + 0.5, ymin=0, ymax=0.075, color=SECTION_COLOURS[name], linewidth=0, alpha=0.9)
        wide = (last - first + 1) / (axes.get_xlim()[1] - axes.get_xlim()[0]) > 0.022 * len(name)
        axes.text(
            (first + last) / 2,
            low - 0.75 * depth,
            name if wide else name[0].upper(),
            ha="center",
            va="center",
            size=7,
            color="#101218",
        )
    for end in (sections.shared_end, sections.transition_end):
        if end.identified and end.layer is not None:
            axes.axvline(end.layer + 0.5, color=INK, linewidth=0.8, linestyle=":")
            if end.low is not None and end.high is not None:
                axes.axvspan(end.low + 0.5, end.high + 0.5, color=MUTED, alpha=0.12, linewidth=0)
    if not windows:
        axes.text(0.5, 0.045, "boundary not identified", transform=axes.transAxes, ha="center", va="center", size=7.5)
        axes.axhline(low - 0.1 * depth, color=MUTED, linewidth=0.5)


@styled
def similarity_boxes(result: LayersResult, tasks: Sequence[str] | None = None, measure: str | None = None) -> Figure:
    """Box plots over tasks of the similarity with the task's own adapter, layer by layer: of the base and of the mix.

    Args:
        tasks: which ones; by default all that were trained.
        measure: by default the one that the sections are read from.
    """
    measure = measure or result.meta["section_measure"]
    chosen = [t for t in (tasks or result.tasks) if t not in result.meta["unseen"]]
    figure = new_figure(9.6, 3.5)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, role in zip(panels, ("base", "mix"), strict=True):
        count = _boxes(axes, result, measure, role, chosen)
        axes.set_title(f"{role} and each task's single-task model ({count} task{'' if count == 1 else 's'})")
    panels[0].set_ylabel(measure_title(measure))
    legend_above(figure, *panels)
    figure.supxlabel(f"layer (0 = embeddings); n = {result.meta['n']} examples per task", fontsize=8, color=MUTED)
    return figure


def _boxes(axes: Axes, result: LayersResult, measure: str, role: str, tasks: Sequence[str]) -> int:
    wide = result.curves(measure, f"{role}~control", tasks)
    layers = [int(c) for c in wide.columns]
    columns = [wide[c].dropna().to_numpy(dtype=float) for c in wide.columns]
    colour = ROLE_COLOURS[role]
    drawn = axes.boxplot(
        columns,
        positions=layers,
        widths=0.62,
        patch_artist=True,
        manage_ticks=False,
        medianprops={"color": INK, "linewidth": 1.4},
        whiskerprops={"color": MUTED},
        capprops={"color": MUTED},
        boxprops={"edgecolor": MUTED, "linewidth": 0.7},
        flierprops={"marker": "o", "markersize": 2.5, "markerfacecolor": MUTED, "markeredgewidth": 0},
    )
    for box in drawn["boxes"]:
        box.set_facecolor(colour)
        box.set_alpha(0.55)
    null = result.summary(measure, f"{role}~control", NULL)
    if len(null):
        axes.plot(null["layer"], null["high"], color=INK, linewidth=0.9, linestyle="--", label="permutation null, 95 %")
    ceiling = result.summary(measure, "control~second", ALL)
    if len(ceiling):
        axes.plot(ceiling["layer"], ceiling["value"], color=GREEN, linewidth=1.2, label="two-seed ceiling")
    axes.grid(axis="y")
    axes.set_xticks(layers if len(layers) <= 17 else layers[::4])
    return len(wide)


def clusters_of(result: LayersResult) -> dict[str, list[str]]:
    """Trained tasks that have an adapter of their own, by cluster.

    Raises:
        TraitscopeError: the tasks have no clusters.
    """
    controls = result.meta.get("controls", {})
    clusters: dict[str, list[str]] = {}
    for task in result.tasks:
        name = result.meta["clusters"].get(task)
        if name is not None and task in controls and task not in result.meta["unseen"]:
            clusters.setdefault(name, []).append(task)
    if not clusters:
        raise TraitscopeError("the tasks have no clusters", where="plots", fix="give the tasks a cluster tag")
    return clusters


@styled
def cluster_boxes(result: LayersResult, measure: str | None = None) -> Figure:
    """The same box plots, one row per cluster of tasks.

    Raises:
        TraitscopeError: the tasks have no clusters.
    """
    measure = measure or result.meta["section_measure"]
    clusters = clusters_of(result)
    figure = new_figure(9.6, 0.6 + 2.1 * len(clusters))
    grid = figure.subplots(len(clusters), 2, sharey=True, sharex=True, squeeze=False)
    for row, (name, tasks) in zip(grid, clusters.items(), strict=True):
        for axes, role in zip(row, ("base", "mix"), strict=True):
            count = _boxes(axes, result, measure, role, tasks)
            few = "" if count >= 5 else ", too few for quartiles to mean much"
            tasks_text = "1 task" if count == 1 else f"{count} tasks"
            axes.set_title(f"{shorten(name, 24)}, {role} ({tasks_text}{few})", fontsize=8.5)
        row[0].set_ylabel(measure_title(measure))
    legend_above(figure, *grid[0])
    note = f"layer; {measure_title(measure)} with each task's single-task model; n = {result.meta['n']}"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure


@styled
def section_curves(result: LayersResult, label: str = "all tasks") -> Figure:
    """What the section rule reads: similarity with the tasks' own adapters, their gap, dimensions; sections below."""
    measure = result.meta["section_measure"]
    sections = result.sections.get(label)
    figure = new_figure(9.6, 3.6)
    left, middle, right = figure.subplots(1, 3)
    for role in ("base", "mix"):
        draw_band(left, result.summary(measure, f"{role}~control", ALL), ROLE_COLOURS[role], role)
        unseen = result.summary(measure, f"{role}~control", UNSEEN)
        if len(unseen):
            left.plot(unseen["layer"], unseen["value"], ":", color=ROLE_COLOURS[role], label=f"{role}, unseen tasks")
    null = result.summary(measure, "mix~control", NULL)
    if len(null):
        left.plot(null["layer"], null["high"], color=INK, linewidth=0.9, linestyle="--", label="null, 95 %")
    ceiling = result.summary(measure, "control~second", ALL)
    if len(ceiling):
        left.plot(ceiling["layer"], ceiling["value"], color=GREEN, linewidth=1.1, label="two-seed ceiling")
    left.set_title(f"{measure_title(measure)} with the single-task models, median over tasks", fontsize=8.5)
    gap_NL = gap_of_tasks(result, measure)
    layers = [int(c) for c in gap_NL.columns]
    middle.plot(layers, gap_NL.to_numpy().T, color=GREY, linewidth=0.6, alpha=0.6)
    middle.plot(layers, np.nanmean(gap_NL.to_numpy(dtype=float), axis=0), color=BLUE, linewidth=2)
    if sections is not None:
        middle.plot(sections.layers, sections.curves["fit"], color=INK, linewidth=1.0, linestyle="-.")
    middle.set_title("gap mix − base, mean over tasks (dash-dotted: flat – rise – flat)", fontsize=8.5)
    for role in ("base", "mix", "control"):
        draw_band(right, result.summary("dims99", role, ALL), ROLE_COLOURS[role], ROLE_NAMES[role])
    right.set_title("dimensions for 99 % of variance", fontsize=8.5)
    legend_above(figure, left, right)
    for axes in (left, middle, right):
        axes.grid(axis="y")
        draw_sections(axes, sections)
        axes.set_xticks(layers if len(layers) <= 13 else layers[::4])
    figure.supxlabel(f"layer; {sample_text(result)}; bands: 95 % over resampled tasks", fontsize=8, color=MUTED)
    return figure


def gap_of_tasks(result: LayersResult, measure: str) -> pd.DataFrame:
    """Similarity of the mix with each task's own adapter less that of the base: a row per task, a column per layer."""
    mix = result.curves(measure, "mix~control")
    gap = mix - result.curves(measure, "base~control")
    gap = gap.loc[[t for t in gap.index if t not in result.meta["unseen"]]]
    return gap[[c for c in gap.columns if int(c) > 0]]


def draw_band(axes: Axes, curve: pd.DataFrame, colour: str, label: str) -> None:
    """A curve over layers with its interval; nothing where the curve is empty."""
    if curve.empty:
        return
    axes.fill_between(curve["layer"], curve["low"], curve["high"], color=colour, alpha=0.22, linewidth=0)
    axes.plot(curve["layer"], curve["value"], color=colour, label=label)


SPECTRA = {
    "dims99": "dimensions for 99 % of variance",
    "participation_ratio": "participation ratio",
    "effective_rank": "effective rank",
    "anisotropy": "anisotropy (mean cosine)",
    "top_dimension": "share of the top feature",
}


@styled
def dimension_curves(result: LayersResult) -> Figure:
    """Spectral figures of base, mix and single-task models with bands over tasks, sections under the curves."""
    known = [name for name in SPECTRA if (result.table["measure"] == name).any()]
    columns = min(3, len(known))
    rows = -(-len(known) // columns)
    figure = new_figure(3.3 * columns, 0.4 + 2.5 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(known) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, known, strict=False):
        for role in ("base", "mix", "control"):
            draw_band(axes, result.summary(name, role, ALL), ROLE_COLOURS[role], ROLE_NAMES[role])
        axes.set_title(SPECTRA[name], fontsize=8.5)
        axes.grid(axis="y")
        draw_sections(axes, result.sections.get("all tasks"))
    legend_above(figure, grid[0, 0])
    figure.supxlabel(
        f"layer; mean over {sample_text(result)}; bands: 95 % over resampled tasks", fontsize=8, color=MUTED
    )
    return figure


@styled
def layer_maps(result: LayersResult) -> Figure:
    """Layer x layer similarity, median over tasks, one panel per pair of roles.

    Raises:
        TraitscopeError: no maps were computed.
    """
    if not result.maps:
        raise TraitscopeError(
            "no layer x layer maps were computed", where="plots", fix="pass map_measures to analyse_layers"
        )
    names = list(result.maps)[:4]
    figure = new_figure(0.8 + 2.7 * len(names), 3.1)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    known = np.concatenate([result.maps[n][np.isfinite(result.maps[n])] for n in names])
    low, high = (float(min(0.0, known.min())), 1.0) if known.size else (0.0, 1.0)
    from matplotlib.ticker import MaxNLocator

    mesh = None
    for axes, name in zip(panels, names, strict=True):
        measure, pair = name.split(":", 1)
        first, second = pair.split("~", 1)
        mesh = draw_cells(axes, result.maps[name], palette=SEQUENTIAL, low=low, high=high)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        axes.set(xlabel=f"layer of {ROLE_NAMES.get(second, second)}", ylabel=f"layer of {ROLE_NAMES.get(first, first)}")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_title(measure_title(measure), fontsize=8.5)
    figure.colorbar(mesh, ax=list(panels), shrink=0.8, label="median over tasks").outline.set_visible(False)
    return figure
