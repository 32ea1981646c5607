"""What an additive model expects of a cell goes no farther than a score can."""

from __future__ import annotations

import numpy as np
import pandas as pd

from traitscope.effects import measure_effects
from traitscope.matrix import ScoreMatrix


def test_nobody_is_expected_to_fall_below_nothing_or_rise_above_everything() -> None:
    """The base has nothing right on the first task and everything on the second; one source harms all others."""
    base = [0.0, 1.0, 0.6, 0.7, 0.5]
    moved = {"s1": [0.0, 1.0, 0.1, 0.2, 0.1], "s2": [0.1, 0.9, 0.6, 0.7, 0.6], "s3": [0.3, 1.0, 0.9, 0.9, 0.8]}
    moved |= {"s4": [0.0, 0.8, 0.5, 0.7, 0.4], "s5": [0.1, 1.0, 0.7, 0.8, 0.6]}
    frame = pd.DataFrame([base, *moved.values()], index=["base", *moved], columns=[f"t{n}" for n in range(5)])
    table = measure_effects(ScoreMatrix.from_wide(frame), permutations=99).tables["surprises"]
    start = dict(zip(frame.columns, base, strict=True))
    expected = table["expected"] + table["task"].map(start)
    assert expected.min() >= 0 and expected.max() <= 1
    # Some reach the end, and what was seen there is no less than that.
    assert (expected < 1e-12).any()
    assert np.allclose(table["residual"], table["observed"] - table["expected"])
