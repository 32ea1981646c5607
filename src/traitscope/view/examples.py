"""Single examples of a cell, read when they are asked for: sorted by who was right, searched, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean
from traitscope.report.shown import Shown, tabs
from traitscope.view.live import files_mark

if TYPE_CHECKING:
    from traitscope.study import Study

# Examples of one answer.
MOST, USUAL = 200, 20


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked.

    Attributes:
        model, task: the cell. tab: one of the cell's tabs; empty for the first that has any example.
        words: all of which an example must hold, whatever the case.
        offset, limit: which of those that are found.
    """

    model: str
    task: str
    tab: str = ""
    words: tuple[str, ...] = ()
    offset: int = 0
    limit: int = USUAL

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Query:
        """From the parameters of an address.

        Raises:
            TraitscopeError: one is missing, is none, or is no number.
        """
        known = ("model", "task", "tab", "q", "offset", "limit")
        if other := [name for name in given if name not in known]:
            raise TraitscopeError("there is no such parameter", where=other[0], fix=did_you_mean(other[0], known))
        for name in ("model", "task"):
            if not given.get(name):
                raise TraitscopeError("is missing", where=name, fix="/examples?model=...&task=...")
        numbers = {"offset": 0, "limit": USUAL}
        for name in numbers:
            text = given.get(name, str(numbers[name]))
            if not (text.isascii() and text.isdigit() and len(text) < 10):
                raise TraitscopeError(f"{text!r} is no whole number", where=name, fix="write digits alone")
            numbers[name] = int(text)
        words = tuple(given.get("q", "").split())
        limit = min(MOST, numbers["limit"])
        return cls(given["model"], given["task"], given.get("tab", ""), words, numbers["offset"], limit)


def find(study: Study, query: Query) -> dict[str, Any]:
    """The answer to a query: how many examples every tab has of those that hold the words, and some of one tab.

    Returns:
        ``model``, ``task``; ``counts`` by tab; ``tab`` and its ``shown`` examples from ``offset`` on.

    Raises:
        TraitscopeError: the study has no such model, task or tab, or the cell is not there, or is damaged.
    """
    # Nothing but the study's own names becomes part of a path.
    _known(query.model, study.models(), "model")
    _known(query.task, study.config.target_names(), "task")
    found = {
        name: [one for one in rows if not query.words or one.holds(query.words)]
        for name, rows in _sorted(study, query.model, query.task).items()
    }
    tab = query.tab or next((name for name, rows in found.items() if rows), next(iter(found)))
    _known(tab, tuple(found), "tab")
    rows = found[tab][query.offset : query.offset + query.limit]
    return {
        "model": query.model,
        "task": query.task,
        "counts": {name: len(every) for name, every in found.items()},
        "tab": tab,
        "offset": query.offset,
        "shown": [one.to_json() for one in rows],
    }


def _known(name: str, names: tuple[str, ...], what: str) -> None:
    if name not in names:
        raise TraitscopeError(f"there is no {what} {name!r}", where=what, fix=did_you_mean(name, names))


def _sorted(study: Study, model: str, task: str) -> dict[str, list[Shown]]:
    """The examples of a cell by who was right; read again when its files, or the base's, are others."""
    base, row, part = _place(study, model)
    cells, tasks = part.folder.cells, part.folder.task_path(task)
    places = (f"{row}/{task}", f"{base}/{task}") if base is not None else (f"{row}/{task}",)
    mark = files_mark(cells.folder, [f"{place}/examples.parquet" for place in places])
    return _read(str(cells.folder), row, base, task, (mark, files_mark(tasks.parent, [tasks.name])), _Folder(part))


def _place(study: Study, model: str) -> tuple[str | None, str, Study]:
    """The row it is compared with, the row, and the study whose folder holds it."""
    name, slash, row = model.partition("/")
    part = study.by_base().get(name) if slash else None
    row, part = (row, part) if part is not None and study.inner else (model, study)
    return (None if row == "base" else "base"), row, part


class _Folder:
    """A study that takes no part in what is remembered: the marks of the files do."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Folder)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=8)
def _read(folder: str, model: str, base: str | None, task: str, marks: object, at: _Folder) -> dict[str, list[Shown]]:
    study = at.study
    records = study.read_records(model, task)
    others = None
    if base is not None:
        try:
            others = study.read_records(base, task)
        except TraitscopeError:
            others = None  # the base was not evaluated on it yet
    examples = {example.id: example for example in study.examples(task)["eval"]}
    return tabs(others, records, examples)
