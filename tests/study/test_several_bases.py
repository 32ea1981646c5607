"""A study of several base models: one ordinary run folder for each, and what is found of all of them together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from processes import Forks, log_of, snapshot
from several import BASES, entry, invoke, opened, several

import traitscope as ts
from traitscope.config import load_config
from traitscope.effects import Across
from traitscope.errors import TraitscopeError
from traitscope.store import RunFolder
from traitscope.store.models import embedded_base_path
from traitscope.study import BasesStudy, Stopped, Study
from traitscope.study import tables as study_tables

# ---- what the study file says


def test_names_are_made_of_the_models_and_stay_when_bases_are_added(tmp_path: Path) -> None:
    def names(*bases: str) -> list[str]:
        return list(load_config(several(tmp_path / str(len(bases)), *bases)).by_base())

    first = ["org/small", "other/Small", "{model: org/small, revision: v2}", "{model: embedded, name: own.name}"]
    assert names(*first) == ["small", "other-Small", "org-small", "own.name"]
    assert names(*first, "org/large")[:4] == names(*first)


def test_a_mapping_names_the_bases_and_recipes_change_for_one(tmp_path: Path) -> None:
    text = "{small: org/small, big: {model: org/large, dtype: bf16, recipe: {rank: 8, seeds: [1, 2]}}}"
    found = load_config(tiny.make_study(tmp_path, text, BASES)).by_base()
    assert {name: one.base.model for name, one in found.items()} == {"small": "org/small", "big": "org/large"}
    assert found["small"].recipe.rank == 2 and found["big"].recipe.rank == 8
    assert found["big"].recipe.seeds == (1, 2) and found["big"].recipe.alpha == 4
    assert found["big"].base.dtype == "bf16"


@pytest.mark.parametrize(
    ("bases", "says"),
    [
        ("[org/a, org/a]", "stands there twice"),
        ("[{model: org/a, name: x}, {model: org/b, name: X}]", "'X' is taken"),
        ("[]", "bases"),
        ("{model: org/a}", "one base model"),
        ("[{model: org/a, recipe: {rank: 0}}]", "rank"),
        ("[{model: org/a, recipe: {seeds: [1, 1]}}]", "seed"),
        ("[{dtype: fp32}]", "model"),
        ("[{model: org/a, colour: red}]", "colour"),
        ("org/a\nbase: org/b", "base and bases are given together"),
        ("[{name: a/b, model: org/a}]", "'a/b' is not allowed"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(tmp_path: Path, bases: str, says: str) -> None:
    with pytest.raises(TraitscopeError) as told:
        load_config(tiny.make_study(tmp_path, bases, BASES))
    assert says in told.value.what and "study.yaml:" in str(told.value.where) and told.value.fix
    assert "a/b" not in bases or "letters, digits, - _ and ." in told.value.fix


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{M}", "{M}/../alpha"),
        ("{M}", "{M}/"),
        ("{M}", "{L}"),
        ("{M}, dtype: fp32, recipe: {{}}", "{M}, dtype: fp32"),
        ("{M}", "{M}, recipe: {{lr: 0.01}}"),
        ("{M}", "{M}, revision: v1"),
        ("embedded", "{E}"),
        ("org/a", "Org/A"),
    ],
)
def test_one_model_is_no_two_however_it_is_written(
    tmp_path: Path, models: dict[str, Path], first: str, second: str
) -> None:
    """Its place and the recipe that holds for it are compared: twice the same would count as a replication."""
    (tmp_path / "link").symlink_to(models["alpha"])
    named = {"M": models["alpha"], "L": tmp_path / "link", "E": embedded_base_path()}
    one, other = ("{model: " + text.format(**named) for text in (first, second))
    path = several(tmp_path, one + ", name: one}", other + ", name: other}")
    with pytest.raises(TraitscopeError, match="under the same recipe") as told:
        Study.open(path)
    assert "study.yaml:" in str(told.value.where) and "bases[1]" in str(told.value.where)
    assert invoke("check", path)[0] == invoke("run", path)[0] == 2
    opened(several(tmp_path, one + ", name: one}", other.split(", rec")[0] + ", name: other, recipe: {lr: 0.3}}"))


def test_neither_base_nor_bases_is_told(tmp_path: Path) -> None:
    study = tiny.make_study(tmp_path, "embedded")
    tiny.change(study, "base: {model: embedded, dtype: fp32}\n", "")
    with pytest.raises(TraitscopeError, match="'base' is missing"):
        load_config(study)


def test_a_study_of_one_base_has_the_fingerprints_it_had(tmp_path: Path, filled: Path) -> None:
    # The adapters' fingerprints of a filled study do not know that there could be several bases.
    study = Study.open(filled / "study.yaml")
    assert not isinstance(study, BasesStudy) and study.plan().complete
    inputs = [str(head.inputs) for head in study.folder.adapters()]
    assert inputs and not any("bases" in one for one in inputs)


# ---- running


def test_every_base_has_the_folder_that_a_study_of_it_alone_has(
    two: Path, tmp_path: Path, models: dict[str, Path]
) -> None:
    alone = tiny.make_study(tmp_path, models["beta"])
    tiny.change(alone, "lr: 0.01", "lr: 0.02")
    Study.open(alone).run()
    units = {name: sha for name, sha in snapshot(tmp_path / "runs/tiny").items() if name.endswith((".parquet", "ors"))}
    found = snapshot(two / "runs/tiny/bases/beta")
    assert len(units) > 20 and {name: found[name] for name in units} == units


def test_nothing_is_made_twice_and_a_third_base_makes_its_own_alone(copied: Path, models: dict[str, Path]) -> None:
    assert opened(copied).run() is None
    before = snapshot(copied.parent / "runs/tiny/bases")
    tiny.change(copied, "recipe: {lr: 0.02}}]", "recipe: {lr: 0.02}}, " + entry(models["gamma"]) + "]")
    study = opened(copied)
    plan = study.plan()
    assert not plan.complete and {unit.split("/")[0] for unit in plan.missing()["cells"]} == {"gamma"}
    work = study.run()
    assert work is not None and list(work.parts) == ["gamma"] and len(work.trained) == 4
    after = snapshot(copied.parent / "runs/tiny/bases")
    assert {name: sha for name, sha in after.items() if not name.startswith("gamma/")} == before
    assert list(opened(copied.parent / "runs/tiny").parts) == ["alpha", "beta", "gamma"]


def test_stopped_in_the_second_base_it_goes_on_there(tmp_path: Path, two: Path, models: dict[str, Path]) -> None:
    path = several(tmp_path, entry(models["alpha"]), entry(models["beta"], ", recipe: {lr: 0.02}"))
    second = tmp_path / "runs/tiny/bases/beta"
    with pytest.raises(Stopped):
        opened(path, every_s=0.0).run(stop=lambda: (second / "plan").is_dir())
    done = opened(path).plan()
    assert done.parts["alpha"].complete and not done.parts["beta"].complete
    work = opened(path).run()
    assert work is not None and list(work.parts) == ["beta"]
    assert snapshot(second).keys() == snapshot(two / "runs/tiny/bases/beta").keys()


@pytest.mark.verify
def test_killed_in_the_second_base_it_ends_with_the_same_bytes(
    tmp_path: Path, two: Path, models: dict[str, Path], forks: Forks
) -> None:
    path, out = two / "study.yaml", tmp_path / "out"
    pid = forks.start(path, out)
    second = out / "bases/beta/lock.json"
    while not second.exists() and forks.wait(pid, 0.01) is None:
        pass
    forks.kill(pid)
    assert second.exists()
    assert forks.wait(forks.start(path, out)) == 0
    cells = {name: sha for name, sha in snapshot(two / "runs/tiny/bases").items() if "/cells/" in name}
    found = snapshot(out / "bases")
    assert cells and {name: found[name] for name in cells} == cells
    for event in ("adapter", "cell"):
        assert len(log_of(out / "bases/alpha", event)) == len(set(log_of(out / "bases/alpha", event)))


def test_two_processes_share_the_folder_and_do_every_unit_once(tmp_path: Path, two: Path, forks: Forks) -> None:
    pids = [forks.start(two / "study.yaml", tmp_path / "out") for _ in range(2)]
    assert [forks.wait(pid) for pid in pids] == [0, 0]
    for base in ("alpha", "beta"):
        for event in ("adapter", "cell"):
            units = log_of(tmp_path / "out/bases" / base, event)
            assert sorted(units) == sorted(set(log_of(two / "runs/tiny/bases" / base, event)))


def test_a_base_that_cannot_be_loaded_is_named_and_the_others_are_completed(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    path = several(tmp_path, entry(broken), entry(models["alpha"]))
    with pytest.raises(TraitscopeError) as told:
        opened(path).run()
    assert "1 base model of 2 failed: broken" in told.value.what and "the other one is done" in told.value.what
    study = opened(path)
    plan = study.plan()
    assert plan.parts["alpha"].complete and not plan.complete
    assert study.only(["alpha"]).run() is None
    assert set(study.scores().rows["base"]) == {"alpha"}
    code, _, errors = invoke("run", path, "-q")
    assert code == 2 and "broken" in errors and "Traceback" not in errors


def test_a_folder_that_another_process_is_just_beginning_is_no_foreign_one(
    tmp_path: Path, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it has written so far, another process opens it."""
    path = several(tmp_path, entry(models["alpha"]), entry(models["beta"]))
    seen: list[list[str]] = []

    def looked(real: Any) -> Any:
        def write(self: RunFolder, *args: Any) -> Any:
            made = real(self, *args)
            seen.append(sorted(entry.name for entry in self.root.iterdir()))
            Study.open(path)
            return made

        return write

    for name in ("write_local", "write_if_changed"):
        monkeypatch.setattr(RunFolder, name, looked(getattr(RunFolder, name)))
    opened(path)._write_down()
    assert seen[0] == ["local.json"] and seen[-1] == ["local.json", "study.yaml"]


def test_what_is_wrong_with_the_rows_is_told_once(tmp_path: Path, models: dict[str, Path]) -> None:
    path = several(tmp_path, entry(models["alpha"]), entry(models["beta"]))
    (tmp_path / "tone-train.jsonl").unlink()
    with pytest.raises(TraitscopeError) as told:
        opened(path).run()
    assert str(told.value).count("tone-train.jsonl") == 1 and "failed" not in told.value.what


# ---- from one base to several


def test_the_run_of_one_base_is_taken_over(tmp_path: Path, models: dict[str, Path]) -> None:
    alone = tiny.make_study(tmp_path, models["alpha"])
    Study.open(alone).run()
    cells = {f"bases/alpha/{name}": sha for name, sha in snapshot(tmp_path / "runs/tiny").items() if "cells/" in name}
    path = several(tmp_path, entry(models["alpha"]), entry(models["beta"]))
    work = opened(path).run()
    assert work is not None and list(work.parts) == ["beta"]
    found = snapshot(tmp_path / "runs/tiny")
    assert cells and {name: found[name] for name in cells} == cells
    assert not (tmp_path / "runs/tiny/adapters").exists()
    # Back again: the folder is one of several now.
    tiny.make_study(tmp_path, models["alpha"])
    with pytest.raises(TraitscopeError, match="several base models"):
        Study.open(alone)


def test_what_will_be_taken_over_counts_and_is_taken_whichever_base_is_run(
    filled: Path, tmp_path: Path, models: dict[str, Path]
) -> None:
    shutil.copytree(filled, tmp_path / "filled")
    path, base = tmp_path / "filled" / "study.yaml", load_config(tmp_path / "filled" / "study.yaml").base.model
    tiny.make_study(path.parent, f"[{entry(models['beta'])}, {entry(Path(base), ', name: first')}]", BASES)
    plan = opened(path).plan()
    assert plan.parts["first"].complete and len(plan.missing()["adapters"]) == 4
    code, said, _ = invoke("check", path, "--no-prompts")
    assert code == 0 and "4 of 4 trained" in said
    with pytest.raises(TraitscopeError, match="takes over the run of first"):
        opened(path).scores()
    assert list((path.parent / "runs/tiny").glob("bases")) == []
    opened(path).only(["beta"]).run(tasks=["tone"], models=["base"])
    assert opened(path).plan().parts["first"].complete and opened(path).scores().rows["base"].nunique() == 2


def test_a_folder_of_another_model_of_that_name_is_not_taken_over(tmp_path: Path) -> None:
    small = [tiny.make_base(tmp_path / name / "small", seed) for seed, name in enumerate("xy")]
    Study.open(tiny.make_study(tmp_path, small[0])).run(tasks=["tone"], models=["base"])
    path = several(tmp_path, entry(small[1]))
    for verb in ("check", "plan", "run"):
        code, _, errors = invoke(verb, path)
        assert code == 2 and "is the run folder of a study on small" in errors


@pytest.mark.parametrize("names", ["swapped", "given"])
def test_names_that_no_longer_are_those_of_the_folders_are_refused_with_the_way_back(
    tmp_path: Path, names: str
) -> None:
    """Two models of one name: who is first is called by it."""
    small = [tiny.make_base(tmp_path / name / "small", seed) for seed, name in enumerate("xy")]
    path = several(tmp_path, *map(entry, small))
    opened(path).run(tasks=["tone"], models=["base"])
    before = snapshot(tmp_path / "runs/tiny")
    more = ["", ""] if names == "swapped" else [", name: a", ", name: b"]
    changed = [entry(model, text) for model, text in zip(small, more, strict=True)]
    several(tmp_path, *(changed[::-1] if names == "swapped" else changed))
    for verb in ("check", "plan", "run"):
        code, _, errors = invoke(verb, path)
        assert code == 2 and "lies in bases/" in errors
    assert snapshot(tmp_path / "runs/tiny") == before
    # What the fix says.
    several(tmp_path, *(entry(m, f", name: {n}") for m, n in zip(small[::-1], ("y-small", "small"), strict=True)))
    assert all(len(part.state.missing_cells) == 14 for part in opened(path).plan().parts.values())
    # A base model that is exchanged on purpose keeps its name.
    several(tmp_path, entry(small[1], ", name: small, recipe: {lr: 0.3}"), entry(small[1], ", name: y-small"))
    assert not opened(path).plan().complete


def test_what_is_checked_is_not_called_complete(tmp_path: Path, models: dict[str, Path]) -> None:
    path = several(tmp_path, entry(models["alpha"]), entry(tmp_path / "missing"))
    code, _, errors = invoke("check", path, "--no-prompts")
    assert code == 2 and "the other one is in order" in errors


@pytest.mark.parametrize("bases", [1, 2])
def test_a_file_of_the_user_s_own_in_a_run_folder_does_no_harm(
    copied: Path, filled: Path, tmp_path: Path, models: dict[str, Path], bases: int
) -> None:
    """In one that was adopted too, with the trackers' files of the one base."""
    if bases == 1:
        shutil.copytree(filled, tmp_path / "filled")
        copied = tmp_path / "filled" / "study.yaml"
    folder = copied.parent / "runs/tiny"
    (folder / "notes.txt").write_text("mine")
    assert invoke("plan", copied)[0] == 0 and Study.open(folder).run() is None
    if bases == 1:
        base = load_config(copied).base.model
        (folder / "tracking").mkdir()
        (folder / "tracking" / "0.json").write_text("{}")
        tiny.make_study(copied.parent, f"[{entry(Path(base), ', name: first')}]", BASES)
        assert opened(copied).run() is None
        assert opened(folder).plan().complete and (folder / "bases/first/tracking/0.json").is_file()
    assert (folder / "notes.txt").read_text() == "mine"


def test_the_run_of_a_base_that_is_not_named_is_left_alone(tmp_path: Path, models: dict[str, Path]) -> None:
    Study.open(tiny.make_study(tmp_path, models["gamma"])).run(tasks=["tone"], models=["base"])
    before = snapshot(tmp_path / "runs/tiny")
    path = several(tmp_path, entry(models["alpha"]), entry(models["beta"]))
    with pytest.raises(TraitscopeError, match="study on gamma"):
        opened(path).run()
    assert snapshot(tmp_path / "runs/tiny") == before


# ---- what is found


def test_one_matrix_holds_the_rows_of_all_with_their_own_base(two: Path) -> None:
    study = opened(two / "study.yaml")
    scores = study.scores(records=True)
    assert scores.models[:2] == ("alpha/base", "alpha/tone-s0") and len(scores.models) == 10
    for name, part in study.parts.items():
        own = part.scores()
        rows = [scores.models.index(f"{name}/{model}") for model in own.models]
        np.testing.assert_array_equal(scores.scores_IN[rows], own.scores_IN)
        np.testing.assert_allclose(scores.gains().values_IN[rows], own.gains().values_IN)
    assert set(scores.records["tone"]) == set(scores.models)


def test_findings_across_are_kept_and_shown_in_the_report(copied: Path) -> None:
    study = opened(copied)
    page = study.report()
    text = page.read_text()
    assert "Across base models" in text and (page.parent / "bases/beta/report.html").is_file()
    kept = json.loads((page.parent / "analysis/across.json").read_text())
    assert kept["bases"] == ["alpha", "beta"]
    assert (page.parent / "tables/across_findings.csv").is_file() and (page.parent / "figures/across.svg").is_file()
    written = page.stat().st_mtime_ns
    assert opened(copied).report().stat().st_mtime_ns == written
    assert study.effects().findings["model"].dropna().str.startswith(("alpha/", "beta/")).all()


def test_what_is_found_of_some_bases_is_not_kept_as_that_of_all(copied: Path) -> None:
    some, found = opened(copied).only(["beta"]), Across.__new__(Across)
    assert some._kept("across", {}, lambda: found, Across) is found
    assert not (copied.parent / "runs/tiny/analysis").exists()


def test_a_forecast_knows_the_other_base_models(two: Path) -> None:
    study = opened(two / "study.yaml")
    found = study.forecast(base="beta", costs=["text"])
    assert len(found.problem.bases) == 2 and found.problem.others == (1,)
    assert found.problem.bases[found.problem.target].startswith("beta")
    with pytest.raises(TraitscopeError, match="of one base model"):
        study.forecast()


def test_what_is_of_one_base_is_asked_of_its_part(two: Path) -> None:
    study = opened(two / "study.yaml")
    with pytest.raises(TraitscopeError, match="of one base model") as told:
        study.dataset_stats()
    assert "alpha, beta" in str(told.value.fix)
    assert study.only(["beta"]).dataset_stats().names == study.part("beta").dataset_stats().names
    with pytest.raises(TraitscopeError, match="'delta'"):
        study.part("delta")


def test_a_part_is_a_study_by_itself(two: Path) -> None:
    alone = Study.open(two / "runs/tiny/bases/beta")
    assert not isinstance(alone, BasesStudy) and alone.plan().complete
    assert alone.config.recipe.lr == 0.02 and alone.config.study == "tiny.beta"


def test_damage_of_a_part_is_found_by_the_whole_and_healed_there(copied: Path) -> None:
    folder = copied.parent / "runs/tiny"
    assert opened(copied).verify() == [] and invoke("verify", folder)[0] == 0
    victim = folder / "bases/beta/adapters/tone-s0/adapter_model.safetensors"
    victim.write_bytes(victim.read_bytes()[:-4] + b"rot!")
    code, said, _ = invoke("verify", folder)
    assert code == 1 and "bases/beta/adapters/tone-s0/adapter_model.safetensors" in said
    work = opened(copied).run()
    assert work is not None and work.trained == ["beta/tone-s0"]
    assert opened(copied).verify() == []


@pytest.mark.parametrize("table", ["scores", "records", "findings", "examples", "training"])
def test_every_table_has_the_rows_of_the_parts_beside_their_base(two: Path, table: str) -> None:
    study = opened(two / "study.yaml")
    found = study.frame(table)
    assert found.columns[0] == "base" and found["base"].unique().tolist() == ["alpha", "beta"]
    for name, part in study.parts.items():
        mine = found[found["base"] == name].drop(columns="base").reset_index(drop=True)
        theirs = part.frame(table).drop(columns="base", errors="ignore")
        pd.testing.assert_frame_equal(mine, theirs, check_dtype=False)
    assert study.to_dataset(table).num_rows == len(found) == len(study.frame(table, backend="polars"))
    assert len(study.frame(table, tasks=["tone"])) == len(found[found["task"] == "tone"] if "task" in found else found)
    if "model" in found:
        one = found[(found["base"] == "beta") & (found["model"] == "tone-s0")]
        assert len(study.frame(table, models=["beta/tone-s0"])) == len(one) > 0
    assert len(study.only(["beta"]).frame(table)) == (found["base"] == "beta").sum()


def test_many_records_of_several_bases_lie_on_the_disk(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = opened(two / "study.yaml")
    held = study.to_dataset(models=["alpha/base", "beta/base"])
    monkeypatch.setattr(study_tables, "HELD", 10)
    spooled = study.to_dataset(models=["alpha/base", "beta/base"])
    assert spooled.cache_files and spooled.to_list() == held.to_list()


def test_a_row_of_several_bases_is_named_with_its_base(two: Path) -> None:
    with pytest.raises(TraitscopeError, match=r"no model is named 'tone-s0'(.|\n)*beta/tone-s0"):
        opened(two / "study.yaml").frame(models=["tone-s0"])


# ---- compared


def test_two_recipes_are_compared_with_what_differs(two: Path, tmp_path: Path, models: dict[str, Path]) -> None:
    path = tiny.make_study(tmp_path / "other", models["alpha"])
    tiny.change(path, "lr: 0.01", "lr: 0.02")
    Study.open(path).run()
    found = ts.compare(two / "runs/tiny/bases/alpha", path)
    pair = found.pairs[0]
    assert found.names == ("alpha", "tiny")
    assert pair.settings == ("recipe.lr: 0.01 -> 0.02",)
    assert pair.cells["paired"].all() and len(pair.cells) == 15
    base = pair.cells[pair.cells["row"] == "base"]
    assert (base["difference"] == 0).all()
    scores = Study.open(path).scores().to_wide()
    assert pair.cells.set_index(["row", "task"]).loc[("tone", "story"), "second"] == scores.loc["tone-s0", "story"]


def test_compare_at_the_command_line(two: Path) -> None:
    code, said, _ = invoke("compare", two / "runs/tiny")
    assert code == 0 and "alpha against beta" in said and "recipe.lr: 0.01 -> 0.02" in said
    assert all(len(line) <= 160 for line in said.splitlines())
    code, said, _ = invoke(
        "compare", two / "runs/tiny/bases/alpha", two / "runs/tiny/bases/beta", "--json", "--names", "x,y"
    )
    assert code == 0 and json.loads(said)["names"] == ["x", "y"]
    code, _, errors = invoke("compare", two / "runs/tiny", "--tasks", "nonsense")
    assert code == 2 and "no task is named 'nonsense'" in errors
    code, _, errors = invoke("compare", two / "runs/tiny/bases/alpha")
    assert code == 2 and "two or more" in errors


def test_names_of_what_is_compared_tell_it_apart_and_the_fix_works(two: Path) -> None:
    places = [two / "runs/tiny/bases" / name for name in ("alpha", "beta")]
    with pytest.raises(TraitscopeError, match=r"'x' stands there twice(.|\n)*: alpha,beta"):
        ts.compare(*places, names=["x", "x"])
    with pytest.raises(TraitscopeError, match="1 name for 3 things"):
        ts.compare(two, places[0], names=["x"])
    found = ts.compare(two, places[0]).names
    assert found == ("alpha", "beta", "alpha-2")


def test_folders_of_one_name_are_told_apart_by_where_they_lie(two: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        shutil.copytree(two / "runs/tiny/bases/beta", tmp_path / name / "runs/tiny")
    found = ts.compare(tmp_path / "one/runs/tiny", tmp_path / "other/runs/tiny").names
    assert found == ("one/runs/tiny", "other/runs/tiny")


# ---- at the command line


def test_verbs_take_one_base_or_each_in_turn(copied: Path) -> None:
    assert "2 base models" in invoke("plan", copied)[1]
    plan = json.loads(invoke("plan", copied, "--json")[1])
    assert plan["complete"] and plan["cells"] == 30 and list(plan["bases"]) == ["alpha", "beta"]
    assert list(json.loads(invoke("check", copied, "--json")[1])["bases"]) == ["alpha", "beta"]
    cells = json.loads(invoke("ls", "cells", copied, "--task", "tone", "--json")[1])
    assert {row["base"] for row in cells} == {"alpha", "beta"}
    assert len(json.loads(invoke("ls", "adapters", copied, "--base", "beta", "--json")[1])) == 4
    examples = json.loads(invoke("ls", "examples", copied, "--task", "tone", "--model", "beta/tone-s0", "--json")[1])
    assert len(examples) == 5 and "base" in examples[0]
    assert list(json.loads(invoke("stats", copied, "--json")[1])) == ["alpha", "beta"]
    effects = json.loads(invoke("effects", copied, "--json")[1])
    assert list(effects["bases"]) == ["alpha", "beta"] and effects["across"]["bases"] == ["alpha", "beta"]
    assert "findings" in json.loads(invoke("effects", copied, "--base", "beta", "--json")[1])
    assert "models" in json.loads(invoke("traits", copied, "--json")[1])
    assert list(json.loads(invoke("predict", copied, "--task", "tone", "--evidence", "text", "--json")[1])) == [
        "alpha",
        "beta",
    ]
    scores = json.loads(invoke("run", copied, "-q", "--json")[1])
    assert scores["complete"] and {row["base"] for row in scores["scores"]} == {"alpha", "beta"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--base", "delta"], "no base model 'delta'"),
        (["run", "--budget", "50%"], "of one base model"),
        (["effects", "--explain"], "--base"),
        (["ls", "examples", "--task", "tone", "--model", "tone-s0"], "which base model"),
        (["belt", "--out", "belt"], "of one base model"),
    ],
)
def test_what_cannot_be_of_several_is_told(two: Path, arguments: list[str], says: str) -> None:
    place = 2 if arguments[0] == "ls" else 1
    code, _, errors = invoke(*arguments[:place], two / "study.yaml", *arguments[place:])
    assert code == 2 and says in errors and "fix:" in errors


def test_base_is_no_option_of_a_study_of_one(filled: Path) -> None:
    code, _, errors = invoke("run", filled / "study.yaml", "--base", "alpha")
    assert code == 2 and "one base model" in errors
