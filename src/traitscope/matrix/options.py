"""Reading options as they are typed on a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.matrix.core import ScoreMatrix


def split_list(text: str | None) -> list[str]:
    """A list from "a, b"; an empty one from nothing."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def split_pairs(pairs: Sequence[str], option: str) -> dict[str, str]:
    """["a=1", "b=2"] as a mapping; the last "=" divides, so that names may hold one.

    Raises:
        TraitscopeError: a pair without "=" or with an empty side.
    """
    out: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.rpartition("=")
        if not name.strip() or not value.strip():
            raise TraitscopeError(f"cannot read {pair!r}", where=option, fix="write name=value")
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
    except yaml.YAMLError as error:
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
    layout: str = "auto",
    rows: str | None = None,
    values: str | None = None,
    where: Sequence[str] = (),
    base: str | None = None,
    family: str | None = None,
    seed_column: str | None = None,
    duplicates: str = "error",
    n: Sequence[str] = (),
    metric: str | None = None,
    unit: str | None = None,
    lower_is_better: str | None = None,
    tags: Path | None = None,
) -> ScoreMatrix:
    """``ScoreMatrix.read`` with its options as text, as ``traitscope traits <file>`` takes them.

    Args:
        path: ``.csv``, ``.tsv`` or ``.parquet``, long or wide.
        layout: auto, long or wide.
        rows: "data_name" or "model,size": columns that name the rows (wide).
        values: "gsm8k,*-0shot,!nq*": score columns (wide) or tasks (long), shell patterns, "!" leaves out.
        where: filters, each "column=a,b", "column!=a", "column>=3"; NA stands for an empty cell.
        base: the base row's name. family: column with the base model. seed_column: column with the seed.
        duplicates: error or mean.
        n: "task=1319" for each task: examples, for binomial standard errors.
        metric: metric to show (long). unit: fraction, percent or other, for all tasks.
        lower_is_better: "loss,*_error". tags: YAML or JSON file with the tasks' tags.

    Raises:
        TraitscopeError: as ``ScoreMatrix.read``, or an option that cannot be read.
    """
    sizes: dict[str, int] = {}
    for task, count in split_pairs(n, "--examples").items():
        if not count.isdigit():
            raise TraitscopeError(f"{count!r} is not a whole number", where="--examples", fix="write task=1319")
        sizes[task] = int(count)
    columns = split_list(rows)
    return ScoreMatrix.read(
        path,
        layout=layout,
        rows=columns or None,
        values=split_list(values) or None,
        where=list(where),
        base=base,
        family=family,
        seed=seed_column,
        duplicates=duplicates,
        n=sizes or None,
        metric=metric,
        units=unit,
        lower_is_better=split_list(lower_is_better),
        tags=read_tags(tags) if tags is not None else None,
    )
