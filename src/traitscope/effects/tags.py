"""Success by tag of the examples (a dependency relation, a length class), with counts and intervals."""

from __future__ import annotations

import numpy as np

from traitscope.effects.findings import Finding, number, p_words, span
from traitscope.effects.grid import Grid
from traitscope.effects.panel import Panel
from traitscope.effects.significance import mcnemar_exact, paired_ratio

SEPARATOR = "|"
FEW = 20
MAX_VALUES = 200


def tag_effects(panel: Panel, grid: Grid) -> tuple[list[Finding], list[dict]]:
    """Success ratio adapter/base among the examples of every tag value, on 0/1 scores.

    An example may carry several values of a tag, joined by ``|``. Ratios are smoothed by half an
    example in every count. A tag with one value, or with more than 200 (ids, not tags), is left out.

    Returns:
        Findings of kind ``tag`` and the rows of the table ``tags`` (counts of both models, ratio, interval,
        exact McNemar p, and ``few``: fewer than 20 examples).
    """
    correct = panel.correct_MS
    known = np.isfinite(correct)
    if panel.unit != "share" or not np.isin(correct[known], (0.0, 1.0)).all():
        return [], []
    findings, rows = [], []
    pair_MS = known & known[panel.base]
    ours, base = np.nan_to_num(correct), np.nan_to_num(correct[panel.base])
    for key, values in panel.tags.items():
        carried = [set(value.split(SEPARATOR)) if value else set() for value in values]
        names = sorted({name for group in carried for name in group})
        if not 1 < len(names) <= MAX_VALUES:
            continue
        hot_SV = np.array([[name in group for name in names] for group in carried], dtype=float)
        n_MV = pair_MS @ hot_SV
        both_MV = (pair_MS * ours * base) @ hot_SV
        lost_MV = (pair_MS * (1 - ours) * base) @ hot_SV
        won_MV = (pair_MS * ours * (1 - base)) @ hot_SV
        ratio, interval = paired_ratio(both_MV, lost_MV, won_MV, panel.level)
        p_MV = mcnemar_exact(lost_MV, won_MV)
        for m in panel.others:
            where = grid.where(int(panel.rows[m]), panel.task)
            for v, name in enumerate(names):
                n = int(n_MV[m, v])
                if not n:
                    continue
                row = {
                    **where,
                    "tag": key,
                    "value": name,
                    "n": n,
                    "base_right": int(both_MV[m, v] + lost_MV[m, v]),
                    "right": int(both_MV[m, v] + won_MV[m, v]),
                    "ratio": float(ratio[m, v]),
                    "lo": float(interval.lo[m, v]),
                    "hi": float(interval.hi[m, v]),
                    "p": float(p_MV[m, v]),
                    "few": n < FEW,
                }
                rows.append(row)
                findings.append(
                    Finding(
                        kind="tag",
                        **where,
                        detail=f"{key}={name}",
                        value=row["ratio"],
                        lo=row["lo"],
                        hi=row["hi"],
                        unit="ratio",
                        n=n,
                        p=row["p"],
                        interval="log ratio",
                        sentence=(
                            f"{panel.models[m]} on {panel.task}, {key} = {name}: {row['right']} of {n} "
                            "right against the "
                            f"base's {row['base_right']}, ratio "
                            f"{number(row['ratio'], 'ratio', signed=False)} "
                            f"{span(row['lo'], row['hi'], 'ratio', signed=False)} ({p_words(row['p'])})"
                            + (", on too few examples to rest on." if n < FEW else ".")
                        ),
                    )
                )
    return findings, rows
