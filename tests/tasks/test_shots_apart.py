"""A row never stands among its own solved examples, from whatever file, split or side it comes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from task_helpers import CHOICE, write_rows

from traitscope.config import TaskConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.tasks import Task

Loaded = Callable[..., tuple[tuple[Example, ...], tuple[Example, ...]]]


def rows(numbers: range, wrap: str = "{}") -> list[dict[str, Any]]:
    return [{"text": wrap.format(f"q{n}"), "label": ["no", "yes"][n % 2]} for n in numbers]


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    def load(ours: list[dict[str, Any]], theirs: list[dict[str, Any]] | None, shots: Any, **data: Any) -> Any:
        first = write_rows(tmp_path, ours, "train.jsonl")
        second = write_rows(tmp_path, theirs, "eval.jsonl") if theirs is not None else None
        path = first if second is None else {"train": first, "eval": second}
        config = TaskConfig(data={"path": path, **data}, prompt="{{ text }}\nA:", answer=CHOICE, shots=shots)
        found = Task("t", config, tmp_path).load()
        return found.train, found.eval

    return load


def apart(examples: tuple[Example, ...], n: int) -> bool:
    """Whether every prompt has n solved examples, none of which asks what it asks itself."""
    asked = [[part.strip().split("\n")[0].strip() for part in e.prompt.split("\n\n")] for e in examples]
    return all(len(parts) == n + 1 and parts[-1] not in parts[:-1] for parts in asked)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("duplicates", ["drop", "keep"])
@pytest.mark.parametrize("train", [0, 4])
def test_rows_of_both_files(loaded: Loaded, fixed: bool, duplicates: str, train: int) -> None:
    shots = {"n": 2, "fixed": fixed}
    trained, evaluated = loaded(rows(range(20)), rows(range(8, 14), " {}  "), shots, train=train, duplicates=duplicates)
    assert len(trained) == train and len(evaluated) == 6
    assert apart(trained, 2) and apart(evaluated, 2)


@pytest.mark.parametrize("near", ["q{} ", "q{}\u00a0", "q{}\u200a", "Q{}", "\uff51{}", "  q{}\t"])
@pytest.mark.parametrize("duplicates", ["drop", "keep"])
def test_nearly_the_same_question_is_the_same(loaded: Loaded, near: str, duplicates: str) -> None:
    alike = [{"text": near.format(n), "label": "no"} for n in range(6)]
    shots = {"n": 3, "fixed": False}
    trained, evaluated = loaded(rows(range(6)) + rows(range(20, 24)), alike, shots, train=4, duplicates=duplicates)
    numbers = [re.findall(r"^\s*[qQ\uff51](\d+)", e.prompt, re.MULTILINE) for e in (*trained, *evaluated)]
    assert all(len(found) == 4 and found[-1] not in found[:-1] for found in numbers), numbers
    if duplicates == "drop":
        assert {found[-1] for found in numbers[:4]} == {"20", "21", "22", "23"}


def test_nearly_equal_rows_of_one_file_stand_on_one_side(loaded: Loaded) -> None:
    both = rows(range(20)) + rows(range(20), " {} ") + rows(range(20), "{}\u00a0")
    trained, evaluated = loaded(both, None, {"n": 0}, train="all", eval=8)
    asked = [{e.prompt.split("\n")[0].strip() for e in side} for side in (trained, evaluated)]
    assert len(evaluated) == len(asked[1]) == 8 and len(trained) == 36 and not asked[0] & asked[1]


@pytest.mark.parametrize("fixed", [True, False])
def test_repeated_train_rows(loaded: Loaded, fixed: bool) -> None:
    repeated = rows(range(6)) + rows(range(6), " {}")
    trained, _ = loaded(repeated, rows(range(50, 53)), {"n": 3, "fixed": fixed}, train="all")
    assert len(trained) == 12 and apart(trained, 3)


@pytest.mark.parametrize("duplicates", ["drop", "keep"])
def test_one_file_that_is_divided(loaded: Loaded, duplicates: str) -> None:
    data = {"train": 12, "eval": 6, "duplicates": duplicates}
    trained, evaluated = loaded(rows(range(20)) + rows(range(20)), None, {"n": 2, "fixed": False}, **data)
    assert apart(trained, 2) and apart(evaluated, 2)


def test_the_counts_name_what_is_lacking(loaded: Loaded) -> None:
    with pytest.raises(TraitscopeError, match=r"need 3 train rows, and 1 are there \(5 more repeat an eval row\)"):
        loaded(rows(range(6)), rows(range(1, 6)), {"n": 2}, train=0)
    with pytest.raises(TraitscopeError, match="only 1 train rows ask something else"):
        loaded(rows(range(2)) + rows(range(1)) * 9, rows(range(5, 8)), {"n": 2}, train=1)


def test_tasks_without_solved_examples_keep_rows_that_only_evaluate(loaded: Loaded) -> None:
    _, evaluated = loaded(rows(range(6)), rows(range(6)), {"n": 0}, train=0, duplicates="refuse")
    assert len(evaluated) == 6
