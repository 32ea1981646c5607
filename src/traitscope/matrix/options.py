"""Reading options as they are typed on a command line."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.matrix.core import ScoreMatrix


def split_list(text: str | None) -> list[str]:
    """A list from "a, b"; an empty one from nothing. Parts that hold commas stand in double quotes."""
    rows = list(csv.reader([text or ""], skipinitialspace=True))
    return [part.strip() for part in (rows[0] if rows else []) if part.strip()]


def split_pairs(pairs: Sequence[str], option: str) -> dict[str, str]:
    """["a=1", "b=2"] as a mapping; the last "=" divides, so that names may hold one.

    Raises:
        TraitscopeError: a pair without "=" or with an empty side, or a name that is given twice.
    """
    out: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.rpartition("=")
        if not name.strip() or not value.strip():
            raise TraitscopeError(f"cannot read {pair!r}", where=option, fix="write name=value")
        if name.strip() in out:
            raise TraitscopeError(f"{name.strip()!r} is given twice", where=option, fix="give each name once")
        out[name.strip()] = value.strip()
    return out


def read_words(pairs: Sequence[str]) -> dict[str, list[str]]:
    """["reasoning=gsm8k,math"] as a name and the tasks that it stands for."""
    return {name: split_list(tasks) for name, tasks in split_pairs(pairs, "--word").items()}


def read_tags(path: Path) -> dict[str, Mapping[str, Any]]:
    """Tags of the tasks from a YAML or JSON file: task -> {kind: ..., skills: [...]}.

    Raises:
        TraitscopeError: no such file, or another shape.
    """
    import yaml

    if not path.is_file():
        raise TraitscopeError("no such file", where=str(path), fix="check the path")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # Also a text of another encoding, a number of thousands of digits, a tag in front of what it is not.
        raise TraitscopeError(f"cannot be read: {error}", where=str(path), fix="write YAML or JSON") from error
    if not isinstance(data, dict) or not all(isinstance(tags, dict) for tags in data.values()):
        raise TraitscopeError(
            "tags are not a mapping of tasks",
            where=str(path),
            fix="write, for each task, a line such as: gsm8k: {kind: maths, skills: [arithmetic, reading]}",
        )
    return {str(task): tags for task, tags in data.items()}


def read_typed(
    path: Path,
    *,
    rows: str | None = None,
    values: str | None = None,
    n: Sequence[str] = (),
    lower_is_better: str | None = None,
    unit: str | None = None,
    tags: Path | None = None,
    own_pairs: str | None = None,
    **layout: Any,
) -> ScoreMatrix:
    """``ScoreMatrix.read`` with its options as text, as ``traitscope traits <file>`` takes them.

    Args:
        path: ``.csv``, ``.tsv`` or ``.parquet``, long or wide.
        rows: "data_name" or "model,size": columns that name the rows (wide).
        values: "gsm8k,*-0shot,!nq*": score columns (wide) or tasks (long), shell patterns, "!" leaves out; a column
            whose own name holds commas stands in double quotes.
        n: "task=1319" for each task: examples, for binomial standard errors.
        lower_is_better: "loss,*_error". unit: fraction, percent or other, for all tasks.
        tags: YAML or JSON file with the tasks' tags.
        own_pairs: a file of pairs, or "none".
        layout: as for ``matrix.reading.table_from_file``; ``metric`` too.

    Raises:
        TraitscopeError: as ``ScoreMatrix.read``, or an option that cannot be read.
    """
    sizes: dict[str, int] = {}
    for task, count in split_pairs(n, "--examples").items():
        if not count.isdigit():
            raise TraitscopeError(f"{count!r} is not a whole number", where="--examples", fix="write task=1319")
        sizes[task] = int(count)
    return ScoreMatrix.read(
        path,
        rows=split_list(rows) or None,
        values=split_list(values) or None,
        n=sizes or None,
        units=unit,
        lower_is_better=split_list(lower_is_better),
        tags=read_tags(tags) if tags is not None else None,
        own=own_pairs,
        **layout,
    )
