"""Damage of a run folder: every kind of it in every kind of file is named, put aside, and healed by running again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from forged import forge
from processes import snapshot
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.errors import TraitscopeError
from traitscope.store import RunFolder
from traitscope.store.checked import Checked
from traitscope.store.seal import sealed
from traitscope.study import Study, keeping
from traitscope.study.healing import verify
from traitscope.study.renaming import renamed_adapters, renamed_cells
from traitscope.study.state import find_state


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def digit(path: Path) -> None:
    """One digit more, in the middle of those there are; the file stays as long as it was."""
    data = bytearray(path.read_bytes())
    places = [place for place, byte in enumerate(data) if chr(byte).isdigit()]
    place = places[len(places) // 2]
    data[place] = ord("0") + (data[place] - ord("0") + 1) % 10
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def null(path: Path) -> None:
    path.write_bytes(b"null")


def five(path: Path) -> None:
    path.write_bytes(b"5")


def folder_in_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    """What reads it would wait for ever."""
    path.unlink()
    os.mkfifo(path)


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def other_encoding(path: Path) -> None:
    """JSON, and not in UTF-8."""
    path.write_bytes('"ééééééé"'.encode("utf-16"))


DAMAGES: list[Callable[[Path], None]] = [
    *(flip, digit, cut, empty, null, five, folder_in_place, pipe, link_to_itself, other_encoding),
    Path.unlink,
]

# One file of every kind, and whether a run makes it again to the byte.
FILES = {
    "lock.json": True,
    "tasks/tone.parquet": True,
    "plan/bank-*.json": False,
    "plan/scoring.json": False,
    "hidden/tone.safetensors": True,
    "gradients/tone.safetensors": False,
    "adapters/tone-s0/adapter_model.safetensors": True,
    "adapters/tone-s0/adapter_config.json": True,
    "adapters/tone-s0/README.md": True,
    "adapters/tone-s0/train.parquet": True,
    "adapters/tone-s0/unit.json": True,
    "cells/all-s0/sums/cell.json": True,
    "cells/all-s0/sums/examples.parquet": True,
    "analysis/effects.json": True,
    "analysis/stats.json": True,
    "analysis/inputs.json": False,
    "report.html": False,
    "figures/scores.svg": True,
    "tables/cells.csv": True,
}
CACHES = ("local.json", "cells/base/index.json")
# A file that a run or a report makes where it is missing, whose absence is no damage.
MADE_WHERE_MISSING = ("hidden/tone.safetensors", "gradients/tone.safetensors", "plan/bank-*.json", "plan/scoring.json")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A filled study with gradients and a report: its folder. Not to be changed."""
    folder = tmp_path_factory.mktemp("told")
    study = Study.open(tiny.make_study(folder, base))
    study.run()
    study.evidence(gradients=True)
    study.report()
    return folder


