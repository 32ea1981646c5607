"""Rows that lie low on most tasks and in no direction of the others, as models with degenerate answers do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from traitscope.traits.factors import fit_factors
from traitscope.traits.sizes import is_large

Floats = npt.NDArray[np.float64]

# A row is outlying where at least LOW of its cells are below the tasks' medians, and where that share times their
# distance from what the others' directions can make (root mean square, in errors) is FAR, and TIMES a typical row's.
FAR, TIMES, LOW = 1.75, 1.75, 0.6
# No cell counts for more errors than these: a row that is odd on one task is a matter of that task.
MOST = 6.0
# Rows nearer than this share of the limit join the core together.
NEAR = 0.6
ROUNDS = 30
# Among fewer rows none can be called an outlier.
FEWEST = 6


def outlying_rows(
    values_IN: Floats,
    precision_IN: Floats,
    candidates_I: npt.NDArray[np.bool_],
    count: Callable[[list[int]], int],
) -> list[int]:
    """Indices of rows that are low on most of their tasks, and that no direction of the others explains.

    A forward search (Atkinson, Riani & Cerioli 2004): it starts from all rows but the lowest quarter, and the nearest
    row joins as long as one is near, with directions fitted anew; what is then left is far from everything that the
    others do. More than a quarter of the rows are a group and no outliers.

    Args:
        values_IN: the matrix, higher is better, NaN where missing.
        precision_IN: 1 / error variance of the cells, 0 where missing.
        candidates_I: rows that may be called so. count: number of directions among some rows.
    """
    n_models = len(values_IN)
    if n_models < FEWEST:
        return []
    centre_N = np.nanmedian(values_IN, axis=0)
    spread_N = 1.4826 * np.nanmedian(np.abs(values_IN - centre_N), axis=0)
    unit_IN = np.sqrt(np.maximum(spread_N**2, 1.0 / np.maximum(precision_IN, 1e-300)))
    above_IN = (values_IN - centre_N) / unit_IN
    level_I = np.nanmean(np.clip(above_IN, -MOST, MOST), axis=1)
    share_I = np.nanmean(np.where(np.isfinite(values_IN), above_IN < 0, np.nan), axis=1)
    order = sorted(np.flatnonzero(candidates_I & (share_I >= LOW)).tolist(), key=lambda i: float(level_I[i]))
    rest = order[: max(n_models // 4, 2)]
    k = None
    while rest:
        core = np.setdiff1d(np.arange(n_models), rest).tolist()
        if k is None or not is_large(*values_IN.shape):
            k = count(core)
        distance_I = _distances(values_IN, precision_IN, core, k)
        typical = float(np.median(distance_I[core]))
        # The fewer of its tasks are low, the farther off a row must be.
        distance_I = distance_I * share_I
        limit = max(FAR, TIMES * typical)
        near = [i for i in rest if distance_I[i] <= NEAR * limit]
        if not near:
            # One at a time; of a large matrix a tenth.
            nearest = sorted(rest, key=lambda i: float(distance_I[i]))
            near = nearest[: max(1, len(rest) // 10) if is_large(*values_IN.shape) else 1]
            near = [i for i in near if distance_I[i] <= limit]
        if not near:
            break
        rest = [i for i in rest if i not in near]
    return sorted(rest)


def _distances(values_IN: Floats, precision_IN: Floats, core: list[int], k: int) -> Floats:
    """How many errors, in root mean square, each row is off what k directions of the core without it can make."""
    n_models = len(values_IN)
    large = is_large(*values_IN.shape)
    held = np.where(precision_IN > 0, values_IN, 0.0)
    inside = np.isin(np.arange(n_models), core)
    # One row of so many hardly moves the directions: those of all the core then serve for every row.
    there_II = inside[None, :] & ~np.eye(n_models, dtype=bool) if not large else inside[None, :]
    others_BIN = precision_IN[core][None] * there_II[:, core, None]
    # A task that the core without the row has not seen says nothing of the row.
    blind_BN = others_BIN.sum(axis=1) == 0
    fitted = fit_factors(np.broadcast_to(held[core], others_BIN.shape), others_BIN, k, iterations=ROUNDS)
    seen_IN = (precision_IN > 0) & ~blind_BN
    weight_IN = np.where(seen_IN, precision_IN, 0.0)
    rest_IN = held - fitted.mean_BN
    doubt_I = np.full(n_models, 1.0 + 1.0 / max(len(core) - 1, 1))
    if k:
        loadings = np.broadcast_to(fitted.loadings_BNK, (*held.shape, k))
        gram = np.einsum("ink,in,inl->ikl", loadings, weight_IN, loadings) + 1e-3 * np.eye(k)
        pull = np.einsum("ink,in->ik", loadings, weight_IN * rest_IN)
        scores = np.linalg.solve(gram, pull[..., None])[..., 0]
        rest_IN = rest_IN - np.einsum("ink,ik->in", loadings, scores)
        # Directions are known the less well, the farther out along them a row lies: its leverage in the regression.
        there = there_II[:, core].astype(float)
        spread = np.einsum("ick,icl,ic->ikl", fitted.scores_BIK, fitted.scores_BIK, there) + np.eye(k)
        doubt_I += np.einsum("ik,ik->i", scores, np.linalg.solve(spread, scores[..., None])[..., 0])
    left_I = np.maximum(seen_IN.sum(axis=1) - k, 1) / np.maximum(seen_IN.sum(axis=1), 1)
    standard_IN = np.abs(rest_IN) * np.sqrt(weight_IN) / np.sqrt(left_I * doubt_I)[:, None]
    squares_I = (np.minimum(standard_IN, MOST) ** 2).sum(axis=1)
    return np.asarray(np.sqrt(squares_I / np.maximum(seen_IN.sum(axis=1), 1)))
