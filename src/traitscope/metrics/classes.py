"""Metrics of a choice among classes: accuracy, macro-F1, Matthews correlation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitscope.metrics.base import METRICS, Metric, MetricValue, Outcomes
from traitscope.metrics.confusion import confusion_matrix, macro_f1

_BOTH = frozenset({"choice", "generate"})


def _hits(gold: Sequence[str], pred: Sequence[str | None]) -> NDArray[np.float64]:
    return np.array([p is not None and p == g for g, p in zip(gold, pred, strict=True)], dtype=np.float64)


def accuracy(outcomes: Outcomes) -> NDArray[np.float64]:
    """1 where the prediction is the gold class (or text), else 0; an invalid answer is wrong."""
    return _hits(outcomes.gold, outcomes.pred)


def accuracy_norm(outcomes: Outcomes) -> NDArray[np.float64]:
    """As accuracy, for the option with the highest log-likelihood per character (or token, as the task says).

    Characters are counted without the space in front of an option, as lm-evaluation-harness' acc_norm counts
    its choices.
    """
    return _hits(outcomes.gold, outcomes.pred_norm)


def mcc_of(confusion: ArrayLike) -> NDArray[np.float64]:
    """Matthews correlation for C classes (Gorodkin 2004, Comput. Biol. Chem. 28:367).

    (n c - sum_k t_k p_k) / sqrt((n^2 - sum p_k^2) (n^2 - sum t_k^2)), with n examples, c hits, t_k gold and
    p_k predicted counts; invalid answers are one more predicted class. 0 where the root is 0, as in scikit-learn.
    Matrices in the last two axes.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    gold, pred = counts.sum(axis=-1), counts.sum(axis=-2)
    n, hits = gold.sum(axis=-1), np.einsum("...cc->...", counts[..., :-1])
    root = np.sqrt((n**2 - (pred**2).sum(axis=-1)) * (n**2 - (gold**2).sum(axis=-1)))
    above = n * hits - (gold * pred[..., :-1]).sum(axis=-1)
    return np.divide(above, root, out=np.zeros(np.shape(root)), where=root > 0)


def jackknife(confusion: NDArray[np.int64], measure: Callable[[NDArray[np.int64]], float]) -> MetricValue:
    """The measure and its delete-one jackknife standard error.

    sqrt((n - 1) / n * sum_i (m_(i) - mean m_(.))^2), Efron and Tibshirani 1993, eq. 11.5; examples in the
    same field of the confusion matrix give the same m_(i), so at most C (C + 1) evaluations are needed.
    """
    n = int(confusion.sum())
    if n == 0:
        raise ValueError("a metric needs at least one example")
    value = measure(confusion)
    if n < 3:
        return MetricValue(value, None, n)
    left_out, weights = [], []
    for row, column in np.argwhere(confusion):
        smaller = confusion.copy()
        smaller[row, column] -= 1
        left_out.append(measure(smaller))
        weights.append(int(confusion[row, column]))
    m, w = np.array(left_out), np.array(weights)
    centre = (w * m).sum() / n
    return MetricValue(value, float(np.sqrt((n - 1) / n * (w * (m - centre) ** 2).sum())), n)


def _macro_f1(outcomes: Outcomes) -> MetricValue:
    """Mean over the classes of F1, whatever their sizes."""
    return jackknife(_confusion(outcomes), lambda counts: float(macro_f1(counts)))


def _mcc(outcomes: Outcomes) -> MetricValue:
    """Matthews' correlation of gold and predicted classes."""
    return jackknife(_confusion(outcomes), lambda counts: float(mcc_of(counts)))


def _confusion(outcomes: Outcomes) -> NDArray[np.int64]:
    assert outcomes.classes is not None
    return confusion_matrix(outcomes.gold, outcomes.pred, outcomes.classes)


METRICS.register("accuracy", version=1, reference="scikit-learn accuracy_score; stderr: lm-eval mean_stderr")(
    Metric(forms=_BOTH, higher_is_better=True, low=0.0, high=1.0, values=accuracy)
)
METRICS.register("accuracy_norm", version=1, reference="lm-evaluation-harness 0.4.13 acc_norm")(
    Metric(forms=frozenset({"choice"}), higher_is_better=True, low=0.0, high=1.0, values=accuracy_norm)
)
METRICS.register("macro_f1", version=1, reference="scikit-learn f1_score(average='macro'); stderr: jackknife")(
    Metric(
        forms=_BOTH, higher_is_better=True, low=0.0, high=1.0, needs_classes=True, corpus=_macro_f1, of_counts=macro_f1
    )
)
METRICS.register("mcc", version=1, reference="Gorodkin 2004; stderr: jackknife")(
    Metric(forms=_BOTH, higher_is_better=True, low=-1.0, high=1.0, needs_classes=True, corpus=_mcc, of_counts=mcc_of)
)
