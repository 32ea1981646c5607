"""``TraitPCA``: the traits of a score matrix as a transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.sklearn.seeds import seed_of
from traitscope.traits import fit_traits
from traitscope.traits.projection import precision_by_rest, project

Floats = npt.NDArray[np.float64]


class TraitPCA(TransformerMixin, BaseEstimator):
    """Principal components of scores with holes; how many there are is found, not given.

    Fitted as ``fit_traits`` fits, on all cells of all rows that are no outliers (``rows="all", own="include"``).
    Without holes and rotation the components are those of ``sklearn.decomposition.PCA`` up to their signs, which follow
    one rule.

    Args:
        n_traits: how many are kept; "auto": those above the cells' noise or, without ``stderr``, those that held-out
            cells support.
        scale: divide columns by their standard deviation.
        rotate: None, "varimax" or "promax".
        permutations: draws of the null. held_out: rounds of prediction of held-out cells; 0 leaves them out.
        replicates: resampled matrices behind intervals, with ``stderr``; 0 leaves them out.
        random_state: seed of all draws.

    Attributes:
        components_: loadings_KN, unit-norm rows. mean_, scale_: of the N columns.
        n_traits_: K. singular_values_, explained_variance_, explained_variance_ratio_: of the K traits.
        null_p_: of every component, kept or not, the chance of its share of the variance where the columns have nothing
            in common.
        outliers_: indices of rows that the traits were not fitted on.
        traits_: the whole analysis (``traitscope.Traits``).
        n_features_in_: N. feature_names_in_: names of the columns, where X had any.
    """

    def __init__(
        self,
        n_traits: int | str = "auto",
        *,
        scale: bool = False,
        rotate: str | None = None,
        permutations: int = 1000,
        held_out: int = 1,
        replicates: int = 0,
        random_state: Any = 0,
    ) -> None:
        self.n_traits = n_traits
        self.scale = scale
        self.rotate = rotate
        self.permutations = permutations
        self.held_out = held_out
        self.replicates = replicates
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, stderr: Any = None) -> TraitPCA:
        """Finds the traits.

        Args:
            X: scores_IN, 3 rows and 2 columns at least; NaN where a cell is missing.
            y: ignored.
            stderr: standard errors of the cells, I x N, where they are known: the count then rests on them.

        Raises:
            ValueError: X is no such array, or too few cells are known.
        """
        scores_IN = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=3, ensure_min_features=2
        )
        names = [str(name) for name in getattr(self, "feature_names_in_", range(scores_IN.shape[1]))]
        table = pd.DataFrame(
            {
                "model": np.repeat([f"row {i}" for i in range(len(scores_IN))], len(names)),
                "task": names * len(scores_IN),
                "value": scores_IN.ravel(),
                "higher_is_better": True,
            }
        )
        if stderr is not None:
            if np.shape(stderr) != scores_IN.shape:
                shape = f"{np.shape(stderr)} for X of shape {scores_IN.shape}"
                raise TraitscopeError(f"stderr has shape {shape}", where="TraitPCA", fix="give one for every cell")
            table["stderr"] = np.asarray(stderr, dtype=np.float64).ravel()
        empty = np.flatnonzero(np.isnan(scores_IN).all(axis=1))
        if len(empty):
            fix = "leave such rows out: they can be transformed"
            raise TraitscopeError(f"row {empty[0]} has no cell", where="TraitPCA", fix=fix)
        known_N = np.isfinite(scores_IN).sum(axis=0)
        if (thin := np.flatnonzero(known_N < 3)).size:
            what = f"column {names[thin[0]]} has {known_N[thin[0]] or 'no'} known cells"
            raise TraitscopeError(what, where="TraitPCA", fix="leave columns with fewer than 3 out")
        found = fit_traits(
            ScoreMatrix.from_long(table, units="other", where="X"),
            own="include",
            rows="all",
            k=self.n_traits,
            scale=self.scale,
            rotate=self.rotate,
            permutations=self.permutations,
            held_out=self.held_out,
            replicates=self.replicates,
            seed=seed_of(self.random_state),
        )
        self.traits_ = found
        self.components_ = found.loadings_KN
        self.mean_, self.scale_ = found.center_N, found.scale_N
        self.n_traits_ = found.k
        self.singular_values_ = found.singular_K
        self.explained_variance_ = found.singular_K**2 / (len(found.models) - 1)
        self.explained_variance_ratio_ = found.explained_K
        self.null_p_ = found.null.p_M
        self.outliers_ = np.array([int(name.removeprefix("row ")) for name in found.count.outlying], dtype=np.int64)
        self._precision_N = precision_by_rest((found.filled_IN - found.reconstruct()) / found.scale_N)
        return self

    def transform(self, X: Any) -> Floats:
        """Places of rows on the traits, I x K, in the unit of the (scaled) scores.

        A whole row is projected by least squares, one with holes by ridge regression over its known cells, as rows
        outside the fit of ``fit_traits`` are; NaN for a row without cells.
        """
        check_is_fitted(self)
        scores_IN = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        centred_IN = (scores_IN - self.mean_) / self.scale_
        placed_IK = np.nan_to_num(centred_IN) @ np.linalg.pinv(self.components_)
        holes_I = np.isnan(scores_IN).any(axis=1)
        if holes_I.any():
            known_PN = np.where(np.isnan(centred_IN[holes_I]), 0.0, self._precision_N)
            pattern_KN = self.components_ * self.singular_values_[:, None]
            rows = len(self.traits_.models)
            placed_IK[holes_I] = project(centred_IN[holes_I], known_PN, pattern_KN, rows) * self.singular_values_
        return placed_IK

    def inverse_transform(self, X: Any) -> Floats:
        """Scores, I x N, that the traits alone make of places on them, I x K."""
        check_is_fitted(self)
        placed_IK = np.asarray(X, dtype=np.float64)
        if placed_IK.ndim != 2 or placed_IK.shape[1] != self.n_traits_:
            raise TraitscopeError(
                f"shape {placed_IK.shape}", where="TraitPCA.inverse_transform", fix=f"give rows of {self.n_traits_}"
            )
        return np.asarray(placed_IK @ self.components_ * self.scale_ + self.mean_)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """T1, T2, ...: the names of the traits."""
        check_is_fitted(self)
        return np.array(self.traits_.trait_names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
