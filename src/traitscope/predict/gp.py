"""Gaussian process regression on the cells of a matrix: a sum of given kernels whose amplitudes are learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, lapack
from scipy.optimize import minimize

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# A column's level is its own: this variance, in column SD, leaves it free.
LEVEL_VARIANCE = 10.0
# Weight of the prior on log amplitudes, as the inverse of its variance: it decides only where cells are few.
PRIOR_WEIGHT = 0.5
# Most cells that amplitudes are learned from: a Cholesky factor of them is made some fifteen times.
MOST_CELLS = 600


@dataclass(frozen=True, eq=False)
class Posterior:
    """A Gaussian process after its known cells.

    Attributes:
        mean_C: expected value of every cell. covariance_CC: joint covariance of all cells, without noise.
    """

    mean_C: Floats
    covariance_CC: Floats


def learn_amplitudes(
    parts_JCC: Floats, fixed_CC: Floats, values_C: Floats, noise_C: Floats, first_J: Floats, first_nugget: float
) -> tuple[Floats, float]:
    """Amplitudes of J kernels, and a nugget, by marginal likelihood (Rasmussen & Williams 2006, ch. 5.4.1).

    The likelihood is multiplied by a log-normal prior around the first values, which decides where cells are few.

    Args:
        parts_JCC: kernels between the C known cells. fixed_CC: a kernel whose amplitude is not learned.
        values_C: the cells, less their prior mean. noise_C: known error variances.
        first_J, first_nugget: where to start; positive.

    Returns:
        The amplitudes, and the variance that cells have of their own beside ``noise_C``.
    """
    start = np.log(np.append(first_J, first_nugget))
    # The leading dimension of a Fortran array is what LAPACK wants; a symmetric matrix is both.
    diagonal = np.diag_indices(len(values_C))

    def loss(logs: Floats) -> tuple[float, Floats]:
        amplitudes = np.exp(logs)
        kernel_CC = np.tensordot(amplitudes[:-1], parts_JCC, 1) + fixed_CC
        kernel_CC[diagonal] += amplitudes[-1] + noise_C
        factor, failed = lapack.dpotrf(kernel_CC, lower=1)
        if failed:
            return 1e12, np.zeros_like(logs)
        half = np.tril(lapack.dpotri(factor, lower=1)[0])
        inverse_CC = half + half.T
        inverse_CC[diagonal] *= 0.5
        solved_C = inverse_CC @ values_C
        # d/dlog a of the log likelihood: a/2 tr((s s' - K^-1) part).
        inner_CC = np.outer(solved_C, solved_C) - inverse_CC
        slopes = np.append(np.tensordot(parts_JCC, inner_CC, 2), np.trace(inner_CC)) * 0.5 * amplitudes
        value = 0.5 * solved_C @ values_C + np.log(factor[diagonal]).sum()
        away = logs - start
        return float(value + 0.5 * PRIOR_WEIGHT * away @ away), PRIOR_WEIGHT * away - slopes

    bounds = [(np.log(1e-4), np.log(1e2))] * len(start)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 12})
    amplitudes = np.exp(found.x)
    return amplitudes[:-1], float(amplitudes[-1])


def posterior(kernel_CC: Floats, known_K: Ints, values_K: Floats, noise_K: Floats) -> Posterior:
    """All C cells given K of them, prior mean zero (Rasmussen & Williams 2006, algorithm 2.1).

    Args:
        kernel_CC: prior covariance of all cells. known_K: which are known.
        values_K: their values. noise_K: their error variances; a kernel of low rank needs them positive.
    """
    if not len(known_K):
        return Posterior(np.zeros(len(kernel_CC)), kernel_CC)
    cross_KC = kernel_CC[known_K]
    known_KK = cross_KC[:, known_K].copy()
    known_KK[np.diag_indices(len(known_K))] += noise_K
    factor, failed = lapack.dpotrf(known_KK, lower=1)
    if failed:
        raise np.linalg.LinAlgError("the kernel of the known cells is not positive definite")
    mean_C = cross_KC.T @ cho_solve((factor, True), values_K)
    white_KC = lapack.dtrtrs(factor, cross_KC, lower=1)[0]
    return Posterior(mean_C, kernel_CC - white_KC.T @ white_KC)
