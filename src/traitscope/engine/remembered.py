"""What was proven of a model is kept in the user's cache, by the model's files and all software that took part."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from traitscope.engine.base import Base, Paths
from traitscope.engine.runtime import Site
from traitscope.engine.spans import Span
from traitscope.errors import TraitscopeError
from traitscope.store.cache import cache_folder
from traitscope.store.files import json_bytes, write_atomic
from traitscope.store.fingerprints import fingerprint, hash_file


def _file(base: Base) -> Path:
    engine = {path.name: hash_file(path) for path in sorted(Path(__file__).parent.glob("*.py"))}
    software = {name: version(name) for name in ("torch", "transformers", "peft")}
    place = [base.fingerprint, str(base.dtype), base.device.type, type(base.model).__name__, base.precision]
    return cache_folder() / "paths" / f"{fingerprint([place, software, engine])}.json"


def recall(base: Base) -> bool:
    """Take over what was proven before; False where nothing was, or it cannot be read."""
    if not base.fingerprint:
        return False
    try:
        kept = json.loads(_file(base).read_text())
        paths = {field.name: kept["paths"][field.name] for field in fields(Paths)}
        modules = dict(base.model.named_modules())
        sites = {
            id(modules[name]): Site(first, calls, Span(window, chunk))
            for name, first, calls, window, chunk in kept["sites"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return False
    base.paths = Paths(**{**paths, "routed": frozenset(paths["routed"]), "routers": frozenset(paths["routers"])})
    base.runtime.sites = sites
    return True


def remember(base: Base) -> None:
    """Keep what was proven; a cache that cannot be written is no error."""
    if not base.fingerprint:
        return
    names = {id(module): name for name, module in base.model.named_modules()}
    sites = [
        [names[module], site.first, site.calls, site.span.window, site.span.chunk]
        for module, site in base.runtime.sites.items()
    ]
    paths: dict[str, Any] = asdict(base.paths)
    paths.update(routed=sorted(base.paths.routed), routers=sorted(base.paths.routers))
    file = _file(base)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json_bytes({"paths": paths, "sites": sites}))
    except (OSError, TraitscopeError):
        return
