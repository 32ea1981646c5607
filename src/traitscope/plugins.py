"""Plugins: modules of the user's own that register metrics, parsers, formats, measures or statistics."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from traitscope.errors import TraitscopeError
from traitscope.registry import forget, registering_for

# An installed package names its module under this entry point and needs no line in the study file.
ENTRY_POINT = "traitscope.plugins"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin as it was loaded: how it was named, its module and the hash of its file."""

    name: str
    module: str
    sha256: str


_plugins: dict[str, Plugin] = {}


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
        forget(known.sha256)
        sys.modules.pop(known.module, None)
    try:
        with registering_for(plugin.sha256):
            if name.endswith(".py"):
                _import_file(plugin.module, file)
            else:
                importlib.import_module(name)
    except Exception as error:
        sys.modules.pop(plugin.module, None)
        raise TraitscopeError(
            f"cannot be imported: {type(error).__name__}: {error}", where=where, fix=f"mend {file.name}"
        ) from error
    _plugins[str(file)] = plugin
    return plugin


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


def _import_file(module_name: str, file: Path) -> None:
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
