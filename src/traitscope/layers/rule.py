"""The numeric rule that splits a network's layers into shared | transition | refinement, on summary curves.

The rule alone, without uncertainty: `sections.find_sections` applies it to medians over tasks and to resampled tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "GAP_FLOOR",
    "PLATEAU_SHARE",
    "RuleOutcome",
    "apply_rule",
    "end_of_shared",
    "end_of_transition",
    "plateau",
]

GAP_FLOOR = 0.02
PLATEAU_SHARE = 0.95
AGREE_QUARTILE = 0.80
AGREE_SPREAD = 0.15


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What the rule says about one set of curves.

    Attributes:
        shared_end: last layer of the shared section, as a layer number; None where the gap never opens.
        transition_end: last layer of the transition; None where there is none after ``shared_end``.
        named: True where the layers after the transition agree with the controls, so that a transition may be named.
        why: why a boundary is missing or the transition is not named; empty where all is well.
    """

    shared_end: int | None
    transition_end: int | None
    named: bool
    why: tuple[str, ...]


def end_of_shared(gap_BL: np.ndarray, threshold_L: np.ndarray) -> np.ndarray:
    """Index of the last layer before the gap exceeds its threshold at two consecutive layers, per row.

    Args:
        gap_BL: curves, one per row, CKA(mix, control) - CKA(base, control).
        threshold_L: what each layer's gap must exceed.

    Returns:
        Index per row: -1 where the gap is open at the first layer already, L where it never opens.
    """
    n_layers = gap_BL.shape[1]
    over_BL = gap_BL > threshold_L
    pair_BL = over_BL[:, :-1] & over_BL[:, 1:]
    return np.where(pair_BL.any(axis=1), pair_BL.argmax(axis=1) - 1, n_layers)


def plateau(dims_BL: np.ndarray) -> np.ndarray:
    """Median of each curve over the upper half of the depth."""
    return np.median(dims_BL[:, dims_BL.shape[1] // 2 :], axis=1)


def end_of_transition(dims_BL: np.ndarray, after_B: np.ndarray) -> np.ndarray:
    """Index of the first layer past ``after_B`` where the dimension curve reaches 95 % of its plateau; L
    where none does."""
    n_layers = dims_BL.shape[1]
    reached_BL = dims_BL >= PLATEAU_SHARE * plateau(dims_BL)[:, None]
    reached_BL &= np.arange(n_layers)[None, :] > after_B[:, None]
    return np.where(reached_BL.any(axis=1), reached_BL.argmax(axis=1), n_layers)


def apply_rule(
    layers_L: np.ndarray,
    gap_L: np.ndarray,
    *,
    dims_L: np.ndarray | None,
    mix_median_L: np.ndarray,
    mix_q1_L: np.ndarray | None = None,
    mix_q3_L: np.ndarray | None = None,
    null_L: np.ndarray | None = None,
    error_L: np.ndarray | None = None,
) -> RuleOutcome:
    """Apply the rule to summary curves.

    Args:
        layers_L: layer numbers, rising (layer 0, the embeddings, left out).
        gap_L: median paired gap CKA(mix, control) - CKA(base, control), or the difference of medians.
        dims_L: the mix's dimension curve at equal n; None where there is none (no transition is then looked for).
        mix_median_L, mix_q1_L, mix_q3_L: median and quartiles over tasks of CKA(mix, control). Without
            quartiles the median stands in for the lower one, which it bounds from above, and the spread is not judged.
        null_L: upper 95 % bound of the permutation null of CKA(mix, control), if known.
        error_L: bootstrap standard error of the gap; the threshold is max(0.02, error).

    Returns:
        The rule's outcome.
    """
    threshold_L = np.maximum(GAP_FLOOR, error_L if error_L is not None else 0.0) + np.zeros_like(gap_L)
    last = len(layers_L) - 1
    why: list[str] = []
    first = int(end_of_shared(gap_L[None], threshold_L)[0])
    if first > last:
        return RuleOutcome(None, None, False, ("the gap never exceeds its threshold at two consecutive layers",))
    if first < 0:
        shared_end, why = 0, ["the gap is open from the first layer on"]
    else:
        shared_end = int(layers_L[first])
    if dims_L is None:
        return RuleOutcome(shared_end, None, False, (*why, "there is no dimension curve"))
    second = int(end_of_transition(dims_L[None], np.array([first]))[0])
    if second > last:
        return RuleOutcome(
            shared_end, None, False, (*why, "the dimension curve reaches no plateau after the shared section")
        )
    doubts = disagreement(mix_median_L, mix_q1_L, mix_q3_L, null_L, second)
    return RuleOutcome(shared_end, int(layers_L[second]), not doubts, (*why, *doubts))


def disagreement(
    mix_median_L: np.ndarray,
    mix_q1_L: np.ndarray | None,
    mix_q3_L: np.ndarray | None,
    null_L: np.ndarray | None,
    index: int,
) -> tuple[str, ...]:
    """Why the layers after ``index`` do not agree with the controls; empty where they do.

    Lower quartile and spread over tasks are taken as medians over those layers, so that one odd layer does not decide.
    """
    after = slice(index + 1, None)
    if len(mix_median_L[after]) == 0:
        return ("no layer is left after the transition",)
    lower_L = (mix_q1_L if mix_q1_L is not None else mix_median_L)[after]
    doubts = []
    lower = float(np.median(lower_L))
    if lower < AGREE_QUARTILE:
        doubts.append(f"after it the lower quartile of CKA(mix, control) is {lower:.2f}, below {AGREE_QUARTILE:.2f}")
    if mix_q1_L is not None and mix_q3_L is not None:
        spread = float(np.median(mix_q3_L[after] - mix_q1_L[after]))
        if spread > AGREE_SPREAD:
            doubts.append(f"after it CKA(mix, control) spreads by {spread:.2f} over tasks, above {AGREE_SPREAD:.2f}")
    if null_L is not None and lower <= float(np.median(null_L[after])):
        doubts.append("after it CKA(mix, control) is not above the permutation null")
    return tuple(doubts)
