import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.registry import Registry
from traitscope.stats import (
    STATISTICS,
    DatasetStats,
    DatasetText,
    dataset_stats,
    dependency_profile,
    dependency_tags,
    load_spacy,
    reference_table,
    statistic,
)
from traitscope.stats.duplicates import near_duplicate_share, nearest_jaccard, shingle_matrix, shingles
from traitscope.stats.labels import label_collisions, label_words
from traitscope.stats.text import words

WORDS = words("the small old film was good bad slow bright he she saw a dog and it ran home in rain")


def sentences(n: int, seed: int, extra: str = "") -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 12)) + f". {extra}" for _ in range(n)]


def reviews(name: str = "reviews", n: int = 60, classes=(" negative", " positive"), seed: int = 0) -> DatasetText:
    labels = tuple(int(k % 4 == 0) for k in range(n))
    return DatasetText(
        name=name,
        prompts=tuple(sentences(n, seed, "Sentiment:")),
        answers=tuple(classes[label] for label in labels),
        classes=classes,
    )


def one_row(**options) -> DatasetText:
    return DatasetText(name="d", prompts=("a",), answers=("b",), **options)


def sums(name: str = "sums", n: int = 60) -> DatasetText:
    return DatasetText(
        name=name,
        prompts=tuple(f"What is {k} + {k + 3}?" for k in range(n)),
        answers=tuple(f" {2 * k + 3}" for k in range(n)),
    )


def test_statistics_of_a_small_dataset_by_hand() -> None:
    data = DatasetText(
        name="d",
        prompts=("a b c", "a b", "a b"),
        answers=(" yes", " no", " no"),
        classes=(" yes", " no"),
        answer_loss_S=np.array([1.0, 2.0, 3.0]),
    )
    row = dataset_stats([data], str.split).frame.loc["d"]
    entropy = -(1 / 3) * math.log2(1 / 3) - (2 / 3) * math.log2(2 / 3)
    expected = {
        "n_examples": 3,
        "n_classes": 2,
        "label_entropy": entropy,
        "label_evenness": entropy,
        "majority_share": 2 / 3,
        "imbalance_ratio": 2,
        "distinct_answers": 2 / 3,
        "prompt_words_mean": 7 / 3,
        "prompt_tokens_q50": 2,
        "answer_tokens_mean": 1,
        "exact_duplicates": 1 / 3,
        "near_duplicates": 2 / 3,
        "answer_loss": 2,
        "label_collisions": 0,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert math.isnan(row["prompt_mattr"])
    assert math.isnan(row["prompt_flesch_kincaid"])


def test_what_is_not_given_is_missing_and_said_so() -> None:
    stats = dataset_stats([sums()])
    assert stats.frame["answer_tokens_mean"].isna().all()
    assert stats.frame[["n_classes", "label_entropy", "answer_loss"]].isna().all().all()
    text = " ".join(stats.notes)
    assert all(part in text for part in ("no tokenizer", "answer loss is missing for: sums", "spaCy", "three datasets"))


def test_every_registered_statistic_has_unit_definition_reference_and_a_column() -> None:
    assert isinstance(STATISTICS, Registry)
    frame = dataset_stats([reviews(), sums()], str.split).frame
    assert list(frame.columns) == list(STATISTICS.names())
    assert all(e.value.unit and e.value.definition.endswith(".") and e.reference for e in STATISTICS)
    assert 12 <= sum(e.value.core for e in STATISTICS) <= 20


def test_the_documentation_lists_the_registry_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text()
    assert reference_table() in page


def test_a_new_statistic_is_one_decorated_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STATISTICS, "_entries", dict(STATISTICS._entries))

    @statistic("question_marks", "share", "Share of prompts with a question mark.")
    def question_marks(prepared):
        return sum("?" in prompt for prompt in prepared.data.prompts) / len(prepared.data.prompts)

    assert dataset_stats([sums(), reviews()]).frame["question_marks"].tolist() == [1.0, 0.0]


