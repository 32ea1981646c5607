"""Errors of the matrix and what is read of a file, against hand-worked numbers and scipy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from traitscope.matrix import ScoreMatrix
from traitscope.matrix.noise import CellNoise, SeedNoise
from traitscope.matrix.paired import paired_means
from traitscope.matrix.units import guess_unit

A = np.array([1, 1, 0, 0, 1, 0, 1, 1], dtype=float)
B = np.array([1, 0, 0, 0, 1, 1, 1, 0], dtype=float)


def test_the_covariance_of_means_is_numpys_sample_covariance_over_n() -> None:
    found = paired_means({"a": A, "b": B})
    assert found.covariance_II == pytest.approx(np.cov(A, B) / 8)
    assert np.sqrt(np.diag(found.covariance_II)) == pytest.approx([stats.sem(A), stats.sem(B)])


def test_an_unknown_error_is_the_largest_of_its_task() -> None:
    frame = pd.DataFrame({"t": [0.2, 0.4, 0.6]}, index=["base", "x", "y"])
    stderr = pd.DataFrame({"t": [0.01, np.nan, 0.05]}, index=frame.index)
    noise = ScoreMatrix.from_wide(frame, stderr=stderr).noise()
    assert noise is not None
    assert noise.examples_IN[:, 0] == pytest.approx([0.01**2, 0.05**2, 0.05**2])


def test_errors_of_the_table_stand_before_those_of_the_records() -> None:
    frame = pd.DataFrame({"t": [A.mean(), B.mean()]}, index=["base", "x"])
    stderr = pd.DataFrame({"t": [0.3, np.nan]}, index=frame.index)
    scores = ScoreMatrix.from_wide(frame, stderr=stderr).with_records({"t": {"base": A, "x": B}})
    assert scores.stderr_IN[:, 0] == pytest.approx([0.3, stats.sem(B)])


def seeds(base: str, values: tuple[float, ...], **more: object) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [{"base": base, "model": "base", "source": None, "seed": None, "value": 0.5}]
    rows += [
        {"base": base, "model": f"x-s{k}", "source": "x", "seed": k, "value": value} for k, value in enumerate(values)
    ]
    return [{**row, "task": "t", "stderr": 0.05, "n": 80 + k, **more} for k, row in enumerate(rows)]


def test_seeds_of_two_base_models_are_no_seeds_of_one_source() -> None:
    table = pd.DataFrame(seeds("llama", (0.1, 0.3)) + seeds("qwen", (0.7, 0.9)))
    found = ScoreMatrix.from_long(table).seed_variance
    assert found is not None
    assert found.variance_N[0] == pytest.approx(0.02) and found.df_N[0] == 2


def test_a_mean_over_seeds_has_their_examples_and_an_error_if_all_are_known() -> None:
    rows = seeds("llama", (0.1, 0.3))
    merged = ScoreMatrix.from_long(pd.DataFrame(rows)).by_source()
    assert merged.n_IN[1, 0] == 81 and merged.stderr_IN[1, 0] == pytest.approx(0.05)
    rows[2]["stderr"] = np.nan
    assert np.isnan(ScoreMatrix.from_long(pd.DataFrame(rows)).by_source().stderr_IN[1, 0])


def test_records_whose_mean_is_not_the_value_leave_its_error_alone() -> None:
    """A metric such as macro-F1 is no mean of hits: the averaged hits of two seeds say nothing of its error."""
    table = pd.DataFrame(seeds("llama", (A.mean(), B.mean())))
    records = {"t": {"x-s0": A, "x-s1": B}}
    as_means = ScoreMatrix.from_long(table).with_records(records).by_source()
    assert as_means.stderr_IN[1, 0] == pytest.approx(stats.sem((A + B) / 2))
    other = ScoreMatrix.from_long(table.assign(value=table["value"] * 0.9)).with_records(records).by_source()
    assert other.stderr_IN[1, 0] == pytest.approx(0.05)


def test_draws_hold_examples_and_seeds_and_the_seed_part_has_the_tails_of_student() -> None:
    """With three degrees of freedom seed errors are Student's t: 95 % lie within 3.18 deviations and not 1.96."""
    count = 200_000
    seed = SeedNoise(np.array([0.04]), np.array([3.0]), np.array([[0.0], [1.0]]))
    noise = CellNoise(np.array([[0.01], [0.01]]), None, seed, "given")
    drawn = noise.draw_seeds(count, np.random.default_rng(0))[:, :, 0]
    assert not drawn[:, 0].any()
    for share in (0.5, 0.9, 0.95):
        wanted = 0.2 * stats.t.ppf(0.5 + share / 2, 3)
        assert np.quantile(np.abs(drawn[:, 1]), share) == pytest.approx(wanted, rel=0.02)
    both = noise.draw(count, np.random.default_rng(1))[:, :, 0]
    assert both[:, 0].std() == pytest.approx(0.1, rel=0.01)
    assert np.quantile(np.abs(both[:, 1]), 0.5) > 0.2 * stats.t.ppf(0.75, 3)


