"""The registered statistics of a dataset: each with its name, unit, definition and reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from traitscope.registry import Registry
from traitscope.stats.datasets import Prepared
from traitscope.stats.duplicates import near_duplicate_share
from traitscope.stats.labels import entropy_bits
from traitscope.stats.text import (
    MIN_READABILITY_WORDS,
    character_shares,
    coleman_liau_index,
    flesch_kincaid_grade,
    mattr,
    repetition,
)

NAN = float("nan")
MATTR_WINDOW = 50
MATTR_WORDS = 100_000


@dataclass(frozen=True, slots=True)
class Statistic:
    """What a registered statistic is.

    Attributes:
        unit: its unit.
        definition: what is counted, in one sentence.
        compute: from a prepared dataset to the value; NaN where it is not defined.
        core: whether explanations look at it by default; the others are near copies of a core one.
    """

    unit: str
    definition: str
    compute: Callable[[Prepared], float]
    core: bool = False


STATISTICS: Registry[Statistic] = Registry("statistic")


def statistic(
    name: str,
    unit: str,
    definition: str,
    *,
    reference: str = "this project",
    core: bool = False,
    version: int = 1,
) -> Callable[[Callable[[Prepared], float]], Callable[[Prepared], float]]:
    """A decorator that registers ``function(prepared) -> float`` as the statistic ``name``."""

    def keep(function: Callable[[Prepared], float]) -> Callable[[Prepared], float]:
        STATISTICS.register(name, version=version, reference=reference)(
            Statistic(unit=unit, definition=definition, compute=function, core=core)
        )
        return function

    return keep


statistic("n_examples", "examples", "Number of examples.")(lambda p: float(len(p.data.prompts)))


def _length(prepared: Prepared, part: str, unit: str, quantile: float | None) -> float:
    lengths = prepared.lengths(part, unit)
    if not lengths.size:
        return NAN
    return float(lengths.mean() if quantile is None else np.quantile(lengths, quantile))


def _length_sd(prepared: Prepared, part: str, unit: str) -> float:
    lengths = prepared.lengths(part, unit)
    return float(lengths.std(ddof=1)) if lengths.size > 1 else NAN


for _part in ("answer", "prompt"):
    for _unit in ("tokens", "words"):
        _by = "by the tokenizer given, without special tokens" if _unit == "tokens" else "words by the rule below"
        statistic(f"{_part}_{_unit}_mean", _unit, f"Mean length of the {_part}s, {_by}.", core=_unit == "tokens")(
            partial(_length, part=_part, unit=_unit, quantile=None)
        )
        statistic(f"{_part}_{_unit}_sd", _unit, f"Standard deviation of the {_part}s' lengths, {_by}.")(
            partial(_length_sd, part=_part, unit=_unit)
        )
        for _q in (10, 25, 50, 75, 90):
            statistic(
                f"{_part}_{_unit}_q{_q}",
                _unit,
                f"{_q} % quantile of the {_part}s' lengths, {_by}, interpolated linearly.",
            )(partial(_length, part=_part, unit=_unit, quantile=_q / 100))


@statistic("n_classes", "classes", "Number of classes, where all rows share their options.", core=True)
def _n_classes(p: Prepared) -> float:
    return NAN if p.data.classes is None else float(len(p.data.classes))


@statistic("label_entropy", "bits", "Shannon entropy of the class shares.", reference="Shannon 1948", core=True)
def _label_entropy(p: Prepared) -> float:
    return NAN if p.label_shares is None else entropy_bits(p.label_shares)


@statistic(
    "label_evenness",
    "share",
    "Label entropy divided by its largest possible value, log2 of the number of classes.",
    reference="Pielou 1966",
    core=True,
)
def _label_evenness(p: Prepared) -> float:
    if p.label_shares is None or len(p.label_shares) < 2:
        return NAN
    return entropy_bits(p.label_shares) / float(np.log2(len(p.label_shares)))


@statistic("majority_share", "share", "Share of the largest class: the accuracy of always answering it.", core=True)
def _majority_share(p: Prepared) -> float:
    return NAN if p.label_shares is None else float(p.label_shares.max())


@statistic(
    "imbalance_ratio",
    "ratio",
    "Largest class count divided by the smallest; infinite where a class is empty.",
)
def _imbalance_ratio(p: Prepared) -> float:
    if p.label_shares is None:
        return NAN
    low = float(p.label_shares.min())
    return float(p.label_shares.max()) / low if low > 0 else float("inf")


@statistic(
    "label_collisions",
    "pairs",
    "Number of (label word, other dataset) pairs in which the word has another class index or another "
    "declared meaning, or is a bare number or letter that both use.",
    core=True,
)
def _label_collisions(p: Prepared) -> float:
    return p.collisions


@statistic(
    "distinct_answers",
    "share",
    "Number of distinct answers (outer white space removed) divided by the examples.",
    core=True,
)
def _distinct_answers(p: Prepared) -> float:
    return len({answer.strip() for answer in p.data.answers}) / len(p.data.answers)


def _mattr(p: Prepared, part: str) -> float:
    joined = [word.lower() for found in p.words(part) for word in found][:MATTR_WORDS]
    return mattr(joined, MATTR_WINDOW)


def _character(p: Prepared, part: str, what: str) -> float:
    return character_shares(p.texts(part))[what]


def _repetition(p: Prepared, part: str) -> float:
    return repetition([[word.lower() for word in found] for found in p.words(part)])


def _word_length(p: Prepared, part: str) -> float:
    lengths = [len(word) for found in p.words(part) for word in found]
    return float(np.mean(lengths)) if lengths else NAN


def _readable(p: Prepared, part: str, formula: Callable[[tuple[str, ...]], float]) -> float:
    n = sum(1 for found in p.words(part) for word in found if not word[0].isdigit())
    return formula(p.texts(part)) if n >= MIN_READABILITY_WORDS else NAN


for _part in ("prompt", "answer"):
    _core = _part == "prompt"
    statistic(
        f"{_part}_mattr",
        "share",
        f"Moving-average type-token ratio of the {_part}s joined, lower case: mean share of distinct words "
        f"in windows of {MATTR_WINDOW} words; undefined below one window.",
        reference="Covington and McFall 2010",
        core=_core,
    )(partial(_mattr, part=_part))
    for _what, _words in (
        ("digits", "Share of digits among the characters that are not white space"),
        (
            "punctuation",
            "Share of characters that are neither letters nor digits among those not white space",
        ),
        ("uppercase", "Share of upper-case letters among the letters"),
    ):
        statistic(f"{_part}_{_what}", "share", f"{_words}, in the {_part}s.", core=_core and _what != "uppercase")(
            partial(_character, part=_part, what=_what)
        )
    statistic(f"{_part}_newlines", "per 100 characters", f"Line breaks in the {_part}s.")(
        partial(_character, part=_part, what="newlines")
    )
    statistic(
        f"{_part}_repetition",
        "share",
        f"Share of word 4-grams that occurred earlier in the same {_part}, pooled (rep-4).",
        reference="Welleck et al. 2020",
    )(partial(_repetition, part=_part))
    statistic(f"{_part}_word_length", "characters", f"Mean length of the words of the {_part}s.")(
        partial(_word_length, part=_part)
    )
    statistic(
        f"{_part}_flesch_kincaid",
        "US school years",
        f"Flesch-Kincaid grade level of the {_part}s, counts pooled; undefined below {MIN_READABILITY_WORDS} "
        "words of letters.",
        reference="Kincaid et al. 1975",
        core=_core,
    )(partial(_readable, part=_part, formula=flesch_kincaid_grade))
    statistic(
        f"{_part}_coleman_liau",
        "US school years",
        f"Coleman-Liau index of the {_part}s, counts pooled; undefined below {MIN_READABILITY_WORDS} words of letters.",
        reference="Coleman and Liau 1975",
    )(partial(_readable, part=_part, formula=coleman_liau_index))


@statistic(
    "near_duplicates",
    "share",
    "Share of examples (prompt and answer) with another example at a word-trigram Jaccard similarity of "
    "at least 0.8, on a seeded sample (by default at most 1,000); it grows with the number of examples.",
    reference="Broder 1997",
    core=True,
)
def _near_duplicates(p: Prepared) -> float:
    return near_duplicate_share([f"{p.data.prompts[i]}\n{p.data.answers[i]}" for i in p.sampled])


@statistic("exact_duplicates", "share", "Share of examples whose prompt and answer repeat an earlier example.")
def _exact_duplicates(p: Prepared) -> float:
    pairs = list(zip(p.data.prompts, p.data.answers, strict=True))
    return 1.0 - len(set(pairs)) / len(pairs)


@statistic(
    "answer_loss",
    "nats per token",
    "The base model's mean negative log-likelihood of the answer and its stop token, averaged over "
    "examples; it is given to these functions, not computed by them.",
    core=True,
)
def _answer_loss(p: Prepared) -> float:
    return NAN if p.data.answer_loss_S is None else float(np.mean(p.data.answer_loss_S))
