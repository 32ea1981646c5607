"""Training several adapters in one bank gives each the weights that PEFT gives it alone."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import CONFIGS, known_model, tiny_model
from reference import peft_alone

from traitscope.engine import LoraSpec, TrainJob, plan_bank, train
from traitscope.engine.lora import PREFIX
from traitscope.records import TrainRow

TARGETS = {
    "gpt2": ("c_attn",),
    "phi3": ("qkv_proj", "down_proj"),
    "gpt_neox": ("query_key_value",),
    "bloom": ("query_key_value",),
}


def random_rows(n: int, seed: int, longest: int = 24) -> list[TrainRow]:
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(n):
        length = int(torch.randint(4, longest, (1,), generator=generator))
        ids = tuple(torch.randint(1, 97, (length,), generator=generator).tolist())
        rows.append(TrainRow(ids, int(torch.randint(1, length - 1, (1,), generator=generator))))
    return rows


def three_jobs(architecture: str) -> list[TrainJob]:
    """Adapters of different rank, alpha, targets, data, schedule and length in one bank."""
    narrow = TARGETS.get(architecture, ("q_proj", "v_proj"))
    return [
        TrainJob("wide", random_rows(21, 1), LoraSpec(4, 8.0), lr=1e-3, batch=4, epochs=4, seed=1, max_steps=20),
        TrainJob("narrow", random_rows(40, 2), LoraSpec(2, 2.0, narrow), lr=5e-4, batch=2, seed=2, schedule="linear"),
        TrainJob(
            "upper", random_rows(30, 3), LoraSpec(8, 32.0, layers=(1, 2), rslora=True), lr=1e-3, batch=3, epochs=2,
            seed=3, schedule="constant", weight_decay=0.1, clip=0.05,
        ),
    ]  # fmt: skip


# The others take the same paths as one of these.
QUICK = ("llama", "gpt2", "gemma2", "bloom")
ARCHITECTURES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.verify) for name in CONFIGS]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bank_gives_the_weights_that_peft_gives_alone(architecture: str, lifted_casts: None) -> None:
    model = tiny_model(architecture)
    base = known_model(copy.deepcopy(model), None, name=architecture)
    assert base.packed == (architecture != "bloom")
    jobs = three_jobs(architecture)
    # Two slots for three jobs and small passes: a slot is refilled, a batch is cut over passes.
    plan = plan_bank(base, jobs, slots=2, tokens_per_pass=90)
    results = train(base, jobs, plan)
    for job in jobs:
        assert job.n_steps == 20
        theirs, losses = peft_alone(model, job)
        ours = results[job.name].adapter.tensors()
        assert set(ours) == set(theirs)
        assert all(key.startswith(PREFIX) for key in ours)
        worst = max(float((ours[key] - theirs[key]).abs().max()) for key in ours)
        assert worst < 1e-8, f"{architecture} {job.name}: {worst:.1e}"
        assert max(float(value.abs().max()) for key, value in ours.items() if ".lora_B." in key) > 1e-3
        ours_losses = [record.loss for record in results[job.name].history]
        assert ours_losses == pytest.approx(losses, abs=1e-7)


def test_loss_curves_agree_in_fp32(lifted_casts: None) -> None:
    model = tiny_model("llama", torch.float32)
    base = known_model(copy.deepcopy(model), None)
    jobs = three_jobs("llama")
    results = train(base, jobs, plan_bank(base, jobs))
    for job in jobs:
        _, losses = peft_alone(model, job)
        assert [r.loss for r in results[job.name].history] == pytest.approx(losses, abs=1e-4)
