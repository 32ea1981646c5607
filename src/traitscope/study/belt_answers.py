"""Every answer of a study's models to a task, aligned row by row, in the halves that choose and judge a belt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.errors import TraitscopeError
from traitscope.metrics import METRICS
from traitscope.study import analysis
from traitscope.study.context import Context

if TYPE_CHECKING:
    from traitscope.belt import SplitScores, TaskAnswers
    from traitscope.matrix import ScoreMatrix


def study_split(study: Context, seed: int, tasks: Sequence[str] | None = None) -> SplitScores:
    """Every answer of base, sources and mixes with all cells and with weights in this folder, in two halves of rows.

    Args:
        study: whose cells.
        seed: of the halves.
        tasks: all targets where left out.

    Raises:
        TraitscopeError: see ``traitscope.belt.split``; or the base has not been evaluated.
    """
    from traitscope.belt import SplitScores
    from traitscope.belt.split import left_out, whole

    scores = analysis.scores(study)
    if tasks is not None:
        scores = scores.select(tasks=list(tasks))
    kept = whole(scores)
    if "base" not in kept.models:
        raise TraitscopeError("the base lacks a cell", where=str(study.folder.root), fix="run `traitscope eval`")
    gone = [name for name in kept.models if name != "base" and study.folder.adapter(name) is None]
    if gone:
        kept = kept.select(models=[name for name in kept.models if name not in gone])
    notes = left_out(scores) + ([f"left out without their weights: {', '.join(gone)}"] if gone else [])
    answers = [_answers(study, kept, task, seed) for task in kept.tasks]
    flat = [one.task for one in answers if one.pred_IS is None and _corpus(one.metric)]
    if flat:
        notes.append(f"judged by hits, since their metric is one of all rows together: {', '.join(flat)}")
    return SplitScores.of_rows(kept.models, [role.kind for role in kept.roles_I], answers, notes)


def _answers(study: Context, scores: ScoreMatrix, task: str, seed: int) -> TaskAnswers:
    from traitscope.belt import TaskAnswers
    from traitscope.belt.answers import halves, hundredths
    from traitscope.belt.split import POINTS

    frames = {model: study.records(model, task).set_index("id") for model in scores.models}
    common = set.intersection(*(set(frame.index) for frame in frames.values()))
    ids = [name for name in frames[scores.models[0]].index if name in common]
    metric = scores.metrics[task]
    sign = float(scores.sign_N[scores.tasks.index(task)])
    values_IS = np.array([row_values(frame.loc[ids], sign) for frame in frames.values()])
    choosing_S = halves(task, len(ids), seed)
    share = scores.units[task] in POINTS
    mean_I = values_IS[:, choosing_S].mean(axis=1)
    unit, zero = (100.0, 0.0) if share else hundredths(mean_I, scores.models.index("base"))
    classes = counted_classes(study, task, metric)
    if classes is None:
        return TaskAnswers(task, metric, values_IS, choosing_S, unit, zero, ids=tuple(ids))
    code = {name: c for c, name in enumerate(classes)}
    gold_S = np.array([code[str(gold).strip()] for gold in frames[scores.models[0]].loc[ids, "gold"]])
    pred_IS = np.array([class_codes(frame.loc[ids], code) for frame in frames.values()])
    return TaskAnswers(task, metric, values_IS, choosing_S, unit, zero, gold_S, pred_IS, len(classes), tuple(ids))


def _corpus(metric: str) -> bool:
    return metric in METRICS and METRICS.get(metric).value.corpus is not None


def counted_classes(study: Context, task: str, metric: str) -> tuple[str, ...] | None:
    """The classes of a task whose metric is one of confusion matrices; None where it is another, or is no such task."""
    if metric not in METRICS or METRICS.get(metric).value.of_counts is None:
        return None
    classes = study.config.tasks[task].answer.classes
    return None if classes is None else tuple(name.strip() for name in classes)


def row_values(frame: pd.DataFrame, sign: float) -> NDArray[np.float64]:
    """Every row's primary metric, higher is better; minus its loss where that is the metric."""
    if frame["correct"].isna().all():
        return -frame["loss"].to_numpy(dtype=float)
    return sign * frame["correct"].to_numpy(dtype=float)


def class_codes(frame: pd.DataFrame, code: Mapping[str, int]) -> NDArray[np.int64]:
    """Every row's predicted class as its number in ``code``; one more than the last for an invalid answer."""
    found = (len(code) if pd.isna(pred) else code.get(str(pred).strip(), len(code)) for pred in frame["pred"])
    return np.array(list(found), dtype=np.int64)