def test_labels_that_collide_are_found_and_told_apart() -> None:
    def data(name, classes, meanings=None):
        return DatasetText(
            name=name,
            prompts=("p",) * 2,
            answers=classes[:2],
            classes=classes,
            labels=(0, 1),
            meanings=meanings,
        )

    tables = {
        "shared": (data("a", ("negative", "positive")), data("b", ("Negative ", "positive"))),
        "index": (data("a", ("negative", "positive")), data("b", ("negative", "neutral", "positive"))),
        "bare": (data("a", ("0", "1")), data("b", ("0", "1"))),
        "meaning": (
            data("a", ("yes", "no"), ("entailed", "not")),
            data("b", ("yes", "no"), ("toxic", "fine")),
        ),
    }
    for kind, pair in tables.items():
        found = label_collisions(label_words(pair))
        assert kind in set(found["kind"])
        assert found.loc[found["kind"] == kind, "collides"].eq(kind != "shared").all()
    same = (data("a", ("0", "1"), ("bad", "good")), data("b", ("0", "1"), ("bad", "good")))
    assert set(label_collisions(label_words(same))["kind"]) == {"shared"}


def test_zero_that_is_positive_here_and_negative_there_is_a_collision() -> None:
    a = reviews("a", classes=("0", "1"))
    b = reviews("b", classes=("1", "0"), seed=1)
    stats = dataset_stats([a, b], str.split)
    assert stats.frame["label_collisions"].tolist() == [2.0, 2.0]
    assert "label '0': class 0 of a, class 1 of b (bare)" in stats.render()


def test_nearest_jaccard_equals_pairwise_set_arithmetic() -> None:
    texts = [*sentences(30, 3), sentences(30, 3)[0]]
    sets = [shingles(t) for t in texts]
    slow = [max(len(a & b) / len(a | b) for j, b in enumerate(sets) if j != i) for i, a in enumerate(sets)]
    assert nearest_jaccard(shingle_matrix(texts, {})) == pytest.approx(slow, abs=1e-6)


def test_near_duplicates_are_counted_and_one_changed_word_in_forty_is_one() -> None:
    rng = np.random.default_rng(0)
    long = [" ".join(f"w{t}" for t in rng.integers(0, 5000, 40)) for _ in range(20)]
    changed = " ".join(["new", *long[0].split()[1:]])
    assert near_duplicate_share(long) == 0.0
    assert near_duplicate_share([*long, changed]) == pytest.approx(2 / 21)


def test_semantic_similarity_puts_like_with_like_and_overlap_finds_shared_rows() -> None:
    stats = dataset_stats([reviews("a"), reviews("b", seed=1), reviews("c"), sums()], str.split)
    semantic = stats.similarity["semantic"].frame
    assert np.allclose(semantic, semantic.T) and np.allclose(np.diag(semantic), 1.0)
    assert semantic.loc["a", "b"] > 0.8 > 0.3 > semantic.loc["a", "sums"]
    overlap = stats.similarity["overlap"].frame
    assert (overlap.loc["a", "c"], overlap.loc["a", "b"]) == (1.0, 0.0)
    style = stats.similarity["style"].frame
    assert style.loc["a", "b"] > 0.5 > style.loc["a", "sums"]


def test_style_does_not_see_the_topic_and_semantics_does() -> None:
    frame = [
        "the {} was not very {}, but I liked it.",
        "Is the {} as {} as they say?",
        "He saw a {} and it was {}.",
    ]
    topics = {"a": ["film", "slow"], "b": ["soup", "salty"]}
    data = []
    for name, fill in topics.items():
        prompts = tuple(frame[k % 3].format(*fill) for k in range(60))
        data.append(DatasetText(name=name, prompts=prompts, answers=("x",) * 60))
    data.append(sums())
    stats = dataset_stats(data, str.split)
    assert stats.similarity["style"].frame.loc["a", "b"] > 0.85
    assert stats.similarity["semantic"].frame.loc["a", "b"] < 0.75


def test_given_arrays_take_the_place_of_tfidf() -> None:
    rng = np.random.default_rng(0)
    # One huge common dimension, as hidden states have: raw cosines would all be near 1.
    centres = np.array([[3.0, 0, 0], [3.0, 0.5, 0], [0, 0, 3.0]])
    data = []
    for k, name in enumerate("abc"):
        hidden = np.hstack([np.full((50, 1), 1000.0) + rng.normal(size=(50, 1)), rng.normal(size=(50, 3)) + centres[k]])
        prompts = tuple(f"{name} {i % 7}" for i in range(50))
        data.append(DatasetText(name=name, prompts=prompts, answers=("x",) * 50, hidden_SD=hidden))
    similarity = dataset_stats(data).similarity["semantic"]
    assert similarity.by == "hidden" and similarity.label == "semantic similarity (hidden states)"
    assert dataset_stats(data, semantic="tfidf").similarity["semantic"].by == "tfidf"
    assert dataset_stats(data[:2]).similarity["semantic"].by == "tfidf"
    assert similarity.frame.loc["a", "b"] > 0.5 > 0 > similarity.frame.loc["a", "c"]
    assert (similarity.reliability_M > 0.8).all()
    with pytest.raises(TraitscopeError, match="has no embeddings array"):
        dataset_stats(data, semantic="embeddings")


