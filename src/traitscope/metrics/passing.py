"""pass@k: the chance that at least one of k drawn answers is right."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from traitscope.metrics.base import METRICS, Metric, Outcomes
from traitscope.registry import Entry

VERSION, REFERENCE = 1, "Chen et al. 2021 (arXiv 2107.03374), the unbiased estimator; any k"
# The k that lists of metrics show.
KS = (1, 10, 100)
_NAME = re.compile(r"pass@([1-9][0-9]{0,99})")


def pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k): the unbiased estimate from ``c`` right ones of ``n`` samples (arXiv 2107.03374, eq. 1).

    As the product 1 - (1 - k/(n-c+1)) ... (1 - k/n), in which no number grows large.

    Raises:
        ValueError: unless 0 <= c <= n and 1 <= k <= n.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} of {c} right ones of {n} samples is not defined")
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def _values(k: int) -> Callable[[Outcomes], NDArray[np.float64]]:
    def values(outcomes: Outcomes) -> NDArray[np.float64]:
        return np.array([pass_at_k(len(right), sum(right), k) for right in outcomes.right], dtype=np.float64)

    drawn = "one drawn answer" if k == 1 else f"at least one of {k} drawn answers"
    values.__doc__ = f"The chance that {drawn} is right: passes its tests (code), else equals a reference."
    return values


def _metric(k: int) -> Metric:
    return Metric(
        forms=frozenset({"generate"}), higher_is_better=True, low=0.0, high=1.0, values=_values(k), needs_samples=k
    )


def _any(name: str) -> Entry[Metric] | None:
    found = _NAME.fullmatch(name)
    return None if found is None else Entry(name, VERSION, REFERENCE, _metric(int(found[1])))


for _k in KS:
    METRICS.register(f"pass@{_k}", version=VERSION, reference=REFERENCE)(_metric(_k))
METRICS.add_endless(_any)
