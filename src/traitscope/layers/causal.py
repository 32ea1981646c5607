"""The causal check: what is lost when an adapter is switched off, or kept only, in a window of layers.

The engine scores the gated adapters (one slot per window); here scores become losses with intervals, and are
held against the sections that were found from similarity alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.frames import Tabular
from traitscope.layers.section_types import Sections
from traitscope.texts import Shown, count_of

__all__ = ["CausalCheck", "WindowEffect", "causal_check", "sliding_windows"]


@dataclass(frozen=True, slots=True)
class WindowEffect:
    """One window of layers.

    Attributes:
        first, last: layers of the window, inclusive.
        lost: share of the tasks' summed gain that is lost with the adapter off in the window; with its 95 %
            interval over resampled tasks (None for a single task). May be negative (better without) or above 1
            (worse than the base).
        kept: share of the gain that remains with the adapter on in the window only; None where it was not scored.
        lost_N: the same loss for each task that was used.
    """

    first: int
    last: int
    lost: float
    lost_low: float | None
    lost_high: float | None
    kept: float | None
    kept_low: float | None
    kept_high: float | None
    lost_N: tuple[float, ...]


@dataclass(frozen=True, slots=True, repr=False)
class CausalCheck(Shown, Tabular):
    """Loss of gain by window, and whether it agrees with the sections.

    Attributes:
        windows: one effect per window. tasks: the tasks used. left_out: tasks whose gain is too small, with the reason.
        per_section: by section: mean loss per layer inside it, in shares of the gain.
        strongest: the section with the largest loss per layer, None where no section is identified.
        correlation: Spearman's correlation over windows between loss and overlap with transition (shares of
            the window).
        p: its one-sided p value from shifting the losses around the depth; NaN where it cannot be computed.
        agrees: True where loss per layer is largest in the transition and p <= 0.1, False where it is largest
            elsewhere, None where it cannot be told. ``verdict`` says it in words.
    """

    windows: tuple[WindowEffect, ...]
    tasks: tuple[str, ...]
    left_out: dict[str, str]
    per_section: dict[str, float] = field(default_factory=dict)
    strongest: str | None = None
    correlation: float = float("nan")
    p: float = float("nan")
    agrees: bool | None = None
    verdict: str = ""

    def headline(self) -> str:
        """What it is of, in a few words."""
        return f"{count_of(len(self.windows), 'window')} over {count_of(len(self.tasks), 'task')}"

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """``windows``: one row per window; what was lost task by task is in ``tasks``."""
        rows = [asdict(window) for window in self.windows]
        by_task = [
            {"window": number, "task": task, "lost": lost}
            for number, row in enumerate(rows)
            for task, lost in zip(self.tasks, row.pop("lost_N"), strict=False)
        ]
        return {
            "windows": pd.DataFrame(rows).rename_axis("window"),
            "tasks": pd.DataFrame(by_task, columns=["window", "task", "lost"]),
        }

    def to_json(self) -> dict[str, Any]:
        """All fields; NaN becomes null."""
        data = asdict(self)
        for name in ("correlation", "p"):
            data[name] = None if data[name] != data[name] else data[name]
        return data

    def render(self) -> str:
        """One line per window, then the verdict."""
        what = (
            "1 task (share of its gain; no interval"
            if len(self.tasks) == 1
            else (f"{len(self.tasks)} tasks (share of the gain, 95 % interval over tasks")
        )
        lines = [f"adapters gated in windows of layers, {what})"]
        for w in self.windows:
            line = f"  {w.first:>3}-{w.last:<3} off: loses {_share_text(w.lost, w.lost_low, w.lost_high)}"
            if w.kept is not None:
                line += f"; only: keeps {_share_text(w.kept, w.kept_low, w.kept_high)}"
            lines.append(line)
        lines += [f"  left out: {task} ({reason})" for task, reason in self.left_out.items()]
        return "\n".join([*lines, f"  {self.verdict}"])


def _share_text(share: float, low: float | None, high: float | None) -> str:
    return f"{share:.0%}" if low is None or high is None else f"{share:.0%} ({low:.0%} to {high:.0%})"


def sliding_windows(n_layers: int, width: int | None = None, step: int | None = None) -> list[tuple[int, int]]:
    """Windows (first, last) over layers 1..n_layers; an eighth of the depth wide (at least 2), half a width
    apart, the last flush."""
    width = min(n_layers, width or max(2, round(n_layers / 8)))
    step = step or max(1, width // 2)
    firsts = list(range(1, n_layers - width + 2, step))
    if firsts[-1] != n_layers - width + 1:
        firsts.append(n_layers - width + 1)
    return [(first, first + width - 1) for first in firsts]


def causal_check(
    tasks: Sequence[str],
    windows: Sequence[tuple[int, int]],
    *,
    full_N: np.ndarray,
    base_N: np.ndarray,
    off_NW: np.ndarray,
    only_NW: np.ndarray | None = None,
    sections: Sections | None = None,
    min_gain: float | np.ndarray = 0.02,
    higher_is_better: Sequence[bool] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> CausalCheck:
    """Loss of gain per window of layers.

    Args:
        tasks: N names. windows: W pairs (first, last), inclusive.
        full_N: scores with the adapter on everywhere. base_N: without it.
        off_NW: scores with the adapter off in the window. only_NW: with it on in the window only.
        sections: what to compare with.
        min_gain: tasks that gain less are left out, since a share of nothing says nothing (a number, or one
            per task, for example two standard errors of the paired difference).
        higher_is_better: direction per task; True for all if None.
        draws: resamples of the tasks. seed: their seed.

    Raises:
        TraitscopeError: shapes that do not fit.
    """
    n, w = len(tasks), len(windows)
    for name, array, shape in (
        ("full_N", full_N, (n,)),
        ("base_N", base_N, (n,)),
        ("off_NW", off_NW, (n, w)),
        ("only_NW", only_NW, (n, w)),
    ):
        if array is not None and array.shape != shape:
            raise TraitscopeError(
                f"{name} has shape {array.shape}, not {shape}",
                where="causal_check",
                fix="pass one score per task and window",
            )
    sign_N = np.where(np.ones(n, dtype=bool) if higher_is_better is None else np.asarray(higher_is_better), 1.0, -1.0)
    gain_N = sign_N * (full_N - base_N)
    floor_N = np.broadcast_to(np.asarray(min_gain, dtype=float), (n,))
    keep_N = np.isfinite(gain_N) & np.isfinite(off_NW).all(axis=1) & (gain_N > np.maximum(floor_N, 0.0))
    left_out = {
        tasks[i]: f"gain {gain_N[i]:.3g}, not above {floor_N[i]:.3g}"
        if np.isfinite(gain_N[i])
        else "a score is missing"
        for i in np.flatnonzero(~keep_N).tolist()
    }
    used = tuple(tasks[i] for i in np.flatnonzero(keep_N).tolist())
    if not used:
        return CausalCheck((), (), left_out, verdict="no task gains enough for a share of its gain to mean anything")
    gain_N = gain_N[keep_N]
    lost_NW = (sign_N[:, None] * (full_N[:, None] - off_NW))[keep_N]
    kept_NW = None if only_NW is None else (sign_N[:, None] * (only_NW - base_N[:, None]))[keep_N]
    rng = np.random.default_rng(seed)
    drawn_BN = rng.integers(len(used), size=(draws, len(used)))
    lost = _shares(lost_NW, gain_N, drawn_BN)
    kept = None if kept_NW is None else _shares(kept_NW, gain_N, drawn_BN)
    # A single task resampled is always itself: that is no interval.
    bounds = len(used) > 1
    effects = tuple(
        WindowEffect(
            first=first,
            last=last,
            lost=float(lost[0][i]),
            lost_low=float(lost[1][i]) if bounds else None,
            lost_high=float(lost[2][i]) if bounds else None,
            kept=None if kept is None else float(kept[0][i]),
            kept_low=float(kept[1][i]) if kept is not None and bounds else None,
            kept_high=float(kept[2][i]) if kept is not None and bounds else None,
            lost_N=tuple((lost_NW[:, i] / gain_N).tolist()),
        )
        for i, (first, last) in enumerate(windows)
    )
    return _against_sections(effects, used, left_out, sections)


def _shares(part_NW: np.ndarray, gain_N: np.ndarray, drawn_BN: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratio of sums over tasks (steadier than a mean of ratios) with its bootstrap quantiles."""
    drawn_BW = part_NW[drawn_BN].sum(axis=1) / gain_N[drawn_BN].sum(axis=1)[:, None]
    low_W, high_W = np.quantile(drawn_BW, (0.025, 0.975), axis=0)
    return part_NW.sum(axis=0) / gain_N.sum(), low_W, high_W


