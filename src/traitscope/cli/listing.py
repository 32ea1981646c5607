"""What ``traitscope ls`` lists: rows of a table, which are JSON as they are, and their text."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean, registry
from traitscope.store.hub_errors import NotOnThisDisk
from traitscope.texts import table_text

if TYPE_CHECKING:
    from traitscope.records import ExampleRecord
    from traitscope.study import Study

Rows = list[dict[str, Any]]

# What a kind is called in the plural -> its registry.
KINDS = {
    "metrics": "metric",
    "parsers": "parser",
    "formats": "file format",
    "controls": "control",
    "measures": "measure",
    "statistics": "statistic",
    "predictors": "predictor",
    "routers": "router",
}
_LONGEST = 400


def registered_rows(kind: str) -> Rows:
    """What is registered of a kind (a key of ``KINDS``): name, version, what it is, where its definition comes from."""
    rows = []
    for entry in registry(KINDS[kind]):
        value = entry.value
        row: dict[str, Any] = {KINDS[kind]: entry.name, "version": entry.version}
        if kind == "metrics":
            row |= {
                "better": "higher" if value.higher_is_better else "lower",
                "range": f"{value.low:g} to {value.high:g}",
                "answers": ", ".join(sorted(value.forms)),
            }
        if entry.plugin is not None:
            row["plugin"] = entry.file
        rows.append({**row, "what": _doc(value), "reference": entry.reference})
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key, "") for key in columns} for row in rows]


def _doc(value: Any) -> str:
    """What it is, in its first paragraph: its own definition, or the docstring of its code."""
    computed = (getattr(value, key, None) for key in ("values", "corpus", "of_counts"))
    code = next((one for one in computed if callable(one)), value)
    text = getattr(value, "definition", None) or inspect.getdoc(code) or ""
    return str(text).split("\n\n")[0].replace("\n", " ").strip()


def built_in_tasks() -> Rows:
    """The generated tasks that ``data: {embedded: name}`` names."""
    from traitscope.tasks.embedded.generators import TASKS

    return [
        {
            "task": name,
            "columns": ", ".join(task.columns),
            "classes": ", ".join(task.shares) or "free answers",
            "skills": ", ".join(task.skills),
        }
        for name, task in TASKS.items()
    ]


def task_rows(study: Study) -> Rows:
    """The tasks of a study; of rows that this disk does not hold, or not with the base that measures them, the number
    that the study asks for."""

    def counted(count: Callable[[str], int], name: str, asked: object, *, some: bool) -> object:
        try:
            return count(name)
        except NotOnThisDisk:
            return 0 if not some else asked if isinstance(asked, int) else "all"

    data = next(iter(study.by_base().values())).data
    return [
        {
            "task": name,
            "answers": task.form,
            "metrics": "lm-eval's own" if task.form == "lm_eval" else ", ".join(task.metric_names),
            "train": counted(data.n_train, name, task.config.data.train, some=task.config.data.has_train),
            "eval": counted(data.n_eval, name, task.config.data.eval, some=task.config.data.has_eval),
            "tags": ", ".join(f"{key}: {value}" for key, value in task.config.tags.items()),
        }
        for name, task in data.tasks.items()
    ]


def adapter_rows(study: Study) -> Rows:
    """The adapters of a study and whether they are trained; of several base models with their names."""
    if study.inner:
        return [{"base": name, **row} for name, part in _as_they_lie(study).items() for row in adapter_rows(part)]
    finished = {head.name: head for head in study.folder.adapters()}
    rows = []
    for unit in study.adapter_units():
        head = finished.get(unit.name)
        state = "missing" if head is None else "trained" if head.fingerprint == unit.fingerprint else "changed"
        rows.append(
            {
                "adapter": unit.name,
                "source": unit.source,
                "seed": unit.seed,
                "state": state,
                "fingerprint": unit.fingerprint[:12],
            }
        )
    return rows


def cell_rows(study: Study, model: str | None, task: str | None) -> Rows:
    """The scores of a study's cells; of several base models with their names, the models as ``base/row`` or ``row``."""
    if study.inner:
        of_base, inner = _split(study, model)
        parts = {name: part for name, part in _as_they_lie(study).items() if of_base in (None, name)}
        return [{"base": name, **row} for name, part in parts.items() for row in cell_rows(part, inner, task)]
    for column, wanted, known in (("model", model, study.models()), ("task", task, study.config.target_names())):
        if wanted is not None:
            _known(column, wanted, known)
    table = study.score_table()
    for column, wanted in (("model", model), ("task", task)):
        table = table if wanted is None else table[table[column] == wanted]
    columns = ("model", "task", "metric", "value", "stderr", "n", "primary")
    return [dict(zip(columns, row, strict=True)) for row in zip(*(table[key].tolist() for key in columns), strict=True)]


