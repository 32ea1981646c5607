"""Routing without labels: planted states, what is refused, and what a router is judged beside."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from sklearn.neighbors import NearestCentroid

from traitscope.belt import ROUTERS, Readings, SplitScores, TaskAnswers, choices, fit_router, judge_routers, route_belt
from traitscope.belt.answers import halves, surely_above
from traitscope.errors import TraitscopeError
from traitscope.registry import registry

MODELS = ("base", "a", "b")
KINDS = ("base", "source", "source")


# Where three kinds of prompts lie in the dimensions that tell them apart.
PLACES = {"a": (1.0, 0.0), "b": (-0.5, 0.87), "c": (-0.5, -0.87)}


def states(rng: np.random.Generator, where: tuple[float, float], rows: int) -> np.ndarray:
    """Prompts told apart by two small dimensions, beside a huge one that all share and a wide one that says nothing."""
    small = rng.normal(where, 0.2, (rows, 2))
    return np.column_stack([np.full(rows, 1000.0), rng.normal(0, 50, rows), small])


def world(rows: int = 200, seed: int = 0, harmed: bool = False) -> tuple[SplitScores, Readings]:
    """Adapter a serves task t0 and b task t1; task t2 looks like a third training set, and nobody serves it."""
    rng = np.random.default_rng(seed)
    shares = {"t0": (0.3, 0.9, 0.1), "t1": (0.3, 0.1, 0.9), "t2": (0.6, 0.4, 0.4) if harmed else (0.6, 0.6, 0.6)}
    answers = [
        TaskAnswers(
            task, "accuracy", (rng.random((3, rows)) < np.array(share)[:, None]).astype(float), halves(task, rows, seed)
        )
        for task, share in shares.items()
    ]
    places = {name: states(rng, where, 100) for name, where in PLACES.items()}
    read = {task: states(rng, where, rows) for task, where in zip(shares, PLACES.values(), strict=True)}
    return SplitScores.of_rows(MODELS, KINDS, answers), Readings(places, tuple(places), read)


def test_the_nearest_centroid_is_scikit_learns_where_dimensions_have_one_spread() -> None:
    rng = np.random.default_rng(0)
    places = {name: rng.normal(mean, 1.0, (50, 4)) for name, mean in (("a", 2.0), ("b", -2.0), ("c", 0.0))}
    places["c"][:, :2] += 4
    arrays = ROUTERS.get("centroid").value.fit(places)
    scaled = {name: (rows - arrays["centre_D"]) / arrays["spread_D"] for name, rows in places.items()}
    peer = NearestCentroid(metric="euclidean").fit(np.concatenate(list(scaled.values())), np.repeat([0, 1, 2], 50))
    prompts = np.concatenate([rng.normal(2.0, 0.2, (20, 4)), rng.normal(-2.0, 0.2, (20, 4))])
    found = ROUTERS.get("centroid").value.distances(arrays, prompts).argmin(axis=1)
    assert (found == peer.predict((prompts - arrays["centre_D"]) / arrays["spread_D"])).mean() > 0.95


def test_a_distance_is_one_less_the_cosine_of_standardised_states() -> None:
    places = {"a": np.array([[1.0, 0], [3, 0]]), "b": np.array([[-2.0, 4], [-2, 4]])}
    arrays = ROUTERS.get("centroid").value.fit(places)
    # Means (2, 0) and (-2, 4), centre (0, 2); spreads: sqrt((5 + 4) / 2) and 2.
    spread = np.array([np.sqrt(4.5), 2.0])
    np.testing.assert_allclose(arrays["spread_D"], spread)
    prompt = np.array([1.0, 1.0])
    u, v = (prompt - [0, 2]) / spread, np.array([2.0, -2.0]) / spread
    wanted = 1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    found = ROUTERS.get("centroid").value.distances(arrays, prompt[None])
    np.testing.assert_allclose(found[0], [wanted, 2 - wanted])


def test_prompts_go_to_the_adapter_of_the_training_set_they_look_like() -> None:
    found, readings = world()
    router = route_belt(found, [1, 2], "centroid", readings)
    assert router.serves == ("a", "b", "base")
    names, place_S, _ = router.route(readings.rows["t1"])
    assert np.mean([name == "b" for name in names]) > 0.95 and (place_S == 1).mean() > 0.95


def test_raw_states_would_not_tell_them_apart() -> None:
    _, readings = world()
    prompts = readings.rows["t0"]
    means = np.array([rows.mean(axis=0) for rows in readings.places.values()])
    cosines = prompts @ means.T / np.linalg.norm(prompts, axis=1)[:, None] / np.linalg.norm(means, axis=1)
    assert cosines.min() > 0.97
    arrays = ROUTERS.get("centroid").value.fit(readings.places)
    assert ROUTERS.get("centroid").value.distances(arrays, prompts).max() > 0.5


def test_where_the_best_is_best_by_chance_prompts_go_to_the_base() -> None:
    """Eight adapters that are as good as the base: the best of them lies above it on the choosing rows."""
    refused, tempted = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        points_IS = 100.0 * (rng.random((9, 60)) < 0.5)
        read = rng.normal(size=(60, 1))
        router = fit_router("arrow", {"any": read}, ("x",), read, points_IS, [*"12345678", "base"], 8)
        refused += router.serves == ("base",)
        tempted += points_IS[:8].mean(axis=1).max() > points_IS[8].mean()
    # By the mean alone nearly all would be served by an adapter that is worth nothing there.
    assert tempted > 45 and refused > 30


def test_a_gain_beyond_chance_is_served() -> None:
    rng = np.random.default_rng(0)
    points_IS = np.vstack([100.0 * (rng.random(60) < 0.9), 100.0 * (rng.random(60) < 0.2)])
    read = rng.normal(size=(60, 1))
    assert fit_router("arrow", {"any": read}, ("x",), read, points_IS, ["good", "base"], 1).serves == ("good",)


@pytest.mark.parametrize("candidates", [1, 3])
def test_the_gain_that_is_needed_is_a_one_sided_t_of_paired_rows(candidates: int) -> None:
    """With one row more of no gain, against scipy; of several candidates each may fool one time in twenty in all."""
    seen = set()
    for hits in range(4, 14):
        difference = np.array([1.0] * hits + [-1.0] * 2 + [0.0] * (18 - hits))
        p = ttest_1samp(np.append(difference, 0.0), 0.0, alternative="greater").pvalue
        wanted = "new" if p < 0.05 / candidates else "base"
        base = np.where(difference < 0, 100.0, 0.0)
        points_IS = np.vstack([base + 100 * difference, *[base - 1] * (candidates - 1), base])
        read, names = np.linspace(0, 1, 20)[:, None], ["new", *"xy"[: candidates - 1], "base"]
        assert fit_router("arrow", {"any": read}, ("x",), read, points_IS, names, candidates).serves == (wanted,)
        seen.add(wanted)
    assert seen == {"new", "base"}


def test_a_few_rows_that_all_gain_are_no_certainty() -> None:
    assert not surely_above(np.full(2, 100.0)) and not surely_above(np.full(3, 100.0), 5)
    assert surely_above(np.full(5, 100.0), 5) and not surely_above(np.full(1, 100.0))


def test_coin_flips_get_a_place_one_time_in_twenty() -> None:
    """Five adapters and a base that are all worth a half, on few rows and on many."""
    for rows in (2, 3, 10, 100):
        rng = np.random.default_rng(rows)
        served, names = 0, [*"12345", "base"]
        for _ in range(400):
            points_IS = 100.0 * (rng.random((6, rows)) < 0.5)
            read = rng.normal(size=(rows, 1))
            served += fit_router("arrow", {"any": read}, ("x",), read, points_IS, names, 5).serves != ("base",)
        assert served / 400 < 0.08, rows


def test_what_lies_farther_than_anything_seen_goes_to_the_base() -> None:
    found, readings = world()
    router = route_belt(found, [1, 2], "centroid", readings)
    # Far out in a direction in which no training set lies.
    strange = np.array([[1000.0, 1000.0, 0.3, 0.0]])
    names, place_S, distances = router.route(strange)
    assert router.serves[place_S[0]] == "a"
    assert distances[0] > router.far and names == ["base"]
    share = np.mean([name != "base" for name in router.route(readings.rows["t0"])[0]])
    assert share > 0.95


def test_a_router_keeps_harm_away_that_one_adapter_does() -> None:
    found, readings = world(2000, harmed=True)
    router = route_belt(found, [1, 2], "centroid", readings)
    table, by_task = judge_routers(found, [1, 2], {"centroid": choices(found, router, readings)})
    score = table.set_index("what")["score"]
    assert by_task.set_index("task").loc["t2", "router: centroid"] == pytest.approx(60, abs=3)
    assert score["router: centroid"] == pytest.approx(80, abs=2)
    assert score["oracle: best model per task as known when choosing"] == pytest.approx(80, abs=2)
    assert score["base"] == pytest.approx(40, abs=2)
    best = next(name for name in score.index if name.startswith("best single"))
    row = table.set_index("what").loc[best]
    assert row["centroid_above"] == pytest.approx(score["router: centroid"] - score[best])
    assert 0 < row["centroid_lo"] < row["centroid_above"] < row["centroid_hi"]


def test_a_router_is_judged_on_rows_it_was_not_made_from() -> None:
    """Adapters without any worth: what is routed scores as the base does where it is judged."""
    gains = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = [(rng.random((3, 60)) < 0.5).astype(float) for _ in range(3)]
        answers = [TaskAnswers(f"t{n}", "accuracy", v, halves(f"t{n}", 60, seed)) for n, v in enumerate(values)]
        found = SplitScores.of_rows(MODELS, KINDS, answers)
        places = {name: rng.normal(size=(20, 3)) for name in "abc"}
        readings = Readings(places, tuple(places), {f"t{n}": rng.normal(size=(60, 3)) for n in range(3)})
        router = route_belt(found, [1, 2], "centroid", readings)
        table, _ = judge_routers(found, [1, 2], {"centroid": choices(found, router, readings)})
        gains.append(table.set_index("what").loc["base", "centroid_above"])
    assert abs(np.mean(gains)) < 3 * np.std(gains) / np.sqrt(20) + 0.5


def test_arrow_is_standardised_by_adapter() -> None:
    read = np.array([[0.9, 0.1], [0.8, 0.3]])
    arrays = ROUTERS.get("arrow").value.fit({"one": read[:1], "other": read[1:]})
    np.testing.assert_allclose(arrays["mean_P"], [0.85, 0.2])
    np.testing.assert_allclose(arrays["spread_P"], [0.05, 0.1])
    # The first adapter has the larger raw value on both prompts.
    np.testing.assert_allclose(ROUTERS.get("arrow").value.distances(arrays, read), [[-1, 1], [1, -1]], atol=1e-12)


def test_an_unknown_rule_and_evidence_without_rows_are_refused() -> None:
    found, readings = world(20)
    with pytest.raises(TraitscopeError, match="unknown router 'nearest'"):
        route_belt(found, [1], "nearest", readings)
    bare = SplitScores(MODELS, KINDS, ("t",), np.zeros((3, 1)), np.zeros((3, 1)), "itself")
    with pytest.raises(TraitscopeError, match="row by row"):
        route_belt(bare, [1], "centroid", readings)


@pytest.mark.parametrize("name", ROUTERS.names())
def test_every_rule_gives_one_distance_for_each_prompt_and_place(name: str) -> None:
    rng = np.random.default_rng(0)
    entry = registry("router").get(name)
    width = 3 if entry.value.reads == "alignments" else 5
    places = {place: rng.normal(size=(8, width)) for place in "abc"}
    arrays = entry.value.fit(places)
    found = entry.value.distances(arrays, rng.normal(size=(7, width)))
    assert found.shape == (7, 3) and np.isfinite(found).all()
    assert entry.reference and entry.value.reads in ("states", "alignments")


def test_a_belt_of_no_adapter_sends_all_to_the_base() -> None:
    read = np.linspace(0, 1, 20)[:, None]
    assert fit_router("arrow", {"any": read}, ("x",), read, np.ones((1, 20)), ["base"], 0).serves == ("base",)
