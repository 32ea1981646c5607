"""What a process tells of the unit it is at: how far it is and its losses, in ``leases/<unit>.live`` beside the lease.

It is there for whoever looks on. Nothing is made from it, so it is written without waiting for the disk, and goes with
the lease.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traitscope.records import Progress
from traitscope.store.files import read_file, temporary
from traitscope.store.leases import Leases, Owner

ENDING = ".live"
# Seconds from a unit's first word to its first file, and between two files: most evaluations are over before the first.
FIRST_S, EVERY_S = 0.5, 2.0
# Points of a curve: of more, neighbours become one.
MOST_POINTS = 120


@dataclass
class Curve:
    """The losses of one adapter in training, with few enough points to be written often.

    Attributes:
        width: steps that one point is the mean of.
        points: (last step of the point, mean loss in nats per answer token).
    """

    width: int = 1
    points: list[tuple[int, float]] = field(default_factory=list)
    _open: list[float] = field(default_factory=list)

    def add(self, step: int, loss: float) -> None:
        """One optimiser step; a loss that is no number is left out."""
        if not math.isfinite(loss):
            return
        self._open.append(loss)
        if len(self._open) == self.width:
            self.points.append((step, sum(self._open) / self.width))
            self._open = []
        if len(self.points) > MOST_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=False)
            odd = self.points[-1:] if len(self.points) % 2 else []
            self.points = [(late[0], (early[1] + late[1]) / 2) for early, late in pairs]
            # The last of an odd number waits for its neighbour.
            self._open = [odd[0][1]] * self.width if odd else []
            self.width *= 2


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one process told last.

    Attributes:
        unit: what it is at: a bank in training, a cell, a group of cells, hidden states.
        done, total: tokens. per_s: tokens a second. left_s: seconds until this unit is done.
        losses: adapter -> points of its curve (step, nats per answer token); empty where nothing is trained.
    """

    unit: str
    done: float
    total: float
    per_s: float
    left_s: float
    losses: dict[str, list[tuple[int, float]]]


class Pulses:
    """The pulses of the units that one process holds.

    Args:
        folder: the run folder's ``leases/``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._curves: dict[str, dict[str, Curve]] = {}
        self._due: dict[str, float] = {}

    def tell(self, unit: str, progress: Progress) -> None:
        """Takes in how far a unit is; writes it when its time has come."""
        now = time.monotonic()
        curves = self._curves.setdefault(unit, {})
        for name, record in progress.steps:
            curves.setdefault(name, Curve()).add(record.step, record.loss)
        if now >= self._due.setdefault(unit, now + FIRST_S):
            self._due[unit] = now + EVERY_S
            self._write(unit, progress, curves)

    def end(self, unit: str) -> None:
        """Removes what was told of a unit."""
        self._curves.pop(unit, None)
        if self._due.pop(unit, None) is not None:
            with suppress(OSError):
                self._path(unit).unlink(missing_ok=True)

    def _path(self, unit: str) -> Path:
        return self.folder / f"{unit.replace('/', '~')}{ENDING}"

    def _write(self, unit: str, progress: Progress, curves: dict[str, Curve]) -> None:
        told: dict[str, Any] = {
            "done": progress.done_tokens,
            "total": progress.total_tokens,
            "per_s": round(progress.tokens_per_s, 1),
            "left_s": round(progress.seconds_left, 1),
            "losses": {name: [(s, round(v, 4)) for s, v in curve.points] for name, curve in curves.items()},
        }
        written = temporary(self._path(unit))
        try:
            written.write_text(json.dumps(told), encoding="utf-8")
            written.replace(self._path(unit))
        except (OSError, ValueError):  # nobody depends on it: a full disk is told by what must be written
            with suppress(OSError):
                written.unlink(missing_ok=True)


def read_pulses(leases: Leases) -> Iterator[Pulse]:
    """What the processes that are at work told last, by unit; what is damaged or of a process that is gone is left out.

    Nothing is written: ``Leases.busy`` would touch the lock file.
    """
    for path in sorted(leases.folder.glob(f"[!.]*{ENDING}")) if leases.folder.is_dir() else ():
        unit = path.name.removesuffix(ENDING).replace("~", "/")
        try:
            if not at_work(leases, unit):
                continue
            told = json.loads(read_file(path))
            done, total, per_s, left_s = (float(told[key]) for key in ("done", "total", "per_s", "left_s"))
            curves = {str(n): [(int(s), float(v)) for s, v in points] for n, points in told["losses"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        if all(map(math.isfinite, (done, total, per_s, left_s))):
            yield Pulse(unit, done, total, per_s, left_s, curves)


def workers(leases: Leases) -> dict[str, Owner]:
    """The units that live processes hold at this moment, by name; nothing is written."""
    found: dict[str, Owner] = {}
    for path in sorted(leases.folder.glob("[!.]*.json")) if leases.folder.is_dir() else ():
        unit = path.name.removesuffix(".json").replace("~", "/")
        if at_work(leases, unit) and (owner := leases.holder(unit)) is not None:
            found[unit] = owner
    return found


def at_work(leases: Leases, unit: str) -> bool:
    """Whether a unit's holder lives, as far as can be told without writing: by its process, or by its heartbeat."""
    owner = leases.holder(unit)
    if owner is None or owner.gone():
        return False
    try:
        return abs(time.time() - leases.path(unit).stat().st_mtime) <= leases.stale_s
    except OSError:
        return False
