"""How an answer is read out of generated text. A parser gives None where it finds none: an invalid answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from traitscope.metrics.markup import boxed, plain
from traitscope.metrics.numbers import final_number
from traitscope.plugins import calling
from traitscope.registry import Registry
from traitscope.texts import text_lines

Parser = Callable[[str, tuple[str, ...]], str | None]

PARSERS: Registry[Parser] = Registry("parser")

_OWN = "traitscope"
# Letters and digits of scripts with spaces between words.
_SPACED = r"[0-9A-Za-z\u00c0-\u024f\u0370-\u052f\u0590-\u06ff_]"


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
    """The number behind the last ``####`` or in the last ``\\boxed{}``, else the last one, as ``metrics`` reads it."""
    return final_number(text)


@PARSERS.register("label", version=2, reference=_OWN)
def label(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The class word that stands first in the text, as whole words, upper and lower case alike.

    Of two class words that start at the same place the longer one counts. Markdown and LaTeX around it do not.
    """
    text = plain(text)
    best: tuple[int, int, str] | None = None
    for name in classes:
        match = re.search(_whole_word(plain(name)), text, re.IGNORECASE)
        if match and (best is None or (match.start(), -len(name)) < best[:2]):
            best = (match.start(), -len(name), name)
    return best[2] if best else None


def _whole_word(name: str) -> str:
    """A pattern of a class word; in scripts that put no spaces between words it may stand anywhere."""
    before = rf"(?<!{_SPACED})" if re.match(_SPACED, name) else ""
    after = rf"(?!{_SPACED})" if re.match(_SPACED, name[-1:]) else ""
    return before + re.escape(name) + after


_ANSWER = r"(?i:answer|solution|答案|正解|答え|정답|antwort|réponse|respuesta|risposta|resposta|ответ)"
_OPTION = r"(?i:option|choice|选项|选择|选)"
_IS = r"(?i:\s*(?:is|are|was|would be|should be|must be|是|为|は|=|:|：|-|\(s\)))*"
_LETTER = r"[\s(\[\"'“]*(?P<letter>[A-Z])(?![A-Za-z'’])(?!\s+(?<=I\s)[a-z])"
_LETTERS = (
    # alone, in capitals or not
    r"^[\s(\[\"'“]*(?P<letter>[A-Za-z])[\s)\].:,;!\"'”]*$",
    rf"{_ANSWER}(?:\s+{_OPTION}|\s+(?i:letter))?{_IS}\s*(?:{_OPTION}\s*|(?i:letter)\s*)?{_LETTER}",
    rf"{_ANSWER}{_IS}\s*(?:\((?P<letter>[a-z])\)|(?P<bare>[a-z])(?=[\s.)]*$))",
    rf"{_OPTION}{_IS}{_LETTER}",
    r"^\s*[(\[\"'“]*(?P<letter>[A-Z])(?=[).:,;\]\"'”]|\s*(?:\n|$)|\s*[-–—]|\s+(?:because|since|as|is)\b)",
    r"^\s*\(?(?P<letter>[a-z])[).:](?!\w)",
    r"\((?P<letter>[A-Z])\)",
)
# A letter by itself; the words "I" and "A" are none.
_ALONE = re.compile(r"(?<![A-Za-z'’])(?![IA]\s+(?!or\b|and\b)[a-z])([A-Z])(?![A-Za-z'’])")
# Letters of other alphabets that look like ours: a keyboard's slip, where nothing else is written in them.
_ALIKE = str.maketrans("АВЕКМНОРСТХΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEKMHOPCTXABEZHIKMNOPTYX")


@PARSERS.register("letter", version=2, reference="BIG-Bench Hard (arXiv 2210.09261): answers such as (B)")
def letter(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """An option's capital letter: alone, behind "answer", behind "option", at the start, in brackets.

    Else the only letter that stands by itself; two different ones are no answer. What stands in the last ``\\boxed{}``
    or behind the last ``####`` is the answer, where there is one. Where ``classes`` are letters, others do not count.
    """
    inside = boxed(text)
    text = plain(text.rsplit("####", 1)[-1] if inside is None else inside).replace("$", " ")
    if len(re.findall(r"[\u0370-\u04ff]", text)) <= 2:
        text = text.translate(_ALIKE)
    known = {name for name in classes if re.fullmatch("[A-Z]", name)}
    for pattern in _LETTERS:
        for match in re.finditer(pattern, text):
            found = (match["letter"] or match.groupdict().get("bare") or "").upper()
            if found in (known or found):
                return found
    alone = {found for found in _ALONE.findall(text) if found in (known or found)}
    if len(alone) == 1:
        return alone.pop()
    return "A" if not alone and re.match(r"\s*A\s", text) else None


@PARSERS.register("code", version=1, reference="CommonMark fenced code blocks")
def code(text: str, classes: tuple[str, ...] = ()) -> str | None:
    """The inside of the first fenced code block; the whole text where there is none."""
    match = re.search(r"```[^\n`]*\n(.*?)(?:```|\Z)", text, re.DOTALL)
    body = match.group(1) if match else text
    return body.strip("\n").rstrip() or None
