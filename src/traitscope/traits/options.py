"""What ``fit_traits`` can be asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from traitscope.errors import TraitscopeError, check_shares

VIEWS = ("raw", "gain", "logit")


@dataclass(frozen=True, kw_only=True)
class TraitOptions:
    """Options of ``fit_traits``, given to it by name.

    Raises:
        TraitscopeError: a view, rotation, or choice of cells, rows or seeds that does not exist; a level that is not
            between 0 and 1, or no number of draws.
    """

    view: str = "raw"
    """"raw", "gain" (over each row's base) or "logit" (log-odds of shares)."""

    scale: bool | None = None
    """Divide columns by their standard deviation, so that all tasks weigh the same; None: where the tasks are measured
    in several units, of which the one with the largest numbers would be the first trait."""

    rotate: str | None = None
    """None, "varimax" or "promax"."""

    k: int | str = "auto"
    """Traits to keep; "auto" keeps those above the cells' noise or, without standard errors, those that held-out
    cells or the lower bound support; always at least one, marked if it is not supported."""

    own: str = "exclude"
    """"exclude": a row's own tasks and their copies count as not observed; "include" counts them (the paper's way)."""

    rows: str = "transfer"
    """"transfer": fitted on bases and sources, other rows are projected; "all": fitted on every row (the paper's
    way)."""

    seeds: str = "mean"
    """"mean" makes one row per source, "rows" keeps every seed as a row."""

    run_sd: float | Mapping[str, float] | None = None
    """Deviation of a score between two runs of one recipe, where it is known: percentage points, or by task in its own
    unit. In place of what second seeds say."""

    words: Mapping[str, Collection[str]] | None = None
    """The user's own names: name -> tasks that it stands for."""

    permutations: int = 1000
    """Draws of the permutation tests."""

    draws: int = 199
    """Most simulated matrices of a step of the count."""

    replicates: int = 500
    """Resampled matrices behind the intervals; 0 leaves the intervals out."""

    held_out: int = 1
    """Rounds of ten-fold prediction of held-out cells; 0 leaves them out."""

    level: float = 0.95
    """Nominal coverage of the intervals."""

    alpha: float = 0.02
    """Level of every step of the count: several are taken, so that each is stricter than the .05 of the whole."""

    seed: int = 0
    """Seed of all draws."""

    def __post_init__(self) -> None:
        check_shares("fit_traits", level=self.level, alpha=self.alpha)
        for name, value, allowed in (
            ("view", self.view, VIEWS),
            ("rotate", self.rotate, (None, "varimax", "promax")),
            ("own", self.own, ("exclude", "include")),
            ("rows", self.rows, ("transfer", "all")),
            ("seeds", self.seeds, ("mean", "rows")),
        ):
            if value not in allowed:
                known = ", ".join(str(a) for a in allowed)
                raise TraitscopeError(f"unknown {name} {value!r}", where="fit_traits", fix=f"one of: {known}")
        for name, count, least in (
            ("permutations", self.permutations, 1),
            ("draws", self.draws, 1),
            ("replicates", self.replicates, 0),
            ("held_out", self.held_out, 0),
        ):
            if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < least:
                fix = f"give a whole number, {least} or more"
                raise TraitscopeError(f"{name} is {count!r}", where="fit_traits", fix=fix)
        scale: object = self.scale
        if scale is not None and not isinstance(scale, bool | np.bool_):
            fix = "give True or False, or None to scale tasks of several units"
            raise TraitscopeError(f"scale is {self.scale!r}", where="fit_traits", fix=fix)
