"""From answers to scores by the harness' own filters, ``process_results`` and aggregations; no model is needed.

What follows is ``lm_eval.evaluator.evaluate`` after its models have answered, for the documents at hand.
"""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.records import Example, ExampleRecord, Score
from traitscope.registry import did_you_mean
from traitscope.tasks.harness.calls import Where, harness_call
from traitscope.tasks.harness.library import Loaded
from traitscope.tasks.harness.requests import Asked

# A filter's word for an answer in which it found none.
_INVALID = "[invalid]"
# What the harness bootstraps it draws at most so often for these, which are slow.
_SLOW, _SLOW_DRAWS = ("bleu", "chrf", "chrf++", "ter"), 100

Key = tuple[str, str]


@dataclass(frozen=True)
class Judged:
    """What the harness makes of the answers to some documents.

    Attributes:
        values: by task, then by (metric, filter): (place among the records, value) of every document that has one.
        filtered: by filter and place, the document's answers as the filter left them.
    """

    values: dict[str, dict[Key, list[tuple[int, Any]]]]
    filtered: dict[str, dict[int, list[Any]]]


def judge(loaded: Loaded, examples: Mapping[str, Example], records: Sequence[ExampleRecord], where: Where) -> Judged:
    """Filters and ``process_results`` over the stored responses.

    Raises:
        TraitscopeError: a record has no responses, or the harness cannot judge them.
    """
    key = hash(tuple((record.id, record.responses) for record in records))
    if key not in loaded.judged:
        made = _judge(loaded, examples, records, where)
        # Judged once for the examples and once for the scores.
        loaded.judged.clear()
        loaded.judged[key] = made
    found: Judged = loaded.judged[key]
    return found


def _judge(loaded: Loaded, examples: Mapping[str, Example], records: Sequence[ExampleRecord], where: Where) -> Judged:
    from lm_eval.api.instance import Instance

    by_task: dict[str, list[tuple[int, Asked, list[Any]]]] = {name: [] for name in loaded.tasks}
    for place, record in enumerate(records):
        example = examples.get(record.id)
        if example is None or record.responses is None:
            raise TraitscopeError(
                f"the record {record.id!r} has no answers of the harness' requests, or belongs to no document",
                where=where(),
                fix="evaluate the cell anew: its records were made from other rows",
            )
        asked = Asked.from_json(example.requests)
        by_task[asked.task].append((place, asked, json.loads(record.responses)))
    values: dict[str, dict[Key, list[tuple[int, Any]]]] = {}
    filtered: dict[str, dict[int, list[Any]]] = defaultdict(dict)
    for name, members in by_task.items():
        if not members:
            continue
        task, docs = loaded.tasks[name], loaded.docs[name]
        # As the harness goes through them.
        members.sort(key=lambda item: item[1].doc)
        instances: dict[int, list[Any]] = {}
        for place, asked, responses in members:
            instances[place] = [
                Instance(
                    request_type=request.kind,
                    doc=docs[asked.doc],
                    arguments=(request.prompt.text, request.text),
                    idx=number,
                    metadata=(name, asked.doc, asked.repeats),
                    resps=[tuple(answer) if isinstance(answer, list) else answer] * asked.repeats,
                )
                for number, (request, answer) in enumerate(zip(asked.requests, responses, strict=True))
            ]
        values[name] = defaultdict(list)
        with harness_call(f"judge answers to {name!r}", where, "see its filters and process_results"):
            task._instances = [one for some in instances.values() for one in some]
            task.apply_filters()
            for name_of_filter in next(iter(instances.values()))[0].filtered_resps:
                for place, asked, _ in members:
                    answers = [one.filtered_resps[name_of_filter] for one in instances[place]]
                    filtered[name_of_filter][place] = answers
                    for metric, value in task.process_results(docs[asked.doc], answers).items():
                        values[name][metric, name_of_filter].append((place, value))
    return Judged(values, dict(filtered))


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
        raise TraitscopeError(
            f"the task has no metric {wanted!r}", where=where("metric"), fix=did_you_mean(wanted, known)
        )
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


