"""From a score matrix to what a belt is chosen and judged on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from traitscope.belt.answers import Evidence, TaskAnswers, halves
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.metrics.base import METRICS

Floats = npt.NDArray[np.float64]

# What can stand in a belt; controls are altered on purpose, and foreign models are no adapters of this base.
SHIPPED = ("base", "source", "mix")
POINTS = {"fraction": 100.0, "percent": 1.0}
ITSELF = (
    "judged on the very scores it was chosen on, which flatters it: there are neither rows nor second seeds to hold out"
)
# A difference that rounding leaves between a mean of records and the score it is the mean of.
_ROUNDING = 1e-6


def evidence(scores: ScoreMatrix, seed: int = 0) -> Evidence:
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
    if _has_rows(scores):
        return _of_rows(scores, seed)
    return _of_seeds(scores, seed)


def whole(scores: ScoreMatrix) -> ScoreMatrix:
    """Base, sources and mixes of one base model with a score on every task; what is left out stands in its notes.

    Raises:
        TraitscopeError: as ``evidence``.
    """
    families = dict.fromkeys(str(name) for name in scores.rows["base"])
    if len(families) > 1:
        raise TraitscopeError(
            f"{len(families)} base models",
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


def _has_rows(scores: ScoreMatrix) -> bool:
    """Whether every score is the mean of records that all models have."""
    for n, task in enumerate(scores.tasks):
        metric = scores.metrics[task]
        if metric in METRICS and METRICS.get(metric).value.corpus is not None:
            return False
        records = scores.records.get(task, {})
        scale = 100.0 if scores.units[task] == "percent" else 1.0
        for i, model in enumerate(scores.models):
            if model not in records:
                return False
            if (
                abs(float(np.mean(np.asarray(records[model], dtype=float))) * scale - scores.scores_IN[i, n])
                > _ROUNDING * scale
            ):
                return False
    return True


def _of_rows(scores: ScoreMatrix, seed: int) -> Evidence:
    answers = []
    for n, task in enumerate(scores.tasks):
        values_IS = np.array([np.asarray(scores.records[task][model], dtype=float) for model in scores.models])
        choosing_S = halves(task, values_IS.shape[1], seed)
        values_IS = values_IS * scores.sign_N[n]
        share = scores.units[task] in POINTS
        unit, zero = (100.0, 0.0) if share else hundredths(values_IS[:, choosing_S].mean(axis=1))
        answers.append(TaskAnswers(task, scores.metrics[task], values_IS, choosing_S, unit, zero))
    kinds = [role.kind for role in scores.roles_I]
    return Evidence.of_rows(scores.models, kinds, answers)


def _of_seeds(scores: ScoreMatrix, seed: int) -> Evidence:
    """Halves of the seeds of every source where each has two or more; a single run of the base stands in both."""
    names = [source or model for source, model in zip(scores.sources_I, scores.models, strict=True)]
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault(name, []).append(i)
    kinds = tuple(scores.roles_I[rows[0]].kind for rows in groups.values())
    trained = [rows for rows, kind in zip(groups.values(), kinds, strict=True) if kind != "base"]
    both = all(len(rows) > 1 for rows in trained)
    rng = np.random.default_rng(seed)
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
            (POINTS[unit], 0.0) if (unit := scores.units[task]) in POINTS else hundredths(choose_IN[:, n])
            for n, task in enumerate(scores.tasks)
        ]
    )
    unit_N, zero_N = scale_N2.T
    return Evidence(
        tuple(groups),
        kinds,
        scores.tasks,
        (choose_IN - zero_N) * unit_N,
        (judge_IN - zero_N) * unit_N,
        "seeds" if both else "itself",
        notes=() if both else (ITSELF,),
    )


def hundredths(scores_I: Floats) -> tuple[float, float]:
    """Points per unit of a metric without a range, and its zero: from the worst model, at 0, to the best, at 100."""
    worst, best = float(scores_I.min()), float(scores_I.max())
    return (100.0 / (best - worst) if best > worst else 1.0), worst
