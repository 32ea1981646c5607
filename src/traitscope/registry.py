"""One way to name what can be extended: row sources, answer parsers, metrics, measures, predictors."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from traitscope.errors import TraitscopeError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One registered thing.

    Attributes:
        name: what a study file calls it.
        version: result version; raised only when its numbers change, and part of every fingerprint.
        reference: the paper or code that its definition comes from.
        value: the function, class or object itself.
    """

    name: str
    version: int
    reference: str
    value: T


def near_names(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known names that look most like ``name``, best first (possibly none)."""
    by_lower = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=limit, cutoff=0.6)
    return [by_lower[f] for f in found]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """An instruction that names the nearest known names, or all of them where none is near."""
    known = list(known)
    near = near_names(name, known)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "write one of: " + ", ".join(sorted(known)) if known else "none is known here; remove it"


class Registry(Generic[T]):
    """Names of one kind. ``kind`` is the word used in errors, for example ``"metric"``."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[T]] = {}

    def register(self, name: str, *, version: int, reference: str) -> Callable[[T], T]:
        """A decorator that files a function, class or object under ``name``.

        Raises:
            TraitscopeError: if the name is taken, the version is below 1 or the reference is empty.
        """
        if name in self._entries:
            raise TraitscopeError(
                f"the {self.kind} {name!r} is registered already",
                where=f"{self.kind} registry",
                fix="choose another name",
            )
        if version < 1 or not reference.strip():
            raise TraitscopeError(
                f"the {self.kind} {name!r} needs a version of at least 1 and a reference",
                where=f"{self.kind} registry",
                fix="say where the definition comes from, and start with version=1",
            )

        def keep(value: T) -> T:
            self._entries[name] = Entry(name, version, reference, value)
            return value

        return keep

    def get(self, name: str, *, where: str | None = None) -> Entry[T]:
        """The entry called ``name``.

        Raises:
            TraitscopeError: for an unknown name, listing the near ones; ``where`` says where it was asked
            for.
        """
        if name not in self._entries:
            raise TraitscopeError(f"unknown {self.kind} {name!r}", where=where, fix=did_you_mean(name, self._entries))
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration."""
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry[T]]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
