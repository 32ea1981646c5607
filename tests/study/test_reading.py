"""How a base's own files read a study's rows: what of them is in a unit's fingerprint, which day a chat prints."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import tiny
from forged import forge

from traitscope.errors import TraitscopeError
from traitscope.store import fingerprints
from traitscope.store.fingerprints import fingerprint_folder
from traitscope.study import Study

PLAIN = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
DATED = "It is {{ strftime_now('%d %b %Y') }}. " + PLAIN
CHAT = tiny.STUDY.replace("max_tokens: 64", "max_tokens: 128").replace(
    '    prompt: "{{{{ text }}}} is"\n', '    prompt: "{{{{ text }}}} is"\n    chat: true\n'
)


def with_template(base: Path, folder: Path, template: str) -> Path:
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").write_text(template)
    return folder


READ = [
    "chat_template.jinja",
    "additional_chat_templates/tool_use.jinja",
    "tokenizer_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tekken.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "config.json",
    "model.safetensors.index.json",
    "model.safetensors",
]
UNREAD = [
    *("README.md", "LICENSE", "picture.png", "optimizer.pt", "pytorch_model.bin", ".gitattributes"),
    *("trainer_state.json", "original/consolidated.00.pth", "train_results.json"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*READ, *UNREAD):
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return tmp_path / "model"


@pytest.mark.parametrize("name", READ)
def test_every_file_that_is_read_is_in_the_fingerprint(folder: Path, name: str) -> None:
    marks = {fingerprint_folder(folder)}
    (folder / name).write_text("{ }")
    marks.add(fingerprint_folder(folder))
    if name not in ("config.json", "model.safetensors"):
        (folder / name).unlink()
        marks.add(fingerprint_folder(folder))
        assert len(marks) == 3
    assert len(marks) >= 2


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_is_not(folder: Path, name: str) -> None:
    before = fingerprint_folder(folder)
    (folder / name).write_text("changed")
    assert fingerprint_folder(folder) == before


def test_a_file_under_another_name_is_another_file(folder: Path) -> None:
    before = fingerprint_folder(folder)
    (folder / "vocab.txt").rename(folder / "words.txt")
    assert fingerprint_folder(folder) != before


def test_large_files_are_hashed_once_and_anew_when_they_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "REMEMBERED_BYTES", 1)
    read: list[Path] = []
    hashing = fingerprints._hash
    monkeypatch.setattr(fingerprints, "_hash", lambda path, size: read.append(path) or hashing(path, size))
    before = fingerprint_folder(folder)
    n = len(read)
    assert fingerprint_folder(folder) == before and len(read) == n
    (folder / "model.safetensors").write_text("other")
    assert fingerprint_folder(folder) != before and len(read) == n + 1


@pytest.fixture(scope="module")
def chatting(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled chat study over a base whose template prints the day; not to be changed."""
    folder = tmp_path_factory.mktemp("chatting")
    made = with_template(base, folder / "base", DATED)
    Study.open(tiny.make_study(folder / "study", made, CHAT)).run()
    return folder


