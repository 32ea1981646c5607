"""What a study file may say about a task of lm-evaluation-harness: which, and how it is asked."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from traitscope.config.data import MOST, Filled, Seed, Texts
from traitscope.config.problems import Problem
from traitscope.config.settings import Settings
from traitscope.texts import shown

# Keys of gen_kwargs that greedy decoding knows; what else the harness passes on changes which token is taken.
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
# Settings that change nothing at this value.
_NEUTRAL = {"num_beams": 1, "repetition_penalty": 1.0, "num_return_sequences": 1, "use_cache": True}
GREEDY = ("until", "do_sample", "temperature", "top_p", "top_k", *LENGTHS)


def task_text(value: Any) -> Any:
    """A task that is named by a text alone."""
    return {"task": value} if isinstance(value, str) else value


class LmEvalConfig(Settings):
    """A task or group of lm-evaluation-harness, asked as its ``simple_evaluate`` asks it."""

    task: Filled = Field(
        description="Name of a task or of a group with an aggregate, or a YAML file of your own (from the study file's "
        "folder)"
    )
    include_path: Texts = Field(
        (), description="Folders with tasks of your own (from the study file's folder); their Python files are run"
    )
    num_fewshot: int | None = Field(None, ge=0, le=MOST, description="Solved examples; default: what the task says")
    limit: int | None = Field(None, ge=1, le=MOST, description="The first so many documents (of every task of a group)")
    fewshot_seed: Seed = Field(1234, description="Seed of the choice of solved examples")
    system_instruction: Filled | None = Field(None, description="Text in front of everything, or the system's turn")
    apply_chat_template: bool = Field(False, description="true: prompts are turns in the tokenizer's chat template")
    fewshot_as_multiturn: bool = Field(True, description="true: solved examples are turns of their own in a chat")
    gen_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Changes of how answers are generated: {max_gen_toks: 64, until: [...]}"
    )
    metric: Filled | None = Field(
        None, description="The primary metric, as acc_norm or exact_match,strict-match; default: the task's first"
    )
    bootstrap_iters: int = Field(
        1000, ge=0, le=MOST, description="Draws where lm-eval bootstraps a standard error (its own default is 100,000)"
    )

    @field_validator("gen_kwargs")
    @classmethod
    def _gen_kwargs(cls, given: dict[str, Any]) -> dict[str, Any]:
        for key in given:
            if key not in GREEDY:
                raise Problem(
                    f"{shown(key)} is no setting of greedy generation",
                    fix="use max_gen_toks and until",
                    keys=(key,),
                )
        if (why := sampled(given)) is not None:
            raise Problem(f"{why}, and answers are generated greedily", fix="remove it")
        for key in LENGTHS:
            if key in given and (not isinstance(given[key], int) or given[key] < 1):
                raise Problem(f"{key} must be a whole number above 0", fix=f"write {key}: 64", keys=(key,))
        return given

    @model_validator(mode="after")
    def _chat(self) -> LmEvalConfig:
        if not self.fewshot_as_multiturn and not self.apply_chat_template:
            raise Problem(
                "fewshot_as_multiturn is about chats, and the prompts are plain",
                fix="remove it, or add apply_chat_template: true",
                keys=("fewshot_as_multiturn",),
            )
        return self


def sampled(settings: dict[str, Any]) -> str | None:
    """What in generation settings asks for other answers than the greedy one; None where nothing does."""
    if settings.get("do_sample"):
        return "do_sample: true draws answers at random"
    try:
        temperature = float(settings.get("temperature") or 0.0)
    except (TypeError, ValueError):
        return f"the temperature {shown(settings['temperature'])} is no number"
    # Where do_sample is false, lm-eval sets the temperature to 0.
    if temperature > 0 and settings.get("do_sample") is None:
        return f"temperature: {temperature:g} draws answers at random"
    return None


def greedy_problem(settings: dict[str, Any], override: str) -> tuple[str, str] | None:
    """What in a task's own generation settings is not answered here, and what to do about it; None where nothing is.

    Args:
        settings: of the task. override: how a user sets others in place of a draw at random.
    """
    if (why := sampled(settings)) is not None:
        return why, f"{override}, or take another task"
    unknown = next((key for key, value in settings.items() if key not in GREEDY and _NEUTRAL.get(key) != value), None)
    if unknown is None:
        return None
    return (
        f"{shown(unknown)} changes which tokens are generated",
        "take another task, or write a YAML file of your own that includes this one and has generation_kwargs "
        f"without {shown(unknown)}",
    )
