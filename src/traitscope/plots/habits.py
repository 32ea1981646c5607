"""Habits, one line per model: how far its answers go from the base's in classes and in length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.panels import MAX_ROWS, few_ticks, first
from traitscope.plots.style import BLUE, GREY, MUTED, ORANGE, Axes, Figure, new_figure, shorten, styled

if TYPE_CHECKING:
    from traitscope.effects import Effects

CLASSES, LENGTH = "class distance", "length shift"


def habits_data(effects: Effects) -> pd.DataFrame:
    """How far every model's answers are from the base's on every task: model, task, habit, value, unit.

    ``class distance`` is the total variation between the shares of the answers, in points: half the sum of the absolute
    differences over the classes and the answers that cannot be parsed. ``length shift`` is that of the mean, in tokens.
    """
    rows = []
    table = effects.tables.get("classes")
    if table is not None and len(table):
        for (model, task), part in table.groupby(["model", "task"], sort=False):
            gap = (part["share"] - part["base_share"]).to_numpy(dtype=float)
            # What is missing to 1 could not be parsed; its share moves too.
            distance = 0.5 * (np.abs(gap).sum() + abs(gap.sum()))
            if part["source"].notna().any() or np.abs(gap).sum() > 0:
                rows.append((model, task, CLASSES, 100 * distance, "points"))
    table = effects.tables.get("lengths")
    if table is not None and len(table):
        found = zip(table["model"], table["task"], table["shift"].astype(float), strict=True)
        rows += [(model, task, LENGTH, shift, "tokens") for model, task, shift in found]
    return pd.DataFrame(rows, columns=["model", "task", "habit", "value", "unit"])


@styled
def habits(effects: Effects) -> Figure:
    """One row per model: grey points are tasks, the mark is their mean; classes at the left, length at the right.

    Models that are farthest from the base come first, at most 30.

    Raises:
        TraitscopeError: answers have neither classes nor lengths.
    """
    table = habits_data(effects)
    if table.empty:
        raise TraitscopeError(
            "answers have neither classes nor lengths", where="plots", fix="habits need the records of the cells"
        )
    kinds = [kind for kind in (CLASSES, LENGTH) if (table["habit"] == kind).any()]
    mean = table.pivot_table(index="model", columns="habit", values="value", aggfunc="mean", sort=False)
    order = mean[kinds[0]].abs().sort_values(ascending=False, kind="stable").index
    models, cut = first([str(name) for name in order], MAX_ROWS)
    figure = new_figure(2.2 + 3.1 * len(kinds), 1.25 + 0.2 * max(len(models), 2))
    grid = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, kind in zip(grid, kinds, strict=True):
        _line_each(axes, table[table["habit"] == kind], models, BLUE if kind == CLASSES else ORANGE)
        tasks = table.loc[table["habit"] == kind, "task"].nunique()
        axes.set_title(f"{kind} ({tasks} task{'' if tasks == 1 else 's'})", fontsize=8.5)
        axes.set_xlabel("points" if kind == CLASSES else "tokens")
    grid[0].set_yticks(range(len(models)), [shorten(name, 30) for name in models])
    grid[0].set_ylim(len(models) - 0.5, -0.5)
    note = f"distance from the base's answers; grey: single tasks; mark: their mean{cut}"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure


def _line_each(axes: Axes, part: pd.DataFrame, models: list[str], colour: str) -> None:
    place = {name: k for k, name in enumerate(models)}
    part = part[part["model"].isin(place)]
    y = part["model"].map(place)
    axes.scatter(part["value"], y, s=10, color=GREY, alpha=0.75, linewidth=0, zorder=2)
    mean = part.groupby("model", sort=False)["value"].mean()
    at = [place[str(name)] for name in mean.index]
    axes.hlines(at, 0, mean, color=colour, linewidth=1.6, zorder=3)
    axes.scatter(mean, at, s=26, color=colour, zorder=4)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    few_ticks(axes, 5)
