"""Findings kept in ``analysis/``: each is made again only when what it was made from has changed."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from traitscope.errors import TraitscopeError
from traitscope.registry import plugin_marks
from traitscope.store import fingerprint
from traitscope.study.context import Context
from traitscope.study.roles import study_roles

T = TypeVar("T")


def cells_mark(study: Context, *kinds: str) -> str:
    """A fingerprint of committed cells, roles, tags, the runs' known deviation, this software's and plugins' entries.

    Args:
        study: whose cells.
        kinds: of plugins' entries that take part.

    Findings made under it need not be made again. The cells' own marks hold their metrics and parsers.
    """
    heads = [[h.model, h.task, h.fingerprint, h.scoring, h.rows, h.n] for h in study.cells()]
    tags = {name: dict(task.tags) for name, task in study.config.tasks.items()}
    roles = [[name, r.kind, sorted(r.own), sorted(r.copies), r.parent] for name, r in study_roles(study.config).items()]
    rows, columns = [study.models(), roles], [study.config.target_names(), tags]
    return fingerprint([_software(), plugin_marks(kinds), rows, columns, heads, study.config.run_sd])


@functools.cache
def _software() -> list[list[Any]]:
    """Name, size and time of every source file: a finding is made again after any change of the code."""
    root = Path(__file__).parents[1]
    stats = ((path, path.stat()) for path in sorted(root.rglob("*.py")))
    return [[path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def kept(
    study: Context,
    name: str,
    options: Mapping[str, Any],
    make: Callable[[], T],
    write: Callable[[T], None],
    read: Callable[[], T],
    kinds: Sequence[str] = (),
) -> T:
    """A finding as it was written, if it was made from the present cells with these options; else made now.

    What each finding was made from stands in ``analysis/inputs.json``. ``kinds`` are those of registered things that it
    is made with.
    """
    mark = fingerprint([cells_mark(study, *kinds), {key: str(value) for key, value in options.items()}])
    if _inputs(study).get(name) == mark:
        try:
            return read()
        except (OSError, ValueError, KeyError, TypeError):
            study.report_to.note(f"the kept finding {name!r} is missing or damaged: it is made again")
    found = make()
    write(found)
    marks = dict(sorted({**_inputs(study), name: mark}.items()))
    save(study, "inputs.json", json.dumps(marks, indent=1) + "\n")
    if _inputs(study).get(name) == mark:
        # As the next call will find it, rounded as it is kept; where it could not be kept, as it is.
        with suppress(OSError, ValueError, KeyError, TypeError):
            return read()
    return found


def with_defaults(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options a finding is made with, defaults included: saying a default makes no other finding."""
    parameters = inspect.signature(function).parameters.values()
    return {**{p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}, **options}


def kept_json(
    study: Context,
    name: str,
    options: Mapping[str, Any],
    make: Callable[[], Any],
    kind: Any,
    kinds: Sequence[str] = (),
) -> Any:
    """``kept`` for a result ``kind`` with ``to_json`` and ``from_json``, in ``analysis/<name>.json``."""
    path = study.folder.analysis / f"{name}.json"
    return kept(
        study,
        name,
        options,
        make,
        lambda found: save(study, path.name, found.to_json()),
        lambda: kind.from_json(path.read_text(encoding="utf-8")),
        kinds,
    )


def _inputs(study: Context) -> dict[str, str]:
    try:
        return dict(json.loads((study.folder.analysis / "inputs.json").read_bytes()))
    except (OSError, ValueError):
        return {}


def save(study: Context, name: str, text: str) -> None:
    """Writes a finding; a folder that cannot be written is still analysed."""
    path = study.folder.analysis / name
    try:
        study.folder.write_if_changed(path, text.encode())
    except TraitscopeError as error:
        study.report_to.note(f"not saved: {error.what} ({path})")
