"""How a command line is read: numbers within their bounds, and mistakes of typing that are told by name."""

from __future__ import annotations

import errno
import math
import re
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from traitscope.cli.output import drop_output, full_output, say_error
from traitscope.errors import TraitscopeError
from traitscope.texts import safe

# What may be a blank; of all else an empty text says nothing, and as a path it would be the current folder.
_MAY_BE_BLANK = ("delimiter",)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


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
        """As typer does, once no space is missing, no option stands in the place of a value, none is empty or twice."""
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
        if not ctx.resilient_parsing:
            self._refuse_empty_and_twice(ctx, args)
        typed = list(args)  # reading it empties the list
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            short = next(
                (word for word in typed if len(word) > 2 and word[-2:] in options and word not in options), None
            )
            if short is not None and "unexpected extra argument" in str(getattr(error, "message", "")):
                ctx.fail(f"{safe(short, line=True)}: is a space missing before {short[-2:]}?")
            raise

    def _refuse_empty_and_twice(self, ctx: Any, args: list[str]) -> None:
        given, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for param in order:
            name = max(param.opts, key=len) if param.param_type_name == "option" else f"the argument {param.name}"
            once = param.param_type_name == "option" and not (param.multiple or getattr(param, "is_flag", False))
            if once and order.count(param) > 1:
                ctx.fail(f"{name} is given {order.count(param)} times: give it once")
            values = given.get(param.name)
            texts = [v for v in (values if isinstance(values, list | tuple) else [values]) if isinstance(v, str)]
            if not all(texts if param.name in _MAY_BE_BLANK else (text.strip() for text in texts)):
                ctx.fail(f"{name} is empty: give a value, or leave it out")


class ListingVerb(Verb):
    """A verb some options of which take all words up to the next option: ``--adapters a b c``."""

    listing: tuple[str, ...] = ()
    # Options beside which there is no argument that such words could be.
    beside: tuple[str, ...] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As ``Verb`` does, the option repeated before every word."""
        here = any(word.split("=")[0] in self.beside for word in args)
        spread: list[str] = []
        option, fresh = None, False
        for place, word in enumerate(args):
            if word == "--":
                spread += args[place:]
                break
            if word.startswith("-"):
                option, fresh = (word if here and word in self.listing else None), True
            elif option is not None and not fresh:
                spread.append(option)
            else:
                fresh = False
            spread.append(word)
        return super().parse_args(ctx, spread)


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
    except SystemExit as end:
        # So rich ends a process whose help nobody reads any more.
        if isinstance(end.__context__, BrokenPipeError):
            raise typer.Exit(0) from None
        raise
    except BrokenPipeError:
        drop_output()
        raise typer.Exit(0) from None
    except TraitscopeError as error:
        say_error(error)
        raise typer.Exit(2) from None
    except Exception as error:
        # Help and completion are written by typer; verbs tell of their own files.
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            say_error(full_output(error))
            raise typer.Exit(2) from None
        if isinstance(message := getattr(error, "message", None), str) and hasattr(error, "exit_code"):
            error.message = safe(message)  # type: ignore[attr-defined]
        raise
