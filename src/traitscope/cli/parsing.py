"""How a command line is read: numbers within their bounds, and mistakes of typing that are told by name."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from traitscope.texts import safe


def number(
    low: float | None = None, high: float | None = None, *, above: float | None = None, below: float | None = None
) -> Any:
    """What reads a finite number of an option.

    Args:
        low, high: least and greatest value. above, below: bounds that are not reached themselves.
    """
    bounds = [("at least", low), ("at most", high), ("above", above), ("below", below)]
    must = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise typer.BadParameter(
                f"{safe(str(text), line=True)!r} is no number; write one{must and f' {must}'}"
            ) from None
        fits = (
            math.isfinite(value)
            and (low is None or value >= low)
            and (high is None or value <= high)
            and (above is None or value > above)
            and (below is None or value < below)
        )
        if not fits:
            raise typer.BadParameter(f"{safe(str(text), line=True)} is not {must or 'finite'}")
        return value

    return read


class Verb(TyperCommand):
    """A verb whose command line is looked over before it is read."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does, once no space is missing and no option stands in the place of a value."""
        options = {name: param for param in self.params for name in param.opts if name.startswith("-")}
        flags = {name for name, param in options.items() if getattr(param, "is_flag", False)}
        long = sorted((name for name in options if name.startswith("--")), key=len, reverse=True)
        value_of = None
        for word in args:
            if word == "--":
                break
            if value_of is not None and word in (*options, "--help"):
                ctx.fail(f"{value_of} needs a value, and {word} follows it")
            if value_of is None and word.startswith("--") and "=" not in word and word not in options:
                glued = next(
                    (name for name in long if word.startswith(name) and not word[len(name) :][0].isalpha()), None
                )
                if glued is not None:
                    ctx.fail(f"there is no option {safe(word, line=True)}: is a space missing behind {glued}?")
            if not word.startswith("-") and (glued := _glued(word, long)) and not Path(word).exists():
                ctx.fail(f"{safe(word, line=True)}: is a space missing before {glued}?")
            takes = word in options and word not in flags
            value_of = word if value_of is None and takes else None
        return super().parse_args(ctx, args)


def _glued(word: str, options: list[str]) -> str | None:
    """An option that stands inside a word, right behind a sign that is no blank."""
    for name in options:
        if re.search(rf"[^\s-]{re.escape(name)}(?![\w-])", word):
            return name
    return None


class Verbs(TyperGroup):
    """All verbs; what typer says of a mistake shows what was typed without letting it steer the terminal."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Reads what stands before the verb."""
        return _told(super().make_context, *args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Reads the verb's own command line and runs it."""
        return _told(super().invoke, ctx)


def _told(act: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return act(*args, **kwargs)
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str) and hasattr(error, "exit_code"):
            error.message = safe(message)  # type: ignore[attr-defined]
        raise
