"""Two of the four answers: which dataset helps which task, and what else it changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from traitscope.effects import Effects
from traitscope.findings import Findings
from traitscope.report.claims import Claim, Speaker, base_rows, numbers_of, strongest
from traitscope.report.links import address
from traitscope.report.owntasks import own_tasks
from traitscope.report.words import q_text
from traitscope.texts import count_of

# Kinds of findings that are habits, in shares of answers.
HABITS = ("habit", "class_share", "invalid", "cut_off")
# Scales whose strongest finding is told; the section has them all.
MOST_SCALES = 3
# Families of gains that are no transfer, in words.
FAMILIES = {"own": "own tasks", "mix": "mixes", "control": "controls", "model": "other models"}


def helps(findings: Findings) -> Iterator[Claim]:
    """The strongest transfer that holds, on every scale of its own; own tasks and mixes apart."""
    effects = findings.effects
    rows = None if effects is None else effects.of_kind("gain")
    if effects is None or rows is None or rows.empty:
        yield Claim(absent(findings, "effects", f"Gains are not known: {_why_none(findings)}."))
        return
    speaker = Speaker(findings)
    transfer = rows[rows["family"] == "transfer"]
    held = effects.held(transfer)
    best, largest = strongest(held, 1), strongest(transfer, 1)
    count = len(transfer)
    if best:
        helping = _share_of(int((held["value"] > 0).sum()), count, "help")
        yield from _gain_claims(speaker, best, "helps {task} most", helping)
    elif not count:
        yield Claim(f"No transfer is known: {_why_none(findings)}.", strong="No transfer is known")
    elif transfer["p"].notna().any():
        told = f" The largest, {_on(speaker, largest[0])}, is {speaker.size(largest[0])}." if largest else ""
        yield Claim(
            f"No transfer holds among {count}.{told}{_hardly_trained(effects)}",
            strong="No transfer holds",
            href=_href(speaker, largest[0]) if largest else "",
            numbers={"transfers": count} | (numbers_of(largest[0]) if largest else {}),
        )
    elif largest:
        behind = "no error is known, so nothing is tested"
        yield from _gain_claims(speaker, largest, "does best beside the base on {task}", behind)
    else:
        yield Claim("No dataset is better than the base on a task that is not its own; no error is known.")
    yield from _beside(effects, speaker, rows)


def _beside(effects: Effects, speaker: Speaker, rows: pd.DataFrame) -> Iterator[Claim]:
    """What own tasks and mixes gain."""
    own, mix = (effects.held(rows[rows["family"] == family]) for family in ("own", "mix"))
    best = strongest(own[own["relation"] == "own"], 1)[:MOST_SCALES]
    parts = []
    numbers: dict[str, Any] = {}
    if best:
        parts.append("on own tasks up to " + " and ".join(f"{speaker.size(row)} ({_on(speaker, row)})" for row in best))
        numbers |= {f"own_{key}": value for key, value in numbers_of(best[0]).items()}
    if tested := int((rows["family"] == "mix").sum()):
        up = int((mix["value"] > 0).sum())
        parts.append(f"mixes surely better than the base in {up} of {count_of(tested, 'cell')}")
        numbers |= {"mix_better": up, "mix_cells": tested}
    if parts:
        href = _href(speaker, best[0]) if best else ""
        yield Claim(f"Beside transfer: {'; '.join(parts)}.", href=href, numbers=numbers)


def changes(findings: Findings) -> Iterator[Claim]:
    """The strongest harm that holds, on every scale of its own, and the strongest habit."""
    effects = findings.effects
    if effects is None:
        yield Claim(absent(findings, "effects", "Side effects are not known."))
        return
    speaker = Speaker(findings)
    rows = effects.of_kind("gain")
    transfer = rows[rows["family"] == "transfer"]
    held = effects.held(transfer)
    if worst := strongest(held, -1):
        harming = _share_of(int((held["value"] < 0).sum()), len(transfer), "harm")
        yield from _gain_claims(speaker, worst, "harms {task} most", harming)
    elif transfer["p"].notna().any():
        stuck = _stuck(effects)
        room = f"; {count_of(stuck, 'task')} at the floor cannot fall" if stuck else ""
        lost = _other_losses(effects, rows)
        told = (
            f" Beside transfer losses hold: {', '.join(f'{n} of {kind}' for kind, n in lost.items())}." if lost else ""
        )
        yield Claim(
            f"No harm holds among {count_of(len(transfer), 'transfer')}{room}.{told}",
            strong="No harm holds",
            numbers={"transfers": len(transfer), "floor": stuck, **lost},
        )
    elif len(transfer):
        yield Claim("Harm was not tested: no error is known.")
    else:
        yield Claim(f"No harm is known: {_why_none(findings)}.")
    if habit := strongest_habit(effects):
        # A name may be as long as its owner likes.
        named = {key: speaker.task({"task": habit[key]}) for key in ("model", "task", "detail")}
        sentence = str(effects.sentences(pd.DataFrame([{**habit, **named}])).iloc[0])
        yield Claim(
            f"Strongest habit: {sentence}",
            strong="Strongest habit:",
            href=_href(speaker, habit),
            numbers=numbers_of(habit),
        )


def strongest_habit(effects: Effects) -> Mapping[str, Any] | None:
    """The largest change of how a source answers tasks that are not its own; all habits are shares."""
    rows = effects.of_kind(*HABITS)
    found = strongest(effects.held(rows[rows["family"] == "transfer"]))
    return found[0] if found else None


def absent(findings: Findings, part: str, otherwise: str) -> str:
    """Why a part is not known, where that is recorded."""
    reason = findings.missing.get(part)
    return f"Not known: {reason.rstrip('.')}." if reason else otherwise


def _stuck(effects: Effects) -> int:
    table = effects.tables.get("cells")
    return 0 if table is None else int(table.loc[table["base_at"] == "floor", "task"].nunique())


def _other_losses(effects: Effects, rows: pd.DataFrame) -> dict[str, int]:
    """How many losses hold on own tasks, of mixes, of controls and so on."""
    apart = effects.held(rows[rows["family"] != "transfer"])
    found = apart.loc[apart["value"] < 0, "family"].value_counts()
    return {FAMILIES.get(str(name), str(name)): int(n) for name, n in found.items()}


def _hardly_trained(effects: Effects) -> str:
    """Where most adapters were not seen to learn their own task: that gains elsewhere say little then."""
    own = own_tasks(effects)
    if own is None or not own.tested or 2 * len(own.learnt) >= len(own.tested):
        return ""
    return " Few adapters learnt their own task, so this says little of the datasets."


def _gain_claims(speaker: Speaker, rows: list[Mapping[str, Any]], verb: str, behind: str) -> Iterator[Claim]:
    """The strongest of every scale, the first with how many there are behind it."""
    for k, row in enumerate(rows[:MOST_SCALES]):
        strong = f"{speaker.name(row)} {verb.format(task=speaker.task(row))}"
        test = q_text(row["q"])
        told = f"{strong}: {row['numbers']['metric']} {speaker.size(row)}" + (f", {test}" if test else "")
        remark = f" {row['numbers']['remark']}" if row["numbers"].get("remark") else ""
        more = f" {behind[0].upper()}{behind[1:]}." if not k else ""
        yield Claim(f"{told}.{remark}{more}", strong, _href(speaker, row), numbers_of(row))


def _share_of(some: int, count: int, verb: str) -> str:
    return f"{some} of {count_of(count, 'transfer')} {verb}{'s' if some == 1 else ''}"


def _on(speaker: Speaker, row: Mapping[str, Any]) -> str:
    return f"{speaker.name(row)} on {speaker.task(row)}"


def _href(speaker: Speaker, row: Mapping[str, Any]) -> str:
    return address(speaker.model(row), row["task"])


def _why_none(findings: Findings) -> str:
    """Why there are no transfers to speak of."""
    matrix = findings.scores
    bases = base_rows(matrix)
    if not bases:
        return "there is no base row to compare with"
    if len(bases) == len(matrix.models):
        return "only the base was measured"
    if not any(role.kind == "source" for role in matrix.roles_I):
        return "no row is a source"
    if not np.isfinite(np.delete(matrix.gains(partial=True).values_IN, bases, axis=0)).any():
        return "the base was not measured where the others were"
    return "every source was measured on what it was trained on alone"
