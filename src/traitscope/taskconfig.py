"""What a study file may say about one task: its rows, its prompt, its answer form and its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from traitscope.metrics import METRICS
from traitscope.problems import Problem
from traitscope.registry import did_you_mean
from traitscope.settings import Settings
from traitscope.tasks.parsers import PARSERS
from traitscope.tasks.template import check_condition, check_template

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
Form = Literal["choice", "generate", "loss"]


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]


class SplitPaths(Settings):
    """Separate files (or separate splits of one source) for training and for evaluation."""

    train: Texts | None = Field(None, description="File, glob or split that a source trains on")
    eval: Texts | None = Field(None, description="File, glob or split that models are evaluated on")

    @model_validator(mode="after")
    def _some(self) -> SplitPaths:
        if self.train is None and self.eval is None:
            raise Problem("neither train nor eval is named", fix="write {train: ..., eval: ...} or one of the two")
        return self


def _split_paths(value: Any) -> Any:
    return {"train": value, "eval": value} if isinstance(value, str | list | tuple) else value


class DataConfig(Settings):
    """Where the rows of a task are, and how many of them train and evaluate.

    Exactly one of ``path``, ``hub`` and ``embedded``. One file (or one split) is divided by seed: no row, and
    no question that stands in it twice, is on both sides. With separate train and eval files the rows of
    ``train`` that repeat a question of ``eval`` are dropped (see ``duplicates``).
    """

    path: Texts | SplitPaths | None = Field(
        None,
        description="A file, glob or list of them, or {train: ..., eval: ...}; from the study file's folder",
    )
    hub: str | None = Field(None, description="A Hugging Face Hub dataset id such as stanfordnlp/imdb")
    embedded: str | None = Field(None, description="The name of one of the built-in generated tasks")
    revision: str | None = Field(None, description="Hub revision: a commit, tag or branch")
    subset: str | None = Field(None, description="The Hub dataset's configuration name, where it has several")
    splits: str | SplitPaths | None = Field(
        None,
        description="Splits of a Hub dataset or saved folder: {train: ..., eval: ...}, or one to divide",
    )
    format: Literal["csv", "tsv", "json", "jsonl", "parquet", "lines", "conll", "folder"] | None = Field(
        None, description="The file format, where the file's ending does not say it"
    )
    field: str | None = Field(
        None,
        description="Dotted key of the row list in a JSON object; * takes every key (column _key says which)",
    )
    columns: Texts | None = Field(None, description="Column names of a file without a header line")
    delimiter: str | None = Field(None, description="The one character between columns (csv and tsv)")
    quotes: bool | None = Field(None, description='Whether "..." encloses values; default: true for csv, false for tsv')
    encoding: str = Field("utf-8", description="Text encoding of the file")
    join: dict[str, str] = Field(
        default_factory=dict,
        description="Extra columns from plain text files with one line per row: {column: file}",
    )
    where_: str | dict[str, Any] | None = Field(
        None,
        alias="where",
        description="Rows to keep: a Jinja condition over the columns, or {column: allowed values}",
    )
    train: Annotated[int, Field(ge=0)] | Literal["all"] = Field("all", description="How many rows a source trains on")
    eval: Annotated[int, Field(ge=0)] | Literal["all"] | None = Field(
        None,
        description="How many rows evaluate; default: all of an eval file, a fifth (at most 1000) of a file "
        "that is divided",
    )
    seed: int = Field(0, ge=0, description="Seed of the order of the rows and of the division")
    duplicates: Literal["drop", "refuse", "keep"] = Field(
        "drop", description="Train rows whose question stands in the eval rows too: dropped, refused or kept"
    )

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        given = [n for n in ("path", "hub", "embedded") if getattr(self, n) is not None]
        if len(given) != 1:
            raise Problem(
                "no source of rows is given" if not given else f"{' and '.join(given)} are given together",
                fix="write exactly one of path: (files), hub: (a dataset id) and embedded: (a built-in task)",
            )
        local_only = ("format", "field", "columns", "delimiter", "quotes")
        if given[0] != "path":
            for name in (*local_only, "join"):
                if getattr(self, name):
                    raise Problem(f"{name} is for files, not for {given[0]}", fix=f"remove {name}", keys=(name,))
        if given[0] != "hub":
            for name in ("revision", "subset"):
                if getattr(self, name) is not None:
                    raise Problem(f"{name} is for Hub datasets only", fix=f"remove {name}", keys=(name,))
        if given[0] == "embedded" and self.splits is not None:
            raise Problem("embedded tasks have their own train and eval rows", fix="remove splits", keys=("splits",))
        if self.splits is not None and isinstance(self.path, SplitPaths):
            raise Problem("path already says what trains and what evaluates", fix="remove splits", keys=("splits",))
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise Problem(
                f"the delimiter must be one character, not {self.delimiter!r}",
                fix='write one, such as delimiter: ";" or "\\t" in double quotes',
                keys=("delimiter",),
            )
        return self

    @field_validator("columns")
    @classmethod
    def _columns(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = sorted({c for c in columns or () if (columns or ()).count(c) > 1})
        if twice or columns == ():
            raise Problem(
                f"the column {twice[0]!r} is named twice" if twice else "the list is empty",
                fix="name every column once, in the file's order",
            )
        return columns

    @field_validator("where_")
    @classmethod
    def _where(cls, where: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
        if isinstance(where, str):
            check_condition(where)
        elif isinstance(where, dict):
            for column, allowed in where.items():
                values = allowed if isinstance(allowed, list) else [allowed]
                if not values or any(isinstance(v, Mapping | list) for v in values):
                    raise Problem(
                        f"the allowed values of {column!r} must be a value or a list of values",
                        fix=f"write {{{column}: [value, value]}}",
                        keys=(column,),
                    )
        return where

    @property
    def divided(self) -> bool:
        """Whether one set of rows is divided by seed into train and eval."""
        if self.embedded is not None:
            return False
        return not isinstance(self.path, SplitPaths) and not isinstance(self.splits, SplitPaths)

    def part_is_named(self, name: Literal["train", "eval"]) -> bool:
        """Whether there are rows for this part, whatever number of them is taken."""
        for paths in (self.path, self.splits):
            if isinstance(paths, SplitPaths):
                return getattr(paths, name) is not None
        return True

    @property
    def has_train(self) -> bool:
        """Whether the task has rows to train on (known without reading them)."""
        return self.train != 0 and self.part_is_named("train")

    @property
    def has_eval(self) -> bool:
        """Whether the task has rows to be evaluated on (known without reading them)."""
        return self.eval != 0 and self.part_is_named("eval")


class GenerateConfig(Settings):
    """A free answer: greedy generation, then a parser, then metrics."""

    gold: Texts = Field(
        description="Template of the right answer, or a list of them; a template that is one {{ list }} gives several"
    )
    parse: str = Field("raw", description="How the answer is read out of the generated text")
    max_tokens: int = Field(64, ge=1, description="Most tokens generated per answer")
    stop: Texts = Field((), description="Texts that end the answer")
    classes: tuple[str, ...] | None = Field(
        None, description="Class words, where the answer is one of a few (needed by parse: label)"
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
    def _parser(self) -> GenerateConfig:
        if self.parse not in PARSERS:
            raise Problem(
                f"unknown parser {self.parse!r}",
                fix=did_you_mean(self.parse, PARSERS.names()),
                keys=("parse",),
            )
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
    generate: GenerateConfig | None = Field(None, description="A free answer: {gold, parse, max_tokens, stop}")
    loss: str | None = Field(None, description="Template of the text whose loss is measured")

    @field_validator("labels", mode="before")
    @classmethod
    def _label_keys(cls, labels: Any) -> Any:
        return {str(k): v for k, v in labels.items()} if isinstance(labels, Mapping) else labels

    @model_validator(mode="after")
    def _one_form(self) -> AnswerConfig:
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
                    f"the label {key!r} leads to {option!r}, which is not among the options",
                    fix="write one of: " + ", ".join(repr(c) for c in self.choice),
                    keys=("labels", key),
                )
        return self

    @property
    def form(self) -> Form:
        """``choice``, ``generate`` or ``loss``."""
        return "choice" if self.choice is not None else "generate" if self.generate is not None else "loss"

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names (options without the space around them) where all rows share them; else None."""
        if isinstance(self.choice, tuple):
            return tuple(option.strip() for option in self.choice)
        return self.generate.classes if self.generate is not None else None


