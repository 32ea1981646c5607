"""What goes with what, as it was found: tables, the power statement, sentences; written as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from traitscope.effects.words import p_words
from traitscope.frames import Tabular
from traitscope.jsontables import dump_findings, load_findings, table_from_json, table_to_json
from traitscope.texts import Shown, count_of

FORMAT = 2


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Explanation(Shown, Tabular):
    """Associations between dataset statistics and outcomes over the sources.

    Attributes:
        correlations: one row per statistic and outcome: rho (Spearman), lo, hi, n, p (permutation), q.
        regressions: one row per outcome: r2 (each source predicted from the others), p (permutation), q, n,
            features, and the strongest standardised coefficients.
        sources: number of sources (I); looked_at: number of correlations tested.
        detectable: smallest |rho| whose p passes when corrected for ``looked_at``; above 1 where none can.
        detectable_80: true |rho| that would be found with 80 % power; 1 where no true correlation would be.
        level: of the intervals; what holds has a q of at most 1 - level.
        notes: statistics and sources left out, and why.
    """

    correlations: pd.DataFrame
    regressions: pd.DataFrame
    sources: int
    looked_at: int
    detectable: float
    detectable_80: float
    level: float
    notes: tuple[str, ...] = ()

    def headline(self) -> str:
        """What it is of, in a few words."""
        return f"{count_of(self.looked_at, 'correlation')} over {count_of(self.sources, 'source')}"

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """``correlations`` and ``regressions``."""
        return {"correlations": self.correlations, "regressions": self.regressions}

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """The power statement first, then what holds, in words."""
        return tuple(_sentences(self))

    def to_json(self) -> str:
        """All of it as one JSON text."""
        tables = {name: table_to_json(getattr(self, name)) for name in ("correlations", "regressions")}
        numbers = ("sources", "looked_at", "detectable", "detectable_80", "level", "notes")
        return dump_findings({**tables, **{name: getattr(self, name) for name in numbers}}, FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Explanation:
        """What :meth:`to_json` wrote.

        Raises:
            TraitscopeError: if the text was written by another format version.
        """
        payload = load_findings(text, FORMAT, "explanation")
        return cls(
            correlations=table_from_json(payload.pop("correlations")),
            regressions=table_from_json(payload.pop("regressions")),
            notes=tuple(payload.pop("notes")),
            **payload,
        )

    def render(self) -> str:
        """The sentences and notes, for the terminal."""
        return "\n".join([*self.sentences, *(f"note: {note}" for note in self.notes)])


def _sentences(found: Explanation) -> Iterator[str]:
    alpha = 1 - found.level
    head = f"{count_of(found.sources, 'source')}, {count_of(found.looked_at, 'correlation')} looked at: "
    if found.detectable > 1:
        yield head + "after correction not even a perfect correlation could hold; what follows is description only."
    else:
        head += f"one alone must reach |rho| = {found.detectable:.2f} to hold after correction"
        if found.detectable_80 < 0.995:
            head += f", and a true |rho| of {found.detectable_80:.2f} would be found in 80 % of such studies."
        else:
            head += ", and hardly any true correlation would be found reliably."
        if found.detectable > 0.8:
            head += f" {found.sources} sources cannot carry claims about weaker ones: finding none is no evidence."
        yield head
    held = found.correlations[found.correlations["q"] <= alpha]
    for row in held.to_dict("records"):
        yield (
            f"{row['statistic']} goes with {row['outcome']}: rho = {row['rho']:+.2f} [{row['lo']:+.2f}, "
            f"{row['hi']:+.2f}] over {row['n']} sources ({p_words(row['p'])}, q = {row['q']:.2g})."
        )
    if held.empty and len(found.correlations):
        best = found.correlations.iloc[0]
        yield (
            f"No correlation holds; the strongest is {best['statistic']} with {best['outcome']}, rho = "
            f"{best['rho']:+.2f} ({p_words(float(best['p']))}, q = {best['q']:.2g})."
        )
    for row in found.regressions.to_dict("records"):
        verdict = "holds" if row["q"] <= alpha else "does not hold"
        yield (
            f"Predicting {row['outcome']} of a source from the others by {count_of(row['features'], 'statistic')}: "
            f"R2 = {row['r2']:+.2f} ({p_words(row['p'])}, q = {row['q']:.2g}), which {verdict}."
        )
