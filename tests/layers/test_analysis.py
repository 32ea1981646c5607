"""The whole analysis on small planted states, from provider to run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from traitscope.errors import TraitscopeError
from traitscope.layers import Acts, LayersResult, analyse_layers, linear_cka
from traitscope.layers.result import ALL, NULL

DEPTH, EXAMPLES, SIZE = 8, 40, 16
TASKS = [f"task{i}" for i in range(8)]
CONTROLS = {task: f"{task}-s0" for task in TASKS[:7]}
MEASURES = ("cka", "cka_biased", "knn", "procrustes")


class Provider:
    """States that all models share up to layer 3, and only tuned models share from layer 4 on."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, task: str, models: Sequence[str]) -> Mapping[str, Acts]:
        self.calls.append(task)
        index = TASKS.index(task)
        rng = np.random.default_rng(index)
        shape = (DEPTH + 1, EXAMPLES + index, SIZE)
        common, tuned = rng.standard_normal((2, *shape))
        centre = 3.0 * rng.standard_normal(SIZE)
        depth = np.arange(DEPTH + 1)[:, None, None]
        out = {}
        for model in models:
            own = np.random.default_rng([index, *model.encode()]).standard_normal(shape)
            weight = np.where(depth > 3, 0.8, 0.0) if model != "base" else np.zeros_like(depth, dtype=float)
            states = (1 - weight) * common + weight * tuned + 0.15 * own + centre
            states[0] = 1.0
            out[model] = Acts(tuple(f"{task}-{i}" for i in range(shape[1])), states.astype(np.float32))
        if task == "task2":
            out["base"].acts_LSD[3, 5, 2] = np.nan
        return out


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


@pytest.fixture(scope="module")
def result(provider: Provider) -> LayersResult:
    return analyse_layers(
        provider,
        TASKS,
        controls=CONTROLS,
        seconds={task: f"{task}-s1" for task in CONTROLS},
        clusters={task: "even" if i % 2 == 0 else "odd" for i, task in enumerate(TASKS)},
        unseen=["task6"],
        examples=EXAMPLES,
        measures=MEASURES,
        n_null=10,
        draws=200,
        points=10,
        depths=[2, 8],
    )


def test_every_task_is_captured_once(provider: Provider, result: LayersResult) -> None:
    assert provider.calls == TASKS
    assert result.tasks == tuple(TASKS)
    assert result.meta["nonfinite_rows"] == {"task2": 1}
    assert (result.meta["n"], result.meta["n_over_d"], result.meta["n_layers"]) == (EXAMPLES, 2.5, DEPTH)


def test_a_value_in_the_table_equals_cka_of_the_states(result: LayersResult) -> None:
    given = Provider()("task0", ("base", "task0-s0"))
    wanted = linear_cka(given["base"].acts_LSD[5], given["task0-s0"].acts_LSD[5])
    assert result.curves("cka", "base~control").loc["task0", 5] == pytest.approx(wanted, abs=1e-9)
    row = result.table.query("measure == 'cka' and pair == 'base~control' and task == 'task0' and layer == 5").iloc[0]
    assert row["low"] < row["value"] < row["high"]


def test_constant_embeddings_are_undefined_with_a_reason_and_never_one(result: LayersResult) -> None:
    rows = result.table[(result.table["layer"] == 0) & result.table["measure"].isin(MEASURES)]
    assert rows["value"].isna().all()
    assert (rows["status"] == "undefined").all()
    assert rows[rows["task"] == "task0"]["reason"].str.contains("constant").all()


def test_the_shared_section_ends_where_it_was_planted(result: LayersResult) -> None:
    sections = result.sections["all tasks"]
    assert sections.n_tasks == 6
    assert sections.shared_end.identified
    assert sections.shared_end.layer == 3
    assert set(result.sections) == {"all tasks", "cluster even", "cluster odd", "unseen tasks"}
    assert "only 1 task (fewer than 5)" in result.sections["unseen tasks"].render()


def test_ceiling_and_null_frame_the_curves(result: LayersResult) -> None:
    mix = result.summary("cka", "mix~control").set_index("layer")["value"][1:]
    ceiling = result.summary("cka", "control~second").set_index("layer")["value"][1:]
    null = result.summary("cka", "mix~control", NULL).set_index("layer")["value"][1:]
    assert (abs(null) < 0.1).all()
    assert (mix > null + 0.3).all()
    np.testing.assert_allclose(mix, ceiling, atol=0.08)
    assert (result.summary("procrustes", "mix~control", NULL).set_index("layer")["value"][1:] > 0.3).all()


def test_intervals_over_tasks_contain_the_median(result: LayersResult) -> None:
    rows = result.table[(result.table["task"] == ALL) & (result.table["status"] == "ok")]
    assert (rows["low"] <= rows["value"] + 1e-12).all()
    assert (rows["value"] <= rows["high"] + 1e-12).all()


