"""What is committed survives a power cut: a folder is synced after a name in it has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from traitscope.store.files import Staged, move_folder, put_if_absent, write_atomic


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, set[str]]]:
    """Every fsync: the path, and for a folder the names that stand in it at that moment."""
    seen: list[tuple[Path, set[str]]] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        seen.append((path, {child.name for child in path.iterdir()} if path.is_dir() else set()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    return seen


def folders(seen: list[tuple[Path, set[str]]]) -> list[tuple[Path, set[str]]]:
    return [(path, names) for path, names in seen if names or path.is_dir()]


def test_a_written_file_is_synced_and_then_its_folder(tmp_path: Path, synced: list[tuple[Path, set[str]]]) -> None:
    write_atomic(tmp_path / "a.json", b"1")
    assert synced[0][0].parent == tmp_path and not synced[0][0].is_dir()
    assert synced[1:] == [(tmp_path, {"a.json"})]


def test_a_file_put_if_absent_is_synced_and_then_its_folder(
    tmp_path: Path, synced: list[tuple[Path, set[str]]]
) -> None:
    assert put_if_absent(tmp_path / "a.json", b"1")
    assert len(synced) == 2 and synced[1] == (tmp_path, {"a.json"})


def test_the_mark_comes_after_its_files_are_safe(tmp_path: Path, synced: list[tuple[Path, set[str]]]) -> None:
    staged = Staged({tmp_path / "examples.parquet": b"rows", tmp_path / "cell.json": b"{}"})
    assert len(synced) == 2
    staged.commit()
    before, after = folders(synced)
    assert before[0] == after[0] == tmp_path
    assert "examples.parquet" in before[1] and "cell.json" not in before[1]
    assert after[1] == {"examples.parquet", "cell.json"}


def test_a_moved_folder_is_synced_with_every_file_in_it(tmp_path: Path, synced: list[tuple[Path, set[str]]]) -> None:
    made = tmp_path / "made"
    (made / "inner").mkdir(parents=True)
    (made / "weights").write_bytes(b"w")
    (made / "inner" / "more").write_bytes(b"m")
    assert move_folder(made, tmp_path / "final")
    assert [path for path, _ in synced[:2]] == [made / "inner" / "more", made / "weights"]
    assert synced[-1] == (tmp_path, {"final"})
