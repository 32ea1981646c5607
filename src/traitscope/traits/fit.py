"""From a score matrix to traits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.traits.cells import Cells
from traitscope.traits.count import (
    HeldOutCells,
    SequentialTest,
    TraitCount,
    held_out_cells,
    sequential_permutation,
    sequential_test,
    state_count,
)
from traitscope.traits.intervals import Decomposer, Resampled, resample, stability
from traitscope.traits.missing import complete, largest_rank
from traitscope.traits.naming import propose_names, task_labels
from traitscope.traits.null import PermutationNull, permutation_null
from traitscope.traits.options import TraitOptions
from traitscope.traits.pca import centre_and_scale, principal_components
from traitscope.traits.result import Traits
from traitscope.traits.rotation import Rotated, rotate
from traitscope.traits.skills import declared_skills, skill_agreement

Floats = npt.NDArray[np.float64]


def fit_traits(scores: ScoreMatrix, **options: Any) -> Traits:
    """Traits of a score matrix, how many there are, and how sure one can be of each.

    Columns are centred over all rows, the base included, as in the transfer paper (Krishna et al. 2025).

    Args:
        scores: the matrix. Metrics that are better when lower change sign first.
        options: the fields of ``TraitOptions``, by name.

    Returns:
        The traits; missing cells are filled by regularised iterative PCA with the traits kept.

    Raises:
        TraitscopeError: too few rows, columns or cells; unknown option; k out of range.
    """
    asked = TraitOptions(**options)
    matrix = scores.by_source() if asked.seeds == "mean" else scores
    cells = Cells(matrix, asked.view)
    notes = cells.notes()
    rng = np.random.default_rng(asked.seed)
    counted = _count(cells, asked, rng)
    fitted = _decompose(cells, _choose_k(asked.k, counted, cells), asked, rng)
    found, kept = fitted.turned.components, fitted.k
    resampled = _resample(cells, fitted, asked)
    skills = declared_skills(matrix.tasks, matrix.tags)
    agreement = skill_agreement(found.loadings_KN, found.singular_K, skills, rng=rng) if skills else None
    labels = task_labels(matrix.tasks, matrix.tags, asked.words)
    names = propose_names(found.loadings_KN, matrix.tasks, labels, rng=rng)
    each = [i < counted.supported for i in range(kept)]
    return Traits(
        models=matrix.models,
        tasks=matrix.tasks,
        base=matrix.base_name,
        view=asked.view,
        scaled=asked.scale,
        rotation=asked.rotate,
        center_N=fitted.center_N,
        scale_N=fitted.scale_N,
        loadings_KN=found.loadings_KN,
        scores_IK=found.scores_IK,
        singular_K=found.singular_K,
        explained_K=fitted.explained_K,
        correlation_KK=fitted.turned.correlation_KK,
        null=fitted.null,
        count=TraitCount(
            supported=counted.supported,
            sequential=counted.sequential,
            held_out=counted.held_out,
            permutation=counted.permutation,
            parallel=fitted.null.count,
            statement=state_count(counted.sequential, counted.permutation, counted.held_out),
        ),
        above_null_K=tuple(each if asked.rotate is None else [all(each)] * kept),
        intervals=resampled.intervals,
        stability=stability(found, cells.values_IN, fitted.decompose, matrix.models, cells.adapters_J, resampled),
        names=names,
        skills=agreement,
        filled_IN=fitted.filled_IN,
        missing=int(cells.gaps_IN.sum()),
        seed=asked.seed,
        notes=tuple(notes),
    )


class _Counted(NamedTuple):
    """Each way of finding the number of traits."""

    sequential: SequentialTest | None
    held_out: HeldOutCells | None
    permutation: SequentialTest

    @property
    def supported(self) -> int:
        """Components that beat the null that is trusted here."""
        return self.permutation.count if self.sequential is None else self.sequential.count

    @property
    def predictive(self) -> int:
        """Components that predict held-out cells."""
        return 0 if self.held_out is None else self.held_out.count


def _count(cells: Cells, asked: TraitOptions, rng: np.random.Generator) -> _Counted:
    """How many traits: against the cells' noise where it is known, by held-out cells, by permuted residuals."""
    sequential = None
    _, _, unit_N = centre_and_scale(cells.values_IN, True)
    unit = "column standard deviations"
    if cells.noise is not None:
        drawn_RIN = cells.errors_in_view(cells.noise.draw(asked.draws, rng))
        sequential = sequential_test(cells.values_IN, drawn_RIN, alpha=asked.alpha, method=cells.noise.source)
        unit_N, unit = np.sqrt((drawn_RIN**2).mean(axis=(0, 1))), "noise"
    held_out = held_out_cells(cells.values_IN, unit_N, unit, rng=rng, repeats=asked.held_out)
    filled_IN = complete(cells.values_IN, 0 if held_out is None else held_out.count)
    centred_IN, _, _ = centre_and_scale(filled_IN, asked.scale)
    permutation = sequential_permutation(centred_IN, permutations=asked.permutations, rng=rng, alpha=asked.alpha)
    return _Counted(sequential, held_out, permutation)


