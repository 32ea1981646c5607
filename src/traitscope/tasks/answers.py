"""Finding the letter or the class word that a free text answers with."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

# Capitals of other alphabets that look as Latin ones do.
_ALIKE = str.maketrans("АВСЕНКМОРТХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABCEHKMOPTXIJSABEZHIKMNOPTX")
_MARKUP = re.compile(
    r"\*\*|__|[*`~]|(?<!\w)_|_(?!\w)|\\[()\[\]]|\$|[\u00ad\u200b\u200e\u200f\u2060\ufeff]"
    r"|</?(?:b|i|strong|em|ans|answer|choice|label|output|response|result|solution)>",
    re.IGNORECASE,
)
_LATEX = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt)?|math(?:bf|rm|sf|it)|mbox|operatorname|emph|underline)\s?\{([^{}]{0,200})\}"
)
_BRACED = re.compile(r"(?<![\w}])(?<!box )(?<!boxed )\{([A-Za-z])\}")
_BOXED = re.compile(r"\\f?box(?:ed)?\s?\{([^{}]{0,200})\}")
_ANSWER = (
    r"(?i:\b(?:answers?|label|class|category|prediction|solution|antwort|respuesta|réponse|risposta|resposta)"
    r"(?:\s(?:choice|option|letter))?\b[^.:=\n]{0,60}?\s?(?:\b(?:is|are|be|was|ist|es|est|è|é)\b|[:=]|->|→)"
    r"|答案\s?[是为為]?\s?:?|答え\s?は?\s?:?|[选選]择?項?|ответ\s?:?|정?답\s?(?:[은는]|:))"
)
_STOP = r"(?![A-Za-z0-9À-ÿ]|['’][a-z])"
_OPEN = r"[\s:\-\"'“‘«\[({]{0,6}"
# What denies the word behind it, up to two words of little meaning between.
_DENIED = re.compile(
    r"(?:(?:\b(?:not|never|neither|nor|no|nothing|without|hardly|barely|cannot|rather than|instead of)\b|n['’]t\b)"
    r"(?:\s(?:be|been|seem|seems|look|sound|feel|really|very|quite|entirely|at all|the|an?|any|option|choice)){0,2}"
    r"|n['’]t\s(?:think|believe|say)(?:\sthat)?"
    r"(?:\s(?:it|this|that|the answer)(?:\sis|['’]s)(?:\s(?:the|an?|option|choice)){0,2})?"
    r"|不是|[不没沒未非])\s?[(\"'“‘]{0,2}$|\bnon-?\s?$",
    re.IGNORECASE,
)
_FAR = 48
_CONCEDED = re.compile(
    r"\b(?:although|though|while|whereas|even if|despite|in spite of)\b[^,.;:!?\n]{0,80}$", re.IGNORECASE
)
_CORRECTED = re.compile(r"\b(?:wait|actually|correction|scratch that|i mean|on second thought)\b", re.IGNORECASE)
_GOES_ON = re.compile(r"\s(?!(?:because|since|as|is|or|and|rather|instead)\b)[A-Za-z]")
_WRONG = re.compile(
    r"[)\"'”’.]{0,2}(?:\s(?:is|are|was|would be|must be|seems|looks)\s(?:not\b|wrong|incorrect|false|ruled)"
    r"|\s(?:isn['’]t|can['’]t|cannot|wouldn['’]t)\b|\s?[:=]\s?(?:no|wrong|incorrect|false)\s?(?=[.,;!\n]|$))"
    r"|[)\"'”’]{0,2}\s?\?|[이가은는]?\s?아니|的?(?:では|じゃ)な",
    re.IGNORECASE,
)
# "No" in front of what there is not: "there is no evidence".
_NONE_OF = re.compile(
    r"\b(?:there(?:['’]s|\s(?:is|are|was|were))|has|have|had|with|contains?|shows?|finds?|found|sees?|gives?|makes?)\s$"
)
_ALSO = r"[)\"'”’]{0,2}\s?(?:,\s?)?(?:\bor\b|\band\b|/|&|,)\s?(?:option\s)?[(\"'“‘]{0,2}"

# A lower-case letter is an option's only where nothing but a stop follows.
_SAID = re.compile(
    _ANSWER
    + r"(?i:\s?(?:the\s)?(?:option|choice|letter))?"
    + _OPEN
    + rf"(?:([A-Z]){_STOP}|([a-z])(?=\s?[).:,;\]]|\s?$|\n))"
)
_FRONT = re.compile(
    r"\A\s{0,99}(?:[(\[\"'“‘]{1,2}([A-Za-z])[)\].:\"'”’]"
    r"|([A-Z])(?=[).:,;\]]|\s?$|\n|\s[-–—(]|\s(?:because|since|as|is|or|and)\b)|([a-z])(?=[).:]|\s?$|\n)|([B-HJ-Z])(?=\s))"
)
_RIGHT = re.compile(
    r"(?<![A-Za-z0-9À-ÿ])([A-Z])[)\]\"'”’]{0,2}\s(?:is|must be|would be)\s"
    r"(?:the\s)?(?:only\s|most\s|best\s)?(?:right|correct|true|best|answer)\b"
)
_LOWER = re.compile(r"(?i:\b(?:option|choice|letter)\s)\(?([a-z])(?=\s?[).:,;\]]|\s?$|\n)")
_CHOSEN = re.compile(
    r"(?i:\b(?:option|choice|choose|chose|pick|select|go with|going with|it is|it['’]s|that is|that['’]s|must be|think)"
    r"(?:\s(?:option|choice|letter|is))?)" + _OPEN + rf"([A-Z]){_STOP}"
)


def label_in(text: str, classes: Sequence[str]) -> str | None:
    """The class word that a text answers with (``parsers.label``)."""
    text = _bare(text, case=False).casefold()
    words = sorted(((_bare(name, case=False) or name).casefold() for name in classes), key=len, reverse=True)
    text = _unasked(text, "|".join(map(re.escape, words)))
    for match in reversed(list(_BOXED.finditer(text))):
        found = _labels(match[1], classes)
        if found:
            return found[0][2]
    text = _BOXED.sub(r"\1", text)
    found = _labels(text, classes)
    starts = {match.end() for match in re.finditer(_ANSWER + _OPEN, text, re.IGNORECASE)}
    said = [each for each in found if each[0] in starts]
    if said:
        first, *later = said
        for then in later:
            first = then if _CORRECTED.search(text, first[1], then[0]) else first
        return _one_of(first, found, text)
    while found and (one := _one_of(found[0], found, text)) is None:
        found = found[2:]
    return one if found else None


def _labels(text: str, classes: Sequence[str]) -> list[tuple[int, int, str]]:
    """Where class words start and end that count, in order, the longest of those at one place."""
    found: dict[int, tuple[int, int, str]] = {}
    for name in classes:
        for match in _word((_bare(name, case=False) or name).casefold()).finditer(text):
            start, end = match.span()
            if start not in found or end > found[start][1]:
                found[start] = (start, end, name)
    kept: list[tuple[int, int, str]] = []
    end = 0
    for one in sorted(found.values()):
        inside, end = one[0] < end, max(end, one[1])
        if not inside and not _denied(text, one[0], one[1]) and not _CONCEDED.search(text, max(0, one[0] - 99), one[0]):
            kept.append(one)
    return [one for one in kept if text[one[0] : one[1]] != "no" or not _NONE_OF.search(text, 0, one[0])]


@lru_cache(maxsize=1024)
def _word(name: str) -> re.Pattern[str]:
    # Letters that are no case pairs (Chinese, Thai and others) belong to scripts without spaces.
    before = r"(?<!\w)" if _spaced(name[:1]) else ""
    after = r"(?!\w)" if _spaced(name[-1:]) else ""
    # 1 is neither in 1.5 nor in -1.
    before += r"(?<!\d[.,])(?<!(?<!\w)[-\u2212])" if name[:1].isdigit() else ""
    after += r"(?![.,]\d)" if name[-1:].isdigit() else ""
    return re.compile(before + re.escape(name) + after)


def _spaced(character: str) -> bool:
    name = unicodedata.name(character, "")
    return not name.startswith(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR"))


def _one_of(found: tuple[int, int, str], others: Sequence[tuple[int, int, str]], text: str) -> str | None:
    """The class word; None where another one stands beside it as an equal."""
    also = re.compile(_ALSO, re.IGNORECASE).match(text, found[1])
    ends = (found[1], also.end() if also is not None else found[1])
    beside = any(o[0] in ends and o[2] != found[2] for o in others)
    return None if beside else found[2]


def letter_in(text: str, classes: Sequence[str]) -> str | None:
    """The option's letter that a text answers with (``parsers.letter``)."""
    text = _unasked(_BRACED.sub(r"(\1)", _bare(text, case=True)), r"[A-Z](?![\w'’])")
    known = {c.strip().strip("().").upper() for c in classes}
    known = known if known and all(len(k) == 1 and k.isalpha() for k in known) else set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    for match in reversed(list(_BOXED.finditer(text))):
        inside = re.match(rf"\s?[(\[]?([A-Za-z]){_STOP}(?=\s?[)\].:]|\s?$)", match[1])
        if inside and inside[1].upper() in known:
            return inside[1].upper()
    text = _BOXED.sub(r"\1", text)
    chosen = [match for form in (_CHOSEN, _LOWER, _RIGHT) for match in form.finditer(text)]
    chosen.sort(key=lambda match: match.start())
    places = [match.span(match.lastindex or 1) for match in (*_SAID.finditer(text), *_FRONT.finditer(text), *chosen)]
    places = [(a, b) for a, b in places if text[a:b].upper() in known and not _is_word(text, a, b)]
    places = [(a, b) for a, b in places if not _denied(text, a, b)]
    if places:
        first = places[0]
        for one in sorted(places):
            if one[0] > first[1] and _CORRECTED.search(text, first[1], one[0]):
                first = one
        found = text[slice(*first)].upper()
        return found if _alone(found, text, first[1]) else None
    bracketed = [m for m in re.finditer(r"[(\[]([A-Z])[)\]]", text) if m[1] in known and not _denied(text, *m.span(1))]
    if bracketed:
        return bracketed[0][1] if len({m[1] for m in bracketed}) == 1 else None
    last = re.search(r"(?<![A-Za-z0-9À-ÿ])([A-Z])[\s.!)\]\"'”’]{0,9}$", text)
    if last and last[1] in known and not _denied(text, *last.span(1)):
        before = re.search(
            r"([A-Z])[)\]]?(?:,?\s(?:or|and)\s|\s?[/&,]\s?)[(\[]?$", text[max(0, last.start(1) - 12) : last.start(1)]
        )
        return None if before else last[1]
    return None


