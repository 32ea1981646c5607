"""Near against far domains: does a source help more where it is more alike?"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitscope.effects.gains import SourceGains
from traitscope.effects.grid import Found, Grid, Row
from traitscope.effects.significance import additive_basis
from traitscope.stats.similarity import Similarity
from traitscope.texts import count_of

Floats = NDArray[np.float64]
MIN_CELLS, MIN_DATASETS = 8, 4


class Dyads(NamedTuple):
    """V cells of two datasets each: their indices in the similarity matrix, and the gain."""

    source_V: NDArray[np.int64]
    target_V: NDArray[np.int64]
    gain_V: Floats

    @property
    def datasets(self) -> NDArray[np.int64]:
        """Indices of all datasets that occur."""
        return np.unique(np.concatenate([self.source_V, self.target_V]))

    def of(self, values_MM: Floats) -> Floats:
        """The cells' entries of a matrix over datasets."""
        return values_MM[self.source_V, self.target_V]


def dyads(grid: Grid, gains: SourceGains, similarity: Similarity, b: int) -> tuple[Dyads, str]:
    """All transfer cells of one base whose source and task are in the similarity matrix, and their unit.

    Where tasks are scored in different units, every task's gains are divided by their standard deviation.
    """
    at = {name: i for i, name in enumerate(similarity.names)}
    known = [
        (at[source], at[task], gain)
        for (base, source, task), gain in gains.items()
        if base == b and source in at and task in at and grid.transfers(source, task)
    ]
    known = [(s, t, gain) for s, t, gain in known if np.isfinite(similarity.values_MM[s, t])]
    source_V, target_V = (np.array([cell[k] for cell in known], dtype=np.int64) for k in (0, 1))
    gain_V = np.array([gain["value"] for _, _, gain in known], dtype=float)
    units = {gain["unit"] for _, _, gain in known}
    if len(units) <= 1:
        return Dyads(source_V, target_V, gain_V), next(iter(units), "share")
    for t in np.unique(target_V):
        spread = gain_V[target_V == t].std()
        gain_V[target_V == t] /= spread if spread > 0 else 1.0
    return Dyads(source_V, target_V, gain_V), "task standard deviations"


def rank_statistic(cells: Dyads, similarity_PV: Floats) -> Floats:
    """Spearman's rho of the gains with similarities_PV, row by row."""
    from scipy.stats import rankdata

    y = rankdata(cells.gain_V)
    y = (y - y.mean()) / max(float(np.linalg.norm(y - y.mean())), 1e-12)
    x = rankdata(similarity_PV, axis=1)
    x = x - x.mean(axis=1, keepdims=True)
    return (x @ y) / np.maximum(np.linalg.norm(x, axis=1), 1e-12)


def two_way_statistic(cells: Dyads, similarity_PV: Floats) -> Floats:
    """Correlation of gains and similarities_PV after taking out the means of every source and task; NaN where these are
    all there is to the similarities."""
    basis = additive_basis(cells.source_V, cells.target_V)
    y = cells.gain_V - basis @ (basis.T @ cells.gain_V)
    y = y / max(float(np.linalg.norm(y)), 1e-12)
    size = (similarity_PV**2).sum(axis=1)
    left = size - ((similarity_PV @ basis) ** 2).sum(axis=1)
    # What is left of sums of two means is rounding.
    return (similarity_PV @ y) / np.sqrt(np.where(left > 1e-12 * size, left, np.nan))


def near_far_statistic(cells: Dyads, similarity_PV: Floats) -> Floats:
    """Mean gain of each task's most alike third of sources minus that of its least alike third."""
    parts = []
    for t in np.unique(cells.target_V):
        column = np.flatnonzero(cells.target_V == t)
        k = len(column) // 3
        if k:
            order = np.argsort(similarity_PV[:, column], axis=1, kind="stable")
            gains = cells.gain_V[column][order]
            parts.append(gains[:, -k:].mean(axis=1) - gains[:, :k].mean(axis=1))
    return np.mean(parts, axis=0) if parts else np.full(len(similarity_PV), np.nan)


Statistic = Callable[[Dyads, Floats], Floats]


