"""The small inputs that failed once, each with what is right (``cases/README.md`` beside the shared data)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from traitscope.config import load_config
from traitscope.errors import TraitscopeError
from traitscope.metrics import METRICS, Outcomes, example_values
from traitscope.tasks import Task
from traitscope.tasks.parsers import PARSERS


def task(shared: Path, case: str) -> Task:
    folder = shared / "cases" / case
    if not folder.is_dir():
        pytest.skip("this case is not here")
    config = load_config(folder / "study.yaml")
    ((name, settings),) = config.tasks.items()
    return Task(name, settings, config.root)


def all_rows(made: Task) -> list[str]:
    return [e.prompt + "|" + e.answer for e in (*made.load().train, *made.load().eval)]


def test_six_lines_are_six_rows(shared: Path) -> None:
    made = task(shared, "lines_unicode_breaks")
    made.load()
    assert made.load().report.rows == {"all": 6}
    assert made.load().report.available["train"] + made.load().report.available["eval"] >= 4


def test_a_correct_file_is_joined(shared: Path) -> None:
    assert task(shared, "join_unicode_breaks").load().report.rows == {"all": 6}


def test_bytes_are_text(shared: Path) -> None:
    rows = all_rows(task(shared, "parquet_binary_text"))
    assert len(rows) == 7 and not any("b'" in row for row in rows)


def test_the_row_with_half_a_character_is_named(shared: Path) -> None:
    with pytest.raises(TraitscopeError, match="row all-0: the text holds half a character"):
        task(shared, "jsonl_surrogate").load()


def test_no_test_row_stands_with_its_answer_among_its_shots(shared: Path) -> None:
    with pytest.raises(TraitscopeError, match=r"need 3 train rows, and 0 are there \(\d+ more repeat an eval row\)"):
        task(shared, "shots_leak_target_only").load()


def test_letters() -> None:
    answers = [
        "The answer is **B**.",
        "\\boxed{B}",
        "ANSWER: B",
        "Option B",
        "Answer: **B**",
        "The correct answer is: B",
        "I think it's B",
        "A. because (C) is wrong",
    ]
    assert [PARSERS.get("letter").value(text, ()) for text in answers] == [*"BBBBBBB", "A"]


@pytest.mark.parametrize(
    ("case", "said", "right"),
    [
        ("gold_fraction", "1/4", "3/4"),
        ("gold_latex", r"\frac{1}{7}", r"\frac{3}{7}"),
        ("gold_decimal_comma", "0,5", "2,5"),
    ],
)
def test_numbers_that_differ_are_not_equal(shared: Path, case: str, said: str, right: str) -> None:
    made = task(shared, case)
    made.load()
    read = PARSERS.get("final_number").value
    for pred, expected in ((said, 0.0), (right, 1.0)):
        outcomes = Outcomes(
            gold=(right,),
            pred=(read(pred, ()),),
            pred_norm=(None,),
            references=((read(right, ()),),),
            loss_S=np.zeros(1),
            classes=None,
        )
        assert example_values(METRICS.get("number_match").value, outcomes).tolist() == [expected]


def test_a_right_answer_that_holds_its_stop_string_is_refused_by_its_row(shared: Path) -> None:
    with pytest.raises(TraitscopeError, match=r"row all-\d: the right answer .* holds the stop string"):
        task(shared, "stop_in_gold").load()


def test_docstart_is_no_sentence(shared: Path) -> None:
    with pytest.raises(TraitscopeError, match="2 train rows are asked for and 1 are there"):
        task(shared, "conll_docstart").load()
