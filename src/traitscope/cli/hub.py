"""What a study names on the Hub, whether anything of it must still be asked for, and where the Hub has gone on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from traitscope.errors import TraitscopeError
from traitscope.store.hub import on_this_disk
from traitscope.store.hub_errors import Kind
from traitscope.store.hub_files import is_commit, look
from traitscope.store.models import locate, locked
from traitscope.study.hub_pins import pinned_datasets

if TYPE_CHECKING:
    from traitscope.config import BaseConfig, ModelConfig, StudyConfig
    from traitscope.study import Study


def hub_models(config: StudyConfig) -> list[tuple[str, str | None, str | None]]:
    """The models that a study names on the Hub, with their revisions and subfolders."""
    found = []
    named: list[tuple[str, str | None, str | None]] = [(config.base.model, config.base.revision, None)]
    named += [(one.model, one.revision, one.subfolder) for one in config.models.values()]
    for model, revision, subfolder in named:
        try:
            if not isinstance(locate(model, config.root), Path):
                found.append((model, revision, subfolder))
        except TraitscopeError:
            continue  # gone: a verb that needs it says so, and the Hub has it no more than this disk
    return found


def unseen(config: StudyConfig) -> list[str]:
    """What a study names on the Hub and nobody has seen where it is not asked: models not on this disk, datasets."""
    models = [f"model {one[0]}" for one in hub_models(config) if not on_this_disk(*one)]
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
                if found is None or not on_this_disk(model.model, found.revision, found.subfolder):
                    return False
    except TraitscopeError:
        return False
    data = {name: task.data for name, task in config.tasks.items() if task.data.hub is not None}
    return old is not None and all(
        name in tasks and name in old.tasks and old.tasks[name].data == one for name, one in data.items()
    )


def moved_on(study: Study) -> Iterator[str]:
    """Sentences about branches that stand for another commit on the Hub than in the study's lock; asks the Hub.

    What cannot be asked is passed over: nothing of the study depends on it.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode() or not study.folder.exists():
        return
    for key, kind, name, asked, commit in _pins(study):
        if is_commit(asked):
            continue
        try:
            now = look(name, asked, kind=kind, where=key).commit
        except TraitscopeError:
            continue
        if now != commit:
            yield (
                f"{name} has moved on: {asked or 'main'} is {now[:12]} on the Hub, this folder keeps {commit[:12]}; "
                f"to take the new one write {key}.revision: {now} in the study file and run with --replace"
            )


def _pins(study: Study) -> Iterator[tuple[str, Kind, str, str | None, str]]:
    """Key in the study file, kind, id, revision as asked for, and commit of all that the lock holds of the Hub."""
    config, lock = study.config, study.lock
    for name in ("base", *config.models):
        source = study.pinned(name)
        try:
            on_hub = not isinstance(source.located(), Path)
        except TraitscopeError:
            continue
        model = config.base if name == "base" else config.models[name]
        if on_hub and source.revision is not None and is_commit(source.revision):
            yield "base" if name == "base" else f"models.{name}", "model", model.model, model.revision, source.revision
    for name, commit in pinned_datasets(config, lock).items():
        data = config.tasks[name].data
        yield f"tasks.{name}.data", "dataset", str(data.hub), data.revision, commit
