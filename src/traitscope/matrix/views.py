"""Views of the score matrix: raw scores, gains over the base, z-scores, log-odds, with standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError

if TYPE_CHECKING:
    from traitscope.matrix.core import ScoreMatrix

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


def gains(scores: ScoreMatrix, *, partial: bool = False) -> View:
    """Improvement over each row's base: positive is better, whatever the metric's direction.

    Standard errors are paired where example records are known for both models, otherwise those of
    independent samples (too wide if the examples were the same).

    Args:
        scores: the matrix.
        partial: rows without a base row are NaN, and there is no covariance where there are such rows.

    Raises:
        TraitscopeError: a row has no base row, unless ``partial``.
    """
    base_I = scores.base_index_I
    known_I = base_I >= 0
    if not partial and not known_I.all():
        alone = [m for m, known in zip(scores.models, known_I, strict=True) if not known]
        raise TraitscopeError(
            f"no base row for {', '.join(alone[:10])}",
            where="score matrix",
            fix="name the untuned model's row with base=..., or use the raw view",
        )
    values = np.where(known_I[:, None], (scores.scores_IN - scores.scores_IN[base_I]) * scores.sign_N, np.nan)
    variance = scores.stderr_IN**2 + scores.stderr_IN[base_I] ** 2
    covariance = scores.covariance_NII if known_I.all() else None
    contrast = None
    if covariance is not None:
        shared_IN = np.stack([c[np.arange(len(base_I)), base_I] for c in covariance], axis=1)
        variance = variance - 2.0 * shared_IN
        contrast_II = np.eye(len(base_I)) - np.eye(len(base_I))[base_I]
        contrast = np.einsum("ij,njk,lk->nil", contrast_II, np.nan_to_num(covariance), contrast_II)
    variance = np.where(np.arange(len(base_I))[:, None] == base_I[:, None], 0.0, variance)
    stderr = np.sqrt(np.clip(np.where(known_I[:, None], variance, np.nan), 0.0, None))
    return View("gain", scores.models, scores.tasks, values, stderr, contrast)


def z_scores(scores: ScoreMatrix) -> View:
    """Columns centred and divided by their standard deviation over rows (n - 1); constant ones give 0."""
    if len(scores.models) < 2:
        raise TraitscopeError("z-scores need two rows", where="score matrix", fix="add models")
    centre_N = np.nanmean(scores.scores_IN, axis=0)
    spread_N = np.nanstd(scores.scores_IN, axis=0, ddof=1)
    safe_N = np.where(spread_N > 0, spread_N, 1.0)
    covariance = scores.covariance_NII
    scaled = None if covariance is None else covariance / (safe_N**2)[:, None, None]
    return View(
        "z",
        scores.models,
        scores.tasks,
        (scores.scores_IN - centre_N) / safe_N,
        scores.stderr_IN / safe_N,
        scaled,
    )


def log_odds(scores: ScoreMatrix) -> View:
    """Log-odds of scores that are shares, standard errors by the delta method.

    Raises:
        TraitscopeError: a task's unit is "other".
    """
    bad = [task for task in scores.tasks if scores.units[task] == "other"]
    if bad:
        raise TraitscopeError(
            f"log-odds need fractions or percentages; {', '.join(bad)} has another unit",
            where="logit",
            fix="leave these tasks out, or state their unit with units=...",
        )
    top_N = np.array([100.0 if scores.units[t] == "percent" else 1.0 for t in scores.tasks])
    values, stderr = logit_with_stderr(scores.scores_IN / top_N, scores.stderr_IN / top_N, scores.n_IN)
    covariance = scores.covariance_NII
    if covariance is not None:
        slope_NI = np.divide(stderr, scores.stderr_IN, out=np.zeros_like(stderr), where=scores.stderr_IN > 0).T
        covariance = covariance * slope_NI[:, :, None] * slope_NI[:, None, :]
    return View("logit", scores.models, scores.tasks, values, stderr, covariance)
