"""Jinja templates over a row: sandboxed, bounded, strict about missing columns and empty values."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from textwrap import shorten
from typing import Any

from jinja2 import Template, TemplateSyntaxError, Undefined, UndefinedError
from jinja2.exceptions import SecurityError

from traitscope.config.bounds import Drained, TooMuch, Unprintable, budget, plain, printable
from traitscope.config.problems import Problem
from traitscope.config.sandbox import TemplateEnvironment
from traitscope.config.yamlfile import KeyPath
from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean, near_names

Row = Mapping[str, Any]

# A template that is one expression and nothing else gives its value (a list, a number), not its text.
_ONE_EXPRESSION = re.compile(r"\{\{((?:(?!\{\{|\}\}|\{%).)*)\}\}", re.DOTALL)


_environment = TemplateEnvironment()


class OutOfBounds(TraitscopeError):
    """A template that asks for more time or room than a row may need: on the next row it may take as long again."""


@contextmanager
def _plain_escapes() -> Iterator[None]:
    # Jinja decodes its string literals as Python does, which warns of the \d of a regular expression.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@lru_cache(maxsize=4096)
def _template(text: str) -> Template:
    with _plain_escapes():
        return _environment.from_string(text)


@lru_cache(maxsize=4096)
def _expression(text: str) -> Callable[..., Any]:
    with _plain_escapes():
        return _environment.compile_expression(text, undefined_to_none=False)


def _near_filter(name: str, known: Mapping[str, Any]) -> str:
    near = near_names(name, known)
    return f"did you mean {near[0]!r}?" if near else "use Jinja's filters, prefix, regex_replace or regex_findall"


def check_template(text: str, keys: KeyPath = ()) -> None:
    """Raises ``Problem`` where ``text`` is no valid template."""
    try:
        _template(text)
    except TemplateSyntaxError as error:
        unknown = re.match(r"No (filter|test) named '(.+)'", error.message or "")
        known = _environment.filters if unknown and unknown.group(1) == "filter" else _environment.tests
        raise Problem(
            f"the template does not parse (line {error.lineno} of it): {error.message}",
            fix=_near_filter(unknown.group(2), known)
            if unknown
            else "close every {{ with }} and every {% if %} with {% endif %}",
            keys=keys,
        ) from None
    except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
        raise _uncompiled("template", error, keys) from None


def check_condition(text: str, keys: KeyPath = ()) -> None:
    """Raises ``Problem`` where ``text`` is no valid condition."""
    try:
        _expression(text)
    except TemplateSyntaxError as error:
        raise Problem(
            f"the condition does not parse: {error.message}",
            fix="write a Jinja expression without {{ }}, such as label != '-' or length | int > 10",
            keys=keys,
        ) from None
    except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
        raise _uncompiled("condition", error, keys) from None


def _uncompiled(kind: str, error: BaseException, keys: KeyPath) -> Problem:
    # Python's own limits: of brackets, blocks and digits in a program.
    words = shorten(str(error), 120) or type(error).__name__
    return Problem(f"the {kind} is too deep or too large: {words}", fix="write it in fewer nested parts", keys=keys)


def render(template: str, row: Row, *, where: str) -> str:
    """The text of ``template`` for one row; ``where`` names template and row in errors.

    Raises:
        TraitscopeError: if a column is missing, a value to be printed is empty, a list or an object, an expression
            fails, or time or size go out of bounds (``config.bounds``).
    """
    return whole(str(_run(lambda: _template(template).render(_context(row)), row, where)), where)


def evaluate(template: str, row: Row, *, where: str) -> Any:
    """As ``render``, but a template that is one ``{{ expression }}`` gives the expression's own value."""
    match = _ONE_EXPRESSION.fullmatch(template)
    if match is None:
        return render(template, row, where=where)

    def value() -> Any:
        found = _expression(match.group(1))(_context(row))
        if isinstance(found, Drained) or not isinstance(found, list | tuple):
            return printable(found)
        return [printable(item) for item in found]

    found = _run(value, row, where)
    for text in found if isinstance(found, list) else [found]:
        if isinstance(text, str):
            whole(text, where)
    return found


