"""What is marked in maps of the matrix: gains that hold, answers that are a habit, tasks on which nothing can fall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from traitscope.effects.holding import rows_of
from traitscope.effects.quality import MARKS, MEANING

if TYPE_CHECKING:
    from traitscope.effects import Effects
    from traitscope.matrix import ScoreMatrix


def base_rows(matrix: ScoreMatrix) -> set[int]:
    """Indices of the base rows."""
    return {i for i, b in enumerate(matrix.base_index_I.tolist()) if i == b}


def cell_marks(matrix: ScoreMatrix, effects: Effects | None) -> dict[tuple[int, int], str]:
    """Marks of odd cells by (row, column): "=" one answer to everything, "?" most answers cannot be parsed."""
    table = None if effects is None else effects.tables.get("cells")
    if table is None:
        return {}
    row = {name: i for i, name in enumerate(matrix.models)}
    column = {name: n for n, name in enumerate(matrix.tasks)}
    odd = table[table["habit"] != ""]
    found = zip(odd["model"], odd["task"], odd["habit"], strict=True)
    return {(row[m], column[t]): MARKS[habit] for m, t, habit in found if m in row and t in column}


def stuck_tasks(effects: Effects | None) -> set[str]:
    """Tasks on which the base has hardly an answer right, so that nothing can fall."""
    table = None if effects is None else effects.tables.get("cells")
    return set() if table is None else set(table.loc[table["base_at"] == "floor", "task"])


def significant_gains(matrix: ScoreMatrix, effects: Effects | None, alpha: float = 0.05) -> set[tuple[int, int]]:
    """Cells (row, column) whose gain is marked; all runs of a source where the claim is about their mean."""
    if effects is None:
        view = matrix.gains()
        with np.errstate(invalid="ignore", divide="ignore"):
            z_IN = np.abs(view.values_IN) / np.where(view.stderr_IN > 0, view.stderr_IN, np.nan)
        return {(int(i), int(n)) for i, n in np.argwhere(z_IN > 1.96)}
    row = {name: i for i, name in enumerate(matrix.models)}
    column = {name: n for n, name in enumerate(matrix.tasks)}
    held = effects.held(effects.of_kind("gain"), alpha)
    cells = ((m, found["task"]) for _, found in held.iterrows() for m in rows_of(dict(found)))
    return {(row[m], column[t]) for m, t in cells if m in row and t in column}


def gain_marks_text(matrix: ScoreMatrix, effects: Effects | None) -> str:
    """What the marks in a map of gains mean, in words."""
    base = base_rows(matrix)
    text = legend({k: v for k, v in cell_marks(matrix, effects).items() if k[0] not in base})
    return text + ("; –: the base has hardly an answer right there and cannot fall" if stuck_tasks(effects) else "")


def legend(marks: Mapping[tuple[int, int], str]) -> str:
    """What the marks of a figure mean, in words."""
    return "".join(f"; {mark}: {MEANING[mark]}" for mark in sorted(set(marks.values())))


def star_text(effects: Effects | None, alpha: float) -> str:
    """When a gain has a star, in words; that none has one where nothing was tested."""
    if effects is None:
        return "*: beyond 1.96 standard errors, not corrected"
    rows = effects.of_kind("gain")
    if rows.empty or rows["q"].isna().all():
        return "no error is known, so no gain was tested"
    together = any(len(rows_of(dict(row))) > 1 for _, row in rows.iterrows())
    return f"*: q ≤ {alpha:g}, paired, corrected" + (", the source's seeds together" if together else "")
