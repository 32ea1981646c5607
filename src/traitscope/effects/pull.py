"""How far a source's habit pulls: its label shares on one cell, and shares and lengths over all cells together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitscope.effects.grid import Grid, Row
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
            "_step": own_C - base_C,
            "_wants": np.stack([want_C, gold_C - base_C], axis=1),
        }
        for c, name in enumerate(panel.classes):
            row |= {f"source:{name}": q_C[c], f"base:{name}": base_C[c], f"model:{name}": own_C[c]}
        if row["distance"] >= MIN_DISTANCE and np.isfinite(own_C).all():
            row["weight"] = float((own_C - base_C) @ want_C / (want_C**2).sum())
            weight_R = ((own_RC - base_RC) * want_RC).sum(axis=1) / np.maximum((want_RC**2).sum(axis=1), 1e-12)
            row |= replicate_test(row["weight"], weight_R, row["n"], panel.level)
        rows.append(row)
    return rows


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
    """The sources' pull over all cells: lengths, and class shares beside the truth."""

    def counted(row: Row) -> bool:
        return row["source"] is not None and grid.transfers(row["source"], row["task"])

    cells = [row for row in lengths if counted(row) and np.isfinite(row["weight"])]
    want = [[row["source_length"] - row["base_length"]] for row in cells]
    pooled = pooled_slopes([row["shift"] for row in cells], want, [row["source"] for row in cells], level)
    about = {"kind": "length_weight_pooled", "n": len(cells)}
    found = [{**about, "towards": "the source's length", **slope} for slope in pooled]
    cells = [row for row in class_pulls if counted(row)]
    parts = [row for row in cells if np.isfinite(row["_step"]).all()]
    step = [share for row in parts for share in row["_step"]]
    want = [pair for row in parts for pair in row["_wants"]]
    pooled = pooled_slopes(step, want, [row["source"] for row in parts for _ in row["_step"]], level)
    about = {"kind": "class_pull_pooled", "n": len(cells)}
    towards = ("the source's label shares", "the true shares")
    return found + [{**about, "towards": name, **slope} for name, slope in zip(towards, pooled, strict=bool(pooled))]


def pooled_slopes(step: ArrayLike, wants: ArrayLike, groups: ArrayLike, level: float) -> list[dict[str, float]]:
    """Least squares through the origin of what was observed on what each habit would give.

    Errors are a jackknife over the sources; intervals and p are Student's t on the number of sources less one.

    Args:
        step: V observed steps away from the base's habit (lengths, or class shares one after the other).
        wants: V x P steps to the habits (the source's; the truth), the same units.
        groups: the source behind every entry.
        level: of the intervals.

    Returns:
        For each of the P habits value, lo, hi, p, sources; nothing where there are fewer than three sources, or
        not enough spread.
    """
    from scipy.stats import t as student

    y, x = np.asarray(step, dtype=float), np.asarray(wants, dtype=float)
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    k = len(names)
    if k < MIN_SOURCES:
        return []
    gram = np.array([x[codes == g].T @ x[codes == g] for g in range(k)])
    moment = np.array([x[codes == g].T @ y[codes == g] for g in range(k)])
    rest = gram.sum(axis=0) - gram
    if np.linalg.matrix_rank(gram.sum(axis=0)) < x.shape[1] or (np.linalg.cond(rest) > 1e10).any():
        return []
    slopes = np.linalg.solve(gram.sum(axis=0), moment.sum(axis=0))
    left_out = np.array([np.linalg.solve(rest[g], moment.sum(axis=0) - moment[g]) for g in range(k)])
    se = np.sqrt((k - 1) / k * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    half = student.ppf(0.5 + level / 2, k - 1) * se
    p = 2 * student.sf(np.abs(slopes) / np.maximum(se, 1e-15), k - 1)
    columns = zip(slopes, slopes - half, slopes + half, p, strict=True)
    return [{**dict(zip(("value", "lo", "hi", "p"), slope, strict=True)), "sources": k} for slope in columns]
