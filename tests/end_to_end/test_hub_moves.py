"""What was pinned stays what it was: branches that move on, repositories that are renamed, deleted or out of reach."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hub import Hub, commit_of
from hub_study import HUB_DATA, Verbs, assert_refused, write_study
from test_hub import lock_of


def move_adapter(hub: Hub, to: Path) -> str:
    """Gives the adapter's repository another commit on its main branch, and returns it."""
    folder = hub.repositories["models"]["org/tiny-adapter"]
    shutil.copytree(folder, to)
    config = json.loads((to / "adapter_config.json").read_text())
    (to / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 40}))
    hub.repositories["models"]["org/tiny-adapter"] = to
    return commit_of(to)


def test_an_adapter_that_moved_on_is_still_loaded_at_its_commit(
    filled_copy: Path, hub: Hub, verbs: Verbs, tmp_path: Path
) -> None:
    cell = filled_copy.parent / "runs/hub/cells/other/tone"
    before = (cell / "examples.parquet").read_bytes()
    move_adapter(hub, tmp_path / "moved")
    shutil.rmtree(cell)
    hub.asked.clear()
    status, _, said = verbs("run", filled_copy)
    assert status == 0 and "1 cell evaluated" in said, said
    assert (cell / "examples.parquet").read_bytes() == before
    assert not [one for one in hub.asked if "org/tiny-adapter/resolve" in one]


def test_where_it_asks_anyway_it_says_what_has_moved_on_and_how_to_take_it(
    filled_copy: Path, hub: Hub, verbs: Verbs, tmp_path: Path
) -> None:
    old = lock_of(filled_copy)["models"]["other"]["revision"]
    new = move_adapter(hub, tmp_path / "moved")
    text = filled_copy.read_text()
    filled_copy.write_text(text.replace("{other: org/tiny-adapter}", "{other: org/tiny-adapter, more: org/tiny-base}"))
    status, out, said = verbs("check", filled_copy)
    assert status == 0, said
    said = " ".join(out.split())
    assert f"org/tiny-adapter has moved on: main is {new[:12]} on the Hub, this folder keeps {old[:12]}" in said
    assert "org/tiny-base has moved on" not in said and "org/tiny-data has moved on" not in said
    # The way that the note names.
    assert f"write models.other.revision: {new} in the study file" in said
    filled_copy.write_text(text.replace("other: org/tiny-adapter", f"other: org/tiny-adapter@{new}"))
    cell = filled_copy.parent / "runs/hub/cells/other/tone/examples.parquet"
    before = cell.read_bytes()
    status, _, said = verbs("run", filled_copy)
    assert status == 2 and "--replace" in said, said
    status, _, said = verbs("run", filled_copy, "--replace")
    assert status == 0 and "1 cell evaluated" in said, said
    assert lock_of(filled_copy)["models"]["other"]["revision"] == new
    assert cell.read_bytes() != before


def test_rows_that_moved_on_are_read_at_their_commit(filled_copy: Path, hub: Hub, verbs: Verbs, tmp_path: Path) -> None:
    pinned = lock_of(filled_copy)["tasks"]["tone"]["hub"]["commit"]
    shutil.copytree(hub.repositories["datasets"]["org/tiny-data"], tmp_path / "moved")
    rows = (tmp_path / "moved/test.jsonl").read_text().splitlines()
    (tmp_path / "moved/test.jsonl").write_text("\n".join(reversed(rows)) + "\n")
    hub.repositories["datasets"]["org/tiny-data"] = tmp_path / "moved"
    # Another number of rows has them read again.
    filled_copy.write_text(filled_copy.read_text().replace("eval: 8", "eval: 7"))
    status, _, said = verbs("run", filled_copy, "--replace")
    assert status == 0, said
    assert "org/tiny-data has moved on" in said
    assert lock_of(filled_copy)["tasks"]["tone"]["hub"]["commit"] == pinned


