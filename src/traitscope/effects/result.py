"""What the effects found: findings, tables, notes; written as JSON, rendered for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError

FORMAT = 1

TITLES = {
    "gain": "Gains over the base",
    "source_gain": "Gains of sources, seeds together",
    "macro_f1": "Macro-F1",
    "class_share": "Predicted class shares",
    "recall": "Recall by class",
    "class_pull": "Predicted class shares towards the source's labels",
    "class_pull_pooled": "Predicted class shares towards the source's labels, beside the truth, all cells",
    "length_shift": "Answer length",
    "length_weight": "Length between the base's habit and the source's",
    "length_weight_pooled": "Length between the base's habit and the source's, all cells",
    "invalid": "Answers that cannot be parsed",
    "cut_off": "Answers cut off",
    "asymmetry": "Asymmetry",
    "domain": "Near against far domains",
    "control_own": "Controls on their own task",
    "control_transfer": "Controls on the other tasks",
    "tag": "Success by tag",
    "surprise": "Surprises against an additive model",
    "surprise_similarity": "Surprises against an additive model with similarity",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Effects:
    """Side effects of a study.

    Attributes:
        findings: one row per finding: kind, model, source, seed, task, detail, value, lo, hi, unit, n, p,
            interval, q (Benjamini-Hochberg within the kind), looked_at (how many of the kind were tested),
            sentence.
        tables: by name: gains, rates, classes, confusion, macro_f1, class_pull, lengths, asymmetry, domain,
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

    def to_json(self) -> str:
        """All of it as one JSON text; numbers that are not finite become null."""
        payload = {
            "format": FORMAT,
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "findings": _records(self.findings),
            "tables": {name: _records(table) for name, table in self.tables.items()},
        }
        return json.dumps(payload, indent=1, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Effects:
        """What :meth:`to_json` wrote.

        Raises:
            TraitscopeError: if the text was written by another format version.
        """
        payload = json.loads(text)
        if payload.get("format") != FORMAT:
            raise TraitscopeError(
                f"format {payload.get('format')!r} of effects is not {FORMAT}",
                where="effects",
                fix="compute them again with this version",
            )
        return cls(
            findings=_table(payload["findings"]),
            tables={name: _table(table) for name, table in payload["tables"].items()},
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
        for kind in (*TITLES, *sorted(set(self.findings["kind"]) - set(TITLES))):
            rows = self.of_kind(kind)
            if rows.empty:
                continue
            held = rows[rows["q"] <= alpha]
            tested = int(rows["looked_at"].iloc[0])
            verdict = f"{len(held)} of {tested} hold at q <= {alpha:g}" if tested else "no test was possible"
            lines.append(f"{TITLES.get(kind, kind)}: {verdict}")
            if kind.startswith("surprise"):
                shown = self._surprises(kind, limit)
            elif len(rows) <= limit:
                shown = rows
            else:
                # Where nothing can be tested, the largest are still worth a line.
                pool = held if tested else rows
                shown = pool.loc[pool["value"].abs().sort_values(ascending=False, kind="stable").index].head(limit)
            for row in shown.to_dict("records"):
                q = f" q = {row['q']:.2g}" if _known(row["q"]) else ""
                lines.append(f"  - {row['sentence']}{q}")
        lines.extend(f"note: {note}" for note in self.notes)
        return "\n".join(lines)

    def _surprises(self, kind: str, limit: int) -> pd.DataFrame:
        """The flagged cells; the most unusual ones where noise is not known."""
        table = self.tables["surprises"]
        table = table[table["against"] == kind]
        flagged = table[table["surprising"].astype(object).map(lambda x: x is True)]
        if table["q"].isna().all():
            flagged = table[table["unusual"].astype(bool)]
        keys = list(zip(flagged["model"], flagged["task"], strict=True))[:limit]
        rows = self.of_kind(kind).set_index(["model", "task"], drop=False)
        return rows.loc[keys] if keys else rows.head(0)


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _records(table: pd.DataFrame) -> dict[str, Any]:
    """Column by column, which is a third of the size of row by row."""
    return {
        "columns": list(table.columns),
        "rows": len(table),
        "data": [[_plain(v) for v in table[column].astype(object)] for column in table.columns],
    }


def _table(stored: Mapping[str, Any]) -> pd.DataFrame:
    columns: Sequence[str] = stored["columns"]
    series = {
        name: pd.Series(values, dtype=object if any(isinstance(v, str) for v in values) else None)
        for name, values in zip(columns, stored["data"], strict=True)
    }
    frame = pd.DataFrame(series, columns=list(columns))
    if "seed" in frame.columns:
        frame["seed"] = frame["seed"].astype("Int64")
    for column in ("value", "lo", "hi", "p", "q"):
        if column in frame.columns and not frame[column].map(lambda v: isinstance(v, str)).any():
            frame[column] = frame[column].astype(float)
    return frame
