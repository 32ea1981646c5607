"""How good a ranking or an interval is: regret, rank correlation, area under the ROC curve."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def spearman(predicted_I: Floats, true_I: Floats) -> float:
    """Rank correlation with mid-ranks; 0 where the prediction is one value for all, NaN where the truth is."""
    if len(true_I) < 3 or np.ptp(true_I) == 0:
        return float("nan")
    if np.ptp(predicted_I) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(predicted_I), rankdata(true_I))[0, 1])


def regret(predicted_I: Floats, true_I: Floats, k: int) -> float:
    """How far the best of the k highest predicted lies below the best of all, in the unit of the truth.

    Equal predictions are taken in random order: the expectation over it is given, exactly.
    """
    best = float(true_I.max())
    k = min(k, len(true_I))
    edge = np.sort(predicted_I)[-k]
    sure = true_I[predicted_I > edge]
    tied = np.sort(true_I[predicted_I == edge])[::-1]
    left, top = k - len(sure), float(sure.max()) if len(sure) else -np.inf
    # The j-th best of the tied is the best drawn with the odds that none before it is among the ones drawn.
    expected, none_yet = 0.0, 1.0
    for j, value in enumerate(tied):
        drawn = none_yet * min(1.0, left / (len(tied) - j))
        expected += drawn * (best - max(top, float(value)))
        none_yet -= drawn
    return expected


def auroc(score_C: Floats, label_C: Bools) -> float:
    """Area under the ROC curve (Mann-Whitney, ties by half); NaN where all labels are alike."""
    positive = int(label_C.sum())
    negative = len(label_C) - positive
    if not positive or not negative:
        return float("nan")
    ranks_C = rankdata(score_C)
    return float((ranks_C[label_C].sum() - positive * (positive + 1) / 2) / (positive * negative))


def near_duplicates(z_BIN: Floats, least: float) -> tuple[tuple[int, ...], ...]:
    """Groups of columns that order the sources alike, in all base models taken together.

    Args:
        z_BIN: cells; NaN where not known. least: rank correlation within base models, over all of them, that links two
            columns; groups are what is linked directly or through others.
    """
    n_columns = z_BIN.shape[2]
    total_NN, both_NN = np.zeros((n_columns, n_columns)), np.zeros((n_columns, n_columns))
    for z_IN in z_BIN:
        known_IN = np.isfinite(z_IN).astype(float)
        ranks_IN = np.zeros_like(known_IN)
        for column in np.flatnonzero(known_IN.any(axis=0)):
            seen_I = known_IN[:, column] > 0
            ranks_IN[seen_I, column] = rankdata(z_IN[seen_I, column]) - (seen_I.sum() + 1) / 2
        # Every pair over the sources that are known in both: a hole in one of two twins does not part them.
        count_NN = known_IN.T @ known_IN
        some_NN = np.maximum(count_NN, 1.0)
        sum_NN = ranks_IN.T @ known_IN
        spread_NN = (ranks_IN**2).T @ known_IN - sum_NN**2 / some_NN
        moved_NN = ranks_IN.T @ ranks_IN - sum_NN * sum_NN.T / some_NN
        size_NN = np.sqrt(np.maximum(spread_NN * spread_NN.T, 0.0))
        total_NN += np.where(size_NN > 1e-9, count_NN * moved_NN / np.where(size_NN > 1e-9, size_NN, 1.0), 0.0)
        both_NN += count_NN
    alike_NN = total_NN / np.maximum(both_NN, 1.0)
    linked_NN = (alike_NN >= least) & (both_NN >= 6)
    groups: list[set[int]] = []
    for n in range(n_columns):
        linked = {int(m) for m in np.flatnonzero(linked_NN[n])} | {n}
        touching = [group for group in groups if group & linked]
        groups = [group for group in groups if not group & linked] + [linked.union(*touching)]
    return tuple(tuple(sorted(group)) for group in sorted(groups, key=min) if len(group) > 1)
