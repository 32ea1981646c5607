"""Single examples as a reader sees them: prompt, right answer, both models' answers, sorted by who was right."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from traitscope.records import Example, ExampleRecord
from traitscope.texts import safe

T = TypeVar("T")

# What a cell's examples are sorted into. The first four share them out; those without a valid answer are among the
# others too.
TABS = ("won", "lost", "both_wrong", "both_right", "invalid")
# The same of a row that is compared with nothing; of losses there is neither right nor wrong.
ALONE = ("right", "wrong", "invalid")
EVERY = ("all",)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model made of one example.

    Attributes:
        text: the class it chose, or its parsed answer; None where that could not be parsed, or there is none.
        right: 0..1, the primary metric's value; None where answers are neither right nor wrong.
        valid: whether the answer could be parsed.
        output: what it wrote; None where it chose among options.
        cut: whether it was cut off by length.
        loss: of the right answer, in nats per token; None where it is not known.
        scores: log-likelihood of every option in nats; empty where there are none.
        note: what became of it where it is a program, and how many samples there were.
    """

    text: str | None
    right: float | None
    valid: bool
    output: str | None
    cut: bool
    loss: float | None
    scores: tuple[float, ...]
    note: str

    @classmethod
    def of(cls, record: ExampleRecord) -> Answer:
        """From a cell's record."""
        notes = [record.outcomes[0]] if record.outcomes else []
        if record.outputs is not None and len(record.outputs) > 1:
            notes.append(f"first of {len(record.outputs)} samples")
        return cls(
            text=record.pred,
            right=record.correct,
            valid=record.valid,
            output=record.output,
            cut=record.finish == "length",
            loss=record.loss if math.isfinite(record.loss) else None,
            scores=record.logprobs or (),
            note=", ".join(notes),
        )

    def to_json(self, most: int | None = None) -> dict[str, Any]:
        """As the page's script takes it; what is not there or as usual is left out.

        Args:
            most: characters of what it wrote; longer text is cut in its middle.
        """
        found: dict[str, Any] = {}
        if self.text is not None:
            found["text"] = readable(self.text, most)
        if self.right is not None:
            found["right"] = _short(self.right)
        if not self.valid:
            found["invalid"] = True
        if self.output is not None and (self.text is None or self.output.strip() != self.text.strip()):
            found["output"] = readable(self.output, most)
        if self.cut:
            found["cut"] = True
        if self.loss is not None:
            found["loss"] = _short(self.loss)
        if self.scores:
            found["scores"] = [_short(score) for score in self.scores]
        if self.note:
            found["note"] = readable(self.note)
        return found


@dataclass(frozen=True, slots=True)
class Shown:
    """One example of a cell.

    Attributes:
        id: of the example in its task.
        prompt: as the model read it; empty where the folder no longer holds the row.
        gold: the right answer.
        options: the answers that could be chosen; empty where it was written freely.
        base: the base's answer; None where the row is compared with nothing.
        model: the row's.
    """

    id: str
    prompt: str
    gold: str
    options: tuple[str, ...]
    base: Answer | None
    model: Answer

    @classmethod
    def of(cls, record: ExampleRecord, base: ExampleRecord | None, example: Example | None) -> Shown:
        """From the records of both, and the row as it was rendered."""
        options = example.options if example is not None and example.options is not None else ()
        return cls(
            id=record.id,
            prompt="" if example is None else example.prompt,
            gold=record.gold,
            options=tuple(option.strip() or option for option in options),
            base=None if base is None else Answer.of(base),
            model=Answer.of(record),
        )

    def question(self, most: int | None = None) -> dict[str, Any]:
        """What is the same for every model: id, prompt, gold, options."""
        found: dict[str, Any] = {"id": readable(self.id), "prompt": readable(self.prompt, most)}
        found["gold"] = readable(self.gold, most)
        if self.options:
            found["options"] = [readable(option, most) for option in self.options]
        return found

    def to_json(self, most: int | None = None) -> dict[str, Any]:
        """As the page's script takes it: the question, and ``base`` and ``model`` as answers."""
        found = self.question(most)
        if self.base is not None:
            found["base"] = self.base.to_json(most)
        return {**found, "model": self.model.to_json(most)}

    def holds(self, words: Sequence[str]) -> bool:
        """Whether every word occurs in its texts, whatever the case."""
        answers = [self.model] if self.base is None else [self.base, self.model]
        texts = [self.id, self.prompt, self.gold, *(a.text or "" for a in answers), *(a.output or "" for a in answers)]
        whole = "\n".join(texts).casefold()
        return all(word.casefold() in whole for word in words)


def tabs(
    base_records: Sequence[ExampleRecord] | None,
    model_records: Sequence[ExampleRecord],
    examples: Mapping[str, Example],
) -> dict[str, list[Shown]]:
    """The examples of a cell by who was right, each list in the task's order.

    ``won`` are those where the model's value is above the base's, ``lost`` where it is below; of losses, where it has
    the smaller (larger) one. ``both_right`` are equal and 1, ``both_wrong`` equal and less; of losses the equal ones
    count as ``both_right``. ``invalid`` are those where the model's answer could not be parsed, which are
    among the others too. Examples that one of the two was not asked are left out.

    Args:
        base_records: of the base; None for a row that is compared with nothing, whose lists are ``right``, ``wrong``
            and ``invalid``, or ``all`` where it has losses.
        model_records: of the cell.
        examples: the task's rows by id.
    """
    if base_records is None:
        scored = any(record.correct is not None for record in model_records)
        found: dict[str, list[Shown]] = {name: [] for name in (ALONE if scored else EVERY)}
        for record in model_records:
            shown = Shown.of(record, None, examples.get(record.id))
            found["all" if not scored else "right" if (record.correct or 0.0) >= 1 else "wrong"].append(shown)
            if scored and not record.valid:
                found["invalid"].append(shown)
        return found
    base = {record.id: record for record in base_records}
    found = {name: [] for name in TABS}
    for record in model_records:
        other = base.get(record.id)
        if other is None:
            continue
        shown = Shown.of(record, other, examples.get(record.id))
        found[_tab(record, other)].append(shown)
        if not record.valid:
            found["invalid"].append(shown)
    return found


def _tab(record: ExampleRecord, other: ExampleRecord) -> str:
    if record.correct is None or other.correct is None:
        return "won" if record.loss < other.loss else "lost" if record.loss > other.loss else "both_right"
    if record.correct != other.correct:
        return "won" if record.correct > other.correct else "lost"
    return "both_right" if record.correct >= 1 else "both_wrong"


def evenly(rows: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of the rows, evenly over their order: the first, the last, and equal steps between."""
    if len(rows) <= most:
        return list(rows)
    if most <= 1:
        return list(rows[:most])
    return [rows[(2 * k * (len(rows) - 1) + most - 1) // (2 * (most - 1))] for k in range(most)]


def readable(text: str, most: int | None = None) -> str:
    """A text without what would steer a reader; of a long one its beginning and end, and how much is left out."""
    if most is not None and len(text) > most:
        left = len(text) - most
        text = f"{text[: most // 2]}\n[… {left:,} characters are left out …]\n{text[-(most - most // 2) :]}"
    return safe(text)


def _short(value: float) -> float | int | None:
    """Four decimals at most, whole numbers without a point; None for what is no finite number."""
    if not math.isfinite(value):
        return None
    rounded = round(value, 4)
    return int(rounded) if rounded == int(rounded) else rounded


def json_text(value: Any) -> str:
    """JSON in as few characters as may be, the same for the same value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
