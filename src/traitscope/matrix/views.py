"""Views of the score matrix: raw scores, gains over the base, z-scores, log-odds, with standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError

Floats = npt.NDArray[np.float64]

UNITS = ("fraction", "percent", "other")


@dataclass(frozen=True, eq=False)
class View:
    """One way of looking at the score matrix.

    Attributes:
        kind: "raw", "gain", "z" or "logit".
        models: row names. tasks: column names.
        values_IN: the numbers; NaN where the cell is missing.
        stderr_IN: their standard errors; NaN where not known.
        covariance_NII: covariance between the rows' errors within each task, or None without example records.
    """

    kind: str
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    values_IN: Floats
    stderr_IN: Floats
    covariance_NII: Floats | None = None

    def frame(self) -> pd.DataFrame:
        """The values as a table: models down, tasks across."""
        return pd.DataFrame(self.values_IN, index=list(self.models), columns=list(self.tasks))


def guess_unit(values: Floats) -> str:
    """Unit of one task's scores: "fraction" in 0..1, "percent" in 0..100 reaching above 10, else "other"."""
    known = values[np.isfinite(values)]
    if known.size == 0 or known.min() < 0.0:
        return "other"
    if known.max() <= 1.0:
        return "fraction"
    return "percent" if 10.0 < known.max() <= 100.0 else "other"


def check_unit(unit: str, task: str) -> str:
    """The unit itself, or an error that lists the allowed ones."""
    if unit not in UNITS:
        raise TraitscopeError(
            f"unknown unit {unit!r} for task {task}", where="units", fix=f"write one of: {', '.join(UNITS)}"
        )
    return unit


def logit_with_stderr(value: Floats, stderr: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Log-odds of fractions, with standard errors by the delta method.

    Fractions are kept within 0.5/n .. 1 - 0.5/n (1e-4 where n is not known), so that 0 and 1 stay finite.
    """
    edge = np.where(n > 0, 0.5 / np.maximum(n, 1), 1e-4)
    inside = np.clip(value, edge, 1.0 - edge)
    return np.log(inside / (1.0 - inside)), stderr / (inside * (1.0 - inside))
