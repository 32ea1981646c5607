import math

import numpy as np
import pytest

from traitscope.stats.text import (
    character_shares,
    coleman_liau_index,
    flesch_kincaid_grade,
    mattr,
    n_sentences,
    repetition,
    syllables,
    words,
)

SYLLABLES = {
    1: "the cat strength loved cakes through made stopped horse called played tried eyes build suit thought",
    2: "table little people create doing being money happy wanted settled boxes churches broken poem quiet diet",
    3: "banana beautiful radio video negative positive idea actual sentiment hospital delivered area entailment",
    4: "education information january category entertaining obviously arithmetic reality hypothesis",
    5: "university vocabulary opportunity examination",
}


@pytest.mark.parametrize("count", SYLLABLES)
def test_syllables_of_words_with_known_counts(count: int) -> None:
    assert {word: syllables(word) for word in SYLLABLES[count].split()} == dict.fromkeys(
        SYLLABLES[count].split(), count
    )


def test_syllables_of_compounds_numbers_and_words_without_vowels() -> None:
    assert [syllables(w) for w in ("twenty-four", "42", "hmm", "don't")] == [3, 2, 1, 1]


def test_words_keep_inner_apostrophes_hyphens_and_decimal_numbers() -> None:
    assert words("Don't re-use 1,000.5 items_x (ok)!") == ["Don't", "re-use", "1,000.5", "items", "x", "ok"]


def test_sentences_end_at_stops_before_space_and_at_line_breaks() -> None:
    assert n_sentences("One. Two? Three!\nFour") == 4
    assert n_sentences("Version 3.5 costs 1.20 now") == 1
    assert n_sentences("...") == 0


def test_readability_of_a_sentence_worked_by_hand() -> None:
    text = "The cat sat on the mat."  # 6 words, 1 sentence, 6 syllables, 17 letters
    assert flesch_kincaid_grade(text) == pytest.approx(0.39 * 6 + 11.8 * 1 - 15.59)
    assert coleman_liau_index(text) == pytest.approx(0.0588 * 1700 / 6 - 0.296 * 100 / 6 - 15.8)


def test_readability_of_two_sentences_worked_by_hand() -> None:
    text = "Reading is a wonderful hobby. It teaches us about many ideas."  # 11 words, 2 sentences, 20 syllables
    assert flesch_kincaid_grade(text) == pytest.approx(8.0095, abs=1e-3)
    assert coleman_liau_index(text) == pytest.approx(0.0588 * 4900 / 11 - 0.296 * 200 / 11 - 15.8)


def test_readability_pools_its_counts_over_texts() -> None:
    assert flesch_kincaid_grade(["The cat sat.", "It ran."]) == pytest.approx(
        flesch_kincaid_grade("The cat sat. It ran.")
    )
    assert math.isnan(flesch_kincaid_grade("42 + 1"))


def test_mattr_equals_the_mean_over_windows_counted_one_by_one() -> None:
    tokens = [str(t) for t in np.random.default_rng(0).integers(0, 9, 80)]
    slow = np.mean([len(set(tokens[i : i + 10])) / 10 for i in range(len(tokens) - 9)])
    assert mattr(tokens, 10) == pytest.approx(slow, abs=1e-12)
    assert math.isnan(mattr(tokens[:9], 10))


def test_mattr_does_not_fall_with_length_as_the_plain_ratio_does() -> None:
    tokens = [str(t) for t in np.random.default_rng(1).integers(0, 500, 20_000)]
    plain = [len(set(tokens[:n])) / n for n in (500, 20_000)]
    robust = [mattr(tokens[:n]) for n in (500, 20_000)]
    assert plain[0] / plain[1] > 10
    assert robust[0] / robust[1] == pytest.approx(1.0, abs=0.02)


def test_repetition_counts_ngrams_seen_earlier_in_the_same_text() -> None:
    assert repetition([list("abcabc")], n=2) == pytest.approx(2 / 5)
    assert repetition([list("ab"), list("ab")], n=2) == 0.0
    assert math.isnan(repetition([["a"]], n=4))


def test_character_shares_by_hand() -> None:
    assert character_shares(["Ab 1!\n"]) == {
        "digits": 0.25,
        "punctuation": 0.25,
        "uppercase": 0.5,
        "newlines": pytest.approx(100 / 6),
    }
