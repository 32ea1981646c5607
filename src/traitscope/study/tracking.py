"""What a run tells its trackers: every optimiser step while it trains, scores as cells are committed, the matrix.

``tracking/<number>.json`` of the run folder remembers what was told, so that a run that goes on tells the rest of it to
the same tracker run. Each process that fills the folder at a time has a number of its own. None of it is part of any
fingerprint, and a tracker that fails costs a note, never the run.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope._version import __version__
from traitscope.errors import TraitscopeError
from traitscope.records import Score, StepRecord
from traitscope.store import Leases, fingerprint, write_atomic
from traitscope.store.seal import read_sealed, sealed
from traitscope.store.tables import read_history
from traitscope.study.sharing import without_places
from traitscope.tracking import Entry, TrackedRun, Tracker, make_tracker

if TYPE_CHECKING:
    import pandas as pd

    from traitscope.study.context import Context

FOLDER = "tracking"
# Of a larger study the matrix alone is told: trackers draw one chart for each number.
MOST_CELLS = 5_000
SAVE_S = 5.0


def trackers_of(study: Context) -> dict[str, Tracker]:
    """The trackers that a study asks for, by name.

    Raises:
        TraitscopeError: there is none of a name, or its library is missing.
    """
    given = study.tracked_by
    where = study.config.where("report_to") if given is None else "--report-to"
    return {name: make_tracker(name, where) for name in (study.config.report_to if given is None else given)}


@dataclass
class Told:
    """What a tracker run knows already.

    Attributes:
        id: of the tracker run.
        steps: adapter -> its fingerprint and the last step that was told.
        cells: unit -> mark of the scores that were told.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(4))
    steps: dict[str, tuple[str, int]] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Any) -> Told:
        """What ``tracking/<number>.json`` says of a tracker; a new one where it says nothing."""
        try:
            steps = {str(name): (str(mark), int(step)) for name, (mark, step) in data["steps"].items()}
            return cls(str(data["id"]), steps, {str(unit): str(mark) for unit, mark in data["cells"].items()})
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()


class Tracking:
    """The trackers of one process that fills a folder.

    Args:
        trackers: by name, not started; none: nothing is told.
        path: the file that remembers what was told.
        marks: the fingerprints of today's adapters by name.
        note: tells the user that a tracker is given up.
        cells: whether scores are told one by one.
    """

    def __init__(
        self,
        trackers: Mapping[str, Tracker] | None = None,
        path: Path = Path(),
        marks: Mapping[str, str] | None = None,
        note: Callable[[str], None] = lambda text: None,
        *,
        cells: bool = True,
    ) -> None:
        self._trackers = dict(trackers or {})
        self._path, self._marks, self._note, self._cells = path, dict(marks or {}), note, cells
        found: dict[str, Any] = {}
        try:
            found = read_sealed(path, fix="delete it") if self._trackers else {}
        except FileNotFoundError:
            pass
        except (OSError, TraitscopeError):
            note(f"{FOLDER}/{path.name} is damaged: another tracker run begins and is told all; the earlier one stays")
        self._told = {name: Told.read(found.get(name)) for name in self._trackers}
        self._others = {name: kept for name, kept in found.items() if name not in self._trackers and name != "format"}
        for name, told in self._told.items():
            # Of adapters made under other settings: their curves are another run's.
            if any(self._marks.get(model) not in (None, mark) for model, (mark, _) in told.steps.items()):
                self._told[name] = Told()
        self._saved = time.monotonic()

    def __bool__(self) -> bool:
        return bool(self._trackers)

    def start(self, name: str, group: str, config: Mapping[str, Any]) -> None:
        """Starts every tracker, or goes on with its run of an earlier time."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._save()
        for tracker, told in self._told.items():
            run = TrackedRun(id=told.id, name=name, group=group, config=config, folder=self._path.parent)
            self._try(tracker, lambda one, run=run: one.start(run))  # type: ignore[misc]

    def steps(self, taken: Sequence[tuple[str, StepRecord]]) -> None:
        """Tells optimiser steps by their adapters' names; those that were told before are left out."""
        for tracker in list(self._trackers):
            told, entries = self._told[tracker], []
            for name, record in taken:
                mark, last = self._marks.get(name, ""), told.steps.get(name, ("", -1))[1]
                if record.step > last:
                    told.steps[name] = mark, record.step
                    values = {"loss": record.loss, "lr": record.lr, "grad_norm": record.grad_norm}
                    numbers = {f"train/{key}": float(value) for key, value in values.items() if value is not None}
                    entries.append(Entry(name, record.step, numbers))
            if entries:
                self._try(tracker, lambda one, entries=entries: one.log(entries))  # type: ignore[misc]
        self._save_at_times()

    def adapter(self, name: str, history: Sequence[StepRecord]) -> None:
        """Tells what is still untold of a finished adapter's steps."""
        if self._trackers:
            self.steps([(name, record) for record in history])

    def cell(self, model: str, task: str, scores: Sequence[Score]) -> None:
        """Tells the scores of a committed cell, at its adapter's last step."""
        if not self._trackers or not self._cells:
            return
        unit, mark = f"{model}/{task}", fingerprint([[s.metric, float(s.value), int(s.n)] for s in scores])[:12]
        for tracker in list(self._trackers):
            told = self._told[tracker]
            if told.cells.get(unit) != mark:
                told.cells[unit] = mark
                values = {f"eval/{task}/{score.metric}": float(score.value) for score in scores}
                entry = Entry(model, max(0, told.steps.get(model, ("", 0))[1]), values)
                self._try(tracker, lambda one, entry=entry: one.log([entry]))  # type: ignore[misc]
        self._save_at_times()

    def lacks(self, adapters: Sequence[str], cells: Sequence[tuple[str, str]]) -> bool:
        """Whether anything of these was never told."""
        return any(
            any(name not in told.steps for name in adapters)
            or (self._cells and any(f"{model}/{task}" not in told.cells for model, task in cells))
            for told in self._told.values()
        )

    def finish(self, table: pd.DataFrame | None, *, failed: bool) -> None:
        """Tells the matrix, models x tasks, and ends every tracker."""
        for tracker in list(self._trackers):
            if table is not None:
                rows = [[None if value != value else value for value in row] for row in table.to_numpy().tolist()]
                self._try(tracker, lambda one, rows=rows: one.table("matrix", list(table.columns), rows))  # type: ignore[misc]
            self._try(tracker, lambda one: one.finish(failed=failed))
        if self._path.parent.is_dir() and self._told:
            self._save()

    def _try(self, name: str, what: Callable[[Tracker], None]) -> None:
        tracker = self._trackers.get(name)
        if tracker is None:
            return
        try:
            what(tracker)
        except (Exception, SystemExit) as error:  # whatever a foreign package does
            del self._trackers[name]
            lines = str(error).strip().splitlines()
            self._note(f"{name} failed and is told no more: {type(error).__name__}{f': {lines[0]}' if lines else ''}")

    def _save_at_times(self) -> None:
        if self._trackers and time.monotonic() - self._saved >= SAVE_S:
            # First what it remembers as told, then that it was.
            for name in list(self._trackers):
                self._try(name, lambda one: one.flush())
            self._save()

    def _save(self) -> None:
        self._saved = time.monotonic()
        content = {name: {"id": t.id, "steps": t.steps, "cells": t.cells} for name, t in self._told.items()}
        with suppress(TraitscopeError):  # a memory: without it a resumed run tells some steps again
            write_atomic(self._path, sealed({**self._others, **content}, self._path.name, indent=None))


