"""Gains of every adapter on every task, what was won and lost, and seeds of one source together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.findings import Finding, number, p_words, span, words
from traitscope.effects.grid import Grid
from traitscope.effects.panel import Panel
from traitscope.effects.significance import normal_p, normal_quantile, wilson

Floats = NDArray[np.float64]
GainReplicates = dict[tuple[str, str], NDArray[np.float32]]


def gain_effects(panel: Panel, grid: Grid, replicates: GainReplicates) -> tuple[list[Finding], list[dict]]:
    """Paired gain of every model on one task, with win and harm rates.

    Args:
        panel: the task's records.
        grid: names and roles.
        replicates: receives the bootstrap replicates of every gain, by (model, task).

    Returns:
        Findings of kind ``gain`` and the rows of the table ``gains``.
    """
    change = panel.change(panel.correct_MS)
    right = np.nan_to_num(panel.correct_MS[panel.base]) > 0
    findings, rows = [], []
    known_MS = np.isfinite(panel.correct_MS - panel.correct_MS[panel.base])
    base_right = (known_MS & right).sum(axis=1)
    wins = wilson(change.won, change.n, panel.level)
    harms = wilson(change.lost, base_right, panel.level)
    for m in panel.others:
        if not change.n[m]:
            continue
        i = int(panel.rows[m])
        replicates[panel.models[m], panel.task] = change.replicates_RM[:, m].astype(np.float32)
        relation = grid.relation(i, panel.task)
        scored = panel.unit == "share"
        text = (
            f"{panel.models[m]} on {panel.task}: {number(change.value[m], panel.unit)} {words(panel.unit)} "
            f"{span(change.lo[m], change.hi[m], panel.unit)} over the base's "
            f"{number(change.reference[m], panel.unit, signed=False)} (n = {change.n[m]}, "
            f"{p_words(change.p[m])}): "
            f"{change.won[m]} examples won, {change.lost[m]} lost."
        )
        where = grid.where(i, panel.task)
        findings.append(
            Finding(
                kind="gain",
                **where,
                detail=relation,
                value=float(change.value[m]),
                lo=float(change.lo[m]),
                hi=float(change.hi[m]),
                unit=panel.unit,
                n=int(change.n[m]),
                p=float(change.p[m]),
                interval=str(change.method[m]),
                sentence=text,
            )
        )
        rows.append(
            {
                **where,
                "relation": relation,
                "base_value": change.reference[m],
                "value": change.mean[m],
                "gain": change.value[m],
                "lo": change.lo[m],
                "hi": change.hi[m],
                "p": change.p[m],
                "n": int(change.n[m]),
                "unit": panel.unit,
                "won": int(change.won[m]),
                "lost": int(change.lost[m]),
                "win_rate": change.won[m] / change.n[m],
                "win_lo": wins.lo[m],
                "win_hi": wins.hi[m],
                "base_right": int(base_right[m]) if scored else None,
                "harm_rate": change.lost[m] / base_right[m] if scored and base_right[m] else np.nan,
                "harm_lo": harms.lo[m] if scored else np.nan,
                "harm_hi": harms.hi[m] if scored else np.nan,
                "interval": str(change.method[m]),
            }
        )
    return findings, rows


def table_gains(grid: Grid, measured: set[tuple[str, str]], level: float) -> tuple[list[Finding], list[dict]]:
    """Gains of the cells without example records, from the matrix alone (normal intervals).

    Args:
        grid: the matrix with its roles.
        measured: (model, task) of the cells that have a paired gain already.
        level: of the intervals.
    """
    z = normal_quantile(level)
    findings, rows = [], []
    for i, n in np.argwhere(np.isfinite(grid.gains_IN)):
        model, task = grid.models[i], grid.tasks[n]
        if grid.is_base(int(i)) or (model, task) in measured:
            continue
        value, se = float(grid.gains_IN[i, n]), float(grid.gain_stderr_IN[i, n])
        lo, hi = (value - z * se, value + z * se) if np.isfinite(se) else (np.nan, np.nan)
        p = float(normal_p(value / se)) if np.isfinite(se) and se > 0 else np.nan
        unit = grid.unit(int(n))
        where = grid.where(int(i), task)
        tail = f"{span(lo, hi, unit)} ({p_words(p)}; not paired)" if np.isfinite(se) else "(no standard error)"
        findings.append(
            Finding(
                kind="gain",
                **where,
                detail=grid.relation(int(i), task),
                value=value,
                lo=lo,
                hi=hi,
                unit=unit,
                p=p,
                interval="normal" if np.isfinite(se) else "none",
                sentence=f"{model} on {task}: {number(value, unit)} {words(unit)} over the base {tail}.",
            )
        )
        rows.append(
            {
                **where,
                "relation": grid.relation(int(i), task),
                "gain": value,
                "lo": lo,
                "hi": hi,
                "p": p,
                "unit": unit,
            }
        )
    return findings, rows


def seed_effects(grid: Grid, panels: Sequence[str], gains: pd.DataFrame, level: float) -> list[Finding]:
    """Gain of a source averaged over its seeds, with examples and seeds as two levels of error.

    The variance between seeds is pooled over the sources of a task; the interval is Student's t with its
    degrees of freedom. Sources with one seed are left out.

    Args:
        grid: names and roles.
        panels: tasks to look at.
        gains: the table ``gains`` (columns model, task, gain, lo, hi).
        level: of the intervals.
    """
    from scipy.stats import t as student

    z = normal_quantile(level)
    by_cell = gains.set_index(["model", "task"])[["gain", "lo", "hi", "n"]] if len(gains) else gains
    found = []
    groups = {key: rows for key, rows in grid.by_source(controls=True).items() if len(rows) > 1}
    for task in panels:
        cells: dict[tuple[int, str], pd.DataFrame] = {}
        for key, rows in groups.items():
            keys = [(grid.models[i], task) for i in rows]
            cell = by_cell.loc[[k for k in keys if k in by_cell.index]]
            if len(cell) > 1:
                cells[key] = cell
        df = sum(len(c) - 1 for c in cells.values())
        if not df:
            continue
        between = sum(float(((c["gain"] - c["gain"].mean()) ** 2).sum()) for c in cells.values()) / df
        for (_, source), cell in cells.items():
            value = float(cell["gain"].mean())
            # Seeds share the examples, so averaging over them does not shrink the examples' part.
            examples = float((((cell["hi"] - cell["lo"]) / (2 * z)) ** 2).mean())
            se = float(np.sqrt(examples + between / len(cell)))
            half = float(student.ppf(0.5 + level / 2, df)) * se
            p = float(2 * student.sf(abs(value) / se, df)) if se > 0 else np.nan
            found.append(
                Finding(
                    kind="source_gain",
                    source=source,
                    task=task,
                    value=value,
                    lo=value - half,
                    hi=value + half,
                    unit="share",
                    n=int(cell["n"].max()),
                    p=p,
                    interval=f"t, {df} degrees of freedom between seeds",
                    sentence=(
                        f"{source} on {task}: {number(value)} points {span(value - half, value + half)} "
                        "over the base, "
                        f"mean of {len(cell)} seeds whose deviation is "
                        f"{number(float(np.sqrt(between)), signed=False)} "
                        f"points ({p_words(p)})."
                    ),
                )
            )
    return found
