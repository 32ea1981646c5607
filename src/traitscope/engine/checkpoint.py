"""The state of a bank in training as one file, replaced atomically: a kill at any moment leaves the last whole one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from traitscope.engine.jobs import StepRecord
from traitscope.engine.lora import Adapter
from traitscope.errors import TraitscopeError

if TYPE_CHECKING:
    from traitscope.engine.train import BankTrainer, TrainResult

FILE = "bank.safetensors"


def save_checkpoint(trainer: BankTrainer, folder: Path, results: dict[str, TrainResult]) -> None:
    """Write weights, both moments and the place in the data of every slot, and what has ended so far."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
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
    temporary = folder / f".{FILE}.{os.getpid()}"
    save_file(tensors or {"empty": torch.zeros(1)}, temporary, metadata={"traitscope": json.dumps(meta)})
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(folder / FILE)


def load_checkpoint(trainer: BankTrainer, folder: Path) -> list[TrainResult]:
    """Put a saved state into ``trainer``; returns the jobs that had ended. No file: nothing happens.

    Raises:
        TraitscopeError: the file is damaged, or belongs to another plan or base.
    """
    from safetensors import safe_open

    from traitscope.engine.train import TrainResult

    path = folder / FILE
    if not path.is_file():
        return []
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads(file.metadata()["traitscope"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise TraitscopeError(
            f"the checkpoint cannot be read: {error}",
            where=str(path),
            fix="remove the file; its jobs start again",
        ) from error
    if meta["plan"] != trainer.plan.to_json() or meta["base"] != trainer.base.fingerprint:
        raise TraitscopeError(
            "the checkpoint belongs to another plan or base model",
            where=str(path),
            fix="remove the folder, or go back to the settings with which it was made",
        )
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
        state = trainer.place(slot, job, Adapter(fresh.spec, fresh.pieces, tensors[f"slot{slot}.weights"]))
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
