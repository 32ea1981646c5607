"""This process as a place to compute: loads a base once, trains banks, opens groups of models to score."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from traitscope.compute.cells import EvalRows, eval_rows, evaluate
from traitscope.config import ComputeConfig, RecipeConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Example, ExampleRecord, PromptRow, TrainRow
from traitscope.tasks.encode import training_rows
from traitscope.tasks.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Models side by side in one scoring pass, where they run side by side at all.
SCORING_SLOTS = 16
# Parameters of all models of a group whose answers are generated together on a CPU: 200 answers of 200 tokens take
# 16 models of 4 million parameters about a minute.
GENERATING_PARAMETERS = 64_000_000


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A full model as a study names it. ``dtype`` may be ``auto``."""

    model: str
    revision: str | None = None
    dtype: str = "auto"


class Local:
    """Computes in this process. Nothing is loaded before it is needed; one base is held at a time.

    Args:
        config: device, threads and portions.
        engine: what ``traitscope.engine`` offers (tests may pass a small stand-in).
    """

    def __init__(self, config: ComputeConfig | None = None, engine: ModuleType | Any | None = None) -> None:
        self.config = config or ComputeConfig()
        self._engine = engine
        self._base: Any = None
        self._shared: int | None = None
        self._base_of: tuple[ModelSource, ...] = ()
        self._rows: dict[tuple[str, int, str | None], EvalRows] = {}

    @property
    def engine(self) -> Any:
        """The engine, imported on first use (it imports torch)."""
        if self._engine is None:
            import traitscope.engine

            self._engine = traitscope.engine
        return self._engine

    def base(self, source: ModelSource) -> Any:
        """The loaded model.

        Raises:
            TraitscopeError: it is missing or no causal language model.
        """
        if source not in self._base_of:
            self._base, self._base_of, self._rows = None, (), {}
            self._set_threads()
            base = self.engine.load_base(
                source.model, revision=source.revision, dtype=source.dtype, device=self.config.device
            )
            # Asked for again as what it turned out to be (a commit, a precision), it is the same base.
            found = ModelSource(source.model, base.revision or source.revision, base.precision)
            self._base, self._base_of = base, (source, found)
        return self._base

    def share_cores(self, processes: int) -> None:
        """Leaves the other processes of a run their share of the cores, unless the study sets the threads."""
        if self.config.threads == "auto":
            self._set_threads(max(1, cores() // processes))
            self._shared = max(1, cores() // processes)

    def take_cores(self) -> None:
        """Takes all cores back when the other processes of a run have ended."""
        if self._shared is not None:
            self._shared = None
            self._set_threads(cores())

    def threads(self) -> int:
        """CPU threads that the engine uses."""
        import torch

        return int(torch.get_num_threads())

    def _set_threads(self, threads: int | None = None) -> None:
        wanted = threads if threads is not None else self._shared or self.config.threads
        if wanted != "auto":
            import torch

            torch.set_num_threads(int(wanted))

    def job(self, source: ModelSource, name: str, rows: Sequence[TrainRow], recipe: RecipeConfig, seed: int) -> Any:
        """A training job of the engine from a study's recipe."""
        engine = self.engine
        spec = engine.LoraSpec(recipe.rank, recipe.alpha, targets=recipe.targets, layers=recipe.layers)
        return engine.TrainJob(
            name,
            rows,
            spec,
            recipe.lr,
            recipe.schedule,
            recipe.warmup,
            recipe.epochs,
            recipe.batch,
            seed,
            weight_decay=recipe.weight_decay,
            clip=recipe.clip,
            max_steps=recipe.max_steps,
        )

    def encode(
        self, source: ModelSource, parts: Sequence[tuple[Task, Sequence[Example]]], max_tokens: int
    ) -> list[TrainRow]:
        """Training rows of one or several tasks, one after the other."""
        base = self.base(source)
        limit = min(max_tokens, base.max_positions)
        return [row for task, examples in parts for row in training_rows(task, examples, base.tokenizer, limit)]

    def plan(self, source: ModelSource, jobs: Sequence[Any]) -> dict[str, Any]:
        """The plan of a bank as JSON: what is needed to train it again to the bit on this machine."""
        base = self.base(source)
        plan = self.engine.plan_bank(base, jobs, slots=self.config.slots, tokens_per_pass=self.config.tokens_per_pass)
        return {"threads": self.threads(), "device": base.device.type, "bank": plan.to_json()}

    def train(
        self,
        source: ModelSource,
        jobs: Sequence[Any],
        plan: Mapping[str, Any],
        *,
        checkpoint: Path,
        on_done: Callable[[Any], None],
        on_progress: Callable[[Any], None],
        should_stop: Callable[[], bool],
        every_s: float = 60.0,
    ) -> bool:
        """Trains a bank after its plan, from its checkpoint if there is one; False if asked to stop."""
        base = self.base(source)
        self._set_threads(int(plan["threads"]))
        bank_plan = self.engine.BankPlan.from_json(dict(plan["bank"]))
        try:
            self.engine.train(
                base,
                jobs,
                bank_plan,
                checkpoint=checkpoint,
                every_s=every_s,
                on_done=on_done,
                on_progress=on_progress,
                should_stop=should_stop,
            )
        except self.engine.Interrupted:
            return False
        return True

    def scoring_plan(self, source: ModelSource) -> dict[str, Any]:
        """How cells are computed: tokens in a pass, threads, and how many models run side by side.

        On a CPU in full precision models are scored one after the other on merged weights, so a group is one
        model and a kill loses one cell. Generation gains from models side by side there too; a group is then what
        takes about a minute at most.
        """
        from traitscope.engine.memory import score_tokens

        base = self.base(source)
        alone = base.device.type == "cpu" and base.mergeable
        slots = SCORING_SLOTS if self.config.slots == "auto" else int(self.config.slots)
        return {
            "threads": self.threads(),
            "device": base.device.type,
            "tokens_per_pass": score_tokens(base, self.config.tokens_per_pass),
            "models_per_pass": 1 if alone else slots,
            "models_per_generation": max(1, min(slots, GENERATING_PARAMETERS // base.n_parameters)) if alone else slots,
        }

    @contextmanager
    def group(
        self, source: ModelSource, adapters: Mapping[str, Path | None], plan: Mapping[str, Any]
    ) -> Iterator[Group]:
        """Models on one base, opened together; a path of None is the base itself."""
        base = self.base(source)
        self._set_threads(int(plan["threads"]))
        with self.engine.Bank(base, self._models(source, adapters)) as bank:
            yield Group(self, base, bank, int(plan["tokens_per_pass"]))

    def capture(
        self,
        source: ModelSource,
        adapters: Mapping[str, Path | None],
        task: Task,
        examples: Sequence[Example],
        *,
        position: str,
        on_progress: Callable[[Any], None] | None = None,
    ) -> dict[str, Any]:
        """Hidden states acts_LSD of every model on the examples' prompts, layer 0 the embeddings."""
        base = self.base(source)
        rows = [PromptRow(row.context) for row in self.eval_rows(base, task, examples).options]
        with self.engine.Bank(base, self._models(source, adapters)) as bank:
            return dict(self.engine.capture(bank, rows, position=position, on_progress=on_progress))

    def mean_states(
        self, source: ModelSource, task: Task, examples: Sequence[Example], plan: Mapping[str, Any]
    ) -> tuple[NDArray[np.float32], int]:
        """The model's hidden states states_SD, each the mean over prompt and answer, and the layer they are from.

        It is the middle layer: the last ones are shaped by the next token rather than by what was read.
        """
        base = self.base(source)
        self._set_threads(int(plan["threads"]))
        rows = training_rows(task, examples, base.tokenizer, base.max_positions)
        prompts = [PromptRow(row.ids[:-1]) for row in rows]
        with self.engine.Bank(base, {"base": None}) as bank:
            acts_LSD = self.engine.capture(bank, prompts, position="mean", tokens_per_pass=int(plan["tokens_per_pass"]))
        layer = base.n_layers // 2
        return acts_LSD["base"][layer].copy(), layer

    def gated(
        self,
        source: ModelSource,
        adapter: Path,
        task: Task,
        examples: Sequence[Example],
        windows: Sequence[tuple[int, int]],
        *,
        on_progress: Callable[[Any], None] | None = None,
    ) -> dict[str, list[ExampleRecord]]:
        """Records of one adapter switched ``off`` and ``only`` on in windows of layers (first, last), from 1."""
        base = self.base(source)
        engine = self.engine
        (loaded,) = self._models(source, {"": adapter}).values()
        models: dict[str, Any] = {}
        for first, last in windows:
            models[f"off {first}-{last}"] = engine.Gated(loaded, off=(first - 1, last - 1))
            models[f"only {first}-{last}"] = engine.Gated(loaded, on=(first - 1, last - 1))
        plan = self.scoring_plan(source)
        with engine.Bank(base, models) as bank:
            group = Group(self, base, bank, int(plan["tokens_per_pass"]))
            return group.evaluate(task, examples, on_progress=on_progress)

    def _models(self, source: ModelSource, adapters: Mapping[str, Path | None]) -> dict[str, Any]:
        base = self.base(source)
        load = self.engine.Adapter.load
        return {name: None if path is None else load(path, base) for name, path in adapters.items()}

    def eval_rows(self, base: Any, task: Task, examples: Sequence[Example]) -> EvalRows:
        """Token rows of a task, encoded once per base."""
        key = (task.name, len(examples), examples[-1].id if examples else None)
        if key not in self._rows:
            self._rows[key] = eval_rows(task, examples, base.tokenizer, base.max_positions)
        return self._rows[key]


class Group:
    """An open bank of models to evaluate."""

    def __init__(self, place: Local, base: Any, bank: Any, tokens_per_pass: int) -> None:
        self._place = place
        self._base = base
        self._bank = bank
        self._tokens_per_pass = tokens_per_pass

    def evaluate(
        self,
        task: Task,
        examples: Sequence[Example],
        *,
        skip: int = 0,
        on_progress: Callable[[Any], None] | None = None,
    ) -> dict[str, list[ExampleRecord]]:
        """Records of every model of the group on the examples behind the first ``skip``."""
        rows = self._place.eval_rows(self._base, task, examples).after(skip)
        return evaluate(
            self._place.engine,
            self._bank,
            task,
            rows,
            tokens_per_pass=self._tokens_per_pass,
            on_progress=on_progress,
        )


def adapter_folder(model: str, revision: str | None) -> Path | None:
    """The local folder of a PEFT adapter, or None where ``model`` is a full model.

    A Hub id is looked up on the Hub, since the study names it; a local folder never touches the network.

    Raises:
        TraitscopeError: the Hub cannot be reached or has no such model.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path if (path / "adapter_config.json").is_file() else None
    if model == "embedded":
        return None
    from huggingface_hub import file_exists, snapshot_download

    try:
        if not file_exists(model, "adapter_config.json", revision=revision):
            return None
        files = ["adapter_config.json", "*.safetensors"]
        return Path(snapshot_download(model, revision=revision, allow_patterns=files))
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise TraitscopeError(
            f"cannot be had from the Hub: {first}",
            where=f"model {model}",
            fix="check the id, the revision and the network, or name a local folder",
        ) from error
