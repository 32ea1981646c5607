"""Predictors under protocols: what each gets wrong, and whether it is better than the column mean."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.predict.conformal import whole_scale
from traitscope.predict.evaluation import ALL, TOGETHER, Evaluation
from traitscope.predict.judging import Fold, judge, line
from traitscope.predict.pairs import PairFeatures
from traitscope.predict.predictor import PREDICTORS, CannotFit, Predictor, predictor_named
from traitscope.predict.problem import DUPLICATE, Problem
from traitscope.predict.protocols import Protocol, named_protocols
from traitscope.predict.scoring import near_duplicates
from traitscope.predict.skill import skill
from traitscope.registry import registry

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BASELINES = ("column mean", "additive")


def evaluate_predictors(
    scores: ScoreMatrix,
    *,
    features: PairFeatures | None = None,
    base: str | None = None,
    predictors: Sequence[str] | None = None,
    protocols: Sequence[str] | None = None,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Evaluation:
    """Every predictor under every protocol, for every base model or one of them.

    Predictors see the cells that a fold leaves, centred and scaled by these alone; own cells and copies are never seen
    nor judged. Errors are in standard deviations (ddof 0) of the whole column, over all its transfer cells; where
    nothing of a column is known, prediction and truth are taken around their means. Sources are ranked inside held-out
    columns only, cells that are known there by their score. Flat columns are named and not judged.

    Args:
        scores: a score matrix, of one base model or of several.
        features: of the pairs of the base model that is forecast; with several base models ``base`` must be named.
        base: the base model to forecast; all of them by default. The others are known in either case.
        predictors: names of registered predictors; all by default.
        protocols: names of ``protocols.PROTOCOLS``; all that can be had by default.
        seed: of folds.
        progress: called with folds done, folds in all, and what is done at present.

    Raises:
        TraitscopeError: an unknown name, no sources, or features without a base model to which they belong.
    """
    wanted, names = _named(predictors), named_protocols(None if protocols is None else tuple(protocols))
    bases = list(dict.fromkeys(str(name) for name in scores.rows["base"]))
    if features is not None and base is None and len(bases) > 1:
        raise TraitscopeError(
            "features belong to one base model", where="predict", fix=f"name it: {', '.join(bases[:12])}"
        )
    first = Problem.from_scores(scores, base if base is not None else bases[0], features)
    targets = [first] if base is not None or len(bases) == 1 else [first.for_base(b) for b in range(len(first.bases))]
    targets = [problem for problem in targets if problem.known_IN.sum() > 3]
    if not targets:
        raise TraitscopeError("no base model has four transfer cells", where="predict", fix="measure more cells first")
    scale = first.scale
    groups = near_duplicates(scale.z_BIN, DUPLICATE)
    parts = {ALL: names}
    if groups:
        parts[TOGETHER] = tuple(protocol for protocol in names if protocol.name in ("column", "probes"))
    jobs = _jobs(targets, parts, groups, seed)
    total, done = sum(len(folds) for *_, folds in jobs) * len(wanted), 0
    rows: list[dict[str, object]] = []
    errors: dict[tuple[str, str, str], list[Floats]] = {}
    notes: list[str] = []
    for part, problem, protocol, folds in jobs:
        for name, predictor in wanted.items():
            if progress is not None:
                progress(done, total, f"{problem.bases[problem.target]}, {protocol.name}, {name}")
            done += len(folds)
            rng = np.random.default_rng([seed, zlib.crc32(f"{name}/{protocol.name}".encode())])
            try:
                tally = judge(problem, predictor, protocol.ranks, folds, rng)
            except CannotFit as reason:
                notes.append(f"{name} was not fitted: {reason}")
                continue
            rows.append(
                {"held": part, "protocol": protocol.name, "predictor": name, "base": problem.bases[problem.target]}
                | line(tally)
            )
            with np.errstate(invalid="ignore"):
                mean_IN = tally.error_IN / np.where(tally.judged_IN > 0, tally.judged_IN, np.nan)
            errors.setdefault((part, protocol.name, name), []).append(mean_IN)
            if protocol.name == "source" and tally.only_means:
                notes.append(f"a new source is the column mean to {name}: it has nothing that tells sources apart")
    if progress is not None:
        progress(total, total, "")
    return Evaluation(
        table=pd.DataFrame(rows),
        skill=_skills(errors, tuple(wanted)),
        bases=tuple(problem.bases[problem.target] for problem in targets),
        sources=first.sources,
        tasks=first.tasks,
        flat=tuple((first.bases[b], first.tasks[n]) for b, n in np.argwhere(scale.flat_BN)),
        duplicates=tuple(tuple(first.tasks[n] for n in group) for group in groups),
        ceiling=_ceiling(targets),
        notes=tuple(dict.fromkeys(notes)),
    )


def _named(names: Sequence[str] | None) -> dict[str, Predictor]:
    chosen = registry(PREDICTORS.kind).names() if names is None else tuple(dict.fromkeys([*BASELINES, *names]))
    return {name: predictor_named(name) for name in chosen}


def _jobs(
    targets: Iterable[Problem],
    parts: dict[str, tuple[Protocol, ...]],
    groups: tuple[tuple[int, ...], ...],
    seed: int,
) -> list[tuple[str, Problem, Protocol, list[Fold]]]:
    """What is to be judged: the table it belongs to, the problem, the protocol, its folds."""
    jobs = []
    for problem in targets:
        for part, protocols in parts.items():
            for protocol in protocols:
                rng = np.random.default_rng([seed, problem.target, zlib.crc32(protocol.name.encode())])
                hidden = protocol.folds(problem, rng)
                folds = [Fold(hidden_IN, hidden_IN) for hidden_IN in hidden]
                if part == TOGETHER:
                    folds = [_with_twins(problem, fold, groups) for fold in folds]
                folds = [fold for fold in folds if fold.judged_IN.any()]
                if folds:
                    jobs.append((part, problem, protocol, folds))
    return jobs


def _with_twins(problem: Problem, fold: Fold, groups: tuple[tuple[int, ...], ...]) -> Fold:
    """The fold of one column with the column's near-duplicates hidden too; nothing is judged where it has none."""
    columns = set(np.flatnonzero(fold.judged_IN.any(axis=0)).tolist())
    for group in groups:
        if columns & set(group):
            twins_N = np.isin(np.arange(len(problem.tasks)), list(set(group) - columns))
            return Fold(fold.hidden_IN | (problem.known_IN & twins_N), fold.judged_IN)
    return Fold(fold.hidden_IN, np.zeros_like(fold.judged_IN))


