"""Metrics: pure functions from gold and predicted answers to a number with a standard error."""

from traitscope.metrics import classes as classes  # registers its metrics, as text does
from traitscope.metrics.base import METRICS, Metric, MetricValue, Outcomes, example_values, score
from traitscope.metrics.confusion import confusion_matrix
from traitscope.metrics.passing import pass_at_k
from traitscope.metrics.text import normalise_answer

__all__ = [
    "METRICS",
    "Metric",
    "MetricValue",
    "Outcomes",
    "confusion_matrix",
    "example_values",
    "normalise_answer",
    "pass_at_k",
    "score",
]
