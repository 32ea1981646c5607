"""Two score matrices side by side: what differs in the cells that both have, and how alike their gains are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.significance import benjamini_hochberg, normal_p, normal_quantile
from traitscope.matrix import ScoreMatrix
from traitscope.matrix.cell_errors import stderr_without_zeros

Floats = NDArray[np.float64]
CELL_COLUMNS = (
    *("row", "task", "metric", "unit", "relation", "paired", "n", "first", "second"),
    *("difference", "lo", "hi", "p", "q"),
    *("gain_first", "gain_second", "gain_difference", "gain_lo", "gain_hi", "gain_p", "gain_q"),
)
_SCALE = {"fraction": 1.0, "percent": 0.01}


class Rows(Protocol):
    """Fingerprints of the first rows of a task."""

    def __len__(self) -> int: ...

    def prefix(self, n: int) -> str | None:
        """Of the first ``n`` rows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One of two matrices, of one base model, one row per source (the mean over its seeds).

    Attributes:
        name: what it is called.
        scores: the matrix; its rows are called as in the other where they are the same thing.
        values: by task and row the value of every example by its id (seeds averaged), where these are known.
        rows: by task the fingerprints of its rows; without them nothing is paired with another matrix.
    """

    name: str
    scores: ScoreMatrix
    values: Mapping[str, Mapping[str, pd.Series]] = field(default_factory=dict)
    rows: Mapping[str, Rows] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        scores: ScoreMatrix,
        series: Mapping[str, Mapping[str, pd.Series]] | None = None,
        rows: Mapping[str, Rows] | None = None,
    ) -> Side:
        """From a matrix of one base model with its seeds, and values by the matrix's own row names."""
        merged = scores.by_source()
        named = dict(zip(scores.models, scores.sources_I, strict=True))
        values: dict[str, dict[str, pd.Series]] = {}
        for task, by_model in (series or {}).items():
            seeds: dict[str, list[pd.Series]] = {}
            for model, one in by_model.items():
                seeds.setdefault(named.get(model) or model, []).append(one)
            values[task] = {row: _mean(runs) for row, runs in seeds.items()}
        return cls(name=name, scores=merged, values=values, rows=rows or {})

    def base(self) -> str | None:
        """The base's row."""
        bases = self.scores.base_index_I.tolist()
        return next((row for i, row in enumerate(self.scores.models) if bases[i] == i), None)


def _mean(runs: list[pd.Series]) -> pd.Series:
    if len(runs) == 1:
        return runs[0]
    return pd.concat(runs, axis=1, join="inner").mean(axis=1)


def same_rows(first: Side, second: Side, task: str) -> bool:
    """Whether both were evaluated on the same rows of a task, as far as the shorter goes."""
    one, other = first.rows.get(task), second.rows.get(task)
    n = min(len(one), len(other)) if one is not None and other is not None else 0
    return n > 1 and one is not None and other is not None and one.prefix(n) == other.prefix(n)


def common(first: Side, second: Side) -> tuple[list[str], list[str], list[str]]:
    """Rows and tasks that both have, in the first's order, and notes on tasks of one name that are not the same."""
    a, b = first.scores, second.scores
    notes, tasks = [], []
    for task in (task for task in a.tasks if task in b.tasks):
        turn = a.sign_N[a.tasks.index(task)] == b.sign_N[b.tasks.index(task)]
        units = {a.units[task], b.units[task]}
        if a.metrics[task] != b.metrics[task] and "score" not in (a.metrics[task], b.metrics[task]):
            notes.append(f"{task} is left out: {a.metrics[task]} in one, {b.metrics[task]} in the other")
        elif not turn or (len(units) > 1 and not units <= _SCALE.keys()):
            notes.append(f"{task} is left out: its scores are in other units or turned")
        else:
            tasks.append(task)
    return [row for row in a.models if row in b.models], tasks, notes


class _Cells:
    """Scores, errors and values of one side, turned so that higher is better, percentages as shares."""

    def __init__(self, side: Side) -> None:
        scores = side.scores
        self.side = side
        self.scale_N = np.array([_SCALE.get(scores.units[task], 1.0) for task in scores.tasks])
        self.values_IN = scores.scores_IN * scores.sign_N * self.scale_N
        self.stderr_IN = stderr_without_zeros(scores.raw(), scores.units, scores.n_IN) * self.scale_N
        noise = scores.noise()
        runs_IN = np.zeros_like(self.values_IN) if noise is None else noise.seed_variance_IN
        self.runs_IN = runs_IN * self.scale_N**2
        self.knows_runs = noise is not None and noise.seed is not None

    def at(self, row: str, task: str) -> tuple[int, int]:
        return self.side.scores.models.index(row), self.side.scores.tasks.index(task)


