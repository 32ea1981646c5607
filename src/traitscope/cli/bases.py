"""What the verbs do with a study of several base models: one after the other, each under its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.cli.common import open_study
from traitscope.cli.output import say, say_json
from traitscope.errors import TraitscopeError

if TYPE_CHECKING:
    from traitscope.study import Study


def of_each(study: Study, find: Callable[[Study], Any], render: Callable[[Any], str], *, as_json: bool) -> None:
    """Says what ``find`` gives of every base model; of several under their names, and as ``{name: ...}`` in JSON.

    Args:
        study: of one base model or of several. find: gives a result with ``to_json``. render: its text.
        as_json: whether JSON is wanted.

    Raises:
        TraitscopeError: it could not be found of some base models; what was found of the others is said before.
    """
    from traitscope.study import BasesStudy

    failed = dict[str, TraitscopeError]()
    if isinstance(study, BasesStudy):
        found, failed = study.each(find)
    else:
        found = {name: find(part) for name, part in study.by_base().items()}
    if not found:
        assert isinstance(study, BasesStudy)
        raise study.failure(failed)
    if not as_json:
        for name, result in found.items():
            if len(found) + len(failed) > 1:
                say(name, bold=True)
            say(render(result).rstrip("\n"))
    elif len(found) + len(failed) == 1:
        say_json(next(iter(found.values())).to_json())
    else:
        say_json({name: json.loads(result.to_json()) for name, result in found.items()})
    if failed:
        assert isinstance(study, BasesStudy)
        raise study.failure(failed, "told")


def has_several(source: Path, out: Path | None) -> bool:
    """Whether a study is of several base models; no where there is none."""
    from traitscope.study import Study

    try:
        return source.exists() and bool(Study.open(source, out).inner)
    except TraitscopeError:
        return False  # the verb says what is wrong with it


def names_of(source: Path, out: Path | None, changes: list[str] | None, bases: list[str] | None) -> list[str | None]:
    """The base models of a study of several that a verb is about, those with cells; None alone for a study of one.

    Raises:
        TraitscopeError: none has a cell.
    """
    from traitscope.study import BasesStudy
    from traitscope.study.whole import filled

    opened, _ = open_study(source, out, quiet=True, changes=changes, bases=bases)
    if not isinstance(opened, BasesStudy):
        return [None]
    found = filled(opened.parts)
    if not found:
        raise opened.nothing()
    if lacking := [name for name in opened.parts if name not in found]:
        say(f"note: no cell has been evaluated yet, and left out: {', '.join(lacking)}", err=True)
    return list(found)
