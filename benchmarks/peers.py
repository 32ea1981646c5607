"""The peers, used as a competent user would: PEFT, transformers' Trainer, a plain PEFT loop, lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from benchmarks.harness import measured
from traitscope.engine import Adapter, TrainJob
from traitscope.records import TrainRow

IGNORED = -100


def collate(rows: Sequence[TrainRow], device: str = "cpu") -> dict[str, torch.Tensor]:
    """A batch padded on the right to its longest row (to a multiple of 8 on a GPU); labels on the answers alone."""
    longest = max(len(row.ids) for row in rows)
    if device != "cpu":
        longest = -(-longest // 8) * 8
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED, dtype=torch.long)
    for i, row in enumerate(rows):
        n = len(row.ids)
        ids[i, :n] = torch.tensor(row.ids)
        mask[i, :n] = 1
        labels[i, row.n_prompt : n] = ids[i, row.n_prompt : n]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def lora_config(adapter: Adapter) -> Any:
    """PEFT's configuration of one of our adapters."""
    from peft import LoraConfig

    return LoraConfig(
        r=adapter.spec.rank, lora_alpha=adapter.spec.alpha, target_modules="all-linear", lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )  # fmt: skip


def peft_model(model: Any, adapters: Mapping[str, Adapter]) -> Any:
    """A PeftModel with the given adapters and their weights; the first one is active."""
    from peft import get_peft_model

    wrapped: Any = None
    for name, adapter in adapters.items():
        if wrapped is None:
            wrapped = get_peft_model(model, lora_config(adapter), adapter_name=name)
        else:
            wrapped.add_adapter(name, lora_config(adapter))
        set_weights(wrapped, name, adapter)
    return wrapped


def set_weights(wrapped: Any, name: str, adapter: Adapter) -> None:
    """Write our weights into PEFT's adapter of that name."""
    parameters = dict(wrapped.named_parameters())
    with torch.no_grad():
        for key, value in adapter.tensors().items():
            parameters[key.replace(".weight", f".{name}.weight")].copy_(value)


def weight_difference(wrapped: Any, name: str, adapter: Adapter) -> float:
    """Largest absolute difference between PEFT's adapter and ours."""
    parameters = dict(wrapped.named_parameters())
    return max(
        float(
            (parameters[key.replace(".weight", f".{name}.weight")].detach().cpu().float() - value.float()).abs().max()
        )
        for key, value in adapter.tensors().items()
    )


def autocast(device: str, bf16: bool) -> Any:
    """What Trainer's ``bf16=True`` does around the forward pass."""
    return torch.autocast(device, torch.bfloat16) if bf16 else nullcontext()


@torch.no_grad()
def mean_loss(wrapped: Any, rows: Sequence[TrainRow], device: str = "cpu", bf16: bool = False) -> float:
    """The active adapter's loss on some rows, in nats per answer token."""
    wrapped.eval()
    with autocast(device, bf16):
        batch = {key: value.to(device) for key, value in collate(rows, device).items()}
        return float(wrapped(**batch).loss)


class _Batches(torch.utils.data.Dataset):
    """The job's batches in its own order: one item is one batch, so that both sides see the same rows at each step."""

    def __init__(self, job: TrainJob) -> None:
        self.batches = [job.batch_rows(step) for step in range(job.n_steps)]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> list[TrainRow]:
        return self.batches[index]


def make_trainer(wrapped: Any, job: TrainJob, folder: str, device: str = "cpu", bf16: bool = False) -> Any:
    """transformers' Trainer for one adapter: dynamic padding, fused AdamW, no evaluation, no logs, no checkpoints.

    Its learning rates are the job's: its own schedule would spend the first step of a warm-up at the rate 0.
    """
    from transformers import PrinterCallback, Trainer, TrainingArguments

    class Peer(Trainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, lambda step: job.lr_at(step) / job.lr
            )
            return self.lr_scheduler

    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=1,
        train_sampling_strategy="sequential",
        num_train_epochs=1,
        learning_rate=job.lr,
        weight_decay=job.weight_decay,
        max_grad_norm=job.clip,
        optim="adamw_torch_fused",
        bf16=bf16,
        use_cpu=device == "cpu",
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=device != "cpu",
        remove_unused_columns=False,
        seed=job.seed,
    )
    trainer = Peer(
        wrapped, arguments, train_dataset=_Batches(job), data_collator=lambda items: collate(items[0], device)
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train_with_loop(wrapped: Any, job: TrainJob, device: str = "cpu", bf16: bool = False) -> torch.optim.Optimizer:
    """One adapter with a plain loop: forward with labels, backward, clip, fused AdamW; gives the optimiser back."""
    parameters = [p for p in wrapped.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=job.lr, weight_decay=job.weight_decay, fused=True)
    wrapped.train()
    for step in range(job.n_steps):
        batch = {key: value.to(device) for key, value in collate(job.batch_rows(step), device).items()}
        with autocast(device, bf16):
            loss = wrapped(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, job.clip)
        optimizer.param_groups[0]["lr"] = job.lr_at(step)
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


class Harness:
    """lm-evaluation-harness' HFLM around a PeftModel, the adapter unmerged, as its own ``peft=`` option loads it."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int = 16) -> None:
        from lm_eval.models.huggingface import HFLM

        self.lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
        self.model = model

    @property
    def batch_size(self) -> int:
        return int(self.lm.batch_size_per_gpu)

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        self.lm.batch_size_per_gpu = value

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Summed log-likelihood of every (prompt, continuation), in nats."""
        requests = _instances("loglikelihood", pairs)
        return np.array([found[0] for found in self.lm.loglikelihood(requests, disable_tqdm=True)])

    def token_loglikelihoods(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> np.ndarray:
        """The same for prompts and continuations that are tokens already."""
        requests = [(("", ""), list(context), list(rest)) for context, rest in pairs]
        return np.array([found[0] for found in self.lm._loglikelihood_tokens(requests, disable_tqdm=True)])

    def continuations(self, prompts: Sequence[str], max_new_tokens: int, stop: Sequence[str]) -> list[str]:
        """Greedy continuations, cut at the stop strings."""
        settings = {"until": list(stop), "max_gen_toks": max_new_tokens, "do_sample": False}
        requests = _instances("generate_until", [(prompt, settings) for prompt in prompts])
        return list(self.lm.generate_until(requests, disable_tqdm=True))

    def find_batch_size(self, sample: Callable[[], Any], candidates: Sequence[int]) -> dict[int, float]:
        """Try batch sizes on a sample of the work and keep the fastest; returns their seconds."""
        seconds = {}
        sample()
        for size in candidates:
            self.batch_size = size
            with measured() as span:
                sample()
            seconds[size] = span.wall
        self.batch_size = min(seconds, key=lambda size: seconds[size])
        return seconds


def _instances(kind: Any, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, pair, index) for index, pair in enumerate(arguments)]
