"""Regular expressions of adapters' configurations, matched in bounded time: Python's own search may not end."""

from __future__ import annotations

import time
from collections.abc import Iterable

import regex

from traitscope.errors import TraitscopeError

Patterns = tuple[tuple[str, float], ...]
SECONDS = 2.0
# The library writes counted repeats out: a pattern that is longer than any list of names is none of modules.
MOST_CHARACTERS = 20_000


def matched(pattern: str, names: Iterable[str], where: str) -> set[str]:
    """The names that a regular expression matches from end to end.

    Raises:
        TraitscopeError: it is no regular expression, or takes too long.
    """
    ends = time.monotonic() + SECONDS
    try:
        if len(pattern) > MOST_CHARACTERS or regex.search(r"\{\d*,?\d{4,}\}", pattern):
            raise TimeoutError
        compiled = regex.compile(pattern)
        return {name for name in names if compiled.fullmatch(name, timeout=max(ends - time.monotonic(), 1e-3))}
    except (TimeoutError, MemoryError, RecursionError):
        what = f"the regular expression {pattern[:80]!r} takes too long on the model's names"
    except regex.error as error:
        what = f"{pattern[:80]!r} is no regular expression: {error}"
    raise TraitscopeError(what, where=where, fix="write the modules' names instead")


def ending(pattern: str) -> str:
    """The regular expression of a module's name, or of the end of it behind a dot, as PEFT has it."""
    return rf"(.*\.)?({pattern})"


def value_of(patterns: Patterns, name: str, default: float, where: str) -> float:
    """The value of the first pattern that matches a module's name."""
    return next((value for pattern, value in patterns if matched(ending(pattern), [name], where)), default)
