"""What a cell is worth beside doing nothing: majority and chance, constant or unparsable answers, no room to fall."""

from __future__ import annotations

import numpy as np

from traitscope.effects.grid import Row
from traitscope.effects.measure import constant_score, primary_scores
from traitscope.effects.panel import Change, Panel

# From this share of equal answers on, a model has a habit and no opinion.
CONSTANT = 0.95
# What stands beside the number of such a cell, in figures and on the terminal.
MARKS = {"constant": "=", "unparsable": "?"}
MEANING = {"=": "one answer to nearly everything", "?": "most answers cannot be parsed"}

# Above this share of answers that cannot be parsed, the score is one of the parser's.
UNPARSABLE = 0.5
# Fewer examples than these cannot be lost (or won) beyond chance: an exact McNemar test of five has p = 0.06.
ROOM = 6
# Of few examples so few are no floor (or ceiling) unless they are at most this share.
LITTLE = 0.1


def cell_rows(panel: Panel) -> list[Row]:
    """For every model, the base included: its score, what it is to be held against, and what is odd about it.

    ``majority`` is the share of the most frequent true class, ``chance`` one over the options (their mean where they
    differ by row), ``constant_score`` the task's primary metric of the best constant answer; all NaN where the task
    has no options. ``habit`` is "constant", "unparsable" or empty, ``base_at`` "floor", "ceiling" or empty.
    """
    scores_M = primary_scores(panel)
    majority = np.nan
    if panel.classes is not None:
        majority = float(np.bincount(panel.gold_S).max() / len(panel.gold_S))
    about = {
        "metric": panel.metric,
        "majority": majority,
        "chance": panel.chance,
        "constant_score": constant_score(panel),
        "base_at": base_at(panel),
    }
    shares = _changes_of_share(panel)
    rows = []
    for m in range(len(panel.rows)):
        answer, share = panel.top_answers[m]
        row = {**panel.where(m), "score": float(scores_M[m]), **about, "answer": answer, "answer_share": share}
        row |= {"unparsable": _unparsable(panel, m), "habit": habit(panel, m), "n": int(panel.seen_MS[m].sum())}
        if m and row["habit"] == "constant":
            row |= shares[str(answer)].at(m, "base_share", "answer_share", "change")
        else:
            row |= {**dict.fromkeys(("change", "lo", "hi", "p", "base_share"), np.nan), "_method": "none"}
        rows.append(row | {"remark": remark(panel, m), "_base": m == 0})
    return rows


def habit(panel: Panel, m: int) -> str:
    """Whether a model's answers are nearly all the same, or mostly not to be parsed; empty where they are neither."""
    if panel.unit == "share" and _unparsable(panel, m) > UNPARSABLE:
        return "unparsable"
    return "constant" if panel.top_answers[m][1] >= CONSTANT else ""


def base_at(panel: Panel) -> str:
    """Whether hardly an answer of the base's is right (or wrong): no fall (or rise) could be told from chance."""
    known_S = np.isfinite(panel.correct_MS[0])
    if panel.unit != "share" or not known_S.any():
        return ""
    right, n = float(panel.correct_MS[0, known_S].sum()), int(known_S.sum())
    few = min(ROOM - 1, LITTLE * n)
    return "floor" if right <= few else "ceiling" if n - right <= few else ""


def remark(panel: Panel, m: int) -> str:
    """What a reader must know of a cell before its number, in a sentence; empty where there is nothing."""
    n = int(panel.seen_MS[m].sum())
    found, answer = habit(panel, m), panel.top_answers[m]
    if found == "constant":
        return f"It answers {answer[0]!r} to {round(answer[1] * n)} of {n}."
    if found == "unparsable":
        return f"{100 * _unparsable(panel, m):.0f} % of its answers cannot be parsed."
    if m and habit(panel, 0) == "constant":
        base, total = panel.top_answers[0], int(panel.seen_MS[0].sum())
        return f"The base answers {base[0]!r} to {round(base[1] * total)} of {total}."
    return ""


def _unparsable(panel: Panel, m: int) -> float:
    valid_S = panel.valid_MS[m][np.isfinite(panel.valid_MS[m])]
    return float(1.0 - valid_S.mean()) if valid_S.size else 0.0


def _changes_of_share(panel: Panel) -> dict[str, Change]:
    """How many more of every model's answers are one answer than of the base's, for the answers that are a habit."""
    constant = {panel.top_answers[m][0] for m in panel.others if habit(panel, m) == "constant"}
    return {
        answer: panel.change(np.where(panel.seen_MS, panel.answer_MS == panel.answers.index(answer), np.nan))
        for answer in constant
        if answer is not None
    }
