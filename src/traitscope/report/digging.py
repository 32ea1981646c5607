"""From a cell to its examples: what a panel shows of one model on one task, its numbers beside its base's."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.records import Example, ExampleRecord
from traitscope.report.changes import Change, Changes
from traitscope.report.counted import Confusion, Density, cell_density, confusion, invalid_note
from traitscope.report.shown import Shown, evenly, tabs
from traitscope.texts import count_of, safe

__all__ = ["Dig", "Digger", "Shown", "Tab", "address", "dig", "tabs"]

LABELS = {
    "won": "Won",
    "lost": "Lost",
    "both_wrong": "Both wrong",
    "both_right": "Both right",
    "invalid": "Not parsed",
    "right": "Right",
    "wrong": "Wrong",
    "all": "Texts",
}
# Of texts that are only scored there is no right or wrong.
LOSS_LABELS = {
    "won": "Smaller loss",
    "lost": "Larger loss",
    "both_wrong": "",
    "both_right": "Equal loss",
    "invalid": "",
}
# The tabs that a file opens; of the others it has the counts, and the command.
OPEN = ("won", "lost", "both_wrong", "right", "wrong", "all")
FLAGS = {
    "won": "--won",
    "lost": "--lost",
    "both_wrong": "--both-wrong",
    "both_right": "--both-right",
    "invalid": "--invalid",
    "right": "--right",
    "wrong": "--wrong",
}
RULE = "Examples are taken evenly over the task's rows in their order, whatever their scores."
RELATIONS = {
    "own": "the task it was trained on",
    "copy": "a task of which it was trained on a copy",
    "transfer": "a task it was not trained on",
    "model": "not trained here",
}
KINDS = {"source": "adapter of", "control": "control", "mix": "mix"}
UNREAD = {
    "imported": "The score was read from a file, which holds no examples.",
    "predicted": "This cell was not measured: its score is a forecast, and there are no examples.",
    "missing": "This cell was not measured.",
}


def address(model: str, task: str) -> str:
    """Where a cell's panel opens in the page: ``#cell/model/task``, each as encodeURIComponent writes it."""
    return "#cell/" + "/".join(quote(safe(name), safe="!'()*-._~") for name in (model, task))


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


