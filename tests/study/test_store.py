"""The run folder: all of a file or none of it, commit marks, growth, damage, full disks, many cells."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from traitscope.errors import TraitscopeError
from traitscope.records import Cell, Example, ExampleRecord, Score
from traitscope.store import (
    AdapterHead,
    CellStamp,
    CellStore,
    RowsHash,
    RunFolder,
    canonical,
    differences,
    fingerprint,
    put_if_absent,
    sweep,
    write_atomic,
)
from traitscope.store.files import TEMPORARY, machine
from traitscope.store.seal import sealed


def record(index: int, correct: float = 1.0) -> ExampleRecord:
    return ExampleRecord(
        id=f"r{index}",
        gold="yes",
        pred="yes" if correct else None,
        pred_norm="no",
        correct=correct,
        valid=True,
        finish=None,
        output=None,
        n_output=1,
        n_gold=2,
        loss=0.25 * index,
        logprobs=(-0.5, -1.25),
        tags={"kind": "short"},
    )


def cell(model: str = "a-s0", task: str = "t", n: int = 3, value: float = 0.5) -> Cell:
    score = Score("accuracy", value, 0.1, n, True, True)
    loss = Score("loss", 1.5, None, n, False, False)
    records = tuple(record(i) for i in range(n))
    return Cell(model, "a", 0, task, (score, loss), records, {"classes": ["yes", "no"], "invalid_rate": 0.0})


STAMP = CellStamp("f" * 64, "s" * 64, "r" * 64, "embedded", {"prompt": "{{ text }}"})


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_the_fingerprint_is_sha256_of_sorted_compact_json() -> None:
    value = {"b": (1, 2.5), "a": {"z": None, "y": "é"}}
    assert canonical(value) == '{"a":{"y":"é","z":null},"b":[1,2.5]}'.encode()
    assert fingerprint(value) == hashlib.sha256(canonical(value)).hexdigest()
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2.0, "a": 1})
    with pytest.raises(ValueError):
        fingerprint(float("nan"))


def test_rows_hash_of_a_prefix_does_not_change_when_rows_are_added() -> None:
    rows = [Example(f"e{i}", f"prompt {i}", "answer") for i in range(5)]
    short, long = RowsHash(rows[:3]), RowsHash(rows)
    assert short.whole == long.prefix(3) != long.whole
    assert long.prefix(6) is None
    changed = RowsHash([rows[0], Example("e1", "prompt one", "answer"), rows[2]])
    assert changed.prefix(1) == long.prefix(1) and changed.prefix(2) != long.prefix(2)


def test_differences_name_the_key_with_its_old_and_new_value() -> None:
    old = {"recipe": {"lr": 2e-4, "rank": 8}, "data": "x"}
    new = {"recipe": {"lr": 1e-4, "rank": 8, "clip": 1.0}, "data": "x"}
    assert differences(old, new) == ["recipe.lr: 0.0002 -> 0.0001", "recipe.clip: (absent) -> 1"]


def test_put_if_absent_keeps_the_first_content(tmp_path: Path) -> None:
    assert put_if_absent(tmp_path / "x", b"first")
    assert not put_if_absent(tmp_path / "x", b"second")
    assert (tmp_path / "x").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_failed_write_leaves_the_old_file_and_no_leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(tmp_path / "x", b"old")

    def no_sync(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_sync)
    with pytest.raises(TraitscopeError, match="no space left"):
        write_atomic(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_sweep_removes_leftovers_of_dead_processes_only(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    ours = tmp_path / f"{TEMPORARY}{machine()}-{os.getpid()}-1-x"
    gone = tmp_path / f"{TEMPORARY}{machine()}-{dead.pid}-2-x"
    elsewhere = tmp_path / f"{TEMPORARY}otherhost-1-3-x"
    old_elsewhere = tmp_path / f"{TEMPORARY}otherhost-1-4-x"
    for path in (ours, gone, elsewhere, old_elsewhere, tmp_path / "kept"):
        path.write_bytes(b"")
    os.utime(old_elsewhere, (time.time() - 7200,) * 2)
    assert sweep(tmp_path) == 2
    assert {p.name for p in tmp_path.iterdir()} == {ours.name, elsewhere.name, "kept"}


def test_a_cell_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    written = cell()
    store.stage(written, STAMP).commit()
    assert store.read("a-s0", "t") == written
    assert store.read_frame("a-s0", "t")["loss"].tolist() == [0.0, 0.25, 0.5]
    assert sorted(p.name for p in store.path("a-s0", "t").iterdir()) == ["cell.json", "examples.parquet"]


def test_the_same_cell_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        CellStore(tmp_path / name).stage(cell(), STAMP).commit()
    for file in ("cell.json", "examples.parquet"):
        assert (tmp_path / "one/a-s0/t" / file).read_bytes() == (tmp_path / "two/a-s0/t" / file).read_bytes()


def test_a_staged_cell_does_not_count_before_its_commit(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    staged = store.stage(cell(), STAMP)
    assert len(store.index()) == 0
    staged.commit()
    assert len(store.index()) == 1


@pytest.mark.parametrize("kill_at", [1, 2])
def test_a_kill_while_a_cell_is_replaced_never_leaves_a_mark_beside_foreign_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    store = CellStore(tmp_path)
    store.stage(cell(n=3), STAMP).commit()
    staged = store.stage(cell(n=5), STAMP)
    calls = 0
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == kill_at:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            staged.commit()
    head = store.index().get("a-s0", "t")
    assert head is None
    store.stage(cell(n=5), STAMP).commit()
    assert len(store.read("a-s0", "t").records) == 5


def test_the_index_follows_cells_that_are_added_replaced_and_removed(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    for task in ("t", "u"):
        store.stage(cell(task=task), STAMP).commit()
    store.stage(cell(model="b-s0"), STAMP).commit()
    assert len(store.index()) == 3
    store.stage(cell(task="u", value=0.75, n=4), STAMP).commit()
    for file in store.path("b-s0", "t").iterdir():
        file.unlink()
    index = store.index()
    assert [(h.model, h.task, h.n) for h in index] == [("a-s0", "t", 3), ("a-s0", "u", 4)]
    table = index.table()
    assert table[table.metric == "accuracy"]["value"].tolist() == [0.5, 0.75]
    assert table["stderr"].isna().tolist() == [False, True, False, True]


def test_the_index_is_a_cache_that_may_be_deleted_or_damaged(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    store.stage(cell(), STAMP).commit()
    table = store.index().table()
    for content in (None, b"{", b'{"format": 1}', b'{"format": 99}'):
        path = tmp_path / "a-s0/index.json"
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        assert store.index().table().equals(table)


def test_a_table_of_no_cells_has_the_columns(tmp_path: Path) -> None:
    table = CellStore(tmp_path / "none").index().table()
    assert len(table) == 0 and {"model", "task", "metric", "value"} <= set(table.columns)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "no object"),
        (b"5", "no object"),
        (b"null", "no object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"model": "a-s0"}', "sha256 differs"),
        (sealed({"model": "a-s0"}, "cell.json"), "keys are missing"),
    ],
)
def test_a_damaged_cell_is_named_with_what_to_do(tmp_path: Path, damage: bytes, message: str) -> None:
    store = CellStore(tmp_path)
    store.stage(cell(), STAMP).commit()
    path = store.path("a-s0", "t") / "cell.json"
    path.write_bytes(damage)
    assert len(store.index()) == 0 and message in store.index().damaged["a-s0", "t"]
    with pytest.raises(TraitscopeError, match=message) as caught:
        store.read_json("a-s0", "t")
    assert str(path) in str(caught.value) and "this cell alone" in str(caught.value)


def test_records_that_do_not_belong_to_their_mark_are_refused(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    store.stage(cell(), STAMP).commit()
    path = store.path("a-s0", "t") / "examples.parquet"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(TraitscopeError, match="sha256 differs"):
        store.read_records("a-s0", "t")
    path.unlink()
    with pytest.raises(TraitscopeError, match="missing"):
        store.read_records("a-s0", "t")


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    store.stage(cell(), STAMP).commit()
    path = store.path("a-s0", "t") / "cell.json"
    newer = b'{"format": 3'
    path.write_bytes(newer + b',\n  "sha256": "' + hashlib.sha256(newer).hexdigest().encode() + b'"\n}\n')
    with pytest.raises(TraitscopeError, match="format 3, this traitscope reads 2"):
        store.index()


def test_a_full_disk_gives_one_clear_error_and_keeps_what_was_there(tiny_disk: Path) -> None:
    store = CellStore(tiny_disk / "cells")
    store.stage(cell(n=3), STAMP).commit()
    before = store.read("a-s0", "t")
    (tiny_disk / "ballast").write_bytes(b"x" * (os.statvfs(tiny_disk).f_bavail * os.statvfs(tiny_disk).f_frsize))
    with pytest.raises(TraitscopeError, match="no space left on the disk"):
        store.stage(cell(n=5), STAMP)
    assert store.read("a-s0", "t") == before
    assert sorted(p.name for p in store.path("a-s0", "t").iterdir()) == ["cell.json", "examples.parquet"]
    (tiny_disk / "ballast").unlink()
    store.stage(cell(n=5), STAMP).commit()
    assert len(store.read("a-s0", "t").records) == 5


def test_a_read_only_folder_can_be_read_and_says_so_when_written(tiny_disk: Path) -> None:
    folder = RunFolder(tiny_disk)
    folder.cells.stage(cell(), STAMP).commit()
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    assert len(folder.cells.index()) == 1
    with pytest.raises(TraitscopeError, match=r"cannot be written .*\n.*--out"):
        folder.prepare()


def test_a_file_in_the_place_of_the_run_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(TraitscopeError, match="is a file"):
        RunFolder(tmp_path / "runs").prepare()


def test_tasks_are_read_back_with_both_splits(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    train = [Example("a", "p", " yes", (" no", " yes"), 1, tags={"k": "v"})]
    evaluation = [Example("b", "q", "12", references=("12", "twelve"), messages=(("user", "q"),))]
    folder.write_task("t", {"train": train, "eval": evaluation})
    assert folder.read_task("t") == {"train": train, "eval": evaluation}


def test_an_adapter_counts_once_its_folder_has_its_name(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    head = AdapterHead("a-s0", "a", 0, "embedded", "f" * 64, {"lr": 1e-3}, {})
    for expected in (True, False):
        made = folder.stage_adapter(head, {}, {"w": np.ones(2, dtype=np.float32)}, "card", [])
        assert (folder.adapter("a-s0") is None) is expected
        assert folder.commit_adapter(made, "a-s0") is expected
    read = folder.adapter("a-s0")
    assert read is not None and read.inputs == {"lr": 1e-3}
    assert read.files["adapter_config.json"] == hashlib.sha256(b"{}\n").hexdigest()
    assert [h.name for h in folder.adapters()] == ["a-s0"]
    assert [p.name for p in (tmp_path / "adapters").iterdir()] == ["a-s0"]


def test_units_set_aside_keep_their_files(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.cells.stage(cell(), STAMP).commit()
    place = folder.set_aside(["cells/a-s0/t", "adapters/none"])
    assert (place / "cells/a-s0/t/cell.json").is_file()
    assert len(folder.cells.index()) == 0


def test_a_log_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.log("start", verb="run")
    with (tmp_path / "run.jsonl").open("a") as file:
        file.write('{"time": "20')
    assert [(line["event"], line["verb"]) for line in folder.read_log()] == [("start", "run")]


def fill(folder: Path, n_models: int, n_tasks: int) -> None:
    """Cells as the store lays them out, their records left out; written plainly, for speed."""
    CellStore(folder).stage(cell(), STAMP).commit()
    head = CellStore(folder).read_json("a-s0", "t")
    shutil.rmtree(folder / "a-s0")
    for m in range(n_models):
        for t in range(n_tasks):
            place = folder / f"m{m}-s0" / f"t{t}"
            place.mkdir(parents=True)
            (place / "cell.json").write_bytes(sealed({**head, "model": f"m{m}-s0", "task": f"t{t}"}, "cell.json"))
            (place / "examples.parquet").touch()


@pytest.mark.parametrize(
    ("n_models", "n_tasks", "seconds"),
    [(100, 40, 2.0), pytest.param(1000, 200, 15.0, marks=pytest.mark.verify)],
)
def test_opening_many_cells_takes_seconds(tmp_path: Path, n_models: int, n_tasks: int, seconds: float) -> None:
    fill(tmp_path / "cells", n_models, n_tasks)
    CellStore(tmp_path / "cells").index()
    start = time.perf_counter()
    index = CellStore(tmp_path / "cells").index()
    table = index.table()
    elapsed = time.perf_counter() - start
    assert len(index) == n_models * n_tasks and len(table) == 2 * n_models * n_tasks
    assert elapsed < seconds, f"{elapsed:.1f} s"


def test_a_cell_that_is_being_replaced_is_read_as_it_was_or_as_it_will_be(tmp_path: Path) -> None:
    store, stop = CellStore(tmp_path), threading.Event()
    store.stage(cell(), STAMP).commit()
    before = store.read_frame("a-s0", "t")
    longer = replace(cell(), records=cell().records[:1])
    after = len(longer.records)

    def work() -> None:
        while not stop.is_set():
            for one in (longer, cell()):
                store.stage(one, STAMP).commit()

    writer = threading.Thread(target=work)
    writer.start()
    try:
        seen = {len(store.read_frame("a-s0", "t")) for _ in range(300)}
    finally:
        stop.set()
        writer.join()
    assert seen <= {len(before), after} and len(seen) == 2
