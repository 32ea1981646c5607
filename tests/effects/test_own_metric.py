"""A cell has one metric: number, interval, p and sentence are all of the task's first one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from effect_study import Study, choice_records
from sklearn.metrics import f1_score, matthews_corrcoef

from traitscope.effects import measure_effects
from traitscope.matrix import ScoreMatrix
from traitscope.metrics import METRICS, Metric, MetricValue
from traitscope.metrics.classes import mcc_of
from traitscope.metrics.confusion import count_codes, macro_f1

CLASSES = ("no", "open", "yes")


def macro(gold: np.ndarray, pred: np.ndarray) -> float:
    return float(f1_score(gold, pred, labels=np.union1d(gold, pred[pred >= 0]), average="macro"))


def study_of(gold: np.ndarray, base: np.ndarray, ours: np.ndarray, metric: str, score) -> tuple[ScoreMatrix, dict]:
    study = Study()
    for model, source, pred in (("base", None, base), ("a-s0", "a", ours)):
        study.add(model, source, 0 if source else None, "t", choice_records(gold, pred, CLASSES))
    rows = [
        {**row, "metric": metric, "value": score(gold, pred)}
        for row, pred in zip(study.rows, (base, ours), strict=True)
    ]
    return ScoreMatrix.from_long(pd.DataFrame(rows), units="fraction"), study.records


@pytest.mark.parametrize(("metric", "score"), [("macro_f1", macro), ("mcc", matthews_corrcoef)])
def test_the_gain_is_of_the_first_metric_and_its_p_that_of_every_swap(metric: str, score) -> None:
    draw = np.random.default_rng(3)
    gold, base = draw.integers(0, 3, 40), draw.integers(0, 3, 40)
    ours = base.copy()
    ours[:9] = (gold[:9] + (np.arange(9) > 6)) % 3
    matrix, records = study_of(gold, base, ours, metric, score)
    row = measure_effects(matrix, records, classes={"t": CLASSES}).of_kind("gain").iloc[0]
    gain = score(gold, ours) - score(gold, base)
    assert row["value"] == pytest.approx(gain)
    assert row["numbers"]["metric"] == metric and row["lo"] < gain < row["hi"]
    # Every way of swapping the answers that differ.
    at = np.flatnonzero(ours != base)
    assert len(at) <= 9
    reached = 0
    for swaps in product((False, True), repeat=len(at)):
        one, two = ours.copy(), base.copy()
        swapped = at[list(swaps)]
        one[swapped], two[swapped] = base[swapped], ours[swapped]
        reached += abs(score(gold, one) - score(gold, two)) >= abs(gain) - 1e-12
    assert row["p"] == pytest.approx(reached / 2 ** len(at), abs=0.01)


def test_the_interval_of_macro_f1_is_that_of_resampled_examples() -> None:
    draw = np.random.default_rng(5)
    gold = draw.integers(0, 3, 150)
    base, ours = (np.where(draw.random(150) < share, gold, draw.integers(0, 3, 150)) for share in (0.2, 0.6))
    matrix, records = study_of(gold, base, ours, "macro_f1", macro)
    row = measure_effects(matrix, records, classes={"t": CLASSES}).of_kind("gain").iloc[0]
    resampled = []
    for _ in range(500):
        at = draw.integers(0, 150, 150)
        resampled.append(macro(gold[at], ours[at]) - macro(gold[at], base[at]))
    assert [row["lo"], row["hi"]] == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.015)


def test_macro_f1_stands_beside_another_first_metric_and_not_twice() -> None:
    draw = np.random.default_rng(1)
    gold, base, ours = (draw.integers(0, 3, 60) for _ in range(3))
    accuracy, records = study_of(gold, base, ours, "accuracy", lambda g, p: float((g == p).mean()))
    kinds = set(measure_effects(accuracy, records, classes={"t": CLASSES}).findings["kind"])
    assert {"gain", "macro_f1"} <= kinds
    first, records = study_of(gold, base, ours, "macro_f1", macro)
    effects = measure_effects(first, records, classes={"t": CLASSES})
    assert "macro_f1" not in set(effects.findings["kind"])
    # The heat map's number and the finding's are one.
    assert effects.of_kind("gain")["value"].iloc[0] == pytest.approx(float(first.gains().values_IN[1, 0]))
    assert "a-s0 on t: macro_f1 " in effects.sentences(effects.of_kind("gain")).iloc[0]


def test_a_metric_of_all_answers_that_no_confusion_matrix_gives_is_not_tested_on_hits(monkeypatch) -> None:
    made = Metric(
        forms=frozenset({"choice"}), higher_is_better=True, low=0.0, high=1.0,
        corpus=lambda outcomes: MetricValue(0.5, 0.1, len(outcomes.gold)),
    )  # fmt: skip
    monkeypatch.setattr(METRICS, "_entries", {**METRICS._entries}, raising=True)
    METRICS.register("whole", version=1, reference="nobody")(made)
    gold = np.arange(60) % 3
    matrix, records = study_of(
        gold, np.zeros(60, dtype=int), gold, "whole", lambda g, p: 0.5 + 0.2 * float((g == p).all())
    )
    row = measure_effects(matrix, records, classes={"t": CLASSES}).of_kind("gain").iloc[0]
    # The matrix's own numbers: forty examples won are not what the metric says.
    assert row["value"] == pytest.approx(0.2) and row["numbers"]["won"] is None


def test_mcc_of_a_stack_is_scikit_learns_one_by_one() -> None:
    draw = np.random.default_rng(2)
    stack, wanted = [], []
    for _ in range(20):
        gold, pred = draw.integers(0, 4, 30), draw.integers(0, 4, 30)
        stack.append(count_codes(gold, pred, 4))
        wanted.append(matthews_corrcoef(gold, pred))
    np.testing.assert_allclose(mcc_of(np.array(stack)), wanted, atol=1e-12)
    assert mcc_of(np.array([[3, 0, 0], [2, 0, 0]])) == 0.0
    assert macro_f1(np.array(stack)).shape == (20,)
