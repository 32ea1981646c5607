"""Rows that the traits were not fitted on, placed on them afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Projected:
    """Rows outside the fit (controls, mixes, foreign and outlying models) and their places on the traits.

    Attributes:
        models: the P rows. kinds: "control", "mix", "foreign" or "outlying".
        scores_PK: how much of a trait each has, in the unit of ``Traits.scores_IK``; NaN for a row without cells.
    """

    models: tuple[str, ...]
    kinds: tuple[str, ...]
    scores_PK: Floats


def project(values_PN: Floats, weight_PN: Floats, pattern_KN: Floats, n_models: int) -> Floats:
    """Scores of rows by ridge regression on the traits, over the cells that they have, [P, K].

    The penalty is what a unit-norm score column of so many rows has per row: without it a row of few cells would be
    thrown far out.

    Args:
        values_PN: rows, centred and scaled as the fit was; NaN where missing.
        weight_PN: 1 / error variance of the cells, in the same unit.
        pattern_KN: loadings times singular values. n_models: rows of the fit.
    """
    known = np.isfinite(values_PN)
    weight = np.where(known, weight_PN, 0.0)
    gram = np.einsum("kn,pn,ln->pkl", pattern_KN, weight, pattern_KN) + n_models * np.eye(len(pattern_KN))
    pull = (weight * np.where(known, values_PN, 0.0)) @ pattern_KN.T
    scores = np.linalg.solve(gram, pull[..., None])[..., 0]
    return np.where(known.any(axis=1, keepdims=True), scores, np.nan)


def precision_by_rest(rest_IN: Floats) -> Floats:
    """1 / error variance of a cell where no errors are known: by what the traits leave over in its column, [N]."""
    square_IN = rest_IN**2
    return np.asarray(1.0 / np.maximum(square_IN.mean(axis=0), 1e-12 * max(float(square_IN.max()), 1e-300)))
