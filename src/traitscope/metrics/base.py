"""What a metric is, and the standard error of a mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitscope.plugins import number
from traitscope.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What metrics see: one entry per example, S in all.

    Attributes:
        gold: class name or first reference.
        pred: predicted class name or parsed answer; None where the answer could not be parsed.
        pred_norm: prediction by length-normalised log-likelihood (choice only).
        references: all right answers, parsed as the prediction was (generate only).
        loss_S: mean negative log-likelihood of the gold answer in nats per token.
        classes: class names, where all examples share them.
        right: whether each generated answer of an example is right: its program passed, or it equals a reference.
    """

    gold: tuple[str, ...]
    pred: tuple[str | None, ...]
    pred_norm: tuple[str | None, ...]
    references: tuple[tuple[str, ...], ...]
    loss_S: NDArray[np.float64]
    classes: tuple[str, ...] | None
    right: tuple[tuple[bool, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A metric over S examples. ``stderr`` is None where it is not defined (a single example)."""

    value: float
    stderr: float | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One way to judge a cell; exactly one of ``values`` and ``corpus`` is given.

    Attributes:
        forms: the answer forms it fits.
        higher_is_better: the direction.
        low, high: the range; a value outside of it, or one that is not finite, is an error.
        needs_classes: whether all examples must share their classes.
        needs_samples: how many answers of every example it needs at least; 0 for what judges the first one alone.
        values: the value of every example, values_S; the metric is their mean.
        corpus: the metric of all examples at once, where it is no mean.
        of_counts: what ``corpus`` gives, from confusion matrices (see ``confusion``) in the last two axes of an array:
            changes of the metric are tested by it, and not at all without.
    """

    forms: frozenset[str]
    higher_is_better: bool
    low: float
    high: float
    needs_classes: bool = False
    needs_samples: int = 0
    values: Callable[[Outcomes], NDArray[np.float64]] | None = None
    corpus: Callable[[Outcomes], MetricValue] | None = None
    of_counts: Callable[[NDArray[Any]], NDArray[np.float64]] | None = None


METRICS: Registry[Metric] = Registry("metric")

# How far rounding may carry a value out of its metric's range.
_TOLERANCE = 1e-9


def mean_and_stderr(values_S: NDArray[np.float64]) -> MetricValue:
    """The mean and its standard error, s / sqrt(S) with the sample deviation s (divisor S - 1).

    This is the ``mean_stderr`` of lm-evaluation-harness 0.4.13; for zeros and ones it is
    sqrt(p (1 - p) / (S - 1)). One example has no standard error.
    """
    n = len(values_S)
    if n == 0:
        raise ValueError("a metric needs at least one example")
    stderr = float(np.std(values_S, ddof=1) / np.sqrt(n)) if n > 1 else None
    return MetricValue(float(np.mean(values_S)), stderr, n)


def score(metric: Metric, outcomes: Outcomes) -> MetricValue:
    """The metric's value over all examples, its standard error and the number of examples.

    Raises:
        TypeError, ValueError: if there is no example, or the metric gives something else than it promises.
    """
    if metric.corpus is None:
        return mean_and_stderr(example_values(metric, outcomes))
    found = metric.corpus(outcomes)
    if not isinstance(found, MetricValue):
        raise TypeError(f"it gives {type(found).__name__} where a MetricValue is due")
    value, stderr = number(found.value), None if found.stderr is None else number(found.stderr)
    if not _in_range(metric, np.array([value])).all():
        raise ValueError(f"it gives {value}{_promised(metric)}")
    if stderr is not None and not 0 <= stderr < float("inf"):
        raise ValueError(f"it gives a standard error of {stderr}")
    return MetricValue(value, stderr, index(found.n))


def example_values(metric: Metric, outcomes: Outcomes) -> NDArray[np.float64]:
    """What ``metric.values`` gives, values_S, held to what it promises.

    Raises:
        TypeError, ValueError: these are not S finite numbers in the metric's range.
    """
    assert metric.values is not None
    values_S = np.asarray(metric.values(outcomes))
    n = len(outcomes.gold)
    if values_S.shape != (n,):
        raise ValueError(f"it gives values of shape {values_S.shape} for {n} examples")
    if values_S.dtype.kind not in "biuf":
        raise TypeError(f"it gives values of type {values_S.dtype} where numbers are due")
    fits_S = _in_range(metric, values_S)
    if not fits_S.all():
        first = int(np.argmin(fits_S))
        raise ValueError(f"it gives {values_S[first]} for example {first + 1} of {n}{_promised(metric)}")
    return values_S.astype(np.float64, copy=False)


def _in_range(metric: Metric, values: NDArray[Any]) -> NDArray[np.bool_]:
    inside = (values >= metric.low - _TOLERANCE) & (values <= metric.high + _TOLERANCE)
    return np.asarray(inside & np.isfinite(values))


def _promised(metric: Metric) -> str:
    return f", and declares finite numbers from {metric.low:g} to {metric.high:g}"
