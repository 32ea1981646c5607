"""Similarities against scikit-learn, and duplicates in samples larger than a block."""

from __future__ import annotations

import numpy as np
import pytest
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
