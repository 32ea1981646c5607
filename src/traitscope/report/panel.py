"""What the panel of one cell shows, and how the page's script takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from traitscope.report.changes import Change
from traitscope.report.counted import Confusion, Density
from traitscope.report.shown import Shown
from traitscope.texts import safe


@dataclass(frozen=True, slots=True)
class Tab:
    """Examples of one outcome.

    Attributes:
        key: of ``shown.TABS``, ``ALONE`` or ``EVERY``. total: how many there are.
        shown: some of them, evenly over the task's rows in their order.
        command: what lists all of them in a terminal, in the folder that the report lies in; empty where none does.
    """

    key: str
    label: str
    total: int
    shown: tuple[Shown, ...]
    command: str

    def head(self) -> dict[str, Any]:
        """The same as the page's script takes it, without the examples."""
        return {"key": self.key, "label": self.label, "total": self.total, "command": self.command}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dig:
    """What the panel of one cell shows.

    Attributes:
        model, task: the cell.
        base: the row that it is compared with; None where it is a base itself, or has none.
        facts: what the cell is: what was trained, how it relates to the task, how it was measured.
        notes: what a reader must know before its numbers.
        changes: every metric, the one that the matrix shows first.
        confusion: of classification tasks. density: of answers that are written, or of losses.
        tabs: examples by outcome; empty where there are none.
    """

    model: str
    task: str
    base: str | None
    facts: tuple[str, ...]
    notes: tuple[str, ...]
    changes: tuple[Change, ...]
    confusion: Confusion | None
    density: Density | None
    tabs: tuple[Tab, ...]

    def head(self) -> dict[str, Any]:
        """All but the examples, as the page's script takes it."""
        return {
            "model": safe(self.model),
            "task": safe(self.task),
            "base": None if self.base is None else safe(self.base),
            "facts": [safe(fact) for fact in self.facts],
            "notes": [safe(note) for note in self.notes],
            "changes": [change.to_json() for change in self.changes],
            "confusion": None if self.confusion is None else self.confusion.to_json(),
            "density": None if self.density is None else self.density.to_json(),
            "tabs": [tab.head() for tab in self.tabs],
        }

    def to_json(self) -> dict[str, Any]:
        """All of it: ``head`` with ``rows``, the examples of every tab by its key."""
        return {**self.head(), "rows": {tab.key: [one.to_json() for one in tab.shown] for tab in self.tabs}}
