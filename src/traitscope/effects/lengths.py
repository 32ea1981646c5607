"""Answer lengths: shift against the base, the weight between the base's habit and the source's; rates of failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from traitscope.effects.grid import Row
from traitscope.effects.panel import Panel
from traitscope.effects.significance import normal_quantile, replicate_test

MIN_GAP_TOKENS = 1.0
# Above this share of answers cut off, the mean length says where they were cut.
MAX_CUT = 0.1
BASE_CUT_OFF = "the base is cut off below the source's length"


class Habit(NamedTuple):
    """Mean answer length of a source's training data in tokens, and the standard error of that mean."""

    mean: float
    stderr: float


def length_rows(panel: Panel, habits: Mapping[str, Habit]) -> list[Row]:
    """Shift of the mean answer length, and the interpolation weight w = (L - L_base) / (L_source - L_base).

    w is 0 where the adapter keeps the base's length on the task and 1 where it takes its training data's. Its
    interval is a bootstrap over the examples, the source's mean redrawn with its own error. It is undefined
    where base and source differ by less than one token, or by less than the interval of their difference; and
    where the base's answers are cut off below the source's length, since which of the two is longer is not known.

    Args:
        panel: a task whose answers are generated (others give no rows).
        habits: answer length of each source's training data.
    """
    if not np.isfinite(panel.length_MS).any():
        return []
    change = panel.change(panel.length_MS)
    base_R = panel.means(panel.length_MS)[:, 0]
    draw_R = np.random.default_rng([panel.seed, len(panel.ids), 7]).standard_normal(panel.replicates)
    z = normal_quantile(panel.level)
    answered = np.isfinite(panel.cut_MS).sum(axis=1)
    cut = (np.nansum(panel.cut_MS, axis=1) / np.maximum(answered, 1)).tolist()
    rows = []
    for m in panel.others:
        if not change.n[m]:
            continue
        where = panel.where(m)
        habit = habits.get(where["source"] or "")
        row: Row = {
            **where,
            "relation": panel.relation(m),
            **change.at(m, "base_length", "length", "shift"),
            "source_length": habit.mean if habit else np.nan,
            "base_cut": cut[0],
            "cut": cut[m],
            **dict.fromkeys(("weight", "weight_lo", "weight_hi", "weight_p"), np.nan),
            "undefined": "the source's answer length is not known" if habit is None else "",
        }
        if habit is not None:
            gap_R = habit.mean + habit.stderr * draw_R - base_R
            gap = habit.mean - row["base_length"]
            if abs(gap) < max(MIN_GAP_TOKENS, z * float(gap_R.std(ddof=1))):
                row["undefined"] = "base and source do not differ in length"
            elif gap > 0 and cut[0] > MAX_CUT:
                row["undefined"] = BASE_CUT_OFF
            else:
                row["weight"] = row["shift"] / gap
                weight_R = change.replicates_RM[:, m] / gap_R
                row |= replicate_test(row["weight"], weight_R, row["n"], panel.level, "weight_")
                row |= {"_gap": gap, "_weight_alone": float(change.alone[m]) / gap**2}
        rows.append(row)
    return rows


def rate_rows(panel: Panel) -> list[Row]:
    """Rates of invalid and of cut-off answers, each as a paired change against the base.

    A rate that is 0 for the base and for every model gives no rows.
    """
    rows = []
    for rate, values_MS in (("invalid", 1.0 - panel.valid_MS), ("cut_off", panel.cut_MS)):
        if np.nansum(values_MS):
            change = panel.change(values_MS)
            rows += [
                {**panel.where(m), "rate": rate, **change.at(m, "base_value", "value", "change")}
                for m in panel.others
                if change.n[m]
            ]
    return rows
