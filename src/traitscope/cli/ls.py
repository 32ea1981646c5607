"""``traitscope ls``: what is in a study."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, friendly, open_study
from traitscope.errors import TraitscopeError

if TYPE_CHECKING:
    from traitscope.study import Study


class What(StrEnum):
    """What can be listed."""

    tasks = "tasks"
    metrics = "metrics"
    adapters = "adapters"
    cells = "cells"
    examples = "examples"


@friendly
def ls(
    what: Annotated[What, typer.Argument(help="What to list.")],
    study: Annotated[
        Path, typer.Argument(help="A study file, or a run folder (not needed for metrics).")
    ] = DEFAULT_STUDY,
    task: Annotated[str | None, typer.Option(help="Only this task (examples: needed).")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model (examples: with its answers).")] = None,
    n: Annotated[int, typer.Option("-n", help="At most this many examples.")] = 5,
    out: OutOption = None,
) -> None:
    """List tasks, metrics, adapters, cells or examples."""
    if what is What.metrics and not study.exists():
        typer.echo(_metrics())
        return
    # A study's plugins may have added metrics.
    opened, _ = open_study(study, out, quiet=True)
    if what is What.metrics:
        typer.echo(_metrics())
        return
    if what is What.tasks:
        typer.echo(_tasks(opened))
    elif what is What.adapters:
        typer.echo(_adapters(opened))
    elif what is What.cells:
        typer.echo(_cells(opened, model, task))
    else:
        typer.echo(_examples(opened, model, task, n))


def _table(rows: list[list[str]], right: tuple[int, ...] = ()) -> str:
    from traitscope.texts import table_text

    return table_text(rows, right=right)


def _metrics() -> str:
    from traitscope.metrics import METRICS

    rows = [["metric", "version", "better", "range", "answers", "reference"]]
    for entry in METRICS:
        metric = entry.value
        better = "higher" if metric.higher_is_better else "lower"
        forms = ", ".join(sorted(metric.forms))
        rows.append(
            [entry.name, str(entry.version), better, f"{metric.low:g} to {metric.high:g}", forms, entry.reference]
        )
    return _table(rows)


def _tasks(study: Study) -> str:
    rows = [["task", "answers", "metrics", "train", "eval", "tags"]]
    for name, task in study.data.tasks.items():
        tags = ", ".join(f"{key}: {value}" for key, value in task.config.tags.items())
        counts = [str(study.data.n_train(name)), str(study.data.n_eval(name))]
        rows.append([name, task.form, ", ".join(task.metric_names), *counts, tags])
    return _table(rows, (3, 4))


def _adapters(study: Study) -> str:
    rows = [["adapter", "source", "seed", "state", "fingerprint"]]
    finished = {head.name: head for head in study.folder.adapters()}
    for unit in study.adapter_units():
        head = finished.get(unit.name)
        state = "missing" if head is None else "trained" if head.fingerprint == unit.fingerprint else "changed"
        rows.append([unit.name, unit.source, str(unit.seed), state, unit.fingerprint[:12]])
    return _table(rows, (2,))


def _cells(study: Study, model: str | None, task: str | None) -> str:
    table = study.score_table()
    for column, wanted, known in (("model", model, study.models()), ("task", task, study.config.target_names())):
        if wanted is not None:
            _known(column, wanted, known)
            table = table[table[column] == wanted]
    rows = [["model", "task", "metric", "value", "error", "n"]]
    columns = [table[name].tolist() for name in ("model", "task", "metric", "primary", "value", "stderr", "n")]
    for model_name, task_name, metric, primary, value, stderr, n in zip(*columns, strict=True):
        error = "" if math.isnan(stderr) else f"{stderr:.4f}"
        rows.append([model_name, task_name, f"{metric}*" if primary else metric, f"{value:.4f}", error, str(n)])
    return _table(rows, (3, 4, 5)) + "\n* primary metric"


def _examples(study: Study, model: str | None, task: str | None, n: int) -> str:
    if task is None:
        raise TraitscopeError("examples of which task?", fix="add --task NAME (and --model NAME for its answers)")
    _known("task", task, tuple(study.config.tasks))
    if model is None:
        loaded = study.data.load(task)
        lines = []
        for split, examples in (("train", loaded.train), ("eval", loaded.eval)):
            for example in examples[:n]:
                lines.append(f"{split} {example.id}\n{example.prompt}\n-> {example.answer!r}\n")
        return "\n".join(lines)
    _known("model", model, study.models())
    prompts = {example.id: example.prompt for example in study.examples(task)["eval"]}
    lines = []
    for record in study.read_records(model, task)[:n]:
        pred = "(invalid)" if record.pred is None else repr(record.pred)
        output = f", wrote {record.output!r}" if record.output is not None else ""
        shown = prompts.get(record.id, "")
        lines.append(f"{record.id}\n{shown}\n-> {pred}, right: {record.gold!r}{output}, loss {record.loss:.3f}\n")
    return "\n".join(lines)


def _known(word: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        from traitscope.registry import did_you_mean

        raise TraitscopeError(f"there is no {word} {name!r}", fix=did_you_mean(name, known))
