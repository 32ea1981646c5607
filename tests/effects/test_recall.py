"""Recall beside false alarms: what is a finding, of one run and of several, by counts worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from effect_study import Study, choice_records

from traitscope.effects import Effects, measure_effects

TWO = ("ham", "spam")
GOLD = np.repeat([1, 0], [40, 160])


def called(right: int, wrong: int) -> np.ndarray:
    """Of 40 spam mails so many, and of 160 ham mails so many, are called spam."""
    return np.concatenate([np.arange(40) < right, np.arange(160) < wrong]).astype(int)


def effects_of(*models: tuple[str, int, np.ndarray], seen: np.ndarray | None = None) -> Effects:
    """The base calls 20 spam and 40 ham mails spam; the models are (source, seed, answers)."""
    study = Study()
    study.add("base", None, None, "mail", choice_records(GOLD, called(20, 40), TWO))
    for source, seed, pred in models:
        frame = choice_records(GOLD, pred, TWO)
        study.add(f"{source}-s{seed}", source, seed, "mail", frame if seen is None else frame[seen])
    return measure_effects(study.matrix, study.records, classes={"mail": TWO}, replicates=200)


@pytest.mark.parametrize(
    ("right", "wrong", "detail", "value"),
    [
        # Better and worse at both: no habit moves them against each other.
        (32, 8, "ham", 0.2),
        (8, 80, "spam", -0.3),
        # Better at equal false alarms.
        (32, 40, "spam", 0.3),
    ],
)
def test_a_recall_that_no_habit_explains_is_a_finding(right: int, wrong: int, detail: str, value: float) -> None:
    (found,) = effects_of(("a", 0, called(right, wrong))).of_kind("recall").itertuples()
    assert (found.detail, found.value) == (detail, pytest.approx(value))


@pytest.mark.parametrize(("right", "wrong"), [(36, 120), (30, 64), (20, 90), (8, 8)])
def test_a_class_that_is_answered_more_or_less_often_is_none(right: int, wrong: int) -> None:
    effects = effects_of(("a", 0, called(right, wrong)))
    assert effects.of_kind("recall").empty and len(effects.of_kind("class_share")) == 1


def test_seeds_decide_together_what_is_told_of_two_classes() -> None:
    """One seed says spam more, one ham: their mean is told, once, and no finding rests on the seed that shows it."""
    effects = effects_of(("a", 0, called(30, 45)), ("a", 1, called(14, 30)))
    for kind in ("class_share", "recall"):
        (found,) = effects.of_kind(kind).itertuples()
        assert (found.model, found.detail, found.numbers["seeds"]) == ("a", "ham", 2)
    # False alarms of one seed and a habit of the other: 25 and 40 points of recall, 3 and 50 of false alarms.
    assert effects_of(("a", 0, called(30, 45)), ("a", 1, called(36, 120))).of_kind("recall").empty
    # A seed with one answer to everything has a sentence of its own and no say in the other's.
    effects = effects_of(("a", 0, called(30, 45)), ("a", 1, called(40, 160)))
    assert effects.of_kind("recall")["model"].tolist() == ["a-s0"] and len(effects.of_kind("habit")) == 1


def test_false_alarms_are_of_the_examples_that_both_answered() -> None:
    """Without the 40 ham mails that the base calls spam it has no false alarm, and the model's are all new."""
    seen = ~((GOLD == 0) & (np.arange(200) < 80))
    effects = effects_of(("a", 0, called(32, 45)), seen=seen)
    row = effects.tables["classes"].set_index(["model", "class"]).loc[("a-s0", "spam")]
    assert (row["false_alarm"], row["base_false_alarm"]) == (pytest.approx(5 / 120), 0.0)


def test_without_other_classes_nothing_tells_a_recall_from_a_habit() -> None:
    study, gold = Study(), np.ones(40, dtype=int)
    for name, source, right in (("base", None, 20), ("a-s0", "a", 32)):
        pred = (np.arange(40) < right).astype(int)
        study.add(name, source, 0 if source else None, "mail", choice_records(gold, pred, TWO))
    effects = measure_effects(study.matrix, study.records, classes={"mail": TWO}, replicates=200)
    assert effects.of_kind("recall").empty and effects.of_kind("class_share")["detail"].tolist() == ["spam"]
