"""Base, adapter and dataset from a Hub: the same numbers as from folders, pinned, and nobody asked twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import foreign
import pandas as pd
import pytest
from hub import Hub, commit_of
from hub_study import FILES, HUB_DATA, Verbs, assert_refused, write_study

from traitscope.config import load_config
from traitscope.errors import TraitscopeError


def records(file: Path, model: str) -> pd.DataFrame:
    """A cell's records, without the one column whose last digits may differ."""
    return pd.read_parquet(file.parent / f"runs/hub/cells/{model}/tone/examples.parquet").drop(columns="logprobs")


def lock_of(file: Path) -> dict:
    """The lock of the study's folder."""
    return json.loads((file.parent / "runs/hub/lock.json").read_text())


def test_a_study_from_the_hub_has_the_records_of_the_same_study_from_folders(filled: Path, here: Path) -> None:
    for model in ("base", "tone-s0", "other"):
        pd.testing.assert_frame_equal(records(filled, model), records(here, model))
    assert (records(filled, "other")["loss"] != records(filled, "base")["loss"]).all()


def test_the_lock_pins_the_commits(filled: Path, hub: Hub) -> None:
    lock = lock_of(filled)
    for entry, name in ((lock["base"], "org/tiny-base"), (lock["models"]["other"], "org/tiny-adapter")):
        assert entry["model"] == name
        assert entry["revision"] == commit_of(hub.repositories["models"][name])
    assert lock["models"]["other"]["adapter"] is True
    commit = commit_of(hub.repositories["datasets"]["org/tiny-data"])
    assert lock["tasks"]["tone"]["hub"] == {"id": "org/tiny-data", "asked": "main", "commit": commit}


def test_a_second_run_computes_nothing_and_asks_nothing(filled: Path, hub: Hub, verbs: Verbs) -> None:
    status, _, said = verbs("run", filled)
    assert status == 0 and "nothing was computed" in said
    assert hub.asked == []


def test_the_revision_may_stand_behind_the_id(filled: Path, hub: Hub, verbs: Verbs, tmp_path: Path) -> None:
    data = HUB_DATA.replace("org/tiny-data, revision: main", "org/tiny-data@main")
    file = write_study(tmp_path / "study", "org/tiny-base@main", "org/tiny-adapter", data, revision="")
    assert load_config(file).model_dump() == load_config(filled).model_dump()
    shutil.copytree(filled.parent / "runs", tmp_path / "study/runs")
    status, _, said = verbs("run", file)
    assert status == 0 and "nothing was computed" in said, said
    assert hub.asked == []


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("{model: org/tiny-base, revision: main,", "{model: org/tiny-base@v1, revision: main,", "base.revision"),
        ("hub: org/tiny-data, revision: main", "hub: org/tiny-data@v1, revision: main", "tasks.tone.data.revision"),
        ("other: org/tiny-adapter", "other: {model: org/tiny-adapter@v1, revision: main}", "models.other.revision"),
    ],
)
def test_two_revisions_of_one_thing_are_refused(tmp_path: Path, old: str, new: str, key: str) -> None:
    file = write_study(tmp_path / "study", "org/tiny-base", "org/tiny-adapter", HUB_DATA)
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(TraitscopeError, match=r"two revisions are named: 'v1' in 'org/tiny-.*@v1', and 'main'") as told:
        load_config(file)
    assert key in str(told.value)


def test_a_folder_with_an_at_sign_stays_a_folder(tmp_path: Path, base: Path) -> None:
    file = write_study(tmp_path / "study", "models/mine@home", "org/tiny-adapter@main", revision="")
    shutil.copytree(base, tmp_path / "study/models/mine@home")
    config = load_config(file)
    assert (config.base.model, config.base.revision) == ("models/mine@home", None)
    assert (config.models["other"].model, config.models["other"].revision) == ("org/tiny-adapter", "main")


def test_an_adapter_in_a_folder_of_its_repository(filled: Path, hub: Hub, verbs: Verbs, tmp_path: Path) -> None:
    other = "{model: org/several, subfolder: adapters/tone}"
    file = write_study(tmp_path / "study", "org/tiny-base", other, HUB_DATA)
    shutil.copytree(filled.parent / "runs", tmp_path / "study/runs")
    status, _, said = verbs("run", file, "--replace")
    assert status == 0 and "1 cell evaluated" in said, said
    pd.testing.assert_frame_equal(records(file, "other"), records(filled, "other"))
    entry = lock_of(file)["models"]["other"]
    assert entry["subfolder"] == "adapters/tone"
    assert entry["revision"] == commit_of(hub.repositories["models"]["org/several"])
    hub.asked.clear()
    assert verbs("run", file)[0] == 0
    assert hub.asked == []
    file.write_text(file.read_text().replace("adapters/tone", "adapters/tune"))
    assert_refused(verbs, file, "no adapter in its folder adapters/tune", "it has adapters in adapters/tone")


