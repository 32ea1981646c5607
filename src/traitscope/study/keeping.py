"""Findings kept in ``analysis/``: each is made again only when what it was made from has changed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from traitscope.errors import TraitscopeError
from traitscope.registry import plugin_marks
from traitscope.store import fingerprint
from traitscope.store.checked import sha256_of
from traitscope.store.damage import read_findings
from traitscope.store.files import read_file
from traitscope.store.seal import sealed
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
    return fingerprint([_software(), data_mark(study, *kinds)])


def data_mark(study: Context, *kinds: str) -> str:
    """``cells_mark`` whatever this software is: equal where a finding was made of the same, by another version too."""
    return study.seen(f"mark {kinds}", lambda: _data_mark(study, kinds))


def _data_mark(study: Context, kinds: Sequence[str]) -> str:
    if study.inner:
        return fingerprint([[one.folder.root.name, data_mark(one, *kinds)] for one in study.inner])
    heads = [[h.model, h.task, h.fingerprint, h.scoring, h.rows, h.n] for h in study.cells()]
    tags = {name: dict(task.tags) for name, task in study.config.tasks.items()}
    roles = [[name, r.kind, sorted(r.own), sorted(r.copies), r.parent] for name, r in study_roles(study.config).items()]
    rows, columns = [study.models(), roles], [study.config.target_names(), tags]
    return fingerprint([plugin_marks(kinds), rows, columns, heads, study.config.run_sd])


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
    write: Callable[[T], Mapping[Path, str]],
    read: Callable[[], T],
    kinds: Sequence[str] = (),
    *,
    lasting: bool = False,
) -> T:
    """A finding as it was written, if it was made from the present cells with these options; else made now.

    What each finding was made from stands in ``analysis/inputs.json``, with the hashes that ``write`` gives of its
    files. Files that are not what was written go to ``quarantine/``. ``kinds`` are those of registered things that
    it is made with. One that is ``lasting`` and cannot be made here (a folder came without its model or adapters) is
    given as another version of this software made it from the same, with a note.
    """
    said = {key: str(value) for key, value in options.items()}
    mark, data = fingerprint([cells_mark(study, *kinds), said]), fingerprint([data_mark(study, *kinds), said])
    if _is_kept(study, name, mark):
        with suppress(OSError, ValueError, KeyError, TypeError):
            return read()
    try:
        found = make()
    except TraitscopeError as error:
        if not lasting or not _is_kept(study, name, data, "data"):
            raise
        study.report_to.note(f"{name}: as it was made before; it cannot be made again here: {error.what}")
        return read()
    record(study, name, mark, write(found), data)
    if _is_kept(study, name, mark):
        # As the next call will find it, rounded as it is kept; where it could not be kept, as it is.
        with suppress(OSError, ValueError, KeyError, TypeError):
            return read()
    return found


def _is_kept(study: Context, name: str, mark: str, key: str = "mark") -> bool:
    """Whether a finding was made from this, and its files are what was written; those that are not are put aside."""
    known, folder = read_findings(study.folder).get(name), study.folder
    if known is None or known.get(key) != mark:
        return False
    faults = {file: folder.checked.fault(folder.root / file, expected) for file, expected in known["files"].items()}
    damaged = {file: what for file, what in faults.items() if what is not None}
    for file, what in damaged.items():
        study.report_to.note(f"{file} {what}: the finding {name!r} is made again")
    if study.only_looked_at:
        return not damaged
    with suppress(TraitscopeError):  # a folder that cannot be written is still analysed
        folder.set_aside([file for file in damaged if (folder.root / file).exists()], "quarantine")
    return not damaged


def record(study: Context, name: str, mark: str, files: Mapping[Path, str], data: str = "") -> None:
    """Notes in ``analysis/inputs.json`` what a finding was made from, with this software and without, and the hashes of
    its files as it wrote them.

    Another process may have written others by now: they do not have these hashes, so the finding is made again.
    """
    root = study.folder.root
    hashes = {path.relative_to(root).as_posix(): sha256 for path, sha256 in sorted(files.items())}
    findings = {**read_findings(study.folder), name: {"mark": mark, "data": data, "files": hashes}}
    save(study, "inputs.json", sealed({"findings": dict(sorted(findings.items()))}, "inputs.json"))


def hashes_of(paths: Iterable[Path]) -> dict[Path, str]:
    """The hashes of files that were just written."""
    return {path: sha256_of(read_file(path)) for path in paths if path.is_file()}


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
        lambda found: save(study, path.name, found.to_json().encode()),
        lambda: kind.from_json(path.read_text(encoding="utf-8")),
        kinds,
    )


def save(study: Context, name: str, data: bytes) -> dict[Path, str]:
    """Writes a file of ``analysis/`` and gives its hash; a folder that cannot be written is still analysed.

    Of a study that is only looked at nothing is written.
    """
    path = study.folder.analysis / name
    if study.only_looked_at:
        return {}
    try:
        study.folder.write_if_changed(path, data)
    except TraitscopeError as error:
        study.report_to.note(f"not saved: {error.what} ({path})")
    return {path: sha256_of(data)}
