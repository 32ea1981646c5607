"""Success by tag of the examples (a dependency relation, a length class), with counts and intervals."""

from __future__ import annotations

import numpy as np

from traitscope.effects.grid import Row
from traitscope.effects.panel import Panel
from traitscope.effects.significance import mcnemar_exact, paired_ratio

SEPARATOR = "|"
FEW = 20
MAX_VALUES = 200


def tag_rows(panel: Panel) -> list[Row]:
    """Success ratio adapter/base among the examples of every tag value, on 0/1 scores.

    An example may carry several values of a tag, joined by ``|``. Ratios are smoothed by half an
    example in every count. A tag with one value, or with more than 200 (ids, not tags), is left out. ``few``
    marks fewer than 20 examples.
    """
    known = np.isfinite(panel.correct_MS)
    if panel.unit != "share" or not np.isin(panel.correct_MS[known], (0.0, 1.0)).all():
        return []
    rows: list[Row] = []
    pair_MS = known & known[0]
    ours = np.nan_to_num(panel.correct_MS)
    base = ours[0]
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
        ratio_MV, (lo_MV, hi_MV) = paired_ratio(both_MV, lost_MV, won_MV, panel.level)
        p_MV = mcnemar_exact(lost_MV, won_MV)
        rows += [
            {
                **panel.where(m),
                "tag": key,
                "value": name,
                "n": int(n_MV[m, v]),
                "base_right": int(both_MV[m, v] + lost_MV[m, v]),
                "right": int(both_MV[m, v] + won_MV[m, v]),
                "ratio": float(ratio_MV[m, v]),
                "lo": float(lo_MV[m, v]),
                "hi": float(hi_MV[m, v]),
                "p": float(p_MV[m, v]),
                "few": bool(n_MV[m, v] < FEW),
                "_name": name,
            }
            for m in panel.others
            for v, name in enumerate(names)
            if n_MV[m, v]
        ]
    return rows
