"""Matrices of other base models beside a study, and features that tell sources apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.predict.pairs import PairFeatures
from traitscope.study.forecasting import for_all, joined


def ours() -> ScoreMatrix:
    rows = [{"base": "mine", "model": "base", "source": None, "task": t, "value": 0.5} for t in ("t", "u")]
    rows += [{"base": "mine", "model": f"{s}-s0", "source": s, "task": "t", "value": 0.6} for s in ("a", "b")]
    return ScoreMatrix.from_long(pd.DataFrame(rows).assign(metric="accuracy"), units="fraction")


def theirs(base: str = "other", **changes) -> ScoreMatrix:
    rows = [{"base": base, "model": "untuned", "source": None, "task": "t", "value": 40.0}]
    rows += [
        {"base": base, "model": s, "source": s, "task": task, "value": 70.0} for s in ("a", "z") for task in ("t", "w")
    ]
    return ScoreMatrix.from_long(pd.DataFrame(rows), base="untuned", units=changes.get("units", "percent"))


def test_other_base_models_are_read_in_the_studys_metric_and_unit() -> None:
    found = joined(ours(), [theirs()])
    values = found.to_wide()["t"].to_dict()
    assert [value for name, value in values.items() if "untuned" not in name and "other" in name][-1] == pytest.approx(
        0.7
    )
    assert found.tasks == ("t", "u") and found.metrics["t"] == "accuracy"
    assert sorted(role.kind for role in found.roles_I).count("base") == 2
    assert np.nanmax(found.scores_IN) < 1


@pytest.mark.parametrize(
    ("other", "says"), [(theirs("mine"), "study's own base model"), (theirs(units="other"), "in another unit")]
)
def test_what_cannot_be_set_beside_it_is_refused(other: ScoreMatrix, says: str) -> None:
    with pytest.raises(TraitscopeError, match=says):
        joined(ours(), [other])


def test_a_feature_that_some_sources_lack_is_left_out() -> None:
    values = np.array([[[1.0], [2.0]], [[1.0], [np.nan]]])
    features = PairFeatures(("a", "b"), ("t",), ("full", "part"), ("text", "probe"), values)
    assert for_all(features, ["a", "b"]).names == ("full",)
    assert for_all(features, ["a"]).names == ("full", "part")