def _distinct(texts: tuple[str, ...], what: str, keys: tuple[str, ...]) -> None:
    bare = [t.strip() for t in texts]
    if "" in bare:
        raise Problem(f"an empty {what}", fix=f"remove the empty {what}", keys=keys)
    twice = next((t for i, t in enumerate(bare) if t in bare[:i]), None)
    if twice is not None:
        raise Problem(f"the {what} {twice!r} stands here twice", fix=f"name every {what} once", keys=keys)


class ShotsConfig(Settings):
    """Solved examples in front of every prompt, taken from the task's train rows."""

    n: int = Field(0, ge=0, description="How many")
    from_: Literal["train"] = Field("train", alias="from", description="Where they come from: the train rows")
    seed: int = Field(0, ge=0, description="Seed of their choice")
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
}


class TaskConfig(Settings):
    """One task: where its rows are, how they are asked, what an answer is and how it is judged."""

    data: DataConfig = Field(description="Where the rows are and how many are taken")
    prompt: str | None = Field(None, description="Jinja template of the prompt over a row's columns")
    messages: tuple[MessageConfig, ...] | None = Field(
        None, description="Turns of a conversation, instead of prompt (uses the tokenizer's chat template)"
    )
    chat: bool = Field(False, description="true: the prompt is one user turn in the tokenizer's chat template")
    answer: AnswerConfig = Field(description="The answer form: choice, generate or loss")
    shots: ShotsConfig = Field(default_factory=ShotsConfig, description="Solved examples in front of the prompt")
    metrics: Texts = Field((), description="Names of metrics; the first is the primary one")
    overlong: Literal["cut", "refuse"] = Field(
        "cut", description="Prompts longer than the token limit: cut in the middle, or refused"
    )
    row_tags: dict[str, str] = Field(
        default_factory=dict, description="Free labels of every example: {name: template over the row}"
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Free labels of the task: kind, cluster, ...")

    @field_validator("tags", mode="before")
    @classmethod
    def _tag_text(cls, tags: Any) -> Any:
        if not isinstance(tags, Mapping):
            return tags
        return {k: str(v) if isinstance(v, int | float) and not isinstance(v, bool) else v for k, v in tags.items()}

    @model_validator(mode="after")
    def _whole(self) -> TaskConfig:
        form = self.answer.form
        if self.prompt is not None and self.messages is not None:
            raise Problem("prompt and messages are given together", fix="remove one of the two", keys=("messages",))
        if self.prompt is None and self.messages is None and form != "loss":
            raise Problem("there is no prompt", fix='add prompt: "..." (or messages:)', keys=("prompt",))
        if self.chat and self.prompt is None and self.messages is None:
            raise Problem("chat needs a prompt", fix="add prompt: or messages:", keys=("chat",))
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
            if name not in METRICS:
                raise Problem(
                    f"unknown metric {name!r}",
                    fix=did_you_mean(name, METRICS.names()),
                    keys=("metrics", index),
                )
            metric = METRICS.get(name).value
            if form not in metric.forms:
                fitting = [e.name for e in METRICS if form in e.value.forms]
                raise Problem(
                    f"the metric {name!r} does not fit answers of the form {form!r}",
                    fix="use one of: " + ", ".join(fitting),
                    keys=("metrics", index),
                )
            if metric.needs_classes and self.answer.classes is None:
                raise Problem(
                    f"the metric {name!r} needs classes that all rows share",
                    fix="list the options under choice, or the words under generate.classes, or use accuracy",
                    keys=("metrics", index),
                )
            if name in self.metrics[:index]:
                raise Problem(f"the metric {name!r} stands here twice", fix="name it once", keys=("metrics", index))

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics, the primary one first; the form's default where none is named."""
        return self.metrics or DEFAULT_METRICS[self.answer.form]

    @property
    def uses_chat(self) -> bool:
        """Whether prompts go through the tokenizer's chat template."""
        return self.chat or self.messages is not None
