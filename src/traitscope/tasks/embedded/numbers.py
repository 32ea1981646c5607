"""Sums in words and signs, and little stories that are solved step by step."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from . import lexicon as lex
from .facts import person, plural

_SIGN = {"plus": "+", "minus": "-", "times": "*"}


@dataclass(frozen=True, slots=True)
class Sum:
    """Numbers joined by operations from left to right, and the value."""

    numbers: tuple[int, ...]
    operations: tuple[str, ...]
    value: int

    def signs(self) -> str:
        """The sum written with signs; brackets show the order from left to right."""
        text = str(self.numbers[0])
        for i, (operation, number) in enumerate(zip(self.operations, self.numbers[1:], strict=True)):
            if operation == "times" and i > 0:
                text = f"({text})"
            text = f"{text} {_SIGN[operation]} {number}"
        return text

    def words(self) -> str:
        """The sum written with plus, minus and times, with "and then" between steps."""
        text = str(self.numbers[0])
        for i, (operation, number) in enumerate(zip(self.operations, self.numbers[1:], strict=True)):
            text += f"{' and then' if i else ''} {operation} {number}"
        return text


def apply(operation: str, left: int, right: int) -> int:
    """The value of one step."""
    return left + right if operation == "plus" else left - right if operation == "minus" else left * right


def draw_sum(rng: Random, steps: int, limit: int = 99) -> Sum:
    """A sum of the given number of steps whose every partial value lies between 0 and the limit."""
    while True:
        numbers = [rng.randint(1, rng.choice((12, 40, limit - 9)))]
        operations: list[str] = []
        value = numbers[0]
        for _ in range(steps):
            operation = rng.choice(("plus", "plus", "minus", "minus", "times"))
            number = rng.randint(2, 9) if operation == "times" or rng.random() < 0.5 else rng.randint(2, limit // 2)
            value = apply(operation, value, number)
            if not 0 <= value <= limit:
                break
            operations.append(operation)
            numbers.append(number)
        else:
            return Sum(tuple(numbers), tuple(operations), value)


@dataclass(frozen=True, slots=True)
class Story:
    """A counting story.

    Attributes:
        sentences: the first gives the count, each of the others a step, but for the one at ``aside_at``.
        aside_at: place of a sentence that has nothing to do with the count; None where there is none.
        question: asks for the last count.
        steps: (left, operation, right, value) of every step.
        value: the last count.
    """

    sentences: tuple[str, ...]
    aside_at: int | None
    question: str
    steps: tuple[tuple[int, str, int, int], ...]
    value: int

    def worked(self) -> str:
        """The solution in signs, one short sentence per step."""
        lines = [f"{left} {_SIGN[operation]} {right} = {value}." for left, operation, right, value in self.steps]
        return " ".join([*lines, f"The answer is {self.value}."])


def draw_story(rng: Random, n_steps: int, top: int = 30) -> Story:
    """Someone has some things; some come, some go; all counts stay between 0 and twice ``top``."""
    while True:
        who = person(rng)
        other = person(rng, who)
        they = "she" if who in lex.WOMEN else "he"
        noun = rng.choice(lex.COUNTABLE)
        things = plural(noun)
        value = rng.randint(2, top)
        place, time = rng.choice(lex.PLACES), rng.choice(lex.TIMES)
        sentences = [
            rng.choice(
                (
                    f"{who} has {value} {things}.",
                    f"{who} the {rng.choice(lex.JOBS)} has {value} {things} in a {rng.choice(lex.SIZES)} bag.",
                    f"There are {value} {things} in the {place} of {who}.",
                    f"{other} brings {who} {value} {things} {time}.",
                )
            )
        ]
        steps: list[tuple[int, str, int, int]] = []
        for _ in range(n_steps):
            text, operation, number = _step(rng, they, other, things)
            after = apply(operation, value, number)
            if not 0 < after <= 2 * top:
                break
            sentences.append(text)
            steps.append((value, operation, number, after))
            value = after
        else:
            aside_at = rng.randint(1, len(sentences)) if rng.random() < 0.35 else None
            if aside_at is not None:
                sentences.insert(aside_at, _aside(rng, other))
            question = rng.choice(
                (
                    f"How many {things} does {who} have now?",
                    f"How many {things} are there in the end?",
                    f"What is the number of {things} that {they} has then?",
                )
            )
            return Story(tuple(sentences), aside_at, question, tuple(steps), value)


def _step(rng: Random, they: str, other: str, things: str) -> tuple[str, str, int]:
    n = rng.randint(2, 9) if rng.random() < 0.7 else rng.randint(10, 19)
    They = they.capitalize()
    draw = rng.random()
    if draw < 0.42:
        text = rng.choice(
            (
                f"{They} buys {n} more.",
                f"{They} finds {n} more {things}.",
                f"{other} gives {they_object(they)} {n} {things}.",
                f"Then {n} more are brought by {other}.",
                f"{They} gets {n} from {other}.",
                f"{They} picks up another {n} {rng.choice(lex.TIMES)}.",
            )
        )
        return text, "plus", n
    if draw < 0.86:
        text = rng.choice(
            (
                f"{They} sells {n} of them.",
                f"{They} loses {n} {things}.",
                f"{They} gives {n} {things} to {other}.",
                f"Then {n} are taken away by {other}.",
                f"{other} gets {n} of them.",
                f"{They} drops {n} {rng.choice(lex.TIMES)}.",
            )
        )
        return text, "minus", n
    n = rng.randint(2, 4)
    text = rng.choice(
        (
            f"Then {they} has {n} times as many.",
            f"A lucky day makes it {n} times as much.",
            f"{other} turns each into {n}.",
        )
    )
    return text, "times", n


def they_object(they: str) -> str:
    """The object form of he or she."""
    return "her" if they == "she" else "him"


def _aside(rng: Random, other: str) -> str:
    n = rng.randint(2, 30)
    return rng.choice(
        (
            f"{other} is {n} years old.",
            f"It is {n} miles to the {rng.choice(lex.PLACES)}.",
            f"The {rng.choice(lex.JOBS)} has {n} {plural(rng.choice(lex.ANIMALS))}.",
            f"{other} waits for {n} minutes.",
        )
    )
