"""The ten tasks of the embedded study: the skills of each, its class shares and lengths, and its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType

from . import comments, facts, numbers, opinions, snippets, twins

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class EmbeddedTask:
    """What is declared of a generator.

    Attributes:
        columns: columns of every row, in order.
        text_columns: the columns that make the prompt; no two rows agree in all of them.
        skills: what a model needs for the task; tasks that share one are expected to help each other.
        shares: share of each class among the rows, exact over every 50 rows; empty for free answers.
        noise: share of rows whose text was made for another label, as raters disagree about some texts; exact
            over every 50 rows.
        words: fewest and most words of a row's text columns together.
        make: makes one row; its label (empty for free answers) is given.
    """

    columns: tuple[str, ...]
    text_columns: tuple[str, ...]
    skills: tuple[str, ...]
    words: tuple[int, int]
    make: Callable[[Random, str], Row]
    shares: MappingProxyType[str, float] = field(default_factory=lambda: MappingProxyType({}))
    noise: float = 0.0


def _long_review(rng: Random, label: str) -> Row:
    return {"text": opinions.long_review(rng, label), "label": label}


def _home_review(rng: Random, label: str) -> Row:
    return {"text": opinions.short_review(rng, "home", label), "label": label}


def _clothing_review(rng: Random, label: str) -> Row:
    return {"text": opinions.short_review(rng, "clothing", label), "label": label}


def _arithmetic(rng: Random, label: str) -> Row:
    total = numbers.draw_sum(rng, rng.choice((1, 1, 1, 2)))
    question = total.words() if rng.random() < 0.5 else total.signs()
    return {"question": question, "answer": str(total.value)}


def _word_problem(rng: Random, label: str) -> Row:
    story = numbers.draw_story(rng, rng.choice((1, 2, 2, 3)))
    return {
        "story": " ".join(story.sentences),
        "question": story.question,
        "solution": story.worked(),
        "answer": str(story.value),
    }


def _code(rng: Random, label: str) -> Row:
    snippet = snippets.draw_snippet(rng, rng.choice((2, 3, 4)))
    return {
        "name": snippet.name,
        "argument": snippet.argument,
        "text": snippet.text,
        "code": snippet.source(),
    }


_RELATIONS = {"true": facts.ENTAILED, "open": facts.UNKNOWN, "false": facts.CONTRADICTED}


def _entailment(rng: Random, label: str) -> Row:
    premise, hypothesis = facts.pair(rng, _RELATIONS[label])
    return {"premise": premise, "hypothesis": hypothesis, "label": label}


def _paraphrase(rng: Random, label: str) -> Row:
    first, second = twins.twin(rng, label == "same")
    return {"first": first, "second": second, "label": label}


def _toxicity(rng: Random, label: str) -> Row:
    return {"text": comments.comment(rng, label == "toxic"), "label": label}


def _shares(**shares: float) -> MappingProxyType[str, float]:
    return MappingProxyType(shares)


_TEXT = ("text", "label")
_POLARITY = ("polarity", "negation", "contrast")
_SHORT = (3, 50)

TASKS: MappingProxyType[str, EmbeddedTask] = MappingProxyType(
    {
        "long_reviews": EmbeddedTask(
            columns=_TEXT,
            text_columns=("text",),
            skills=(*_POLARITY, "aggregation"),
            words=(28, 110),
            make=_long_review,
            shares=_shares(negative=0.5, positive=0.5),
            noise=0.04,
        ),
        "short_reviews": EmbeddedTask(
            columns=_TEXT,
            text_columns=("text",),
            skills=_POLARITY,
            words=_SHORT,
            make=_home_review,
            shares=_shares(negative=0.12, neutral=0.06, positive=0.82),
            noise=0.04,
        ),
        "short_reviews_balanced": EmbeddedTask(
            columns=_TEXT,
            text_columns=("text",),
            skills=_POLARITY,
            words=_SHORT,
            make=_home_review,
            shares=_shares(negative=0.34, neutral=0.32, positive=0.34),
            noise=0.04,
        ),
        "clothing_reviews": EmbeddedTask(
            columns=_TEXT,
            text_columns=("text",),
            skills=_POLARITY,
            words=_SHORT,
            make=_clothing_review,
            shares=_shares(negative=0.4, neutral=0.2, positive=0.4),
            noise=0.04,
        ),
        "arithmetic": EmbeddedTask(
            columns=("question", "answer"),
            text_columns=("question",),
            skills=("calculation",),
            words=(3, 9),
            make=_arithmetic,
        ),
        "word_problems": EmbeddedTask(
            columns=("story", "question", "solution", "answer"),
            text_columns=("story", "question"),
            skills=("calculation", "story tracking", "worked steps"),
            words=(13, 55),
            make=_word_problem,
        ),
        "code": EmbeddedTask(
            columns=("name", "argument", "text", "code"),
            text_columns=("name", "argument", "text"),
            skills=("code syntax", "worked steps"),
            words=(5, 35),
            make=_code,
        ),
        "entailment": EmbeddedTask(
            columns=("premise", "hypothesis", "label"),
            text_columns=("premise", "hypothesis"),
            skills=("pair comparison", "negation", "word kinds"),
            words=(10, 30),
            make=_entailment,
            shares=_shares(true=0.34, open=0.32, false=0.34),
            noise=0.04,
        ),
        "paraphrase": EmbeddedTask(
            columns=("first", "second", "label"),
            text_columns=("first", "second"),
            skills=("pair comparison", "word order"),
            words=(5, 34),
            make=_paraphrase,
            shares=_shares(same=0.44, other=0.56),
            noise=0.04,
        ),
        "toxicity": EmbeddedTask(
            columns=_TEXT,
            text_columns=("text",),
            skills=("tone", "negation"),
            words=(4, 50),
            make=_toxicity,
            shares=_shares(clean=0.7, toxic=0.3),
            noise=0.04,
        ),
    }
)
