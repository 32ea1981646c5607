"""Views of the score matrix: raw scores, gains over the base, z-scores, log-odds, with standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.noise import PairedFactors
from traitscope.matrix.units import full_mark

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class View:
    """One way of looking at the score matrix.

    Attributes:
        kind: "raw", "gain", "z" or "logit".
        models: row names. tasks: column names.
        values_IN: the numbers; NaN where the cell is missing.
        stderr_IN: their standard errors; NaN where not known.
        covariance_NII: covariance between the rows' errors within each task, or None without example records.
        factors: the same of a large matrix (more than ``noise.LARGE`` cells).
    """

    kind: str
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    values_IN: Floats
    stderr_IN: Floats
    covariance_NII: Floats | None = None
    factors: PairedFactors | None = None

    def frame(self) -> pd.DataFrame:
        """The values as a table: models down, tasks across."""
        return pd.DataFrame(self.values_IN, index=list(self.models), columns=list(self.tasks))


def logit_with_stderr(value: Floats, stderr: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Log-odds of fractions, with standard errors by the delta method.

    Fractions are kept within 0.5/n .. 1 - 0.5/n (1e-4 where n is not known), so that 0 and 1 stay finite.
    """
    edge = np.where(n > 0, 0.5 / np.maximum(n, 1), 1e-4)
    inside = np.clip(value, edge, 1.0 - edge)
    return np.log(inside / (1.0 - inside)), stderr / (inside * (1.0 - inside))


def gains(raw: View, base_index_I: npt.NDArray[np.int64], sign_N: Floats, *, partial: bool = False) -> View:
    """Improvement over each row's base: positive is better, whatever the metric's direction.

    Standard errors are paired where example records are known for both models, otherwise those of
    independent samples (too wide if the examples were the same).

    Args:
        raw: the scores as measured.
        base_index_I: index of each row's base row; -1 where there is none.
        sign_N: -1 for tasks that are better when lower, else +1.
        partial: rows without a base row are NaN, and there is no covariance where there are such rows.

    Raises:
        TraitscopeError: a row has no base row, unless ``partial``.
    """
    base_I = base_index_I
    known_I = base_I >= 0
    if not partial and not known_I.all():
        alone = [m for m, known in zip(raw.models, known_I, strict=True) if not known]
        raise TraitscopeError(
            f"no base row for {', '.join(alone[:10])}",
            where="score matrix",
            fix="name the untuned model's row with base=..., or use the raw view",
        )
    values = np.where(known_I[:, None], (raw.values_IN - raw.values_IN[base_I]) * sign_N, np.nan)
    variance = raw.stderr_IN**2 + raw.stderr_IN[base_I] ** 2
    covariance = raw.covariance_NII if known_I.all() else None
    contrast = None
    if covariance is not None:
        shared_IN = np.stack([c[np.arange(len(base_I)), base_I] for c in covariance], axis=1)
        variance = variance - 2.0 * shared_IN
        contrast_II = np.eye(len(base_I)) - np.eye(len(base_I))[base_I]
        contrast = np.einsum("ij,njk,lk->nil", contrast_II, np.nan_to_num(covariance), contrast_II)
    if raw.factors is not None and known_I.all():
        variance = variance - 2.0 * raw.factors.with_row(base_I)
    variance = np.where(np.arange(len(base_I))[:, None] == base_I[:, None], 0.0, variance)
    stderr = np.sqrt(np.clip(np.where(known_I[:, None], variance, np.nan), 0.0, None))
    return replace(raw, kind="gain", values_IN=values, stderr_IN=stderr, covariance_NII=contrast, factors=None)


def z_scores(raw: View) -> View:
    """Columns centred and divided by their standard deviation over rows (n - 1); constant ones give 0.

    Raises:
        TraitscopeError: there is one row only.
    """
    if len(raw.models) < 2:
        raise TraitscopeError("z-scores need two rows", where="score matrix", fix="add models")
    centre_N = np.nanmean(raw.values_IN, axis=0)
    spread_N = np.nanstd(raw.values_IN, axis=0, ddof=1)
    safe_N = np.where(spread_N > 0, spread_N, 1.0)
    scaled = None if raw.covariance_NII is None else raw.covariance_NII / (safe_N**2)[:, None, None]
    values = (raw.values_IN - centre_N) / safe_N
    factors = None if raw.factors is None else raw.factors.scaled(np.ones_like(raw.values_IN) / safe_N)
    stderr = raw.stderr_IN / safe_N
    return replace(raw, kind="z", values_IN=values, stderr_IN=stderr, covariance_NII=scaled, factors=factors)


def log_odds(raw: View, units: Mapping[str, str], n_IN: Floats) -> View:
    """Log-odds of scores that are shares, standard errors by the delta method.

    Args:
        raw: the scores as measured.
        units: unit of each task.
        n_IN: examples behind each cell; 0 where not known.

    Raises:
        TraitscopeError: a task's unit is "other".
    """
    bad = [task for task in raw.tasks if units[task] == "other"]
    if bad:
        raise TraitscopeError(
            f"log-odds need fractions or percentages; {', '.join(bad)} has another unit",
            where="logit",
            fix="leave these tasks out, or state their unit with units=...",
        )
    top_N = np.array([full_mark(units[t]) for t in raw.tasks])
    values, stderr = logit_with_stderr(raw.values_IN / top_N, raw.stderr_IN / top_N, n_IN)
    covariance = raw.covariance_NII
    slope_IN = np.divide(stderr, raw.stderr_IN, out=np.zeros_like(stderr), where=raw.stderr_IN > 0)
    if covariance is not None:
        covariance = covariance * slope_IN.T[:, :, None] * slope_IN.T[:, None, :]
    factors = None if raw.factors is None else raw.factors.scaled(slope_IN)
    return replace(raw, kind="logit", values_IN=values, stderr_IN=stderr, covariance_NII=covariance, factors=factors)
