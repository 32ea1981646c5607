"""Segmented regression of curves over layers: flat - rise - flat, and the single bend that it has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from traitscope.errors import TraitscopeError

__all__ = ["Bends", "Rises", "fit_bends", "fit_rises", "shortest_flat"]


def shortest_flat(depth: int) -> int:
    """Fewest layers that make a flat: a tenth of the depth, at least 2."""
    return max(2, depth // 10)


@dataclass(frozen=True, slots=True)
class Rises:
    """Least-squares fits low + rise * clip((l - start) / (end - start), 0, 1), one per curve.

    Attributes:
        start_B: index of the last layer of the lower flat. end_B: index of the first layer of the upper one.
        low_B: level of the lower flat. rise_B: upper level minus lower one, negative where only falls fit.
        rest_B: residual sum of squares.
        fit_BL: the fitted curves.
    """

    start_B: np.ndarray
    end_B: np.ndarray
    low_B: np.ndarray
    rise_B: np.ndarray
    rest_B: np.ndarray
    fit_BL: np.ndarray


@dataclass(frozen=True, slots=True)
class Bends:
    """Least-squares fits of two straight lines that meet at a layer, one per curve; as many parameters as a rise.

    Attributes:
        knot_B: index of the layer where the lines meet.
        before_B, after_B: slope per layer on either side.
        rest_B: residual sum of squares.
    """

    knot_B: np.ndarray
    before_B: np.ndarray
    after_B: np.ndarray
    rest_B: np.ndarray


def fit_rises(curves_BL: np.ndarray) -> Rises:
    """Fit flat - rise - flat to each row, over every pair of layers that leaves both flats long enough (exact search).

    Args:
        curves_BL: B curves over L layers, no NaN.

    Raises:
        TraitscopeError: fewer than 6 layers.
    """
    depth = curves_BL.shape[1]
    if depth < 6:
        raise TraitscopeError(f"{depth} layers", where="flat - rise - flat", fix="give 6 layers or more")
    pairs_P2, ramps_PL = _ramps(depth)
    mean_P = ramps_PL.mean(axis=1)
    centred_PL = ramps_PL - mean_P[:, None]
    norm_P = np.linalg.norm(centred_PL, axis=1)
    level_B = curves_BL.mean(axis=1)
    rest_BL = curves_BL - level_B[:, None]
    along_BP = rest_BL @ (centred_PL / norm_P[:, None]).T
    # A fall is no rise, however well it fits; the largest projection is the best rise, or the least fall.
    best_B = along_BP.argmax(axis=1)
    along_B = np.take_along_axis(along_BP, best_B[:, None], axis=1)[:, 0]
    rise_B = along_B / norm_P[best_B]
    low_B = level_B - rise_B * mean_P[best_B]
    fit_BL = low_B[:, None] + rise_B[:, None] * ramps_PL[best_B]
    start_B, end_B = pairs_P2[best_B].T
    return Rises(start_B, end_B, low_B, rise_B, np.square(curves_BL - fit_BL).sum(axis=1), fit_BL)


def fit_bends(curves_BL: np.ndarray, *, knot: int | None = None) -> Bends:
    """Fit two lines that meet at a layer to each row: at ``knot``, or at the best one that leaves two layers beyond."""
    depth = curves_BL.shape[1]
    x_L = np.arange(depth, dtype=float)
    knots = list(range(1, depth - 2)) if knot is None else [knot]
    rests_KB, before_KB, after_KB = (np.empty((len(knots), len(curves_BL))) for _ in range(3))
    for k, at in enumerate(knots):
        design_LP = np.stack([np.ones(depth), x_L, np.maximum(0.0, x_L - at)], axis=1)
        parts_PB = np.linalg.pinv(design_LP) @ curves_BL.T
        rests_KB[k] = np.square(curves_BL.T - design_LP @ parts_PB).sum(axis=0)
        before_KB[k], after_KB[k] = parts_PB[1], parts_PB[1:].sum(axis=0)
    best_B, rows_B = np.argmin(rests_KB, axis=0), np.arange(len(curves_BL))
    return Bends(np.array(knots)[best_B], before_KB[best_B, rows_B], after_KB[best_B, rows_B], rests_KB[best_B, rows_B])


@lru_cache(maxsize=8)
def _ramps(depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Every admissible (start, end), and its rise from 0 to 1."""
    flat = shortest_flat(depth)
    pairs_P2 = np.array([(s, e) for s in range(flat - 1, depth - flat) for e in range(s + 1, depth - flat + 1)])
    start_P1, end_P1 = pairs_P2[:, :1], pairs_P2[:, 1:]
    return pairs_P2, np.clip((np.arange(depth) - start_P1) / (end_P1 - start_P1), 0.0, 1.0)
