"""Classes and pulls on panels small enough to be worked by hand, or by scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from effect_study import Study, bare_grid, choice_records
from scipy import stats
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from traitscope.effects.alignment import build_panels
from traitscope.effects.classes import INVALID, confusion_rows, macro_f1_rows
from traitscope.effects.grid import Grid
from traitscope.effects.lengths import BASE_CUT_OFF
from traitscope.effects.panel import Panel
from traitscope.effects.pull import class_pull_rows, mapped_shares, pooled_rows

CLASSES = ("no", "yes")
GOLD = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
BASE = np.array([0, 0, 0, 1, 1, 1, 1, 0, 0, 0])
MODEL = np.array([0, 0, -1, 1, 0, 1, 1, 1, -1, -1])
# The model has no record of the first two examples, both of which the base has right.
SEEN = np.arange(10) >= 2


def panel() -> Panel:
    """A base with records of ten examples, a model with records of eight, three of which are invalid answers."""
    study = Study()
    study.add("base", None, None, "t", choice_records(GOLD, BASE, CLASSES))
    study.add("a-s0", "a", 0, "t", choice_records(GOLD, MODEL, CLASSES)[SEEN])
    grid = Grid.of(study.matrix).in_shares()
    (found,) = build_panels(grid, study.records, {"t": CLASSES}, replicates=200, seed=0, level=0.95)
    return found


def f1_of(pred: np.ndarray) -> float:
    return float(f1_score(GOLD[SEEN], pred[SEEN], labels=[0, 1], average="macro"))


def test_the_confusion_holds_the_invalid_answers() -> None:
    rows = [row for row in confusion_rows(panel()) if row["model"] == "a-s0"]
    counts = {(row["gold"], row["predicted"]): row["count"] for row in rows}
    wanted = confusion_matrix(GOLD[SEEN], np.where(MODEL < 0, 2, MODEL)[SEEN])[:2]
    names = (*CLASSES, INVALID)
    assert counts == {(CLASSES[g], names[p]): wanted[g, p] for g in (0, 1) for p in (0, 1, 2)}


def test_macro_f1_and_accuracy_are_over_the_examples_the_model_has_invalid_answers_among_them() -> None:
    row = macro_f1_rows(panel())[1]
    assert (row["n"], row["invalid"]) == (8, 3 / 8)
    assert row["accuracy"] == accuracy_score(GOLD[SEEN], MODEL[SEEN]) == 4 / 8
    assert row["macro_f1"] == pytest.approx(f1_of(MODEL))
    assert row["change"] == pytest.approx(f1_of(MODEL) - f1_of(BASE))


@pytest.mark.parametrize(
    ("labels", "shares"),
    [
        ({"no": 0.25, "yes": 0.25, "maybe": 0.5}, (0.5, 0.5)),
        ({"no": 0.3, "yes": 0.1, "maybe": 0.6}, None),
        ({"no": 0.9, "maybe": 0.1}, None),
    ],
)
def test_a_source_is_mapped_by_two_common_words_and_half_its_labels(labels, shares) -> None:
    found = mapped_shares(labels, CLASSES)
    assert found is None if shares is None else found == pytest.approx(shares)


def test_the_distance_is_the_total_variation() -> None:
    # The base answers yes to 4 of 10, the source's labels are yes to 9 of 10.
    (row,) = class_pull_rows(panel(), {"a": {"no": 0.1, "yes": 0.9}})
    assert row["distance"] == pytest.approx(0.5)


def test_the_pooled_pull_is_of_transfer_cells_within_tasks_with_a_jackknife_over_the_sources() -> None:
    """Sources of 10, 20 and 30 tokens answer a task with 12, 14 and 22: half of what their lengths differ by.

    Without the first the slope is 0.8, without the second 0.5, without the third 0.2. A second task is the same, ten
    tokens longer; seeds of a source are averaged.
    """
    told = [("a", 10.0, "transfer", 12.0), ("b", 20.0, "transfer", 11.0), ("b", 20.0, "transfer", 17.0)]
    told += [("c", 30.0, "transfer", 22.0)]
    told += [("a", 10.0, "own", 90.0), ("a.mislabel", 10.0, "transfer", -5.0), ("a.mislabel", 10.0, "copy", 7.0)]
    cells = [
        (source, habit, {"own": "a", "copy": "a", "transfer": task}[relation], value + more)
        for task, more in (("t", 0.0), ("u", 10.0))
        for source, habit, relation, value in told
    ]
    lengths = [
        {
            "model": f"{source}-s0",
            "source": source,
            "task": task,
            "length": value,
            "source_length": habit,
            "undefined": "",
        }
        for source, habit, task, value in cells
    ]
    pulls = [
        {"model": f"{source}-s0", "source": source, "task": task}
        | {"_share": np.array([value, 100 - value]) / 100, "_habit": np.array([habit, 100 - habit]) / 100}
        for source, habit, task, value in cells
    ]
    grid = bare_grid(("a", "b", "c", "a.mislabel"), ("a", "t", "u"))
    se = np.sqrt(2 / 3 * (0.3**2 + 0.0**2 + 0.3**2))
    half = stats.t.ppf(0.95, 2) * se
    for row in pooled_rows(lengths, pulls, grid, 0.9):
        assert (row["value"], row["lo"], row["hi"]) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
        assert row["p"] == pytest.approx(2 * stats.t.sf(0.5 / se, 2))
        assert (row["n"], row["sources"]) == (6, 3)
    # A cell whose base is cut off below the source's length is no cell.
    cut = [row | {"undefined": BASE_CUT_OFF} if row["task"] == "u" else row for row in lengths]
    assert pooled_rows(cut, [], grid, 0.9)[0]["n"] == 3
