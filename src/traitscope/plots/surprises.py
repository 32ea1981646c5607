"""Figures of surprises: what source and task let expect beside what was seen, all cells and the farthest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.labels import Label, place_labels, settle
from traitscope.plots.panels import bells, in_points, relative, stacked
from traitscope.plots.style import GREY, MUTED, RED, Axes, Figure, new_figure, shorten, styled

if TYPE_CHECKING:
    from traitscope.effects import Effects

# Cells above and cells below what is expected that are told one by one.
EACH_WAY = 12
# Units that have a panel of their own.
MOST_UNITS = 3


def surprises_data(effects: Effects) -> pd.DataFrame:
    """Every cell off its model's own task: model, source, task, expected, observed, residual, stderr, q, z (residual by
    the usual spread), flagged, unit; shares in points. Flagged are those that are told as surprises: unusual and beyond
    their noise, or unusual alone where no error is known.

    Raises:
        TraitscopeError: surprises were not computed.
    """
    table = effects.tables.get("surprises")
    table = table[table["against"] == "surprise"].reset_index(drop=True) if table is not None else pd.DataFrame()
    if table.empty:
        raise TraitscopeError(
            "no cell was compared with an additive model",
            where="plots",
            fix="at least four models and three tasks are needed",
        )
    shown = in_points(table, ["expected", "observed", "residual", "stderr"], effects)
    told = set(zip(*(effects.surprising()[key] for key in ("model", "task")), strict=True))
    flagged = [pair in told for pair in zip(shown["model"], shown["task"], strict=True)]
    shown = shown.assign(z=shown["z_model"], flagged=flagged, unit=shown["shown_unit"])
    keep = ["model", "source", "task", "expected", "observed", "residual", "stderr", "q", "z", "flagged", "unit"]
    return shown[keep]


def _rule(table: pd.DataFrame) -> str:
    """What a flagged cell is, in words."""
    tested = "twice the usual distance or more, and q ≤ 0.05, corrected over all cells"
    return tested if table["q"].notna().any() else "twice the usual distance or more; no error is known"


@styled
def surprises(effects: Effects, *, labels: int = 8) -> Figure:
    """Observed gains against what an additive model fitted without the cell expects; flagged cells are named.

    Tasks that are scored in different units have a panel each.

    Raises:
        TraitscopeError: surprises were not computed.
    """
    table = surprises_data(effects)
    units = list(table["unit"].value_counts().index[:MOST_UNITS])
    figure = new_figure(1.6 + 4.8 * len(units), 5.0)
    drawn = []
    for axes, unit in zip(figure.subplots(1, len(units), squeeze=False)[0], units, strict=True):
        part = table[table["unit"] == unit]
        x, y = part["expected"].to_numpy(dtype=float), part["observed"].to_numpy(dtype=float)
        flagged = part["flagged"].to_numpy(dtype=bool)
        axes.scatter(x[~flagged], y[~flagged], s=14, color=GREY, alpha=0.7, linewidth=0)
        axes.scatter(x[flagged], y[flagged], s=26, color=RED, zorder=3)
        ends = [float(np.nanmin([x, y])), float(np.nanmax([x, y]))]
        axes.plot(ends, ends, color=MUTED, linewidth=0.9, linestyle="--")
        axes.set(xlabel=f"gain expected of source + task, {unit}", ylabel=f"gain observed, {unit}")
        axes.set_title(f"{len(part)} cells off the models' own tasks; {int(flagged.sum())} surprises (red)")
        axes.grid()
        drawn.append((axes, part))
    figure.supxlabel(f"red: {_rule(table)}", fontsize=8, color=MUTED)
    settle(figure)
    for axes, part in drawn:
        _name(axes, part[part["flagged"]], labels)
    return figure


def _name(axes: Axes, rows: pd.DataFrame, most: int) -> None:
    order = rows["residual"].abs().sort_values(ascending=False, kind="stable").index[:most]
    place_labels(
        axes,
        [
            Label(f"{shorten(row['model'], 24)} on {shorten(row['task'], 24)}", row["expected"], row["observed"])
            for row in rows.loc[order].to_dict("records")
        ],
    )


def surprise_dumbbells_data(effects: Effects) -> pd.DataFrame:
    """The cells farthest from what source and task let expect, as :func:`surprises_data` has them: at most 12 above it
    and 12 below it, from the highest to the lowest; of several units in parts of each one's largest distance.
    """
    table = surprises_data(effects)
    table = table.assign(size=np.sign(table["residual"]) * relative(table["residual"], table["unit"]))
    above = table[table["size"] > 0].nlargest(EACH_WAY, "size")
    below = table[table["size"] < 0].nsmallest(EACH_WAY, "size")
    kept = pd.concat([above, below]).sort_values("size", ascending=False, kind="stable").reset_index(drop=True)
    return kept.drop(columns="size")


@styled
def surprise_dumbbells(effects: Effects) -> Figure:
    """Expected gain (hollow) and observed gain (filled) of the cells farthest apart: above it first, then below.

    Raises:
        TraitscopeError: surprises were not computed, or every cell is as expected.
    """
    table = surprise_dumbbells_data(effects)
    if table.empty:
        raise TraitscopeError("every cell is as expected", where="plots", fix="nothing needs to be done")
    names = [f"{shorten(m, 30)} on {shorten(t, 24)}" for m, t in zip(table["model"], table["task"], strict=True)]
    figure, grid = stacked(table, names, 8.2)
    for axes, part in grid:
        bells(axes, part, "expected", "observed", part["flagged"].to_numpy(dtype=bool))
        axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
        axes.set_xlabel(f"gain over the base, {part['unit'].iloc[0]}")
    note = "hollow: expected of source and task; filled: observed; from farthest above to farthest below"
    if table["flagged"].any():
        note += f"; coloured: a surprise ({_rule(table)}); blue: above what is expected; orange: below"
    else:
        note += f"; none is a surprise ({_rule(table)})"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure
