"""A trait analysis as plain text for a terminal."""

from __future__ import annotations

import numpy as np
import pandas as pd

from traitscope.texts import count_of, frame_text
from traitscope.traits.result import Traits


def render(traits: Traits, *, profiles: bool = True) -> str:
    """The findings as text: number of traits, explained variance beside the null, traits, profiles, skills.

    Args:
        profiles: list every model's profile too.
    """
    how = {"raw": "scores", "gain": "gains over the base", "logit": "log-odds"}[traits.view]
    head = (
        f"{count_of(len(traits.models), 'model')} x {count_of(len(traits.tasks), 'task')}; {how}, {traits.cells}; "
        "columns centred over these rows"
        + (" and divided by their standard deviation" if traits.scaled else "")
        + (f"; {traits.rotation} rotation" if traits.rotation else "")
    )
    parts = [head, _counts(traits), "Explained variance beside column permutations\n" + _null(traits)]
    parts.append(_trait_list(traits))
    parts.append("Loadings (unit norm; tasks down)\n" + _with_intervals(traits))
    if profiles:
        lines = [f"  {model}: {traits.profile_text(model)}" for model in traits.models]
        beside = zip(traits.projected.models, traits.projected.kinds, strict=True)
        lines += [f"  {model} ({kind}, projected): {traits.profile_text(model)}" for model, kind in beside]
        parts.append("Profiles (100 x unit-norm score, 5 and more)\n" + "\n".join(lines))
    if traits.skills is not None:
        lines = [f"  {line}" for line in traits.skills.lines(traits.trait_names)]
        parts.append("\n".join(["Declared skills against the traits", f"  {traits.skills.statement()}", *lines]))
    if traits.notes:
        parts.append("\n".join(f"note: {note}" for note in traits.notes))
    return "\n\n".join(parts) + "\n"


def _counts(traits: Traits) -> str:
    """The headline, and the steps behind it."""
    count = traits.count
    lines = [f"Number of traits: {count.statement}"]
    steps = count.sequential or count.permutation
    if steps is not None:
        what = f"against {steps.method}" if count.sequential is not None else steps.method
        shown = ", ".join(f"{p:.3f}" for p in steps.p_J)
        lines.append(f"  {what}, level {steps.alpha:g}: p per step {shown}")
    if count.held_out is not None:
        errors = " ".join(f"{e:.2f}" for e in count.held_out.rmse_M)
        tried = ", ".join(f"{p:.2f}" for p in count.held_out.p_J)
        lines.append(
            f"  held-out cells: error for k = 0, 1, ... in {count.held_out.unit}: {errors}"
            + (f"; p of each gain {tried}" if tried else "")
        )
    return "\n".join(lines)


def _null(traits: Traits) -> str:
    """Explained variance per component and cumulative, beside the null, in percent."""
    frame = traits.null.frame()
    shown = pd.DataFrame(
        {
            "explained %": (100 * frame["explained"]).round(1),
            "null %": (100 * frame["null_mean"]).round(1),
            "null 95 %": (100 * frame["null_q95"]).round(1),
            "p": frame["p"].round(3),
            "together %": (100 * frame["cumulative"]).round(1),
            "null together %": (100 * frame["null_cumulative"]).round(1),
        }
    )
    return frame_text(shown, "{:.10g}")


def _trait_list(traits: Traits) -> str:
    """One line per trait: share, stability, proposed name, mark if not above the null."""
    lines = ["Traits (names are proposals)"]
    stability = traits.stability
    for i, name in enumerate(traits.trait_names):
        proposal = traits.names[i]
        fit = (
            f"cosine {proposal.cosine:+.2f}, p {proposal.p:.3f}"
            if proposal.label is not None
            else "no name proposed"
            if proposal.specific
            else "no label fits: its heaviest tasks"
        )
        mark = "" if traits.above_null_K[i] else "  [not above the null]"
        predictive = traits.count.predictive
        if not mark and predictive is not None and i >= predictive:
            mark = "  [above the null, but of no help in predicting held-out cells]"
        lines.append(
            f"  {name}  {100 * traits.explained_K[i]:.1f} %  stability {stability.figure_K[i]:.2f}"
            f"  {'' if proposal.specific else 'proposed: '}{proposal.proposed} ({fit}){mark}"
        )
        lines.append(f"      {proposal.tasks}")
        weak = []
        if np.isfinite(stability.adapter_out_JK[:, i]).any():
            worst = int(np.nanargmin(stability.adapter_out_JK[:, i]))
            weak.append(f"without {stability.adapters[worst]} {stability.adapter_out_JK[worst, i]:.2f}")
        if np.isfinite(stability.task_out_NK[:, i]).any():
            worst = int(np.nanargmin(stability.task_out_NK[:, i]))
            weak.append(f"without task {traits.tasks[worst]} {stability.task_out_NK[worst, i]:.2f}")
        if np.isfinite(stability.noise_K[i]):
            weak.append(f"under noise {stability.noise_K[i]:.2f}")
        if weak:
            lines.append("      same trait (cosine): " + ", ".join(weak))
    if np.isfinite(stability.subspace):
        lines.append(f"  subspace of all traits under noise: {stability.subspace:.2f}")
    return "\n".join(lines)


def _with_intervals(traits: Traits) -> str:
    """Loadings, with their intervals where the cells' errors are known."""
    if traits.intervals is None:
        return frame_text(traits.loadings.T, "{:.2f}")
    low, high = traits.intervals.loadings_low_KN, traits.intervals.loadings_high_KN
    table = pd.DataFrame(
        [
            [f"{traits.loadings_KN[k, n]:+.2f} [{low[k, n]:+.2f}, {high[k, n]:+.2f}]" for k in range(traits.k)]
            for n in range(len(traits.tasks))
        ],
        index=list(traits.tasks),
        columns=list(traits.trait_names),
    )
    return f"{100 * traits.intervals.level:g} % intervals over {traits.intervals.source}\n" + frame_text(table)
