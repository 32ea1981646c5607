"""From the engine's outputs to one record per example, and from records to scores and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traitscope.errors import TraitscopeError
from traitscope.metrics import METRICS, Outcomes, confusion_matrix, example_values, score
from traitscope.plugins import calling
from traitscope.records import Cell, Example, ExampleRecord, Generated, Score
from traitscope.sandbox import PASSED
from traitscope.tasks.coding import OnRun, code_of, judge_code
from traitscope.tasks.parsers import cut_at_stop, parse

if TYPE_CHECKING:
    from traitscope.tasks.task import Task

INVALID = "(invalid)"

OptionLogprobs = Sequence[Sequence[NDArray[np.floating]]]
"""Per example and per option of its ``OptionRow``: the log-likelihood of every token, in nats."""


def judge_options(task: Task, examples: Sequence[Example], logprobs: OptionLogprobs) -> list[ExampleRecord]:
    """Records of a choice task; the last option of every row is gold + stop token and gives the loss.

    The prediction is the option with the highest summed log-likelihood (the first of equal ones);
    ``pred_norm`` divides the sum by the option's characters without the space in front (or by its tokens,
    ``answer.normalise``).

    Raises:
        TraitscopeError: if a log-likelihood is not a number, or the outputs do not belong to the examples.
    """
    _check_lengths(task, examples, logprobs)
    records = []
    for example, options in zip(examples, logprobs, strict=True):
        assert example.options is not None and example.gold is not None
        names = [o.strip() for o in example.options]
        if len(options) != len(names) + 1:
            raise ValueError(f"{task.name}, example {example.id}: {len(options)} scores for {len(names)} + 1 options")
        sums = np.array([np.sum(o, dtype=np.float64) for o in options[:-1]])
        _check_numbers(task, example, sums)
        tokens = np.array([len(o) for o in options[:-1]], dtype=np.float64)
        characters = np.array([len(o.lstrip()) for o in example.options], dtype=np.float64)
        lengths = characters if task.config.answer.normalise == "characters" else tokens
        pred, pred_norm = int(np.argmax(sums)), int(np.argmax(sums / lengths))
        records.append(
            ExampleRecord(
                id=example.id,
                gold=names[example.gold],
                pred=names[pred],
                pred_norm=names[pred_norm],
                correct=None,
                valid=True,
                finish=None,
                output=None,
                n_output=len(options[pred]),
                n_gold=len(options[example.gold]),
                loss=_loss(task, example, options[-1]),
                logprobs=tuple(float(s) for s in sums),
                tags=example.tags,
            )
        )
    return _with_correct(task, examples, records)


def judge_texts(
    task: Task,
    examples: Sequence[Example],
    generated: Sequence[Generated] | Sequence[Sequence[Generated]],
    logprobs: OptionLogprobs,
    *,
    n_end: int = 1,
    allow_code: bool = False,
    on_run: OnRun | None = None,
) -> list[ExampleRecord]:
    """Records of a generate task; ``logprobs`` are those of its ``option_rows`` (gold answer and its end).

    Args:
        generated: for each example its answer, or its samples; length and finish are those of the first.
        n_end: so many tokens end an answer; they are not counted in its length.
        allow_code, on_run: as of ``judge_code``.

    Raises:
        TraitscopeError: as ``judge_options`` and ``judge_code``.
    """
    _check_lengths(task, examples, logprobs)
    _check_lengths(task, examples, generated)
    records = []
    answers: Sequence[Generated | Sequence[Generated]] = generated
    for example, samples, options in zip(examples, answers, logprobs, strict=True):
        drawn: Sequence[Generated] = [samples] if isinstance(samples, Generated) else samples
        made = drawn[0]
        records.append(
            ExampleRecord(
                id=example.id,
                gold=_gold(task, example.references[0]),
                pred=None,
                pred_norm=None,
                correct=None,
                valid=False,
                finish=made.finish,
                output=made.text,
                n_output=len(made.ids),
                n_gold=len(options[-1]) - n_end,
                loss=_loss(task, example, options[-1]),
                tags=example.tags,
                outputs=tuple(one.text for one in drawn) if len(drawn) > 1 else None,
            )
        )
    return rejudge(task, examples, records, allow_code=allow_code, on_run=on_run)


def judge_losses(
    task: Task, examples: Sequence[Example], logprobs: OptionLogprobs, *, n_end: int = 1
) -> list[ExampleRecord]:
    """Records of a loss task; ``logprobs`` are those of its ``option_rows`` (text and its end, ``n_end`` tokens).

    Raises:
        TraitscopeError: as ``judge_options``.
    """
    _check_lengths(task, examples, logprobs)
    return [
        ExampleRecord(
            id=example.id,
            gold=example.answer,
            pred=None,
            pred_norm=None,
            correct=None,
            valid=True,
            finish=None,
            output=None,
            n_output=0,
            n_gold=len(options[-1]) - n_end,
            loss=_loss(task, example, options[-1]),
            tags=example.tags,
        )
        for example, options in zip(examples, logprobs, strict=True)
    ]


def rejudge(
    task: Task,
    examples: Sequence[Example],
    records: Sequence[ExampleRecord],
    *,
    allow_code: bool = False,
    on_run: OnRun | None = None,
) -> list[ExampleRecord]:
    """The records judged once more from what they store (outputs, log-likelihoods), after a parser or metric changed.

    Examples are found by id, so ``examples`` may be more than the records. Programs are run once more only where they,
    their tests or their limits changed (``allow_code`` and ``on_run`` are as of ``judge_code``).

    Raises:
        TraitscopeError: if a record's example is not among ``examples``; and as ``judge_code``.
    """
    if task.form == "lm_eval":
        if not records:
            return []
        # The harness imports much.
        from traitscope.tasks.harness.judging import rejudged

        return rejudged(task.harness(), {e.id: e for e in examples}, records, partial(task.where, "lm_eval"))
    if task.form != "generate":
        return _with_correct(task, examples, records)
    by_id = {e.id: e for e in examples}
    fresh = []
    for record in records:
        example = _example(task, by_id, record.id)
        pred = _parse(task, record.output or "")
        gold = _gold(task, example.references[0])
        fresh.append(replace(record, gold=gold, pred=pred, valid=pred is not None))
    if code_of(task) is not None:
        own = [by_id[record.id] for record in fresh]
        fresh = judge_code(task, own, fresh, allow_code=allow_code, on_run=on_run)
    return _with_correct(task, examples, fresh)


def summarise(
    task: Task, records: Sequence[ExampleRecord], examples: Sequence[Example] | None = None
) -> tuple[tuple[Score, ...], dict[str, Any]]:
    """All metrics of a cell (the primary one first, answer loss always among them) and its summary.

    ``examples`` (found by id) are needed for the references of free answers; by default the task's own eval rows.

    Raises:
        TraitscopeError: if there is no record.
    """
    if not records:
        raise TraitscopeError("no example was evaluated", where=f"task {task.name}", fix="write eval: 1 or more")
    if task.form == "lm_eval":
        return _summarise_harness(task, records, task.load().eval if examples is None else examples)
    outcomes = _outcomes(task, records, examples)
    names = task.metric_names if "loss" in task.metric_names else (*task.metric_names, "loss")
    scores = []
    for position, name in enumerate(names):
        entry = METRICS.get(name)
        with calling("metric", entry, f"task {task.name}"):
            value = score(entry.value, outcomes)
        scores.append(Score(name, value.value, value.stderr, value.n, position == 0, entry.value.higher_is_better))
    return tuple(scores), _summary(task.classes, records)


def _summarise_harness(
    task: Task, records: Sequence[ExampleRecord], examples: Sequence[Example]
) -> tuple[tuple[Score, ...], dict[str, Any]]:
    """The harness' own metrics, then the loss where every document names a right answer."""
    from traitscope.tasks.harness.judging import scored

    by_id = {e.id: e for e in examples}
    scores, subtasks = scored(task.harness(), by_id, records, partial(task.where, "lm_eval"))
    losses_S = np.array([r.loss for r in records])
    if np.isfinite(losses_S).all():
        entry = METRICS.get("loss").value
        value = score(entry, _outcomes(task, records, examples))
        scores += (Score("loss", value.value, value.stderr, value.n, False, entry.higher_is_better),)
    summary = _summary(shared_classes([by_id[r.id] for r in records]), records)
    if subtasks:
        summary["subtasks"] = subtasks
    return scores, summary


