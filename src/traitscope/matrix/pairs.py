"""Which cells of a matrix file are a row's own: by equal names, by a list of pairs, or none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.roles import TRAINED, Role, before_slash, roles_from_pairs
from traitscope.matrix.tablefile import load_table
from traitscope.texts import count_of

Own = str | Path | Mapping[str, str | Sequence[str]] | None
_COLUMNS = ("source", "task", "relation")


def own_roles(own: Own, sources: Sequence[str], tasks: Sequence[str], where: str) -> dict[str, Role] | None:
    """Roles of the sources.

    Args:
        own: None where a source's own task bears its name; "none" where no cell is a row's own; a mapping from
            sources to their task or tasks; or a file with columns source, task and, if wanted, relation (own, copy).
        sources: names of the sources. tasks: names of the tasks.
        where: what to call the matrix in errors.

    Raises:
        TraitscopeError: the file cannot be read, or a name is not in the matrix.
    """
    if own is None:
        return None
    if isinstance(own, Mapping):
        listed = [
            (source, task, "own")
            for source, given in own.items()
            for task in ([given] if isinstance(given, str) else given)
        ]
        return roles_from_pairs(sources, tasks, listed, f"{where}, own")
    if str(own) == "none":
        return roles_from_pairs(sources, tasks, [], where)
    return roles_from_pairs(sources, tasks, _read_pairs(Path(own)), str(own))


def _read_pairs(path: Path) -> list[tuple[str, str, str]]:
    frame, _, _ = load_table(path)
    names = {name.lower(): name for name in frame.columns}
    if not {"source", "task"} <= set(names) or not set(names) <= set(_COLUMNS):
        raise TraitscopeError(
            f"columns are {', '.join(frame.columns)}",
            where=str(path),
            fix="a file of pairs has the columns source, task and, if wanted, relation (own or copy)",
        )
    pairs = []
    listed = {part: frame[names[part]].tolist() for part in _COLUMNS if part in names}
    relations = listed.get("relation", [None] * len(frame))
    for place, source, task, relation in zip(frame.index, listed["source"], listed["task"], relations, strict=True):
        if pd.isna(source) or pd.isna(task):
            raise TraitscopeError(
                f"{place} has no {'source' if pd.isna(source) else 'task'}", where=str(path), fix="fill it in"
            )
        pairs.append((str(source), str(task), "own" if pd.isna(relation) else str(relation)))
    return pairs


def refuse_near_names(sources: Sequence[str], tasks: Sequence[str], where: str) -> None:
    """Refuses a source whose name is a task's but for case, blanks, hyphens or accents typed in two parts.

    By equal names such a source would own nothing, and what it was trained on would count as transfer.

    Raises:
        TraitscopeError: there is such a source.
    """
    named = {before_slash(task): task for task in tasks} | {task: task for task in tasks}
    spelled = {_letters(name): task for name, task in named.items()}
    for source in sources:
        task = spelled.get(_letters(source))
        if task is not None and source not in named:
            raise TraitscopeError(
                f"source {source!r} and task {task!r} are spelled differently: was the one trained on the other?",
                where=where,
                fix="spell them alike, or say which tasks are a row's own: own=... (--own-pairs), none if no task is",
            )


def own_note(own: Own, roles: Mapping[str, Role], tasks: Sequence[str]) -> str:
    """How many cells are their source's own and which sources have none, in a sentence.

    Args:
        roles: of the sources, by the name of each row.
        tasks: names of the tasks.
    """
    relations = [role.relation(task) for role in roles.values() for task in tasks]
    n_own, n_copy = (relations.count(kind) for kind in ("own", "copy"))
    whose = "is its" if n_own == 1 else "are their"
    how = "by equal names" if own is None else "as stated"
    note = f"{count_of(n_own, 'cell')} {whose} row's own task, {how}"
    note += f" and {n_copy} a copy of it" if n_copy else ""
    if own is not None:
        return note
    if not n_own + n_copy and any(role.kind in TRAINED for role in roles.values()):
        note += ": every cell counts as transfer (own= says which are not)"
    alone = [name for name, role in roles.items() if role.kind == "source" and not role.own]
    if alone and n_own:
        shown = ", ".join(map(str, alone[:10])) + (", ..." if len(alone) > 10 else "")
        note += f"; every cell of {shown} counts as transfer (own= says which do not)"
    likely = ((name, task) for name in alone if (task := _named_in(name, tasks)) is not None)
    for name, task in islice(likely, 1):
        note += f"; was {name} trained on {task}?"
    altered = [f"{name} (of {role.parent})" for name, role in roles.items() if role.kind == "control"]
    return note + (f"; controls by their names: {', '.join(altered[:10])}" if altered else "")


def _letters(name: str) -> str:
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())


def _named_in(source: str, tasks: Sequence[str]) -> str | None:
    """The longest task whose name is a part of a source's, between signs: ``rte`` of ``llama-rte-s0``."""
    lower = source.lower()
    near = [task for task in tasks if task.lower() in lower]
    hits = [task for task in near if re.search(rf"(?<![^\W_]){re.escape(task)}(?![^\W_])", source, re.IGNORECASE)]
    return max(hits, key=len, default=None)
