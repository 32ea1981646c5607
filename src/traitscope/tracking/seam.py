"""What a tracker offers, and how one is made by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from traitscope.errors import TraitscopeError

# By name: the class in the module of that name, and the library that must be there.
TRACKERS = {
    "tensorboard": ("TensorBoard", "tensorboard"),
    "wandb": ("WeightsAndBiases", "wandb"),
    "trackio": ("Trackio", "trackio"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """A run as a tracker is told of it.

    Attributes:
        id: stays the same when the run is resumed, and is no other run's.
        name: what people read. group: what the runs of several processes on one folder have in common.
        config: settings that may be shared: no path of this machine, no secret.
        folder: where a tracker may write; its files are its own.
    """

    id: str
    name: str
    group: str
    config: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True, slots=True)
class Entry:
    """Numbers of one model at one step.

    Attributes:
        model: a row of the matrix. step: an optimiser step of it, from 0.
        values: by name, such as ``train/loss`` or ``eval/<task>/<metric>``.
    """

    model: str
    step: int
    values: Mapping[str, float] = field(default_factory=dict)


class Tracker(Protocol):
    """Where numbers of a run are sent. Its methods may raise anything: a tracker that fails costs a note."""

    def start(self, run: TrackedRun) -> None:
        """Begins the run, or goes on with the one of the same id; it asks nobody anything."""

    def log(self, entries: Sequence[Entry]) -> None:
        """Numbers as they come: of one model in the order of its steps."""

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
        """A table, in place of an earlier one of this name."""

    def flush(self) -> None:
        """What was logged so far outlasts this process."""

    def finish(self, *, failed: bool) -> None:
        """Ends the run; ``failed`` where an error did."""


def make_tracker(name: str, where: str = "report_to") -> Tracker:
    """A tracker by its name; its library is imported here.

    Args:
        name: one of ``TRACKERS``. where: what to call the place of the name in errors.

    Raises:
        TraitscopeError: there is none of that name, or its library is missing or cannot be imported.
    """
    if name == "none":
        raise TraitscopeError("none stands among trackers", where=where, fix="write none alone, or leave it out")
    if name not in TRACKERS:
        raise TraitscopeError(f"no tracker is named {name!r}", where=where, fix=f"one of: none, {', '.join(TRACKERS)}")
    made, library = TRACKERS[name]
    fix = f"pip install 'traitscope[{name}]', or leave {name} out"
    if find_spec(library) is None:
        raise TraitscopeError(f"{name} needs the package {library}, which is not installed", where=where, fix=fix)
    try:
        tracker: Tracker = getattr(import_module(f"traitscope.tracking.{name}"), made)()
    except (Exception, SystemExit) as error:  # whatever a foreign package does while it is imported
        raise TraitscopeError(
            f"the package {library} cannot be imported: {type(error).__name__}: {error}", where=where, fix=fix
        ) from error
    return tracker
