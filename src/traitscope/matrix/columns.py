"""Names of columns and tasks: as given by the user or by patterns, else those that cannot be mistaken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from traitscope.errors import TraitscopeError

# What a column is, and the names (lower case, spaces as underscores) that mean it and nothing else.
KNOWN_NAMES = {
    "model": ("model", "model_name"),
    "task": ("task", "task_name", "benchmark"),
    "value": ("value", "score"),
    "source": ("source",),
    "seed": ("seed",),
    "metric": ("metric", "metric_name"),
    "stderr": ("stderr", "std_err", "std_error", "standard_error", "se"),
    "n": ("n", "n_examples", "num_examples"),
    "base": ("base",),
    "status": ("status",),
    "primary": ("primary",),
    "higher_is_better": ("higher_is_better",),
}
NEEDED = ("model", "task", "value")

# Numbers that stand beside scores in wide files and are none.
SETTINGS = frozenset(
    {"epoch", "epochs", "step", "steps", "iteration", "n", "n_examples", "id", "index", "rank", "lora_rank", "lr"}
    | {"learning_rate", "batch", "batch_size", "size", "params", "parameters", "num_params", "data_size", "year"}
    | {"temperature", "shots", "n_shot", "num_fewshot", "time", "runtime", "tokens", "run", "random_seed", "trial"}
    | {"replicate", "fold", "checkpoint", "r", "alpha", "lora_r", "lora_alpha", "dropout", "weight_decay", "warmup"}
)
SPREADS = frozenset({"std", "sd", "stdev", "se", "sem", "var", "variance", "ci", "ci95", "±", "+/_", "+_"})
SUMMARIES = frozenset({"average", "avg", "avg.", "mean", "overall", "total", "sum", "median"})


def plain_name(column: str) -> str:
    """A column's name in lower case, with underscores for spaces and hyphens."""
    return column.strip().lower().replace(" ", "_").replace("-", "_")


def known_columns(names: Sequence[str], where: str) -> dict[str, str]:
    """Part -> column, for columns whose name says what they are.

    Raises:
        TraitscopeError: two columns could be the model, task or value.
    """
    found: dict[str, str] = {}
    for part, known in KNOWN_NAMES.items():
        hits = [name for name in names if plain_name(name) in known]
        if len(hits) > 1:
            # The long table's own name is the one that is documented.
            hits = [name for name in hits if name == part] or hits
        if len(hits) > 1:
            raise TraitscopeError(
                f"{' and '.join(hits)} may each be the {part}",
                where=where,
                fix=f"say which: {part}_column=..., or delete the others",
            )
        if hits:
            found[part] = hits[0]
    return found


def long_columns(names: Sequence[str], given: Mapping[str, str], where: str) -> dict[str, str]:
    """Part -> column of a long file.

    Args:
        names: the file's columns. given: part -> column, as the user says; the rest goes by its name.

    Raises:
        TraitscopeError: a column is not there or is named twice, or model, task or value is not known.
    """
    for part, column in given.items():
        if column not in names:
            raise TraitscopeError(
                f"no column {column!r}; columns: {', '.join(names)}",
                where=f"{where}, {part}_column",
                fix="name an existing column",
            )
    twice = [column for column in given.values() if list(given.values()).count(column) > 1]
    if twice:
        parts = [part for part, column in given.items() if column == twice[0]]
        raise TraitscopeError(
            f"column {twice[0]!r} is named as {' and as '.join(parts)}", where=where, fix="name one column for each"
        )
    free = [name for name in names if name not in given.values()]
    ambiguous = {part: known for part, known in KNOWN_NAMES.items() if part not in given}
    candidates = [name for name in free if any(plain_name(name) in known for known in ambiguous.values())]
    found = {**known_columns(candidates, where), **given}
    lacking = [part for part in NEEDED if part not in found]
    if lacking:
        raise TraitscopeError(
            f"no column {', '.join(lacking)}; columns: {', '.join(names)}",
            where=where,
            fix=f"say which it is: {', '.join(f'{part}_column=...' for part in lacking)}; "
            "a file with one column per task is wide (layout=wide)",
        )
    return found


def is_long(names: Sequence[str], given: Mapping[str, str]) -> bool:
    """Whether a file is long: parts of it are named by the user, or it has a task column beside a model or a value."""
    if given:
        return True
    plain = {plain_name(name) for name in names}
    has = {part: bool(plain & set(KNOWN_NAMES[part])) for part in NEEDED}
    return has["task"] and (has["model"] or has["value"])


def match_names(names: Sequence[str], patterns: Sequence[str], where: str, option: str) -> list[str]:
    """Names that match any pattern, in the patterns' order, less those of patterns that start with "!".

    Raises:
        TraitscopeError: a pattern matches none.
    """
    found = dict.fromkeys(names if all(p.startswith("!") for p in patterns) else ())
    known = frozenset(names)
    for text in patterns:
        leave_out, pattern = text.startswith("!"), text.removeprefix("!")
        hits = [pattern] if pattern in known else [name for name in names if fnmatchcase(name, pattern)]
        if not hits:
            raise TraitscopeError(
                f"{pattern!r} matches none of: {', '.join(names)}",
                where=f"{where}, {option}",
                fix="use names or patterns such as '*-0shot'",
            )
        if leave_out:
            gone = set(hits)
            found = dict.fromkeys(name for name in found if name not in gone)
        else:
            found |= dict.fromkeys(hits)
    return list(found)