def _choose_k(k: int | str, counted: _Counted, cells: Cells) -> int:
    """Number of traits to keep; raises if the wish cannot be met."""
    n_models, n_tasks = cells.values_IN.shape
    gaps = bool(cells.gaps_IN.any())
    most = largest_rank(n_models, n_tasks) if gaps else min(n_models - 1, n_tasks)
    if k == "auto":
        wanted = counted.supported
        if counted.sequential is None:
            wanted = max(wanted, counted.predictive)
        return max(1, min(wanted, most))
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= most:
        raise TraitscopeError(
            f"k is {k!r}",
            where="fit_traits, k",
            fix=f"'auto' or a whole number from 1 to {most} for {n_models} x {n_tasks}"
            + (" with missing cells" if gaps else ""),
        )
    return k


@dataclass(frozen=True, eq=False)
class _Fitted:
    """The decomposition: what was filled, centred and rotated, beside its null."""

    filled_IN: Floats
    center_N: Floats
    scale_N: Floats
    null: PermutationNull
    turned: Rotated
    explained_K: Floats
    decompose: Decomposer

    @property
    def k(self) -> int:
        return self.decompose.k


def _decompose(cells: Cells, k: int, asked: TraitOptions, rng: np.random.Generator) -> _Fitted:
    """Gaps filled with k components, columns centred, the first k components rotated."""
    filled_IN = complete(cells.values_IN, k) if cells.gaps_IN.any() else cells.values_IN
    centred_IN, center_N, scale_N = centre_and_scale(filled_IN, asked.scale)
    null = permutation_null(centred_IN, permutations=asked.permutations, rng=rng, alpha=asked.alpha)
    first = principal_components(centred_IN).first(k)
    turned = rotate(first.scores_IK, first.singular_K, first.loadings_KN, asked.rotate)
    energy = max(float((centred_IN**2).sum()), 1e-300)
    explained_K = turned.components.singular_K**2 / energy
    return _Fitted(filled_IN, center_N, scale_N, null, turned, explained_K, Decomposer(k, asked.scale, asked.rotate))


def _resample(cells: Cells, fitted: _Fitted, asked: TraitOptions) -> Resampled:
    """Intervals over replicates of the matrix; nothing where the cells' errors are not known."""
    if cells.noise is None or asked.replicates < 1:
        return Resampled(None, np.full(fitted.k, np.nan), float("nan"))
    copies_RIN = cells.in_view(cells.matrix.replicates(asked.replicates, asked.seed))
    copies_RIN[:, cells.gaps_IN] = np.nan
    return resample(
        fitted.turned.components,
        fitted.explained_K,
        copies_RIN,
        fitted.decompose,
        level=asked.level,
        source=cells.noise.source,
    )
