"""Intervals over examples: bootstrap weights, percentiles, and what keeps an interval from being a point."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
# Lower and upper ends of intervals, arrays of one shape.
Ends = tuple[Floats, Floats]


def normal_quantile(level: float) -> float:
    """z such that a standard normal lies within +-z with probability ``level``."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2.0))


def never_a_point(value: ArrayLike, ends: Ends, n: ArrayLike, level: float, limit: float = np.inf) -> Ends:
    """Ends of a bootstrap interval, at least |value| z^2 / (n + z^2) away from the value, within +-``limit``.

    A bootstrap of n examples that are all alike has no width. As many examples of another kind as Wilson's interval
    of 0 of n allows may exist unseen; each takes as much from the mean, or adds as much.
    """
    z = normal_quantile(level)
    middle = np.asarray(value, dtype=float)
    half = np.abs(middle) * z * z / (np.asarray(n, dtype=float) + z * z)
    lo, hi = np.minimum(ends[0], middle - half), np.maximum(ends[1], middle + half)
    return np.clip(lo, -limit, limit), np.clip(hi, -limit, limit)


def percentile_interval(replicates_R: Floats, n: int, level: float = 0.95, axis: int = 0) -> Ends:
    """Percentile interval of bootstrap replicates, its tails widened for small n as Student's t is.

    The plain one is too narrow by the factor sqrt((n-1)/n) z/t. Hesterberg 2015, expanded percentile
    interval.
    """
    from scipy.special import ndtr, stdtrit

    tail = (1.0 - level) / 2.0
    if n > 1:
        tail = float(ndtr(stdtrit(n - 1, tail) * np.sqrt(n / (n - 1))))
    with np.errstate(invalid="ignore"):
        lo, hi = np.quantile(replicates_R, [tail, 1.0 - tail], axis=axis)
    return lo, hi


def bootstrap_weights(n: int, replicates: int, seed: int, key: str = "") -> NDArray[np.float32]:
    """How often each of n examples is drawn in each bootstrap replicate: weights_RS.

    The same n, seed and key (a task's name) give the same weights, so that all models of a task are paired.
    """
    rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
    drawn = rng.integers(0, n, size=(replicates, n))
    drawn += np.arange(replicates)[:, None] * n
    counts = np.bincount(drawn.ravel(), minlength=replicates * n)
    return counts.reshape(replicates, n).astype(np.float32)
