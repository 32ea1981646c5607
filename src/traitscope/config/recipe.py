"""How adapters are trained: the recipe, a source's departures from it, and mixes of sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from traitscope.config.data import MOST, Filled, Name, Seed, Texts
from traitscope.config.elsewhere import ANSWERS
from traitscope.config.problems import Problem
from traitscope.config.settings import Settings
from traitscope.records import LEAST_ALPHA, MOST_ALPHA, MOST_RANK
from traitscope.texts import shown


def no_repeat(values: tuple[Any, ...], what: str, keys: tuple[str | int, ...]) -> None:
    """Refuses a list that says a thing twice."""
    twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
    if twice is not None:
        raise Problem(f"the {what} {shown(twice)} stands here twice", fix=f"name every {what} once", keys=keys)


def _targets(value: Any) -> Any:
    if isinstance(value, str) and value != "all-linear":
        raise Problem(
            f"targets must be all-linear or a list of module names, not {shown(value)}",
            fix=f"write all-linear or [{value}]" if len(value) < 80 else "write all-linear or a list of names",
        )
    return value


def _one_seed(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


MOST_LR = 1.0
# Below, an update is lost in the rounding of fp32.
LEAST_LR, LEAST_CLIP = 1e-12, 1e-9

Targets = Annotated[Literal["all-linear"] | tuple[Filled, ...], BeforeValidator(_targets)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_one_seed)]
Window = tuple[Annotated[int, Field(ge=0, le=MOST)], Annotated[int, Field(ge=0, le=MOST)]]


def _check_window(window: tuple[int, int] | None) -> None:
    if window is not None and window[0] > window[1]:
        raise Problem(
            f"the first layer {window[0]} lies behind the last {window[1]}",
            fix=f"write [{window[1]}, {window[0]}]",
            keys=("layers",),
        )


def _check_targets(targets: str | tuple[str, ...] | None) -> None:
    if targets == ():
        raise Problem("no layer is adapted", fix="write all-linear or name at least one", keys=("targets",))
    if isinstance(targets, tuple):
        no_repeat(targets, "module", ("targets",))


class RecipeConfig(Settings):
    """How every adapter is trained."""

    ANSWERS: ClassVar[Mapping[str, str]] = ANSWERS

    rank: int = Field(16, ge=1, le=MOST_RANK, description="LoRA rank")
    alpha: float = Field(
        32.0, ge=LEAST_ALPHA, le=MOST_ALPHA, description="LoRA alpha; updates are scaled by alpha / rank"
    )
    rslora: bool = Field(False, description="Rank-stabilised: updates are scaled by alpha / sqrt(rank)")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of the inputs of A that training zeroes")
    targets: Targets = Field("all-linear", description="all-linear, or name endings of the linear layers to adapt")
    layers: Window | None = Field(None, description="Train only the layers [first, last], both included, from 0")
    lr: float = Field(2e-4, ge=LEAST_LR, le=MOST_LR, description="Peak learning rate of AdamW")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="Learning rate after warm-up")
    warmup: float = Field(
        0.03, ge=0, lt=1, description="Share of the steps, rounded up, in which the rate rises to its peak"
    )
    epochs: int = Field(3, ge=1, le=MOST, description="Passes over the train rows")
    batch: int = Field(16, ge=1, le=MOST, description="Rows per optimiser step")
    max_tokens: int = Field(1024, ge=2, le=MOST, description="Most tokens of one training row, prompt and answer")
    max_steps: int | None = Field(None, ge=1, le=MOST, description="Stop after this many steps, whatever epochs says")
    weight_decay: float = Field(0.0, ge=0, le=MOST_ALPHA, description="AdamW weight decay")
    clip: float = Field(1.0, ge=LEAST_CLIP, le=MOST, description="Gradient norm that a step is clipped to, per adapter")
    seeds: Seeds = Field((0,), min_length=1, description="One adapter per seed (initialisation and row order)")

    @model_validator(mode="after")
    def _consistent(self) -> RecipeConfig:
        _check_window(self.layers)
        no_repeat(self.seeds, "seed", ("seeds",))
        _check_targets(self.targets)
        return self

    def changed(self, change: RecipeChange) -> RecipeConfig:
        """This recipe with the given changes laid over it."""
        given = {k: v for k, v in change.model_dump(exclude_unset=True).items() if v is not None}
        return RecipeConfig(**{**self.model_dump(), **given}) if given else self


class RecipeChange(Settings):
    """A source's own departures from the study's recipe; every key as in ``recipe``."""

    ANSWERS: ClassVar[Mapping[str, str]] = ANSWERS

    rank: int | None = Field(None, ge=1, le=MOST_RANK, description="LoRA rank")
    alpha: float | None = Field(None, ge=LEAST_ALPHA, le=MOST_ALPHA, description="LoRA alpha")
    rslora: bool | None = Field(None, description="Rank-stabilised scaling")
    dropout: float | None = Field(None, ge=0, lt=1, description="LoRA dropout")
    targets: Targets | None = Field(None, description="all-linear, or name endings of the linear layers to adapt")
    layers: Window | None = Field(None, description="Train only the layers [first, last]")
    lr: float | None = Field(None, ge=LEAST_LR, le=MOST_LR, description="Peak learning rate of AdamW")
    schedule: Literal["cosine", "linear", "constant"] | None = Field(None, description="Learning rate schedule")
    warmup: float | None = Field(
        None, ge=0, lt=1, description="Share of the steps, rounded up, in which the rate rises to its peak"
    )
    epochs: int | None = Field(None, ge=1, le=MOST, description="Passes over the train rows")
    batch: int | None = Field(None, ge=1, le=MOST, description="Rows per optimiser step")
    max_tokens: int | None = Field(None, ge=2, le=MOST, description="Most tokens of one training row")
    max_steps: int | None = Field(None, ge=1, le=MOST, description="Stop after this many steps")
    weight_decay: float | None = Field(None, ge=0, le=MOST_ALPHA, description="AdamW weight decay")
    clip: float | None = Field(None, ge=LEAST_CLIP, le=MOST, description="Gradient norm that a step is clipped to")
    seeds: Seeds | None = Field(None, min_length=1, description="Seeds")

    @model_validator(mode="after")
    def _consistent(self) -> RecipeChange:
        _check_window(self.layers)
        no_repeat(self.seeds or (), "seed", ("seeds",))
        _check_targets(self.targets)
        return self


class SourceConfig(RecipeChange):
    """One adapter to train: a task (by default the one of the same name) and changes to the recipe."""

    name: Name = Field(description="The adapter's name, a row of the matrix")
    task: str = Field("", description="The task that it trains on; default: the one of the same name")

    @property
    def task_name(self) -> str:
        """The task trained on."""
        return self.task or self.name

    @property
    def change(self) -> RecipeChange:
        """The changes to the recipe alone."""
        return RecipeChange(**self.model_dump(exclude_unset=True, exclude={"name", "task"}))


def _of(value: Any) -> Any:
    return (value,) if isinstance(value, str) and value != "sources" else value


class MixConfig(RecipeChange):
    """An adapter trained on several sources together."""

    of: Annotated[Literal["sources"] | tuple[str, ...], BeforeValidator(_of)] = Field(
        "sources", description='"sources" (all), or names of sources'
    )
    per_task: int | None = Field(None, ge=1, le=MOST, description="Rows taken from each source; default: all it has")
    per_cluster: int | None = Field(
        None, ge=1, le=MOST, description="Rows taken from each cluster (tags: {cluster: ...}), shared by its sources"
    )
    at_most: bool = Field(
        False, description="per_task and per_cluster are bounds: what has fewer rows gives all, instead of an error"
    )
    rows: dict[str, Annotated[int, Field(ge=1, le=MOST)]] | None = Field(
        None, description="Rows taken from each named source: {source: rows}, instead of `of`"
    )
    hold_out: Texts = Field((), description="Tasks that the mix never sees")

    @model_validator(mode="after")
    def _one_size(self) -> MixConfig:
        sizes = [key for key in ("per_task", "per_cluster", "rows") if getattr(self, key) is not None]
        if len(sizes) > 1:
            raise Problem(f"{sizes[0]} and {sizes[1]} are given together", fix="keep one of the two")
        if self.rows is not None and "of" in self.model_fields_set:
            raise Problem("of and rows both name the sources", fix="leave of out", keys=("rows",))
        if self.at_most and self.per_task is None and self.per_cluster is None:
            fix = "add per_task or per_cluster, or leave it out"
            raise Problem("at_most bounds nothing here", fix=fix, keys=("at_most",))
        if self.of == ():
            raise Problem("the mix is made of nothing", fix="write of: sources, or name them", keys=("of",))
        if "rows" in self.model_fields_set and not self.rows:
            raise Problem("the mix is made of nothing", fix="write rows: {source: rows}, or leave it", keys=("rows",))
        return self

    @property
    def named(self) -> tuple[str, ...] | None:
        """The sources that it names; None for all of them."""
        return tuple(self.rows) if self.rows is not None else None if self.of == "sources" else self.of

    @property
    def change(self) -> RecipeChange:
        """The changes to the recipe alone."""
        own = {"of", "per_task", "per_cluster", "at_most", "rows", "hold_out"}
        return RecipeChange(**self.model_dump(exclude_unset=True, exclude=own))


def source_entries(value: Any) -> Any:
    """``[a, {b: {rank: 8}}]`` or ``{a: {}, b: {rank: 8}}`` as a list of mappings with a name."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, Mapping):
        value = [{name: change} for name, change in value.items()]
    if not isinstance(value, list | tuple):
        return value
    entries: list[Any] = []
    for index, entry in enumerate(value):
        if isinstance(entry, str):
            entries.append({"name": entry})
        elif isinstance(entry, Mapping) and len(entry) == 1 and "name" not in entry:
            ((name, change),) = entry.items()
            if change is not None and not isinstance(change, Mapping):
                raise Problem(
                    f"the recipe changes of {shown(name)} must be a mapping",
                    fix=f"write {{{name}: {{epochs: 1}}}}",
                    keys=(index,),
                )
            entries.append({"name": name, **(change or {})})
        else:
            entries.append(entry)
    return entries