@pytest.fixture
def study(told: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage: its study file."""
    shutil.copytree(told, tmp_path / "copy")
    return tmp_path / "copy" / "study.yaml"


def one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_a_whole_folder_has_no_damage(study: Path) -> None:
    assert Study.open(study).verify() == []


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("file", [*FILES, *CACHES, "study.yaml", "run.jsonl"])
def test_damage_is_named(study: Path, file: str, damage: Callable[[Path], None]) -> None:
    if damage is Path.unlink and (file in MADE_WHERE_MISSING or file in CACHES):
        pytest.skip("it is made where it is missing")
    folder = study.parent / "runs/tiny"
    path = one(folder, file)
    damage(path)
    before = snapshot(folder)
    found = verify(RunFolder(folder))
    assert [d.path for d in found] == [path.relative_to(folder).as_posix()], found
    assert found[0].what and found[0].heals
    assert snapshot(folder) == before, "it only looks"


@pytest.mark.parametrize(
    "damage", [flip, *(pytest.param(d, marks=pytest.mark.verify) for d in DAMAGES[1:])], ids=lambda d: d.__name__
)
@pytest.mark.parametrize("file", [*FILES, *CACHES, "study.yaml", "run.jsonl"])
def test_running_again_heals_and_loses_nothing(study: Path, file: str, damage: Callable[[Path], None]) -> None:
    folder = study.parent / "runs/tiny"
    path = one(folder, file)
    name, before = path.relative_to(folder).as_posix(), snapshot(folder)
    damage(path)
    spoilt = path.read_bytes() if path.is_file() else None
    Study.open(study).run()
    Study.open(study).report()
    assert verify(RunFolder(folder)) == []
    if file in FILES and spoilt is not None and spoilt != b"":
        kept = [p.read_bytes() for p in folder.glob(f"quarantine/*/{name}")]
        assert spoilt in kept, "what was damaged is put aside"
    after = snapshot(folder)
    free = {name for name in before.keys() | after.keys() if name.startswith(("plan/", "report.html", "analysis/inp"))}
    free |= {"gradients/tone.safetensors"} if "gradients" in file else set()
    assert {k: v for k, v in after.items() if k not in free} == {k: v for k, v in before.items() if k not in free}
    assert FILES.get(file) is not True or after[name] == before[name]


def test_a_changed_digit_of_a_score_is_never_shown(study: Path) -> None:
    folder = study.parent / "runs/tiny"
    before = Study.open(study).scores().to_wide()
    for place in ("cells/tone-s0/tone/cell.json", "cells/sums-s0/index.json"):
        text = (folder / place).read_text()
        at = text.index('"value"')
        number = next(i for i in range(at, len(text)) if text[i].isdigit() and text[i] != "0")
        (folder / place).write_text(text[:number] + ("1" if text[number] != "1" else "2") + text[number + 1 :])
    shown = Study.open(study).scores().to_wide()
    assert (shown.isna() | (shown == before) | before.isna()).all().all()
    assert shown.isna().to_numpy().sum() == before.isna().to_numpy().sum() + 1, "the damaged cell is left out"


def test_weights_that_were_changed_on_the_disk_are_not_evaluated(study: Path) -> None:
    """The configuration's scale a hundred times too large, as a flipped digit may make it."""
    folder = study.parent / "runs/tiny"
    config = folder / "adapters/tone-s0/adapter_config.json"
    config.write_text(config.read_text().replace('"lora_alpha": 4', '"lora_alpha": 400'))
    before = (folder / "cells/tone-s0/tone/cell.json").read_bytes()
    shutil.rmtree(folder / "cells/tone-s0/tone")
    Study.open(study).run()
    assert (folder / "cells/tone-s0/tone/cell.json").read_bytes() == before


def test_the_command_names_damage_and_says_so_by_its_status(study: Path) -> None:
    folder, call = study.parent / "runs/tiny", CliRunner().invoke
    sound = call(app, ["verify", str(folder)])
    assert (sound.exit_code, sound.stdout) == (0, "")
    flip(folder / "report.html")
    told = call(app, ["verify", str(folder), "--json"])
    assert told.exit_code == 1 and [damage["path"] for damage in json.loads(told.stdout)] == ["report.html"]
    # A folder whose study file is gone is read all the same.
    (folder / "study.yaml").unlink()
    assert "study.yaml: is missing" in call(app, ["verify", str(folder)]).stdout
    assert call(app, ["verify", str(study.parent / "nothing")]).exit_code == 2


@pytest.mark.parametrize("unit", ["cells/base/tone", "cells/base", "adapters/tone-s0"])
def test_a_link_in_a_units_place_is_not_followed_out_of_the_folder(study: Path, tmp_path: Path, unit: str) -> None:
    folder = study.parent / "runs/tiny"
    shutil.move(folder / unit, tmp_path / "elsewhere")
    outside = snapshot(tmp_path / "elsewhere")
    (folder / unit).symlink_to(tmp_path / "elsewhere")
    assert unit in [damage.path for damage in verify(RunFolder(folder))]
    Study.open(study).run()
    assert verify(RunFolder(folder)) == [] and snapshot(tmp_path / "elsewhere") == outside
    assert not (folder / unit).is_symlink()


@pytest.mark.parametrize("file", ["cells/base/tone/examples.parquet", "adapters/tone-s0/adapter_model.safetensors"])
def test_a_linked_file_outside_is_no_file_of_the_folder(study: Path, tmp_path: Path, file: str) -> None:
    folder = study.parent / "runs/tiny"
    shutil.move(folder / file, tmp_path / "elsewhere")
    (folder / file).symlink_to(tmp_path / "elsewhere")
    assert [d.what for d in verify(RunFolder(folder))] == ["is a link that leads out of the run folder"]


@pytest.mark.parametrize("name", ["cells", "adapters", "figures", "run.jsonl", "analysis"])
def test_a_folder_whose_parts_lie_elsewhere_is_refused(study: Path, tmp_path: Path, name: str) -> None:
    folder = study.parent / "runs/tiny"
    shutil.move(folder / name, tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TraitscopeError, match="leads out of the run folder"):
        Study.open(study)
    # The folder itself may be a link, and so may what lies above it.
    (folder / name).unlink()
    shutil.move(tmp_path / "elsewhere", folder / name)
    (tmp_path / "linked").symlink_to(study.parent)
    assert Study.open(tmp_path / "linked/study.yaml").run() is None


def test_leftovers_go_even_where_nothing_is_to_be_done(study: Path) -> None:
    folder = study.parent / "runs/tiny"
    places = ["figures", "tables", "cells/base", "analysis", "."]
    left = [folder / place / f".tmp-{'0' * 12}-1-abcd-x" for place in places]
    for path in left:
        path.write_bytes(b"x")
        os.utime(path, (0, 0))
    assert Study.open(study).run() is None
    assert [path for path in left if path.exists()] == []


def test_a_checkpoint_is_known_by_its_content(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_checkpoint("bank", b"first")
    folder.write_checkpoint("bank", b"second")
    assert folder.read_checkpoint("bank") == b"second"
    (path,) = folder.checkpoint_path("bank").iterdir()
    path.write_bytes(b"sEcond")
    assert folder.read_checkpoint("bank") is None


def test_a_seal_holds_for_every_byte() -> None:
    from traitscope.store.seal import Damaged, unseal

    data = sealed({"a": [1, 2.5], "ü": None}, "a.json")
    assert unseal(data, "a.json", where="", fix="") == {"format": 2, "a": [1, 2.5], "ü": None}
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises((Damaged, TraitscopeError)):
            unseal(bytes(changed), "a.json", where="", fix="")
    with pytest.raises(Damaged):
        unseal(data[: len(data) // 2] + b"}", "a.json", where="", fix="")


def test_a_folder_of_an_earlier_format_is_read(study: Path) -> None:
    """Format 1 had no seals."""
    folder = study.parent / "runs/tiny"
    for path in [*folder.glob("cells/*/*/cell.json"), *folder.glob("adapters/*/unit.json"), folder / "lock.json"]:
        value = json.loads(path.read_bytes())
        del value["sha256"]
        path.write_text(json.dumps({**value, "format": 1}))
    assert Study.open(study).run() is None and verify(RunFolder(folder)) == []


def test_a_cell_under_anothers_name_is_not_its_cell(study: Path) -> None:
    folder = study.parent / "runs/tiny"
    shutil.rmtree(folder / "cells/sums-s0/tone")
    shutil.copytree(folder / "cells/tone-s0/tone", folder / "cells/sums-s0/tone")
    (found,) = verify(RunFolder(folder))
    assert found.what == "is the cell of tone-s0 on tone"
    forge(folder / "adapters/tone-s0/unit.json", name="sums-s0")
    assert "adapters/tone-s0/unit.json" in [damage.path for damage in verify(RunFolder(folder))]


def exchange(one: Path, other: Path) -> None:
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


@pytest.mark.parametrize(
    "pair",
    [
        ("cells/all-s0", "cells/sums-s0"),
        ("cells/all-s0/tone", "cells/all-s0/sums"),
        ("plan/scoring.json", "plan/bank-*.json"),
        ("adapters/tone-s0", "adapters/sums-s0"),
        ("lock.json", "local.json"),
    ],
)
def test_whole_files_in_each_others_place_are_damage_and_healed(study: Path, pair: tuple[str, str]) -> None:
    folder = study.parent / "runs/tiny"
    before = snapshot(folder)
    exchange(*(one(folder, place) for place in pair))
    assert verify(RunFolder(folder))
    Study.open(study).run()
    Study.open(study).report()
    assert verify(RunFolder(folder)) == []
    after = snapshot(folder)
    units = {k for k in before if k.startswith(("adapters/", "cells/")) and "/records-" not in k}
    assert {k: after.get(k) for k in units} == {k: before[k] for k in units}


@pytest.mark.parametrize(
    "name", ["tasks", "figures", "tables", "adapters", "cells", "analysis", "hidden", "plan", "gradients", "new"]
)
def test_a_file_in_a_folders_place_is_put_aside(study: Path, name: str) -> None:
    folder = study.parent / "runs/tiny"
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).write_text("no folder")
    assert name in [damage.path for damage in verify(RunFolder(folder))]
    Study.open(study).run()
    Study.open(study).report()
    assert verify(RunFolder(folder)) == []
    assert [path.read_text() for path in folder.glob(f"quarantine/*/{name}")] == ["no folder"]


def test_what_kept_its_size_and_time_is_found_by_verify_and_then_by_a_run(study: Path) -> None:
    folder = study.parent / "runs/tiny"
    path = folder / "cells/all-s0/sums/cell.json"
    Study.open(study).scores()
    before, status = path.read_bytes(), path.stat()
    with path.open("r+b") as file:
        file.seek(len(before) // 2)
        file.write(b"#")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [damage.path for damage in verify(RunFolder(folder))] == ["cells/all-s0/sums/cell.json"]
    Study.open(study).run()
    assert path.read_bytes() == before


def test_two_damages_of_one_unit_are_healed_at_once(study: Path) -> None:
    folder = study.parent / "runs/tiny"
    before = snapshot(folder / "adapters")
    for name in ("README.md", "adapter_model.safetensors", "unit.json"):
        flip(folder / "adapters/tone-s0" / name)
    Study.open(study).run()
    assert snapshot(folder / "adapters") == before


def test_rows_of_a_larger_evaluation_are_written_again(study: Path) -> None:
    """The study asks for fewer rows now; the cells keep those that they have."""
    folder = study.parent / "runs/tiny"
    text = study.read_text()
    study.write_text(text.replace("eval: 8", "eval: 6"))
    assert study.read_text() != text
    Study.open(study).run()
    rows, cells = (folder / "tasks/tone.parquet").read_bytes(), snapshot(folder / "cells")
    (folder / "tasks/tone.parquet").unlink()
    Study.open(study).run()
    assert (folder / "tasks/tone.parquet").read_bytes() == rows
    assert snapshot(folder / "cells") == cells and verify(RunFolder(folder)) == []


def test_losses_that_were_changed_are_not_shown(study: Path) -> None:
    folder = study.parent / "runs/tiny"
    shutil.copy(folder / "adapters/sums-s0/train.parquet", folder / "adapters/tone-s0/train.parquet")
    (folder / "analysis/effects.json").unlink()
    curves = Study.open(study).effects().tables["curves"]
    assert "sums-s0" in set(curves["model"]) and "tone-s0" not in set(curves["model"])


def test_prompts_that_were_changed_are_not_shown(study: Path) -> None:
    flip(study.parent / "runs/tiny/tasks/tone.parquet")
    with pytest.raises(TraitscopeError, match="sha256 differs"):
        Study.open(study).examples("tone")


def test_a_finding_that_another_process_replaced_is_not_taken_for_ones_own(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, others = keeping.record, []

    def late(*args: Any) -> None:
        if not others:
            others.append(True)
            Study.open(study).traits(rotate="varimax", own="include")
        record(*args)

    monkeypatch.setattr(keeping, "record", late)
    assert Study.open(study).traits(rotate="promax", own="include").rotation == "promax"
    assert Study.open(study).traits(rotate="promax", own="include").rotation == "promax"
    assert verify(RunFolder(study.parent / "runs/tiny")) == []


@pytest.mark.parametrize("content", ["[" * 100_000, '{"id": 1}', "null", "\x00"])
def test_a_lease_that_nobody_can_have_written_holds_nothing(study: Path, content: str) -> None:
    leases = study.parent / "runs/tiny/leases"
    leases.mkdir(exist_ok=True)
    (leases / "adapters~tone-s0.json").write_text(content)
    shutil.rmtree(study.parent / "runs/tiny/adapters/tone-s0")
    assert Study.open(study).run() is not None


def test_a_copied_study_reads_its_own_rows(study: Path, tmp_path: Path) -> None:
    """Not those of the study that it was copied from, whose place ``local.json`` remembers."""
    folder = study.parent / "runs/tiny"
    (folder / "tables/scores.csv").unlink()
    (folder / "tasks/tone.parquet").unlink()
    Study.open(study).run()
    shutil.copytree(study.parent, tmp_path / "second")
    assert Study.open(tmp_path / "second/runs/tiny").config.root == (tmp_path / "second").resolve()
    # A folder that was moved without its study still knows where that is.
    shutil.copytree(folder, tmp_path / "alone")
    assert Study.open(tmp_path / "alone").config.root == study.parent.resolve()


def test_a_known_file_is_read_again_where_its_time_is_another(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    checked = Checked(tmp_path, {})
    expected = hashlib.sha256(b"one").hexdigest()
    assert checked.fault(path, expected) is None
    later = path.stat().st_mtime_ns + 1_000_000
    path.write_bytes(b"two")
    os.utime(path, ns=(later, later))
    assert checked.fault(path, expected) is not None
    # The same size and time, another file.
    (tmp_path / "other").write_bytes(b"one")
    assert checked.fault(tmp_path / "other", hashlib.sha256(b"two").hexdigest()) is not None


def test_checkpoints_are_looked_at_and_go_with_their_plan(study: Path) -> None:
    folder = RunFolder(study.parent / "runs/tiny")
    plan = one(folder.root, "plan/bank-*.json")
    folder.write_checkpoint(plan.stem, b"a state")
    assert verify(folder) == []
    state = one(folder.root, "checkpoints/*/*")
    state.write_bytes(b"A state")
    assert [damage.path for damage in verify(folder)] == [state.relative_to(folder.root).as_posix()]
    state.write_bytes(b"a state")
    flip(plan)
    Study.open(study).run()
    assert not state.exists(), "a state of training fits its own plan alone"
    folder.write_checkpoint("bank-nobody", b"a state")
    assert [damage.what for damage in verify(folder)] == ["has no plan in plan/"]


def test_records_that_were_changed_are_no_evidence(study: Path) -> None:
    flip(study.parent / "runs/tiny/cells/all-s0/sums/examples.parquet")
    opened = Study.open(study)
    assert "sha256 differs" in opened.present().left_out["cells/all-s0/sums"]
    assert bool(opened.scores().to_wide().loc["all-s0"].isna()["sums"])


@pytest.mark.parametrize("file", ["cells/base/sums/examples.parquet", "adapters/sums-s0/adapter_model.safetensors"])
def test_what_is_damaged_is_not_taken_over_under_a_new_name(study: Path, file: str) -> None:
    """The task ``sums`` is called ``adding`` now; nothing of a file that is damaged comes with it."""
    folder = study.parent / "runs/tiny"
    flip(folder / file)
    study.write_text(study.read_text().replace("  sums:", "  adding:"))
    opened = Study.open(study)
    state = find_state(opened.units(), opened.folder, opened.data)
    names = [unit.name for unit, _ in renamed_adapters(opened.units(), state, opened.folder)]
    cells = [cell.unit for cell, _ in renamed_cells(opened.units(), state, opened.folder, opened.data)]
    assert (names == []) is file.startswith("adapters") and (names == ["adding-s0"]) is file.startswith("cells")
    assert ("cells/base/adding" in cells) is file.startswith("adapters") and len(cells) > 1
