"""The parts of a training run one by one: initial weights, order of the data, learning rates, clipping."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers import known_model, tiny_model
from peft import LoraConfig, get_peft_model
from reference import PEER_SCHEDULES, begun_scheduler
from scipy import stats
from transformers import get_scheduler

from traitscope.engine import LoraSpec, TrainJob, plan_bank, train
from traitscope.engine.lora import Adapter
from traitscope.records import TrainRow

SPEC = LoraSpec(8, 16.0)


def numbered(n: int) -> list[TrainRow]:
    """Rows that can be told apart by their first token."""
    return [TrainRow((number + 1, 50, 51), 1) for number in range(n)]


def job_of(n: int, **given: object) -> TrainJob:
    return TrainJob("job", numbered(n), SPEC, lr=2e-4, **given)  # type: ignore[arg-type]


def numbers(rows: list[TrainRow]) -> list[int]:
    return [row.ids[0] - 1 for row in rows]


def peer_rates(job: TrainJob, warm: int, total: int) -> list[float]:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=job.lr)
    scheduler = begun_scheduler(job.schedule, optimizer, warm, total)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize(
    ("warmup", "max_steps", "warm", "total"),
    [(0.0, None, 0, 36), (0.03, None, 2, 36), (0.5, None, 18, 36), (0.1, 11, 2, 11), (0.03, 500, 2, 36)],
)
def test_learning_rates_are_those_of_transformers(
    schedule: str, warmup: float, max_steps: int | None, warm: int, total: int
) -> None:
    job = job_of(23, schedule=schedule, warmup=warmup, max_steps=max_steps, batch=2, epochs=3)
    assert job.n_steps == total
    assert [job.lr_at(step) for step in range(total)] == pytest.approx(peer_rates(job, warm, total), rel=1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize(("warmup", "warm"), [(0.0, 0), (0.03, 2), (0.5, 18)])
def test_peak_and_decay_lie_where_trainer_has_them(schedule: str, warmup: float, warm: int) -> None:
    """Only the warm-up differs: Trainer's first step would have the rate 0."""
    job = job_of(23, schedule=schedule, warmup=warmup, batch=2, epochs=3)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=job.lr)
    scheduler = get_scheduler(PEER_SCHEDULES[schedule], optimizer, num_warmup_steps=warm, num_training_steps=36)
    theirs = []
    for _ in range(36):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    ours = [job.lr_at(step) for step in range(36)]
    assert ours[warm:] == pytest.approx(theirs[warm:], rel=1e-12)
    assert (theirs[0] == 0) == (warm > 0)
    assert ours[:warm] == pytest.approx([job.lr * (step + 1) / (warm + 1) for step in range(warm)], rel=1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.01, 0.03, 0.5, 0.99])
@pytest.mark.parametrize("max_steps", [1, 2, 3, 15, 36])
def test_no_step_has_the_rate_zero(schedule: str, warmup: float, max_steps: int) -> None:
    job = job_of(23, schedule=schedule, warmup=warmup, max_steps=max_steps, batch=2, epochs=3)
    assert all(0 < job.lr_at(step) <= job.lr for step in range(job.n_steps))


def test_the_recorded_learning_rate_is_the_one_of_the_step() -> None:
    base = known_model(tiny_model("llama", torch.float32), None)
    job = job_of(6, batch=2, epochs=2, warmup=0.3)
    history = train(base, [job], plan_bank(base, [job]))["job"].history
    assert [record.lr for record in history] == pytest.approx(peer_rates(job, 2, 6), rel=1e-12)


def test_an_epoch_is_one_permutation_cut_into_batches_and_keeps_the_short_last_one() -> None:
    job = job_of(7, batch=3, epochs=2, seed=5)
    assert job.n_steps == 6
    for epoch in range(2):
        order = np.random.default_rng([5, epoch]).permutation(7).tolist()
        batches = [numbers(job.batch_rows(3 * epoch + step)) for step in range(3)]
        assert batches == [order[:3], order[3:6], order[6:]]


