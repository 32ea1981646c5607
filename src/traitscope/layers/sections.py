"""Shared | transition | refinement with uncertainty: intervals over tasks, and the right to say "not identified"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from traitscope.errors import TraitscopeError
from traitscope.layers.changepoints import ChangePoints, change_points
from traitscope.layers.hinge import HingeTest, hinge_test
from traitscope.layers.rule import GAP_FLOOR, apply_rule, end_of_shared, end_of_transition, plateau
from traitscope.layers.section_types import Boundary, Sections

__all__ = ["MIN_TASKS", "SectionCurves", "find_sections"]

MIN_TASKS = 5
# A bootstrap of medians is a little too sure: at 2 % the test errs on 1-5 % of straight ramps.
_LEVEL = 0.02
_INTERVAL = (0.05, 0.95)


@dataclass(frozen=True)
class SectionCurves:
    """What the section rule looks at, one row per task.

    Attributes:
        layers_L: layer numbers, rising; the embeddings (layer 0) left out.
        tasks: N task names.
        mix_NL: CKA(mix, control of the task). base_NL: CKA(base, control of the task).
        dims_NL: dimensions of the mix for 99 % of variance, at equal n; None where unknown.
        null_L: upper 95 % bound of the permutation null of the median CKA(mix, control), or None.
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

    End of shared: the last layer before the median paired gap CKA(mix, control) - CKA(base, control) exceeds
    max(0.02, its bootstrap error) at two consecutive layers. End of transition: the first later layer where the mix's
    dimension curve (mean over tasks) reaches 95 % of its plateau, the median over the upper half of the depth; named
    only where the layers after it agree with the controls (lower quartile >= 0.80, interquartile range <= 0.15, above
    the null). A boundary is not identified if its 90 % interval over resampled tasks is wider than an eighth of the
    depth (at least 4 layers), if it lies at 0 or at the last layer, if a hinge fits the gap no better than a straight
    line, or if there are fewer than 5 tasks.

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
    layers_L = curves.layers_L
    gap_NL = curves.mix_NL - curves.base_NL
    rng = np.random.default_rng(seed)
    drawn_BN = rng.integers(n, size=(draws, n))
    gap_BL = _medians(gap_NL, drawn_BN)
    error_L = gap_BL.std(axis=0)
    threshold_L = np.maximum(GAP_FLOOR, error_L)
    gap_L = np.median(gap_NL, axis=0)
    q1_L, median_L, q3_L = np.quantile(curves.mix_NL, (0.25, 0.5, 0.75), axis=0)
    dims_L = None if curves.dims_NL is None else curves.dims_NL.mean(axis=0)
    outcome = apply_rule(
        layers_L,
        gap_L,
        dims_L=dims_L,
        mix_median_L=median_L,
        mix_q1_L=q1_L,
        mix_q3_L=q3_L,
        null_L=curves.null_L,
        error_L=error_L,
    )
    first_B = end_of_shared(gap_BL, threshold_L)
    second_B = None
    if curves.dims_NL is not None:
        counts_BN = np.apply_along_axis(np.bincount, 1, drawn_BN, minlength=n)
        second_B = end_of_transition(counts_BN @ curves.dims_NL / n, first_B)

    hinge = hinge_test(gap_NL, draws=min(draws, 500), seed=seed)
    common = _common_doubts(n, hinge)
    shared_why = list(common)
    if outcome.shared_end is None:
        shared_why.insert(0, outcome.why[0])
    shared = _boundary(outcome.shared_end, first_B, layers_L, shared_why)
    transition_why = [] if shared.identified else ["the end of the shared section is not identified"]
    transition_why += [reason for reason in outcome.why if reason not in shared_why and "first layer" not in reason]
    transition = _boundary(outcome.transition_end, second_B, layers_L, transition_why)

    parts = [gap_L, median_L, np.median(curves.base_NL, axis=0)] + ([] if dims_L is None else [dims_L])
    breaks = change_points(np.stack(parts, axis=1), draws=min(draws, 99), seed=seed)
    if n < MIN_TASKS:
        notes = (
            *notes,
            f"only {n} task{'s' if n > 1 else ''} (fewer than {MIN_TASKS}): no boundary can be identified",
        )
    summary = {"gap": gap_L, "threshold": threshold_L, "mix_q1": q1_L, "mix_median": median_L, "mix_q3": q3_L}
    summary["base_median"] = np.median(curves.base_NL, axis=0)
    if dims_L is not None:
        summary |= {"dims": dims_L, "plateau": np.full(depth, plateau(dims_L[None])[0])}
    if curves.null_L is not None:
        summary["null"] = curves.null_L
    return Sections(
        label=label,
        measure=curves.measure,
        layers=tuple(int(layer) for layer in layers_L),
        n_tasks=n,
        shared_end=shared,
        transition_end=transition,
        hinge_p=hinge.p,
        change_points=tuple(int(layers_L[b - 1]) for b in breaks.breaks),
        change_points_agree=_agreement(breaks, layers_L, shared, transition),
        curves={name: tuple(float(value) for value in values) for name, values in summary.items()},
        notes=notes,
    )


