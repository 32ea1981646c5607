"""Proposed names, profiles and agreement with declared skills."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from trait_worlds import planted_signal

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.traits import Traits, fit_traits
from traitscope.traits.naming import propose_names, split_tag, task_labels
from traitscope.traits.skills import skill_agreement

TASKS = ["imdb", "amazon", "flipkart", "gsm8k", "goat", "svamp", "mnli", "paws", "pile", "code"]
TAGS = {
    **{t: {"kind": "sentiment", "skills": "sentiment, reading"} for t in TASKS[:3]},
    **{t: {"kind": "arithmetic", "skills": ["arithmetic"]} for t in TASKS[3:6]},
    **{t: {"kind": "entailment", "skills": "reading"} for t in TASKS[6:8]},
}


def tagged_traits(**options: object) -> Traits:
    rng = np.random.default_rng(0)
    sentiment = np.array([1, 0.9, 0.8, 0, 0, 0, 0, 0, 0, 0])
    arithmetic = np.array([0, 0, 0, 1, 0.8, 0.9, 0, 0, 0, 0])
    left, _, _ = planted_signal(11, 10, np.array([2.0, 1.0]), rng)
    values = 3 * np.outer(left[:, 0], sentiment) + 2 * np.outer(left[:, 1], arithmetic)
    values += 0.01 * rng.normal(size=values.shape)
    rows = ["base", *(f"a{i}" for i in range(1, 11))]
    scores = ScoreMatrix.from_wide(pd.DataFrame(values, index=rows, columns=TASKS), tags=TAGS)
    return fit_traits(scores, k=2, permutations=19, replicates=0, held_out=0, **options)  # type: ignore[arg-type]


def test_names_are_proposed_from_tags() -> None:
    traits = tagged_traits()
    assert [name.label for name in traits.names] == ["sentiment", "arithmetic"]
    assert traits.names[0].cosine == pytest.approx(2.7 / np.sqrt(3 * 2.45), abs=0.02)
    assert traits.names[0].p < 0.05
    assert traits.names[0].tasks.startswith("imdb +0.6")


def test_the_users_own_words_come_first() -> None:
    traits = tagged_traits(words={"opinions": ["imdb", "amazon", "flipkart"]})
    assert traits.names[0].label == "opinions"


def test_a_label_that_fits_by_chance_is_not_taken() -> None:
    rng = np.random.default_rng(1)
    taken = 0
    for _ in range(60):
        loadings = rng.normal(size=(1, 10))
        labels = task_labels(TASKS, TAGS)
        taken += propose_names(loadings, TASKS, labels, permutations=300, rng=rng)[0].label is not None
    assert taken <= 9


def test_two_poles_are_named_and_no_label_leaves_the_heaviest_tasks() -> None:
    labels = task_labels(TASKS, TAGS)
    rng = np.random.default_rng(2)
    contrast = np.array([[1, 1, 1, -0.7, -0.7, -0.7, 0, 0, 0, 0.0]])
    assert propose_names(contrast, TASKS, labels, rng=rng)[0].proposed == "sentiment against arithmetic"
    away = np.array([[-1, -1, -1, 0.1, 0.1, 0.1, 0.1, 0, 0, 0.0]])
    assert propose_names(away, TASKS, labels, rng=rng)[0].proposed == "not sentiment"
    other = np.array([[0.1, 0, 0.1, 0, 0, 0.1, 0, 1, 0, -0.9]])
    name = propose_names(other, TASKS, labels, rng=rng)[0]
    assert name.label is None and name.proposed == "paws - code"


def test_labels_of_all_tasks_say_nothing_and_lists_are_split() -> None:
    labels = task_labels(["a", "b"], {"a": {"kind": "x"}, "b": {"kind": "x", "skills": "p, q"}})
    assert labels == {"p": frozenset({1}), "q": frozenset({1})}
    assert split_tag(["a", " b "]) == ["a", "b"] and split_tag(3) == ["3"]


def test_a_profile_is_a_hundred_times_the_unit_norm_score() -> None:
    traits = tagged_traits()
    points = traits.profile("a3")
    assert points == {"T1": round(100 * traits.scores_IK[3, 0]), "T2": round(100 * traits.scores_IK[3, 1])}
    total = sum(traits.scores_IK[:, 0] ** 2)
    assert total == pytest.approx(1.0)
    text = traits.profile_text("a3")
    assert "sentiment?" in text and ("+" in text or "-" in text)
    with pytest.raises(TraitscopeError, match="no model named 'zz'"):
        traits.profile("zz")


def test_declared_skills_agree_with_the_traits_made_from_them() -> None:
    agreement = tagged_traits().skills
    assert agreement is not None
    assert set(agreement.skills) == {"sentiment", "reading", "arithmetic"}
    assert agreement.p < 0.01 and agreement.rv > agreement.rv_null + 0.3
    best = dict(zip(agreement.skills, agreement.trait_G, strict=True))
    assert best["sentiment"] == 0 and best["arithmetic"] == 1


def test_rv_is_one_for_the_same_configuration_and_p_is_uniform_for_others() -> None:
    rng = np.random.default_rng(3)
    skills = {"a": frozenset({0, 1, 2}), "b": frozenset({3, 4})}
    indicator = np.zeros((2, 10))
    indicator[0, [0, 1, 2]] = 1
    indicator[1, [3, 4]] = 1
    norms = np.linalg.norm(indicator, axis=1)
    same = skill_agreement(indicator / norms[:, None], norms, skills, rng=rng)
    assert same.rv == pytest.approx(1.0) and same.canonical == pytest.approx(1.0)
    p = [skill_agreement(rng.normal(size=(2, 10)), np.ones(2), skills, permutations=99, rng=rng).p for _ in range(60)]
    assert 0.38 < np.mean(p) < 0.62


def test_rv_equals_its_definition() -> None:
    rng = np.random.default_rng(4)
    loadings, singular = rng.normal(size=(3, 8)), np.array([3.0, 2.0, 1.0])
    skills = {"a": frozenset({0, 5}), "b": frozenset({1, 2, 7})}
    x = (loadings * singular[:, None]).T
    y = np.zeros((8, 2))
    y[[0, 5], 0] = 1
    y[[1, 2, 7], 1] = 1
    cov = np.cov(np.hstack([x, y]), rowvar=False)
    xx, yy, xy = cov[:3, :3], cov[3:, 3:], cov[:3, 3:]
    expected = np.trace(xy @ xy.T) / np.sqrt(np.trace(xx @ xx) * np.trace(yy @ yy))
    assert skill_agreement(loadings, singular, skills, permutations=9, rng=rng).rv == pytest.approx(expected)


def test_skills_of_the_same_tasks_are_one_test_and_q_is_corrected_over_the_skills() -> None:
    rng = np.random.default_rng(5)
    loadings = rng.normal(size=(2, 10))
    skills = {"a": frozenset({0, 1, 2, 3}), "b": frozenset({0, 1, 2, 3}), "c": frozenset({4}), "d": frozenset({5, 6})}
    loadings[0] = np.isin(np.arange(10), [0, 1, 2, 3]) + 0.01 * loadings[0]
    found = skill_agreement(loadings, np.ones(2), skills, rng=rng)
    assert found.skills == ("a, b", "c", "d")
    order = np.array([0, 2]) if found.p_G[0] < found.p_G[2] else np.array([2, 0])
    by_hand = np.minimum.accumulate((found.p_G[order] * 2 / np.arange(1, 3))[::-1])[::-1]
    assert found.q_G[order] == pytest.approx(by_hand)
    # No p below 1/10 can be had for one task of ten.
    assert np.isnan(found.q_G[1])
    # One of the 210 ways to choose four tasks of ten fits best, and no other trait comes near.
    assert found.p_G[0] == pytest.approx(1 / 210, abs=0.006)
    assert found.statement().startswith("1 of 2 declared skills go with a trait at q <= 0.05 (a, b); 1 more")
    indicator = np.isin(np.arange(10), [0, 1, 2, 3]).astype(float)
    assert found.correlation_G[0] == pytest.approx(np.corrcoef(indicator, loadings[0])[0, 1])


def test_skills_that_divide_nothing_are_refused() -> None:
    with pytest.raises(TraitscopeError, match="no declared skill divides the tasks"):
        skill_agreement(np.eye(2), np.ones(2), {"all": frozenset({0, 1})}, rng=np.random.default_rng(0))