def rejudged(
    loaded: Loaded, examples: Mapping[str, Example], records: Sequence[ExampleRecord], where: Where
) -> list[ExampleRecord]:
    """The records with what the harness says of each: whether it is right, and what was read out of its answer."""
    judged = judge(loaded, examples, records, where)
    name = primary(loaded, _names(judged), where)
    metric, chosen = name.split(",", 1)
    correct: dict[int, float | None] = {}
    for task in judged.values:
        for place, value in judged.values[task].get((metric, chosen), ()):
            correct[place] = _share(value)
    bounded = all(value is not None for value in correct.values())
    found = []
    for place, record in enumerate(records):
        example = examples[record.id]
        changes: dict[str, Any] = {"correct": correct.get(place) if bounded else None}
        if Asked.from_json(example.requests).requests[0].kind == "generate_until":
            said = judged.filtered[chosen].get(place, [None])[0]
            text = said if isinstance(said, str) else None if said is None else json.dumps(said, default=str)
            valid = text is not None and text != _INVALID
            changes |= {"pred": text if valid else None, "valid": valid}
        found.append(replace(record, **changes))
    return found


def _share(value: Any) -> float | None:
    """A document's value where it lies between 0 and 1; of (gold, predicted) pairs whether they are the same."""
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, Integral) for part in value):
        return float(value[0] == value[1])
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0.0 <= number <= 1.0 else None


def _names(judged: Judged) -> list[str]:
    """``metric,filter`` of everything that was judged, in order."""
    found = {f"{metric},{chosen}": None for values in judged.values.values() for metric, chosen in values}
    return list(found)


def scored(
    loaded: Loaded, examples: Mapping[str, Example], records: Sequence[ExampleRecord], where: Where
) -> tuple[tuple[Score, ...], dict[str, dict[str, float]]]:
    """All metrics with the harness' standard errors, the primary one first; for a group those of its tasks too.

    Raises:
        TraitscopeError: as ``judge`` and ``primary``; or the primary metric is no number.
    """
    judged = judge(loaded, examples, records, where)
    tables = {
        name: _aggregate(loaded.tasks[name], values, loaded.spec.bootstrap_iters, where)
        for name, values in judged.values.items()
    }
    higher: dict[str, bool] = {}
    for name in judged.values:
        for metric, up in loaded.tasks[name].higher_is_better().items():
            higher.setdefault(metric, bool(up))
    subtasks: dict[str, dict[str, float]] = {}
    if loaded.group is None:
        (table,) = tables.values()
    else:
        subtasks = {name: _numbers(found) for name, found in tables.items()}
        with harness_call("aggregate the group", where, "see its aggregate_metric_list"):
            table = loaded.group.aggregate(tables)
    found = _numbers(table)
    names = [name for name in found if "_stderr," not in name]
    first = primary(loaded, names, where)
    scores = []
    for name in [first, *(name for name in names if name != first)]:
        metric, chosen = name.split(",", 1)
        error = found.get(f"{metric}_stderr,{chosen}")
        n, up = int(table["sample_len"]), higher.get(metric, True)
        scores.append(Score(name, found[name], error, n, name == first, up))
    return tuple(scores), subtasks


def _numbers(table: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers among a table's ``metric,filter`` entries."""
    found = {}
    for name, value in table.items():
        if "," in name:
            try:
                number = float(value)
            except (TypeError, ValueError):
                continue
            if math.isfinite(number):
                found[name] = number
    return found


def _aggregate(task: Any, values: Mapping[Key, Sequence[tuple[int, Any]]], draws: int, where: Where) -> dict[str, Any]:
    """A task's table as lm-eval's evaluator makes it."""
    from lm_eval.api.metrics import mean, stderr_for_metric

    table: dict[str, Any] = {"sample_len": 0}
    with harness_call(f"aggregate {task.task_name!r}", where, "see the aggregation in its metric_list"), _one_process():
        for (metric, chosen), found in values.items():
            items = [value for _, value in found]
            aggregate = task.aggregation().get(metric, mean)
            table[f"{metric},{chosen}"] = aggregate(items)
            table["sample_len"] = max(table["sample_len"], len(items))
            error = stderr_for_metric(aggregate, min(draws, _SLOW_DRAWS) if metric in _SLOW else draws)
            table[f"{metric}_stderr,{chosen}"] = error(items) if error and len(items) > 1 else "N/A"
    return table


@contextmanager
def _one_process() -> Iterator[None]:
    """The harness bootstraps in this process: forked ones would inherit its threads' locks."""
    name = "DISABLE_MULTIPROC"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
