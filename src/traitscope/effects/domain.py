"""Near against far domains: does a source help more where it is more alike?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitscope.effects.gains import SourceGains
from traitscope.effects.grid import Grid, Row
from traitscope.effects.significance import ranks
from traitscope.stats.similarity import Similarity

Floats = NDArray[np.float64]
MIN_CELLS = 8


@dataclass(frozen=True, eq=False)
class Dyads:
    """V cells of two datasets each: their indices in the similarity matrix, the gain, its unit."""

    source_V: NDArray[np.int64]
    target_V: NDArray[np.int64]
    gain_V: Floats
    unit: str


def dyads(grid: Grid, gains: SourceGains, similarity: Similarity, b: int) -> Dyads:
    """All cells of one base whose source and task are in the similarity matrix and differ, without controls.

    Where tasks are scored in different units, every task's gains are divided by their standard deviation.
    """
    at = {name: i for i, name in enumerate(similarity.names)}
    rows = [
        (at[source], at[task], gain.value, gain.unit)
        for (base, source, task), gain in gains.items()
        if base == b and source in at and task in at and source != task and source not in grid.parents
    ]
    rows = [row for row in rows if np.isfinite(similarity.values_MM[row[0], row[1]])]
    source = np.array([row[0] for row in rows], dtype=np.int64)
    target = np.array([row[1] for row in rows], dtype=np.int64)
    gain = np.array([row[2] for row in rows], dtype=float)
    units = {row[3] for row in rows}
    if len(units) <= 1:
        return Dyads(source, target, gain, next(iter(units), "share"))
    for t in np.unique(target):
        spread = gain[target == t].std()
        gain[target == t] /= spread if spread > 0 else 1.0
    return Dyads(source, target, gain, "task standard deviations")


def _two_way_basis(cells: Dyads) -> Floats:
    """Orthonormal basis of source and target means."""
    blocks = [(codes[:, None] == np.unique(codes)[None, :]).astype(float) for codes in (cells.source_V, cells.target_V)]
    left, singular, _ = np.linalg.svd(np.hstack(blocks), full_matrices=False)
    return left[:, singular > 1e-8 * singular[0]]


def rank_statistic(cells: Dyads) -> Callable[[Floats], Floats]:
    """Spearman's rho of the gains with similarities_PV, row by row."""
    y = ranks(cells.gain_V)
    y = (y - y.mean()) / max(float(np.linalg.norm(y - y.mean())), 1e-12)

    def value(similarity_PV: Floats) -> Floats:
        x = ranks(similarity_PV, axis=1)
        x = x - x.mean(axis=1, keepdims=True)
        return (x @ y) / np.maximum(np.linalg.norm(x, axis=1), 1e-12)

    return value


def two_way_statistic(cells: Dyads) -> Callable[[Floats], Floats]:
    """Correlation of gains and similarities_PV after taking out the means of every source and task."""
    basis = _two_way_basis(cells)
    y = cells.gain_V - basis @ (basis.T @ cells.gain_V)
    y = y / max(float(np.linalg.norm(y)), 1e-12)

    def value(similarity_PV: Floats) -> Floats:
        left = (similarity_PV**2).sum(axis=1) - ((similarity_PV @ basis) ** 2).sum(axis=1)
        return (similarity_PV @ y) / np.sqrt(np.maximum(left, 1e-12))

    return value


def near_far_statistic(cells: Dyads) -> Callable[[Floats], Floats]:
    """Mean gain of each task's most alike third of sources minus that of its least alike third."""
    columns = [np.flatnonzero(cells.target_V == t) for t in np.unique(cells.target_V)]
    columns = [column for column in columns if len(column) >= 3]

    def value(similarity_PV: Floats) -> Floats:
        parts = []
        for column in columns:
            k = len(column) // 3
            order = np.argsort(similarity_PV[:, column], axis=1, kind="stable")
            gains = cells.gain_V[column][order]
            parts.append(gains[:, -k:].mean(axis=1) - gains[:, :k].mean(axis=1))
        return np.mean(parts, axis=0) if parts else np.full(len(similarity_PV), np.nan)

    return value


