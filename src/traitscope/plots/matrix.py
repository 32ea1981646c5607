"""Heat maps of the score matrix and of the gains over the base."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.effects.quality import MARKS
from traitscope.errors import TraitscopeError
from traitscope.plots.heat import SEQUENTIAL, diverging, draw_cells, heat_size, rounded, signed
from traitscope.plots.marks import (
    base_rows,
    cell_marks,
    gain_marks_text,
    legend,
    significant_gains,
    star_text,
    stuck_tasks,
)
from traitscope.plots.style import INK, Axes, Figure, new_figure, shorten, styled, tops
from traitscope.texts import count_of

if TYPE_CHECKING:
    from traitscope.effects import Effects
    from traitscope.matrix import ScoreMatrix

Floats = npt.NDArray[np.float64]
FRAMED = "trained on this task or a copy"


def scaled(matrix: ScoreMatrix, values_IN: Floats) -> tuple[Floats, bool]:
    """Values with fractions as percentages, and whether all columns then share a unit."""
    top_N = np.array([100.0 if matrix.units[task] == "fraction" else 1.0 for task in matrix.tasks])
    units = {"percent" if matrix.units[task] == "fraction" else matrix.units[task] for task in matrix.tasks}
    return values_IN * top_N, len(units) == 1 and "other" not in units


def unit_of(matrix: ScoreMatrix, task: str, share: str = "points") -> str:
    """The unit in which a task's values are drawn: ``share`` of fractions and percentages, else its metric's name."""
    return share if matrix.units[task] in ("fraction", "percent") else str(matrix.metrics.get(task, matrix.units[task]))


def own_cells(matrix: ScoreMatrix) -> set[tuple[int, int]]:
    """Cells of a model on a task that it was trained on, or of which it saw a copy."""
    home_IN = np.isin(matrix.relation_IN, ("own", "copy"))
    return {(int(i), int(n)) for i, n in np.argwhere(home_IN)}


def framed_text(matrix: ScoreMatrix) -> str:
    """What a frame around a cell means, in words; nothing where no cell has one."""
    return f"; framed: {FRAMED}" if own_cells(matrix) else ""


def counts_text(matrix: ScoreMatrix) -> str:
    """How many examples stand behind a cell, in words; of how many tasks it is not known."""
    known = matrix.n_IN[matrix.n_IN > 0]
    unknown = int((np.isfinite(matrix.scores_IN) & ~(matrix.n_IN > 0)).any(axis=0).sum())
    if not known.size:
        return "n not known"
    low, high = int(known.min()), int(known.max())
    told = f"n = {low} examples per cell" if low == high else f"n = {low}–{high} examples per cell"
    return told + (f", not known of {count_of(unknown, 'task')}" if unknown else "")


def metrics_text(matrix: ScoreMatrix) -> str:
    """The metrics shown, in words."""
    return ", ".join(sorted(set(matrix.metrics.values())))


def score_heatmap_data(matrix: ScoreMatrix, effects: Effects | None = None) -> pd.DataFrame:
    """Every cell: model, task, metric, score and stderr (fractions in percent), unit, n, relation, mark; below them the
    best constant answers, where known. Marks are ``constant`` (one answer to nearly everything) and ``unparsable``.
    """
    marks, shown_IN = cell_marks(matrix, effects), scaled(matrix, matrix.scores_IN)[0]
    table = _long(matrix, shown_IN, "score", marks)
    error_IN = scaled(matrix, matrix.stderr_IN)[0]
    table = table.assign(stderr=error_IN.ravel(), n=matrix.n_IN.ravel())
    constant_N = scaled(matrix, _constant_scores(matrix, effects)[None])[0][0]
    more = [
        {"model": "best constant answer", "task": task, "metric": matrix.metrics.get(task), "score": value}
        for task, value in zip(matrix.tasks, constant_N, strict=True)
        if np.isfinite(value)
    ]
    table = pd.concat([table, pd.DataFrame(more)], ignore_index=True) if more else table
    table = table.assign(unit=[unit_of(matrix, task, "percent") for task in table["task"]])
    return table[["model", "task", "metric", "score", "stderr", "unit", "n", "relation", "mark"]]


def gain_heatmap_data(matrix: ScoreMatrix, effects: Effects | None = None, *, alpha: float = 0.05) -> pd.DataFrame:
    """Every cell but the base's: model, task, metric, gain (fractions in points), unit, starred, relation, mark: as of
    scores, and ``floor`` where the figure has a dash, since nothing could fall there.
    """
    values_IN = scaled(matrix, matrix.gains().values_IN)[0]
    starred, base = significant_gains(matrix, effects, alpha), base_rows(matrix)
    table = _long(matrix, values_IN, "gain", cell_marks(matrix, effects))
    stuck = table["task"].isin(stuck_tasks(effects)) & (table["gain"] <= 0)
    table = table.assign(mark=table["mark"].where(~stuck, "floor"))
    at = list(np.ndindex(*values_IN.shape))
    table = table.assign(starred=[cell in starred for cell in at])[[i not in base for i, _ in at]]
    table = table.assign(unit=[unit_of(matrix, task) for task in table["task"]])
    return table[["model", "task", "metric", "gain", "unit", "starred", "relation", "mark"]].reset_index(drop=True)


def _long(matrix: ScoreMatrix, values_IN: Floats, name: str, marks: Mapping[tuple[int, int], str]) -> pd.DataFrame:
    """A row per cell, models down and tasks across as in the figure."""
    at, words = list(np.ndindex(*values_IN.shape)), {sign: habit for habit, sign in MARKS.items()}
    return pd.DataFrame(
        {
            "model": [matrix.models[i] for i, _ in at],
            "task": [matrix.tasks[n] for _, n in at],
            "metric": [matrix.metrics.get(matrix.tasks[n]) for _, n in at],
            name: values_IN.ravel(),
            "relation": np.asarray(matrix.relation_IN).ravel(),
            # In words: a sign such as = is a formula to a spreadsheet.
            "mark": [words.get(marks.get(cell, ""), "") for cell in at],
        }
    )


@styled
def score_heatmap(matrix: ScoreMatrix, effects: Effects | None = None) -> Figure:
    """All scores: models down, tasks across, base rows marked, missing cells hatched.

    Fractions are shown in percent. Where tasks have different units, colours go from each task's worst to its best.

    Args:
        effects: tells the cells whose answers are all alike or cannot be parsed: these are marked and have no colour.
    """
    values_IN, one_unit = scaled(matrix, matrix.scores_IN)
    better_IN = values_IN * matrix.sign_N
    if one_unit:
        known = values_IN[np.isfinite(values_IN)]
        colour_IN, low, high = values_IN, 10.0 * float(known.min() // 10) if known.size else 0.0, 100.0
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            floor_N = _column(np.nanmin, better_IN)
            colour_IN = (better_IN - floor_N) / np.maximum(_column(np.nanmax, better_IN) - floor_N, 1e-12)
        low, high = 0.0, 1.0
    figure = new_figure(*heat_size(*values_IN.shape))
    axes = figure.add_subplot()
    marks = cell_marks(matrix, effects)
    constant_N = _constant_scores(matrix, effects)
    extra = bool(np.isfinite(constant_N).any())
    if extra:
        # One more row, below the models: what they are to be held against.
        values_IN = np.vstack([values_IN, scaled(matrix, constant_N[None])[0]])
        colour_IN = np.vstack([colour_IN, values_IN[-1]])
    mesh = draw_cells(
        axes,
        colour_IN,
        palette=SEQUENTIAL,
        low=low,
        high=high,
        text=lambda i, n: _number(values_IN[i, n]) + marks.get((i, n), ""),
        outlined=own_cells(matrix),
        plain=marks,
        plain_rows={len(matrix.models)} if extra else (),
    )
    _labels(axes, matrix, ["best constant answer"] if extra else [])
    label = f"score, % ({metrics_text(matrix)})" if one_unit else f"worst to best of the task ({metrics_text(matrix)})"
    figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.015, label=shorten(label, 60)).outline.set_visible(False)
    _caption(axes, f"{counts_text(matrix)}{framed_text(matrix)}; hatched: missing{legend(marks)}")
    return figure


@styled
def gain_heatmap(matrix: ScoreMatrix, effects: Effects | None = None, *, alpha: float = 0.05) -> Figure:
    """Gains over the base, centred at 0; significant ones in bold with a star; the base row shows its scores.

    Args:
        effects: gives the paired tests, corrected over all cells; without them a gain beyond 1.96 standard errors
            is starred, and the figure says that this is not corrected.
        alpha: level of the corrected tests.

    Raises:
        TraitscopeError: the matrix has no base row, or nothing else.
    """
    if len(base_rows(matrix)) == len(matrix.models):
        raise TraitscopeError("only the base was measured", where="plots", fix="measure a model beside it")
    figure = new_figure(*heat_size(len(matrix.models), len(matrix.tasks)))
    draw_gains(figure, figure.add_subplot(), matrix, effects, alpha)
    return figure


def draw_gains(
    figure: Figure, axes: Axes, matrix: ScoreMatrix, effects: Effects | None, alpha: float, *, note: bool = True
) -> None:
    """The gains' heat map in given axes."""
    view = matrix.gains()
    values_IN, one_unit = scaled(matrix, view.values_IN)
    scores_IN, _ = scaled(matrix, matrix.scores_IN)
    base = base_rows(matrix)
    starred = significant_gains(matrix, effects, alpha)
    colour_IN = values_IN.copy()
    if not one_unit:
        with np.errstate(invalid="ignore", divide="ignore"):
            colour_IN = values_IN / np.maximum(_column(np.nanmax, np.abs(values_IN)), 1e-12)
    palette, low, high = diverging(colour_IN)
    marks, stuck = cell_marks(matrix, effects), stuck_tasks(effects)

    def text(i: int, n: int) -> str:
        if i in base:
            return _number(scores_IN[i, n])
        if matrix.tasks[n] in stuck and values_IN[i, n] <= 0:
            return "–"
        star = "*" if (i, n) in starred else ""
        return signed(values_IN[i, n], 0 if one_unit else 2) + star + marks.get((i, n), "")

    shown_IN = np.where(np.isfinite(colour_IN), colour_IN, np.nan)
    for i in base:
        shown_IN[i] = scores_IN[i]
    mesh = draw_cells(
        axes,
        shown_IN,
        palette=palette,
        low=low,
        high=high,
        text=text,
        bold=starred,
        outlined=own_cells(matrix),
        plain_rows=base,
        plain=marks,
    )
    _labels(axes, matrix)
    label = "gain over the base, points" if one_unit else "gain, share of the task's largest"
    figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.015, label=label).outline.set_visible(False)
    if note:
        text_below = (
            f"{metrics_text(matrix)}; {counts_text(matrix)}; {star_text(effects, alpha)}{framed_text(matrix)}; "
        )
        text_below += "the base's row shows its scores" + gain_marks_text(matrix, effects)
        _caption(axes, text_below)


