"""What the verbs say: text that no name in it can steer, as wide as the terminal, in colour where one is; or JSON."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TextIO

import typer

from traitscope.errors import TraitscopeError
from traitscope.texts import display_width, safe, safe_json

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
    _echo(shown, err=err, nl=nl, color=in_colour(stream))


def say_json(found: str | Mapping[str, Any] | list[Any]) -> None:
    """One JSON document on standard output; numbers that are not finite are null."""
    text = found if isinstance(found, str) else json.dumps(_plain(found), indent=1, ensure_ascii=False, allow_nan=False)
    _echo(safe_json(text.rstrip("\n")))


def _echo(text: str, *, err: bool = False, **how: Any) -> None:
    try:
        typer.echo(text, err=err, **how)
    except BrokenPipeError:
        if not err:
            raise
    except OSError as error:
        # Of standard error that takes nothing nobody can be told.
        if not err:
            raise full_output(error) from None


def full_output(error: OSError) -> TraitscopeError:
    """The error for standard output that takes no more; what is still to be written goes nowhere."""
    drop_output()
    return TraitscopeError(
        f"cannot be written: {error.strerror}",
        where="standard output",
        fix="free some space where it goes to, or send it elsewhere",
    )


def drop_output() -> None:
    """Has what is still to be written to standard output go nowhere, so that the end of the process is no error."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    if display_width(line) <= columns:
        return line
    indent = re.match(r"[ ]*(?:[-|] )?", line)
    behind = " " * min(len(indent[0]) + (0 if indent[0].strip() else 2), columns // 2) if indent else ""
    lines, taken = [""], 0
    for piece in _pieces(line):
        if taken + display_width(piece.rstrip(" ")) > columns and lines[-1].strip():
            lines.append(behind)
            taken, piece = len(behind), piece.lstrip(" ")
        lines[-1] += piece
        taken += display_width(piece)
    return "\n".join(one.rstrip(" ") for one in lines)


def _pieces(line: str) -> list[str]:
    """Between which a line may be broken: words, which stay whole so that a path can be copied, and wide characters."""
    pieces = [""]
    for sign in line:
        wide = display_width(sign) == 2
        # What has no width of its own belongs to the character before it.
        fresh = sign != " " and (pieces[-1].endswith(" ") or wide or _ends_wide(pieces[-1], sign))
        if fresh and pieces[-1].strip(" "):
            pieces.append(sign)
        else:
            pieces[-1] += sign
    return pieces


def _ends_wide(piece: str, following: str) -> bool:
    return bool(piece) and display_width(piece[-1]) == 2 and display_width(following) == 1


def _coloured(text: str) -> str:
    for rule, colour in _COLOURS:
        text = rule.sub(lambda found, fg=colour: typer.style(found[0], fg=fg), text)  # type: ignore[misc]
    return text
