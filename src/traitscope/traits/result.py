"""What a trait analysis found."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.traits.codec import decode, encode
from traitscope.traits.null import PermutationNull

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Traits:
    """Traits of a score matrix: ``(view - center) / scale`` is about ``scores @ diag(singular) @ loadings``.

    Attributes:
        models: the I rows. tasks: the N columns. base: name of the base row, if any.
        view: "raw", "gain" or "logit": what was analysed.
        scaled: whether columns were divided by their standard deviation.
        rotation: None, "varimax" or "promax".
        center_N, scale_N: what was subtracted from, and divided out of, every column.
        loadings_KN: unit-norm rows: which tasks a trait is made of.
        scores_IK: unit-norm columns (the paper's printed scores): how much of a trait a model has.
        singular_K: size of each trait; explained_K: its share of the variance.
        null: explained variance of all components beside the permutation null.
        seed: seed of every random step.
        notes: what a reader must know, in plain sentences.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    base: str | None
    view: str
    scaled: bool
    rotation: str | None
    center_N: Floats
    scale_N: Floats
    loadings_KN: Floats
    scores_IK: Floats
    singular_K: Floats
    explained_K: Floats
    null: PermutationNull
    seed: int
    notes: tuple[str, ...] = field(default=())

    @property
    def k(self) -> int:
        """Number of traits kept."""
        return len(self.singular_K)

    @property
    def trait_names(self) -> tuple[str, ...]:
        """T1, T2, ...: neutral names, in the order of the traits."""
        return tuple(f"T{i + 1}" for i in range(self.k))

    @property
    def loadings(self) -> pd.DataFrame:
        """Loadings with names: traits down, tasks across."""
        return pd.DataFrame(self.loadings_KN, index=list(self.trait_names), columns=list(self.tasks))

    @property
    def scores(self) -> pd.DataFrame:
        """Scores with names: models down, traits across."""
        return pd.DataFrame(self.scores_IK, index=list(self.models), columns=list(self.trait_names))

    def reconstruct(self) -> Floats:
        """The matrix that the kept traits make, in the units of the view, I x N."""
        inner = (self.scores_IK * self.singular_K) @ self.loadings_KN
        return inner * self.scale_N + self.center_N

    def profile(self, model: str) -> dict[str, int]:
        """A model's profile as the paper writes it (Sentiment +36, NLU +10): 100 x its unit-norm score, rounded.

        Raises:
            TraitscopeError: no such model.
        """
        if model not in self.models:
            raise TraitscopeError(
                f"no model named {model!r}; models: {', '.join(self.models)}",
                where="profile",
                fix="use a row name of the matrix",
            )
        row = self.scores_IK[self.models.index(model)]
        return {name: round(100 * float(u)) for name, u in zip(self.trait_names, row, strict=True)}

    def to_json(self) -> str:
        """All of it as JSON text; NaN becomes null."""
        return json.dumps({"format": 1, **encode(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Traits:
        """The result that ``to_json`` wrote.

        Raises:
            TraitscopeError: the text is not such a result.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            return decode(cls, data)
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise TraitscopeError(
                f"not a saved trait analysis ({error})",
                where="traits JSON",
                fix="run `traitscope traits` again",
            ) from error
