"""One way to name what can be extended: metrics, parsers, file formats, controls, measures, statistics.

It raises plain errors of Python: names that a user writes are checked where they are read, with the place they stand.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# What comes with traitscope registers itself as a plugin does: when its module is imported. Kind -> module.
HOMES = {
    "metric": "traitscope.metrics",
    "parser": "traitscope.tasks.parsers",
    "control": "traitscope.tasks.controls",
    "file format": "traitscope.tasks.formats",
    "measure": "traitscope.layers.measures",
    "statistic": "traitscope.stats.measures",
}


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One registered thing.

    Attributes:
        name: what a study file calls it.
        version: result version; raised only when its numbers change, and part of every fingerprint.
        reference: the paper or code that its definition comes from.
        value: the function, class or object itself.
        plugin: sha256 of the plugin file that registered it; None for what comes with traitscope.
    """

    name: str
    version: int
    reference: str
    value: T
    plugin: str | None = None

    @property
    def mark(self) -> int | str:
        """What fingerprints hold of it: the result version, and the file's hash where it is a plugin's."""
        return self.version if self.plugin is None else f"{self.version} of {self.plugin}"


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
        _registries[kind] = self

    def register(self, name: str, *, version: int, reference: str) -> Callable[[T], T]:
        """A decorator that files a function, class or object under ``name``.

        Raises:
            ValueError: the name is taken, the version is below 1 or the reference is empty.
        """
        if name in self._entries:
            raise ValueError(f"the {self.kind} {name!r} is registered already: choose another name")
        if version < 1 or not reference.strip():
            raise ValueError(
                f"the {self.kind} {name!r} needs a version of at least 1, and a reference that says where its "
                "definition comes from"
            )

        def keep(value: T) -> T:
            self._entries[name] = Entry(name, version, reference, value, _plugin)
            return value

        return keep

    def get(self, name: str) -> Entry[T]:
        """The entry called ``name``.

        Raises:
            KeyError: there is none.
        """
        if name not in self._entries:
            raise KeyError(f"unknown {self.kind} {name!r}: {did_you_mean(name, self._entries)}")
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration."""
        return tuple(self._entries)

    def forget(self, plugin: str) -> None:
        """Takes out what the plugin file of this hash registered."""
        self._entries = {name: entry for name, entry in self._entries.items() if entry.plugin != plugin}

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry[T]]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)


_registries: dict[str, Registry[Any]] = {}
_plugin: str | None = None


def registry(kind: str) -> Registry[Any]:
    """The registry of one kind (a key of ``HOMES``), with what comes with traitscope in it."""
    importlib.import_module(HOMES[kind])
    return _registries[kind]


def forget(plugin: str) -> None:
    """Takes out what the plugin file of this hash registered."""
    for known in _registries.values():
        known.forget(plugin)


@contextmanager
def registering_for(plugin: str) -> Iterator[None]:
    """While this lasts, what is registered is that of the plugin file with this hash; if it fails nothing stays."""
    global _plugin
    _plugin = plugin
    try:
        yield
    except BaseException:
        forget(plugin)
        raise
    finally:
        _plugin = None
