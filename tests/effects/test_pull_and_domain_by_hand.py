"""Class shares, pull, domain and contrasts on a handful of cells, against plain numpy, scipy and arithmetic."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from effect_study import Study, bare_grid, choice_records
from scipy import stats
from sklearn.metrics import confusion_matrix, f1_score

from traitscope.effects import measure_effects
from traitscope.effects.alignment import build_panels
from traitscope.effects.contrasts import asymmetry_rows, controls_elsewhere
from traitscope.effects.domain import (
    Dyads,
    domain_rows,
    dyads,
    near_far_statistic,
    rank_statistic,
    similarity_permutation,
    two_way_statistic,
)
from traitscope.effects.grid import Grid
from traitscope.effects.panel import Panel
from traitscope.effects.pull import class_pull_rows, mapped_shares, pooled_slope
from traitscope.effects.significance import replicate_test
from traitscope.stats import Similarity

CLASSES = ("neg", "pos")
GRID = bare_grid(("a", "b", "c", "d", "e", "z", "a.mislabel"), ("a", "b", "c", "d", "e"))


def answers(pos: int, n: int = 10) -> np.ndarray:
    """The first ``pos`` of n answers are the second class."""
    return (np.arange(n) < pos).astype(int)


def panel_of(study: Study) -> Panel:
    grid = Grid.of(study.matrix).in_shares()
    (panel,) = build_panels(grid, study.records, {"t": CLASSES}, replicates=300, seed=0, level=0.95)
    return panel


def test_macro_f1_is_compared_on_the_examples_the_model_has_and_invalid_answers_are_wrong() -> None:
    gold, base, ours = answers(6), answers(4), np.array([1, 0, 1, 1, 1, -1, 0, 0, 1])
    study = Study()
    study.add("base", None, None, "t", choice_records(gold, base, CLASSES))
    study.add("a-s0", "a", 0, "t", choice_records(gold[:9], ours, CLASSES))
    tables = measure_effects(study.matrix, study.records, classes={"t": CLASSES}, replicates=100).tables
    row = tables["macro_f1"].set_index("model").loc["a-s0"]
    own, first = (f1_score(gold[:9], pred[:9], labels=[0, 1], average="macro") for pred in (ours, base))
    assert row["macro_f1"] == pytest.approx(own)
    assert row["change"] == pytest.approx(own - first)
    assert row["accuracy"] == pytest.approx((gold[:9] == ours).mean())
    assert row["invalid"] == pytest.approx(1 / 9)
    counts = tables["confusion"].query("model == 'a-s0'").pivot(index="gold", columns="predicted", values="count")
    wanted = confusion_matrix(gold[:9], ours, labels=[0, 1, -1])[:2]
    np.testing.assert_array_equal(counts[["neg", "pos", "(invalid)"]].to_numpy(), wanted)


def test_a_model_that_answers_as_the_base_on_fewer_examples_has_not_changed() -> None:
    gold, base = answers(6), answers(4)
    study = Study()
    study.add("base", None, None, "t", choice_records(gold, base, CLASSES))
    study.add(
        "a-s0", "a", 0, "t", choice_records(gold[1:9], base[1:9], CLASSES).assign(id=[f"e{k}" for k in range(1, 9)])
    )
    row = measure_effects(study.matrix, study.records, classes={"t": CLASSES}, replicates=100).tables["macro_f1"]
    found = row.set_index("model").loc["a-s0"]
    assert (found["change"], found["change_lo"], found["change_hi"]) == (0.0, 0.0, 0.0)


def test_class_pull_by_hand() -> None:
    """Base at 2 of 10, source at 8, model at 5: half of the way; the truth, at 1, lies the other way."""
    study = Study()
    gold = answers(1)
    for model, source, pos in (("base", None, 2), ("a-s0", "a", 5), ("b-s0", "b", 5), ("c-s0", "c", 5)):
        study.add(model, source, None if source is None else 0, "t", choice_records(gold, answers(pos), CLASSES))
    shares = {"a": {"neg": 0.2, "pos": 0.8}, "b": {"neg": 0.76, "pos": 0.24}, "c": {"pos": 0.9, "other": 0.1}}
    panel = panel_of(study)
    a, b = class_pull_rows(panel, shares)  # c has one word in common
    assert (a["weight"], a["distance"], a["truth_cosine"]) == pytest.approx((0.5, 0.6, -1.0))
    assert b["distance"] == pytest.approx(0.04) and np.isnan(b["weight"])
    weights = panel.weights_RS.astype(float) / 10
    base_R, own_R = weights @ answers(2), weights @ answers(5)
    # Both classes move by as much, one up and one down.
    weight_R = (own_R - base_R) * (0.8 - base_R) / np.maximum((0.8 - base_R) ** 2, 1e-12)
    wanted = replicate_test(0.5, weight_R, 10, 0.95)
    assert (a["lo"], a["hi"]) == pytest.approx((wanted["lo"], wanted["hi"]), rel=1e-4)
    assert mapped_shares(shares["c"], CLASSES) is None


def test_errors_of_the_pooled_slope_are_a_jackknife_over_sources_with_the_tasks_means_fitted_anew() -> None:
    rng = np.random.default_rng(0)
    habit, sources, tasks = rng.normal(size=20), np.repeat(list("abcde"), 4), np.tile(list("wxyz"), 5)
    value = 0.3 * habit + rng.normal(0, 0.4, 20)
    found = pooled_slope(value, habit, sources, tasks, 0.9)
    design = np.column_stack([habit, pd.get_dummies(tasks).to_numpy(dtype=float)])

    def slope(kept: np.ndarray) -> float:
        return np.linalg.lstsq(design[kept], value[kept], rcond=None)[0][0]

    left = np.array([slope(sources != g) for g in "abcde"])
    se = np.sqrt(4 / 5 * ((left - slope(np.ones(20, dtype=bool))) ** 2).sum())
    half = stats.t.ppf(0.95, 4) * se
    assert (found["lo"], found["hi"]) == pytest.approx((found["value"] - half, found["value"] + half))
    assert found["p"] == pytest.approx(2 * stats.t.sf(abs(found["value"]) / se, 4))


def gain(value: float, unit: str = "share") -> dict[str, Any]:
    about = {"replicates": None, "seeds": 1, "runs": None, "method": "normal", "words": ""}
    about |= {"habit": "", "remark": ""}
    return {"value": value, "unit": unit, "lo": value - 0.2, "hi": value + 0.2, **about}


def test_cells_of_two_datasets_are_paired_without_own_tasks_and_controls() -> None:
    names = ("a", "b", "a.mislabel")
    similarity = Similarity(kind="semantic", method="given", names=names, values_MM=np.eye(3))
    cells = {("a", "a"): 5.0, ("a", "b"): 1.0, ("b", "a"): 2.0, ("a.mislabel", "b"): 7.0, ("z", "a"): 8.0}
    found, unit = dyads(GRID, {(0, *key): gain(value) for key, value in cells.items()}, similarity, 0)
    assert (found.source_V.tolist(), found.target_V.tolist(), found.gain_V.tolist()) == ([0, 1], [1, 0], [1.0, 2.0])
    assert unit == "share"


def test_gains_of_tasks_in_different_units_are_divided_by_their_deviation() -> None:
    names = ("a", "b", "c", "d")
    similarity = Similarity(kind="semantic", method="given", names=names, values_MM=np.eye(4))
    cells = {
        ("c", "a"): gain(0.1),
        ("d", "a"): gain(0.3),
        ("c", "b"): gain(4.0, "score"),
        ("d", "b"): gain(4.0, "score"),
    }
    found, unit = dyads(GRID, {(0, *key): value for key, value in cells.items()}, similarity, 0)
    assert found.gain_V.tolist() == pytest.approx([1.0, 3.0, 4.0, 4.0])
    assert unit == "task standard deviations"


def test_near_minus_far_is_between_the_outer_thirds() -> None:
    cells = Dyads(np.arange(1, 7), np.zeros(6, dtype=np.int64), np.array([0.0, 0.0, 1.0, 1.0, 5.0, 7.0]))
    assert near_far_statistic(cells, np.arange(6.0)[None, :]) == pytest.approx([6.0])


def full_dyads(n: int, rng: np.random.Generator, follow: float) -> tuple[Dyads, np.ndarray]:
    """All ordered pairs of n datasets; gains follow the similarity."""
    place = rng.normal(size=(n, 2))
    alike = np.exp(-((place[:, None] - place[None]) ** 2).sum(-1))
    source, target = map(np.array, zip(*permutations(range(n), 2), strict=True))
    return Dyads(source, target, follow * alike[source, target] + rng.normal(size=len(source))), alike


def test_the_two_way_correlation_is_that_of_residuals_of_sources_and_tasks() -> None:
    cells, alike = full_dyads(5, np.random.default_rng(0), 2.0)
    design = pd.get_dummies(pd.DataFrame({"s": cells.source_V, "t": cells.target_V}).astype(str)).to_numpy(dtype=float)
    rest = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (cells.gain_V, cells.of(alike))]
    found = two_way_statistic(cells, cells.of(alike)[None, :])
    assert found == pytest.approx([np.corrcoef(*rest)[0, 1]])


def test_the_p_of_moved_datasets_is_that_of_all_their_permutations() -> None:
    cells, alike = full_dyads(5, np.random.default_rng(3), -1.0)
    observed = stats.spearmanr(cells.gain_V, cells.of(alike))[0]
    moved = [alike[np.ix_(order, order)] for order in permutations(range(5))]
    exact = np.mean([abs(stats.spearmanr(cells.gain_V, cells.of(m))[0]) >= abs(observed) - 1e-9 for m in moved])
    value, p = similarity_permutation(cells, alike, rank_statistic, 20_000, 0)
    assert value == pytest.approx(observed)
    assert 0.02 < exact < 0.5 and p == pytest.approx(exact, abs=0.015)


def test_a_p_of_moved_datasets_is_never_zero() -> None:
    cells, alike = full_dyads(5, np.random.default_rng(0), 1.0)
    _, p = similarity_permutation(cells, alike, lambda _, rows: np.full(len(rows), float(len(rows) == 1)), 99, 0)
    assert p == 1 / 100


def test_intervals_of_the_domain_are_a_jackknife_over_datasets_within_their_range() -> None:
    cells, alike = full_dyads(5, np.random.default_rng(4), 12.0)
    names = tuple("abcde")
    similarity = Similarity(kind="semantic", method="given", names=names, values_MM=alike)
    gains = {(0, names[s], names[t]): gain(g) for s, t, g in zip(*cells, strict=True)}
    found, _ = domain_rows(GRID, gains, similarity, 99, 0, 0.95)
    row = next(row for row in found["domain_tests"] if row["name"] == "rank correlation")
    left = []
    for d in range(5):
        keep = (cells.source_V != d) & (cells.target_V != d)
        left.append(stats.spearmanr(cells.gain_V[keep], cells.of(alike)[keep])[0])
    half = stats.t.ppf(0.975, 4) * np.sqrt(4 / 5 * ((np.array(left) - np.mean(left)) ** 2).sum())
    assert row["lo"] == pytest.approx(row["value"] - half)
    assert row["value"] + half > 1 and row["hi"] == 1.0


def test_errors_of_two_directions_add_and_units_are_not_mixed() -> None:
    """Ends add as squares: 0.3 below and 0.1 above one, 0.2 below and 0.4 above the other."""
    there, back = gain(0.5) | {"lo": 0.2, "hi": 0.6}, gain(-0.5) | {"lo": -0.7, "hi": -0.1}
    found, notes = asymmetry_rows(GRID, {(0, "a", "b"): there, (0, "b", "a"): back}, 0.95)
    (row,) = found["asymmetry"]
    ends = (1 - np.hypot(0.3, 0.4), 1 + np.hypot(0.1, 0.2))
    assert (row["lo"], row["difference"], row["hi"]) == pytest.approx((ends[0], 1.0, ends[1]))
    assert row["p"] == pytest.approx(2 * stats.norm.sf(1 / 0.5 * stats.norm.ppf(0.975))) and not notes
    assert [row[f"i_to_j_{end}"] for end in ("lo", "hi")] == pytest.approx([0.2, 0.6])
    assert [row[f"j_to_i_{end}"] for end in ("lo", "hi")] == pytest.approx([-0.7, -0.1])
    found, notes = asymmetry_rows(GRID, {(0, "a", "b"): there, (0, "b", "a"): back | {"unit": "score"}}, 0.95)
    assert not found["asymmetry"] and "1 pair left out" in notes[0]


def test_a_control_elsewhere_is_averaged_unit_by_unit_without_its_own_task() -> None:
    def row(difference: float, unit: str, away: bool) -> dict[str, Any]:
        about = {"model": "a.mislabel-s0", "source": "a.mislabel", "seed": 0, "parent": "a"}
        return {**about, "difference": difference, "unit": unit, "_away": away, "n": 10, "_replicates": np.zeros(200)}

    rows = [row(-0.9, "share", False), row(0.1, "share", True), row(0.3, "share", True), row(2.0, "nats", True)]
    found = {r["unit"]: (r["value"], r["n"]) for r in controls_elsewhere(rows, 0.95)}
    assert found == {"share": (pytest.approx(0.2), 2), "nats": (2.0, 1)}
