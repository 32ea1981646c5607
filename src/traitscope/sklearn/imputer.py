"""``ScoreImputer``: missing cells of a score matrix filled by any registered predictor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from traitscope.errors import TraitscopeError
from traitscope.matrix.table import MOST
from traitscope.predict.low_rank import INNER_FOLDS, inner_folds
from traitscope.predict.predictor import CannotFit, Prediction, predictor_named
from traitscope.predict.problem import Problem
from traitscope.sklearn.seeds import seed_of

Floats = npt.NDArray[np.float64]


class ScoreImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fills cells that nobody measured with what a predictor expects of them; known cells stay.

    Args:
        predictor: "low rank", "ppca", "additive", "column mean", "residual gp" or another registered one
            (``traitscope ls predictors``).
        random_state: seed of the predictor's inner folds.

    Attributes:
        filled_: the array of the fit, I x N, without holes.
        stderr_: of every cell the standard deviation of a measurement around what is expected, I x N.
        n_features_in_: N. feature_names_in_: names of the columns, where X had any.
    """

    def __init__(self, predictor: str = "low rank", *, random_state: Any = 0) -> None:
        self.predictor = predictor
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> ScoreImputer:
        """Learns from the known cells.

        Args:
            X: scores_IN, two rows at least; NaN where a cell is missing.
            y: ignored.

        Raises:
            ValueError: X is no such array or has scores beyond all units, a column has no known cell, the predictor is
                unknown or lacks what it needs.
        """
        scores_IN = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2, copy=True
        )
        empty = np.flatnonzero(np.isnan(scores_IN).all(axis=0))
        if len(empty):
            name = getattr(self, "feature_names_in_", range(scores_IN.shape[1]))[empty[0]]
            raise TraitscopeError(f"column {name} has no known cell", where="ScoreImputer", fix="leave it out")
        if (beyond := np.abs(scores_IN) > MOST).any():
            what = f"a score is {scores_IN[beyond][0]:g}"
            raise TraitscopeError(what, where="ScoreImputer", fix="leave the cell empty, or write it in another unit")
        self._seed = seed_of(self.random_state)
        self._seen_IN = scores_IN
        found = self._predict(scores_IN)
        self.filled_ = np.where(np.isnan(scores_IN), found.values_IN, scores_IN)
        self.stderr_ = found.sd_IN * found.spread_N
        self._rows = {row.tobytes(): i for i, row in enumerate(scores_IN)}
        return self

    def transform(self, X: Any) -> Floats:
        """The same scores without holes.

        A row of the fit is filled as it was there; another one from the known cells of the fit and its own, whatever
        other rows stand beside it.
        """
        check_is_fitted(self)
        scores_IN = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False, copy=True)
        for i in np.flatnonzero(np.isnan(scores_IN).any(axis=1)):
            scores_IN[i] = self._filled(scores_IN[i])
        return np.asarray(scores_IN)

    def score(self, X: Any, y: Any = None) -> float:
        """How well cells of X are told that are hidden in turn: minus the RMSE, in column SD of the fit.

        Of rows that were not in the fit, as ``GridSearchCV`` has them; a column without spread does not count.

        Raises:
            ValueError: X has no known cell in a column with spread.
        """
        check_is_fitted(self)
        scores_IN = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        spread_N = np.nanstd(self._seen_IN, axis=0)
        known_IN = np.isfinite(scores_IN) & (spread_N > 0)
        if not known_IN.any():
            raise TraitscopeError("no known cell to hide", where="ScoreImputer.score", fix="give rows with scores")
        errors = []
        for hidden_IN in inner_folds(known_IN, INNER_FOLDS, np.random.default_rng(self._seed)):
            for i in np.flatnonzero(hidden_IN.any(axis=1)):
                told_N = self._filled(np.where(hidden_IN[i], np.nan, scores_IN[i]))
                errors.append(((told_N - scores_IN[i]) / np.where(spread_N > 0, spread_N, 1.0))[hidden_IN[i]])
        return -float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))

    def _filled(self, row_N: Floats) -> Floats:
        at = self._rows.get(row_N.tobytes())
        if at is not None:
            return np.asarray(self.filled_[at])
        told_N = self._predict(np.vstack([self._seen_IN, row_N])).values_IN[-1]
        return np.where(np.isnan(row_N), told_N, row_N)

    def _predict(self, scores_IN: Floats) -> Prediction:
        rows, columns = scores_IN.shape
        problem = Problem(
            bases=("base",),
            sources=tuple(f"row {i}" for i in range(rows)),
            tasks=tuple(f"column {n}" for n in range(columns)),
            values_BIN=scores_IN[None],
            noise_BIN=np.full((1, rows, columns), np.nan),
            untuned_BN=np.full((1, columns), np.nan),
            target=0,
            allowed_IN=np.ones((rows, columns), dtype=bool),
            sign_N=np.ones(columns),
        )
        try:
            return predictor_named(self.predictor)(problem, np.random.default_rng(self._seed))
        except CannotFit as lacks:
            fix = "take one that needs one matrix alone: low rank, ppca, additive or column mean"
            raise TraitscopeError(
                f"{self.predictor} cannot be fitted: {lacks}", where="ScoreImputer", fix=fix
            ) from None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
