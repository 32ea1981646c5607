"""What a predictor is given: the transfer cells that are known, of one base model and perhaps of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.matrix import Role, ScoreMatrix
from traitscope.predict.pairs import PairFeatures

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# A column whose spread is below this share of its median spread over the other base models is flat.
FLAT_SHARE = 0.05
# Columns that rank the sources alike to this correlation, in every base model taken together, are near-duplicates.
DUPLICATE = 0.9
# As how many cells the other base models' spread of a column counts where next to none of its own are known.
SPREAD_CELLS = 2.0


@dataclass(frozen=True, eq=False)
class Problem:
    """Known cells of B base models, I sources and N tasks, and which base model is to be forecast.

    Own cells and copies are never among them: they are no transfer. Scores are turned so that higher is better.

    Attributes:
        bases: names of the base models. sources: names of the sources. tasks: names of the tasks.
        values_BIN: scores; NaN where a cell is not known.
        noise_BIN: error variance of every cell (examples and seeds); NaN where nobody knows it.
        untuned_BN: scores of the untuned base models; NaN where not known.
        target: which base model is forecast.
        allowed_IN: cells of the target base that are transfer; the others are never forecast.
        sign_N: -1 for tasks whose scores were turned.
        features: what is known of the pairs of the target base, or None.
    """

    bases: tuple[str, ...]
    sources: tuple[str, ...]
    tasks: tuple[str, ...]
    values_BIN: Floats
    noise_BIN: Floats
    untuned_BN: Floats
    target: int
    allowed_IN: Bools
    sign_N: Floats
    features: PairFeatures | None = None

    def __post_init__(self) -> None:
        _protect(self)

    @classmethod
    def from_scores(
        cls,
        scores: ScoreMatrix,
        base: str | None = None,
        features: PairFeatures | None = None,
        more: Mapping[str, Role] | None = None,
    ) -> Problem:
        """The transfer cells of a score matrix, seeds averaged; controls, mixes and foreign models are left out.

        Args:
            scores: measured scores, of one base model or of several.
            base: the base model to forecast; may be left out where there is one.
            features: of the pairs of that base model's sources and targets.
            more: sources of which nothing is measured, with their roles.

        Raises:
            TraitscopeError: no sources, an unknown base model, or several and none is named.
        """
        scores = scores.by_source()
        families = [str(name) for name in scores.rows["base"]]
        bases = tuple(dict.fromkeys(families))
        if base is None and len(bases) > 1:
            raise TraitscopeError(
                f"{len(bases)} base models", where="predict", fix=f"name the one to forecast: {', '.join(bases[:12])}"
            )
        if base is not None and base not in bases:
            raise TraitscopeError(
                f"no base model is named {base!r}", where="predict", fix=f"one of: {', '.join(bases[:12])}"
            )
        kinds = [role.kind for role in scores.roles_I]
        measured = [str(s) for s, kind in zip(scores.sources_I, kinds, strict=True) if kind == "source"]
        sources = tuple(dict.fromkeys([*measured, *(more or {})]))
        if not sources:
            raise TraitscopeError(
                "no row is a source", where="predict", fix="a forecast needs rows of models trained on one dataset each"
            )
        noise = scores.noise()
        variance_IN = noise.variance_IN if noise is not None else scores.stderr_IN**2
        shape = (len(bases), len(sources), len(scores.tasks))
        values_BIN, noise_BIN = np.full(shape, np.nan), np.full(shape, np.nan)
        transfer_IN: Bools = scores.transfer_IN
        untuned_BN = np.full((len(bases), len(scores.tasks)), np.nan)
        allowed_BIN = np.ones(shape, dtype=bool)
        for row, (family, source, kind) in enumerate(zip(families, scores.sources_I, kinds, strict=True)):
            b = bases.index(family)
            if kind == "base":
                untuned_BN[b] = scores.scores_IN[row] * scores.sign_N
            elif kind == "source":
                i = sources.index(str(source))
                moved_N = transfer_IN[row]
                values_BIN[b, i] = np.where(moved_N, scores.scores_IN[row] * scores.sign_N, np.nan)
                noise_BIN[b, i] = variance_IN[row]
                allowed_BIN[b, i] = moved_N
        for source, role in (more or {}).items():
            if source not in measured:
                allowed_BIN[:, sources.index(source)] = [role.relation(task) == "transfer" for task in scores.tasks]
        target = 0 if base is None else bases.index(base)
        if features is not None:
            features = features.of(sources, scores.tasks)
        return cls(
            bases,
            sources,
            tuple(scores.tasks),
            values_BIN,
            noise_BIN,
            untuned_BN,
            target,
            allowed_BIN[target],
            scores.sign_N,
            features,
        )

    # ---- the target base model

    @property
    def values_IN(self) -> Floats:
        """Known scores of the base model that is forecast."""
        return self.values_BIN[self.target]

    @property
    def known_IN(self) -> Bools:
        """Which of its cells are known."""
        return np.isfinite(self.values_IN)

    @cached_property
    def others(self) -> tuple[int, ...]:
        """The other base models of which any cell is known."""
        known_B: Bools = np.asarray(np.isfinite(self.values_BIN).any(axis=(1, 2)))
        return tuple(b for b in range(len(self.bases)) if b != self.target and known_B[b])

    @cached_property
    def scale(self) -> Scale:
        """Centre and spread of every column, from the known cells (``column_scale``, computed once)."""
        return column_scale(self)

    # ---- other problems from this one

    def hide(self, hidden_IN: Bools) -> Problem:
        """The same problem where cells of the target base are not known: the only way in which a fold is made.

        What is hidden is gone from everything a predictor can see, so that no scale, rank or weight knows it.
        """
        values_BIN, noise_BIN = self.values_BIN.copy(), self.noise_BIN.copy()
        values_BIN[self.target][hidden_IN] = np.nan
        # The error of a share is a function of the share.
        noise_BIN[self.target][hidden_IN] = np.nan
        return replace(self, values_BIN=values_BIN, noise_BIN=noise_BIN)

    def alone(self) -> Problem:
        """The target base model without the others."""
        return self.with_bases((self.target,))

    def with_bases(self, kept: tuple[int, ...]) -> Problem:
        """Some of the base models, the target among them."""
        return replace(
            self,
            bases=tuple(self.bases[b] for b in kept),
            values_BIN=self.values_BIN[list(kept)],
            noise_BIN=self.noise_BIN[list(kept)],
            untuned_BN=self.untuned_BN[list(kept)],
            target=kept.index(self.target),
        )

    def for_base(self, target: int) -> Problem:
        """The same matrix with another base model to forecast; features belong to one base model and are dropped."""
        if target == self.target:
            return self
        allowed_IN = np.isfinite(self.values_BIN[target]) | self.allowed_IN
        return replace(self, target=target, allowed_IN=allowed_IN, features=None)

    def with_tasks(self, kept: tuple[int, ...]) -> Problem:
        """Some of the tasks, in the order given."""
        at = list(kept)
        names = tuple(self.tasks[n] for n in at)
        return replace(
            self,
            tasks=names,
            values_BIN=self.values_BIN[:, :, at],
            noise_BIN=self.noise_BIN[:, :, at],
            untuned_BN=self.untuned_BN[:, at],
            allowed_IN=self.allowed_IN[:, at],
            sign_N=self.sign_N[at],
            features=None if self.features is None else self.features.of(self.sources, names),
        )


@dataclass(frozen=True, eq=False)
class Scale:
    """Centre and spread of every base model's columns, from the cells that a predictor can see.

    Attributes:
        centre_BN: mean of the known cells; NaN where a column has none.
        spread_BN: their standard deviation (ddof 0), at least the evaluation noise of the column. The fewer of the
            sources are known, the more it is drawn to the median over the other base models, times the usual ratio of
            this base model to them; where fewer than two cells are known it is that (or 1 without any).
        flat_BN: columns that say nothing: their cells differ no more than their noise.
        z_BIN: the known cells, centred and divided by the spread; NaN elsewhere, and in flat columns.
    """

    centre_BN: Floats
    spread_BN: Floats
    flat_BN: Bools
    z_BIN: Floats

    def __post_init__(self) -> None:
        _protect(self)


def _protect(owner: object) -> None:
    """Makes the arrays of a frozen object views that cannot be written to: what predictors share stays as it is."""
    for name, value in vars(owner).items():
        if isinstance(value, np.ndarray):
            view = value.view()
            view.flags.writeable = False
            object.__setattr__(owner, name, view)


def column_scale(problem: Problem) -> Scale:
    """Centre and spread of every column of every base model, in this fold.

    One column with a spread of .009 where the others have 3 otherwise decides every mean over columns.
    """
    known_BIN = np.isfinite(problem.values_BIN)
    count_BN = known_BIN.sum(axis=1)
    some_BN = np.maximum(count_BN, 1)
    filled_BIN = np.where(known_BIN, problem.values_BIN, 0.0)
    centre_BN = np.where(count_BN > 0, filled_BIN.sum(axis=1) / some_BN, np.nan)
    square_BIN = np.where(known_BIN, (problem.values_BIN - np.nan_to_num(centre_BN)[:, None]) ** 2, 0.0)
    raw_BN = np.where(count_BN > 1, np.sqrt(square_BIN.sum(axis=1) / some_BN), np.nan)
    noise_BIN = np.where(known_BIN & np.isfinite(problem.noise_BIN), problem.noise_BIN, 0.0)
    noise_BN = np.sqrt(noise_BIN.sum(axis=1) / some_BN)
    same_BB1 = np.eye(len(raw_BN), dtype=bool)[:, :, None]
    usual_BN = median(np.where(same_BB1, np.nan, raw_BN[None]), axis=1)
    floor_BN = np.fmax(noise_BN, FLAT_SHARE * np.nan_to_num(usual_BN))
    flat_BN = np.isfinite(raw_BN) & ((raw_BN <= floor_BN) | (raw_BN <= 1e-9 * np.abs(np.nan_to_num(centre_BN))))
    told_BN = ~flat_BN & (raw_BN > 0) & (usual_BN > 0)
    ratio_BN = np.where(told_BN, raw_BN / np.where(told_BN, usual_BN, 1.0), np.nan)
    usual_BN = usual_BN * np.where(told_BN.any(axis=1), median(ratio_BN, axis=1), 1.0)[:, None]
    # A column of which every source is known has the spread it has.
    drawn_BN = np.where(np.isfinite(usual_BN), SPREAD_CELLS * (1.0 - count_BN / problem.values_BIN.shape[1]), 0.0)
    own_BN = np.maximum(count_BN - 1, 0)
    total_BN = own_BN + drawn_BN
    pooled_BN = own_BN * np.nan_to_num(raw_BN) ** 2 + drawn_BN * np.nan_to_num(usual_BN) ** 2
    spread_BN = np.fmax(np.sqrt(pooled_BN / np.where(total_BN > 0, total_BN, 1.0)), floor_BN)
    spread_BN = np.where(spread_BN > 0, spread_BN, 1.0)
    z_BIN = (problem.values_BIN - centre_BN[:, None]) / spread_BN[:, None]
    z_BIN = np.where(known_BIN & ~flat_BN[:, None], z_BIN, np.nan)
    return Scale(centre_BN, spread_BN, flat_BN, z_BIN)


def median(values: Floats, axis: int) -> Floats:
    """Median of the finite values along an axis; NaN where there are none."""
    ordered = np.sort(values, axis=axis)
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[axis] - 1)
    middle = np.take_along_axis(ordered, low, axis) + np.take_along_axis(ordered, high, axis)
    return np.asarray(0.5 * middle).squeeze(axis)
