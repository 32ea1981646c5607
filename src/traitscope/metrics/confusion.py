"""Confusion matrices and what follows from them, for one matrix or for a stack of bootstrap replicates.

Rows are gold classes; columns are the same classes in the same order, then one for invalid answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def confusion_matrix(gold: Sequence[str], pred: Sequence[str | None], classes: Sequence[str]) -> NDArray[np.int64]:
    """Counts with C rows (gold class) and C + 1 columns (predicted class; invalid or foreign answers
    last).
    """
    code = {name: c for c, name in enumerate(classes)}
    invalid = len(classes)
    return count_codes(
        [code[g] for g in gold], [code.get(p, invalid) if p is not None else invalid for p in pred], invalid
    )


def count_codes(gold_S: ArrayLike, pred_S: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """The confusion matrix of class indices; a prediction of ``n_classes`` is an invalid answer."""
    codes = np.asarray(gold_S, dtype=np.int64) * (n_classes + 1) + np.asarray(pred_S, dtype=np.int64)
    return np.bincount(codes, minlength=n_classes * (n_classes + 1)).reshape(n_classes, n_classes + 1)


def confusion_replicates(
    weights_RS: NDArray[np.float32], gold_S: NDArray[np.int64], pred_S: NDArray[np.int64], n_classes: int
) -> Floats:
    """Confusion matrices of bootstrap replicates: counts_RCP."""
    # Few of the cells are occupied where there are many classes.
    cells, at_S = np.unique(gold_S * (n_classes + 1) + pred_S, return_inverse=True)
    hot_SX = np.zeros((len(gold_S), len(cells)), dtype=np.float32)
    hot_SX[np.arange(len(gold_S)), at_S] = 1.0
    counts = np.zeros((len(weights_RS), n_classes * (n_classes + 1)))
    counts[:, cells] = weights_RS @ hot_SX
    return counts.reshape(-1, n_classes, n_classes + 1)


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
    """The mean F1 = 2 TP / (2 TP + FP + FN) over the classes that occur as gold or as prediction.

    Same as scikit-learn's ``f1_score(average="macro")`` over the labels that occur; the invalid column is no
    class of its own. 0 where no class occurs.
    """
    counts = np.asarray(confusion, dtype=float)
    n = counts.shape[-2]
    right = np.einsum("...cc->...c", counts[..., :n])
    total = counts.sum(axis=-1) + counts.sum(axis=-2)[..., :n]
    f1 = np.divide(2.0 * right, total, out=np.zeros(right.shape), where=total > 0)
    return f1.sum(axis=-1) / np.maximum((total > 0).sum(axis=-1), 1)


def predicted_shares(confusion: ArrayLike) -> Floats:
    """Share of every column among the answers: the classes, then the invalid ones where given."""
    counts = np.asarray(confusion, dtype=float)
    columns = counts.sum(axis=-2)
    return columns / columns.sum(axis=-1, keepdims=True)
