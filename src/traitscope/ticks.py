"""How far a long computation is: the loops say it, and whoever listens is told; nobody listens by default."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Listener = Callable[[str, int, int, str], None]
"""Told what is done, how many rounds of it are over, how many there are, and what a round is."""

_listener: ContextVar[Listener | None] = ContextVar("who is told how far a computation is", default=None)


def ticks(rounds: Iterable[T], what: str, total: int, unit: str = "rounds") -> Iterator[T]:
    """The rounds of a loop, of which ``total`` are expected: the beginning is told, and each when it is over.

    Told is the outermost loop alone: what it calls has loops of its own.
    """
    listener = _listener.get()
    if listener is None:
        yield from rounds
        return
    mark = _listener.set(None)
    try:
        listener(what, 0, total, unit)
        for done, one in enumerate(rounds, 1):
            yield one
            listener(what, min(done, total), total, unit)
    finally:
        try:
            _listener.reset(mark)
        except ValueError:
            _listener.set(listener)


@contextmanager
def heard_by(listener: Listener | None) -> Iterator[None]:
    """While this lasts, every computation tells ``listener``."""
    mark = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(mark)
