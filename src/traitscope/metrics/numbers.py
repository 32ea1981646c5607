"""How a number is read out of a text, as people, LaTeX and other languages write it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

_MOST_DIGITS = 1_000
_MOST_EXPONENT = 1_000
# In gold answers longer than this, numbers stand beside the one that is meant.
_SHORT = 60

_GAP = "[ \u00a0\u2007\u2009\u202f'\u2019_]"
_WHOLE = rf"""(?:
    [1-9]\d{{0,2}}(?:,\d{{3}}){{1,330}}(?!\d)(?P<point>\.\d+)?
  | [1-9]\d?(?:,\d{{2}}){{1,20}},\d{{3}}(?!\d)(?P<point2>\.\d+)?
  | [1-9]\d{{0,2}}(?P<gap>{_GAP})\d{{3}}(?:(?P=gap)\d{{3}}){{0,330}}(?!\d)(?P<point3>\.\d+|,\d+(?![,.]?\d))?
  | \d{{1,3}}(?:\.\d{{3}}){{2,330}}(?![\d.]\d)(?P<comma>,\d+(?![,.]?\d))?
  | \d{{1,3}}(?:\.\d{{3}}){{1,330}}(?P<comma2>,\d+(?![,.]?\d))
  | (?P<version>\d+(?:\.\d+){{2,}})
  | \d+(?P<point4>\.\d+|,\d+(?![,.]?\d))?
  | (?<![\w.])(?P<point5>\.\d+)
)"""
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_SCALE = f"(?i:{'|'.join(_SCALES)})s?(?!-[A-Za-z])"
_NUMBER = re.compile(
    rf"""(?P<sign>[-+][ ]?|(?<![A-Za-z])(?i:minus|negative)[ ]{{1,2}})?
    (?P<currency>[$£€¥₹₩]\s?)?(?P<sign2>(?<=[$£€¥₹₩\s])[-+])?
    (?:(?P<digits>{_WHOLE})
       (?:[eE](?P<e>[+-]?\d+)(?!\w)
        |\s{{0,3}}[×x*]\s{{0,3}}10\s?(?:\^|\*\*)\s?(?P<open>\{{)?\s?(?P<ten>[+-]?\d+)(?(open)\s?\}})
        |\s?(?:\^|\*\*)\s?(?P<open2>\{{)?\s?(?P<power>[+-]?\d+)(?(open2)\s?\}}))?
       (?:\s?/\s?(?P<under>\d+(?:\.\d+)?)(?!\s?/\s?\d|\.?\d)
        |[ ](?P<top>\d+)/(?P<bottom>\d+)(?![/\d])
        |\s?⟦(?P<mixed>[^⟧]{{1,99}})⟧)?
       (?:[ ~-]{{0,2}}(?:\\(?:text|mbox)\s?\{{\s?)?(?P<scale>{_SCALE}(?:\s{_SCALE})?)(?![A-Za-z]))?
     |⟦(?P<latex>[^⟧]{{0,99}})⟧)""",
    re.VERBOSE,
)
_LATEX_PART = r"\s{0,3}(?:\{\s{0,3}([+-]?\d[\d.]*(?:,\d{3})*)\s{0,3}\}|(\d))"
_LATEX_FRACTION = re.compile(rf"\\[dtc]?frac{_LATEX_PART}{_LATEX_PART}")
_OVER = re.compile(r"\{\s{0,3}([+-]?\d[\d.]*)\s{0,3}\\over\s{0,3}(\d[\d.]*)\s{0,3}\}")
_OTHER_FRACTION = re.compile(r"\\[dtc]?frac\s{0,3}\{[^{}]*\}\s{0,3}\{[^{}]*\}")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_REPLACED = (
    (re.compile(r",\\!|\{,\}"), ","),
    (re.compile(r"(?<=\d)(?:\\[,;:! ]|~)(?=\d{3})"), "\u2009"),
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])|·"), "×"),
    (re.compile(r"\\(?=[%$])"), ""),
    (re.compile(r"\b__|__\b"), ""),
    (re.compile("[\u2212\u2012\u2013\ufe63]"), "-"),
)
# What makes the number in front of it, or in it, part of something else.
_IRRATIONAL = re.compile(
    r"\s?(?:\\sqrt|√|\\pi(?![A-Za-z])|π|\\infty|∞)|\s?\^(?!\s?\{?\\circ)(?=\s?[\w{(\\])|\*\*(?=[\w{(])"
    r"|\.?\\(?:overline|bar|dot)(?![A-Za-z])|[\u0304\u0305\u0307]"
)
_INSIDE = re.compile(
    r"(?:\\sqrt(?:\[\w+\])?\{?|√|\^\{?|_\{|\}\{|\\(?:overline|bar|dot)\s?\{"
    r"|(?<![A-Za-z])(?:sin|cos|tan|cot|sec|csc|log|ln|lg|exp)(?:\s?_\s?\{?\w{1,3}\}?)?\s?(?:\\left)?[({]?\s?)$"
)
# 0x1F, 0b101, 12e5x: what a digit begins that is no number in digits.
_CODE = re.compile(r"[eE][+-]?\d|(?<=(?<![\d.,])0)[xXbBoO][0-9A-Fa-f]")
_ANSWER = re.compile(
    r"(?:\banswers?\s{0,3}(?:(?:is|was|are|be)\b|[:=])|答案\s?[是为為]?|答え\s?は?)[\s:*_`(=]{0,10}", re.IGNORECASE
)
_BOXED = re.compile(r"\\f?box(?:ed)?\s?\{")

_MORE = re.compile(r"(?<![A-Za-z])\d|\^(?!\s?\{?\\circ)|[√π±⟦<>]|\\(?:sqrt|pi|pm|frac)|\n\s?!|\n\s?(?:\.{3}|…)")
_PAIR = re.compile(r"(?:[(\[]|(?<![A-Za-z_^}])\{)\s?-?[\d.]+,")


class _Found(NamedTuple):
    """A number of a text: where it stands; None as value where it is one that cannot be read."""

    start: int
    end: int
    value: Fraction | None


def final_number(text: str) -> str | None:
    r"""The number that a text ends with or gives as its answer, in plain form.

    Behind the last ``####`` it is the first number; else the last one in the last ``\boxed{}``; else the one that
    follows the last "answer is" or "answer:"; else the last number of the text. Numbers are exact:

    - signs: ``-``, the minus sign, the en dash and the word minus, but not between numbers (``10–12`` ends in 12);
      with a space behind it (``- 5``) only in front, or behind "is", a colon, ``=`` or a bracket;
    - thousands: ``1,234``, ``1 234`` (any narrow space), ``1'234``, ``1{,}234``, ``1.234.567``;
    - a comma is the decimal sign where it sets apart no three digits, or a 0 stands in front: ``0,5``, ``12,34``,
      ``1.234,5``; ``1,234`` is thousands, ``1,2,3`` a list;
    - fractions: ``3/4``, ``1 1/2``, ``½``, ``\frac{1}{7}``, ``\frac12``; powers: ``1.5e3``,
      ``3 \times 10^{4}``, ``10^3``; words: ``1.5 million`` (hundred to trillion, dozen);
    - digits of every script; currency and percent signs and units are ignored; ``x2``, ``1.2.3``, ``0x1F`` and the
      numbers in ``\sqrt{2}``, ``\sin 30`` and ``0.\overline{3}`` are none.

    The plain form is decimal (``0.25``, ``3.5``, ``0``) or, where it would not end, a reduced fraction (``1/7``). None
    where there is no number, or one of thousands of digits.
    """
    found = _answer(_plain(text))
    return None if found is None or found.value is None else _written(found.value)


def reads_part(text: str) -> bool:
    """Whether a right answer says more than the number that is read out of it: ``10-12``, ``x + 1``, ``2021-05-03``.

    Words and units are no more, nor is what stands in front of ``####`` or ``=``, outside a box, or in a long answer.
    """
    text = _plain(text)
    box = _boxed(text)
    rest = text.rsplit("####", 1)[1] if "####" in text else box if box is not None else _said(text) or text
    rest = rest.rsplit("=", 1)[-1].strip()
    found = list(_numbers(rest))
    if len(rest) > _SHORT or "\n" in rest or not found:
        return False
    before, after = rest[: found[-1].start], rest[found[-1].end :]
    return (
        _PAIR.search(rest) is not None
        or _MORE.search(before + "\n" + after) is not None
        or re.search(r"(?<![A-Za-z])[A-Za-z]\s?(?:[-+*/]|(?i:minus|plus|times))\s?$", before) is not None
        or re.match(r"\s?[-+*/]\s?[A-Za-z](?![A-Za-z])|[abceijknqruxyz](?!\w)", after) is not None
    )


def _answer(text: str) -> _Found | None:
    if "####" in text:
        return next(_numbers(text.rsplit("####", 1)[1]), None)
    box = _boxed(text)
    if box is not None:
        return _last(box)
    said = _said(text)
    if said is not None:
        return _last(said.rsplit("=", 1)[1]) if "=" in said else next(_numbers(said))
    return _last(text)


def _said(text: str) -> str | None:
    """The rest of the sentence behind the last "answer is", where it starts with a number."""
    start = max((match.end() for match in _ANSWER.finditer(text)), default=None)
    if start is None:
        return None
    sentence = re.split(r"\n|[.!?](?=\s|$)", text[start:], maxsplit=1)[0]
    first = next(_numbers(sentence), None)
    return None if first is None or re.search(r"[^\W_]", sentence[: first.start]) else sentence


def _last(text: str) -> _Found | None:
    return max(_numbers(text), key=lambda found: found.start, default=None)


def _boxed(text: str) -> str | None:
    r"""What the last ``\boxed{}`` holds."""
    start = None
    for match in _BOXED.finditer(text):
        start = match.end()
    if start is None:
        return None
    depth = 1
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return text[start:at]
    return text[start:]


def _plain(text: str) -> str:
    """ASCII digits and signs for those of other scripts, one way of writing for what LaTeX writes in several."""
    if not text.isascii():
        text = re.sub("(?<=[0-9)}])[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda m: f"^{{{m[0].translate(_SUPERSCRIPTS)}}}", text)
        text = "".join(c if c.isascii() else _ascii(c) for c in text)
        text = re.sub(r"(?<=\d)‖", " ", text).replace("‖", "")
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    text = _LATEX_FRACTION.sub(lambda m: f"⟦{m[1] or m[2]}/{m[3] or m[4]}⟧".replace(",", ""), text)
    text = _OVER.sub(r"⟦\1/\2⟧", text)
    return _OTHER_FRACTION.sub("⟦⟧", text)


@lru_cache(maxsize=4096)
def _ascii(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if "\uff01" <= character <= "\uff5e":
        return chr(ord(character) - 0xFEE0)
    if character in "٫٬⁄":
        return {"٫": ".", "٬": ",", "⁄": "/"}[character]
    if unicodedata.decomposition(character).startswith("<fraction>"):
        # The mark becomes the space of a mixed number.
        return "‖" + unicodedata.normalize("NFKC", character).replace("⁄", "/")
    return character


def _numbers(text: str) -> Iterator[_Found]:
    for match in _NUMBER.finditer(text):
        start = match.start()
        signed = match["sign"] is not None
        if signed and start and _between(text[max(0, start - 12) : start], match["sign"]):
            signed, start = False, start + len(match["sign"])
        bare = not signed and match["currency"] is None
        if (bare and start and _in_word(text[start - 1])) or _INSIDE.search(text, max(0, start - 24), start):
            continue
        if match["version"] is not None or _CODE.match(text, match.end()):
            continue
        sign = match["sign"] if signed else match["sign2"] if match["currency"] else None
        minus = sign is not None and sign[0] != "+"
        value = None if _IRRATIONAL.match(text, match.end()) else _value(match, text)
        yield _Found(start, match.end(), value if value is None or not minus else -value)


def _between(before: str, sign: str) -> bool:
    """Whether a sign takes one value from another, or is a bullet or a dash: ``10-12``, ``10 - 5``, ``x minus 5``."""
    if len(sign) == 1:
        return _in_word(before[-1]) or before[-1] in ")]}.%⟧"
    before = before.rstrip(" ")
    if sign[0] in "+-":
        return before != "" and before[-1] not in "=:([{$" and not before.endswith(" is")
    return re.search(r"[\d)\]}%⟧]$|(?<![A-Za-z])[A-Za-z]$", before) is not None


def _in_word(character: str) -> bool:
    """Whether a digit behind this character is part of a word: letters of scripts that set words apart, and digits."""
    return character == "_" or character.isdigit() or character.lower() != character.upper()


def _value(match: re.Match[str], text: str) -> Fraction | None:
    if match["latex"] is not None:
        return _ratio(match["latex"])
    value = _unscaled(match, text)
    for word in re.findall("|".join(_SCALES), (match["scale"] or "").lower()):
        value = None if value is None else value * _SCALES[word]
    return value


def _unscaled(match: re.Match[str], text: str) -> Fraction | None:
    digits = match["digits"]
    if len(digits) > _MOST_DIGITS:
        return None
    point = next((match[f"point{k}"] for k in ("", 2, 3, 4, 5) if match[f"point{k}"]), None)
    point = point or match["comma"] or match["comma2"] or ""
    if point.startswith(",") and _in_list(match, text):
        return Fraction(point[1:])
    whole = re.sub(r"\D", "", digits[: len(digits) - len(point)])
    value = Fraction(f"{whole or 0}.{point[1:] or 0}")
    exponent = match["e"] or match["ten"]
    if exponent is not None or match["power"] is not None:
        size = int((exponent or match["power"])[:6])
        if abs(size) > _MOST_EXPONENT or (exponent is None and len(digits) * abs(size) > _MOST_DIGITS):
            return None
        if exponent is None and value == 0 and size < 0:
            return None
        value = value * Fraction(10) ** size if exponent is not None else value**size
    if match["under"] is not None:
        under = Fraction(match["under"]) if len(match["under"]) <= _MOST_DIGITS else Fraction(0)
        # The last part of a date is no denominator.
        return under if text[match.start() - 1 : match.start()] == "/" else value / under if under else None
    added = f"{match['top']}/{match['bottom']}" if match["top"] else match["mixed"]
    if added is None:
        return value
    part = _ratio(added)
    return None if part is None else value + part


def _in_list(match: re.Match[str], text: str) -> bool:
    """Whether the comma of a number parts two: a pair such as (3,4), the end of 1,2,3."""
    start, end = match.span("digits")
    opened = re.search(r"[(\[]$|(?<![A-Za-z_^}])\{$", text[max(0, start - 2) : start]) is not None
    return (opened and re.match(r"\\?[)\]}]", text[end : end + 2]) is not None) or re.fullmatch(
        r"\d,", text[max(0, start - 2) : start]
    ) is not None


def _ratio(text: str) -> Fraction | None:
    over, _, under = text.partition("/")
    try:
        return Fraction(over) / Fraction(under) if len(text) < _MOST_DIGITS else None
    except (ValueError, ZeroDivisionError):
        return None


def _written(value: Fraction) -> str:
    """Decimal where that ends, else the reduced fraction."""
    under, places = value.denominator, 0
    for prime in (2, 5):
        count = 0
        while under % prime == 0:
            under, count = under // prime, count + 1
        places = max(places, count)
    if under != 1 or places > _MOST_DIGITS:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)
