"""Answer lengths: shift against the base, and the weight between the base's habit and the source's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from traitscope.effects.findings import Finding, number, p_words, span
from traitscope.effects.grid import Grid
from traitscope.effects.panel import Panel
from traitscope.effects.significance import normal_p, normal_quantile, percentile_interval

MIN_GAP_TOKENS = 1.0
# Above this share of answers cut off, the mean length says where they were cut.
MAX_CUT = 0.1


class Habit(NamedTuple):
    """Mean answer length of a source's training data in tokens, and the standard error of that mean."""

    mean: float
    stderr: float


def length_effects(panel: Panel, grid: Grid, habits: Mapping[str, Habit]) -> tuple[list[Finding], list[dict]]:
    """Shift of the mean answer length, and the interpolation weight w = (L - L_base) / (L_source - L_base).

    w is 0 where the adapter keeps the base's length on the task and 1 where it takes its training data's. Its
    interval is a bootstrap over the examples, the source's mean redrawn with its own error. It is undefined
    where base and source differ by less than one token, or by less than the interval of their difference; and
    where the base's answers are cut off below the source's length, since which of the two is longer is not known.

    Args:
        panel: a task whose answers are generated.
        grid: names and roles.
        habits: answer length of each source's training data.

    Returns:
        Findings of kind ``length_shift`` and ``length_weight``, and the rows of the table ``lengths``.
    """
    change = panel.change(panel.length_MS)
    base_R = panel.means(panel.length_MS)[:, panel.base]
    rng = np.random.default_rng([panel.seed, len(panel.ids), 7])
    draw_R = rng.standard_normal(panel.replicates)
    z = normal_quantile(panel.level)
    answered = np.isfinite(panel.cut_MS).sum(axis=1)
    cut = np.nansum(panel.cut_MS, axis=1) / np.maximum(answered, 1)
    findings, rows = [], []
    for m in panel.others:
        if not change.n[m]:
            continue
        i = int(panel.rows[m])
        where = grid.where(i, panel.task)
        source = grid.sources[i]
        habit = habits.get(source) if source else None
        row = {
            **where,
            "relation": grid.relation(i, panel.task),
            "base_length": change.reference[m],
            "length": change.mean[m],
            "shift": change.value[m],
            "lo": change.lo[m],
            "hi": change.hi[m],
            "p": change.p[m],
            "source_length": habit.mean if habit else np.nan,
            "base_cut": cut[panel.base],
            "cut": cut[m],
            "weight": np.nan,
            "weight_lo": np.nan,
            "weight_hi": np.nan,
            "weight_p": np.nan,
            "undefined": "the source's answer length is not known" if habit is None else "",
            "n": int(change.n[m]),
        }
        findings.append(
            Finding(
                kind="length_shift",
                **where,
                value=float(change.value[m]),
                lo=float(change.lo[m]),
                hi=float(change.hi[m]),
                unit="tokens",
                n=row["n"],
                p=float(change.p[m]),
                interval=str(change.method[m]),
                sentence=(
                    f"{panel.models[m]} answers {panel.task} in "
                    f"{number(change.mean[m], 'tokens', signed=False)} tokens, "
                    f"the base in {number(change.reference[m], 'tokens', signed=False)}: "
                    f"{number(change.value[m], 'tokens')} {span(change.lo[m], change.hi[m], 'tokens')} "
                    f"({p_words(change.p[m])})."
                ),
            )
        )
        if habit is not None:
            gap_R = habit.mean + habit.stderr * draw_R - base_R
            gap = habit.mean - change.reference[m]
            if abs(gap) < max(MIN_GAP_TOKENS, z * float(gap_R.std(ddof=1))):
                row["undefined"] = "base and source do not differ in length"
            elif gap > 0 and cut[panel.base] > MAX_CUT:
                row["undefined"] = "the base is cut off below the source's length"
            else:
                replicates = change.replicates_RM[:, m] / gap_R
                interval = percentile_interval(replicates, row["n"], panel.level)
                weight = float(change.value[m] / gap)
                se = float(replicates.std(ddof=1))
                p = float(normal_p(weight / se)) if se > 0 else (1.0 if weight == 0 else 0.0)
                row |= {
                    "weight": weight,
                    "weight_lo": float(interval.lo),
                    "weight_hi": float(interval.hi),
                    "weight_p": p,
                }
                if row["relation"] != "own":
                    findings.append(_weight_finding(row, where, panel))
        rows.append(row)
    return findings, rows


def _weight_finding(row: dict, where: dict, panel: Panel) -> Finding:
    caution = ""
    for who, key in (("The base", "base_cut"), ("It", "cut")):
        if row[key] > MAX_CUT:
            share = number(row[key], signed=False)
            caution += f" {who} was cut off in {share} % of its answers, so its own length is a lower bound."
    return Finding(
        kind="length_weight",
        **where,
        value=row["weight"],
        lo=row["weight_lo"],
        hi=row["weight_hi"],
        unit="weight",
        n=row["n"],
        p=row["weight_p"],
        interval="bootstrap",
        sentence=(
            f"{where['model']} on {panel.task}: its answer length lies {number(row['weight'], 'weight')} "
            f"{span(row['weight_lo'], row['weight_hi'], 'weight')} of the way from the base's "
            f"{number(row['base_length'], 'tokens', signed=False)} tokens (0) to the "
            f"{number(row['source_length'], 'tokens', signed=False)} of {where['source']}'s answers (1) "
            f"({p_words(row['weight_p'])}).{caution}"
        ),
    )


def outcome_effects(panel: Panel, grid: Grid) -> tuple[list[Finding], list[dict]]:
    """Rates of invalid and of cut-off answers, each as a paired change against the base.

    Findings are of kind ``invalid`` and ``cut_off``; a rate that is 0 for the base and for every model gives
    none.
    """
    findings, rows = [], []
    for kind, values, what in (
        ("invalid", 1.0 - panel.valid_MS, "answers that cannot be parsed"),
        ("cut_off", panel.cut_MS, "answers cut off by length"),
    ):
        if not np.isfinite(values).any() or not np.nansum(values):
            continue
        change = panel.change(values)
        for m in panel.others:
            if not change.n[m]:
                continue
            where = grid.where(int(panel.rows[m]), panel.task)
            rows.append(
                {
                    **where,
                    "rate": kind,
                    "base_value": change.reference[m],
                    "value": change.mean[m],
                    "change": change.value[m],
                    "lo": change.lo[m],
                    "hi": change.hi[m],
                    "p": change.p[m],
                    "n": int(change.n[m]),
                }
            )
            findings.append(
                Finding(
                    kind=kind,
                    **where,
                    value=float(change.value[m]),
                    lo=float(change.lo[m]),
                    hi=float(change.hi[m]),
                    unit="share",
                    n=int(change.n[m]),
                    p=float(change.p[m]),
                    interval=str(change.method[m]),
                    sentence=(
                        f"{panel.models[m]} on {panel.task}: {number(change.mean[m], signed=False)} % "
                        f"{what}, the base "
                        f"{number(change.reference[m], signed=False)} %: {number(change.value[m])} points "
                        f"{span(change.lo[m], change.hi[m])} ({p_words(change.p[m])})."
                    ),
                )
            )
    return findings, rows
