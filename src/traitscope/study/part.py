"""A part of a study: which adapters are trained, and which cells are evaluated on how many of their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from traitscope.study.data import StudyData
from traitscope.study.state import Units


@dataclass(frozen=True, slots=True)
class Part:
    """What a piece of work is about; what lies outside is neither made nor missed, and stays as it is.

    Attributes:
        adapters: names of the adapters to train.
        rows: (model, task) -> how many of the task's rows, the first ones, that cell is evaluated on.
    """

    adapters: frozenset[str]
    rows: Mapping[tuple[str, str], int]

    def of(self, units: Units, data: StudyData) -> Units:
        """The units of this part, cells with as many rows as it wants."""
        cells = []
        for cell in units.cells:
            n = min(self.rows.get((cell.model.name, cell.task), 0), cell.n)
            if n == cell.n:
                cells.append(cell)
            elif n:
                rows = data.eval_rows(cell.task, n)
                assert rows is not None
                cells.append(replace(cell, n=n, rows=rows))
        adapters = tuple(unit for unit in units.adapters if unit.name in self.adapters)
        return replace(units, adapters=adapters, cells=tuple(cells))
