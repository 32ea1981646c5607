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
    """
    found = {name: find(part) for name, part in study.by_base().items()}
    if not as_json:
        for name, result in found.items():
            if len(found) > 1:
                say(name, bold=True)
            say(render(result).rstrip("\n"))
    elif len(found) == 1:
        say_json(next(iter(found.values())).to_json())
    else:
        say_json({name: json.loads(result.to_json()) for name, result in found.items()})


def has_several(source: Path, out: Path | None) -> bool:
    """Whether a study is of several base models; no where there is none."""
    from traitscope.study import Study

    try:
        return source.exists() and bool(Study.open(source, out).inner)
    except TraitscopeError:
        return False  # the verb says what is wrong with it


def names_of(source: Path, out: Path | None, changes: list[str] | None, bases: list[str] | None) -> list[str | None]:
    """The base models of a study of several that a verb is about; None alone for a study of one."""
    opened, _ = open_study(source, out, quiet=True, changes=changes, bases=bases)
    return list(opened.by_base()) if opened.inner else [None]
