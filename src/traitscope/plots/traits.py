"""Figures of the traits: explained variance, loadings, profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.plots.heat import diverging, draw_cells, heat_size, signed
from traitscope.plots.panels import legend_above
from traitscope.plots.style import (
    BLUE,
    GREY,
    INK,
    MUTED,
    ORANGE,
    Axes,
    Figure,
    new_figure,
    shorten,
    styled,
    wrap,
)
from traitscope.traits.congruence import FAIR, reaches

if TYPE_CHECKING:
    from traitscope.traits import Traits

Floats = npt.NDArray[np.float64]
MAX_COMPONENTS = 15


def trait_titles(traits: Traits, *, named: bool = True) -> list[str]:
    """``T1, 34 %``, the proposed name where a label fits a stable trait, a dagger where it is not above the null."""
    titles = []
    for i, name in enumerate(traits.trait_names):
        proposal = traits.names[i]
        title = f"{name}, {100 * traits.explained_K[i]:.0f} %" + ("" if traits.above_null_K[i] else " †")
        if named and _is_named(traits, i):
            title += f" ({shorten(proposal.proposed, 22)}?)"
        titles.append(title)
    return titles


def _is_named(traits: Traits, k: int) -> bool:
    """Whether a label fits a trait that stays when something is left out; others are not to be named."""
    return traits.names[k].label is not None and reaches(traits.stability.figure_K[k], FAIR)


def _heads(axes: Axes, traits: Traits) -> None:
    """Trait names over the columns, the proposed name in lines of their own."""
    titles = trait_titles(traits, named=False)
    names = [f"{wrap(t.proposed, 13)}?" if _is_named(traits, k) else "" for k, t in enumerate(traits.names)]
    axes.set_xticks(range(traits.k), [f"{n}\n{t}" if n else t for t, n in zip(titles, names, strict=True)])
    axes.xaxis.set_ticks_position("top")
    axes.tick_params(length=0)


def _footnotes(traits: Traits, bold: bool) -> list[str]:
    notes = []
    if bold and traits.intervals is not None:
        notes.append(f"bold: {100 * traits.intervals.level:g} % interval leaves out 0")
    if not all(traits.above_null_K):
        notes.append("†: not above the noise")
    return notes


def explained_variance_data(traits: Traits) -> pd.DataFrame:
    """Every component: what it explains in percent, the null's mean, 95 % quantile and p, and the same of components
    together, and the unit of them all but p.
    """
    table = traits.null.frame().rename_axis("component").reset_index()
    shares = ["explained", "null_mean", "null_q95", "cumulative", "null_cumulative"]
    return table.assign(**{name: 100 * table[name] for name in shares}, unit="percent")


@styled
def explained_variance(traits: Traits) -> Figure:
    """Explained variance per component and together, each beside the permutation null."""
    null = traits.null
    m = min(len(null.explained_M), MAX_COMPONENTS)
    x = np.arange(1, m + 1)
    figure = new_figure(9.0, 3.3)
    left, right = figure.subplots(1, 2)
    kept = [i < traits.count.supported for i in range(m)]
    left.bar(x, 100 * null.explained_M[:m], color=[BLUE if k else GREY for k in kept], width=0.62)
    left.fill_between(
        x,
        100 * null.mean_M[:m],
        100 * null.q95_M[:m],
        color=ORANGE,
        alpha=0.35,
        linewidth=0,
        label="permutation null, mean to 95 %",
    )
    left.plot(x, 100 * null.mean_M[:m], color=ORANGE, linewidth=1.2, marker="o", markersize=2.5)
    left.set(xlabel="component", ylabel="explained variance, %", xticks=x)
    left.set_title("Each component")
    right.plot(x, 100 * null.cumulative_M[:m], color=BLUE, marker="o", markersize=3.5, label="this matrix")
    right.plot(
        x,
        100 * null.cumulative_mean_M[:m],
        color=ORANGE,
        marker="o",
        markersize=3,
        label=f"permuted columns ({null.permutations} draws)",
    )
    right.set(xlabel="components together", ylabel="explained variance, %", ylim=(0, 103), xticks=x)
    right.set_title("Together")
    right.grid(axis="y")
    legend_above(figure, left, right)
    note = f"{len(traits.models)} models × {len(traits.tasks)} tasks; blue bars: components that hold against the noise"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure


def loadings_data(traits: Traits) -> pd.DataFrame:
    """Every loading: trait, task, loading, lo, hi (NaN where errors are not known)."""
    found = traits.intervals
    ends = (None, None) if found is None else (found.loadings_low_KN, found.loadings_high_KN)
    return _tidy({"trait": traits.trait_names, "task": traits.tasks}, {"loading": traits.loadings_KN}, ends)


def _tidy(
    names: Mapping[str, Sequence[str]], values: Mapping[str, Floats], ends: tuple[Floats | None, Floats | None]
) -> pd.DataFrame:
    """A line per cell: its two names, its value and the ends of its interval (NaN where not known)."""
    (row, rows), (column, columns) = names.items()
    ((value, values_RC),) = values.items()
    low, high = (np.full(values_RC.shape, np.nan) if end is None else end for end in ends)
    cells = {row: np.repeat(np.array(rows, dtype=object), len(columns)), column: [*columns] * len(rows)}
    return pd.DataFrame({**cells, value: values_RC.ravel(), "lo": low.ravel(), "hi": high.ravel()})


def _clear(low: Floats, high: Floats) -> set[tuple[int, int]]:
    """Cells whose interval leaves 0 out."""
    return {(int(i), int(k)) for i, k in np.argwhere(low * high > 0)}


@styled
def loadings_heatmap(traits: Traits) -> Figure:
    """Loadings as a heat map: tasks down, traits across; bold where the interval leaves 0 out."""
    figure = new_figure(*heat_size(len(traits.tasks), traits.k, cell=1.0))
    draw_loadings(figure, figure.add_subplot(), traits)
    return figure


def draw_loadings(figure: Figure, axes: Axes, traits: Traits) -> None:
    """The loadings' heat map in given axes."""
    found = traits.intervals
    bold = _clear(found.loadings_low_KN.T, found.loadings_high_KN.T) if found is not None else set()
    label = "loading (unit norm)"
    _map(figure, axes, traits, values=traits.loadings_KN.T, digits=2, names=traits.tasks, bold=bold, label=label)


