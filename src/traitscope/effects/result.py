"""What the effects found: findings, tables, notes; written as JSON, rendered for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from traitscope.effects.grid import FAMILIES, Grid, Row
from traitscope.effects.holding import ALPHA, held
from traitscope.effects.kinds import KINDS, sentence
from traitscope.effects.learning import learning_sentences
from traitscope.effects.runs import findings_over_runs
from traitscope.effects.significance import benjamini_hochberg
from traitscope.frames import Tabular
from traitscope.jsontables import dump_findings, load_findings, table_from_json, table_to_json
from traitscope.texts import Shown, count_of

FORMAT = 4

COLUMNS = (
    *("kind", "model", "source", "seed", "task", "detail", "relation", "family"),
    *("value", "lo", "hi", "p", "q", "n", "unit", "method", "numbers"),
)
TYPES = {**dict.fromkeys(("value", "lo", "hi", "p", "q"), "float64"), "n": "int64", "seed": "Int64"}


def findings_frame(rows: Mapping[str, Sequence[Row]], grid: Grid, level: float = 0.95) -> pd.DataFrame:
    """The findings that the tables' rows bear, kind by kind, with relation, family and q.

    Seeds are averaged where a finding is of one run; q is Benjamini and Hochberg's within kind and family.

    Args:
        rows: by table.
        grid: whose rows they are about.
        level: of their intervals.
    """
    made = []
    for name, kind in KINDS.items():
        found = [kind.finding(row) for row in rows.get(kind.table, ()) if kind.when(row)]
        if kind.runs:
            found = findings_over_runs(found, grid, level)
        made += [{"kind": name, **finding} for finding in found]
    for finding in made:
        source, task = finding["source"], finding["task"]
        finding["relation"] = grid.relation(source, task) if task else None
        finding["family"] = grid.family(source, task)
    frame = pd.DataFrame(made, columns=list(COLUMNS), dtype=object).astype(TYPES)
    for _, family in frame.groupby(["kind", "family"], sort=False, dropna=False):
        frame.loc[family.index, "q"] = benjamini_hochberg(family["p"])
    return frame


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Effects(Shown, Tabular):
    """Side effects of a study.

    Attributes:
        findings: one row per finding: kind, model, source, seed, task, detail, relation (own, copy, transfer, or
            model for one not trained here), family (own, copy or transfer of a source, control, mix, model, or none),
            value, lo, hi, p, q (Benjamini-Hochberg within kind and family), n, unit, method (of the interval),
            numbers (what else its sentence needs, by name).
        tables: by name: cells (what a score is held against, and habits), learning, curves, gains, rates,
            classes, confusion, macro_f1, class_pull, lengths, asymmetry, domain,
            controls, tags, surprises; those that could not be computed are absent.
        notes: what could not be computed, and what an interval does not cover.
        settings: replicates, seed, level, and scope (that findings speak of single runs, where no other is known of).
    """

    findings: pd.DataFrame
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def headline(self) -> str:
        """What it is of, in a few words."""
        return f"{count_of(len(self.findings), 'finding')} of {count_of(self.findings['kind'].nunique(), 'kind')}"

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """``findings``, with their sentences, and all of ``tables``."""
        return {"findings": self.findings.assign(sentence=self.sentences()), **self.tables}

    def of_kind(self, *kinds: str) -> pd.DataFrame:
        """The findings of one or several kinds."""
        return self.findings[self.findings["kind"].isin(kinds)]

    def held(self, rows: pd.DataFrame | None = None, alpha: float = ALPHA) -> pd.DataFrame:
        """Findings with q of at most ``alpha`` whose interval leaves out no effect (default: of all findings)."""
        return held(self.findings if rows is None else rows, alpha)

    def significant(self, alpha: float = ALPHA) -> pd.DataFrame:
        """Findings that hold (see ``held``), the largest |value| of each kind first."""
        kept = self.held(alpha=alpha)
        order = kept.assign(size=kept["value"].abs()).sort_values(["kind", "size"], ascending=[True, False])
        return order.drop(columns="size")

    def sentences(self, rows: pd.DataFrame | None = None) -> pd.Series:
        """Findings in words, with their numbers (default: all findings)."""
        rows = self.findings if rows is None else rows
        told: list[dict[str, Any]] = rows.to_dict("records")  # type: ignore[assignment]
        return pd.Series([sentence(row) for row in told], index=rows.index, dtype=object)

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

    def render(self, limit: int = 5, alpha: float = ALPHA) -> str:
        """Plain text for the terminal: by kind, how many were tested and held, and the strongest sentences.

        Args:
            limit: sentences per kind.
            alpha: the q below which a finding counts.
        """
        scope = self.settings.get("scope")
        lines = [f"{scope[0].upper()}{scope[1:]}."] if scope else []
        for name, kind in KINDS.items():
            rows = self.of_kind(name)
            if rows.empty:
                continue
            held = self.held(rows, alpha)
            tested = int(rows["p"].notna().sum())
            lines.append(f"{kind.title}: {self.verdict(rows, alpha)}")
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

    def verdict(self, rows: pd.DataFrame, alpha: float = ALPHA) -> str:
        """How many of some findings hold, family by family where there are several."""
        held, tested = self.held(rows, alpha), rows[rows["p"].notna()]
        if tested.empty:
            return "no test was possible"
        families = [family for family in FAMILIES if (tested["family"] == family).any()]
        counts = [(f, int((held["family"] == f).sum()), int((tested["family"] == f).sum())) for f in families]
        told = ", ".join(f"{family} {k} of {n}" for family, k, n in counts)
        verdict = f"{told if len(families) > 1 else f'{len(held)} of {len(tested)}'} hold at q <= {alpha:g}"
        unknown = int((rows["q"] <= alpha).sum()) - len(held)
        return verdict + (f"; {unknown:d} more show an association whose size is unknown" if unknown else "")
