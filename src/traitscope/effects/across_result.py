"""What holds across base models: tables and sentences; written as JSON, rendered for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from traitscope.effects.holding import ALPHA
from traitscope.effects.kinds import KINDS
from traitscope.effects.words import POINTS, number, span_words
from traitscope.frames import Tabular
from traitscope.jsontables import dump_findings, load_findings, table_from_json, table_to_json
from traitscope.texts import Shown, count_of

FORMAT = 2
COLUMNS = (
    *("kind", "name", "task", "detail", "relation", "family", "unit"),
    *("bases", "held", "up", "down", "direction", "value", "at_least", "p_two", "q_two", "p_all", "q_all", "holds_in"),
)
GAIN_COLUMNS = (
    *("name", "task", "relation", "family", "unit", "bases", "paired", "value", "lo", "hi", "p", "q"),
    *("sd", "sd_lo", "sd_hi", "share", "share_lo", "share_hi", "p_differ", "q_differ", "next_lo", "next_hi"),
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Across(Shown, Tabular):
    """Findings of several base models side by side.

    Attributes:
        bases: the base models.
        findings: one row for each finding that was tested in two or more: kind, name (source or row), task, detail,
            relation, family, unit, bases (in which it was tested), held (in how many it holds by itself; up and down:
            with which sign), direction (+1, -1 or 0), value (mean), at_least (in so many base models, at the level of
            the settings), p_two and q_two (against "in fewer than two"), p_all and q_all (against "not in all"),
            holds_in (names).
        gains: gains pooled over base models: paired (whether it is known how far their errors go together), value, lo,
            hi, p, q of their mean; sd (between base models) and share (of the variance seen, I2) with intervals;
            p_differ, q_differ (Cochran's Q); next_lo, next_hi (where one more base model is expected).
        by_base: every base model's own findings, long.
        notes: what an interval does not cover.
        settings: alpha, combination, level.
    """

    bases: tuple[str, ...]
    findings: pd.DataFrame
    gains: pd.DataFrame
    by_base: pd.DataFrame
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def headline(self) -> str:
        """What it is of, in a few words."""
        return f"{count_of(len(self.findings), 'finding')} over {count_of(len(self.bases), 'base model')}"

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """findings, gains, by_base: see the attributes."""
        return {"findings": self.findings, "gains": self.gains, "by_base": self.by_base}

    def replicated(self, alpha: float = ALPHA) -> pd.DataFrame:
        """Findings that hold in two base models or more (q_two), those of most base models first."""
        kept = self.findings[(self.findings["q_two"] <= alpha) & (self.findings["direction"] != 0)]
        return kept.sort_values(["at_least", "q_two"], ascending=[False, True], kind="stable")

    def sentence(self, row: Mapping[str, Any]) -> str:
        """A finding across base models in words."""
        what = " on ".join(str(row[key]) for key in ("name", "task") if row[key])
        unit = str(row["unit"])
        kind = f" ({row['detail']})" if row["detail"] else ""
        size = number(row["value"], unit, signed=unit != "ratio")
        size += " points" if unit in POINTS else f" {unit}"
        signs = f"{row['up']} up, {row['down']} down" if row["up"] and row["down"] else ""
        held = f"holds in {row['held']} of {row['bases']}" + (f" ({signs})" if signs else "")
        told = f"{what or 'over all cells'}{kind}: {size} on average, {held}"
        if row["at_least"] > 1:
            told += f", in at least {row['at_least']} with {1 - self.settings.get('alpha', ALPHA):.0%} confidence"
        return f"{told}; two or more: q = {row['q_two']:.2g}, all: q = {row['q_all']:.2g}."

    def gain_sentence(self, row: Mapping[str, Any]) -> str:
        """A pooled gain in words."""
        unit = str(row["unit"])
        told = "" if row["paired"] else ", errors taken as independent"
        size = f"{number(row['value'], unit)} {'points' if unit in POINTS else unit}"
        return (
            f"{row['name']} on {row['task']}: {size} {span_words(row['lo'], row['hi'], unit)} over {row['bases']} base "
            f"models (q = {row['q']:.2g}{told}); they differ by {number(row['sd'], unit, signed=False)} (I2 "
            f"{row['share']:.0%}, {row['share_lo']:.0%} to {row['share_hi']:.0%})."
        )

    def verdict(self, kind: str, alpha: float = ALPHA) -> str:
        """How many findings of a kind hold in one base model, in two or more, and in all."""
        rows = self.findings[self.findings["kind"] == kind]
        two = int(((rows["q_two"] <= alpha) & (rows["direction"] != 0)).sum())
        every = int(((rows["q_all"] <= alpha) & (rows["direction"] != 0)).sum())
        mixed = int(((rows["up"] > 0) & (rows["down"] > 0)).sum())
        told = (
            f"of {len(rows)} tested in two base models or more {int((rows['held'] > 0).sum())} hold in one by itself, "
        )
        told += f"{two} in two or more, {every} in all that were tested"
        return told + (f"; {mixed} hold up in one and down in another" if mixed else "")

    def kinds(self) -> tuple[str, ...]:
        """The kinds of findings that there are, in their usual order."""
        present = set(self.findings["kind"])
        return tuple(kind for kind in KINDS if kind in present)

    def render(self, limit: int = 5, alpha: float = ALPHA) -> str:
        """Plain text for the terminal: by kind, how many hold where, and the strongest sentences.

        Args:
            limit: sentences of each kind. alpha: the q up to which a finding counts.
        """
        lines = [f"Findings across {len(self.bases)} base models: {', '.join(self.bases)}."]
        found = self.replicated(alpha)
        for kind in self.kinds():
            lines.append(f"{KINDS[kind].title}: {self.verdict(kind, alpha)}")
            shown = found[found["kind"] == kind].head(limit)
            lines += [f"  - {self.sentence(row)}" for row in shown.to_dict("records")]  # type: ignore[arg-type]
        if len(self.gains):
            held = self.gains[self.gains["q"] <= alpha]
            differ = int((self.gains["q_differ"] <= alpha).sum())
            lines.append(
                f"Gains pooled over base models: {len(held)} of {len(self.gains)} hold at q <= {alpha:g}, "
                f"{differ} differ between base models by more than their errors"
            )
            order = held["value"].abs().sort_values(ascending=False, kind="stable").index[:limit]
            lines += [f"  - {self.gain_sentence(row)}" for row in held.loc[order].to_dict("records")]  # type: ignore[arg-type]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_json(self) -> str:
        """All of it as one JSON text; numbers that are not finite become null."""
        payload = {
            "bases": list(self.bases),
            "settings": dict(self.settings),
            "notes": list(self.notes),
            **{name: table_to_json(getattr(self, name)) for name in ("findings", "gains", "by_base")},
        }
        return dump_findings(payload, FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Across:
        """What ``to_json`` wrote.

        Raises:
            ValueError: the text was written by another format version.
        """
        payload = load_findings(text, FORMAT, "findings across base models")
        return cls(
            bases=tuple(payload["bases"]),
            notes=tuple(payload["notes"]),
            settings=payload["settings"],
            **{name: table_from_json(payload[name]) for name in ("findings", "gains", "by_base")},
        )
