"""Ridge regression judged by leaving one row out, the penalty chosen inside, for many outcomes at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PENALTIES = tuple(float(a) for a in 10.0 ** np.arange(-2.0, 3.1, 0.5))


class LeftOutFit(NamedTuple):
    """Predictions_IQ of every row from the others, and R2_Q against the mean of the others."""

    predictions_IQ: Floats
    r2_Q: Floats


def _fitted(features_IP: Floats, outcomes: Floats) -> Any:
    """A ridge regression on standardised features, with the penalty of least leave-one-out error by outcome."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    penalties = np.array(PENALTIES) * features_IP.shape[1]
    return make_pipeline(StandardScaler(), RidgeCV(penalties, alpha_per_target=True)).fit(features_IP, outcomes)


def leave_one_out_ridge(features_IP: Floats, outcomes_IQ: Floats) -> LeftOutFit:
    """Every row predicted by a ridge regression on the others.

    Features are standardised, and the penalty chosen (by leave-one-out in closed form), within the other rows
    only. Penalties are multiples of the number of features. R2 is below 0 where the mean of the others predicts
    better.

    Args:
        features_IP: I rows, P features.
        outcomes_IQ: Q outcomes, each treated on its own.
    """
    n = len(features_IP)
    predictions = np.empty_like(outcomes_IQ, dtype=float)
    for i in range(n):
        rest = np.arange(n) != i
        predictions[i] = _fitted(features_IP[rest], outcomes_IQ[rest]).predict(features_IP[[i]])[0]
    means = (outcomes_IQ.sum(axis=0) - outcomes_IQ) / (n - 1)
    left = ((outcomes_IQ - predictions) ** 2).sum(axis=0)
    total = ((outcomes_IQ - means) ** 2).sum(axis=0)
    return LeftOutFit(predictions, 1.0 - left / np.where(total > 0, total, np.nan))


def ridge_coefficients(features_IP: Floats, outcome_I: Floats) -> Floats:
    """Coefficients_P on all rows, in standard deviations of the outcome per one of the feature."""
    coefficients_P = _fitted(features_IP, outcome_I)[-1].coef_
    return np.asarray(coefficients_P / (float(outcome_I.std()) or 1.0), dtype=float)
