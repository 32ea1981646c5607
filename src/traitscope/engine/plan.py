"""The bank plan: which jobs share a pass, in which order, and how large a pass may be. Written down before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from traitscope.engine.base import Base
from traitscope.engine.export_check import check_export
from traitscope.engine.jobs import TrainJob
from traitscope.engine.memory import fit_training
from traitscope.errors import TraitscopeError, check_count


@dataclass(frozen=True)
class BankPlan:
    """A training plan that can be written as JSON and followed again to the bit.

    Attributes:
        jobs: names in the order in which they take slots; when a slot's job ends, the next one takes it.
        slots: adapters trained at a time.
        tokens_per_pass: most tokens in one forward and backward pass; a step of the bank is cut into such passes.
        checkpoint_layers: recompute the decoder layers' activations in the backward pass.
        steps, tokens: per job, for progress and cost.
        bytes_per_slot, bytes_per_token: what the plan reckoned with.
    """

    jobs: tuple[str, ...]
    slots: int
    tokens_per_pass: int
    checkpoint_layers: bool
    steps: dict[str, int]
    tokens: dict[str, int]
    bytes_per_slot: int
    bytes_per_token: int
    version: int = 1

    def to_json(self) -> dict[str, Any]:
        out = asdict(self)
        out["jobs"] = list(self.jobs)
        return out

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BankPlan:
        return cls(**{**data, "jobs": tuple(data["jobs"])})


def plan_bank(
    base: Base, jobs: Sequence[TrainJob], *, slots: int | str = "auto", tokens_per_pass: int | str = "auto"
) -> BankPlan:
    """Lay out the training of ``jobs`` on ``base`` from the model's shape and the free memory.

    Longest jobs come first, so that the slots run dry together.

    Raises:
        TraitscopeError: two jobs share a name, not even one slot fits into memory, PEFT would read an adapter of such
            targets as another function, dropout is asked for where tokens are routed, a row is longer than the base's
            positions, or a number is below 1.
    """
    check_count(slots, "slots", "auto")
    check_count(tokens_per_pass, "tokens_per_pass", "auto")
    names = [job.name for job in jobs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TraitscopeError(f"two jobs are called {twice}", where="plan", fix="give every source its own name")
    for job in jobs:
        base.check_tokens(row.ids for row in job.rows)
        longest = max(len(row.ids) for row in job.rows)
        if longest > base.max_positions:
            raise TraitscopeError(
                f"a row of {longest} tokens; {base.name} has {base.max_positions} positions",
                where=f"job {job.name}",
                fix="shorten the rows (recipe.max_tokens)",
            )
    for spec in dict.fromkeys(job.spec for job in jobs):
        routed = base.paths.routed.intersection(spec.resolve(base)) if spec.dropout else None
        if routed:
            raise TraitscopeError(
                f"dropout in {min(routed)}, a layer that routes tokens, is not supported",
                where="recipe.dropout",
                fix="set it to 0, or leave that layer out of recipe.targets",
            )
        check_export(base, spec)
    order = sorted(jobs, key=lambda job: (-job.n_steps, -job.n_tokens, job.name))
    fit = fit_training(base, jobs, slots=slots, tokens_per_pass=tokens_per_pass)
    return BankPlan(
        jobs=tuple(job.name for job in order),
        slots=fit.slots,
        tokens_per_pass=fit.tokens_per_pass,
        checkpoint_layers=fit.checkpoint_layers,
        steps={job.name: job.n_steps for job in order},
        tokens={job.name: job.n_tokens for job in order},
        bytes_per_slot=fit.bytes_per_slot,
        bytes_per_token=fit.bytes_per_token,
    )
