"""Did training work: every adapter's gain on what it was trained on, beside its steps and its loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from traitscope.effects.grid import Grid, Row
from traitscope.effects.words import POINTS, number, p_words, span_words
from traitscope.texts import count_of

# Points of a loss curve that is kept.
MOST_POINTS = 60


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """An adapter's training: the loss of every step, in nats per answer token."""

    losses: Sequence[float]

    @property
    def ends(self) -> tuple[float, float]:
        """Mean loss of the first and of the last tenth of the steps (at least one)."""
        tenth = max(1, len(self.losses) // 10)
        return float(np.mean(self.losses[:tenth])), float(np.mean(self.losses[-tenth:]))

    def points(self) -> Iterator[tuple[int, float]]:
        """Steps (from 1) and mean losses, at most ``MOST_POINTS`` of them."""
        for part in np.array_split(np.arange(len(self.losses)), min(len(self.losses), MOST_POINTS)):
            yield int(part[-1]) + 1, float(np.mean([self.losses[step] for step in part]))


def learning_rows(
    grid: Grid,
    gains: Iterable[Row],
    cells: Iterable[Row],
    claimed: Iterable[Row],
    logs: Mapping[str, TrainingLog],
) -> list[Row]:
    """One row per adapter and task of its own: the gain there, steps, first and last loss, and a verdict.

    ``verdict`` is "learnt" (the gain's p is at most 0.05 and it is above 0), "one answer" (so it is, and nearly all
    answers are the same class), "fell" (below 0), "no room" (the base has hardly an answer wrong), "not told" (anything
    else), "not tested" (no error is known), or "not measured".

    Args:
        grid: rows, columns and roles.
        gains: of all models. cells: of all models, with ``habit``, ``constant_score`` and ``remark``.
        claimed: of the sources, seeds together where runs are known; stand where a run's own error is not known.
        logs: by model.
    """
    known = {(row["model"], row["task"]): row for row in gains}
    of_sources = {(row["source"], row["task"]): row for row in claimed}
    habits = {(row["model"], row["task"]): row for row in cells}
    rows = []
    for i in grid.trained.tolist():
        model, role = grid.models[i], grid.roles[i]
        log = logs.get(model)
        first, last = log.ends if log is not None and log.losses else (np.nan, np.nan)
        for task in (name for name in grid.tasks if name in role.own):
            row = known.get((model, task))
            about = {name: row[name] if row else np.nan for name in ("gain", "lo", "hi", "p")}
            together = of_sources.get((grid.sources[i], task))
            if row and together and not np.isfinite(row["p"]):
                about = {name: together[name] for name in about}
            cell = habits.get((model, task), {"habit": "", "constant_score": np.nan, "remark": ""})
            rows.append(
                {
                    **grid.where(i, task),
                    "role": role.kind,
                    **about,
                    "unit": row["unit"] if row else grid.unit(grid.column[task]),
                    "metric": grid.metrics[grid.column[task]],
                    "steps": len(log.losses) if log is not None else 0,
                    "loss_first": first,
                    "loss_last": last,
                    "verdict": _verdict(about, row["base_at"] if row else "", cell),
                    "constant_score": cell["constant_score"],
                    "remark": cell["remark"],
                }
            )
    return rows


def curve_rows(grid: Grid, logs: Mapping[str, TrainingLog]) -> list[Row]:
    """The loss curves of all adapters: model, source, step, loss."""
    return [
        {"model": grid.models[i], "source": grid.sources[i], "step": step, "loss": loss}
        for i in grid.trained.tolist()
        if grid.models[i] in logs
        for step, loss in logs[grid.models[i]].points()
    ]


def _verdict(gain: Row, base_at: str, cell: Row) -> str:
    if not np.isfinite(gain["gain"]):
        return "not measured"
    if not np.isfinite(gain["p"]):
        return "not tested"
    if gain["p"] <= 0.05:
        # Of classes, a habit alone may score far above a base that has another one.
        habit = cell["habit"] == "constant" and np.isfinite(cell["constant_score"])
        return "fell" if gain["gain"] < 0 else "one answer" if habit else "learnt"
    return "no room" if base_at == "ceiling" else "not told"


TOLD = {
    "one answer": "{model} learnt one answer for its own task {task}: ",
    "fell": "{model} fell on its own task {task}: ",
    "not told": "Whether {model} learnt its own task {task} cannot be told: ",
    "no room": "{model} had nothing to learn on its own task {task}, where the base has hardly an answer wrong: ",
    "not measured": "{model} was not measured against the base on its own task {task}",
}


def learning_sentences(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for every source that was not seen to learn a task of its own.

    Args:
        rows: of :func:`learning_rows`.
    """
    told = []
    for row in rows:
        if row["verdict"] in ("learnt", "not tested") or row["role"] != "source":
            continue
        unit = str(row["unit"])
        text = TOLD[row["verdict"]].format(model=row["model"], task=row["task"])
        if row["verdict"] != "not measured":
            span = span_words(row["lo"], row["hi"], unit)
            points = " points" if unit in POINTS else "" if unit == "score" else f" {unit}"
            text += f"{row['metric']} {number(row['gain'], unit)}{points} {span} ({p_words(row['p'])})"
        if row["steps"]:
            text += f" after {count_of(row['steps'], 'step')}, loss {row['loss_first']:.2f} to {row['loss_last']:.2f}"
        if row["verdict"] == "one answer":
            best = number(row["constant_score"], unit, signed=False)
            text += f". {row['remark']} The best constant answer gives {best}"
        told.append(text + ".")
    return told
