"""Belt: what a few adapters are worth in place of all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traitscope.belt.choice import Choice
from traitscope.belt.result import BASIS
from traitscope.findings import Findings
from traitscope.report.sections.table import Column, Item, Line, Table
from traitscope.texts import count_of

FIGURES, FOLDED = ("belt_coverage",), ()


@dataclass(frozen=True, slots=True)
class Belt:
    """The answer in one line, what every size is worth, one model for all tasks instead, and who serves which task."""

    answer: str
    sizes: Table | None = None
    alternatives: Table | None = None
    tasks: Table | None = None
    notes: tuple[str, ...] = ()


def view(findings: Findings) -> Belt:
    """The section of a study of which a belt was chosen."""
    choice = findings.belt
    assert choice is not None
    return Belt(_answer(choice), _sizes(choice), _alternatives(choice), _tasks(choice), tuple(choice.notes))


def _answer(choice: Choice) -> str:
    chosen = choice.sizes[choice.sizes["size"] == len(choice.models)].iloc[0]
    named = f" ({', '.join(choice.models)})" if choice.models else ""
    return (
        f"{count_of(len(choice.models), 'adapter')}{named} for {count_of(len(choice.tasks), 'task')}: the best model "
        f"per task scores {_ends(chosen['judged'], chosen['lo'], chosen['hi'])} points above the belt on average, "
        f"{chosen['judged_worst']:.1f} on the worst task; {BASIS[choice.basis]}."
    )


def _ends(value: float, lo: float, hi: float) -> str:
    return f"{value:.1f} [{lo:.1f}, {hi:.1f}]" if np.isfinite(lo) else f"{value:.1f}"


def _number(value: float, digits: int = 1) -> Item:
    return Item(f"{value:.{digits}f}", float(value)) if np.isfinite(value) else Item("–")


def _sizes(choice: Choice) -> Table:
    columns = (
        Column("adapters", True, title="size of the belt"),
        Column("mean loss where judged", True, "belt-loss", "points by which the best model per task is above it"),
        Column("interval", True, "interval"),
        Column("on the worst task", True),
        Column("mean loss where chosen", True),
        Column("in hindsight", True, title="points by which the best model per task in hindsight is above it"),
        Column("which"),
    )
    lines = []
    for row in choice.sizes.to_dict("records"):
        known = np.isfinite(row["lo"])
        lines.append(
            Line(
                (
                    Item(str(row["size"]), float(row["size"])),
                    _number(row["judged"]),
                    Item(f"[{row['lo']:.1f}, {row['hi']:.1f}]", float(row["hi"] - row["lo"])) if known else Item("–"),
                    _number(row["judged_worst"]),
                    _number(row["chosen"], 2),
                    _number(row["hindsight"], 2),
                    Item(str(row["models"]) or "the base alone"),
                ),
                tone="strong" if row["size"] == len(choice.models) else "",
            )
        )
    return Table(id="belt-sizes", label="What each size is worth, in points", columns=columns, lines=tuple(lines))


def _alternatives(choice: Choice) -> Table:
    columns = (
        Column("one model for all tasks"),
        Column("score", True, "score"),
        Column("belt above it", True, title="the belt's score less this one's"),
        Column("interval", True, "interval"),
        Column("farthest on"),
    )
    lines = []
    for row in choice.alternatives.to_dict("records"):
        what, model = str(row["what"]), str(row["model"])
        known = np.isfinite(row["lo"])
        lines.append(
            Line(
                (
                    Item(what if what.endswith(model) or what == "base" else f"{what} ({model})"),
                    _number(row["score"]),
                    _number(row["belt_above"]),
                    Item(f"[{row['lo']:.1f}, {row['hi']:.1f}]", float(row["hi"] - row["lo"])) if known else Item("–"),
                    Item(f"{row['worst']} ({row['worst_above']:.1f})"),
                )
            )
        )
    return Table(id="belt-instead", label="One model instead of a belt", columns=columns, lines=tuple(lines))


def _tasks(choice: Choice) -> Table:
    columns = (
        Column("task"),
        Column("served by"),
        Column("score", True, "score"),
        Column("base", True),
        Column("best model"),
        Column("its score", True),
    )
    lines = [
        Line(
            (
                Item(str(row["task"])),
                Item(str(row["served_by"]), cell=(str(row["served_by"]), str(row["task"]))),
                _number(row["score"]),
                _number(row["base"]),
                Item(str(row["best"])),
                _number(row["best_score"]),
            ),
            (str(row["served_by"]), str(row["task"])),
        )
        for row in choice.tasks.to_dict("records")
    ]
    return Table(id="belt-tasks", label="Who serves which task", columns=columns, lines=tuple(lines))