def similarity_permutation(
    cells: Dyads, similarity: Similarity, statistic: Callable[[Floats], Floats], permutations: int, seed: int
) -> tuple[float, float]:
    """The statistic and its two-sided p: datasets change places in the similarity matrix.

    Rows and columns move together. Cells that share a dataset are not independent; moving whole datasets
    keeps that (Mantel 1967, quadratic assignment).
    """
    values_MM = similarity.values_MM
    observed = float(statistic(values_MM[cells.source_V, cells.target_V][None, :])[0])
    used = np.unique(np.concatenate([cells.source_V, cells.target_V]))
    rng = np.random.default_rng([seed, len(used), 11])
    hits = done = 0
    block = max(1, min(permutations, 5_000_000 // max(len(cells.gain_V), 1)))
    while done < permutations:
        size = min(block, permutations - done)
        index = np.tile(np.arange(len(values_MM)), (size, 1))
        index[:, used] = rng.permuted(np.tile(used, (size, 1)), axis=1)
        moved = values_MM[index[:, cells.source_V], index[:, cells.target_V]]
        hits += int((np.abs(statistic(moved)) >= abs(observed) - 1e-12).sum())
        done += size
    return observed, (hits + 1) / (permutations + 1)


def _jackknife(
    cells: Dyads, similarity: Similarity, make: Callable[[Dyads], Callable[[Floats], Floats]], level: float
) -> float:
    """Half-width of the interval with every dataset left out in turn, as source and as target."""
    from scipy.stats import t as student

    used = np.unique(np.concatenate([cells.source_V, cells.target_V]))
    values = []
    for d in used:
        keep = (cells.source_V != d) & (cells.target_V != d)
        if keep.sum() < 4:
            continue
        part = Dyads(cells.source_V[keep], cells.target_V[keep], cells.gain_V[keep], cells.unit)
        values.append(float(make(part)(similarity.values_MM[part.source_V, part.target_V][None, :])[0]))
    k = len(values)
    if k < 3:
        return float("nan")
    se = float(np.sqrt((k - 1) / k * ((np.array(values) - np.mean(values)) ** 2).sum()))
    return float(student.ppf(0.5 + level / 2, k - 1)) * se


class Domain(NamedTuple):
    """The rows of the table ``domain`` (cell, similarity, gain), those of its tests, and a note."""

    cells: list[Row]
    tests: list[Row]
    note: str


def domain_rows(
    grid: Grid, gains: SourceGains, similarity: Similarity, permutations: int, seed: int, level: float
) -> Domain:
    """Near-domain against far-domain gains, three ways, each with a permutation of whole datasets.

    The three: rank correlation, two-way correlation, near minus far third.
    """
    found: list[Row] = []
    tests: list[Row] = []
    notes: list[str] = []
    bases = sorted({key[0] for key in gains})
    for b in bases:
        cells = dyads(grid, gains, similarity, b)
        tail = f" (base {grid.models[b]})" if len(bases) > 1 else ""
        n = len(cells.gain_V)
        alike_V = similarity.values_MM[cells.source_V, cells.target_V]
        head = {"base": grid.models[b], "by": similarity.by}
        for s, t, v, g in zip(cells.source_V, cells.target_V, alike_V, cells.gain_V, strict=True):
            found.append(
                {**head, "source": similarity.names[s], "task": similarity.names[t], "similarity": v, "gain": g}
            )
        if n < MIN_CELLS or len(np.unique(np.r_[cells.source_V, cells.target_V])) < 4:
            notes.append(
                f"near against far domains: {n} cells have a known {similarity.label} of "
                f"source and task, at least {MIN_CELLS} over 4 datasets are needed{tail}"
            )
            continue
        for name, make, unit in (
            ("rank correlation", rank_statistic, "rho"),
            ("two-way correlation", two_way_statistic, "r"),
            ("near minus far third", near_far_statistic, cells.unit),
        ):
            value, p = similarity_permutation(cells, similarity, make(cells), permutations, seed)
            if not np.isfinite(value):
                continue
            half = _jackknife(cells, similarity, make, level)
            lo, hi = value - half, value + half
            if unit in ("rho", "r"):
                lo, hi = max(lo, -1.0), min(hi, 1.0)
            numbers = {"value": value, "lo": lo, "hi": hi, "p": p, "n": n, "unit": unit}
            tests.append({"label": similarity.label, "name": name, "tail": tail, **numbers})
    return Domain(found, tests, "; ".join(notes))