def example_rows(study: Study, model: str | None, task: str | None, n: int, outcome: str | None = None) -> Rows:
    """The first examples of a task, by split; or, of a model, its answers beside the base's.

    Args:
        outcome: those alone that a model got "right" or "wrong", or whose outcome beside the base's is one of
            ``report.shown.TABS``.

    Raises:
        TraitscopeError: no task was named, or there is no such task, model or cell.
    """
    if study.inner:
        name, inner = _split(study, model)
        parts = _as_they_lie(study)
        if name is None and model is not None and len(parts) > 1:
            fix = f"write base/{model}, or add --base; of {', '.join(parts)}"
            raise TraitscopeError("a row of which base model?", where="--model", fix=fix)
        return example_rows(parts[name or next(iter(parts))], inner, task, n, outcome)
    if task is None:
        raise TraitscopeError("examples of which task?", fix="add --task NAME (and --model NAME for its answers)")
    _known("task", task, tuple(study.config.tasks))
    if model is None:
        loaded = study.data.load(task)
        return [
            {"split": split, "id": example.id, "prompt": example.prompt, "answer": example.answer}
            for split, examples in (("train", loaded.train), ("eval", loaded.eval))
            for example in examples[:n]
        ]
    _known("model", model, study.models())
    records = study.read_records(model, task)
    examples = {example.id: example for example in study.examples(task)["eval"]}
    base = {} if model == "base" else _base_records(study, task)
    if outcome is not None:
        kept = _of_outcome(outcome, records, list(base.values()) or None, task)
        records = [record for record in records if record.id in kept]
    rows = []
    for record in records[:n]:
        example = examples.get(record.id)
        row: dict[str, Any] = {
            "id": record.id,
            "prompt": "" if example is None else example.prompt,
            **_answer(record),
            "right": record.gold,
            "loss": record.loss,
        }
        if example is not None and example.options is not None and record.logprobs is not None:
            row["options"] = dict(zip(example.options, record.logprobs, strict=False))
        if (other := base.get(record.id)) is not None:
            row["base"] = _answer(other)
            if "options" in row and other.logprobs is not None:
                row["base"]["options"] = dict(zip(row["options"], other.logprobs, strict=False))
        rows.append(row)
    return rows


def _of_outcome(
    outcome: str, records: Sequence[ExampleRecord], base: Sequence[ExampleRecord] | None, task: str
) -> set[str]:
    """The ids of a model's records with an outcome."""
    from traitscope.report.shown import ALONE, tabs

    flag = f"--{outcome.replace('_', '-')}"
    if records and outcome not in ("won", "lost") and all(record.correct is None for record in records):
        raise TraitscopeError(
            "its answers are neither right nor wrong: it has losses", where=task, fix=f"leave out {flag}"
        )
    if outcome not in ALONE and base is None:
        raise TraitscopeError("there is nothing to compare with", where=flag, fix="name a model that has a base beside")
    found = tabs(None if outcome in ALONE else base, records, {})
    return {shown.id for shown in found[outcome]}


def _as_they_lie(study: Study) -> Mapping[str, Study]:
    """The study on each of its base models, where the run of one that will be taken over counts."""
    from traitscope.study import BasesStudy

    assert isinstance(study, BasesStudy)
    owner = study.check_folder()
    return {name: study.as_it_lies(part, owner) for name, part in study.parts.items()}


def _split(study: Study, model: str | None) -> tuple[str | None, str | None]:
    """Base model and row of what ``--model`` names: ``base/row``, or a row of whichever base."""
    name, slash, row = (model or "").partition("/")
    return (name, row) if slash and name in study.by_base() else (None, model)


def _base_records(study: Study, task: str) -> dict[str, ExampleRecord]:
    try:
        return {record.id: record for record in study.read_records("base", task)}
    except TraitscopeError:
        return {}  # not evaluated yet


def _answer(record: ExampleRecord) -> dict[str, Any]:
    found: dict[str, Any] = {"predicted": record.pred, "correct": record.correct}
    return found if record.output is None else {**found, "output": record.output}


def rows_text(rows: Rows) -> str:
    """Rows as a table, numbers flush right."""
    if not rows:
        return "there are none"
    columns = list(rows[0])
    right = [i for i, key in enumerate(columns) if isinstance(rows[0][key], int | float)]
    return table_text([columns, *([str(row[key]) for key in columns] for row in rows)], right=right)


def cells_text(rows: Rows) -> str:
    """Scores as a table."""
    several = any("base" in row for row in rows)
    lines = [[*(["base"] if several else []), "model", "task", "metric", "value", "error", "n"]]
    for row in rows:
        error = "" if math.isnan(row["stderr"]) else f"{row['stderr']:.4f}"
        name = f"{row['metric']}*" if row["primary"] else str(row["metric"])
        first = [str(row["base"])] if several else []
        lines.append([*first, str(row["model"]), str(row["task"]), name, f"{row['value']:.4f}", error, str(row["n"])])
    return table_text(lines, right=range(len(lines[0]) - 3, len(lines[0]))) + "\n* primary metric"


def examples_text(rows: Rows) -> str:
    """Examples one below the other."""
    return "\n".join(_example_text(row) for row in rows) if rows else "there are none"


def _example_text(row: dict[str, Any]) -> str:
    if "split" in row:
        return f"{row['split']} {row['id']}\n{row['prompt']}\n-> {row['answer']!r}\n"
    lines = [str(row["id"]), row["prompt"], f"-> {_said(row)}, right: {row['right']!r}, loss {row['loss']:.3f}"]
    base = row.get("base")
    if base is not None:
        lines.append(f"   base: {_said(base)}")
    if "options" in row:
        table = [["option", "log-likelihood", *(["base"] if base is not None else [])]]
        for option, value in row["options"].items():
            beside = [] if base is None else [_number(base.get("options", {}).get(option))]
            table.append([repr(option), _number(value), *beside])
        lines.append(table_text(table, indent="   "))
    return "\n".join([*lines, ""])


def _said(answer: dict[str, Any]) -> str:
    pred = "(invalid)" if answer["predicted"] is None else repr(answer["predicted"])
    output = answer.get("output")
    if output is None:
        return pred
    return f"{pred}, wrote {output if len(output) <= _LONGEST else output[:_LONGEST] + ' [...]'!r}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _known(word: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise TraitscopeError(f"there is no {word} {name!r}", where=f"--{word}", fix=did_you_mean(name, known))
