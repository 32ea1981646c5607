"""The cells of a run folder, ``cells/<model>/<task>/``, and one index per model.

A cell's folder is the committed unit and the truth: ``examples.parquet`` and, as its commit mark,
``cell.json``. ``cells/<model>/index.json`` gathers the scores of a model's cells in columns, so that a
study of 200,000 cells opens in seconds. It is a cache: each entry carries the inode, size and time of the
``cell.json`` it was made from and is read anew where they differ; the file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.records import Cell, ExampleRecord, Score
from traitscope.store.files import Staged, read_file, sweep, write_atomic
from traitscope.store.seal import Damaged, read_sealed, sealed
from traitscope.store.shards import gathered
from traitscope.store.tables import read_parquet, records_bytes, records_from

if TYPE_CHECKING:
    import pandas as pd

# How long a cell may be without its mark while it is replaced, and how often that is looked at.
_REPLACING_S, _GLANCE_S = 2.0, 0.002
REDO = "traitscope run: this cell alone goes to quarantine/ and is computed anew"


@dataclass(frozen=True, slots=True)
class CellStamp:
    """What a cell was made from.

    Attributes:
        fingerprint: of ``inputs``: model, prompt, answer form, decoding; never the number of rows.
        scoring: fingerprint of parser and metrics, which can be redone without a model.
        rows: fingerprint of the rendered rows, in order, that the cell holds.
        base: name of the base model.
        inputs: what ``fingerprint`` was computed from, kept so that a change can be named.
    """

    fingerprint: str
    scoring: str
    rows: str
    base: str
    inputs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CellHead:
    """What the index knows of a committed cell."""

    model: str
    task: str
    source: str | None
    seed: int | None
    fingerprint: str
    scoring: str
    rows: str
    n: int
    examples_sha256: str


class CellStore:
    """Reads and writes the cells under one folder (``<run folder>/cells``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, model: str, task: str) -> Path:
        """The cell's folder."""
        return self.folder / model / task

    def records_path(self, model: str, task: str) -> str:
        """Where the cell's records lie; as text, which is made sooner where there are 200,000 of them."""
        return f"{self.folder}/{model}/{task}/examples.parquet"

    def stage(self, cell: Cell, stamp: CellStamp) -> Staged:
        """Writes a cell under temporary names; ``Staged.commit`` makes it count."""
        folder = self.path(cell.model, cell.task)
        sweep(folder)
        examples = records_bytes(cell.records)
        head = {
            "model": cell.model,
            "source": cell.source,
            "seed": cell.seed,
            "task": cell.task,
            "base": stamp.base,
            "n": len(cell.records),
            "scores": [asdict(score) for score in cell.scores],
            "summary": cell.summary,
            "fingerprint": stamp.fingerprint,
            "scoring": stamp.scoring,
            "rows": stamp.rows,
            "examples_sha256": hashlib.sha256(examples).hexdigest(),
            "inputs": stamp.inputs,
        }
        return Staged({folder / "examples.parquet": examples, folder / "cell.json": sealed(head, "cell.json")})

    def read_json(self, model: str, task: str) -> dict[str, Any]:
        """``cell.json`` as it stands.

        Raises:
            TraitscopeError: there is no such cell, or the file is damaged.
        """
        return _read_head(self.path(model, task) / "cell.json", model, task)

    def head(self, model: str, task: str) -> CellHead | None:
        """The commit mark of one cell as it stands on the disk, or None if the cell is not committed."""
        path = self.path(model, task) / "cell.json"
        if not path.exists():
            return None
        head = _read_head(path, model, task)
        return CellHead(model, task, head["source"], head["seed"], *(head[name] for name in _CELL_COLUMNS[2:]))

    def read_records(self, model: str, task: str) -> list[ExampleRecord]:
        """The example records of a committed cell, checked against the hash in ``cell.json``."""
        return records_from(self._whole(model, task)[1])

    def read_frame(self, model: str, task: str) -> pd.DataFrame:
        """The example records as a table, one row per example."""
        return self._whole(model, task)[1].to_pandas()

    def gather(self, model: str, marks: Mapping[str, str]) -> dict[str, Any]:
        """The records of many cells of a model as Arrow tables, by task (see ``shards``).

        Args:
            marks: ``examples_sha256`` of the cells, by task.
        """
        return gathered(self.folder / model, marks, lambda task: self._whole(model, task)[1])

    def read(self, model: str, task: str) -> Cell:
        """A committed cell with its records."""
        head, table = self._whole(model, task)
        return Cell(
            model=head["model"],
            source=head["source"],
            seed=head["seed"],
            task=head["task"],
            scores=tuple(Score(**score) for score in head["scores"]),
            records=tuple(records_from(table)),
            summary=head["summary"],
        )

    def _whole(self, model: str, task: str) -> tuple[dict[str, Any], Any]:
        """``cell.json`` and the records that it was made from, though another process may be replacing the two."""
        path = self.path(model, task) / "examples.parquet"
        patience = time.monotonic() + (_REPLACING_S if path.parent.is_dir() else 0.0)
        data = None
        stamp, head = self._head_now(model, task)
        while time.monotonic() < patience:
            with suppress(FileNotFoundError):
                data = read_file(path)
            if head is not None and data is not None and hashlib.sha256(data).hexdigest() == head["examples_sha256"]:
                return head, read_parquet(data, where=str(path), fix=REDO)
            # While a cell is replaced its mark is gone for a moment, and is another file then, whatever it says.
            before, (stamp, head) = stamp, self._head_now(model, task)
            if stamp is not None and stamp == before:
                break
            time.sleep(_GLANCE_S)
        self.read_json(model, task)
        differs = "is not the file that cell.json was made from (sha256 differs)"
        what = "is missing beside its cell.json" if not path.exists() else differs
        raise Damaged(what, where=str(path), fix=REDO)

    def _head_now(self, model: str, task: str) -> tuple[tuple[int, int] | None, dict[str, Any] | None]:
        """Which file ``cell.json`` is (inode, time), and what it says; None while there is none."""
        try:
            stat = (self.path(model, task) / "cell.json").stat()
            return (stat.st_ino, stat.st_mtime_ns), self.read_json(model, task)
        except (FileNotFoundError, _NoCell):
            return None, None

    def index(self, *, anew: bool = False) -> CellIndex:
        """All committed cells; reads only the ``cell.json`` files that changed since the last time, or all ``anew``."""
        models, damaged = {}, {}
        if self.folder.is_dir():
            for entry in sorted(os.scandir(self.folder), key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    model = _ModelIndex.refreshed(Path(entry.path), anew)
                    damaged.update({(entry.name, task): what for task, what in model.damaged.items()})
                    if model.cells:
                        models[entry.name] = model
        return CellIndex(models, damaged)


_CELL_COLUMNS = ("task", "stamp", "fingerprint", "scoring", "rows", "n", "examples_sha256")
_SCORE_COLUMNS = ("task", "metric", "value", "stderr", "n", "primary", "higher_is_better")


class _ModelIndex:
    """The cells of one model: heads by task, and their scores in columns."""

    def __init__(self, model: str, source: str | None, seed: int | None) -> None:
        self.model = model
        self.source = source
        self.seed = seed
        self.cells: dict[str, list[Any]] = {}
        self.damaged: dict[str, str] = {}
        self.scores: dict[str, list[Any]] = {name: [] for name in _SCORE_COLUMNS}

    @classmethod
    def refreshed(cls, folder: Path, anew: bool) -> _ModelIndex:
        old = None if anew else cls._load(folder)
        stamps: dict[str, list[int]] = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    try:
                        stat = os.lstat(f"{entry.path}/cell.json")
                    except FileNotFoundError:
                        continue
                    stamps[entry.name] = [stat.st_ino, stat.st_size, stat.st_mtime_ns]
        if old is not None and {task: cell[0] for task, cell in old.cells.items()} == stamps:
            return old
        fresh = cls(folder.name, None, None)
        scores_of = old._scores_by_task() if old is not None else {}
        for task in sorted(stamps):
            known = old.cells.get(task) if old is not None else None
            if old is not None and known is not None and known[0] == stamps[task]:
                fresh.source, fresh.seed = old.source, old.seed
                fresh.cells[task] = known
                for row in scores_of.get(task, []):
                    fresh._add_score(row)
            else:
                try:
                    fresh._add(task, stamps[task], _read_head(folder / task / "cell.json", folder.name, task))
                except Damaged as error:
                    fresh.damaged[task] = error.what
                except _NoCell:
                    continue  # it is replaced at this moment
        if not anew:
            fresh._save(folder)
        return fresh

    def only(self, kept: Container[tuple[str, str]]) -> _ModelIndex:
        found = _ModelIndex(self.model, self.source, self.seed)
        found.cells = {task: cell for task, cell in self.cells.items() if (self.model, task) in kept}
        if len(found.cells) == len(self.cells):
            return self
        rows = [row for row in zip(*self.scores.values(), strict=True) if row[0] in found.cells]
        found.scores = {name: [row[i] for row in rows] for i, name in enumerate(_SCORE_COLUMNS)}
        return found

    def _add(self, task: str, stamp: list[int], head: dict[str, Any]) -> None:
        self.source, self.seed = head["source"], head["seed"]
        self.cells[task] = [stamp, *(head[name] for name in _CELL_COLUMNS[2:])]
        for score in head["scores"]:
            self._add_score([task, *(score[name] for name in _SCORE_COLUMNS[1:])])

    def _add_score(self, row: list[Any]) -> None:
        for name, value in zip(_SCORE_COLUMNS, row, strict=True):
            self.scores[name].append(value)

    def _scores_by_task(self) -> dict[str, list[list[Any]]]:
        found: dict[str, list[list[Any]]] = {}
        for row in zip(*self.scores.values(), strict=True):
            found.setdefault(row[0], []).append(list(row))
        return found

    @classmethod
    def _load(cls, folder: Path) -> _ModelIndex | None:
        try:
            data = read_sealed(folder / "index.json", fix="delete it")
            if data["model"] != folder.name:
                return None
            index = cls(folder.name, data["source"], data["seed"])
            columns = [data["cells"][name] for name in _CELL_COLUMNS]
            index.cells = {task: list(rest) for task, *rest in zip(*columns, strict=True)}
            index.scores = {name: data["scores"][name] for name in _SCORE_COLUMNS}
        except (OSError, ValueError, KeyError, TypeError, TraitscopeError):
            return None
        return index

    def _save(self, folder: Path) -> None:
        cells: dict[str, list[Any]] = {name: [] for name in _CELL_COLUMNS}
        for task, row in self.cells.items():
            for name, value in zip(_CELL_COLUMNS, [task, *row], strict=True):
                cells[name].append(value)
        data = {
            "model": self.model,
            "source": self.source,
            "seed": self.seed,
            "cells": cells,
            "scores": self.scores,
        }
        try:
            write_atomic(folder / "index.json", sealed(data, "index.json", indent=None))
        except TraitscopeError:
            return  # a cache: a folder that cannot be written is still read


class CellIndex:
    """The committed cells of a study, by model and task, without their records.

    Args:
        models: their indexes.
        damaged: cells whose ``cell.json`` is not what was written, and what is wrong; they are not among the others.
    """

    def __init__(self, models: dict[str, _ModelIndex], damaged: Mapping[tuple[str, str], str]) -> None:
        self._models = models
        self.damaged = dict(damaged)

    def only(self, kept: Container[tuple[str, str]]) -> CellIndex:
        """Some of the cells, by (model, task)."""
        models = {name: model.only(kept) for name, model in self._models.items()}
        return CellIndex({name: model for name, model in models.items() if model.cells}, {})

    def __len__(self) -> int:
        return sum(len(model.cells) for model in self._models.values())

    def __iter__(self) -> Iterator[CellHead]:
        for model in self._models:
            for task in self._models[model].cells:
                head = self.get(model, task)
                assert head is not None
                yield head

    def rows(self, model: str, task: str) -> int:
        """How many of the task's rows the cell was evaluated on; 0 where it is not committed."""
        found = self.get(model, task)
        return 0 if found is None else found.n

    def marks(self) -> dict[str, dict[str, str]]:
        """``examples_sha256`` of every cell, by model and task."""
        at = _CELL_COLUMNS.index("examples_sha256") - 1
        return {name: {task: row[at] for task, row in model.cells.items()} for name, model in self._models.items()}

    @property
    def total_rows(self) -> int:
        """Records of all cells together."""
        at = _CELL_COLUMNS.index("n") - 1
        return sum(row[at] for model in self._models.values() for row in model.cells.values())

    def get(self, model: str, task: str) -> CellHead | None:
        """The cell's head, or None if it is not committed."""
        found = self._models.get(model)
        row = found.cells.get(task) if found is not None else None
        if found is None or row is None:
            return None
        return CellHead(model, task, found.source, found.seed, *row[1:])

    def table(self) -> pd.DataFrame:
        """All scores, long: model, source, seed, and the columns of ``records.Score`` by task."""
        import numpy as np
        import pandas as pd

        columns: dict[str, list[Any]] = {name: [] for name in _SCORE_COLUMNS}
        counts = []
        for model in self._models.values():
            counts.append(len(model.scores["task"]))
            for name in _SCORE_COLUMNS:
                columns[name].extend(model.scores[name])
        per_model = list(self._models.values())
        repeat = np.repeat(np.arange(len(per_model)), counts)
        frame = pd.DataFrame(columns)
        frame["value"] = frame["value"].astype(float)
        frame["stderr"] = frame["stderr"].astype(float)
        for column, name in enumerate(("model", "source", "seed")):
            values = pd.Series([getattr(model, name) for model in per_model], dtype=object).to_numpy()
            frame.insert(column, name, values[repeat] if counts else [])
        frame["seed"] = frame["seed"].astype("Int64")
        return frame


class _NoCell(TraitscopeError):
    """There is no such cell, or not at this moment."""


def _read_head(path: Path, model: str, task: str) -> dict[str, Any]:
    try:
        head = read_sealed(path, fix=REDO)
    except FileNotFoundError:
        raise _NoCell("there is no such cell", where=str(path), fix="traitscope ls cells lists them") from None
    if any(key not in head for key in ("model", "source", "seed", "task", "scores", *_CELL_COLUMNS[2:])):
        raise Damaged("is damaged: not a cell (keys are missing)", where=str(path), fix=REDO)
    if (head["model"], head["task"]) != (model, task):
        raise Damaged(f"is the cell of {head['model']} on {head['task']}", where=str(path), fix=REDO)
    return head
