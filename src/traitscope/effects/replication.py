"""Replication: in how many of several studies an effect is there, by partial conjunction tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from traitscope.errors import TraitscopeError, check_shares

Floats = NDArray[np.float64]
COMBINATIONS = ("simes", "bonferroni", "fisher")


def partial_conjunction(p_FB: Floats, u: int, combination: str = "simes") -> Floats:
    """p of "fewer than u of the n studies have the effect", for every row; NaN where fewer than u were tested.

    The u - 1 smallest p may be of true effects; what is left, the n - u + 1 largest, is combined as if all of them
    were null. Benjamini and Heller 2008, sections 2.1 to 2.3.

    Args:
        p_FB: p of F findings in B studies; NaN where one was not tested.
        u: of how many studies at least it is claimed, from 1.
        combination: "simes" (holds where the studies' errors go together, as on the same examples), "bonferroni"
            (holds always), or "fisher" (studies independent of each other).

    Raises:
        TraitscopeError: an unknown combination, or u below 1.
    """
    from scipy.stats import chi2

    if combination not in COMBINATIONS or u < 1:
        raise TraitscopeError(
            f"combination={combination!r}, u={u}",
            where="replication",
            fix=f"u from 1; one of {', '.join(COMBINATIONS)}",
        )
    sorted_FB = np.sort(np.asarray(p_FB, dtype=float), axis=1)
    n_F = np.isfinite(sorted_FB).sum(axis=1)
    found_F = np.full(len(sorted_FB), np.nan)
    for n in np.unique(n_F[n_F >= u]).tolist():
        rows = n_F == n
        left_FM = sorted_FB[rows, u - 1 : n]
        m = n - u + 1
        if combination == "bonferroni":
            combined_F = m * left_FM[:, 0]
        elif combination == "simes":
            combined_F = (left_FM * m / np.arange(1, m + 1)).min(axis=1)
        else:
            with np.errstate(divide="ignore"):
                combined_F = chi2.sf(-2 * np.log(left_FM).sum(axis=1), 2 * m)
        found_F[rows] = np.minimum(combined_F, 1.0)
    return found_F


def same_direction(p_FB: Floats, sign_FB: Floats, u: int, combination: str = "simes") -> tuple[Floats, Floats]:
    """The same for effects of one sign in at least u studies: two-sided p, and the sign (0: neither leads).

    Twice the smaller of the two one-sided tests. Owen 2009.

    Args:
        p_FB: two-sided p. sign_FB: signs of the effects. u, combination: as of ``partial_conjunction``.

    Raises:
        TraitscopeError: as ``partial_conjunction``.
    """
    up_FB = np.where(sign_FB > 0, p_FB / 2, np.where(sign_FB < 0, 1 - p_FB / 2, np.where(np.isnan(p_FB), np.nan, 0.5)))
    down_FB = 1 - up_FB
    # A p of 1 either way says nothing of a direction.
    up_F, down_F = (partial_conjunction(side_FB, u, combination) for side_FB in (up_FB, down_FB))
    return np.minimum(1.0, 2 * np.fmin(up_F, down_F)), np.sign(down_F - up_F)


def at_least(p_FB: Floats, sign_FB: Floats, alpha: float = 0.05, combination: str = "simes") -> NDArray[np.int64]:
    """In how many studies at least each effect is there, in one direction, at the level 1 - alpha (0: in none).

    The largest u up to which every "fewer than u" is refused. Benjamini and Heller 2008, section 3.

    Raises:
        TraitscopeError: a level that is not between 0 and 1, or as ``partial_conjunction``.
    """
    check_shares("replication", alpha=alpha)
    found_F = np.zeros(len(p_FB), dtype=np.int64)
    going_F = np.ones(len(p_FB), dtype=bool)
    for u in range(1, p_FB.shape[1] + 1):
        p_F, _ = same_direction(p_FB, sign_FB, u, combination)
        going_F &= np.nan_to_num(p_F, nan=1.0) <= alpha
        found_F[going_F] = u
    return found_F
