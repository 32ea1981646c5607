"""One or several models on one task: from token rows through the engine to judged example records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from traitscope import engine
from traitscope.compute.requests import document_records
from traitscope.config import GenerateConfig
from traitscope.engine.generate import GenerateOptions
from traitscope.records import Example, ExampleRecord, Generated, OptionRow, Progress, PromptRow
from traitscope.tasks.encode import answer_end, answer_opening, option_rows, prompt_rows
from traitscope.tasks.encode_requests import EncodedDocument, request_rows
from traitscope.tasks.judge import judge_losses, judge_options, judge_texts
from traitscope.tasks.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class EvalRows:
    """A task's examples as token rows. ``prompts`` is empty unless answers are generated.

    A harness task has its ``documents``; its ``options`` are then the documents' first prompts alone.
    """

    examples: tuple[Example, ...]
    options: tuple[OptionRow, ...]
    prompts: tuple[PromptRow, ...]
    documents: tuple[EncodedDocument, ...] = ()

    def after(self, n: int) -> EvalRows:
        """The rows behind the first ``n``: what a cell of n rows lacks."""
        return EvalRows(self.examples[n:], self.options[n:], self.prompts[n:], self.documents[n:])

    @property
    def n_tokens(self) -> int:
        """Tokens of all prompts and options, each prompt once."""
        if self.documents:
            return sum(request.n_tokens for document in self.documents for request in document.requests)
        scored = sum(len(row.context) + sum(map(len, row.options)) for row in self.options)
        return scored + sum(len(row.context) for row in self.prompts)


def eval_rows(
    task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_tokens: int | None
) -> EvalRows:
    """Token rows of a task's evaluation examples.

    Args:
        max_tokens: the model's positions; longer prompts are cut in the middle or refused (``overlong``).

    Raises:
        TraitscopeError: a prompt is too long and must not be cut, or an answer has no token of its own.
    """
    if task.form == "lm_eval":
        documents = tuple(request_rows(task, examples, tokenizer, max_tokens))
        return EvalRows(tuple(examples), tuple(OptionRow(one.context, ()) for one in documents), (), documents)
    options = option_rows(task, examples, tokenizer, max_tokens)
    prompts = prompt_rows(task, examples, tokenizer, max_tokens) if task.form == "generate" else []
    return EvalRows(tuple(examples), tuple(options), tuple(prompts))


def evaluate(
    bank: engine.Bank,
    task: Task,
    rows: EvalRows,
    *,
    tokens_per_pass: int,
    on_progress: Callable[[Progress], None] | None = None,
    allow_code: bool = False,
) -> dict[str, list[ExampleRecord]]:
    """Every model of the bank on the rows of one task.

    Args:
        allow_code: programs that the models write may be run.

    Returns:
        For each model's name its records, in the order of ``rows``.

    Raises:
        TraitscopeError: a log-likelihood is not a number, a row does not fit the model, or programs may not be run.
    """
    if task.form == "lm_eval":
        return document_records(
            bank, rows.documents, task.where(), tokens_per_pass=tokens_per_pass, on_progress=on_progress
        )
    end = answer_end(task, bank.base.tokenizer)
    if task.form != "generate":
        judge = judge_options if task.form == "choice" else partial(judge_losses, n_end=len(end.ids))
        scored = engine.score_options(bank, rows.options, tokens_per_pass=tokens_per_pass, on_progress=on_progress)
        return {name: judge(task, rows.examples, found) for name, found in scored.items()}
    settings = task.config.answer.generate
    assert settings is not None
    options: GenerateOptions = {
        "max_new_tokens": settings.max_tokens,
        "stop": settings.stop if end.text is None else (*settings.stop, end.text),
        "stop_ids": end.ids if end.text is None else (),
        "opening": answer_opening(task, bank.base.tokenizer),
        "tokens_per_pass": tokens_per_pass,
        "on_progress": on_progress,
    }
    made: Mapping[str, list[Generated]] | Mapping[str, list[list[Generated]]]
    sampling = _sampling(settings)
    keys = [example.id for example in rows.examples]
    if all(row.context == prompt.context for row, prompt in zip(rows.options, rows.prompts, strict=True)):
        if sampling is None:
            made, scored = engine.generate_and_score(bank, rows.options, **options)
        else:
            made, scored = engine.sample_and_score(bank, rows.options, keys, sampling, **options)
    else:
        # A prompt that was cut to make room for its gold answer, or whose last space went to the answer.
        if sampling is None:
            made = engine.generate(bank, rows.prompts, **options)
        else:
            made = engine.sample(bank, rows.prompts, keys, sampling, **options)
        scored = engine.score_options(bank, rows.options, tokens_per_pass=tokens_per_pass, on_progress=on_progress)
    judge = partial(judge_texts, task, rows.examples, n_end=len(end.ids), allow_code=allow_code)
    on_run = None if on_progress is None else partial(_show_run, on_progress, rows.n_tokens * len(scored))
    return {name: judge(made[name], scored[name], on_run=on_run) for name in scored}


def _sampling(settings: GenerateConfig) -> engine.Sampling | None:
    """How a task's answers are drawn; None where they are greedy."""
    if settings.temperature == 0:
        return None
    return engine.Sampling(
        samples=settings.samples,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        seed=settings.seed,
    )


def _show_run(on_progress: Callable[[Progress], None], tokens: int, done: int, of: int) -> None:
    """Programs that have ended; whoever listens may also stop them."""
    on_progress(Progress(tokens, tokens, 0.0, None, 0.0, f"{done} of {of} programs run"))