def _against_sections(
    effects: tuple[WindowEffect, ...],
    used: tuple[str, ...],
    left_out: dict[str, str],
    sections: Sections | None,
) -> CausalCheck:
    named = sections.windows() if sections is not None else {}
    if "transition" not in named:
        why = (
            "the transition is not identified, so there is nothing to agree with"
            if sections
            else "no sections were given"
        )
        return CausalCheck(effects, used, left_out, verdict=why + _alone(used))
    from scipy.stats import spearmanr

    lost_W = np.array([e.lost / (e.last - e.first + 1) for e in effects])
    cover_WS = np.array([[_overlap((e.first, e.last), span) for span in named.values()] for e in effects])
    totals_S = cover_WS.sum(axis=0)
    per_section = {
        name: float(cover_WS[:, i] @ lost_W / totals_S[i]) for i, name in enumerate(named) if totals_S[i] > 0
    }
    strongest = max(per_section, key=lambda name: per_section[name])
    share_W = cover_WS[:, list(named).index("transition")]
    correlation = p = float("nan")
    if np.ptp(share_W) > 0 and np.ptp(lost_W) > 0:
        correlation = float(spearmanr(share_W, lost_W).statistic)
        shifted = [float(spearmanr(share_W, np.roll(lost_W, k)).statistic) for k in range(len(lost_W))]
        p = float(np.mean(np.array(shifted) >= correlation - 1e-12))
    if strongest != "transition":
        agrees: bool | None = False
    else:
        agrees = True if p <= 0.1 else None
    verdict = {
        True: "agrees with the sections: the gain is lost most in the transition",
        False: f"does not agree with the sections: the gain is lost most in the {strongest} section",
        None: f"cannot be told: lost most in the transition, but shifted losses fit as well (p = {p:.2f})",
    }[agrees]
    verdict += _alone(used)
    return CausalCheck(effects, used, left_out, per_section, strongest, correlation, p, agrees, verdict)


def _alone(used: tuple[str, ...]) -> str:
    """What a verdict on a single task has to add."""
    return f"; {used[0]} is the only task, so there is no interval" if len(used) == 1 else ""


def _overlap(window: tuple[int, int], span: tuple[int, int]) -> float:
    shared = min(window[1], span[1]) - max(window[0], span[0]) + 1
    return max(0, shared) / (window[1] - window[0] + 1)
