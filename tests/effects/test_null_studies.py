"""Studies without transfer claim none: run noise, own effects and habits as they are; planted pulls are covered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from null_studies import Null, answers_again, habits_without_pull, share_of
from scipy.stats import binom

from traitscope.effects import Effects, measure_effects
from traitscope.effects import panel as panels

SHORT, FULL = 8, 200
FAST = {"replicates": 200, "permutations": 99}


@pytest.fixture(autouse=True)
def fewer_sign_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Single lengths are not what is asked here."""
    monkeypatch.setattr(panels, "SIGN_FLIPS", 200)


def allowed(share: float, studies: int) -> float:
    """What a true share is seen as in all but one of fifty tries."""
    return float(binom.ppf(0.98, studies, share)) / studies


def claims(null: Null, studies: int, *claimed: Callable[[Effects], bool]) -> list[float]:
    """In how many studies without transfer each of some things is claimed."""
    hits = []
    for seed in range(studies):
        study = answers_again(null, np.random.default_rng([seed, null.sources, null.tasks, null.seeds]))
        effects = measure_effects(study.matrix, study.records, **FAST)
        hits.append([claim(effects) for claim in claimed])
    return [share_of(column) for column in zip(*hits, strict=True)]


def claims_surprise(effects: Effects) -> bool:
    return len(effects.surprising()) > 0


def claims_asymmetry(effects: Effects) -> bool:
    return len(effects.held(effects.of_kind("asymmetry"))) > 0


def claims_transfer(effects: Effects) -> bool:
    held = effects.held(effects.of_kind("gain"))
    return bool((held["family"] == "transfer").any())


@pytest.mark.parametrize(
    ("sources", "studies"),
    [(6, SHORT), pytest.param(6, FULL, marks=pytest.mark.verify), pytest.param(14, FULL, marks=pytest.mark.verify)],
)
def test_three_seeds_with_two_points_of_run_noise_surprise_nobody(sources: int, studies: int) -> None:
    null = Null(sources=sources, tasks=6, seeds=3, run_sd=0.02)
    assert max(claims(null, studies, claims_surprise, claims_asymmetry)) <= allowed(0.05, studies)


@pytest.mark.parametrize("own", [0.0, 0.3])
@pytest.mark.parametrize(
    ("sources", "studies"),
    [(6, SHORT), pytest.param(6, FULL, marks=pytest.mark.verify), pytest.param(20, FULL, marks=pytest.mark.verify)],
)
def test_transfer_is_not_claimed_whatever_the_own_effects(sources: int, studies: int, own: float) -> None:
    null = Null(sources=sources, tasks=6, own=own)
    assert max(claims(null, studies, claims_transfer)) <= allowed(0.05, studies)


def pulls(sources: int, studies: int, pull: float, pull_sd: float) -> dict[str, tuple[float, float]]:
    """By kind of pooled pull: in how many studies its interval holds the mean pull, and in how many it is found."""
    seen: dict[str, list[tuple[bool, bool]]] = {"length_weight_pooled": [], "class_pull_pooled": []}
    for seed in range(studies):
        rng = np.random.default_rng([seed, sources])
        study, stats = habits_without_pull(Null(sources=sources, tasks=6, n=100), rng, pull, pull_sd)
        effects = measure_effects(study.matrix, study.records, stats, **FAST)
        for kind, told in seen.items():
            (row,) = effects.of_kind(kind).to_dict("records")
            told.append((row["lo"] <= pull <= row["hi"], row["p"] <= 0.05))
    return {kind: tuple(map(share_of, zip(*told, strict=True))) for kind, told in seen.items()}


PULLS = [(0.0, 0.0, 0.92), (0.3, 0.0, 0.92), (0.3, 0.15, 0.89)]


@pytest.mark.parametrize(("pull", "pull_sd", "least"), PULLS)
@pytest.mark.parametrize(
    ("sources", "studies"),
    [(6, SHORT), *(pytest.param(k, FULL, marks=pytest.mark.verify) for k in (6, 10, 20))],
)
def test_pooled_pulls_cover_and_are_not_found_where_there_is_none(
    sources: int, studies: int, pull: float, pull_sd: float, least: float
) -> None:
    for covered, found in pulls(sources, studies, pull, pull_sd).values():
        assert covered >= least - 2 * np.sqrt(least * (1 - least) / studies)
        if pull == 0:
            assert found <= allowed(0.05, studies)
        elif sources == 20:
            assert found >= 0.8
