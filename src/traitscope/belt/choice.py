"""From scores to a belt: the smallest set of adapters that covers the tasks, and what it is worth where judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from traitscope.belt.answers import SplitScores, surely_above
from traitscope.belt.cover import Cover, covers, smallest
from traitscope.belt.split import left_out, split_scores
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix

# Rows of the table of sizes behind the chosen one.
MORE = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """A chosen belt. Scores, losses and differences are in points; the base is always there and not counted.

    Attributes:
        models: the adapters of the belt.
        serves: task -> the model of the belt, or the base, that serves it: the best where models were chosen.
        loss: what a task was allowed to lose against the best of all models.
        basis: what it was judged on, as ``SplitScores.basis``.
        sizes: a row for every size: the set; its mean and worst loss where it was chosen; where it was judged, how much
            the best model per task as known when choosing scores above it (``judged`` with ``lo`` and ``hi``, and
            ``judged_worst``), and how much the best in hindsight does (``hindsight``).
        alternatives: one model for all tasks, a row each: base, best single adapter, mixes, merged adapters; its score,
            and the belt's score less its score, where judged, with an interval; the task on which the belt is farthest
            above it (``worst``, ``worst_above``); ``enough`` where the interval's upper end is at most ``loss``.
        tasks: a row per task: who serves it, its score where judged, that of the base and of the best model as known
            when choosing.
        notes: what a reader must know, in sentences.
    """

    models: tuple[str, ...]
    serves: dict[str, str]
    loss: float
    basis: str
    sizes: pd.DataFrame
    alternatives: pd.DataFrame
    tasks: pd.DataFrame
    notes: tuple[str, ...] = ()


def choose_belt(scores: ScoreMatrix, *, loss: float = 1.0, size: int | None = None, seed: int = 0) -> Choice:
    """The smallest set of adapters under which no task loses more than ``loss`` points against its best model.

    It is chosen on one half of the rows (the matrix's records) and judged on the other; without records on halves of
    the seeds; without second seeds it is judged on what it was chosen on, and its notes say so. Own cells count.

    Args:
        scores: of one base model.
        loss: in points (hundredths of a share; of another metric, of the distance between worst and best model).
        size: number of adapters, in place of the smallest within ``loss``.
        seed: of the halves.

    Raises:
        TraitscopeError: see ``split_scores``; a loss below 0, or a size that there is not.
    """
    found = split_scores(scores, seed)
    choice, _ = choose(found, loss, size)
    return replace(choice, notes=(*choice.notes, *left_out(scores)))


def choose(found: SplitScores, loss: float, size: int | None = None) -> tuple[Choice, tuple[int, ...]]:
    """``choose_belt`` from scores in two halves: the choice, and the numbers of its models.

    Raises:
        TraitscopeError: a loss below 0, or a size that there is not.
    """
    if not (isinstance(loss, int | float | np.integer) and 0 <= loss < np.inf):
        raise TraitscopeError(f"{loss!r} points", where="--loss", fix="write 0 or more points, such as 1")
    adapters = list(found.adapters)
    free_N = None if found.base is None else found.choose_IN[found.base]
    least = 0 if found.base is not None else 1
    if size is not None and not (isinstance(size, int | np.integer) and least <= size <= len(adapters)):
        raise TraitscopeError(
            f"{size} of {len(adapters)} adapters", where="--size", fix=f"write {least} to {len(adapters)}"
        )
    sets = covers(found.choose_IN[adapters], loss, free_N, size=size or 0)
    wanted = smallest(sets) if size is None else next(cover for cover in sets if len(cover.models) == size)
    chosen = tuple(adapters[i] for i in wanted.models)
    serving = _with_base(found, chosen)
    serve_N, best_N = found.best_of(serving), found.best_of(range(len(found.models)))
    shown = sets[: sets.index(wanted) + 1 + MORE]
    notes = list(found.notes)
    if wanted.beyond:
        names = [task for task, lost in zip(found.tasks, wanted.loss_N.tolist(), strict=True) if lost > loss + 1e-9]
        notes.append(f"more than {loss:g} points are lost on {', '.join(names)}")
    if unsure := _unsure(found, serve_N.tolist()):
        notes.append(f"not surely above the base where they were chosen, so the base may do: {', '.join(unsure)}")
    choice = Choice(
        models=tuple(found.models[i] for i in chosen),
        serves={task: found.models[m] for task, m in zip(found.tasks, serve_N.tolist(), strict=True)},
        loss=loss,
        basis=found.basis,
        sizes=pd.DataFrame([_size_row(found, cover, adapters) for cover in shown]),
        alternatives=pd.DataFrame(_alternatives(found, serving, loss)),
        tasks=pd.DataFrame(_task_rows(found, serve_N, best_N)),
        notes=tuple(notes),
    )
    return choice, chosen


def _unsure(found: SplitScores, serve_N: Sequence[int]) -> list[str]:
    """Tasks whose model does not surely gain over the base on the choosing rows."""
    if found.base is None:
        return []
    names = []
    for one, model in zip(found.answers, serve_N, strict=False):
        if model == found.base:
            continue
        ours_S, base_S = one.row_points([model, found.base])
        if not surely_above(ours_S - base_S, len(found.adapters)):
            names.append(f"{one.task} ({found.models[model]})")
    return names


def _with_base(found: SplitScores, chosen: Sequence[int]) -> tuple[int, ...]:
    return (*chosen, *(() if found.base is None else (found.base,)))


def _size_row(found: SplitScores, cover: Cover, adapters: Sequence[int]) -> dict[str, Any]:
    chosen = tuple(adapters[i] for i in cover.models)
    serve_N = found.best_of(_with_base(found, chosen))
    best_N = found.best_of(range(len(found.models)))
    value, lo, hi = found.difference(best_N, serve_N)
    lost_N = found.judged(best_N) - found.judged(serve_N)
    return {
        "size": len(chosen),
        "models": ", ".join(found.models[i] for i in chosen) or "base",
        "chosen": cover.mean,
        "chosen_worst": float(cover.loss_N.max()),
        "beyond": cover.beyond,
        "judged": value,
        "lo": lo,
        "hi": hi,
        "judged_worst": float(lost_N.max()),
        "hindsight": float((found.judge_IN.max(axis=0) - found.judged(serve_N)).mean()),
        "search": "all sets" if cover.exhaustive else "greedy",
    }


def _alternatives(found: SplitScores, serving: Sequence[int], loss: float) -> list[dict[str, Any]]:
    serve_N = found.best_of(serving)
    ones = {}
    if found.base is not None:
        ones["base"] = found.base
    if found.best_single is not None:
        ones["best single adapter"] = found.best_single
    ones |= {f"{kind} {found.models[i]}": i for i, kind in enumerate(found.kinds) if kind in ("mix", "merged")}
    rows = []
    for what, i in ones.items():
        same_N = np.full(len(found.tasks), i)
        value, lo, hi = found.difference(serve_N, same_N)
        above_N = found.judged(serve_N) - found.judged(same_N)
        rows.append(
            {
                "what": what,
                "model": found.models[i],
                "score": float(found.judge_IN[i].mean()),
                "belt_above": value,
                "lo": lo,
                "hi": hi,
                "worst": found.tasks[int(above_N.argmax())],
                "worst_above": float(above_N.max()),
                # Without an interval nothing is known of what another draw would say.
                "enough": bool(np.isfinite(hi) and hi <= loss),
            }
        )
    return rows


def _task_rows(found: SplitScores, serve_N: Any, best_N: Any) -> list[dict[str, Any]]:
    base = found.base
    rows = []
    for n, task in enumerate(found.tasks):
        rows.append(
            {
                "task": task,
                "served_by": found.models[int(serve_N[n])],
                "score": float(found.judge_IN[serve_N[n], n]),
                "base": float("nan") if base is None else float(found.judge_IN[base, n]),
                "best": found.models[int(best_N[n])],
                "best_score": float(found.judge_IN[best_N[n], n]),
            }
        )
    return rows
