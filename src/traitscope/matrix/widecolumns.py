"""Which columns of a wide file name rows, hold scores, errors, seeds; what may be something else is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.columns import KNOWN_NAMES, SETTINGS, SPREADS, SUMMARIES, match_names, plain_name
from traitscope.matrix.lmeval import ScoreColumn, error_columns, is_orphan, score_column, spread_of
from traitscope.matrix.numbers import numbers_or_error, read_numbers

# A column called so beside text is that of a long file rather than a task.
_ONE_VALUE = frozenset({*KNOWN_NAMES["value"], "accuracy", "acc", "result"})
# What lm-eval writes beside its scores.
_BESIDE = ("n-samples", "n-shot", "versions", "higher_is_better", "config")

_TELLS = {"family": "the base model of each row", "source_column": "what each row was trained on"}


class WideColumns(NamedTuple):
    """What the columns of a wide file are.

    Attributes:
        rows: columns that name the rows. family: column with the base model. seed: column with the run.
        source: column with what a row was trained on; None where its name says so.
        scores: columns with scores, and with their standard errors.
    """

    rows: list[str]
    family: str | None
    seed: str | None
    source: str | None
    scores: list[ScoreColumn]


def wide_columns(
    frame: pd.DataFrame,
    rows: str | Sequence[str] | None,
    values: Sequence[str] | None,
    family: str | None,
    seed: str | None,
    source: str | None,
    stderr_suffix: str,
    decimal: str,
    where: str,
    notes: list[str],
) -> WideColumns:
    """Which columns of a wide file name rows, hold scores, errors, seeds.

    Raises:
        TraitscopeError: a named column is not there, or one holds something that may not be a score.
    """
    names = [str(c) for c in frame.columns]
    row_columns = [rows] if isinstance(rows, str) else list(rows or _row_column(names, where, notes))
    single = {"family": family, "seed_column": seed, "source_column": source}
    named = {"rows": row_columns, **{option: [column] if column else [] for option, column in single.items()}}
    for option, columns in named.items():
        lacking = [c for c in columns if c not in names]
        if lacking:
            raise TraitscopeError(
                f"no column {', '.join(lacking)}; columns: {', '.join(names)}",
                where=f"{where}, {option}",
                fix="name an existing column",
            )
    first = read_numbers(frame[row_columns[0]], decimal)
    if rows is None and not first.bad and np.isfinite(first.values).any():
        raise TraitscopeError(
            f"the first column, {row_columns[0]!r}, holds numbers, not model names",
            where=where,
            fix="name the column with the model names: rows=...",
        )
    for option, column in single.items():
        _check_names(column, option, frame, decimal, where, notes)
    used = [column for columns in named.values() for column in columns]
    free = [c for c in names if c not in used]
    explicit = bool(values) and not all(pattern.startswith("!") for pattern in values or ())
    if seed is None and not explicit:
        seed = next((c for c in free if plain_name(c) == "seed"), None)
        notes.extend([f"column {seed} tells runs apart"] if seed else [])
    if source is None and not explicit:
        source = next((c for c in free if plain_name(c) == "source" and read_numbers(frame[c], decimal).bad), None)
        notes.extend([f"column {source} says what a row was trained on"] if source else [])
    free = [c for c in free if c not in (seed, source)]
    stderr_of = error_columns(free, stderr_suffix, where)
    errors, known = set(stderr_of.values()), frozenset(names)
    free = [c for c in free if c not in errors]
    parts = {c: score_column(c, stderr_of.get(c), known) for c in free}
    chosen = free
    if values:
        # lm-eval's columns answer to their task's name as well.
        answers: dict[str, list[str]] = {c: [c] for c in free}
        for c in free:
            if parts[c].task != c:
                answers.setdefault(parts[c].task, []).append(c)
        hits = match_names(list(answers), values, where, "values")
        if explicit:
            chosen = list(dict.fromkeys(c for hit in hits for c in answers[hit]))
        else:
            left = set(hits)
            chosen = [c for c in free if c in left and parts[c].task in left]
    if not explicit:
        chosen = _score_columns(frame, chosen, row_columns[0], decimal, where, notes)
    if not chosen:
        raise TraitscopeError("no numeric score columns", where=where, fix="name the score columns: values=...")
    return WideColumns(row_columns, family, seed, source, [parts[c] for c in chosen])


def _check_names(
    column: str | None, option: str, frame: pd.DataFrame, decimal: str, where: str, notes: list[str]
) -> None:
    """Refuses, or notes of runs, a column that should tell rows apart and holds what may be scores."""
    numbers = read_numbers(frame[column], decimal).values if column is not None else np.zeros(0)
    known = numbers[np.isfinite(numbers)]
    if option == "seed_column" and (known % 1).any():
        notes.append(f"column {column} holds fractions and tells runs apart: it is no task")
    elif known.size and (option == "family" or (known % 1).any()):
        raise TraitscopeError(
            f"column {column!r} holds numbers; it names {_TELLS[option]}",
            where=f"{where}, {option}",
            fix="name another column, or leave the option out",
        )


def _row_column(names: Sequence[str], where: str, notes: list[str]) -> list[str]:
    """The column that names the rows: the first, unless another is called "model"."""
    called = [name for name in names[1:] if plain_name(name) in KNOWN_NAMES["model"]]
    if called and plain_name(names[0]) not in KNOWN_NAMES["model"]:
        notes.append(f"rows are named by column {called[0]}")
        return called[:1]
    if plain_name(names[0]) in (*KNOWN_NAMES["task"], "tasks", "benchmarks", *KNOWN_NAMES["metric"]):
        raise TraitscopeError(
            f"the first column, {names[0]!r}, names tasks, not models",
            where=where,
            fix="turn the table round: one row per model, one column per task; or rows=... if these are models",
        )
    return [names[0]]


def _score_columns(
    frame: pd.DataFrame, free: Sequence[str], row: str, decimal: str, where: str, notes: list[str]
) -> list[str]:
    """The columns that hold scores, where nobody says which: numbers that are not something else."""
    results = [c for c in free if c.startswith(("results.", "results/"))]
    if results:
        left = [c for c in free if c not in results]
        notes.extend([f"only columns of results were read, not {len(left)} others"] if left else [])
        free = results
    free = [c for c in free if not c.startswith(tuple(f"{name}{sep}" for name in _BESIDE for sep in "./"))]
    names = frozenset(frame.columns)
    kept: list[str] = []
    text: list[str] = []
    empty: list[str] = []
    for column in free:
        found = read_numbers(frame[column], decimal)
        has_numbers = bool(np.isfinite(found.values).any())
        if found.bad and (has_numbers or any(re.match(r"[+-]?[.,]?[0-9]", cell) for _, cell in found.bad)):
            numbers_or_error(frame[column], decimal, where, frame[row], optional=True)
        if not has_numbers:
            (text if found.bad else empty).append(column)
            continue
        if is_orphan(column, names):
            raise TraitscopeError(
                f"{column!r} holds standard errors of no column of this file", where=where, fix=f"values='!{column}'"
            )
        of = spread_of(column, names)
        what = f"the spread or the counts of {of}" if of else "a setting" if plain_name(column) in SETTINGS else ""
        if plain_name(column) in SUMMARIES:
            what = "a summary of other columns"
        if plain_name(column) in SPREADS:
            what = "the spread of another column"
        if what:
            raise TraitscopeError(
                f"column {column!r} looks like {what}, not like a task",
                where=where,
                fix=f"leave it out: values='!{column}'; or name the score columns: values=..."
                + ("; or seed_column" if plain_name(column) in ("run", "random_seed", "trial", "replicate") else "")
                + (
                    f"; or, if it holds standard errors, stderr_suffix={column.removeprefix(of)!r}"
                    if of and column.startswith(of)
                    else ""
                ),
            )
        kept.append(column)
    if len(kept) == 1 and plain_name(kept[0]) in _ONE_VALUE and text:
        raise TraitscopeError(
            f"{kept[0]!r} is the only column of scores; does one of {', '.join(text)} name the task?",
            where=where,
            fix=f"task_column=... and value_column={kept[0]!r}; or values={kept[0]!r} if it is one task",
        )
    if text:
        notes.append(f"columns that are no numbers were left out: {', '.join(text)}")
    if empty:
        notes.append(f"empty columns were left out: {', '.join(empty)}")
    return kept
