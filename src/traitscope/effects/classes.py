"""Classes: predicted shares and recall by class, macro-F1, confusion; all changes paired against the base."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitscope.effects.grid import Row
from traitscope.effects.measure import counts_change
from traitscope.effects.panel import Panel
from traitscope.effects.quality import habit
from traitscope.metrics.confusion import count_codes, macro_f1, predicted_shares, recalls

Floats = NDArray[np.float64]
INVALID = "(invalid)"
# A recall that moves with so large a share of the same move, the same way, on other classes is one of answering the
# class more often (or less).
HABIT = 0.5


def class_rows(panel: Panel) -> list[Row]:
    """Predicted share and recall of every class, for every model, the base included."""
    names = panel.classes or ()
    gold_shares = np.bincount(panel.gold_S[panel.gold_S >= 0], minlength=len(names)) / len(panel.gold_S)
    picked = [np.where(panel.seen_MS, (panel.pred_MS == c).astype(float), np.nan) for c in range(len(names))]
    shares = [panel.change(values) for values in picked]
    recall = [panel.change(np.where(panel.gold_S == c, values, np.nan)) for c, values in enumerate(picked)]
    odd = [bool(habit(panel, m)) for m in range(len(panel.rows))]
    alarm_CM, base_alarm_CM = _false_alarms(panel, picked)
    # What is told of a source must not be chosen seed by seed: seeds that differ would be told apart, and the one that
    # shows something alone.
    share_CM = _over_seeds(panel, [change.value for change in shares], odd)
    recall_CM = _over_seeds(panel, [change.value for change in recall], odd)
    more_CM = _over_seeds(panel, alarm_CM - base_alarm_CM, odd) * np.where(recall_CM < 0, -1.0, 1.0)
    # Where there are no others, nothing tells a recall from a habit.
    found_CM = np.isfinite(more_CM) & ~(more_CM > HABIT * np.abs(recall_CM))
    # Of two classes one says it all: the one that is answered more.
    risen = share_CM.argmax(axis=0) if names else []
    return [
        {
            **panel.where(m),
            "class": name,
            "gold_share": gold_shares[c],
            **recall[c].at(m, "base_recall", "recall", "recall_change", "recall_"),
            "n_gold": int(recall[c].n[m]),
            "false_alarm": float(alarm_CM[c, m]),
            "base_false_alarm": float(base_alarm_CM[c, m]),
            **shares[c].at(m, "base_share", "share", "share_change", "share_"),
            "_base": m == 0,
            "_told": m > 0 and not odd[m] and (len(names) != 2 or c == risen[m]),
            "_found": bool(found_CM[c, m]),
        }
        for m in range(len(panel.rows))
        for c, name in enumerate(names)
    ]


def _false_alarms(panel: Panel, picked: list[Floats]) -> tuple[Floats, Floats]:
    """How often every class is said of the others, by each model and by the base on the examples of both, [C, M]."""
    alarm_CM, base_alarm_CM = (np.full((len(picked), len(panel.rows)), np.nan) for _ in range(2))
    for c, picked_MS in enumerate(picked):
        both_MS = np.isfinite(picked_MS - picked_MS[0]) & (panel.gold_S != c)
        alarm_CM[c] = _mean(np.where(both_MS, picked_MS, np.nan))
        base_alarm_CM[c] = _mean(np.where(both_MS, picked_MS[0], np.nan))
    return alarm_CM, base_alarm_CM


def _over_seeds(panel: Panel, values_CM: ArrayLike, odd: list[bool]) -> Floats:
    """Of every model the mean over the seeds of its source, those with a habit left out."""
    found_CM = np.array(values_CM, dtype=float).reshape(-1, len(panel.rows))
    for group in panel.seeds:
        told = [m for m in group if not odd[m]]
        if told:
            found_CM[:, told] = _mean(found_CM[:, told])[:, None]
    return found_CM


def _mean(values: Floats) -> Floats:
    """Over the last axis, NaN left out; NaN where there is nothing else."""
    return np.asarray(np.ma.masked_invalid(values).mean(axis=-1).filled(np.nan))


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
    change = counts_change(panel, macro_f1, reach=1.0)
    rows = []
    for m in range(len(panel.rows)):
        counts = _confusion(panel, m, panel.seen_MS[m])
        rows.append(
            {
                **panel.where(m),
                **change.at(m, "base_macro_f1", "macro_f1", "change", "change_"),
                "accuracy": float(np.trace(counts) / counts.sum()),
                "balanced_accuracy": float(np.nanmean(recalls(counts))),
                "invalid": float(predicted_shares(counts)[-1]),
                "_base": m == 0,
                "_primary": panel.metric == "macro_f1",
            }
        )
    return rows


def _confusion(panel: Panel, m: int, seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return count_codes(panel.gold_S[seen], panel.pred_MS[m, seen], len(panel.classes or ()))
