"""Shared | transition | refinement: flat - rise - flat fitted to the gap, tested over resampled tasks, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from traitscope.errors import TraitscopeError
from traitscope.layers.section_types import MIN_TASKS, Boundary, Nearer, Sections
from traitscope.layers.segments import Rises, fit_bends, fit_rises

__all__ = ["CALIBRATION", "SectionCurves", "find_sections"]

CALIBRATION = (
    "For comparison: on the curves of Zhao, Ziser and Cohen (2024), read off their plots, the same fit gives "
    "shared 1-7 | transition 8-20 | refinement 21-32 in 100 % of 1,000 draws of the reading error, and the mix's "
    "dimensions reach their plateau at layer 15 in 100 %. The paper itself draws its boundaries after layers 9 and 15."
)
"""What the fit says of the layer paper's own network."""

# A gap smaller than this is none.
GAP_FLOOR = 0.02
# Every test asks this share of the resampled tasks; the height of the rise, which noise over tasks can feign, more.
_SURE, _SURE_OF_RISE = 0.95, 0.99
# A rise leaves at most this part of what a single bend leaves unexplained.
_BEND_SHARE = 0.5
# Equivalence, in shares of the rise: how far a flat may stray from its level, and the lower level from 0.
_STRAY, _LOW_LEVEL = 0.25, 1 / 3
_INTERVAL = (0.05, 0.95)
PLATEAU_SHARE = 0.95
AGREE_QUARTILE = 0.80
AGREE_SPREAD = 0.15


@dataclass(frozen=True)
class SectionCurves:
    """What the sections are read from, one row per task.

    Attributes:
        layers_L: layer numbers, rising; the embeddings (layer 0) left out.
        tasks: N task names.
        mix_NL: CKA(mix, control of the task). base_NL: CKA(base, control of the task).
        dims_NL: dimensions of the mix for 99 % of variance, at equal n; None where unknown.
        null_L: upper 95 % bound of the permutation null of the median CKA(mix, single-task), or None.
        measure: name of the similarity measure.
    """

    layers_L: np.ndarray
    tasks: tuple[str, ...]
    mix_NL: np.ndarray
    base_NL: np.ndarray
    dims_NL: np.ndarray | None = None
    null_L: np.ndarray | None = None
    measure: str = "cka"

    def __post_init__(self) -> None:
        shape = (len(self.tasks), len(self.layers_L))
        for name, curves in (("mix_NL", self.mix_NL), ("base_NL", self.base_NL), ("dims_NL", self.dims_NL)):
            if curves is not None and curves.shape != shape:
                raise TraitscopeError(
                    f"{name} has shape {curves.shape}, not tasks x layers = {shape}",
                    where="SectionCurves",
                    fix="give one row per task and one column per layer",
                )
        if len(self.layers_L) and (np.diff(self.layers_L) <= 0).any():
            raise TraitscopeError("layer numbers do not rise", where="SectionCurves", fix="sort the layers")

    def subset(self, tasks: Sequence[str]) -> SectionCurves:
        """The same curves for some of the tasks (a cluster, or the unseen ones)."""
        rows = [self.tasks.index(task) for task in tasks]
        return replace(
            self,
            tasks=tuple(tasks),
            mix_NL=self.mix_NL[rows],
            base_NL=self.base_NL[rows],
            dims_NL=None if self.dims_NL is None else self.dims_NL[rows],
        )

    def complete(self) -> tuple[SectionCurves, tuple[str, ...]]:
        """Without undefined values: layers undefined for most tasks go first, then tasks; with a note on each."""
        parts = [self.mix_NL, self.base_NL] + ([] if self.dims_NL is None else [self.dims_NL])
        ok_NL = np.all([np.isfinite(part) for part in parts], axis=0)
        if ok_NL.all():
            return self, ()
        keep_L = ok_NL.mean(axis=0) >= 0.5
        keep_N = ok_NL[:, keep_L].all(axis=1)
        notes = []
        if not keep_L.all():
            notes.append(f"layers {self.layers_L[~keep_L].tolist()} are undefined for most tasks and left out")
        if not keep_N.all():
            gone = [task for task, keep in zip(self.tasks, keep_N, strict=True) if not keep]
            notes.append(f"tasks with undefined layers are left out: {', '.join(gone)}")
        cut = np.ix_(keep_N, keep_L)
        kept = replace(
            self,
            layers_L=self.layers_L[keep_L],
            tasks=tuple(task for task, keep in zip(self.tasks, keep_N, strict=True) if keep),
            mix_NL=self.mix_NL[cut],
            base_NL=self.base_NL[cut],
            dims_NL=None if self.dims_NL is None else self.dims_NL[cut],
            null_L=None if self.null_L is None else self.null_L[keep_L],
        )
        return kept, tuple(notes)


