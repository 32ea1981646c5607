"""What a verb does per cell and per source does not grow with their number: operations are counted, not seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from traitscope.config import StudyConfig, load_config
from traitscope.store import cells as store_cells
from traitscope.store.shards import PREFIX
from traitscope.study import Study, state


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """The arguments of every call of a function from here on."""
    calls, real = [], getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)
    return calls


def test_sources_are_resolved_once_for_all_that_ask(study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch, StudyConfig, "_resolve")
    config = load_config(study_file)
    first = config.resolved_sources()
    assert [source.name for source in first] == ["tone", "tone.mislabel", "sums"]
    assert all(config.resolved_sources() is first for _ in range(5))
    assert len(calls) == 1
    other = config.model_copy(update={"controls": {}})
    assert [source.name for source in other.resolved_sources()] == ["tone", "sums"]


def test_the_adapters_are_listed_without_a_look_at_any_cell(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch, state, "cell_units")
    study = Study.open(copy)
    assert {unit.name for unit in study.adapter_units()} == {unit.name for unit in study.units().adapters}
    assert len(calls) == len(study.config.target_names()), "only units() makes cells, once a target"


def test_a_verb_looks_at_the_cells_once(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch, store_cells.CellStore, "index")
    Study.open(copy).effects()
    assert len(calls) == 1
    study = Study.open(copy)
    study.cells()
    study.cells()
    assert len(calls) == 3, "between verbs the folder may have changed"


def test_records_are_read_cell_by_cell_once_and_then_by_model(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch, store_cells.CellStore, "_whole")
    study = Study.open(copy)
    first = study.scores(records=True)
    cells = len(study.cells())
    assert len(calls) == cells
    again = Study.open(copy).scores(records=True)
    assert len(calls) == cells
    for task, by_model in first.records.items():
        assert {model: list(values) for model, values in by_model.items()} == {
            model: study.records(model, task)["correct"].tolist() for model in by_model
        }
        assert {model: list(v) for model, v in again.records[task].items()} == {m: list(v) for m, v in by_model.items()}


@pytest.mark.parametrize("harm", ["cut", "flipped", "another's name", "gone"])
def test_a_damaged_file_of_records_is_not_believed_and_made_anew(copy: Path, harm: str) -> None:
    study = Study.open(copy)
    right = study.scores(records=True).records["tone"]["base"].tolist()
    (path,) = (study.folder.root / "cells" / "base").glob(f"{PREFIX}*")
    data = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    elif harm == "another's name":
        path.rename(path.with_name(f"{PREFIX}{'0' * 64}.parquet"))
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data[: len(data) // 2] if harm == "cut" else data)
    assert Study.open(copy).scores(records=True).records["tone"]["base"].tolist() == right
    assert [found.name for found in path.parent.glob(f"{PREFIX}*")] == [path.name]
    assert not study.verify()


def test_a_cell_that_was_replaced_is_read_anew(copy: Path) -> None:
    study = Study.open(copy)
    study.scores(records=True)
    cell, head = study.folder.cells.read("base", "tone"), study.folder.cells.head("base", "tone")
    assert head is not None
    told = study.folder.cells.read_json("base", "tone")
    turned = tuple(store_cells_record(record) for record in cell.records)
    stamp = store_cells.CellStamp(head.fingerprint, head.scoring, head.rows, told["base"], told["inputs"])
    made = type(cell)(cell.model, cell.source, cell.seed, cell.task, cell.scores, turned, cell.summary)
    study.folder.cells.stage(made, stamp).commit()
    found = Study.open(copy).scores(records=True).records["tone"]["base"]
    assert list(found) == [record.correct for record in turned] != [record.correct for record in cell.records]


def store_cells_record(record: Any) -> Any:
    """The same record with the other outcome."""
    from dataclasses import replace

    return replace(record, correct=1.0 - record.correct)
