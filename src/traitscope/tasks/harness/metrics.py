"""Which metrics a harness task gives, and which of them comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean
from traitscope.tasks.harness.calls import Where
from traitscope.tasks.harness.library import Loaded


def metric_names(loaded: Loaded) -> tuple[str, ...]:
    """The metrics that the task declares, without their filters."""
    if loaded.group is not None:
        return tuple(dict.fromkeys(part.metric for part in loaded.group.aggregate_metric_list))
    (task,) = loaded.tasks.values()
    return tuple(task.aggregation())


def refuse_unjudged(loaded: Loaded, name: str, task: Any, asked: Mapping[int, Sequence[Any]], where: Where) -> None:
    """Refuses what will not be judged, where the harness' own rules can tell before a model is asked.

    Raises:
        TraitscopeError: the task gives no metric for what it asks, or none that the study names.
    """
    from lm_eval.api.task import ConfigurableTask

    # What a process_results of the user's own makes of an invented answer says nothing.
    ours = type(task).process_results is ConfigurableTask.process_results and not callable(task.config.process_results)
    wanted, declared = loaded.spec.metric, metric_names(loaded)
    if loaded.group is not None and wanted is not None and wanted.split(",")[0] not in declared:
        raise _no_metric(wanted, declared, where)
    if not asked or not ours:
        return
    instances = next(iter(asked.values()))
    answers = {"loglikelihood": (-1.0, False), "loglikelihood_rolling": -1.0, "generate_until": "x"}
    try:
        given = [answers[one.request_type] for one in instances]
        found = task.process_results(deepcopy(instances[0].doc), given)
    except Exception:
        return  # metrics that want another answer
    if not found:
        raise TraitscopeError(
            f"the task {name!r} has no metric for what it asks ({task.OUTPUT_TYPE}): "
            f"{', '.join(task.aggregation()) or 'its metric_list is empty'}",
            fix="name others in its metric_list",
        )
    names = [f"{metric},{ensemble.name}" for metric in found for ensemble in task._filters]
    if loaded.group is None and wanted is not None and not any(wanted in (one, one.split(",")[0]) for one in names):
        raise _no_metric(wanted, names, where)


def primary(loaded: Loaded, known: Sequence[str], where: Where) -> str:
    """The name among ``known`` (``acc,none``) of the primary metric.

    That of the study; else the first that the task or group declares, under its first filter.

    Raises:
        TraitscopeError: the study names none of them, or there is none.
    """
    if not known:
        raise TraitscopeError(
            "none of its metrics is a number over these documents",
            where=where("task"),
            fix="see its metric_list and process_results; raise limit, or take another task",
        )
    wanted = loaded.spec.metric
    if wanted is not None:
        for name in known:
            if wanted in (name, name.split(",")[0]):
                return name
        raise _no_metric(wanted, known, where)
    if loaded.group is not None:
        declared = [part.metric for part in loaded.group.aggregate_metric_list]
    else:
        (task,) = loaded.tasks.values()
        declared = list(task.aggregation())
    for metric in declared:
        for name in known:
            if name.split(",")[0] == metric:
                return name
    return known[0]


def _no_metric(wanted: str, known: Sequence[str], where: Where) -> TraitscopeError:
    return TraitscopeError(f"the task has no metric {wanted!r}", where=where("metric"), fix=did_you_mean(wanted, known))
