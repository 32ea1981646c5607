"""Probabilistic principal components with holes; superfluous components are switched off by their own prior."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from traitscope.predict.baselines import settled
from traitscope.predict.predictor import PREDICTORS, Prediction
from traitscope.predict.problem import Problem

Floats = npt.NDArray[np.float64]

COMPONENTS = 3
FEWEST = 4
ITERATIONS = 40
# Rounds that are enough from a fit of almost the same cells.
AGAIN = 8


@dataclass(frozen=True, eq=False)
class PpcaFit:
    """z ~ mean_N + w_NK x_IK + noise, x of unit variance a priori.

    Attributes:
        mean_N: level of each column. loadings_NK: w. scores_IK, covariance_IKK: mean and covariance of x.
        loading_covariance_NKK: covariance of w; zero without a prior. noise: variance of the noise.
    """

    mean_N: Floats
    loadings_NK: Floats
    loading_covariance_NKK: Floats
    scores_IK: Floats
    covariance_IKK: Floats
    noise: float

    @property
    def fitted_IN(self) -> Floats:
        """Expected value of every cell."""
        return self.mean_N + self.scores_IK @ self.loadings_NK.T

    @property
    def variance_IN(self) -> Floats:
        """Variance of a new measurement of every cell."""
        spread_IN = np.einsum("nk,ikl,nl->in", self.loadings_NK, self.covariance_IKK, self.loadings_NK)
        second_IKK = self.scores_IK[:, :, None] * self.scores_IK[:, None] + self.covariance_IKK
        return self.noise + spread_IN + np.einsum("ikl,nkl->in", second_IKK, self.loading_covariance_NKK)


def fit_ppca(
    z_IN: Floats, k: int, *, ard: bool = True, start: PpcaFit | None = None, iterations: int = ITERATIONS
) -> PpcaFit:
    """Probabilistic PCA by EM, or variational Bayes with automatic relevance determination of the components.

    Tipping & Bishop (1999), J. R. Stat. Soc. B 61:611; Bishop (1999), ICANN 509; with holes as Ilin & Raiko (2010),
    JMLR 11:1957. Without ``ard`` and without holes the maximum is that of ``sklearn.decomposition.PCA``.

    Args:
        z_IN: cells; NaN where not known.
        k: components, at most min(I, N).
        ard: give every component's loadings a Gaussian prior of learned width.
        start: where to start; by default at the leading singular vectors.
        iterations: rounds of EM.
    """
    known_IN = np.isfinite(z_IN)
    weight_IN = known_IN.astype(float)
    cells_IN = np.where(known_IN, z_IN, 0.0)
    count_N = np.maximum(weight_IN.sum(axis=0), 1.0)
    mean_N = cells_IN.sum(axis=0) / count_N
    total = max(weight_IN.sum(), 1.0)
    centred_IN = weight_IN * (cells_IN - mean_N)
    if start is None:
        _, size, right = np.linalg.svd(centred_IN, full_matrices=False)
        k = min(k, len(size))
        w_NK: Floats = right[:k].T * size[:k] / np.sqrt(len(z_IN))
        w_cov_NKK: Floats = np.zeros((len(w_NK), k, k))
        noise = max(float((centred_IN**2).sum() / total) * 0.5, 1e-6)
    else:
        mean_N, w_NK, w_cov_NKK, noise = start.mean_N, start.loadings_NK, start.loading_covariance_NKK, start.noise
    eye = np.eye(w_NK.shape[1])
    for _ in range(iterations):
        second_NKK = w_NK[:, :, None] * w_NK[:, None] + w_cov_NKK
        inner_IKK = np.tensordot(weight_IN, second_NKK, 1) / noise + eye
        x_cov_IKK: Floats = np.asarray(np.linalg.inv(inner_IKK), dtype=np.float64)
        centred_IN = weight_IN * (cells_IN - mean_N)
        x_IK = np.einsum("ikl,il->ik", x_cov_IKK, centred_IN @ w_NK / noise)
        x_second_IKK = x_IK[:, :, None] * x_IK[:, None] + x_cov_IKK
        gram_NKK = np.tensordot(weight_IN.T, x_second_IKK, 1)
        right_NK = centred_IN.T @ x_IK
        if ard:
            # One mean of the loadings' squares for each component.
            width_K = np.maximum(np.einsum("nkk->k", second_NKK) / len(w_NK), 1e-8)
            w_cov_NKK = np.asarray(np.linalg.inv(gram_NKK / noise + np.diag(1.0 / width_K)), dtype=np.float64)
            w_NK = np.einsum("nkl,nl->nk", w_cov_NKK, right_NK / noise)
        else:
            w_NK = np.linalg.solve(gram_NKK + 1e-9 * eye, right_NK[..., None])[..., 0]
        fitted_IN = x_IK @ w_NK.T
        mean_N = (weight_IN * (cells_IN - fitted_IN)).sum(axis=0) / count_N
        second_NKK = w_NK[:, :, None] * w_NK[:, None] + w_cov_NKK
        away_IN = weight_IN * (cells_IN - mean_N - fitted_IN)
        spread = np.einsum("nkl,nkl->", gram_NKK, second_NKK) - (weight_IN * fitted_IN**2).sum()
        noise = max(float(((away_IN**2).sum() + spread) / total), 1e-6)
    return PpcaFit(mean_N, w_NK, w_cov_NKK, x_IK, x_cov_IKK, noise)


@PREDICTORS.register("ppca", version=1, reference="Bishop 1999, ICANN 509; with holes Ilin & Raiko 2010, JMLR 11:1957")
def ppca(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Probabilistic principal components of the target base alone; relevance of each learned."""
    return _fitted(problem, start=None)


def _fitted(problem: Problem, *, start: PpcaFit | None) -> Prediction:
    scale, t = problem.scale, problem.target
    z_IN = scale.z_BIN[t]
    known_N = problem.known_IN.any(axis=0)
    if np.isfinite(z_IN).sum() < FEWEST:
        zeros_IN = np.zeros_like(z_IN)
        return Prediction(zeros_IN, zeros_IN + 1.0, scale.centre_BN[t], scale.spread_BN[t], {"components": zeros_IN})
    fit = fit_ppca(z_IN, COMPONENTS, start=start, iterations=ITERATIONS if start is None else AGAIN)
    fitted_IN = settled(fit.fitted_IN, problem, scale)
    level_N = fit.noise / np.maximum(problem.known_IN.sum(axis=0), 1)
    sd_IN = np.where(known_N, np.sqrt(fit.variance_IN + level_N), 1.0)
    return Prediction(
        fitted_IN,
        sd_IN,
        scale.centre_BN[t],
        scale.spread_BN[t],
        {"components": fitted_IN},
        refit=partial(_fitted, start=fit),
    )
