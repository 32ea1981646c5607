"""What passes between tasks, engine and run folder: token rows going in, example records coming out.

This module sits below everything else: tasks make rows, the engine consumes them and knows nothing of
tasks; tasks turn the engine's outputs into records, the store writes them, the analyses read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

# Of a LoRA, trained here or read. Below the least alpha an update is lost in the rounding of fp32.
MOST_RANK, LEAST_ALPHA, MOST_ALPHA = 65_536, 1e-6, 1e6


@dataclass(frozen=True, slots=True)
class TrainRow:
    """One training sequence. The loss is taken on ``ids[n_prompt:]`` (the answer and its stop token)."""

    ids: tuple[int, ...]
    n_prompt: int


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One prompt and the continuations to be scored by log-likelihood.

    ``context`` is never empty (an empty prompt holds the prefix token); every option has at least one token.
    """

    context: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One prompt to be continued."""

    context: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Generated:
    """One continuation: new token ids without the stop, its text cut at the stop, why it ended.

    ``finish`` is ``"eos"`` (a stop token), ``"stop"`` (a stop string) or ``"length"`` (cut off).
    """

    ids: tuple[int, ...]
    text: str
    finish: str


@dataclass(frozen=True, slots=True)
class Example:
    """One rendered row of a task.

    ``id`` is stable over runs and unique in its task and split. ``options``/``gold`` belong to the choice form,
    ``references`` to the generate form (the first one is the trained answer), ``answer`` is the text
    a source trains on, whatever the form. ``classes`` holds the option's class name where all rows share
    the options (used for confusion matrices). ``messages`` are the (role, content) turns of a chat prompt, for which
    ``prompt`` is their plain reading. ``requests`` is what lm-evaluation-harness asks about one of its documents, as
    JSON (``tasks.harness.requests``). ``program`` is what stands before an answer that is code, and its tests; it
    belongs to how answers are judged, and is no part of a row's fingerprint.
    """

    id: str
    prompt: str
    answer: str
    options: tuple[str, ...] | None = None
    gold: int | None = None
    references: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    messages: tuple[tuple[str, str], ...] = ()
    requests: str = ""
    program: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ExampleRecord:
    """One model's outcome on one example: a row of a cell's ``examples.parquet``.

    Attributes:
        id: the example's id.
        gold: gold class name (choice), first reference (generate), or the answer (loss).
        pred: predicted class name or parsed answer; None where the output could not be parsed.
        pred_norm: prediction by length-normalised log-likelihood (choice only).
        correct: the primary metric's value for this example (0..1); None where it has none (loss).
        valid: False where a generated answer could not be parsed.
        finish: "eos", "stop", "length" (generate only).
        output: the raw generated text (generate only).
        n_output: tokens generated (generate), tokens of the predicted option (choice).
        n_gold: tokens of the gold answer, stop token excluded.
        loss: mean negative log-likelihood in nats per token of the gold answer and its stop token; NaN where an
            lm-evaluation-harness document names no gold answer.
        logprobs: log-likelihood of each option in nats (choice only).
        tags: free labels of the example (a dependency relation, a length class, ...).
        responses: what the model answered to each request of an lm-evaluation-harness document, as JSON.
        outputs: the texts of all samples, ``output`` first, where several were drawn.
        outcomes: what became of every sample that is code: "passed", "failed", "timeout", "exited", "no code", or
            "error: " with the exception's name.
        ran: fingerprint of the programs and limits that ``outcomes`` are of.
    """

    id: str
    gold: str
    pred: str | None
    pred_norm: str | None
    correct: float | None
    valid: bool
    finish: str | None
    output: str | None
    n_output: int
    n_gold: int
    loss: float
    logprobs: tuple[float, ...] | None = None
    tags: dict[str, str] = field(default_factory=dict)
    responses: str | None = None
    outputs: tuple[str, ...] | None = None
    outcomes: tuple[str, ...] | None = None
    ran: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of one cell. ``stderr`` is None where no standard error is defined."""

    metric: str
    value: float
    stderr: float | None
    n: int
    primary: bool
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """One model on one task: what ``cell.json`` holds, and the records of ``examples.parquet``.

    ``summary`` holds what the analyses need besides the scores: classes and confusion matrix, predicted and
    true class shares, output and gold length quantiles, rates of invalid and of cut-off answers.
    """

    model: str
    source: str | None
    seed: int | None
    task: str
    scores: tuple[Score, ...]
    records: tuple[ExampleRecord, ...]
    summary: dict[str, Any] = field(default_factory=dict)


class StepRecord(NamedTuple):
    """One optimiser step of one job: mean loss per answer token (nats), learning rate, tokens, gradient norm."""

    step: int
    loss: float
    lr: float
    tokens: int
    grad_norm: float


@dataclass(frozen=True)
class Progress:
    """Where a long computation stands.

    Attributes:
        share_of_peak: None where the machine's peak was not measured.
        steps: of a training, the optimiser steps that were taken since the last time, with the jobs' names.
    """

    done_tokens: int
    total_tokens: int
    tokens_per_s: float
    share_of_peak: float | None
    seconds_left: float
    note: str = ""
    steps: tuple[tuple[str, StepRecord], ...] = ()
