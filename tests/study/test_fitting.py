"""Which rows are too long, at the very limit; and whose limit it is where several train on a task."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny

from traitscope.study import Study, fitting
from traitscope.study.fitting import find_overlong, training_limits
from traitscope.tasks.lengths import Length


def test_a_row_fits_up_to_the_limit_and_an_answer_up_to_one_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"just fits": (6, 4), "one more": (7, 4), "no prompt fits": (1, 10), "one token fits": (2, 9)}
    source: Any = None
    reader: Any = fitting.Reader("base", source)
    reader.tokenizer = None
    examples: Any = [SimpleNamespace(id=name) for name in rows]
    task: Any = None

    def found(chosen: slice) -> Any:
        monkeypatch.setattr(
            fitting, "training_lengths", lambda *_: [Length(*row) for row in list(rows.values())[chosen]]
        )
        return find_overlong(task, examples[chosen], {reader: 10}, train=True)

    assert found(slice(None)).by == {"base": ("one more", "no prompt fits", "one token fits")}
    assert found(slice(None)).hopeless.id == "no prompt fits"
    assert found(slice(0, 1)).worst is None
    # A prompt of one token is left of it.
    assert found(slice(3, 4)).hopeless is None


def test_the_least_of_all_recipes_that_train_on_a_task_is_its_limit(study_file: Path) -> None:
    def limits() -> dict[str, int]:
        return training_limits(Study.open(study_file).config)

    assert limits() == {"tone": 64, "sums": 64}
    tiny.change(study_file, "of: sources, per_task: 6", "of: sources, per_task: 6, max_tokens: 40")
    assert limits() == {"tone": 40, "sums": 40}
    tiny.change(study_file, "controls:", "sources: [tone, {sums: {max_tokens: 30}}]\ncontrols:")
    assert limits() == {"tone": 40, "sums": 30}
