"""From a score matrix to what a belt is chosen and judged on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from traitscope.belt.answers import SplitScores, TaskAnswers, generator, halves, hundredths
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.metrics.base import METRICS

Floats = npt.NDArray[np.float64]

# What can stand in a belt; controls are altered on purpose, and foreign models are no adapters of this base.
SHIPPED = ("base", "source", "mix")
POINTS = {"fraction": 100.0, "percent": 1.0}
ITSELF = "judged on the very scores it was chosen on, which flatters it: {rows}, and not all adapters have second seeds"
# A difference that rounding leaves between a mean of records and the score it is the mean of.
_ROUNDING = 1e-6


def split_scores(scores: ScoreMatrix, seed: int = 0) -> SplitScores:
    """What a matrix offers: halves of the rows where it has records, else halves of the seeds, else the scores alone.

    Rows are used where every task has records whose mean is its score. Own cells count: a belt ships the adapter that
    was trained on a task for this very task.

    Args:
        scores: of one base model.
        seed: of the halves.

    Raises:
        TraitscopeError: several base models, no adapter, or no adapter with a score on every task.
    """
    scores = whole(scores)
    lack = _lacks_rows(scores)
    return _of_seeds(scores, seed, lack) if lack else _of_rows(scores, seed)


def whole(scores: ScoreMatrix) -> ScoreMatrix:
    """Base, sources and mixes of one base model with a score on every task; what is left out stands in its notes.

    Raises:
        TraitscopeError: as ``split_scores``.
    """
    families = dict.fromkeys(str(name) for name in scores.rows["base"])
    if len(families) > 1:
        raise TraitscopeError(
            f"{len(families)} base models, and a belt is of one",
            where="belt",
            fix="a belt is of one base: keep its rows alone (--where column=name, or scores.select)",
        )
    kinds = [role.kind for role in scores.roles_I]
    known_I = [bool(np.isfinite(row_N).all()) for row_N in scores.scores_IN]
    kept = [m for m, kind, known in zip(scores.models, kinds, known_I, strict=True) if kind in SHIPPED and known]
    holes = [m for m, kind, known in zip(scores.models, kinds, known_I, strict=True) if kind in SHIPPED and not known]
    if not any(kind != "base" and name in kept for name, kind in zip(scores.models, kinds, strict=True)):
        raise TraitscopeError(
            "no adapter has a score on every task",
            where="belt",
            fix=f"fill the missing cells ({', '.join(holes[:5]) or 'no source or mix'}), or leave tasks out",
        )
    return scores.select(models=kept)


def left_out(scores: ScoreMatrix) -> list[str]:
    """What of a matrix cannot stand in a belt, in sentences."""
    kinds = [role.kind for role in scores.roles_I]
    known_I = [bool(np.isfinite(row_N).all()) for row_N in scores.scores_IN]
    holes = [m for m, k, known in zip(scores.models, kinds, known_I, strict=True) if k in SHIPPED and not known]
    strange = [m for m, k in zip(scores.models, kinds, strict=True) if k not in SHIPPED]
    notes = []
    if holes:
        notes.append(f"left out for want of a score on some task: {', '.join(holes)}")
    if strange:
        notes.append(f"left out as controls or foreign models: {', '.join(strange)}")
    return notes


def _lacks_rows(scores: ScoreMatrix) -> str:
    """Why rows cannot be held out, in words; empty where every score is the mean of records that all models have."""
    if not any(scores.records.values()):
        return "there are no records of rows"
    for n, task in enumerate(scores.tasks):
        metric = scores.metrics[task]
        if metric in METRICS and METRICS.get(metric).value.corpus is not None:
            return f"{metric} of {task} is one of all rows together"
        records = scores.records.get(task, {})
        lacking = [model for model in scores.models if model not in records]
        if lacking:
            return f"{task} has no records of {lacking[0]}"
        values = {model: np.asarray(records[model], dtype=float) for model in scores.models}
        if len({len(values_S) for values_S in values.values()}) > 1:
            return f"{task} has not the same number of records for all models"
        scale = 100.0 if scores.units[task] == "percent" else 1.0
        for i, model in enumerate(scores.models):
            if not np.isfinite(values[model]).all():
                return f"{task} lacks records of {model}"
            if abs(float(values[model].mean()) * scale - scores.scores_IN[i, n]) > _ROUNDING * scale:
                return f"the score of {model} on {task} is not the mean of its records"
    return ""


def _of_rows(scores: ScoreMatrix, seed: int) -> SplitScores:
    answers = []
    kinds = [role.kind for role in scores.roles_I]
    base = kinds.index("base") if "base" in kinds else None
    for n, task in enumerate(scores.tasks):
        values_IS = np.array([np.asarray(scores.records[task][model], dtype=float) for model in scores.models])
        choosing_S = halves(task, values_IS.shape[1], seed)
        values_IS = values_IS * scores.sign_N[n]
        share = scores.units[task] in POINTS
        unit, zero = (100.0, 0.0) if share else hundredths(values_IS[:, choosing_S].mean(axis=1), base)
        answers.append(TaskAnswers(task, scores.metrics[task], values_IS, choosing_S, unit, zero))
    return SplitScores.of_rows(scores.models, kinds, answers)


def _of_seeds(scores: ScoreMatrix, seed: int, lack: str) -> SplitScores:
    """Halves of the seeds of every source where each has two or more; a single run of the base stands in both."""
    names = [source or model for source, model in zip(scores.sources_I, scores.models, strict=True)]
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault(name, []).append(i)
    kinds = tuple(scores.roles_I[rows[0]].kind for rows in groups.values())
    trained = [rows for rows, kind in zip(groups.values(), kinds, strict=True) if kind != "base"]
    both = all(len(rows) > 1 for rows in trained)
    base = kinds.index("base") if "base" in kinds else None
    rng = generator(seed)
    first: list[list[int]] = []
    second: list[list[int]] = []
    for rows in groups.values():
        mixed = rng.permutation(rows).tolist()
        cut = len(mixed) // 2
        first.append(mixed[:cut] if both and cut else mixed)
        second.append(mixed[cut:] if both else mixed)
    signed_IN = scores.scores_IN * scores.sign_N
    choose_IN, judge_IN = (np.array([signed_IN[rows].mean(axis=0) for rows in half]) for half in (first, second))
    scale_N2 = np.array(
        [
            (POINTS[unit], 0.0) if (unit := scores.units[task]) in POINTS else hundredths(choose_IN[:, n], base)
            for n, task in enumerate(scores.tasks)
        ]
    )
    unit_N, zero_N = scale_N2.T
    return SplitScores(
        tuple(groups),
        kinds,
        scores.tasks,
        (choose_IN - zero_N) * unit_N,
        (judge_IN - zero_N) * unit_N,
        "seeds" if both else "itself",
        notes=() if both else (ITSELF.format(rows=lack),),
    )