def _medians(values_NL: np.ndarray, drawn_BN: np.ndarray) -> np.ndarray:
    """Median over each resample of the rows, in blocks that bound the memory."""
    block = max(1, 4_000_000 // max(1, values_NL.size))
    parts = [np.median(values_NL[drawn_BN[i : i + block]], axis=1) for i in range(0, len(drawn_BN), block)]
    return np.concatenate(parts)


def _common_doubts(n: int, hinge: HingeTest) -> list[str]:
    doubts = []
    if n < MIN_TASKS:
        doubts.append(f"only {n} task{'s' if n > 1 else ''} (fewer than {MIN_TASKS})")
    elif not hinge.p <= _LEVEL:
        doubts.append(f"a hinge fits the gap no better than a straight line (p = {hinge.p:.2f})")
    return doubts


def _boundary(layer: int | None, index_B: np.ndarray | None, layers_L: np.ndarray, why: list[str]) -> Boundary:
    """A boundary with its bootstrap distribution and every reason why it is not identified."""
    depth, last = len(layers_L), int(layers_L[-1])
    if index_B is None:
        return Boundary(layer=None, low=None, high=None, identified=False, reasons=tuple(why), distribution={})
    numbers = np.concatenate([[0], layers_L, [last]])
    low, high = (int(numbers[int(i) + 1]) for i in np.quantile(index_B, _INTERVAL, method="inverted_cdf"))
    distribution = {
        "none" if i >= depth else str(int(numbers[i + 1])): float(np.mean(index_B == i)) for i in np.unique(index_B)
    }
    reasons = list(why)
    allowed = max(4, last / 8)
    if layer is not None:
        if layer == 0:
            reasons.append("it lies before the first layer")
        if layer == last:
            reasons.append("it lies at the last layer")
        if high - low > allowed:
            reasons.append(f"its 90 % interval {low}-{high} is wider than {allowed:g} layers")
    identified = layer is not None and not reasons
    return Boundary(
        layer=layer,
        low=low,
        high=high,
        identified=identified,
        reasons=tuple(reasons),
        distribution=distribution,
    )


def _agreement(breaks: ChangePoints, layers_L: np.ndarray, shared: Boundary, transition: Boundary) -> bool | None:
    """Whether a change point lies within a sixteenth of the depth (at least 1 layer) of every identified boundary."""
    wanted = [b.layer for b in (shared, transition) if b.identified and b.layer is not None]
    if not wanted:
        return None
    slack = max(1, round(len(layers_L) / 16))
    found = [int(layers_L[b - 1]) for b in breaks.breaks]
    return all(any(abs(layer - other) <= slack for other in found) for layer in wanted)
