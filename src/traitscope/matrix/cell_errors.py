"""Errors of the cells: standard errors, their covariance over models, seeds, bootstrap replicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.noise import CellNoise, PairedFactors, SeedNoise
from traitscope.matrix.paired import Records, bootstrap_means, paired_means
from traitscope.matrix.units import full_mark
from traitscope.matrix.views import View

Floats = npt.NDArray[np.float64]


def _present(records: Records, task: str, models: Sequence[str]) -> dict[str, npt.ArrayLike]:
    """The records of a task, of models that are rows."""
    known = set(models)
    return {m: v for m, v in records.get(task, {}).items() if m in known}


def record_stderr(values: npt.ArrayLike, unit: str) -> float | None:
    """Standard error of the mean of one cell's records, in the task's unit; None for a single example."""
    sample = np.asarray(values, dtype=float)
    return float(full_mark(unit) * sample.std(ddof=1) / np.sqrt(sample.size)) if sample.size > 1 else None


def fill_stderr(
    stderr_IN: Floats, records: Records, models: Sequence[str], tasks: Sequence[str], units: Mapping[str, str]
) -> Floats:
    """Standard errors with the unknown ones (NaN) taken from the example records, where there are any."""
    filled_IN = stderr_IN.copy()
    if not np.isnan(stderr_IN).any():
        return filled_IN
    row = {model: i for i, model in enumerate(models)}
    for n, task in enumerate(tasks):
        for model, values in _present(records, task, models).items():
            i = row[model]
            if np.isnan(stderr_IN[i, n]):
                found = record_stderr(values, units[task])
                filled_IN[i, n] = np.nan if found is None else found
    return filled_IN


def paired_covariance(
    stderr_IN: Floats, records: Records, models: Sequence[str], tasks: Sequence[str]
) -> Floats | None:
    """Covariance of the rows' errors within each task (paired over examples); None without records.

    Correlations come from the records, standard errors from the table where it has them, so that
    metrics which are no plain mean of the records keep their own.
    """
    if not records:
        return None
    size = len(models)
    covariance_NII = np.zeros((len(tasks), size, size))
    for n, task in enumerate(tasks):
        stderr_I = np.nan_to_num(stderr_IN[:, n])
        correlation_II = np.eye(size)
        present = _present(records, task, models)
        if len(present) > 1:
            means = paired_means(present)
            at = np.array([models.index(m) for m in means.models])
            deviation = np.sqrt(np.diag(means.covariance_II))
            safe = np.where(deviation > 0, deviation, 1.0)
            correlation = means.covariance_II / np.outer(safe, safe)
            np.fill_diagonal(correlation, 1.0)
            correlation_II[np.ix_(at, at)] = correlation
        covariance_NII[n] = correlation_II * np.outer(stderr_I, stderr_I)
    return covariance_NII


def paired_factors(
    stderr_IN: Floats, records: Records, models: Sequence[str], tasks: Sequence[str]
) -> PairedFactors | None:
    """The same as factors; None without records."""
    if not records:
        return None
    row, factors = {model: i for i, model in enumerate(models)}, []
    for task in tasks:
        present = {model: np.asarray(v, dtype=float) for model, v in records.get(task, {}).items() if model in row}
        width = len(next(iter(present.values()))) if len(present) > 1 else 0
        unit_IS = np.zeros((len(models), width))
        if width:
            unit_IS[[row[model] for model in present]] = np.stack(list(present.values()))
            unit_IS -= unit_IS.mean(axis=1, keepdims=True)
        factors.append(unit_IS)
    return PairedFactors(tuple(factors), np.zeros_like(stderr_IN)).with_stderr(np.nan_to_num(stderr_IN))


def seed_variance(rows: pd.DataFrame, scores_IN: Floats, transfer_IN: npt.NDArray[np.bool_]) -> SeedNoise | None:
    """Variance between seeds of a source, pooled over sources per task; None without second seeds.

    Over transfer cells of sources, as far as a task has several runs of any: what is claimed of transfer does not rest
    on how runs differ on their own tasks, nor on controls and mixes.

    Args:
        rows: ``base`` and ``source`` of each row of ``scores_IN``; no source where a row was not trained.
        scores_IN: scores as measured; NaN where a cell is missing.
        transfer_IN: which cells are transfer of sources.
    """
    trained = rows["source"].notna().to_numpy()
    total_N, df_N = _between_seeds(rows[trained], scores_IN[trained])
    if not df_N.any():
        return None
    apart_N, df_apart_N = _between_seeds(rows[trained], np.where(transfer_IN, scores_IN, np.nan)[trained])
    use_N = df_apart_N > 0
    total_N, df_N = np.where(use_N, apart_N, total_N), np.where(use_N, df_apart_N, df_N)
    return SeedNoise(total_N / np.maximum(df_N, 1.0), df_N, np.repeat(trained[:, None].astype(float), len(df_N), 1))


def _between_seeds(rows: pd.DataFrame, scores_IN: Floats) -> tuple[Floats, Floats]:
    """Sum of squares between the seeds of each source, and its degrees of freedom, per task."""
    n_tasks = scores_IN.shape[1]
    total_N, df_N = np.zeros(n_tasks), np.zeros(n_tasks)
    numbered = rows.assign(at=np.arange(len(rows)))
    for _, at in numbered.groupby(["base", "source"], sort=False)["at"]:
        block = scores_IN[at.to_numpy()]
        seen_N = np.isfinite(block).sum(axis=0)
        use = seen_N > 1
        total_N[use] += np.nansum((block[:, use] - np.nanmean(block[:, use], axis=0)) ** 2, axis=0)
        df_N[use] += seen_N[use] - 1
    return total_N, df_N


def stderr_without_zeros(raw: View, units: Mapping[str, str], n_IN: Floats) -> Floats:
    """Standard errors, those of zero replaced by that of one more right and one more wrong answer (NaN: not known)."""
    stderr_IN = raw.stderr_IN
    top_N = np.array([np.nan if units[t] == "other" else full_mark(units[t]) for t in raw.tasks])
    n_IN = np.where(n_IN > 1, n_IN, np.nan)
    share_IN = (raw.values_IN / top_N * n_IN + 1.0) / (n_IN + 2.0)
    smoothed_IN = top_N * np.sqrt(np.clip(share_IN * (1.0 - share_IN), 0.0, None) / n_IN)
    stderr_IN = np.where(stderr_IN == 0.0, smoothed_IN, stderr_IN)
    return np.where(stderr_IN == 0.0, np.nan, stderr_IN)


def positive_stderr(raw: View, units: Mapping[str, str], n_IN: Floats) -> Floats | None:
    """Standard errors without gaps and zeros, as ``cell_noise`` documents; None where a task has none."""
    stderr_IN = stderr_without_zeros(raw, units, n_IN)
    if np.isnan(stderr_IN).all(axis=0).any():
        return None
    return np.where(np.isnan(stderr_IN), np.nanmax(stderr_IN, axis=0), stderr_IN)


def cell_noise(raw: View, units: Mapping[str, str], n_IN: Floats, seed: SeedNoise | None) -> CellNoise | None:
    """What is known of the cells' errors; None where a task has neither standard errors nor records.

    A cell without a standard error takes the largest one of its task; a standard error of zero (all answers
    right or all wrong) is replaced by that of one more right and one more wrong answer.

    Args:
        raw: the scores as measured, with their standard errors and covariance.
        units: unit of each task.
        n_IN: examples behind each cell; 0 where not known.
        seed: variance between training seeds, where there are second ones.
    """
    stderr_IN = positive_stderr(raw, units, n_IN)
    if stderr_IN is None:
        return None
    paired = raw.covariance_NII
    if paired is not None:
        paired = paired.copy()
        for n in range(len(raw.tasks)):
            np.fill_diagonal(paired[n], stderr_IN[:, n] ** 2)
    factors = None if raw.factors is None else raw.factors.with_stderr(stderr_IN)
    alone = paired is None and factors is None
    words = "standard errors of the cells" if alone else "example records, paired over models"
    if seed is not None:
        words += f", and {seed.words}"
    return CellNoise(stderr_IN**2, paired, seed, words, factors)


def replicates(raw: View, noise: CellNoise | None, records: Records, count: int, seed: int) -> Floats:
    """Bootstrap replicates of the matrix, scores_RIN: what other examples and seeds might have given.

    Tasks with records resample their examples, the same ones for all models, and keep the table's
    standard error where it has one; other tasks draw Gaussian errors. Seed variance is added as Gaussian draws.

    Raises:
        TraitscopeError: a task has neither records nor standard errors.
    """
    if noise is None:
        raise TraitscopeError(
            "no standard errors and no example records for some task",
            where="replicates",
            fix="give a stderr column or per-example records",
        )
    rng = np.random.default_rng(seed)
    examples_RIN = noise.draw_examples(count, rng)
    for n, task in enumerate(raw.tasks):
        present = _present(records, task, raw.models)
        if len(present) < 2:
            continue
        names, means_RI = bootstrap_means(present, count, rng)
        at = [raw.models.index(m) for m in names]
        means = paired_means(present)
        deviation = np.sqrt(np.diag(means.covariance_II))
        table_se = np.sqrt(noise.examples_IN[at, n])
        factor = np.divide(table_se, deviation, out=np.zeros_like(deviation), where=deviation > 0)
        examples_RIN[:, at, n] = (means_RI - means.mean_I) * factor
    return raw.values_IN + examples_RIN + noise.draw_seeds(count, rng)
