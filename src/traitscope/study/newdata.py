"""A dataset that no adapter was trained on, beside a study: as one more source in a run folder of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from traitscope.config import DataConfig, StudyConfig, TaskConfig
from traitscope.config.recipe import SourceConfig
from traitscope.config.settings import settings_from
from traitscope.config.yamlfile import read_yaml
from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean
from traitscope.study import filling
from traitscope.study.context import Context
from traitscope.study.part import Part
from traitscope.study.probes import FOLDER as PROBES
from traitscope.study.probes import plain_sources, probe_config

FOLDER = "new"
# Rows that a short training of the new dataset is judged on, target by target.
ROWS = 64


def with_dataset(study: Context, path: Path, like: str | None) -> tuple[Context, str]:
    """A study that has the file's rows as one more source, and the source's name: the file's, without its ending.

    Args:
        study: the study; what its folder knows of its own datasets is taken over.
        path: rows in any format that a study reads, or a YAML file with a task's ``data``, ``prompt`` and ``answer``.
        like: of rows, the task whose prompt and answer they have.

    Raises:
        TraitscopeError: no such file or task, a name that is taken, or a task that cannot be read.
    """
    if not path.is_file():
        raise TraitscopeError("no such file", where=str(path), fix="check the path")
    name, config = dataset_name(path), study.config
    taken = {"base", *config.mixes, *config.models, *config.tasks, *(s.name for s in config.resolved_sources())}
    if name in taken:
        raise TraitscopeError(f"the study has {name!r} already", where=str(path), fix="rename the file")
    task = _task_file(path) if path.suffix in (".yaml", ".yml") else _rows_like(config, path, like)
    entries = [SourceConfig(name=s.name, task=s.task, **_changes(config, s)) for s in plain_sources(config)]
    found = config.model_copy(
        update={
            "study": f"{config.study}-{name}",
            "tasks": {**config.tasks, name: task},
            "sources": (*entries, SourceConfig(name=name)),
            "targets": config.target_names(),
            "controls": {},
            "mixes": {},
            "models": {},
            "layers": None,
        }
    ).with_root(config.root)
    beside = Context(
        found, study.folder.root / FOLDER / name, report=study.report_to, backend=study.given_backend, on=study.on
    )
    for part in ("hidden", "gradients"):
        _take_over(study.folder.root / part, beside.folder.root / part)
    return beside, name


def dataset_name(path: Path) -> str:
    """The name of the source that a file's rows make: the file's, dots within it as underscores.

    Raises:
        TraitscopeError: it holds what a name may not.
    """
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    name = stem.replace(".", "_")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name):
        raise TraitscopeError(
            f"{stem!r} is no name for a source", where=str(path), fix="rename the file: a-z, 0-9, - and _"
        )
    return name


def _changes(config: StudyConfig, source: Any) -> dict[str, Any]:
    given = source.recipe.model_dump()
    return {key: value for key, value in given.items() if value != getattr(config.recipe, key)}


def _rows_like(config: StudyConfig, path: Path, like: str | None) -> TaskConfig:
    if like is None:
        raise TraitscopeError(
            "nothing says how its rows are asked", where=str(path), fix="add --like TASK, or give a task's YAML file"
        )
    if like not in config.tasks:
        raise TraitscopeError(f"no task is named {like!r}", where="--like", fix=did_you_mean(like, config.tasks))
    data = DataConfig.model_validate({"path": {"train": str(path.resolve())}})
    return config.tasks[like].model_copy(update={"data": data, "copy_of": None})


def _task_file(path: Path) -> TaskConfig:
    data, places = read_yaml(path)
    if not isinstance(data, Mapping):
        raise TraitscopeError("is no task", where=str(path), fix="write data:, prompt: and answer: as in a study file")
    found = settings_from(TaskConfig, _absolute(data, path.parent), places, path.parent)
    if not found.data.has_train:
        raise TraitscopeError("has no train rows", where=str(path), fix="give data a train number, or a train file")
    return found


def _absolute(task: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The task with the paths of its rows from the file's folder: a study resolves them from its own."""

    def place(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: place(inner) for key, inner in value.items()}
        return [place(one) for one in value] if isinstance(value, list) else str((root / str(value)).absolute())

    data = task.get("data")
    if not isinstance(data, Mapping) or "path" not in data:
        return dict(task)
    return {**task, "data": {**data, "path": place(data["path"])}}


def _take_over(one: Path, other: Path) -> None:
    """Copies what is not there yet; every file says itself what it was made from."""
    if one.is_dir():
        other.mkdir(parents=True, exist_ok=True)
        for file in one.glob("*.safetensors"):
            if not (other / file.name).exists():
                shutil.copy2(file, other / file.name)


def probe_all(study: Context, beside: Context, stop: Callable[[], bool] | None) -> None:
    """Short trainings of the new dataset and of every source that has none yet, evaluated on all targets.

    Raises:
        Stopped: ``stop`` said so; the same call goes on.
    """
    known, root = study.folder.root / PROBES, beside.folder.root / PROBES
    if known.is_dir() and not root.exists():
        shutil.copytree(known, root, ignore=shutil.ignore_patterns("leases", "checkpoints"))
    probes = Context(probe_config(beside), root, report=study.report_to, backend=study.given_backend, on=study.on)
    names = [f"{source.name}-s{source.recipe.seeds[0]}" for source in plain_sources(beside.config)]
    rows = {(model, task): ROWS for model in ("base", *names) for task in beside.config.target_names()}
    # What was made of other rows or another recipe is put aside: the folder holds nothing but forecasts.
    filling.fill(probes, train=True, evaluate=True, replace=True, stop=stop, part=Part(frozenset(names), rows))
