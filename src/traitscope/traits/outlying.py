"""Rows far outside all others on most tasks, as models with degenerate answers are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from traitscope.traits.factors import fit_factors

Floats = npt.NDArray[np.float64]

# So large a share of a row's cells must lie FAR errors off what the others' directions can make, and TIMES as far off
# as a typical row's.
SHARE, FAR, TIMES = 0.5, 2.5, 3.0
ROUNDS, SEARCHES = 30, 4
# Among fewer rows none can be called an outlier.
FEWEST = 6


def outlying_rows(
    values_IN: Floats,
    precision_IN: Floats,
    candidates_I: npt.NDArray[np.bool_],
    count: Callable[[list[int]], int],
) -> list[int]:
    """Indices of rows that no direction of the others explains, on most of their tasks.

    A forward search (Atkinson, Riani & Cerioli 2004): directions are fitted on the rows nearest to the tasks' medians,
    every row is compared with the directions of the others, and those not far off make the next core. Rows that make a
    direction together are a group, not outliers; more than a third of the rows are so too.

    Args:
        values_IN: the matrix, NaN where missing. precision_IN: 1 / error variance of the cells, 0 where missing.
        candidates_I: rows that may be called so. count: number of directions among some rows.
    """
    n_models = len(values_IN)
    if n_models < FEWEST:
        return []
    centre_N = np.nanmedian(values_IN, axis=0)
    spread_N = 1.4826 * np.nanmedian(np.abs(values_IN - centre_N), axis=0)
    unit_IN = np.sqrt(np.maximum(spread_N**2, 1.0 / np.maximum(precision_IN, 1e-300)))
    far_I = _size(np.abs(values_IN - centre_N) / unit_IN)
    core = sorted(np.argsort(far_I, kind="stable")[: max(n_models - n_models // 3, 3)].tolist())
    found: list[int] = []
    for _ in range(SEARCHES):
        distance_I = _distances(values_IN, precision_IN, core, count(core))
        limit = max(FAR, TIMES * float(np.median(distance_I[core])))
        found = [i for i in range(n_models) if candidates_I[i] and distance_I[i] > limit]
        rest = [i for i in range(n_models) if i not in found]
        if len(found) > n_models // 3:
            return []
        if rest == core:
            break
        core = rest
    return found


def _size(cells_IN: Floats) -> Floats:
    """What a share of the cells that each row has exceed; 0 for a row without cells."""
    return np.array(
        [np.quantile(row[np.isfinite(row)], 1.0 - SHARE) if np.isfinite(row).any() else 0.0 for row in cells_IN]
    )


def _distances(values_IN: Floats, precision_IN: Floats, core: list[int], k: int) -> Floats:
    """How many errors a typical cell of each row is off what k directions of the core, without the row, can make."""
    n_models = len(values_IN)
    held = np.where(precision_IN > 0, values_IN, 0.0)
    inside = np.isin(np.arange(n_models), core)
    there_II = inside[None, :] & ~np.eye(n_models, dtype=bool)
    others_BIN = precision_IN[core][None] * there_II[:, core, None]
    # A task that the core without the row has not seen says nothing of the row.
    blind_BN = others_BIN.sum(axis=1) == 0
    others_BIN = np.where(blind_BN[:, None], 1e-12, others_BIN)
    fitted = fit_factors(np.broadcast_to(held[core], others_BIN.shape), others_BIN, k, iterations=ROUNDS)
    seen_IN = (precision_IN > 0) & ~blind_BN
    weight_IN = np.where(seen_IN, precision_IN, 0.0)
    rest_IN = held - fitted.mean_BN
    doubt_I = np.full(n_models, 1.0 + 1.0 / max(len(core) - 1, 1))
    if k:
        loadings = fitted.loadings_BNK
        gram = np.einsum("ink,in,inl->ikl", loadings, weight_IN, loadings) + 1e-3 * np.eye(k)
        pull = np.einsum("ink,in->ik", loadings, weight_IN * rest_IN)
        scores = np.linalg.solve(gram, pull[..., None])[..., 0]
        rest_IN = rest_IN - np.einsum("ink,ik->in", loadings, scores)
        # Directions are known the less well, the farther out along them a row lies: its leverage in the regression.
        there = there_II[:, core].astype(float)
        spread = np.einsum("ick,icl,ic->ikl", fitted.scores_BIK, fitted.scores_BIK, there) + np.eye(k)
        doubt_I += np.einsum("ik,ik->i", scores, np.linalg.solve(spread, scores[..., None])[..., 0])
    left_I = np.maximum(seen_IN.sum(axis=1) - k, 1) / np.maximum(seen_IN.sum(axis=1), 1)
    standard_IN = np.where(seen_IN, np.abs(rest_IN) * np.sqrt(weight_IN), np.nan)
    return _size(standard_IN / np.sqrt(left_I * doubt_I)[:, None])
