"""What of a study may be shared: text without the places of this machine that its study file names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from traitscope.config import StudyConfig
from traitscope.store.models import shared_name
from traitscope.study.data import named_files


def without_places(text: str, *configs: StudyConfig | None) -> str:
    """``text`` with the last part of every path in place of a path that only this machine has.

    Args:
        configs: the studies whose paths may stand in it; paths inside their folders start there.
    """
    places: dict[str, str] = {}
    for config in configs:
        if config is not None:
            root = config.root.absolute()
            places |= {f"{one}/": "" for one in (root, root.resolve()) if one != Path(root.anchor)}
            for path in _paths(config):
                if (name := shared_name(path)) != path:
                    # As it is written, as YAML may escape it, and as errors have it.
                    whole = root / Path(path).expanduser()
                    places |= dict.fromkeys((path, json.dumps(path)[1:-1], str(whole), str(whole.resolve())), name)
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place])
    return text


def _paths(config: StudyConfig) -> Iterator[str]:
    yield from (str(base.model) for base in config.bases or (config.base,))
    yield from (str(model.model) for model in config.models.values())
    yield from map(str, config.plugins)
    for task in config.tasks.values():
        yield from named_files(task.data)
