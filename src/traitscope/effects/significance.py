"""Intervals and tests for paired scores, and the correction for how many were looked at."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitscope.metrics.intervals import Ends as Ends
from traitscope.metrics.intervals import bootstrap_weights as bootstrap_weights
from traitscope.metrics.intervals import never_a_point as never_a_point
from traitscope.metrics.intervals import normal_quantile as normal_quantile
from traitscope.metrics.intervals import percentile_interval as percentile_interval

Floats = NDArray[np.float64]


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


def wilson(k: ArrayLike, n: ArrayLike, level: float = 0.95) -> Ends:
    """Score interval of a share k/n; NaN where n is 0. Wilson 1927."""
    successes, trials = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    z = normal_quantile(level)
    trials = np.where(trials > 0, trials, np.nan)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)


def paired_score(lost: ArrayLike, won: ArrayLike, n: ArrayLike, level: float = 0.95) -> Ends:
    """Score interval of the difference of two paired shares, (won - lost) / n; NaN where n is.

    All differences that the score test does not refuse, with the cell probabilities that are most likely under each:
    it keeps its coverage near -1, 0 and 1, and is never a point. Tango 1998, equations 8 to 10.
    """
    c, b, total = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (lost, won, n)))
    z = normal_quantile(level)

    def refused(delta: Floats) -> Floats:
        linear = (2 * total - b + c) * delta - b - c
        root = np.sqrt(np.maximum(linear**2 + 8 * total * c * delta * (1 - delta), 0.0))
        variance = total * ((root - linear) / (2 * total) + delta * (1 - delta))
        return np.asarray(np.abs(b - c - total * delta) > z * np.sqrt(np.maximum(variance, 0.0)))

    with np.errstate(invalid="ignore", divide="ignore"):
        inside = (b - c) / total
        ends = []
        for end in (-1.0, 1.0):
            near, far = inside, np.where(np.isnan(inside), np.nan, end)
            for _ in range(40):
                middle = (near + far) / 2
                out = refused(middle)
                near, far = np.where(out, near, middle), np.where(out, middle, far)
            ends.append(far)
    return ends[0], ends[1]


class Runs(NamedTuple):
    """What training runs add to the error of a mean over seeds.

    Attributes:
        variance: of the mean.
        doubt: half the variance of that estimate, S^4 / df of the S^2 it rests on; 0 where it is known.
    """

    variance: float
    doubt: float

    def __add__(self, other: object) -> Runs:
        """Of a sum or difference of two independent means."""
        assert isinstance(other, Runs)
        return Runs(self.variance + other.variance, self.doubt + other.doubt)


# Where runs are not known, their part is left out, and it is said that findings speak of these runs only.
NO_RUNS = Runs(0.0, 0.0)


def alone_of(replicates_RJ: Floats) -> Floats:
    """Variance over replicates of what each of J seeds of a source has apart from the others; 0 for a single one."""
    seeds = replicates_RJ.shape[1]
    if seeds < 2:
        return np.zeros(seeds)
    apart_RJ = replicates_RJ - replicates_RJ.mean(axis=1, keepdims=True)
    return np.nan_to_num(apart_RJ.var(axis=0, ddof=1)) * seeds / (seeds - 1)


def with_runs(value: float, lo: float, hi: float, runs: Runs, level: float) -> dict[str, float]:
    """Interval and p of a value whose error has a part of the examples, with an interval, and a part of the runs.

    Half-widths add as squares (Zou and Donner 2008), so that an uneven interval stays so; the quantile is Student's t
    with Satterthwaite's degrees of freedom. Both ends at the value: the examples' part is not known.
    """
    from scipy.stats import t as student

    z = normal_quantile(level)
    down, up = (((value - lo) / z) ** 2 + runs.variance, ((hi - value) / z) ** 2 + runs.variance)
    df = [max(variance**2 / runs.doubt, 1.0) if runs.doubt > 0 else np.inf for variance in (down, up)]
    half = [float(student.ppf(0.5 + level / 2, d) * np.sqrt(v)) for d, v in zip(df, (down, up), strict=True)]
    # The end that lies towards no effect is the one that the test asks about.
    towards, at = (down, df[0]) if value > 0 else (up, df[1])
    p = float(2 * student.sf(abs(value) / np.sqrt(towards), at)) if towards > 0 else np.nan
    return {"lo": value - half[0], "hi": value + half[1], "p": p}


def paired_ratio(both: ArrayLike, lost: ArrayLike, won: ArrayLike, level: float = 0.95) -> tuple[Floats, Ends]:
    """Smoothed ratio of two paired success counts (both + won) / (both + lost), and its interval.

    One half is added to every count; the interval is that of the log ratio, with variance
    (lost + won) / ((both + lost) (both + won)). Nam and Blackwelder 2002.
    """
    a, b, c = (np.asarray(x, dtype=float) + 0.5 for x in (both, lost, won))
    ratio = (a + c) / (a + b)
    half = normal_quantile(level) * np.sqrt((b + c) / ((a + b) * (a + c)))
    return ratio, (ratio * np.exp(-half), ratio * np.exp(half))


def replicate_test(
    value: float, replicates_R: Floats, n: int, level: float, ends: str = "", limit: float = np.inf
) -> dict[str, float]:
    """Percentile interval of a value and the normal p of its bootstrap's standard error, as columns of a table.

    The interval is never a point but at 0, and p never below that of n examples which all agree, 2^(1 - n).

    Args:
        value: what was observed.
        replicates_R: what the bootstrap drew.
        n: examples behind it.
        level: of the interval.
        ends: a prefix of the columns ``lo``, ``hi``, ``p``.
        limit: the largest size that the value can have.
    """
    lo, hi = never_a_point(value, percentile_interval(replicates_R, n, level), n, level, limit)
    se = float(replicates_R.std(ddof=1))
    p = float(normal_p(value / se)) if se > 0 else (1.0 if value == 0 else 0.0)
    return {f"{ends}lo": float(lo), f"{ends}hi": float(hi), f"{ends}p": max(p, 2.0 ** (1 - n))}


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
