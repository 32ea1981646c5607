"""From a score matrix to traits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.matrix.roles import TRAINED
from traitscope.registry import did_you_mean
from traitscope.traits.bootstrap import ROUNDS
from traitscope.traits.cells import Cells, cells_of
from traitscope.traits.count import TraitCount
from traitscope.traits.counting import LEVEL, Counted, count_directions, outlying
from traitscope.traits.factors import fit_factors
from traitscope.traits.headline import state_count
from traitscope.traits.intervals import Decomposed, Decomposer, Resampled, resample, stability
from traitscope.traits.missing import largest_rank
from traitscope.traits.naming import name_single, propose_names, task_labels
from traitscope.traits.null import PermutationNull, permutation_null
from traitscope.traits.options import TraitOptions
from traitscope.traits.pca import centre_and_scale, principal_components
from traitscope.traits.projection import Projected, precision_by_rest, project
from traitscope.traits.result import Traits
from traitscope.traits.rotation import Rotated, rotate
from traitscope.traits.sizes import FEWEST_REPLICATES, MOST_DIRECTIONS, is_large, portions, repetitions, size_note
from traitscope.traits.skills import declared_skills, skill_agreement

Floats = npt.NDArray[np.float64]


def fit_traits(scores: ScoreMatrix, **options: Any) -> Traits:
    """Traits of a score matrix, how many there are, and how sure one can be of each.

    Fitted on the transfer cells of bases and sources: own and copied tasks count as not observed; controls, mixes,
    foreign models and rows of degenerate answers are projected afterwards. Columns are centred over the rows of the
    fit, the base included, of several base models within each; ``own="include", rows="all"`` is the way of the
    transfer paper (Krishna et al. 2025).

    Args:
        scores: the matrix. Metrics that are better when lower change sign first.
        options: the fields of ``TraitOptions``, by name.

    Returns:
        The traits; cells that are missing or do not count are filled from the traits kept.

    Raises:
        TraitscopeError: too few rows, columns or cells; unknown option or task; k out of range.
    """
    asked = TraitOptions(**options)
    for word, task in ((word, task) for word, tasks in (asked.words or {}).items() for task in tasks):
        if task not in scores.tasks:
            fix = did_you_mean(task, scores.tasks)
            raise TraitscopeError(f"the word {word!r} stands for an unknown task {task!r}", where="words", fix=fix)
    if asked.run_sd is not None:
        scores = scores.with_run_sd(asked.run_sd)
    everything = cells_of(scores, asked.view, mean=asked.seeds == "mean", own=asked.own == "include")
    of_fit = _rows_of_fit(everything, asked)
    candidates = everything.rows(of_fit)
    candidates.notes()
    units = candidates.units
    asked = replace(asked, scale=len(units) > 1 if asked.scale is None else bool(asked.scale))
    far, stay = outlying(candidates, asked)
    kept_rows = [i for j, i in enumerate(of_fit) if j not in far]
    cells = everything.rows(kept_rows)
    matrix, notes = cells.matrix, [*cells.notes(), *_notes(everything, cells, asked)]
    shortened = size_note(cells.values_IN.shape, asked.permutations, asked.replicates, len(cells.adapters_J))
    notes += [] if shortened is None else [shortened]
    if stay:
        odd = ", ".join(candidates.matrix.models[j] for j in stay)
        notes.append(f"{odd}: low on most tasks and unlike the rest, but counted, as tasks have too few rows without")
    if len(units) > 1:
        way = "columns are divided by their standard deviation" if asked.scale else "the largest numbers weigh most"
        notes.append(f"tasks are measured in several units ({', '.join(units)}): {way}")
    rng = np.random.default_rng(asked.seed)
    counted = count_directions(cells, asked, rng)
    if counted.sequential is not None and counted.supported == MOST_DIRECTIONS:
        notes.append(f"{MOST_DIRECTIONS} directions were counted, and no more were looked for")
    with_far = count_directions(candidates, replace(asked, held_out=0), rng).supported if far else None
    fitted = _decompose(cells, _choose_k(asked.k, counted, cells), asked, rng)
    found, kept = fitted.turned.components, fitted.k
    resampled = _resample(cells, fitted, asked)
    skills = declared_skills(matrix.tasks, matrix.tags)
    agreement = skill_agreement(found.loadings_KN, found.singular_K, skills, rng=rng) if skills else None
    labels = task_labels(matrix.tasks, matrix.tags, asked.words)
    names = propose_names(found.loadings_KN, matrix.tasks, labels, rng=rng)
    names = name_single(names, found.loadings_KN, found.scores_IK, matrix.tasks, matrix.models)
    each = [i < counted.supported for i in range(kept)]
    left_out = tuple(candidates.matrix.models[j] for j in far)
    return Traits(
        models=matrix.models,
        tasks=matrix.tasks,
        base=matrix.base_name,
        view=asked.view,
        cells=fitted_on(asked),
        scaled=bool(asked.scale),
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
            outlying=left_out,
            with_outlying=with_far,
            statement=state_count(
                counted.steps,
                counted.held_out,
                known=counted.sequential is not None,
                of="transfer"
                if (asked.own, asked.rows) == ("exclude", "transfer")
                else f"the matrix ({fitted_on(asked)})",
                runs_only=_runs_only(cells),
                outlying=left_out,
                with_outlying=with_far,
            ),
        ),
        above_null_K=tuple(each if asked.rotate is None else [all(each)] * kept),
        intervals=resampled.intervals,
        stability=stability(found, cells.values_IN, fitted.decompose, matrix.models, cells.adapters_J, resampled),
        names=names,
        skills=agreement,
        projected=_projected(everything, cells, kept_rows, left_out, fitted),
        filled_IN=fitted.filled_IN,
        missing=int(cells.gaps_IN.sum()),
        seed=asked.seed,
        notes=tuple(notes),
    )


def fitted_on(asked: TraitOptions) -> str:
    """Which cells and rows the traits are made of, in words."""
    rows = "base and sources" if asked.rows == "transfer" else "all rows"
    return f"{'transfer cells' if asked.own == 'exclude' else 'transfer, own and copied cells'} of {rows}"


def _rows_of_fit(everything: Cells, asked: TraitOptions) -> list[int]:
    """Indices of the rows that traits are fitted on; a source without any cell that counts cannot be one."""
    kinds = [role.kind for role in everything.matrix.roles_I]
    measured_IN = np.isfinite(everything.matrix.scores_IN)
    only_own_I = np.asarray(measured_IN.any(axis=1) & ~(measured_IN & everything.counted_IN).any(axis=1))
    rows = [
        i for i, kind in enumerate(kinds) if (asked.rows == "all" or kind in ("base", "source")) and not only_own_I[i]
    ]
    # A base model of which there is nothing else has no difference within it.
    bases = everything.matrix.rows["base"].iloc[rows]
    lone = bases.nunique() > 1 and bases.map(bases.value_counts()) == 1
    return [i for i, out in zip(rows, np.broadcast_to(lone, len(rows)), strict=True) if not out]


def _runs_only(cells: Cells) -> bool:
    """Whether there are trained rows, and nothing is known of how far runs differ."""
    trained = any(role.kind in TRAINED for role in cells.matrix.roles_I)
    return trained and (cells.noise is None or cells.noise.seed is None)


def _notes(everything: Cells, cells: Cells, asked: TraitOptions) -> list[str]:
    """What was fitted on, and what stands beside it."""
    notes = [f"fitted on the {fitted_on(asked)}"]
    if len(cells.by_base) > 1:
        notes[0] += f", within each of {len(cells.by_base)} base models: their levels on the tasks are taken out"
    unseen = int((~cells.counted_IN & np.isfinite(cells.matrix.scores_IN)).sum())
    if unseen:
        notes[0] += f"; {unseen} own and copied cells count as not observed"
    beside = [m for m in everything.matrix.models if m not in cells.matrix.models]
    if beside:
        notes.append(f"projected onto the traits afterwards: {', '.join(beside[:20])}")
    return notes


def _projected(
    everything: Cells, cells: Cells, kept_rows: list[int], outlying: tuple[str, ...], fitted: _Fitted
) -> Projected:
    """Places of the other rows on the traits, from all cells that they have."""
    others = [i for i in range(len(everything.matrix.models)) if i not in kept_rows]
    roles, models = everything.matrix.roles_I, everything.matrix.models
    components = fitted.turned.components
    whole = replace(everything, counted_IN=np.full_like(everything.counted_IN, True))
    values_PN, precision_IN = cells.around_bases(whole, others), whole.precision_IN
    if whole.noise is None:
        rest_IN = (fitted.filled_IN - fitted.center_N) / fitted.scale_N
        rest_IN = rest_IN - (components.scores_IK * components.singular_K) @ components.loadings_KN
        precision_IN = precision_IN * precision_by_rest(rest_IN)
    else:
        precision_IN = precision_IN * fitted.scale_N**2
    return Projected(
        models=tuple(models[i] for i in others),
        kinds=tuple("outlying" if models[i] in outlying else roles[i].kind for i in others),
        scores_PK=project(
            (values_PN - fitted.center_N) / fitted.scale_N,
            np.where(np.isfinite(values_PN), precision_IN[others], 0.0),
            components.loadings_KN * components.singular_K[:, None],
            len(kept_rows),
        ),
    )


def _choose_k(k: int | str, counted: Counted, cells: Cells) -> int:
    """Number of traits to keep; raises if the wish cannot be met."""
    n_models, n_tasks = cells.values_IN.shape
    gaps = bool(cells.gaps_IN.any())
    free = n_models - len(cells.by_base)
    most = largest_rank(free + 1, n_tasks) if gaps else min(free, n_tasks)
    if k == "auto":
        wanted = counted.supported
        if counted.sequential is None and counted.held_out is not None:
            wanted = max(wanted, counted.held_out.count)
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
    scale = bool(asked.scale)
    decompose = Decomposer(k, scale, asked.rotate, None if cells.noise is None else cells.precision_IN)
    filled_IN = decompose.fill(cells.values_IN[None])[0]
    centred_IN, center_N, scale_N = centre_and_scale(filled_IN, scale)
    null = permutation_null(centred_IN, permutations=asked.permutations, rng=rng, alpha=LEVEL, blocks=cells.by_base)
    first = principal_components(centred_IN).first(k)
    turned = rotate(first.scores_IK, first.singular_K, first.loadings_KN, asked.rotate)
    energy = max(float((centred_IN**2).sum()), 1e-300)
    explained_K = turned.components.singular_K**2 / energy
    return _Fitted(filled_IN, center_N, scale_N, null, turned, explained_K, decompose)


def _resample(cells: Cells, fitted: _Fitted, asked: TraitOptions) -> Resampled:
    """Intervals over replicates of the matrix; nothing where the cells' errors are not known."""
    if cells.noise is None or asked.replicates < 1:
        return Resampled(None, np.full(fitted.k, np.nan), float("nan"))
    rng = np.random.default_rng(asked.seed)
    held = np.where(cells.gaps_IN, 0.0, cells.values_IN)[None]
    factors = fit_factors(held, cells.precision_IN, fitted.k, iterations=ROUNDS)
    count, decompose, parts = asked.replicates, fitted.decompose, []
    if is_large(*cells.values_IN.shape):
        count = repetitions(count, cells.values_IN.shape, FEWEST_REPLICATES)
        decompose = replace(decompose, start=factors)
    portion_sizes = portions(count, cells.values_IN.shape) if is_large(*cells.values_IN.shape) else [count]
    for size in portion_sizes:
        truths_RIN = factors.draw(size, rng)
        copies_RIN = np.where(cells.gaps_IN, np.nan, truths_RIN + cells.draw(size, rng))
        parts.append((decompose(truths_RIN), decompose(copies_RIN)))
    truths, copies = ((np.concatenate(found) for found in zip(*side, strict=True)) for side in zip(*parts, strict=True))
    return resample(
        fitted.turned.components,
        fitted.explained_K,
        Decomposed(*truths),
        Decomposed(*copies),
        level=asked.level,
        source=cells.noise.source,
    )
