"""Findings rest on the cells that today's study would make; what else lies in the folder is named and left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny
from backends import Idle
from forged import forge
from processes import snapshot

from traitscope.errors import TraitscopeError
from traitscope.store import RunFolder
from traitscope.study import Study
from traitscope.study.healing import verify


class Told:
    """A reporter that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def __getattr__(self, name: str):
        return lambda *args, **kwargs: None


def test_a_cell_of_an_old_prompt_is_no_evidence(copy: Path) -> None:
    """A base of a new prompt beside adapters of an old one would show a difference that no adapter made."""
    everything = Study.open(copy).scores()
    tiny.change(copy, '"{{ text }} is"', '"{{ text }} seems"')
    told = Told()
    study = Study.open(copy, report=told)
    scores = study.scores()
    assert "tone" in everything.tasks and "tone" not in scores.tasks and "sums" in scores.tasks
    # Every cell of the task, and all that the adapters made which were trained on it.
    assert scores.models == ("base", "sums-s0") and len(study.present().left_out) == 11
    assert study.present().left_out["cells/base/tone"] == "made from other evaluation rows"
    assert any("left out: base/tone" in note for note in told.notes)
    page = study.report().read_text(encoding="utf-8")
    top = page[: page.index('<section id="first"')]
    assert "11 cells left out" in top and "tasks.tone.prompt" in top


@pytest.mark.parametrize(
    ("old", "new", "why", "task"),
    [
        ("max_tokens: 4", "max_tokens: 5", "made under other settings: generate.max_tokens", "sums"),
        ("parse: final_number", "parse: letter", "judged by another parser or other metrics", "sums"),
        ("metrics: [accuracy, macro_f1]", "metrics: [macro_f1]", "judged by another parser or other metrics", "tone"),
        ("rank: 2", "rank: 3", "made under other settings: model", "tone"),
    ],
)
def test_why_a_cell_is_left_out(copy: Path, old: str, new: str, why: str, task: str) -> None:
    tiny.change(copy, old, new)
    study = Study.open(copy)
    left, refused = study.present().left_out, why != "judged by another parser or other metrics"
    assert left[f"cells/tone-s0/{task}"] == why
    # What a run refuses is not said to be made anew by it.
    assert study.present().changed == (left.keys() if refused else set())
    assert study.changed_adapters() == (set(study.models()) - {"base"} if "model" in why else set())
    (warning,) = (line for line in study.outline().warnings if "left out of every finding" in line)
    assert ("traitscope run refuses" in warning) == refused == ("--replace" in warning)
    assert ("run makes them anew" in warning) != refused
    assert (f"cells/base/{task}" in left) == ("model" not in why)


def test_what_is_damaged_is_told_apart_from_what_is_of_another_study(copy: Path) -> None:
    folder = Study.open(copy).folder.root
    records = folder / "cells/sums-s0/story/examples.parquet"
    records.write_bytes(records.read_bytes()[:300])
    (folder / "cells/tone-s0/sums/cell.json").write_text("{broken")
    (folder / "tasks/tone.parquet").unlink()
    study = Study.open(copy)
    found = study.outline()
    assert found.left_out == () and set(found.damaged) == {("sums-s0", "story"), ("tone-s0", "sums")}
    cells, rows = found.warnings
    assert cells.startswith("2 cells left out of every finding: ") and cells.endswith("traitscope run makes them anew.")
    assert rows == "tasks/tone.parquet is missing: its examples cannot be shown. The next traitscope run writes it."
    with pytest.raises(TraitscopeError, match="is missing"):
        study.examples("tone")
    study.run()
    healed = Study.open(copy)
    assert not healed.outline().warnings and healed.examples("tone")["eval"]


def test_a_folder_is_analysed_without_its_rows_and_base(copy: Path, base: Path) -> None:
    """On a colleague's machine the lock says what the study's cells are."""
    folder = copy.parent / "runs/tiny"
    before = Study.open(copy).scores().to_wide()
    for path in copy.parent.glob("*.jsonl"):
        path.unlink()
    (folder / "local.json").unlink()
    lock = RunFolder(folder).read_lock()
    assert lock is not None
    forge(folder / "lock.json", base={**lock["base"], "model": "./gone"}, study_file=None)
    text = (folder / "study.yaml").read_text()
    (folder / "study.yaml").write_text(text.replace(str(base), "./gone"))
    study = Study.open(folder, backend=Idle())
    assert study.scores().to_wide().equals(before) and study.present().left_out == {}
    tiny.change(folder / "study.yaml", "max_tokens: 4", "max_tokens: 5")
    assert "sums" not in Study.open(folder).scores().tasks