def _map(
    figure: Figure,
    axes: Axes,
    traits: Traits,
    *,
    values: Floats,
    digits: int,
    names: Sequence[str],
    bold: set[tuple[int, int]],
    label: str,
    note: str = "",
) -> None:
    """A heat map with a column per trait: rows' names, a colour bar, and what is bold and marked in words."""
    palette, low, high = diverging(values)
    mesh = draw_cells(
        axes, values, palette=palette, low=low, high=high, text=lambda i, k: signed(values[i, k], digits), bold=bold
    )
    _heads(axes, traits)
    axes.set_yticks(range(len(names)), [shorten(name, 30) for name in names])
    figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.03, label=label).outline.set_visible(False)
    axes.set_xlabel("\n".join([*([note] if note else []), *_footnotes(traits, bool(bold))]))


@styled
def loadings_bars(traits: Traits) -> Figure:
    """Loadings of every trait with their intervals, one panel per trait."""
    count = len(traits.tasks)
    columns = min(traits.k, 4)
    rows = -(-traits.k // columns)
    figure = new_figure(1.8 + 2.2 * columns, rows * (0.9 + max(1.2, 0.24 * count)))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=True)
    y = np.arange(count)
    for i, axes in enumerate(grid.flat):
        if i >= traits.k:
            axes.set_visible(False)
            continue
        values_N = traits.loadings_KN[i]
        colours = [BLUE if v > 0 else ORANGE for v in values_N]
        axes.barh(y, values_N, color=colours, height=0.62)
        if traits.intervals is not None:
            low_N, high_N = traits.intervals.loadings_low_KN[i], traits.intervals.loadings_high_KN[i]
            axes.hlines(y, low_N, high_N, color=INK, linewidth=1.1)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_title(shorten(trait_titles(traits)[i], 34), fontsize=8.5)
        axes.grid(axis="x")
    grid[0, 0].set_yticks(y, [shorten(t) for t in traits.tasks])
    grid[0, 0].invert_yaxis()
    line = "loading (unit norm)"
    if traits.intervals is not None:
        line += f"; lines: {100 * traits.intervals.level:g} % intervals over {traits.intervals.source}"
    if not all(traits.above_null_K):
        line += "; †: not above the noise"
    figure.supxlabel(line, fontsize=8, color=MUTED)
    return figure


def profiles_data(traits: Traits) -> pd.DataFrame:
    """Every profile: model, trait, points (100 times the unit-norm score), lo, hi (NaN where errors are not known)."""
    found = traits.intervals
    ends = (None, None) if found is None else (100 * found.scores_low_IK, 100 * found.scores_high_IK)
    return _tidy({"model": traits.models, "trait": traits.trait_names}, {"points": 100 * traits.scores_IK}, ends)


@styled
def profiles(traits: Traits) -> Figure:
    """Every model's profile in points: 100 times its unit-norm score on each trait; bold where clear of 0."""
    figure = new_figure(*heat_size(len(traits.models), traits.k, cell=1.0))
    axes = figure.add_subplot()
    found, label = traits.intervals, "points (100 × score)"
    bold = _clear(found.scores_low_IK, found.scores_high_IK) if found is not None else set()
    note = "points compare models within a trait, not traits"
    values = 100 * traits.scores_IK
    _map(figure, axes, traits, values=values, digits=0, names=traits.models, bold=bold, label=label, note=note)
    if traits.base in traits.models:
        axes.get_yticklabels()[traits.models.index(traits.base)].set_fontweight("bold")
    return figure
