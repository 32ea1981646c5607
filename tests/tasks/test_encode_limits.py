"""Rows whose length is just the limit, options of unequal length under a limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from task_helpers import task_of

from traitscope.records import Example
from traitscope.tasks.encode import option_rows, training_rows
from traitscope.tasks.lengths import token_counts

ROWS = [{"text": f"row {i}", "label": ["no", "yes"][i % 2]} for i in range(4)]


@pytest.fixture
def task(tmp_path: Path) -> Any:
    return task_of(tmp_path, ROWS, overlong="cut")


def test_a_row_of_just_the_limit_is_whole(tokenizers: dict[str, Any], task: Any) -> None:
    tokenizer = tokenizers["gpt2"]
    (example,) = task.load().train
    (row,) = training_rows(task, [example], tokenizer, 10_000)
    limit = len(row.ids)
    assert training_rows(task, [example], tokenizer, limit) == [row]
    assert token_counts(task, [example], tokenizer, limit).overlong == 0
    assert token_counts(task, [example], tokenizer, limit - 1).overlong == 1
    assert len(training_rows(task, [example], tokenizer, limit - 1)[0].ids) == limit - 1


def test_the_longest_option_must_fit_whichever_is_right(tokenizers: dict[str, Any], task: Any) -> None:
    tokenizer = tokenizers["gpt2"]
    long, short = " no " + "and no " * 10, " yes"
    example = Example("1", "start " + "middle " * 30 + "end:", short, (long, short), 1)
    (row,) = option_rows(task, [example], tokenizer, 60)
    assert len(row.context) + max(len(option) for option in row.options) == 60
    assert row.options[0] == tuple(tokenizer.encode(long))