class HasSectionCurves(Protocol):
    """A layer analysis that can give the curves of its trained tasks: `LayersResult`, or what a study's ``layers``
    gives."""

    def section_curves(self) -> SectionCurves: ...


def find_sections(
    curves: SectionCurves | HasSectionCurves, *, label: str = "all tasks", draws: int = 1000, seed: int = 0
) -> Sections:
    """Find the end of the shared section and the end of the transition, or say that they are not identified.

    The mean gap CKA(mix, single-task) - CKA(base, single-task) over tasks is fitted by flat - rise - flat (segmented
    regression, Muggeo 2003, with the knots searched exactly); the last layer of the lower flat ends the shared section,
    the first layer of the upper one ends the transition. A boundary is identified only if, in at least 95 % of the
    resamples of the tasks, the rise leaves at most half of what a single bend leaves unexplained, both flats are
    equivalent to a constant (no layer strays by a quarter of the rise), and the lower one to 0 (within a third of
    the rise); if the rise exceeds 0.02 in 99 %; if its 90 % interval is not wider than an eighth of the depth (at least
    4 layers); and if there are 5 tasks. The transition must also be followed by agreement with the controls: lower
    quartile of CKA(mix, single-task) >= 0.80, interquartile range <= 0.15, above the null.

    Args:
        curves: similarities and dimensions per task and layer, or a layer analysis that has them; undefined layers
            and tasks are left out with a note.
        label: what the tasks are ("all tasks", a cluster's name, "unseen tasks").
        draws: bootstrap resamples of the tasks. seed: their seed.

    Raises:
        TraitscopeError: no task, or fewer than 6 layers, remain.
    """
    given = curves if isinstance(curves, SectionCurves) else curves.section_curves()
    curves, notes = given.complete()
    n, depth = curves.mix_NL.shape
    if n == 0 or depth < 6:
        raise TraitscopeError(
            f"{n} tasks and {depth} layers are left",
            where=f"sections of {label}",
            fix="give a task and 6 layers or more",
        )
    gap_NL = curves.mix_NL - curves.base_NL
    drawn_BN = np.random.default_rng(seed).integers(n, size=(draws, n))
    counts_BN = np.apply_along_axis(np.bincount, 1, drawn_BN, minlength=n)
    gap_L, gap_BL = gap_NL.mean(axis=0), counts_BN @ gap_NL / n
    fit, fits = fit_rises(gap_L[None]), fit_rises(gap_BL)
    start, end = int(fit.start_B[0]), int(fit.end_B[0])
    if n < MIN_TASKS:
        count = "1 task" if n == 1 else f"{n} tasks"
        shape, doubts = "unknown", [f"only {count} (fewer than {MIN_TASKS})"]
    else:
        shape, doubts = _judge(gap_L, gap_BL, fit, fits, curves.layers_L)
    behind = doubts or list(_disagreement(curves.mix_NL[:, end:], curves.null_L, end))
    return Sections(
        label=label,
        measure=curves.measure,
        layers=tuple(int(layer) for layer in curves.layers_L),
        n_tasks=n,
        shape=shape,
        shared_end=_boundary(start, fits.start_B, curves.layers_L, doubts),
        transition_end=_boundary(end, fits.end_B, curves.layers_L, behind),
        nearer=_nearer(gap_NL, curves.layers_L),
        dims_plateau=_dims_plateau(curves.dims_NL, counts_BN, curves.layers_L),
        curves={"gap": tuple(gap_L.tolist()), "fit": tuple(fit.fit_BL[0].tolist())},
        notes=notes,
    )


