"""What a trait analysis found."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.frames import Tabular
from traitscope.texts import Shown, frame_text
from traitscope.traits.codec import decode, encode
from traitscope.traits.count import TraitCount
from traitscope.traits.intervals import Intervals, Stability
from traitscope.traits.naming import TraitName
from traitscope.traits.null import PermutationNull
from traitscope.traits.projection import Projected
from traitscope.traits.skills import SkillAgreement

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Traits(Shown, Tabular):
    """Traits of a score matrix: ``(view - center) / scale`` is about ``scores @ diag(singular) @ loadings``.

    Attributes:
        models: the I rows of the fit. tasks: the N columns. base: name of the base row, if any.
        view: "raw", "gain" or "logit": what was analysed. cells: which cells of which rows, in words.
        scaled: whether columns were divided by their standard deviation.
        rotation: None, "varimax" or "promax".
        center_N, scale_N: what was subtracted from, and divided out of, every column.
        loadings_KN: unit-norm rows: which tasks a trait is made of.
        scores_IK: unit-norm columns (the paper's printed scores): how much of a trait a model has.
        singular_K: size of each trait; explained_K: its share of the variance.
        correlation_KK: inner products of the score columns (identity unless promax).
        null: explained variance of all components beside the permutation null.
        count: how many traits, with the headline.
        above_null_K: whether each trait is among those supported (with a rotation: whether all are, since the
            rotated traits share the components).
        intervals: of loadings and scores; None where the cells' errors are not known.
        stability: what stays of each trait when an adapter, a task or the noise changes.
        names: proposed, with what speaks for them.
        skills: agreement with declared skills; None where tasks declare none.
        projected: rows outside the fit, placed on the traits afterwards.
        filled_IN: the analysed view (metrics turned so that higher is better), cells that are missing or do not count
            filled.
        missing: number of cells that were filled.
        seed: seed of every random step.
        notes: what a reader must know, in plain sentences.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    base: str | None
    view: str
    cells: str
    scaled: bool
    rotation: str | None
    center_N: Floats
    scale_N: Floats
    loadings_KN: Floats
    scores_IK: Floats
    singular_K: Floats
    explained_K: Floats
    correlation_KK: Floats
    null: PermutationNull
    count: TraitCount
    above_null_K: tuple[bool, ...]
    intervals: Intervals | None
    stability: Stability
    names: tuple[TraitName, ...]
    skills: SkillAgreement | None
    projected: Projected
    filled_IN: Floats
    missing: int
    seed: int
    notes: tuple[str, ...] = field(default=())

    def headline(self) -> str:
        """What it is of, in a few words."""
        return f"{self.k} of {len(self.models)} models x {len(self.tasks)} tasks ({self.view})"

    def shown_text(self) -> str:
        """What a notebook shows below the headline."""
        loadings = frame_text(self.loadings.T.rename_axis("task"), "{:+.2f}", most=(60, 12))
        return f"{self.count.statement}\n\n{loadings}"

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """``loadings`` and ``scores``, one row per trait and task or model, with their intervals where known;
        ``variance``: every component beside its null. Models outside the fit have role ``projected``.
        """
        known, models = self.intervals, (*self.models, *self.projected.models)
        none_KN, none_IK = np.full_like(self.loadings_KN, np.nan), np.full_like(self.scores_IK, np.nan)
        beside_PK = self.projected.scores_PK.reshape(-1, self.k)
        none_PK = np.full_like(beside_PK, np.nan)
        loadings = {
            "loading": self.loadings_KN,
            "low": none_KN if known is None else known.loadings_low_KN,
            "high": none_KN if known is None else known.loadings_high_KN,
        }
        scores = {
            "score": np.vstack([self.scores_IK, beside_PK]),
            "low": np.vstack([none_IK if known is None else known.scores_low_IK, none_PK]),
            "high": np.vstack([none_IK if known is None else known.scores_high_IK, none_PK]),
        }
        role = ["fitted"] * len(self.models) + ["projected"] * len(self.projected.models)
        of_tasks = pd.MultiIndex.from_product([self.trait_names, self.tasks], names=["trait", "task"])
        of_models = pd.MultiIndex.from_product([self.trait_names, models], names=["trait", "model"])
        return {
            "loadings": pd.DataFrame({name: a_KN.ravel() for name, a_KN in loadings.items()}, of_tasks),
            "scores": pd.DataFrame({"role": role * self.k} | {n: a.T.ravel() for n, a in scores.items()}, of_models),
            "variance": self.null.frame(),
        }

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
        """A model's profile as the paper writes it (Flipkart: Sentiment +36, NLU +10): trait -> points.

        Points are 100 times the model's unit-norm score, rounded: squared over all models they sum to 10,000,
        so +36 means that the model makes 13 % of the trait. They compare models within a trait, not traits. A row
        outside the fit has its projection.

        Raises:
            TraitscopeError: no such model.
        """
        known = [*self.models, *self.projected.models]
        if model not in known:
            raise TraitscopeError(
                f"no model named {model!r}; models: {', '.join(known)}",
                where="profile",
                fix="use a row name of the matrix",
            )
        row = np.vstack([self.scores_IK, self.projected.scores_PK.reshape(-1, self.k)])[known.index(model)]
        return {name: round(100 * float(u)) for name, u in zip(self.trait_names, np.nan_to_num(row), strict=True)}

    def profile_text(self, model: str, *, least: int = 5) -> str:
        """The profile in words, largest first, with proposed names; points below ``least`` are left out."""
        points = sorted(self.profile(model).items(), key=lambda item: (-abs(item[1]), item[0]))
        shown = [
            f"{name} {value:+d}" if label is None else f"{name} ({label}?) {value:+d}"
            for name, value in points
            if abs(value) >= least
            for label in [self.names[self.trait_names.index(name)].label and self._proposed(name)]
        ]
        return ", ".join(shown) or "no trait above the threshold"

    def _proposed(self, name: str) -> str:
        """The proposed name of T1, T2, ..."""
        return self.names[self.trait_names.index(name)].proposed

    def shown(self, models: Collection[str], tasks: Collection[str]) -> Traits:
        """The same traits with some models and tasks alone, as a figure that has no room for all shows them."""
        at_I = [i for i, name in enumerate(self.models) if name in models]
        at_N = [n for n, name in enumerate(self.tasks) if name in tasks]
        ends, beside = self.intervals, self.projected
        at_P = [p for p, name in enumerate(beside.models) if name in models]
        return replace(
            self,
            models=tuple(self.models[i] for i in at_I),
            tasks=tuple(self.tasks[n] for n in at_N),
            loadings_KN=self.loadings_KN[:, at_N],
            scores_IK=self.scores_IK[at_I],
            intervals=ends
            and replace(
                ends,
                loadings_low_KN=ends.loadings_low_KN[:, at_N],
                loadings_high_KN=ends.loadings_high_KN[:, at_N],
                scores_low_IK=ends.scores_low_IK[at_I],
                scores_high_IK=ends.scores_high_IK[at_I],
            ),
            projected=replace(
                beside,
                models=tuple(beside.models[p] for p in at_P),
                kinds=tuple(beside.kinds[p] for p in at_P),
                scores_PK=beside.scores_PK[at_P],
            ),
        )

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
