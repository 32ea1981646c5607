"""Counts of texts, labels and lengths, worked by hand or by Python's own statistics."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from traitscope.stats import DatasetText, dataset_stats
from traitscope.stats.duplicates import near_duplicate_share, shingles
from traitscope.stats.labels import label_collisions, label_words
from traitscope.stats.text import n_sentences


def test_a_piece_without_a_word_is_no_sentence() -> None:
    assert n_sentences("Yes. -- ! No.") == 2
    assert n_sentences("... \n\n ?") == 0


def test_shingles_are_word_trigrams() -> None:
    assert shingles("The cat, the Dog ran") == {("the", "cat", "the"), ("cat", "the", "dog"), ("the", "dog", "ran")}
    assert shingles("One two") == {("one", "two")}


@pytest.mark.parametrize(("changed", "share"), [(2, 1.0), (3, 0.0)])
def test_texts_are_near_duplicates_from_a_jaccard_similarity_of_four_fifths(changed: int, share: float) -> None:
    """Of 20 words the last differ: 16 of 20 trigrams are shared for two words, 15 of 21 (0.71) for three."""
    words = [f"w{letter}" for letter in "abcdefghijklmnopqrst"]
    other = [*words[: 20 - changed], *[f"x{letter}" for letter in "abc"[:changed]]]
    assert near_duplicate_share([" ".join(words), " ".join(other)]) == share


def classes(name: str, words: tuple[str, ...], meanings: tuple[str, ...] | None = None) -> DatasetText:
    n = len(words)
    return DatasetText(
        name=name,
        prompts=tuple(f"{name} {i}" for i in range(n)),
        answers=words,
        classes=words,
        labels=tuple(range(n)),
        meanings=meanings,
    )


def test_words_collide_between_datasets_and_an_undeclared_meaning_is_no_other_one() -> None:
    data = [
        classes("a", (" Yes", "no"), ("agree", "disagree")),
        classes("b", ("yes", "NO")),
        classes("c", ("no", "yes"), ("disagree", "harmless")),
    ]
    table = label_collisions(label_words(data)).set_index(["word", "dataset_a", "dataset_b"])["kind"]
    assert table.to_dict() == {
        ("yes", "a", "b"): "shared",
        ("yes", "a", "c"): "meaning",
        ("yes", "b", "c"): "index",
        ("no", "a", "b"): "shared",
        ("no", "a", "c"): "index",
        ("no", "b", "c"): "index",
    }


def test_a_word_does_not_collide_within_its_dataset() -> None:
    assert label_collisions(label_words([classes("a", (" yes", "Yes"))])).empty


def test_lengths_and_distinct_answers() -> None:
    answers = ("one", " one", "one two", "one two three four", "one two three four five six seven")
    data = DatasetText(name="d", prompts=tuple(f"p {i}" for i in range(5)), answers=answers)
    row = dataset_stats([data]).frame.loc["d"]
    lengths = [1, 1, 2, 4, 7]
    assert row["answer_words_mean"] == pytest.approx(statistics.mean(lengths))
    assert row["answer_words_sd"] == pytest.approx(statistics.stdev(lengths))
    for q in (10, 25, 50, 75, 90):
        assert row[f"answer_words_q{q}"] == pytest.approx(np.percentile(lengths, q))
    assert row["distinct_answers"] == pytest.approx(4 / 5)
