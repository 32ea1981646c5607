"""The sections of a study file that stand for themselves: the base, further models, layers, and where it computes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from traitscope.config.data import MOST, Filled, Texts
from traitscope.config.problems import check_name
from traitscope.config.settings import Settings

Auto = Annotated[int, Field(ge=1, le=MOST)] | Literal["auto"]
# Of threads or processes: more than this many of either end a process, or the machine.
Few = Annotated[int, Field(ge=1, le=1024)] | Literal["auto"]


def model_text(value: Any) -> Any:
    """A model that is named by a text alone."""
    return {"model": value} if isinstance(value, str) else value


class BaseConfig(Settings):
    """The untuned causal language model that everything is compared with."""

    model: Filled = Field(
        description="A Hub id, a local folder or GGUF file (from the study file's folder), or a built-in base: "
        "embedded, smollm2-135m"
    )
    revision: Filled | None = Field(None, description="Hub revision: a commit, tag or branch")
    dtype: Literal["auto", "fp32", "bf16", "fp64", "nf4"] = Field(
        "auto", description="Precision of the frozen weights; nf4: 4 bits, through bitsandbytes (the extra 4bit)"
    )


class ModelConfig(Settings):
    """A row of the matrix that is not trained here: another full model, or a PEFT adapter of the base."""

    model: Filled = Field(
        description="A Hub id or a local folder (from the study file's folder) of a model or of a PEFT adapter, a GGUF "
        "file, or a built-in base"
    )
    revision: Filled | None = Field(None, description="Hub revision: a commit, tag or branch")
    trained_on: Texts | None = Field(
        None,
        description="Tasks of this study that it was trained on: the row then counts as a source (of several: a mix) "
        "and these cells as its own; []: on none of them; left out: not known, the row stands beside the traits",
    )


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
    workers: Few = Field("auto", description="Processes of this machine in a run (auto: several only on a CPU)")
