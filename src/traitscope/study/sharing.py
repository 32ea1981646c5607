"""What of a study may be shared: text without the places of this machine that its study file names."""

from __future__ import annotations

from collections.abc import Iterator

from traitscope.config import StudyConfig
from traitscope.store.models import shared_name


def without_places(text: str, *configs: StudyConfig | None) -> str:
    """``text`` with the last part of every path in place of a path that only this machine has.

    Args:
        configs: the studies whose paths may stand in it.
    """
    paths = {path for config in configs if config is not None for path in _paths(config)}
    for path in sorted(paths, key=len, reverse=True):
        if (name := shared_name(path)) != path:
            text = text.replace(path, name)
    return text


def _paths(config: StudyConfig) -> Iterator[str]:
    yield str(config.base.model)
    yield from (str(model.model) for model in config.models.values())
    yield from map(str, config.plugins)
    for task in config.tasks.values():
        found = task.data.model_dump(mode="json", include={"path"})["path"]
        yield from (str(path) for path in (found.values() if isinstance(found, dict) else [found]) if path)
