"""Small parts of the effects against scikit-learn and plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from effect_study import random_study
from sklearn.metrics import f1_score

from traitscope.effects.grid import Grid
from traitscope.effects.panel import build_panels
from traitscope.effects.ridge import leave_one_out_ridge
from traitscope.metrics.confusion import confusion_matrix, macro_f1


def test_a_class_that_does_not_occur_is_no_part_of_macro_f1() -> None:
    gold, pred = list("aababb"), list("ababbb")
    found = float(macro_f1(confusion_matrix(gold, pred, ("a", "b", "c"))))
    assert found == pytest.approx(f1_score(gold, pred, average="macro"))


def test_replicates_of_a_mean_are_means_over_as_many_examples() -> None:
    study = random_study(("c", "d"), ("a",), 50, np.random.default_rng(0))
    grid = Grid.of(study.matrix).in_shares()
    (panel,) = build_panels(grid, study.records, replicates=400, seed=0, level=0.95)
    ones = np.ones_like(panel.correct_MS)
    assert panel.means(ones) == pytest.approx(np.ones((400, len(panel.rows))))
    gaps = panel.correct_MS.copy()
    gaps[:, 7] = np.nan
    weights = panel.weights_RS.astype(float)
    for values in (panel.correct_MS, gaps):
        known = np.isfinite(values[0])
        wanted = weights[:, known] @ values[:, known].T / weights[:, known].sum(axis=1)[:, None]
        assert panel.means(values) == pytest.approx(wanted, rel=1e-5)


def test_r2_compares_with_the_mean_of_the_other_rows() -> None:
    rng = np.random.default_rng(1)
    features, outcomes = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    outcomes[:, 0] += 3 * features[:, 0]
    found = leave_one_out_ridge(features, outcomes)
    others = np.array([np.delete(outcomes, i, axis=0).mean(axis=0) for i in range(9)])
    wanted = 1 - ((outcomes - found.predictions_IQ) ** 2).sum(axis=0) / ((outcomes - others) ** 2).sum(axis=0)
    assert found.r2_Q == pytest.approx(wanted) and found.r2_Q[0] > 0.5
