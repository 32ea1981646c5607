"""The order of rows and columns that puts alike ones together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from traitscope.matrix import ScoreMatrix

Floats = npt.NDArray[np.float64]


def clusters(matrix: ScoreMatrix, gains: Mapping[tuple[str, str], Mapping[str, Any]]) -> tuple[list[int], list[int]]:
    """Places of rows and columns when alike ones stand together (average linkage of the gains, holes as 0)."""
    values_IN = np.zeros(matrix.scores_IN.shape)
    for i, model in enumerate(matrix.models):
        for n, task in enumerate(matrix.tasks):
            if (row := gains.get((model, task))) is not None:
                values_IN[i, n] = row["gain"]
    spread_N = values_IN.std(axis=0)
    values_IN = values_IN / np.where(spread_N > 0, spread_N, 1.0)
    return _leaves(values_IN), _leaves(values_IN.T)


def _leaves(values: Floats) -> list[int]:
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(values) < 3:
        return list(range(len(values)))
    order = leaves_list(linkage(values, "average", optimal_ordering=len(values) <= 200))
    places = np.empty(len(order), dtype=int)
    places[order] = np.arange(len(order))
    return [int(place) for place in places]
