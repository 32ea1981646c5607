"""The published matrix of 11 base models, 10 tuning sets and many benchmarks: one call gives the findings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from traitscope.matrix import ScoreMatrix
from traitscope.traits import fit_traits, render

BENCHMARKS = [
    "mbpp-0shot",
    "humaneval-0shot",
    "gsm8k-0shot",
    "math-0shot",
    "nq-0shot",
    "BoolQ-0shot",
    "hellaswag-0shot",
    "mmlu-0shot",
    "jmmlu-0shot",
    "cmmlu-0shot",
]
SETTING = ["data_size=0,1000", "lr_strategy=cosine,NA", "lora=False,NA"]


@pytest.fixture(scope="module")
def table(shared: Path) -> Path:
    path = shared / "matrices" / "massive_sft.csv"
    if not path.is_file():
        pytest.skip("massive_sft.csv is not here")
    return path


def test_one_base_model_gives_the_papers_shape(table: Path) -> None:
    scores = ScoreMatrix.read(
        table,
        rows="data_name",
        values=BENCHMARKS,
        base="pretrain",
        where=["model_name=Qwen2.5-7B", *SETTING],
    )
    assert scores.scores_IN.shape == (11, 10) and not np.isnan(scores.scores_IN).any()
    traits = fit_traits(scores, scale=True, permutations=199)
    assert traits.count.statement.startswith("at least ")
    # Four components explain most of it, and most of that is what permuted columns explain as well.
    assert traits.null.cumulative_M[3] > 0.8 and traits.null.cumulative_mean_M[3] > 0.7
    assert traits.null.p_M[0] < 0.05
    assert "no standard errors" in render(traits)


def test_all_base_models_have_their_own_base_row_and_copied_ones_are_noticed(table: Path) -> None:
    scores = ScoreMatrix.read(
        table, rows="data_name", values=BENCHMARKS, base="pretrain", family="model_name", where=SETTING
    )
    assert (scores.base_index_I >= 0).all() and len(set(scores.base_index_I.tolist())) == 11
    assert sum("identical scores" in note for note in scores.notes) >= 2
    traits = fit_traits(scores, view="gain", scale=True, permutations=99)
    assert len(traits.models) + len(traits.projected.models) == 120
    # Named are runs that lost most of hellaswag and half of the rest: around their base model they are lowest anyhow.
    gains = pd.DataFrame(scores.gains().values_IN)
    gains = (gains - gains.groupby(scores.rows["base"].to_numpy()).transform("mean")).to_numpy()
    centre_N = np.median(gains, axis=0)
    lowest = np.argsort(((gains - centre_N) / np.median(np.abs(gains - centre_N), axis=0)).mean(axis=1))[:10]
    assert len(traits.count.outlying) == 8 and set(traits.count.outlying) <= {scores.models[i] for i in lowest}
    assert traits.count.held_out is not None
    assert traits.count.permutation is not None and traits.count.permutation.count >= 2