def _constant_scores(matrix: ScoreMatrix, effects: Effects | None) -> Floats:
    """Score of the best constant answer of every task, NaN where there is none."""
    table = None if effects is None else effects.tables.get("cells")
    known = {} if table is None else dict(zip(table["task"], table["constant_score"], strict=True))
    unit = {"percent": 100.0}
    known_N = np.array([known.get(task) for task in matrix.tasks], dtype=float)
    return known_N * [unit.get(matrix.units[task], 1.0) for task in matrix.tasks]


def _labels(axes: Axes, matrix: ScoreMatrix, more: Sequence[str] = ()) -> None:
    base: Collection[int] = base_rows(matrix)
    tops(axes, matrix.tasks)
    names = [
        f"{shorten(m, 24)} (base)" if i in base and m != "base" else shorten(m, 30) for i, m in enumerate(matrix.models)
    ]
    axes.set_yticks(range(len(names) + len(more)), [*names, *more])
    for i in base:
        axes.get_yticklabels()[i].set_fontweight("bold")
        if i + 1 < len(names):
            axes.axhline(i + 0.5, color=INK, linewidth=0.9)


def _caption(axes: Axes, text: str) -> None:
    """A line under the cells; it is broken where the figure is narrow."""
    axes.set_xlabel(text)


def _number(value: float) -> str:
    """Three characters or so."""
    digits = 0 if abs(value) >= 10 else 1 if abs(value) >= 1 else 2
    return f"{rounded(value, digits) + 0.0:.{digits}f}"


def _column(what: object, values_IN: Floats) -> Floats:
    """A NaN-skipping reduction over rows; NaN for columns without a number."""
    out = np.full(values_IN.shape[1], np.nan)
    for n in np.flatnonzero(np.isfinite(values_IN).any(axis=0)):
        out[n] = what(values_IN[:, n])  # type: ignore[operator]
    return out
