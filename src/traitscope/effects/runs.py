"""Training runs as a part of the error: seeds averaged, and their variance pooled over the sources."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from traitscope.effects.grid import Grid, Row
from traitscope.effects.significance import Runs, normal_quantile, with_runs
from traitscope.matrix.roles import TRAINED


class Cell(NamedTuple):
    """One number of a source over its J seeds.

    Attributes:
        value_J: of each run; lo_J, hi_J: their intervals over examples.
        alone_J: variance over examples of what a run has apart from the source's other runs; 0 where not known.
    """

    value_J: np.ndarray
    lo_J: np.ndarray
    hi_J: np.ndarray
    alone_J: np.ndarray

    @classmethod
    def of(cls, value: ArrayLike, lo: ArrayLike, hi: ArrayLike, alone: ArrayLike) -> Cell:
        """From one number for each run."""
        return cls(*(np.atleast_1d(np.asarray(x, dtype=float)) for x in (value, lo, hi, alone)))

    def mean(self, level: float) -> tuple[float, float, float]:
        """The mean over the runs and its interval over examples: what runs have alone shrinks with their number."""
        value, runs = float(self.value_J.mean()), len(self.value_J)
        down, up = (float(np.sqrt(((x - self.value_J) ** 2).mean())) for x in (self.lo_J, self.hi_J))
        variance = ((down + up) / (2 * normal_quantile(level))) ** 2
        alone = float(self.alone_J.mean()) * (runs - 1) / runs
        shared = float(np.sqrt(max(1 - alone / variance, 1 / runs))) if variance > 0 else 1.0
        return value, value - shared * down, value + shared * up


class RunVariance(NamedTuple):
    """Variance of a number between runs of one source.

    Attributes:
        total: as it was seen between runs, what examples add to it included.
        examples: what examples add to it.
        df: degrees of freedom of ``total``; infinite where it is known.
    """

    total: float
    examples: float
    df: float

    @classmethod
    def pooled(cls, cells: Iterable[Cell], scales: Iterable[float] | None = None) -> RunVariance | None:
        """Pooled over the sources that have several runs; None where none has.

        Args:
            cells: one for each source.
            scales: what each source's numbers are multiplied with before they are alike.
        """
        squares = examples = df = 0.0
        found = list(cells)
        for cell, scale in zip(found, scales or [1.0] * len(found), strict=True):
            more = len(cell.value_J) - 1
            if more:
                squares += scale**2 * float(((cell.value_J - cell.value_J.mean()) ** 2).sum())
                examples += scale**2 * more * float(cell.alone_J.mean())
                df += more
        return cls(squares / df, examples / df, df) if df else None

    def of_mean(self, runs: float, scale: float = 1.0) -> Runs:
        """Of the mean over so many runs of a source whose numbers are multiplied with ``scale``."""
        factor = 1 / (runs * scale**2)
        return Runs(max(self.total - self.examples, 0.0) * factor, (self.total * factor) ** 2 / self.df)

    @classmethod
    def given(cls, grid: Grid, n: int) -> RunVariance | None:
        """What the matrix was told of the scores of column n; None where it was not."""
        if grid.runs is None or not grid.runs.df_N[n] > 0:
            return None
        return cls(float(grid.runs.variance_N[n]), 0.0, float(grid.runs.df_N[n]))

    @property
    def words(self) -> str:
        """How the interval of a mean was made."""
        return "runs as given" if np.isinf(self.df) else f"runs with {self.df:g} degrees of freedom"


def run_variances(
    cells: Mapping[Any, Cell], transfer: Container[Any], scales: Mapping[Any, float] | None = None
) -> dict[Any, RunVariance | None]:
    """The variance between runs for every cell of a task: what is claimed of transfer rests on transfer cells alone.

    Runs agree more (or less) on what they were trained on, and altered data may scatter more: transfer cells are pooled
    among themselves, the others over all. Where no transfer cell has several runs, all serve them too.

    Args:
        cells: of one task. transfer: those that are a source's transfer. scales: as for ``RunVariance.pooled``.
    """
    apart = [key for key in cells if key in transfer]
    pooled = [
        RunVariance.pooled([cells[key] for key in keys], None if scales is None else [scales[key] for key in keys])
        for keys in (apart, list(cells))
    ]
    return {key: (pooled[0] or pooled[1]) if key in transfer else pooled[1] for key in cells}


def findings_over_runs(found: Sequence[Row], grid: Grid, level: float) -> list[Row]:
    """Findings of single runs as findings of their sources, where the variance between runs is known.

    Runs of one source are averaged; the variance between runs is pooled over the sources of a task (see
    ``run_variances``), and serves those with one run. Ratios are averaged as logarithms.

    Args:
        found: findings of one kind, with the columns ``alone`` and ``scale`` (see ``Kind.finding``).
        grid: whose rows they are about.
        level: of their intervals.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for finding in found:
        source = finding["source"]
        base = int(grid.base_I[grid.row[finding["model"]]]) if source is not None else finding["model"]
        groups.setdefault((base, source, finding["task"], finding["detail"]), []).append(finding)
    alike: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for key in groups:
        if key[1] is not None:
            # The detail of a control is its own name: controls of one task are alike.
            alike.setdefault((key[2], key[3] if key[3] != key[1] else None), []).append(key)
    cells = {key: _cell(group) for key, group in groups.items()}
    made = dict(groups)
    for keys in alike.values():
        scales = {key: groups[key][0]["scale"] for key in keys}
        transfer = {key for key in keys if key[2] is None or grid.transfers(key[1], key[2])}
        for key, variance in run_variances({key: cells[key] for key in keys}, transfer, scales).items():
            if variance is not None:
                made[key] = [_merged(groups[key], cells[key], variance, grid, level)]
    return [finding for group in made.values() for finding in group]