class Digger:
    """Makes the panels of a study's cells; what they share is looked up once.

    Args:
        findings: whose ``cells`` are read, one task's at a time.
    """

    def __init__(self, findings: Findings) -> None:
        self.scores = findings.scores
        self.cells = findings.cells
        self.changes = Changes(findings)
        self._task: str | None = None
        self._examples: Mapping[str, Example] = {}
        self._classes: Sequence[str] | None = None
        self._records: dict[str, Sequence[ExampleRecord]] = {}

    @cached_property
    def odd(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What the effects say is odd about a cell."""
        table = self.changes.tables.get("cells")
        return {} if table is None else {(r["model"], r["task"]): r for r in table.to_dict("records")}  # type: ignore[misc]

    def base_of(self, model: str) -> str | None:
        """The row that a row is compared with; None for a base and for one that has none."""
        i = self.changes.row[model]
        b = int(self.scores.base_index_I[i])
        return None if b in (-1, i) else self.scores.models[b]

    def read(self, model: str, task: str) -> dict[str, list[Shown]]:
        """All examples of a cell by outcome.

        Raises:
            TraitscopeError: its records or its task cannot be read.
        """
        base, records = self._both(model, task)
        return tabs(base, records, self._examples)

    def dig(self, model: str, task: str, per_tab: int) -> Dig:
        """The panel of a cell.

        Args:
            per_tab: examples of an outcome at most.
        """
        i, n = self.changes.row[model], self.changes.column[task]
        status, base = str(self.scores.status_IN[i, n]), self.base_of(model)
        notes = self._notes(model, task, status)
        before: Sequence[ExampleRecord] | None = None
        records: Sequence[ExampleRecord] = ()
        if status == "measured" and self.cells is not None:
            try:
                before, records = self._both(model, task)
            except TraitscopeError as error:
                notes.append(f"Its examples cannot be read: {error.what}.")
        elif status == "measured":
            notes.append("There are no examples here: the matrix holds scores alone.")
        pairs = self._common(before, records, notes)
        before, records = pairs if pairs is not None else (None, records)
        classes = self._classes if records else None
        told = self.odd.get((model, task), {}).get("habit") == "unparsable"
        if note := invalid_note(before, records) if records and not told else "":
            notes.append(note)
        return Dig(
            model=model,
            task=task,
            base=base,
            facts=tuple(self._facts(i, n, status)),
            notes=tuple(notes),
            changes=tuple(self.changes.of(model, task, base, before, records)),
            confusion=None if classes is None else confusion(before, records, classes),
            density=cell_density(before, records) if records else None,
            tabs=tuple(self._tabs(model, task, before, records, per_tab)) if records else (),
        )

    def _both(self, model: str, task: str) -> tuple[Sequence[ExampleRecord] | None, Sequence[ExampleRecord]]:
        """Records of the base and of the model; of one task what was read stays at hand."""
        if self.cells is None:
            raise TraitscopeError("there are no examples", where=task, fix="report a study's run folder")
        if task != self._task:
            self._examples, self._records = self.cells.examples(task), {}
            self._classes = self.cells.classes(task)
            self._task = task
        base = self.base_of(model)
        if base is not None and base not in self._records:
            self._records[base] = self.cells.records(base, task)
        return None if base is None else self._records[base], self.cells.records(model, task)

    def _common(
        self, base: Sequence[ExampleRecord] | None, records: Sequence[ExampleRecord], notes: list[str]
    ) -> tuple[list[ExampleRecord], list[ExampleRecord]] | None:
        """The records of examples that both have, in the model's order; None where there is no base."""
        if base is None:
            return None
        known = {record.id: record for record in base}
        kept = [record for record in records if record.id in known]
        if len(kept) < max(len(base), len(records)):
            told = f"The base answered {len(base)} examples, the model {len(records)}"
            notes.append(f"{told}: they are compared over the {len(kept)} that both answered.")
        return [known[record.id] for record in kept], kept

    def _facts(self, i: int, n: int, status: str) -> list[str]:
        role, source = self.scores.roles_I[i], self.scores.sources_I[i]
        seed = self.scores.rows["seed"].iloc[i]
        facts = []
        if role.kind == "base":
            facts.append("the base model")
        elif role.kind in KINDS:
            of = f" of {role.parent}" if role.kind == "control" and role.parent else ""
            facts.append(f"{KINDS[role.kind]}{of or ' ' + str(source)}")
            if not pd.isna(seed):
                facts.append(f"seed {int(seed)}")
        if role.kind != "base":
            facts.append(RELATIONS[role.relation(self.scores.tasks[n])])
        examples = int(self.scores.n_IN[i, n])
        facts.append(f"{status} on {count_of(examples, 'example')}" if examples else status)
        if others := self._other_seeds(i, n):
            facts.append(f"other seeds: {others}")
        return facts

    def _other_seeds(self, i: int, n: int) -> str:
        source, base = self.scores.sources_I[i], int(self.scores.base_index_I[i])
        if source is None:
            return ""
        unit = {"fraction": 100.0}.get(self.scores.units[self.scores.tasks[n]], 1.0)
        found = [
            f"{self.scores.models[j]} {unit * self.scores.scores_IN[j, n]:.4g}"
            for j, other in enumerate(self.scores.sources_I)
            if j != i and other == source and int(self.scores.base_index_I[j]) == base
        ]
        return ", ".join(found)

    def _notes(self, model: str, task: str, status: str) -> list[str]:
        notes = [UNREAD[status]] if status in UNREAD else []
        if odd := self.odd.get((model, task)):
            notes += [odd["remark"]] if odd["remark"] else []
            if odd["base_at"]:
                no = "fall" if odd["base_at"] == "floor" else "rise"
                notes.append(f"The base is at the {odd['base_at']}: no {no} could be told from chance.")
        return notes

    def _tabs(
        self,
        model: str,
        task: str,
        base: Sequence[ExampleRecord] | None,
        records: Sequence[ExampleRecord],
        per_tab: int,
    ) -> list[Tab]:
        scored = any(record.correct is not None for record in records)
        labels = LABELS if scored else {**LABELS, **LOSS_LABELS}
        found = tabs(base, records, self._examples)
        return [
            Tab(
                key=key,
                label=labels[key],
                total=len(rows),
                shown=tuple(evenly(rows, per_tab if key in OPEN else 0)),
                command=command(model, task, key, len(rows)),
            )
            for key, rows in found.items()
            if labels[key] and (rows or key in OPEN)
        ]


def dig(findings: Findings, model: str, task: str, per_tab: int) -> Dig:
    """The panel of one cell (see ``Digger``, which makes many)."""
    return Digger(findings).dig(model, task, per_tab)


def command(model: str, task: str, key: str, total: int) -> str:
    """What lists the examples of an outcome in a terminal, in the folder of the report; empty where there are none."""
    if not total:
        return ""
    flags = [FLAGS[key]] if key in FLAGS else []
    return shlex.join(["traitscope", "ls", "examples", ".", "--task", task, "--model", model, *flags, "-n", str(total)])
