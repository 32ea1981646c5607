"""Whether a predictor is better than a baseline, or only luckier: paired over sources and targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

Floats = npt.NDArray[np.float64]

LEVEL = 0.95
# Squared errors that differ by less than this share are the same prediction.
SAME = 1e-9


@dataclass(frozen=True)
class Skill:
    """Share of a baseline's mean squared error that a predictor saves.

    Attributes:
        saved: 1 - MSE / MSE of the baseline; negative where it is worse. lo, hi: its interval.
        better: whether the whole interval is above zero.
        sources, tasks: how many of each it was told from.
    """

    saved: float
    lo: float
    hi: float
    better: bool
    sources: int
    tasks: int


def skill(error_IN: Floats, baseline_IN: Floats, level: float = LEVEL) -> Skill:
    """What a predictor saves, with an interval over sources and targets both drawn anew.

    The variance of the mean difference is clustered by source and by target (Cameron, Gelbach & Miller 2011, J. Bus.
    Econ. Stat. 29:238), the largest of the three ways where they disagree, with Student's t of the smaller number less
    one.

    Args:
        error_IN: squared errors, mean over base models and folds; NaN where a cell was not judged.
        baseline_IN: those of the baseline, on the same cells.
        level: of the interval.
    """
    both_IN = np.isfinite(error_IN) & np.isfinite(baseline_IN)
    total = float(baseline_IN[both_IN].sum())
    rows, columns = int(both_IN.any(axis=1).sum()), int(both_IN.any(axis=0).sum())
    nan = float("nan")
    if total <= 0 or min(rows, columns) < 3:
        return Skill(nan, nan, nan, False, rows, columns)
    saved = 1.0 - float(error_IN[both_IN].sum()) / total
    # The ratio's influence: what each cell adds beyond what the overall share lets one expect of it.
    pull_IN = np.where(both_IN, (1.0 - saved) * baseline_IN - error_IN, 0.0) / total
    by_row = float((pull_IN.sum(axis=1) ** 2).sum()) * rows / (rows - 1)
    by_column = float((pull_IN.sum(axis=0) ** 2).sum()) * columns / (columns - 1)
    by_cell = float((pull_IN**2).sum())
    deviation = np.sqrt(max(by_row, by_column, by_row + by_column - by_cell))
    half = float(student.ppf(0.5 + level / 2, min(rows, columns) - 1)) * float(deviation)
    return Skill(saved, saved - half, min(saved + half, 1.0), bool(saved - half > SAME), rows, columns)
