"""The examples of docs/python.md run in the folder of a filled study, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_examples_run(copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(copy.parent)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    assert len(blocks) >= 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
        assert capsys.readouterr().out
    assert (copy.parent / "tone-records").is_dir()


def test_the_tables_of_the_page_are_those_that_there_are() -> None:
    from traitscope.study.tables import TABLES
    from traitscope.tracking import TRACKERS

    page = PAGE.read_text()
    frames, trackers = page.split("## Hugging Face")[0], page.split("## Trackers")[1]
    assert re.findall(r"^\| `(\w+)` \| ", frames.split("Results give")[0], flags=re.M) == list(TABLES)
    assert re.findall(r"^\| `(\w+)` \| ", trackers, flags=re.M) == list(TRACKERS)
