"""How far a source's habit pulls: its label shares on one cell, and shares and lengths over all cells together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitscope.effects.grid import Grid, Row
from traitscope.effects.lengths import BASE_CUT_OFF
from traitscope.effects.panel import Panel
from traitscope.effects.significance import replicate_test

Floats = NDArray[np.float64]
MIN_DISTANCE = 0.05
MIN_SOURCES = 3


def mapped_shares(source: Mapping[str, float], classes: tuple[str, ...]) -> Floats | None:
    """The source's label shares on the target's classes, by equal words, summing to 1.

    None where fewer than two words are common, or where the source puts less than half its labels on the
    common ones.
    """
    known = {word.strip().lower(): share for word, share in source.items()}
    words = [name.strip().lower() for name in classes]
    shares = np.array([known.get(word, 0.0) for word in words])
    if sum(word in known for word in words) < 2 or shares.sum() < 0.5:
        return None
    return shares / shares.sum()


def class_pull_rows(panel: Panel, label_shares: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """How far the predicted class shares go from the base's (0) to the source's own label shares (1).

    The weight is <p - p_base, q - p_base> / |q - p_base|^2 over the valid answers, with a bootstrap interval
    over examples. It is undefined where base and source differ by less than 5 % of the answers (total
    variation). ``truth_cosine`` is that between the ways from the base to the true shares and to the source's:
    where it is high, better answers and the source's habit cannot be told apart in this cell.

    Args:
        panel: a task with classes (others give no rows).
        label_shares: share of every label word in each source's training data.
    """
    if panel.classes is None or not label_shares:
        return []
    base_C, base_RC = _share_replicates(panel, 0)
    weights_RM = np.zeros((panel.replicates, len(panel.rows)))
    gold_C = np.bincount(panel.gold_S, minlength=len(panel.classes)) / len(panel.gold_S)
    rows = []
    for m in panel.others:
        where = panel.where(m)
        q_C = mapped_shares(label_shares.get(where["source"] or "", {}), panel.classes)
        if q_C is None:
            continue
        own_C, own_RC = _share_replicates(panel, m)
        want_C, want_RC = q_C - base_C, q_C - base_RC
        row: Row = {
            **where,
            "relation": panel.relation(m),
            "distance": 0.5 * float(np.abs(want_C).sum()),
            "truth_cosine": _cosine(gold_C - base_C, want_C),
            "n": int(panel.seen_MS[m].sum()),
            "weight": np.nan,
            **dict.fromkeys(("lo", "hi", "p"), np.nan),
            "_size": float(np.linalg.norm(want_C)),
            "_share": own_C,
            "_habit": q_C,
        }
        for c, name in enumerate(panel.classes):
            row |= {f"source:{name}": q_C[c], f"base:{name}": base_C[c], f"model:{name}": own_C[c]}
        if row["distance"] >= MIN_DISTANCE and np.isfinite(own_C).all():
            row["weight"] = float((own_C - base_C) @ want_C / (want_C**2).sum())
            weight_R = ((own_RC - base_RC) * want_RC).sum(axis=1) / np.maximum((want_RC**2).sum(axis=1), 1e-12)
            row |= replicate_test(row["weight"], weight_R, row["n"], panel.level)
            weights_RM[:, m] = weight_R
        rows.append(row | {"_at": m})
    alone_M = panel.alone(weights_RM)
    return [row | {"_alone": float(alone_M[row["_at"]])} for row in rows]


def _cosine(one: Floats, other: Floats) -> float:
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size > 0 else 0.0


def _share_replicates(panel: Panel, m: int) -> tuple[Floats, Floats]:
    """Class shares among the valid answers of one model: observed, and in every bootstrap replicate."""
    codes, seen = panel.pred_MS[m], panel.seen_MS[m]
    hot = ((codes[:, None] == np.arange(len(panel.classes or ()))) & seen[:, None]).astype(np.float32)
    counts = (panel.weights_RS @ hot).astype(float)
    observed = hot.sum(axis=0).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return observed / observed.sum(), counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)


def pooled_rows(lengths: Sequence[Row], class_pulls: Sequence[Row], grid: Grid, level: float) -> list[Row]:
    """How far the sources' habits carry over, over all cells: of answer lengths, and of class shares."""
    lengths = [row for row in lengths if np.isfinite(row["source_length"]) and row["undefined"] != BASE_CUT_OFF]
    found = []
    for kind, rows, value, habit, towards in (
        ("length_weight_pooled", lengths, "length", "source_length", "the source's length"),
        ("class_pull_pooled", class_pulls, "_share", "_habit", "the source's label shares"),
    ):
        cells: dict[tuple[int, str, str], list[Row]] = {}
        for row in rows:
            known = row["source"] is not None and np.isfinite(np.atleast_1d(row[value])).all()
            if known and grid.transfers(row["source"], row["task"]):
                cells.setdefault((int(grid.base_I[grid.row[row["model"]]]), row["source"], row["task"]), []).append(row)
        # Seeds of a source are one cell; every class of a task has a mean of its own.
        entries = []
        for (b, source, task), seeds in cells.items():
            does, has = (np.atleast_1d(np.mean([row[name] for row in seeds], axis=0)) for name in (value, habit))
            entries += [(does[c], has[c], source, (b, task, c)) for c in range(len(does))]
        told, wanted, sources, tasks = zip(*entries, strict=True) if entries else ((), (), (), ())
        slope = pooled_slope(told, wanted, sources, tasks, level)
        if slope is not None:
            found.append({"kind": kind, "n": len(cells), "towards": towards, **slope})
    return found


