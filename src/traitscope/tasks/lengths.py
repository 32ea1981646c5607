"""How long a task's rows are under a tokenizer, before any of them is cut or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from traitscope.records import Example
from traitscope.tasks.encode import option_rows, prompt_rows, room_to_generate, training_rows
from traitscope.tasks.encode_requests import request_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from traitscope.tasks.task import Task


class Length(NamedTuple):
    """What a row asks of a model's positions: tokens of its prompt, and of the longest answer behind it."""

    prompt: int
    answer: int

    @property
    def total(self) -> int:
        """Positions that the row takes."""
        return self.prompt + self.answer


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of the training rows of a list of examples. ``overlong`` rows are longer than the limit."""

    examples: int
    prompt: int
    answer: int
    longest: int
    overlong: int


def training_lengths(task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> list[Length]:
    """What every training row needs."""
    rows = training_rows(task, examples, tokenizer, None)
    return [Length(row.n_prompt, len(row.ids) - row.n_prompt) for row in rows]


def evaluation_lengths(task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> list[Length]:
    """What every evaluation row needs: scored, and generated where the task's answers are."""
    if task.form == "lm_eval":
        # What is too long is cut as the harness cuts it.
        documents = request_rows(task, examples, tokenizer, None)
        return [Length(0, 0) for _ in documents]
    rows = option_rows(task, examples, tokenizer)
    lengths = [Length(len(row.context), max(map(len, row.options))) for row in rows]
    if task.form != "generate":
        return lengths
    room = room_to_generate(task, tokenizer)
    asked = [Length(len(row.context), room) for row in prompt_rows(task, examples, tokenizer)]
    return [max(pair, key=lambda length: length.total) for pair in zip(asked, lengths, strict=True)]


def token_counts(
    task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> TokenCounts:
    """How long the training rows of ``examples`` are (in tokens), cut to the limit, and how many are longer."""
    lengths = training_lengths(task, examples, tokenizer)
    return TokenCounts(
        len(lengths),
        sum(min(length.prompt, max(max_tokens - length.answer, 1)) for length in lengths),
        sum(length.answer for length in lengths),
        max((length.total for length in lengths), default=0),
        sum(length.total > max_tokens for length in lengths),
    )
