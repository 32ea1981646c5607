"""This process as a backend: one base loaded at a time, orders carried out one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from traitscope import engine
from traitscope.compute.backend import ModelFacts, Receive, ShouldStop
from traitscope.compute.cells import EvalRows, eval_rows, evaluate
from traitscope.compute.jobs import engine_job, split
from traitscope.compute.orders import (
    Adapted,
    Adapter,
    Align,
    Alignments,
    Capture,
    Checkpoint,
    Differentiate,
    Diverged,
    Done,
    Evaluate,
    Event,
    Final,
    Gradient,
    Gradients,
    Lost,
    Merge,
    Order,
    Records,
    Refused,
    ScoringPlan,
    States,
    Train,
    TrainingJob,
    TrainingPlan,
)
from traitscope.config import ComputeConfig, TaskConfig
from traitscope.engine.memory import score_tokens
from traitscope.errors import TraitscopeError, is_out_of_memory, memory_errors, no_memory
from traitscope.records import Example, Progress, PromptRow
from traitscope.store.files import FilesMark, files_mark
from traitscope.store.models import ModelSource
from traitscope.tasks.encode import answer_end, training_rows
from traitscope.tasks.task import Task

# Models side by side in one scoring pass, where they run side by side at all.
SCORING_SLOTS = 16
# Parameters of all models of a group whose answers are generated together on a CPU: 200 answers of 200 tokens take
# 16 models of 4 million parameters about a minute.
GENERATING_PARAMETERS = 64_000_000

Emit = Callable[[Event], None]
_BankKey = tuple[ModelSource, tuple[tuple[str, Adapted, FilesMark], ...]]


class _Stop(Exception):
    """An order under way is given up."""


class Local:
    """Computes in this process. Nothing is loaded before it is needed; one base is held at a time.

    Args:
        config: device, threads and portions.
    """

    def __init__(self, config: ComputeConfig | None = None) -> None:
        self.config = config or ComputeConfig()
        self._base: engine.Base | None = None
        self._base_of: tuple[ModelSource, ...] = ()
        self._base_mark: FilesMark = ()
        self._rows: dict[str, tuple[TaskConfig, tuple[Example, ...], EvalRows]] = {}
        self._bank: engine.Bank | None = None
        self._bank_of: _BankKey | None = None

    def inspect(self, model: ModelSource) -> ModelFacts:
        """See ``Backend``."""
        base = self.base(model)
        return ModelFacts(base.revision, base.precision, base.fingerprint)

    def plan_training(self, model: ModelSource, jobs: Sequence[TrainingJob]) -> list[TrainingPlan]:
        """See ``Backend``; here all jobs make one bank."""
        return self.plan_banks(model, jobs, 1)

    def plan_banks(self, model: ModelSource, jobs: Sequence[TrainingJob], parts: int) -> list[TrainingPlan]:
        """Plans of at most ``parts`` banks of about equal tokens."""
        base = self.base(model)
        made = [engine_job(base, job) for job in jobs]
        plans = []
        for group in split(made, parts):
            bank = engine.plan_bank(
                base, [made[i] for i in group], slots=self.config.slots, tokens_per_pass=self.config.tokens_per_pass
            )
            plans.append(
                TrainingPlan(
                    jobs=tuple(jobs[i].name for i in group),
                    threads=torch.get_num_threads(),
                    device=base.device.type,
                    bank=bank.to_json(),
                )
            )
        return plans

    def plan_scoring(self, model: ModelSource) -> ScoringPlan:
        """See ``Backend``.

        On a CPU in full precision models are scored one after the other on merged weights, so a group is one
        model and a kill loses one cell. Generation gains from models side by side there too; a group is then what
        takes about a minute at most.
        """
        base = self.base(model)
        alone = base.device.type == "cpu" and base.mergeable
        slots = SCORING_SLOTS if self.config.slots == "auto" else self.config.slots
        return ScoringPlan(
            threads=torch.get_num_threads(),
            device=base.device.type,
            tokens_per_pass=score_tokens(base, self.config.tokens_per_pass),
            models_per_pass=1 if alone else slots,
            models_per_generation=max(1, min(slots, GENERATING_PARAMETERS // base.n_parameters)) if alone else slots,
        )

    def work(self, orders: Iterable[Order], receive: Receive, should_stop: ShouldStop) -> None:
        """See ``Backend``."""
        try:
            for order in orders:
                self.carry_out(order, partial(receive, order), partial(should_stop, order))
        finally:
            self._close_bank()

    def carry_out(self, order: Order, emit: Emit, should_stop: Callable[[], bool]) -> None:
        """One order, from its first event to its last."""

        def on_progress(progress: Progress) -> None:
            if should_stop():
                raise _Stop
            emit(progress)

        last: Final
        try:
            match order:
                case Train():
                    last = self._train(order, emit, should_stop)
                case Evaluate():
                    last = self._evaluate(order, on_progress)
                case Capture():
                    last = self._capture(order, on_progress)
                case Differentiate():
                    last = self._differentiate(order, on_progress)
                case Merge():
                    last = self._merge(order, emit)
                case Align():
                    last = self._align(order)
        except _Stop:
            last = Lost("it was asked to stop")
        except Exception as error:
            told = no_memory(order.key) if is_out_of_memory(error) else error
            if not isinstance(told, TraitscopeError):
                raise
            last = Refused(told.what, told.where, told.fix)
        emit(last)

    def base(self, model: ModelSource) -> engine.Base:
        """The loaded model.

        Raises:
            TraitscopeError: it is missing or no causal language model.
        """
        mark = files_mark(model.located())
        if self._base is None or model not in self._base_of or mark != self._base_mark:
            self._close_bank()
            self._base, self._base_of, self._rows = None, (), {}
            self._set_threads(self.config.threads)
            with memory_errors(f"base model {model.model}"):
                base = engine.load_base(
                    model.model,
                    revision=model.revision,
                    dtype=model.dtype,
                    device=self.config.device,
                    root=model.root,
                    subfolder=model.subfolder,
                    onto=model.onto,
                )
            # Asked for again as what it turned out to be (a commit, a precision), it is the same base.
            found = replace(model, revision=base.revision or model.revision, dtype=base.precision)
            self._base, self._base_of, self._base_mark = base, (model, found), mark
        return self._base

    def _set_threads(self, threads: int | str) -> None:
        if threads != "auto":
            torch.set_num_threads(int(threads))

    def _train(self, order: Train, emit: Emit, should_stop: Callable[[], bool]) -> Done:
        base = self.base(order.model)
        self._close_bank()
        self._set_threads(order.plan.threads)

        def on_done(result: engine.TrainResult) -> None:
            tensors = {name: tensor.numpy() for name, tensor in result.adapter.tensors().items()}
            emit(Adapter(result.name, result.adapter.peft_config(base), tensors, result.history))

        try:
            engine.train(
                base,
                [engine_job(base, job) for job in order.jobs],
                engine.BankPlan.from_json(order.plan.bank),
                checkpoint=order.checkpoint,
                on_checkpoint=lambda state: emit(Checkpoint(state)),
                every_s=order.every_s,
                on_done=on_done,
                on_failed=lambda name, error: emit(Diverged(name, error.what, error.fix or "")),
                on_progress=emit,
                should_stop=should_stop,
            )
        except engine.Interrupted:
            return Done(stopped=True)
        return Done()

    def _evaluate(self, order: Evaluate, on_progress: Callable[[Progress], None]) -> Records:
        base = self.base(order.model)
        self._set_threads(order.plan.threads)
        rows = self._eval_rows(base, order.task, order.examples).after(order.skip)
        bank = self._open_bank(base, order.model, order.models)
        tokens = order.plan.tokens_per_pass
        records = evaluate(
            bank, order.task, rows, tokens_per_pass=tokens, on_progress=on_progress, allow_code=order.allow_code
        )
        return Records(records)

    def _capture(self, order: Capture, on_progress: Callable[[Progress], None]) -> States:
        base = self.base(order.model)
        if order.reads == "prompt":
            prompts = [PromptRow(row.context) for row in self._eval_rows(base, order.task, order.examples).options]
        else:
            rows = training_rows(order.task, order.examples, base.tokenizer, base.max_positions)
            n_end = len(answer_end(order.task, base.tokenizer).ids)
            prompts = [PromptRow(row.ids[: len(row.ids) - n_end]) for row in rows]
        bank = self._open_bank(base, order.model, order.models)
        tokens = self.config.tokens_per_pass
        acts = engine.capture(bank, prompts, position=order.position, tokens_per_pass=tokens, on_progress=on_progress)
        if order.layers == "all":
            return States(dict(acts), 0)
        middle = base.n_layers // 2
        return States({name: acts_LSD[middle : middle + 1].copy() for name, acts_LSD in acts.items()}, middle)

    def _differentiate(self, order: Differentiate, on_progress: Callable[[Progress], None]) -> Gradients:
        base = self.base(order.model)
        self._close_bank()
        found = engine.mean_gradients(
            base,
            {
                name: training_rows(task, examples, base.tokenizer, base.max_positions)
                for name, (task, examples) in order.parts.items()
            },
            engine.LoraSpec(order.rank, order.rank),
            seed=order.seed,
            dimensions=order.dimensions,
            slots=self.config.slots,
            tokens_per_pass=self.config.tokens_per_pass,
            on_progress=on_progress,
        )
        return Gradients({name: Gradient(one.sketch_P, one.norm, one.loss) for name, one in found.items()})

    def _merge(self, order: Merge, emit: Emit) -> Done:
        base = self.base(order.model)
        parts = [engine.Adapter.load(path, base) for path in order.parts]
        merged = engine.merge_adapters(base, parts, order.weights, how=order.how, seed=order.seed)
        tensors = {name: tensor.numpy() for name, tensor in merged.tensors().items()}
        emit(Adapter(order.name, merged.peft_config(base), tensors, ()))
        return Done()

    def _align(self, order: Align) -> Alignments:
        base = self.base(order.model)
        rows = [PromptRow(row.context) for row in self._eval_rows(base, order.task, order.examples).options]
        self._close_bank()
        adapters = {name: engine.Adapter.load(path, base) for name, path in order.adapters.items()}
        return Alignments(engine.alignments(base, adapters, rows, tokens_per_pass=self.config.tokens_per_pass))

    def _open_bank(self, base: engine.Base, model: ModelSource, models: Mapping[str, Adapted]) -> engine.Bank:
        """A bank of these models; the one that is open, if it is of the same."""
        key = (model, tuple((name, adapted, files_mark(adapted.path)) for name, adapted in models.items()))
        if self._bank is None or key != self._bank_of:
            self._close_bank()
            loaded: dict[object, engine.Adapter] = {}
            parts: dict[str, engine.Adapter | engine.Gated | None] = {}
            for name, adapted in models.items():
                if adapted.path is None:
                    parts[name] = None
                    continue
                if adapted.path not in loaded:
                    loaded[adapted.path] = engine.Adapter.load(adapted.path, base)
                adapter = loaded[adapted.path]
                if adapted.window is None:
                    parts[name] = adapter
                else:
                    side = {"on": adapted.window} if adapted.inside else {"off": adapted.window}
                    parts[name] = engine.Gated(adapter, **side)
            self._bank, self._bank_of = engine.Bank(base, parts), key
        return self._bank

    def _close_bank(self) -> None:
        if self._bank is not None:
            self._bank.close()
            self._bank, self._bank_of = None, None

    def _eval_rows(self, base: engine.Base, task: Task, examples: Sequence[Example]) -> EvalRows:
        """Token rows of a task, encoded once per base while neither what the task says nor its examples change."""
        config, known, rows = self._rows.get(task.name, (None, (), None))
        if rows is None or config != task.config or known != tuple(examples):
            rows = eval_rows(task, examples, base.tokenizer, base.max_positions)
            self._rows[task.name] = (task.config, tuple(examples), rows)
        return rows
