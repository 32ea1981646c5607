"""A trait analysis as plain text for a terminal."""

from __future__ import annotations

import numpy as np
import pandas as pd

from traitscope.traits.result import Traits


def render(traits: Traits, *, profiles: bool = True) -> str:
    """The findings as text: number of traits, explained variance beside the null, traits, profiles, skills.

    Args:
        profiles: list every model's profile too.
    """
    how = {"raw": "scores", "gain": "gains over the base", "logit": "log-odds"}[traits.view]
    head = (
        f"{len(traits.models)} models x {len(traits.tasks)} tasks; {how}, columns centred over all rows"
        + (" and divided by their standard deviation" if traits.scaled else "")
        + (f"; {traits.rotation} rotation" if traits.rotation else "")
    )
    parts = [head, _counts(traits), "Explained variance beside column permutations\n" + _null(traits)]
    parts.append(_trait_list(traits))
    parts.append("Loadings (unit norm; tasks down)\n" + _with_intervals(traits))
    if profiles:
        lines = [f"  {model}: {traits.profile_text(model)}" for model in traits.models]
        parts.append("Profiles (100 x unit-norm score, 5 and more)\n" + "\n".join(lines))
    if traits.skills is not None:
        lines = [f"  {line}" for line in traits.skills.lines(traits.trait_names)]
        parts.append("\n".join(["Declared skills against the traits", f"  {traits.skills.statement()}", *lines]))
    if traits.notes:
        parts.append("\n".join(f"note: {note}" for note in traits.notes))
    return "\n\n".join(parts) + "\n"


def _counts(traits: Traits) -> str:
    """The number of traits, every way of finding it."""
    count = traits.count
    lines = [f"Number of traits: {count.statement}"]
    if count.sequential is not None:
        steps = ", ".join(f"{p:.3f}" for p in count.sequential.p_J)
        lines.append(f"  against the known noise: {count.sequential.count} (p per step {steps})")
    if count.held_out is not None:
        errors = " ".join(f"{e:.2f}" for e in count.held_out.rmse_M)
        lines.append(
            f"  held-out cells: {count.held_out.count} within one standard error of the best "
            f"({count.held_out.best}); error for k = 0, 1, ... in {count.held_out.unit}: {errors}"
        )
    lines.append(f"  permutation of residuals (lower bound): {count.permutation.count}")
    lines.append(f"  plain parallel analysis (too few when there are several; not used): {count.parallel}")
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
    return shown.to_string()


def _trait_list(traits: Traits) -> str:
    """One line per trait: share, stability, proposed name, mark if not above the null."""
    lines = ["Traits (names are proposals)"]
    stability = traits.stability
    for i, name in enumerate(traits.trait_names):
        proposal = traits.names[i]
        fit = (
            f"cosine {proposal.cosine:+.2f}, p {proposal.p:.3f}"
            if proposal.label is not None
            else "no label fits: its heaviest tasks"
        )
        mark = "" if traits.above_null_K[i] else "  [not above the null]"
        held_out = traits.count.held_out
        if not mark and held_out is not None and i >= held_out.count:
            mark = "  [above the null, but of no help in predicting held-out cells]"
        lines.append(
            f"  {name}  {100 * traits.explained_K[i]:.1f} %  stability {stability.figure_K[i]:.2f}"
            f"  proposed: {proposal.proposed} ({fit}){mark}"
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
        return traits.loadings.T.round(2).to_string()
    low, high = traits.intervals.loadings_low_KN, traits.intervals.loadings_high_KN
    table = pd.DataFrame(
        [
            [f"{traits.loadings_KN[k, n]:+.2f} [{low[k, n]:+.2f}, {high[k, n]:+.2f}]" for k in range(traits.k)]
            for n in range(len(traits.tasks))
        ],
        index=list(traits.tasks),
        columns=list(traits.trait_names),
    )
    return f"{100 * traits.intervals.level:g} % intervals over {traits.intervals.source}\n" + table.to_string()
