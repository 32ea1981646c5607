"""Large matrices: the same numbers in portions, the same covariance as factors, and what is shortened is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traitscope.matrix import ScoreMatrix, noise
from traitscope.traits import bootstrap as trait_bootstrap
from traitscope.traits import cells as trait_cells
from traitscope.traits import fit, fit_traits, sizes
from traitscope.traits.cells import cells_of
from traitscope.traits.count import held_out_cells, sequential_permutation
from traitscope.traits.intervals import Decomposer
from traitscope.traits.null import permutation_null


def with_records(n_models: int = 7, n_tasks: int = 4, rows: int = 60) -> ScoreMatrix:
    rng = np.random.default_rng(5)
    names, tasks = ["base", *(f"m{i}" for i in range(1, n_models))], [f"t{n}" for n in range(n_tasks)]
    hard_SN = rng.random((rows, n_tasks))
    records: dict[str, dict[str, np.ndarray]] = {task: {} for task in tasks}
    for n, task in enumerate(tasks):
        for i, name in enumerate(names):
            records[task][name] = (rng.random(rows) * 0.6 + hard_SN[:, n] * 0.4 < 0.3 + 0.06 * i).astype(float)
    lines = [(name, task, records[task][name].mean(), rows) for name in names for task in tasks]
    table = pd.DataFrame(lines, columns=["model", "task", "value", "n"])
    return ScoreMatrix.from_long(table, base="base", records=records)


def test_portions_of_a_stack_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(size=(12, 9))
    centred = values - values.mean(axis=0)

    def found() -> list[object]:
        null = permutation_null(centred, permutations=50, rng=np.random.default_rng(0))
        steps = sequential_permutation(centred, permutations=50, rng=np.random.default_rng(0))
        held = held_out_cells(values, values.std(axis=0), "", rng=np.random.default_rng(0))
        without = Decomposer(2, True, "varimax").without_each(values, range(12), 0)
        assert held is not None
        return [null.mean_M, null.p_M, steps.p_J, steps.edge_J, held.rmse_M, *without]

    whole = found()
    monkeypatch.setattr(sizes, "HELD", 3 * values.size)
    for one, other in zip(whole, found(), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_factors_are_the_paired_covariance(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = with_records()
    assert dense.factors is None and dense.covariance_NII is not None
    monkeypatch.setattr("traitscope.matrix.core.LARGE", 1)
    large = with_records()
    assert large.covariance_NII is None and large.factors is not None
    assert large.factors.dense_NII == pytest.approx(dense.covariance_NII)
    values = np.stack([large.records["t0"][model] for model in large.models])
    assert large.factors.dense_NII[0] == pytest.approx(np.cov(values) / values.shape[1])
    paired = (values[3] - values[0]).std(ddof=1) / np.sqrt(values.shape[1])
    assert large.gains().stderr_IN[3, 0] == pytest.approx(paired)
    told = large.noise()
    assert told is not None and told.paired
    errors_RIN = told.draw(20_000, np.random.default_rng(0))
    assert np.cov(errors_RIN[:, :, 0].T) == pytest.approx(dense.covariance_NII[0], abs=2e-4)


@pytest.mark.parametrize("view", ["raw", "gain", "logit"])
@pytest.mark.parametrize("run_sd", [None, 3.0])
def test_computed_error_variances_are_what_draws_come_to(
    monkeypatch: pytest.MonkeyPatch, view: str, run_sd: float | None
) -> None:
    def matrix() -> ScoreMatrix:
        made = with_records()
        return made if run_sd is None else made.with_run_sd(run_sd)

    monkeypatch.setattr(trait_cells, "MEASURING", 40_000)
    drawn = cells_of(matrix(), view, mean=False, own=True)._measured_IN
    monkeypatch.setattr("traitscope.matrix.core.LARGE", 1)
    computed = cells_of(matrix(), view, mean=False, own=True)._computed_IN
    assert computed == pytest.approx(drawn, rel=0.04)


def planted(n_models: int, n_tasks: int, sd: float) -> ScoreMatrix:
    rng = np.random.default_rng(1)
    scores = 0.5 + 0.03 * rng.normal(size=(n_models, 3)) @ rng.normal(size=(3, n_tasks))
    scores += rng.normal(0, 0.02, scores.shape)
    frame = pd.DataFrame(scores, [f"m{i}" for i in range(n_models)], [f"t{n}" for n in range(n_tasks)])
    return ScoreMatrix.from_wide(frame, stderr=frame * 0 + sd if sd else None)


@pytest.mark.parametrize("sd", [0.0, 0.02])
def test_a_large_matrix_has_the_planted_directions_and_says_what_was_shortened(sd: float) -> None:
    found = fit_traits(planted(106, 50, sd))
    assert found.count.supported == 3
    assert any("5300 cells are more than 5000" in note for note in found.notes)
    assert found.stability.adapter_out_JK.shape[0] == sizes.FEWEST_LEFT_OUT
    assert found.loadings_KN @ found.loadings_KN.T == pytest.approx(np.eye(3), abs=1e-6)


def test_nothing_is_shortened_up_to_the_limit() -> None:
    assert noise.LARGE == sizes.LARGE == 5_000
    assert sizes.repetitions(1000, (100, 50), 39) == 1000
    assert sizes.repetitions(1000, (100, 51), 39) < 1000
    assert sizes.size_note((100, 50), 1000, 500, 100) is None


@pytest.mark.parametrize("sd", [0.0, 0.02])
def test_directions_of_very_many_rows_are_counted_among_some(sd: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "MOST_COUNTED", 4_000)
    found = fit_traits(planted(200, 40, sd))
    assert found.count.supported == 3 and len(found.models) == 200
    assert any("counted among 100 evenly spread models" in note for note in found.notes)


def test_no_more_directions_are_looked_for_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every cell differs from what its neighbours say, each direction stands above the noise."""
    values = np.random.default_rng(4).uniform(0.2, 0.8, (14, 12))
    table = pd.DataFrame(values, columns=[f"t{n}" for n in range(12)]).assign(model=[f"m{i}" for i in range(14)])
    long = table.melt("model", var_name="task").assign(stderr=0.01)
    scores = ScoreMatrix.from_long(long, base="m0")
    quick = {"permutations": 39, "draws": 99, "replicates": 5, "held_out": 0}
    assert fit_traits(scores, **quick).count.supported > 2
    for module in (trait_bootstrap, fit):
        monkeypatch.setattr(module, "MOST_DIRECTIONS", 2)
    found = fit_traits(scores, **quick)
    assert found.count.supported == found.k == 2
    assert any("no more were looked for" in note for note in found.notes)
