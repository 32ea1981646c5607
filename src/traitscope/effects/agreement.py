"""How alike the gains of two score matrices are, over the cells that both have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.significance import additive_basis

Floats = NDArray[np.float64]
# Degrees of freedom below which a correlation of what the means leave says nothing.
LEAST_LEFT = 5


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How alike the gains of two matrices are, over the transfer cells that both have.

    Attributes:
        n: cells. pearson, spearman: correlation of the gains.
        apart: Pearson's correlation of what is left without the means of rows and columns: of which source helps which
            task; NaN where that has fewer than five degrees of freedom.
        p: of it, two-sided, when the second's sources are exchanged, each scaled to the size of the one whose place it
            takes (sources that move much move much in both) and then without means again. exchanges: how often.
    """

    n: int
    pearson: float
    spearman: float
    apart: float
    p: float
    exchanges: int


def agreement(cells: pd.DataFrame, *, exchanges: int = 2000, seed: int = 0) -> Agreement:
    """The correlation of the gains of ``side_by_side``'s cells.

    Args:
        cells: what it gave. exchanges: permutations of the second's rows. seed: of them.
    """
    from scipy.stats import spearmanr

    used = cells[(cells["relation"] == "transfer") & cells["gain_first"].notna() & cells["gain_second"].notna()]
    a_IN = used.pivot(index="row", columns="task", values="gain_first").to_numpy(dtype=float)
    b_IN = used.pivot(index="row", columns="task", values="gain_second").to_numpy(dtype=float)
    nan = float("nan")
    if len(used) < 4:
        return Agreement(n=len(used), pearson=nan, spearman=nan, apart=nan, p=nan, exchanges=0)
    pearson = _correlation(a_IN, b_IN)
    x, y = used["gain_first"].to_numpy(dtype=float), used["gain_second"].to_numpy(dtype=float)
    flat = x.std() == 0 or y.std() == 0
    spearman = nan if flat else float(spearmanr(x, y).statistic)
    both = np.isfinite(a_IN) & np.isfinite(b_IN)
    row, column = np.nonzero(both)
    if len(row) - additive_basis(row, column).shape[1] < LEAST_LEFT:
        return Agreement(n=len(used), pearson=pearson, spearman=spearman, apart=nan, p=nan, exchanges=0)
    left_a, left_b = _without_means(a_IN), _without_means(b_IN)
    apart, rng = _correlation(left_a, left_b), np.random.default_rng(seed)
    size_I = np.sqrt(np.nanmean(left_b**2, axis=1))[:, None]
    unit_b = left_b / np.where(size_I > 0, size_I, 1.0)
    # What was exchanged has means again; with them it varies less than what was found.
    exchanged = (_without_means(size_I * unit_b[rng.permutation(len(unit_b))]) for _ in range(exchanges))
    null_R = np.array([_correlation(left_a, one_b) for one_b in exchanged])
    p = (1 + int((np.abs(null_R) >= abs(apart) - 1e-12).sum())) / (exchanges + 1) if np.isfinite(apart) else nan
    return Agreement(n=len(used), pearson=pearson, spearman=spearman, apart=apart, p=p, exchanges=exchanges)


def _correlation(a_IN: Floats, b_IN: Floats) -> float:
    both = np.isfinite(a_IN) & np.isfinite(b_IN)
    a, b = a_IN[both], b_IN[both]
    if len(a) < 3 or a.std() < 1e-12 or b.std() < 1e-12:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _without_means(values_IN: Floats) -> Floats:
    """What an additive model of rows and columns leaves, by least squares over the cells that are known."""
    left_IN = values_IN.copy()
    for _ in range(200):
        before = left_IN.copy()
        left_IN = left_IN - np.nanmean(left_IN, axis=1, keepdims=True)
        left_IN = left_IN - np.nanmean(left_IN, axis=0, keepdims=True)
        if np.nanmax(np.abs(left_IN - before)) < 1e-12:
            break
    return left_IN
