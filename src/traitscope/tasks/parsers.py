"""How an answer is read out of generated text. A parser gives None where it finds none: an invalid answer."""

from __future__ import annotations

import re
from collections.abc import Callable

from traitscope.metrics.numbers import final_number
from traitscope.plugins import calling
from traitscope.registry import Registry

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


@PARSERS.register("raw", version=1, reference=_OWN)
def raw(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The whole text without the space around it."""
    return text.strip() or None


@PARSERS.register("first_line", version=1, reference=_OWN)
def first_line(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The first line that is not empty."""
    return next((line.strip() for line in text.splitlines() if line.strip()), None)


@PARSERS.register("last_line", version=1, reference=_OWN)
def last_line(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), None)


@PARSERS.register("first_word", version=1, reference=_OWN)
def first_word(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The first run of letters, digits, apostrophes and hyphens."""
    match = re.search(r"\w[\w'’-]*", text)
    return match.group(0).rstrip("'’-") if match else None


@PARSERS.register("final_number", version=1, reference="GSM8K (arXiv 2110.14168): the number after ####")
def last_number(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The number behind the last ``####``, else the last number of the text, in plain decimal form."""
    return final_number(text)


@PARSERS.register("label", version=1, reference=_OWN)
def label(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The class word that stands first in the text, as whole words, upper and lower case alike.

    Of two class words that start at the same place the longer one counts.
    """
    best: tuple[int, int, str] | None = None
    for name in classes:
        match = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
        if match and (best is None or (match.start(), -len(name)) < best[:2]):
            best = (match.start(), -len(name), name)
    return best[2] if best else None


@PARSERS.register("letter", version=1, reference="BIG-Bench Hard (arXiv 2210.09261): answers such as (B)")
def letter(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """An option's capital letter: behind "answer is", else in brackets, else alone at the start."""
    for pattern in (r"[Aa]nswer\s*(?:is|:)\s*\(?([A-Z])\b", r"\(([A-Z])\)", r"^\s*([A-Z])(?=[\s).:,]|$)"):
        match = re.search(pattern, text)
        if match:
            return match.group(1)
    return None


@PARSERS.register("code", version=1, reference="CommonMark fenced code blocks")
def code(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The inside of the first fenced code block; the whole text where there is none."""
    match = re.search(r"```[^\n`]*\n(.*?)(?:```|\Z)", text, re.DOTALL)
    body = match.group(1) if match else text
    return body.strip("\n").rstrip() or None
