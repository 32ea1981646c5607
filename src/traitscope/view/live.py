"""What goes on in a run folder: units done, work under way, time left, losses; told without listing its cells."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.store.log import log_line
from traitscope.store.pulse import Pulse, read_pulses, workers
from traitscope.study.planning import duration
from traitscope.study.state import OTHERWISE
from traitscope.study.units import adapter_names
from traitscope.texts import count_of

if TYPE_CHECKING:
    from traitscope.study import Study

Mark = tuple[tuple[str, int, int, int], ...]
# What changes when a cell lands or the study is another; what other verbs have found.
_LANDS = ("run.jsonl", "study.yaml", "lock.json")
_FOUND = ("analysis/inputs.json",)


def files_mark(root: Path, names: Iterable[str]) -> Mark:
    """Inode, size and time of some files of a folder: while it is the same, they are."""
    found = []
    for name in names:
        try:
            stat = (root / name).stat()
        except OSError:
            continue
        found.append((name, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


@dataclass
class Log:
    """``run.jsonl`` as it grows: only what was added is read.

    Attributes:
        landed: cells that it names since ``forget``, or since it was begun.
        began: when the last run began to evaluate, in seconds since the epoch: its last event before its first cell.
        times: when cells landed since.
    """

    path: Path
    landed: set[str] = field(default_factory=set)
    began: float = 0.0
    times: list[float] = field(default_factory=list)
    _inode: int = 0
    _place: int = 0

    def read(self) -> None:
        """Takes in what was added; a log that is another file than before is read from its beginning."""
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                if stat.st_ino != self._inode or stat.st_size < self._place:
                    self._inode, self._place = stat.st_ino, 0
                file.seek(self._place)
                data = file.read(stat.st_size - self._place)
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._place += len(whole)
        for line in whole.splitlines():
            told = log_line(line)
            if told is None:
                continue
            if told["event"] == "cell":
                self.landed.add(str(told.get("unit")))
                self.times.append(_seconds(told["time"]))
            elif told["event"] in ("start", "adapter"):
                self.times, self.began = [], _seconds(told["time"])

    def pace(self) -> float | None:
        """Seconds that a cell took in the last run; None before the first one, and where its beginning is not known."""
        return max(0.0, max(self.times) - self.began) / len(self.times) if self.times and self.began else None


def _seconds(time: Any) -> float:
    try:
        return datetime.fromisoformat(str(time)).timestamp()
    except ValueError:
        return 0.0


@dataclass(frozen=True, slots=True)
class Now:
    """How far a study is at this moment.

    Attributes:
        adapters, cells: how many of how many are there.
        busy: how many units live processes hold.
        pulses: what those processes told last.
        left_s: seconds until all is there, as far as can be told; None where nothing tells.
        in_training: what of the adapters that are not there is trained, in adapters.
        changed: adapters and cells that the study was changed under: not among those that are there.
    """

    adapters: tuple[int, int]
    cells: tuple[int, int]
    busy: int
    pulses: tuple[Pulse, ...]
    left_s: float | None
    in_training: float = 0.0
    changed: tuple[int, int] = (0, 0)

    @property
    def complete(self) -> bool:
        """Whether every adapter and every cell is there."""
        return self.adapters[0] >= self.adapters[1] and self.cells[0] >= self.cells[1]

    def says(self) -> str:
        """All of it in one line."""
        (trained, adapters), (done, cells) = self.adapters, self.cells
        if self.complete:
            there = f"All {count_of(adapters, 'adapter')} and {count_of(cells, 'cell')} are there"
            return f"{there}; a run is at work." if self.busy else f"{there}."
        said = f"{trained} of {count_of(adapters, 'adapter')} trained, {done} of {count_of(cells, 'cell')} evaluated"
        if not self.busy and any(self.changed):
            words = zip(self.changed, ("adapter", "cell"), strict=True)
            made = " and ".join(count_of(n, word) for n, word in words if n)
            there = f"{said}. The study was changed since {made} were made, and traitscope run refuses that"
            return f"{there}: {OTHERWISE}."
        if not self.busy:
            return f"{said}. No run is at work here: traitscope run makes the rest."
        if self.left_s is not None:
            return f"{said}, about {duration(self.left_s)} left."
        # How long cells take is not known before the first; the training under way tells its own time.
        training = [pulse.left_s for pulse in self.pulses if pulse.losses]
        return f"{said}; training has about {duration(max(training))} left." if training else f"{said}."

    def parts(self) -> list[str]:
        """What each process is at, a line each."""
        return [
            f"{_work(pulse)}: {pulse.done:,.0f} of {pulse.total:,.0f} tokens, {duration(pulse.left_s)} left"
            for pulse in self.pulses
        ]

    def to_json(self) -> dict[str, Any]:
        """As the page's script takes it."""
        losses = [
            {"name": name, "says": f"step {points[-1][0]}, {points[-1][1]:.3f} nats", "points": points}
            for pulse in self.pulses
            for name, points in pulse.losses.items()
            if points
        ]
        return {
            "says": self.says(),
            "done": round(self.adapters[0] + self.in_training + self.cells[0], 2),
            "total": self.adapters[1] + self.cells[1],
            "parts": self.parts(),
            "losses": losses,
        }


