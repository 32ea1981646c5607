"""From the engine's outputs to records, scores and a summary."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_helpers import task_of

from traitscope.errors import TraitscopeError
from traitscope.records import Generated
from traitscope.tasks import judge_losses, judge_options, judge_texts, rejudge, summarise

ROWS = [{"text": f"row {i}", "label": ["no", "maybe not"][i % 2]} for i in range(8)]
ANSWER = {"choice": [" no", " maybe not"], "gold": "{{ label }}"}


def logs(*sums: float, tokens: int = 1) -> list[Any]:
    return [np.full(tokens, s / tokens, dtype=np.float32) for s in sums]


def choice(tmp_path: Path, **keys: Any) -> Any:
    return task_of(tmp_path, ROWS, answer={**ANSWER, **keys.pop("answer", {})}, data={"train": 0, "eval": 8}, **keys)


def test_the_best_option_is_the_prediction_and_the_normalised_one_counts_characters(tmp_path: Path) -> None:
    task = choice(tmp_path)
    example = task.load().eval[0]
    # -2 / 2 characters = -1 against -4 / 9 characters = -0.44: the longer option wins per character.
    (record,) = judge_options(task, [example], [[*logs(-2.0), *logs(-4.0, tokens=4), *logs(-3.0, tokens=2)]])
    assert (record.pred, record.pred_norm) == ("no", "maybe not")
    assert record.logprobs == (-2.0, -4.0)
    assert record.loss == pytest.approx(1.5)
    assert record.correct == float(record.gold == "no")
    assert record.n_output == 1 and record.n_gold == (1 if example.gold == 0 else 4)


def test_normalising_by_tokens_is_a_setting(tmp_path: Path) -> None:
    task = choice(tmp_path, answer={"normalise": "tokens"})
    example = task.load().eval[0]
    (record,) = judge_options(task, [example], [[*logs(-2.0, tokens=2), *logs(-1.5), *logs(-3.0)]])
    assert (record.pred, record.pred_norm) == ("maybe not", "no")


def test_ties_go_to_the_first_option(tmp_path: Path) -> None:
    task = choice(tmp_path)
    (record,) = judge_options(task, task.load().eval[:1], [logs(-2.0, -2.0, -2.0)])
    assert record.pred == "no"


def test_a_log_likelihood_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    task = choice(tmp_path)
    with pytest.raises(TraitscopeError, match="not numbers"):
        judge_options(task, task.load().eval[:1], [logs(-2.0, math.nan, -2.0)])


def test_outputs_of_other_examples_are_refused(tmp_path: Path) -> None:
    task = choice(tmp_path)
    with pytest.raises(ValueError, match="1 outputs for 2 examples"):
        judge_options(task, task.load().eval[:2], [logs(-2.0, -1.0, -2.0)])
    with pytest.raises(ValueError, match=r"2 scores for 2 \+ 1 options"):
        judge_options(task, task.load().eval[:1], [logs(-2.0, -1.0)])


def test_a_choice_cell_is_summarised(tmp_path: Path) -> None:
    task = choice(tmp_path, metrics=["accuracy", "macro_f1", "accuracy_norm"])
    examples = task.load().eval
    records = judge_options(task, examples, [logs(-1.0, -2.0, -3.0)] * 8)
    scores, summary = summarise(task, records)
    assert [s.metric for s in scores] == ["accuracy", "macro_f1", "accuracy_norm", "loss"]
    assert [s.primary for s in scores] == [True, False, False, False]
    # Always "no": 4 of 8 right; F1 of no 2 * 4 / (4 + 8), of the other class 0.
    assert scores[0].value == 0.5 and scores[0].n == 8
    assert scores[0].stderr == pytest.approx(math.sqrt(0.25 / 7))
    assert scores[1].value == pytest.approx((2 / 3 + 0) / 2)
    assert scores[3].value == pytest.approx(3.0) and not scores[3].higher_is_better
    assert summary["classes"] == ["no", "maybe not"]
    assert summary["confusion"] == [[4, 0, 0], [4, 0, 0]]
    assert summary["pred_shares"] == {"no": 1.0, "maybe not": 0.0, "(invalid)": 0.0}
    assert summary["gold_shares"] == {"no": 0.5, "maybe not": 0.5}
    assert summary["invalid_rate"] == summary["cutoff_rate"] == 0.0
    assert set(summary["output_length"]) == {"mean", "q10", "q25", "q50", "q75", "q90"}


QA = [{"text": f"q{i}", "answers": ["12", "twelve"]} for i in range(4)]


def generated(text: str, finish: str = "eos", n: int = 3) -> Generated:
    return Generated(tuple(range(n)), text, finish)


def qa(tmp_path: Path, **keys: Any) -> Any:
    answer = {"generate": {"gold": "{{ answers }}", "parse": "first_line", **keys.pop("generate", {})}}
    return task_of(tmp_path, QA, answer=answer, data={"train": 0, "eval": 4}, **keys)


def test_free_answers_are_parsed_and_invalid_ones_counted(tmp_path: Path) -> None:
    task = qa(tmp_path, metrics=["exact_match", "token_f1"])
    examples = task.load().eval
    made = [generated(" 12\nmore"), generated("twelve"), generated("12 apples", "length", 9), generated(" \n", n=0)]
    records = judge_texts(task, examples, made, [logs(-2.0, tokens=4)] * 4)
    assert [r.pred for r in records] == ["12", "twelve", "12 apples", None]
    assert [r.correct for r in records] == [1.0, 1.0, 0.0, 0.0]
    assert [r.valid for r in records] == [True, True, True, False]
    assert records[0].output == " 12\nmore" and records[0].n_gold == 3 and records[0].gold == "12"
    scores, summary = summarise(task, records)
    assert [(s.metric, s.value, s.n) for s in scores[:2]] == [
        ("exact_match", 0.5, 4),
        ("token_f1", pytest.approx((1 + 1 + 2 / 3 + 0) / 4), 4),
    ]
    assert (summary["invalid_rate"], summary["cutoff_rate"]) == (0.25, 0.25)
    assert summary["output_length"]["mean"] == 3.75 and "confusion" not in summary


def test_stored_outputs_can_be_judged_anew_with_another_parser(tmp_path: Path) -> None:
    task = qa(tmp_path)
    examples = task.load().eval
    records = judge_texts(task, examples, [generated("it is 12 apples")] * 4, [logs(-1.0)] * 4)
    assert summarise(task, records)[0][0].value == 0.0
    other = qa(tmp_path, generate={"parse": "final_number", "gold": "{{ answers[0] }}"})
    fresh = rejudge(other, other.load().eval, records)
    assert summarise(other, fresh)[0][0].value == 1.0
    assert [r.output for r in fresh] == [r.output for r in records]


def test_records_of_other_rows_are_refused(tmp_path: Path) -> None:
    task = qa(tmp_path)
    examples = task.load().eval
    records = judge_texts(task, examples, [generated("12")] * 4, [logs(-1.0)] * 4)
    with pytest.raises(TraitscopeError, match="belongs to no example"):
        rejudge(task, examples[1:], records)


def test_generated_class_words_have_a_confusion_matrix(tmp_path: Path) -> None:
    generate = {"gold": " {{ label }}", "parse": "label", "classes": ["no", "maybe not"]}
    task = task_of(tmp_path, ROWS, answer={"generate": generate}, metrics=["macro_f1"], data={"train": 0, "eval": 8})
    examples = task.load().eval
    made = [generated("No." if e.references[0] == " no" else "dunno") for e in examples]
    records = judge_texts(task, examples, made, [logs(-1.0)] * 8)
    scores, summary = summarise(task, records)
    assert summary["confusion"] == [[4, 0, 0], [0, 0, 4]]
    assert summary["pred_shares"]["(invalid)"] == 0.5
    assert scores[0].value == pytest.approx(0.5)
    assert [r.correct for r in records] == [float(e.references[0] == " no") for e in examples]


def test_the_loss_form_has_no_hits(tmp_path: Path) -> None:
    task = task_of(tmp_path, ROWS, prompt=None, answer={"loss": "{{ text }}"}, data={"train": 0, "eval": 8})
    examples = task.load().eval
    records = judge_losses(task, examples, [logs(-float(i), tokens=2) for i in range(8)])
    assert all(r.correct is None and r.valid for r in records)
    scores, summary = summarise(task, records)
    assert [(s.metric, s.value) for s in scores] == [("loss", 1.75)]
    assert summary["loss"] == 1.75


def test_an_empty_cell_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TraitscopeError, match="no example was evaluated"):
        summarise(choice(tmp_path), [])
