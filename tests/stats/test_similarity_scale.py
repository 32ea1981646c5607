"""Similarities against scikit-learn, and duplicates in samples larger than a block."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import StandardScaler

from traitscope.stats import DatasetText, dataset_stats
from traitscope.stats.duplicates import near_duplicate_share, overlap


def test_hidden_states_are_compared_in_units_of_each_dimensions_spread() -> None:
    """A dimension a hundred times as wide as the others decides no more than they do."""
    rng = np.random.default_rng(0)
    arrays = [
        rng.normal(size=(40, 5)) * [100.0, 1, 1, 1, 1] + rng.normal(size=5) * [30.0, 1, 1, 1, 1] for _ in range(4)
    ]
    data = [
        DatasetText(name=f"d{k}", prompts=("p",) * 40, answers=("a",) * 40, hidden_SD=array)
        for k, array in enumerate(arrays)
    ]
    found = dataset_stats(data, semantic="hidden").similarity["semantic"]
    scaled = StandardScaler().fit_transform(np.concatenate(arrays)).reshape(4, 40, 5)
    means = scaled.mean(axis=1)
    assert found.values_MM == pytest.approx(cosine_similarity(means), abs=1e-9)
    assert abs(found.values_MM - cosine_similarity(np.array(arrays).mean(axis=1))).max() > 0.3


def test_no_text_is_its_own_duplicate_in_a_sample_of_any_size() -> None:
    texts = [f"text number {i} speaks of {i * 7} and {i * 11} things" for i in range(600)]
    assert near_duplicate_share(texts) == 0.0
    # The last 100 stand twice: 200 of 700 have another like them.
    assert near_duplicate_share(texts + texts[500:]) == pytest.approx(200 / 700)
    table = overlap([texts, texts[300:]])
    assert table == pytest.approx(np.array([[0.0, 0.5], [1.0, 0.0]]))


def texts_of(seed: int, words: str, n: int = 30) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(words.split(), 12)) + rng.choice([".", "!", "?"]) for _ in range(n)]


def test_tfidf_is_that_of_scikit_learn() -> None:
    """Log term counts of uni- and bigrams, reduced by SVD, averaged over each dataset's texts."""
    groups = [
        texts_of(k, words) for k, words in enumerate(("a b c a a red", "a b red blue blue", "one two + a", "b b c"))
    ]
    data = [DatasetText(name=f"d{k}", prompts=tuple(g), answers=("x",) * 30) for k, g in enumerate(groups)]
    found = dataset_stats(data, semantic="tfidf").similarity["semantic"].values_MM
    flat = [f"{text}\nx" for group in groups for text in group]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]")
    matrix = vectorizer.fit_transform(flat)
    # All dimensions are kept where there are fewer than the SVD would keep: cosines are then those of the raw vectors.
    assert min(matrix.shape) <= 101
    means = np.array([np.asarray(matrix[30 * k : 30 * k + 30].mean(axis=0))[0] for k in range(4)])
    assert found == pytest.approx(cosine_similarity(means), abs=0.02)


def test_the_ceiling_of_a_dataset_is_the_cosine_of_two_different_halves() -> None:
    rng = np.random.default_rng(1)
    data = [
        DatasetText(name=f"d{k}", prompts=("p",) * 40, answers=("a",) * 40, embeddings_SD=rng.normal(size=(40, 30)) + k)
        for k in range(3)
    ]
    found = dataset_stats(data, semantic="embeddings").similarity["semantic"]
    # Pure noise around 0 agrees by chance alone; around 2 nearly wholly.
    assert abs(found.reliability_M[0]) < 0.6 and found.reliability_M[2] > 0.95
    means = np.array([np.asarray(d.embeddings_SD).mean(axis=0) for d in data])
    assert found.values_MM == pytest.approx(cosine_similarity(means), abs=1e-9)


def test_style_weighs_its_three_groups_alike() -> None:
    """Square roots of rates, standardised over the datasets; every group divided by the root of its features."""
    from traitscope.stats.style import style_features, style_vectors

    groups = [texts_of(k, w) for k, w in enumerate(("the a of cat", "he she it Dog 1", "in on at THE x - y", "you me"))]
    blocks = []
    for name in ("words", "characters", "shape"):
        block = np.array([style_features(texts)[name] for texts in groups])
        block = block if name == "shape" else np.sqrt(block)
        scaled = StandardScaler().fit_transform(block[:, block.std(axis=0) > 1e-12])
        blocks.append(scaled @ scaled.T / scaled.shape[1])
    vectors = style_vectors(groups)
    assert vectors @ vectors.T == pytest.approx(sum(blocks), abs=1e-9)
    features = style_features(["the cat, the dog"])
    assert features["words"][0] == pytest.approx(2 / 4)
    assert features["characters"][1] == pytest.approx(1 / 16)