def side_by_side(first: Side, second: Side, level: float = 0.95) -> tuple[pd.DataFrame, list[str]]:
    """What differs in the cells that both have.

    Differences are second less first, turned so that above 0 the second is better. Where both were evaluated on the
    same rows, errors are paired over them; gains are paired with their base within each. What training runs add is in
    the error where a matrix knows it.

    Args:
        first, second: the matrices. level: of the intervals.

    Returns:
        One row per common cell (``CELL_COLUMNS``; base rows have no gain), q by Benjamini and Hochberg over all of
        them, and notes.
    """
    rows, tasks, notes = common(first, second)
    a, b, z = _Cells(first), _Cells(second), normal_quantile(level)
    bases = first.base(), second.base()
    found: list[dict[str, Any]] = []
    for task in tasks:
        paired = same_rows(first, second, task)
        metric, unit = first.scores.metrics[task], first.scores.units[task]
        for row in rows:
            at, bt = a.at(row, task), b.at(row, task)
            values = float(a.values_IN[at]), float(b.values_IN[bt])
            if not np.isfinite(values).all():
                continue
            is_base = row == bases[0]
            sides = [(a, row, -1.0), (b, row, 1.0)]
            variance, n, together = _variance(sides, task, paired)
            told = {
                "row": row,
                "task": task,
                "metric": metric,
                "unit": "share" if unit in _SCALE else "score",
                "relation": str(first.scores.relation_IN[at]),
                "paired": together,
                "n": n,
                "first": float(first.scores.scores_IN[at]) * a.scale_N[at[1]],
                "second": float(second.scores.scores_IN[bt]) * b.scale_N[bt[1]],
                **_tested(values[1] - values[0], variance, z),
            }
            gains = [np.nan, np.nan] if is_base else [_gain(a, row, bases[0], task), _gain(b, row, bases[1], task)]
            told |= {"gain_first": gains[0], "gain_second": gains[1], **_tested(np.nan, np.nan, z, "gain_")}
            if np.isfinite(gains).all():
                assert bases[0] is not None and bases[1] is not None
                sides += [(a, bases[0], 1.0), (b, bases[1], -1.0)]
                told |= _tested(gains[1] - gains[0], _variance(sides, task, paired)[0], z, "gain_")
            found.append(told)
    frame = pd.DataFrame(found, columns=list(CELL_COLUMNS))
    for p, q in (("p", "q"), ("gain_p", "gain_q")):
        frame[q] = benjamini_hochberg(frame[p])
    if not (a.knows_runs and b.knows_runs):
        notes.append("a side has one seed: how far two runs of one recipe differ is no part of the errors")
    return frame, notes


def _gain(cells: _Cells, row: str, base: str | None, task: str) -> float:
    if base is None:
        return float("nan")
    return float(cells.values_IN[cells.at(row, task)] - cells.values_IN[cells.at(base, task)])


def _tested(value: float, variance: float, z: float, ends: str = "") -> dict[str, float]:
    half = z * np.sqrt(variance)
    p = float(normal_p(value / np.sqrt(variance))) if variance > 0 else np.nan
    names = {"": "difference", "gain_": "gain_difference"}
    return {names[ends]: value, f"{ends}lo": value - half, f"{ends}hi": value + half, f"{ends}p": p}


def _variance(sides: list[tuple[_Cells, str, float]], task: str, paired: bool) -> tuple[float, int, bool]:
    """Variance of a sum of cells with signs, examples behind it, and whether the two matrices' cells were paired.

    Correlations are of the examples' values, errors of the cells' own, so that a metric that is no plain mean of its
    examples keeps its own.
    """
    signs = np.array([sign for *_, sign in sides])
    errors = np.array([cells.stderr_IN[cells.at(row, task)] for cells, row, _ in sides])
    runs = sum(float(cells.runs_IN[cells.at(row, task)]) for cells, row, _ in sides)
    series = [cells.side.values.get(task, {}).get(row) for cells, row, _ in sides]
    correlation = np.eye(len(sides))
    together, n = False, 0
    groups = [range(len(sides))] if paired else [[k for k, (c, *_) in enumerate(sides) if c is s] for s in _each(sides)]
    for group in groups:
        known = [series[k] for k in group]
        values = [one for one in known if one is not None]
        if len(values) < max(2, len(known)):
            continue
        common = pd.concat(values, axis=1, join="inner").to_numpy(dtype=float)
        common = common[np.isfinite(common).all(axis=1)]
        if len(common) < 2:
            continue
        together, n = paired, len(common)
        deviation = common.std(axis=0)
        covariance = np.cov(common, rowvar=False, ddof=0)
        safe = np.where(deviation > 0, deviation, 1.0)
        found = covariance / np.outer(safe, safe)
        np.fill_diagonal(found, 1.0)
        correlation[np.ix_(list(group), list(group))] = found
    # Rounding may leave it a little below 0.
    examples = float(max((signs * errors) @ correlation @ (signs * errors), 0.0))
    return examples + runs, n, together


def _each(sides: list[tuple[_Cells, str, float]]) -> list[_Cells]:
    return list({id(cells): cells for cells, *_ in sides}.values())


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How alike the gains of two matrices are, over the transfer cells that both have.

    Attributes:
        n: cells. pearson, spearman: correlation of the gains.
        apart: Pearson's correlation of what is left without the means of rows and columns: of which source helps which
            task. p: of it, two-sided, when the second's sources are exchanged. exchanges: how often they were.
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
    if min(a_IN.shape) < 3:
        return Agreement(n=len(used), pearson=pearson, spearman=spearman, apart=nan, p=nan, exchanges=0)
    left_a, left_b = _without_means(a_IN), _without_means(b_IN)
    apart, rng = _correlation(left_a, left_b), np.random.default_rng(seed)
    null_R = np.array([_correlation(left_a, left_b[rng.permutation(len(left_b))]) for _ in range(exchanges)])
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
