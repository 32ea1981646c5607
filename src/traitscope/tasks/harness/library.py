"""Loading a task or group of lm-evaluation-harness, through its public API and with errors of ours."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from traitscope.config.lm_eval import LmEvalConfig, greedy_problem
from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean
from traitscope.tasks.harness.calls import Where, harness_call
from traitscope.tasks.harness.files import data_files, harness_version, mark, own_folders, yaml_file

# As simple_evaluate seeds Python's and numpy's generators, which some tasks draw from while they load.
RANDOM_SEED, NUMPY_SEED = 0, 1234
# Loaded tasks are kept: they hold their data, and loading the index of all names takes seconds.
_KEPT = 16


@dataclass(frozen=True, eq=False)
class Loaded:
    """A task of the harness, or a group with its tasks.

    Attributes:
        tasks: the harness' task objects by name.
        group: the harness' group object; None for a single task.
        spec: what the study says.
        docs: the documents of every task, in the harness' order.
    """

    tasks: Mapping[str, Any]
    group: Any | None
    spec: LmEvalConfig
    docs: Mapping[str, Sequence[Any]]
    judged: dict[int, Any] = field(default_factory=dict)

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
    return found if found.spec == spec else replace(found, spec=spec, judged={})


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
    fix = (
        "see that its files are there, and what the task's YAML says: its columns, options with the target among them, "
        "an aggregation for each metric"
    )
    with harness_call("load it", where, fix), _seeded():
        manager = _manager(spec, root, named)
        target = spec.task if named is None else str(named)
        if named is None and target not in manager.all_tasks:
            raise TraitscopeError(
                f"lm-evaluation-harness has no task {spec.task!r}",
                where=where("task"),
                fix=_near(spec.task, manager.all_tasks),
            )
        _check_parts(manager, target, _yaml(named), where)
        found = manager.load([target])
    tasks, groups = found["tasks"], found.get("groups", {})
    children = {name for group in groups.values() for name in group.child_names}
    top = [group for name, group in groups.items() if name not in children]
    if len(top) != 1 and len(tasks) != 1:
        _refuse_several(spec.task, tasks, "a tag", where)
    group = top[0] if top else None
    if group is not None and not group.has_aggregation:
        _refuse_several(spec.task, tasks, "a group without an aggregate", where)
    with harness_call("load it", where, fix):
        for name, task in tasks.items():
            _prepare(name, task, spec, where)
        return Loaded(tasks, group, spec, {name: list(task.eval_docs) for name, task in tasks.items()})


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


def _whole(manager: Any, name: str, named: Path | None, above: tuple[str, ...] = ()) -> bool:
    """Whether everything that the entry consists of is in this index too."""
    if name in above:
        return True
    config = _yaml(named) if named is not None else manager.task_index[name].cfg
    parts = config.get("task") if isinstance(config, Mapping) and "group" in config else None
    names = [part for part in parts if isinstance(part, str)] if isinstance(parts, list) else []
    return all(part in manager.all_tasks and _whole(manager, part, None, (*above, name)) for part in names)


def _yaml(path: Path | None) -> Any:
    from lm_eval.tasks._yaml_loader import load_yaml

    return None if path is None else load_yaml(path, resolve_func=False, recursive=True)


def _near(name: str, known: list[str]) -> str:
    fix = did_you_mean(name, known)
    if not fix.startswith("did you mean"):
        return "`lm_eval ls tasks` lists all names; for tasks of your own add include_path, or name the YAML file"
    return fix


def _refuse_several(name: str, tasks: Mapping[str, Any], what: str, where: Where) -> None:
    shown = ", ".join(list(tasks)[:12]) + (f", ... ({len(tasks)})" if len(tasks) > 12 else "")
    raise TraitscopeError(
        f"{name!r} is {what}: its {len(tasks)} tasks have no score together",
        where=where("task"),
        fix=f"make each a task of the study: {shown}; or write a group of your own with aggregate_metric_list",
    )


def _check_parts(manager: Any, name: str, config: Any, where: Where, above: tuple[str, ...] = ()) -> None:
    """Refuses parts of groups that are not there, and tasks that run code: some do so while they are loaded.

    Args:
        name, config: an entry, and what its YAML says; the index knows more of one of its own.
        above: the groups that it is a part of.
    """
    if name in above:
        raise TraitscopeError(
            f"the group {name!r} is a part of itself", where=where("task"), fix="take it out of its own task: list"
        )
    entry = manager.task_index.get(name)
    config = config if entry is None else entry.cfg
    if not isinstance(config, Mapping):
        # A tag is the set of its tasks.
        for one in entry.tags if entry is not None else ():
            _check_parts(manager, one, None, where, (*above, name))
        return
    if config.get("unsafe_code"):
        _refuse_code(name, where)
    parts = config.get("task")
    for part in parts if isinstance(parts, list) else ():
        inside = str(part if isinstance(part, str) else part.get("group") or part.get("task") or "")
        if isinstance(part, str) and part not in manager.task_index:
            raise TraitscopeError(
                f"the group {name!r} names the task {part!r}, which lm-evaluation-harness does not have",
                where=where("task"),
                fix="name it as the task: line of its file does, and the file's folder by include_path:"
                if part.endswith((".yaml", ".yml"))
                else f"{_near(part, manager.all_tasks)}; include_path: names the folder of tasks beside its YAML file",
            )
        # An inline entry may be a changed one of the same name.
        own = None if isinstance(part, str) or inside in manager.task_index else part
        _check_parts(manager, inside, own, where, (*above, name) if isinstance(part, str) or own else above)


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
    repeats = task.get_config("repeats")
    if isinstance(repeats, int) and repeats < 1:
        raise TraitscopeError(
            f"the task {name!r} has repeats: {repeats}", where=where("task"), fix="write 1 or more in its YAML file"
        )
    with harness_call(f"make the filters of {name!r}", where, "see filter_list in its YAML file"):
        for ensemble in getattr(task, "_filters", ()):
            for made in ensemble.filters:
                made()
    if kind == "generate_until" and spec.gen_kwargs:
        task.set_config(key="generation_kwargs", value=dict(spec.gen_kwargs), update=True)
    shots = task.get_config("num_fewshot")
    if spec.num_fewshot is not None and shots != 0:
        task.set_config(key="num_fewshot", value=spec.num_fewshot)
    elif shots is None:
        task.set_config(key="num_fewshot", value=0)
    if set(task.aggregation()) == {"bypass"}:
        raise TraitscopeError(
            f"the task {name!r} has the metric bypass alone, which judges nothing",
            where=where("task"),
            fix="take another task, or name a metric in its metric_list",
        )
    if kind == "generate_until":
        problem = greedy_problem(
            task.get_config("generation_kwargs") or {}, "write gen_kwargs: {do_sample: false, temperature: 0.0}"
        )
        if problem is not None:
            why, fix = problem
            raise TraitscopeError(
                f"{why} in the task {name!r}, and answers are generated greedily", where=where("task"), fix=fix
            )


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
