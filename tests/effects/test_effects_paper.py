"""The transfer paper's printed confusion matrices (arXiv 2509.13624) give its printed numbers."""

import numpy as np
import pytest
from effect_study import Study, choice_records

from traitscope.effects import measure_effects
from traitscope.metrics.confusion import accuracy, macro_f1, predicted_shares, recalls

FLIPKART = ("negative", "neutral", "positive")
IMDB = ("negative", "positive")
MATRICES = {
    ("imdb", "flipkart"): (FLIPKART, [[219, 1, 32], [65, 4, 48], [50, 93, 1488]]),
    ("pile", "flipkart"): (FLIPKART, [[142, 61, 49], [6, 46, 65], [10, 131, 1490]]),
    ("flipkart_balanced", "imdb"): (IMDB, [[1009, 2], [842, 147]]),
    ("flipkart", "imdb"): (IMDB, [[999, 12], [445, 544]]),
}
SCORES = {
    ("imdb", "flipkart"): (85.55, 0.572),
    ("pile", "flipkart"): (83.90, 0.624),
    ("flipkart_balanced", "imdb"): (57.80, 0.482),
    ("flipkart", "imdb"): (77.15, 0.759),
}


@pytest.mark.parametrize("cell", MATRICES)
def test_accuracy_and_macro_f1_of_the_printed_matrices(cell) -> None:
    counts = np.array(MATRICES[cell][1])
    assert 100 * float(accuracy(counts)) == pytest.approx(SCORES[cell][0], abs=1e-9)
    assert float(macro_f1(counts)) == pytest.approx(SCORES[cell][1], abs=5e-4)


def test_neutral_recall_and_predicted_negative_shares_of_the_printed_matrices() -> None:
    neutral = [100 * recalls(MATRICES[s, "flipkart"][1])[1] for s in ("imdb", "pile")]
    assert neutral == pytest.approx([3.4, 39.3], abs=0.05)
    negative = [predicted_shares(MATRICES[s, "imdb"][1])[0] for s in ("flipkart_balanced", "flipkart")]
    assert negative == pytest.approx([0.926, 0.722], abs=6e-4)


def expand(counts) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(g, p) for g, row in enumerate(counts) for p, n in enumerate(row) for _ in range(n)]
    return np.array([g for g, _ in pairs]), np.array([p for _, p in pairs])


def test_the_effects_report_the_same_numbers_from_example_records() -> None:
    study = Study()
    for task, classes in (("flipkart", FLIPKART), ("imdb", IMDB)):
        cells = {source: counts for (source, t), (_, counts) in MATRICES.items() if t == task}
        gold = expand(next(iter(cells.values())))[0]
        study.add("base", None, None, task, choice_records(gold, np.zeros_like(gold), classes))
        for source, counts in cells.items():
            study.add(f"{source}-s0", source, 0, task, choice_records(*expand(counts), classes))
    effects = measure_effects(study.matrix, study.records, classes={"flipkart": FLIPKART, "imdb": IMDB})
    f1 = effects.tables["macro_f1"].set_index(["source", "task"])
    for cell, (percent, value) in SCORES.items():
        assert 100 * f1.loc[cell, "accuracy"] == pytest.approx(percent, abs=1e-9)
        assert f1.loc[cell, "macro_f1"] == pytest.approx(value, abs=5e-4)
        change = f1.loc[cell, ["change_lo", "change", "change_hi"]]
        assert change.is_monotonic_increasing and change.is_unique
    shares = effects.tables["classes"].set_index(["source", "task", "class"])
    assert shares.loc[("imdb", "flipkart", "neutral"), "recall"] == pytest.approx(0.034, abs=5e-4)
    assert shares.loc[("flipkart_balanced", "imdb", "negative"), "share"] == pytest.approx(0.926, abs=6e-4)
    assert shares.loc[("flipkart", "imdb", "negative"), "gold_share"] == pytest.approx(1011 / 2000)
