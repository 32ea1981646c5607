"""What the verbs say: text that no name in it can steer, as wide as the terminal, in colour where one is; or JSON."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping
from typing import Any, TextIO

import typer

from traitscope.errors import TraitscopeError
from traitscope.texts import safe, safe_json

# Rules of a colour each: words that ask for attention, and marks behind scores.
_COLOURS = (
    (re.compile(r"^ *(note|left out|changed|damaged)(?=:? )", re.MULTILINE), typer.colors.YELLOW),
    (re.compile(r"(?<=\d)\+(?=\s|$)", re.MULTILINE), typer.colors.GREEN),
    (re.compile(r"(?<=\d)-(?=\s|$)", re.MULTILINE), typer.colors.RED),
)


def width(stream: TextIO | None = None) -> int | None:
    """Columns that there are: ``COLUMNS``, else those of the terminal; None where neither is known, as in a file."""
    stream = stream or sys.stdout
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdigit() and int(told) > 0:
        return int(told)
    return shutil.get_terminal_size().columns if stream.isatty() else None


def in_colour(stream: TextIO) -> bool:
    """Whether a stream takes colours: a terminal, unless ``NO_COLOR`` says no; ``FORCE_COLOR`` says yes of any."""
    if os.environ.get("NO_COLOR"):
        return False
    if (forced := os.environ.get("FORCE_COLOR")) and forced != "0":
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def say(text: object = "", *, err: bool = False, bold: bool = False, wrap: bool = True, nl: bool = True) -> None:
    """Text for people, on standard output or standard error."""
    stream = sys.stderr if err else sys.stdout
    shown, columns = safe(str(text)), width(stream)
    # Messages that go to a file stay whole, whatever COLUMNS says.
    if wrap and columns is not None and (stream.isatty() or not err):
        shown = "\n".join(_wrapped(line, columns) for line in shown.split("\n"))
    if in_colour(stream):
        shown = typer.style(shown, bold=True) if bold else _coloured(shown)
    typer.echo(shown, err=err, nl=nl, color=in_colour(stream))


def say_json(found: str | Mapping[str, Any] | list[Any]) -> None:
    """One JSON document on standard output; numbers that are not finite are null."""
    text = found if isinstance(found, str) else json.dumps(_plain(found), indent=1, ensure_ascii=False, allow_nan=False)
    typer.echo(safe_json(text.rstrip("\n")))


def say_error(error: TraitscopeError) -> None:
    """An error as a user meets it."""
    say("error:", err=True, bold=True, nl=False)
    say(f" {error}", err=True)


def _plain(value: Any) -> Any:
    from traitscope.jsontables import plain

    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    value = plain(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _wrapped(line: str, columns: int) -> str:
    if len(line) <= columns:
        return line
    indent = re.match(r"[ ]*(?:[-|] )?", line)
    behind = " " * min(len(indent[0]) + (0 if indent[0].strip() else 2), columns // 2) if indent else ""
    # Words stay whole: a path or a command can be copied.
    return textwrap.fill(line, columns, subsequent_indent=behind, break_long_words=False, break_on_hyphens=False)


def _coloured(text: str) -> str:
    for rule, colour in _COLOURS:
        text = rule.sub(lambda found, fg=colour: typer.style(found[0], fg=fg), text)  # type: ignore[misc]
    return text
