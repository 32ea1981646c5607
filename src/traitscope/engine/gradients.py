"""In which direction datasets would move the model: the mean gradient of each one's loss at one LoRA initialisation.

At the initialisation B is zero: the model is the base, the gradient of A is zero, and that of B is the gradient of the
layer's weights seen through the random A, scale * (dL/dW) A'. All datasets share A, so that their gradients can be
compared; they are kept as sketches whose inner products are, on average, those of the gradients themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from traitscope.engine.base import Base
from traitscope.engine.jobs import TrainJob
from traitscope.engine.lora import Adapter, LoraSpec
from traitscope.engine.pace import Pace
from traitscope.engine.plan import plan_bank
from traitscope.engine.train import recomputing
from traitscope.engine.trainer import BankTrainer
from traitscope.errors import check_count
from traitscope.records import Progress, TrainRow

DIMENSIONS = 8192


@dataclass(frozen=True, eq=False)
class MeanGradient:
    """One dataset's gradient.

    Attributes:
        sketch_P: the gradient of the mean loss of an answer token with respect to all B, sketched.
        norm: length of the gradient itself.
        loss: the base's mean loss of an answer token, in nats.
    """

    sketch_P: NDArray[np.float32]
    norm: float
    loss: float


def mean_gradients(
    base: Base,
    datasets: Mapping[str, Sequence[TrainRow]],
    spec: LoraSpec,
    *,
    seed: int = 0,
    dimensions: int = DIMENSIONS,
    slots: int | str = "auto",
    tokens_per_pass: int | str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, MeanGradient]:
    """Mean gradients of several datasets, as many of them side by side in a bank as fit.

    Args:
        base: the frozen base.
        datasets: token rows by name; the mean is over the answer tokens of all rows.
        spec: rank, targets and scale of the adapter that is differentiated.
        seed: of A, and of the sketch.
        dimensions: P; the error of a cosine is about 1 / sqrt(P).
        slots, tokens_per_pass: as in ``plan_bank``.
        on_progress: called after every bank.

    Raises:
        TraitscopeError: no rows, a row without an answer or longer than the base's positions, a number below 1, or not
            even one slot fits into memory.
    """
    check_count(dimensions, "dimensions")
    jobs = [TrainJob(name, rows, spec, lr=1.0, batch=len(rows), seed=seed) for name, rows in datasets.items()]
    if not jobs:
        return {}
    plan = plan_bank(base, jobs, slots=slots, tokens_per_pass=tokens_per_pass)
    first = Adapter.init(base, spec, seed)
    sketch = _Sketch(first, dimensions, seed)
    found: dict[str, MeanGradient] = {}
    pace = Pace(base, sum(job.n_tokens for job in jobs), flops_per_parameter=4, report=on_progress)
    trainer = BankTrainer(base, jobs, plan)
    try:
        with recomputing(base, plan.checkpoint_layers):
            for start in range(0, len(jobs), plan.slots):
                group = jobs[start : start + plan.slots]
                for slot, job in enumerate(group):
                    trainer.put(slot, job, first)
                losses = trainer.gradients({slot: list(job.rows) for slot, job in enumerate(group)})
                for slot, job in enumerate(group):
                    grad = trainer.bank.grads[slot]
                    assert grad is not None
                    found[job.name] = sketch.of(grad, losses[slot])
                pace.add(sum(job.n_tokens for job in group))
    finally:
        trainer.close()
    return found


class _Sketch:
    """A count sketch of the B parts of an adapter's flat gradient (Charikar, Chen and Farach-Colton 2002).

    Every number is added, with a random sign, to one of P places: inner products of sketches are unbiased, and the
    memory is that of the gradient.
    """

    def __init__(self, adapter: Adapter, dimensions: int, seed: int) -> None:
        self.adapter = adapter
        self.dimensions = dimensions
        self.seed = seed

    def of(self, flat: torch.Tensor, loss: float) -> MeanGradient:
        """The sketch of one gradient."""
        total_P = torch.zeros(self.dimensions, dtype=torch.float64)
        square = 0.0
        generator = torch.Generator().manual_seed(self.seed)
        for piece in self.adapter.pieces:
            _, b_OR = piece.views(flat)
            values = b_OR.detach().reshape(-1).double().cpu()
            # Drawn piece by piece in the adapter's order: the places do not depend on the dataset.
            places = torch.randint(self.dimensions, values.shape, generator=generator)
            signs = torch.randint(2, values.shape, generator=generator) * 2 - 1
            total_P.index_add_(0, places, values * signs)
            square += float((values**2).sum())
        return MeanGradient(total_P.float().numpy(), float(np.sqrt(square)), loss)
