"""Intervals and tests for paired scores, and the correction for how many were looked at."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
# Lower and upper ends of intervals, arrays of one shape.
Ends = tuple[Floats, Floats]


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Adjusted p-values (q) over one family of tests; NaN stays NaN and is no test.

    Benjamini and Hochberg 1995.
    """
    from scipy.stats import false_discovery_control

    p_values = np.asarray(p, dtype=float)
    q, known = np.full(p_values.shape, np.nan), ~np.isnan(p_values)
    if known.any():
        q[known] = false_discovery_control(p_values[known])
    return q


def mcnemar_exact(lost: ArrayLike, won: ArrayLike) -> Floats:
    """Two-sided exact p of McNemar's test: losing and winning an example are equally likely."""
    from scipy.stats import binom

    b, c = np.broadcast_arrays(np.asarray(lost, dtype=float), np.asarray(won, dtype=float))
    return np.minimum(1.0, 2.0 * binom.cdf(np.minimum(b, c), b + c, 0.5))


def normal_p(z: ArrayLike) -> Floats:
    """Two-sided p of a standard normal z."""
    from scipy.special import erfc

    return np.asarray(erfc(np.abs(np.asarray(z, dtype=float)) / np.sqrt(2.0)), dtype=float)


def normal_quantile(level: float) -> float:
    """z such that a standard normal lies within +-z with probability ``level``."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2.0))


def wilson(k: ArrayLike, n: ArrayLike, level: float = 0.95) -> Ends:
    """Score interval of a share k/n; NaN where n is 0. Wilson 1927."""
    successes, trials = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    z = normal_quantile(level)
    trials = np.where(trials > 0, trials, np.nan)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)


def agresti_min(lost: ArrayLike, won: ArrayLike, n: ArrayLike, level: float = 0.95) -> Ends:
    """Interval of the difference of two paired shares, (won - lost) / n.

    Half an example is added to each of the four counts: it keeps its coverage where few examples differ, and
    does not shrink to a point where none does. Agresti and Min 2005.
    """
    b, c, total = (np.asarray(x, dtype=float) for x in (lost, won, n))
    z = normal_quantile(level)
    centre = (c - b) / (total + 2)
    spread = np.sqrt(np.maximum((b + c + 1) - (c - b) ** 2 / (total + 2), 0.0)) / (total + 2)
    return np.clip(centre - z * spread, -1.0, 1.0), np.clip(centre + z * spread, -1.0, 1.0)


def paired_ratio(both: ArrayLike, lost: ArrayLike, won: ArrayLike, level: float = 0.95) -> tuple[Floats, Ends]:
    """Smoothed ratio of two paired success counts (both + won) / (both + lost), and its interval.

    One half is added to every count; the interval is that of the log ratio, with variance
    (lost + won) / ((both + lost) (both + won)). Nam and Blackwelder 2002.
    """
    a, b, c = (np.asarray(x, dtype=float) + 0.5 for x in (both, lost, won))
    ratio = (a + c) / (a + b)
    half = normal_quantile(level) * np.sqrt((b + c) / ((a + b) * (a + c)))
    return ratio, (ratio * np.exp(-half), ratio * np.exp(half))


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


def replicate_test(value: float, replicates_R: Floats, n: int, level: float, ends: str = "") -> dict[str, float]:
    """Percentile interval of a value and the normal p of its bootstrap's standard error, as columns of a table.

    Args:
        value: what was observed.
        replicates_R: what the bootstrap drew.
        n: examples behind it.
        level: of the interval.
        ends: a prefix of the columns ``lo``, ``hi``, ``p``.
    """
    lo, hi = percentile_interval(replicates_R, n, level)
    se = float(replicates_R.std(ddof=1))
    p = float(normal_p(value / se)) if se > 0 else (1.0 if value == 0 else 0.0)
    return {f"{ends}lo": float(lo), f"{ends}hi": float(hi), f"{ends}p": p}


def bootstrap_weights(n: int, replicates: int, seed: int, key: str = "") -> NDArray[np.float32]:
    """How often each of n examples is drawn in each bootstrap replicate: weights_RS.

    The same n, seed and key (a task's name) give the same weights, so that all models of a task are paired.
    """
    rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
    drawn = rng.integers(0, n, size=(replicates, n))
    drawn += np.arange(replicates)[:, None] * n
    counts = np.bincount(drawn.ravel(), minlength=replicates * n)
    return counts.reshape(replicates, n).astype(np.float32)


def sign_flip_p(differences_MS: Floats, replicates: int, seed: int, key: str = "") -> Floats:
    """Two-sided p for every row that paired differences are symmetric about 0 (NaN: missing); random signs.

    The smallest value is 1 / (replicates + 1).
    """
    rng = np.random.default_rng([seed, zlib.crc32(key.encode()), 1])
    filled = np.nan_to_num(differences_MS).astype(np.float32)
    observed = np.abs(filled.sum(axis=1))
    hits = np.zeros(len(filled))
    done = 0
    while done < replicates:
        block = min(2000, replicates - done)
        signs = rng.integers(0, 2, size=(block, filled.shape[1]), dtype=np.int8).astype(np.float32) * 2 - 1
        hits += (np.abs(signs @ filled.T) >= observed * (1 - 1e-6) - 1e-9).sum(axis=0)
        done += block
    return (hits + 1.0) / (replicates + 1.0)


def additive_basis(row_V: ArrayLike, column_V: ArrayLike, extra_V: Floats | None = None) -> Floats:
    """Orthonormal basis (V x rank) of a mean for every row and column, and of one regressor more."""
    blocks = [(np.asarray(codes)[:, None] == np.unique(codes)).astype(float) for codes in (row_V, column_V)]
    if extra_V is not None:
        blocks.append((extra_V - extra_V.mean())[:, None])
    left, singular, _ = np.linalg.svd(np.hstack(blocks), full_matrices=False)
    return left[:, singular > 1e-9 * singular[0]]
