"""Which cells of a matrix are marked as better or worse than the base: the findings' own rule, without the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from traitscope.effects.alignment import Records, build_panels
from traitscope.effects.gains import by_cell, gain_rows, matrix_gain_rows
from traitscope.effects.grid import Grid, Row
from traitscope.effects.holding import held
from traitscope.effects.measure import constant_score
from traitscope.effects.quality import MARKS, habit
from traitscope.effects.result import findings_frame
from traitscope.matrix import ScoreMatrix

# Tests need no bootstrap.
FEW_REPLICATES = 100


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands beside the scores of a matrix.

    Attributes:
        cells: by (model, task): "+" or "-" where the paired and corrected test of the gain holds at q <= 0.05, then "="
            where the model gives one answer to nearly everything, "?" where most answers cannot be parsed.
        constant: by task the score of the constant answer that does best, for tasks with classes.
    """

    cells: Mapping[tuple[str, str], str]
    constant: Mapping[str, float]


def measure_marks(
    matrix: ScoreMatrix, records: Records, classes: Mapping[str, Sequence[str]] | None = None, *, seed: int = 0
) -> Marks:
    """The marks of all cells.

    Args:
        matrix, records, classes, seed: as for ``measure_effects``, whose q these are.
    """
    grid = Grid.of(matrix).in_shares()
    rows: list[Row] = []
    odd: dict[tuple[str, str], str] = {}
    constant: dict[str, float] = {}
    for panel in build_panels(grid, records, classes, replicates=FEW_REPLICATES, seed=seed, level=0.95):
        rows += gain_rows(panel)
        constant[panel.task] = constant_score(panel)
        for m, i in enumerate(panel.rows.tolist()):
            odd[grid.models[i], panel.task] = MARKS.get(habit(panel, m), "")
    rows += matrix_gain_rows(grid, by_cell(rows), 0.95)
    found = held(findings_frame({"gains": rows}, grid))
    signs = zip(found["model"], found["task"], found["value"], strict=True)
    for model, task, gain in signs:
        odd[model, task] = ("+" if gain > 0 else "-") + odd.get((model, task), "")
    known = {task: score for task, score in constant.items() if np.isfinite(score)}
    return Marks({cell: mark for cell, mark in odd.items() if mark}, known)
