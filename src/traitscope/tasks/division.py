"""Which rows of a task may train and which may evaluate, each in an order that more rows only extend."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from traitscope.config.data import SplitPaths
from traitscope.config.task import TaskConfig
from traitscope.config.template import holds
from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean
from traitscope.tasks.controls import order_key
from traitscope.tasks.render import Renderer
from traitscope.tasks.rows import ReadRows, read_files, read_hub, rows_fingerprint

Part = Literal["train", "eval"]

EMBEDDED_ROWS: dict[Part, int] = {"train": 800, "eval": 200}
"""Rows of an embedded task where the study does not say how many."""


SHOT_POOL = 200
"""Solved examples are drawn from this many first train rows, so that they do not depend on how many train."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file, with an id that says where it stands."""

    id: str
    values: dict[str, Any]


@dataclass(slots=True)
class Tally:
    """What was counted on the way (see ``LoadReport``)."""

    rows: dict[str, int] = field(default_factory=dict)
    filtered: int = 0
    duplicates: int = 0
    available: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parts:
    """All rows that may train and that may evaluate, in their orders, and a fingerprint of their content."""

    train: list[Row]
    eval: list[Row]
    fingerprint: str


class Division:
    """Reads and divides one task's rows.

    Args:
        config: the task's settings.
        root: the folder that relative paths start from.
        renderer: says which rows ask the same question.
        where: gives the place of a key in the study file.
    """

    def __init__(self, config: TaskConfig, root: Path, renderer: Renderer, where: Callable[..., str]) -> None:
        self._config = config
        self._root = root
        self._renderer = renderer
        self._where = where
        self.tally = Tally()

    def parts(self) -> Parts:
        """The rows of both sides.

        Raises:
            TraitscopeError: if rows cannot be read, or the study's counts and settings cannot be met.
        """
        if self._config.data.embedded is not None:
            return self._embedded()
        return self._divided() if self._config.data.divided else self._separate()

    def _read(self, part: Part | None) -> tuple[list[Row], str]:
        """The rows of one part (or of the one that is divided) that ``where`` keeps."""
        data = self._config.data
        split: str | None = None
        if isinstance(data.splits, SplitPaths):
            names = getattr(data.splits, part or "train")
            split = names[0] if names else None
        elif data.splits is not None:
            split = data.splits
        if data.hub is not None:
            files = getattr(data.files, part or "train") if isinstance(data.files, SplitPaths) else data.files
            key = "files" if files else "splits" if data.splits else "hub"
            read = read_hub(data, split, self._where("data", key), files)
        else:
            paths = data.path
            if isinstance(paths, SplitPaths):
                paths = getattr(paths, part or "train")
                where = self._where("data", "path", part or "train")
            else:
                where = self._where("data", "path")
            assert isinstance(paths, tuple)
            read = read_files(paths, data, self._root, where, split)
        label = part or "all"
        self.tally.rows[label] = len(read.rows)
        numbered = [Row(f"{label}-{i}", _without_nan(row)) for i, row in enumerate(read.rows)]
        rows = [row for row in numbered if self._keeps(row.values, row.id)]
        self.tally.filtered += len(read.rows) - len(rows)
        if not rows:
            raise TraitscopeError(
                f"where drops all of the {len(read.rows)} rows",
                where=self._where("data", "where"),
                fix=f"the first row is {_first(read)}",
            )
        return rows, read.fingerprint

    def _keeps(self, row: dict[str, Any], name: str) -> bool:
        condition = self._config.data.where_
        if condition is None:
            return True
        where = f"{self._where('data', 'where')}, row {name}"
        if isinstance(condition, str):
            return holds(condition, row, where=where)
        for column, allowed in condition.items():
            if column not in row:
                raise TraitscopeError(
                    f"the rows have no column {column!r}",
                    where=where,
                    fix="the columns are: " + ", ".join(row),
                )
            values = allowed if isinstance(allowed, list) else [allowed]
            # Columns of csv files are text, so 1 in the study file also means "1".
            if row[column] not in values and str(row[column]) not in [str(v) for v in values]:
                return False
        return True

    def _embedded(self) -> Parts:
        from traitscope.tasks import embedded

        data = self._config.data
        assert data.embedded is not None
        if data.embedded not in embedded.NAMES:
            raise TraitscopeError(
                f"there is no embedded task {data.embedded!r}",
                where=self._where("data", "embedded"),
                fix=did_you_mean(data.embedded, embedded.NAMES),
            )
        sizes: dict[Part, int] = {
            "train": EMBEDDED_ROWS["train"] if data.train == "all" else data.train,
            "eval": EMBEDDED_ROWS["eval"] if data.eval is None or data.eval == "all" else data.eval,
        }
        parts: dict[Part, list[Row]] = {}
        for part, n in sizes.items():
            n = max(n, SHOT_POOL) if part == "train" and self._config.shots.n else n
            rows = embedded.generate(data.embedded, part, n, data.seed) if n else []
            kept = [Row(f"{part}-{i}", r) for i, r in enumerate(rows) if self._keeps(r, f"{part}-{i}")]
            self.tally.rows[part], self.tally.filtered = len(rows), self.tally.filtered + len(rows) - len(kept)
            parts[part] = kept
        asked = {self._renderer.asks(r.id, r.values) for r in parts["eval"]} if data.duplicates != "keep" else set()
        train = self._without(parts["train"], asked)
        # The generators have no version, so their first rows stand for their content.
        mark = rows_fingerprint([r for p in sizes for r in embedded.generate(data.embedded, p, 50, data.seed)])
        return Parts(train, parts["eval"], mark)

    def _separate(self) -> Parts:
        data = self._config.data
        parts: dict[Part, list[Row]] = {"train": [], "eval": []}
        marks = []
        for part in parts:
            if data.part_is_named(part):
                rows, mark = self._read(part)
                parts[part] = sorted(rows, key=lambda r: order_key(data.seed, r.id))
                marks.append(f"{part} {mark}")
        train = parts["train"]
        used = data.train != 0 or self._config.shots.n > 0
        if train and parts["eval"] and used and data.duplicates != "keep":
            # All eval rows count, not only the chosen ones: evaluating more rows never changes the training.
            asked = {self._renderer.asks(r.id, r.values) for r in parts["eval"]}
            train = self._without(train, asked)
        return Parts(train, parts["eval"], " ".join(marks))

    def _without(self, train: list[Row], asked: set[str]) -> list[Row]:
        kept = [r for r in train if self._renderer.asks(r.id, r.values) not in asked] if asked else train
        self.tally.duplicates = len(train) - len(kept)
        if self.tally.duplicates and self._config.data.duplicates == "refuse":
            raise TraitscopeError(
                f"{self.tally.duplicates} train rows ask what an eval row asks",
                where=self._where("data", "duplicates"),
                fix="write duplicates: drop, or remove them from the train file",
            )
        return kept

    def _divided(self) -> Parts:
        """One set of rows: eval takes from the front of a seeded order of questions, train from its back.

        Rows that ask the same question stand on one side only; eval takes one row per question, train one row
        per question first and the repeated ones after them. So both sides keep their rows when the other one grows.
        """
        data = self._config.data
        rows, mark = self._read(None)
        by_question: dict[str, list[Row]] = {}
        said: dict[str, str] = {}
        for row in sorted(rows, key=lambda r: order_key(data.seed, r.id)):
            question = row.id if data.duplicates == "keep" else self._renderer.asks(row.id, row.values)
            if question not in by_question:
                said[question] = question if data.duplicates == "keep" else self._renderer.question(row.id, row.values)
            by_question.setdefault(question, []).append(row)
        repeated = len(rows) - len(by_question)
        if repeated and data.duplicates == "refuse":
            raise TraitscopeError(
                f"{repeated} rows repeat the question of another row, so a division could part them",
                where=self._where("data", "duplicates"),
                fix="write duplicates: drop (equal questions then stay on one side)",
            )
        questions = sorted(by_question, key=lambda q: order_key(data.seed, "question", said[q]))
        n_eval = self._divided_eval(len(questions))
        eval_rows = [by_question[q][0] for q in questions[:n_eval]]
        groups = [by_question[q] for q in reversed(questions[n_eval:])]
        self.tally.duplicates = sum(len(by_question[q]) - 1 for q in questions[:n_eval])
        return Parts(list(_rounds(groups)), eval_rows, f"all {mark}")

    def _divided_eval(self, questions: int) -> int:
        data = self._config.data
        if data.eval == "all":
            if data.train not in (0, "all"):
                raise TraitscopeError(
                    "all rows cannot evaluate while some of them train",
                    where=self._where("data", "eval"),
                    fix="write a number, or train: 0",
                )
            return questions
        n = data.eval if data.eval is not None else (questions if data.train == 0 else min(1000, questions // 5))
        if n > questions:
            raise TraitscopeError(
                f"{n} eval rows are asked for and {questions} different ones are there",
                where=self._where("data", "eval"),
                fix=f"write eval: {questions} or less",
            )
        return n


def _rounds(groups: Sequence[Sequence[Row]]) -> Iterator[Row]:
    """The first row of every group, then every second one, and so on."""
    for index in range(max(map(len, groups), default=0)):
        yield from (group[index] for group in groups if index < len(group))


def _first(read: ReadRows) -> str:
    text = json.dumps(read.rows[0], ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:200] + "..."


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    """The row with None for not-a-number, which is how tables mark an empty cell in a column of numbers."""
    if any(isinstance(v, float) and math.isnan(v) for v in row.values()):
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
    return row
