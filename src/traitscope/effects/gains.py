"""Gains: of every model on every task, what was won and lost; seeds of one source together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitscope.effects.grid import Grid, Row
from traitscope.effects.measure import primary_change
from traitscope.effects.panel import Panel
from traitscope.effects.quality import base_at, habit, remark
from traitscope.effects.runs import Cell, RunVariance, about_runs, mean_numbers, run_variances
from traitscope.effects.significance import normal_p, normal_quantile, wilson, with_runs
from traitscope.matrix.roles import TRAINED

Floats = NDArray[np.float64]
# The rows of paired gains by (model, task).
Paired = Mapping[tuple[str, str], Row]


def gain_rows(panel: Panel) -> list[Row]:
    """Paired gain of every model on one task, in its primary metric, with win and harm rates.

    Win rates are of all examples, harm rates of those that the base has right. No rows for a metric whose change
    cannot be paired.
    """
    change = primary_change(panel)
    if change is None:
        return []
    at = base_at(panel)
    known_MS = np.isfinite(panel.correct_MS - panel.correct_MS[0])
    base_right = (known_MS & (np.nan_to_num(panel.correct_MS[0]) > 0)).sum(axis=1)
    win_lo, win_hi = wilson(change.won, change.n, panel.level)
    harm_lo, harm_hi = wilson(change.lost, base_right, panel.level)
    scored = panel.unit == "share"
    return [
        {
            **panel.where(m),
            "relation": panel.relation(m),
            **change.at(m, "base_value", "value", "gain", turn=panel.turn),
            "unit": panel.unit,
            "metric": panel.metric,
            "_lower": panel.task in panel.grid.lower,
            "remark": remark(panel, m),
            "_habit": habit(panel, m),
            "base_at": at,
            "won": int(change.won[m]),
            "lost": int(change.lost[m]),
            "win_rate": change.won[m] / change.n[m],
            "win_lo": win_lo[m],
            "win_hi": win_hi[m],
            "base_right": int(base_right[m]) if scored else None,
            "harm_rate": change.lost[m] / base_right[m] if scored and base_right[m] else np.nan,
            "harm_lo": harm_lo[m] if scored else np.nan,
            "harm_hi": harm_hi[m] if scored else np.nan,
            "interval": change.method,
            "_replicates": change.replicates_RM[:, m].astype(np.float32),
        }
        for m in panel.others
        if change.n[m]
    ]


def matrix_gain_rows(grid: Grid, paired: Paired, level: float) -> list[Row]:
    """Gains of the cells without a paired one, from the matrix alone (normal intervals)."""
    z = normal_quantile(level)
    rows = []
    for i, n in np.argwhere(np.isfinite(grid.gains_IN)).tolist():
        task = grid.tasks[n]
        if grid.is_base(i) or (grid.models[i], task) in paired:
            continue
        value, se = float(grid.gains_IN[i, n]), float(grid.gain_stderr_IN[i, n])
        rows.append(
            {
                **grid.where(i, task),
                "relation": grid.relation(grid.sources[i], task),
                "gain": value,
                "lo": value - z * se,
                "hi": value + z * se,
                "p": float(normal_p(value / se)) if se > 0 else np.nan,
                "unit": grid.unit(n),
                "metric": grid.metrics[n],
                "_lower": task in grid.lower,
                "remark": "",
                "base_at": "",
                "_n": 0,
                "_method": "normal" if np.isfinite(se) else "none",
            }
        )
    return rows


# By (base row, source, task): value, lo and hi (over examples; the value itself where nothing is known of them),
# replicates (of the examples, or None), seeds, n, unit, runs (what runs add to the error, or None), method, and habit
# and remark of its answers (see ``quality``).
SourceGains = Mapping[tuple[int, str, str], Row]


def source_gains(grid: Grid, paired: Paired, level: float, *, scores: bool = False) -> SourceGains:
    """Gains by (base row, source, task), averaged over the seeds of the source; controls and mixes included.

    Paired gains take the place of the matrix's where any seed has one. The variance between runs is pooled over the
    sources of a task, where the matrix does not say it (see ``run_variances``).

    Args:
        grid: rows, columns and roles.
        paired: gains over paired examples.
        level: of their intervals.
        scores: scores instead of gains, as where there is no base.
    """
    values_IN, errors_IN = (grid.scores_IN, grid.stderr_IN) if scores else (grid.gains_IN, grid.gain_stderr_IN)
    found: dict[tuple[int, str, str], Row] = {}
    for n, task in enumerate(grid.tasks):
        cells = {}
        for (b, source), members in grid.by_source(TRAINED).items():
            told = [i for i in members if (grid.models[i], task) in paired]
            rows = [paired[grid.models[i], task] for i in told]
            known = [i for i in members if np.isfinite(values_IN[i, n])]
            if rows:
                cell = Cell.of(*([row[name] for row in rows] for name in ("gain", "lo", "hi", "_alone")))
                replicates_R = np.mean([row["_replicates"] for row in rows], axis=0, dtype=float)
                about = {"replicates": replicates_R, "n": max(row["n"] for row in rows), "unit": rows[0]["unit"]}
                method = str(rows[0]["interval"])
                # What is odd about one run is odd about their mean.
                odd = max(rows, key=lambda row: (bool(row["_habit"]), bool(row["remark"])))
                about |= {"habit": odd["_habit"], "remark": odd["remark"]}
            elif known:
                value_J, half_J = values_IN[known, n], normal_quantile(level) * errors_IN[known, n]
                method = "normal" if np.isfinite(half_J).all() else "none"
                half_J = np.nan_to_num(half_J)
                # The base's error is common to the seeds, so it does not shrink with their number.
                cell = Cell.of(value_J, value_J - half_J, value_J + half_J, np.zeros(len(known)))
                about = {"replicates": None, "n": 0, "unit": grid.unit(n), "habit": "", "remark": ""}
            else:
                continue
            value, lo, hi = cell.mean(level)
            runs = grid.seeds_of(told or known, task)
            found[b, source, task] = {"value": value, "lo": lo, "hi": hi, **about, "seeds": runs, "method": method}
            cells[b, source] = cell
        given = RunVariance.given(grid, n)
        transfer = {key for key in cells if grid.transfers(key[1], task)}
        for (b, source), pooled in run_variances(cells, transfer).items():
            variance, gain = given or pooled, found[b, source, task]
            gain["runs"] = variance and variance.of_mean(gain["seeds"])
            gain["deviation"] = np.nan if variance is None else float(np.sqrt(variance.total))
            gain["words"] = "" if variance is None else variance.words
    return found


def claimed_gains(rows: Iterable[Row], gains: SourceGains, grid: Grid, level: float) -> list[Row]:
    """The gains that findings are made of: of sources where the variance between runs is known, else of single runs.

    Args:
        rows: of :func:`gain_rows` and :func:`matrix_gain_rows`.
        gains: of the sources, made of them.
        grid: whose rows they are about.
        level: of their intervals.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = int(grid.base_I[grid.row[row["model"]]]), row["source"], row["task"]
        known = key in gains and gains[key]["runs"] is not None
        groups.setdefault(key if known else (row["model"], row["task"]), []).append(row)
    return [_of_source(group, gains[key], grid, level) if len(key) == 3 else group[0] for key, group in groups.items()]


def _of_source(rows: Sequence[Row], gain: Row, grid: Grid, level: float) -> Row:
    # Where a run has a paired gain, those without one are not averaged (see source_gains).
    rows = [row for row in rows if "_replicates" in row] or list(rows)
    told, which = about_runs(rows, grid)
    numbers = mean_numbers([{name: row.get(name) for name in ("base_value", "won", "lost")} for row in rows])
    return {
        **rows[0],
        **told,
        **numbers,
        **which,
        "gain": gain["value"],
        **with_runs(gain["value"], gain["lo"], gain["hi"], gain["runs"], level),
        "n": gain["n"],
        "_method": gain["words"] if gain["method"] == "none" else f"{gain['method']}, {gain['words']}",
        "remark": _remarks(rows),
        "deviation": gain["deviation"],
    }


def _remarks(rows: Sequence[Row]) -> str:
    """What is odd about the answers of several runs; by run where it is not the same of all."""
    told = {row["remark"] for row in rows}
    if len(told) == 1:
        return str(told.pop())
    return " ".join(f"{row['model']}: {row['remark']}" for row in rows if row["remark"])


def by_cell(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """Rows by (model, task)."""
    return {(row["model"], row["task"]): row for row in rows}