def _cell(group: Sequence[Row]) -> Cell:
    change = np.log if group[0]["unit"] == "ratio" else np.asarray
    value, lo, hi = (change([finding[name] for finding in group]) for name in ("value", "lo", "hi"))
    return Cell.of(value, lo, hi, [finding["alone"] for finding in group])


def about_runs(group: Sequence[Row], grid: Grid) -> tuple[Row, Row]:
    """Columns and numbers that say of which runs a row is: of the source's name where it is a mean over several.

    The numbers are ``seeds`` that were averaged, of ``all_seeds`` that the source has, and the rows of these ``runs``.
    """
    names, source, task = [row["model"] for row in group], group[0]["source"], group[0]["task"]
    at = [grid.row[name] for name in names]
    base = int(grid.base_I[at[0]])
    every = grid.by_source(TRAINED)[base, source]
    told = {} if len(names) == 1 else {"model": grid.name_of(base, source), "seed": None}
    return told, {"seeds": grid.seeds_of(at, task), "all_seeds": grid.seeds_of(every, task), "runs": names}


def _merged(group: Sequence[Row], cell: Cell, variance: RunVariance, grid: Grid, level: float) -> Row:
    runs, first = len(group), group[0]
    value, lo, hi = cell.mean(level)
    test = with_runs(value, lo, hi, variance.of_mean(runs, first["scale"]), level)
    back = np.exp if first["unit"] == "ratio" else float
    told, which = about_runs(group, grid)
    numbers = mean_numbers([finding["numbers"] for finding in group]) | which
    ends = {"value": float(back(value)), "lo": float(back(test["lo"])), "hi": float(back(test["hi"])), "p": test["p"]}
    about = {"n": max(finding["n"] for finding in group), "method": f"{first['method']}, {variance.words}"}
    return {**first, **told, **ends, **about, "numbers": numbers}


def mean_numbers(numbers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The means of what is a number, to one digit where it counts something; the rest as in the first run."""
    found = dict(numbers[0])
    for name, value in numbers[0].items():
        values = [other[name] for other in numbers]
        if isinstance(value, int | float) and not isinstance(value, bool) and None not in values:
            mean = float(np.mean(values))
            whole = all(isinstance(v, int) for v in values)
            found[name] = value if len(set(values)) == 1 else round(mean, 1) if whole else mean
    return found
