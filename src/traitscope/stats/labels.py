"""Label words of datasets, and where two datasets use one word for different things."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.stats.datasets import DatasetText

# A bare number or single letter says nothing about its class: 0 is positive here and negative there.
_BARE = re.compile(r"^[\[(]?(?:\d+|[A-Za-z])[\])]?[.:]?$")

COLLISION_KINDS = {
    "shared": "same word, same index, same meaning: no collision",
    "index": "same word and meaning, another class index: a trap for code that compares indices",
    "meaning": "same word, declared to mean something else",
    "bare": "a bare number or letter that both use and whose meaning is not declared the same",
}


def normal_word(word: str) -> str:
    """A label word as it is compared between datasets: without outer white space, lower case."""
    return word.strip().lower()


def entropy_bits(shares_C: NDArray[np.floating]) -> float:
    """Shannon entropy of class shares, in bits."""
    positive = np.asarray(shares_C, dtype=float)[np.asarray(shares_C) > 0]
    return float(-(positive * np.log2(positive)).sum()) + 0.0


def label_words(datasets: Sequence[DatasetText]) -> pd.DataFrame:
    """One row per dataset and class: ``dataset, index, word (stripped), meaning, count, share``."""
    rows = []
    for data in datasets:
        if data.classes is None or data.labels is None:
            continue
        counts = np.bincount(data.labels, minlength=len(data.classes))
        for index, word in enumerate(data.classes):
            rows.append(
                {
                    "dataset": data.name,
                    "index": index,
                    "word": word.strip(),
                    "meaning": data.meanings[index] if data.meanings else None,
                    "count": int(counts[index]),
                    "share": float(counts[index] / counts.sum()),
                }
            )
    return pd.DataFrame(rows, columns=["dataset", "index", "word", "meaning", "count", "share"])


def label_collisions(labels: pd.DataFrame) -> pd.DataFrame:
    """Words that two datasets have in common, and whether they collide.

    Args:
        labels: the table of :func:`label_words`.

    Returns:
        One row per word and pair of datasets: ``word, dataset_a, index_a, meaning_a, dataset_b, index_b,
        meaning_b, kind, collides``; kinds are in :data:`COLLISION_KINDS`; all but ``shared`` collide.
    """
    rows = []
    by_word: dict[str, list[dict]] = {}
    for row in labels.to_dict("records"):
        by_word.setdefault(normal_word(str(row["word"])), []).append(row)
    for word, users in by_word.items():
        for a, b in combinations(users, 2):
            if a["dataset"] == b["dataset"]:
                continue
            # A table in which some meanings are declared holds NaN for the others.
            meanings = [normal_word(m) if isinstance(m, str) else None for m in (a["meaning"], b["meaning"])]
            if all(meanings) and meanings[0] != meanings[1]:
                kind = "meaning"
            elif _BARE.match(word) and not (all(meanings) and meanings[0] == meanings[1]):
                kind = "bare"
            else:
                kind = "shared" if a["index"] == b["index"] else "index"
            rows.append(
                {
                    "word": word,
                    "dataset_a": a["dataset"],
                    "index_a": a["index"],
                    "meaning_a": a["meaning"],
                    "dataset_b": b["dataset"],
                    "index_b": b["index"],
                    "meaning_b": b["meaning"],
                    "kind": kind,
                    "collides": kind != "shared",
                }
            )
    columns = [
        "word",
        "dataset_a",
        "index_a",
        "meaning_a",
        "dataset_b",
        "index_b",
        "meaning_b",
        "kind",
        "collides",
    ]
    return pd.DataFrame(rows, columns=columns)
