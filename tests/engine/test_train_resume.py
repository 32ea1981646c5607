"""A bank that is stopped and taken up again ends with the same bits; slots are independent of how passes are cut."""

from __future__ import annotations

import itertools
import sys
from types import SimpleNamespace

import pytest
import torch
from helpers import known_model, tiny_model
from test_train_exact import random_rows, three_jobs

from traitscope.engine import (
    BankPlan,
    Interrupted,
    LoraSpec,
    TrainJob,
    plan_bank,
    train,
    wrap_model,
)
from traitscope.engine.checkpoint import checkpoint_state, restore
from traitscope.engine.trainer import BankTrainer, cut_passes
from traitscope.errors import TraitscopeError
from traitscope.records import Progress, TrainRow


@pytest.fixture(scope="module")
def base():
    return wrap_model(tiny_model("llama", torch.float32), None, name="llama", fingerprint="f")


def weights(results) -> dict[str, bytes]:
    return {name: result.adapter.flat.numpy().tobytes() for name, result in results.items()}


@pytest.mark.parametrize(
    "stop_after", [1, 20, *(pytest.param(step, marks=pytest.mark.verify) for step in (19, 21, 33))]
)
def test_stopped_and_resumed_equals_undisturbed_to_the_bit(base, stop_after: int) -> None:
    jobs = three_jobs("llama")
    plan = plan_bank(base, jobs, slots=2, tokens_per_pass=90)
    undisturbed = train(base, jobs, plan)
    states: list[bytes] = []
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls == stop_after

    with pytest.raises(Interrupted):
        train(base, jobs, plan, on_checkpoint=states.append, should_stop=stop)
    reported = []
    resumed = train(base, jobs, plan, checkpoint=states[-1], on_done=lambda result: reported.append(result.name))
    assert weights(resumed) == weights(undisturbed)
    assert {n: r.history for n, r in resumed.items()} == {n: r.history for n, r in undisturbed.items()}
    assert sorted(reported) == sorted(job.name for job in jobs)


def test_a_plan_survives_its_json(base) -> None:
    plan = plan_bank(base, three_jobs("llama"), slots=2)
    assert BankPlan.from_json(plan.to_json()) == plan


def test_passes_of_any_size_give_the_same_adapters(base) -> None:
    jobs = three_jobs("llama")
    small = train(base, jobs, plan_bank(base, jobs, tokens_per_pass=30))
    large = train(base, jobs, plan_bank(base, jobs, tokens_per_pass=10_000))
    for name, result in small.items():
        assert torch.allclose(result.adapter.flat, large[name].adapter.flat, atol=2e-4)


def test_recomputing_activations_changes_nothing() -> None:
    base = known_model(tiny_model("llama"), None)
    jobs = three_jobs("llama")
    plan = plan_bank(base, jobs)
    again = BankPlan.from_json(plan.to_json() | {"checkpoint_layers": True})
    a, b = train(base, jobs, plan), train(base, jobs, again)
    for name in a:
        assert torch.allclose(a[name].adapter.flat, b[name].adapter.flat, atol=1e-10)


def test_a_checkpoint_of_another_plan_is_refused(base) -> None:
    jobs = three_jobs("llama")
    states: list[bytes] = []
    with pytest.raises(Interrupted):
        train(base, jobs, plan_bank(base, jobs, slots=2), on_checkpoint=states.append, should_stop=lambda: True)
    with pytest.raises(TraitscopeError, match="belongs to another plan"):
        train(base, jobs, plan_bank(base, jobs, slots=3), checkpoint=states[0])


def test_a_checkpoint_of_another_base_is_refused(base) -> None:
    jobs = three_jobs("llama")
    plan = plan_bank(base, jobs, slots=2)
    other = wrap_model(tiny_model("llama", torch.float32), None, name="llama", fingerprint="g")
    states: list[bytes] = []
    with pytest.raises(Interrupted):
        train(base, jobs, plan, on_checkpoint=states.append, should_stop=lambda: True)
    with pytest.raises(TraitscopeError, match="belongs to another plan or base"):
        train(other, jobs, plan, checkpoint=states[0])


def test_a_bank_taken_up_again_knows_its_tokens_and_that_its_passes_were_halved(base) -> None:
    jobs = three_jobs("llama")
    plan = plan_bank(base, jobs, slots=2, tokens_per_pass=90)
    first = BankTrainer(base, jobs, plan)
    first.step()
    first.tokens_per_pass, first.notes = 45, ["out of memory"]
    trained = sum(state.history[0].tokens for state in first.slots if state is not None)
    saved_state = checkpoint_state(first, {})
    first.close()
    second = BankTrainer(base, jobs, plan)
    restore(second, saved_state)
    second.close()
    assert (second.tokens_per_pass, second.notes) == (45, ["out of memory"])
    assert second.done_tokens == trained > 0