def _judge(
    gap_L: np.ndarray, gap_BL: np.ndarray, fit: Rises, fits: Rises, layers_L: np.ndarray
) -> tuple[str, list[str]]:
    """The shape of the gap in words, and what speaks against sections; nothing where flat - rise - flat holds."""
    start, end = int(fit.start_B[0]), int(fit.end_B[0])
    lower_BL, upper_BL = gap_BL[:, : start + 1], gap_BL[:, end:]
    low_B, high_B = lower_BL.mean(axis=1), upper_BL.mean(axis=1)
    rise_B = high_B - low_B
    if _share(rise_B > GAP_FLOOR) < _SURE_OF_RISE:
        # Without a rise the other tests compare noise with noise.
        return "no rise", [f"the gap does not rise by more than {GAP_FLOOR:g} from low layers to high ones"]
    bends = fit_bends(gap_BL)
    if _share(fits.rest_B <= _BEND_SHARE * bends.rest_B) < _SURE:
        return _bent(gap_L, gap_BL, fit, layers_L)
    doubts = []
    if _share(np.abs(low_B) < _LOW_LEVEL * rise_B) < _SURE:
        doubts.append(f"the gap is not near 0 in the low layers ({gap_L[: start + 1].mean():+.2f} there)")
    for name, flat_BL, level_B in (("lower", lower_BL, low_B), ("upper", upper_BL, high_B)):
        if _share(np.abs(flat_BL - level_B[:, None]).max(axis=1) < _STRAY * rise_B) < _SURE:
            doubts.append(f"the {name} flat strays from its level by a quarter of the rise, or may")
    if doubts:
        return "a rise between parts that are not flat, or not at 0", doubts
    return ("step" if end == start + 1 else "flat - rise - flat"), []


def _bent(gap_L: np.ndarray, gap_BL: np.ndarray, fit: Rises, layers_L: np.ndarray) -> tuple[str, list[str]]:
    """What a rising gap is where a single bend describes it about as well as flat - rise - flat does."""
    bend = fit_bends(gap_L[None])
    knot = int(bend.knot_B[0])
    layer = int(layers_L[knot])
    if bend.rest_B[0] <= fit.rest_B[0]:
        bends = fit_bends(gap_BL, knot=knot)
        before_B, after_B = bends.before_B, bends.after_B
        if _share((np.abs(before_B) < _STRAY * after_B) & (after_B > 0)) >= _SURE:
            late = "late opening" if knot >= len(gap_L) / 2 else "no plateau"
            return late, [f"the gap opens after layer {layer} and rises to the last layer: no plateau"]
        if _share((np.abs(after_B) < _STRAY * before_B) & (before_B > 0)) >= _SURE:
            return "no shared section", [f"the gap rises from the first layer and levels off at layer {layer}"]
        if _share((before_B > 0) & (after_B > _STRAY * before_B)) >= _SURE:
            if _steady(gap_L):
                return "no plateau", ["the gap rises from the first layer to the last: no plateau"]
            return "not clear", ["the gap rises in more than one piece"]
    return "not clear", ["flat - rise - flat describes the gap hardly better than a single bend"]


def _steady(gap_L: np.ndarray) -> bool:
    """Whether every third of the layers rises, by a quarter of the whole's slope at least."""
    thirds = np.array_split(gap_L, 3)
    least = min(float(np.polyfit(np.arange(len(third_L)), third_L, 1)[0]) for third_L in thirds)
    return least > _STRAY * float(np.polyfit(np.arange(len(gap_L)), gap_L, 1)[0])


def _share(holds_B: np.ndarray) -> float:
    return float(np.mean(holds_B))


