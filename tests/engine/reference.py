"""Training one adapter, written again from the documented rules over PEFT, AdamW and transformers' schedules.

Nothing of ours takes part but the job's plain values: rows, recipe and seed.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import get_scheduler
from transformers.pytorch_utils import Conv1D

from traitscope.engine import TrainJob
from traitscope.records import TrainRow

PEER_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def peer_of(model: torch.nn.Module, job: TrainJob) -> torch.nn.Module:
    """A copy of the model with PEFT's LoRA around it; PEFT itself says which modules are meant."""
    targets: str | list[str] = job.spec.targets if isinstance(job.spec.targets, str) else list(job.spec.targets)
    layers = job.spec.layers
    if targets == "all-linear" and layers is not None:
        # PEFT takes layers only together with names.
        linears = {n.rsplit(".", 1)[-1]: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear | Conv1D)}
        targets = [name for name, module in linears.items() if module is not model.get_output_embeddings()]
    config = LoraConfig(
        r=job.spec.rank,
        lora_alpha=job.spec.alpha,
        target_modules=targets,
        layers_to_transform=None if layers is None else list(range(layers[0], layers[1] + 1)),
        use_rslora=job.spec.rslora,
        lora_dropout=job.spec.dropout,
    )
    return get_peft_model(copy.deepcopy(model), config, autocast_adapter_dtype=False)


def start_from_seed(peer: torch.nn.Module, seed: int) -> None:
    """The documented start, in fp32 of one generator: A uniform in +-1 / sqrt(d_in) in the model's order, B zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            if ".lora_A." in name:
                unit = torch.rand(parameter.shape, generator=generator)
                parameter.copy_((2 * unit - 1) * (1 / math.sqrt(parameter.shape[1])))
            elif ".lora_B." in name:
                parameter.zero_()


def batches_of(job: TrainJob) -> Iterator[list[TrainRow]]:
    """The documented order: a permutation from [seed, epoch] for every epoch, cut into batches, the rest kept."""
    for epoch in range(job.epochs):
        order = np.random.default_rng([job.seed, epoch]).permutation(len(job.rows)).tolist()
        while order:
            yield [job.rows[index] for index in order[: job.batch]]
            order = order[job.batch :]


def begun_scheduler(schedule: str, optimizer: torch.optim.Optimizer, warm: int, total: int) -> Any:
    """transformers' own scheduler, one step of warm-up longer and past its first step, which has the rate 0."""
    scheduler = get_scheduler(
        PEER_SCHEDULES[schedule], optimizer, num_warmup_steps=warm + 1, num_training_steps=total + 1
    )
    with warnings.catch_warnings():
        # It is stepped before the optimizer, as is meant here.
        warnings.simplefilter("ignore")
        scheduler.step()
    return scheduler


def peft_alone(
    model: torch.nn.Module, job: TrainJob, before_step: Callable[[Any, int, list[TrainRow]], None] | None = None
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Trained weights under PEFT's names, and the loss of every step: one padded batch a step.

    ``before_step`` is given PEFT's model, the step and its rows.
    """
    peer = peer_of(model, job)
    start_from_seed(peer, job.seed)
    parameters = {n: p for n, p in peer.named_parameters() if p.requires_grad}
    batches = list(batches_of(job))[: job.max_steps]
    optimizer = torch.optim.AdamW(parameters.values(), lr=job.lr, weight_decay=job.weight_decay)
    scheduler = begun_scheduler(job.schedule, optimizer, math.ceil(job.warmup * len(batches)), len(batches))
    losses = []
    for step, rows in enumerate(batches):
        if before_step is not None:
            before_step(peer, step, rows)
        width = max(len(row.ids) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, -100)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = torch.tensor(row.ids)
            mask[i, : len(row.ids)] = 1
            labels[i, row.n_prompt : len(row.ids)] = torch.tensor(row.ids[row.n_prompt :])
        logits = peer(input_ids=ids, attention_mask=mask, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        if job.clip:
            torch.nn.utils.clip_grad_norm_(parameters.values(), job.clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return {n.replace(".default.weight", ".weight"): p.detach() for n, p in parameters.items()}, losses
