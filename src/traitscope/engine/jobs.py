"""What one adapter's training is: rows, recipe, data order and learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from traitscope.engine.lora import LoraSpec
from traitscope.errors import TraitscopeError, check_count
from traitscope.records import TrainRow

SCHEDULES = ("cosine", "linear", "constant")


@dataclass(frozen=True)
class TrainJob:
    """One adapter to be trained.

    Attributes:
        name: unique among the jobs of a plan.
        rows: the training sequences.
        spec: the adapter's shape.
        lr: peak learning rate.
        schedule: ``cosine``, ``linear`` (both decay to zero) or ``constant``, after the warm-up.
        warmup: share of the steps, rounded up, in which the learning rate rises linearly to its peak, never at zero.
        epochs: passes over the rows.
        batch: rows per optimiser step; the last batch of an epoch may be smaller.
        seed: fixes initial weights and data order.
        weight_decay: AdamW's decoupled decay.
        clip: largest norm of the adapter's gradient; 0 switches clipping off.
        max_steps: stop after this many optimiser steps (the schedule is laid out for it).
    """

    name: str
    rows: Sequence[TrainRow]
    spec: LoraSpec
    lr: float
    schedule: str = "cosine"
    warmup: float = 0.03
    epochs: int = 1
    batch: int = 16
    seed: int = 0
    weight_decay: float = 0.0
    clip: float = 1.0
    max_steps: int | None = None

    def __post_init__(self) -> None:
        where = f"job {self.name}"
        if not self.rows:
            raise TraitscopeError("has no training rows", where=where, fix="check the task's train split")
        if self.schedule not in SCHEDULES:
            raise TraitscopeError(
                f"unknown schedule {self.schedule!r}", where=where, fix=f"use one of {', '.join(SCHEDULES)}"
            )
        for name, number in (("batch", self.batch), ("epochs", self.epochs), ("max_steps", self.max_steps)):
            if number is not None:
                check_count(number, f"{where}, {name}")
        if not 0 < self.lr < math.inf:
            raise TraitscopeError(f"a learning rate of {self.lr}", where=where, fix="give a number above 0")
        for number, row in enumerate(self.rows):
            if len(row.ids) <= max(row.n_prompt, 1):
                raise TraitscopeError(
                    f"row {number} has no answer token to train on", where=where, fix="check the answers"
                )

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.rows) / self.batch)

    @property
    def n_steps(self) -> int:
        """Optimiser steps in all."""
        steps = self.epochs * self.steps_per_epoch
        return steps if self.max_steps is None else min(steps, self.max_steps)

    @property
    def n_tokens(self) -> int:
        """Tokens that pass through the model over the whole job (exact unless ``max_steps`` cuts an epoch)."""
        total = sum(len(row.ids) for row in self.rows)
        return round(total * self.n_steps / self.steps_per_epoch)

    def batch_rows(self, step: int) -> list[TrainRow]:
        """Rows of optimiser step ``step`` (0-based): a seeded permutation per epoch, cut into batches."""
        epoch, index = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))
        return [self.rows[row] for row in order[index * self.batch : (index + 1) * self.batch]]

    def lr_at(self, step: int) -> float:
        """Learning rate of step ``step`` (0-based); none is zero.

        That of transformers' ``get_scheduler`` with one step of warm-up more (and so one step more in all), read from
        its second step on: its first step of a warm-up has the rate 0 and trains nothing. Peak and decay lie where
        they lie there, and without warm-up all steps are the same.
        """
        total = self.n_steps
        warm = math.ceil(self.warmup * total)
        if step < warm:
            return self.lr * (step + 1) / (warm + 1)
        progress = (step - warm) / max(1, total - warm)
        if self.schedule == "cosine":
            return self.lr * max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
        if self.schedule == "linear":
            return self.lr * max(0.0, 1.0 - progress)
        return self.lr
