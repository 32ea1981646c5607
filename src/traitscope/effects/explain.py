"""Which statistics of the datasets go with which traits and gains, and whether so few datasets can tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.explanation import Explanation
from traitscope.effects.grid import Grid
from traitscope.effects.ridge import leave_one_out_ridge, ridge_coefficients
from traitscope.effects.significance import benjamini_hochberg, normal_quantile
from traitscope.errors import TraitscopeError, check_shares
from traitscope.matrix import ScoreMatrix
from traitscope.stats.result import DatasetStats
from traitscope.ticks import ticks

MIN_SOURCES = 5
NULL_DRAWS = 200_000


class TraitScores(Protocol):
    """What is read of fitted traits: models_I, scores_IK and the traits' names."""

    @property
    def models(self) -> tuple[str, ...]: ...
    @property
    def scores_IK(self) -> Any: ...
    @property
    def trait_names(self) -> tuple[str, ...]: ...


CORRELATION_COLUMNS = ("statistic", "outcome", "rho", "lo", "hi", "n", "p", "q")
REGRESSION_COLUMNS = ("outcome", "r2", "p", "q", "n", "features", "strongest")


def explain(
    traits: TraitScores | None,
    stats: DatasetStats,
    matrix: ScoreMatrix | None = None,
    *,
    statistics: Sequence[str] | None = None,
    per_task: bool = False,
    sources: Mapping[str, str] | None = None,
    permutations: int = 19_999,
    level: float = 0.95,
    seed: int = 0,
) -> Explanation:
    """Which statistics of a source's data go with its traits, and with its gains.

    Seeds of one source are averaged, so that the sources are the rows; base, mixes and controls are left out.

    Args:
        traits: fitted traits, or None for gains only.
        stats: statistics of the sources.
        matrix: adds the mean standardised gain on tasks other than the source's own as an outcome.
        statistics: which columns of ``stats.frame``; default: the core ones.
        per_task: with ``matrix``, every task's gain is an outcome as well (many more tests).
        sources: source by model; by default the model's name without ``-s<seed>``.
        permutations: of the sources, for every p.
        level: of the intervals.
        seed: of the permutations.

    Raises:
        TraitscopeError: fewer than five sources have statistics, a statistic is unknown, or the level is not between
            0 and 1.
    """
    outcomes = [] if traits is None else [_trait_outcomes(traits, stats, sources)]
    if matrix is not None:
        outcomes.append(_gain_outcomes(matrix, stats, per_task))
    if not outcomes:
        raise TraitscopeError("nothing to explain", where="explain", fix="give traits, a score matrix, or both")
    names = list(stats.core().columns) if statistics is None else list(statistics)
    unknown = [name for name in names if name not in stats.frame.columns]
    if unknown:
        raise TraitscopeError(
            f"unknown statistics: {', '.join(unknown)}", where="explain", fix="see the columns of stats.frame"
        )
    return explain_outcomes(
        pd.concat(outcomes, axis=1), stats.frame[names], permutations=permutations, level=level, seed=seed
    )


def explain_outcomes(
    outcomes: pd.DataFrame,
    statistics: pd.DataFrame,
    *,
    permutations: int = 19_999,
    level: float = 0.95,
    seed: int = 0,
) -> Explanation:
    """The same for any outcomes: both frames have sources as index; NaN leaves a source out of that pair.

    Correlations are Spearman's, with p from permuting the sources and intervals by Fisher's z (Fieller et al.
    1957). The regression is a ridge on the statistics that all sources have, every source predicted from the
    others.

    Raises:
        TraitscopeError: fewer than five sources are in both, or the level is not between 0 and 1.
    """
    check_shares("explain", level=level)
    common = [name for name in outcomes.index if name in statistics.index]
    if len(common) < MIN_SOURCES:
        raise TraitscopeError(
            f"{len(common)} sources have both statistics and outcomes",
            where="explain",
            fix=f"at least {MIN_SOURCES} are needed; check that dataset names are source names",
        )
    y, x = outcomes.loc[common].astype(float), statistics.loc[common].astype(float)
    usable = [c for c in x.columns if np.isfinite(x[c]).sum() >= MIN_SOURCES and x[c][np.isfinite(x[c])].nunique() > 1]
    notes = []
    if len(usable) < x.shape[1]:
        dropped = ", ".join(c for c in x.columns if c not in usable)
        notes.append(f"left out, as fewer than {MIN_SOURCES} sources have them or all are equal: {dropped}")
    x = x[usable]
    rows = _correlations(x, y, permutations, level, seed)
    correlations = pd.DataFrame(rows, columns=list(CORRELATION_COLUMNS))
    correlations["q"] = benjamini_hochberg(correlations["p"])
    regressions = _regressions(x, y, min(permutations, 999), seed)
    looked_at = int(correlations["p"].notna().sum())
    detectable, with_power = detectable_rho(len(common), looked_at, 1 - level, seed)
    return Explanation(
        correlations=correlations.sort_values("p", kind="stable", ignore_index=True),
        regressions=regressions,
        sources=len(common),
        looked_at=looked_at,
        detectable=detectable,
        detectable_80=with_power,
        level=level,
        notes=tuple(notes),
    )


