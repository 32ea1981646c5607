"""How strongly the sources' habits pull, over all cells together, with the sources as the units of error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
MIN_SOURCES = 3


class Pooled(NamedTuple):
    """Slopes with delete-one-source jackknife errors; ``n`` cells from ``sources`` sources."""

    slopes: Floats
    lo: Floats
    hi: Floats
    p: Floats
    n: int
    sources: int


def pooled_slopes(step: ArrayLike, wants: ArrayLike, groups: ArrayLike, cells: int, level: float) -> Pooled | None:
    """Least squares through the origin of what was observed on what each habit would give.

    Args:
        step: V observed steps away from the base's habit (lengths, or class shares one after the other).
        wants: V x P steps to the habits (the source's; the truth), the same units.
        groups: the source behind every entry.
        cells: how many cells the entries come from.
        level: of the interval, Student's t on the number of sources less one.

    Returns:
        None where fewer than three sources, or not enough spread, are there.
    """
    from scipy.stats import t as student

    y, x = np.asarray(step, dtype=float), np.asarray(wants, dtype=float)
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < MIN_SOURCES:
        return None
    gram = np.array([x[codes == g].T @ x[codes == g] for g in range(len(names))])
    moment = np.array([x[codes == g].T @ y[codes == g] for g in range(len(names))])
    if np.linalg.matrix_rank(gram.sum(axis=0)) < x.shape[1]:
        return None
    slopes = np.linalg.solve(gram.sum(axis=0), moment.sum(axis=0))
    left_out = []
    for g in range(len(names)):
        rest = gram.sum(axis=0) - gram[g]
        if np.linalg.cond(rest) > 1e10:
            return None
        left_out.append(np.linalg.solve(rest, moment.sum(axis=0) - moment[g]))
    k = len(names)
    se = np.sqrt((k - 1) / k * ((np.array(left_out) - np.mean(left_out, axis=0)) ** 2).sum(axis=0))
    half = student.ppf(0.5 + level / 2, k - 1) * se
    p = 2 * student.sf(np.abs(slopes) / np.maximum(se, 1e-15), k - 1)
    return Pooled(slopes, slopes - half, slopes + half, p, cells, k)
