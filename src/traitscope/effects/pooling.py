"""Random-effects meta-analysis: the mean of an effect over studies, and how far it differs between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """An effect over n studies; NaN where n is 1 or an end is not defined.

    Attributes:
        n: studies. value, se, lo, hi, p: of the mean over studies like these (Student's t with n - 1 degrees of
            freedom).
        sd, sd_lo, sd_hi: deviation of the effect between studies (tau).
        share, share_lo, share_hi: of the variance seen, the share that is between studies (I2), 0..1.
        q, q_p: Cochran's Q and its p: whether they differ by more than their errors.
        next_lo, next_hi: where the effect of one more study is expected; needs three.
    """

    n: int
    value: float
    se: float
    lo: float
    hi: float
    p: float
    sd: float
    sd_lo: float
    sd_hi: float
    share: float
    share_lo: float
    share_hi: float
    q: float
    q_p: float
    next_lo: float
    next_hi: float


def random_effects(value_B: ArrayLike, se_B: ArrayLike, level: float = 0.95) -> Pooled:
    """The mean of effects over studies.

    The variance between studies is Paule and Mandel's (1982), under which the factor of Hartung and Knapp (2001) is 1
    wherever that variance is not 0, and is never taken below 1 (Roever, Knapp and Friede 2015). Its interval is
    Viechtbauer's (2007) profile of Q; I2 is that of Higgins and Thompson (2002).

    Args:
        value_B: effects; a study whose effect or error is not known is left out.
        se_B: their standard errors, above 0.
        level: of all intervals.
    """
    from scipy.stats import chi2
    from scipy.stats import t as student

    value_B, se_B = np.asarray(value_B, dtype=float), np.asarray(se_B, dtype=float)
    known = np.isfinite(value_B) & np.isfinite(se_B) & (se_B > 0)
    y, v = value_B[known], se_B[known] ** 2
    n, nan = len(y), float("nan")
    if n < 2:
        alone = (float(y[0]), float(np.sqrt(v[0]))) if n else (nan, nan)
        return Pooled(
            n=n,
            value=alone[0],
            se=alone[1],
            **dict.fromkeys(
                ("lo", "hi", "p", "sd", "sd_lo", "sd_hi", "share", "share_lo", "share_hi", "q", "q_p"), nan
            ),
            next_lo=nan,
            next_hi=nan,
        )
    df, tail = n - 1, (1 - level) / 2
    variance = _variance_at(y, v, float(df))
    weight = 1 / (v + variance)
    mean = float(weight @ y / weight.sum())
    se = float(np.sqrt(max(1.0, _q(y, v, variance) / df) / weight.sum()))
    t = float(student.ppf(1 - tail, df))
    low, high = (_variance_at(y, v, float(chi2.ppf(level_, df))) for level_ in (1 - tail, tail))
    fixed = 1 / v
    typical = df * fixed.sum() / (fixed.sum() ** 2 - (fixed**2).sum())
    q = _q(y, v, 0.0)
    reach = float(student.ppf(1 - tail, n - 2)) * np.sqrt(variance + se**2) if n > 2 else nan
    return Pooled(
        n=n,
        value=mean,
        se=se,
        lo=mean - t * se,
        hi=mean + t * se,
        p=float(2 * student.sf(abs(mean) / se, df)),
        sd=float(np.sqrt(variance)),
        sd_lo=float(np.sqrt(low)),
        sd_hi=float(np.sqrt(high)),
        share=max(0.0, (q - df) / q) if q > 0 else 0.0,
        share_lo=float(low / (low + typical)),
        share_hi=float(high / (high + typical)),
        q=q,
        q_p=float(chi2.sf(q, df)),
        next_lo=float(mean - reach),
        next_hi=float(mean + reach),
    )


def _q(y: Floats, v: Floats, variance: float) -> float:
    """Cochran's Q under some variance between studies."""
    weight = 1 / (v + variance)
    return float(weight @ (y - weight @ y / weight.sum()) ** 2)


def _variance_at(y: Floats, v: Floats, wanted: float) -> float:
    """The variance between studies at which Q is ``wanted``; 0 where it is below that already."""
    from scipy.optimize import brentq

    if _q(y, v, 0.0) <= wanted:
        return 0.0
    top = max(float(np.var(y)), float(v.max()))
    while _q(y, v, top) > wanted:
        top *= 4
    return float(brentq(lambda variance: _q(y, v, variance) - wanted, 0.0, top, xtol=1e-15 * top, rtol=1e-12))
