"""What a predictor is given: the transfer cells that are known, of one base model and perhaps of others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.predict.pairs import PairFeatures

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# A column whose spread is below this share of its median spread over the other base models is flat.
FLAT_SHARE = 0.05
# Columns that rank the sources alike to this correlation, in every base model taken together, are near-duplicates.
DUPLICATE = 0.95


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

    @classmethod
    def from_scores(cls, scores: ScoreMatrix, base: str | None = None, features: PairFeatures | None = None) -> Problem:
        """The transfer cells of a score matrix, seeds averaged; controls, mixes and foreign models are left out.

        Args:
            scores: measured scores, of one base model or of several.
            base: the base model to forecast; may be left out where there is one.
            features: of the pairs of that base model's sources and targets.

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
        sources = tuple(
            dict.fromkeys(str(s) for s, kind in zip(scores.sources_I, kinds, strict=True) if kind == "source")
        )
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

    # ---- other problems from this one

    def hide(self, hidden_IN: Bools) -> Problem:
        """The same problem where cells of the target base are not known: the only way in which a fold is made.

        What is hidden is gone from everything a predictor can see, so that no scale, rank or weight knows it.
        """
        values_BIN = self.values_BIN.copy()
        values_BIN[self.target][hidden_IN] = np.nan
        return replace(self, values_BIN=values_BIN)

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
        spread_BN: their standard deviation (ddof 0), at least the evaluation noise of the column; where fewer than
            two cells are known, the median over the other base models (or 1 without any).
        flat_BN: columns that say nothing: their cells differ no more than their noise.
        z_BIN: the known cells, centred and divided by the spread; NaN elsewhere, and in flat columns.
    """

    centre_BN: Floats
    spread_BN: Floats
    flat_BN: Bools
    z_BIN: Floats


def column_scale(problem: Problem) -> Scale:
    """Centre and spread of every column of every base model, in this fold.

    One column with a spread of .009 where the others have 3 otherwise decides every mean over columns.
    """
    known_BIN = np.isfinite(problem.values_BIN)
    count_BN = known_BIN.sum(axis=1)
    filled_BIN = np.where(known_BIN, problem.values_BIN, 0.0)
    centre_BN = np.where(count_BN > 0, filled_BIN.sum(axis=1) / np.maximum(count_BN, 1), np.nan)
    square_BIN = np.where(known_BIN, (problem.values_BIN - np.nan_to_num(centre_BN)[:, None]) ** 2, 0.0)
    raw_BN = np.sqrt(square_BIN.sum(axis=1) / np.maximum(count_BN, 1))
    raw_BN[count_BN < 2] = np.nan
    noise_BIN = np.where(known_BIN & np.isfinite(problem.noise_BIN), problem.noise_BIN, 0.0)
    noise_BN = np.sqrt(noise_BIN.sum(axis=1) / np.maximum(count_BN, 1))
    usual_BN = np.full(raw_BN.shape, np.nan)
    for b in range(len(raw_BN)):
        rest_BN = np.delete(raw_BN, b, axis=0)
        some_N = np.isfinite(rest_BN).any(axis=0)
        usual_BN[b, some_N] = np.nanmedian(rest_BN[:, some_N], axis=0)
    floor_BN = np.fmax(noise_BN, FLAT_SHARE * np.nan_to_num(usual_BN))
    with np.errstate(invalid="ignore"):
        flat_BN = np.isfinite(raw_BN) & ((raw_BN <= floor_BN) | (raw_BN <= 1e-9 * np.abs(np.nan_to_num(centre_BN))))
    spread_BN = np.fmax(np.where(np.isfinite(raw_BN), raw_BN, usual_BN), floor_BN)
    spread_BN = np.where(np.isfinite(spread_BN) & (spread_BN > 0), spread_BN, 1.0)
    z_BIN = (problem.values_BIN - centre_BN[:, None]) / spread_BN[:, None]
    z_BIN = np.where(known_BIN & ~flat_BN[:, None], z_BIN, np.nan)
    return Scale(centre_BN, spread_BN, flat_BN, z_BIN)
