"""Exact change points of several curves at once: a dynamic programme, and how many breaks the data bear."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from traitscope.errors import TraitscopeError

__all__ = ["ChangePoints", "best_segmentations", "change_points"]

Cost = Literal["mean", "line"]


@dataclass(frozen=True, slots=True)
class ChangePoints:
    """Breaks in a set of standardised curves.

    Attributes:
        breaks: number of points in all segments up to each break (a break of 9 means: after the ninth point).
        by_penalty, by_permutation: number of breaks that each criterion wants; the smaller one is used.
        cost: ``"mean"`` (levels) or ``"line"`` (slopes) within segments.
        residuals: sum of squares with 0, 1, 2, ... breaks.
    """

    breaks: tuple[int, ...]
    by_penalty: int
    by_permutation: int
    cost: Cost
    residuals: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def best_segmentations(
    curves_LC: np.ndarray, max_breaks: int, *, cost: Cost = "mean", min_size: int = 2
) -> list[tuple[float, tuple[int, ...]]]:
    """Least-squares segmentations with 0 .. ``max_breaks`` breaks, found exactly.

    Args:
        curves_LC: C curves over L points, segmented together.
        max_breaks: largest number of breaks; cut to what ``min_size`` allows.
        cost: within a segment every curve is a constant (``"mean"``) or a straight line (``"line"``).
        min_size: fewest points in a segment (at least 3 for lines).

    Returns:
        (sum of squares, breaks) for each number of breaks; Bellman's recursion, O(breaks x L^2).
    """
    n = len(curves_LC)
    min_size = max(min_size, 3 if cost == "line" else 1)
    if n < min_size:
        raise TraitscopeError(
            f"{n} points, a segment needs {min_size}", where="change points", fix="give longer curves"
        )
    max_breaks = min(max_breaks, n // min_size - 1)
    best_BKE, origin_BKE = _programme(curves_LC[None], max_breaks, cost, min_size)
    found = []
    for k in range(max_breaks + 1):
        breaks: list[int] = []
        end = n
        for level in range(k, 0, -1):
            end = int(origin_BKE[0, level, end])
            breaks.insert(0, end)
        found.append((float(best_BKE[0, k, n]), tuple(breaks)))
    return found


def _programme(curves_BLC: np.ndarray, max_breaks: int, cost: Cost, min_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Bellman's recursion for a batch of curve sets: least cost and last start by number of breaks and end."""
    batch, n = curves_BLC.shape[:2]
    table_BEE = _segment_costs(curves_BLC, cost)
    best_BKE = np.full((batch, max_breaks + 1, n + 1), np.inf)
    origin_BKE = np.zeros((batch, max_breaks + 1, n + 1), dtype=int)
    best_BKE[:, 0, min_size:] = table_BEE[:, 0, min_size:]
    rows_B = np.arange(batch)
    for k in range(1, max_breaks + 1):
        for end in range((k + 1) * min_size, n + 1):
            first = k * min_size
            totals_BS = best_BKE[:, k - 1, first : end - min_size + 1] + table_BEE[:, first : end - min_size + 1, end]
            pick_B = np.argmin(totals_BS, axis=1)
            best_BKE[:, k, end] = totals_BS[rows_B, pick_B]
            origin_BKE[:, k, end] = first + pick_B
    return best_BKE, origin_BKE


