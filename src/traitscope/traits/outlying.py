"""Rows that stand far outside all others on most tasks, as models with degenerate answers do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Robust deviations that a row's typical cell must lie outside; normal rows reach half of it.
FAR = 2.5


def outlying_rows(values_IN: Floats, error_IN: Floats, candidates_I: npt.NDArray[np.bool_]) -> list[int]:
    """Indices of rows whose median distance over tasks is far outside.

    Distances are from the task's median, in units of its scaled median absolute deviation over rows, or of the cell's
    error where that is larger. A third of the rows at most can be outlying; more of them are a group, not outliers.

    Args:
        values_IN: the matrix, NaN where missing. error_IN: standard errors of the cells; 0 where not known.
        candidates_I: rows that may be called so.
    """
    centre_N = np.nanmedian(values_IN, axis=0)
    spread_N = 1.4826 * np.nanmedian(np.abs(values_IN - centre_N), axis=0)
    unit_IN = np.maximum(np.maximum(spread_N, error_IN), 1e-12)
    distance_IN = np.abs(values_IN - centre_N) / unit_IN
    far_I = np.array([np.median(d[np.isfinite(d)]) if np.isfinite(d).any() else 0.0 for d in distance_IN])
    found = [int(i) for i in np.argsort(-far_I, kind="stable") if candidates_I[i] and far_I[i] > FAR]
    return sorted(found) if len(found) <= len(values_IN) // 3 else []
