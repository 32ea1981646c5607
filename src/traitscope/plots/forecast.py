"""Forecasts: sources ranked for every target with intervals and baselines, and how well such intervals were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.panels import MAX_PANELS, few_ticks
from traitscope.plots.style import (
    BLUE,
    CATEGORIES,
    GREY,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    Figure,
    new_figure,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from traitscope.predict.evaluation import Evaluation
    from traitscope.predict.rankings import Rankings

MAX_SOURCES = 15
# Of the intervals that are judged, this share was to hold the value (predict.conformal).
WANTED = 0.9
BASELINE_MARKS = {"column mean": ("|", GREY), "additive": ("x", ORANGE)}


def forecast_rankings_data(rankings: Rankings, tasks: Sequence[str] | None = None) -> pd.DataFrame:
    """Sources of every target, best expected first: task, rank, source, status, expected, lo, hi, harm, the baselines
    by their names, unit, note.

    Args:
        tasks: which targets; by default those with a cell that nobody measured.

    Raises:
        TraitscopeError: every cell is measured.
    """
    table = rankings.table
    open_ = set(table.loc[table["status"] != "measured", "task"])
    table = table[table["task"].isin(open_ if tasks is None else list(tasks))].reset_index(drop=True)
    if table.empty:
        raise TraitscopeError(
            "every cell is measured", where="plots", fix="forecast a matrix with holes, or name tasks"
        )
    table = table.assign(rank=table.groupby("task").cumcount() + 1)
    head = ["task", "rank", "source", "status", "expected", "lo", "hi", "harm", *rankings.baselines, "unit", "note"]
    return table[head]


@styled
def forecast_rankings(
    rankings: Rankings, units: Mapping[str, str] | None = None, tasks: Sequence[str] | None = None
) -> Figure:
    """One panel per target: sources by expected gain with intervals, measured ones filled, baselines beside them.

    At most 12 targets and the 15 best sources of each.

    Args:
        units: of the tasks' scores; fractions are shown in points.

    Raises:
        TraitscopeError: every cell is measured, or no source could help a target.
    """
    table = forecast_rankings_data(rankings, tasks)
    targets = list(dict.fromkeys(table["task"]))
    shown = targets[:MAX_PANELS]
    most = min(MAX_SOURCES, int(table.groupby("task").size().max()))
    columns = min(2, len(shown))
    down = -(-len(shown) // columns)
    figure = new_figure(4.4 * columns, 0.9 + down * (0.8 + 0.2 * max(most, 2)))
    grid = figure.subplots(down, columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    for axes, task in zip(grid.flat, shown, strict=False):
        part = table[table["task"] == task].head(MAX_SOURCES)
        points = 100.0 if part["unit"].iloc[0] in ("gain", "score") and (units or {}).get(task) == "fraction" else 1.0
        y = np.arange(len(part))
        measured = (part["status"] == "measured").to_numpy(dtype=bool)
        axes.hlines(y, points * part["lo"], points * part["hi"], color=BLUE, linewidth=1.5)
        face = np.where(measured, INK, PAPER)
        axes.scatter(points * part["expected"], y, s=22, c=face.tolist(), edgecolor=INK, linewidth=0.9, zorder=4)
        for k, name in enumerate(rankings.baselines):
            mark, colour = BASELINE_MARKS.get(name, ("+", CATEGORIES[k + 2]))
            at = ~measured
            axes.scatter(points * part[name][at], y[at], marker=mark, s=34, color=colour, linewidth=1.3, label=name)
        axes.set_yticks(y, [shorten(s, 22) for s in part["source"]])
        axes.set_ylim(most - 0.5, -0.5)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        few_ticks(axes)
        unit = str(part["unit"].iloc[0])
        axes.set_title(f"{shorten(task, 24)} ({unit}{', points' if points == 100 else ''})", fontsize=8.5)
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize=7.5)
    level = 100 * rankings.level
    note = f"hollow: predicted, with {level:g} % interval; filled: measured; {rankings.predictor}"
    note += f"; {len(shown)} of {len(targets)} targets" if len(targets) > len(shown) else ""
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure


def forecast_calibration_data(evaluation: Evaluation) -> pd.DataFrame:
    """Held-out cells, a row per held, protocol, predictor and number: ``coverage`` of the 90 % intervals (median over
    base models), and ``saved over <baseline>``, what is saved of its squared error, with lo and hi; in percent.
    """
    summary = evaluation.summary()
    keys = ["held", "protocol", "predictor"]
    cover = summary[keys].assign(number="coverage", value=summary["coverage"], lo=np.nan, hi=np.nan)
    saved = evaluation.skill
    if len(saved):
        named = "saved over " + saved["against"].astype(str)
        cover = pd.concat([cover, saved[[*keys, "lo", "hi"]].assign(number=named, value=saved["saved"])])
    made = cover[[*keys, "number", "value", "lo", "hi"]].reset_index(drop=True)
    return made.assign(**{name: 100 * made[name].astype(float) for name in ("value", "lo", "hi")})


@styled
def forecast_calibration(evaluation: Evaluation) -> Figure:
    """How often 90 % intervals held what was left out, and what is saved of each baseline's error, with intervals.

    Raises:
        TraitscopeError: nothing was held out.
    """
    table = forecast_calibration_data(evaluation)
    table = table[np.isfinite(table["value"].to_numpy(dtype=float))]
    if table.empty:
        raise TraitscopeError("nothing was held out", where="plots", fix="measure more cells")
    numbers = list(dict.fromkeys(table["number"]))
    keys = list(dict.fromkeys(zip(table["held"], table["protocol"], table["predictor"], strict=True)))
    place = {key: k for k, key in enumerate(keys)}
    several = len({held for held, _, _ in keys}) > 1
    figure = new_figure(2.8 + 2.4 * len(numbers), 1.3 + 0.2 * max(len(keys), 2))
    grid = figure.subplots(1, len(numbers), squeeze=False, sharey=True)[0]
    for axes, number in zip(grid, numbers, strict=True):
        part = table[table["number"] == number]
        y = [place[key] for key in zip(part["held"], part["protocol"], part["predictor"], strict=True)]
        axes.hlines(y, part["lo"], part["hi"], color=BLUE, linewidth=1.5)
        axes.scatter(part["value"], y, s=22, color=BLUE, zorder=3)
        line = 100 * WANTED if number == "coverage" else 0.0
        axes.axvline(line, color=INK, linewidth=0.9, linestyle="--")
        axes.set_title(number, fontsize=8.5)
        axes.set_xlabel("% of the held-out cells" if number == "coverage" else "% of its squared error")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        few_ticks(axes)
    names = [f"{p}, {r}" + (f" ({h})" if several else "") for h, p, r in keys]
    grid[0].set_yticks(range(len(keys)), [shorten(name, 52) for name in names])
    grid[0].set_ylim(len(keys) - 0.5, -0.5)
    figure.supxlabel(
        "rows: what was held out, predictor; dashed: wanted coverage, nothing saved", fontsize=8, color=MUTED
    )
    return figure
