"""Centred kernel alignment: centrings, the closed forms, and the leave-one-out interval.

Biased: Kornblith et al. 2019 (arXiv 1905.00414). Debiased: the unbiased HSIC of Song et al. 2012 (JMLR 13) in
the ratio, as in Nguyen et al. 2021 (arXiv 2010.15327). With U-centred (or double-centred) Gram matrices both
are cosines.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from traitscope.errors import TraitscopeError
from traitscope.layers.representation import linear_gram

__all__ = ["Interval", "cka_jackknife", "linear_cka", "rbf_kernel", "u_centre"]

_MAX_GRAM_BYTES = 1 << 30
# HSIC(x, x) below this part of what it is the remainder of is rounding: the self-similarity is 0.
_ROUNDING = 1e-12


class Interval(NamedTuple):
    """A value with its 95 % interval; the bounds are NaN where none is defined."""

    value: float
    low: float
    high: float


def u_centre(kernel_SS: np.ndarray) -> np.ndarray:
    """U-centred copy of a symmetric kernel: zero diagonal, zero row sums over the off-diagonal entries.

    The inner product of two of them, over n (n - 3), is the unbiased HSIC (Szekely and Rizzo 2014; equal to
    Song et al. 2012, eq. 5). Exactly 0 where only rounding is left, as where one example alone differs.
    """
    n = len(kernel_SS)
    off_SS = kernel_SS.copy()
    np.fill_diagonal(off_SS, 0.0)
    before = float(np.vdot(off_SS, off_SS))
    rows_S = off_SS.sum(axis=1)
    off_SS -= rows_S[:, None] / (n - 2)
    off_SS -= rows_S[None, :] / (n - 2)
    off_SS += rows_S.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(off_SS, 0.0)
    return off_SS if float(np.vdot(off_SS, off_SS)) > _ROUNDING * before else np.zeros_like(off_SS)


def rbf_kernel(sqdist_SS: np.ndarray, *, bandwidth: float = 1.0) -> np.ndarray:
    """Gaussian kernel exp(-d^2 / (2 s^2)) with s = ``bandwidth`` x the median distance of two examples.

    The scale follows Kornblith et al. 2019, section 3 (a fraction of the median distance).
    """
    n = len(sqdist_SS)
    median = float(np.median(sqdist_SS[np.triu_indices(n, 1)]))
    if median == 0.0:
        # More than half of the pairs coincide: the scale then comes from those that do not.
        median = float(np.median(sqdist_SS[sqdist_SS > 0]))
    return np.exp(sqdist_SS / (-2.0 * bandwidth**2 * median))


def linear_cka(
    x_SD: np.ndarray,
    y_SE: np.ndarray,
    *,
    biased: bool = False,
    method: Literal["auto", "gram", "features", "blocked"] = "auto",
    block: int = 1024,
) -> float:
    """Linear CKA of two sets of features of the same examples, in float64.

    Args:
        x_SD, y_SE: rows are the same examples in the same order (at least 4); columns are features.
        biased: the plain HSIC (0..1, far from 0 for unrelated features when n is small against D) instead of
            the unbiased one (-1..1, about 0 for unrelated features; not clamped).
        method: ``"gram"`` works with n x n, ``"features"`` with D x E matrices, ``"blocked"`` with ``block``
            rows of the Gram at a time, so that no n x n matrix is held; ``"auto"`` takes the cheapest that
            fits in memory. All agree to rounding.
        block: rows per block.

    Returns:
        CKA, or NaN where one of the two has no similarity with itself, HSIC(x, x) <= 0: it is constant, or (unless
        biased) one example alone differs.

    Raises:
        TraitscopeError: the numbers of rows differ or there are fewer than 4.
    """
    n = len(x_SD)
    if n != len(y_SE) or n < 4:
        raise TraitscopeError(
            f"CKA needs the same examples on both sides and at least 4: got {n} and {len(y_SE)}",
            where="linear_cka",
            fix="pass two arrays with one row per example, in the same order",
        )
    d, e = x_SD.shape[1], y_SE.shape[1]
    if method == "auto":
        if n * (d + e) >= d * e + d * d + e * e:
            method = "features"
        else:
            method = "gram" if n * n * 8 <= _MAX_GRAM_BYTES else "blocked"
    sizes = [float(np.einsum("sd,sd->", a, a, dtype=np.float64)) for a in (x_SD, y_SE)]
    x_SD = x_SD - x_SD.mean(axis=0, dtype=np.float64)
    y_SE = y_SE - y_SE.mean(axis=0, dtype=np.float64)
    if any(np.square(a).sum() <= _ROUNDING * size for a, size in zip((x_SD, y_SE), sizes, strict=True)):
        return float("nan")
    if method == "features":
        products = tuple(float(np.sum(np.square(a.T @ b))) for a, b in ((x_SD, y_SE), (x_SD, x_SD), (y_SE, y_SE)))
    elif method == "gram":
        k_SS, l_SS = linear_gram(x_SD), linear_gram(y_SE)
        products = (float(np.vdot(k_SS, l_SS)), float(np.vdot(k_SS, k_SS)), float(np.vdot(l_SS, l_SS)))
    else:
        sums = np.zeros(3)
        for start in range(0, n, block):
            k_BS = x_SD[start : start + block] @ x_SD.T
            l_BS = y_SE[start : start + block] @ y_SE.T
            sums += np.vdot(k_BS, l_BS), np.vdot(k_BS, k_BS), np.vdot(l_BS, l_BS)
        products = tuple(sums.tolist())
    _, *whole = products
    if not biased:
        k_S, l_S = np.einsum("sd,sd->s", x_SD, x_SD), np.einsum("sd,sd->s", y_SE, y_SE)
        pairs = ((k_S, l_S), (k_S, k_S), (l_S, l_S))
        products = tuple(_unbias(p, a, b) for p, (a, b) in zip(products, pairs, strict=True))
    xy, xx, yy = products
    known = xx > _ROUNDING * whole[0] and yy > _ROUNDING * whole[1]
    return xy / float(np.sqrt(xx * yy)) if known else float("nan")


def _unbias(product: float, k_S: np.ndarray, l_S: np.ndarray) -> float:
    """n (n - 3) x the unbiased HSIC from <K, L> and the diagonals of two double-centred Gram matrices.

    Rows of a centred Gram sum to 0, so those of the zero-diagonal one sum to minus its diagonal.
    """
    n = len(k_S)
    diagonals = float(k_S @ l_S)
    return product - diagonals * n / (n - 2) + float(k_S.sum() * l_S.sum()) / ((n - 1) * (n - 2))


def cka_jackknife(k_SS: np.ndarray, l_SS: np.ndarray, *, biased: bool = False, z: float = 1.959964) -> Interval:
    """CKA of two kernels with a jackknife interval over examples.

    Every example is left out once, in closed form: O(n^2) in all. Rows are never drawn twice: doubled rows
    pull debiased CKA of unrelated features up to .8 and more.

    Args:
        k_SS, l_SS: symmetric kernels of the same examples (centred or not), n >= 5.
        biased: see `linear_cka`.
        z: half-width in standard errors; 1.96 for 95 %.

    Returns:
        CKA and value -+ z x jackknife standard error; NaN where HSIC(x, x) <= 0 on either side. Not clamped.
    """
    kl = _leave_one_out(k_SS, l_SS, biased)
    kk = _leave_one_out(k_SS, k_SS, biased)
    ll = _leave_one_out(l_SS, l_SS, biased)
    if not (kk[0] > _ROUNDING * np.vdot(k_SS, k_SS) and ll[0] > _ROUNDING * np.vdot(l_SS, l_SS)):
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(kl[0] / np.sqrt(kk[0] * ll[0]))
    n = len(k_SS)
    # Where all similarity hangs on one example, nothing is left to compare without it: no interval then.
    known_S = (kk[1:] > _ROUNDING * kk[0]) & (ll[1:] > _ROUNDING * ll[0])
    left_S = np.where(known_S, kl[1:] / np.sqrt(np.where(known_S, kk[1:] * ll[1:], 1.0)), np.nan)
    error = float(np.sqrt((n - 1) / n * np.sum(np.square(left_S - left_S.mean()))))
    return Interval(value, value - z * error, value + z * error)


def _leave_one_out(k_SS: np.ndarray, l_SS: np.ndarray, biased: bool) -> np.ndarray:
    """HSIC (up to a factor of n alone) of all rows, then of all rows but row i: shape [n + 1]."""
    n = len(k_SS)
    k_diag_S, l_diag_S = np.diag(k_SS), np.diag(l_SS)
    row_S = np.einsum("ij,ij->i", k_SS, l_SS)
    k_S, l_S = k_SS.sum(axis=1), l_SS.sum(axis=1)
    kl_S, lk_S = k_SS @ l_S, l_SS @ k_S
    if not biased:
        diagonal_S = k_diag_S * l_diag_S
        row_S = row_S - diagonal_S
        k_S, l_S = k_S - k_diag_S, l_S - l_diag_S
        kl_S = k_SS @ l_S - k_diag_S * l_S
        lk_S = l_SS @ k_S - l_diag_S * k_S
        k_diag_S = l_diag_S = np.zeros(n)
    # Without row i: the trace loses row and column i, every other row sum loses its entry i.
    trace = np.append(row_S.sum(), row_S.sum() - 2.0 * row_S + k_diag_S * l_diag_S)
    dot = np.append(k_S @ l_S, k_S @ l_S - kl_S - lk_S + row_S - (k_S - k_diag_S) * (l_S - l_diag_S))
    k_sum = np.append(k_S.sum(), k_S.sum() - 2.0 * k_S + k_diag_S)
    l_sum = np.append(l_S.sum(), l_S.sum() - 2.0 * l_S + l_diag_S)
    m = np.append(float(n), np.full(n, n - 1.0))
    if biased:
        return trace - 2.0 / m * dot + k_sum * l_sum / m**2
    return trace + k_sum * l_sum / ((m - 1) * (m - 2)) - 2.0 / (m - 2) * dot