def pooled_slope(
    value: ArrayLike, habit: ArrayLike, sources: Sequence[str], tasks: Sequence[Hashable], level: float
) -> dict[str, float] | None:
    """Least squares of what models do on their sources' habits, every task with a mean of its own.

    Within a task the base cancels: what its sources share is no pull. Errors are clustered by source: every source is
    left out in turn, the tasks' means fitted anew (CR3; MacKinnon, Nielsen and Webb 2023, equation 13), with Student's
    t on the number of sources less one.

    Args:
        value: V lengths or class shares. habit: of the source's training data, the same units.
        sources: the source behind every entry. tasks: the task (and class) of every entry.
        level: of the interval.

    Returns:
        value, lo, hi, p, sources; None where there are fewer than three sources, or not enough spread.
    """
    from scipy.stats import t as student

    y, x = np.asarray(value, dtype=float), np.asarray(habit, dtype=float)
    names, group_V = np.unique(np.asarray(sources), return_inverse=True)
    numbers = {task: k for k, task in enumerate(dict.fromkeys(tasks))}
    task_V = np.array([numbers[task] for task in tasks])
    k = len(names)
    if k < MIN_SOURCES:
        return None
    # Where the regressor does not differ within tasks, what is left of it is rounding.
    least = 1e-12 * float(x @ x)

    def fitted(kept: NDArray[np.bool_]) -> float:
        code = task_V[kept]
        means = np.bincount(code, x[kept]) / np.maximum(np.bincount(code), 1)
        rest = x[kept] - means[code]
        size = float(rest @ rest)
        return float(rest @ y[kept]) / size if size > least else np.nan

    slope = fitted(np.ones(len(y), dtype=bool))
    left_out = np.array([fitted(group_V != g) for g in range(k)])
    if not np.isfinite([slope, *left_out]).all():
        return None
    se = float(np.sqrt((k - 1) / k * ((left_out - slope) ** 2).sum()))
    half = float(student.ppf(0.5 + level / 2, k - 1)) * se
    p = float(2 * student.sf(abs(slope) / max(se, 1e-15), k - 1))
    return {"value": slope, "lo": slope - half, "hi": slope + half, "p": p, "sources": k}
