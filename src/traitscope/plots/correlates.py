"""What goes with similarity, layer by layer: correlations with figures of the tasks, and where each trait lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traitscope.errors import TraitscopeError
from traitscope.plots.panels import legend_above
from traitscope.plots.style import BLUE, CATEGORIES, INK, MUTED, ORANGE, Axes, Figure, measure_title, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd

    from traitscope.layers import TaskFigures

METHODS = {"pearson": ("Pearson", BLUE), "spearman": ("Spearman", ORANGE)}
TITLES = {
    "readability": "readability (Flesch-Kincaid grade)",
    "rows": "training rows",
    "gain": "gain of the mix over the base",
}


@styled
def correlate_curves(found: TaskFigures) -> Figure:
    """Correlation of the similarity with each figure over tasks, layer by layer; the gap of each trait's tasks.

    Filled marks hold after correction; between the dashed lines a single Pearson correlation has p > 0.05 before it.

    Raises:
        TraitscopeError: nothing could be correlated.
    """
    known = found.correlates[found.correlates["status"] == "ok"]
    names = list(dict.fromkeys(known["covariate"]))
    panels = len(names) + bool(len(found.traits))
    if not panels:
        raise TraitscopeError(
            "nothing to correlate the layers with", where="plots", fix="give figures of at least 4 tasks"
        )
    figure = new_figure(max(4.2, 2.9 * panels), 3.1)
    grid = figure.subplots(1, panels, squeeze=False)[0]
    for axes, name in zip(grid, names, strict=False):
        _correlations(axes, known[known["covariate"] == name])
        axes.set_title(TITLES.get(name, name), fontsize=8.5)
    for axes in grid[1 : len(names)]:
        axes.sharey(grid[0])
    for axes in grid:
        axes.xaxis.get_major_locator().set_params(integer=True)
    if names:
        grid[0].set(ylabel=f"correlation with {measure_title(found.measure)}", ylim=(-1.05, 1.05))
        legend_above(figure, grid[0])
    if len(found.traits):
        _traits(grid[-1], found.traits)
    figure.supxlabel(
        f"layer; mix against the single-task models over {len(found.tasks)} tasks; filled: q ≤ 0.05 over all tests; "
        "dashed: p = 0.05 uncorrected",
        fontsize=8,
        color=MUTED,
    )
    return figure


def _correlations(axes: Axes, rows: pd.DataFrame) -> None:
    from scipy.stats import t

    for method, (label, colour) in METHODS.items():
        part = rows[rows["method"] == method].sort_values("layer")
        held = (part["q"] <= 0.05).to_numpy(dtype=bool)
        layer_L, r_L = part["layer"].to_numpy(dtype=float), part["r"].to_numpy(dtype=float)
        axes.plot(layer_L, r_L, color=colour, marker="o", markersize=3.5, markerfacecolor="none", label=label)
        axes.plot(layer_L[held], r_L[held], "o", color=colour, markersize=4)
    pearson = rows[rows["method"] == "pearson"].sort_values("layer")
    free_L = pearson["n"].to_numpy(dtype=float) - 2
    quantile_L = t.ppf(0.975, free_L)
    limit_L = quantile_L / np.sqrt(free_L + quantile_L**2)
    for sign in (-1, 1):
        axes.plot(pearson["layer"], sign * limit_L, color=INK, linewidth=0.8, linestyle="--")
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.grid(axis="y")


def _traits(axes: Axes, rows: pd.DataFrame) -> None:
    for i, (name, part) in enumerate(rows.groupby("trait", sort=False)):
        part = part.sort_values("layer")
        colour = CATEGORIES[i % len(CATEGORIES)]
        axes.plot(part["layer"], part["gap"], color=colour, label=str(name))
        held = part[part["q"] <= 0.05]
        axes.plot(held["layer"], held["gap"], "o", color=colour, markersize=4)
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.set_title("gap mix − base, by trait", fontsize=8.5)
    # Curves fill the panel from corner to corner: the names stand beside it.
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)
    axes.grid(axis="y")