@pytest.mark.parametrize(
    ("where", "models"),
    [
        ("size>=10", ["b", "c"]),
        ("size>10", ["c"]),
        ("size<=10", ["a", "b"]),
        ("size<10", ["a"]),
        ("size=10", ["b"]),
        ("size=10.0,20", ["b", "c"]),
        ("size!=10", ["a", "c", "d"]),
        ("size=NA", ["d"]),
        ("size!=NA", ["a", "b", "c"]),
        ("name=x*", ["a", "c"]),
    ],
)
def test_filters_compare_numbers_text_and_empty_cells(tmp_path: Path, where: str, models: list[str]) -> None:
    path = tmp_path / "m.csv"
    path.write_text("model,size,name,t,u\na,5,x1,1,2\nb,10,y,3,4\nc,20,x2,5,6\nd,,z,7,9\n")
    scores = ScoreMatrix.read(path, rows="model", values=["t", "u"], where=[where])
    assert list(scores.models) == models


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([0.0, 1.0], "fraction"),
        ([0.2, np.nan], "fraction"),
        ([0.5, 5.0], "other"),
        ([0.5, 10.0], "other"),
        ([3.0, 10.5], "percent"),
        ([0.0, 100.0], "percent"),
        ([50.0, 100.5], "other"),
        ([-0.5, 0.5], "other"),
        ([-1.0, 50.0], "other"),
        ([np.nan, np.nan], "other"),
    ],
)
def test_units_are_guessed_from_the_range(values: list[float], unit: str) -> None:
    assert guess_unit(np.array(values)) == unit


def test_the_first_metric_is_shown_where_none_is_marked() -> None:
    rows = [
        {"model": model, "task": "t", "metric": metric, "value": value, "primary": False}
        for model, values in (("base", (0.1, 0.2)), ("x", (0.3, 0.4)))
        for metric, value in zip(("accuracy", "f1"), values, strict=True)
    ]
    scores = ScoreMatrix.from_long(pd.DataFrame(rows))
    assert scores.metrics == {"t": "accuracy"} and scores.scores_IN[:, 0].tolist() == [0.1, 0.3]


def test_covariances_go_with_their_standard_errors_into_every_view() -> None:
    rng = np.random.default_rng(0)
    records = {m: (rng.random(60) < 0.6).astype(float) for m in ("base", "x", "y")}
    wide = pd.DataFrame({"t": [100 * v.mean() for v in records.values()]}, index=list(records))
    table = ScoreMatrix.from_wide(wide).to_long().assign(n=60)
    scores = ScoreMatrix.from_long(table, base="base").with_records({"t": records})
    for view in ("raw", "gain", "z", "logit"):
        found = scores.view(view)
        assert found.covariance_NII is not None
        assert np.sqrt(np.diag(found.covariance_NII[0])) == pytest.approx(found.stderr_IN[:, 0])
    correlation = np.corrcoef(np.stack(list(records.values())))
    z = scores.view("z")
    assert z.covariance_NII is not None
    assert z.covariance_NII[0] == pytest.approx(correlation * np.outer(z.stderr_IN[:, 0], z.stderr_IN[:, 0]))
    gain = scores.view("gain")
    differences = np.stack([100 * (v - records["base"]) for v in records.values()])
    assert gain.covariance_NII is not None
    assert gain.covariance_NII[0] == pytest.approx(np.cov(differences) / 60)


def test_log_odds_stay_half_an_example_from_the_edge() -> None:
    frame = pd.DataFrame({"model": ["base", "x"], "task": "t", "value": [0.0, 1.0], "n": 50, "stderr": 0.1})
    found = ScoreMatrix.from_long(frame).view("logit").values_IN[:, 0]
    assert found == pytest.approx([np.log(0.01 / 0.99), np.log(0.99 / 0.01)])


@pytest.mark.parametrize("top", [1.0, 100.0])
def test_errors_of_log_odds_are_those_of_the_share(top: float) -> None:
    frame = pd.DataFrame({"t": [0.2 * top, 0.7 * top]}, index=["base", "x"])
    scores = ScoreMatrix.from_wide(frame, stderr=frame * 0 + 0.03 * top)
    found = scores.view("logit")
    assert found.values_IN[:, 0] == pytest.approx([np.log(0.2 / 0.8), np.log(0.7 / 0.3)])
    assert found.stderr_IN[:, 0] == pytest.approx([0.03 / (0.2 * 0.8), 0.03 / (0.7 * 0.3)])


def test_a_column_is_read_once_and_the_base_is_no_source(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("model,b,a,c\nbase,1,2,3\nx,4,5,6\ny,7,8,9\n")
    scores = ScoreMatrix.read(path, values=["a", "*", "!c"])
    assert scores.tasks == ("a", "b") and len(scores.table) == 6
    assert scores.rows["source"].isna().tolist() == [True, False, False]
    assert scores.rows.loc["x", "source"] == "x"
