"""What holds: a finding whose test and whose interval both leave out no effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

# The q up to which a finding is told as one.
ALPHA = 0.05


def excludes_none(finding: Mapping[str, Any]) -> bool:
    """Whether the interval of a finding leaves out "no effect"; true where there is no interval."""
    none = 1.0 if finding["unit"] == "ratio" else 0.0
    return not finding["lo"] <= none <= finding["hi"]


def rows_of(finding: Mapping[str, Any]) -> list[str]:
    """The rows of the matrix that a finding is about: all runs of a source whose seeds were averaged."""
    return list(finding["numbers"].get("runs") or [finding["model"]])


def held(rows: pd.DataFrame, alpha: float = ALPHA) -> pd.DataFrame:
    """Findings with q of at most ``alpha`` whose interval leaves out no effect."""
    none = np.where(rows["unit"] == "ratio", 1.0, 0.0)
    return rows[(rows["q"] <= alpha) & ~((rows["lo"] <= none) & (none <= rows["hi"]))]
