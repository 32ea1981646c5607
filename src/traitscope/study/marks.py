"""Marks of the cells that are better or worse than the base, as the terminal shows them beside the scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from traitscope.study import analysis, keeping
from traitscope.study.context import Context

if TYPE_CHECKING:
    from traitscope.effects.marks import Marks

# Above this many cells their records are not read for the sake of a table on a terminal.
MOST_CELLS = 3000


def marks(study: Context) -> Marks | None:
    """What stands beside the scores, kept in ``analysis/marks.json``; None where there are too many cells."""
    from traitscope.effects.marks import Marks, measure_marks

    if len(study.score_table()) > MOST_CELLS:
        return None
    path = study.folder.analysis / "marks.json"

    def make() -> Marks:
        matrix = analysis.scores(study, records=True)
        return measure_marks(matrix, analysis.CellRecords(study), analysis.choice_classes(study))

    def write(found: Marks) -> dict[Path, str]:
        cells = [[model, task, mark] for (model, task), mark in found.cells.items()]
        text = json.dumps({"cells": cells, "constant": dict(found.constant)}, ensure_ascii=False)
        return keeping.save(study, path.name, f"{text}\n".encode())

    def read() -> Marks:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Marks({(model, task): mark for model, task, mark in kept["cells"]}, kept["constant"])

    return keeping.kept(study, "marks", {}, make, write, read)
