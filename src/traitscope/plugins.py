"""Plugins: modules of the user's own that register metrics, parsers, formats, measures, statistics or features."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from textwrap import shorten
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.registry import Entry, all_or_nothing, forget, source_hash

# An installed package names its module under this entry point and needs no line in the study file.
ENTRY_POINT = "traitscope.plugins"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin as it was loaded: how it was named, its module, and the hash of its file or package."""

    name: str
    module: str
    sha256: str


# By file.
_plugins: dict[Path, Plugin] = {}


def plugin_hashes() -> list[str]:
    """The hashes of all plugins that this process has loaded."""
    return sorted(plugin.sha256 for plugin in _plugins.values())


def load_plugins(names: Sequence[str], root: Path = Path()) -> tuple[Plugin, ...]:
    """Imports the plugins that a study names and those that installed packages offer; a second call costs nothing.

    A plugin is an ordinary module that registers what it adds with the same decorators that traitscope uses. One whose
    source has changed since is imported again.

    Args:
        names: module names, or paths of files that end in ``.py`` and of folders with an ``__init__.py``.
        root: the folder that relative paths start from.

    Raises:
        TraitscopeError: a plugin is not there, fails, or registers a name that is taken.
    """
    offered = [point.module for point in importlib.metadata.entry_points(group=ENTRY_POINT)]
    return tuple(_load(name, root) for name in (*names, *offered))


def plugin_places(names: Sequence[str], root: Path = Path()) -> dict[str, Path]:
    """Where those of some plugins lie that are named by a path: the file, or the package's folder.

    Raises:
        TraitscopeError: one is not there.
    """
    found = {name: _file(name, root, f"plugin {name}") for name in names if _is_path(name)}
    return {name: file.parent if file.name == "__init__.py" else file for name, file in found.items()}


def _load(name: str, root: Path) -> Plugin:
    where = f"plugin {name}"
    with _told(where), all_or_nothing():
        file = _file(name, root, where)
    plugin = Plugin(name, _module_name(name, file), source_hash(file))
    known = _plugins.get(file)
    if known is not None and known.sha256 == plugin.sha256:
        return known
    if known is not None:
        _drop(file)
    with _told(where), all_or_nothing():
        if _is_path(name):
            _import_file(plugin.module, file)
        else:
            importlib.import_module(name)
    _plugins[file] = plugin
    return plugin


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Whatever a plugin raises when it is imported becomes one error that names it."""
    try:
        yield
    except TraitscopeError:
        raise
    except (Exception, SystemExit) as error:
        raise TraitscopeError(
            f"cannot be imported: {type(error).__name__}: {error}",
            where=where,
            fix="mend it; what lies beside its file can be imported only from a package: name the package's folder",
        ) from error


def _drop(file: Path) -> None:
    """Takes out a plugin whose source was changed under a running process."""
    plugin = _plugins.pop(file)
    if plugin.sha256 not in plugin_hashes():
        forget(plugin.sha256)
    for module in [m for m in sys.modules if m == plugin.module or m.startswith(f"{plugin.module}.")]:
        del sys.modules[module]


def _is_path(name: str) -> bool:
    return name.endswith(".py") or "/" in name


def _file(name: str, root: Path, where: str) -> Path:
    if _is_path(name):
        file = (root / Path(name).expanduser()).resolve()
        file = file / "__init__.py" if file.is_dir() else file
        if file.is_file():
            return file
        raise TraitscopeError(f"there is no file {file}", where=where, fix="paths start from the study file's folder")
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise TraitscopeError(
            "there is no module of this name" if spec is None else "it is no module that can be a plugin",
            where=where,
            fix="install it, or name its file or folder: ./my_plugin.py",
        )
    return Path(spec.origin).resolve()


def _module_name(name: str, file: Path) -> str:
    if not _is_path(name):
        return name
    stem = file.parent.name if file.name == "__init__.py" else file.stem
    return f"traitscope_plugin_{stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"


def _import_file(module_name: str, file: Path) -> None:
    folder = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(module_name, file, submodule_search_locations=folder)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(module_name, None)
        raise


@contextmanager
def calling(kind: str, entry: Entry[Any], where: str) -> Iterator[None]:
    """Around every call of a registered entry, and around the checks of what it gives.

    Args:
        kind: the word of its registry.
        entry: what is called.
        where: what it is called for.

    Raises:
        TraitscopeError: as the entry raised it; made of whatever else was raised, with kind, name, plugin and line.
    """
    try:
        yield
    except TraitscopeError:
        raise
    except (Exception, SystemExit) as error:
        words = shorten(f"{type(error).__name__}: {error}", 300, placeholder=" ...")
        raise TraitscopeError(
            f"the {kind} {entry.name!r}{_origin(entry)} fails: {words}{_line(entry, error)}",
            where=where,
            fix="report this: it comes with traitscope" if entry.plugin is None else "mend the plugin, then run again",
        ) from error


def number(value: object) -> float:
    """What an entry gives where one number is due, as a plain float (NaN and infinity are floats).

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, Real):
        raise TypeError(f"it gives {type(value).__name__} where a number is due")
    return float(value)


def _origin(entry: Entry[Any]) -> str:
    """The plugin as it was named; an interactive session, and a module imported by other means, have no name."""
    names = [plugin.name for plugin in _plugins.values() if plugin.sha256 == entry.plugin]
    return f" of plugin {names[0]}" if names else ""


def _line(entry: Entry[Any], error: BaseException) -> str:
    """The line at fault; nothing where a check of ours raised the error about a plugin."""
    package = Path(__file__).parent
    ours = entry.plugin is None
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(package) == ours
    ]
    # A plugin's first file is its own; further in may be a library's.
    frames = [frame for frame in frames if ours or frame.filename == frames[0].filename]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