def test_fewer_rows_are_the_same_cells(copy: Path) -> None:
    tiny.change(copy, "train: 12, eval: 8", "train: 12, eval: 6")
    assert Study.open(copy).present().left_out == {}


def test_the_reports_recipe_is_what_the_adapters_were_trained_with(copy: Path) -> None:
    tiny.change(copy, "lr: 0.01", "lr: 0.02")
    page = Study.open(copy).report().read_text(encoding="utf-8")
    assert "lr 0.01 " in page and "recipe.lr: 0.01 -&gt; 0.02" in page[: page.index('<section id="first"')]


@pytest.mark.parametrize(("old", "new"), [("controls: {tone: [mislabel]}\n", ""), ("mixes: {all", "mixes: {other")])
def test_what_was_taken_out_of_a_study_does_not_come_back(copy: Path, old: str, new: str) -> None:
    tiny.change(copy, old, new)
    Study.open(copy).run()
    again = Study.open(copy.parent / "runs/tiny")
    gone = "tone.mislabel-s0" if "controls" in old else "all-s0"
    assert again.run() is None and gone not in again.models()
    assert gone not in again.scores().models


def test_a_removed_seed_does_not_come_back(copy: Path) -> None:
    tiny.change(copy, "seeds: [0]", "seeds: [0, 1]")
    Study.open(copy).run()
    tiny.change(copy, "seeds: [0, 1]", "seeds: [1]")
    assert Study.open(copy).run() is None
    again = Study.open(copy.parent / "runs/tiny")
    assert again.run() is None and "tone-s0" not in again.models() and "tone-s1" in again.scores().models


def test_a_renamed_task_is_found_again(copy: Path) -> None:
    folder = copy.parent / "runs/tiny"
    tiny.change(copy, "mixes: {all: {of: sources, per_task: 6}}\n", "")
    Study.open(copy).run()
    before = Study.open(copy).scores().to_wide()
    weights = (folder / "adapters/sums-s0/adapter_model.safetensors").read_bytes()
    tiny.change(copy, "  sums:", "  adding:")
    told = Told()
    work = Study.open(copy, report=told).run()
    assert work is not None and (work.trained, work.evaluated) == ([], [])
    assert "adapters/adding-s0 is what adapters/sums-s0 was" in told.notes
    renamed = Study.open(copy).scores().to_wide()
    assert renamed.rename(columns={"adding": "sums"}, index={"adding-s0": "sums-s0"}).equals(before)
    assert (folder / "adapters/adding-s0/adapter_model.safetensors").read_bytes() == weights
    assert "# adding-s0" in (folder / "adapters/adding-s0/README.md").read_text()
    assert not (folder / "adapters/sums-s0").exists() and verify(RunFolder(folder)) == []
    # And back again: the same bytes as before.
    tiny.change(copy, "  adding:", "  sums:")
    kept = {k: v for k, v in snapshot(folder).items() if k.startswith(("adapters/tone", "cells/base/tone"))}
    Study.open(copy).run()
    after = snapshot(folder)
    assert {k: after[k] for k in kept} == kept and Study.open(copy).scores().to_wide().equals(before)


def test_a_refusal_names_the_keys_that_changed(copy: Path) -> None:
    tiny.change(copy, "max_tokens: 4", "max_tokens: 5")
    with pytest.raises(TraitscopeError, match=r"tasks\.sums\.answer\.generate\.max_tokens: 4 -> 5"):
        Study.open(copy).run()
    # Without the old study file what the units were made from says it.
    shutil.copy(copy, copy.parent / "runs/tiny/study.yaml")
    with pytest.raises(TraitscopeError, match=r"cells/base/sums: generate\.max_tokens: 4 -> 5"):
        Study.open(copy).run()
