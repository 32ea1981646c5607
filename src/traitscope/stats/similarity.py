"""How alike datasets are: semantically (TF-IDF, hidden states, embeddings), in style, by common examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.errors import TraitscopeError
from traitscope.stats.datasets import Prepared
from traitscope.stats.duplicates import overlap
from traitscope.stats.style import style_vectors

BASES = {"hidden": "hidden states", "embeddings": "embeddings", "tfidf": "TF-IDF"}
# Features that are standardised over the datasets say nothing about two of them.
MIN_STANDARDISED = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Similarity:
    """Similarities of M datasets, each pair once in both directions (``overlap`` is not symmetric).

    Attributes:
        kind: ``semantic``, ``style`` or ``overlap``.
        by: what a semantic similarity rests on: ``hidden``, ``embeddings`` or ``tfidf``; else an empty text.
        method: how it was computed, in words.
        names: the datasets.
        values_MM: cosines in -1..1 (or shares in 0..1); NaN where it is not defined.
        reliability_M: cosine between two random halves of one dataset, the ceiling for its row; or None.
        note: what a reader must know, or an empty text.
    """

    kind: str
    method: str
    names: tuple[str, ...]
    values_MM: NDArray[np.float64]
    reliability_M: NDArray[np.float64] | None = None
    note: str = ""
    by: str = ""

    @property
    def label(self) -> str:
        """Its name in a sentence: ``semantic similarity (hidden states)``."""
        return f"{self.kind} similarity" + (f" ({BASES[self.by]})" if self.by else "")

    @property
    def frame(self) -> pd.DataFrame:
        """The values with the datasets' names on both sides."""
        return pd.DataFrame(self.values_MM, index=list(self.names), columns=list(self.names))


