"""Which rows are too long for the models that must read them: found with tokenizers alone, before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from traitscope.config import StudyConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.store.models import ModelSource
from traitscope.store.reading import load_tokenizer, max_positions, reading_mark
from traitscope.tasks.lengths import Length, evaluation_lengths, training_lengths
from traitscope.tasks.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Reader:
    """A model of a study that reads rows with a tokenizer of its own: the base, or another full model."""

    def __init__(self, name: str, source: ModelSource) -> None:
        self.name = name
        self.source = source

    @cached_property
    def mark(self) -> str:
        """What stands for its tokenizer and its positions."""
        return reading_mark(self.source)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer, loaded on first use."""
        return load_tokenizer(self.source)

    @cached_property
    def positions(self) -> int | None:
        """Tokens that a row may have; None without a limit."""
        return max_positions(self.source)


@dataclass(frozen=True, slots=True)
class Worst:
    """The row that is furthest from fitting: its id, tokens of prompt and answer, the limit, who sets it."""

    id: str
    prompt: int
    answer: int
    limit: int
    reader: str


@dataclass(frozen=True, slots=True)
class Overlong:
    """The rows of one split that are too long for a model.

    Attributes:
        n: rows of the split.
        by: ids of the rows that are too long, by reader.
        worst: the worst of them; None where all fit.
        hopeless: the worst one whose answer alone leaves no room for a prompt; None where there is none.
    """

    n: int
    by: Mapping[str, tuple[str, ...]]
    worst: Worst | None
    hopeless: Worst | None

    @property
    def ids(self) -> frozenset[str]:
        """The rows that are too long for some model."""
        return frozenset(name for names in self.by.values() for name in names)

    def to_json(self) -> dict[str, Any]:
        """For ``local.json``."""
        rows = {"worst": self.worst, "hopeless": self.hopeless}
        by = {name: list(ids) for name, ids in self.by.items()}
        return {"n": self.n, "by": by, **{key: row and list(astuple(row)) for key, row in rows.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Overlong:
        """What ``to_json`` gave."""
        worst, hopeless = (data[key] and Worst(*data[key]) for key in ("worst", "hopeless"))
        return cls(data["n"], {name: tuple(ids) for name, ids in data["by"].items()}, worst, hopeless)


Lengths = Callable[[Task, Sequence[Example], "PreTrainedTokenizerBase"], list[Length]]


def find_overlong(
    task: Task, examples: Sequence[Example], limits: Mapping[Reader, int | None], *, train: bool
) -> Overlong:
    """The rows that are longer than a reader's limit, as training rows or as evaluation rows."""
    measure: Lengths = training_lengths if train else evaluation_lengths
    by: dict[str, tuple[str, ...]] = {}
    worst: list[Worst] = []
    for reader, given in limits.items():
        # Read in any case: an answer may have no token of its own.
        limit = sys.maxsize if given is None else given
        found = [
            Worst(example.id, *length, limit, reader.name)
            for example, length in zip(examples, measure(task, examples, reader.tokenizer), strict=True)
            if length.total > limit
        ]
        if found:
            by[reader.name] = tuple(row.id for row in found)
        worst += found

    def excess(row: Worst) -> int:
        return row.prompt + row.answer - row.limit

    hopeless = [row for row in worst if row.answer >= row.limit]
    return Overlong(len(examples), by, max(worst, key=excess, default=None), max(hopeless, key=excess, default=None))


def training_limits(config: StudyConfig) -> dict[str, int]:
    """Most tokens of a training row, for every task that something trains on: the least of all recipes that do.

    One limit for all adapters, so that they lose the same rows. The base's positions are not in it.
    """
    found: dict[str, int] = {}
    parts = [(source.task, source.recipe) for source in config.resolved_sources()]
    for name, mix in config.mixes.items():
        recipe = config.recipe.changed(mix.change)
        parts += [(part.task, recipe) for part in config.mix_sources(name)]
    for task, recipe in parts:
        found[task] = min(found.get(task, recipe.max_tokens), recipe.max_tokens)
    return found


def refusal(task: Task, split: str, found: Overlong) -> TraitscopeError | None:
    """The error for rows that the task neither cuts nor leaves out, or that cannot be cut; None where all is well."""
    rule = task.config.overlong
    row = found.hopeless if rule == "cut" else found.worst
    if row is None or (rule == "drop" and len(found.ids) < found.n):
        return None
    if rule == "drop":
        what, ways = f"all {found.n} {split} rows are too long, so none is left", []
    elif rule == "cut":
        what, ways = f"the answer in the {split} rows leaves no room for a prompt", ["write overlong: drop"]
    else:
        what = f"{len(found.ids)} of {found.n} {split} rows are too long"
        ways = ["write overlong: cut (prompts lose their middle) or overlong: drop (left out for every model)"]
    whose = "" if row.reader == "base" else f" for the model {row.reader}"
    more = "raise recipe.max_tokens, where that is the limit" if split != "eval" else "take a base with more positions"
    return TraitscopeError(
        f"{what}: {row.id} has {row.prompt + row.answer} tokens ({row.prompt} of the prompt, {row.answer} for the "
        f"answer), and the limit is {row.limit}{whose}",
        where=task.where(),
        fix="; or ".join([*ways, "shorten the prompt or take fewer shots", more]),
    )
