"""Rows from files, globs, saved ``datasets`` folders and the Hugging Face Hub, with a fingerprint of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from traitscope.config.data import FOLDER, DataConfig
from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean, near_names
from traitscope.store.files import user_path
from traitscope.tasks.columnar import Rows, short_floats, text_for_bytes
from traitscope.tasks.formats import ROW_SOURCES, read_rows, read_text
from traitscope.texts import text_lines

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".conll": "conll",
}


@dataclass(frozen=True, slots=True)
class ReadRows:
    """All rows of some files, in the files' order, and a fingerprint of the bytes they came from."""

    rows: Rows
    fingerprint: str


def read_files(patterns: Sequence[str], data: DataConfig, root: Path, where: str, split: str | None = None) -> ReadRows:
    """The rows of all files that the patterns name, one after the other.

    A glob (``*``) takes its files in the order of their names; rows then also have a column ``_file``, the
    name without its ending. Other signs of globs stand for themselves where such a file is there.

    Raises:
        TraitscopeError: if a file is missing, unreadable, empty, or in an unknown format.
    """
    rows: Rows = []
    digest = hashlib.sha256()
    files = [found for pattern in patterns for found in _expand(pattern, root, where)]
    for path, from_glob in files:
        name = format_of(path, data, where)
        at = f"{where}, file {path}"
        if name == FOLDER:
            found, mark = _read_folder(path, split, at)
            digest.update(mark.encode())
        else:
            found = read_rows(name, path, data, at)
            digest.update(path.read_bytes())
            if (version := ROW_SOURCES.get(name).version) > 1:
                digest.update(f"{name} {version}".encode())
        if not found:
            raise TraitscopeError("the file has no rows", where=at, fix="name another file, or check field/format")
        rows.extend({**row, "_file": path.name.split(".")[0]} for row in found) if from_glob else rows.extend(found)
    for column, name in data.join.items():
        several = _expand(name, root, where)
        if len(several) > 1:
            raise TraitscopeError(f"{name} are {len(several)} files", where=where, fix="join one file to each column")
        beside = several[0][0]
        lines = text_lines(read_text(beside, data, f"{where}, file {beside}"))
        if len(lines) != len(rows):
            raise TraitscopeError(
                f"the joined file has {len(lines)} lines for {len(rows)} rows",
                where=f"{where}, file {beside}",
                fix="join a file with exactly one line per row",
            )
        digest.update(beside.read_bytes())
        rows = [{**row, column: line} for row, line in zip(rows, lines, strict=True)]
    return ReadRows(rows, digest.hexdigest())


def matching(pattern: str, root: Path) -> list[Path]:
    """The file that a pattern names, there or not; those that match it, by name, where it holds a ``*``.

    Brackets and question marks stand for themselves where such a file is there, and so does the folder in front.
    """
    path = user_path(root, pattern)
    if "*" not in pattern or path.exists():
        return [path]
    start, rest = (Path(path.anchor), path.relative_to(path.anchor)) if path.is_absolute() else (Path(), path)
    literal = "*".join(escape(part) for part in str(rest).split("*"))
    inside = str(path.relative_to(root)) if path.is_relative_to(root) else ""
    return sorted(start.glob(literal)) or (sorted(root.glob(inside)) if inside else [])


def _expand(pattern: str, root: Path, where: str) -> list[tuple[Path, bool]]:
    """The files that a pattern names, and whether it is a glob."""
    try:
        path = user_path(root, pattern)
        if path.exists():
            return [(path, False)]
        if "*" in pattern:
            found = matching(pattern, root)
            if found:
                return [(file, True) for file in found]
            raise TraitscopeError(f"no file matches {pattern}", where=where, fix=f"look in {root.resolve()}")
        folder = path.parent
        siblings = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, TraitscopeError):
            raise
        # A name that is too long or no name, a home that is not known, a folder that may not be read.
        what = f"{pattern[:80]!r} cannot be looked up: {str(error)[:80]}"
        raise TraitscopeError(what, where=where, fix="check the path") from None
    if path.is_symlink():
        what = f"there is no file {path}: it is a link that leads nowhere"
        raise TraitscopeError(what, where=where, fix="mend the link")
    near = near_names(path.name, siblings)
    fix = f"did you mean {near[0]!r}?" if near else "check the path (it starts from the study file's folder)"
    raise TraitscopeError(f"there is no file {path}", where=where, fix=fix)


