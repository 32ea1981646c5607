"""A style vector of a text collection: function words, characters, shape; no topic words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from traitscope.stats.text import mattr, n_sentences, repetition, words

FUNCTION_WORDS = tuple(
    """
    the a an this that these those i you he she it we they me him her us them my your his its our their
    who which what when where why how and or but nor so yet if because although though while since
    unless until than as of in on at by for with from to into about over under between after before
    against through during without is are was were be been being am do does did have has had will would
    can could shall should may might must not no never very too also just only more most some any all
    each every both few many much other such there here then now up out off again
    """.split()  # noqa: SIM905
)
CHARACTERS = (*".,;:!?'\"-()[]{}<>=+*/\\_#$%&@^|~`", "digit", "upper", "newline", "non-ascii")


def style_features(texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Feature vectors by group: ``words`` (per word), ``characters`` (per character), ``shape``."""
    lists = [[word.lower() for word in words(text)] for text in texts]
    counts = Counter(word for found in lists for word in found)
    total = max(sum(counts.values()), 1)
    chars: Counter[str] = Counter()
    for text in texts:
        chars.update(text)
    n_chars = max(sum(chars.values()), 1)
    special = {
        "digit": sum(n for c, n in chars.items() if c.isdigit()),
        "upper": sum(n for c, n in chars.items() if c.isupper()),
        "newline": chars["\n"],
        "non-ascii": sum(n for c, n in chars.items() if ord(c) > 127),
    }
    joined = [word for found in lists for word in found][:100_000]
    shape = [
        sum(len(word) * n for word, n in counts.items()) / total,
        np.log1p(total / max(sum(map(n_sentences, texts)), 1)),
        mattr(joined),
        repetition(lists, n=2),
        np.log1p(total / len(texts)),
    ]
    return {
        "words": np.array([counts[word] / total for word in FUNCTION_WORDS]),
        "characters": np.array([special.get(c, chars[c]) / n_chars for c in CHARACTERS]),
        "shape": np.nan_to_num(np.array(shape, dtype=float)),
    }


def style_vectors(collections: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Style vectors_MF of M collections: features standardised over them, the three groups weighing the same.

    Square roots of rates are standardised, which keeps rare signs from deciding everything.
    """
    features = [style_features(texts) for texts in collections]
    blocks = []
    for group in ("words", "characters", "shape"):
        block = np.array([f[group] for f in features])
        if group != "shape":
            block = np.sqrt(block)
        spread = block.std(axis=0)
        used = spread > 1e-12
        if used.any():
            scaled = (block[:, used] - block[:, used].mean(axis=0)) / spread[used]
            blocks.append(scaled / np.sqrt(used.sum()))
    return np.hstack(blocks) if blocks else np.zeros((len(collections), 1))
