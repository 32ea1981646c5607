"""Figure of the controls: a source beside what is left of it when its data are altered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.panels import MAX_ROWS, bells, in_points, relative, stacked
from traitscope.plots.style import MUTED, Figure, shorten, styled

if TYPE_CHECKING:
    from traitscope.effects import Effects


def control_dumbbells_data(effects: Effects) -> pd.DataFrame:
    """Every control beside its source: model, source, task, own, from (the source), to (the control), difference with
    lo and hi, p, n, unit; shares in points of a hundred. The largest differences of either direction first, at most 30.
    """
    table = effects.tables.get("controls")
    if table is None or table.empty:
        raise TraitscopeError("no source has a control", where="plots", fix="give a source controls in the study file")
    shown = in_points(table.reset_index(drop=True), ["parent_value", "value", "difference", "lo", "hi"], effects)
    shown = shown.rename(columns={"parent_value": "from", "value": "to"})
    shown = shown.assign(source=shown["parent"], unit=shown["shown_unit"])
    order = relative(shown["difference"], shown["unit"]).sort_values(ascending=False, kind="stable").index[:MAX_ROWS]
    shown = shown.loc[order].sort_values("difference", kind="stable").reset_index(drop=True)
    return shown[["model", "source", "task", "own", "from", "to", "difference", "lo", "hi", "p", "n", "unit"]]


@styled
def control_dumbbells(effects: Effects) -> Figure:
    """Score of the source's adapter (hollow) and of its control (filled) on every task, falls first, then rises.

    Raises:
        TraitscopeError: no source has a control.
    """
    table = control_dumbbells_data(effects)
    names = [
        f"{shorten(row['model'], 34)} on {shorten(row['task'], 22)}" + (" (own task)" if row["own"] else "")
        for row in table.to_dict("records")
    ]
    figure, grid = stacked(table, names, 8.2)
    for axes, part in grid:
        bells(axes, part, "from", "to", ((part["lo"] > 0) | (part["hi"] < 0)).to_numpy(dtype=bool))
        unit = part["unit"].iloc[0]
        axes.set_xlabel(f"score, {'%' if unit == 'points' else unit}")
    note = "hollow: the source's adapter; filled: its control; "
    if table["lo"].notna().any():
        note += "coloured: the interval of the difference leaves out 0 (not corrected); blue: the control is better; "
        note += "orange: worse"
    else:
        note += "no error is known, so nothing was tested"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure
