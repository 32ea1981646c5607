"""A run under a budget: what it makes, what it leaves to later, how it goes on, and what it says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from forged import forge
from processes import snapshot

from traitscope.errors import TraitscopeError
from traitscope.predict.decision import Decision
from traitscope.store import CellStore
from traitscope.store.seal import sealed
from traitscope.study import Stopped, Study, filling
from traitscope.study.budget import Budgeted
from traitscope.study.deciding import Planner
from traitscope.study.evidence import gather_evidence
from traitscope.study.part import Part
from traitscope.study.probes import paired_gains, probe_share

sys.path.insert(0, str(Path(__file__).parent.parent / "end_to_end"))
import small


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """Five sources and six targets, trainings of 32 steps and more."""
    path = small.small_study(tmp_path_factory.mktemp("budget") / "study", base)
    content = yaml.safe_load(path.read_text())
    for key in ("controls", "mixes", "layers"):
        content.pop(key)
    content["recipe"] |= {"epochs": 12, "batch": 4, "lr": 0.003}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def decided(study_file: Path) -> tuple[Study, Decision]:
    study = Study.open(study_file, study_file.parent / "decided")
    return study, study.decide(0.8, margin=0.0)


@pytest.fixture(scope="module")
def whole(study_file: Path) -> Study:
    """The same study without a budget."""
    study = Study.open(study_file, study_file.parent / "whole")
    study.run()
    return study


def test_a_choice_is_trained_in_full_and_judged_on_rows_that_chose_nothing(decided: tuple[Study, Decision]) -> None:
    study, decision = decided
    assert list(decision.table["task"]) == list(study.config.target_names())
    assert set(decision.table["source"].dropna()) <= set(decision.trained)
    assert decision.spent <= decision.budget == 0.8
    for row in decision.table.dropna(subset=["source"]).to_dict("records"):
        model, task = f"{row['source']}-s0", row["task"]
        n = study.data.n_eval(task)
        assert study.cells().rows(model, task) == n
        assert row["n"] == n - n // 2
        ours, theirs = (study.records(m, task).set_index("id") for m in (model, "base"))
        sign, column = (-1, "loss") if ours["correct"].isna().all() else (1, "correct")
        gain_S = sign * (ours[column] - theirs[column].reindex(ours.index)).to_numpy(dtype=float)
        assert row["gain"] == pytest.approx(gain_S[n // 2 :].mean())
        if n - n // 2 < 5:
            assert np.isnan(row["lo"]) and np.isnan(row["hi"])
        else:
            assert row["lo"] < row["gain"] < row["hi"]
    assert decision.table["source"].notna().any()


def test_what_was_done_is_no_more_than_is_said_to_be_spent(decided: tuple[Study, Decision]) -> None:
    """Every training and every row that lies in the folder, at the prices that the budget counts in."""
    study, decision = decided
    plan = Budgeted(study, 0.8, 0.0)
    done = 0.0
    for context, train_I in ((study, plan.prices.train_I), (plan.probes, plan.prices.probe_I)):
        for i, source in enumerate(plan.sources):
            done += float(train_I[i]) * (context.folder.adapter(f"{source}-s0") is not None)
        for model in ("base", *(f"{source}-s0" for source in plan.sources)):
            rows_N = np.array([context.cells().rows(model, task) for task in plan.targets])
            done += float((rows_N * plan.prices.row_N).sum())
    assert 0 < done / plan.prices.whole <= decision.spent + 1e-9


def test_a_source_is_never_chosen_for_its_own_task(decided: tuple[Study, Decision]) -> None:
    _, decision = decided
    assert not (decision.table["source"] == decision.table["task"]).any()


def test_the_same_call_again_computes_nothing(decided: tuple[Study, Decision]) -> None:
    study, decision = decided
    before = snapshot(study.folder.root)
    again = Study.open(study.folder.root).decide(0.8, margin=0.0)
    assert again.to_json() == decision.to_json()
    assert {k: v for k, v in snapshot(study.folder.root).items() if k in before} == before


def test_a_run_without_a_budget_fills_the_rest_with_what_it_would_have_made(
    decided: tuple[Study, Decision], whole: Study, tmp_path: Path
) -> None:
    study, decision = decided
    shutil.copytree(study.folder.root, tmp_path / "copy")
    later = Study.open(tmp_path / "copy")
    assert len(later.plan().state.missing_adapters) > 0 or len(decision.trained) == 5
    later.run()
    assert later.plan().complete
    assert len(later.cells()) == len(whole.cells())
    for model in whole.models():
        for task in whole.config.target_names():
            ours, theirs = (s.records(model, task) for s in (later, whole))
            assert list(ours["id"]) == list(theirs["id"])
            # Another bank trains with other rounding.
            np.testing.assert_allclose(ours["loss"].astype(float), theirs["loss"].astype(float), atol=0.05)


@pytest.mark.verify
def test_a_stopped_run_goes_on_to_the_same_choices(
    study_file: Path, decided: tuple[Study, Decision], tmp_path: Path
) -> None:
    asked = iter(range(10_000))
    study = Study.open(study_file, tmp_path / "stopped")
    stops = 0
    while True:
        limit = next(asked) + 60
        try:
            found = study.decide(0.8, margin=0.0, stop=lambda limit=limit: next(asked) > limit)
            break
        except Stopped:
            stops += 1
    assert stops > 1
    assert found.to_json() == decided[1].to_json()


def test_a_budget_that_bears_no_look_says_what_would(study_file: Path, tmp_path: Path) -> None:
    with pytest.raises(TraitscopeError, match=r"costs \d+% of the whole grid") as error:
        Study.open(study_file, tmp_path / "poor").decide(0.05)
    least = int(str(error.value.fix).split("at least ")[1].split("%")[0])
    assert not (tmp_path / "poor" / "probes").exists()
    Budgeted(Study.open(study_file, tmp_path / "poor"), least / 100, 0.01).next_round()


def test_a_damaged_plan_is_named(study_file: Path, decided: tuple[Study, Decision], tmp_path: Path) -> None:
    shutil.copytree(decided[0].folder.root, tmp_path / "copy")
    file = tmp_path / "copy" / "plan" / "budget.json"
    plan = file.read_bytes()
    for content, word in ((b"{", "not JSON"), (sealed({}, "budget.json"), "keys are missing"), (b"5", "holds '5'")):
        file.write_bytes(content)
        with pytest.raises(TraitscopeError, match=word):
            Study.open(tmp_path / "copy").decide(0.8)
    file.write_bytes(plan)
    forge(file, sources=["another"])
    with pytest.raises(TraitscopeError, match="other sources"):
        Study.open(tmp_path / "copy").decide(0.8)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_is_between_nothing_and_all(study_file: Path, tmp_path: Path, share: float) -> None:
    with pytest.raises(TraitscopeError, match="give a share"):
        Study.open(study_file, tmp_path / "none").decide(share)


def test_a_part_makes_no_more_than_it_names_and_cells_grow_to_the_same_rows(
    study_file: Path, whole: Study, tmp_path: Path
) -> None:
    study = Study.open(study_file, tmp_path / "part")
    for n in (3, 7, 10):
        rows = {("base", "tone"): n, ("heat-s0", "tone"): n}
        part = Part(frozenset({"heat-s0"}), rows)
        filling.fill(study, train=True, evaluate=True, replace=False, stop=None, part=part)
        assert [(h.model, h.task, h.n) for h in study.cells()] == [("base", "tone", n), ("heat-s0", "tone", n)]
    assert [head.name for head in study.folder.adapters()] == ["heat-s0"]
    assert filling.fill(study, train=True, evaluate=True, replace=False, stop=None, part=part) is None
    for model in ("base", "heat-s0"):
        ours, theirs = (s.records(model, "tone") for s in (study, whole))
        assert list(ours["id"]) == list(theirs["id"])
        np.testing.assert_allclose(ours["loss"], theirs["loss"], atol=1e-5 if model == "base" else 0.05)


def test_paired_gains_are_over_the_rows_that_both_have(whole: Study) -> None:
    gain_IN, variance_IN = paired_gains(whole, {"tone": slice(2, 9)})
    sources, targets = ["tone", "heat", "size", "pace", "sums"], list(whole.config.target_names())
    column = targets.index("tone")
    assert np.isnan(gain_IN[sources.index("tone"), column])
    assert np.isnan(np.delete(gain_IN, column, axis=1)).all()
    for i, source in enumerate(sources[1:], start=1):
        ours, theirs = (whole.records(m, "tone")["correct"].to_numpy(dtype=float) for m in (f"{source}-s0", "base"))
        assert gain_IN[i, column] == pytest.approx((ours - theirs)[2:9].mean())
        assert variance_IN[i, column] > 0


def test_a_short_training_is_an_eighth_but_not_too_few_steps(whole: Study) -> None:
    source = whole.config.resolved_sources()[0]
    long = source.recipe.model_copy(update={"epochs": 1000})
    steps = 1000 * 3
    assert probe_share(replace(source, recipe=long), 12) == pytest.approx(round(steps / 8) / steps)
    assert probe_share(replace(source, recipe=long.model_copy(update={"epochs": 16})), 12) == pytest.approx(16 / 48)
    assert probe_share(replace(source, recipe=long.model_copy(update={"epochs": 1})), 12) == 1.0


def test_a_decision_is_kept_and_said_in_words(decided: tuple[Study, Decision]) -> None:
    study, decision = decided
    kept = Decision.from_json((study.folder.analysis / "decision.json").read_text())
    assert kept.to_json() == decision.to_json()
    text = kept.render()
    assert text.startswith(f"{len(decision.trained)} of 5 sources trained in full")
    assert all(task in text for task in study.config.target_names())


@pytest.mark.verify
def test_two_processes_at_once_make_one_choice(
    study_file: Path, decided: tuple[Study, Decision], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "traitscope", "run", str(study_file), "--out", str(tmp_path / "both")]
    both = [
        subprocess.Popen([*command, "--budget", "80%", "--margin", "0"], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    one, other = (process.communicate(timeout=300)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert one == other and f"{len(decided[1].trained)} of 5 sources trained in full" in one


def test_a_study_that_decided_runs_on_in_the_same_process(study_file: Path, tmp_path: Path) -> None:
    study = Study.open(study_file, tmp_path / "same")
    study.decide(0.8, margin=0.0)
    assert study.run() is not None
    assert study.plan().complete


def test_a_drop_of_the_loss_is_what_a_short_training_takes_off_it(decided: tuple[Study, Decision]) -> None:
    study, _ = decided
    sources, targets, drop_IN = gather_evidence(study).probes["loss drop"]
    cells = CellStore(study.folder.root / "probes" / "cells")
    seen = 0
    for i, source in enumerate(sources):
        for n, task in enumerate(targets):
            if np.isfinite(drop_IN[i, n]):
                ours = cells.read_frame(f"{source}-s0", task).set_index("id")["loss"]
                base = cells.read_frame("base", task).set_index("id")["loss"]
                assert drop_IN[i, n] == pytest.approx((base.reindex(ours.index) - ours).mean())
                seen += 1
    assert seen > 5
    # A training on the task itself is no transfer; the nearest to it lowers the loss.
    assert np.nanmax(drop_IN) > 0


def test_the_shift_of_few_trained_sources_is_not_believed_in_full() -> None:
    """One source that gained 3 more than its short training: a third of that is expected of the others."""
    probe_IN, error_IN = np.zeros((4, 1)), np.full((4, 1), 0.01)
    full_IN = np.array([[3.0], [np.nan], [np.nan], [np.nan]])
    both_IN = np.isfinite(full_IN)
    _, shift_N = Planner._drift(None, probe_IN, error_IN, full_IN, error_IN, both_IN, np.full(1, 0.01))
    assert shift_N == pytest.approx([1.0])