def test_the_order_of_a_known_seed() -> None:
    """Written out, so that neither numpy's generator nor its seeding can change unseen."""
    job = job_of(5, batch=2, epochs=2, seed=3)
    assert [numbers(job.batch_rows(step)) for step in range(6)] == [[4, 2], [1, 3], [0], [1, 4], [0, 2], [3]]


def test_epochs_and_seeds_are_shuffled_apart() -> None:
    job = job_of(40, batch=40, epochs=3)
    orders = [numbers(job.batch_rows(step)) for step in range(3)]
    orders.append(numbers(job_of(40, batch=40, seed=1).batch_rows(0)))
    assert all(sorted(order) == list(range(40)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert list(range(40)) not in orders


def test_initial_weights_are_drawn_as_peft_draws_them() -> None:
    """Hundreds of thousands of weights of three widths: the same bound and, by Kolmogorov and Smirnov, the same law."""
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(64, 32), "b": torch.nn.Linear(256, 16)})
    peer = get_peft_model(model, LoraConfig(r=64, target_modules=["a", "b"]))
    base = known_model(tiny_model("llama", torch.float32), None)
    ours = Adapter.init(base, LoraSpec(64, 64.0), seed=0).tensors()
    unit_theirs = torch.cat(
        [p.detach().flatten() * math.sqrt(p.shape[1]) for n, p in peer.named_parameters() if ".lora_A." in n]
    ).numpy()
    assert all(not p.any() for n, p in peer.named_parameters() if ".lora_B." in n)
    assert all(not value.any() for key, value in ours.items() if ".lora_B." in key)
    lora_a = {key: value for key, value in ours.items() if ".lora_A." in key}
    assert {value.shape[1] for value in lora_a.values()} == {32, 48}
    for value in lora_a.values():
        unit = value.flatten().numpy() * math.sqrt(value.shape[1])
        assert 0.99 < np.abs(unit).max() <= 1 + 1e-6
        assert stats.ks_2samp(unit, unit_theirs).pvalue > 1e-4
    together = np.concatenate([value.flatten().numpy() * math.sqrt(value.shape[1]) for value in lora_a.values()])
    assert len(together) > 40_000
    assert stats.ks_2samp(together, unit_theirs).pvalue > 1e-3


def test_initial_weights_follow_from_the_seed_alone() -> None:
    first, second = (known_model(tiny_model("llama", torch.float32, seed=seed), None) for seed in (0, 1))
    torch.manual_seed(11)
    a = Adapter.init(first, SPEC, seed=4)
    torch.manual_seed(12)
    b, other = Adapter.init(second, SPEC, seed=4), Adapter.init(second, SPEC, seed=5)
    assert torch.equal(a.flat, b.flat)
    assert not torch.equal(a.flat, other.flat)
    lora_a = [value for key, value in a.tensors().items() if ".lora_A." in key and value.shape[1] == 32]
    assert not torch.equal(lora_a[0], lora_a[1])


@pytest.mark.parametrize("clip", [1e-3, 0.05, 1e3])
def test_gradients_are_clipped_as_torch_clips_them(clip: float) -> None:
    from traitscope.engine.train import BankTrainer

    base = known_model(tiny_model("llama"), None)
    job = job_of(4, batch=4, epochs=1, clip=clip, warmup=0.0)
    trainer = BankTrainer(base, [job], plan_bank(base, [job]))
    seen = []
    try:
        trainer.fill_slots()
        state = trainer.slots[0]
        assert state is not None and state.parameter.grad is not None
        gradient = torch.randn(state.parameter.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        state.parameter.grad.copy_(gradient * 1e-3)
        state.optimizer.register_step_pre_hook(lambda *_: seen.append(state.parameter.grad.clone()))
        peer = torch.nn.Parameter(torch.zeros_like(gradient))
        peer.grad = gradient * 1e-3
        norm = float(torch.nn.utils.clip_grad_norm_([peer], clip))
        found = trainer._norms([0])[0]
        assert found == pytest.approx(norm, rel=1e-12)
        trainer._update(state, found)
        torch.testing.assert_close(seen[0], peer.grad, rtol=1e-12, atol=0)
        assert not state.parameter.grad.any()
    finally:
        trainer.close()
    assert (norm > clip) == (clip < 1)