@pytest.fixture(scope="module")
def sharded(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base as large models lie on the Hub: in several files, with an index."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("sharded") / "base"
    shutil.copytree(base, folder)
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return folder


def test_models_in_several_files_are_fetched_whole(
    filled: Path, hub: Hub, verbs: Verbs, sharded: Path, tmp_path: Path
) -> None:
    hub.holds.folders["models"] |= {"org/sharded": sharded, "org/sharded-row": sharded}
    hub.holds.commits[commit_of(sharded)] = sharded
    file = write_study(tmp_path / "study", "org/sharded", "org/sharded-row")
    for verb in ("check", "run", "check"):
        status, _, said = verbs(verb, file)
        assert status == 0, said
    for model in ("base", "other"):
        pd.testing.assert_frame_equal(records(file, model), records(filled, "base"))


def test_of_one_file_and_an_index_the_file_is_fetched_as_transformers_does(
    filled: Path, hub: Hub, verbs: Verbs, base: Path, sharded: Path, tmp_path: Path
) -> None:
    shutil.copytree(sharded, tmp_path / "stale")
    # The index is of an older save, of which a file is gone.
    next((tmp_path / "stale").glob("model-00002*")).unlink()
    shutil.copy(base / "model.safetensors", tmp_path / "stale")
    hub.holds.folders["models"]["org/stale"] = tmp_path / "stale"
    hub.holds.commits[commit_of(tmp_path / "stale")] = tmp_path / "stale"
    file = write_study(tmp_path / "study", "org/stale", "org/tiny-adapter", revision="")
    status, _, said = verbs("run", file)
    assert status == 0, said
    pd.testing.assert_frame_equal(records(file, "base"), records(filled, "base"))


def test_a_repository_that_lacks_a_file_of_its_index_is_told(
    hub: Hub, verbs: Verbs, sharded: Path, tmp_path: Path
) -> None:
    shutil.copytree(sharded, tmp_path / "lacks")
    gone = next((tmp_path / "lacks").glob("model-00002*"))
    gone.unlink()
    hub.holds.folders["models"]["org/lacks"] = tmp_path / "lacks"
    hub.holds.commits[commit_of(tmp_path / "lacks")] = tmp_path / "lacks"
    file = write_study(tmp_path / "study", "org/lacks", "org/tiny-adapter", revision="")
    assert_refused(verbs, file, f"names {gone.name}, which the repository does not have", "revision that has all")


def test_an_adapter_to_be_merged_in_a_folder_of_its_repository(
    base: Path, hub: Hub, verbs: Verbs, tmp_path: Path
) -> None:
    foreign.make_adapter("dora", base, tmp_path / "many/inner/dora")
    hub.holds.folders["models"]["org/many"] = tmp_path / "many"
    hub.holds.commits[commit_of(tmp_path / "many")] = tmp_path / "many"
    cache = {"TRAITSCOPE_CACHE": str(tmp_path / "cache")}
    there = write_study(tmp_path / "there", "org/tiny-base", "{model: org/many, subfolder: inner/dora}")
    beside = write_study(tmp_path / "beside", base, tmp_path / "many/inner/dora", revision="")
    for file in (there, beside):
        status, _, said = verbs("run", file, environ=cache)
        assert status == 0 and "merged into its base once" in said, said
        shutil.rmtree(tmp_path / "cache")
    pd.testing.assert_frame_equal(records(there, "other"), records(beside, "other"))
    assert (records(there, "other")["loss"] != records(there, "base")["loss"]).all()
    entry = lock_of(there)["models"]["other"]
    assert entry["subfolder"] == "inner/dora" and entry["revision"] == commit_of(tmp_path / "many")
    hub.asked.clear()
    assert verbs("run", there, environ=cache)[0] == 0 and hub.asked == []


def test_nothing_of_the_hub_is_written_for_a_study_of_folders(here: Path) -> None:
    lock = lock_of(here)
    assert "hub" not in lock["tasks"]["tone"]
    assert not {"moved_to", "subfolder"} & {*lock["base"], *lock["models"]["other"]}
    assert FILES in here.read_text()
