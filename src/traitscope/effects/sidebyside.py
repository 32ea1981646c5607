"""Two score matrices side by side: what differs in the cells that both have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.significance import benjamini_hochberg, mcnemar_exact, paired_score
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
        df_N = None if noise is None or noise.seed is None else noise.seed.df_N
        self.runs_df_N = np.full(len(scores.tasks), np.inf) if df_N is None else df_N
        self.knows_runs = noise is not None and noise.seed is not None

    def at(self, row: str, task: str) -> tuple[int, int]:
        return self.side.scores.models.index(row), self.side.scores.tasks.index(task)


def side_by_side(first: Side, second: Side, level: float = 0.95) -> tuple[pd.DataFrame, list[str]]:
    """What differs in the cells that both have.

    Differences are second less first, turned so that above 0 the second is better. Where both were evaluated on the
    same rows, errors are paired over them; gains are paired with their base within each. What training runs add is in
    the error where a matrix knows it. Right and wrong answers of two rows alone have McNemar's exact test and Tango's
    interval, as gains have in ``measure_effects``; all else has Student's t, with the degrees of freedom of the
    examples and runs behind it (Satterthwaite; without end where a matrix does not say of how many examples it is).

    Args:
        first, second: the matrices. level: of the intervals.

    Returns:
        One row per common cell (``CELL_COLUMNS``; base rows have no gain), q by Benjamini and Hochberg over all of
        them, and notes.
    """
    rows, tasks, notes = common(first, second)
    a, b = _Cells(first), _Cells(second)
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
            error = _error(sides, task, paired)
            told = {
                "row": row,
                "task": task,
                "metric": metric,
                "unit": "share" if unit in _SCALE else "score",
                "relation": str(first.scores.relation_IN[at]),
                "paired": error.paired,
                "n": error.n,
                "first": float(first.scores.scores_IN[at]) * a.scale_N[at[1]],
                "second": float(second.scores.scores_IN[bt]) * b.scale_N[bt[1]],
                **_tested(values[1] - values[0], error, level),
            }
            gains = [np.nan, np.nan] if is_base else [_gain(a, row, bases[0], task), _gain(b, row, bases[1], task)]
            told |= {"gain_first": gains[0], "gain_second": gains[1], **_tested(np.nan, error, level, "gain_")}
            if np.isfinite(gains).all():
                assert bases[0] is not None and bases[1] is not None
                sides += [(a, bases[0], 1.0), (b, bases[1], -1.0)]
                told |= _tested(gains[1] - gains[0], _error(sides, task, paired), level, "gain_")
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


class _Error(NamedTuple):
    """Error of a sum of cells with signs.

    Attributes:
        variance, df: of it, and its degrees of freedom.
        n: examples behind it; 0 where not known. paired: whether the two matrices' cells were paired.
        moves_S: by example the change between two rows that are right or wrong, where nothing else is in the error.
    """

    variance: float
    df: float
    n: int
    paired: bool
    moves_S: Floats | None


def _tested(value: float, error: _Error, level: float, ends: str = "") -> dict[str, float]:
    from scipy.stats import t as student

    names = {"": "difference", "gain_": "gain_difference"}
    half = float(student.ppf(0.5 + level / 2, error.df)) * np.sqrt(error.variance)
    lo, hi, p = value - half, value + half, np.nan
    moves_S = error.moves_S
    if moves_S is not None and abs(moves_S.mean() - value) < 1e-9:
        lost, won = int((moves_S < 0).sum()), int((moves_S > 0).sum())
        lo, hi = (float(end) for end in paired_score(lost, won, error.n, level))
        p = float(mcnemar_exact(lost, won))
    elif error.variance > 0:
        # However alike a few examples are, they cannot say more than that all of them agree.
        p = max(float(2 * student.sf(abs(value) / np.sqrt(error.variance), error.df)), 2.0 ** (1 - (error.n or np.inf)))
    return {names[ends]: value, f"{ends}lo": lo, f"{ends}hi": hi, f"{ends}p": p}


def _error(sides: list[tuple[_Cells, str, float]], task: str, paired: bool) -> _Error:
    """The error of a sum of cells with signs.

    Correlations are of the examples' values, errors of the cells' own, so that a metric that is no plain mean of its
    examples keeps its own.
    """
    # Variances that are independent of each other, with their degrees of freedom.
    parts: list[tuple[float, float]] = []
    for cells, row, _ in sides:
        at = cells.at(row, task)
        parts.append((float(cells.runs_IN[at]), float(cells.runs_df_N[at[1]])))
    runs = sum(variance for variance, _ in parts)
    groups = [sides] if paired else [[one for one in sides if one[0] is cells] for cells in _each(sides)]
    together, n, moves_S = False, 0, None
    for group in groups:
        signs = np.array([sign for *_, sign in group])
        errors = np.array([cells.stderr_IN[cells.at(row, task)] for cells, row, _ in group])
        common = _common(group, task)
        if common is None:
            counts = [float(cells.side.scores.n_IN[cells.at(row, task)]) for cells, row, _ in group]
            parts += [(error**2, n_ - 1 if n_ > 1 else np.inf) for error, n_ in zip(errors, counts, strict=True)]
            continue
        together, n = paired, len(common)
        deviation = common.std(axis=0)
        safe = np.where(deviation > 0, deviation, 1.0)
        correlation = np.cov(common, rowvar=False, ddof=0).reshape(len(group), -1) / np.outer(safe, safe)
        np.fill_diagonal(correlation, 1.0)
        # Rounding may leave it a little below 0.
        parts.append((float(max((signs * errors) @ correlation @ (signs * errors), 0.0)), n - 1))
        if len(sides) == len(group) == 2 and not runs and np.isin(common, (0.0, 1.0)).all():
            moves_S = common @ signs
    variance = float(sum(part for part, _ in parts))
    spread = sum(part**2 / df for part, df in parts if part > 0)
    return _Error(variance, variance**2 / spread if spread > 0 else np.inf, n, together, moves_S)


def _common(group: list[tuple[_Cells, str, float]], task: str) -> Floats | None:
    """Values of the examples that all have, [S, rows]; None where one has none, or there are fewer than two."""
    series = [cells.side.values.get(task, {}).get(row) for cells, row, _ in group]
    known = [one for one in series if one is not None]
    if len(known) < len(series):
        return None
    common = pd.concat(known, axis=1, join="inner").to_numpy(dtype=float)
    common = common[np.isfinite(common).all(axis=1)]
    return common if len(common) > 1 else None


def _each(sides: list[tuple[_Cells, str, float]]) -> list[_Cells]:
    return list({id(cells): cells for cells, *_ in sides}.values())