@contextmanager
def tracked(study: Context, trackers: Mapping[str, Tracker], marks: Mapping[str, str]) -> Iterator[Tracking]:
    """The trackers of a run, started, told what the folder has and they lack, and ended.

    Args:
        trackers: of ``trackers_of``. marks: the fingerprints of today's adapters by name.
    """
    if not trackers:
        yield Tracking()
        return
    root = study.folder.root / FOLDER
    # Apart from the units' leases: who tells a tracker is not for that at work on a unit.
    with Leases(root / "leases", stale_s=study.stale_s, beat_s=min(5.0, study.stale_s / 6)) as leases:
        number = next(n for n in count() if leases.acquire(str(n)))
        name = study.config.study if number == 0 else f"{study.config.study}-{number + 1}"
        tracking = Tracking(trackers, root / f"{number}.json", marks, study.report_to.note, cells=_few(study))
        tracking.start(name, study.config.study, _shared(study))
        if number == 0:
            _catch_up(study, tracking, marks)
        failed = True
        try:
            yield tracking
            failed = False
        finally:
            table = None
            with suppress(TraitscopeError):
                table = _matrix(study)
            tracking.finish(table, failed=failed)


def told_all(study: Context, trackers: Mapping[str, Tracker], marks: Mapping[str, str]) -> bool:
    """Whether the first tracker run of a folder with nothing missing knows all of it."""
    if not trackers:
        return True
    tracking = Tracking(trackers, study.folder.root / FOLDER / "0.json", marks, cells=_few(study))
    trained = [name for name in marks if study.folder.adapter(name) is not None]
    return not tracking.lacks(trained, [(head.model, head.task) for head in study.cells()])


def _few(study: Context) -> bool:
    """Whether scores are told one by one."""
    return len(study.models()) * len(study.config.target_names()) <= MOST_CELLS


def _catch_up(study: Context, tracking: Tracking, marks: Mapping[str, str]) -> None:
    """Tells what earlier runs left in the folder and this tracker run was never told."""
    for name in marks:
        with suppress(TraitscopeError):  # what is damaged is made anew, and told then
            if study.folder.adapter(name) is not None:
                tracking.adapter(name, read_history(study.folder.adapter_path(name) / "train.parquet"))
    for (model, task), rows in study.score_table().groupby(["model", "task"], sort=False):
        columns = ("metric", "value", "stderr", "n", "primary", "higher_is_better")
        tracking.cell(str(model), str(task), [Score(*row) for row in rows[list(columns)].itertuples(index=False)])


def _matrix(study: Context) -> pd.DataFrame:
    """Primary scores, models down, tasks across; the models in a column."""
    table = study.score_table()
    table = table[table["primary"].astype(bool)]
    wide = table.pivot(index="model", columns="task", values="value")
    models = [name for name in study.models() if name in wide.index]
    tasks = [name for name in study.config.target_names() if name in wide.columns]
    wide = wide.reindex(index=models, columns=tasks).reset_index().astype(object)
    wide.columns.name = None
    return wide


def _shared(study: Context) -> dict[str, Any]:
    """Of a study's settings those that may be sent: no rows, no prompts, no places of this machine."""
    config = study.config
    told = {
        "study": config.study,
        "base": study.base_name,
        "recipe": config.recipe.model_dump(mode="json"),
        "sources": [source.name for source in config.resolved_sources()],
        "targets": list(config.target_names()),
        "mixes": list(config.mixes),
        "traitscope": __version__,
    }
    found: dict[str, Any] = json.loads(without_places(json.dumps(told), config))
    return found
