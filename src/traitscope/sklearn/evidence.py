"""``EvidenceRidge``: what a source does to a target, from what is known of the two before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.predict.pairs import PairFeatures
from traitscope.predict.problem import Problem
from traitscope.predict.trait_regression import PENALTIES, ridge

Floats = npt.NDArray[np.float64]


class EvidenceRidge(RegressorMixin, BaseEstimator):
    """Ridge regression on the features of pairs of a source and a target, compared within each target.

    What the predictor "trait regression" does with features: they and the outcome are centred within every target (only
    how the sources of one target differ can tell which of them helps it), then one ridge serves all targets, its
    penalty by generalised cross-validation.

    Args:
        penalties: those that are tried; None: 13 from 0.1 to 1000.

    Attributes:
        coef_: weights of the F features, in their own units. penalty_: the one chosen.
        intercept_: mean outcome at the mean features, over all pairs: what a target that is not known starts from.
        n_features_in_: F. feature_names_in_: names of the features, where X had any.
    """

    def __init__(self, penalties: Sequence[float] | None = None) -> None:
        self.penalties = penalties

    def fit(self, X: Any, y: Any, groups: Any = None) -> EvidenceRidge:
        """Learns from pairs whose outcome is known.

        Args:
            X: features, C pairs by F; NaN where one is not known, which then says nothing.
            y: outcome of each pair, such as a gain.
            groups: the target of each pair; None: all of one.

        Raises:
            ValueError: X or y is no such array, a penalty is not above 0, or a pair has no group and others have.
        """
        x_CF, y_C = validate_data(
            self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", y_numeric=True, ensure_min_samples=2
        )
        y_C = np.asarray(y_C, dtype=np.float64)
        try:
            penalties_G = PENALTIES if self.penalties is None else np.asarray(self.penalties, dtype=np.float64)
        except (ValueError, TypeError):
            penalties_G = np.array([])
        if penalties_G.ndim != 1 or not penalties_G.size or not (np.isfinite(penalties_G) & (penalties_G > 0)).all():
            raise TraitscopeError(f"penalties {self.penalties!r}", where="EvidenceRidge", fix="give numbers above 0")
        named = _groups(groups, len(x_CF))
        if groups is not None and None in named:
            what = f"pair {named.index(None)} has no group"
            raise TraitscopeError(what, where="EvidenceRidge", fix="name the target of every pair, or give no groups")
        self._means: dict[Any, tuple[Floats, float]] = {}
        centred_CF, z_C = np.zeros_like(x_CF), np.zeros_like(y_C)
        for name in dict.fromkeys(named):
            at = [c for c, other in enumerate(named) if other == name]
            mean_F = _means(x_CF[at])
            self._means[name] = mean_F, float(y_C[at].mean())
            centred_CF[at] = np.nan_to_num(x_CF[at] - mean_F)
            z_C[at] = y_C[at] - self._means[name][1]
        known_F = np.maximum(np.isfinite(x_CF).sum(axis=0), 1)
        spread_F = np.sqrt((centred_CF**2).sum(axis=0) / known_F)
        spread_F = np.where(spread_F > 1e-12, spread_F, 1.0)
        found = ridge(centred_CF / spread_F, z_C, penalties_G)
        self.coef_ = found.weights_F / spread_F
        self.penalty_ = found.penalty
        self._mean_F = _means(x_CF)
        self.intercept_ = float(y_C.mean())
        return self

    def predict(self, X: Any, groups: Any = None) -> Floats:
        """Expected outcome of C pairs.

        Args:
            X: their features. groups: the target of each; one that was not in the fit, or is missing, is told from the
                mean over all pairs: its sources are ranked as the features say.
        """
        check_is_fitted(self)
        x_CF = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        overall = self._mean_F, self.intercept_
        of = [self._means.get(name, overall) for name in _groups(groups, len(x_CF))] if groups is not None else []
        if not of:
            return np.asarray(np.nan_to_num(x_CF - self._mean_F) @ self.coef_ + self.intercept_)
        away_CF = np.nan_to_num(x_CF - np.stack([mean_F for mean_F, _ in of]))
        return np.asarray(away_CF @ self.coef_ + np.array([level for _, level in of]))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _groups(groups: Any, count: int) -> list[Any]:
    if groups is None:
        return [None] * count
    try:
        # What equals nothing, such as NaN, would be a target of its own in every pair.
        named = [None if pd.api.types.is_scalar(name) and pd.isna(name) else name for name in groups]
        set(named)
    except TypeError:
        fix = "give one name for every pair, in one list"
        raise TraitscopeError("groups are no list of names", where="EvidenceRidge", fix=fix) from None
    if len(named) != count:
        raise TraitscopeError(
            f"{len(named)} groups for {count} pairs", where="EvidenceRidge", fix="name the target of every pair"
        )
    return named


def _means(x_CF: Floats) -> Floats:
    """Means of the known features; 0 where none is known."""
    known_CF = np.isfinite(x_CF)
    return np.asarray(np.where(known_CF, x_CF, 0.0).sum(axis=0) / np.maximum(known_CF.sum(axis=0), 1))


class TransferPairs(NamedTuple):
    """Pairs of a source and a target as a regressor takes them.

    ``X`` has their features, one column each, and (source, task) as its index; ``y`` what the source did to the target:
    the gain over the untuned base, or the score where the base was not measured; ``groups`` the targets.
    """

    X: pd.DataFrame
    y: pd.Series
    groups: npt.NDArray[np.object_]


def transfer_pairs(
    scores: ScoreMatrix, features: PairFeatures, base: str | None = None, *, measured: bool = True
) -> TransferPairs:
    """The transfer cells of a score matrix with the features of their pairs.

    Args:
        scores: of one base model, or of several.
        features: of its pairs, as from ``study.evidence()`` by ``predict.evidence.pair_features``.
        base: the base model, where there are several.
        measured: pairs whose cell was measured; False: the others, y is NaN.

    Raises:
        TraitscopeError: no row is a source, or no base model has that name.
    """
    problem = Problem.from_scores(scores, base, features)
    assert problem.features is not None
    wanted_IN = problem.known_IN if measured else problem.allowed_IN & ~problem.known_IN
    at_I, at_N = np.nonzero(wanted_IN)
    untuned_N = problem.untuned_BN[problem.target]
    outcome_IN = problem.values_IN - np.where(np.isnan(untuned_N), 0.0, untuned_N)
    pairs = [(problem.sources[i], problem.tasks[n]) for i, n in zip(at_I, at_N, strict=True)]
    index = pd.MultiIndex.from_tuples(pairs, names=["source", "task"])
    x_CF = problem.features.values_FIN[:, at_I, at_N].T
    return TransferPairs(
        pd.DataFrame(x_CF, index=index, columns=list(problem.features.names)),
        pd.Series(outcome_IN[at_I, at_N], index=index, name="gain"),
        np.array([task for _, task in pairs], dtype=object),
    )
