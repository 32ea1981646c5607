"""A worker of a cluster, on its own side: a Local backend in a thread, which is told and asked by calls that are short.

One thread carries out every order: torch counts its threads by the thread that asks.
"""

from __future__ import annotations

import os
import pickle
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from traitscope.compute.orders import Refused
from traitscope.compute.shipping import Parcel, Piece, Shelf, here_again, moved
from traitscope.compute.worker import (
    Failed,
    Happened,
    Message,
    Reply,
    Start,
    Stop,
    attend,
    failure,
    load_same_plugins,
    local_of,
)
from traitscope.errors import TraitscopeError
from traitscope.records import Progress

# Progress alone waits this long for more to travel with.
GATHER_S = 0.2


@dataclass(frozen=True, slots=True)
class Assignment:
    """A message with the parcels of what it names."""

    message: Message
    parcels: tuple[Parcel, ...]


@dataclass(frozen=True, slots=True)
class Supply:
    """The pieces of a parcel that the worker lacked: names, in the order of the references that come with it."""

    mark: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """The first message: as the pool's, with the plugins that are files."""

    start: Start
    parcels: tuple[Parcel, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """The last message: what the worker was sent is removed."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has loaded its libraries and the plugins."""


@dataclass(frozen=True, slots=True)
class Lacks:
    """The worker does not have a parcel's files."""

    mark: str


Told = Begin | Assignment | Supply | Stop | Close
Said = Ready | Lacks | Reply


class Host:
    """Takes messages, gives replies.

    Args:
        fetch: gives the content of a reference that came with a Supply.
    """

    def __init__(self, fetch: Callable[[Any], bytes]) -> None:
        self._fetch = fetch
        self._told: queue.SimpleQueue[Begin | Assignment] = queue.SimpleQueue()
        self._supplies: queue.SimpleQueue[tuple[Supply, Sequence[Any]]] = queue.SimpleQueue()
        self._said: list[Said] = []
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._shelf: Shelf | None = None
        self._places: dict[Path, Path] = {}
        threading.Thread(target=self._work, daemon=True).start()

    def exchange(self, packed: bytes | None, references: Sequence[Any], wait_s: float) -> bytes:
        """Takes one message, if there is one, and gives what there is to say, which it waits ``wait_s`` for."""
        if packed is not None:
            self._take(pickle.loads(packed), references)
        with self._news:
            self._news.wait_for(lambda: bool(self._said), wait_s)
            end = time.monotonic() + GATHER_S
            while all(_is_progress(said) for said in self._said) and self._said:
                if not self._news.wait(max(0.0, end - time.monotonic())) or time.monotonic() >= end:
                    break
            said, self._said = _without_stale_progress(self._said), []
        return pickle.dumps(said, protocol=5)

    def _take(self, told: Told, references: Sequence[Any]) -> None:
        match told:
            case Stop():
                self._stop.set()
            case Supply():
                self._supplies.put((told, references))
            case Close():
                if self._shelf is not None:
                    self._shelf.close()
            case _:
                # Here, not where it is taken up: a stop may come before that.
                self._stop.clear()
                self._told.put(told)

    def _say(self, said: Said) -> None:
        with self._news:
            self._said.append(said)
            self._news.notify_all()

    def _work(self) -> None:
        begin = self._told.get()
        assert isinstance(begin, Begin)
        try:
            shelf = self._shelf = Shelf()
            load_same_plugins(self._with_plugins(begin, shelf))
            local = local_of(begin.start)
        except Exception as error:
            self._say(self._home(failure(error)))
            return
        self._say(Ready())
        while True:
            told = self._told.get()
            assert isinstance(told, Assignment)
            try:
                self._places = {parcel.place: self._at_hand(parcel, told.parcels, shelf) for parcel in told.parcels}
                message = moved(told.message, self._places)
            except Exception as error:
                self._say(self._home(failure(error)))
                continue
            attend(local, message, lambda reply: self._say(self._home(reply)), self._stop.is_set)

    def _with_plugins(self, begin: Begin, shelf: Shelf) -> Start:
        """The start with the plugins' files where they lie here."""
        here = {str(parcel.place): str(self._at_hand(parcel, begin.parcels, shelf)) for parcel in begin.parcels}
        return replace(begin.start, plugins=tuple(here.get(name, name) for name in begin.start.plugins))

    def _at_hand(self, parcel: Parcel, together: Sequence[Parcel], shelf: Shelf) -> Path:
        """Where a parcel's files lie here; what is lacking is asked for."""
        found = shelf.find(parcel)
        if found is not None:
            return found
        self._say(Lacks(parcel.mark))
        supply, references = self._supplies.get()
        assert supply.mark == parcel.mark, (supply.mark, parcel.mark)
        return shelf.store(parcel, self._pieces(supply, references), (other.mark for other in together))

    def _pieces(self, supply: Supply, references: Sequence[Any]) -> Iterator[Piece]:
        for name, reference in zip(supply.names, references, strict=True):
            yield name, self._fetch(reference)

    def _home(self, reply: Reply) -> Reply:
        """A reply that names the run's paths, not this machine's."""
        match reply:
            case Failed(what, where, fix):
                return Failed(*(self._text(part) for part in (what, where, fix)))  # type: ignore[arg-type]
            case Happened(Refused(what, where, fix)):
                return Happened(Refused(*(self._text(part) for part in (what, where, fix))))  # type: ignore[arg-type]
        return reply

    def _text(self, text: str | None) -> str | None:
        return None if text is None else here_again(text, self._places)


def _is_progress(said: Said) -> bool:
    return isinstance(said, Happened) and isinstance(said.event, Progress)


def _without_stale_progress(said: list[Said]) -> list[Said]:
    """Of progress that was not told yet, the last."""
    return [
        one
        for place, one in enumerate(said)
        if not (_is_progress(one) and place + 1 < len(said) and _is_progress(said[place + 1]))
    ]


def about() -> dict[str, str | None]:
    """What this process is and runs on, as the run compares it with its own: traitscope, the packages."""
    from traitscope._version import __version__
    from traitscope.compute.software import packages

    return {"host": os.uname().nodename, "pid": str(os.getpid()), "traitscope": __version__, **packages()}


def refuse_unlike(theirs: dict[str, str | None]) -> None:
    """Refuses a worker that would compute with other software than the run writes into its lock.

    Raises:
        TraitscopeError: it has another version of traitscope or of a package, or lacks it.
    """
    from traitscope.compute.software import unlike

    host, ours = theirs["host"], {name: value for name, value in about().items() if name not in ("host", "pid")}
    if theirs.get("traitscope") is None:
        raise TraitscopeError(
            f"a worker cannot import traitscope: {theirs.get('error')}",
            where=f"machine {host}",
            fix=f"install traitscope=={ours['traitscope']} there, in the environment that `ray start` runs in",
        )
    if theirs["traitscope"] != ours["traitscope"]:
        ours = {"traitscope": ours["traitscope"]}
    if found := unlike(ours, theirs):
        raise TraitscopeError(
            f"other versions than the run's: {'; '.join(found)}",
            where=f"machine {host}",
            fix="give every machine of the cluster the same environment",
        )
