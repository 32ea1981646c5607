"""Rules of a few tokens: what counts as a character of an option, how a mix shares its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from task_helpers import task_of

from traitscope.config import MixConfig, TaskConfig
from traitscope.config.template import evaluate, render
from traitscope.errors import TraitscopeError
from traitscope.tasks import judge_options, mix_counts, summarise

ROWS = [{"text": f"row {i}", "label": ["no", "maybe not"][i % 2]} for i in range(8)]


@pytest.mark.parametrize("space", ["", " "])
def test_the_space_in_front_of_an_option_is_no_character_of_it(tmp_path: Path, space: str) -> None:
    """-2.0 over 2 characters is -1, -8.0 over 9 is -0.89; with the space it would be -0.67 against -0.8."""
    answer = {"choice": [f"{space}no", f"{space}maybe not"], "gold": space + "{{ label }}"}
    task = task_of(tmp_path, ROWS, answer=answer, data={"train": 0, "eval": 8}, metrics=["accuracy_norm", "accuracy"])
    examples = task.load().eval
    logprobs = [[np.array([-2.0]), np.array([-8.0]), np.array([-1.0])] for _ in examples]
    records = judge_options(task, examples, logprobs)
    assert {(record.pred, record.pred_norm) for record in records} == {("no", "maybe not")}
    scores = {score.metric: score.value for score in summarise(task, records, examples)[0]}
    assert scores["accuracy_norm"] == scores["accuracy"] == 0.5
    assert [record.correct for record in records] == [float(record.gold == "maybe not") for record in records]


@pytest.mark.parametrize(
    ("total", "sizes", "counts"),
    [
        (12, [2, 10, 10], [2, 5, 5]),
        (11, [2, 10, 10], [2, 5, 4]),
        (13, [10, 10, 10], [5, 4, 4]),
        (14, [1, 3, 10, 10], [1, 3, 5, 5]),
        (2, [5, 5, 5], [1, 1, 0]),
        (22, [2, 10, 10], [2, 10, 10]),
    ],
)
def test_a_cluster_shares_its_rows_evenly(total: int, sizes: list[int], counts: list[int]) -> None:
    names = "abcd"[: len(sizes)]
    available = dict(zip(names, sizes, strict=True))
    found = mix_counts(MixConfig(per_cluster=total), available, dict.fromkeys(names, "one"))
    assert list(found.items()) == list(zip(names, counts, strict=True))


def test_a_prompt_keeps_the_line_end_behind_it() -> None:
    assert render("{{ text }}:\n", {"text": "x"}, where="prompt") == "x:\n"


@pytest.mark.parametrize("value", [None, float("nan")])
def test_an_empty_value_is_not_printed(value: float | None) -> None:
    with pytest.raises(TraitscopeError, match=r"missing value \(empty in this row: text\)"):
        render("{{ text }}", {"text": value, "other": 1}, where="prompt")


def test_matches_are_those_of_the_first_group() -> None:
    row = {"text": "a=1, b=22"}
    assert evaluate(r"{{ text | regex_findall('=(\d+)') }}", row, where="gold") == ["1", "22"]
    assert evaluate(r"{{ text | regex_findall('\d+') }}", row, where="gold") == ["1", "22"]


def test_generated_answers_have_the_classes_they_name_and_messages_a_chat_template() -> None:
    turns = [{"role": "user", "content": "{{ text }}"}]
    answer = {"generate": {"gold": "{{ y }}", "parse": "label", "classes": ["yes", "no"]}}
    config = TaskConfig(data={"path": "rows.jsonl"}, messages=turns, answer=answer, metrics=["macro_f1"])
    assert config.answer.classes == ("yes", "no")
    assert config.uses_chat
