"""Leases: which process works on which unit, so that two processes never do the same one.

A lease is a file ``leases/<unit>.json`` that names its owner; a heartbeat thread renews its time. It may be
taken over when its owner's process no longer runs (same machine) or when it was not renewed for ``stale_s``.
Every change of ownership, and every commit of a unit, happens under one lock file that the kernel frees when
a process dies; so an owner that was stopped, lost its lease and woke up again can never commit.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from traitscope.errors import TraitscopeError
from traitscope.store.files import disk_errors, machine, process_start, read_file, write_atomic

# The lock is held for moments; a process that was stopped within one keeps it.
GUARD_S = 60.0


class LeaseLost(RuntimeError):
    """Another process took the unit over; what this one computed for it must not be committed."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lease. ``machine`` tells whether ``pid`` and ``started`` mean anything here."""

    id: str
    host: str
    machine: str
    pid: int
    started: str

    @classmethod
    def here(cls) -> Owner:
        """This process, under a fresh id."""
        started = process_start(os.getpid()) or "unknown"
        return cls(uuid.uuid4().hex, os.uname().nodename, machine(), os.getpid(), started)

    def gone(self) -> bool:
        """True if the process certainly no longer runs (only known on its own machine)."""
        return self.machine == machine() and process_start(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Leases:
    """The leases of one run folder held by this process, and the thread that renews them.

    Args:
        folder: the run folder's ``leases/``.
        beat_s: seconds between renewals.
        stale_s: seconds without a renewal after which another process may take a unit over.
    """

    def __init__(self, folder: Path, *, beat_s: float = 5.0, stale_s: float = 60.0) -> None:
        self.folder = folder
        self.beat_s = beat_s
        self.stale_s = stale_s
        self.owner = Owner.here()
        self._held: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def path(self, unit: str) -> Path:
        """The lease file of a unit; its name may contain slashes (``cells/base/imdb``)."""
        return self.folder / f"{unit.replace('/', '~')}.json"

    def acquire(self, unit: str) -> bool:
        """Takes the unit if nobody works on it; False if somebody does. Taking it twice is an error."""
        assert unit not in self._held, f"{unit} is already held by this process"
        path = self.path(unit)
        with self.alone():
            holder = self.holder(unit)
            if holder is not None and not self._free(path, holder):
                return False
            write_atomic(path, json.dumps(vars_of(self.owner)).encode())
        with self._lock:
            self._held[unit] = True
        self._start()
        return True

    def holder(self, unit: str) -> Owner | None:
        """Who holds the unit, alive or not; None if nobody does."""
        try:
            owner = Owner(**json.loads(read_file(self.path(unit))))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        kinds = {"pid": int}
        return owner if all(isinstance(v, kinds.get(k, str)) for k, v in vars_of(owner).items()) else None

    def busy(self) -> dict[str, Owner]:
        """Units that other live processes work on at this moment."""
        found: dict[str, Owner] = {}
        for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []:
            unit = path.stem.replace("~", "/")
            holder = self.holder(unit)
            if holder is not None and holder.id != self.owner.id and not self._free(path, holder):
                found[unit] = holder
        return found

    def lost(self, unit: str) -> bool:
        """True once the heartbeat has seen that another process took the unit over."""
        return not self._held.get(unit, False)

    @contextmanager
    def commit(self, unit: str) -> Iterator[None]:
        """Around the renames that commit a unit: nobody can take the lease over meanwhile.

        Raises:
            LeaseLost: the unit is no longer held by this process.
        """
        with self.alone():
            holder = self.holder(unit)
            if holder is None or holder.id != self.owner.id:
                self._held[unit] = False
                raise LeaseLost(f"{unit} was taken over by {holder or 'nobody'}; its result is dropped")
            yield

    def release(self, unit: str) -> None:
        """Gives the unit back (no error if it was lost meanwhile)."""
        with self._lock:
            self._held.pop(unit, None)
        with self.alone():
            holder = self.holder(unit)
            if holder is not None and holder.id == self.owner.id:
                self.path(unit).unlink(missing_ok=True)

    def close(self) -> None:
        """Gives everything back and stops the heartbeat."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for unit in list(self._held):
            self.release(unit)

    def _drop_gone(self) -> None:
        """Removes leases of processes that were killed, such as one between the commit of a unit and its release."""
        with self.alone():
            for path in self.folder.glob("*.json"):
                holder = self.holder(path.stem.replace("~", "/"))
                if holder is not None and holder.gone():
                    path.unlink(missing_ok=True)
            for told in self.folder.glob("[!.]*.live"):  # see ``store.pulse``
                if not told.with_suffix(".json").exists():
                    told.unlink(missing_ok=True)

    def __enter__(self) -> Leases:
        self._drop_gone()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _free(self, path: Path, holder: Owner) -> bool:
        if holder.gone():
            return True
        try:
            # By the same clock a renewal never lies ahead: a time that does says nothing, and must not hold for ever.
            return abs(self._clock() - path.stat().st_mtime) > self.stale_s
        except FileNotFoundError:
            return True

    def _clock(self) -> float:
        """The file system's own time: a file server's clock may differ from this machine's."""
        guard = self.folder / ".guard"
        try:
            os.utime(guard)
            return guard.stat().st_mtime
        except OSError:
            return time.time()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While this goes on no process takes, commits or gives back a unit. Not to be nested.

        Raises:
            TraitscopeError: another process has been at it for ``GUARD_S``: it was stopped in mid-way.
        """
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / ".guard", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle, self.folder / ".guard")
            yield
        finally:
            os.close(handle)

    def _start(self) -> None:
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._beat, name="traitscope-leases", daemon=True)
            self._thread.start()

    def _beat(self) -> None:
        while not self._stop.wait(self.beat_s):
            with self._lock:
                units = [unit for unit, good in self._held.items() if good]
            for unit in units:
                holder = self.holder(unit)
                if holder is None or holder.id != self.owner.id:
                    with self._lock:
                        if unit in self._held:
                            self._held[unit] = False
                    continue
                try:
                    os.utime(self.path(unit))
                except OSError:
                    continue


def _lock(handle: int, path: Path) -> None:
    end, pause = time.monotonic() + GUARD_S, 0.002
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise TraitscopeError(
                    f"another process holds this lock for {GUARD_S:.0f} s, and needs it for moments: it was stopped",
                    where=str(path),
                    fix="let it go on (fg, or kill -CONT), or end it; then run the same command again",
                ) from None
            time.sleep(pause)
            pause = min(0.05, 2 * pause)


def vars_of(owner: Owner) -> dict[str, str | int]:
    """The lease file's content."""
    return {
        "id": owner.id,
        "host": owner.host,
        "machine": owner.machine,
        "pid": owner.pid,
        "started": owner.started,
    }
