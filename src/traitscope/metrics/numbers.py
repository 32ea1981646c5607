"""How a number is read out of a text."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from traitscope.metrics.markup import boxed, plain

# Longer numbers, and larger powers of ten, are none that an answer means.
MOST_DIGITS = 2000

_SPACE = "\u00a0\u2009\u202f "
# A sign counts only where no number or closing bracket stands before it: "10-5" ends in 5, "is -5" in -5.
_SIGN = r"[-\u2212\u2010\u2011\u2013]"
_MONEY = "[$£€¥₹]"
# Behind a letter of a script with spaces between its words a digit is part of a name, as in "x2".
_NOT_IN_A_WORD = r"(?<![A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff_\d.])"
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w.)\]]){_SIGN})?(?:{_MONEY}\s?)?(?P<sign2>(?<={_MONEY}){_SIGN})?"
    rf"(?:{_NOT_IN_A_WORD}(?:"
    # 1.234.567 and 1.234,56
    r"(?P<dots>\d{1,3}(?:\.\d{3})+(?:,\d+|(?<=\.\d{3}\.\d{3}))(?![\d]))"
    # 1,234,567.89; 1 234 567,89; 1'234'567
    rf"|(?P<groups>(?!0[,.])\d{{1,3}}(?P<by>[,'’{_SPACE}])\d{{3}}(?:(?P=by)\d{{3}})*(?!\d))(?P<rest>\.\d+|(?<!,\d{{3}}),\d{{1,2}}(?!\d))?"
    # 0,5 and 12,34, but not the list 1,2,3
    r"|(?<!\d,)(?P<comma>0,\d+|\d+,(?:\d{1,2}|\d{4,}))(?![\d,]*\d)"
    r"|(?P<digits>\d+(?:\.\d+)?)"
    r")|(?<![\w.])(?P<point>\.\d+))"
    r"(?P<power>[eE][+-]?\d+(?!\w))?"
)
_HALVES = {chr(code): unicodedata.numeric(chr(code)) for code in (*range(0xBC, 0xBF), *range(0x2150, 0x215F))}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_RAISED_RUN = re.compile(r"(?<=[\d)])[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_FRAC = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_ROOT = re.compile(r"(?<![\d.,])[\d.,]*\s?(?:\\sqrt\s?(?:\[[^\[\]]*\])?\s?(?:\{[^{}]*\}|\d)|√\s?\(?\d*\)?)")
_OVER = re.compile(r"\s?[/⁄∕]\s?")
_OVER_MORE = re.compile(r"\s?/\s?\d")
_TO_THE = re.compile(r"\s?(?:\^|\*\*)\s?[{(]?\s?")
_TIMES = re.compile(r"\s?(?:\\times|\\cdot|[×*·x])\s?")


@dataclass(frozen=True, slots=True)
class _Number:
    value: Fraction
    start: int
    end: int
    whole: bool


def final_number(text: str) -> str | None:
    r"""The number behind the last ``####``, else in the last ``\boxed{}``, else the last number of the text.

    In plain decimal form; ``p/q`` where that has no end. ``1,234``, ``1 234``, ``1'234``, ``1{,}234`` and ``1.234.567``
    are thousands; ``0,5``, ``12,34`` and ``1.234,5`` have a decimal comma: a comma before exactly three digits groups,
    unless nothing but a 0 stands before it. Fractions (``3/4``, ``1 1/2``, ``½``, ``\frac{1}{7}``), powers (``10^3``)
    and ``3 \times 10^4`` are computed; currency signs, units and percent signs are left out.
    """
    found = _answer(text)
    return None if found is None else _written(found.value)


def number_left_over(text: str) -> str | None:
    """What a right answer says beside the number that is read out of it; None where the number is all of it.

    A solution with ``####`` or a sentence with a number at its end is read as it is meant. What is not: another number,
    or a letter or operator that belongs to the number, as in ``3x + 5``, ``2:30`` or ``5 ± 1``.
    """
    found = _answer(text)
    if found is None or "####" in text:
        return None
    whole = _prepared(boxed(text) or text)
    before, after = whole[: found.start], whole[found.end :]
    if len(re.findall(r"[^\W\d_]{2,}", before)) > 2 and not re.search(r"[\d)\]][*:^/±]\s?$", before):
        return None
    before = re.sub(r"^.*[=≈:]\s", "", before)
    glued = re.match(r"[abcknxyz](?!\w)|\s?([:^/±*+=]|[-\u2013]\s?\d|\\pi|π|\\?sqrt)", after)
    if glued or re.search(r"\d|[\w)]\s?[-+*/^±:]\s?$|[<>±]", before):
        return (before + "…" + after).strip()
    return None


def _answer(text: str) -> _Number | None:
    if "####" in text:
        return next(iter(_numbers(_prepared(text.rsplit("####", 1)[1]))), None)
    inside = boxed(text)
    return next(reversed(_numbers(_prepared(text if inside is None else inside))), None)


def _prepared(text: str) -> str:
    """The text with fractions as ``a/b``, raised digits as powers, and digits of every script as ours."""
    text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii() else c for c in text)
    text = _RAISED_RUN.sub(lambda run: "^" + run[0].translate(_RAISED), _ROOT.sub(" ", plain(text)))
    text = _FRAC.sub(_over, text)
    for half in _HALVES.keys() & set(text):
        value = Fraction(_HALVES[half]).limit_denominator(10)
        text = re.sub(rf"(?<=\d){half}", f" {value}", text).replace(half, str(value))
    return text


def _over(found: re.Match[str]) -> str:
    """``a/b``; what is no quotient of two numbers is none."""
    above, below = (found[1] or found[2] or "").strip(), (found[3] or found[4] or "").strip()
    if not re.fullmatch(r"-?\d+(?:\.\d+)?", above) or not re.fullmatch(r"\d+(?:\.\d+)?", below):
        return " "
    behind = found.string[: found.start()].rstrip()[-1:].isdigit()
    return f" {above}/{below}" if behind else f"{above}/{below}"


def _numbers(text: str) -> list[_Number]:
    found: list[_Number] = []
    for match in _NUMBER.finditer(text):
        one = _read(match)
        if one is not None:
            found.append(one)
            _join(found, text)
    return found


def _read(match: re.Match[str]) -> _Number | None:
    digits = match["dots"] or match["groups"] or match["comma"] or match["digits"] or match["point"]
    if len(digits) > MOST_DIGITS:
        return None
    if match["dots"]:
        digits = digits.replace(".", "").replace(",", ".")
    elif match["groups"]:
        digits = digits.replace(match["by"], "") + (match["rest"] or "").replace(",", ".")
    value = Fraction(digits.replace(",", "."))
    if match["power"]:
        power = int(match["power"][1:7])
        if len(match["power"]) > 6 or abs(power) > MOST_DIGITS:
            return None
        value *= Fraction(10) ** power
    signed = bool(match["sign"] or match["sign2"])
    whole = bool(match["digits"]) and value.denominator == 1 and not match["power"]
    return _Number(-value if signed else value, match.start(), match.end(), whole)


def _join(found: list[_Number], text: str) -> None:
    """Takes the last two or three numbers for one, where they are a fraction, a power or a product with one of ten."""
    if len(found) < 2:
        return
    a, b = found[-2:]
    between = text[a.end : b.start]
    if a.whole and b.whole and b.value > 0 and _OVER.fullmatch(between) and not _dated(text, a, b):
        del found[-2:]
        one = _Number(a.value / b.value, a.start, b.end, False)
        c = found[-1] if found else None
        if c is not None and c.whole and a.value >= 0 and text[c.end : a.start] in (" ", "", "\u2009"):
            found.pop()
            sign = -1 if text[c.start : c.end].lstrip()[:1] in "-\u2212\u2013" else 1
            one = _Number(c.value + sign * one.value, c.start, b.end, False)
        found.append(one)
    elif a.whole and b.value.denominator == 1 and _TO_THE.fullmatch(between):
        if abs(b.value) * len(str(a.value)) > MOST_DIGITS or (not a.value and b.value < 0):
            return
        end = b.end + (text[b.end : b.end + 1] in ("}", ")") and between.rstrip()[-1:] in ("{", "("))
        del found[-2:]
        one = _Number(a.value ** int(b.value), a.start, end, False)
        if a.value == 10 and found and _TIMES.fullmatch(text[found[-1].end : a.start]):
            one = _Number(found[-1].value * one.value, found.pop().start, end, False)
        found.append(one)


def _dated(text: str, a: _Number, b: _Number) -> bool:
    """Whether more than two numbers are parted by slashes, as in a date."""
    return text[max(a.start - 2, 0) : a.start].rstrip()[-1:] == "/" or bool(_OVER_MORE.match(text, b.end))


def _written(value: Fraction) -> str:
    below, twos, fives = value.denominator, 0, 0
    while below % 2 == 0:
        below, twos = below // 2, twos + 1
    while below % 5 == 0:
        below, fives = below // 5, fives + 1
    if below != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    number = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{number}" if value < 0 else number
