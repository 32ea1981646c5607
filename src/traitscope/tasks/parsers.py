"""How an answer is read out of generated text. A parser gives None where it finds none: an invalid answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from traitscope.metrics.numbers import final_number
from traitscope.plugins import calling
from traitscope.registry import Registry
from traitscope.tasks.answers import label_in, letter_in
from traitscope.texts import text_lines

Parser = Callable[[str, tuple[str, ...]], str | None]

PARSERS: Registry[Parser] = Registry("parser")

_OWN = "traitscope"


def parse(name: str, text: str, classes: tuple[str, ...] | None, where: str) -> str | None:
    """The answer that the parser ``name`` reads out of a text; None where it finds none.

    Raises:
        KeyError: for an unknown parser.
        TraitscopeError: it fails, or gives something else than text or None.
    """
    entry = PARSERS.get(name)
    with calling("parser", entry, where):
        found = entry.value(text, classes or ())
        if found is not None and not isinstance(found, str):
            raise TypeError(f"it gives {type(found).__name__} where text or None is due")
    return found


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """The text up to the first stop string in it: what is left of an answer when it is generated."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


@PARSERS.register("raw", version=1, reference=_OWN)
def raw(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The whole text without the space around it."""
    return text.strip() or None


@PARSERS.register("first_line", version=2, reference=_OWN)
def first_line(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The first line that is not empty."""
    return next((line.strip() for line in text_lines(text) if line.strip()), None)


@PARSERS.register("last_line", version=2, reference=_OWN)
def last_line(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(text_lines(text)) if line.strip()), None)


@PARSERS.register("first_word", version=1, reference=_OWN)
def first_word(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The first run of letters, digits, apostrophes and hyphens."""
    match = re.search(r"\w[\w'’-]*", text)
    return match.group(0).rstrip("'’-") if match else None


@PARSERS.register("final_number", version=2, reference="GSM8K (arXiv 2110.14168): the number after ####")
def last_number(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The number of the answer, exact and in plain form, as ``metrics.numbers.final_number`` says."""
    return final_number(text)


@PARSERS.register("label", version=2, reference=_OWN)
def label(text: str, classes: tuple[str, ...] = ()) -> str | None:
    r"""The class word that the text answers with, as whole words, upper and lower case and markup alike.

    It is the one in the last ``\boxed{}``, else the one behind "answer is", "label:" and the like, else the one that
    stands first. Class words do not count where they are denied ("not positive", "hardly positive", "positive is
    wrong"), asked ("positive?"), conceded ("although some parts are positive, ...") or no word of their own (the 1 in
    1.5, the "no" in "no evidence"). A later "answer is" counts behind "wait", "actually" and the like. Of two class
    words that start at the same place the longer one counts; "positive or negative" is no answer. Scripts that set no
    spaces need none.
    """
    return label_in(text, classes)


@PARSERS.register("letter", version=2, reference="BIG-Bench Hard (arXiv 2210.09261): answers such as (B)")
def letter(text: str, classes: tuple[str, ...] = ()) -> str | None:
    r"""An option's letter, as a capital, markup and LaTeX aside.

    The first that is found: in the last ``\boxed{}``; behind "answer is", "answer:"; in front, as ``B``, ``B.``,
    ``(B)``, ``B because``; behind "option", "choose", "it's" or in front of "is correct"; the only one in brackets; the
    one at the end. Of what is behind "wait", "actually" and the like the last counts. Letters that are denied ("not A",
    "can't be A", "(C) is wrong") do not count, ``I`` and ``A`` not where they are words; "A or B" and "A/B" are no
    answer. Where ``classes`` are letters only those count.
    """
    return letter_in(text, classes)


@PARSERS.register("code", version=2, reference="CommonMark fenced code blocks")
def code(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The inside of the first fenced code block; where none is opened, the whole text up to a closing fence."""
    match = re.search(r"```[^\n`]*\n(.*?)(?:```|\Z)", text, re.DOTALL)
    body = match.group(1) if match else re.split(r"^```\s*\Z", text, maxsplit=1, flags=re.MULTILINE)[0]
    return body.strip("\n").rstrip() or None