@pytest.fixture
def chat(chatting: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of it: study file and base."""
    shutil.copytree(chatting, tmp_path / "copy")
    study = tmp_path / "copy/study/study.yaml"
    study.write_text(study.read_text().replace(str(chatting), str(tmp_path / "copy")))
    # The folder's own copy too: where the base lies is no part of a fingerprint.
    shutil.copy(study, tmp_path / "copy/study/runs/tiny/study.yaml")
    lock = tmp_path / "copy/study/runs/tiny/lock.json"
    told = json.loads(lock.read_text().replace(str(chatting), str(tmp_path / "copy")))
    forge(lock, base=told["base"])
    return study, tmp_path / "copy/base"


def test_a_changed_template_is_noticed_and_named(chat: tuple[Path, Path]) -> None:
    study, base = chat
    assert Study.open(study).plan().complete
    (base / "chat_template.jinja").write_text(DATED.replace("It is", "Today is"))
    tiny.change(study, "eval: 8", "eval: 10")
    assert not Study.open(study).plan().state.have, "a cell would grow by rows of another prompt"
    with pytest.raises(TraitscopeError, match=r"the file chat_template\.jinja of"):
        Study.open(study).run()


def today_is(day: date, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves the clock of traitscope and of transformers' templates."""
    from datetime import datetime

    import transformers.utils.chat_template_utils as utils

    class Day(date):
        @classmethod
        def today(cls) -> date:
            return day

    class Moment(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(day.year, day.month, day.day)

    monkeypatch.setattr(sys.modules["traitscope.study.data"], "date", Day)
    monkeypatch.setattr(utils, "datetime", Moment)


def test_a_folder_keeps_the_day_it_was_begun(chat: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from traitscope.tasks.encode import prompt_text

    study, _ = chat
    lock = json.loads((study.parent / "runs/tiny/lock.json").read_text())
    begun = date.fromisoformat(lock["date"])
    assert lock["dated"] == ["base"]
    today_is(date(begun.year + 1, 1, 2), monkeypatch)
    tiny.change(study, "eval: 8", "eval: 10")
    opened = Study.open(study)
    state = opened.plan().state
    assert not state.changed and set(state.have.values()) == {8}
    task = opened.data.tasks["tone"]
    example = opened.data.load("tone").eval[0]
    tokenizer = opened.data.readers[0].tokenizer
    turns = [{"role": "user", "content": example.prompt}]
    assert prompt_text(task, example, tokenizer).startswith(f"It is {begun:%d %b %Y}. ")
    assert "02 Jan" in tokenizer.apply_chat_template(turns, tokenize=False)
    opened.run()
    again = json.loads((study.parent / "runs/tiny/lock.json").read_text())
    assert again["date"] == lock["date"]
    # Another folder that is begun on this day is of this day.
    fresh = Study.open(study, study.parent / "runs/fresh")
    assert prompt_text(fresh.data.tasks["tone"], example, tokenizer).startswith("It is 02 Jan ")
    assert fresh.units().cells[0].fingerprint != opened.units().cells[0].fingerprint


def test_the_day_is_no_part_of_what_does_not_print_it(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = {}
    for name, template in (("plain", PLAIN), ("dated", DATED)):
        made = with_template(base, tmp_path / name, template)
        study = tiny.make_study(tmp_path / f"{name}-study", made, CHAT)
        for day in (date(2024, 1, 2), date(2024, 1, 3)):
            today_is(day, monkeypatch)
            units = Study.open(study).units()
            marks[name, day.day] = {cell.unit: cell.fingerprint for cell in units.cells}
    assert marks["plain", 2] == marks["plain", 3]
    changed = {unit for unit, mark in marks["dated", 2].items() if marks["dated", 3][unit] != mark}
    # The chat task's cells, and all cells of the adapters that were trained on it.
    assert changed == {unit for unit in marks["dated", 2] if unit.endswith("/tone") or "tone" in unit or "all" in unit}


def test_template_variables_are_part_of_a_fingerprint(chat: tuple[Path, Path]) -> None:
    study, _ = chat
    tiny.change(study, "chat: true", "chat: {role: user}")
    changed = set(Study.open(study).plan().state.changed)
    assert "cells/base/tone" in changed and "adapters/tone-s0" in changed
    assert "adapters/sums-s0" not in changed and "cells/base/sums" not in changed


def test_a_misspelt_variable_stops_a_run_before_it_starts(base: Path, tmp_path: Path) -> None:
    made = with_template(base, tmp_path / "base", PLAIN)
    study = tiny.make_study(tmp_path / "study", made, CHAT.replace("chat: true", "chat: {{enable_thinking: false}}"))
    with pytest.raises(TraitscopeError, match="no variable 'enable_thinking'"):
        Study.open(study).run()
    assert not (study.parent / "runs/tiny").exists()
