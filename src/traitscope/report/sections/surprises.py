"""Surprises and asymmetry: what source and task do not lead one to expect, and transfer of one direction alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from traitscope.effects import Effects
from traitscope.effects.words import span_words
from traitscope.findings import Findings
from traitscope.report.sections.table import Column, Item, Line, Table, in_points, q_item, size_item, sized, span_item
from traitscope.report.words import Sentence, bases_of, sizes, surprises
from traitscope.texts import count_of

FIGURES, FOLDED = ("surprise_dumbbells", "asymmetry"), ("surprises",)


@dataclass(frozen=True, slots=True)
class Surprises:
    """The answer in one line, surprising cells in words, and pairs of tasks with both directions."""

    answer: str
    told: tuple[Sentence, ...] = ()
    asymmetry: Table | None = None
    one_way: str = ""


def view(findings: Findings) -> Surprises:
    """The section of a study whose effects are known."""
    effects = findings.effects
    assert effects is not None
    told, pairs = surprises(effects), effects.of_kind("asymmetry")
    words = _answer(effects, told, "" if findings.bare else " (traitscope run measures more)")
    held = effects.held(pairs)
    tested = int(pairs["p"].notna().sum())
    return Surprises(
        words,
        told,
        _asymmetry(effects, bases_of(findings.scores)) if len(pairs) else None,
        f"{len(held)} of {count_of(tested, 'tested pair')} differ in their two directions."
        if tested
        else "No pair of tasks was measured in both directions with a known error.",
    )


def _answer(effects: Effects, told: tuple[Sentence, ...], more: str) -> str:
    table = effects.tables.get("surprises")
    rows = None if table is None else table[table["against"] == "surprise"]
    if rows is None or rows.empty:
        return f"Too few transfers were measured to say what is to be expected of a cell{more}."
    if told:
        known = "" if rows["q"].notna().any() else "; their noise is not known, so they are unusual and no more"
        count = count_of(len(effects.surprising()), "surprise")
        return f"{count} among {count_of(len(rows), 'transfer')}{known}; the first: {told[0].text}"
    unusual = int((rows["unusual"].astype(float) == 1.0).sum())
    none = f"No surprise among {count_of(len(rows), 'transfer')}"
    if not unusual:
        return f"{none}: none lies far from what source and task lead one to expect."
    # Where no noise is known the unusual ones are told as surprises.
    return (
        f"{none}: {unusual} {'lies' if unusual == 1 else 'lie'} far from what source and task lead one to expect, "
        f"{'not' if unusual == 1 else 'none of them'} beyond its noise."
    )


def _asymmetry(effects: Effects, bases: Mapping[str, str]) -> Table:
    columns = (
        Column("one"),
        Column("other"),
        *([Column("base model")] if bases else []),
        Column("one → other", True, "gain"),
        Column("interval", True, "interval"),
        Column("other → one", True, "gain"),
        Column("interval", True, "interval"),
        Column("difference", True, "asymmetry"),
        Column("interval", True, "interval"),
        Column("q", True, "q"),
    )
    rows = effects.of_kind("asymmetry")
    holding = set(effects.held(rows).index)
    # The table has a line per finding, in the same order.
    base_of = dict(zip(rows.index, effects.tables["asymmetry"]["base"].astype(str), strict=True))
    lines = []
    for index in sizes(rows).sort_values(ascending=False, kind="stable").index:
        row = dict(rows.loc[index])
        both = []
        for way in ("i_to_j", "j_to_i"):
            value, lo, hi = (row["numbers"][f"{way}{end}"] for end in ("", "_lo", "_hi"))
            span = span_words(lo, hi, row["unit"])
            both.append(Item(sized(value, row["unit"]), in_points(value, row["unit"])))
            both.append(Item(span or "–", in_points(hi - lo, row["unit"]) if span else None))
        lines.append(
            Line(
                (
                    Item(str(row["numbers"]["i"])),
                    Item(str(row["numbers"]["j"])),
                    *([Item(bases[base_of[index]])] if bases else []),
                    *both,
                    size_item(row),
                    span_item(row),
                    q_item(row["q"]),
                ),
                tone="strong" if index in holding else "",
            )
        )
    return Table(
        id="both-ways", label="Pairs of tasks, both directions", columns=columns, lines=tuple(lines), filter=True
    )
