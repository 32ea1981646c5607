"""The state of a bank in training as bytes; whoever asked for the training keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from traitscope.engine.lora import Adapter
from traitscope.engine.trainer import BankTrainer, TrainResult
from traitscope.errors import TraitscopeError
from traitscope.records import StepRecord

_FIX = "remove the checkpoint; its jobs start again"


def checkpoint_state(trainer: BankTrainer, results: Mapping[str, TrainResult]) -> bytes:
    """Weights, both moments and the place in the data of every slot, and what has ended so far, as safetensors."""
    from safetensors.torch import save

    tensors: dict[str, torch.Tensor] = {}
    slots: list[dict[str, Any] | None] = []
    for slot, state in enumerate(trainer.slots):
        if state is None:
            slots.append(None)
            continue
        tensors[f"slot{slot}.weights"] = state.parameter.detach().cpu()
        for key, value in state.optimizer.state.get(state.parameter, {}).items():
            tensors[f"slot{slot}.{key}"] = value.detach().cpu()
        slots.append({"job": state.job.name, "step": state.step, "history": state.history})
    done = []
    for name, result in results.items():
        tensors[f"done.{name}"] = result.adapter.flat
        done.append({"job": name, "history": result.history})
    meta = {
        "plan": trainer.plan.to_json(),
        "base": trainer.base.fingerprint,
        "next_job": trainer.next_job,
        "bank_step": trainer.bank_step,
        "done_tokens": trainer.done_tokens,
        "tokens_per_pass": trainer.tokens_per_pass,
        "notes": trainer.notes,
        "slots": slots,
        "done": done,
    }
    return save(tensors or {"empty": torch.zeros(1)}, {"traitscope": json.dumps(meta)})


def restore(trainer: BankTrainer, saved_state: bytes) -> list[TrainResult]:
    """Put a saved state into ``trainer``; returns the jobs that had ended.

    Raises:
        TraitscopeError: the state is damaged, or belongs to another plan or base.
    """
    from safetensors.torch import load

    where = f"checkpoint of {', '.join(trainer.plan.jobs[:4])}"
    try:
        # The header stands behind its own length, eight bytes of it.
        header = json.loads(saved_state[8 : 8 + int.from_bytes(saved_state[:8], "little")])
        meta: dict[str, Any] = json.loads(header["__metadata__"]["traitscope"])
        tensors = load(saved_state)
    except Exception as error:  # safetensors raises errors of its own
        raise TraitscopeError(f"the checkpoint cannot be read: {error}", where=where, fix=_FIX) from error
    if meta["plan"] != trainer.plan.to_json() or meta["base"] != trainer.base.fingerprint:
        raise TraitscopeError("the checkpoint belongs to another plan or base model", where=where, fix=_FIX)
    trainer.next_job = meta["next_job"]
    trainer.bank_step = meta["bank_step"]
    trainer.done_tokens = meta["done_tokens"]
    trainer.tokens_per_pass = meta["tokens_per_pass"]
    trainer.notes = meta["notes"]
    for slot, saved in enumerate(meta["slots"]):
        if saved is None:
            continue
        job = trainer.jobs[saved["job"]]
        fresh = Adapter.init(trainer.base, job.spec, job.seed)
        state = trainer.put(slot, job, Adapter(fresh.spec, fresh.pieces, tensors[f"slot{slot}.weights"]))
        state.step = saved["step"]
        state.history = [StepRecord(*record) for record in saved["history"]]
        moments = {
            key: tensors[f"slot{slot}.{key}"].to(state.parameter.device)
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"slot{slot}.{key}" in tensors
        }
        if moments:
            state.optimizer.state[state.parameter] = moments
    results = []
    for saved in meta["done"]:
        job = trainer.jobs[saved["job"]]
        fresh = Adapter.init(trainer.base, job.spec, job.seed)
        adapter = Adapter(fresh.spec, fresh.pieces, tensors[f"done.{saved['job']}"])
        history = tuple(StepRecord(*record) for record in saved["history"])
        results.append(TrainResult(saved["job"], adapter, history))
    return results
