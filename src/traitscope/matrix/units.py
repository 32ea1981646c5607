"""The unit of a task's scores: a share as fraction or percentage, or something else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError

UNITS = ("fraction", "percent", "other")


def guess_unit(values: npt.NDArray[np.float64]) -> str:
    """Unit of one task's scores: "fraction" in 0..1, "percent" in 0..100 reaching above 10, else "other"."""
    known = values[np.isfinite(values)]
    if known.size == 0 or known.min() < 0.0:
        return "other"
    if known.max() <= 1.0:
        return "fraction"
    return "percent" if 10.0 < known.max() <= 100.0 else "other"


def pick_units(shown: pd.DataFrame, tasks: Mapping[str, str], given: Mapping[str, str] | str | None) -> dict[str, str]:
    """Unit of every task: as given for all tasks or by task, guessed where not given.

    Args:
        shown: the lines of the long table whose metric is the task's.
        tasks: task -> its metric.
        given: "fraction", "percent" or "other", or a mapping from tasks to these.

    Raises:
        TraitscopeError: another unit.
    """
    values_of = {str(task): part.to_numpy(dtype=float) for task, part in shown.groupby("task")["value"]}
    found = {}
    for task in tasks:
        unit = given if isinstance(given, str) else (given or {}).get(task)
        if unit and unit not in UNITS:
            raise TraitscopeError(
                f"unknown unit {unit!r} for task {task}", where="units", fix=f"write one of: {', '.join(UNITS)}"
            )
        found[task] = unit or guess_unit(values_of[task])
    return found


def full_mark(unit: str) -> float:
    """Score of a task on which every answer is right: 100 for percentages, else 1."""
    return 100.0 if unit == "percent" else 1.0
