"""Metrics agree with scikit-learn, lm-evaluation-harness and fractions worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from traitscope.metrics import METRICS, MetricValue, Outcomes, confusion_matrix, normalise_answer, score
from traitscope.metrics.base import mean_and_stderr
from traitscope.metrics.classes import mcc_of
from traitscope.metrics.confusion import macro_f1
from traitscope.metrics.text import token_f1

ABC = ("a", "b", "c")


def outcomes(
    gold: list[str],
    pred: list[str | None],
    *,
    references: list[tuple[str, ...]] | None = None,
    classes: tuple[str, ...] | None = ABC,
) -> Outcomes:
    return Outcomes(
        gold=tuple(gold),
        pred=tuple(pred),
        pred_norm=tuple(reversed(pred)),
        references=tuple(references or [(g,) for g in gold]),
        loss_S=np.arange(len(gold), dtype=np.float64),
        classes=classes,
        right=tuple((p == g,) * 128 for p, g in zip(pred, gold, strict=True)),
    )


def measure(name: str, case: Outcomes) -> MetricValue:
    return score(METRICS.get(name).value, case)


def random_cases() -> list[tuple[list[str], list[str | None]]]:
    rng = np.random.default_rng(5)
    cases: list[tuple[list[str], list[str | None]]] = []
    for weights in ([0.4, 0.3, 0.3], [0.85, 0.1, 0.05], [0.5, 0.5, 0.0]):
        gold = [str(g) for g in rng.choice(ABC, 120, p=weights)]
        pred: list[str | None] = [g if rng.random() < 0.6 else str(rng.choice(ABC)) for g in gold]
        cases += [(gold, pred), (gold, [None if rng.random() < 0.15 else p for p in pred])]
    return cases


@pytest.mark.parametrize("case", range(6))
def test_class_metrics_agree_with_scikit_learn(case: int) -> None:
    from sklearn import metrics as sklearn

    gold, pred = random_cases()[case]
    theirs = ["(invalid)" if p is None else p for p in pred]
    there = sorted((set(gold) | set(theirs)) - {"(invalid)"})
    ours = outcomes(gold, pred)
    assert measure("accuracy", ours).value == pytest.approx(sklearn.accuracy_score(gold, theirs), abs=1e-12)
    f1 = sklearn.f1_score(gold, theirs, labels=there, average="macro", zero_division=0)
    assert measure("macro_f1", ours).value == pytest.approx(f1, abs=1e-12)
    assert measure("mcc", ours).value == pytest.approx(sklearn.matthews_corrcoef(gold, theirs), abs=1e-12)


@pytest.mark.parametrize(("name", "measured"), [("macro_f1", macro_f1), ("mcc", mcc_of)])
def test_the_jackknife_is_the_plain_one_over_every_example(name: str, measured: object) -> None:
    gold, pred = random_cases()[3]
    left_out = [
        measured(confusion_matrix(gold[:i] + gold[i + 1 :], pred[:i] + pred[i + 1 :], ABC))  # type: ignore[operator]
        for i in range(len(gold))
    ]
    n = len(gold)
    plain = math.sqrt((n - 1) / n * sum((v - np.mean(left_out)) ** 2 for v in left_out))
    assert measure(name, outcomes(gold, pred)).stderr == pytest.approx(plain, rel=1e-9)


def test_the_jackknife_is_near_the_bootstrap() -> None:
    gold, pred = random_cases()[0]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(400):
        index = rng.integers(len(gold), size=len(gold))
        drawn.append(macro_f1(confusion_matrix([gold[i] for i in index], [pred[i] for i in index], ABC)))
    stderr = measure("macro_f1", outcomes(gold, pred)).stderr
    assert stderr == pytest.approx(float(np.std(drawn, ddof=1)), rel=0.15)


def test_the_standard_error_of_a_mean_is_the_harness_one() -> None:
    values = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    by_hand = math.sqrt(0.6 * 0.4 / 4)
    assert mean_and_stderr(values).stderr == pytest.approx(by_hand, abs=1e-15)
    from lm_eval.api import metrics as harness

    assert mean_and_stderr(values).stderr == pytest.approx(harness.mean_stderr(values.tolist()), abs=1e-15)


def test_one_example_has_no_standard_error() -> None:
    for name in ("accuracy", "macro_f1", "mcc", "loss"):
        assert measure(name, outcomes(["a"], ["a"])).stderr is None


def test_an_invalid_answer_is_wrong_and_counted() -> None:
    case = outcomes(["a", "a", "b", "c"], ["a", None, "b", None])
    assert measure("accuracy", case).value == 0.5
    assert measure("accuracy", case).n == 4
    assert confusion_matrix(case.gold, case.pred, ABC).tolist() == [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]]
    # F1: a 2/3 (one of two found), b 1, c 0.
    assert measure("macro_f1", case).value == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_one_class_answers_have_no_correlation() -> None:
    assert measure("mcc", outcomes(["a", "b", "a"], ["a", "a", "a"])).value == 0.0


def test_a_perfect_and_an_inverted_answer_span_the_range_of_mcc() -> None:
    gold = ["a", "b"] * 5
    assert measure("mcc", outcomes(gold, list(gold), classes=("a", "b"))).value == pytest.approx(1.0)
    flipped: list[str | None] = ["b", "a"] * 5
    assert measure("mcc", outcomes(gold, flipped, classes=("a", "b"))).value == pytest.approx(-1.0)


# Confusion matrices, accuracies in % and macro-F1 as arXiv 2509.13624 prints them.
PAPER = {
    "IMDB adapter on Flipkart": ([[219, 1, 32], [65, 4, 48], [50, 93, 1488]], 85.55, 0.572),
    "Pile adapter on Flipkart": ([[142, 61, 49], [6, 46, 65], [10, 131, 1490]], 83.90, 0.624),
    "balanced Flipkart adapter on IMDB": ([[1009, 2], [842, 147]], 57.80, 0.482),
    "Flipkart adapter on IMDB": ([[999, 12], [445, 544]], 77.15, 0.759),
}


@pytest.mark.parametrize("cell", PAPER)
def test_the_papers_confusion_matrices_give_its_accuracies_and_f1(cell: str) -> None:
    printed, accuracy, f1 = PAPER[cell]
    square = np.array(printed, dtype=np.int64)
    confusion = np.hstack([square, np.zeros((len(square), 1), dtype=np.int64)])
    assert 100 * np.trace(square) / square.sum() == pytest.approx(accuracy, abs=0.005)
    assert macro_f1(confusion) == pytest.approx(f1, abs=0.0005)


@pytest.mark.parametrize(
    ("pred", "reference", "expected"),
    [
        ("the cat sat", "a cat sat down", 4 / 5),  # cat sat | cat sat down: 2 * 2 / (2 + 3)
        ("Paris.", "paris", 1.0),
        ("London", "Paris", 0.0),
        ("red red blue", "red blue blue", 4 / 6),
        ("the", "a", 1.0),
        ("the", "cat", 0.0),
    ],
)
def test_token_f1_by_hand(pred: str, reference: str, expected: float) -> None:
    assert token_f1(pred, reference) == pytest.approx(expected, abs=1e-12)


def test_answers_are_normalised_as_squad_does() -> None:
    assert normalise_answer("  The U.S.A., an  example! ") == "usa example"


def test_the_best_reference_counts() -> None:
    case = outcomes(["x"], ["December 1972"], references=[("14 December 1972", "december 1972")], classes=None)
    assert measure("exact_match", case).value == 0.0
    assert measure("quasi_exact_match", case).value == 1.0
    assert measure("token_f1", case).value == 1.0


@pytest.mark.parametrize(
    ("pred", "reference", "same"),
    [("72", "72.0", 1.0), ("$1,000", "1000", 1.0), ("-5", "5", 0.0), ("none", "5", 0.0), ("so 3 + 4 = 7", "7", 1.0)],
)
def test_numbers_match_by_value(pred: str, reference: str, same: float) -> None:
    assert measure("number_match", outcomes(["x"], [pred], references=[(reference,)], classes=None)).value == same


def test_loss_is_the_mean_over_examples_and_falls() -> None:
    value = measure("loss", outcomes(["a", "b", "c"], ["a", "b", "c"]))
    assert (value.value, value.stderr) == (1.0, pytest.approx(1 / math.sqrt(3)))
    assert not METRICS.get("loss").value.higher_is_better


@pytest.mark.parametrize("entry", list(METRICS), ids=lambda e: e.name)
def test_every_metric_keeps_its_range_and_says_where_it_comes_from(entry: object) -> None:
    metric = entry.value  # type: ignore[attr-defined]
    assert entry.reference and entry.version >= 1  # type: ignore[attr-defined]
    assert (metric.values is None) != (metric.corpus is None)
    for gold, pred in random_cases():
        value = score(metric, outcomes(gold, pred))
        assert metric.low <= value.value <= metric.high
        assert value.n == len(gold) and value.stderr is not None and value.stderr >= 0
