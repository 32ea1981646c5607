"""Can this be trusted: what speaks for and against the matrix, each with the cells that it is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from traitscope.effects import Effects
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.matrix.roles import TRAINED
from traitscope.report.owntasks import own_tasks
from traitscope.texts import count_of

Cells = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Chip:
    """One thing to know before the numbers are believed.

    Attributes:
        name: the flag of its cells.
        text: what the chip says. title: what it means, in a sentence.
        tone: "good", "warn", "bad" (hardly anything below can be believed) or "plain".
        cells: (model, task) that pressing it shows; empty where it is about no cell.
    """

    name: str
    text: str
    title: str
    tone: str
    cells: Cells


def chips(findings: Findings) -> list[Chip]:
    """What is known, worst things included; nothing is told that was not looked at."""
    matrix, effects = findings.scores, findings.effects
    made = [
        *_learnt(effects),
        *_unrecognised(matrix),
        *_floors(matrix, effects),
        *_habits(effects),
        *_seeds(matrix),
        *_status(findings),
    ]
    return made if effects is not None else [_unknown(findings), *made]


def flags(found: list[Chip]) -> dict[tuple[str, str], list[str]]:
    """The chips that every cell belongs to."""
    by_cell: dict[tuple[str, str], list[str]] = {}
    for chip in found:
        for at in chip.cells:
            by_cell.setdefault(at, []).append(chip.name)
    return by_cell


def _unknown(findings: Findings) -> Chip:
    reason = findings.missing.get("effects", "they were not computed").rstrip(".")
    return Chip("unknown", "nothing tested yet", f"Gains are not tested here: {reason}.", "warn", ())


def _unrecognised(matrix: ScoreMatrix) -> Iterator[Chip]:
    trained = [role for role in matrix.roles_I if role.kind == "source"]
    if matrix.roles is None and trained and not any(role.own for role in trained):
        title = "No source has the name of a task: every cell counts as transfer, that of its own task too."
        yield Chip("own", "own tasks not recognised", title, "warn", ())


def _learnt(effects: Effects | None) -> Iterator[Chip]:
    own = own_tasks(effects)
    if own is None:
        return
    if not own.tested:
        yield Chip("own", "own tasks not tested", "No error is known of gains on own tasks.", "warn", ())
        return
    title = "Adapters whose gain on the task they were trained on is above 0 (p <= .05) and no single answer."
    title += f" Not seen to: {own.others}." if own.others else ""
    all_, half = len(own.learnt) == len(own.tested), 2 * len(own.learnt) >= len(own.tested)
    tone = "good" if all_ else "warn" if half else "bad"
    yield Chip("own", own.text, title, tone, tuple((str(row["model"]), str(row["task"])) for row in own.rows))


def _floors(matrix: ScoreMatrix, effects: Effects | None) -> Iterator[Chip]:
    table = None if effects is None else effects.tables.get("cells")
    if table is None:
        return
    for end, title in (
        ("floor", "The base has hardly an answer right there: no loss can be seen."),
        ("ceiling", "The base has hardly an answer wrong there: no gain can be seen."),
    ):
        tasks = set(table.loc[table["base_at"] == end, "task"])
        if tasks:
            cells = tuple((model, task) for task in matrix.tasks if task in tasks for model in matrix.models)
            yield Chip(end, f"{count_of(len(tasks), 'task')} at the {end}", title, "warn", cells)


def _habits(effects: Effects | None) -> Iterator[Chip]:
    table = None if effects is None else effects.tables.get("cells")
    if table is None:
        return
    for habit, none, one, many, title in (
        (
            "constant",
            "no constant-answer cell",
            "constant-answer cell",
            "constant-answer cells",
            "Nearly all answers are the same there: the score is a habit's.",
        ),
        (
            "unparsable",
            "no cell mostly unparsable",
            "cell hardly parsed",
            "cells hardly parsed",
            "Most answers cannot be read: the score is the parser's.",
        ),
    ):
        rows = table[table["habit"] == habit]
        cells = tuple(zip(rows["model"].astype(str), rows["task"].astype(str), strict=True))
        text = count_of(len(cells), one, many) if cells else none
        yield Chip(habit, text, title, "warn" if cells else "good", cells)


def _seeds(matrix: ScoreMatrix) -> Iterator[Chip]:
    trained = [i for i, role in enumerate(matrix.roles_I) if role.kind in TRAINED]
    if not trained:
        return
    by_source: dict[str, set[object]] = {}
    seeds = matrix.rows["seed"]
    for i in trained:
        by_source.setdefault(str(matrix.sources_I[i]), set()).add(seeds.iloc[i])
    single = {source for source, known in by_source.items() if len(known) == 1}
    alone = tuple(
        (matrix.models[i], task) for i in trained if str(matrix.sources_I[i]) in single for task in matrix.tasks
    )
    title = "How far two trainings of one source differ is known of sources with two seeds or more alone."
    most = max(len(known) for known in by_source.values())
    if not single:
        fewest = min(len(known) for known in by_source.values())
        yield Chip("seeds", count_of(fewest, "seed") + " a source", title, "good", ())
    elif most == 1:
        yield Chip("seeds", "1 seed a source: other runs may differ", title, "warn", ())
    else:
        yield Chip("seeds", f"1 seed for {len(single)} of {count_of(len(by_source), 'source')}", title, "warn", alone)


def _status(findings: Findings) -> Iterator[Chip]:
    matrix = findings.scores
    aside = {*findings.left_out, *findings.damaged}
    for status, text, title in (
        ("predicted", "predicted cell", "Forecasts, not measured."),
        ("imported", "imported cell", "Read from a file, not measured here."),
        ("missing", "missing cell", "Not measured."),
    ):
        cells = tuple(
            (model, task)
            for i, model in enumerate(matrix.models)
            for n, task in enumerate(matrix.tasks)
            if matrix.status_IN[i, n] == status and (model, task) not in aside
        )
        if cells:
            whole = len(cells) == len(matrix.models) * len(matrix.tasks)
            name = f"all cells {status}" if whole else count_of(len(cells), text)
            yield Chip(status, name, title, "plain" if status == "imported" else "warn", () if whole else cells)
    for name, out, title in (
        ("stale", findings.left_out, "Made under other settings than the study file's of today"),
        ("damaged", findings.damaged, "Their files are not as they were written"),
    ):
        shown = tuple(at for at in out if at[0] in matrix.models and at[1] in matrix.tasks)
        if out:
            yield Chip(name, count_of(len(out), f"{name} cell"), f"{title}: left out of every finding.", "warn", shown)
