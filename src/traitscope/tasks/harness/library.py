"""Loading a task or group of lm-evaluation-harness, through its public API and with errors of ours."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from traitscope.config.lm_eval import LmEvalConfig, sampled
from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean
from traitscope.store.hub_errors import NotOnThisDisk
from traitscope.tasks.harness.files import data_files, harness_version, mark, own_folders, yaml_file

# As simple_evaluate seeds Python's and numpy's generators, which some tasks draw from while they load.
RANDOM_SEED, NUMPY_SEED = 0, 1234
# Loaded tasks are kept: they hold their data, and loading the index of all names takes seconds.
_KEPT = 16

Where = Callable[..., str]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A task of the harness, or a group with its tasks.

    Attributes:
        tasks: the harness' task objects by name.
        group: the harness' group object; None for a single task.
        spec: what the study says.
    """

    tasks: Mapping[str, Any]
    group: Any | None
    spec: LmEvalConfig
    judged: dict[int, Any] = field(default_factory=dict)

    @cached_property
    def docs(self) -> dict[str, list[Any]]:
        """The documents of every task, in the harness' order."""
        with quiet():
            return {name: list(task.eval_docs) for name, task in self.tasks.items()}

    def definition(self) -> str:
        """The whole configuration of the tasks, as JSON."""
        found = {name: task.dump_config() for name, task in self.tasks.items()}
        return json.dumps(found, sort_keys=True, default=_plain_name)


def _plain_name(value: Any) -> str:
    """What stands for a value without a JSON form: a name, never an address of this run."""
    return str(getattr(value, "__qualname__", type(value).__qualname__))


_loaded: dict[str, Loaded] = {}
_managers: dict[str, Any] = {}


def load(spec: LmEvalConfig, root: Path, where: Where) -> Loaded:
    """The task or group, kept for the next time while nothing of it changes.

    Args:
        spec: what the study says.
        root: the folder that paths of the user's own start from.
        where: gives the place of a key below ``lm_eval``.

    Raises:
        TraitscopeError: lm-eval is not installed; there is no such task; its data cannot be had; it runs code, reads
            pictures, or draws answers at random; it is a group without an aggregate.
    """
    asked = spec.model_dump(mode="json", exclude={"limit", "metric", "bootstrap_iters"})
    stamps = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in data_files(spec, root)]
    key = json.dumps([asked, str(root.absolute()), mark(spec, root, where()), stamps], sort_keys=True, default=str)
    if key not in _loaded:
        made = _load(spec, root, where)
        while len(_loaded) >= _KEPT:
            del _loaded[next(iter(_loaded))]
        _loaded[key] = made
    found = _loaded[key]
    return found if found.spec == spec else Loaded(found.tasks, found.group, spec)


def _load(spec: LmEvalConfig, root: Path, where: Where) -> Loaded:
    harness_version(where())
    for index, folder in enumerate(own_folders(spec, root)):
        if not folder.is_dir():
            raise TraitscopeError(
                f"there is no folder {folder.name!r}",
                where=where("include_path", index),
                fix="name a folder with YAML files of lm-evaluation-harness, from the study file's folder",
            )
    named = yaml_file(spec, root)
    if named is not None and not named.is_file():
        raise TraitscopeError(
            f"there is no file {spec.task!r}", where=where("task"), fix="name a YAML file from the study file's folder"
        )
    with quiet(), _seeded(), _errors(where):
        manager = _manager(spec, root, named)
        target = spec.task if named is None else str(named)
        if named is None and target not in manager.all_tasks:
            raise TraitscopeError(
                f"lm-evaluation-harness has no task {spec.task!r}",
                where=where("task"),
                fix=_near(spec.task, manager.all_tasks),
            )
        _refuse_code_before_loading(manager, target, named, where)
        found = manager.load([target])
    tasks, groups = found["tasks"], found.get("groups", {})
    children = {name for group in groups.values() for name in group.child_names}
    top = [group for name, group in groups.items() if name not in children]
    if len(top) != 1 and len(tasks) != 1:
        _refuse_several(spec.task, tasks, "a tag", where)
    group = top[0] if top else None
    if group is not None and not group.has_aggregation:
        _refuse_several(spec.task, tasks, "a group without an aggregate", where)
    for name, task in tasks.items():
        _prepare(name, task, spec, where)
    return Loaded(tasks, group, spec)


def _manager(spec: LmEvalConfig, root: Path, named: Path | None) -> Any:
    """The harness' index of names: of the user's own files alone where that has the task, since all take seconds."""
    from lm_eval.tasks import TaskManager

    folders = own_folders(spec, root)
    own = TaskManager(include_path=folders or None, include_defaults=False) if folders or named else None
    if own is not None and (spec.task in own.all_tasks or named is not None) and _whole(own, spec.task, named):
        return own
    key = json.dumps([str(folder.absolute()) for folder in folders])
    if folders or key not in _managers:
        _managers[key] = TaskManager(include_path=folders or None)
    return _managers[key]


