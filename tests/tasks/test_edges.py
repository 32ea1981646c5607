"""Edges of small rules: each value is worked by hand, or numpy's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from task_helpers import task_of

from traitscope.config import MixConfig, TaskConfig
from traitscope.errors import TraitscopeError
from traitscope.metrics import confusion_matrix
from traitscope.metrics.text import token_f1
from traitscope.records import Example, Generated
from traitscope.tasks import Task, judge_options, judge_texts, mix_counts, summarise
from traitscope.tasks.controls import apply_control
from traitscope.tasks.encode import training_rows
from traitscope.tasks.parsers import PARSERS

ROWS = [{"text": f"row {i}", "label": ["no", "maybe not"][i % 2]} for i in range(8)]


@pytest.mark.parametrize(
    ("parser", "text", "classes", "found"),
    [
        ("final_number", "#### 3 no, wait\n#### 4 apples, not 5", (), "4"),
        ("label", "a very good film", ("good", "very good"), "very good"),
        ("label", "not good at all", ("not", "not good"), "not good"),
        ("label", "goodness me", ("good", "bad"), None),
        ("first_word", "  well- that", (), "well"),
        ("first_word", "don't", (), "don't"),
    ],
)
def test_what_a_parser_reads(parser: str, text: str, classes: tuple[str, ...], found: str | None) -> None:
    assert PARSERS.get(parser).value(text, classes) == found


def test_words_are_shared_as_often_as_both_have_them() -> None:
    assert token_f1("red red", "red red blue") == pytest.approx(4 / 5)
    assert token_f1("red red red", "red") == pytest.approx(2 / 4)


def test_a_foreign_answer_is_counted_as_invalid() -> None:
    assert confusion_matrix(["a", "b"], ["zebra", None], ("a", "b")).tolist() == [[0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize("limit", [20, 21, 22, 23])
def test_the_head_of_a_cut_prompt_is_its_longer_half(tokenizers: dict[str, Any], tmp_path: Path, limit: int) -> None:
    task = task_of(tmp_path, ROWS[:2], answer={"choice": [" no", " maybe not"], "gold": "{{ label }}"}, overlong="cut")
    words = Example("1", " ".join(str(i) for i in range(60)), " no", (" no", " maybe not"), 0)
    (whole,) = training_rows(task, [words], tokenizers["gpt2"], 10_000)
    (cut,) = training_rows(task, [words], tokenizers["gpt2"], limit)
    room = cut.n_prompt
    head = -(-room // 2)
    prompt = whole.ids[: whole.n_prompt]
    assert cut.ids[:room] == prompt[:head] + prompt[len(prompt) - (room - head) :]


def test_a_prompt_of_just_the_limit_is_not_refused(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    answer = {"choice": [" no", " maybe not"], "gold": "{{ label }}"}
    task = task_of(tmp_path, ROWS[:2], answer=answer)
    (example,) = task.load().train
    (row,) = training_rows(task, [example], tokenizers["gpt2"], 10_000)
    assert training_rows(task, [example], tokenizers["gpt2"], len(row.ids)) == [row]
    with pytest.raises(TraitscopeError, match="the prompt has"):
        training_rows(task, [example], tokenizers["gpt2"], len(row.ids) - 1)


def choices(n: int, classes: tuple[str, ...]) -> list[Example]:
    return [Example(str(i), f"row {i}", classes[i % 4 % len(classes)], classes, i % 4 % len(classes)) for i in range(n)]


def test_balanced_rows_are_mixed_and_repeats_are_numbered_from_two() -> None:
    rows = [Example(str(i), f"row {i}", "ab"[i < 3], ("b", "a"), int(i >= 3)) for i in range(20)]
    made = apply_control("balance", rows, seed=1)
    answers = "".join(e.answer for e in made)
    assert answers.count("b") == answers.count("a") == 10
    assert "a" * 10 not in answers and "b" * 10 not in answers
    repeated = sorted(e.id for e in made if e.answer == "b")
    # Three rows stand for ten: one four times and two three times.
    marks = [name.partition("#")[2] for name in repeated]
    assert sorted(marks) == ["", "", "", "2", "2", "2", "3", "3", "3", "4"]


def test_renamed_classes_depend_on_the_seed_and_on_nothing_else() -> None:
    rows = choices(8, ("a", "b", "c", "d"))
    found = set()
    for seed in range(12):
        renamed = {old.answer: new.answer for old, new in zip(rows, apply_control("mislabel", rows, seed), strict=True)}
        assert all(old != new for old, new in renamed.items()) and len(set(renamed.values())) == 4
        found.add(tuple(sorted(renamed.items())))
    assert len(found) > 2


def test_a_source_gives_no_more_than_it_has_in_any_round() -> None:
    sizes = {"a": 6, "b": 1, "c": 20, "d": 1}
    assert mix_counts(MixConfig(per_cluster=20), sizes, dict.fromkeys(sizes, "one")) == {
        "a": 6,
        "b": 1,
        "c": 12,
        "d": 1,
    }


def test_a_fifth_of_the_questions_evaluates_where_nothing_is_said(tmp_path: Path) -> None:
    rows = [{"text": f"row {i}", "label": ["no", "yes"][i % 2]} for i in range(43)]
    task = task_of(tmp_path, rows, data={"train": "all", "eval": None})
    assert len(task.load().eval) == 8 and len(task.load().train) == 35


def test_a_number_in_the_study_file_finds_the_text_of_a_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label,fold\n" + "".join(f"row {i},no,{i % 2}\n" for i in range(10)))
    data = {"path": "a.csv", "where": {"fold": 1}, "train": 0, "eval": 5}
    config = TaskConfig(data=data, prompt="{{ text }}", answer={"choice": ["no", "yes"], "gold": "{{ label }}"})
    assert {e.prompt for e in Task("t", config, tmp_path).load().eval} == {f"row {i}" for i in (1, 3, 5, 7, 9)}


def test_a_cell_that_is_not_a_number_is_an_empty_one(tmp_path: Path) -> None:
    table = pa.table(
        {"n": [1.0, float("nan"), 3.0, float("nan")], "label": ["no", "yes", "no", "yes"], "k": [1, 2, 3, 4]}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    prompt = "{{ k }}: {% if n is none %}nothing{% else %}{{ n }}{% endif %}"
    config = TaskConfig(
        data={"path": "a.parquet", "train": 0, "eval": 4},
        prompt=prompt,
        answer={"choice": ["no", "yes"], "gold": "{{ label }}"},
    )
    found = {e.prompt for e in Task("t", config, tmp_path).load().eval}
    assert found == {"1: 1.0", "2: nothing", "3: 3.0", "4: nothing"}


def test_lengths_are_those_of_the_chosen_and_of_the_right_option(tmp_path: Path) -> None:
    answer = {"choice": [" no", " maybe not"], "gold": "{{ label }}"}
    task = task_of(tmp_path, ROWS, answer=answer, data={"train": 0, "eval": 8})
    examples = task.load().eval
    sizes = (1, 3)
    logprobs = []
    for place, example in enumerate(examples):
        best = place % 2
        options = [np.full(size, -0.1 if number == best else -5.0) for number, size in enumerate(sizes)]
        logprobs.append([*options, np.full(sizes[example.gold] + 1, -1.0)])
    records = judge_options(task, examples, logprobs)
    assert [record.n_output for record in records] == [sizes[place % 2] for place in range(8)]
    assert [record.n_gold for record in records] == [sizes[example.gold] for example in examples]
    summary = summarise(task, records, examples)[1]
    lengths = [record.n_output for record in records]
    for q in (10, 25, 50, 75, 90):
        assert summary["output_length"][f"q{q}"] == pytest.approx(np.percentile(lengths, q))


def test_quantiles_of_lengths_are_those_of_numpy(tmp_path: Path) -> None:
    answer = {"generate": {"gold": "{{ label }}", "parse": "label", "classes": ["no", "maybe not"], "max_tokens": 32}}
    task = task_of(tmp_path, ROWS, answer=answer, data={"train": 0, "eval": 8}, metrics=["macro_f1"])
    examples = task.load().eval
    texts = ["no", "maybe not", "no", "none of it", "no", "no", "no", "no"]
    lengths = [1, 2, 4, 8, 9, 11, 20, 31]
    made = [Generated(tuple(range(n)), text, "eos") for n, text in zip(lengths, texts, strict=True)]
    records = judge_texts(task, examples, made, [[np.array([-1.0, -1.0])] for _ in examples])
    summary = summarise(task, records, examples)[1]
    for q in (10, 25, 50, 75, 90):
        assert summary["output_length"][f"q{q}"] == pytest.approx(np.percentile(lengths, q))
    # Macro-F1 has no value per example: hit or miss stands there, and an answer of another class is a miss.
    wanted = [float(text == example.answer) for text, example in zip(texts, examples, strict=True)]
    assert [record.correct for record in records] == wanted and 0 < sum(wanted) < 7
