"""Rankings as ``traitscope predict`` wrote them: read again without the model that made them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from traitscope.jsontables import load_findings

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Rankings:
    """Sources ranked for some targets.

    Attributes:
        base, predictor: whose forecast by what. level: of the intervals.
        table: one row per target and source, best expected first: task, then the columns of ``Forecast.rank_sources``.
    """

    base: str
    predictor: str
    level: float
    table: pd.DataFrame

    @property
    def baselines(self) -> tuple[str, ...]:
        """The baselines that stand beside the predictor."""
        from traitscope.predict.forecast import BASELINES

        return BASELINES

    @classmethod
    def from_json(cls, text: str) -> Rankings:
        """What ``ranking.to_json`` wrote.

        Raises:
            TraitscopeError: it was written in another format.
        """
        found = load_findings(text, FORMAT, "the forecast")
        rows = [{"task": task, **row} for task, ranked in found["rankings"].items() for row in ranked]
        table = pd.DataFrame(rows)
        numbers = [name for name in table.columns if name not in ("task", "source", "status", "unit", "note")]
        return cls(
            found["base"], found["predictor"], float(found["level"]), table.astype(dict.fromkeys(numbers, float))
        )
