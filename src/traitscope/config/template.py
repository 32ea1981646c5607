"""Jinja templates over a row: sandboxed, strict about missing columns and empty values."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import regex
from jinja2 import Template, TemplateSyntaxError, Undefined, UndefinedError
from jinja2.exceptions import SecurityError, TemplateError

from traitscope.config.problems import Problem
from traitscope.config.sandbox import TooMuch, Unprintable, budgeted, environment, printable
from traitscope.config.yamlfile import KeyPath
from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean, near_names

Row = Mapping[str, Any]

# What an expression may raise on a row.
_FAULTS = (TypeError, ValueError, ArithmeticError, LookupError, NameError, AttributeError, TemplateError, regex.error)

# A template that is one expression and nothing else gives its value (a list, a number), not its text.
_ONE_EXPRESSION = re.compile(r"\{\{((?:(?!\{\{|\}\}|\{%).)*)\}\}", re.DOTALL)


@contextmanager
def _plain_escapes() -> Iterator[None]:
    # Jinja decodes its string literals as Python does, which warns of the \d of a regular expression.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@lru_cache(maxsize=4096)
def _template(text: str) -> Template:
    with _plain_escapes():
        return environment.from_string(text)


@lru_cache(maxsize=4096)
def _expression(text: str) -> Callable[..., Any]:
    with _plain_escapes():
        return environment.compile_expression(text, undefined_to_none=False)


def _near_filter(name: str, known: Mapping[str, Any]) -> str:
    near = near_names(name, known)
    return f"did you mean {near[0]!r}?" if near else "use Jinja's filters, prefix, regex_replace or regex_findall"


def check_template(text: str, keys: KeyPath = ()) -> None:
    """Raises ``Problem`` where ``text`` is no valid template."""
    try:
        _template(text)
    except RecursionError:
        raise Problem("the template is nested too deep", fix="write fewer brackets in brackets", keys=keys) from None
    except TemplateSyntaxError as error:
        unknown = re.match(r"No (filter|test) named '(.+)'", error.message or "")
        known = environment.filters if unknown and unknown.group(1) == "filter" else environment.tests
        raise Problem(
            f"the template does not parse (line {error.lineno} of it): {error.message}",
            fix=_near_filter(unknown.group(2), known)
            if unknown
            else "close every {{ with }} and every {% if %} with {% endif %}",
            keys=keys,
        ) from None


def check_condition(text: str, keys: KeyPath = ()) -> None:
    """Raises ``Problem`` where ``text`` is no valid condition."""
    try:
        _expression(text)
    except RecursionError:
        raise Problem("the condition is nested too deep", fix="write fewer brackets in brackets", keys=keys) from None
    except TemplateSyntaxError as error:
        raise Problem(
            f"the condition does not parse: {error.message}",
            fix="write a Jinja expression without {{ }}, such as label != '-' or length | int > 10",
            keys=keys,
        ) from None


def render(template: str, row: Row, *, where: str) -> str:
    """The text of ``template`` for one row; ``where`` names template and row in errors.

    Raises:
        TraitscopeError: if a column is missing, a value to be printed is empty or a list, or an expression fails.
    """
    return str(_run(lambda: _template(template).render(_context(row)), row, where))


def evaluate(template: str, row: Row, *, where: str) -> Any:
    """As ``render``, but a template that is one ``{{ expression }}`` gives the expression's own value."""
    match = _ONE_EXPRESSION.fullmatch(template)
    if match is None:
        return render(template, row, where=where)

    def value() -> Any:
        found = _expression(match.group(1))(_context(row))
        if isinstance(found, Undefined):
            str(found)
        if not isinstance(found, list | tuple):
            return printable(found)
        return [printable(item) for item in found]

    return _run(value, row, where)


def holds(condition: str, row: Row, *, where: str) -> bool:
    """Whether the row meets the condition.

    Raises:
        TraitscopeError: if the condition names a column that the rows do not have, or fails on a value.
    """

    def value() -> bool:
        found = _expression(condition)(_context(row))
        if isinstance(found, Undefined):
            str(found)
        return bool(found)

    return bool(_run(value, row, where))


def _context(row: Row) -> dict[str, Any]:
    # `row["odd name"]` reaches columns whose names are no identifiers.
    return {"row": row, **row}


def _run(call: Callable[[], Any], row: Row, where: str) -> Any:
    try:
        with budgeted():
            return call()
    except Unprintable as error:
        if str(error) not in ("list", "missing"):
            raise TraitscopeError(
                f"the template prints something that is no text and no number (a {error})",
                where=where,
                fix="call what is to be called ({{ text.strip() }}), and make a list of what is to be gone through "
                "({{ names | map('upper') | list | join(', ') }})",
            ) from None
        if str(error) == "list":
            raise TraitscopeError(
                "the template prints a list or a mapping",
                where=where,
                fix="pick an item ({{ answers[0] }}) or join them ({{ answers | join(', ') }}); several "
                "right answers: write one {{ expression }} and nothing else: {{ answers | prefix(' ') }}",
            ) from None
        empty = [c for c, v in row.items() if v is None or (isinstance(v, float) and v != v)]
        named = f" (empty in this row: {', '.join(empty)})" if empty else ""
        raise TraitscopeError(
            f"the template prints a missing value{named}",
            where=where,
            fix="drop such rows with data.where, for example where: "
            f'"{empty[0] if empty else "column"} is not none", or write {{% if %}} around it',
        ) from None
    except UndefinedError as error:
        raise _undefined(error, row, where) from None
    except SecurityError as error:
        raise TraitscopeError(
            f"the template does what templates may not: {error}",
            where=where,
            fix="use columns and filters only",
        ) from None
    except (TooMuch, OverflowError, MemoryError, RecursionError, TimeoutError) as error:
        why = "it calls itself" if isinstance(error, RecursionError) else str(error) or "there is no memory for it"
        raise TraitscopeError(
            f"the template takes too long or makes too much: {why}",
            where=where,
            fix="a prompt is made of a row's columns and a few loops over them",
        ) from None
    except _FAULTS as error:
        if isinstance(error, TraitscopeError):
            raise
        raise TraitscopeError(
            f"the template fails on this row: {error}",
            where=where,
            fix="correct the expression for such values",
        ) from None


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
