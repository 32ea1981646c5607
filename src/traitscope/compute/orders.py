"""What a study and a backend say to each other: orders go in, events come out. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from traitscope.config import RecipeConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Example, ExampleRecord, Progress, StepRecord
from traitscope.store.models import ModelSource
from traitscope.tasks.task import Task

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


# ---- orders

# Ways of ``Merge``.
MERGES = ("linear", "ties", "dare")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One adapter to be trained.

    Attributes:
        name: the adapter's name.
        parts: tasks with the examples to train on, one after the other.
        recipe: how.
        seed: of initial weights and data order.
    """

    name: str
    parts: tuple[tuple[Task, tuple[Example, ...]], ...]
    recipe: RecipeConfig
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How a bank of jobs is trained: with it, the same jobs give the same bytes on one machine.

    Attributes:
        jobs: names of the bank's jobs, in the order they were asked for.
        threads: CPU threads.
        device: kind of device (``cpu``, ``cuda``, ...).
        bank: the engine's own plan (slots, tokens in a pass, order).
    """

    jobs: tuple[str, ...]
    threads: int
    device: str
    bank: dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringPlan:
    """How models are evaluated. On a CPU in full precision one after the other, elsewhere side by side.

    Attributes:
        threads: CPU threads.
        device: kind of device.
        tokens_per_pass: most tokens in a pass.
        models_per_pass: models whose options are scored side by side.
        models_per_generation: models that generate side by side.
    """

    threads: int
    device: str
    tokens_per_pass: int
    models_per_pass: int
    models_per_generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """The base with an adapter on it.

    Attributes:
        path: the adapter's folder in PEFT's format; None for the base alone.
        window: layers (first, last), both included, from 0, in which the adapter is switched.
        inside: whether it acts inside the window alone, or outside of it alone.
    """

    path: Path | None = None
    window: tuple[int, int] | None = None
    inside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """Train the jobs of one plan together. Events: Checkpoint and Adapter as they come, in the end Done.

    Attributes:
        key: tells the order apart from the others.
        checkpoint: the state of an earlier attempt, as its last Checkpoint gave it.
        every_s: seconds between checkpoints.
    """

    key: str
    model: ModelSource
    jobs: tuple[TrainingJob, ...]
    plan: TrainingPlan
    checkpoint: bytes | None
    every_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """Answers of some models to a task's examples. Ends in Records.

    Attributes:
        models: by name; those of consecutive orders that are alike stay loaded.
        skip: the first examples that are left out: a cell that has them grows.
        allow_code: programs that the models write may be run.
    """

    key: str
    model: ModelSource
    models: Mapping[str, Adapted]
    task: Task
    examples: tuple[Example, ...]
    plan: ScoringPlan
    skip: int = 0
    allow_code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Hidden states of some models on a task's examples. Ends in States.

    Attributes:
        position: of the last token read, or the mean over all of them.
        reads: the prompt, or prompt and answer.
        layers: all of them (layer 0 the embeddings), or the middle one alone.
    """

    key: str
    model: ModelSource
    models: Mapping[str, Adapted]
    task: Task
    examples: tuple[Example, ...]
    position: Literal["last", "mean"]
    reads: Literal["prompt", "prompt and answer"] = "prompt"
    layers: Literal["all", "middle"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Several adapters as one (``engine.merge_adapters``). Events: Adapter, without a history, then Done.

    Attributes:
        name: of what is made.
        parts: the adapters' folders.
        weights: one for each.
        how: one of ``MERGES``.
        seed: of draws.
    """

    key: str
    model: ModelSource
    name: str
    parts: tuple[Path, ...]
    weights: tuple[float, ...]
    how: str
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Align:
    """How strongly a task's prompts speak to adapters (``engine.alignments``). Ends in Alignments.

    Attributes:
        adapters: folders by name.
    """

    key: str
    model: ModelSource
    adapters: Mapping[str, Path]
    task: Task
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differentiate:
    """The mean gradient of each dataset's loss at one LoRA initialisation. Ends in Gradients.

    Attributes:
        parts: by the dataset's name its task and examples.
        rank: of the adapter that is differentiated, on all linear layers.
        seed: of its initial weights.
        dimensions: numbers that a gradient is sketched in.
    """

    key: str
    model: ModelSource
    parts: Mapping[str, tuple[Task, tuple[Example, ...]]]
    rank: int
    seed: int
    dimensions: int


Order = Train | Evaluate | Capture | Differentiate | Merge | Align


# ---- events


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a bank in training, to be kept and given back with the same order."""

    state: bytes


@dataclass(frozen=True, slots=True)
class Adapter:
    """A trained adapter. After a resume it may be given again, with the same weights.

    Attributes:
        name: the job's name.
        config: the content of PEFT's ``adapter_config.json``.
        tensors: by PEFT's names.
        history: every optimiser step.
    """

    name: str
    config: dict[str, Json]
    tensors: dict[str, NDArray[np.floating]]
    history: tuple[StepRecord, ...]


@dataclass(frozen=True, slots=True)
class Diverged:
    """A training that came to nothing; the others of its order go on.

    Attributes:
        name: the job's name.
        what, fix: of the error.
    """

    name: str
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Records:
    """Every model's records of the examples behind the order's first ``skip``, by the model's name."""

    records: dict[str, list[ExampleRecord]]


@dataclass(frozen=True, slots=True)
class States:
    """Every model's hidden states acts_LSD by its name; ``first`` is the number of the first of the L layers."""

    acts: dict[str, NDArray[np.float32]]
    first: int


@dataclass(frozen=True, slots=True)
class Alignments:
    """values_SA of S examples and A adapters, in the order of the order."""

    values_SA: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gradient:
    """One dataset's mean gradient: its sketch_P, its length, and the base's mean loss of an answer token in nats."""

    sketch_P: NDArray[np.float32]
    norm: float
    loss: float


@dataclass(frozen=True, slots=True)
class Gradients:
    """Every dataset's mean gradient by its name."""

    gradients: dict[str, Gradient]


@dataclass(frozen=True, slots=True)
class Done:
    """A training has ended, or was stopped as asked, its last state handed over."""

    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """The order came to nothing: the process or machine it was given to is gone. It may be given again."""

    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The order cannot be carried out: what is wrong, where, and what to do about it."""

    what: str
    where: str | None
    fix: str | None

    def error(self) -> TraitscopeError:
        """The same as an error to be raised."""
        return TraitscopeError(self.what, where=self.where, fix=self.fix)


Final = Records | States | Gradients | Alignments | Done | Lost | Refused
Event = Progress | Checkpoint | Adapter | Diverged | Final
