"""The paper's idea as a predictor: what a source does to a target follows from its traits, or from its features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traitscope.predict.baselines import column_noise, settled
from traitscope.predict.pairs import PairFeatures
from traitscope.predict.predictor import PREDICTORS, Prediction
from traitscope.predict.problem import Problem

Floats = npt.NDArray[np.float64]

TRAITS = 2
PENALTIES = np.geomspace(0.1, 1000.0, 13)


@PREDICTORS.register(
    "trait regression", version=1, reference="Krishna et al. 2025, arXiv:2509.13624, sec. 5, as a ridge regression"
)
def trait_regression(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Ridge from the features of a pair, or, without features, from the source's traits on the other tasks."""
    scale, t = problem.scale, problem.target
    z_IN = scale.z_BIN[t]
    sd_IN = np.sqrt(np.broadcast_to(column_noise(problem.known_IN.sum(axis=0)), z_IN.shape))
    if problem.features is not None and problem.features.names:
        name, design_FIN = "features", standard_features(problem.features)
        fitted_IN, left = _pooled_ridge(z_IN, design_FIN)
    else:
        name = "traits"
        fitted_IN, left = _by_traits(z_IN)
    fitted_IN = settled(fitted_IN, problem, scale)
    return Prediction(fitted_IN, np.sqrt(left) * sd_IN, scale.centre_BN[t], scale.spread_BN[t], {name: fitted_IN})


def standard_features(features: PairFeatures) -> Floats:
    """Features of the pairs, F x I x N: centred within every target, of unit variance over all; 0 where not known.

    Only how the sources of one target differ can tell which of them helps it.
    """
    known_FIN = np.isfinite(features.values_FIN)
    filled_FIN = np.where(known_FIN, features.values_FIN, 0.0)
    mean_F1N = filled_FIN.sum(axis=1, keepdims=True) / np.maximum(known_FIN.sum(axis=1, keepdims=True), 1)
    centred_FIN = np.where(known_FIN, filled_FIN - mean_F1N, 0.0)
    spread_F = np.sqrt((centred_FIN**2).sum(axis=(1, 2)) / np.maximum(known_FIN.sum(axis=(1, 2)), 1))
    return centred_FIN / np.where(spread_F > 1e-12, spread_F, 1.0)[:, None, None]


def _pooled_ridge(z_IN: Floats, design_FIN: Floats) -> tuple[Floats, float]:
    """One ridge for all targets, penalty by generalised cross-validation; the fit, and the share of variance left."""
    known_IN = np.isfinite(z_IN)
    if known_IN.sum() < 4:
        return np.zeros_like(z_IN), 1.0
    z_C = z_IN[known_IN]
    found = ridge(design_FIN[:, known_IN].T, z_C, PENALTIES)
    left = float(min(1.0, found.score / max((z_C**2).mean(), 1e-12)))
    return np.tensordot(found.weights_F, design_FIN, 1), left


@dataclass(frozen=True, eq=False)
class Ridge:
    """Ridge regression without an intercept.

    Attributes:
        weights_F: of the features. penalty: the one that was chosen.
        score: its generalised cross-validation, a mean squared error.
    """

    weights_F: Floats
    penalty: float
    score: float


def ridge(design_CF: Floats, z_C: Floats, penalties_G: Floats) -> Ridge:
    """Ridge with the penalty of least generalised cross-validation (Golub, Heath & Wahba 1979, Technometrics 21:215).

    Args:
        design_CF: C cases by F features, centred. z_C: what is to be predicted, centred. penalties_G: those tried.
    """
    left, size, right = np.linalg.svd(design_CF, full_matrices=False)
    turned_F = left.T @ z_C
    shrink_GF = size**2 / (size**2 + penalties_G[:, None])
    rest_G = (z_C**2).sum() - ((2.0 * shrink_GF - shrink_GF**2) * turned_F**2).sum(axis=1)
    score_G = rest_G / len(z_C) / (1.0 - shrink_GF.sum(axis=1) / len(z_C)) ** 2
    best = int(np.argmin(score_G))
    weights_F = right.T @ (size / (size**2 + penalties_G[best]) * turned_F)
    return Ridge(weights_F, float(penalties_G[best]), float(score_G[best]))


def _by_traits(z_IN: Floats) -> tuple[Floats, float]:
    """Every column on the principal components of the others; one penalty for all, by leaving out each known cell."""
    known_IN = np.isfinite(z_IN)
    filled_IN = np.where(known_IN, z_IN, 0.0)
    k = min(TRAITS, len(z_IN) - 1)
    if known_IN.sum() < 4 or k < 1:
        return np.zeros_like(z_IN), 1.0
    gram_NII = filled_IN @ filled_IN.T - filled_IN.T[:, :, None] * filled_IN.T[:, None]
    _, vectors_NII = np.linalg.eigh(gram_NII)
    # Scores of unit variance, so that one penalty means the same in every column.
    traits_NIK = vectors_NII[:, :, -k:] * np.sqrt(len(z_IN))
    weight_NI = known_IN.T.astype(float)
    gram_NKK = np.einsum("ni,nik,nil->nkl", weight_NI, traits_NIK, traits_NIK)
    right_NK = np.einsum("ni,nik->nk", filled_IN.T, traits_NIK)
    gram_GNKK = gram_NKK + PENALTIES[:, None, None, None] * np.eye(k)
    weights_GNK = np.linalg.solve(gram_GNKK, np.broadcast_to(right_NK[..., None], (len(PENALTIES), *right_NK.shape, 1)))
    fitted_GNI = np.einsum("nik,gnk->gni", traits_NIK, weights_GNK[..., 0])
    lever_GNI = np.einsum("nik,gnkl,nil->gni", traits_NIK, np.linalg.inv(gram_GNKK), traits_NIK)
    # The column's mean was taken with the cell that is left out.
    lever_GNI = np.minimum(lever_GNI + 1.0 / np.maximum(weight_NI.sum(axis=1), 1.0)[:, None], 0.99)
    left_GNI = weight_NI * (filled_IN.T - fitted_GNI) / (1.0 - lever_GNI)
    error_G = (left_GNI**2).sum(axis=(1, 2))
    count_N = np.maximum(weight_NI.sum(axis=1), 1.0)
    mean_error = ((filled_IN.T / (1.0 - np.minimum(1.0 / count_N, 0.99))[:, None]) ** 2).sum()
    best = int(np.argmin(error_G))
    if error_G[best] >= mean_error:
        return np.zeros_like(z_IN), 1.0
    return fitted_GNI[best].T, float(error_G[best] / mean_error)
