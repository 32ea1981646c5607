"""Controls: altered datasets against their unaltered parents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from traitscope.effects import Effects
from traitscope.effects.words import number
from traitscope.findings import Findings
from traitscope.report.sections.table import Column, Item, Line, Table, in_points, size_item, span_item
from traitscope.report.words import Group, bases_of, effect_groups
from traitscope.texts import count_of

FIGURES, FOLDED = ("control_dumbbells",), ()
COLUMNS = (
    Column("control"),
    Column("task"),
    Column("unaltered parent"),
    Column("parent's score", True, "score"),
    Column("control's score", True, "score"),
    Column("difference", True, "controls"),
    Column("interval", True, "interval"),
)


@dataclass(frozen=True, slots=True)
class Controls:
    """The answer in one line, findings in words, and every control on every task."""

    answer: str
    groups: tuple[Group, ...] = ()
    table: Table | None = None


def view(findings: Findings) -> Controls:
    """The section of a study whose effects are known."""
    effects = findings.effects
    assert effects is not None
    rows = effects.tables.get("controls")
    if rows is None or rows.empty:
        return Controls(
            "No control was trained: nothing says how much of a gain is the labels' doing"
            + ("." if findings.bare else " (controls in the study file give some: mislabel, shuffle).")
        )
    return Controls(
        _answer(effects),
        tuple(effect_groups(effects, kinds=("control_own", "control_transfer"))),
        _table(effects, bases_of(findings.scores)),
    )


def _answer(effects: Effects) -> str:
    own = effects.of_kind("control_own")
    if own.empty:
        return f"{count_of(effects.tables['controls']['source'].nunique(), 'control')}, none measured on its own task."
    held = effects.held(own)
    lower = int((held["value"] < 0).sum())
    lowest = own.sort_values("value", kind="stable").head(1)
    told = str(effects.sentences(lowest).iloc[0])
    return (
        f"{lower} of {count_of(len(own), 'control')} score surely below the unaltered parent on their own task: {told}"
    )


def _table(effects: Effects, bases: Mapping[str, str]) -> Table:
    lines = []
    for row in effects.tables["controls"].to_dict("records"):
        found = {str(key): value for key, value in row.items()} | {"value": row["difference"]}
        unit = str(row["unit"])
        surely = row["lo"] > 0 or row["hi"] < 0
        lines.append(
            Line(
                (
                    Item(str(row["source"]), cell=(str(row["model"]), str(row["task"]))),
                    *([Item(bases[str(row["model"])])] if bases else []),
                    Item(f"{row['task']} (own)" if row["own"] else str(row["task"])),
                    Item(str(row["parent"])),
                    Item(number(row["parent_value"], unit, signed=False), in_points(row["parent_value"], unit)),
                    Item(number(row["value"], unit, signed=False), in_points(row["value"], unit)),
                    size_item(found, holds=bool(surely)),
                    span_item(found),
                ),
                (str(row["model"]), str(row["task"])),
                "strong" if row["own"] else "",
            )
        )
    columns = (COLUMNS[0], *([Column("base model")] if bases else []), *COLUMNS[1:])
    return Table(id="controls-by-task", label="Controls beside their parents", columns=columns, lines=tuple(lines))