def shared_classes(examples: Sequence[Example]) -> tuple[str, ...] | None:
    """The options' names where all examples have the same ones and a right one among them; else None."""
    options = examples[0].options if examples else None
    if options is None or any(e.options != options or e.gold is None for e in examples):
        return None
    names = tuple(option.strip() for option in options)
    return names if len(set(names)) == len(names) and all(names) else None


def _summary(classes: tuple[str, ...] | None, records: Sequence[ExampleRecord]) -> dict[str, Any]:
    n = len(records)
    losses = [r.loss for r in records if not np.isnan(r.loss)]
    summary: dict[str, Any] = {
        "n": n,
        "invalid_rate": sum(not r.valid for r in records) / n,
        "cutoff_rate": sum(r.finish == "length" for r in records) / n,
        "output_length": _lengths([r.n_output for r in records]),
        "gold_length": _lengths([r.n_gold for r in records]),
        "loss": float(np.mean(losses)) if losses else None,
    }
    if any(r.outcomes for r in records):
        summary["outcomes"] = dict(Counter(o for r in records for o in r.outcomes or ()).most_common())
    if classes is None:
        return summary
    gold = Counter(r.gold for r in records)
    pred = Counter(INVALID if r.pred is None else r.pred for r in records)
    counted = confusion_matrix([r.gold for r in records], [r.pred for r in records], classes)
    summary["classes"] = list(classes)
    summary["confusion"] = counted.tolist()
    summary["gold_shares"] = {c: gold[c] / n for c in classes}
    summary["pred_shares"] = {c: pred[c] / n for c in (*classes, INVALID)}
    return summary


