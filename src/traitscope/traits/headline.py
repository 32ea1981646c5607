"""The headline of the traits: how many directions, how many of them predict, and of what this speaks."""

from __future__ import annotations

from collections.abc import Sequence

from traitscope.traits.count import HeldOutCells, SequentialTest


def state_count(
    steps: SequentialTest,
    held_out: HeldOutCells | None,
    *,
    known: bool,
    of: str,
    runs_only: bool,
    outlying: Sequence[str] = (),
    with_outlying: int | None = None,
) -> str:
    """The headline, one sentence.

    Args:
        steps: the count. held_out: prediction of held-out cells.
        known: whether the cells' errors are known; else the count is a lower bound by permutation.
        of: what the directions are of: "transfer", or what was fitted on instead.
        runs_only: whether nothing is known of how far runs differ.
        outlying: rows left out. with_outlying: the count with them.
    """
    k = steps.count
    least = steps.capped or not known
    many = f"at least {k} " if least else "no " if k == 0 else f"{k} "
    noun, stand = ("direction", "stands") if k == 1 or (k == 0 and not least) else ("directions", "stand")
    text = f"{many}{noun} of {of} {stand} above the measurement noise"
    if not known and k == 0:
        text = f"no direction of {of} can be told from permuted cells (no standard errors)"
    elif not known:
        text += " (no standard errors: a lower bound by permutation)"
    elif steps.capped:
        text += " (every one that these cells can show)"
    if held_out is not None and k > 0:
        m = min(held_out.count, k)
        text += f"; {'none' if m == 0 else m} of them {'helps' if m == 1 else 'help'} to predict held-out cells"
        if k == 1:
            text = text.replace("1 of them helps", "it helps").replace("none of them help", "it does not help")
    if outlying:
        # All of them: a row that is left out must not vanish. They may be like each other.
        text += f"; without {', '.join(outlying)}, low on most tasks and unlike the rest: "
        text += f"with {'it' if len(outlying) == 1 else 'them'} the count is {with_outlying}"
    if runs_only:
        text += "; one seed per source and no known deviation between runs: this speaks of these runs only"
    return text
