"""Two trained models against each other: both directions of a pair of sources, a control and what it alters."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from traitscope.effects.gains import SourceGains
from traitscope.effects.grid import HOME, Found, Grid, Row
from traitscope.effects.measure import primary_change
from traitscope.effects.panel import Panel
from traitscope.effects.significance import NO_RUNS, alone_of, replicate_test, with_runs
from traitscope.texts import count_of

Floats = NDArray[np.float64]


def asymmetry_rows(grid: Grid, gains: SourceGains, level: float) -> Found:
    """T_ij - T_ji: the gain of source i on task j minus that of j on i, for all pairs that are both.

    The two gains rest on different examples and runs, so their errors add.
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
            metrics = {grid.metrics[grid.column[task]] for task in (i, j)}
            if there["unit"] != back["unit"] or (there["unit"] == "score" and len(metrics) > 1):
                skipped += 1
                continue
            head = {"base": grid.models[b], "i": i, "j": j}
            rows.append({**head, **_way("i_to_j", there, level), **_way("j_to_i", back, level)})
            rows[-1] |= _difference(there, back, level)
    note = f"asymmetry: {count_of(skipped, 'pair')} left out, whose tasks are scored in different units"
    return {"asymmetry": rows}, [note] if skipped else []


def _way(name: str, gain: Row, level: float) -> Row:
    """One direction with an interval of its own."""
    known = gain["method"] != "none" or gain["runs"] is not None
    test = with_runs(gain["value"], gain["lo"], gain["hi"], gain["runs"] or NO_RUNS, level)
    ends = {f"{name}_{end}": test[end] if known else np.nan for end in ("lo", "hi")}
    return {name: gain["value"], **ends, f"_{name}_habit": gain["habit"], f"_{name}_remark": gain["remark"]}


def _difference(there: Row, back: Row, level: float) -> Row:
    value = there["value"] - back["value"]
    # The ends of two independent numbers add as squares: Newcombe 1998, Zou and Donner 2008.
    down = float(np.hypot(there["value"] - there["lo"], back["hi"] - back["value"]))
    up = float(np.hypot(there["hi"] - there["value"], back["value"] - back["lo"]))
    known = all(gain["method"] != "none" or gain["runs"] is not None for gain in (there, back))
    runs = (there["runs"] or NO_RUNS) + (back["runs"] or NO_RUNS)
    test = with_runs(value, value - down, value + up, runs, level)
    method = there["method"] + (f", {there['words']}" if there["runs"] is not None else "")
    return {
        "difference": value,
        **(test if known else dict.fromkeys(("lo", "hi", "p"), np.nan)),
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
                "_away": grid.relation(parent, panel.task) not in HOME,
                **change.at(m, "parent_value", "value", "difference", turn=panel.turn),
                "unit": panel.unit,
                "_replicates": change.replicates_RM[:, m],
            }
        )
    return rows


def controls_elsewhere(controls: Iterable[Row], level: float) -> list[Row]:
    """Every control's mean difference over the tasks that are not its source's own nor copies of it, unit by unit."""
    away: dict[tuple[str, str], list[Row]] = {}
    for row in controls:
        if row["_away"]:
            away.setdefault((row["model"], row["unit"]), []).append(row)
    found: dict[tuple[str, str], list[Row]] = {}
    drawn: dict[tuple[str, str], list[Floats]] = {}
    for (_, unit), rows in away.items():
        value = float(np.mean([row["difference"] for row in rows]))
        replicates_R = np.mean([row["_replicates"] for row in rows], axis=0)
        test = replicate_test(value, replicates_R, sum(row["n"] for row in rows), level)
        names = {name: rows[0][name] for name in ("model", "source", "seed", "parent")}
        key = rows[0]["source"], unit
        found.setdefault(key, []).append({**names, "value": value, **test, "unit": unit, "n": len(rows)})
        drawn.setdefault(key, []).append(replicates_R)
    for key, rows in found.items():
        for row, alone in zip(rows, alone_of(np.stack(drawn[key], axis=1)), strict=True):
            row["_alone"] = float(alone)
    return [row for rows in found.values() for row in rows]
