"""What a study names on the Hub, and whether anything of it must still be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from traitscope.errors import TraitscopeError
from traitscope.store.hub import on_this_disk
from traitscope.store.models import locate, locked

if TYPE_CHECKING:
    from traitscope.config import BaseConfig, ModelConfig, StudyConfig
    from traitscope.study import Study


def hub_models(config: StudyConfig) -> list[tuple[str, str | None]]:
    """The models that a study names on the Hub, with their revisions."""
    found = []
    named = [(config.base.model, config.base.revision), *((m.model, m.revision) for m in config.models.values())]
    for model, revision in named:
        try:
            if not isinstance(locate(model, config.root), Path):
                found.append((model, revision))
        except TraitscopeError:
            continue  # gone: a verb that needs it says so, and the Hub has it no more than this disk
    return found


def unseen(config: StudyConfig) -> list[str]:
    """What a study names on the Hub and nobody has seen where it is not asked: models not on this disk, datasets."""
    models = [f"model {model}" for model, revision in hub_models(config) if not on_this_disk(model, revision)]
    datasets = [f"dataset {task.data.hub}" for task in config.tasks.values() if task.data.hub is not None]
    return list(dict.fromkeys([*models, *datasets]))


def settled(study: Study) -> bool:
    """Whether all that a study names on the Hub is known to its folder and on this disk, so that nobody is asked."""
    config, old = study.config, study.recorded_config()
    models: list[tuple[str, BaseConfig | ModelConfig]] = [("", config.base), *config.models.items()]
    try:
        lock, tasks = study.lock, study.folder.read_local().get("tasks", {})
        for name, model in models:
            if not isinstance(locate(model.model, config.root), Path):
                found = locked(lock.get("models", {}).get(name) if name else lock.get("base"), study.asked(model))
                if found is None or not on_this_disk(model.model, found.revision):
                    return False
    except TraitscopeError:
        return False
    data = {name: task.data for name, task in config.tasks.items() if task.data.hub is not None}
    return old is not None and all(
        name in tasks and name in old.tasks and old.tasks[name].data == one for name, one in data.items()
    )
