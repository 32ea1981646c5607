"""What was chosen for every target under a budget: how surely, and what it is worth on rows that chose nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from traitscope.frames import Tabular
from traitscope.jsontables import dump_findings, load_findings, table_from_json, table_to_json
from traitscope.texts import Shown, count_of

FORMAT = 1
# Chance from which on a source that was not trained in full is named.
WORTH_SAYING = 0.1
COLUMNS = ("task", "source", "expected", "chance", "gain", "lo", "hi", "n", "untrained", "untrained_chance")


@dataclass(frozen=True, eq=False, repr=False)
class Decision(Shown, Tabular):
    """The best source of every target, as far as a budget shows it.

    Attributes:
        table: a row a target: ``source`` (None where the base is best), its ``expected`` gain from the rows that chose
            it, the ``chance`` that it is the best of all sources and the base; ``gain`` with ``lo``, ``hi`` and ``n``
            on rows that chose nothing; the source that was not trained in full and is likeliest to be better, with the
            chance of that.
        level: of the intervals.
        trained: sources trained in full. sources: all of them.
        spent: of the whole grid's cost, what this took. budget: what it might have taken.
        margin: a difference of scores that does not matter.
    """

    table: pd.DataFrame
    level: float
    trained: tuple[str, ...]
    sources: tuple[str, ...]
    spent: float
    budget: float
    margin: float

    def headline(self) -> str:
        """What it is of, in a few words."""
        return f"{len(self.trained)} of {count_of(len(self.sources), 'source')} trained in full"

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """``targets``: ``table``."""
        return {"targets": self.table}

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], **facts: Any) -> Decision:
        """From one mapping a target."""
        return cls(pd.DataFrame(rows, columns=list(COLUMNS)), **facts)

    def to_json(self) -> str:
        """All of it as JSON."""
        facts = {
            "level": self.level,
            "trained": list(self.trained),
            "sources": list(self.sources),
            "spent": self.spent,
            "budget": self.budget,
            "margin": self.margin,
        }
        return dump_findings({**facts, "table": table_to_json(self.table)}, FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Decision:
        """What ``to_json`` wrote.

        Raises:
            ValueError: it is of another format version.
        """
        payload = load_findings(text, FORMAT, "a decision")
        table = table_from_json(payload.pop("table"))
        return cls(table, trained=tuple(payload.pop("trained")), sources=tuple(payload.pop("sources")), **payload)

    def render(self) -> str:
        """As text for a terminal: gains as the metric gives them."""
        cost = f"{self.spent:.0%} of the whole grid's cost (budget {self.budget:.0%})"
        lines = [f"{len(self.trained)} of {len(self.sources)} sources trained in full, {cost}"]
        for row in self.table.to_dict("records"):
            chance = f"{row['chance']:.0%}"
            if not isinstance(row["source"], str):
                none = "none of the sources trained in full is expected to beat the base"
                lines.append(f"{row['task']}: {none}, which is best of all with chance {chance}")
            else:
                lines.append(f"{row['task']}: {row['source']} (best of all with chance {chance}), {_worth(row)}")
            if isinstance(row["untrained"], str) and row["untrained_chance"] >= WORTH_SAYING:
                better = f"best of all with chance {row['untrained_chance']:.0%}"
                lines.append(f"  not trained in full: {row['untrained']} ({better})")
        return "\n".join(lines)


def _worth(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["gain"]):
        return f"expected gain {row['expected']:+.3f}; no rows were left to judge it on"
    ends = f" [{row['lo']:+.3f}, {row['hi']:+.3f}]" if pd.notna(row["lo"]) else ""
    return f"gain {row['gain']:+.3f}{ends} on {count_of(int(row['n']), 'row')} that chose nothing"
