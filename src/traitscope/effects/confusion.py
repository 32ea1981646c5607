"""Confusion matrices and what follows from them, for one matrix or for a stack of bootstrap replicates.

Rows are gold classes; columns are the same classes in the same order, then one for invalid answers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
INVALID = "(invalid)"


def confusion_matrix(gold_S: ArrayLike, pred_S: ArrayLike, n_classes: int) -> Floats:
    """Counts_CP from class indices; a prediction of ``n_classes`` is an invalid answer (P = C + 1)."""
    codes = np.asarray(gold_S, dtype=np.int64) * (n_classes + 1) + np.asarray(pred_S, dtype=np.int64)
    counts = np.bincount(codes, minlength=n_classes * (n_classes + 1))
    return counts.reshape(n_classes, n_classes + 1).astype(float)


def confusion_replicates(
    weights_RS: NDArray[np.float32], gold_S: NDArray[np.int64], pred_S: NDArray[np.int64], n_classes: int
) -> Floats:
    """Confusion matrices of bootstrap replicates: counts_RCP."""
    cells = n_classes * (n_classes + 1)
    hot = np.zeros((len(gold_S), cells), dtype=np.float32)
    hot[np.arange(len(gold_S)), gold_S * (n_classes + 1) + pred_S] = 1.0
    return (weights_RS @ hot).reshape(-1, n_classes, n_classes + 1).astype(float)


def accuracy(confusion: ArrayLike) -> Floats:
    """Share of right answers; matrices in the last two axes, with or without the invalid column."""
    counts = np.asarray(confusion, dtype=float)
    return np.einsum("...cc->...", counts[..., : counts.shape[-2]]) / counts.sum(axis=(-2, -1))


def recalls(confusion: ArrayLike) -> Floats:
    """Recall of every class; NaN for a class without examples."""
    counts = np.asarray(confusion, dtype=float)
    gold = counts.sum(axis=-1)
    right = np.einsum("...cc->...c", counts[..., : counts.shape[-2]])
    return np.divide(right, gold, out=np.full(right.shape, np.nan), where=gold > 0)


def macro_f1(confusion: ArrayLike) -> Floats:
    """Mean F1 over the classes that are gold or predicted; one without hits counts 0."""
    counts = np.asarray(confusion, dtype=float)
    n = counts.shape[-2]
    right = np.einsum("...cc->...c", counts[..., :n])
    total = counts.sum(axis=-1) + counts.sum(axis=-2)[..., :n]
    f1 = np.divide(2.0 * right, total, out=np.full(right.shape, np.nan), where=total > 0)
    present = (total > 0).sum(axis=-1)
    return np.nansum(f1, axis=-1) / np.maximum(present, 1)


def predicted_shares(confusion: ArrayLike) -> Floats:
    """Share of every column among the answers: the classes, then the invalid ones where given."""
    counts = np.asarray(confusion, dtype=float)
    columns = counts.sum(axis=-2)
    return columns / columns.sum(axis=-1, keepdims=True)


def gold_shares(confusion: ArrayLike) -> Floats:
    """Share of every class among the examples."""
    counts = np.asarray(confusion, dtype=float)
    rows = counts.sum(axis=-1)
    return rows / rows.sum(axis=-1, keepdims=True)
