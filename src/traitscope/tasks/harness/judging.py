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
from copy import deepcopy
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.records import Example, ExampleRecord, Score
from traitscope.tasks.harness.calls import Where, harness_call
from traitscope.tasks.harness.library import Loaded
from traitscope.tasks.harness.metrics import primary
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
                    doc=deepcopy(docs[asked.doc]),
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
                    # It may change the document, which the harness reads anew for every filter.
                    for metric, value in task.process_results(deepcopy(docs[asked.doc]), answers).items():
                        values[name][metric, name_of_filter].append((place, value))
    return Judged(values, dict(filtered))


def rejudged(
    loaded: Loaded, examples: Mapping[str, Example], records: Sequence[ExampleRecord], where: Where
) -> list[ExampleRecord]:
    """The records with what the harness says of each: whether it is right, and what was read out of its answer."""
    judged = judge(loaded, examples, records, where)
    name = primary(loaded, _names(judged), where)
    metric, chosen = name.split(",", 1)
    correct: dict[int, float | None] = {}
    with harness_call("read what it makes of answers", where, "see process_results"):
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
    except (TypeError, ValueError, OverflowError):
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
    with harness_call("aggregate the group", where, "see its aggregate_metric_list"):
        if loaded.group is None:
            (table,) = tables.values()
        else:
            subtasks = {name: _finite(_numbers(found)) for name, found in tables.items()}
            table = loaded.group.aggregate(tables)
        numbers = _numbers(table)
    first = primary(loaded, [name for name in numbers if "_stderr," not in name], where)
    found = _finite(numbers)
    if first not in found:
        raise _no_number(first, numbers[first], judged, records, where)
    names = [name for name in found if "_stderr," not in name]
    scores = []
    for name in [first, *(name for name in names if name != first)]:
        metric, chosen = name.split(",", 1)
        error = found.get(f"{metric}_stderr,{chosen}")
        n, up = int(table["sample_len"]), higher.get(metric, True)
        scores.append(Score(name, found[name], error, n, name == first, up))
    return tuple(scores), subtasks


def _numbers(table: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among a table's ``metric,filter`` entries."""
    found = {}
    for name, value in table.items():
        if "," in name:
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                continue
            found[name] = number
    return found


def _finite(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def _no_number(
    name: str, number: float, judged: Judged, records: Sequence[ExampleRecord], where: Where
) -> TraitscopeError:
    """The error for a primary metric that is nan or infinite; it names the documents whose own values are."""
    metric, chosen = name.split(",", 1)
    values = [pair for found in judged.values.values() for pair in found.get((metric, chosen), ())]
    bad = [records[place].id for place, value in values if isinstance(value, float) and not math.isfinite(value)]
    more = f" and {len(bad) - 4} more" if len(bad) > 4 else ""
    told = f": process_results gives no finite number for the document {', '.join(bad[:4])}{more}" if bad else ""
    return TraitscopeError(
        f"the metric {name!r} is {number}{told}",
        where=where("task"),
        fix="mend its process_results or aggregation, or name another metric by metric:",
    )


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
