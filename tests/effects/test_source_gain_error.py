"""A gain is claimed of a source with the error of its runs, where that is known; of single runs it is in the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from effect_study import Study, generate_records, random_study
from scipy import stats

from traitscope.effects import measure_effects
from traitscope.effects.gains import source_gains
from traitscope.effects.grid import Grid
from traitscope.effects.marks import measure_marks
from traitscope.matrix import ScoreMatrix
from traitscope.plots import gain_heatmap
from traitscope.plots.marks import significant_gains

A_RUNS = ("a-s0", "a-s1", "a-s2")
BOTH = [("base", None, None, 0.5), ("a-s0", "a", 0, 0.6), ("a-s1", "a", 1, 0.8)]


def runs_of_two_sources(won: tuple[int, ...] = (26, 30, 34)) -> Study:
    """The base has half of 200 examples right; three runs of a win some of the others, the one run of b 3."""
    study, base = Study(), np.arange(200) < 100
    runs = [("base", None, None, 0), *((f"a-s{k}", "a", k, won[k]) for k in range(3)), ("b-s0", "b", 0, 3)]
    for model, source, seed, more in runs:
        frame = generate_records(base | (np.arange(200) >= 200 - more), np.full(200, 5)).assign(finish=None)
        said = "x" if model == "a-s1" else np.arange(200).astype(str)
        study.add(model, source, seed, "t", frame.assign(pred=said))
    return study


def test_the_error_has_a_part_of_the_examples_and_a_part_of_the_runs() -> None:
    """Satterthwaite on var(examples that all seeds share) + S^2 / 3, each from the records by numpy alone."""
    study = random_study(("c", "d"), ("a",), 150, np.random.default_rng(5), lambda s, t: 0.8, seeds=(0, 1, 2))
    effects = measure_effects(study.matrix, study.records, replicates=4000, permutations=99)
    found = effects.of_kind("gain").set_index("source")
    base_S = study.records["base", "a"]["correct"].to_numpy()
    changes = {
        s: np.array([study.records[f"{s}-s{k}", "a"]["correct"].to_numpy() - base_S for k in range(3)]) for s in "cd"
    }
    total = np.mean([change.mean(axis=1).var(ddof=1) for change in changes.values()])
    alone = np.mean([(change - change.mean(axis=0)).var(axis=1).mean() * 1.5 / 150 for change in changes.values()])
    for source, change in changes.items():
        row = found.loc[source]
        assert row["value"] == pytest.approx(change.mean())
        variance = change.mean(axis=0).var() / 150 + max(total - alone, 0) / 3
        df = variance**2 / ((total / 3) ** 2 / 4)
        error = np.sqrt(variance)
        half = stats.t.ppf(0.975, df) * error
        # The examples' part here is of a score interval.
        assert (row["lo"], row["hi"]) == pytest.approx((change.mean() - half, change.mean() + half), abs=0.15 * half)
        assert np.log(row["p"]) == pytest.approx(np.log(2 * stats.t.sf(change.mean() / error, df)), rel=0.2)


def test_without_records_seeds_do_not_shrink_the_error_they_share() -> None:
    cells = [("base", None, None, 0.5, 0.02), ("a-s0", "a", 0, 0.6, 0.03), ("a-s1", "a", 1, 0.8, 0.04)]
    columns = ["model", "source", "seed", "value", "stderr"]
    grid = Grid.of(ScoreMatrix.from_long(pd.DataFrame(cells, columns=columns).assign(task="t", n=100)))
    (found,) = source_gains(grid, {}, 0.95).values()
    half = stats.norm.ppf(0.975) * np.sqrt(0.02**2 + (0.03**2 + 0.04**2) / 2)
    assert (found["lo"], found["value"], found["hi"]) == pytest.approx((0.2 - half, 0.2, 0.2 + half))
    # Two runs at 0.1 and 0.3: S^2 = 0.02 on one degree of freedom, half of it in a mean of two.
    assert found["runs"] == pytest.approx((0.01, 0.01**2))


def test_runs_known_from_two_seeds_serve_a_source_with_one() -> None:
    cells = [("base", None, None, 0.5), ("a-s0", "a", 0, 0.6), ("a-s1", "a", 1, 0.8), ("b-s0", "b", 0, 0.4)]
    frame = pd.DataFrame(cells, columns=["model", "source", "seed", "value"]).assign(task="t")
    effects = measure_effects(ScoreMatrix.from_long(frame), replicates=100, permutations=99)
    found = effects.of_kind("gain").set_index("source")
    for source, value, variance in (("a", 0.2, 0.01), ("b", -0.1, 0.02)):
        half = stats.t.ppf(0.975, 1) * np.sqrt(variance)
        assert found.loc[source, ["value", "lo", "hi"]].tolist() == pytest.approx([value, value - half, value + half])
    assert not effects.settings["scope"]


def test_a_known_deviation_between_runs_is_taken_and_without_one_the_runs_alone_are_spoken_of() -> None:
    cells = [("base", None, 50.0, 1.0), ("a-s0", "a", 60.0, 1.0), ("b-s0", "b", 40.0, 1.0)]
    frame = pd.DataFrame(cells, columns=["model", "source", "value", "stderr"]).assign(task="t", seed=0)
    matrix = ScoreMatrix.from_long(frame, units="percent")
    alone = measure_effects(matrix, replicates=100, permutations=99)
    assert alone.of_kind("gain")["method"].eq("normal").all()
    assert alone.render().startswith("One seed per source: all findings speak of these runs only")
    told = measure_effects(matrix, replicates=100, permutations=99, run_sd=2.0)
    row = told.of_kind("gain").set_index("source").loc["a"]
    half = stats.norm.ppf(0.975) * np.sqrt(1 + 1 + 4)
    assert (row["value"], row["lo"], row["hi"]) == pytest.approx((10.0, 10 - half, 10 + half))
    assert not told.settings["scope"] and "these runs only" not in told.render()


def test_a_gain_is_claimed_once_for_all_runs_of_a_source_and_every_mark_is_that_claim() -> None:
    """Gains of .1, .2 and .3: three runs are one finding, whose sentence and marks are of the source."""
    study = runs_of_two_sources()
    effects = measure_effects(study.matrix, study.records, permutations=99)
    gains = effects.of_kind("gain").set_index("model")
    assert list(gains.index) == ["a", "b-s0"] and set(effects.tables["gains"]["model"]) == {*A_RUNS, "b-s0"}
    a, b = effects.sentences(effects.of_kind("gain"))
    change = np.mean([study.records[run, "t"]["correct"].mean() for run in A_RUNS]) - 0.5
    assert a.startswith(f"a (mean of 3 seeds) on t: accuracy {100 * change:+.1f} points [") and "on average." in a
    assert "a-s1: It answers 'x' to 200 of 200." in a and "a-s0" not in a
    deviation = np.std([study.records[run, "t"]["correct"].mean() for run in A_RUNS], ddof=1)
    assert all(f"; runs deviate by {100 * deviation:.1f}): " in told for told in (a, b))
    assert b.startswith("b-s0 on t: ") and "on average" not in b
    held = set(effects.held(effects.of_kind("gain"))["model"])
    assert held == {"a"}
    marks = measure_marks(study.matrix, study.records).cells
    assert {model: mark.strip("=") for (model, _), mark in marks.items() if mark != "="} == dict.fromkeys(A_RUNS, "+")
    matrix = study.matrix
    assert {matrix.models[i] for i, _ in significant_gains(matrix, effects)} == set(A_RUNS)
    axes = gain_heatmap(matrix, effects).axes[0]
    assert "the source's seeds together" in axes.get_xlabel().replace("\n", " ")


@pytest.mark.parametrize(("won", "claimed"), [((0, 8, 40), set()), ((20, 22, 24), {"a"})])
def test_a_run_alone_is_neither_claimed_nor_marked_where_runs_are_known(
    won: tuple[int, ...], claimed: set[str]
) -> None:
    study = runs_of_two_sources(won)
    effects = measure_effects(study.matrix, study.records, permutations=99)
    # By themselves two runs at least are better than the base.
    assert (effects.tables["gains"]["p"] < 0.01).sum() >= 2
    assert set(effects.held(effects.of_kind("gain"))["source"]) == claimed
    marks = measure_marks(study.matrix, study.records).cells
    assert {model[0] for (model, _), mark in marks.items() if mark.strip("=")} == claimed


def test_runs_without_records_are_not_averaged_with_those_that_have_some() -> None:
    study = runs_of_two_sources()
    del study.records["a-s1", "t"]
    effects = measure_effects(study.matrix, study.records, permutations=99)
    gains = effects.of_kind("gain").set_index("source")
    assert gains.loc["a", "value"] == pytest.approx((26 + 34) / 2 / 200)
    assert gains.loc["a", "numbers"]["won"] == 30 and gains.loc["a", "numbers"]["runs"] == ["a-s0", "a-s2"]
    assert effects.sentences().loc[effects.findings["kind"] == "gain"].iloc[0].startswith("a (mean of 2 of 3 seeds) on")


def test_seeds_that_a_finding_does_not_rest_on_are_said() -> None:
    """One of three runs has no score on a task: the mean is of two of them."""
    cells = [("base", None, None, 0.5), ("a-s0", "a", 0, 0.6), ("a-s1", "a", 1, 0.8), ("a-s2", "a", 2, 0.8)]
    rows = [(*cell, task) for cell in cells for task in "tu" if (cell[0], task) != ("a-s2", "u")]
    frame = pd.DataFrame(rows, columns=["model", "source", "seed", "value", "task"])
    effects = measure_effects(ScoreMatrix.from_long(frame), replicates=100, permutations=99)
    gains = effects.of_kind("gain")
    assert [text.split(" on ")[0] for text in effects.sentences(gains)] == [
        "a (mean of 3 seeds)",
        "a (mean of 2 of 3 seeds)",
    ]


def test_sources_of_the_same_name_under_two_bases_are_told_apart() -> None:
    rows = [(base, *row) for base in ("small", "large") for row in BOTH]
    frame = pd.DataFrame(rows, columns=["base", "model", "source", "seed", "value"]).assign(task="t")
    gains = measure_effects(ScoreMatrix.from_long(frame), replicates=100, permutations=99).of_kind("gain")
    # As rows are called: base model, then source.
    assert gains["model"].tolist() == ["small/a", "large/a"]
