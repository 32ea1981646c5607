"""One way to name what can be extended: metrics, parsers, file formats, controls, measures, statistics.

It raises plain errors of Python: names that a user writes are checked where they are read, with the place they stand.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import marshal
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
# As the files of this package name themselves in their frames, links unresolved.
_PACKAGE = str(Path(__file__).parent) + os.sep

# What comes with traitscope registers itself as a plugin does: when its module is imported. Kind -> module.
HOMES = {
    "metric": "traitscope.metrics",
    "parser": "traitscope.tasks.parsers",
    "control": "traitscope.tasks.controls",
    "file format": "traitscope.tasks.formats",
    "measure": "traitscope.layers.measures",
    "statistic": "traitscope.stats.measures",
    "predictor": "traitscope.predict.models",
    "pair feature": "traitscope.predict.evidence",
    "router": "traitscope.belt.routing",
}


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One registered thing.

    Attributes:
        name: what a study file calls it.
        version: result version; raised only when its numbers change, and part of every fingerprint.
        reference: the paper or code that its definition comes from.
        value: the function, class or object itself.
        plugin: sha256 of the file, or of the package, that registered it; None for what comes with traitscope.
        file: the file of a plugin that registered it.
    """

    name: str
    version: int
    reference: str
    value: T
    plugin: str | None = None
    file: str | None = None

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
        self._endless: list[Callable[[str], Entry[T] | None]] = []
        _registries[kind] = self

    def add_endless(self, find: Callable[[str], Entry[T] | None]) -> None:
        """Adds names that are too many to list, such as pass@k for any k: ``find`` gives the entry of one, or None."""
        self._endless.append(find)

    def _find(self, name: str) -> Entry[T] | None:
        if name in self._entries:
            return self._entries[name]
        return next((found for find in self._endless if (found := find(name)) is not None), None)

    def register(self, name: str, *, version: int, reference: str) -> Callable[[T], T]:
        """A decorator that files a function, class or object under ``name``.

        Raises:
            ValueError: the name is taken, the version is below 1 or the reference is empty.
        """
        origin, file = _origin()
        known = self._find(name)
        # The same file in two places is one plugin.
        if known is not None and (origin is None or known.plugin != origin or known.file == file):
            by = f" by {known.file}" if known.file is not None and known.file != file else ""
            raise ValueError(f"the {self.kind} {name!r} is registered already{by}: choose another name")
        if version < 1 or not reference.strip():
            raise ValueError(
                f"the {self.kind} {name!r} needs a version of at least 1, and a reference that says where its "
                "definition comes from"
            )

        def keep(value: T) -> T:
            self._entries[name] = Entry(name, version, reference, value, origin, file)
            return value

        return keep

    def get(self, name: str) -> Entry[T]:
        """The entry called ``name``.

        Raises:
            KeyError: there is none.
        """
        found = self._find(name)
        if found is None:
            raise KeyError(f"unknown {self.kind} {name!r}: {did_you_mean(name, self._entries)}")
        return found

    def names(self) -> tuple[str, ...]:
        """All names that can be listed, in the order of registration."""
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __iter__(self) -> Iterator[Entry[T]]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)


_registries: dict[str, Registry[Any]] = {}


def registry(kind: str) -> Registry[Any]:
    """The registry of one kind (a key of ``HOMES``), with what comes with traitscope in it."""
    importlib.import_module(HOMES[kind])
    return _registries[kind]


def plugin_marks(kinds: Iterable[str]) -> list[list[str | int]]:
    """Kind, name and mark of everything of some kinds that plugins have registered."""
    found = [(kind, _registries[kind]) for kind in sorted(kinds) if kind in _registries]
    return [[kind, entry.name, entry.mark] for kind, known in found for entry in known if entry.plugin is not None]


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """Whatever is registered while this lasts stays only if it ends well."""
    before = {kind: dict(known._entries) for kind, known in _registries.items()}
    try:
        yield
    except BaseException:
        for kind, known in _registries.items():
            known._entries = before.get(kind, known._entries)
        raise


def forget(plugin: str) -> None:
    """Takes out what the plugin of this hash registered."""
    for known in _registries.values():
        known._entries = {name: entry for name, entry in known._entries.items() if entry.plugin != plugin}


def _origin() -> tuple[str | None, str | None]:
    """Hash and file of what registers, told by the code that calls: when or by whom it was imported does not matter."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    name = frame.f_code.co_filename
    if name.startswith("<frozen importlib"):
        return None, None  # a module of traitscope that is being imported
    if not Path(name).is_file():
        return hashlib.sha256(marshal.dumps(frame.f_code)).hexdigest(), name  # a notebook or an interactive session
    return source_hash(Path(name)), name


def source_hash(file: Path) -> str:
    """sha256 of a Python file, or of all files of the package it belongs to."""
    top = file.parent
    while (top.parent / "__init__.py").is_file():
        top = top.parent
    files = sorted(top.rglob("*.py")) if (file.parent / "__init__.py").is_file() else [file]
    digest = hashlib.sha256()
    for part in files:
        digest.update(part.read_bytes())
    return digest.hexdigest()
