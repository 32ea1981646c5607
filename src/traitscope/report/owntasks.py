"""What adapters learnt of the tasks that they were trained on: one count and one set of words wherever it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from traitscope.effects import Effects
from traitscope.texts import count_of

# Verdicts of ``effects.learning`` as a page says them; none says more than the test did.
WORDS = {
    "learnt": "learnt",
    "one answer": "one answer to everything",
    "fell": "fell",
    "no room": "no room above the base",
    "not told": "cannot be told",
    "not tested": "not tested",
    "not measured": "not measured",
}
# Of those that were not seen to learn, so many are named.
NAMED = 6


@dataclass(frozen=True, slots=True)
class OwnTasks:
    """The sources on tasks of their own, run by run.

    Attributes:
        rows: of the table ``learning``, of sources alone. tested: those with a verdict. learnt: those that learnt.
    """

    rows: tuple[Mapping[str, Any], ...]
    tested: tuple[Mapping[str, Any], ...]
    learnt: tuple[Mapping[str, Any], ...]

    @property
    def text(self) -> str:
        """How many learnt, in words without a full stop."""
        if not self.tested:
            return f"{count_of(len(self.rows), 'own task')}, none tested: no error is known"
        if len(self.tested) == 1:
            verdict = self.tested[0]["verdict"]
            if verdict in ("learnt", "fell"):
                return "the adapter learnt its own task" if verdict == "learnt" else "the adapter fell on its own task"
            return f"whether the adapter learnt its own task: {WORDS[verdict]}"
        if len({row["model"] for row in self.tested}) == len(self.tested):
            return f"{len(self.learnt)} of {len(self.tested)} adapters learnt their own task"
        return f"{len(self.learnt)} of {len(self.tested)} own tasks were learnt"

    @property
    def others(self) -> str:
        """Those that were not seen to learn, each with its verdict; empty where there are none."""
        rows = [row for row in self.tested if row["verdict"] != "learnt"]
        named = [f"{row['model']} on {row['task']} ({WORDS[row['verdict']]})" for row in rows[:NAMED]]
        more = [f"and {len(rows) - NAMED} more"] if len(rows) > NAMED else []
        return ", ".join([*named, *more])


def own_tasks(effects: Effects | None) -> OwnTasks | None:
    """What is known of own tasks; None where no source was measured on one."""
    table = None if effects is None else effects.tables.get("learning")
    rows = () if table is None else tuple(row for row in _rows(table) if row["role"] == "source")
    if not rows:
        return None
    tested = tuple(row for row in rows if row["verdict"] not in ("not tested", "not measured"))
    return OwnTasks(rows, tested, tuple(row for row in tested if row["verdict"] == "learnt"))


def _rows(table: Any) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
