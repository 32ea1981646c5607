"""Shares of a study for job arrays: each is made alone, in a folder of its own; together they are the study."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from backends import Idle
from processes import log_of

from traitscope.errors import TraitscopeError
from traitscope.study import Study
from traitscope.study.part import Part, Shard


@pytest.mark.parametrize("text", ["1/1", "1/8", "8/8", " 3/8 "])
def test_a_shard_is_counted_from_one(text: str) -> None:
    index, of = map(int, text.split("/"))
    assert Shard.read(text) == Shard(index, of)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0/8", r"there is no shard 0/8\n  fix: .* write 1/8 to 8/8 \(in an sbatch script: #SBATCH --array=1-8\)"),
        ("9/8", "there is no shard 9/8"),
        ("1/0", "there is no shard 1/0"),
        ("2", "cannot read '2'"),
        ("-1/2", "cannot read '-1/2'"),
        ("1/2/3", "cannot read"),
        ("/", "cannot read"),
    ],
)
def test_another_one_is_refused_with_the_range(text: str, says: str) -> None:
    with pytest.raises(TraitscopeError, match=says):
        Shard.read(text)


def test_shards_are_disjoint_and_are_all_of_it_and_need_nothing_of_one_another(
    study_file: Path, tmp_path: Path
) -> None:
    study = Study.open(study_file, tmp_path / "out")
    units, datasets = study.units(), list(study.data.datasets())
    everything = {(cell.model.name, cell.task) for cell in units.cells}
    trained = [unit.name for unit in units.adapters]
    for of in (1, 2, 3, 7):
        parts = [Shard(k, of).part(units, None, datasets) for k in range(1, of + 1)]
        assert sorted(name for part in parts for name in part.adapters) == sorted(trained)
        assert sorted(key for part in parts for key in part.rows) == sorted(everything)
        assert sorted(name for part in parts for name in part.datasets) == sorted(datasets)
        # No share is more than one adapter larger than another.
        assert max(len(p.adapters) for p in parts) - min(len(p.adapters) for p in parts) <= 1
        for part in parts:
            assert {model for model, _ in part.rows if model in trained} == set(part.adapters)


def test_a_shard_of_a_part_is_of_that_part(study_file: Path, tmp_path: Path) -> None:
    units = Study.open(study_file, tmp_path / "out").units()
    part = Part.chosen(units, tasks=["sums"], limit=3)
    shares = [Shard(k, 2).part(units, part, ["tone"]) for k in (1, 2)]
    assert sorted(key for share in shares for key in share.rows) == sorted((m.name, "sums") for m in units.models)
    assert {n for share in shares for n in share.rows.values()} == {3}
    assert [share.datasets for share in shares] == [frozenset(), frozenset()]


def test_the_folders_of_all_shards_copied_into_one_are_the_whole_study(study_file: Path, tmp_path: Path) -> None:
    """As docs/cluster.md says: adapters, cells and hidden states of the others, files that are there are kept."""
    folders = [tmp_path / "1", tmp_path / "2"]
    for k, folder in enumerate(folders, 1):
        work = Study.open(study_file, folder).run(shard=f"{k}/2")
        assert work is not None
    made = [{unit for event in ("adapter", "cell", "hidden") for unit in log_of(folder, event)} for folder in folders]
    assert not made[0] & made[1] and len(made[0] | made[1]) == 4 + 15 + 4
    # A share that is there is not made again.
    assert Study.open(study_file, folders[0], backend=Idle()).run(shard="1/2") is None
    for kind in ("adapters", "cells", "hidden"):
        for path in (folders[1] / kind).rglob("*"):
            to = folders[0] / path.relative_to(folders[1])
            if path.is_file() and not to.exists():
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, to)
    whole = Study.open(study_file, folders[0], backend=Idle())
    assert whole.run() is None and whole.plan().complete
    assert whole.verify() == []
    one = Study.open(study_file, tmp_path / "one")
    one.run()
    ours, theirs = whole.score_table(), one.score_table()
    assert ours.drop(columns="value").equals(theirs.drop(columns="value"))
    # Adapters that train beside others differ by rounding.
    assert (ours["value"] - theirs["value"]).abs().max() < 1e-5


def test_shards_on_one_disk_do_not_wait_for_one_anothers_trainings(study_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    Study.open(study_file, folder).train(shard="1/2")
    first = set(log_of(folder, "adapter"))
    banks = {path.name for path in (folder / "plan").glob("bank-*.json")}
    Study.open(study_file, folder).train(shard="2/2")
    assert len(first) == 2 and len(set(log_of(folder, "adapter")) - first) == 2
    assert len({path.name for path in (folder / "plan").glob("bank-*.json")} - banks) == 1
    assert Study.open(study_file, folder).plan().state.missing_adapters == []
