"""A deviation between runs that the user knows: its unit, the seeds it is of, and what it is called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from traitscope.cli.common import read_run_sd
from traitscope.effects import measure_effects
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.traits import fit_traits
from traitscope.traits.cells import cells_of

TASKS = ("a", "b", "c", "f")
COUNT: dict[str, Any] = {"permutations": 9, "replicates": 0, "held_out": 0, "k": 1}


def table(seeds: int, scale: float = 1.0, stderr: float | None = 0.03) -> pd.DataFrame:
    """A base and five sources of so many seeds on four tasks."""
    rng = np.random.default_rng(0)
    rows: list[tuple[Any, ...]] = [("base", None, None, task, 0.5 * scale) for task in TASKS]
    for source in "abcde":
        for seed in range(seeds):
            rows += [(f"{source}-s{seed}", source, seed, task, scale * rng.uniform(0.3, 0.7)) for task in TASKS]
    found = pd.DataFrame(rows, columns=["model", "source", "seed", "task", "value"])
    return found if stderr is None else found.assign(stderr=scale * stderr)


def errors(scores: ScoreMatrix) -> np.ndarray:
    """Standard errors of base and first source on the first task, as the traits have them."""
    noise = cells_of(scores, "raw", mean=True, own=True).noise
    assert noise is not None
    return np.sqrt(noise.variance_IN[:2, 0])


@pytest.mark.parametrize(("unit", "scale"), [("fraction", 1.0), ("percent", 100.0)])
@pytest.mark.parametrize("by_task", [False, True])
def test_points_are_points_whatever_the_unit_and_shrink_with_the_seeds(unit: str, scale: float, by_task: bool) -> None:
    sd = dict.fromkeys(TASKS, 0.02 * scale) if by_task else 2
    for seeds in (1, 3):
        scores = ScoreMatrix.from_long(table(seeds, scale), units=unit)
        told = errors(scores.with_run_sd(sd))
        np.testing.assert_allclose(told, scale * np.sqrt([0.03**2, 0.03**2 + 0.02**2 / seeds]))
        gains = measure_effects(scores, run_sd=sd, permutations=99).of_kind("gain")
        half = (gains["hi"] - gains["lo"]) / 2
        np.testing.assert_allclose(half, 1.959964 * scale * np.sqrt(2 * 0.03**2 + 0.02**2 / seeds), rtol=1e-5)


def test_rows_that_are_means_over_seeds_stay_so() -> None:
    """Averaged before or after, and averaged twice: three seeds are three."""
    scores = ScoreMatrix.from_long(table(3), units="fraction")
    wanted = np.sqrt([0.03**2, 0.03**2 + 0.02**2 / 3])
    for told in (scores.with_run_sd(2), scores.with_run_sd(2).by_source(), scores.by_source().with_run_sd(2)):
        np.testing.assert_allclose(errors(told), wanted)
        gains = measure_effects(told, permutations=99).of_kind("gain")
        np.testing.assert_allclose((gains["hi"] - gains["lo"]) / 2, 1.959964 * np.sqrt(2 * 0.03**2 + 0.02**2 / 3), 1e-5)
    # Seeds that were seen are the same error too, be they averaged already or not.
    np.testing.assert_allclose(errors(scores.by_source()), errors(scores))
    np.testing.assert_allclose(errors(scores.by_source().by_source()), errors(scores))


def test_what_was_not_trained_here_has_no_runs() -> None:
    chat = table(1)[lambda t: t["model"] == "base"].assign(model="chat")
    scores = ScoreMatrix.from_long(pd.concat([chat, table(1)]), units="fraction").with_run_sd(2)
    np.testing.assert_allclose(errors(scores), 0.03)
    noise = scores.noise()
    assert noise is not None
    np.testing.assert_allclose(noise.seed_variance_IN[:3, 0], [0.0, 0.0, 0.02**2])
    gains = measure_effects(scores, permutations=99).of_kind("gain").set_index("model")
    half = (gains["hi"] - gains["lo"]).loc["chat"].to_numpy() / 2
    np.testing.assert_allclose(half, 1.959964 * np.sqrt(2) * 0.03, rtol=1e-5)


def test_what_was_told_is_not_called_a_variance_between_seeds() -> None:
    told = fit_traits(ScoreMatrix.from_long(table(1), units="fraction"), own="include", run_sd=2, **COUNT)
    assert told.count.sequential is not None
    assert told.count.sequential.method == "standard errors of the cells, and deviation between runs"
    seen = fit_traits(ScoreMatrix.from_long(table(2), units="fraction"), own="include", **COUNT)
    assert seen.count.sequential is not None
    assert seen.count.sequential.method == "standard errors of the cells, and variance between seeds"


def test_what_was_told_of_a_metric_is_not_of_another() -> None:
    both = pd.concat([table(1).assign(metric="acc", primary=True), table(1).assign(metric="loss", primary=False)])
    scores = ScoreMatrix.from_long(both, units="fraction").with_run_sd(2)
    assert scores.with_metric("loss").seed_noise is None
    assert scores.with_metric("acc").seed_noise is scores.seed_noise


@pytest.mark.parametrize(
    "wrong",
    [0, -1.0, float("nan"), float("inf"), "2", None, True, [1, 2], {"a": 1.0}, dict.fromkeys("abcfq", 1.0)]
    + [dict.fromkeys("abcf", value) for value in (None, "1", 0.0)],
)
def test_what_is_no_deviation_is_refused(wrong: Any) -> None:
    with pytest.raises(TraitscopeError):
        ScoreMatrix.from_long(table(1), units="fraction").with_run_sd(wrong)


def test_points_of_what_is_no_share_are_refused() -> None:
    scores = ScoreMatrix.from_long(table(1), units={"f": "other"})
    with pytest.raises(TraitscopeError, match="not known for f"):
        scores.with_run_sd(2)


@pytest.mark.parametrize("wrong", [["2", "3"], ["2", "a=1"], ["a=1", "a=2"], ["a=x"], ["=1"], ["x"]])
def test_one_number_or_each_task_once_on_the_command_line(wrong: list[str]) -> None:
    assert read_run_sd(["2.5"]) == 2.5 and read_run_sd(["a=1", "b=c=2"]) == {"a": 1.0, "b=c": 2.0}
    with pytest.raises(TraitscopeError, match="cannot read"):
        read_run_sd(wrong)


def test_a_cell_counts_the_seeds_that_it_has() -> None:
    """One of three seeds was evaluated on a task: its cell there is one run, in the traits and in the effects."""
    rows = table(3)
    rows = rows[~((rows["source"] == "a") & (rows["task"] == "a") & (rows["seed"] > 0))]
    scores = ScoreMatrix.from_long(rows, units="fraction").with_run_sd(2)
    for told in (scores, scores.by_source()):
        assert errors(told)[1] == pytest.approx(np.sqrt(0.03**2 + 0.02**2))
        gains = measure_effects(told, permutations=99).of_kind("gain").set_index(["source", "task"])
        half = (gains["hi"] - gains["lo"]) / 2
        assert half["a", "a"] == pytest.approx(1.959964 * np.sqrt(2 * 0.03**2 + 0.02**2), rel=1e-5)
        assert half["a", "b"] == pytest.approx(1.959964 * np.sqrt(2 * 0.03**2 + 0.02**2 / 3), rel=1e-5)


@pytest.mark.parametrize("sd", [100.5, 1e300, dict.fromkeys(TASKS, 1e10)])
def test_a_deviation_beyond_every_scale_is_refused(sd: Any) -> None:
    with pytest.raises(TraitscopeError, match="is more than any deviation between runs"):
        ScoreMatrix.from_long(table(1)).with_run_sd(sd)


def test_the_largest_deviation_that_is_taken_has_traits() -> None:
    for sd in (100.0, dict.fromkeys(TASKS, 1e9)):
        fit_traits(ScoreMatrix.from_long(table(1)), run_sd=sd, **COUNT)
