"""Which base model is which: copies count once, runs are found under their names, stray files are told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny
from several import entry, invoke, opened, several

from traitscope.errors import TraitscopeError
from traitscope.study import Study


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]) -> Path:
    """One cell of each of two base models: not to be changed; its study file."""
    path = several(
        tmp_path_factory.mktemp("begun"), entry(models["alpha"]), entry(models["beta"], ", recipe: {lr: 0.02}")
    )
    opened(path).run(tasks=["tone"], models=["base"])
    return path


@pytest.fixture
def own(begun: Path, tmp_path: Path) -> Path:
    """A copy that may be changed; its study file."""
    shutil.copytree(begun.parent, tmp_path / "own")
    return tmp_path / "own" / "study.yaml"


# ---- one model is no two


@pytest.mark.parametrize("first", ["auto", "bf16"])
def test_a_precision_that_may_be_the_other_s_makes_no_second_model(
    tmp_path: Path, models: dict[str, Path], first: str
) -> None:
    texts = [f"{{model: {models['alpha']}, dtype: {dtype}, name: {dtype}}}" for dtype in (first, "fp32")]
    path = several(tmp_path, *texts)
    if first == "bf16":
        opened(path)
        return
    with pytest.raises(TraitscopeError, match="fp32 is the model of auto under the same recipe") as told:
        opened(path)
    assert "write both out" in str(told.value.fix)


def test_a_copy_of_a_model_is_no_second_one(tmp_path: Path, models: dict[str, Path]) -> None:
    """Before a run by the folders, and afterwards by what the locks say, in whatever reads both."""
    shutil.copytree(models["alpha"], tmp_path / "twin")
    path = several(tmp_path, entry(models["alpha"]), entry(tmp_path / "twin"))
    for verb in ("check", "plan", "run"):
        code, _, errors = invoke(verb, path)
        assert code == 2 and "twin is the model of alpha under the same recipe" in errors and "bases[1]" in errors
    # As models of the Hub, which nobody can compare before they were loaded.
    for part in opened(path).parts.values():
        part.run(tasks=["tone"], models=["base"])
    opened(path)._write_down()
    shutil.rmtree(tmp_path / "twin")
    for read in (lambda s: s.scores(), lambda s: s.forecast(base="twin"), lambda s: s.run()):
        with pytest.raises(TraitscopeError, match="twin is the model of alpha"):
            read(opened(path))
    assert opened(path).only(["alpha"]).scores().models == ("base",)
    # Another recipe makes another study of it.
    tiny.make_base(tmp_path / "twin", 0)
    opened(several(tmp_path / "more", entry(models["alpha"]), entry(tmp_path / "twin", ", recipe: {lr: 0.3}"))).plan()


# ---- under which name its run lies


@pytest.mark.parametrize("names", ["one", "both", "crossed"])
def test_whatever_reads_a_renamed_base_says_so_and_the_fix_works(
    own: Path, models: dict[str, Path], names: str
) -> None:
    first, second = {"one": ("Alpha", "beta"), "both": ("Alpha", "Beta"), "crossed": ("beta", "alpha")}[names]
    places = {"alpha": first, "beta": second}
    recipe = ", recipe: {lr: 0.02}"
    several(own.parent, entry(models["alpha"], f", name: {first}"), entry(models["beta"], f"{recipe}, name: {second}"))
    for verb in (["report"], ["run"], ["ls", "cells"], ["effects"]):
        code, _, errors = invoke(*verb, own)
        assert code == 2 and "which the study calls" in errors
    with pytest.raises(TraitscopeError) as told:
        Study.open(own).scores()
    fix = str(told.value.fix)
    for place, name in places.items():
        assert (f"name: {place} for {name}" in fix) == (f"lies in bases/{place}" in told.value.what) == (place != name)
    # The other way is told where it is one.
    assert ("or rename" in fix) == (names != "crossed")
    if "or rename" in fix:
        for place, name in places.items():
            (own.parent / "runs/tiny/bases" / place).rename(own.parent / "runs/tiny/bases" / name)
    else:
        several(own.parent, *(entry(models[n], f"{more}, name: {n}") for n, more in (("alpha", ""), ("beta", recipe))))
    assert not any(
        part.state.changed or "base/tone" in part.missing().get("cells", ())
        for part in opened(own).plan().parts.values()
    )


@pytest.mark.parametrize("name", [".x", "notes"])
def test_what_else_lies_beside_the_parts_does_no_harm(own: Path, name: str) -> None:
    (own.parent / "runs/tiny/bases" / name).mkdir()
    (own.parent / "runs/tiny/bases" / name / "mine.txt").write_text("mine")
    assert invoke("verify", own.parent / "runs/tiny")[0] == 0
    assert invoke("plan", own)[0] == 0 and len(opened(own).scores().models) == 2


# ---- a lock in the place of none


@pytest.mark.parametrize("lock", ["{}", "alpha's"])
def test_a_stray_lock_is_told_by_all_and_is_nothing_to_take_over(own: Path, lock: str, models: dict[str, Path]) -> None:
    folder = own.parent / "runs/tiny"
    stray = folder / "lock.json"
    stray.write_bytes((folder / "bases/alpha/lock.json").read_bytes() if lock == "alpha's" else lock.encode())
    for verb in ("check", "plan", "run"):
        code, _, errors = invoke(verb, own)
        assert code == 2 and "lies beside bases/" in errors and "move it away" in errors
    code, said, _ = invoke("verify", folder)
    assert code == 1 and said.startswith("lock.json: lies beside bases/") and len(said.splitlines()) == 1
    assert len(opened(own).scores().models) == 2
    with pytest.raises(TraitscopeError, match="several base models"):
        Study.open(tiny.make_study(own.parent, models["alpha"]), folder)
    stray.unlink()
    assert invoke("verify", folder)[0] == 0


def test_a_damaged_lock_of_what_will_be_taken_over_is_mended_as_it_says(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    alone = tiny.make_study(tmp_path, models["alpha"])
    Study.open(alone).run(tasks=["tone"], models=["base"])
    (tmp_path / "runs/tiny/lock.json").write_text("{}")
    several(tmp_path, entry(models["alpha"]), entry(models["beta"]))
    code, _, errors = invoke("run", alone)
    assert code == 2 and "run the study on the base model" in errors
    tiny.make_study(tmp_path, models["alpha"])
    Study.open(alone).run(tasks=["tone"], models=["base"])
    several(tmp_path, entry(models["alpha"]), entry(models["beta"]))
    assert opened(alone).check_folder() == "alpha"


# ---- what some base models have


@pytest.fixture
def partly(tmp_path: Path, models: dict[str, Path]) -> Path:
    """Both trained, the second one not evaluated; its study file."""
    path = several(tmp_path, entry(models["alpha"]), entry(models["beta"]))
    opened(path).train()
    return path


def test_tables_of_several_hold_all_that_is_there(partly: Path) -> None:
    """Steps and rows are there before any cell."""

    def looked() -> None:
        study = opened(partly)
        for table in ("training", "examples"):
            found = study.frame(table)
            assert found["base"].unique().tolist() == ["alpha", "beta"]
            assert found["base"].value_counts().nunique() == 1
            assert study.to_dataset(table).num_rows == len(found)

    looked()
    with pytest.raises(TraitscopeError, match="no cell of these"):
        opened(partly).frame("scores")
    opened(partly).only(["alpha"]).evaluate()
    looked()
    assert opened(partly).frame("scores")["base"].unique().tolist() == ["alpha"]
    shutil.rmtree(partly.parent / "runs")
    with pytest.raises(TraitscopeError, match="no adapter has been trained"):
        opened(partly).frame("training")


def test_verbs_tell_what_there_is_of_the_base_models_that_have_cells(partly: Path) -> None:
    for verb in (["effects"], ["compare"], ["predict", "--evidence", "text"]):
        code, _, errors = invoke(verb[0], partly, *verb[1:])
        assert code == 2 and "no cell has been evaluated yet" in errors
    opened(partly).only(["alpha"]).evaluate()
    code, said, errors = invoke("effects", partly)
    assert code == 0 and said.startswith("alpha\n") and "left out: beta" in errors
    found = json.loads(invoke("effects", partly, "--json")[1])
    assert list(found["bases"]) == ["alpha"] and found["across"] is None
    code, said, _ = invoke("compare", partly, partly.parent / "runs/tiny/bases/alpha")
    assert code == 0 and "left out, without a cell yet: beta" in said
    code, said, errors = invoke("predict", partly, "--task", "tone", "--evidence", "text")
    assert code == 0 and said and "left out: beta" in errors
    # What needs no cell is told of all, and what could be found of one before the other's error.
    assert list(json.loads(invoke("stats", partly, "--json")[1])) == ["alpha", "beta"]
    code, said, errors = invoke("belt", partly, "--json")
    assert code == 2 and list(json.loads(said)) == ["alpha"] and "1 base model of 2 failed: beta" in errors


def test_a_name_that_nothing_compared_has_is_a_slip(begun: Path) -> None:
    for option, name in (("--tasks", "tone"), ("--models", "base")):
        code, _, errors = invoke("compare", begun, option, f"{name},nosuch")
        assert code == 2 and f"no {option[2:-1]} is named 'nosuch'" in errors
        assert invoke("compare", begun, option, name)[0] == 0


def test_what_will_be_taken_over_is_listed_as_it_lies(tmp_path: Path, models: dict[str, Path]) -> None:
    Study.open(tiny.make_study(tmp_path, models["alpha"])).run()
    path = several(tmp_path, entry(models["alpha"]), entry(models["beta"]))

    def listed(what: str, *more: str) -> list[dict[str, str]]:
        code, said, _ = invoke("ls", what, path, *more, "--json")
        assert code == 0
        return json.loads(said)

    assert {row["base"] for row in listed("cells")} == {"alpha"} and len(listed("cells", "--task", "tone")) > 4
    states = [(row["base"], row["state"]) for row in listed("adapters")]
    assert states == [("alpha", "trained")] * 4 + [("beta", "missing")] * 4
    assert len(listed("examples", "--task", "tone", "--model", "alpha/tone-s0")) == 5
