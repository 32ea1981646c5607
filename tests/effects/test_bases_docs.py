"""docs/bases.md is true: its example runs, its study file is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from traitscope.config import StudyConfig
from traitscope.config.yamlfile import parse_yaml

DOC = Path(__file__).parents[2] / "docs" / "bases.md"


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", DOC.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_runs_and_says_what_holds_where(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block("python"), str(DOC), "exec"), {})
    said = capsys.readouterr().out
    assert "nli on rte: +7.3 points on average, holds in 2 of 3, in at least 2 with 95% confidence" in said


def test_the_study_file_is_read() -> None:
    task = {"data": {"embedded": "reviews", "train": 4, "eval": 4}, "answer": {"loss": "{{ text }}"}}
    data, _ = parse_yaml(block("yaml").replace("{...}", "{}"), "bases.md")
    found = StudyConfig(**{**data, "tasks": {"one": task}}).by_base()
    assert {name: one.recipe.lr for name, one in found.items()} == {
        "Llama-3.2-1B": 2e-4,
        "Qwen2.5-1.5B": 2e-4,
        "own": 1e-4,
    }
