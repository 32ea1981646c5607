"""One cell of the page's matrix: its marks, its colour, and what it says under the pointer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from traitscope.effects.quality import MARKS
from traitscope.matrix import ScoreMatrix
from traitscope.report.amounts import in_points, score_text, sized, span_text, unit_of
from traitscope.report.matrix_view import DOWN, FLOOR, UP
from traitscope.report.words import q_text

Floats = npt.NDArray[np.float64]
Gains = Mapping[tuple[str, str], Mapping[str, Any]]
# Stands where a score has no gain, whose reason is told under the pointer.
NO_GAIN = "–"


def limits(gains: Gains, matrix: ScoreMatrix) -> dict[str, float]:
    """The gain of full colour by task: of all tasks in points together, of every other task its own."""
    found = dict.fromkeys(matrix.tasks, 0.0)
    for (_, task), row in gains.items():
        found[task] = max(found[task], abs(in_points(row["gain"], row["unit"]) or 0.0))
    shares = [task for task in matrix.tasks if unit_of(matrix.units[task]) != "score"]
    most = max((found[task] for task in shares), default=0.0)
    return {**found, **dict.fromkeys(shares, most)}


def tone(gain: Mapping[str, Any], limit: float) -> float:
    """The colour of a gain, -1..1."""
    value = in_points(gain["gain"], gain["unit"])
    return 0.0 if limit <= 0 or value is None else float(np.clip(value / limit, -1.0, 1.0))


def shade(better_IN: Floats, i: int, n: int) -> float:
    """The colour of a score, 0 (worst of its column) to 1."""
    column = better_IN[:, n][np.isfinite(better_IN[:, n])]
    if not column.size or np.isnan(better_IN[i, n]) or np.ptp(column) == 0:
        return 0.0
    return float((better_IN[i, n] - column.min()) / np.ptp(column))


def glyphs(claim: Mapping[str, Any] | None, about: Mapping[str, Any]) -> str:
    """What stands behind the number."""
    found = ""
    if claim is not None and claim["holds"]:
        found += UP if claim["value"] > 0 else DOWN
    if about:
        found += MARKS.get(str(about["habit"]), "")
        found += FLOOR if about["base_at"] == "floor" else ""
    return found


def tip(
    matrix: ScoreMatrix,
    i: int,
    n: int,
    gain: Mapping[str, Any] | None,
    claim: Mapping[str, Any] | None,
    about: Mapping[str, Any],
) -> Iterator[str]:
    """The lines under the pointer: score, gain with interval, won and lost, test, and what is odd."""
    model, task = matrix.models[i], matrix.tasks[n]
    yield f"{model} on {task}"
    status, score = str(matrix.status_IN[i, n]), float(matrix.scores_IN[i, n])
    if np.isnan(score):
        yield "not measured" if status == "missing" else status
        return
    known = int(matrix.n_IN[i, n])
    more = [f"n = {known}"] if known else []
    more += ["lower is better"] if matrix.sign_N[n] < 0 else []
    behind = f" ({', '.join(more)})" if more else ""
    other = "" if status == "measured" else f", {status}"
    yield f"{matrix.metrics[task]} {score_text(score, unit_of(matrix.units[task]))}{behind}{other}"
    if gain is not None:
        span = span_text(gain["lo"], gain["hi"], gain["unit"])
        yield f"gain {sized(gain['gain'], gain['unit'], 'points')} {span or '(error not known)'}"
        if gain.get("won") is not None and np.isfinite(gain["won"]):
            yield f"{gain['won']:.0f} examples won, {gain['lost']:.0f} lost"
    elif reason := no_gain(matrix, i, n):
        yield f"no gain: {reason}"
    if claim is not None:
        test = q_text(claim["q"])
        runs = claim["numbers"].get("seeds") or 1
        over = f" over {runs} seeds" if runs > 1 else ""
        yield f"{test}{over}: {'holds' if claim['holds'] else 'does not hold'}" if test else "not tested"
    if about.get("remark"):
        yield str(about["remark"])
    if about and about["base_at"]:
        yield f"The base is at the {about['base_at']}."


def no_gain(matrix: ScoreMatrix, i: int, n: int) -> str:
    """Why a cell with a score has no gain; empty for a base, which needs none, and where the gain is known."""
    base = int(matrix.base_index_I[i])
    if base == i or np.isnan(matrix.scores_IN[i, n]):
        return ""
    if base < 0:
        return "the row has no base row"
    return f"{matrix.models[base]} was not measured on the task" if np.isnan(matrix.scores_IN[base, n]) else ""
