"""An adapter whose training comes to nothing is told and written down; everything else is done."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import tiny

from traitscope.engine import LoraSpec, TrainJob, load_base, plan_bank, train
from traitscope.engine.trainer import BankTrainer
from traitscope.errors import TraitscopeError
from traitscope.records import TrainRow
from traitscope.store.checked import sha256_of
from traitscope.study import Study


@pytest.fixture
def wild(study_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny study, in which the loss of one source becomes no number at its third step."""
    plain = BankTrainer._norms

    def norms(trainer: BankTrainer, slots: list[int]) -> dict[int, float]:
        found = plain(trainer, slots)
        for slot in slots:
            state = trainer.slots[slot]
            if state is not None and state.job.name == "tone-s0" and state.step == 2:
                found[slot] = float("nan")
        return found

    monkeypatch.setattr(BankTrainer, "_norms", norms)
    return study_file


def test_the_rest_of_the_study_is_done_and_the_run_ends_with_the_error(wild: Path) -> None:
    study = Study.open(wild)
    with pytest.raises(TraitscopeError, match=r"1 of the adapters came to nothing, all else is done: tone-s0 diverged"):
        study.run()
    made = {path.name for path in (study.folder.root / "adapters").iterdir()}
    assert made == {"tone.mislabel-s0", "sums-s0", "all-s0"}
    assert {(head.model, head.task) for head in study.cells()} == {
        (model, task) for model in ("base", *made) for task in ("tone", "sums", "story")
    }
    assert not study.verify()
    assert [line["unit"] for line in study.folder.read_log() if line["event"] == "failed"] == ["adapters/tone-s0"]


def test_it_is_told_again_without_being_tried_again(wild: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TraitscopeError):
        Study.open(wild).run()
    monkeypatch.setattr("traitscope.engine.train", lambda *_, **__: pytest.fail("trained"))
    study = Study.open(wild)
    with pytest.raises(TraitscopeError, match="tone-s0 diverged at step 3"):
        study.run()
    assert study.report().is_file()


def test_under_another_recipe_it_is_trained_again(wild: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TraitscopeError):
        Study.open(wild).run()
    monkeypatch.undo()
    tiny.change(wild, "controls:", "sources: [{tone: {lr: 0.005}}, sums]\ncontrols:")
    study = Study.open(wild)
    study.run(replace=True)
    assert study.plan().complete and study.folder.adapter("tone-s0") is not None


def test_the_other_adapters_are_what_they_are_alone(base: Path) -> None:
    loaded = load_base(base, dtype="fp32", device="cpu")
    rows = [TrainRow((0, 5 + i, 9, 12 + i, 1), 3) for i in range(8)]
    tame = TrainJob("tame", rows, LoraSpec(2, 4.0), lr=1e-2, batch=4, epochs=3)
    wild = dataclasses.replace(tame, name="wild", spec=LoraSpec(2, 1e30), lr=1e20, clip=0.0)
    told: dict[str, TraitscopeError] = {}
    both = train(loaded, [tame, wild], plan_bank(loaded, [tame, wild]), on_failed=told.__setitem__)
    alone = train(loaded, [tame], plan_bank(loaded, [tame]))
    assert list(told) == ["wild"] and list(both) == ["tame"]
    ours, theirs = (result["tame"].adapter.flat for result in (both, alone))
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_an_adapter_that_changes_nothing_is_not_committed(study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainJob, "lr_at", lambda job, step: 0.0 if job.name == "sums-s0" else job.lr)
    study = Study.open(study_file)
    with pytest.raises(TraitscopeError, match="sums-s0 ended with an adapter that changes nothing"):
        study.run()
    assert study.folder.adapter("sums-s0") is None and study.folder.adapter("tone-s0") is not None


def test_a_bank_that_is_taken_up_leaves_out_what_had_come_to_nothing(wild: Path) -> None:
    study = Study.open(wild, every_s=0)
    calls = iter(range(100))
    with pytest.raises(Exception):  # noqa: B017 (Stopped is no error of ours)
        study.run(stop=lambda: next(calls) > 8)
    with pytest.raises(TraitscopeError, match="tone-s0"):
        Study.open(wild).run()
    first = sha256_of((study.folder.adapter_path("sums-s0") / "adapter_model.safetensors").read_bytes())
    whole = Study.open(wild, wild.parent / "other")
    with pytest.raises(TraitscopeError, match="tone-s0"):
        whole.run()
    assert first == sha256_of((whole.folder.adapter_path("sums-s0") / "adapter_model.safetensors").read_bytes())