def _whole(manager: Any, name: str, named: Path | None) -> bool:
    """Whether everything that the entry consists of is in this index too."""
    config = _yaml(named) if named is not None else manager.task_index[name].cfg
    parts = config.get("task") if isinstance(config, Mapping) and "group" in config else None
    names = [part for part in parts if isinstance(part, str)] if isinstance(parts, list) else []
    return all(part in manager.all_tasks and _whole(manager, part, None) for part in names)


def _yaml(path: Path | None) -> Any:
    from lm_eval.tasks._yaml_loader import load_yaml

    return None if path is None else load_yaml(path, resolve_func=False, recursive=True)


def _near(name: str, known: list[str]) -> str:
    fix = did_you_mean(name, known)
    if fix.startswith("write one of"):
        return "`lm_eval ls tasks` lists all names; for tasks of your own add include_path, or name the YAML file"
    return fix


def _refuse_several(name: str, tasks: Mapping[str, Any], what: str, where: Where) -> None:
    shown = ", ".join(list(tasks)[:12]) + (f", ... ({len(tasks)})" if len(tasks) > 12 else "")
    raise TraitscopeError(
        f"{name!r} is {what}: its {len(tasks)} tasks have no score together",
        where=where("task"),
        fix=f"make each a task of the study: {shown}; or write a group of your own with aggregate_metric_list",
    )


def _refuse_code_before_loading(manager: Any, target: str, named: Path | None, where: Where) -> None:
    """Some such tasks run code while they are loaded."""
    seen: set[str] = set()
    waiting = [target]
    while waiting:
        name = waiting.pop()
        entry = manager.task_index.get(name)
        config = entry.cfg if entry is not None else _yaml(named) if name == target else None
        if name in seen:
            continue
        seen.add(name)
        if not isinstance(config, Mapping):
            # A tag is the set of its tasks.
            waiting += entry.tags if entry is not None else ()
            continue
        if config.get("unsafe_code"):
            _refuse_code(name, where)
        parts = config.get("task")
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, Mapping) and part.get("unsafe_code"):
                _refuse_code(str(part.get("task")), where)
            waiting.append(part if isinstance(part, str) else str(part.get("task", "")))


def _refuse_code(name: str, where: Where) -> None:
    raise TraitscopeError(
        f"the task {name!r} runs the code that a model writes, in this very process",
        where=where("task"),
        fix="take another task, or the study's own tasks for generated code, which are run apart (docs/tasks.md)",
    )


def _prepare(name: str, task: Any, spec: LmEvalConfig, where: Where) -> None:
    """What simple_evaluate does to a task between loading and asking."""
    kind = task.OUTPUT_TYPE
    if getattr(task, "UNSAFE_CODE", False):
        _refuse_code(name, where)
    if getattr(task, "MULTIMODAL", False):
        raise TraitscopeError(
            f"the task {name!r} shows pictures or sound, and the models here read text",
            where=where("task"),
            fix="take a task of text",
        )
    if kind == "generate_until" and spec.gen_kwargs:
        task.set_config(key="generation_kwargs", value=dict(spec.gen_kwargs), update=True)
    shots = task.get_config("num_fewshot")
    if spec.num_fewshot is not None and shots != 0:
        task.set_config(key="num_fewshot", value=spec.num_fewshot)
    elif shots is None:
        task.set_config(key="num_fewshot", value=0)
    if kind == "generate_until":
        why = sampled(task.get_config("generation_kwargs") or {})
        if why is not None:
            raise TraitscopeError(
                f"{why} in the task {name!r}, and answers are generated greedily",
                where=where("task"),
                fix="write gen_kwargs: {do_sample: false, temperature: 0.0}, or take another task",
            )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The harness prints, logs and shows bars; an outcome of ours is told by us."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets", "evaluate")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        nowhere = io.StringIO()
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Python's and numpy's generators as simple_evaluate seeds them, and as they were afterwards."""
    import numpy as np

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(RANDOM_SEED)
    np.random.seed(NUMPY_SEED)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextlib.contextmanager
def _errors(where: Where) -> Iterator[None]:
    """Whatever the harness and its libraries raise while a task is loaded, as one error of ours."""
    try:
        yield
    except TraitscopeError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        told = f"{type(error).__name__} {text}".lower()
        offline = any(word in told for word in ("offline", "connect", "resolve host", "couldn't reach"))
        fix = "see that its files are there, and that the task's YAML says what lm-evaluation-harness wants"
        if offline:
            fix = "connect to the Hub once (without HF_HUB_OFFLINE), or name a task whose data is on this disk"
        raise (NotOnThisDisk if offline else TraitscopeError)(
            f"lm-evaluation-harness cannot load it: {type(error).__name__}: {text}", where=where("task"), fix=fix
        ) from error
