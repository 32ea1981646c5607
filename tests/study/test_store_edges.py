"""Edges of the store: zombies, quotas, prefixes, replaced cells, half-made adapters."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from forged import forge

from traitscope.errors import TraitscopeError
from traitscope.records import Cell, Example, ExampleRecord, Score, StepRecord
from traitscope.store import AdapterHead, CellStamp, CellStore, RowsHash, RunFolder
from traitscope.store.files import disk_errors, process_start
from traitscope.store.leases import Owner
from traitscope.store.tables import examples_bytes, examples_from, read_parquet


def test_a_killed_process_that_was_not_collected_is_not_running() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert process_start(child.pid) is not None
    child.kill()
    deadline = time.monotonic() + 10
    while process_start(child.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process_start(child.pid) is None
    assert Path(f"/proc/{child.pid}/stat").exists()
    child.wait()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_quota_is_as_good_as_a_full_disk(number: int, tmp_path: Path) -> None:
    with pytest.raises(TraitscopeError, match="no space left on the disk"), disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))


def test_the_prefix_of_all_rows_is_the_whole() -> None:
    rows = RowsHash(Example(str(i), f"p{i}", "a", None, None, ("a",)) for i in range(3))
    assert rows.prefix(3) == rows.whole and rows.prefix(4) is None
    assert len({rows.prefix(n) for n in range(4)}) == 4


def an_example(number: int, tags: dict[str, str]) -> Example:
    return Example(f"r{number}", "p", "a", references=("a",), tags=tags)


def test_the_order_of_tags_does_not_change_the_bytes() -> None:
    rows = [[an_example(0, tags)] for tags in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"})]
    assert examples_bytes({"eval": rows[0]}) == examples_bytes({"eval": rows[1]})
    assert examples_from(read_parquet(examples_bytes({"eval": rows[0]}), where="", fix=""))["eval"] == rows[0]


def a_cell(model: str, source: str, seed: int, value: float) -> Cell:
    scores = (Score("accuracy", value, 0.1, 1, True, True),)
    record = ExampleRecord("r0", "a", "a", None, 1.0, True, None, None, 1, 1, 0.5)
    return Cell(model, source, seed, "t", scores, (record,), {})


STAMP = CellStamp("f" * 64, "s" * 64, "r" * 64, "embedded", {})


def test_scores_stand_beside_their_own_model(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    for model, source, seed, value in (("a-s0", "a", 0, 0.25), ("b-s1", "b", 1, 0.5), ("c-s2", "c", 2, 0.75)):
        store.stage(a_cell(model, source, seed, value), STAMP).commit()
    table = store.index().table()
    assert list(zip(table["model"], table["source"], table["seed"], table["value"], strict=True)) == [
        ("a-s0", "a", 0, 0.25), ("b-s1", "b", 1, 0.5), ("c-s2", "c", 2, 0.75),
    ]  # fmt: skip


def test_a_replaced_cell_of_the_same_size_is_read_again(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    for value in (0.25, 0.75):
        store.stage(a_cell("a-s0", "a", 0, value), STAMP).commit()
        assert store.index().table()["value"].tolist() == [value]


def test_a_broken_line_hides_no_later_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.log("start")
    with (tmp_path / "run.jsonl").open("a") as file:
        file.write('{"time": "20\n')
    folder.log("end")
    assert [line["event"] for line in folder.read_log()] == ["start", "end"]


def test_a_half_made_adapter_gives_way_and_a_staged_one_does_not_count(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    head = AdapterHead("a-s0", "a", 0, "embedded", "f" * 64, {}, {})
    made = folder.stage_adapter(head, {}, {"w": np.ones(2, dtype=np.float32)}, "card", [])
    assert made.parent == tmp_path / "adapters" and folder.adapters() == []
    (folder.adapter_path("a-s0")).mkdir()
    (folder.adapter_path("a-s0") / "half").write_bytes(b"")
    assert folder.commit_adapter(made, "a-s0")
    assert [found.name for found in folder.adapters()] == ["a-s0"]
    assert not (folder.adapter_path("a-s0") / "half").exists()


def test_a_file_is_written_where_it_is_missing_or_another(tmp_path: Path) -> None:
    folder, path = RunFolder(tmp_path), tmp_path / "a.json"
    assert [folder.write_if_changed(path, data) for data in (b"1", b"1", b"2", b"2")] == [True, False, True, False]
    assert path.read_bytes() == b"2"


def test_a_process_that_has_the_number_of_a_dead_one_is_another(tmp_path: Path) -> None:
    here = Owner.here()
    assert not here.gone()
    assert Owner(here.id, here.host, here.machine, here.pid, "1").gone()
    assert not Owner(here.id, here.host, "another machine", here.pid, "1").gone()


def test_a_study_file_alone_makes_no_run_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.study_file.write_text("study: s\n")
    assert not folder.exists()
    (tmp_path / "plan").mkdir()
    assert folder.exists()


def test_the_mark_of_an_adapter_names_every_other_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    head = AdapterHead("a-s0", "a", 0, "embedded", "f" * 64, {}, {})
    folder.commit_adapter(
        folder.stage_adapter(head, {}, {"w": np.ones(2, dtype=np.float32)}, "card", [StepRecord(1, 0.5, 0.1, 8, 1.0)]),
        "a-s0",
    )
    place = folder.adapter_path("a-s0")
    on_disk = {p.relative_to(place).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in place.rglob("*")}
    on_disk.pop("unit.json")
    found = folder.adapter("a-s0")
    assert found is not None and found.files == on_disk
    forge(place / "unit.json", seed=None)
    with pytest.raises(TraitscopeError, match="keys are missing"):
        folder.adapter("a-s0")


def test_a_finished_bank_leaves_the_checkpoints_of_others(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for bank in ("one", "two"):
        folder.write_checkpoint(bank, bank.encode())
    folder.drop_checkpoint("one")
    assert (folder.read_checkpoint("one"), folder.read_checkpoint("two")) == (None, b"two")
    folder.drop_checkpoint("two")
    assert not (tmp_path / "checkpoints").exists()


def test_a_file_above_the_run_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(TraitscopeError, match="lies in one"):
        RunFolder(tmp_path / "runs" / "one")
