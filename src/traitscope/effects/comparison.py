"""Two studies held against each other: settings, cells, findings that repeat, traits; as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from traitscope.effects.across import KEY, long_findings
from traitscope.effects.agreement import Agreement
from traitscope.effects.holding import ALPHA
from traitscope.effects.kinds import KINDS
from traitscope.effects.result import Effects
from traitscope.effects.words import number, span_words
from traitscope.frames import Tabular
from traitscope.jsontables import dump_findings, plain, table_to_json
from traitscope.texts import Shown, count_of, table_text
from traitscope.traits.congruence import Congruence

FORMAT = 1
DRAWS = 9999
# Of more pairs the summary alone fits a terminal.
MOST_PAIRS = 6


def repeated(first: Effects, second: Effects, alpha: float = ALPHA, seed: int = 0) -> pd.DataFrame:
    """How many findings of one study hold in another too, kind by kind, against what chance gives.

    Chance is that the second's verdicts (up, down, or not held) are dealt to the common findings at random; p is of as
    many that agree in holding and in sign.

    Args:
        first, second: their effects. alpha: level at which a finding holds. seed: of the draws.

    Returns:
        kind, tested (in both), first, second (so many hold), same (hold in both with one sign), opposite, expected, p.
    """
    a, b = (long_findings({"": one}, alpha) for one in (first, second))
    both = a[a["p"].notna()].merge(b[b["p"].notna()], on=list(KEY), suffixes=("_a", "_b"))
    rng, rows = np.random.default_rng(seed), []
    for kind, group in both.groupby("kind", sort=False):
        signs = [
            np.where(group[f"held_{side}"], np.sign(group[f"value_{side}"] - group[f"none_{side}"]), 0.0)
            for side in "ab"
        ]
        same = int((signs[0] * signs[1] > 0).sum())
        shares = [(float((one > 0).mean()), float((one < 0).mean())) for one in signs]
        expected = len(group) * sum(x * y for x, y in zip(*shares, strict=True))
        dealt = np.array([(signs[0] * rng.permutation(signs[1]) > 0).sum() for _ in range(DRAWS if same else 0)])
        rows.append(
            {
                "kind": str(kind),
                "tested": len(group),
                "first": int((signs[0] != 0).sum()),
                "second": int((signs[1] != 0).sum()),
                "same": same,
                "opposite": int((signs[0] * signs[1] < 0).sum()),
                "expected": expected,
                "p": (1 + int((dealt >= same).sum())) / (DRAWS + 1) if same else 1.0,
            }
        )
    columns = ["kind", "tested", "first", "second", "same", "opposite", "expected", "p"]
    frame = pd.DataFrame(rows, columns=columns)
    order = {kind: place for place, kind in enumerate(KINDS)}
    return frame.sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable").reset_index(drop=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Two of the things compared.

    Attributes:
        first, second: their names.
        settings: what differs in configuration, data and software, one line each; None where one has none.
        cells: differences cell by cell (``sidebyside.side_by_side``).
        gains: how alike the gains are.
        repeats: which findings repeat (``repeated``); None where one has none.
        traits: how alike the traits are; None where they could not be fitted on the same tasks.
        notes: what was left out.
    """

    first: str
    second: str
    settings: tuple[str, ...] | None
    cells: pd.DataFrame
    gains: Agreement
    repeats: pd.DataFrame | None = None
    traits: Congruence | None = None
    notes: tuple[str, ...] = ()

    def render(self, limit: int, alpha: float) -> list[str]:
        """Lines for the terminal."""
        lines = [f"{self.first} against {self.second}"]
        if self.settings is not None:
            lines += [f"  {line}" for line in self.settings] or ["  no setting differs"]
        return [
            *lines,
            *self._cell_lines(limit, alpha),
            *self._gain_lines(),
            *self._repeat_lines(),
            *self._trait_lines(),
            *(f"note: {note}" for note in self.notes),
        ]

    def _cell_lines(self, limit: int, alpha: float) -> list[str]:
        cells = self.cells
        paired = int(cells["paired"].sum())
        rows, tasks = cells["row"].nunique(), cells["task"].nunique()
        tested = int(cells["gain_first"].notna().sum())
        held, gains = cells[cells["q"] <= alpha], cells[cells["gain_q"] <= alpha]
        lines = [
            f"Cells: {len(cells)} of {count_of(rows, 'row')} on {count_of(tasks, 'task')} in common, {paired} paired "
            f"over the same examples; {len(held)} scores and {len(gains)} of {tested} gains "
            f"differ at q <= {alpha:g}"
        ]
        shown = held.loc[held["difference"].abs().sort_values(ascending=False, kind="stable").index[:limit]]
        if len(shown):
            table = [["row", "task", self.first, self.second, "difference", "95 %", "q", "of gains", "q"]]
            for row in shown.to_dict("records"):
                unit = str(row["unit"])
                sizes = (number(row[key], unit, signed=False) for key in ("first", "second"))
                gain = row["gain_difference"]
                table.append(
                    [
                        *(str(row["row"]), str(row["task"]), *sizes, number(row["difference"], unit)),
                        *(span_words(row["lo"], row["hi"], unit), f"{row['q']:.2g}"),
                        *(("", "") if np.isnan(gain) else (number(gain, unit), f"{row['gain_q']:.2g}")),
                    ]
                )
            lines.append(table_text(table, right=range(2, 9), indent="  "))
        return lines

    def _gain_lines(self) -> list[str]:
        gains = self.gains
        if not np.isfinite(gains.pearson):
            return [f"Gains: too few transfer cells in common, or all alike ({gains.n})"]
        told = f"Gains over {gains.n} transfer cells: correlation {gains.pearson:.2f}, of ranks {gains.spearman:.2f}"
        if np.isfinite(gains.apart):
            told += f"; without the means of sources and tasks {gains.apart:.2f} (p = {gains.p:.2g})"
        else:
            told += "; without the means of sources and tasks too little is left for one"
        return [told]

    def _repeat_lines(self) -> list[str]:
        if self.repeats is None or self.repeats.empty:
            return []
        rows = [["finding", "in both", "first", "second", "repeat", "opposite", "by chance", "p"]]
        for row in self.repeats.to_dict("records"):
            counts = (str(row[key]) for key in ("tested", "first", "second", "same", "opposite"))
            rows.append([KINDS[str(row["kind"])].title, *counts, f"{row['expected']:.1f}", f"{row['p']:.2g}"])
        return ["Findings that hold in the first, in the second, in both with one sign", table_text(rows, indent="  ")]

    def _trait_lines(self) -> list[str]:
        if self.traits is None:
            return []
        orders = f"{'all ' if self.traits.exact else ''}{self.traits.orders} orders of {len(self.traits.tasks)} tasks"
        rows = [["first", "second", "congruence", "chance 95 %", "p", "rotated", "chance 95 %", "p", ""]]
        for row in self.traits.rows():
            rows.append(
                [
                    *(row["first"], row["second"], f"{row['congruence']:.2f}", f"{row['chance']:.2f}"),
                    *(f"{row['p']:.2g}", f"{row['rotated']:.2f}", f"{row['rotated_chance']:.2f}"),
                    *(f"{row['rotated_p']:.2g}", row["verdict"]),
                ]
            )
        told = "Traits of scaled scores: Tucker's congruence; chance: best pair, what those above share set aside"
        return [f"{told}; {orders}", table_text(rows, right=range(2, 8), indent="  ")]

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        traits = None
        if self.traits is not None:
            traits = {
                "tasks": list(self.traits.tasks),
                "phi": [[plain(v) for v in row] for row in self.traits.phi_KJ],
                "pairs": [{key: plain(value) for key, value in row.items()} for row in self.traits.rows()],
                "orders": self.traits.orders,
                "exact": self.traits.exact,
            }
        return {
            "first": self.first,
            "second": self.second,
            "settings": None if self.settings is None else list(self.settings),
            "cells": table_to_json(self.cells),
            "gains": plain(asdict(self.gains)),
            "repeats": None if self.repeats is None else table_to_json(self.repeats),
            "traits": traits,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Comparison(Shown, Tabular):
    """Two or more studies, run folders or matrices held against each other, pair by pair.

    Attributes:
        names: what they are called, in their order. about: by name what each is.
        pairs: every two of them. settings: alpha, level, seed.
    """

    names: tuple[str, ...]
    about: Mapping[str, str]
    pairs: Sequence[Pair]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def headline(self) -> str:
        """What it is of, in a few words."""
        return " against ".join(self.names)

    def pair(self, first: str, second: str) -> Pair:
        """Two of them by their names.

        Raises:
            KeyError: no such pair.
        """
        for pair in self.pairs:
            if (pair.first, pair.second) == (first, second):
                return pair
        raise KeyError((first, second))

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """summary; cells and repeats, each pair's with its names ahead."""
        tables = {"summary": self.summary()}
        for name in ("cells", "repeats"):
            found = [(pair, getattr(pair, name)) for pair in self.pairs]
            named = [table.assign(first_of=p.first, second_of=p.second) for p, table in found if table is not None]
            tables[name] = pd.concat(named, ignore_index=True) if named else pd.DataFrame()
        return tables

    def summary(self) -> pd.DataFrame:
        """One row per pair: cells in common and different, correlations, findings that repeat, the best congruence."""
        alpha = self.settings.get("alpha", ALPHA)
        rows = []
        for pair in self.pairs:
            repeats = pair.repeats
            rows.append(
                {
                    "first": pair.first,
                    "second": pair.second,
                    "cells": len(pair.cells),
                    "different": int((pair.cells["q"] <= alpha).sum()),
                    "correlation": pair.gains.pearson,
                    "apart": pair.gains.apart,
                    "repeat": np.nan if repeats is None else float(repeats["same"].sum()),
                    "expected": np.nan if repeats is None else float(repeats["expected"].sum()),
                    "congruence": np.nan if pair.traits is None else float(pair.traits.phi_P[0]),
                }
            )
        return pd.DataFrame(rows)

    def render(self, limit: int = 5) -> str:
        """Plain text for the terminal.

        Args:
            limit: cells shown of each pair.
        """
        alpha = self.settings.get("alpha", ALPHA)
        lines = [f"{name}: {what}" for name, what in self.about.items()]
        if len(self.pairs) > 1:
            rows = [["first", "second", "cells", "different", "gains r", "apart", "repeat", "by chance", "congruence"]]
            for row in self.summary().to_dict("records"):
                numbers = (
                    "" if np.isnan(row[key]) else f"{row[key]:.{digits}f}"
                    for key, digits in (
                        *(("correlation", 2), ("apart", 2), ("repeat", 0), ("expected", 1), ("congruence", 2)),
                    )
                )
                rows.append([str(row["first"]), str(row["second"]), str(row["cells"]), str(row["different"]), *numbers])
            lines += ["", table_text(rows, right=range(2, 9))]
        if len(self.pairs) > MOST_PAIRS:
            lines.append("each pair by itself: name two of them, or --json")
        for pair in self.pairs if len(self.pairs) <= MOST_PAIRS else ():
            lines += ["", *pair.render(limit, alpha)]
        return "\n".join(lines)

    def to_json(self) -> str:
        """All of it as one JSON text."""
        payload = {
            "names": list(self.names),
            "about": dict(self.about),
            "settings": dict(self.settings),
            "pairs": [pair.to_json() for pair in self.pairs],
        }
        return dump_findings(payload, FORMAT)
