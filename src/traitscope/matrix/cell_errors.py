"""Errors of the cells: standard errors, their covariance over models, seeds, bootstrap replicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.matrix.noise import CellNoise, SeedNoise
from traitscope.matrix.paired import bootstrap_means, paired_means

if TYPE_CHECKING:
    from traitscope.matrix.core import ScoreMatrix

Floats = npt.NDArray[np.float64]


def _present(scores: ScoreMatrix, task: str) -> dict[str, npt.ArrayLike]:
    """The records of a task, of models that are rows."""
    return {m: v for m, v in scores.records.get(task, {}).items() if m in scores.models}


def record_stderr(scores: ScoreMatrix, task: str) -> dict[int, float]:
    """Row index -> standard error of the mean of the row's records, in the task's unit."""
    top = 100.0 if scores.units[task] == "percent" else 1.0
    found = {}
    for model, values in scores.records[task].items():
        sample = np.asarray(values, dtype=float)
        if model in scores.models and sample.size > 1:
            found[scores.models.index(model)] = float(top * sample.std(ddof=1) / np.sqrt(sample.size))
    return found


def paired_covariance(scores: ScoreMatrix) -> Floats | None:
    """Covariance of the rows' errors within each task (paired over examples); None without records.

    Correlations come from the records, standard errors from the table where it has them, so that
    metrics which are no plain mean of the records keep their own.
    """
    if not scores.records:
        return None
    size = len(scores.models)
    covariance_NII = np.zeros((len(scores.tasks), size, size))
    for n, task in enumerate(scores.tasks):
        stderr_I = np.nan_to_num(scores.stderr_IN[:, n])
        correlation_II = np.eye(size)
        present = _present(scores, task)
        if len(present) > 1:
            means = paired_means(present)
            at = np.array([scores.models.index(m) for m in means.models])
            deviation = np.sqrt(np.diag(means.covariance_II))
            safe = np.where(deviation > 0, deviation, 1.0)
            correlation = means.covariance_II / np.outer(safe, safe)
            np.fill_diagonal(correlation, 1.0)
            correlation_II[np.ix_(at, at)] = correlation
        covariance_NII[n] = correlation_II * np.outer(stderr_I, stderr_I)
    return covariance_NII


def seed_variance(scores: ScoreMatrix) -> SeedNoise | None:
    """Variance between seeds of a source, pooled over sources per task; None without second seeds."""
    trained = scores.rows["source"].notna().to_numpy()
    groups = scores.rows.reset_index().loc[trained].groupby(["base", "source"], sort=False)["row"]
    total_N, df_N = np.zeros(len(scores.tasks)), np.zeros(len(scores.tasks))
    for _, names in groups:
        block = scores.scores_IN[[scores.models.index(name) for name in names]]
        seen_N = np.isfinite(block).sum(axis=0)
        use = seen_N > 1
        total_N[use] += np.nansum((block[:, use] - np.nanmean(block[:, use], axis=0)) ** 2, axis=0)
        df_N[use] += seen_N[use] - 1
    if not df_N.any():
        return None
    return SeedNoise(total_N / np.maximum(df_N, 1.0), df_N, trained.astype(float))


def positive_stderr(scores: ScoreMatrix) -> Floats | None:
    """Standard errors without gaps and zeros, as ``noise`` documents; None where a task has none."""
    stderr_IN = scores.stderr_IN.copy()
    top_N = np.array([{"percent": 100.0, "fraction": 1.0}.get(scores.units[t], np.nan) for t in scores.tasks])
    n_IN = np.where(scores.n_IN > 1, scores.n_IN, np.nan)
    share_IN = (scores.scores_IN / top_N * n_IN + 1.0) / (n_IN + 2.0)
    smoothed_IN = top_N * np.sqrt(np.clip(share_IN * (1.0 - share_IN), 0.0, None) / n_IN)
    stderr_IN = np.where(stderr_IN == 0.0, smoothed_IN, stderr_IN)
    stderr_IN = np.where(stderr_IN == 0.0, np.nan, stderr_IN)
    if np.isnan(stderr_IN).all(axis=0).any():
        return None
    return np.where(np.isnan(stderr_IN), np.nanmax(stderr_IN, axis=0), stderr_IN)


def cell_noise(scores: ScoreMatrix) -> CellNoise | None:
    """What is known of the cells' errors; None where a task has neither standard errors nor records.

    A cell without a standard error takes the largest one of its task; a standard error of zero (all answers
    right or all wrong) is replaced by that of one more right and one more wrong answer.
    """
    stderr_IN = positive_stderr(scores)
    if stderr_IN is None:
        return None
    paired = scores.covariance_NII
    if paired is not None:
        paired = paired.copy()
        for n in range(len(scores.tasks)):
            np.fill_diagonal(paired[n], stderr_IN[:, n] ** 2)
    seed = scores.seed_variance
    words = "standard errors of the cells" if paired is None else "example records, paired over models"
    if seed is not None:
        words += ", and variance between seeds"
    return CellNoise(stderr_IN**2, paired, seed, words)


def replicates(scores: ScoreMatrix, count: int, seed: int = 0) -> Floats:
    """Bootstrap replicates of the matrix, scores_RIN: what other examples and seeds might have given.

    Tasks with records resample their examples, the same ones for all models, and keep the table's
    standard error where it has one; other tasks draw Gaussian errors. Seed variance is added as
    Gaussian draws.

    Raises:
        TraitscopeError: a task has neither records nor standard errors.
    """
    noise = scores.noise()
    if noise is None:
        raise TraitscopeError(
            "no standard errors and no example records for some task",
            where="replicates",
            fix="give a stderr column or per-example records",
        )
    rng = np.random.default_rng(seed)
    examples_RIN = noise.draw_examples(count, rng)
    for n, task in enumerate(scores.tasks):
        present = _present(scores, task)
        if len(present) < 2:
            continue
        names, means_RI = bootstrap_means(present, count, rng)
        at = [scores.models.index(m) for m in names]
        means = paired_means(present)
        deviation = np.sqrt(np.diag(means.covariance_II))
        table_se = np.sqrt(noise.examples_IN[at, n])
        factor = np.divide(table_se, deviation, out=np.zeros_like(deviation), where=deviation > 0)
        examples_RIN[:, at, n] = (means_RI - means.mean_I) * factor
    return scores.scores_IN + examples_RIN + noise.draw_seeds(count, rng)
