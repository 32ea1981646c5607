"""What a study file may say about one task: its prompt, its answer form and its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from traitscope.config.code import CodeConfig
from traitscope.config.data import MOST, DataConfig, HarnessData, Seed, Texts, one_or_many, some
from traitscope.config.lm_eval import LmEvalConfig, task_text
from traitscope.config.problems import Problem, check_name
from traitscope.config.settings import Settings
from traitscope.config.template import check_template
from traitscope.registry import registry
from traitscope.texts import shown

# Below it logits divided by the temperature may be too large for float32.
LEAST_TEMPERATURE = 1e-6

Form = Literal["choice", "generate", "loss", "lm_eval"]


class GenerateConfig(Settings):
    """A free answer: generation, greedy or drawn, then a parser, then metrics."""

    gold: Texts = Field(
        description="Template of the right answer, or a list of them; a template that is one {{ list }} gives several"
    )
    parse: str = Field("raw", description="How the answer is read out of the generated text")
    max_tokens: int = Field(64, ge=1, le=MOST, description="Most tokens generated per answer")
    stop: Annotated[tuple[str, ...], BeforeValidator(one_or_many)] = Field((), description="Texts that end the answer")
    classes: Annotated[tuple[str, ...], AfterValidator(some)] | None = Field(
        None, description="Class words, where the answer is one of a few (needed by parse: label)"
    )
    samples: int = Field(1, ge=1, le=10_000, description="Answers drawn for every example (several: for pass@k)")
    temperature: float = Field(0.0, ge=0, le=100, description="0: greedy; above: drawn, logits divided by it")
    top_p: float = Field(1.0, gt=0, le=1, description="Draw from the likeliest tokens that hold so much probability")
    top_k: int = Field(0, ge=0, le=MOST, description="Draw from so many of the likeliest tokens; 0: from all")
    seed: Seed = Field(0, description="Seed of the draws")
    code: CodeConfig | None = Field(
        None, description="The answer is a program that is judged by tests: {tests, before, timeout_s, memory_mb}"
    )

    @field_validator("gold")
    @classmethod
    def _gold(cls, gold: tuple[str, ...]) -> tuple[str, ...]:
        if not gold:
            raise Problem("no gold answer is given", fix='write gold: "{{ column }}"')
        for template in gold:
            check_template(template)
        return gold

    @field_validator("stop")
    @classmethod
    def _stop(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if any(s == "" for s in stop):
            raise Problem("a stop text is empty, which would end every answer at once", fix='write e.g. ["\\n"]')
        return stop

    @model_validator(mode="after")
    def _drawn(self) -> GenerateConfig:
        if 0 < self.temperature < LEAST_TEMPERATURE:
            raise Problem(
                f"a temperature of {self.temperature:g} is too low to divide by",
                fix=f"write 0 for greedy answers, or {LEAST_TEMPERATURE:g} or more",
                keys=("temperature",),
            )
        if self.temperature == 0:
            for name, plain in (("samples", 1), ("top_p", 1.0), ("top_k", 0), ("seed", 0)):
                if getattr(self, name) != plain:
                    raise Problem(
                        f"{name} is for answers that are drawn, and these are greedy",
                        fix="add temperature: 0.8, say",
                        keys=(name,),
                    )
        return self

    @model_validator(mode="after")
    def _parser(self) -> GenerateConfig:
        check_name("parser", self.parse, ("parse",))
        if self.parse == "label" and not self.classes:
            raise Problem("the label parser needs the class words", fix="add classes: [word, word]", keys=("parse",))
        if self.classes is not None:
            _distinct(self.classes, "class", ("classes",))
        return self


class AnswerConfig(Settings):
    """The answer form: exactly one of ``choice``, ``generate`` and ``loss``."""

    choice: str | tuple[str, ...] | None = Field(
        None,
        description="The options, as they follow the prompt; or a template that gives a list from the row",
    )
    gold: str | int | None = Field(
        None, description="Template of the right option: its text, a key of labels, or its index from 0"
    )
    gold_is: Literal["auto", "text", "index"] = Field(
        "auto", description="How gold is read when it could be an option's text and an index alike"
    )
    labels: dict[str, str] | None = Field(None, description="From what gold gives to an option: {0: bad, 1: good}")
    normalise: Literal["characters", "tokens"] = Field(
        "characters", description="The length that accuracy_norm divides an option's log-likelihood by"
    )
    generate: GenerateConfig | None = Field(
        None, description="A free answer: {gold, parse, max_tokens, stop}, and samples and code for pass@k"
    )
    loss: str | None = Field(None, description="Template of the text whose loss is measured")

    @field_validator("labels", mode="before")
    @classmethod
    def _label_keys(cls, labels: Any) -> Any:
        return {str(k): v for k, v in labels.items()} if isinstance(labels, Mapping) else labels

    @model_validator(mode="after")
    def _one_form(self) -> AnswerConfig:
        if isinstance(self, HarnessAnswer):
            return self
        given = [n for n in ("choice", "generate", "loss") if getattr(self, n) is not None]
        if len(given) != 1:
            raise Problem(
                "no answer form is given" if not given else f"{' and '.join(given)} are given together",
                fix="write exactly one of choice:, generate: and loss:",
            )
        if self.choice is None:
            for name in ("gold", "labels"):
                if getattr(self, name) is not None:
                    inside = " (generate has its own gold)" if name == "gold" and self.generate else ""
                    raise Problem(f"{name} belongs to choice{inside}", fix=f"remove {name}", keys=(name,))
            if self.loss is not None:
                check_template(self.loss, keys=("loss",))
            return self
        if self.gold is None:
            raise Problem("the right option is not said", fix='add gold: "{{ label }}" beside choice', keys=("gold",))
        check_template(str(self.gold), keys=("gold",))
        if isinstance(self.choice, str):
            check_template(self.choice, keys=("choice",))
            if "{{" not in self.choice:
                raise Problem(
                    "choice must be a list, or a template that gives a list",
                    fix='write choice: [" yes", " no"] or choice: "{{ options }}"',
                    keys=("choice",),
                )
            return self
        if len(self.choice) < 2:
            raise Problem("one option leaves nothing to choose", fix="name at least two options", keys=("choice",))
        _distinct(self.choice, "option", ("choice",))
        for key, option in (self.labels or {}).items():
            if option not in self.choice and option.strip() not in [c.strip() for c in self.choice]:
                raise Problem(
                    f"the label {shown(key)} leads to {shown(option)}, which is not among the options",
                    fix="write one of: " + ", ".join(repr(c) for c in self.choice),
                    keys=("labels", key),
                )
        return self

    @property
    def form(self) -> Form:
        """``choice``, ``generate`` or ``loss``; ``lm_eval`` for a task of lm-evaluation-harness."""
        if self.choice is not None:
            return "choice"
        return "generate" if self.generate is not None else "loss" if self.loss is not None else "lm_eval"

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names (options without the space around them) where all rows share them; else None."""
        if isinstance(self.choice, tuple):
            return tuple(option.strip() for option in self.choice)
        return self.generate.classes if self.generate is not None else None


