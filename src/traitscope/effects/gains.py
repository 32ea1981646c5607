"""Gains: of every model on every task, what was won and lost; seeds of one source together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from traitscope.effects.grid import Grid, Row
from traitscope.effects.measure import primary_change
from traitscope.effects.panel import Panel
from traitscope.effects.quality import base_at, remark
from traitscope.effects.significance import normal_p, normal_quantile, wilson
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
            "remark": remark(panel, m),
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
            "interval": str(change.method[m]),
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
                "remark": "",
                "base_at": "",
                "_n": 0,
                "_method": "normal" if np.isfinite(se) else "none",
            }
        )
    return rows


def seed_rows(grid: Grid, paired: Paired, level: float) -> list[Row]:
    """Gain of a source averaged over its seeds, with examples and seeds as two levels of error.

    The variance between seeds is pooled over the sources of a task; the interval is Student's t with its
    degrees of freedom. Sources with one seed are left out.
    """
    from scipy.stats import t as student

    z = normal_quantile(level)
    found: list[Row] = []
    for task in dict.fromkeys(task for _, task in paired):
        cells = {}
        for (_, source), members in grid.by_source(TRAINED).items():
            cell = [paired[grid.models[i], task] for i in members if (grid.models[i], task) in paired]
            if len(cell) > 1:
                cells[source, cell[0]["model"]] = cell
        df = sum(len(cell) - 1 for cell in cells.values())
        gains = [np.array([row["gain"] for row in cell]) for cell in cells.values()]
        between = sum(float(((gain - gain.mean()) ** 2).sum()) for gain in gains) / max(df, 1)
        for (source, _), cell in cells.items():
            value = float(np.mean([row["gain"] for row in cell]))
            # Seeds share the examples, so averaging over them does not shrink the examples' part.
            half_widths = np.array([(row["hi"] - row["lo"]) / (2 * z) for row in cell])
            examples = float((half_widths**2).mean())
            se = float(np.sqrt(examples + between / len(cell)))
            half = float(student.ppf(0.5 + level / 2, df)) * se
            found.append(
                {
                    "source": source,
                    "task": task,
                    "value": value,
                    "lo": value - half,
                    "hi": value + half,
                    "p": float(2 * student.sf(abs(value) / se, df)) if se > 0 else np.nan,
                    "n": max(row["n"] for row in cell),
                    "method": f"t, {df} degrees of freedom between seeds",
                    "seeds": len(cell),
                    "deviation": float(np.sqrt(between)),
                }
            )
    return found


# By (base row, source, task): value, stderr (over examples, NaN if unknown), replicates (or None), seeds, unit.
SourceGains = Mapping[tuple[int, str, str], Row]


def source_gains(grid: Grid, paired: Paired) -> SourceGains:
    """Gains by (base row, source, task), averaged over the seeds of the source; controls included.

    Paired gains take the place of the matrix's where any seed has one.
    """
    found: dict[tuple[int, str, str], Row] = {}
    for (b, source), members in grid.by_source(TRAINED).items():
        for n, task in enumerate(grid.tasks):
            rows = [paired[grid.models[i], task] for i in members if (grid.models[i], task) in paired]
            known = [i for i in members if np.isfinite(grid.gains_IN[i, n])]
            if rows:
                value_J = np.array([row["gain"] for row in rows])
                replicates_R = np.mean([row["_replicates"] for row in rows], axis=0, dtype=float)
                stderr, unit = float(replicates_R.std(ddof=1)), rows[0]["unit"]
            elif known:
                value_J, replicates_R, unit = grid.gains_IN[known, n], None, grid.unit(n)
                # The base's error is common to the seeds, so it does not shrink with their number.
                stderr = float(np.sqrt(np.mean(grid.gain_stderr_IN[known, n] ** 2)))
            else:
                continue
            gain = {"value": float(value_J.mean()), "stderr": stderr, "replicates": replicates_R}
            found[b, source, task] = {**gain, "seeds": len(value_J), "unit": unit}
    return found


def by_cell(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """Rows by (model, task)."""
    return {(row["model"], row["task"]): row for row in rows}
