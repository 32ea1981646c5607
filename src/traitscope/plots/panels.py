"""Grids of panels, and rows of points with intervals: what several families of figures are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from traitscope.effects.words import POINTS
from traitscope.plots.labels import width_pt
from traitscope.plots.style import BLUE, GREY, INK, MUTED, ORANGE, RED, Axes, Figure, new_figure, shorten

if TYPE_CHECKING:
    from traitscope.effects import Effects

T = TypeVar("T")
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


def legend_above(figure: Figure, *panels: Axes) -> None:
    """One legend of all panels above them, where no curve can run through it; each name once."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    if not found:
        return
    room = 72 * figure.get_figwidth() - 10
    columns = max(1, int(room // (max(width_pt(name, 7.5) for name in found) + 36)))
    figure.legend(list(found.values()), list(found), loc="outside upper center", ncols=columns, fontsize=7.5)


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


def bells(axes: Axes, rows: pd.DataFrame, start: str, end: str, sure: np.ndarray) -> None:
    """A line from a hollow to a filled point per row (height ``at``): blue up, orange down where sure, else grey."""
    a, b, y = (rows[name].to_numpy(dtype=float) for name in (start, end, "at"))
    colours = [GREY if not s else BLUE if to > of else ORANGE for of, to, s in zip(a, b, sure, strict=True)]
    axes.hlines(y, a, b, color=colours, linewidth=1.8, zorder=2)
    axes.scatter(a, y, s=20, facecolor="none", edgecolor=INK, linewidth=0.9, zorder=3)
    axes.scatter(b, y, s=24, c=colours, zorder=4)


def in_points(table: pd.DataFrame, columns: Sequence[str], effects: Effects) -> pd.DataFrame:
    """The table with shares as percentage points in these columns, and ``shown_unit``: points, or what it is else.

    A score that is no share is in units of its task's metric: two of them are told apart by its name.
    """
    gains = effects.of_kind("gain")
    metrics = {str(task): str(known["metric"]) for task, known in zip(gains["task"], gains["numbers"], strict=True)}
    scale = table["unit"].map(lambda unit: POINTS.get(str(unit), 1.0)).to_numpy(dtype=float)
    shown = [
        "points" if unit in POINTS else metrics.get(str(task), unit) if unit == "score" else unit
        for unit, task in zip(table["unit"].astype(str), table["task"], strict=True)
    ]
    made = {name: scale * table[name].to_numpy(dtype=float, na_value=np.nan) for name in columns}
    return table.assign(**made, shown_unit=np.array(shown, dtype=object))


def stacked(table: pd.DataFrame, names: Sequence[str], wide: float) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """A figure of one row per line of a table, top first; every unit (column ``unit``) has its own axes.

    Args:
        table: what is drawn, its index 0, 1, ...
        names: of the rows. wide: of the figure, in inches.

    Returns:
        The figure, and per unit its axes and lines, whose column ``at`` is their height there.
    """
    units = list(dict.fromkeys(table["unit"]))
    parts = [table[table["unit"] == unit] for unit in units]
    parts = [part.assign(at=range(len(part))) for part in parts]
    rows = [max(len(part), 2) for part in parts]
    figure = new_figure(wide, 1.0 + 0.35 * len(parts) + 0.2 * sum(rows))
    grid = figure.subplots(len(parts), 1, squeeze=False, height_ratios=rows)[:, 0]
    for axes, part in zip(grid, parts, strict=True):
        axes.set_yticks(range(len(part)), [names[k] for k in part.index])
        axes.set_ylim(len(part) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        few_ticks(axes, 8)
    return figure, list(zip(grid, parts, strict=True))


def unit_word(unit: str) -> str:
    """A unit as short as a title has room for."""
    return unit.replace(" per ", "/")


def relative(values: pd.Series, units: pd.Series) -> pd.Series:
    """Sizes that can be ranked where units differ: each a part of the largest of its own unit, 0 to 1."""
    size = values.abs()
    return size / size.groupby(units).transform("max").clip(lower=1e-12)


def first(names: Sequence[T], most: int) -> tuple[list[T], str]:
    """The first names, and in words how many are left out."""
    kept = list(names)[:most]
    return kept, "" if len(names) <= most else f"; {most} of {len(names)} shown"
