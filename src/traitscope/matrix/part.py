"""The part of a large matrix whose cells are looked at one by one: their answers, pairs and surprises."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean

if TYPE_CHECKING:
    from traitscope.matrix.core import ScoreMatrix

LARGEST = 4_000
"""Cells of a matrix that is looked at as a whole; their pairs grow with the square."""
MOST_CHOSEN = 12_000
"""Cells that may be asked for by name."""
FEWEST_TASKS = 60


class MatrixPart(NamedTuple):
    """Names of rows and columns; ``note`` says what was left out and how to ask for it, or is empty."""

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    note: str


def looked_at(
    matrix: ScoreMatrix, models: Sequence[str] | None = None, tasks: Sequence[str] | None = None
) -> MatrixPart:
    """What was asked for, or all of it, or of a matrix of more than ``LARGEST`` cells an even part.

    Whoever is chosen brings its base, the source that it alters, its source's other seeds, and first of all its own
    tasks. Nothing is chosen by its scores, so that tests within the part are what they would be without the choice.

    Args:
        models: rows, or sources for all their seeds. tasks: columns.

    Raises:
        TraitscopeError: a name that the matrix does not have, or more than ``MOST_CHOSEN`` cells were asked for.
    """
    groups = _groups(matrix)
    _known(models, {name for group in groups.values() for name in group} | groups.keys(), "model")
    _known(tasks, matrix.tasks, "task")
    size = len(matrix.models) * len(matrix.tasks)
    kept_tasks = [task for task in matrix.tasks if tasks is None or task in tasks]
    if models is not None:
        wanted = [name for key, group in groups.items() for name in group if key in models or name in models]
    elif len(matrix.models) * len(kept_tasks) <= LARGEST:
        wanted = list(matrix.models)
    else:
        columns = max(1, min(len(kept_tasks), max(FEWEST_TASKS, LARGEST // len(matrix.models))))
        wanted = _evenly(groups, max(2, LARGEST // columns))
    rows = _with_kin(matrix, groups, wanted)
    if len(rows) * len(kept_tasks) > LARGEST and tasks is None and models is None:
        own = [task for name in rows for task in sorted(matrix.roles_I[matrix.models.index(name)].own)]
        kept_tasks = _first(kept_tasks, own, max(1, LARGEST // len(rows)))
    chosen = len(rows) * len(kept_tasks)
    if chosen > max(MOST_CHOSEN, LARGEST):
        raise TraitscopeError(
            f"{chosen:,} cells are too many to be looked at one by one",
            where="models and tasks",
            fix=f"name fewer: at most {MOST_CHOSEN:,} cells",
        )
    note = ""
    if chosen < size and models is None and tasks is None:
        note = (
            f"of {size:,} cells those of {len(rows)} of {len(matrix.models)} models on {len(kept_tasks)} of "
            f"{len(matrix.tasks)} tasks are looked at, spread evenly; --models and --tasks name others (scores and "
            "traits are of all)"
        )
    return MatrixPart(tuple(rows), tuple(kept_tasks), note)


def _groups(matrix: ScoreMatrix) -> dict[str, list[str]]:
    """Rows by source, all seeds of one together; the others by their own name."""
    found: dict[str, list[str]] = {}
    for model, source in zip(matrix.models, matrix.sources_I, strict=True):
        found.setdefault(model if source is None else source, []).append(model)
    return found


def _evenly(groups: dict[str, list[str]], most: int) -> list[str]:
    """Whole groups, spread evenly over the matrix, of together about ``most`` rows."""
    keys = list(groups)
    count = max(1, round(most * len(keys) / sum(map(len, groups.values()))))
    return [name for key in spread_evenly(keys, count) for name in groups[key]]


def spread_evenly(names: Sequence[str], most: int) -> list[str]:
    """At most so many of the names, from the first to the last in equal steps."""
    return [names[i] for i in evenly(len(names), most)]


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` places, from the first to the last in equal steps."""
    return list(range(count)) if count <= most else np.linspace(0, count - 1, most).round().astype(int).tolist()


def _with_kin(matrix: ScoreMatrix, groups: dict[str, list[str]], wanted: Collection[str]) -> list[str]:
    """Rows with their bases and, of controls, the sources that they alter; in the matrix's order."""
    at = {name: i for i, name in enumerate(matrix.models)}
    found = set(wanted)
    for name in wanted:
        i = at[name]
        found.update(groups.get(matrix.roles_I[i].parent or "", ()))
        if (base := int(matrix.base_index_I[i])) >= 0:
            found.add(matrix.models[base])
    return [name for name in matrix.models if name in found]


def _first(names: Sequence[str], first: Sequence[str], most: int) -> list[str]:
    """At most so many names: those of ``first``, then others spread evenly."""
    kept = [name for name in dict.fromkeys(first) if name in set(names)][:most]
    kept += spread_evenly([name for name in names if name not in kept], max(most - len(kept), 0))
    return [name for name in names if name in set(kept)]


def _known(names: Sequence[str] | None, known: Collection[str], word: str) -> None:
    for name in names or ():
        if name not in known:
            raise TraitscopeError(
                f"there is no {word} {name!r}", where=f"--{word}s", fix=did_you_mean(name, sorted(known))
            )
    if names is not None and not names:
        raise TraitscopeError(f"no {word} is named", where=f"--{word}s", fix="name one, or leave the option out")
