"""``to_pandas`` and ``to_polars`` of every kind of result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import polars as pl
import pytest
import synthetic

from traitscope.effects import explain
from traitscope.frames import Tabular, with_whole
from traitscope.predict.decision import Decision
from traitscope.predict.evaluate import evaluate_predictors
from traitscope.predict.forecast import fit_predictor
from traitscope.texts import Shown

RESULTS: dict[str, Callable[[], Tabular]] = {
    "ScoreMatrix": synthetic.matrix,
    "Traits": synthetic.traits,
    "DatasetStats": synthetic.stats,
    "Effects": synthetic.effects,
    "Explanation": lambda: explain(synthetic.traits(), synthetic.stats(), permutations=99),
    "LayersResult": synthetic.layers,
    "TaskFigures": synthetic.correlates,
    "CausalCheck": synthetic.causal,
    "Forecast": lambda: fit_predictor(synthetic.matrix(), predictor="additive"),
    "Evaluation": lambda: evaluate_predictors(
        synthetic.matrix(), predictors=["column mean", "additive"], protocols=["cells"]
    ),
    "Decision": lambda: Decision.of(
        [{"task": "imdb", "source": None, "n": 5}],
        level=0.95,
        trained=(),
        sources=("imdb",),
        spent=0.1,
        budget=0.2,
        margin=0.0,
    ),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_every_table_is_flat_and_the_same_in_both_libraries(kind: str) -> None:
    result = RESULTS[kind]()
    assert type(result).__name__ == kind
    for name in result.named_tables():
        one, other = result.to_pandas(name), result.to_polars(name)
        assert isinstance(other, pl.DataFrame) and one.index.equals(pd.RangeIndex(len(one)))
        assert other.columns == list(one.columns) and len(set(one.columns)) == len(one.columns)
        assert other.height == len(one)
        for column in one.columns:
            if one[column].dtype.kind == "f":
                np.testing.assert_array_equal(other[column].to_numpy().astype(float), one[column].to_numpy())


def test_every_result_that_is_shown_and_has_tables_gives_them() -> None:
    import traitscope.belt

    traitscope.belt.BeltFindings  # noqa: B018
    without = {kind.__name__ for kind in Shown.__subclasses__() if not issubclass(kind, Tabular)}
    # The sections are sentences and two numbers.
    assert without <= {"Sections"}


def test_the_tables_of_traits_have_their_names_and_intervals() -> None:
    traits = synthetic.traits()
    loadings = traits.to_pandas("loadings").set_index(["trait", "task"])
    assert loadings.loc[("T2", "mnli"), "loading"] == traits.loadings.loc["T2", "mnli"]
    assert traits.intervals is None or (loadings["low"] <= loadings["high"]).all()
    scores = traits.to_pandas("scores")
    fitted = scores[scores["role"] == "fitted"].pivot(index="model", columns="trait", values="score")
    pd.testing.assert_frame_equal(fitted.loc[list(traits.models)], traits.scores, check_names=False)
    beside = scores[scores["role"] == "projected"].pivot(index="model", columns="trait", values="score")
    assert beside.shape[0] == len(traits.projected.models)
    for p, model in enumerate(traits.projected.models):
        np.testing.assert_array_equal(beside.loc[model], traits.projected.scores_PK[p])
    assert traits.to_pandas("variance")["component"].tolist() == list(range(1, len(traits.null.p_M) + 1))


def test_mappings_in_a_cell_are_json_text() -> None:
    import json

    effects = synthetic.effects()
    text = effects.to_polars("findings")["numbers"].drop_nulls()
    assert len(text) and all(isinstance(json.loads(one), dict) for one in text)


def test_whole_numbers_with_gaps_are_whole_and_other_numbers_stay() -> None:
    frame = pd.DataFrame({"seed": [0.0, np.nan, 2.0], "n": [1.5, np.nan, 2.0]})
    made = with_whole(frame, ("seed", "n"))
    assert made["seed"].dtype == "Int64" and made["seed"].tolist()[::2] == [0, 2]
    assert made["n"].tolist()[::2] == [1.5, 2.0] and made["n"].dtype == "float64"