class HarnessAnswer(AnswerConfig):
    """Stands where lm-evaluation-harness says what an answer is."""


def _distinct(texts: tuple[str, ...], what: str, keys: tuple[str, ...]) -> None:
    bare = [t.strip() for t in texts]
    if "" in bare:
        raise Problem(f"an empty {what}", fix=f"remove the empty {what}", keys=keys)
    twice = next((t for i, t in enumerate(bare) if t in bare[:i]), None)
    if twice is not None:
        raise Problem(f"the {what} {shown(twice)} stands here twice", fix=f"name every {what} once", keys=keys)


class ShotsConfig(Settings):
    """Solved examples in front of every prompt, taken from the task's train rows."""

    n: int = Field(0, ge=0, le=MOST, description="How many")
    from_: Literal["train"] = Field("train", alias="from", description="Where they come from: the train rows")
    seed: Seed = Field(0, description="Seed of their choice")
    fixed: bool = Field(True, description="true: the same for every example; false: drawn anew for each")
    separator: str = Field("\n\n", description="Text between the examples (plain prompts only)")


class MessageConfig(Settings):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"] = Field(description="Who speaks")
    content: str = Field(description="Template of what is said")

    @field_validator("content")
    @classmethod
    def _content(cls, content: str) -> str:
        check_template(content)
        return content


