"""Which cells of a matrix are marked as better or worse than the base: the findings' own rule, without the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from traitscope.effects.alignment import Records, build_panels
from traitscope.effects.gains import by_cell, claimed_gains, gain_rows, matrix_gain_rows, source_gains
from traitscope.effects.grid import Grid, Row
from traitscope.effects.holding import held, rows_of
from traitscope.effects.measure import constant_score
from traitscope.effects.panel import REPLICATES
from traitscope.effects.quality import MARKS, habit
from traitscope.effects.result import findings_frame
from traitscope.matrix import ScoreMatrix
from traitscope.matrix.roles import TRAINED

# A run's test needs no bootstrap.
FEW_REPLICATES = 100
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands beside the scores of a matrix.

    Attributes:
        cells: by (model, task): "+" or "-" where the gain's finding holds (of a source, whose
            runs then all bear it, where the variance between runs is known; else of the run), then "="
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
    one_run = grid.runs is None and all(len(members) == 1 for members in grid.by_source(TRAINED).values())
    replicates = FEW_REPLICATES if one_run else REPLICATES
    rows: list[Row] = []
    odd: dict[tuple[str, str], str] = {}
    constant: dict[str, float] = {}
    for panel in build_panels(grid, records, classes, replicates=replicates, seed=seed, level=LEVEL):
        rows += gain_rows(panel)
        constant[panel.task] = constant_score(panel)
        for m, i in enumerate(panel.rows.tolist()):
            odd[grid.models[i], panel.task] = MARKS.get(habit(panel, m), "")
    paired = by_cell(rows)
    rows += matrix_gain_rows(grid, paired, LEVEL)
    claims = claimed_gains(rows, source_gains(grid, paired, LEVEL), grid, LEVEL)
    for _, found in held(findings_frame({"claimed_gains": claims}, grid)).iterrows():
        for cell in ((model, found["task"]) for model in rows_of(dict(found))):
            odd[cell] = ("+" if found["value"] > 0 else "-") + odd.get(cell, "")
    known = {task: score for task, score in constant.items() if np.isfinite(score)}
    return Marks({cell: mark for cell, mark in odd.items() if mark}, known)
