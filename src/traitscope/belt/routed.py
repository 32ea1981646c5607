"""What a router is worth on the rows that judge: beside the base, one adapter, the mix, and knowing the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.belt.answers import Ints, SplitScores
from traitscope.belt.routing import ROUTERS, Router, fit_router
from traitscope.errors import TraitscopeError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Readings:
    """What one kind of rule reads of prompts (``Rule.reads``).

    Attributes:
        places: name -> readings of the prompts that places are made from (see ``Rule.fit``).
        names: of the P places.
        rows: task -> readings of its rows, in the order of its answers: [S, D] or [S, A].
    """

    places: Mapping[str, npt.NDArray[np.floating]]
    names: tuple[str, ...]
    rows: Mapping[str, npt.NDArray[np.floating]]


def route_belt(found: SplitScores, chosen: Sequence[int], rule: str, readings: Readings) -> Router:
    """A router over a belt, calibrated on the choosing rows of all tasks.

    Args:
        found: scores in halves of rows, with a base.
        chosen: numbers of the belt's adapters.
        rule: its name.
        readings: of the prompts, as the rule reads them.

    Raises:
        TraitscopeError: an unknown rule, no rows, or no base.
    """
    if rule not in ROUTERS:
        raise TraitscopeError(f"unknown router {rule!r}", where="--rule", fix=f"one of: {', '.join(ROUTERS.names())}")
    if found.base is None or not found.answers:
        raise TraitscopeError(
            "a router is judged against the base, row by row", where="belt", fix="evaluate the base, with records"
        )
    models = [*chosen, found.base]
    read = np.concatenate([readings.rows[one.task][one.choosing_S] for one in found.answers])
    points_IS = np.concatenate([one.row_points(models) for one in found.answers], axis=1)
    names = [found.models[i] for i in models]
    return fit_router(rule, readings.places, readings.names, read, points_IS, names, len(chosen))


def choices(found: SplitScores, router: Router, readings: Readings) -> list[Ints]:
    """For every task the number of the model that each judging row goes to."""
    at = {name: i for i, name in enumerate(found.models)}
    routed = (router.route(readings.rows[one.task][~one.choosing_S])[0] for one in found.answers)
    return [np.array([at[name] for name in names], dtype=np.int64) for names in routed]


def judge_routers(
    found: SplitScores, chosen: Sequence[int], routed: Mapping[str, Sequence[Ints]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Routers beside what does without one, on the judging rows.

    Args:
        found: scores in halves of rows, with a base.
        chosen: numbers of the belt's adapters.
        routed: rule -> of every task the models that its judging rows go to (``choices``).

    Returns:
        Mean score over the tasks in points of base, best single adapter, mixes, merged adapters, routers, the belt with
        the task known, and two oracles: the best of all models per task as known when choosing, and in hindsight (on
        the judging rows themselves, which flatters it); with ``<rule>_above``, ``_lo``, ``_hi``: that router's score
        less this row's, paired. And the same scores task by task.
    """
    assert found.base is not None
    sizes = [int((~one.choosing_S).sum()) for one in found.answers]

    def everywhere(model_N: Ints) -> list[Ints]:
        return [np.full(size, model) for size, model in zip(sizes, model_N.tolist(), strict=True)]

    def one_model(i: int) -> list[Ints]:
        return everywhere(np.full(len(found.tasks), i))

    ways: dict[str, Sequence[Ints]] = {"base": one_model(found.base)}
    if found.best_single is not None:
        ways[f"best single adapter ({found.models[found.best_single]})"] = one_model(found.best_single)
    for i, kind in enumerate(found.kinds):
        if kind in ("mix", "merged"):
            ways[f"{kind} ({found.models[i]})"] = one_model(i)
    ways |= {f"router: {rule}": rows for rule, rows in routed.items()}
    ways["belt, task known"] = everywhere(found.best_of([*chosen, found.base]))
    ways["oracle: best model per task as known when choosing"] = everywhere(found.best_of(range(len(found.models))))
    ways["oracle in hindsight"] = everywhere(np.asarray(found.judge_IN.argmax(axis=0), dtype=np.int64))
    scores = {
        way: [one.points(model_S, False) for one, model_S in zip(found.answers, rows, strict=True)]
        for way, rows in ways.items()
    }
    table = []
    for way, rows in ways.items():
        line: dict[str, object] = {"what": way, "score": float(np.mean(scores[way]))}
        for rule, ours in routed.items():
            value, lo, hi = found.rows_difference(ours, rows)
            line |= {f"{rule}_above": value, f"{rule}_lo": lo, f"{rule}_hi": hi}
        table.append(line)
    return pd.DataFrame(table), pd.DataFrame({"task": found.tasks, **scores})
