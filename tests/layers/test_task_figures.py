"""Figures of tasks beside the curves of a layer analysis: planted relations are found, and all of it reads back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from traitscope.errors import TraitscopeError
from traitscope.layers import Acts, LayersResult, TaskFigures, analyse_layers, find_sections, task_figures

TASKS = [f"task{i}" for i in range(8)]
DEPTH, EXAMPLES, SIZE = 6, 40, 12


def provider(task: str, models: Sequence[str]) -> Mapping[str, Acts]:
    """Mix and control share their states up to noise that grows from task to task."""
    index = TASKS.index(task)
    own = np.random.default_rng(index).standard_normal((2, DEPTH + 1, EXAMPLES, SIZE))
    out = {}
    for model in models:
        noise = np.random.default_rng([index, *model.encode()]).standard_normal(own[0].shape)
        states = own[0] if model == "base" else own[1]
        out[model] = Acts(tuple(f"{task}-{i}" for i in range(EXAMPLES)), states + (0.1 + 0.15 * index) * noise)
    return out


@pytest.fixture(scope="module")
def result() -> LayersResult:
    return analyse_layers(
        provider,
        TASKS,
        controls={task: f"{task}-s0" for task in TASKS},
        unseen=["task7"],
        examples=EXAMPLES,
        measures=("cka",),
        n_null=3,
        draws=1000,
        depths=[3],
        points=5,
    )


@pytest.fixture(scope="module")
def found(result: LayersResult) -> TaskFigures:
    rows = {task: 100.0 * (i + 1) for i, task in enumerate(TASKS)}
    sparse = {"task0": 1.0, "task1": 5.0, "task2": 2.0}
    loadings = pd.DataFrame([np.linspace(1, 0.1, 8), np.eye(8)[3]], index=["T1", "T2"], columns=TASKS)
    return task_figures(result, {"rows": rows, "readability": sparse}, loadings, notes=["a note"])


def test_correlations_are_those_of_the_curves_over_the_trained_tasks(result: LayersResult, found: TaskFigures) -> None:
    assert found.tasks == tuple(TASKS[:7])
    at_four = result.curves("cka", "mix~control", TASKS[:7])[4].to_numpy(dtype=float)
    table = found.correlates[(found.correlates["covariate"] == "rows") & (found.correlates["layer"] == 4)]
    r = table.set_index("method")["r"]
    assert r["pearson"] == pytest.approx(pearsonr(np.arange(7), at_four).statistic)
    assert r["spearman"] == pytest.approx(spearmanr(np.arange(7), at_four).statistic)
    assert r["spearman"] < -0.9
    assert set(found.correlates["layer"]) == set(range(1, DEPTH + 1))


def test_figures_of_too_few_tasks_are_undefined_with_their_reason(found: TaskFigures) -> None:
    sparse = found.correlates[found.correlates["covariate"] == "readability"]
    assert set(sparse["reason"]) == {"3 tasks, at least 4 are needed"}
    said = "whether readability goes with cka(mix, single-task) is undefined (3 tasks, at least 4 are needed)"
    assert said in found.lines()
    assert np.isnan(found.figures.loc["task5", "readability"])


def test_every_trait_is_named_and_has_the_weighted_gap_of_its_tasks(result: LayersResult, found: TaskFigures) -> None:
    curves = result.section_curves()
    gap_L = (curves.mix_NL - curves.base_NL)[3]
    own = found.traits[found.traits["trait"] == "T2"].sort_values("layer")
    np.testing.assert_allclose(own["gap"], gap_L)
    assert list(dict.fromkeys(found.traits["trait"])) == ["T1", "T2"]


def test_the_text_names_the_strongest_correlation_and_the_notes(found: TaskFigures) -> None:
    text = found.render()
    tests = int((found.correlates["status"] == "ok").sum())
    assert f"correlates over 7 tasks (rho: Spearman; q: Benjamini-Hochberg over {tests} tests)" in text
    spearman = found.correlates.query("covariate == 'rows' and method == 'spearman'").set_index("layer")
    held = spearman[spearman["q"] <= 0.05]
    layer = held["r"].abs().idxmax()
    said = f"tasks with more rows have the lower cka(mix, single-task), most of all at layer {layer} (rho -1.00, q = "
    assert said in text
    assert f"; at {len(held)} of 6 layers)" in text
    assert text.endswith("note: a note")


def test_a_trait_is_told_in_a_sentence_and_what_does_not_hold_is_said_not_to(found: TaskFigures) -> None:
    held = found.traits.assign(r=0.2, q=0.5)
    held.loc[held["layer"] == 2, ["r", "q"]] = (0.9, 0.03)
    held.loc[held["layer"] == 3, ["r", "q"]] = (-0.95, 0.06)
    (first, _) = replace(found, traits=held).lines()[-2:]
    centre = held["centre"].iloc[0]
    head = f"tasks that load on T1 part from the base around layer {centre:.1f}; "
    more = "tasks that load more on T1 have the higher gap, most of all at layer 2"
    tail = f"{more} (rho +0.90, q = 0.03; at 1 of 6 layers)"
    assert first == head + tail
    none = replace(found, traits=held.assign(q=0.06)).lines()[-2]
    said = "whether the loading on T1 goes with the gap cannot be told at any layer"
    assert none == f"{head}{said} (largest at layer 3: rho -0.95, q = 0.06)"
    still = replace(found, traits=held.assign(centre=np.nan)).lines()[-2]
    assert still.startswith("tasks that load on T1 part from the base nowhere; ")


def test_a_written_result_reads_back_the_same(found: TaskFigures) -> None:
    back = TaskFigures.from_json(found.to_json())
    pd.testing.assert_frame_equal(back.correlates, found.correlates, check_dtype=False)
    pd.testing.assert_frame_equal(back.traits, found.traits, check_dtype=False)
    pd.testing.assert_frame_equal(back.figures, found.figures)
    assert back.render() == found.render()


def test_without_a_control_there_is_nothing_to_correlate() -> None:
    alone = analyse_layers(
        provider, TASKS[:2], controls={}, examples=EXAMPLES, measures=("cka",), draws=20, depths=[3], points=5
    )
    with pytest.raises(TraitscopeError, match="no trained task has an adapter of its own"):
        task_figures(alone, {})


def test_sections_can_be_found_from_a_whole_analysis(result: LayersResult) -> None:
    assert find_sections(result) == find_sections(result.section_curves()) == result.sections["all tasks"]
