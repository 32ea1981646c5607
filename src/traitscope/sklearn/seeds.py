"""scikit-learn's ``random_state`` as the seed that the rest of traitscope takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from traitscope.errors import TraitscopeError


def seed_of(random_state: Any) -> int:
    """A whole number as it is, so that numbers are those of a call with ``seed=``; else one drawn.

    Raises:
        TraitscopeError: it is nothing that scikit-learn takes.
    """
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool) and random_state >= 0:
        return int(random_state)
    try:
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    except (ValueError, TypeError):
        fix = "give a whole number from 0 on, a numpy RandomState, or None"
        raise TraitscopeError(f"{random_state!r} is no seed", where="random_state", fix=fix) from None