def test_what_was_deleted_after_it_was_locked_is_served_by_the_cache(
    filled_copy: Path, hub: Hub, verbs: Verbs, tmp_path: Path
) -> None:
    for kind in ("models", "datasets"):
        hub.repositories[kind].clear()
    hub.holds.commits.clear()
    for model in ("base", "other"):
        shutil.rmtree(filled_copy.parent / f"runs/hub/cells/{model}/tone")
    status, _, said = verbs("run", filled_copy)
    assert status == 0 and "2 cells evaluated" in said, said
    # Without the cache it is refused: no other commit takes its place, and no base stands for an adapter.
    shutil.rmtree(filled_copy.parent / "runs/hub/cells/other/tone")
    kept = verbs.home / "hub/models--org--tiny-adapter"
    kept.rename(tmp_path / "kept")
    try:
        assert_refused(verbs, filled_copy, "model org/tiny-adapter", "the Hub has no model org/tiny-adapter")
    finally:
        shutil.rmtree(kept, ignore_errors=True)
        (tmp_path / "kept").rename(kept)


def test_a_commit_that_the_hub_has_lost_is_named(filled_copy: Path, hub: Hub, verbs: Verbs, tmp_path: Path) -> None:
    move_adapter(hub, tmp_path / "moved")
    hub.holds.commits.clear()
    shutil.rmtree(filled_copy.parent / "runs/hub/cells/other/tone")
    kept = verbs.home / "hub/models--org--tiny-adapter"
    kept.rename(tmp_path / "kept")
    pinned = lock_of(filled_copy)["models"]["other"]["revision"]
    try:
        assert_refused(verbs, filled_copy, f"the model org/tiny-adapter has no revision {pinned}")
    finally:
        shutil.rmtree(kept, ignore_errors=True)
        (tmp_path / "kept").rename(kept)


def test_a_renamed_repository_is_followed_and_the_lock_holds_both_names(
    filled: Path, hub: Hub, verbs: Verbs, tmp_path: Path
) -> None:
    hub.moved |= {"old/base": "org/tiny-base", "old/adapter": "org/tiny-adapter", "old/data": "org/tiny-data"}
    data = HUB_DATA.replace("org/tiny-data", "old/data")
    file = write_study(tmp_path / "study", "old/base", "old/adapter", data)
    status, _, said = verbs("run", file)
    assert status == 0, said
    lock, other = lock_of(file), lock_of(filled)
    for entry, name in ((lock["base"], "base"), (lock["models"]["other"], "adapter")):
        assert (entry["model"], entry["moved_to"]) == (f"old/{name}", f"org/tiny-{name}")
        assert f"old/{name} is called org/tiny-{name} on the Hub now" in said
    entry = lock["tasks"]["tone"]["hub"]
    assert (entry["id"], entry["moved_to"]) == ("old/data", "org/tiny-data")
    # The commits, and so the fingerprints of the units, are those of the new name.
    assert lock["base"]["revision"] == other["base"]["revision"]
    assert lock["base"]["fingerprint"] == other["base"]["fingerprint"]
    # Under the new name everything stands.
    file.write_text(file.read_text().replace("old/base", "org/tiny-base").replace("old/adapter", "org/tiny-adapter"))
    status, _, said = verbs("run", file)
    assert status == 0 and "nothing was computed" in said, said


def test_with_the_hub_gone_what_is_done_stands_and_what_is_missing_is_refused(
    filled: Path, hub: Hub, verbs: Verbs, tmp_path: Path
) -> None:
    hub.drop(".*", times=10_000)
    verbs.impatient = True
    status, _, said = verbs("run", filled)
    assert status == 0 and "nothing was computed" in said
    assert verbs("traits", filled)[0] in (0, 2)
    unseen = [
        ("org/unseen", "org/tiny-adapter", HUB_DATA, "model org/unseen"),
        ("org/tiny-base", "org/unseen", HUB_DATA, "model org/unseen"),
        ("org/tiny-base", "org/tiny-adapter", HUB_DATA.replace("tiny-data", "unseen"), "org/unseen"),
    ]
    for index, (named, other, data, says) in enumerate(unseen):
        assert_refused(verbs, write_study(tmp_path / f"s{index}", named, other, data), says)