def whole(text: str, where: str) -> str:
    """Refuses half of a character, as JSON can hold it: no tokenizer and no file takes it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TraitscopeError(
            f"the text holds half a character (\\u{ord(text[error.start]):x}, a lone surrogate) behind "
            f"{text[max(0, error.start - 20) : error.start]!r}",
            where=where,
            fix="mend the row in the data file, or drop it with data.where",
        ) from None
    return text


def holds(condition: str, row: Row, *, where: str) -> bool:
    """Whether the row meets the condition.

    Raises:
        TraitscopeError: if the condition names a column that the rows do not have, gives an object, fails on a value,
            or goes out of bounds.
    """

    def value() -> bool:
        found = plain(_expression(condition)(_context(row)))
        if isinstance(found, Undefined):
            str(found)
        return bool(found)

    return bool(_run(value, row, where))


def _context(row: Row) -> dict[str, Any]:
    # `row["odd name"]` reaches columns whose names are no identifiers.
    return {"row": row, **row}


def _run(call: Callable[[], Any], row: Row, where: str) -> Any:
    try:
        with budget():
            return call()
    except Unprintable as error:
        raise _unprintable(error.kind, row, where) from None
    except TooMuch as error:
        raise OutOfBounds(
            f"the template {error}", where=where, fix="write a simpler one, or prepare the column in the data file"
        ) from None
    except UndefinedError as error:
        raise _undefined(error, row, where) from None
    except SecurityError as error:
        raise TraitscopeError(
            f"the template does what templates may not: {error}",
            where=where,
            fix="use columns and filters only",
        ) from None
    except TraitscopeError:
        raise
    except Exception as error:
        # Jinja and the values of the row raise many types; each says something of this template on this row.
        raise TraitscopeError(
            f"the template fails on this row: {shorten(str(error), 300) or type(error).__name__}",
            where=where,
            fix="correct the expression for such values",
        ) from None


def _unprintable(kind: str, row: Row, where: str) -> TraitscopeError:
    if kind == "list":
        return TraitscopeError(
            "the template prints a list or a mapping",
            where=where,
            fix="pick an item ({{ answers[0] }}) or join them ({{ answers | join(', ') }}); several "
            "right answers: write one {{ expression }} and nothing else: {{ answers | prefix(' ') }}",
        )
    if kind == "missing":
        empty = [c for c, v in row.items() if v is None or (isinstance(v, float) and v != v)]
        named = f" (empty in this row: {', '.join(empty)})" if empty else ""
        return TraitscopeError(
            f"the template prints a missing value{named}",
            where=where,
            fix="drop such rows with data.where, for example where: "
            f'"{empty[0] if empty else "column"} is not none", or write {{% if %}} around it',
        )
    if kind in ("infinite", "complex"):
        return TraitscopeError(
            f"the template prints {'an infinite' if kind == 'infinite' else 'a complex'} number",
            where=where,
            fix="correct the number in the data file or the expression, or drop such rows with data.where",
        )
    if kind == "bytes":
        held = [c for c, v in row.items() if isinstance(v, bytes)]
        named = f"the column {', '.join(held)} holds" if held else "the template makes"
        return TraitscopeError(
            f"{named} bytes that are no UTF-8 text", where=where, fix="store the column as text, or name another one"
        )
    return TraitscopeError(
        f"the template uses an object ({kind}) where text or a number is due",
        where=where,
        fix="call what is a method or a macro, with (): {{ text.upper() }}",
    )


def _undefined(error: UndefinedError, row: Row, where: str) -> TraitscopeError:
    message = str(error)
    match = re.fullmatch(r"'(.+)' is undefined", message)
    columns = ", ".join(str(c) for c in row)
    if match is None:
        return TraitscopeError(
            f"the template reads what is not there: {message}", where=where, fix=f"the columns are: {columns}"
        )
    name = match.group(1)
    hint = did_you_mean(name, row)
    fix = f"the columns are: {columns}" if hint.startswith("write") else f"{hint} (columns: {columns})"
    return TraitscopeError(f"the rows have no column {name!r}", where=where, fix=fix)
