"""Dumbbells: a source beside its control, what was expected beside what was seen, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.panels import MAX_ROWS, few_ticks, in_points
from traitscope.plots.style import BLUE, GREY, INK, MUTED, ORANGE, Axes, Figure, new_figure, shorten, styled

if TYPE_CHECKING:
    from traitscope.effects import Effects

EACH_WAY = 12


def control_dumbbells_data(effects: Effects) -> pd.DataFrame:
    """Every control beside its source: model, source, task, own, from (the source), to (the control), difference with
    lo and hi, p, n, unit; shares in percent. The largest differences of either direction first, at most 30.
    """
    table = effects.tables.get("controls")
    if table is None or table.empty:
        raise TraitscopeError("no source has a control", where="plots", fix="give a source controls in the study file")
    shown = in_points(table.reset_index(drop=True), ["parent_value", "value", "difference", "lo", "hi"])
    shown = shown.rename(columns={"parent_value": "from", "value": "to"}).assign(source=shown["parent"])
    order = shown["difference"].abs().sort_values(ascending=False, kind="stable").index[:MAX_ROWS]
    shown = shown.loc[order].sort_values("difference", kind="stable").reset_index(drop=True)
    unit = shown["shown_unit"].replace("points", "percent")
    keep = ["model", "source", "task", "own", "from", "to", "difference", "lo", "hi", "p", "n"]
    return shown[keep].assign(unit=unit)


@styled
def control_dumbbells(effects: Effects) -> Figure:
    """Score of the source's adapter (hollow) and of its control (filled) on every task, falls first, then rises.

    Raises:
        TraitscopeError: no source has a control.
    """
    table = control_dumbbells_data(effects)
    sure = ((table["lo"] > 0) | (table["hi"] < 0)).to_numpy(dtype=bool)
    names = [
        f"{shorten(row['model'], 34)} on {shorten(row['task'], 22)}" + (" (own task)" if row["own"] else "")
        for row in table.to_dict("records")
    ]
    figure, axes = _rows(table, names)
    _bells(axes, table["from"], table["to"], sure)
    unit = table["unit"].iloc[0] if table["unit"].nunique() == 1 else "in each task's unit"
    axes.set_xlabel(f"score, {unit}")
    note = "hollow: the source's adapter; filled: its control; coloured: the interval of the difference leaves out 0 "
    figure.supxlabel(f"{note}(not corrected); blue: the control is better; orange: worse", fontsize=8, color=MUTED)
    return figure


def surprise_dumbbells_data(effects: Effects) -> pd.DataFrame:
    """The cells farthest from what source and task let expect: model, source, task, expected, observed, residual,
    stderr, q, surprising, unit; shares in points. At most 12 above it and 12 below it, in the order of the residual.
    """
    table = effects.tables.get("surprises")
    table = table[table["against"] == "surprise"] if table is not None else pd.DataFrame()
    if table.empty:
        raise TraitscopeError(
            "no cell was compared with an additive model",
            where="plots",
            fix="at least four models and three tasks are needed",
        )
    shown = in_points(table.reset_index(drop=True), ["expected", "observed", "residual", "stderr"])
    score = shown["residual"] if shown["shown_unit"].nunique() == 1 else shown["z_model"]
    shown = shown.assign(score=score.astype(float)).dropna(subset=["score"])
    above = shown[shown["score"] > 0].nlargest(EACH_WAY, "score")
    below = shown[shown["score"] < 0].nsmallest(EACH_WAY, "score")
    kept = pd.concat([above, below]).sort_values("score", ascending=False, kind="stable").reset_index(drop=True)
    sure = kept["surprising"].map(lambda v: v is True or v == 1.0)
    keep = ["model", "source", "task", "expected", "observed", "residual", "stderr", "q"]
    return kept[keep].assign(surprising=sure, unit=kept["shown_unit"])


@styled
def surprise_dumbbells(effects: Effects) -> Figure:
    """Expected gain (hollow) and observed gain (filled) of the cells farthest apart: above it first, then below.

    Raises:
        TraitscopeError: surprises were not computed, or every cell is as expected.
    """
    table = surprise_dumbbells_data(effects)
    if table.empty:
        raise TraitscopeError("every cell is as expected", where="plots", fix="nothing needs to be done")
    names = [
        f"{shorten(m, 30)} on {shorten(t, 24)}" + ("" if u == "points" else f" ({u})")
        for m, t, u in zip(table["model"], table["task"], table["unit"], strict=True)
    ]
    figure, axes = _rows(table, names)
    _bells(axes, table["expected"], table["observed"], table["surprising"].to_numpy(dtype=bool))
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    one = table["unit"].nunique() == 1
    axes.set_xlabel(
        f"gain over the base, {table['unit'].iloc[0]}" if one else "gain over the base, in the tasks' units"
    )
    note = "hollow: expected of source and task; filled: observed; coloured: q ≤ 0.05, corrected over all cells"
    figure.supxlabel(f"{note}; blue: above what is expected; orange: below", fontsize=8, color=MUTED)
    return figure


def _rows(table: pd.DataFrame, names: list[str]) -> tuple[Figure, Axes]:
    figure = new_figure(8.2, 1.3 + 0.2 * max(len(table), 2))
    axes = figure.add_subplot()
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    few_ticks(axes, 8)
    return figure, axes


def _bells(axes: Axes, start: Any, end: Any, sure: np.ndarray) -> None:
    start, end = start.to_numpy(dtype=float), end.to_numpy(dtype=float)
    y = np.arange(len(start))
    colours = [GREY if not s else BLUE if b > a else ORANGE for a, b, s in zip(start, end, sure, strict=True)]
    axes.hlines(y, start, end, color=colours, linewidth=1.8, zorder=2)
    axes.scatter(start, y, s=20, facecolor="none", edgecolor=INK, linewidth=0.9, zorder=3)
    axes.scatter(end, y, s=24, c=colours, zorder=4)