def test_the_end_of_every_job_leaves_a_checkpoint(base) -> None:
    jobs = three_jobs("llama")[:2]
    plan = plan_bank(base, jobs, slots=2)
    states: list[bytes] = []
    ended: list[int] = []
    train(base, jobs, plan, on_checkpoint=states.append, every_s=1e9, on_done=lambda _: ended.append(len(states)))
    assert len(states) == len(set(ended))
    steps: list[object] = []
    again = train(base, jobs, plan, checkpoint=states[-1], on_progress=steps.append)
    assert set(again) == {job.name for job in jobs} and steps == []


def test_a_damaged_checkpoint_is_refused(base) -> None:
    jobs = three_jobs("llama")
    with pytest.raises(TraitscopeError, match="checkpoint cannot be read"):
        train(base, jobs, plan_bank(base, jobs), checkpoint=b"\x00" * 100)


def test_passes_hold_every_row_once_and_respect_the_bound() -> None:
    batches = {0: random_rows(7, 1), 2: random_rows(5, 2), 3: random_rows(9, 3)}
    passes = cut_passes(batches, 60)
    assert all(sum(len(r.ids) for piece in one for r in piece.rows) <= 60 for one in passes)
    for slot, rows in batches.items():
        there = [row for one in passes for piece in one if piece.slot == slot for row in piece.rows]
        assert sorted(there, key=repr) == sorted(rows, key=repr)
    assert all([p.slot for p in one] == sorted({p.slot for p in one}) for one in passes)


def test_a_diverging_run_says_so(base) -> None:
    job = TrainJob("wild", random_rows(8, 1), LoraSpec(4, 1e30), lr=1e20, batch=4, epochs=3, clip=0.0)
    with pytest.raises(TraitscopeError, match=r"training wild: diverged at step \d+: loss"):
        train(base, [job], plan_bank(base, [job]))


@pytest.mark.parametrize(
    ("rows", "message"), [([], "no training rows"), ([TrainRow((1, 2, 3), 3)], "row 0 has no answer token")]
)
def test_jobs_without_anything_to_learn_are_refused(rows: list, message: str) -> None:
    with pytest.raises(TraitscopeError, match=message):
        TrainJob("empty", rows, LoraSpec(4, 8.0), lr=1e-3)


def test_two_jobs_of_one_name_are_refused(base) -> None:
    job = three_jobs("llama")[0]
    with pytest.raises(TraitscopeError, match="two jobs are called wide"):
        plan_bank(base, [job, job])


def test_states_come_with_every_job_that_ends_and_in_time(base, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = three_jobs("llama")
    plan = plan_bank(base, jobs, slots=2)
    states: list[bytes] = []
    undisturbed: list[Progress] = []
    train(base, jobs, plan, on_checkpoint=states.append, every_s=1e9, on_progress=undisturbed.append)
    assert len(states) == 2  # two jobs end with step 20, one with step 40
    often: list[bytes] = []
    train(base, jobs, plan, on_checkpoint=often.append, every_s=0.0)
    assert len(often) == 40
    # A clock that goes on by a second whenever it is read: twice at the start, once a step.
    monkeypatch.setattr(sys.modules[train.__module__], "time", SimpleNamespace(monotonic=itertools.count().__next__))
    told: list[Progress] = []
    train(base, jobs, plan, checkpoint=states[0], on_progress=told.append)
    assert told[0].tokens_per_s == (told[0].done_tokens - undisturbed[19].done_tokens) / 2
    assert [progress.done_tokens for progress in told] == [progress.done_tokens for progress in undisturbed[20:]]


def test_what_a_resume_takes_up(base) -> None:
    jobs = three_jobs("llama")
    plan = plan_bank(base, jobs, slots=2)
    first, second = (BankTrainer(base, jobs, plan) for _ in range(2))
    for _ in range(22):
        first.step()
    first.tokens_per_pass = 37
    first.notes.append("smaller passes")
    state = checkpoint_state(first, {})
    first.close()
    restore(second, state)
    for name in ("next_job", "bank_step", "done_tokens", "tokens_per_pass", "notes"):
        assert getattr(second, name) == getattr(first, name), name
    assert [s and (s.job.name, s.step) for s in second.slots] == [(plan.jobs[2], 2), None]
    second.close()
    other = wrap_model(tiny_model("llama", torch.float32), None, name="llama", fingerprint="g")
    with pytest.raises(TraitscopeError, match="belongs to another plan or base model"):
        restore(BankTrainer(other, jobs, plan), state)
