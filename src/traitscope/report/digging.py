"""From a cell to its examples: what a panel shows of one model on one task, its numbers beside its base's."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.records import Example, ExampleRecord
from traitscope.report.amounts import score_text, unit_of
from traitscope.report.changes import Changes
from traitscope.report.counted import cell_density, confusion, invalid_note
from traitscope.report.numbers import by_cell
from traitscope.report.panel import Dig, Tab
from traitscope.report.shown import Shown, evenly, tabs
from traitscope.texts import count_of, short

__all__ = ["Dig", "Digger", "Shown", "Tab", "dig", "tabs"]

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
# Columns of a name among the facts.
SIGNS = 48
RELATIONS = {
    "own": "the task it was trained on",
    "copy": "a task of which it was trained on a copy",
    "transfer": "a task it was not trained on",
    "model": "not trained here",
}
KINDS = {"source": "adapter of", "control": "control", "mix": "mix"}
NO_BASE = "The base was not measured on this task"
UNREAD = {
    "imported": "The score was read from a file, which holds no examples.",
    "predicted": "This cell was not measured: its score is a forecast, and there are no examples.",
    "missing": "This cell was not measured.",
}


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
        return by_cell(self.changes.effects, "cells")

    def base_of(self, model: str) -> str | None:
        """The row that a row is compared with; None for a base and for one that has none."""
        i = self.changes.row[model]
        b = int(self.scores.base_index_I[i])
        return None if b in (-1, i) else self.scores.models[b]

    def compared(self, model: str, task: str) -> str | None:
        """The same where it has a score on the task."""
        base = self.base_of(model)
        if base is None or np.isnan(self.scores.scores_IN[self.changes.row[base], self.changes.column[task]]):
            return None
        return base

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
        status, base = str(self.scores.status_IN[i, n]), self.compared(model, task)
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
        base = self.compared(model, task)
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
            told = f"The base answered {count_of(len(base), 'example')}, the model {len(records)}"
            notes.append(f"{told}: they are compared over the {len(kept)} that both answered.")
        return [known[record.id] for record in kept], kept

    def _facts(self, i: int, n: int, status: str) -> list[str]:
        role, source = self.scores.roles_I[i], self.scores.sources_I[i]
        seed = self.scores.rows["seed"].iloc[i]
        facts = []
        if role.kind == "base":
            facts.append("the base model")
        elif role.kind in KINDS:
            of = f" of {short(role.parent, SIGNS)}" if role.kind == "control" and role.parent else ""
            facts.append(f"{KINDS[role.kind]}{of or ' ' + short(str(source), SIGNS)}")
            if not pd.isna(seed):
                facts.append(f"seed {int(seed)}")
        if role.kind != "base":
            facts.append(RELATIONS[role.relation(self.scores.tasks[n])])
        examples = int(self.scores.n_IN[i, n])
        facts.append(f"{status}, {count_of(examples, 'example')}" if examples else status)
        if others := self._other_seeds(i, n):
            facts.append(f"other seeds: {others}")
        return facts

    def _other_seeds(self, i: int, n: int) -> str:
        source, base = self.scores.sources_I[i], int(self.scores.base_index_I[i])
        if source is None:
            return ""
        unit = unit_of(self.scores.units[self.scores.tasks[n]])
        scores = [score_text(float(score), unit) or "not measured" for score in self.scores.scores_IN[:, n]]
        found = [
            f"{short(self.scores.models[j], SIGNS)} {scores[j]}"
            for j, other in enumerate(self.scores.sources_I)
            if j != i and other == source and int(self.scores.base_index_I[j]) == base
        ]
        return ", ".join(found)

    def _notes(self, model: str, task: str, status: str) -> list[str]:
        notes = [UNREAD[status]] if status in UNREAD else []
        if status != "missing" and self.base_of(model) is not None and self.compared(model, task) is None:
            notes.append(f"{NO_BASE}: there is no gain.")
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
