"""Training several adapters in one bank gives each the weights that PEFT gives it alone."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import CONFIGS, tiny_model
from peft import LoraConfig, get_peft_model

from traitscope.engine import LoraSpec, TrainJob, plan_bank, train, wrap_model
from traitscope.engine.lora import PREFIX, Adapter
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


def peft_alone(model: torch.nn.Module, base, job: TrainJob) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The adapter that PEFT and torch's AdamW train on the same batches, one padded batch a step."""
    start = Adapter.init(base, job.spec, job.seed)
    names = [piece.name for piece in start.pieces]
    config = LoraConfig(
        r=job.spec.rank,
        lora_alpha=job.spec.alpha,
        target_modules=names,
        use_rslora=job.spec.rslora,
        lora_dropout=0.0,
    )
    peft_model = get_peft_model(copy.deepcopy(model), config, autocast_adapter_dtype=False)
    parameters = {n: p for n, p in peft_model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for key, value in start.tensors().items():
            parameters[key.replace(".weight", ".default.weight")].copy_(value)
    optimizer = torch.optim.AdamW(parameters.values(), lr=job.lr, weight_decay=job.weight_decay)
    losses = []
    for step in range(job.n_steps):
        rows = job.batch_rows(step)
        width = max(len(row.ids) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, -100)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = torch.tensor(row.ids)
            mask[i, : len(row.ids)] = 1
            labels[i, row.n_prompt : len(row.ids)] = torch.tensor(row.ids[row.n_prompt :])
        logits = peft_model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        if job.clip:
            torch.nn.utils.clip_grad_norm_(parameters.values(), job.clip)
        for group in optimizer.param_groups:
            group["lr"] = job.lr_at(step)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return {n.replace(".default.weight", ".weight"): p.detach() for n, p in parameters.items()}, losses


@pytest.mark.parametrize("architecture", list(CONFIGS))
def test_bank_gives_the_weights_that_peft_gives_alone(architecture: str, lifted_casts: None) -> None:
    model = tiny_model(architecture)
    base = wrap_model(copy.deepcopy(model), None, name=architecture)
    assert base.packed == (architecture != "bloom")
    jobs = three_jobs(architecture)
    # Two slots for three jobs and small passes: a slot is refilled, a batch is cut over passes.
    plan = plan_bank(base, jobs, slots=2, tokens_per_pass=90)
    results = train(base, jobs, plan)
    for job in jobs:
        assert job.n_steps == 20
        theirs, losses = peft_alone(model, base, job)
        ours = results[job.name].adapter.tensors()
        assert set(ours) == set(theirs)
        assert all(key.startswith(PREFIX) for key in ours)
        worst = max(float((ours[key] - theirs[key]).abs().max()) for key in ours)
        assert worst < 1e-8, f"{architecture} {job.name}: {worst:.1e}"
        moved = max(float((ours[k] - Adapter.init(base, job.spec, job.seed).tensors()[k]).abs().max()) for k in ours)
        assert moved > 1e-3
        ours_losses = [record.loss for record in results[job.name].history]
        assert ours_losses == pytest.approx(losses, abs=1e-7)


def test_loss_curves_agree_in_fp32(lifted_casts: None) -> None:
    model = tiny_model("llama", torch.float32)
    base = wrap_model(copy.deepcopy(model), None)
    jobs = three_jobs("llama")
    results = train(base, jobs, plan_bank(base, jobs))
    for job in jobs:
        _, losses = peft_alone(model, base, job)
        assert [r.loss for r in results[job.name].history] == pytest.approx(losses, abs=1e-4)
