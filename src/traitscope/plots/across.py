"""Gains across base models: which source helps which task in which of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.effects.words import POINTS
from traitscope.errors import TraitscopeError
from traitscope.plots.heat import diverging, draw_cells, heat_size, signed
from traitscope.plots.panels import relative, unit_word
from traitscope.plots.style import MUTED, Figure, new_figure, shorten, styled, tops

if TYPE_CHECKING:
    from traitscope.effects import Across

# More rows than this nobody reads in one picture.
MOST_ROWS = 40


def across_heatmap_data(across: Across) -> pd.DataFrame:
    """The gains that are drawn: name, task, base, value (shares in points), held, unit."""
    rows, long = _chosen(across), across.by_base[across.by_base["kind"] == "gain"]
    at = {key: i for i, key in enumerate(zip(rows["name"], rows["task"], strict=True))}
    keys = [at.get(key, -1) for key in zip(long["name"], long["task"], strict=True)]
    long = long.assign(row=keys)[[key >= 0 for key in keys]].sort_values("row", kind="stable")
    values = [POINTS.get(str(unit), 1.0) * float(v) for v, unit in zip(long["value"], long["unit"], strict=True)]
    unit = long["unit"].map(lambda name: "points" if name in POINTS else name)
    return long.assign(value=values, unit=unit)[["name", "task", "base", "value", "held", "unit"]].reset_index(
        drop=True
    )


def _chosen(across: Across) -> pd.DataFrame:
    """The gains tested in two base models or more, surest first."""
    rows = across.findings[across.findings["kind"] == "gain"]
    rows = rows.sort_values(["q_two", "p_two"], kind="stable").head(MOST_ROWS)
    if rows.empty:
        raise TraitscopeError(
            "no gain was tested in two base models", where="across", fix="evaluate the same tasks on both"
        )
    return rows


@styled
def across_heatmap(across: Across) -> Figure:
    """Gains that were tested in two base models or more: source and task down, base models across.

    Those that are surest of two base models come first. Bold where the gain holds in that base model by itself. Where
    units differ, colours go by parts of the largest gain of the unit, which stands beside the task.

    Raises:
        TraitscopeError: no gain was tested in two base models.
    """
    table = across_heatmap_data(across)
    # Scores that are no shares have a scale of their own on every task.
    scale = table["unit"].where(table["unit"] != "score", table["task"])
    one_unit = scale.nunique() == 1
    table["colour"] = table["value"] if one_unit else np.sign(table["value"]) * relative(table["value"], scale)
    units = {(row["name"], row["task"]): str(row["unit"]) for row in table.to_dict("records")}
    at = {key: i for i, key in enumerate(units)}
    values_FB, colour_FB = (np.full((len(at), len(across.bases)), np.nan) for _ in range(2))
    bold = set()
    for row in table.to_dict("records"):
        cell = (at[row["name"], row["task"]], across.bases.index(str(row["base"])))
        values_FB[cell], colour_FB[cell] = row["value"], row["colour"]
        if row["held"]:
            bold.add(cell)
    palette, low, high = diverging(colour_FB)
    figure = new_figure(*heat_size(len(at), len(across.bases), label=3.4, cell=0.9))
    axes = figure.subplots()
    digits = [1 if unit == "points" else 2 for unit in units.values()]
    mesh = draw_cells(
        axes,
        colour_FB,
        palette=palette,
        low=low,
        high=high,
        text=lambda i, n: signed(values_FB[i, n], digits[i]),
        bold=bold,
    )
    labels = [
        shorten(f"{name} on {task}", 44) + ("" if one_unit else f" ({shorten(unit_word(unit), 16)})")
        for (name, task), unit in units.items()
    ]
    tops(axes, across.bases)
    axes.set_yticks(range(len(at)), labels)
    label = f"gain over the base, {table['unit'].iloc[0]}" if one_unit else "gain, share of the unit's largest"
    figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.015, label=label).outline.set_visible(False)
    note = "gain over the base; " + ("" if one_unit else "unit in brackets; ")
    note += "bold: it holds in that base model by itself"
    note += "" if np.isfinite(values_FB).all() else "; hatched: not tested"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure
