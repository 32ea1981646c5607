"""What every row of a score matrix is, and what each of its cells is to it: claims about transfer rest on this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from traitscope.errors import TraitscopeError

KINDS = ("base", "source", "control", "mix", "foreign")
TRAINED = ("source", "control", "mix")

# What a cell is to a row that was trained here; "model" for the cells of bases and foreign models.
RELATIONS = ("own", "copy", "transfer")


@dataclass(frozen=True, slots=True)
class Role:
    """What a row is.

    Attributes:
        kind: "base", "source", "control" (an altered copy of a source), "mix" (of several sources), or "foreign" (a
            model that was not trained here).
        own: tasks that it was trained on; of a mix those of all its parts.
        copies: tasks of which it saw a twin, an altered or a rebalanced copy.
        parent: the source that a control alters.
    """

    kind: str
    own: frozenset[str] = frozenset()
    copies: frozenset[str] = frozenset()
    parent: str | None = None

    def relation(self, task: str) -> str:
        """What a task is to the row: "own", "copy", "transfer", or "model" where the row was not trained here."""
        if self.kind not in TRAINED:
            return "model"
        return "own" if task in self.own else "copy" if task in self.copies else "transfer"


BASE, FOREIGN = Role("base"), Role("foreign")


def roles_by_name(sources: Iterable[str], tasks: Iterable[str]) -> dict[str, Role]:
    """Roles where nobody says them: a source's own tasks bear its name, and ``reviews.mislabel`` controls ``reviews``.

    A task may bear it before a slash, as one that was read with a metric: ``imdb/f1`` is of ``imdb``.

    Args:
        sources: names of the sources.
        tasks: names of the tasks.
    """
    names, bearing = list(dict.fromkeys(sources)), dict[str, set[str]]()
    for task in tasks:
        for name in (task, before_slash(task)):
            bearing.setdefault(name, set()).add(task)
    parents = {*names, *bearing}
    found = {}
    for name in names:
        parent, _, change = name.rpartition(".")
        # Versions are no controls: llama-3.1 is not made from llama-3.
        if change.isidentifier() and parent in parents and name not in bearing:
            found[name] = Role("control", copies=frozenset(bearing.get(parent, {parent})), parent=parent)
        else:
            found[name] = Role("source", own=frozenset(bearing.get(name, ())))
    return found


def before_slash(task: str) -> str:
    """What a task is called where its metric stands behind a slash: ``imdb`` of ``imdb/f1``."""
    return task.partition("/")[0]


def roles_from_pairs(
    sources: Iterable[str], tasks: Sequence[str], pairs: Iterable[tuple[str, str, str]], where: str
) -> dict[str, Role]:
    """Roles of sources whose own and copied tasks are listed; what is not listed is transfer.

    Args:
        sources: names of the sources.
        tasks: names of the tasks.
        pairs: (source, task, "own" or "copy").
        where: what to call the list in errors.

    Raises:
        TraitscopeError: a name is not in the matrix, or a relation is neither own nor copy.
    """
    found = {name: Role("source") for name in sources}
    for source, task, relation in pairs:
        for name, known, word in ((source, list(found), "source"), (task, list(tasks), "task")):
            if name not in known:
                raise TraitscopeError(
                    f"no {word} is named {name!r}", where=where, fix=f"{word}s: {', '.join(known[:30])}"
                )
        role = found[source]
        if relation == "own":
            found[source] = replace(role, own=role.own | {task})
        elif relation == "copy":
            found[source] = replace(role, copies=role.copies | {task})
        else:
            raise TraitscopeError(f"unknown relation {relation!r}", where=where, fix="write own or copy")
    return found


def row_roles(
    sources: Sequence[str | None], bases: Sequence[bool], tasks: Sequence[str], roles: Mapping[str, Role] | None
) -> tuple[Role, ...]:
    """The role of every row.

    Args:
        sources: of each row; None for one that was not trained here.
        bases: whether each row is a base row.
        tasks: names of the tasks.
        roles: by source; None where they follow from the names.
    """
    known = roles if roles is not None else roles_by_name([s for s in sources if s is not None], tasks)
    return tuple(
        BASE if base else FOREIGN if source is None else known.get(source, FOREIGN)
        for source, base in zip(sources, bases, strict=True)
    )