DEFAULT_METRICS: dict[Form, tuple[str, ...]] = {
    "choice": ("accuracy",),
    "generate": ("exact_match",),
    "loss": ("loss",),
    "lm_eval": (),
}

# What may stand beside lm_eval: the harness' task says the rest.
_BESIDE_LM_EVAL = ("lm_eval", "tags", "copy_of")


NOT_VARIABLES = (
    *("add_generation_prompt", "chat_template", "continue_final_message", "conversation", "max_length", "messages"),
    *("padding", "return_assistant_tokens_mask", "return_dict", "return_tensors", "sanitize_control_tokens"),
    *("strftime_now", "tokenize", "tokenizer_kwargs", "truncation"),
)
"""Arguments of ``apply_chat_template`` that say how a turn is rendered, and what it puts into every template."""


class TaskConfig(Settings):
    """One task: where its rows are, how they are asked, what an answer is and how it is judged.

    A task of lm-evaluation-harness has ``lm_eval`` in place of all that: a target only.
    """

    lm_eval: Annotated[LmEvalConfig | None, BeforeValidator(task_text)] = Field(
        None, description="A task of lm-evaluation-harness, by name or in detail, instead of data, prompt and answer"
    )
    data: DataConfig = Field(description="Where the rows are and how many are taken")
    prompt: str | None = Field(None, description="Jinja template of the prompt over a row's columns")
    messages: tuple[MessageConfig, ...] | None = Field(
        None, description="Turns of a conversation, instead of prompt (uses the tokenizer's chat template)"
    )
    chat: bool | dict[str, Any] = Field(
        False,
        description="true: the prompt is one user turn in the tokenizer's chat template; or the template's variables, "
        "such as {enable_thinking: false}",
    )
    answer: AnswerConfig = Field(description="The answer form: choice, generate or loss")
    shots: ShotsConfig = Field(default_factory=ShotsConfig, description="Solved examples in front of the prompt")
    metrics: Texts = Field((), description="Names of metrics; the first is the primary one")
    overlong: Literal["error", "cut", "drop"] = Field(
        "error",
        description="Rows longer than the token limit: refused before anything is trained, their prompts cut in the "
        "middle, or left out for every model",
    )
    row_tags: dict[str, str] = Field(
        default_factory=dict, description="Free labels of every example: {name: template over the row}"
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Free labels of the task: kind, cluster, ...")
    copy_of: str | None = Field(
        None,
        description="The task whose rows these are once more, rebalanced or asked otherwise: what one teaches the "
        "other is no transfer (tasks that read the same rows are copies without it)",
    )

    @model_validator(mode="before")
    @classmethod
    def _harness(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("lm_eval") is None:
            return data
        for key in data:
            if key not in _BESIDE_LM_EVAL:
                raise Problem(
                    f"{shown(key)} stands beside lm_eval, whose task has its own",
                    fix=f"remove {key} (what may change is under lm_eval: num_fewshot, limit, metric, ...)",
                    keys=(key,),
                )
        # Stand-ins, so that a task has rows to be evaluated on, none to train on, and an answer form.
        return {**data, "data": HarnessData(), "answer": HarnessAnswer()}

    @field_validator("tags", mode="before")
    @classmethod
    def _tag_text(cls, tags: Any) -> Any:
        if not isinstance(tags, Mapping):
            return tags
        return {k: str(v) if isinstance(v, int | float) and not isinstance(v, bool) else v for k, v in tags.items()}

    @model_validator(mode="after")
    def _whole(self) -> TaskConfig:
        if self.lm_eval is not None:
            # What nobody wrote is not written again when the study is.
            self.__pydantic_fields_set__.difference_update(("data", "answer"))
            return self
        form = self.answer.form
        if self.prompt is not None and self.messages is not None:
            raise Problem("prompt and messages are given together", fix="remove one of the two", keys=("messages",))
        if self.prompt is None and self.messages is None and form != "loss":
            raise Problem("there is no prompt", fix='add prompt: "..." (or messages:)', keys=("prompt",))
        if self.chat is not False and self.prompt is None and self.messages is None:
            raise Problem("chat needs a prompt", fix="add prompt: or messages:", keys=("chat",))
        taken = next((name for name in self.chat_variables if name in NOT_VARIABLES), None)
        if taken is not None:
            raise Problem(
                f"{shown(taken)} is no variable of a chat template: it is set for every prompt by itself",
                fix=f"remove {taken}",
                keys=("chat", taken),
            )
        if self.prompt is not None:
            check_template(self.prompt, keys=("prompt",))
        if self.messages is not None and (not self.messages or self.messages[-1].role != "user"):
            raise Problem(
                "the last turn must be the user's, since the model answers it",
                fix="end messages with {role: user, content: ...}",
                keys=("messages",),
            )
        for name, template in self.row_tags.items():
            check_template(template, keys=("row_tags", name))
        self._check_metrics()
        return self

    def _check_metrics(self) -> None:
        form = self.answer.form
        for index, name in enumerate(self.metrics):
            check_name("metric", name, ("metrics", index))
            metric = registry("metric").get(name).value
            if form not in metric.forms:
                fitting = [e.name for e in registry("metric") if form in e.value.forms]
                raise Problem(
                    f"the metric {shown(name)} does not fit answers of the form {shown(form)}",
                    fix="use one of: " + ", ".join(fitting),
                    keys=("metrics", index),
                )
            if metric.needs_classes and self.answer.classes is None:
                raise Problem(
                    f"the metric {shown(name)} needs classes that all rows share",
                    fix="list the options under choice, or the words under generate.classes, or use accuracy",
                    keys=("metrics", index),
                )
            generate = self.answer.generate
            if generate is not None and metric.needs_samples > generate.samples:
                raise Problem(
                    f"the metric {shown(name)} needs {metric.needs_samples} samples of every answer, and "
                    f"{generate.samples} {'is' if generate.samples == 1 else 'are'} drawn",
                    fix=f"write samples: {metric.needs_samples} or more under generate, with a temperature above 0, "
                    "or a smaller k",
                    keys=("metrics", index),
                )
            if name in self.metrics[:index]:
                raise Problem(
                    f"the metric {shown(name)} stands here twice", fix="name it once", keys=("metrics", index)
                )
        self._check_samples()

    def _check_samples(self) -> None:
        """Refuses samples that nothing judges, and tests whose outcome nothing counts."""
        generate = self.answer.generate
        if generate is None or (generate.samples == 1 and generate.code is None):
            return
        if not any(registry("metric").get(name).value.needs_samples for name in self.metric_names):
            said = "tests are given" if generate.code else f"{generate.samples} samples are drawn"
            raise Problem(f"{said}, and no metric counts them", fix="add pass@1 to metrics", keys=("metrics",))

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics, the primary one first; the form's default where none is named."""
        if not self.metrics and self.answer.generate is not None and self.answer.generate.code is not None:
            return ("pass@1",)
        return self.metrics or DEFAULT_METRICS[self.answer.form]

    @property
    def uses_chat(self) -> bool:
        """Whether prompts go through the tokenizer's chat template."""
        harness = self.lm_eval is not None and self.lm_eval.apply_chat_template
        return self.chat is not False or self.messages is not None or harness

    @property
    def chat_variables(self) -> dict[str, Any]:
        """What the study hands to the chat template."""
        return dict(self.chat) if isinstance(self.chat, dict) else {}
