"""Two trained models against each other: both directions of a pair of sources, a control and what it alters."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np

from traitscope.effects.gains import SourceGains
from traitscope.effects.grid import Found, Grid, Row
from traitscope.effects.measure import primary_change
from traitscope.effects.panel import Panel
from traitscope.effects.significance import normal_p, normal_quantile, percentile_interval, replicate_test


def asymmetry_rows(grid: Grid, gains: SourceGains, level: float) -> Found:
    """T_ij - T_ji: the gain of source i on task j minus that of j on i, for all pairs that are both.

    The two gains rest on different examples, so their errors add.
    """
    both = sorted({s for _, s, _ in gains if s in grid.column and grid.role_of[s].kind == "source"})
    if len(both) < 2:
        return {}, ["asymmetry: fewer than two sources are targets as well"]
    rows, skipped = [], 0
    for b in sorted({key[0] for key in gains}):
        for i, j in combinations(both, 2):
            there, back = gains.get((b, i, j)), gains.get((b, j, i))
            if there is None or back is None or not (grid.transfers(i, j) and grid.transfers(j, i)):
                continue
            if there["unit"] != back["unit"]:
                skipped += 1
                continue
            head = {"base": grid.models[b], "i": i, "j": j, "i_to_j": there["value"], "j_to_i": back["value"]}
            rows.append({**head, **_difference(there, back, level)})
    note = f"asymmetry: {skipped} pairs left out, their tasks are scored in different units"
    return {"asymmetry": rows}, [note] if skipped else []


def _difference(there: Row, back: Row, level: float) -> Row:
    value, method = there["value"] - back["value"], "normal"
    se = float(np.hypot(there["stderr"], back["stderr"]))
    half = normal_quantile(level) * se
    lo, hi = value - half, value + half
    if there["replicates"] is not None and back["replicates"] is not None:
        replicates_R, method = there["replicates"] - back["replicates"], "bootstrap"
        lo, hi = map(float, percentile_interval(replicates_R, len(replicates_R), level))
    return {
        "difference": value,
        "lo": lo,
        "hi": hi,
        "p": float(normal_p(value / se)) if np.isfinite(se) and se > 0 else np.nan,
        "unit": there["unit"],
        "_n": min(there["seeds"], back["seeds"]),
        "_method": method,
    }


def control_rows(panel: Panel) -> list[Row]:
    """Controls against the sources they alter, same seed where there is one, paired over the same examples."""
    grid = panel.grid
    against_M = np.arange(len(panel.rows))
    for m, i in enumerate(panel.rows):
        parent = grid.parents.get(grid.sources[i] or "", "")
        twins = [k for k, j in enumerate(panel.rows) if grid.sources[j] == parent]
        same = [k for k in twins if grid.seeds[panel.rows[k]] == grid.seeds[i]]
        against_M[m] = (same or twins or [m])[0]
    controls = np.flatnonzero(against_M != np.arange(len(against_M))).tolist()
    if not controls:
        return []
    change = primary_change(panel, against_M)
    if change is None:
        return []
    rows = []
    for m in controls:
        where = panel.where(m)
        parent = grid.parents[where["source"]]
        rows.append(
            {
                **where,
                "parent": parent,
                "own": panel.task == parent,
                **change.at(m, "parent_value", "value", "difference", turn=panel.turn),
                "unit": panel.unit,
                "_replicates": change.replicates_RM[:, m],
            }
        )
    return rows


def controls_elsewhere(controls: Iterable[Row], level: float) -> list[Row]:
    """Every control's mean difference over the tasks that are not its source's own, unit by unit."""
    away: dict[tuple[str, str], list[Row]] = {}
    for row in controls:
        if not row["own"]:
            away.setdefault((row["model"], row["unit"]), []).append(row)
    found = []
    for (_, unit), rows in away.items():
        value = float(np.mean([row["difference"] for row in rows]))
        replicates_R = np.mean([row["_replicates"] for row in rows], axis=0)
        test = replicate_test(value, replicates_R, sum(row["n"] for row in rows), level)
        names = {name: rows[0][name] for name in ("model", "source", "seed", "parent")}
        found.append({**names, "value": value, **test, "unit": unit, "n": len(rows)})
    return found
