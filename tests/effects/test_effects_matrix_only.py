"""A matrix without example records: what can be computed is, and the rest is said to be missing."""

import numpy as np
import pandas as pd
import pytest
from effect_study import stats_with

from traitscope.effects import measure_effects
from traitscope.effects.words import error_words, span_words
from traitscope.matrix import ScoreMatrix


def test_the_massive_sft_matrix_gives_surprises_and_says_what_is_missing(shared) -> None:
    matrix = ScoreMatrix.read(
        shared / "matrices" / "massive_sft.csv",
        rows=["data_name"],
        family="model_name",
        base="pretrain",
        where=["data_size=0,1000", "epoch=0,10", "lora=True,NA"],
        values=["mbpp_4shot", "gsm8k-4shot", "humaneval-0shot", "nq-1shot", "BoolQ-5shot", "mmlu-5shot"],
    )
    effects = measure_effects(matrix)
    gains = effects.tables["gains"]
    assert len(gains) == 610 and gains["p"].isna().all()
    at = matrix.models.index("Qwen2.5-7B/lima"), matrix.tasks.index("gsm8k-4shot")
    row = gains.set_index(["model", "task"]).loc[("Qwen2.5-7B/lima", "gsm8k-4shot")]
    assert row["gain"] == pytest.approx(matrix.gains().values_IN[at])
    surprises = effects.tables["surprises"]
    assert len(surprises) == 600 and surprises["z_noise"].isna().all() and surprises["unusual"].any()
    said = " ".join(effects.notes)
    for part in (
        "no example records for 610 of 610 cells",
        "have no standard error,",
        "no dataset statistics were given",
    ):
        assert part in said
    assert "Surprises against an additive model: no test was possible" in effects.render()


def additive_matrix(rng: np.random.Generator, stderr: float | None) -> ScoreMatrix:
    rows, columns = [f"s{k}" for k in range(8)], [f"t{k}" for k in range(6)]
    value = 0.5 + rng.normal(0, 0.05, (9, 1)) + rng.normal(0, 0.1, (1, 6)) + rng.normal(0, 0.02, (9, 6))
    value[4, 2] += 0.3
    frame = pd.DataFrame(value, index=["base", *rows], columns=columns)
    errors = None if stderr is None else frame * 0 + stderr
    table = ScoreMatrix.from_wide(frame, stderr=errors).to_long()
    table["source"] = [None if m == "base" else m for m in table["model"]]
    return ScoreMatrix.from_long(table)


def test_standard_errors_alone_make_gains_and_surprises_testable() -> None:
    effects = measure_effects(additive_matrix(np.random.default_rng(0), 0.02))
    gains = effects.of_kind("gain").set_index(["model", "task"])
    row = gains.loc[("s3", "t2")]
    assert (row["hi"] - row["lo"]) / 2 == pytest.approx(1.959964 * 0.02 * np.sqrt(2), rel=1e-4)
    table = effects.tables["surprises"]
    assert table.iloc[0][["model", "task", "surprising"]].tolist() == ["s3", "t2", True]
    assert table["surprising"].sum() <= 3
    assert not any("no standard errors" in note for note in effects.notes)


def test_noise_of_residuals_has_unit_deviation_where_the_model_is_additive() -> None:
    z = []
    for seed in range(20):
        matrix = additive_matrix(np.random.default_rng(seed), 0.02)
        table = measure_effects(matrix, replicates=100, permutations=99).tables["surprises"]
        z.extend(table.query("not (model == 's3' or task == 't2')")["z_noise"])
    assert np.std(z) == pytest.approx(1.0, abs=0.12)


def test_without_a_base_row_scores_take_the_place_of_gains() -> None:
    table = additive_matrix(np.random.default_rng(0), None).to_long()
    effects = measure_effects(ScoreMatrix.from_long(table[table["model"] != "base"]))
    assert "gains" not in effects.tables
    assert effects.tables["surprises"].iloc[0]["model"] == "s3"
    assert any("no base row for 8 rows" in note for note in effects.notes)


def test_missing_cells_and_similarity_do_not_stop_the_surprises() -> None:
    table = additive_matrix(np.random.default_rng(0), 0.02).to_long()
    table = table[~((table["model"] == "s1") & (table["task"].isin(["t0", "t1"])))]
    names = [*(f"s{k}" for k in range(8)), *(f"t{k}" for k in range(6))]
    alike = np.corrcoef(np.random.default_rng(1).normal(size=(14, 5)))
    effects = measure_effects(ScoreMatrix.from_long(table), stats=stats_with(names, semantic=alike))
    kinds = effects.findings.groupby("kind").size()
    assert kinds["surprise"] == kinds["surprise_similarity"] == 46
    assert kinds["domain"] == 3


def test_a_matrix_that_is_too_small_says_so() -> None:
    frame = pd.DataFrame({"t": [0.1, 0.2], "u": [0.3, 0.1]}, index=["base", "a"])
    effects = measure_effects(ScoreMatrix.from_wide(frame))
    assert any("surprises: fewer than four models" in note for note in effects.notes)
    assert effects.render()


def test_without_errors_no_sentence_has_an_interval_and_none_says_that_nothing_was_learnt() -> None:
    scores = {"base": (0.5, 0.4), "a": (0.9, 0.5), "b": (0.6, 0.3)}
    matrix = ScoreMatrix.from_wide(pd.DataFrame(scores, index=["a", "b"]).T)
    effects = measure_effects(matrix)
    said = effects.render()
    assert "unknown" not in said and "nan" not in said and "None" not in said and "[" not in said
    (told,) = effects.sentences(effects.of_kind("asymmetry"))
    assert told == (
        "a on b +10.0 (error not known); b on a +10.0 (error not known): points that differ by +0.0 (error not known)."
    )
    gain = effects.sentences(effects.of_kind("gain")).iloc[0]
    assert gain == "a on a: score +40.0 points over the base (error not known; not paired)."
    assert set(effects.tables["learning"]["verdict"]) == {"not tested"} and effects.not_learnt() == []


def test_an_interval_that_is_known_in_part_is_left_out() -> None:
    assert span_words(0.1, np.nan, "share") == span_words(None, 0.2, "share") == ""
    assert span_words(-0.1, 0.2, "share") == "[-10.0, +20.0]"
    assert error_words("", np.nan) == "error not known" and error_words("[0, 1]", np.nan) == "p not known"
    assert error_words("", 0.25) == "p = 0.25"


def test_a_gain_of_what_is_better_when_lower_says_so() -> None:
    scores = ScoreMatrix.from_long(
        pd.DataFrame(
            [
                {"model": model, "task": task, "metric": metric, "value": value, "higher_is_better": metric != "loss"}
                for model, values in (("base", (3.0, 0.5)), ("a", (2.5, 0.6)))
                for task, metric, value in zip(("story", "tone"), ("loss", "accuracy"), values, strict=True)
            ]
        )
    )
    effects = measure_effects(scores)
    told = list(effects.sentences(effects.of_kind("gain").sort_values("task")))
    assert told[0].startswith("a on story: loss (lower is better) +0.5 over the base")
    assert told[1].startswith("a on tone: accuracy +10.0 points over the base")