def test_maps_have_the_same_layer_curve_on_their_diagonal(result: LayersResult) -> None:
    map_LL = result.maps["cka:mix~control"]
    assert map_LL.shape == (DEPTH + 1, DEPTH + 1)
    diagonal = result.curves("cka", "mix~control").loc[[t for t in CONTROLS if t != "task6"]].median()
    np.testing.assert_allclose(np.diag(map_LL)[1:], diagonal[1:], atol=1e-5)
    assert np.isnan(map_LL[0]).all()


def test_a_task_without_a_control_gets_spectra_and_no_control_curve(result: LayersResult) -> None:
    own = result.table[result.table["task"] == "task7"]
    assert set(own["pair"]) == {"mix~base", "base", "mix"}


def test_tasks_are_separable_where_they_differ(result: LayersResult) -> None:
    table = result.separability
    assert len(table) == 2 * (DEPTH + 1) * 2
    assert (table[(table["labels"] == "task") & (table["layer"] > 0)]["probe"] > 0.9).all()
    assert table[table["layer"] == 0]["reason"].notna().all()


def test_panels_are_at_the_chosen_depths_for_both_models(result: LayersResult) -> None:
    assert [(e.layer, e.model) for e in result.embeddings] == [(2, "base"), (2, "mix"), (8, "base"), (8, "mix")]
    assert all(len(e.labels) == 80 for e in result.embeddings)


def test_a_saved_result_reads_back_the_same(result: LayersResult, tmp_path: Path) -> None:
    result.save(tmp_path)
    back = LayersResult.load(tmp_path)
    columns = ["measure", "pair", "layer", "task"]
    pd.testing.assert_frame_equal(
        back.table.sort_values(columns, ignore_index=True), result.table.sort_values(columns, ignore_index=True)
    )
    assert back.sections == result.sections
    assert back.render() == result.render()
    json.loads((tmp_path / "analysis" / "layers.json").read_text())
    assert (tmp_path / "layers" / "task3.parquet").is_file()
    with pytest.raises(TraitscopeError, match="no layer analysis"):
        LayersResult.load(tmp_path / "elsewhere")


def test_the_same_seed_gives_the_same_table(result: LayersResult) -> None:
    again = analyse_layers(
        Provider(),
        TASKS[:2],
        controls=CONTROLS,
        examples=EXAMPLES,
        measures=("cka",),
        n_null=3,
        draws=50,
        depths=[4],
        points=8,
    )
    twice = analyse_layers(
        Provider(),
        TASKS[:2],
        controls=CONTROLS,
        examples=EXAMPLES,
        measures=("cka",),
        n_null=3,
        draws=50,
        depths=[4],
        points=8,
    )
    pd.testing.assert_frame_equal(again.table, twice.table)
    np.testing.assert_array_equal(again.embeddings[0].xy_P2, twice.embeddings[0].xy_P2)


def test_a_task_that_falls_short_is_left_out_with_its_reason() -> None:
    found = analyse_layers(
        Provider(),
        TASKS[:4],
        controls=CONTROLS,
        examples=EXAMPLES + 2,
        measures=("cka",),
        n_null=0,
        draws=50,
        depths=[4],
        points=8,
    )
    assert found.tasks == ("task3",)
    assert found.meta["excluded"]["task0"] == "40 examples, 42 are needed"
    assert "1 rows had non-finite values" in found.meta["excluded"]["task2"]
    assert "left out: task1" in found.render()


def test_what_cannot_be_done_is_refused_before_anything_is_captured() -> None:
    provider = Provider()
    with pytest.raises(TraitscopeError, match="unknown measure 'ckaa'"):
        analyse_layers(provider, TASKS, controls=CONTROLS, examples=10, measures=("ckaa",))
    with pytest.raises(TraitscopeError, match="not among the measures"):
        analyse_layers(provider, TASKS, controls=CONTROLS, examples=10, measures=("knn",), map_measures=())
    assert provider.calls == []
    with pytest.raises(TraitscopeError, match="no task has 500 usable examples"):
        analyse_layers(provider, TASKS[:1], controls=CONTROLS, examples=500, measures=("cka",))


def test_unknown_curves_are_errors_that_list_the_known_ones(result: LayersResult) -> None:
    with pytest.raises(TraitscopeError, match="cka:mix~control"):
        result.curves("rsa", "mix~control")


def test_a_layer_where_one_example_alone_differs_is_undefined_with_the_model_named() -> None:
    def provider(task: str, models: Sequence[str]) -> Mapping[str, Acts]:
        given = Provider()(task, models)
        lone_SD = np.zeros_like(given["mix"].acts_LSD[2])
        lone_SD[0, 0] = 1.0
        given["mix"].acts_LSD[2] = lone_SD
        return given

    found = analyse_layers(provider, TASKS, controls=CONTROLS, mix="mix", examples=40, measures=("cka",), draws=20)
    rows = found.table.query("measure == 'cka' and layer == 2 and task == 'task0'").set_index("pair")
    assert rows.loc["mix~control", "status"] == "undefined"
    assert rows.loc["mix~control", "reason"].startswith("mix: no similarity with itself")
    assert rows.loc["base~control", "status"] == "ok"
