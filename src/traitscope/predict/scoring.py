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
    known_BIN = np.isfinite(z_BIN)
    ranks_BIN = np.where(known_BIN, z_BIN, np.nan).copy()
    for b, n in np.argwhere(known_BIN.any(axis=1)):
        seen_I = known_BIN[b, :, n]
        ranks = rankdata(z_BIN[b, seen_I, n])
        spread = ranks.std()
        ranks_BIN[b, seen_I, n] = (ranks - ranks.mean()) / spread if spread > 0 else 0.0
    flat_CN = np.nan_to_num(ranks_BIN).reshape(-1, z_BIN.shape[2])
    both_NN = known_BIN.reshape(flat_CN.shape).astype(float).T @ known_BIN.reshape(flat_CN.shape)
    square_N = np.maximum((flat_CN**2).sum(axis=0), 1e-12)
    alike_NN = (flat_CN.T @ flat_CN) / np.sqrt(square_N[:, None] * square_N)
    linked_NN = (alike_NN >= least) & (both_NN >= 6)
    groups: list[set[int]] = []
    for n in range(len(linked_NN)):
        linked = {int(m) for m in np.flatnonzero(linked_NN[n])} | {n}
        touching = [group for group in groups if group & linked]
        groups = [group for group in groups if not group & linked] + [linked.union(*touching)]
    return tuple(tuple(sorted(group)) for group in sorted(groups, key=min) if len(group) > 1)