def detectable_rho(n: int, tests: int, alpha: float = 0.05, seed: int = 0) -> tuple[float, float]:
    """Smallest |rho| at p <= alpha / tests with n rows, and the true |rho| then found with 80 % power.

    The null is simulated by permuting n ranks where alpha / tests can be reached by 200,000 draws, else
    Student's t; the power by Fisher's z with Fieller's variance 1.06 / (n - 3). The first is above 1 where no
    correlation of n ranks is rare enough.
    """
    from scipy.special import factorial
    from scipy.stats import t as student

    target = alpha / max(tests, 1)
    if 2.0 / factorial(n) > target:
        return 2.0, 1.0
    if target * NULL_DRAWS >= 20:
        rng = np.random.default_rng([seed, n])
        base = np.arange(n) - (n - 1) / 2
        drawn = rng.permuted(np.tile(base, (NULL_DRAWS, 1)), axis=1)
        null = np.sort(np.abs(drawn @ base) / float(base @ base))[::-1]
        # The smallest |rho| whose tail, itself included, is no larger than the target.
        cut = null[int(target * NULL_DRAWS)]
        above = null[null > cut + 1e-12]
        critical = float(above[-1]) if above.size else 1.0
    else:
        t = float(student.ppf(1 - target / 2, n - 2))
        critical = t / float(np.sqrt(n - 2 + t * t))
    if critical >= 1 - 1e-9:
        return critical, 1.0
    return critical, float(np.tanh(np.arctanh(critical) + 0.8416 * np.sqrt(1.06 / (n - 3))))


def _correlations(x: pd.DataFrame, y: pd.DataFrame, permutations: int, level: float, seed: int) -> list[tuple]:
    from scipy.stats import rankdata

    rows = []
    z = normal_quantile(level)
    orders: dict[int, NDArray[np.int64]] = {}
    for outcome in ticks(y.columns, "correlations", len(y.columns)):
        for statistic in x.columns:
            a, b = x[statistic].to_numpy(), y[outcome].to_numpy()
            both = np.isfinite(a) & np.isfinite(b)
            n = int(both.sum())
            if n < MIN_SOURCES or len(set(a[both])) < 2 or len(set(b[both])) < 2:
                continue
            left, right = (rankdata(values[both]) - (n + 1) / 2 for values in (a, b))
            product = float(left @ right)
            rho = product / float(np.sqrt((left @ left) * (right @ right)))
            if n not in orders:
                rng = np.random.default_rng([seed, n, 3])
                orders[n] = rng.permuted(np.tile(np.arange(n), (permutations, 1)), axis=1)
            hits = int((np.abs(left[orders[n]] @ right) >= abs(product) - 1e-9).sum())
            half = z * float(np.sqrt(1.06 / (n - 3)))
            middle = float(np.arctanh(np.clip(rho, -0.999999, 0.999999)))
            interval = np.tanh([middle - half, middle + half])
            p = (hits + 1) / (permutations + 1)
            rows.append((statistic, outcome, rho, float(interval[0]), float(interval[1]), n, p, np.nan))
    return rows


def _regressions(x: pd.DataFrame, y: pd.DataFrame, permutations: int, seed: int) -> pd.DataFrame:
    full = [c for c in x.columns if np.isfinite(x[c]).all()]
    rows = []
    for outcome in ticks(y.columns, "regressions", len(y.columns)):
        values = y[outcome].to_numpy()
        keep = np.isfinite(values)
        features, target = x[full].to_numpy()[keep], values[keep]
        if len(target) < MIN_SOURCES or not full or len(set(target)) < 2:
            continue
        rng = np.random.default_rng([seed, len(target), 5])
        order = rng.permuted(np.tile(np.arange(len(target)), (permutations, 1)), axis=1)
        shuffled = np.concatenate([target[None, :], target[order]]).T
        r2 = leave_one_out_ridge(features, shuffled).r2_Q
        p = (int((r2[1:] >= r2[0] - 1e-12).sum()) + 1) / (permutations + 1)
        weights = ridge_coefficients(features, target)
        strongest = ", ".join(f"{full[k]} {weights[k]:+.2f}" for k in np.argsort(-np.abs(weights))[:3])
        rows.append((outcome, float(r2[0]), p, np.nan, len(target), len(full), strongest))
    frame = pd.DataFrame(rows, columns=list(REGRESSION_COLUMNS))
    frame["q"] = benjamini_hochberg(frame["p"])
    return frame


def _trait_outcomes(traits: TraitScores, stats: DatasetStats, sources: Mapping[str, str] | None) -> pd.DataFrame:
    frame = pd.DataFrame(np.asarray(traits.scores_IK, dtype=float), columns=list(traits.trait_names))
    frame["source"] = [(sources or {}).get(model, re.sub(r"-s\d+$", "", model)) for model in traits.models]
    # A control shares its text with the source it alters: it is no further source.
    own = [name for name in stats.names if name.rsplit(".", 1)[0] not in stats.names or "." not in name]
    frame = frame[frame["source"].isin(own)]
    return frame.groupby("source", sort=False).mean()


def _gain_outcomes(matrix: ScoreMatrix, stats: DatasetStats, per_task: bool) -> pd.DataFrame:
    grid = Grid.of(matrix)
    values = grid.gains_IN if np.isfinite(grid.gains_IN[grid.fitted]).any() else grid.scores_IN
    rows = {}
    for (_, source), members in grid.by_source().items():
        if source in stats.names:
            row = pd.DataFrame(values[members]).mean().to_numpy()
            moved = [grid.transfers(source, task) for task in grid.tasks]
            rows[source] = np.where(moved, row, np.nan)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(grid.tasks))
    spread = frame.std(ddof=1)
    # Tasks are centred as well, since each source lacks another one: its own.
    scaled = (frame - frame.mean()) / spread.where(spread > 0)
    mean = scaled.mean(axis=1).rename("mean gain on other tasks").to_frame()
    return mean.join(frame.add_prefix("gain on ")) if per_task else mean
