"""Ridge regression judged by leaving one row out, the penalty chosen inside, for many outcomes at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PENALTIES = tuple(float(a) for a in 10.0 ** np.arange(-2.0, 3.1, 0.5))


class LeftOutFit(NamedTuple):
    """Predictions_IQ of every row from the others, and R2_Q against the mean of the others."""

    predictions_IQ: Floats
    r2_Q: Floats


def _standardise(features_IP: Floats) -> tuple[Floats, Floats]:
    spread = features_IP.std(axis=0)
    return features_IP.mean(axis=0), np.where(spread > 1e-12, spread, np.inf)


def _choose(features_IP: Floats, outcomes_IQ: Floats) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """Spectrum of the Gram matrix, and for every outcome the penalty of least leave-one-out error."""
    n, p = features_IP.shape
    values, vectors = np.linalg.eigh(features_IP @ features_IP.T)
    values = np.maximum(values, 0.0)
    centred = outcomes_IQ - outcomes_IQ.mean(axis=0)
    turned = vectors.T @ centred
    errors = []
    for penalty in PENALTIES:
        shrink = values / (values + penalty * p)
        leverage = (vectors**2) @ shrink + 1.0 / n
        residual = (centred - vectors @ (shrink[:, None] * turned)) / np.maximum(1.0 - leverage, 1e-9)[:, None]
        errors.append((residual**2).sum(axis=0))
    return values, vectors, turned, np.argmin(errors, axis=0)


def leave_one_out_ridge(features_IP: Floats, outcomes_IQ: Floats) -> LeftOutFit:
    """Every row predicted by a ridge regression on the others.

    Features are standardised, and the penalty chosen (by leave-one-out in closed form), within the other rows
    only. Penalties are multiples of the number of features. R2 is below 0 where the mean of the others
    predicts better.

    Args:
        features_IP: I rows, P features.
        outcomes_IQ: Q outcomes, each treated on its own.
    """
    n, p = features_IP.shape
    predictions = np.empty_like(outcomes_IQ, dtype=float)
    means = (outcomes_IQ.sum(axis=0) - outcomes_IQ) / (n - 1)
    penalties = np.array(PENALTIES) * p
    for i in range(n):
        rest = np.arange(n) != i
        centre, spread = _standardise(features_IP[rest])
        train, test = (features_IP[rest] - centre) / spread, (features_IP[i] - centre) / spread
        values, vectors, turned, chosen = _choose(train, outcomes_IQ[rest])
        # Dual form: weights of the training rows, one column per outcome.
        dual = turned / (values[:, None] + penalties[chosen][None, :])
        predictions[i] = means[i] + (train @ test) @ (vectors @ dual)
    left = ((outcomes_IQ - predictions) ** 2).sum(axis=0)
    total = ((outcomes_IQ - means) ** 2).sum(axis=0)
    return LeftOutFit(predictions, 1.0 - left / np.where(total > 0, total, np.nan))


def ridge_coefficients(features_IP: Floats, outcome_I: Floats) -> Floats:
    """Coefficients_P on all rows, in standard deviations of the outcome per one of the feature."""
    centre, spread = _standardise(features_IP)
    scaled = (features_IP - centre) / spread
    values, vectors, turned, chosen = _choose(scaled, outcome_I[:, None])
    dual = turned[:, 0] / (values + PENALTIES[int(chosen[0])] * features_IP.shape[1])
    deviation = float(outcome_I.std())
    return np.asarray(scaled.T @ (vectors @ dual) / (deviation if deviation > 0 else 1.0), dtype=float)
