"""Dependency relations with spaCy, where the user has it and a model for it (the ``spacy`` extra)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from traitscope.errors import TraitscopeError

SEPARATOR = "|"


def load_spacy(model: str = "en_core_web_sm") -> Any:
    """spaCy's pipeline ``model``, with what the relations do not need switched off.

    Raises:
        TraitscopeError: if spaCy or the model is not installed.
    """
    try:
        import spacy
    except ImportError as error:
        raise TraitscopeError(
            "dependency relations need spaCy, which is not installed",
            where="dependency profile",
            fix="pip install 'traitscope[spacy]', then: python -m spacy download " + model,
        ) from error
    try:
        return spacy.load(model, exclude=["ner", "lemmatizer"])
    except OSError as error:
        raise TraitscopeError(
            f"the spaCy model {model!r} is not installed",
            where="dependency profile",
            fix=f"python -m spacy download {model}, or name the model that you have",
        ) from error


def dependency_profile(texts: Mapping[str, Sequence[str]], nlp: Any) -> pd.DataFrame:
    """Share of every dependency relation among the tokens of each dataset (white space tokens left out).

    Args:
        texts: texts by dataset.
        nlp: a spaCy pipeline, or any object with ``pipe(texts)`` whose tokens have ``dep_`` and ``is_space``.

    Returns:
        One row per dataset, one column per relation (all of them, in alphabetical order), rows summing to 1.
    """
    rows = {}
    for name, group in texts.items():
        counts: Counter[str] = Counter()
        for document in nlp.pipe(group):
            counts.update(token.dep_ for token in document if not token.is_space)
        total = max(sum(counts.values()), 1)
        rows[name] = {relation: n / total for relation, n in counts.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index").fillna(0.0)
    return frame[sorted(frame.columns)].rename_axis("dataset")


def dependency_tags(texts: Iterable[str], nlp: Any) -> list[str]:
    """The relations that occur in each text, as one tag value for effects: ``"amod|nsubj|ROOT"``."""
    return [
        SEPARATOR.join(sorted({token.dep_ for token in document if not token.is_space})) for document in nlp.pipe(texts)
    ]
