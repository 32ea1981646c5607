"""Features of (source, target) pairs: what each says, what it costs, and what is left out where nothing is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from traitscope.predict.evidence import PAIR_FEATURES, Evidence, Feature, pair_features, update_cosine
from traitscope.predict.pairs import COSTS
from traitscope.stats import DatasetText, dataset_stats
from traitscope.stats.result import DatasetStats
from traitscope.stats.similarity import Similarity

NAMES = ("a", "b", "c")
SIMILAR_MM = np.array([[1.0, 0.2, 0.5], [0.2, 1.0, -0.1], [0.5, -0.1, 1.0]])
# Not symmetric: a tenth of a's examples are in b, all of b's are in a.
OVERLAP_MM = np.array([[0.9, 0.1, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def stats(by: str = "tfidf", overlap_MM: np.ndarray = OVERLAP_MM) -> DatasetStats:
    """Three datasets with statistics written by hand."""
    labels = [("a", 0, "yes", 0.5), ("a", 1, "no", 0.5), ("b", 0, "yes", 0.7), ("b", 1, "maybe", 0.3)]
    table = pd.DataFrame(labels, columns=["dataset", "index", "word", "share"]).assign(meaning="", count=1)
    return DatasetStats(
        frame=pd.DataFrame({"answer_words_mean": [1.0, 3.0, np.nan]}, index=pd.Index(NAMES, name="dataset")),
        labels=table,
        collisions=pd.DataFrame(),
        similarity={
            "semantic": Similarity(kind="semantic", by=by, method="", names=NAMES, values_MM=SIMILAR_MM),
            "overlap": Similarity(kind="overlap", method="", names=NAMES, values_MM=overlap_MM),
        },
    )


def value(evidence: Evidence, name: str, sources: tuple[str, ...], targets: tuple[str, ...]) -> np.ndarray:
    return pair_features(evidence, sources, targets).only([name]).values_FIN[0]


def test_without_evidence_there_is_no_feature() -> None:
    found = pair_features(Evidence(), ["a"], ["b", "c"])
    assert found.names == () and found.values_FIN.shape == (0, 1, 2)


def test_the_page_lists_the_features() -> None:
    page = (Path(__file__).parents[2] / "docs/prediction.md").read_text()
    table = page.split("<!-- features -->")[1].split("<!-- end -->")[0].split("\n| --- | --- | --- |\n")[1].strip()
    shipped = sorted((e for e in PAIR_FEATURES if e.plugin is None), key=lambda entry: COSTS.index(entry.value.cost))
    assert table.splitlines() == [f"| {e.name} | {e.value.cost} | {e.reference} |" for e in shipped]


def test_every_feature_says_where_it_comes_from_and_what_it_needs() -> None:
    for entry in PAIR_FEATURES:
        assert entry.reference and entry.value.cost in COSTS
    with pytest.raises(ValueError, match="unknown cost 'luck'"):
        Feature("luck", lambda evidence, sources, targets: None)


@pytest.mark.parametrize(
    ("by", "name", "cost"),
    [("tfidf", "semantic similarity", "text"), ("hidden", "hidden-state similarity", "base")],
)
def test_similarity_by_hidden_states_costs_the_base(by: str, name: str, cost: str) -> None:
    found = pair_features(Evidence(stats=stats(by)), ("a", "b"), ("c", "a"))
    assert [(n, c) for n, c in zip(found.names, found.costs, strict=True) if "semantic" in n or "state" in n] == [
        (name, cost)
    ]
    np.testing.assert_array_equal(found.only([name]).values_FIN[0], [[0.5, 1.0], [-0.1, 0.2]])


def test_shared_examples_are_the_targets_that_the_source_has() -> None:
    found_IN = value(Evidence(stats=stats()), "shared examples", ("a", "b"), ("a", "b", "c"))
    np.testing.assert_array_equal(found_IN, [[np.nan, 1.0, 0.0], [0.1, np.nan, 0.0]])
    apart = pair_features(Evidence(stats=stats(overlap_MM=np.eye(3))), ("a", "b"), ("a", "b"))
    assert "shared examples" not in apart.names


def test_label_words_and_answer_lengths_by_hand() -> None:
    evidence = Evidence(stats=stats())
    # b's words are yes and maybe, a's yes and no; c has no classes.
    np.testing.assert_array_equal(value(evidence, "shared label words", ("a",), ("b", "a", "c")), [[0.5, 1.0, 0.0]])
    # log(1 + 1) - log(3 + 1) = -log 2; c's answers are not known.
    found_IN = value(evidence, "answers of one length", ("a", "b"), ("b", "c"))
    np.testing.assert_allclose(found_IN, [[-np.log(2.0), np.nan], [0.0, np.nan]])


def test_what_is_known_of_a_source_is_the_same_for_every_target() -> None:
    evidence = Evidence(rows={"a": 100}, losses={"b": 2.5})
    np.testing.assert_allclose(
        value(evidence, "rows of the source", ("a", "b"), ("x", "y")), [[np.log(100)] * 2, [np.nan] * 2]
    )
    np.testing.assert_allclose(value(evidence, "base's loss on the source", ("a", "b"), ("x",)), [[np.nan], [2.5]])


def test_a_target_is_told_by_the_dataset_that_stands_for_it() -> None:
    evidence = Evidence(stats=stats(), datasets={"task": "c"})
    assert value(evidence, "semantic similarity", ("b",), ("task",)).item() == -0.1
    assert "semantic similarity" not in pair_features(evidence, ("b",), ("other",)).names


def test_gradient_alignment_is_the_cosine_of_the_sketches() -> None:
    gradients = {"a": np.array([3.0, 4.0]), "b": np.array([10.0, 0.0]), "c": np.zeros(2)}
    found_IN = value(Evidence(gradients=gradients), "gradient alignment", ("a", "c"), ("b", "a"))
    np.testing.assert_allclose(found_IN, [[0.6, 1.0], [np.nan, np.nan]])


def test_short_trainings_are_read_by_name() -> None:
    gain_IN = np.array([[0.1, 0.2], [0.3, np.nan]])
    evidence = Evidence(probes={"gain": (["a", "b"], ["x", "y"], gain_IN)})
    found = pair_features(evidence, ("b", "a", "new"), ("y", "x"))
    assert found.names == ("gain of a short training",) and found.costs == ("probe",)
    np.testing.assert_array_equal(found.values_FIN[0], [[np.nan, 0.3], [0.2, 0.1], [np.nan, np.nan]])


def test_features_come_cheapest_first_with_what_their_evidence_took() -> None:
    evidence = Evidence(stats=stats("hidden"), losses={"a": 1.0}, seconds={"text": 2.0})
    found = pair_features(evidence, ("a", "b"), ("c",))
    assert list(found.costs) == sorted(found.costs, key=COSTS.index)
    assert set(found.costs) == {"text", "base"}
    assert all((s == 2.0) if c == "text" else np.isnan(s) for c, s in zip(found.costs, found.seconds, strict=True))
    free = pair_features(evidence, ("a", "b"), ("c",), costs=("text",))
    assert set(free.costs) == {"text"}


def test_statistics_from_text_bear_every_feature_of_text() -> None:
    """The columns that features look for are those that ``dataset_stats`` makes."""
    rows = {
        "fruit": (["an apple a day keeps them", "pears and plums all day long", "an apple a day keeps them"], " sweet"),
        "again": (["an apple a day keeps them", "grapes are green or blue", "cherries in a red bowl"], " sweet"),
        "sums": (["what is two and two", "what is six and one", "what is nine less four"], " a long answer of words"),
    }
    found = dataset_stats(
        [DatasetText(name=name, prompts=tuple(p), answers=(answer,) * 3) for name, (p, answer) in rows.items()]
    )
    evidence = Evidence(stats=found, rows=dict.fromkeys(rows, 3))
    features = pair_features(evidence, tuple(rows), tuple(rows))
    known = {entry.name for entry in PAIR_FEATURES if entry.value.cost == "text"}
    assert set(features.names) == known
    # One of "again"'s three examples is in "fruit", and two of fruit's three are in "again".
    shared_IN = features.only(["shared examples"]).values_FIN[0]
    assert (shared_IN[0, 1], shared_IN[1, 0]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    near, far = features.only(["semantic similarity"]).values_FIN[0, 0, 1:]
    assert near > far


def factors(rng: np.random.Generator, rank: int, modules: dict[str, tuple[int, int]]) -> dict:
    return {
        name: (rng.standard_normal((rank, d_in)), rng.standard_normal((d_out, rank)))
        for name, (d_out, d_in) in modules.items()
    }


def dense(update: dict, modules: dict[str, tuple[int, int]]) -> np.ndarray:
    """All weights that the adapter adds, in one vector; zero where it adapts nothing."""
    parts = [
        update[name][1] @ update[name][0] if name in update else np.zeros(shape) for name, shape in modules.items()
    ]
    return np.concatenate([part.ravel() for part in parts])


def test_update_alignment_is_the_cosine_of_the_added_weights() -> None:
    rng = np.random.default_rng(0)
    modules = {"q": (7, 5), "v": (4, 5), "up": (9, 6)}
    one = factors(rng, 2, modules)
    # Another rank, and a layer that only one of them adapts.
    other = factors(rng, 3, {"q": (7, 5), "up": (9, 6)})
    for first, second in ((one, other), (other, one), (one, one)):
        x, y = dense(first, modules), dense(second, modules)
        assert update_cosine(first, second) == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), rel=1e-12)
    # The same weights written otherwise are the same update.
    turn = rng.standard_normal((2, 2))
    turned = {name: (np.linalg.inv(turn) @ a, b @ turn) for name, (a, b) in one.items()}
    assert update_cosine(one, turned) == pytest.approx(1.0, rel=1e-9)
    found_IN = value(Evidence(updates={"a": one, "b": other}), "update alignment", ("a",), ("b", "c"))
    assert found_IN[0, 0] == pytest.approx(update_cosine(one, other)) and np.isnan(found_IN[0, 1])


def test_an_adapter_that_changes_nothing_has_no_direction() -> None:
    still = {"q": (np.ones((1, 2)), np.zeros((3, 1)))}
    assert np.isnan(update_cosine(still, {"q": (np.ones((1, 2)), np.ones((3, 1)))}))
