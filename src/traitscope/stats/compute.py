"""From datasets to their hidden statistics, and the reference page of the statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plugins import calling, number
from traitscope.registry import Entry
from traitscope.stats.datasets import DatasetText, Prepared, Tokenizer
from traitscope.stats.dependencies import dependency_profile, load_spacy
from traitscope.stats.labels import label_collisions, label_words
from traitscope.stats.measures import STATISTICS, Statistic
from traitscope.stats.result import DatasetStats
from traitscope.stats.similarity import (
    MIN_STANDARDISED,
    Similarity,
    semantic_similarity,
    shared_examples,
    style_similarity,
)
from traitscope.ticks import ticks


def dataset_stats(
    datasets: Sequence[DatasetText],
    tokenizer: Tokenizer | None = None,
    *,
    semantic: str = "auto",
    spacy: Any | None = None,
    sample: int = 1000,
    seed: int = 0,
) -> DatasetStats:
    """Every registered statistic of every dataset, and the similarities between them.

    Args:
        datasets: M datasets with distinct names.
        tokenizer: from a text to its tokens (only counted); lengths in tokens are NaN without it.
        semantic: ``tfidf``, ``hidden``, ``embeddings`` or ``auto`` (see :func:`semantic_similarity`).
        spacy: a spaCy pipeline or the name of an installed model, for the dependency profile; or None.
        sample: examples per dataset for near-duplicates, similarities and dependency relations.
        seed: seed of the sample and of the SVD.

    Raises:
        TraitscopeError: for no dataset, two of one name, or a model or array that is asked for and absent; a statistic
            that fails or gives no number.
    """
    names = [data.name for data in datasets]
    if not names or len(set(names)) < len(names):
        raise TraitscopeError(
            f"dataset names are {names}",
            where="dataset_stats",
            fix="give at least one dataset, and every name once",
        )
    prepared = [Prepared(data, tokenizer, sample=sample, seed=seed) for data in datasets]
    labels = label_words(datasets)
    collisions = label_collisions(labels)
    counts: Counter[str] = Counter()
    for row in collisions[collisions["collides"].astype(bool)].to_dict("records"):
        counts.update([row["dataset_a"], row["dataset_b"]])
    for p in ticks(prepared, "statistics of the datasets", len(prepared), "datasets"):
        if p.label_shares is not None:
            p.collisions = float(counts[p.data.name])
    frame = pd.DataFrame(
        [[_value(entry, p) for entry in STATISTICS] for p in prepared],
        index=pd.Index(names, name="dataset"),
        columns=list(STATISTICS.names()),
        dtype=float,
    )
    similarity = _similarities(prepared, semantic)
    return DatasetStats(
        frame=frame,
        labels=labels,
        collisions=collisions,
        similarity=similarity,
        dependencies=_dependencies(prepared, spacy),
        notes=_notes(prepared, spacy, similarity["semantic"] if semantic == "auto" else None),
    )


def _value(entry: Entry[Statistic], prepared: Prepared) -> float:
    with calling("statistic", entry, f"dataset {prepared.data.name}"):
        return number(entry.value.compute(prepared))


def _similarities(prepared: Sequence[Prepared], semantic: str) -> dict[str, Similarity]:
    found = (semantic_similarity(prepared, semantic), style_similarity(prepared), shared_examples(prepared))
    return {similarity.kind: similarity for similarity in found}


def _dependencies(prepared: Sequence[Prepared], spacy: Any | None) -> pd.DataFrame | None:
    if spacy is None:
        return None
    nlp = load_spacy(spacy) if isinstance(spacy, str) else spacy
    texts = {p.data.name: [f"{p.data.prompts[i]} {p.data.answers[i]}" for i in p.sampled] for p in prepared}
    return dependency_profile(texts, nlp)


def _notes(prepared: Sequence[Prepared], spacy: Any | None, chosen: Similarity | None) -> tuple[str, ...]:
    """What is missing; ``chosen`` is a semantic similarity whose basis nobody asked for."""
    notes = []
    if prepared[0].tokenizer is None:
        notes.append("lengths in tokens are missing: no tokenizer was given")
    lacking = [p.data.name for p in prepared if p.data.answer_loss_S is None]
    if lacking:
        notes.append(f"the base model's answer loss is missing for: {', '.join(lacking)}")
    if chosen is not None and chosen.by == "tfidf" and len(prepared) >= MIN_STANDARDISED:
        blind = [p.data.name for p in prepared if p.data.hidden_SD is None]
        notes.append(
            "semantic similarity is by TF-IDF, since the base model's hidden states are missing for: "
            f"{', '.join(blind)} (`traitscope eval` captures those of a study)"
        )
    if spacy is None:
        notes.append("dependency relations are missing: no spaCy model was given (extra: traitscope[spacy])")
    if len(prepared) < MIN_STANDARDISED:
        notes.append("style similarity is not defined for fewer than three datasets")
    unlabelled = [p.data.name for p in prepared if p.data.classes is not None and p.data.labels is None]
    if unlabelled:
        notes.append(f"no class statistics for {', '.join(unlabelled)}: some answers are not among the classes")
    return tuple(notes)


def reference_table() -> str:
    """The registry of statistics as a Markdown table (in docs/statistics.md, held equal by a test)."""
    lines = ["| statistic | unit | definition | reference |", "| --- | --- | --- | --- |"]
    for entry in STATISTICS:
        star = "*" if entry.value.core else ""
        lines.append(f"| `{entry.name}`{star} | {entry.value.unit} | {entry.value.definition} | {entry.reference} |")
    return "\n".join(lines)
