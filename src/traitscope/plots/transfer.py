"""Forest plots of transfer: every gain with its interval, by source and by target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.panels import MAX_PANELS, MAX_ROWS, first, grid_of, in_points, points, relative, unit_word
from traitscope.plots.style import MUTED, Axes, Figure, shorten, styled

if TYPE_CHECKING:
    from traitscope.effects import Effects

COLUMNS = ["model", "source", "task", "value", "lo", "hi", "q", "held", "n", "unit"]


def transfer_data(effects: Effects, *, alpha: float = 0.05) -> pd.DataFrame:
    """Every gain of a model on a task that it was not trained on: model, source, task, value, lo, hi, q, held, n, unit.

    Shares are in percentage points, other scores in units of their metric. Held: q of at most ``alpha`` and the
    interval leaves out 0. Runs of a source whose seeds are told together are one line, named after the source.
    """
    found = effects.of_kind("gain")
    found = found[found["relation"].isin(("transfer", "model"))]
    holding = found.index.isin(effects.held(found, alpha).index)
    told = in_points(found, ["value", "lo", "hi"], effects).assign(held=holding)
    return told.assign(unit=told["shown_unit"])[COLUMNS].reset_index(drop=True)


@styled
def forest_by_target(effects: Effects, *, alpha: float = 0.05) -> Figure:
    """One panel per task, one row per model: gains off its own tasks with intervals, those that hold bold.

    At most 12 tasks, those with the largest gains or losses that hold first, and 30 models.

    Raises:
        TraitscopeError: there is no transfer.
    """
    return _forest(effects, "task", "model", alpha)


@styled
def forest_by_source(effects: Effects, *, alpha: float = 0.05) -> Figure:
    """One panel per model and unit, one row per task: the same gains as in ``forest_by_target``."""
    return _forest(effects, "model", "task", alpha)


def _forest(effects: Effects, panel: str, row: str, alpha: float) -> Figure:
    table = transfer_data(effects, alpha=alpha)
    if table.empty:
        raise TraitscopeError(
            "no gain on a task that a model was not trained on", where="plots", fix="evaluate adapters on other tasks"
        )
    size = relative(table["value"], table["unit"]).where(table["held"], 0.0)
    keys = [table[panel], table["unit"]]
    strongest = size.groupby(keys, sort=False).max().sort_values(ascending=False, kind="stable")
    panels, cut = first([(str(name), str(unit)) for name, unit in strongest.index.tolist()], MAX_PANELS)
    rows, cut_rows = first(_in_order(effects, table, row), MAX_ROWS)
    one_unit = table["unit"].nunique() == 1
    place = {name: k for k, name in enumerate(rows)}
    first_of: dict[str, Axes] = {}
    with grid_of(len(panels), len(rows), rows, share_x=one_unit) as (figure, grid):
        for axes, (name, unit) in zip(grid, panels, strict=True):
            part = table[(table[panel] == name) & (table["unit"] == unit) & table[row].isin(rows)]
            # Values of one unit are compared from panel to panel.
            if first_of.setdefault(unit, axes) is not axes and not one_unit:
                axes.sharex(first_of[unit])
            points(axes, part, part[row].map(place).to_numpy(), part["held"].to_numpy(dtype=bool))
            axes.set_title(shorten(name, 26) + ("" if one_unit else f" ({shorten(unit_word(unit), 16)})"), fontsize=8.5)
    note = f"gain over the base, {table['unit'].iloc[0] if one_unit else 'higher is better, unit in brackets'}"
    note += "; lines: 95 % intervals" if table["lo"].notna().any() else "; no error is known, so nothing was tested"
    if table["q"].notna().any():
        note += f"; bold: q ≤ {alpha:g}, corrected, blue helps, red harms"
    note += "; trained tasks left out" if effects.of_kind("gain")["relation"].isin(("own", "copy")).any() else ""
    note += f"; panels{cut.removeprefix(';')}" if cut else ""
    note += f"; rows{cut_rows.removeprefix(';')}" if cut_rows else ""
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure


def _in_order(effects: Effects, table: pd.DataFrame, key: str) -> list[str]:
    """Names that have a gain here, in the order of the whole matrix."""
    known = set(table[key])
    return [str(name) for name in dict.fromkeys(effects.of_kind("gain")[key]) if name in known]
