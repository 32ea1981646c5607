"""Near-duplicates within a dataset and between two: exact Jaccard similarity of word trigrams on a sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitscope.stats.text import words

THRESHOLD = 0.8
_BLOCK = 256


def shingles(text: str, n: int = 3) -> set[tuple[str, ...]]:
    """Distinct word n-grams of the lower-cased text; a shorter text is one shingle of all its words."""
    found = [word.lower() for word in words(text)]
    if len(found) < n:
        return {tuple(found)}
    return set(zip(*(found[i:] for i in range(n)), strict=False))


def shingle_matrix(texts: Iterable[str], vocabulary: dict[tuple[str, ...], int]) -> Any:
    """Binary sparse matrix, texts x shingles; ``vocabulary`` grows by the new shingles."""
    from scipy.sparse import csr_matrix

    indptr, indices = [0], []
    for text in texts:
        indices.extend(sorted(vocabulary.setdefault(shingle, len(vocabulary)) for shingle in shingles(text)))
        indptr.append(len(indices))
    data = np.ones(len(indices), dtype=np.float32)
    return csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, max(len(vocabulary), 1)))


def nearest_jaccard(left: Any, right: Any | None = None) -> NDArray[np.float32]:
    """Largest Jaccard similarity of every text of ``left`` to one of ``right`` (default: of ``left``).

    Args:
        left: S x V binary sparse shingle matrix.
        right: the other dataset's, over the same vocabulary.
    """
    own = right is None
    other = left if right is None else right
    width = max(left.shape[1], other.shape[1])
    left = left.copy()
    left.resize((left.shape[0], width))
    turned = other.copy()
    turned.resize((other.shape[0], width))
    turned = turned.T.tocsc()
    sizes, other_sizes = np.diff(left.indptr), np.diff(other.indptr)
    best = np.zeros(left.shape[0], dtype=np.float32)
    for start in range(0, left.shape[0], _BLOCK):
        common = (left[start : start + _BLOCK] @ turned).toarray()
        rows = np.arange(common.shape[0])
        jaccard = common / (sizes[start + rows, None] + other_sizes[None, :] - common)
        if own:
            jaccard[rows, start + rows] = 0.0
        best[start : start + _BLOCK] = jaccard.max(axis=1, initial=0.0)
    return best


def near_duplicate_share(texts: Sequence[str], threshold: float = THRESHOLD) -> float:
    """Share of texts with another at Jaccard similarity >= ``threshold``; it grows with their number."""
    if len(texts) < 2:
        return float("nan")
    return float((nearest_jaccard(shingle_matrix(texts, {})) >= threshold - 1e-6).mean())


def overlap(samples: Sequence[Sequence[str]], threshold: float = THRESHOLD) -> NDArray[np.float64]:
    """M x M: share of texts of dataset i with a near-duplicate in dataset j (in i: another text)."""
    vocabulary: dict[tuple[str, ...], int] = {}
    matrices = [shingle_matrix(texts, vocabulary) for texts in samples]
    out = np.zeros((len(samples), len(samples)))
    for i, left in enumerate(matrices):
        for j, right in enumerate(matrices):
            best = nearest_jaccard(left) if i == j else nearest_jaccard(left, right)
            out[i, j] = float((best >= threshold - 1e-6).mean())
    return out
