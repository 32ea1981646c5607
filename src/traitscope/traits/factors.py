"""The factor model of cells with known errors and holes, for many matrices at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Factors:
    """Matrices as ``mean + scores @ loadings'`` with rows' scores of unit variance a priori.

    Attributes:
        mean_BN: level of each task. loadings_BNK: tasks on factors, in the unit of the cells.
        scores_BIK, covariance_BIKK: mean and covariance of the rows' scores given the cells.
    """

    mean_BN: Floats
    loadings_BNK: Floats
    scores_BIK: Floats
    covariance_BIKK: Floats

    @property
    def k(self) -> int:
        """Number of factors."""
        return self.loadings_BNK.shape[2]

    @property
    def fitted_BIN(self) -> Floats:
        """What the factors expect of every cell, holes included."""
        return self.mean_BN[:, None] + self.scores_BIK @ np.swapaxes(self.loadings_BNK, 1, 2)

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Matrices without noise that this fit of one matrix holds possible, [count, I, N].

        The rows' scores are drawn given the cells: their means alone are shrunken, and factors made of them too small.
        """
        noise = rng.standard_normal((count, *self.scores_BIK.shape[1:], 1))
        scores = self.scores_BIK + (np.linalg.cholesky(self.covariance_BIKK) @ noise)[..., 0]
        return self.mean_BN[:, None] + scores @ np.swapaxes(self.loadings_BNK, 1, 2)


def fit_factors(
    values_BIN: Floats,
    precision_BIN: Floats,
    k: int,
    *,
    start: Factors | None = None,
    iterations: int = 60,
) -> Factors:
    """Maximum likelihood of k factors under known Gaussian errors, by EM.

    Factor analysis with known uniquenesses (Rubin & Thayer 1982, Psychometrika 47:69), each cell with an error of its
    own and holes left out; parameters are expanded to speed it up (Liu, Rubin & Wu 1998, Biometrika 85:755).

    Args:
        values_BIN: matrices; what stands in a hole does not count, but must be finite.
        precision_BIN: 1 / error variance of the cells, 0 in holes; a column of nothing but holes has level 0 and
            loads on nothing. One for all matrices or one each.
        k: number of factors, at most min(I, N).
        start: factors to start from, of one matrix for all or of each; by default the singular vectors of the
            standardised residuals.
        iterations: rounds of EM.
    """
    size, n_models, n_tasks = values_BIN.shape
    weight = np.broadcast_to(precision_BIN, values_BIN.shape)
    total_BN = weight.sum(axis=1)
    total_BN = np.where(total_BN > 0, total_BN, 1.0)
    mean = (weight * values_BIN).sum(axis=1) / total_BN
    if k == 0:
        none = np.zeros((size, n_models, 0))
        return Factors(mean, np.zeros((size, n_tasks, 0)), none, np.zeros((size, n_models, 0, 0)))
    if start is None:
        loadings = _first_loadings(np.sqrt(weight) * (values_BIN - mean[:, None]), weight, total_BN, k)
    else:
        mean = np.broadcast_to(start.mean_BN, (size, n_tasks))
        loadings = np.broadcast_to(start.loadings_BNK, (size, n_tasks, k))
    weight_BNI = np.ascontiguousarray(np.swapaxes(weight, 1, 2))
    weighed_BNI = np.swapaxes(weight * values_BIN, 1, 2)
    ones = np.ones((size, n_models, 1))
    for _ in range(iterations):
        scores, covariance = _scores(values_BIN, weight, mean, loadings)
        wide = np.concatenate([ones, scores], axis=2)
        moments = wide[:, :, :, None] * wide[:, :, None, :]
        moments[:, :, 1:, 1:] += covariance
        gram = (weight_BNI @ moments.reshape(size, n_models, -1)).reshape(size, n_tasks, k + 1, k + 1)
        # A column that no factor can be read from keeps a solution.
        gram[..., np.arange(k + 1), np.arange(k + 1)] += 1e-9 * total_BN[..., None]
        solved = np.linalg.solve(gram, (weighed_BNI @ wide)[..., None])[..., 0]
        centre = scores.mean(axis=1)
        spread = (np.swapaxes(scores, 1, 2) @ scores + covariance.sum(axis=1)) / n_models
        spread = spread - centre[:, :, None] * centre[:, None, :] + 1e-12 * np.eye(k)
        mean = solved[..., 0] + (solved[..., 1:] * centre[:, None]).sum(axis=-1)
        loadings = solved[..., 1:] @ np.linalg.cholesky(spread)
    return Factors(mean, loadings, *_scores(values_BIN, weight, mean, loadings))


def _first_loadings(standard_BIN: Floats, weight: Floats, total_BN: Floats, k: int) -> Floats:
    """Loadings from the singular vectors of standardised residuals, rid of what noise adds to them."""
    _, n_models, n_tasks = standard_BIN.shape
    _, singular, right = np.linalg.svd(standard_BIN, full_matrices=False)
    squares = singular[:, None, :k] ** 2
    size = np.sqrt(np.maximum(squares - n_tasks, 0.1 * squares) / n_models)
    error_BN = np.sqrt((weight > 0).sum(axis=1) / total_BN)
    return np.swapaxes(right[:, :k], 1, 2) * size * error_BN[:, :, None]


def _scores(values: Floats, weight: Floats, mean: Floats, loadings: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance of the rows' scores given cells and loadings."""
    size, n_tasks, k = loadings.shape
    products = (loadings[:, :, :, None] * loadings[:, :, None, :]).reshape(size, n_tasks, k * k)
    precision = (weight @ products).reshape(size, -1, k, k) + np.eye(k)
    # Beside errors of nearly nothing the prior alone would be lost in the rounding.
    precision += 1e-10 * np.trace(precision, axis1=2, axis2=3)[..., None, None] * np.eye(k)
    covariance = np.linalg.inv(precision).astype(np.float64)
    pull = (weight * (values - mean[:, None])) @ loadings
    return (covariance @ pull[..., None])[..., 0], covariance


def largest_residual(values_BIN: Floats, precision_IN: Floats, factors: Factors) -> Floats:
    """Largest singular value of what the factors leave, in units of the cells' errors, 0 in holes, [B]."""
    rest = np.sqrt(precision_IN) * (values_BIN - factors.fitted_BIN)
    turned = np.swapaxes(rest, 1, 2)
    gram = turned @ rest if rest.shape[1] >= rest.shape[2] else rest @ turned
    return np.sqrt(np.clip(np.linalg.eigvalsh(gram)[:, -1], 0.0, None))