def cosine(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosine of every row of ``left`` with every row of ``right``; NaN for a zero row."""
    norms = [np.linalg.norm(x, axis=1, keepdims=True) for x in (left, right)]
    units = [
        np.divide(x, n, out=np.full_like(x, np.nan, dtype=float), where=n > 0)
        for x, n in zip((left, right), norms, strict=True)
    ]
    return np.clip(units[0] @ units[1].T, -1.0, 1.0)


def semantic_similarity(prepared: Sequence[Prepared], by: str = "auto", components: int = 100) -> Similarity:
    """Cosine of the datasets' mean vectors.

    Args:
        prepared: M datasets.
        by: ``tfidf`` (word uni- and bigrams of prompt and answer, log term counts, reduced by SVD),
            ``hidden`` (the base model's mean hidden state of each example), ``embeddings`` (the user's),
            or ``auto``: the last of these that every dataset has (hidden states for three datasets or more).
        components: dimensions kept by the SVD.

    Raises:
        TraitscopeError: for an unknown ``by``, or where a dataset lacks the array asked for.
    """
    arrays = {
        "hidden": [p.data.hidden_SD for p in prepared],
        "embeddings": [p.data.embeddings_SD for p in prepared],
    }
    if by == "auto":
        have = [name for name, values in arrays.items() if all(v is not None for v in values)]
        if len(prepared) < MIN_STANDARDISED:
            have = [name for name in have if name != "hidden"]
        by = have[-1] if have else "tfidf"
    if by not in ("tfidf", *arrays):
        raise TraitscopeError(
            f"unknown way to compare datasets {by!r}",
            where="semantic similarity",
            fix="write tfidf, hidden, embeddings or auto",
        )
    names = tuple(p.data.name for p in prepared)
    if by == "tfidf":
        vectors = _tfidf_vectors(prepared, components)
        method = "cosine of mean TF-IDF vectors (word uni- and bigrams of prompt and answer) after SVD"
        return _compare(by, method, names, vectors, prepared[0].seed, centred=False)
    vectors = []
    for p, array in zip(prepared, arrays[by], strict=True):
        if array is None:
            raise TraitscopeError(
                f"has no {by} array",
                where=f"dataset {p.data.name!r}",
                fix="give the array, or use by='tfidf'",
            )
        vectors.append(np.atleast_2d(np.asarray(array, dtype=float)))
    if by == "embeddings":
        method = "cosine of the mean of the user's embeddings"
        return _compare(by, method, names, vectors, prepared[0].seed, centred=False)
    # Raw hidden states share a few huge dimensions, so that every raw cosine is near 1.
    means = np.array([v.mean(axis=0) for v in vectors])
    centre = means.mean(axis=0)
    spread = np.sqrt(np.mean([((v - centre) ** 2).mean(axis=0) for v in vectors], axis=0))
    scaled = [(v - centre) / np.where(spread > 0, spread, 1.0) for v in vectors]
    method = "cosine of mean hidden states of the base model, every dimension standardised over the datasets"
    return _compare(by, method, names, scaled, prepared[0].seed, centred=True)


def style_similarity(prepared: Sequence[Prepared]) -> Similarity:
    """Cosine of standardised style vectors (function words, characters, shape), as stylometry's cosine Delta.

    Features are standardised over the datasets compared: it needs three of them and depends on which they
    are. Evert et al. 2017.
    """
    names = tuple(p.data.name for p in prepared)
    method = "cosine of style vectors (function words, characters, shape) standardised over the datasets"
    texts = [[f"{p.data.prompts[i]}\n{p.data.answers[i]}" for i in p.sampled] for p in prepared]
    if len(names) < MIN_STANDARDISED:
        return _undefined("style", "", method, names)
    vectors = style_vectors(texts)
    return Similarity(kind="style", method=method, names=names, values_MM=cosine(vectors, vectors))


def shared_examples(prepared: Sequence[Prepared]) -> Similarity:
    """Share of the row dataset's examples with a near-duplicate (prompt and answer) in the column dataset."""
    texts = [[f"{p.data.prompts[i]}\n{p.data.answers[i]}" for i in p.sampled] for p in prepared]
    return Similarity(
        kind="overlap",
        method="share of the row's examples at word-trigram Jaccard similarity >= 0.8 to one of the column's",
        names=tuple(p.data.name for p in prepared),
        values_MM=overlap(texts),
        note=f"on at most {prepared[0].sample} examples a dataset; the diagonal is with its other examples",
    )


def _tfidf_vectors(prepared: Sequence[Prepared], components: int) -> list[NDArray[np.float64]]:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [[f"{p.data.prompts[i]}\n{p.data.answers[i]}" for i in p.sampled] for p in prepared]
    flat = [text for group in texts for text in group]
    # Single characters stay in: digits and operators are what arithmetic data consist of.
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]", max_features=50_000
    )
    matrix = vectorizer.fit_transform(flat)
    keep = min(components, min(matrix.shape) - 1)
    if keep >= 2:
        reduced = TruncatedSVD(keep, random_state=prepared[0].seed).fit_transform(matrix)
    else:
        reduced = matrix.toarray()
    edges = np.cumsum([0, *map(len, texts)])
    return [reduced[a:b] for a, b in pairwise(edges)]


def _compare(
    by: str,
    method: str,
    names: tuple[str, ...],
    vectors: Sequence[NDArray[np.float64]],
    seed: int,
    *,
    centred: bool,
) -> Similarity:
    if centred and len(names) < MIN_STANDARDISED:
        return _undefined("semantic", by, method, names)
    means = np.array([v.mean(axis=0) for v in vectors])
    rng = np.random.default_rng(seed)
    halves = np.full(len(vectors), np.nan)
    for m, v in enumerate(vectors):
        if len(v) >= 2:
            order = rng.permutation(len(v))
            a, b = v[order[: len(v) // 2]], v[order[len(v) // 2 :]]
            halves[m] = cosine(a.mean(axis=0, keepdims=True), b.mean(axis=0, keepdims=True))[0, 0]
    values = cosine(means, means)
    return Similarity(kind="semantic", by=by, method=method, names=names, values_MM=values, reliability_M=halves)


def _undefined(kind: str, by: str, method: str, names: tuple[str, ...]) -> Similarity:
    blank = np.full((len(names), len(names)), np.nan)
    note = "not defined for fewer than three datasets: features are standardised over the datasets compared"
    return Similarity(kind=kind, by=by, method=method, names=names, values_MM=blank, note=note)
