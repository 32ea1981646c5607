"""One bank in training: all slots in one pass, each with its own data, schedule, clipping and optimiser state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base
from traitscope.engine.forward import causal_pass, outputs_at, under_way
from traitscope.engine.jobs import TrainJob
from traitscope.engine.lora import Adapter
from traitscope.engine.loss import weighted_loss, weighted_loss_of_logits
from traitscope.engine.plan import BankPlan
from traitscope.errors import TraitscopeError, is_out_of_memory
from traitscope.records import StepRecord, TrainRow


@dataclass(frozen=True)
class TrainResult:
    """A trained adapter and the record of every optimiser step."""

    name: str
    adapter: Adapter
    history: tuple[StepRecord, ...]


@dataclass
class SlotState:
    """A job in a slot: its optimiser and how far it is."""

    job: TrainJob
    adapter: Adapter
    parameter: torch.nn.Parameter
    optimizer: torch.optim.AdamW
    step: int = 0
    history: list[StepRecord] = field(default_factory=list)


@dataclass(frozen=True)
class _Piece:
    """Rows of one slot inside a pass, with their places in the slot's batch."""

    slot: int
    rows: list[TrainRow]
    numbers: list[int]


class BankTrainer:
    """The state of a bank in training; ``train`` drives it, tests may step it by hand."""

    def __init__(self, base: Base, jobs: Sequence[TrainJob], plan: BankPlan) -> None:
        self.base = base
        self.plan = plan
        self.jobs = {job.name: job for job in jobs}
        missing = [name for name in plan.jobs if name not in self.jobs]
        if missing:
            raise TraitscopeError(
                f"the plan names {missing[0]}, which is no job", where="plan", fix="remove the plan file"
            )
        self.next_job = 0
        self.bank_step = 0
        self.tokens_per_pass = plan.tokens_per_pass
        self.notes: list[str] = []
        self.bank = Bank(base, {f"slot{i}": None for i in range(plan.slots)})
        self.slots: list[SlotState | None] = [None] * plan.slots
        self.done_tokens = 0
        # What the last step was, by the job's name.
        self.taken: dict[str, StepRecord] = {}
        # By the job's name, what it came to nothing of.
        self.failed: dict[str, TraitscopeError] = {}

    def close(self) -> None:
        self.bank.close()

    @property
    def total_tokens(self) -> int:
        return sum(self.plan.tokens.values())

    def fill_slots(self) -> None:
        """Give every free slot the next job of the plan."""
        for slot, state in enumerate(self.slots):
            if state is None and self.next_job < len(self.plan.jobs):
                job = self.jobs[self.plan.jobs[self.next_job]]
                self.next_job += 1
                self.put(slot, job, Adapter.init(self.base, job.spec, job.seed))

    def put(self, slot: int, job: TrainJob, adapter: Adapter) -> SlotState:
        """Put a job with given initial weights into a slot."""
        self.bank.set_slot(slot, adapter, train=True)
        flat, grad = self.bank.flats[slot], self.bank.grads[slot]
        assert flat is not None and grad is not None
        parameter = torch.nn.Parameter(flat)
        parameter.grad = grad
        optimizer = torch.optim.AdamW(
            [parameter], lr=job.lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=job.weight_decay, fused=True
        )
        state = SlotState(job, adapter, parameter, optimizer)
        self.slots[slot] = state
        return state

    def step(self) -> list[TrainResult]:
        """One optimiser step of every active slot; returns the jobs that ended with it."""
        self.fill_slots()
        batches = {slot: state.job.batch_rows(state.step) for slot, state in enumerate(self.slots) if state is not None}
        losses = self.gradients(batches)
        norms = self._norms(list(batches))
        if not all(map(math.isfinite, [*losses.values(), *norms.values()])):
            # What is no number in one row may have reached the rows beside it.
            self._zero()
            losses = {slot: self.gradients({slot: rows})[slot] for slot, rows in batches.items()}
            norms = self._norms(list(batches))
        finished = []
        self.taken.clear()
        for slot, rows in batches.items():
            state = self.slots[slot]
            assert state is not None
            tokens = sum(len(row.ids) for row in rows)
            if not (math.isfinite(losses[slot]) and math.isfinite(norms[slot])):
                # Before the step: weights that are no numbers would reach other slots' products.
                what = f"diverged at step {state.step + 1}: loss {losses[slot]}, norm of the gradient {norms[slot]}"
                self._give_up(slot, state, what)
                continue
            self._update(state, norms[slot])
            lr = state.optimizer.param_groups[0]["lr"]
            self.taken[state.job.name] = StepRecord(state.step, losses[slot], lr, tokens, norms[slot])
            state.history.append(self.taken[state.job.name])
            state.step += 1
            self.done_tokens += tokens
            if state.step == state.job.n_steps:
                finished += self._finish(slot, state)
        self.bank_step += 1
        return finished

    def _norms(self, slots: list[int]) -> dict[int, float]:
        grads = [grad for slot in slots if (grad := self.bank.grads[slot]) is not None]
        # Read back at once: a device is waited for each time.
        return dict(zip(slots, torch.stack([torch.linalg.vector_norm(grad) for grad in grads]).tolist(), strict=True))

    def _update(self, state: SlotState, norm: float) -> None:
        grad = state.parameter.grad
        assert grad is not None
        if state.job.clip > 0 and norm > state.job.clip:
            grad.mul_(state.job.clip / (norm + 1e-6))
        state.optimizer.param_groups[0]["lr"] = state.job.lr_at(state.step)
        state.optimizer.step()
        grad.zero_()

    def _finish(self, slot: int, state: SlotState) -> list[TrainResult]:
        adapter = Adapter(state.adapter.spec, state.adapter.pieces, state.parameter.detach().cpu().clone())
        if (fault := adapter.fault()) is not None:
            self._give_up(slot, state, f"ended with an adapter that {fault}")
            return []
        self._empty(slot)
        return [TrainResult(state.job.name, adapter, tuple(state.history))]

    def _give_up(self, slot: int, state: SlotState, what: str) -> None:
        """The job in a slot comes to nothing; the others go on."""
        fix = "lower recipe.lr or check the data for empty or broken rows"
        self.failed[state.job.name] = TraitscopeError(what, where=f"training {state.job.name}", fix=fix)
        self.done_tokens += round(self.plan.tokens[state.job.name] * (1 - state.step / state.job.n_steps))
        self._empty(slot)

    def _empty(self, slot: int) -> None:
        self.slots[slot] = None
        self.bank.set_slot(slot, None)

    def _zero(self) -> None:
        for grad in self.bank.grads:
            if grad is not None:
                grad.zero_()

    def gradients(self, batches: dict[int, list[TrainRow]]) -> dict[int, float]:
        """Accumulate every slot's gradient; on out-of-memory halve the pass and start the step again."""
        while True:
            try:
                return self._passes(batches)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                longest = max(len(row.ids) for rows in batches.values() for row in rows)
                if self.tokens_per_pass <= longest:
                    raise TraitscopeError(
                        f"out of memory with one row of {longest} tokens",
                        where=f"training on {self.base.device}",
                        fix="lower recipe.max_tokens, use dtype bf16, or fewer slots",
                    ) from error
                self.tokens_per_pass = max(longest, self.tokens_per_pass // 2)
                self.notes.append(
                    f"out of memory at step {self.bank_step}: passes halved to {self.tokens_per_pass} tokens"
                )
                self._zero()
                torch.cuda.empty_cache()

    def _passes(self, batches: dict[int, list[TrainRow]]) -> dict[int, float]:
        counts = {slot: sum(_n_supervised(row) for row in rows) for slot, rows in batches.items()}
        sums = dict.fromkeys(batches, 0.0)
        for pieces in cut_passes(batches, self.tokens_per_pass, apart=self.bank.apart):
            for slot, value in self._one_pass(pieces, counts).items():
                sums[slot] += value
        return sums

    def _one_pass(self, pieces: list[_Piece], counts: dict[int, int]) -> dict[int, float]:
        base, device = self.base, self.base.device
        rows = [row for piece in pieces for row in piece.rows]
        sources: list[int] = []
        targets: list[int] = []
        weights: list[float] = []
        supervised = [sum(_n_supervised(row) for row in piece.rows) for piece in pieces]
        start = 0
        for piece in pieces:
            for row in piece.rows:
                first = max(row.n_prompt, 1)
                n = len(row.ids) - first
                sources += range(start + first - 1, start + len(row.ids) - 1)
                targets += row.ids[first:]
                weights += [1.0 / counts[piece.slot]] * n
                start += len(row.ids)
        source_S = torch.tensor(sources, device=device)
        target_S = torch.tensor(targets, device=device)
        precise = torch.float64 if base.dtype == torch.float64 else torch.float32
        weight_S = torch.tensor(weights, device=device, dtype=precise)
        slots = [piece.slot for piece in pieces for _ in piece.rows]
        one = causal_pass(base, [row.ids for row in rows], slots)
        # Recomputed layers look at the layout in the backward pass.
        with torch.enable_grad(), under_way(base, one), self._dropping(pieces):
            base.runtime.anchor = torch.zeros(1, device=device, dtype=base.dtype, requires_grad=True)
            outputs_S = outputs_at(self.bank, one, source_S)
            if base.plain_head:
                total, losses_S = weighted_loss(base.head, outputs_S, target_S, weight_S)
            else:
                total, losses_S = weighted_loss_of_logits(outputs_S, target_S, weight_S)
            total.backward()
        # Read back at once: a device is waited for each time.
        sums = torch.stack([part.sum() for part in (losses_S * weight_S).split(supervised)]).tolist()
        return {piece.slot: value for piece, value in zip(pieces, sums, strict=True)}

    @contextmanager
    def _dropping(self, pieces: list[_Piece]) -> Iterator[None]:
        """The pass over these rows has the dropout of their jobs, layers that are computed again included."""
        jobs = {slot: (state.job, state.step) for slot, state in enumerate(self.slots) if state is not None}
        if not any(jobs[piece.slot][0].spec.dropout for piece in pieces):
            yield
            return
        runtime = self.base.runtime
        runtime.row_keys = [(jobs[p.slot][0].seed, jobs[p.slot][1], number) for p in pieces for number in p.numbers]
        try:
            yield
        finally:
            runtime.row_keys = runtime.drops = None


def _n_supervised(row: TrainRow) -> int:
    return len(row.ids) - max(row.n_prompt, 1)


def cut_passes(batches: dict[int, list[TrainRow]], tokens_per_pass: int, *, apart: bool = False) -> list[list[_Piece]]:
    """Cut a bank step into passes of at most ``tokens_per_pass`` tokens of about equal size, slots kept together.

    With ``apart`` no pass holds two slots.
    """
    total = sum(len(row.ids) for rows in batches.values() for row in rows)
    n_passes = -(-total // tokens_per_pass)
    even = total / n_passes
    passes: list[list[_Piece]] = [[]]
    size = done = 0
    for slot in sorted(batches):
        rows = batches[slot]
        for number in sorted(range(len(rows)), key=lambda i: len(rows[i].ids)):
            row = rows[number]
            n = len(row.ids)
            other = apart and bool(passes[-1]) and passes[-1][-1].slot != slot
            full = other or size + n > tokens_per_pass or done + n / 2 > even * len(passes)
            if full and passes[-1]:
                passes.append([])
                size = 0
            if not passes[-1] or passes[-1][-1].slot != slot:
                passes[-1].append(_Piece(slot, [], []))
            passes[-1][-1].rows.append(row)
            passes[-1][-1].numbers.append(number)
            size += n
            done += n
    return passes
