"""Grids of panels, and rows of points with intervals: what several families of figures are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd

from traitscope.effects.words import POINTS
from traitscope.plots.labels import width_pt
from traitscope.plots.style import BLUE, GREY, MUTED, RED, Axes, Figure, new_figure, shorten

# What a reader takes in at once; the rest is in the figure's table.
MAX_PANELS, MAX_ROWS = 12, 30
ROW_INCH = 0.2


@contextmanager
def grid_of(
    count: int, rows_each: int, names: Sequence[str], *, columns: int = 3, panel: float = 2.6, share_x: bool = False
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of ``count`` panels whose rows bear the same names, written at the left panels; the rest is hidden.

    Args:
        count: how many panels. rows_each: rows in each. names: of the rows, top first.
        columns: panels side by side at most. panel: width of one in inches.
        share_x: whether all have the same horizontal axis.
    """
    columns = min(columns, count)
    down = -(-count // columns)
    label = max([width_pt(shorten(name, 26), 8) for name in names] + [0.0]) / 72
    figure = new_figure(label + 0.5 + panel * columns, 0.75 + down * (0.75 + ROW_INCH * max(rows_each, 2)))
    grid = figure.subplots(down, columns, squeeze=False, sharey=True, sharex=share_x)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(names)), [shorten(name, 26) for name in names])
    grid[0, 0].set_ylim(rows_each - 0.5, -0.5)
    panels = list(grid.flat[:count])
    yield figure, panels
    for axes in panels:
        axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        if share_x:
            axes.tick_params(labelbottom=True)
        few_ticks(axes)


def few_ticks(axes: Axes, most: int = 5) -> None:
    """So few numbers under the axes that they do not meet in a narrow panel."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))


def points(axes: Axes, rows: pd.DataFrame, y: np.ndarray, held: np.ndarray) -> None:
    """Points with intervals (columns value, lo, hi): those that hold thick and filled, blue above 0 and red below; the
    others thin, grey and hollow.
    """
    value = rows["value"].to_numpy(dtype=float)
    for chosen, tone, line in ((~held, GREY, 0.9), (held & (value >= 0), BLUE, 2.2), (held & (value < 0), RED, 2.2)):
        part, at = rows[chosen], y[chosen]
        axes.hlines(at, part["lo"], part["hi"], color=tone, linewidth=line, zorder=2)
        face = tone if line > 1 else "none"
        axes.scatter(part["value"], at, s=10 * line + 2, facecolor=face, edgecolor=tone, linewidth=0.9, zorder=3)


def in_points(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table with shares as percentage points in these columns, and ``shown_unit``: points, or the unit itself."""
    scale = table["unit"].map(lambda unit: POINTS.get(str(unit), 1.0)).to_numpy(dtype=float)
    shown = table["unit"].map(lambda unit: "points" if str(unit) in POINTS else str(unit))
    made = {name: scale * table[name].to_numpy(dtype=float, na_value=np.nan) for name in columns}
    return table.assign(**made, shown_unit=shown)


def first(names: Sequence[str], most: int) -> tuple[list[str], str]:
    """The first names, and in words how many are left out."""
    kept = list(names)[:most]
    return kept, "" if len(names) <= most else f"; {most} of {len(names)} shown"
