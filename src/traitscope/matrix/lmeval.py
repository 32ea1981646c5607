"""Which columns of a wide file hold scores, and which their standard errors; lm-eval's flattened results too."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from traitscope.errors import TraitscopeError

# lm-eval's columns: <task><. or /><metric>,<filter>; the metric's error is <metric>_stderr,<filter>.
_FILTERED = re.compile(r"(?:results[./])?(?P<task>.+)[./](?P<metric>[^./,]+),(?P<filter>[A-Za-z][\w-]*)")
_PLAIN = re.compile(r"(?:results[./])?(?P<task>.+)[./](?P<metric>[^./,]+)")
_ERROR_ENDS = (
    "_stderr", ".stderr", "-stderr", "/stderr", " stderr", " (stderr)", "_std_err", "_std_error", "_standard_error",
    " standard error", " (SE)", " (se)",
)  # fmt: skip
# Words for deviations, limits and counts, before or behind the name of a column.
_SPREAD = r"(?:std|std\.? ?dev|sd|stdev|var|variance|se|sem|ci|ci95|95 ?%? ?ci|err|error|margin|n|count|counts|samples)"
_SPREADS = (
    re.compile(rf"(?P<of>.+?)[ _./-]+\(?{_SPREAD}\)?", re.IGNORECASE),
    re.compile(r"(?P<of>.+?)[ _./-]*\(?(?:±|\+/-|\+-)\)?"),
    re.compile(rf"{_SPREAD}[ _./-]+\(?(?P<of>.+?)\)?", re.IGNORECASE),
)
# Two letters alone may be a language.
_LIMIT_ENDS = (("_lo", "_hi"), ("_low", "_high"), ("_lower", "_upper"))
_LOWER_IS_BETTER = frozenset(
    {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "wer", "cer", "ter", "mse"}
    | {"rmse", "mae", "loss", "nll", "ppl"}
)


def lower_is_better(name: str) -> bool:
    """Whether a metric (or a task that is called after one, as ``wikitext_ppl``) is known to be better when lower."""
    metric = name.partition(",")[0].strip().lower().replace(" ", "_").replace("-", "_")
    return metric in _LOWER_IS_BETTER or metric.rpartition("_")[2] in _LOWER_IS_BETTER


class ScoreColumn(NamedTuple):
    """One column of scores.

    Attributes:
        column: its name in the file. task, metric: what it holds.
        stderr: the column with its standard errors, if any.
        n: the column with its examples, if any.
        higher_is_better: False for lm-eval's perplexities and errors.
    """

    column: str
    task: str
    metric: str
    stderr: str | None = None
    n: str | None = None
    higher_is_better: bool = True


def error_partner(column: str, names: Collection[str], suffix: str = "_stderr") -> str | None:
    """The column whose standard errors a column holds, if its name says so and that column is there."""
    stems = [f"{m[1]}{m[2]}" for m in [re.fullmatch(r"(.*)_stderr(,.*)", column)] if m]
    stems += [column.removesuffix(end) for end in (suffix, *_ERROR_ENDS) if end and column.endswith(end)]
    stems += [m[1] for m in [re.fullmatch(r"stderr[_. /-](.+)", column, re.IGNORECASE)] if m]
    return next((stem for stem in stems if stem in names and stem != column), None)


def is_orphan(column: str, names: Collection[str]) -> bool:
    """Whether a column is named as standard errors of a column that is not there."""
    return (
        bool(re.search("std_?err|std.error|standard.error", column, re.IGNORECASE))
        and error_partner(column, names) is None
    )


def spread_of(column: str, names: Collection[str]) -> str | None:
    """The column whose deviation, limits or counts a column seems to hold."""
    stems = [match["of"] for pattern in _SPREADS if (match := pattern.fullmatch(column)) is not None]
    for pair in _LIMIT_ENDS:
        for end in pair:
            stem = column.removesuffix(end)
            if stem != column and all(stem + other in names for other in pair):
                stems.append(stem)
    return next((stem for stem in stems if stem in names), None)


def error_columns(names: Sequence[str], suffix: str, where: str) -> dict[str, str]:
    """Score column -> the column with its standard errors.

    Raises:
        TraitscopeError: two columns claim to be the errors of one.
    """
    found: dict[str, str] = {}
    known = frozenset(names)
    for column in names:
        of = error_partner(column, known, suffix)
        if of is None:
            continue
        if of in found:
            raise TraitscopeError(
                f"{found[of]!r} and {column!r} both look like the standard errors of {of!r}",
                where=where,
                fix="delete one of them",
            )
        found[of] = column
    return found


def score_column(column: str, stderr: str | None, names: Collection[str]) -> ScoreColumn:
    """What a column of scores holds: a task, and with lm-eval's names the metric too.

    Args:
        column: its name. stderr: the column with its standard errors. names: all columns of the file.
    """
    match = _FILTERED.fullmatch(column)
    if match is None and stderr is not None and re.fullmatch(r".+[./][^./]+_stderr", stderr):
        match = _PLAIN.fullmatch(column)
    if match is None:
        return ScoreColumn(column, column, "score", stderr, higher_is_better=not lower_is_better(column))
    task, metric = match["task"], match["metric"]
    chosen = match.groupdict().get("filter") or "none"
    n = next((name for sep in "./" if (name := f"n-samples{sep}{task}{sep}effective") in names), None)
    full = metric if chosen == "none" else f"{metric},{chosen}"
    return ScoreColumn(column, task, full, stderr, n, not lower_is_better(metric))
