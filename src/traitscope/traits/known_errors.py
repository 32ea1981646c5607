"""Errors of the cells as the traits need them: examples and training runs, none of them counted twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import polygamma, psi

from traitscope.matrix import CellNoise, ScoreMatrix
from traitscope.matrix.noise import KNOWN, SeedNoise

Floats = npt.NDArray[np.float64]


def known_errors(scores: ScoreMatrix, matrix: ScoreMatrix) -> CellNoise | None:
    """Errors of the cells of a matrix, from standard errors, records and seeds; None where nothing is known.

    Seeds of one source differ by what runs differ and by the examples' error that the runs do not share, so the
    variance between them already holds a part of the examples' error: with records that part is known and taken out
    of it; without, the examples' error counts as far as it exceeds the variance between seeds. Where seeds are all
    that is known, they are the error, and a row without seeds has that of a single run.

    Args:
        scores: one row per seed, as measured. matrix: the matrix whose errors are wanted, seeds averaged or not.
    """
    noise, seed = matrix.noise(), matrix.seed_variance
    if seed is not None and not (seed.df_N > 0).all():
        seed = _without_gaps(seed)
    if noise is None:
        if seed is None:
            return None
        single_IN = np.where(seed.trained_I[:, None], 0.0, seed.variance_N)
        return CellNoise(single_IN, None, seed, seed.words)
    if seed is None:
        return noise
    trained_I = seed.trained_I
    if (seed.df_N >= KNOWN).all():
        # A deviation between runs that the user knows is one on the same examples.
        return replace(noise, seed=seed)
    if not noise.paired:
        seed = squeezed(seed, noise.examples_IN[trained_I].mean(axis=0))
        beyond_IN = np.maximum(noise.examples_IN - seed.variance_N, 0.0)
        return replace(noise, examples_IN=np.where(trained_I[:, None], beyond_IN, noise.examples_IN), seed=seed)
    runs_N = np.maximum(seed.variance_N - _examples_between_seeds(scores), 0.0)
    return replace(noise, seed=replace(seed, variance_N=runs_N))


def _without_gaps(seed: SeedNoise) -> SeedNoise:
    """Tasks without a second seed take the largest variance of the others, with one degree of freedom."""
    known_N = seed.df_N > 0
    return replace(
        seed,
        variance_N=np.where(known_N, seed.variance_N, seed.variance_N[known_N].max()),
        df_N=np.where(known_N, seed.df_N, 1.0),
    )


def squeezed(seed: SeedNoise, unit_N: Floats) -> SeedNoise:
    """Variances between seeds drawn towards each other, as ratios to the tasks' own error variances.

    Empirical Bayes with a scaled inverse chi-squared prior fitted by moments (Smyth 2004, Stat. Appl. Genet. Mol.
    Biol. 3(1):3): a task with few second seeds learns from the others as far as they agree.

    Args:
        seed: the variances and their degrees of freedom. unit_N: what each variance is a ratio to.
    """
    use_N = (seed.variance_N > 0) & (unit_N > 0) & (seed.df_N < KNOWN)
    if use_N.sum() < 3:
        return seed
    half_N = seed.df_N[use_N] / 2.0
    centred_N = np.log(seed.variance_N[use_N] / unit_N[use_N]) - psi(half_N) + np.log(half_N)
    beyond = float(centred_N.var(ddof=1) - polygamma(1, half_N).mean())
    prior_df = 2.0 * _inverse_trigamma(beyond) if beyond > 1e-6 else KNOWN
    level = float(np.exp(centred_N.mean() + (psi(prior_df / 2.0) - np.log(prior_df / 2.0))))
    variance_N, df_N = seed.variance_N.copy(), seed.df_N.copy()
    own_N = seed.df_N[use_N]
    variance_N[use_N] = (prior_df * level * unit_N[use_N] + own_N * variance_N[use_N]) / (prior_df + own_N)
    df_N[use_N] = np.minimum(prior_df + own_N, KNOWN)
    # The level that tasks are drawn to is off for all of them together: the variance of its logarithm, as drawn to it.
    pull_N = prior_df / (prior_df + own_N)
    level_error = float((pull_N**2).mean() * (polygamma(1, half_N).mean() + max(beyond, 0.0)) / use_N.sum())
    shared_df = 2.0 * _inverse_trigamma(level_error) if level_error > 1e-6 else KNOWN
    return replace(seed, variance_N=variance_N, df_N=df_N, shared_df=shared_df)


def _inverse_trigamma(value: float) -> float:
    """The x with trigamma(x) = value > 0, by Newton's method on 1 / trigamma."""
    x = 0.5 + 1.0 / value
    for _ in range(50):
        at = float(polygamma(1, x))
        step = at * (1.0 - at / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x


def _examples_between_seeds(scores: ScoreMatrix) -> Floats:
    """The part of the variance between seeds that is their examples', pooled over sources per task, [N]."""
    covariance_NII, factors = scores.covariance_NII, scores.factors
    total_N, df = np.zeros(len(scores.tasks)), 0
    if covariance_NII is None and factors is None:
        return total_N
    rows = scores.rows.assign(at=np.arange(len(scores.rows)))
    for _, at in rows[rows["source"].notna()].groupby(["base", "source"], sort=False)["at"]:
        if len(at) > 1:
            index = at.to_numpy()
            if covariance_NII is not None:
                block = covariance_NII[:, index][:, :, index]
            else:
                assert factors is not None
                block = factors.rows(index.tolist()).dense_NII
            # The sample variance of values with this covariance: (trace - mean of all) / (S - 1), times S - 1.
            total_N += np.trace(block, axis1=1, axis2=2) - block.sum(axis=(1, 2)) / len(at)
            df += len(at) - 1
    return total_N / max(df, 1)
