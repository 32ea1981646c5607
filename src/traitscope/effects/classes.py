"""Classes: predicted shares, recall, macro-F1, confusion, the pull of the source's label distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitscope.effects.confusion import (
    INVALID,
    confusion_matrix,
    confusion_replicates,
    macro_f1,
    predicted_shares,
    recalls,
)
from traitscope.effects.findings import Finding, number, p_words, span
from traitscope.effects.grid import Grid
from traitscope.effects.panel import Panel
from traitscope.effects.significance import normal_p, percentile_interval

Floats = NDArray[np.float64]
MAX_CELLS = 4_000_000
MIN_DISTANCE = 0.05
SAME_DIRECTION = 0.5


class ClassTables(NamedTuple):
    """Rows of the tables ``classes`` (share, recall by class), ``confusion`` and ``macro_f1``."""

    classes: list[dict]
    confusion: list[dict]
    macro_f1: list[dict]


def class_effects(panel: Panel, grid: Grid) -> tuple[list[Finding], ClassTables]:
    """Macro-F1, predicted shares and recall of every class, each as a paired change against the base.

    Findings are of kind ``macro_f1``, ``class_share`` and ``recall``.
    """
    assert panel.classes is not None
    n_classes = len(panel.classes)
    findings: list[Finding] = []
    tables = ClassTables([], [], [])
    gold_shares = np.bincount(panel.gold_S, minlength=n_classes) / len(panel.gold_S)
    picked = {c: np.where(panel.seen_MS, (panel.pred_MS == c).astype(float), np.nan) for c in range(n_classes)}
    shares = {c: panel.change(values) for c, values in picked.items()}
    recall = {c: panel.change(np.where(panel.gold_S == c, values, np.nan)) for c, values in picked.items()}
    f1_replicates = [_f1_replicates(panel, m) for m in range(len(panel.models))]
    for m in range(len(panel.models)):
        i = int(panel.rows[m])
        where = grid.where(i, panel.task)
        seen = panel.seen_MS[m]
        counts = confusion_matrix(panel.gold_S[seen], panel.pred_MS[m, seen], n_classes)
        tables.confusion.extend(_confusion_rows(where, panel.classes, counts))
        f1 = _macro_f1_row(panel, where, m, counts, f1_replicates)
        tables.macro_f1.append(f1)
        for c, name in enumerate(panel.classes):
            s, r = shares[c], recall[c]
            tables.classes.append(
                {
                    **where,
                    "class": name,
                    "gold_share": gold_shares[c],
                    "base_share": s.reference[m],
                    "share": s.mean[m],
                    "share_change": s.value[m],
                    "share_lo": s.lo[m],
                    "share_hi": s.hi[m],
                    "share_p": s.p[m],
                    "base_recall": r.reference[m],
                    "recall": r.mean[m],
                    "recall_change": r.value[m],
                    "recall_lo": r.lo[m],
                    "recall_hi": r.hi[m],
                    "recall_p": r.p[m],
                    "n": int(s.n[m]),
                    "n_gold": int(r.n[m]),
                }
            )
            if m != panel.base:
                findings.extend(_class_findings(tables.classes[-1], where))
        if m != panel.base:
            findings.append(_f1_finding(f1, where))
    return findings, tables


def _class_findings(row: dict, where: dict) -> list[Finding]:
    name, model, task = row["class"], where["model"], where["task"]
    found = [
        Finding(
            kind="class_share",
            **where,
            detail=name,
            value=float(row["share_change"]),
            lo=float(row["share_lo"]),
            hi=float(row["share_hi"]),
            unit="share",
            n=row["n"],
            p=float(row["share_p"]),
            interval="paired",
            sentence=(
                f"{model} answers {name!r} to {number(row['share'], signed=False)} % of {task}, where the "
                "base does to "
                f"{number(row['base_share'], signed=False)} % and "
                f"{number(row['gold_share'], signed=False)} % are true: "
                f"{number(row['share_change'])} points {span(row['share_lo'], row['share_hi'])} "
                f"({p_words(row['share_p'])})."
            ),
        )
    ]
    if row["n_gold"]:
        found.append(
            Finding(
                kind="recall",
                **where,
                detail=name,
                value=float(row["recall_change"]),
                lo=float(row["recall_lo"]),
                hi=float(row["recall_hi"]),
                unit="share",
                n=row["n_gold"],
                p=float(row["recall_p"]),
                interval="paired",
                sentence=(
                    f"{model} finds {number(row['recall'], signed=False)} % of the {row['n_gold']} true "
                    f"{name!r} of {task}, "
                    f"the base {number(row['base_recall'], signed=False)} %: "
                    f"{number(row['recall_change'])} points "
                    f"{span(row['recall_lo'], row['recall_hi'])} ({p_words(row['recall_p'])})."
                ),
            )
        )
    return found


def _confusion_rows(where: dict, classes: tuple[str, ...], counts: Floats) -> list[dict]:
    columns = (*classes, INVALID)
    return [
        {**where, "gold": gold, "predicted": predicted, "count": int(counts[g, c])}
        for g, gold in enumerate(classes)
        for c, predicted in enumerate(columns)
    ]


def _f1_replicates(panel: Panel, m: int) -> Floats:
    """Macro-F1 of the bootstrap replicates of one model (fewer of them where there are many classes)."""
    assert panel.classes is not None
    n_classes = len(panel.classes)
    keep = max(200, min(panel.replicates, MAX_CELLS // (n_classes * (n_classes + 1))))
    seen = panel.seen_MS[m]
    weights = panel.weights_RS[:keep, seen]
    return macro_f1(confusion_replicates(weights, panel.gold_S[seen], panel.pred_MS[m, seen], n_classes))


def _macro_f1_row(panel: Panel, where: dict, m: int, counts: Floats, replicates: list[Floats]) -> dict:
    value = float(macro_f1(counts))
    own = percentile_interval(replicates[m], int(panel.seen_MS[m].sum()), panel.level)
    # The base is taken over the examples the model has, so that the change stays paired.
    seen = panel.seen_MS[m]
    base = panel.base
    paired = confusion_matrix(panel.gold_S[seen], panel.pred_MS[base, seen], counts.shape[0])
    if seen.all():
        reference = replicates[base]
    else:
        weights = panel.weights_RS[: len(replicates[m]), seen]
        gold, pred = panel.gold_S[seen], panel.pred_MS[base, seen]
        reference = macro_f1(confusion_replicates(weights, gold, pred, counts.shape[0]))
    change = replicates[m] - reference
    interval = percentile_interval(change, int(seen.sum()), panel.level)
    difference = value - float(macro_f1(paired))
    se = float(change.std(ddof=1))
    return {
        **where,
        "macro_f1": value,
        "lo": float(own.lo),
        "hi": float(own.hi),
        "change": difference,
        "change_lo": float(interval.lo),
        "change_hi": float(interval.hi),
        "p": float(normal_p(difference / se)) if se > 0 else (np.nan if m == base else 1.0),
        "accuracy": float(np.trace(counts[:, : counts.shape[0]]) / counts.sum()),
        "balanced_accuracy": float(np.nanmean(recalls(counts))),
        "invalid": float(predicted_shares(counts)[-1]),
        "n": int(seen.sum()),
    }


def _f1_finding(row: dict, where: dict) -> Finding:
    return Finding(
        kind="macro_f1",
        **where,
        value=row["change"],
        lo=row["change_lo"],
        hi=row["change_hi"],
        unit="share",
        n=row["n"],
        p=row["p"],
        interval="bootstrap",
        sentence=(
            f"{where['model']} on {where['task']}: macro-F1 {number(row['macro_f1'], signed=False)} at "
            "accuracy "
            f"{number(row['accuracy'], signed=False)}, {number(row['change'])} points "
            f"{span(row['change_lo'], row['change_hi'])} against the base ({p_words(row['p'])})."
        ),
    )


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


def class_pull(
    panel: Panel, grid: Grid, label_shares: Mapping[str, Mapping[str, float]]
) -> tuple[list[Finding], list[dict]]:
    """How far the predicted class shares go from the base's (0) to the source's own label shares (1).

    The weight is <p - p_base, q - p_base> / |q - p_base|^2 over the valid answers, with a bootstrap interval
    over examples. It is undefined where base and source differ by less than 5 % of the answers (total
    variation). ``truth_cosine`` in the table is that between the ways from the base to the true shares and to the
    source's: where it is high, better answers and the source's habit cannot be told apart in this cell.

    Args:
        panel: a task with classes.
        grid: names and roles.
        label_shares: share of every label word in each source's training data.
    """
    assert panel.classes is not None
    base = _share_replicates(panel, panel.base)
    findings, rows = [], []
    gold = np.bincount(panel.gold_S, minlength=len(panel.classes)) / len(panel.gold_S)
    for m in panel.others:
        i = int(panel.rows[m])
        source = grid.sources[i]
        q = mapped_shares(label_shares.get(source or "", {}), panel.classes)
        if source is None or q is None:
            continue
        own = _share_replicates(panel, m)
        step_RC, want_RC = own.replicates - base.replicates, q - base.replicates
        distance = 0.5 * float(np.abs(q - base.value).sum())
        truth = _cosine(gold - base.value, q - base.value)
        where = grid.where(i, panel.task)
        relation = grid.relation(i, panel.task)
        row: dict[str, Any] = {
            **where,
            "relation": relation,
            "distance": distance,
            "truth_cosine": truth,
            "n": int(panel.seen_MS[m].sum()),
        }
        for c, name in enumerate(panel.classes):
            row |= {f"source:{name}": q[c], f"base:{name}": base.value[c], f"model:{name}": own.value[c]}
        row |= {"gold_vector": gold.tolist(), "source_vector": q.tolist()}
        row |= {"base_vector": base.value.tolist(), "model_vector": own.value.tolist()}
        if distance < MIN_DISTANCE or not np.isfinite(own.value).all():
            rows.append({**row, "weight": np.nan, "lo": np.nan, "hi": np.nan, "p": np.nan})
            continue
        weight = float((own.value - base.value) @ (q - base.value) / ((q - base.value) ** 2).sum())
        replicates = (step_RC * want_RC).sum(axis=1) / np.maximum((want_RC**2).sum(axis=1), 1e-12)
        interval = percentile_interval(replicates, row["n"], panel.level)
        se = float(replicates.std(ddof=1))
        p = float(normal_p(weight / se)) if se > 0 else (1.0 if weight == 0 else 0.0)
        rows.append({**row, "weight": weight, "lo": float(interval.lo), "hi": float(interval.hi), "p": p})
        if relation == "own":
            continue
        findings.append(
            Finding(
                kind="class_pull",
                **where,
                value=weight,
                lo=float(interval.lo),
                hi=float(interval.hi),
                unit="weight",
                n=row["n"],
                p=p,
                interval="bootstrap",
                sentence=(
                    f"{panel.models[m]} on {panel.task}: predicted class shares lie "
                    f"{number(weight, 'weight')} "
                    f"{span(float(interval.lo), float(interval.hi), 'weight')} of the way from the base's "
                    f"(0) to those of {source}'s own "
                    f"labels (1) ({p_words(p)}).{_caution(truth)}"
                ),
            )
        )
    return findings, rows


def _cosine(one: Floats, other: Floats) -> float:
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size > 0 else 0.0


def _caution(truth: float) -> str:
    """What else may have moved the shares, where the true ones lie in the source's direction."""
    if truth < SAME_DIRECTION:
        return ""
    return f" The true shares lie in a like direction (cosine {truth:+.2f}): better answers alone move that way too."


class _Shares(NamedTuple):
    value: Floats
    replicates: Floats


def _share_replicates(panel: Panel, m: int) -> _Shares:
    """Class shares among the valid answers of one model: observed, and in every bootstrap replicate."""
    assert panel.classes is not None
    codes, seen = panel.pred_MS[m], panel.seen_MS[m]
    hot = ((codes[:, None] == np.arange(len(panel.classes))) & seen[:, None]).astype(np.float32)
    counts = (panel.weights_RS @ hot).astype(float)
    observed = hot.sum(axis=0).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _Shares(observed / observed.sum(), counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12))