def _lengths(counts: Sequence[int]) -> dict[str, float]:
    q10, q25, q50, q75, q90 = np.quantile(counts, [0.1, 0.25, 0.5, 0.75, 0.9]).tolist()
    return {"mean": float(np.mean(counts)), "q10": q10, "q25": q25, "q50": q50, "q75": q75, "q90": q90}


def _outcomes(task: Task, records: Sequence[ExampleRecord], examples: Sequence[Example] | None = None) -> Outcomes:
    references: tuple[tuple[str, ...], ...] = ()
    if task.form == "generate":
        by_id = {e.id: e for e in (task.load().eval if examples is None else examples)}
        references = tuple(tuple(_gold(task, text) for text in _example(task, by_id, r.id).references) for r in records)
    return Outcomes(
        gold=tuple(r.gold for r in records),
        pred=tuple(r.pred for r in records),
        pred_norm=tuple(r.pred_norm for r in records),
        references=references,
        loss_S=np.array([r.loss for r in records], dtype=np.float64),
        classes=task.classes,
        right=_right(task, records, references),
    )


def _right(
    task: Task, records: Sequence[ExampleRecord], references: Sequence[tuple[str, ...]]
) -> tuple[tuple[bool, ...], ...]:
    """Whether each answer passed its tests, or equals a reference; nothing where no metric asks."""
    if not any(METRICS.get(name).value.needs_samples for name in task.metric_names):
        return ()
    if code_of(task) is not None:
        return tuple(tuple(outcome == PASSED for outcome in r.outcomes or ()) for r in records)
    return tuple(
        tuple(_parse(task, text) in right for text in r.outputs or (r.output or "",))
        for r, right in zip(records, references, strict=True)
    )


def _with_correct(task: Task, examples: Sequence[Example], records: Sequence[ExampleRecord]) -> list[ExampleRecord]:
    """Fills ``correct``: the primary metric's value per example; for a metric of all at once, hit or miss."""
    primary = METRICS.get(task.metric_names[0])
    if not records or task.metric_names[0] == "loss":
        return [replace(r, correct=None) for r in records]
    if primary.value.values is None:
        return [replace(r, correct=float(r.pred is not None and r.pred == r.gold)) for r in records]
    outcomes = _outcomes(task, records, examples)
    with calling("metric", primary, f"task {task.name}"):
        values_S = example_values(primary.value, outcomes)
    return [replace(r, correct=float(v)) for r, v in zip(records, values_S, strict=True)]


def _gold(task: Task, reference: str) -> str:
    """What is read out of a right answer, cut where a generated one would be."""
    generate = task.config.answer.generate
    assert generate is not None
    return _parse(task, cut_at_stop(reference, generate.stop)) or reference


def _parse(task: Task, text: str) -> str | None:
    generate = task.config.answer.generate
    assert generate is not None
    return parse(generate.parse, text, generate.classes, f"task {task.name}")


def _example(task: Task, by_id: dict[str, Example], name: str) -> Example:
    if name not in by_id:
        raise TraitscopeError(
            f"the record {name!r} belongs to no example of the task",
            where=f"task {task.name}",
            fix="evaluate the cell anew: its records were made from other rows",
        )
    return by_id[name]


def _loss(task: Task, example: Example, logprobs: NDArray[np.floating]) -> float:
    value = -np.mean(logprobs, dtype=np.float64)
    _check_numbers(task, example, value)
    return float(value)


def _check_numbers(task: Task, example: Example, values: Any) -> None:
    if np.isnan(values).any():
        raise TraitscopeError(
            "the model gives log-likelihoods that are not numbers",
            where=f"task {task.name}, example {example.id}",
            fix="evaluate in fp32 (base.dtype), and check that training did not diverge (lower lr)",
        )


def _check_lengths(task: Task, examples: Sequence[Example], outputs: Sequence[Any]) -> None:
    if len(examples) != len(outputs):
        raise ValueError(f"{task.name}: {len(outputs)} outputs for {len(examples)} examples")


def make_cell(
    task: Task,
    records: Sequence[ExampleRecord],
    examples: Sequence[Example],
    *,
    model: str,
    source: str | None,
    seed: int | None,
    overlong: Mapping[str, int],
) -> Cell:
    """A cell from its records: all metrics and the summary, with how many rows were too long and cut or left out."""
    scores, summary = summarise(task, records, examples)
    if overlong:
        summary["overlong"] = dict(overlong)
    return Cell(model, source, seed, task.name, scores, tuple(records), summary)


def rescore_cell(
    task: Task, cell: Cell, examples: Sequence[Example], *, allow_code: bool = False, on_run: OnRun | None = None
) -> Cell:
    """A cell judged once more from what its records hold: no model is needed (arguments as of ``rejudge``)."""
    records = rejudge(task, examples, cell.records, allow_code=allow_code, on_run=on_run)
    overlong = cell.summary.get("overlong", {})
    return make_cell(task, records, examples, model=cell.model, source=cell.source, seed=cell.seed, overlong=overlong)
