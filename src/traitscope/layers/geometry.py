"""Similarity of neighbourhoods, shapes and dissimilarities: k-NN overlap, Procrustes, RSA."""

from __future__ import annotations

import numpy as np

from traitscope.layers.representation import Representation

__all__ = ["distance_ranks", "neighbour_weights", "procrustes_cosine"]

_TIE = 1e-9


def neighbour_weights(sqdist_SS: np.ndarray, k: int = 10) -> np.ndarray:
    """Row i holds 1 for each of the ``k`` nearest neighbours of example i, itself excluded.

    Neighbours tied for the last places share them evenly, so that examples with the same state (a constant
    last token) do not agree by their order in the file.

    Args:
        sqdist_SS: squared distances between examples.
        k: neighbours; at most n - 2 are taken, so that not all others count.

    Returns:
        weights_SS: rows sum to k; the diagonal is 0.
    """
    n = len(sqdist_SS)
    k = max(1, min(k, n - 2))
    distance_SS = sqdist_SS.copy()
    np.fill_diagonal(distance_SS, np.inf)
    edge_S = np.partition(distance_SS, k - 1, axis=1)[:, k - 1 : k]
    slack = _TIE * (edge_S + float(np.mean(sqdist_SS)))
    nearer_SS = distance_SS < edge_S - slack
    tied_SS = np.abs(distance_SS - edge_S) <= slack
    share_S = (k - nearer_SS.sum(axis=1, keepdims=True)) / np.maximum(tied_SS.sum(axis=1, keepdims=True), 1)
    return nearer_SS + tied_SS * share_S


def distance_ranks(sqdist_SS: np.ndarray) -> np.ndarray:
    """Centred ranks of all pairwise distances as a symmetric matrix with zero diagonal.

    The cosine of two of them is Spearman's correlation of the two sets of distances.
    """
    from scipy.stats import rankdata

    n = len(sqdist_SS)
    upper = np.triu_indices(n, 1)
    ranks = rankdata(sqdist_SS[upper])
    out_SS = np.zeros((n, n))
    out_SS[upper] = ranks - ranks.mean()
    return out_SS + out_SS.T


def procrustes_cosine(a: Representation, b: Representation, rows_S: np.ndarray | None = None) -> float:
    """Nuclear norm of X'Y over the two Frobenius norms: 1 where one is a rotation and scaling of the other.

    ``rows_S`` re-orders the second one's examples (for a permutation null).
    """
    x_SR, y_SR = a.factor_SR, b.factor_SR
    if rows_S is not None:
        y_SR = y_SR[rows_S]
    singular = np.linalg.svd(x_SR.T @ y_SR, compute_uv=False)
    return float(singular.sum() / (np.linalg.norm(x_SR) * np.linalg.norm(y_SR)))
