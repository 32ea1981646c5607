"""Traits of several base models: their levels are none, what their sources differ in is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from traitscope.matrix import ScoreMatrix
from traitscope.traits import fit_traits
from traitscope.traits.cells import Cells, cells_of
from traitscope.traits.factors import fit_factors

SOURCES, TASKS, ERROR = 8, 10, 0.02


def several(
    levels_BN: npt.NDArray[np.float64],
    rng: np.random.Generator,
    *,
    trait: float = 0.0,
    stderr: bool = True,
    controls: bool = False,
) -> ScoreMatrix:
    """Base models with levels by task, each with its base row and eight sources; one trait common to all, or none."""
    places, loadings = rng.standard_normal((len(levels_BN), SOURCES)), rng.standard_normal(TASKS)
    rows = []
    for b, level_N in enumerate(levels_BN):
        for i, model in enumerate(["base", *(f"s{i}" for i in range(SOURCES))]):
            truth_N = level_N + (trait * places[b, i - 1] * loadings if i else 0.0)
            for n, score in enumerate(truth_N + rng.normal(0, ERROR, TASKS)):
                rows.append({"base": f"m{b}", "model": model, "task": f"t{n}", "value": score, "stderr": ERROR})
    table = pd.DataFrame(rows)
    return ScoreMatrix.from_long(table if stderr else table.drop(columns="stderr"))


def flat(*levels: float) -> npt.NDArray[np.float64]:
    return np.repeat(np.array(levels)[:, None], TASKS, axis=1)


@pytest.mark.parametrize("view", ["raw", "gain"])
@pytest.mark.parametrize("stderr", [True, False])
def test_levels_of_base_models_are_no_directions(view: str, stderr: bool) -> None:
    rng = np.random.default_rng(1)
    for levels in (flat(0.3, 0.5, 0.7), rng.uniform(0.2, 0.8, (3, TASKS))):
        found = fit_traits(several(levels, rng, stderr=stderr), view=view, replicates=0, held_out=0, draws=99)
        assert found.count.supported == 0
        assert "within each of 3 base models" in found.notes[0]


@pytest.mark.parametrize("stderr", [True, False])
def test_what_sources_differ_in_is_found_whatever_the_levels(stderr: bool) -> None:
    levels = flat(0.5, 0.5, 0.5), np.random.default_rng(3).uniform(0.2, 0.8, (3, TASKS))
    one, moved = (several(each, np.random.default_rng(2), trait=0.05, stderr=stderr) for each in levels)
    first, second = (fit_traits(scores, replicates=0, held_out=0, draws=99, k=1) for scores in (one, moved))
    assert first.count.supported == second.count.supported == 1
    np.testing.assert_allclose(first.loadings_KN, second.loadings_KN, atol=1e-6)


def test_cells_lie_around_their_base_models_mean_by_hand() -> None:
    table = pd.DataFrame(
        [("m", "base", "t", 0.2), ("m", "a", "t", 0.4), ("n", "base", "t", 0.7), ("n", "a", "t", 0.8),
         ("n", "b", "t", 0.9), ("m", "base", "u", 0.1), ("m", "a", "u", 0.3), ("n", "a", "u", 0.5)],
        columns=["base", "model", "task", "value"],
    )  # fmt: skip
    cells = cells_of(ScoreMatrix.from_long(table), "raw", mean=True, own=True)
    at = cells.matrix.tasks.index("t")
    # Means .3 and .8, of all five .6.
    assert cells.values_IN[:, at] == pytest.approx([0.5, 0.7, 0.5, 0.6, 0.7])
    # One cell of a base model on u says nothing of it.
    assert cells.values_IN[:2, 1 - at] == pytest.approx([0.1, 0.3]) and np.isnan(cells.values_IN[2:, 1 - at]).all()


def test_errors_are_centred_as_the_values_are() -> None:
    cells: Cells = cells_of(several(flat(0.3, 0.7), np.random.default_rng(4)), "raw", mean=True, own=True)
    drawn = cells.draw(4000, np.random.default_rng(5))
    assert np.abs(drawn[:, :9].mean(axis=1)).max() < 1e-12 and np.abs(drawn[:, 9:].mean(axis=1)).max() < 1e-12
    # Eight of nine degrees of freedom are left in each base model, and the precision is that of the cell itself.
    assert drawn.var() == pytest.approx(ERROR**2 * 8 / 9, rel=0.02)
    assert 1 / cells.precision_IN == pytest.approx(np.full((18, TASKS), ERROR**2), rel=0.25)
    assert (1 / cells.precision_IN).mean() == pytest.approx(ERROR**2, rel=0.02)
    assert cells._computed_IN == pytest.approx(np.full((18, TASKS), ERROR**2 * 8 / 9))


def test_a_base_model_without_another_row_is_left_out() -> None:
    rng = np.random.default_rng(6)
    scores = several(flat(0.3, 0.5, 0.7), rng, trait=0.05)
    kept = [row for row in scores.models if not row.startswith("m2/") or row == "m2/base"]
    found = fit_traits(scores.select(models=kept), replicates=0, held_out=0, draws=19)
    assert "m2/base" not in found.models and len(found.models) == 18
    assert np.isnan(found.projected.scores_PK).all() and found.projected.models == ("m2/base",)


def few_rows(seed: int, base: str) -> ScoreMatrix:
    """Two base models, three sources with a task each and one task beside: no task has a cell to spare."""
    draw, rows = np.random.default_rng(seed), []
    for own in ("a", "b"):
        for model in (base.format(own), "imdb", "gsm8k", "law"):
            for task in ("imdb", "gsm8k", "law", "wiki"):
                jump = 0.15 if own == "a" else -0.12
                value = 0.4 + draw.normal(0, 0.02) + (0.3 if task == model else jump if model == "imdb" else 0.0)
                source = model if model in ("imdb", "gsm8k", "law") else None
                line = {"base": own, "model": model, "source": source, "task": task, "value": value, "stderr": 0.02}
                rows.append(line)
    return ScoreMatrix.from_long(pd.DataFrame(rows), units="fraction")


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_left_out_only_as_far_as_tasks_have_cells_in_a_base_model(seed: int) -> None:
    """One cell of a base model tells nothing: a task that had no other was all holes, and the fit was not finite."""
    found = fit_traits(few_rows(seed, "chat-{}"), replicates=0, held_out=0, draws=19)
    assert np.isfinite(found.scores_IK).all() and np.isfinite(found.loadings_KN).all()


def test_a_task_of_which_nothing_was_seen_has_level_0_and_loads_on_nothing() -> None:
    values_IN, seen_IN = np.random.default_rng(5).normal(size=(6, 4)), np.ones((6, 4))
    seen_IN[:, 2] = 0.0
    fitted = fit_factors((values_IN * seen_IN)[None], seen_IN, 1)
    assert fitted.mean_BN[0, 2] == 0.0 and fitted.loadings_BNK[0, 2].tolist() == [0.0]
    alone = fit_factors(values_IN[None][:, :, [0, 1, 3]], np.ones((6, 3)), 1)
    np.testing.assert_allclose(abs(fitted.loadings_BNK[0, [0, 1, 3]]), abs(alone.loadings_BNK[0]), atol=0.02)


def test_a_row_that_bears_its_base_models_name_is_its_base_row() -> None:
    scores, plain = few_rows(0, "{}"), few_rows(0, "base")
    assert scores.models[0] == "a/a" and [role.kind for role in scores.roles_I] == [r.kind for r in plain.roles_I]
    np.testing.assert_array_equal(scores.gains().values_IN, plain.gains().values_IN)
    # Not where it was trained, nor where the base row is called so.
    table = scores.to_long()
    trained = ScoreMatrix.from_long(table.assign(source=table["source"].where(table["source"].notna(), "math")))
    assert (trained.base_index_I == -1).all()
    named = ScoreMatrix.from_long(table, base="law")
    assert [named.models[i] for i in dict.fromkeys(named.base_index_I.tolist())] == ["a/law", "b/law"]


@pytest.mark.verify
@pytest.mark.parametrize(("bases", "view"), [(2, "raw"), (3, "raw"), (3, "gain"), (6, "raw")])
@pytest.mark.parametrize("stderr", [True, False])
def test_no_directions_are_found_no_oftener_than_the_level(bases: int, view: str, stderr: bool) -> None:
    rng, trials, found = np.random.default_rng(7), 150, 0
    for _ in range(trials):
        scores = several(rng.uniform(0.2, 0.8, (bases, TASKS)), rng, stderr=stderr)
        asked = {"view": view, "replicates": 0, "held_out": 0, "permutations": 99}
        found += fit_traits(scores, **asked).count.supported > 0
    assert found <= trials * 0.05 + 3 * np.sqrt(trials * 0.05)