class Folder:
    """One run folder that is looked on.

    Args:
        study: whose; only its names and its place are used.
    """

    def __init__(self, study: Study) -> None:
        self.root = study.folder.root
        self.follow(study)
        self._leases = study.folder.leases()
        self._log = Log(self.root / "run.jsonl")
        self._known: set[str] = set()
        self._changed: tuple[Set[str], int] = (set(), 0)

    def follow(self, study: Study) -> None:
        """Takes over the names of a study that was opened again: its file may have changed."""
        self.adapters = [*adapter_names(study.config)]
        self.n_cells = len(study.models()) * len(study.config.target_names())

    def any_cell(self) -> bool:
        """Whether anything was ever evaluated here."""
        return (self.root / "cells").is_dir() and any((self.root / "cells").glob("*/*/cell.json"))

    def mark(self) -> Mark:
        """Changes when a cell lands, or the study file is another."""
        return files_mark(self.root, _LANDS)

    def found_mark(self) -> Mark:
        """Changes when findings are made."""
        return files_mark(self.root, _FOUND)

    def begin(self) -> None:
        """Before the cells are listed: those that land from here on are counted by the log."""
        self._log.read()
        self._log.landed = set()

    def know(self, cells: set[str], changed: tuple[Set[str], int] = (frozenset(), 0)) -> None:
        """After they were: the units that there are; adapters and how many cells the study was changed under."""
        self._known, self._changed = cells, changed

    def busy(self) -> int:
        """How many units live processes hold."""
        return len(workers(self._leases))

    def now(self) -> Now:
        """How far it is."""
        self._log.read()
        old, old_cells = self._changed
        there = {
            name for name in self.adapters if name not in old and (self.root / "adapters" / name / "unit.json").exists()
        }
        done = min(self.n_cells, len(self._known | self._log.landed))
        pulses = tuple(read_pulses(self._leases))
        adapters, cells = (len(there), len(self.adapters)), (done, self.n_cells)
        left = _left(adapters, cells, pulses, self._log.pace())
        in_training = sum(_in_training(pulse, there) for pulse in pulses)
        return Now(adapters, cells, self.busy(), pulses, left, in_training, (len(old), old_cells))


def _in_training(pulse: Pulse, there: Set[str]) -> float:
    """What of a bank's adapters that are not there is trained, in adapters: by the tokens of the whole bank."""
    if not pulse.losses or pulse.total <= 0:
        return 0.0
    waiting = len(pulse.losses.keys() - there)
    done = len(pulse.losses) * min(1.0, pulse.done / pulse.total) - (len(pulse.losses) - waiting)
    return min(float(waiting), max(0.0, done))


def _left(
    adapters: tuple[int, int], cells: tuple[int, int], pulses: Iterable[Pulse], pace: float | None
) -> float | None:
    """Seconds left: of the trainings under way, and of the missing cells at the pace of those that landed."""
    training = [pulse.left_s for pulse in pulses if pulse.losses]
    missing = cells[1] - cells[0]
    if (adapters[0] < adapters[1] and not training) or (missing and pace is None):
        return None
    return max(training, default=0.0) + missing * (pace or 0.0)


def together(folders: Mapping[str, Folder]) -> Now:
    """Of the run folders of several base models, by name: units added, what is under way with the name before."""
    every = {name: folder.now() for name, folder in folders.items()}
    if len(every) == 1:
        return next(iter(every.values()))

    def added(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
        done, total = zip(*pairs, strict=True)
        return sum(done), sum(total)

    pulses = tuple(
        Pulse(
            f"{name}/{p.unit}",
            *(p.done, p.total, p.per_s, p.left_s),
            {f"{name}/{adapter}": points for adapter, points in p.losses.items()},
        )
        for name, now in every.items()
        for p in now.pulses
    )
    # One base model after the other is filled; how long one takes that was not begun nobody knows.
    left = [now.left_s for now in every.values()]
    known = [seconds for seconds in left if seconds is not None]
    return Now(
        added(now.adapters for now in every.values()),
        added(now.cells for now in every.values()),
        sum(now.busy for now in every.values()),
        pulses,
        sum(known) if known and len(known) == len(left) else None,
        sum(now.in_training for now in every.values()),
        added(now.changed for now in every.values()),
    )


def _work(pulse: Pulse) -> str:
    """What a unit is, in words."""
    if pulse.losses:
        return f"training {count_of(len(pulse.losses), 'adapter')}"
    kind, _, rest = pulse.unit.partition("/")
    if kind in ("cells", "group"):
        model, _, task = rest.rpartition("/")
        return f"evaluating {model}{' and others' if kind == 'group' else ''} on {task}"
    return pulse.unit.replace("/", " of ", 1) if kind == "hidden" else pulse.unit


def as_json(now: Now, **more: Any) -> bytes:
    """The answer to ``/state``."""
    return json.dumps({**now.to_json(), **more}, ensure_ascii=False, allow_nan=False).encode()
