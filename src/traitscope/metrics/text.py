"""Metrics of free answers: exact match, number match, token F1; and the held-out answer loss."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from traitscope.metrics.base import METRICS, Metric, Outcomes
from traitscope.metrics.numbers import final_number

_FREE = frozenset({"generate"})
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single spaces: SQuAD 1.1's rule (arXiv 1606.05250)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _exact(pred: str, reference: str) -> float:
    """1 where the answer is a reference, letter by letter."""
    return float(pred == reference)


def _quasi_exact(pred: str, reference: str) -> float:
    """1 where they are the same but for case, articles, punctuation and space."""
    return float(normalise_answer(pred) == normalise_answer(reference))


def _same_number(pred: str, reference: str) -> float:
    """1 where both are the same number."""
    # One number has one plain form.
    found = final_number(pred)
    return float(found is not None and found == final_number(reference))


def token_f1(pred: str, reference: str) -> float:
    """The F1 of shared words, counted as often as they occur, after ``normalise_answer``.

    0 without shared words; two texts without any word left are equal: 1.
    """
    words, right = normalise_answer(pred).split(), normalise_answer(reference).split()
    if not words or not right:
        return float(words == right)
    shared = sum((Counter(words) & Counter(right)).values())
    return 2 * shared / (len(words) + len(right))


def _best(compare: Callable[[str, str], float]) -> Callable[[Outcomes], NDArray[np.float64]]:
    """The best agreement with any reference; 0 for an answer that could not be parsed."""

    def values(outcomes: Outcomes) -> NDArray[np.float64]:
        return np.array(
            [
                0.0 if pred is None else max(compare(pred, reference) for reference in references)
                for pred, references in zip(outcomes.pred, outcomes.references, strict=True)
            ],
            dtype=np.float64,
        )

    values.__doc__ = compare.__doc__
    return values


def answer_loss(outcomes: Outcomes) -> NDArray[np.float64]:
    """The mean negative log-likelihood of the gold answer and its stop token, in nats per token, per example."""
    return outcomes.loss_S


METRICS.register("exact_match", version=1, reference="equal after the task's parser, over the best reference")(
    Metric(forms=_FREE, higher_is_better=True, low=0.0, high=1.0, values=_best(_exact))
)
METRICS.register("quasi_exact_match", version=1, reference="SQuAD 1.1 exact match (arXiv 1606.05250)")(
    Metric(forms=_FREE, higher_is_better=True, low=0.0, high=1.0, values=_best(_quasi_exact))
)
METRICS.register("number_match", version=2, reference="GSM8K (arXiv 2110.14168): equal final numbers")(
    Metric(forms=_FREE, higher_is_better=True, low=0.0, high=1.0, values=_best(_same_number))
)
METRICS.register("token_f1", version=1, reference="SQuAD 1.1 F1 (arXiv 1606.05250), over the best reference")(
    Metric(forms=_FREE, higher_is_better=True, low=0.0, high=1.0, values=_best(token_f1))
)
METRICS.register("loss", version=1, reference="mean negative log-likelihood per answer token, in nats")(
    Metric(
        forms=frozenset({"choice", "generate", "loss"}),
        higher_is_better=False,
        low=0.0,
        high=float("inf"),
        values=answer_loss,
    )
)
