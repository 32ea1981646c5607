"""The examples behind the cells of a study, for whoever shows single ones: read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from traitscope.errors import TraitscopeError
from traitscope.records import Example, ExampleRecord
from traitscope.study import analysis
from traitscope.study.context import Context
from traitscope.texts import safe


@dataclass(frozen=True)
class StudyCells:
    """What ``findings.CellSource`` asks for, from the folder of every base model.

    Attributes:
        parts: by name of the base model those that have cells; rows of several are called ``base/row``.
    """

    parts: Mapping[str, Context]

    def records(self, model: str, task: str) -> Sequence[ExampleRecord]:
        """The outcomes of a cell, in the task's order.

        Raises:
            TraitscopeError: there is no such cell, or its files are damaged.
        """
        part, row = self._row(model)
        return part.folder.cells.read_records(row, task)

    def examples(self, task: str) -> Mapping[str, Example]:
        """The evaluation rows of a task by id, as the first base model has them.

        Raises:
            TraitscopeError: the task was never written, or its file is damaged.
        """
        part = next(iter(self.parts.values()))
        return {example.id: example for example in part.folder.read_task(task)["eval"]}

    def classes(self, task: str) -> tuple[str, ...] | None:
        """The task's class names, where all its rows share them."""
        return analysis.choice_classes(next(iter(self.parts.values()))).get(task)

    def _row(self, model: str) -> tuple[Context, str]:
        if len(self.parts) == 1:
            return next(iter(self.parts.values())), model
        base, _, row = model.partition("/")
        if base not in self.parts or not row:
            known = ", ".join(self.parts)
            raise TraitscopeError(
                f"there is no row {safe(model)!r}", where="model", fix=f"write base/row; bases: {known}"
            )
        return self.parts[base], row