def _segment_costs(curves_BLC: np.ndarray, cost: Cost) -> np.ndarray:
    """Residual sum of squares of every segment [start, end): table_BEE[b, start, end]."""
    batch, n = curves_BLC.shape[:2]
    centred_BLC = curves_BLC - curves_BLC.mean(axis=1, keepdims=True)
    x_L = np.arange(n, dtype=float)
    pad = ((0, 0), (1, 0), (0, 0))
    sum_y = np.pad(np.cumsum(centred_BLC, axis=1), pad)
    sum_yy = np.pad(np.cumsum(np.square(centred_BLC).sum(axis=2), axis=1), pad[:2])
    sum_xy = np.pad(np.cumsum(centred_BLC * x_L[:, None], axis=1), pad)
    table_BEE = np.full((batch, n + 1, n + 1), np.inf)
    for start in range(n):
        ends = np.arange(start + 1, n + 1)
        size = (ends - start).astype(float)
        y = sum_y[:, ends] - sum_y[:, start : start + 1]
        rest = sum_yy[:, ends] - sum_yy[:, start : start + 1] - np.square(y).sum(axis=2) / size
        if cost == "line":
            mean_x = (start + ends - 1) / 2.0
            xy = sum_xy[:, ends] - sum_xy[:, start : start + 1] - y * mean_x[:, None]
            xx = size * (size**2 - 1) / 12.0
            rest = rest - np.square(xy).sum(axis=2) / np.where(xx > 0, xx, 1.0)
        table_BEE[:, start, start + 1 :] = np.maximum(rest, 0.0)
    return table_BEE


def change_points(
    curves_LC: np.ndarray,
    *,
    max_breaks: int = 5,
    cost: Cost = "line",
    min_size: int = 3,
    draws: int = 200,
    level: float = 0.05,
    seed: int = 0,
) -> ChangePoints:
    """Change points of standardised curves; the number of breaks is found, not given.

    Two criteria are asked and the smaller answer is used. Penalty: Schwarz's criterion with one location and
    one set of segment parameters per break. Permutation: a further break is kept while it removes more than
    it does, in 95 % of draws, after the rows of the residuals have been shuffled along the depth.

    Args:
        curves_LC: C curves over L points; each is standardised (a constant one stays 0).
        max_breaks: most breaks considered. cost, min_size: see `best_segmentations`.
        draws: shuffles per step. level: significance of a break. seed: seed of the shuffles.
    """
    sd_C = curves_LC.std(axis=0)
    z_LC = (curves_LC - curves_LC.mean(axis=0)) / np.where(sd_C > 1e-12, sd_C, np.inf)
    n, c = z_LC.shape
    found = best_segmentations(z_LC, max_breaks, cost=cost, min_size=min_size)
    floor = 1e-9 * n * c
    per_segment = c * (2 if cost == "line" else 1)
    scores = [
        n * c * np.log(max(rest, floor) / (n * c)) + np.log(n * c) * (k + per_segment * (k + 1))
        for k, (rest, _) in enumerate(found)
    ]
    by_penalty = int(np.argmin(scores))
    rng = np.random.default_rng(seed)
    by_permutation = 0
    while by_permutation < len(found) - 1 and found[by_permutation][0] > floor:
        rest, breaks = found[by_permutation]
        fit_LC = _fitted(z_LC, breaks, cost)
        gain = rest - found[by_permutation + 1][0]
        orders_BL = np.argsort(rng.random((draws, n)), axis=1)
        shuffled_BLC = fit_LC + (z_LC - fit_LC)[orders_BL]
        best_BKE, _ = _programme(shuffled_BLC, by_permutation + 1, cost, min_size)
        as_good = int(np.sum(best_BKE[:, by_permutation, n] - best_BKE[:, by_permutation + 1, n] >= gain))
        if (1 + as_good) / (1 + draws) > level:
            break
        by_permutation += 1
    count = min(by_penalty, by_permutation)
    return ChangePoints(found[count][1], by_penalty, by_permutation, cost, tuple(rest for rest, _ in found))


def _fitted(curves_LC: np.ndarray, breaks: tuple[int, ...], cost: Cost) -> np.ndarray:
    fit_LC = np.empty_like(curves_LC)
    edges = [0, *breaks, len(curves_LC)]
    for start, end in pairwise(edges):
        x = np.arange(end - start, dtype=float)
        design = np.stack([np.ones_like(x), x], axis=1) if cost == "line" else np.ones((len(x), 1))
        fit_LC[start:end] = design @ np.linalg.lstsq(design, curves_LC[start:end], rcond=None)[0]
    return fit_LC
