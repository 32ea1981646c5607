"""Gains across base models: which source helps which task in which of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.effects.words import POINTS
from traitscope.errors import TraitscopeError
from traitscope.plots.heat import diverging, draw_cells, heat_size, signed
from traitscope.plots.style import Figure, new_figure, shorten, styled, tops

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

    Those that are surest of two base models come first. Bold where the gain holds in that base model by itself; colours
    are of gains in points, others have none.

    Raises:
        TraitscopeError: no gain was tested in two base models.
    """
    rows = _chosen(across)
    long = across.by_base[across.by_base["kind"] == "gain"]
    at = {key: i for i, key in enumerate(zip(rows["name"], rows["task"], strict=True))}
    values_FB = np.full((len(rows), len(across.bases)), np.nan)
    bold, plain = set(), set()
    for row in long.to_dict("records"):
        i = at.get((row["name"], row["task"]))
        if i is not None:
            cell = (i, across.bases.index(str(row["base"])))
            values_FB[cell] = POINTS.get(str(row["unit"]), 1.0) * float(row["value"])
            if row["held"]:
                bold.add(cell)
            if row["unit"] not in POINTS:
                plain.add(cell)
    coloured_FB = values_FB.copy()
    for cell in plain:
        coloured_FB[cell] = np.nan
    palette, low, high = diverging(coloured_FB)
    figure = new_figure(*heat_size(len(rows), len(across.bases), label=3.4, cell=0.9))
    axes = figure.subplots()
    draw_cells(
        axes,
        values_FB,
        palette=palette,
        low=low,
        high=high,
        text=lambda i, n: signed(values_FB[i, n], 2 if (i, n) in plain else 1),
        bold=bold,
        plain=plain,
    )
    labels = [shorten(f"{name} on {task}", 44) for name, task in at]
    tops(axes, across.bases)
    axes.set_yticks(range(len(rows)), labels)
    return figure
