"""What the statistics of a dataset are computed from: its text, its labels and, if at hand, three arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.stats.text import words

Tokenizer = Callable[[str], Sequence[object]]


@dataclass(frozen=True, kw_only=True, eq=False)
class DatasetText:
    """One dataset as text.

    Attributes:
        name: the dataset's name in the study.
        prompts: rendered prompts, one per example (S of them).
        answers: the texts a model is trained to answer, one per example.
        classes: label words in class order, for a choice task whose rows share their options; else None.
        labels: class index of every example; read off the answers where only ``classes`` is given.
        meanings: what each class stands for, where the label words (0, 1, A, B) do not say so.
        answer_loss_S: the base model's loss on each answer, nats per token.
        hidden_SD: the base model's mean hidden state of each example (some examples will do).
        embeddings_SD: an embedding of each example by a model of the user's choice.
    """

    name: str
    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    classes: tuple[str, ...] | None = None
    labels: tuple[int, ...] | None = None
    meanings: tuple[str, ...] | None = None
    answer_loss_S: NDArray[np.floating] | None = None
    hidden_SD: NDArray[np.floating] | None = None
    embeddings_SD: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        where = f"dataset {self.name!r}"
        if not self.prompts:
            raise TraitscopeError("has no examples", where=where, fix="give it at least one row")
        if len(self.prompts) != len(self.answers):
            raise TraitscopeError(
                f"{len(self.prompts)} prompts but {len(self.answers)} answers",
                where=where,
                fix="give one answer for every prompt",
            )
        if self.classes is None:
            return
        labels = self.labels if self.labels is not None else self._read_labels(self.classes)
        if labels is not None and len(labels) != len(self.answers):
            raise TraitscopeError(
                f"{len(labels)} labels for {len(self.answers)} examples",
                where=where,
                fix="give one class index for every example",
            )
        if labels is not None and labels and not 0 <= min(labels) <= max(labels) < len(self.classes):
            raise TraitscopeError(
                f"a label is outside 0..{len(self.classes) - 1}",
                where=where,
                fix="labels are indices into `classes`",
            )
        if self.meanings is not None and len(self.meanings) != len(self.classes):
            raise TraitscopeError(
                f"{len(self.meanings)} meanings for {len(self.classes)} classes",
                where=where,
                fix="give one meaning for every class",
            )
        object.__setattr__(self, "labels", labels)

    def _read_labels(self, classes: tuple[str, ...]) -> tuple[int, ...] | None:
        index = {word.strip(): i for i, word in enumerate(classes)}
        found = [index.get(answer.strip(), -1) for answer in self.answers]
        return None if -1 in found else tuple(found)

    @classmethod
    def from_examples(
        cls,
        name: str,
        examples: Sequence[Example],
        *,
        meanings: Sequence[str] | None = None,
        answer_loss_S: NDArray[np.floating] | None = None,
        hidden_SD: NDArray[np.floating] | None = None,
        embeddings_SD: NDArray[np.floating] | None = None,
    ) -> DatasetText:
        """From a task's rendered rows; they are classes where all rows share their options."""
        options = {example.options for example in examples}
        shared = next(iter(options)) if len(options) == 1 else None
        gold = tuple(-1 if example.gold is None else example.gold for example in examples)
        return cls(
            name=name,
            prompts=tuple(example.prompt for example in examples),
            answers=tuple(example.answer for example in examples),
            classes=shared,
            labels=gold if shared is not None and -1 not in gold else None,
            meanings=tuple(meanings) if meanings is not None else None,
            answer_loss_S=answer_loss_S,
            hidden_SD=hidden_SD,
            embeddings_SD=embeddings_SD,
        )


class Prepared:
    """A dataset with what several statistics share, counted once. ``tokenizer`` may be None."""

    def __init__(self, data: DatasetText, tokenizer: Tokenizer | None, *, sample: int, seed: int) -> None:
        self.data = data
        self.tokenizer = tokenizer
        self.sample = sample
        self.seed = seed
        self.collisions: float = float("nan")

    def texts(self, part: str) -> tuple[str, ...]:
        """The prompts or the answers."""
        return self.data.prompts if part == "prompt" else self.data.answers

    @cached_property
    def prompt_words(self) -> list[list[str]]:
        """Words of every prompt."""
        return [words(text) for text in self.data.prompts]

    @cached_property
    def answer_words(self) -> list[list[str]]:
        """Words of every answer."""
        return [words(text) for text in self.data.answers]

    def words(self, part: str) -> list[list[str]]:
        """Words of every prompt or answer."""
        return self.prompt_words if part == "prompt" else self.answer_words

    @cached_property
    def _tokens(self) -> dict[str, NDArray[np.float64]]:
        if self.tokenizer is None:
            return {}
        cache: dict[str, int] = {}
        out = {}
        for part in ("prompt", "answer"):
            for text in self.texts(part):
                if text not in cache:
                    cache[text] = len(self.tokenizer(text))
            out[part] = np.array([cache[text] for text in self.texts(part)], dtype=np.float64)
        return out

    def lengths(self, part: str, unit: str) -> NDArray[np.float64]:
        """Length of every prompt or answer in ``tokens`` or ``words``; empty where there is no tokenizer."""
        if unit == "words":
            return np.array([len(found) for found in self.words(part)], dtype=np.float64)
        return self._tokens.get(part, np.empty(0))

    @cached_property
    def label_shares(self) -> NDArray[np.float64] | None:
        """Share of every class, or None where the dataset has no classes."""
        if self.data.classes is None or self.data.labels is None:
            return None
        counts = np.bincount(self.data.labels, minlength=len(self.data.classes))
        return counts / counts.sum()

    @cached_property
    def sampled(self) -> list[int]:
        """Indices of the (seeded, sorted) sample on which the costly statistics run."""
        n = len(self.data.prompts)
        if n <= self.sample:
            return list(range(n))
        rng = np.random.default_rng(self.seed)
        return sorted(rng.choice(n, size=self.sample, replace=False).tolist())