def similarity_permutation(
    cells: Dyads, values_MM: Floats, statistic: Statistic, permutations: int, seed: int
) -> tuple[float, float]:
    """The statistic and its two-sided p: datasets change places in the similarity matrix.

    Rows and columns move together. Cells that share a dataset are not independent; moving whole datasets
    keeps that (Mantel 1967, quadratic assignment).
    """
    observed = float(statistic(cells, cells.of(values_MM)[None, :])[0])
    used = cells.datasets
    rng = np.random.default_rng([seed, len(used), 11])
    hits = done = 0
    block = max(1, min(permutations, 5_000_000 // max(len(cells.gain_V), 1)))
    while done < permutations:
        size = min(block, permutations - done)
        moved = np.tile(np.arange(len(values_MM)), (size, 1))
        moved[:, used] = rng.permuted(np.tile(used, (size, 1)), axis=1)
        drawn = statistic(cells, values_MM[moved[:, cells.source_V], moved[:, cells.target_V]])
        hits += int((np.abs(drawn) >= abs(observed) - 1e-12).sum())
        done += size
    return observed, (hits + 1) / (permutations + 1)


def _jackknife(cells: Dyads, values_MM: Floats, statistic: Statistic, level: float) -> float:
    """Half-width of the interval with every dataset left out in turn, as source and as target."""
    from scipy.stats import t as student

    values = []
    for d in cells.datasets:
        keep = (cells.source_V != d) & (cells.target_V != d)
        if keep.sum() >= 4:
            part = Dyads(*(array[keep] for array in cells))
            values.append(float(statistic(part, part.of(values_MM)[None, :])[0]))
    k = len(values)
    if k < 3:
        return float("nan")
    se = float(np.sqrt((k - 1) / k * ((np.array(values) - np.mean(values)) ** 2).sum()))
    return float(student.ppf(0.5 + level / 2, k - 1)) * se


def domain_rows(
    grid: Grid, gains: SourceGains, similarity: Similarity | None, permutations: int, seed: int, level: float
) -> Found:
    """Near-domain against far-domain gains, three ways, each with a permutation of whole datasets.

    Returns:
        The rows of the tables ``domain`` (cell, similarity, gain) and ``domain_tests``, and notes.
    """
    if similarity is None:
        return {}, ["near against far domains: not computed, no dataset statistics were given"]
    found, tests, notes = list[Row](), list[Row](), list[str]()
    names, label, values_MM = similarity.names, similarity.label, similarity.values_MM
    bases = sorted({b for b, _, _ in gains})
    for b in bases:
        cells, unit = dyads(grid, gains, similarity, b)
        tail = f" (base {grid.models[b]})" if len(bases) > 1 else ""
        n = len(cells.gain_V)
        for s, t, gain in zip(*cells, strict=True):
            pair = {"base": grid.models[b], "source": names[s], "task": names[t], "by": similarity.by}
            found.append({**pair, "similarity": values_MM[s, t], "gain": gain})
        if n < MIN_CELLS or len(cells.datasets) < MIN_DATASETS:
            notes.append(
                f"near against far domains: {count_of(n, 'cell')} with a known {label} of "
                f"source and task, at least {MIN_CELLS} over {MIN_DATASETS} datasets are needed{tail}"
            )
            continue
        if np.ptp(cells.of(values_MM)) == 0:
            notes.append(f"near against far domains: all pairs have the same {label}{tail}")
            continue
        for name, statistic, unit_of in (
            ("rank correlation", rank_statistic, "rho"),
            ("two-way correlation", two_way_statistic, "r"),
            ("near minus far third", near_far_statistic, unit),
        ):
            value, p = similarity_permutation(cells, values_MM, statistic, permutations, seed)
            if np.isfinite(value):
                half = _jackknife(cells, values_MM, statistic, level)
                lo, hi = value - half, value + half
                if unit_of in ("rho", "r"):
                    lo, hi = max(lo, -1.0), min(hi, 1.0)
                numbers = {"value": value, "lo": lo, "hi": hi, "p": p, "n": n, "unit": unit_of}
                tests.append({"label": label, "name": name, "tail": tail, **numbers})
    return {"domain": found, "domain_tests": tests}, ["; ".join(notes)] if notes else []
