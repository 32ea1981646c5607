"""Random-effects meta-analysis: the mean of an effect over studies, and how far it differs between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitscope.errors import check_shares

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """An effect over n studies; NaN where n is 1 or an end is not defined.

    Attributes:
        n: studies. value, se, lo, hi, p: of the mean over studies like these (Student's t with n - 1 degrees of
            freedom).
        sd, sd_lo, sd_hi: deviation of the effect between studies (tau).
        share, share_lo, share_hi: of the variance seen, the share that is between studies (I2), 0..1.
        q, q_p: Cochran's Q, by the covariance of the errors, and its p: whether they differ by more than these.
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


def random_effects(
    value_B: ArrayLike,
    se_B: ArrayLike,
    level: float = 0.95,
    covariance_BB: ArrayLike | None = None,
    examples: float = np.inf,
) -> Pooled:
    """The mean of effects over studies.

    The variance between studies is Paule and Mandel's (1982), under which the factor of Hartung and Knapp (2001) is 1
    or less, and is taken as 1 (Roever, Knapp and Friede 2015). Its interval is Viechtbauer's (2007) profile of Q; I2
    is that of Higgins and Thompson (2002). Where errors go together, Q is of generalised least squares, and the mean,
    weighted as without that, has the error that their covariance gives it: the common part does not average out.

    Args:
        value_B: effects; a study whose effect or error is not known is left out.
        se_B: their standard errors, above 0.
        level: of all intervals.
        covariance_BB: of the errors; its diagonal does not count. Without it they are independent.
        examples: that the covariance is estimated from; Q is then Hotelling's.

    Raises:
        TraitscopeError: a level that is not between 0 and 1.
    """
    from scipy.stats import chi2
    from scipy.stats import f as fisher
    from scipy.stats import t as student

    check_shares("random_effects", level=level)
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
    together = np.diag(v)
    if covariance_BB is not None:
        most = np.sqrt(np.outer(v, v))
        given = np.clip(np.asarray(covariance_BB, dtype=float)[np.ix_(known, known)], -most, most)
        together = np.where(np.eye(n) > 0, together, given)
    square, own = _contrasts(y, together)
    df, tail = n - 1, (1 - level) / 2
    variance = _variance_at(square, own, float(df))
    weight = 1 / (v + variance)
    weight /= weight.sum()
    mean = float(weight @ y)
    se = float(np.sqrt(weight @ together @ weight + variance * weight @ weight))
    t = float(student.ppf(1 - tail, df))
    low, high = (_variance_at(square, own, float(chi2.ppf(level_, df))) for level_ in (1 - tail, tail))
    fixed = 1 / v
    typical = df * fixed.sum() / (fixed.sum() ** 2 - (fixed**2).sum()) * own.sum() / _contrasts(y, np.diag(v))[1].sum()
    q = _q(square, own, 0.0)
    estimated = covariance_BB is not None and np.isfinite(examples) and examples > df + 1
    q_p = fisher.sf(q * (examples - df) / ((examples - 1) * df), df, examples - df) if estimated else chi2.sf(q, df)
    reach = float(student.ppf(1 - tail, n - 2)) * np.sqrt(variance + se**2) if n > 2 else nan
    return Pooled(
        n=n,
        value=mean,
        se=se,
        lo=mean - t * se,
        hi=mean + t * se,
        p=float(2 * student.sf(abs(mean) / se, df)) if se > 0 else nan,
        sd=float(np.sqrt(variance)),
        sd_lo=float(np.sqrt(low)),
        sd_hi=float(np.sqrt(high)),
        share=max(0.0, (q - df) / q) if q > 0 else 0.0,
        share_lo=float(low / (low + typical)),
        share_hi=float(high / (high + typical)),
        q=q,
        q_p=float(q_p),
        next_lo=float(mean - reach),
        next_hi=float(mean + reach),
    )


def _contrasts(y: Floats, together_BB: Floats) -> tuple[Floats, Floats]:
    """Squares of independent contrasts between the studies, and the error variance of each.

    With a variance between studies added to every one of these, their ratios sum to the Q of generalised least squares.
    """
    n = len(y)
    basis = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0][:, 1:]
    own, turn = np.linalg.eigh(basis.T @ together_BB @ basis)
    # Base models with all errors in common have a contrast without any.
    floor = 1e-9 * float(np.trace(together_BB)) / n
    return (turn.T @ basis.T @ y) ** 2, np.maximum(own, floor)


def _q(square: Floats, own: Floats, variance: float) -> float:
    """Cochran's Q under some variance between studies."""
    return float((square / (own + variance)).sum())


def _variance_at(square: Floats, own: Floats, wanted: float) -> float:
    """The variance between studies at which Q is ``wanted``; 0 where it is below that already."""
    from scipy.optimize import brentq

    if _q(square, own, 0.0) <= wanted:
        return 0.0
    top = max(float(square.sum()), float(own.max()))
    while _q(square, own, top) > wanted:
        top *= 4
    return float(brentq(lambda variance: _q(square, own, variance) - wanted, 0.0, top, xtol=1e-15 * top, rtol=1e-12))