def format_of(path: Path, data: DataConfig, where: str) -> str:
    """The format of a file: as ``data`` says, else by the ending; ``folder`` for a folder.

    Raises:
        TraitscopeError: neither says it.
    """
    if data.format:
        return data.format
    if path.is_dir():
        return FOLDER
    endings = [s for s in path.suffixes if s.lower() != ".gz"]
    if endings and endings[-1].lower() in _ENDINGS:
        return _ENDINGS[endings[-1].lower()]
    if endings and endings[-1][1:].lower() in ROW_SOURCES:
        return endings[-1][1:].lower()
    raise TraitscopeError(
        f"the ending of {path.name} does not say its format",
        where=where,
        fix=f"add format: {', '.join(ROW_SOURCES.names())} or {FOLDER}; workbooks and archives are exported first",
    )


def _read_folder(path: Path, split: str | None, where: str) -> tuple[Rows, str]:
    """A folder written by ``datasets.save_to_disk``."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:
        raise TraitscopeError(
            f"this is no folder saved by datasets.save_to_disk: {(text_lines(str(error)) or ['?'])[0]}",
            where=where,
            fix="name a file in it, or save the dataset there",
        ) from None
    if isinstance(loaded, datasets.DatasetDict):
        if split is None:
            raise TraitscopeError(
                f"the folder holds several splits: {', '.join(loaded)}",
                where=where,
                fix="add splits: {train: ..., eval: ...}",
            )
        if split not in loaded:
            raise TraitscopeError(
                f"the folder has no split {split!r}", where=where, fix=did_you_mean(split, list(loaded))
            )
        loaded = loaded[split]
    rows = text_for_bytes(short_floats(list(loaded.to_list()), loaded.features.arrow_schema))
    return rows, rows_fingerprint(rows)


def read_hub(data: DataConfig, split: str | None, where: str, files: Sequence[str] | None = None) -> ReadRows:
    """The rows of one split, or of some files, of a Hugging Face Hub dataset (the only reader that uses the network).

    Raises:
        TraitscopeError: if the dataset, revision, split or files cannot be had.
    """
    import datasets

    assert data.hub is not None
    if split is None and files is None:
        raise TraitscopeError(
            "a Hub dataset needs its splits named",
            where=where,
            fix="add splits: {train: train, eval: test}, or splits: train to divide one",
        )
    try:
        if files is None:
            loaded = datasets.load_dataset(data.hub, data.subset, split=split, revision=data.revision)
        else:
            # The card counts the rows of all files.
            loaded = datasets.load_dataset(
                data.hub,
                data_files={"rows": list(files)},
                split="rows",
                revision=data.revision,
                verification_mode="no_checks",
            )
    except Exception as error:
        reason = (text_lines(str(error)) or [type(error).__name__])[0]
        named = f"split {split!r}" if files is None else f"files {', '.join(files)}"
        raise TraitscopeError(
            f"the Hub dataset {data.hub!r} ({named}) cannot be loaded: {reason}",
            where=where,
            fix="check id, revision, subset and split or files, and that this machine reaches the Hub; without a "
            "network save it elsewhere with datasets.save_to_disk and name the folder with path:",
        ) from None
    rows = text_for_bytes(short_floats(list(loaded.to_list()), loaded.features.arrow_schema))
    return ReadRows(rows, rows_fingerprint(rows))


def rows_fingerprint(rows: Rows) -> str:
    """SHA-256 of the rows' JSON."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
    return digest.hexdigest()
