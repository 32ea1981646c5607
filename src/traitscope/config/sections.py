"""The sections of a study file that stand for themselves: the base, further models, layers, and where it computes."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from traitscope.config.data import MOST, Filled, Texts
from traitscope.config.hub_name import with_revision
from traitscope.config.problems import Problem, check_name
from traitscope.config.settings import Settings
from traitscope.texts import shown

Auto = Annotated[int, Field(ge=1, le=MOST)] | Literal["auto"]
# Of threads or processes: more than this many of either end a process, or the machine.
Few = Annotated[int, Field(ge=1, le=1024)] | Literal["auto"]


TrackerName = Literal["tensorboard", "wandb", "trackio"]


def tracker_names(value: Any) -> Any:
    """Trackers that are named by a text alone, by ``none`` or by nothing; each counts once."""
    names = (value,) if isinstance(value, str) else () if value is None else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return value
    return tuple(dict.fromkeys(names)) if tuple(names) != ("none",) else ()


def model_text(value: Any) -> Any:
    """A model that is named by a text alone."""
    return {"model": value} if isinstance(value, str) else value


class HubModel(Settings):
    """A model that may lie on the Hub; ``org/name@revision`` names its revision too."""

    @model_validator(mode="before")
    @classmethod
    def _with_revision(cls, said: Any, info: ValidationInfo) -> Any:
        return with_revision(said, "model", (info.context or {}).get("root", Path()))


class BaseConfig(HubModel):
    """The untuned causal language model that everything is compared with."""

    model: Filled = Field(
        description="A Hub id (org/name, or org/name@revision), a local folder or GGUF file (from the study file's "
        "folder), or a built-in base: embedded, smollm2-135m"
    )
    revision: Filled | None = Field(None, description="Hub revision: a commit, tag or branch")
    dtype: Literal["auto", "fp32", "bf16", "fp64", "nf4"] = Field(
        "auto", description="Precision of the frozen weights; nf4: 4 bits, through bitsandbytes (the extra 4bit)"
    )


class ModelConfig(HubModel):
    """A row of the matrix that is not trained here: another full model, or a PEFT adapter of the base."""

    model: Filled = Field(
        description="A Hub id (org/name, or org/name@revision) or a local folder (from the study file's folder) of a "
        "model or of a PEFT adapter, a GGUF file, or a built-in base"
    )
    revision: Filled | None = Field(None, description="Hub revision: a commit, tag or branch")
    subfolder: Filled | None = Field(
        None, description="Of a Hub repository that holds several adapters: the folder of this one"
    )
    trained_on: Texts | None = Field(
        None,
        description="Tasks of this study that it was trained on: the row then counts as a source (of several: a mix) "
        "and these cells as its own; []: on none of them; left out: not known, the row stands beside the traits",
    )

    @field_validator("subfolder")
    @classmethod
    def _subfolder(cls, folder: str | None) -> str | None:
        parts = PurePosixPath(folder or "").parts
        if folder is not None and (folder.startswith("/") or "\\" in folder or ".." in parts or not parts):
            raise Problem(f"{shown(folder)} is no folder inside a repository", fix="write one such as adapters/imdb")
        return None if folder is None else "/".join(parts)


class LayersConfig(Settings):
    """The layer-by-layer account: which hidden states are captured, and how they are compared."""

    examples: int = Field(500, ge=8, le=MOST, description="Examples per task (the same number for all)")
    position: Literal["last", "mean"] = Field("last", description="The last prompt token, or the prompt's mean")
    measures: Texts = Field((), description="Similarity measures beside the default ones, by name")
    causal: int = Field(
        100, ge=0, le=MOST, description="Examples per task on which adapters are gated by windows (0: not done)"
    )

    @field_validator("measures")
    @classmethod
    def _measures(cls, measures: tuple[str, ...]) -> tuple[str, ...]:
        for index, name in enumerate(measures):
            check_name("measure", name, (index,))
        return measures


class ComputeConfig(Settings):
    """Where and in what portions the work runs. None of it changes a result beyond rounding."""

    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, mps, cuda or cuda:1")
    slots: Auto = Field("auto", description="Adapters trained side by side in one pass")
    tokens_per_pass: Auto = Field("auto", description="Most tokens in one forward pass")
    threads: Few = Field("auto", description="CPU threads of a process")
    workers: Few = Field("auto", description="Processes in a run (auto: one for each GPU; on a CPU where they pay)")