def _unasked(text: str, option: str) -> str:
    """The text with blanks in place of a question that names the options: "Positive or negative?"."""
    one = rf"[(\[\"'“‘]?(?<!\w)(?:{option})[)\]\"'”’]?"
    listed = rf"{one}(?:\s?(?:,|/|\bor\b|\band\b)(?:\s?\bor\b)?\s?{one}){{1,25}}\s?\?"
    return re.sub(listed, lambda match: " " * len(match[0]), text)


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether a letter is the article or the pronoun: "A dog", "I think"."""
    return text[start:end] in "AI" and _GOES_ON.match(text, end) is not None


def _denied(text: str, start: int, end: int) -> bool:
    return bool(_DENIED.search(text, max(0, start - _FAR), start) or _WRONG.match(text, end))


def _alone(found: str, text: str, end: int) -> bool:
    """Whether no other letter stands beside it as an equal: "A or B"."""
    other = re.compile(_ALSO + r"([A-Z])" + _STOP).match(text, end)
    return other is None or other[1] == found or _denied(text, *other.span(1))


def _bare(text: str, *, case: bool) -> str:
    """The text without markup, in composed and compatible characters."""
    text = unicodedata.normalize("NFKC", text)
    text = _LATEX.sub(r"\1", _LATEX.sub(r"\1", text))
    text = _MARKUP.sub("", text)
    # Whole words of other alphabets keep their letters.
    return re.sub(r"(?<!\w)\w(?!\w)", lambda m: m[0].translate(_ALIKE), text) if case else text
