"""Which cells of a matrix file are a row's own: by equal names, by a list of pairs, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.roles import Role, roles_from_pairs
from traitscope.matrix.tablefile import load_table

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


def own_note(own: Own, relations: Sequence[str]) -> str:
    """How many cells are their row's own, in a sentence.

    Args:
        relations: of all cells, see ``roles.RELATIONS``.
    """
    n_own, n_copy = (list(relations).count(kind) for kind in ("own", "copy"))
    copies = f" and {n_copy} a copy of it" if n_copy else ""
    if own is None:
        return f"{n_own} cells are their row's own task, by equal names{copies}" + (
            "" if n_own else ": every cell counts as transfer (own= says which are not)"
        )
    return f"{n_own} cells are their row's own task, as stated{copies}"
