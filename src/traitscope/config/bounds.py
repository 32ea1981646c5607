"""What a template may use and give: steps, time and size of one rendering; text, numbers and lists of them."""

from __future__ import annotations

import datetime
import decimal
import math
import numbers
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import Undefined

MOST_STEPS = 1_000_000
"""Turns of loops, calls and filters that one rendering may take."""
MOST_TEXT = 20_000_000
"""Characters that a value, or the whole text, may have."""
MOST_ITEMS = 1_000_000
"""Items that a list may hold, those of lists inside it counted too."""
SECONDS = 5.0
"""Time that one rendering may take; its steps end it sooner unless each of them is slow."""

_WIDEST = 10_000
# Python reads no longer ones, and Jinja would give 0 for them.
_LONGEST_INT = 4_000
MOST_BITS = 64_000
# Filters of jinja2 and markupsafe whose time grows with the square of the text.
_SHORT = {"wordwrap": 100_000, "urlize": 100_000, "striptags": 300_000}
_WIDTHS = {"center", "ljust", "rjust", "zfill", "expandtabs", "indent", "batch", "tojson", "round"}
_VIEWS: Any = (type({}.keys()), type({}.values()), type({}.items()))
_LISTS: Any = (list, tuple, set, frozenset, range, *_VIEWS)
_PLAIN = (numbers.Real, decimal.Decimal, datetime.date, datetime.time, datetime.timedelta, uuid.UUID, type(None))


class TooMuch(Exception):
    """A template that asks for more time or room than a row may need."""


class Drained(list[Any]):
    """What a generator gave. A loop, a filter or ``| list`` takes it; by itself it is no answer."""


class Lazy(Iterator[Any]):
    """What a generator gives, in turn and once, where a template is not strict: nothing but its items is in it."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items

    def __next__(self) -> Any:
        current.get().step()
        return plain(next(self._items))


class Unprintable(Exception):
    """A value that a template would print but that is no text.

    Attributes:
        kind: "missing", "list", "generator", "infinite" or a type.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Budget:
    """What one rendering has used; where it is strict, lists and missing values are no text."""

    __slots__ = ("_ends", "_steps", "_text", "strict")

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self._steps, self._text, self._ends = 0, 0, time.monotonic() + SECONDS

    def step(self, text: int = 0) -> None:
        self._steps += 1
        self._text += text
        if self._steps > MOST_STEPS:
            raise TooMuch(f"takes more than {MOST_STEPS:,} steps")
        if self._text > MOST_TEXT:
            raise TooMuch(f"gives more than {MOST_TEXT:,} characters")
        self.left()

    def left(self) -> float:
        """Seconds that are left."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TooMuch(f"takes more than {SECONDS:g} seconds")
        return left


current: ContextVar[Budget] = ContextVar("template budget")


@contextmanager
def budget(strict: bool = True) -> Iterator[None]:
    """One rendering's time and room; one that is not ``strict`` writes lists and None as Python does."""
    token = current.set(Budget(strict))
    try:
        yield
    finally:
        current.reset(token)


def printable(value: Any) -> Any:
    """A value that may stand in a text: text or a number, a date or the like.

    Raises:
        Unprintable: it is missing, infinite, a list or mapping, or an object. UndefinedError: there is no such column.
    """
    if isinstance(value, str):
        return str(value)  # jinja's Markup is a kind of text too
    if isinstance(value, Undefined):
        return str(value)
    if isinstance(value, Lazy):
        raise Unprintable("generator")
    if not current.get().strict:
        return plain(value)
    if value is None or (isinstance(value, float) and value != value):
        raise Unprintable("missing")
    if isinstance(value, (Mapping, *_LISTS)):
        raise Unprintable("list")
    if not isinstance(value, _PLAIN):
        raise Unprintable(type(value).__name__)
    if isinstance(value, numbers.Real | decimal.Decimal) and value in (math.inf, -math.inf):
        raise Unprintable("infinite")
    return value


def plain(value: Any) -> Any:
    """``value`` where it is text, a number, or lists and mappings of such, of bounded size.

    Raises:
        Unprintable: an object is among them. TooMuch: they are too large.
    """
    measured(value)
    return value


