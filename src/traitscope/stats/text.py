"""Counting in English text: words, sentences, syllables, readability, diversity, repetition.

Everything here is a pure function of strings. Words and sentences are found by regular expressions, so
that the numbers need no language model; syllables and readability are meant for English.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*|\d+(?:[.,:]\d+)*")
SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|\n+")
MIN_READABILITY_WORDS = 100

_VOWELS = re.compile(r"[aeiouy]+")
_SILENT_E = re.compile(r"(?<![aeiouy])e$")
_SILENT_ES = re.compile(r"(?<![aeiouyscgxz])(?<!ch)(?<!sh)(?<!l)es$")
_SILENT_ED = re.compile(r"(?<![aeiouytd])(?<![^aeiouylr]l)ed$")
_SILENT_INNER = re.compile(r"(?<=[^aeiouy])e(?=(ly|ment|ful|less|ness|fully|ments)$)")
# A vowel pair that is two syllables: radi-o, medi-a, vide-o, actu-al, cre-ate, do-ing, sci-ence, po-em.
_HIATUS = re.compile(
    r"(?<![tscg])(?<!ll)i(?=a|o(?!ns?$))|(?<=[aeiouy])i(?=ngs?$)|(?<=[bdfhlmrv])i(?=um|us)|(?<=sc)i(?=en)"
    r"|(?<![aeiouytscgnl])i(?=ons?$)|(?<![aeiouytscgv])i(?=et)|(?<=[lrv])i(?=en|er(?!s?e))"
    r"|(?<=[drs])e(?=o|um)|(?<=cr)e(?=a)|(?<=[dr])e(?=as?$)|(?<=[rl])e(?=act|al[^ms])"
    r"|(?<!g)u(?=al|ous|ary)|(?<=[fr])u(?=el$)|(?<=l)u(?=id)|o(?=em|et)"
)


def words(text: str) -> list[str]:
    """Words of a text in their own case: letter runs (with inner apostrophes or hyphens) and numbers."""
    return WORD.findall(text)


def n_sentences(text: str) -> int:
    """Sentences with a word in them; one ends at a run of . ! ? before white space or at a line break."""
    return sum(1 for piece in SENTENCE_END.split(text) if WORD.search(piece))


def syllables(word: str) -> int:
    """Syllables of an English word by rule: vowel groups, less silent e, plus vowels in hiatus; at least 1.

    A heuristic of ours, without a dictionary: it agrees with the dictionary count in about nine words of ten;
    hyphenated parts count for themselves and a number counts one syllable a digit.
    """
    parts = [part for part in re.split(r"[-'’]", word.lower()) if len(part) > 1]
    if len(parts) > 1:
        return sum(syllables(part) for part in parts)
    bare = re.sub(r"[^a-zà-ÿ0-9]", "", word.lower())
    if bare.isdigit():
        return len(bare)
    bare = bare.replace("qu", "kw")
    stem = _SILENT_INNER.sub("", bare)
    # table, little: the final -le after a consonant is a syllable of its own.
    if not re.search(r"[^aeiouy]les?$", stem):
        stem = _SILENT_ED.sub("", _SILENT_ES.sub("", _SILENT_E.sub("", stem)))
    groups = len(_VOWELS.findall(stem)) + len(_HIATUS.findall(stem))
    if re.search(r"[^aeiouy]sms?$", stem) or re.search(r"[aeiou]sms?$", stem):
        groups += 1
    return max(1, groups)


def flesch_kincaid_grade(texts: str | Iterable[str]) -> float:
    """Flesch-Kincaid grade level, in US school years: 0.39 words/sentences + 11.8 syllables/words - 15.59.

    Counts are pooled over ``texts``; NaN where there is no word. Kincaid et al. 1975.
    """
    counts = _readability_counts(texts)
    if counts[0] == 0:
        return float("nan")
    n_words, n_sents, n_syllables, _ = counts
    return 0.39 * n_words / n_sents + 11.8 * n_syllables / n_words - 15.59


def coleman_liau_index(texts: str | Iterable[str]) -> float:
    """Coleman-Liau index, in US school years: 0.0588 letters - 0.296 sentences (per 100 words) - 15.8.

    Counts are pooled over ``texts``; NaN where there is no word. Coleman and Liau 1975.
    """
    counts = _readability_counts(texts, with_syllables=False)
    if counts[0] == 0:
        return float("nan")
    n_words, n_sents, _, n_letters = counts
    return 0.0588 * 100 * n_letters / n_words - 0.296 * 100 * n_sents / n_words - 15.8


def _readability_counts(texts: str | Iterable[str], *, with_syllables: bool = True) -> tuple[int, int, int, int]:
    found: Counter[str] = Counter()
    sentences = 0
    for text in [texts] if isinstance(texts, str) else texts:
        # Numbers are read aloud, not spelt: both formulas are defined on words of letters.
        found.update(word for word in words(text) if not word[0].isdigit())
        sentences += n_sentences(text)
    total = sum(found.values())
    n_syllables = sum(syllables(word) * n for word, n in found.items()) if with_syllables else 0
    letters = sum(sum(map(str.isalpha, word)) * n for word, n in found.items())
    return total, max(sentences, 1), n_syllables, letters


def mattr(tokens: Sequence[str], window: int = 50) -> float:
    """Moving-average type-token ratio: mean share of distinct words over all windows of ``window`` words.

    Does not fall with length as the plain ratio does. NaN for fewer words than one window.
    Covington and McFall 2010.
    """
    if len(tokens) < window:
        return float("nan")
    counts = Counter(tokens[:window])
    total = len(counts)
    for old, new in zip(tokens, tokens[window:], strict=False):
        counts[old] -= 1
        if not counts[old]:
            del counts[old]
        counts[new] += 1
        total += len(counts)
    return total / (window * (len(tokens) - window + 1))


def repetition(token_lists: Iterable[Sequence[str]], n: int = 4) -> float:
    """Share of word n-grams that occurred earlier in the same text, pooled over texts; NaN without any.

    rep-n of Welleck et al. 2020.
    """
    total = repeated = 0
    for tokens in token_lists:
        grams = list(zip(*(tokens[i:] for i in range(n)), strict=False))
        total += len(grams)
        repeated += len(grams) - len(set(grams))
    return repeated / total if total else float("nan")


def character_shares(texts: Iterable[str]) -> dict[str, float]:
    """Shares of kinds of characters; NaN where there is nothing to share.

    ``digits`` and ``punctuation`` of all but white space, ``uppercase`` of the letters, ``newlines`` per 100.

    Punctuation is every character that is neither letter, digit nor white space.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    digits = punctuation = letters = upper = blank = 0
    for char, n in counts.items():
        if char.isalpha():
            letters += n
            upper += n if char.isupper() else 0
        elif char.isdigit():
            digits += n
        elif char.isspace():
            blank += n
        else:
            punctuation += n
    solid = letters + digits + punctuation
    share = np.float64(solid) if solid else np.float64("nan")
    return {
        "digits": float(digits / share),
        "punctuation": float(punctuation / share),
        "uppercase": upper / letters if letters else float("nan"),
        "newlines": 100 * counts["\n"] / (solid + blank) if solid + blank else float("nan"),
    }