def test_examples_become_a_dataset_with_the_classes_they_share() -> None:
    rows = [Example(id=str(k), prompt="p", answer=" b", options=(" a", " b"), gold=1) for k in range(3)]
    data = DatasetText.from_examples("d", rows)
    assert (data.classes, data.labels) == ((" a", " b"), (1, 1, 1))
    mixed = [*rows, Example(id="x", prompt="p", answer=" c", options=(" c", " d"), gold=0)]
    assert DatasetText.from_examples("d", mixed).classes is None


def test_statistics_come_back_from_json_and_parquet(tmp_path: Path) -> None:
    stats = dataset_stats([reviews(), sums(), reviews("c", classes=("0", "1"))], str.split)
    again = DatasetStats.from_json(stats.to_json())
    assert again.to_json() == stats.to_json()
    pd.testing.assert_frame_equal(again.frame, stats.frame)
    stats.to_parquet(tmp_path / "stats.parquet")
    table = pd.read_parquet(tmp_path / "stats.parquet")
    assert list(table["dataset"]) == ["reviews", "sums", "c"]
    assert json.loads(stats.to_json())["statistics"]["sums"]["n_classes"] is None


def test_the_same_seed_gives_the_same_bytes() -> None:
    data = [reviews(n=300), sums(n=300), reviews("c", n=300, seed=4)]
    assert dataset_stats(data, sample=100).to_json() == dataset_stats(data, sample=100).to_json()


def test_statistics_of_another_version_are_not_read() -> None:
    with pytest.raises(ValueError, match="format 0 of dataset statistics is not 1: compute them again"):
        DatasetStats.from_json('{"format": 0}')


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DatasetText(name="d", prompts=(), answers=()), "has no examples"),
        (lambda: DatasetText(name="d", prompts=("a",), answers=()), "1 prompts but 0 answers"),
        (lambda: one_row(classes=("b",), labels=(1,)), "outside 0..0"),
        (lambda: one_row(classes=("b",), labels=(0, 0)), "2 labels for 1"),
        (lambda: one_row(classes=("b",), meanings=()), "0 meanings"),
        (lambda: dataset_stats([sums(), sums()]), "every name once"),
        (lambda: dataset_stats([sums()], semantic="magic"), "unknown way"),
    ],
)
def test_user_errors_say_what_to_do(make, message: str) -> None:
    with pytest.raises(TraitscopeError, match=message) as caught:
        make()
    assert caught.value.fix


@dataclass
class Token:
    dep_: str
    is_space: bool = False


class FakeParser:
    """Stands in for a spaCy pipeline: the first word is the root, the others objects."""

    def pipe(self, texts):
        for text in texts:
            yield [Token("ROOT" if k == 0 else "dobj") for k, _ in enumerate(text.split())] + [Token("", True)]


def test_dependency_profile_counts_relations_and_leaves_out_space() -> None:
    frame = dependency_profile({"a": ["x y z"], "b": ["x"]}, FakeParser())
    assert frame.loc["a"].to_dict() == pytest.approx({"ROOT": 1 / 3, "dobj": 2 / 3})
    assert frame.loc["b"].to_dict() == {"ROOT": 1.0, "dobj": 0.0}
    assert dependency_tags(["x y", "x"], FakeParser()) == ["ROOT|dobj", "ROOT"]
    stats = dataset_stats([reviews(), sums()], spacy=FakeParser())
    assert stats.dependencies is not None and list(stats.dependencies.index) == ["reviews", "sums"]


def test_spacy_that_is_absent_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(TraitscopeError, match=r"traitscope\[spacy\]"):
        load_spacy()


def test_a_spacy_model_that_is_absent_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        @staticmethod
        def load(name, **_):
            raise OSError(f"no {name}")

    monkeypatch.setitem(sys.modules, "spacy", Module)
    with pytest.raises(TraitscopeError, match="spacy download my_model"):
        load_spacy("my_model")