def _disagreement(mix_NL: np.ndarray, null_L: np.ndarray | None, end: int) -> tuple[str, ...]:
    """Why the layers of the upper flat do not agree with the controls; empty where they do.

    Lower quartile and spread over tasks are taken as medians over those layers, so that one odd layer does not decide.
    """
    q1_L, q3_L = np.quantile(mix_NL, (0.25, 0.75), axis=0)
    lower, spread = float(np.median(q1_L)), float(np.median(q3_L - q1_L))
    doubts = []
    if lower < AGREE_QUARTILE:
        doubts.append(
            f"after it the lower quartile of CKA(mix, single-task) is {lower:.2f}, below {AGREE_QUARTILE:.2f}"
        )
    if spread > AGREE_SPREAD:
        doubts.append(f"after it CKA(mix, single-task) spreads by {spread:.2f} over tasks, above {AGREE_SPREAD:.2f}")
    if null_L is not None and lower <= float(np.median(null_L[end:])):
        doubts.append("after it CKA(mix, single-task) is not above the permutation null")
    return tuple(doubts)


def _boundary(index: int, index_B: np.ndarray, layers_L: np.ndarray, doubts: list[str]) -> Boundary:
    """A boundary with its bootstrap distribution and every reason why it is not identified."""
    low, high = (int(layers_L[i]) for i in np.quantile(index_B, _INTERVAL, method="inverted_cdf"))
    allowed = max(4, int(layers_L[-1]) / 8)
    reasons = list(doubts)
    if not reasons and high - low > allowed:
        reasons.append(f"its 90 % interval {low}-{high} is wider than {allowed:g} layers")
    return Boundary(
        layer=int(layers_L[index]),
        low=low,
        high=high,
        identified=not reasons,
        reasons=tuple(reasons),
        distribution={str(int(layers_L[i])): float(np.mean(index_B == i)) for i in np.unique(index_B)},
    )


def _nearer(gap_NL: np.ndarray, layers_L: np.ndarray) -> Nearer | None:
    """The lowest layer from which on every layer's mean gap is above 0, with the mean over them; None if none is."""
    low_L, _ = _t_interval(gap_NL)
    closed = np.flatnonzero(~(low_L > 0))
    first = 0 if len(closed) == 0 else int(closed[-1]) + 1
    if first == len(layers_L):
        return None
    gap_N1 = gap_NL[:, first:].mean(axis=1, keepdims=True)
    low_1, high_1 = _t_interval(gap_N1)
    return Nearer(int(layers_L[first]), float(gap_N1.mean()), float(low_1[0]), float(high_1[0]))


def _t_interval(values_NL: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % t interval of the mean over tasks; NaN for a single task."""
    from scipy.stats import t

    n = len(values_NL)
    if n < 2:
        undefined_L = np.full(values_NL.shape[1], np.nan)
        return undefined_L, undefined_L
    half_L = t.ppf(0.975, n - 1) * values_NL.std(axis=0, ddof=1) / np.sqrt(n)
    return values_NL.mean(axis=0) - half_L, values_NL.mean(axis=0) + half_L


def _dims_plateau(
    dims_NL: np.ndarray | None, counts_BN: np.ndarray, layers_L: np.ndarray
) -> tuple[int, int, int] | None:
    """First layer where the mean dimension curve reaches 95 % of its plateau (the median over the upper half).

    None where the first layer is there already: a curve that is flat or falls reaches nothing.
    """
    if dims_NL is None:
        return None
    curves_BL = np.concatenate([dims_NL.mean(axis=0)[None], counts_BN @ dims_NL / len(dims_NL)])
    top_B = np.median(curves_BL[:, len(layers_L) // 2 :], axis=1)
    # The median itself is reached in the upper half, so that a first layer always exists.
    first_B = np.argmax(curves_BL >= PLATEAU_SHARE * top_B[:, None], axis=1)
    if first_B[0] == 0:
        return None
    low, high = np.quantile(first_B[1:], _INTERVAL, method="inverted_cdf")
    return tuple(int(layers_L[int(i)]) for i in (first_B[0], low, high))  # type: ignore[return-value]
