"""Classes: predicted shares and recall by class, macro-F1, confusion; all changes paired against the base."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from traitscope.effects.grid import Row
from traitscope.effects.panel import Panel
from traitscope.effects.significance import never_a_point, percentile_interval, replicate_test
from traitscope.metrics.confusion import confusion_replicates, count_codes, macro_f1, predicted_shares, recalls

Floats = NDArray[np.float64]
INVALID = "(invalid)"
MAX_CELLS = 4_000_000


def class_rows(panel: Panel) -> list[Row]:
    """Predicted share and recall of every class, for every model, the base included."""
    names = panel.classes or ()
    gold_shares = np.bincount(panel.gold_S[panel.gold_S >= 0], minlength=len(names)) / len(panel.gold_S)
    picked = [np.where(panel.seen_MS, (panel.pred_MS == c).astype(float), np.nan) for c in range(len(names))]
    shares = [panel.change(values) for values in picked]
    recall = [panel.change(np.where(panel.gold_S == c, values, np.nan)) for c, values in enumerate(picked)]
    return [
        {
            **panel.where(m),
            "class": name,
            "gold_share": gold_shares[c],
            **recall[c].at(m, "base_recall", "recall", "recall_change", "recall_"),
            "n_gold": int(recall[c].n[m]),
            **shares[c].at(m, "base_share", "share", "share_change", "share_"),
            "_base": m == 0,
        }
        for m in range(len(panel.rows))
        for c, name in enumerate(names)
    ]


def confusion_rows(panel: Panel) -> list[Row]:
    """Counts of every gold class and prediction, for every model, the base included."""
    names = panel.classes or ()
    return [
        {**panel.where(m), "gold": gold, "predicted": predicted, "count": int(counts_CP[g, c])}
        for m in range(len(panel.rows) if names else 0)
        for counts_CP in (_confusion(panel, m, panel.seen_MS[m]),)
        for g, gold in enumerate(names)
        for c, predicted in enumerate((*names, INVALID))
    ]


def macro_f1_rows(panel: Panel) -> list[Row]:
    """Macro-F1 and its change, beside accuracy, for every model, the base included."""
    if panel.classes is None:
        return []
    rows, changes_MR = [], []
    whole_R = _f1_replicates(panel, 0, panel.seen_MS[0])
    for m in range(len(panel.rows)):
        # The base is taken over the examples the model has, so that the change stays paired.
        seen = panel.seen_MS[m]
        n = int(seen.sum())
        counts = _confusion(panel, m, seen)
        value, own_R = float(macro_f1(counts)), whole_R if m == 0 else _f1_replicates(panel, m, seen)
        base_R = whole_R if seen.all() else _f1_replicates(panel, 0, seen)
        change = value - float(macro_f1(_confusion(panel, 0, seen)))
        lo, hi = never_a_point(value, percentile_interval(own_R, n, panel.level), n, panel.level, 1.0)
        test = replicate_test(change, own_R - base_R, n, panel.level, limit=1.0)
        changes_MR.append(own_R - base_R)
        rows.append(
            {
                **panel.where(m),
                "macro_f1": value,
                "lo": float(lo),
                "hi": float(hi),
                "change": change,
                "change_lo": test["lo"],
                "change_hi": test["hi"],
                "p": np.nan if m == 0 else test["p"],
                "accuracy": float(np.trace(counts) / counts.sum()),
                "balanced_accuracy": float(np.nanmean(recalls(counts))),
                "invalid": float(predicted_shares(counts)[-1]),
                "n": n,
                "_base": m == 0,
                "_change_p": test["p"],
            }
        )
    for row, alone in zip(rows, panel.alone(np.stack(changes_MR, axis=1)), strict=True):
        row["_change_alone"] = float(alone)
    return rows


def _confusion(panel: Panel, m: int, seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return count_codes(panel.gold_S[seen], panel.pred_MS[m, seen], len(panel.classes or ()))


def _f1_replicates(panel: Panel, m: int, seen: NDArray[np.bool_]) -> Floats:
    """Macro-F1 of the bootstrap replicates of one model (fewer of them where there are many classes)."""
    n_classes = len(panel.classes or ())
    keep = max(200, min(panel.replicates, MAX_CELLS // (n_classes * (n_classes + 1))))
    return macro_f1(
        confusion_replicates(panel.weights_RS[:keep, seen], panel.gold_S[seen], panel.pred_MS[m, seen], n_classes)
    )
