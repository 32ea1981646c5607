"""The rounds of a run under a budget as they are written down: ``plan/budget.json``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from traitscope.errors import TraitscopeError
from traitscope.store import write_atomic
from traitscope.store.seal import Damaged, read_sealed, sealed

# source -> task -> rows
Rows = dict[str, dict[str, int]]

KINDS = ("probe", "train", "grow")
_FIX = "delete this file: the next run with a budget plans anew, and what was trained and evaluated stays"


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a run under a budget.

    Attributes:
        kind: ``probe`` (all sources, short), ``train`` (some in full) or ``grow`` (more rows for these).
        sources: what is trained in full after this round.
        probe_rows: source -> task -> rows that the cell of its short training has after this round.
        rows: the same of its full training.
    """

    kind: str
    sources: tuple[str, ...]
    probe_rows: Rows
    rows: Rows


def read_rounds(path: Path, sources: Sequence[str], most: Mapping[str, int]) -> list[Round]:
    """What earlier runs decided; nothing where there is no file.

    Args:
        path: the file. sources: of the study.
        most: of every target the rows that choices may rest on.

    Raises:
        TraitscopeError: the file is damaged, or of a study with other sources or targets, or with more rows.
    """
    if not path.exists():
        return []
    data = read_sealed(path, fix=_FIX)
    try:
        same = data["sources"] == list(sources) and data["targets"] == list(most)
        rounds = [Round(r["kind"], tuple(r["sources"]), r["probe_rows"], r["rows"]) for r in data["rounds"]]
        fits = all(_fits(one, sources, most) for one in rounds)
    except (KeyError, TypeError, AttributeError):
        raise Damaged("is damaged: keys are missing", where=str(path), fix=_FIX) from None
    if same and not fits:
        raise TraitscopeError("is damaged: it names what the study has not", where=str(path), fix=_FIX)
    if not same:
        raise TraitscopeError("the study has other sources or targets now", where=str(path), fix=_FIX)
    if any(n > most[task] for one in rounds for n_by in _rows(one) for task, n in n_by.items()):
        raise TraitscopeError(
            "rests on rows that are for the claims now: the study had more eval rows then", where=str(path), fix=_FIX
        )
    return rounds


def _rows(one: Round) -> list[dict[str, int]]:
    return [*one.probe_rows.values(), *one.rows.values()]


def _fits(one: Round, sources: Sequence[str], targets: Collection[str]) -> bool:
    """Whether a round speaks of a study's sources and targets, and evaluates in full what it trains in full alone."""
    known = {*one.sources, *one.probe_rows} <= set(sources) and len(set(one.sources)) == len(one.sources)
    rows = [(task, n) for tasks in _rows(one) for task, n in tasks.items()]
    whole = all(task in targets and type(n) is int and n > 0 for task, n in rows)
    return known and whole and set(one.rows) <= set(one.sources) and one.kind in KINDS


def write_rounds(
    path: Path, rounds: Sequence[Round], sources: Sequence[str], targets: Sequence[str], share: float, margin: float
) -> None:
    """Writes the rounds, with the budget and the margin that they were decided under."""
    told = [{"kind": r.kind, "sources": list(r.sources), "probe_rows": r.probe_rows, "rows": r.rows} for r in rounds]
    content = {"share": share, "margin": margin, "sources": list(sources), "targets": list(targets)}
    write_atomic(path, sealed({**content, "rounds": told}, path.name))
