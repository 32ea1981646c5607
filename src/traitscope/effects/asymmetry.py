"""Asymmetry: what i gives to j against what j gives to i; and controls against the sources they alter."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from traitscope.effects.findings import Finding, number, p_words, span, words
from traitscope.effects.grid import Grid
from traitscope.effects.panel import Change
from traitscope.effects.significance import normal_p, normal_quantile, percentile_interval
from traitscope.effects.sourcegains import SourceGain, SourceGains


def asymmetry_effects(grid: Grid, gains: SourceGains, level: float) -> tuple[list[Finding], list[dict], str]:
    """T_ij - T_ji: the gain of source i on task j minus that of j on i, for all pairs that are both.

    The two gains rest on different examples, so their errors add.

    Returns:
        Findings of kind ``asymmetry``, the rows of the table ``asymmetry``, and a note (empty where all was
        computed).
    """
    both = sorted({source for _, source, _ in gains if source in grid.column})
    if len(both) < 2:
        return [], [], "asymmetry: fewer than two sources are targets as well"
    findings, rows, skipped = [], [], 0
    for b in sorted({key[0] for key in gains}):
        for i, j in combinations(both, 2):
            there, back = gains.get((b, i, j)), gains.get((b, j, i))
            if there is None or back is None:
                continue
            if there.unit != back.unit:
                skipped += 1
                continue
            value, lo, hi, p = _difference(there, back, level)
            rows.append(
                {
                    "base": grid.models[b],
                    "i": i,
                    "j": j,
                    "i_to_j": there.value,
                    "j_to_i": back.value,
                    "difference": value,
                    "lo": lo,
                    "hi": hi,
                    "p": p,
                    "unit": there.unit,
                }
            )
            findings.append(
                Finding(
                    kind="asymmetry",
                    detail=f"{i} -> {j} minus {j} -> {i}",
                    value=value,
                    lo=lo,
                    hi=hi,
                    unit=there.unit,
                    n=min(there.seeds, back.seeds),
                    p=p,
                    interval="bootstrap" if there.replicates_R is not None else "normal",
                    sentence=(
                        f"{i} gives {j} {number(there.value, there.unit)} {words(there.unit)}, {j} gives {i} "
                        f"{number(back.value, back.unit)}: a difference of {number(value, there.unit)} "
                        f"{span(lo, hi, there.unit)} ({p_words(p)})."
                    ),
                )
            )
    note = f"asymmetry: {skipped} pairs left out, their tasks are scored in different units" if skipped else ""
    return findings, rows, note


def _difference(there: SourceGain, back: SourceGain, level: float) -> tuple[float, float, float, float]:
    value = there.value - back.value
    se = float(np.hypot(there.stderr, back.stderr))
    p = float(normal_p(value / se)) if np.isfinite(se) and se > 0 else float("nan")
    if there.replicates_R is not None and back.replicates_R is not None:
        interval = percentile_interval(there.replicates_R - back.replicates_R, len(there.replicates_R), level)
        return value, float(interval.lo), float(interval.hi), p
    half = normal_quantile(level) * se
    return value, value - half, value + half, p


def control_effects(
    grid: Grid, changes: Mapping[tuple[str, str], tuple[Change, int, str]], level: float
) -> tuple[list[Finding], list[dict]]:
    """Controls against the sources they alter, same seed, paired over the same examples.

    Args:
        grid: names and roles.
        changes: by (control model, task): the change against the unaltered source's model, the model's index
            in it, the unit.
        level: of the intervals.

    Returns:
        Findings of kind ``control_own`` (on the source's own task) and ``control_transfer`` (mean over all
        other tasks of one unit), and the rows of the table ``controls`` (one per task).
    """
    findings, rows = [], []
    away: dict[tuple[str, str], list[tuple[float, np.ndarray, int]]] = {}
    for (model, task), (change, m, unit) in changes.items():
        i = grid.row[model]
        source = grid.sources[i]
        assert source is not None
        parent = grid.parents[source]
        where = grid.where(i, task)
        row = {
            **where,
            "parent": parent,
            "own": task == parent,
            "parent_value": change.reference[m],
            "value": change.mean[m],
            "difference": change.value[m],
            "lo": change.lo[m],
            "hi": change.hi[m],
            "p": change.p[m],
            "n": int(change.n[m]),
            "unit": unit,
        }
        rows.append(row)
        if task != parent:
            away.setdefault((model, unit), []).append((float(change.value[m]), change.replicates_RM[:, m], row["n"]))
            continue
        findings.append(
            Finding(
                kind="control_own",
                **where,
                detail=source,
                value=float(change.value[m]),
                lo=float(change.lo[m]),
                hi=float(change.hi[m]),
                unit=unit,
                n=row["n"],
                p=float(change.p[m]),
                interval=str(change.method[m]),
                sentence=(
                    f"{source} on its own task {task}: {number(change.mean[m], unit, signed=False)} against "
                    f"{number(change.reference[m], unit, signed=False)} of the unaltered {parent}, "
                    f"{number(change.value[m], unit)} {words(unit)} {span(change.lo[m], change.hi[m], unit)} "
                    f"({p_words(change.p[m])})."
                ),
            )
        )
    for (model, unit), parts in away.items():
        i = grid.row[model]
        source = grid.sources[i]
        assert source is not None
        replicates = np.mean([reps for _, reps, _ in parts], axis=0)
        value = float(np.mean([v for v, _, _ in parts]))
        interval = percentile_interval(replicates, sum(n for _, _, n in parts), level)
        se = float(replicates.std(ddof=1))
        p = float(normal_p(value / se)) if se > 0 else 1.0
        findings.append(
            Finding(
                kind="control_transfer",
                **grid.where(i),
                detail=source,
                value=value,
                lo=float(interval.lo),
                hi=float(interval.hi),
                unit=unit,
                n=len(parts),
                p=p,
                interval="bootstrap",
                sentence=(
                    f"{source} against the unaltered {grid.parents[source]} on the {len(parts)} other tasks: "
                    f"{number(value, unit)} {words(unit)} on average "
                    f"{span(float(interval.lo), float(interval.hi), unit)} ({p_words(p)})."
                ),
            )
        )
    return findings, rows
