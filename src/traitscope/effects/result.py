"""What the effects found: findings, tables, notes; written as JSON, rendered for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from traitscope.effects.grid import Grid, Row
from traitscope.effects.kinds import KINDS, sentence
from traitscope.effects.learning import learning_sentences
from traitscope.effects.significance import benjamini_hochberg
from traitscope.jsontables import dump_findings, load_findings, table_from_json, table_to_json

FORMAT = 2

COLUMNS = (
    *("kind", "model", "source", "seed", "task", "detail", "relation"),
    *("value", "lo", "hi", "p", "q", "n", "unit", "method", "numbers"),
)
TYPES = {**dict.fromkeys(("value", "lo", "hi", "p", "q"), "float64"), "n": "int64", "seed": "Int64"}


def findings_frame(rows: Mapping[str, Sequence[Row]], grid: Grid) -> pd.DataFrame:
    """The findings that the tables' rows bear, kind by kind, with relation and q (Benjamini-Hochberg by kind)."""
    found = [
        {"kind": name, **kind.finding(row)}
        for name, kind in KINDS.items()
        for row in rows.get(kind.table, ())
        if kind.when(row)
    ]
    for finding in found:
        finding["relation"] = grid.relation(finding["source"], finding["task"]) if finding["task"] else None
    frame = pd.DataFrame(found, columns=list(COLUMNS), dtype=object).astype(TYPES)
    for _, family in frame.groupby("kind", sort=False):
        frame.loc[family.index, "q"] = benjamini_hochberg(family["p"])
    return frame


@dataclass(frozen=True, kw_only=True, eq=False)
class Effects:
    """Side effects of a study.

    Attributes:
        findings: one row per finding: kind, model, source, seed, task, detail, relation (own, copy, transfer, or
            model for one not trained here), value, lo, hi, p, q (Benjamini-Hochberg within the kind), n, unit,
            method (of the interval), numbers (what else its sentence needs, by name).
        tables: by name: cells (what a score is held against, and habits), learning, curves, gains, rates,
            classes, confusion, macro_f1, class_pull, lengths, asymmetry, domain,
            controls, tags, surprises; those that could not be computed are absent.
        notes: what could not be computed, and what an interval does not cover.
        settings: replicates, seed, level.
    """

    findings: pd.DataFrame
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def of_kind(self, *kinds: str) -> pd.DataFrame:
        """The findings of one or several kinds."""
        return self.findings[self.findings["kind"].isin(kinds)]

    def significant(self, alpha: float = 0.05) -> pd.DataFrame:
        """Findings with q of at most ``alpha``, the largest |value| of each kind first."""
        kept = self.findings[self.findings["q"] <= alpha]
        order = kept.assign(size=kept["value"].abs()).sort_values(["kind", "size"], ascending=[True, False])
        return order.drop(columns="size")

    def sentences(self, rows: pd.DataFrame | None = None) -> pd.Series:
        """Findings in words, with their numbers (default: all findings)."""
        rows = self.findings if rows is None else rows
        return pd.Series([sentence(dict(row)) for _, row in rows.iterrows()], index=rows.index, dtype=object)

    def surprising(self, kind: str = "surprise") -> pd.DataFrame:
        """Findings of the cells flagged as surprises, most unusual first; the unusual ones where noise is not known."""
        table, rows = self.tables.get("surprises"), self.of_kind(kind)
        if table is None or rows.empty:
            return rows.head(0)
        table = table[table["against"] == kind]
        flagged = table["unusual" if table["q"].isna().all() else "surprising"].map(lambda v: v is True or v == 1.0)
        cells = table.loc[flagged.astype(bool), ["model", "task"]]
        return rows.set_index(["model", "task"], drop=False).loc[list(cells.itertuples(index=False, name=None))]

    def not_learnt(self) -> list[str]:
        """A sentence for every source that was not seen to learn its own task."""
        table = self.tables.get("learning")
        return [] if table is None else learning_sentences(table.to_dict("records"))  # type: ignore[arg-type]

    def to_json(self) -> str:
        """All of it as one JSON text; numbers that are not finite become null."""
        payload = {
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "findings": table_to_json(self.findings),
            "tables": {name: table_to_json(table) for name, table in self.tables.items()},
        }
        return dump_findings(payload, FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Effects:
        """What :meth:`to_json` wrote.

        Raises:
            TraitscopeError: if the text was written by another format version.
        """
        payload = load_findings(text, FORMAT, "effects")
        return cls(
            findings=table_from_json(payload["findings"]),
            tables={name: table_from_json(table) for name, table in payload["tables"].items()},
            notes=tuple(payload["notes"]),
            settings=payload["settings"],
        )

    def render(self, limit: int = 5, alpha: float = 0.05) -> str:
        """Plain text for the terminal: by kind, how many were tested and held, and the strongest sentences.

        Args:
            limit: sentences per kind.
            alpha: the q below which a finding counts.
        """
        lines: list[str] = []
        for name, kind in KINDS.items():
            rows = self.of_kind(name)
            if rows.empty:
                continue
            held = rows[rows["q"] <= alpha]
            tested = int(rows["p"].notna().sum())
            verdict = f"{len(held)} of {tested} hold at q <= {alpha:g}" if tested else "no test was possible"
            lines.append(f"{kind.title}: {verdict}")
            if kind.table == "surprises":
                shown = self.surprising(name).head(limit)
            elif len(rows) <= limit:
                shown = rows
            else:
                # Where nothing can be tested, the largest are still worth a line.
                pool = held if tested else rows
                shown = pool.loc[pool["value"].abs().sort_values(ascending=False, kind="stable").index].head(limit)
            for text, q in zip(self.sentences(shown), shown["q"], strict=True):
                lines.append(f"  - {text}" + ("" if np.isnan(q) else f" q = {q:.2g}"))
        if unlearnt := self.not_learnt():
            lines += ["What training did not teach", *(f"  - {text}" for text in unlearnt)]
        lines.extend(f"note: {note}" for note in self.notes)
        return "\n".join(lines)
