"""Which few models cover all tasks: hand-worked cases, all sets looked at by hand, and how near greedy comes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from traitscope.belt.cover import best_cover, covers, greedy_covers, smallest

# Four adapters on three tasks; the third is never best, and within one point of the best everywhere.
SCORES_IN = np.array([[90.0, 10, 10], [10, 80, 10], [89.5, 79.5, 69.5], [10, 10, 70.0]])


def ranked(scores_IN: np.ndarray, models: tuple[int, ...], loss: float, free_N: np.ndarray) -> tuple[int, float]:
    """Tasks beyond the loss and the mean loss of a set, written out."""
    best_N = np.maximum(scores_IN.max(axis=0), free_N)
    have_N = np.array([max([free_N[n], *(scores_IN[m, n] for m in models)]) for n in range(scores_IN.shape[1])])
    lost_N = best_N - have_N
    return int((lost_N > loss).sum()), float(lost_N.mean())


def test_one_model_that_is_second_everywhere_is_enough_within_a_point() -> None:
    found = smallest(covers(SCORES_IN, 1.0))
    assert found.models == (2,) and found.beyond == 0
    np.testing.assert_allclose(found.loss_N, [0.5, 0.5, 0.5])


def test_without_any_loss_every_winner_is_needed() -> None:
    found = smallest(covers(SCORES_IN, 0.0))
    assert sorted(found.models) == [0, 1, 3] and found.mean == 0


def test_a_task_at_the_very_limit_is_within_it() -> None:
    assert smallest(covers(np.array([[0.3, 0.1], [0.2, 0.2]]), 0.1)).models == (0,)


def test_the_base_is_there_without_being_counted() -> None:
    free_N = np.array([10.0, 80.0, 10.0])
    sets = covers(SCORES_IN, 1.0, free_N)
    assert sets[0].models == () and sets[0].beyond == 2
    assert smallest(covers(SCORES_IN[[0, 3]], 0.0, free_N)).models == (0, 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_set_is_the_best_of_all_sets_written_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores_IN, free_N = rng.normal(50, 10, (7, 6)), rng.normal(45, 10, 6)
    for size in (1, 2, 3):
        wanted = min(ranked(scores_IN, models, 2.0, free_N) for models in combinations(range(7), size))
        found = best_cover(scores_IN, size, 2.0, free_N)
        assert ranked(scores_IN, found.models, 2.0, free_N) == pytest.approx(wanted)
        assert found.mean == pytest.approx(wanted[1])


def skills(rng: np.random.Generator) -> np.ndarray:
    """Two skills behind twelve tasks, adapters that have some of each, noise of a point."""
    scores_IN = 30 + 20 * rng.gamma(1.0, 1.0, (10, 2)) @ rng.dirichlet([0.5, 0.5], 12).T
    return scores_IN + rng.normal(0, 1, scores_IN.shape)


def chance(rng: np.random.Generator) -> np.ndarray:
    """Nothing in common between any two tasks."""
    return rng.normal(50, 10, (10, 12))


@pytest.mark.parametrize("world", [skills, chance])
def test_greedy_needs_hardly_ever_an_adapter_more_than_the_best_set(world) -> None:
    rng = np.random.default_rng(0)
    more = []
    for _ in range(100):
        scores_IN = world(rng)
        exact = smallest(covers(scores_IN, 1.0))
        greedy = next(cover for cover in greedy_covers(scores_IN, 1.0) if not cover.beyond)
        assert exact.exhaustive and not greedy.exhaustive
        more.append(len(greedy.models) - len(exact.models))
    assert min(more) == 0 and np.mean(more) <= 0.03


def test_greedy_can_be_led_astray_and_the_choice_is_not() -> None:
    """One adapter serves the four tasks in the middle, two others three each: greedy takes the first and needs all."""
    scores_IN = np.full((3, 6), 10.0)
    scores_IN[0, 1:5], scores_IN[1, :3], scores_IN[2, 3:] = 90.0, 90.0, 90.0
    assert next(cover for cover in greedy_covers(scores_IN, 1.0) if not cover.beyond).models == (0, 1, 2)
    assert smallest(covers(scores_IN, 1.0)).models == (1, 2)


def test_beyond_the_limit_the_greedy_set_stands_and_says_so() -> None:
    scores_IN = np.random.default_rng(1).normal(50, 10, (9, 12))
    assert [cover.exhaustive for cover in covers(scores_IN, 0.0, limit=36)][:3] == [True, True, False]


def test_greedy_reaches_the_share_of_the_best_that_theory_promises() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        scores_IN = rng.normal(50, 10, (9, 8))
        free_N = scores_IN.min(axis=0)
        best_N = scores_IN.max(axis=0)
        greedy = next(c for c in greedy_covers(scores_IN, np.inf, free_N) if len(c.models) == 3)
        exact = best_cover(scores_IN, 3, np.inf, free_N)
        whole = float((best_N - free_N).mean())
        assert exact.mean <= greedy.mean + 1e-9
        assert whole - greedy.mean >= (1 - 1 / np.e) * (whole - exact.mean)