def _skills(errors: dict[tuple[str, str, str], list[Floats]], names: tuple[str, ...]) -> pd.DataFrame:
    """Every predictor against the baselines, paired over sources and targets, base models averaged."""
    rows = []
    for (part, protocol, name), found in errors.items():
        for against in BASELINES:
            known = errors.get((part, protocol, against))
            if name == against or known is None or (name in BASELINES and against != BASELINES[0]):
                continue
            told = skill(_mean(found), _mean(known))
            rows.append({"held": part, "protocol": protocol, "predictor": name, "against": against} | vars(told))
    return pd.DataFrame(rows)


def _mean(found: Sequence[Floats]) -> Floats:
    """Mean over base models of the cells that were judged in any."""
    stack_BIN = np.array(found)
    count_IN = np.isfinite(stack_BIN).sum(axis=0)
    total_IN = np.where(np.isfinite(stack_BIN), stack_BIN, 0.0).sum(axis=0)
    return np.where(count_IN > 0, total_IN / np.maximum(count_IN, 1), np.nan)


def _ceiling(targets: Sequence[Problem]) -> tuple[float, float] | None:
    """Least RMSE, and largest correlation, that known cell noise leaves to anybody; median over base models."""
    found = []
    for problem in targets:
        noise_IN = problem.noise_BIN[problem.target]
        told_IN = problem.known_IN & np.isfinite(noise_IN)
        flat_N = problem.scale.flat_BN[problem.target]
        told_IN &= ~flat_N
        if not told_IN.any():
            continue
        share = float(np.mean((noise_IN / whole_scale(problem)[1] ** 2)[told_IN]))
        found.append((np.sqrt(share), np.sqrt(max(0.0, 1.0 - share))))
    if not found:
        return None
    return float(np.median([low for low, _ in found])), float(np.median([high for _, high in found]))