def measured(value: Any) -> int:
    """The size of a value in items and characters, where ``plain`` takes it."""
    if isinstance(value, str | bytes):
        if len(value) > MOST_TEXT:
            raise TooMuch(f"makes a text of more than {MOST_TEXT:,} characters")
        return len(value)
    if isinstance(value, int):
        if value.bit_length() > MOST_BITS:
            raise TooMuch("makes a number of more than 19,000 digits")
        return 1
    if isinstance(value, Lazy):
        return 1
    text = items = 0
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        items += 1
        if isinstance(one, str | bytes):
            text += len(one)
        elif isinstance(one, Mapping):
            waiting.extend(one.keys())
            waiting.extend(one.values())
        elif isinstance(one, range):
            items += len(one)
        elif isinstance(one, _LISTS):
            waiting.extend(one)
        elif not isinstance(one, _PLAIN) and not isinstance(one, Undefined):
            raise Unprintable("generator" if isinstance(one, Lazy) else type(one).__name__)
        if items + len(waiting) > MOST_ITEMS:
            raise TooMuch(f"makes a list of more than {MOST_ITEMS:,} items")
        if text > MOST_TEXT:
            raise TooMuch(f"makes lists with more than {MOST_TEXT:,} characters")
    return items + text


def drained(value: Any) -> Any:
    """A generator or a view of a mapping as a list: nothing else shows what is in it.

    Where a template is not strict, they stay what they are to it.
    """
    if not current.get().strict:
        return Lazy(value) if isinstance(value, Iterator) else value
    if isinstance(value, _VIEWS):
        return Drained(value)
    if not isinstance(value, Iterator):
        return value
    used, out = current.get(), Drained()
    for item in value:
        used.step()
        out.append(item)
    return out


def room(size: int) -> None:
    if size > MOST_TEXT:
        raise TooMuch(f"makes a text of more than {MOST_TEXT:,} characters")


def check_call(name: str, value: Any, args: tuple[Any, ...]) -> None:
    """Refuses a call of a filter or a method whose result or time would be out of bounds."""
    if name in _WIDTHS:
        for number in args:
            if isinstance(number, int | float) and abs(number) > _WIDEST:
                raise TooMuch(f"asks {name} for {number:,}; at most {_WIDEST:,} is allowed")
    if isinstance(value, str):
        if len(value) > _SHORT.get(name, MOST_TEXT):
            raise TooMuch(f"gives {name} a text of more than {_SHORT[name]:,} characters")
        if name == "format":
            check_percent(value, args)
        if name == "int" and len(value) > _LONGEST_INT:
            raise TooMuch(f"reads a number of more than {_LONGEST_INT:,} digits")
        if name == "replace" and len(args) > 1 and isinstance(args[0], str) and isinstance(args[1], str):
            room(len(value) + (value.count(args[0]) if args[0] else len(value) + 1) * len(args[1]))
        if name == "indent" and args and isinstance(args[0], str):
            room(len(value) + value.count("\n") * len(args[0]))
        if name == "expandtabs":
            room(len(value) + value.count("\t") * _WIDEST)
    if name == "join":
        parts, between = (args[0], value) if isinstance(value, str) and args and not isinstance(args[0], str) else (
            value, args[0] if args else "")  # fmt: skip
        if hasattr(parts, "__len__") and isinstance(between, str):
            room(len(parts) * len(between))
    if name == "strftime":
        check_percent("".join(a for a in args if isinstance(a, str)), ())


def check_width(spec: str) -> None:
    """Refuses a format's specification that holds a number of five digits and more."""
    if re.search(r"\d{5,}", spec):
        raise TooMuch(f"formats to a width of more than {_WIDEST:,}")


def check_percent(text: str, args: tuple[Any, ...]) -> None:
    """Refuses what may not be printed, and widths of five digits and more behind a %, be they those of the arguments.

    Raises:
        Unprintable: a list, an object or nothing is among the arguments. TooMuch: the widths are too many or too large.
    """
    for value in args:
        for one in value.values() if isinstance(value, Mapping) and "%(" in text else [value]:
            printable(one)
    specs = re.findall(r"%([^%a-zA-Z]*)", text)
    wide = any(isinstance(a, int) and abs(a) > _WIDEST for a in args)
    for spec in specs:
        check_width(spec)
        if "*" in spec and wide:
            raise TooMuch(f"formats to a width of more than {_WIDEST:,}")
    widths = [_WIDEST if "*" in spec else max(map(int, re.findall(r"\d+", spec)), default=0) for spec in specs]
    room(len(text) + sum(widths))
