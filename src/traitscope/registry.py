"""One way to name what can be extended: metrics, parsers, file formats, controls, measures, statistics; and plugins."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from traitscope.errors import TraitscopeError

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
# An installed package names its module under this entry point and needs no line in the study file.
ENTRY_POINT = "traitscope.plugins"


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
            TraitscopeError: if the name is taken, the version is below 1 or the reference is empty.
        """
        where = _loading.name if _loading else f"{self.kind} registry"
        if name in self._entries:
            raise TraitscopeError(
                f"the {self.kind} {name!r} is registered already", where=where, fix="choose another name"
            )
        if version < 1 or not reference.strip():
            raise TraitscopeError(
                f"the {self.kind} {name!r} needs a version of at least 1 and a reference",
                where=where,
                fix="say where the definition comes from, and start with version=1",
            )

        def keep(value: T) -> T:
            self._entries[name] = Entry(name, version, reference, value, _loading.sha256 if _loading else None)
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


def registry(kind: str) -> Registry[Any]:
    """The registry of one kind (a key of ``HOMES``), with what comes with traitscope in it."""
    importlib.import_module(HOMES[kind])
    return _registries[kind]


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin as it was loaded: how it was named, its module and the hash of its file."""

    name: str
    module: str
    sha256: str


_plugins: dict[str, Plugin] = {}
_loading: Plugin | None = None


def plugin_hashes() -> list[str]:
    """The hashes of all plugins that this process has loaded."""
    return sorted(plugin.sha256 for plugin in _plugins.values())


def load_plugins(names: Sequence[str], root: Path = Path()) -> tuple[Plugin, ...]:
    """Imports the plugins that a study names and those that installed packages offer; a second call costs nothing.

    A plugin is an ordinary module that registers what it adds with the same decorators that traitscope uses.

    Args:
        names: module names, or paths that end in ``.py``.
        root: the folder that relative paths start from.

    Raises:
        TraitscopeError: a plugin is not there, fails, or registers a name that is taken.
    """
    found = [_load(name, root) for name in names]
    for point in importlib.metadata.entry_points(group=ENTRY_POINT):
        found.append(_load(point.module, root))
    return tuple(found)


def _load(name: str, root: Path) -> Plugin:
    where = f"plugin {name}"
    file = _file(name, root, where)
    plugin = Plugin(name, _module_name(name, file), _hash(file))
    known = _plugins.get(str(file))
    if known is not None and known.sha256 == plugin.sha256:
        return known
    if known is not None:
        # The file was changed under a running process: what it registered before goes.
        for kind in _registries.values():
            kind.forget(known.sha256)
        sys.modules.pop(known.module, None)
    with _as_loading(plugin):
        try:
            if name.endswith(".py"):
                _import_file(plugin.module, file)
            else:
                importlib.import_module(name)
        except TraitscopeError:
            raise
        except Exception as error:
            raise TraitscopeError(
                f"cannot be imported: {type(error).__name__}: {error}", where=where, fix=f"mend {file.name}"
            ) from error
    _plugins[str(file)] = plugin
    return plugin


@contextmanager
def _as_loading(plugin: Plugin) -> Iterator[None]:
    """While this lasts, what is registered is the plugin's; of a plugin that fails nothing stays."""
    global _loading
    _loading = plugin
    try:
        yield
    except BaseException:
        for kind in _registries.values():
            kind.forget(plugin.sha256)
        sys.modules.pop(plugin.module, None)
        raise
    finally:
        _loading = None


def _file(name: str, root: Path, where: str) -> Path:
    if name.endswith(".py"):
        file = (root / Path(name).expanduser()).resolve()
        if file.is_file():
            return file
        raise TraitscopeError(f"there is no file {file}", where=where, fix="paths start from the study file's folder")
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise TraitscopeError(
            "there is no module of this name", where=where, fix="install it, or name its file: ./my_plugin.py"
        )
    return Path(spec.origin)


def _hash(file: Path) -> str:
    """sha256 of a module's file, or of all files of a package."""
    digest = hashlib.sha256()
    for part in sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]:
        digest.update(part.read_bytes())
    return digest.hexdigest()


def _module_name(name: str, file: Path) -> str:
    if not name.endswith(".py"):
        return name
    return f"traitscope_plugin_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"


def _import_file(module_name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module
