"""Training a bank to its end: progress, checkpoints, stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from traitscope.engine.base import Base
from traitscope.engine.checkpoint import checkpoint_state, restore
from traitscope.engine.jobs import TrainJob
from traitscope.engine.peak import share_of_peak
from traitscope.engine.plan import BankPlan
from traitscope.engine.trainer import BankTrainer, TrainResult
from traitscope.errors import TraitscopeError
from traitscope.records import Progress


class Interrupted(Exception):
    """Training was asked to stop; everything up to now is in the last checkpoint."""


def train(
    base: Base,
    jobs: Sequence[TrainJob],
    plan: BankPlan,
    *,
    checkpoint: bytes | None = None,
    on_checkpoint: Callable[[bytes], None] | None = None,
    every_s: float = 60.0,
    on_done: Callable[[TrainResult], None] | None = None,
    on_failed: Callable[[str, TraitscopeError], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, TrainResult]:
    """Train all jobs of a plan.

    Args:
        base: the frozen base.
        jobs: the jobs that the plan names.
        plan: from ``plan_bank`` (or read back from its JSON).
        checkpoint: the bank's state as ``on_checkpoint`` was given it; it is taken up to the bit.
        on_checkpoint: given the bank's state every ``every_s`` seconds, after every job that ends, and at a stop.
        every_s: seconds between checkpoints.
        on_done: called the moment a job ends; a job may be reported again after a resume, with the same weights.
        on_failed: called with the name of a job that diverged; without it the error is raised.
        on_progress: called after every step of the bank.
        should_stop: asked after every step; when true, the state is handed over and ``Interrupted`` raised.

    Raises:
        Interrupted: ``should_stop`` said so.
        TraitscopeError: the loss is not finite, memory does not suffice, or the checkpoint belongs to another plan.
    """
    trainer = BankTrainer(base, jobs, plan)
    results: dict[str, TrainResult] = {}
    try:
        with recomputing(base, plan.checkpoint_layers):
            if checkpoint is not None:
                for result in restore(trainer, checkpoint):
                    results[result.name] = result
                    if on_done is not None:
                        on_done(result)
            began, saved, first_tokens = time.monotonic(), time.monotonic(), trainer.done_tokens
            while trainer.next_job < len(plan.jobs) or any(state is not None for state in trainer.slots):
                finished = trainer.step()
                for name, error in trainer.failed.items():
                    if on_failed is None:
                        raise error
                    on_failed(name, error)
                trainer.failed.clear()
                for result in finished:
                    results[result.name] = result
                    if on_done is not None:
                        on_done(result)
                stop = should_stop is not None and should_stop()
                if on_checkpoint is not None and (stop or finished or time.monotonic() - saved >= every_s):
                    on_checkpoint(checkpoint_state(trainer, results))
                    saved = time.monotonic()
                if stop:
                    raise Interrupted
                if on_progress is not None:
                    seconds = time.monotonic() - began
                    speed = (trainer.done_tokens - first_tokens) / max(seconds, 1e-9)
                    left = (trainer.total_tokens - trainer.done_tokens) / max(speed, 1e-9)
                    note = trainer.notes[-1] if trainer.notes else ""
                    on_progress(
                        Progress(
                            trainer.done_tokens,
                            trainer.total_tokens,
                            speed,
                            share_of_peak(base, speed, flops_per_parameter=4),
                            left,
                            note,
                            tuple(trainer.taken.items()),
                        )
                    )
    finally:
        trainer.close()
    return results


@contextmanager
def recomputing(base: Base, active: bool) -> Iterator[None]:
    """The decoder layers recompute their activations in the backward pass."""
    if not active:
        yield
        return
    base.model.gradient_checkpointing_enable({"use_reentrant": False})
    for layer in base.layers:
        layer.training = True  # what transformers looks at; the layer's parts stay in eval mode
    try:
        yield
    finally:
        base.model.gradient_checkpointing_disable()
        base.model.eval()
