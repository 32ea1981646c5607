"""The environment of templates: what comes out is text and numbers, and it comes soon.

Jinja's sandbox keeps templates from reaching into Python. This one also counts: every turn of a loop, every call and
every filter is a step, long texts are several, and one rendering has so many steps and so much text. Sizes are checked
before anything of that size is made.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, time, timedelta
from decimal import Decimal
from types import GeneratorType
from typing import Any

import regex
from jinja2 import StrictUndefined, Undefined, nodes
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

STEPS = 200_000
SIZE = 20_000_000
PIECE = 1000
# A number that sets a length: padding, repetition, a range.
MOST = 100_000
REGEX_S = 5.0

_PLAIN = (str, int, float, Decimal, date, time, timedelta)
_TAKES_GENERATORS = {
    *("list", "join", "map", "select", "reject", "selectattr", "rejectattr", "first", "last", "sort", "unique"),
    *("sum", "min", "max", "batch", "slice", "groupby", "reverse", "default", "d"),
}
_WIDTH = re.compile(r"\d{5,}|\*")


class Unprintable(Exception):
    """A value that a template would print but that is no text: ``missing``, ``list``, or the name of its type."""


class TooMuch(Exception):
    """A template that would take too long or make too much."""


class _Budget:
    def __init__(self) -> None:
        self.steps, self.size = STEPS, SIZE

    def spend(self, steps: int, size: int = 0) -> None:
        self.steps -= steps + size // PIECE
        self.size -= size
        if self.steps < 0:
            raise TooMuch(f"it takes more than {STEPS:,} steps")
        if self.size < 0:
            raise TooMuch(f"it makes more than {SIZE:,} characters")


_budget: ContextVar[_Budget | None] = ContextVar("budget", default=None)


@contextmanager
def budgeted() -> Iterator[None]:
    """One rendering: its steps are counted from here."""
    token = _budget.set(_Budget())
    try:
        yield
    finally:
        _budget.reset(token)


def _spend(steps: int, size: int = 0) -> None:
    budget = _budget.get()
    if budget is not None:
        budget.spend(steps, size)


def printable(value: Any) -> Any:
    """The value, if it is text, a number or a date.

    Raises:
        Unprintable: it is something else.
    """
    if value is None or (isinstance(value, float) and value != value):
        raise Unprintable("missing")
    if isinstance(value, str):
        _spend(0, len(value))
    elif isinstance(value, Mapping | list | tuple | set):
        raise Unprintable("list")
    elif not isinstance(value, (*_PLAIN, Undefined)):
        raise Unprintable(type(value).__name__)
    return value


def _weigh(value: Any, left: int = STEPS, generators: bool = False) -> int:
    """How many things a value holds, what it shares counted each time; at most ``left`` and a few.

    Raises:
        Unprintable: one of them is neither data nor a thing of Jinja's. TooMuch: they are more.
    """
    if left < 0:
        raise TooMuch(f"it holds more than {STEPS:,} things")
    if isinstance(value, str):
        return 1 + len(value) // PIECE
    if value is None or isinstance(value, (*_PLAIN, bytes, Undefined, Namespace, Macro, LoopContext)):
        return 1
    if isinstance(value, range):
        return 1 + len(value)
    if isinstance(value, Mapping):
        value = [part for pair in value.items() for part in pair]
    elif isinstance(value, type({}.keys()) | type({}.values()) | type({}.items())):
        value = list(value)
    if isinstance(value, list | tuple | set | frozenset):
        weight = 1
        for part in value:
            weight += _weigh(part, left - weight)
        return weight
    # What a filter or a dict gives to be gone through; other things print as where they lie in memory.
    if generators and (isinstance(value, GeneratorType) or hasattr(value, "__next__")):
        return 1
    raise Unprintable(type(value).__name__)


def _check_arguments(arguments: list[Any], generators: bool = False) -> None:
    for argument in arguments:
        if isinstance(argument, int | float) and not isinstance(argument, bool) and abs(argument) > MOST:
            raise TooMuch(f"it asks for {argument:g}, and {MOST:,} is the most")
    _spend(1 + sum(_weigh(argument, generators=generators) for argument in arguments))


def _counted(iterable: Any, literal: int) -> Iterator[Any]:
    """What a loop goes through, each turn a step; ``literal`` is the text that a turn writes at most."""
    for item in iterable:
        _spend(1, literal)
        yield item


def _joined(parts: list[Any]) -> str:
    texts = [str(printable(part)) for part in parts]
    _spend(1, sum(map(len, texts)))
    return "".join(texts)


def _safe_replace(text: str, old: str, new: str) -> None:
    _spend(1, len(text) + (text.count(old) if old else len(text) + 1) * len(new))


def _safe_join(separator: str, parts: Any) -> None:
    if hasattr(parts, "__len__"):
        _spend(1, len(parts) * len(separator))
    elif len(separator) > PIECE:
        raise TooMuch("it joins with so long a text")


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that looks at what it is given before it makes anything of it, and at what it made."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        given = [*args[first:], *kwargs.values()]
        takes = name in _TAKES_GENERATORS
        _spend(_weigh(given[0], generators=takes) if given else 0)
        # A value may be a large number; what is asked of it may not.
        _check_arguments(given[1:])
        if name == "replace" and len(given) > 2:
            _safe_replace(str(given[0]), str(given[1]), str(given[2]))
        if name == "join" and len(given) > 1:
            _safe_join(str(given[1]), given[0])
        if name == "format":
            _check_format(str(given[0]))
        found = function(*args, **kwargs)
        if isinstance(found, str):
            _spend(0, len(found))
        return found

    return guarded


def _check_format(text: str) -> None:
    if _WIDTH.search(text) or re.search(r"\{[^{}]*\{", text):
        raise TooMuch("a format may not set a width of five digits, or one that is computed")


def _prefix(value: Any, text: str) -> Any:
    """Puts ``text`` before a value, or before every item of a list."""
    if isinstance(value, list | tuple):
        return [f"{text}{printable(v)}" for v in value]
    return f"{text}{printable(value)}"


def _regex_replace(value: Any, pattern: str, replacement: str = "") -> Any:
    """Replaces a regular expression in a text, or in every item of a list."""
    if isinstance(value, list | tuple):
        return [_regex_replace(str(v), pattern, replacement) for v in value]
    made = regex.sub(pattern, replacement, str(value), timeout=REGEX_S)
    _spend(0, len(made))
    return made


def _regex_findall(value: Any, pattern: str) -> list[str]:
    """All matches of a regular expression (of its first group, where it has one)."""
    found = regex.finditer(pattern, str(value), timeout=REGEX_S)
    return [m.group(1) if m.re.groups else m.group(0) for m in found]


class _Counting(NodeTransformer):
    """Has every loop count its turns, and every ``~`` look at what it would make."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        literal = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        node.iter = _filter(node.iter, " counted", [nodes.Const(literal)])
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes), " joined", [])


def _filter(node: nodes.Node, name: str, arguments: list[nodes.Expr]) -> nodes.Filter:
    return nodes.Filter(
        node,
        name,
        arguments,
        [],
        None,
        None,
    )


class _Environment(ImmutableSandboxedEnvironment):
    # Where their operands are known, Jinja would compute these while it compiles.
    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        counting = _Counting().visit(source)
        counting.set_environment(self)
        for node in counting.find_all(nodes.Node):
            if node.lineno is None:
                node.lineno = 1
        made: str = super()._generate(counting, *args, **kwargs)
        return made

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _spend(_weigh(left) + _weigh(right))
        if operator == "*":
            for many, n in ((left, right), (right, left)):
                if isinstance(n, int) and hasattr(many, "__len__"):
                    _spend(0 if isinstance(many, str) else len(many) * max(n, 0), len(many) * max(n, 0))
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MOST:
                raise TooMuch("a number of so many digits")
        elif isinstance(left, str) and operator == "%":
            _check_format(left)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        # Jinja's sandbox stands in for str.format.
        method = getattr(__obj, "__wrapped__", __obj)
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, str):
            if name == "join" and args:
                _safe_join(owner, args[0])
            elif name == "replace" and len(args) > 1:
                _safe_replace(owner, str(args[0]), str(args[1]))
            elif name in ("format", "format_map"):
                _check_format(owner)
        elif not isinstance(__obj, Macro | LoopContext) and owner is None and __obj not in _GLOBALS:
            raise Unprintable(type(__obj).__name__)
        _check_arguments([*args, *kwargs.values()], generators=name == "join" or __obj is dict)
        return super().call(__context, __obj, *args, **kwargs)


def _environment() -> _Environment:
    made = _Environment(undefined=StrictUndefined, keep_trailing_newline=True, finalize=printable, autoescape=False)
    made.filters |= {"prefix": _prefix, "regex_replace": _regex_replace, "regex_findall": _regex_findall}
    # Other rows at every start are no rows.
    del made.filters["random"], made.globals["lipsum"]
    made.filters = {name: _guarded(name, function) for name, function in made.filters.items()}
    # Names that no template can write.
    made.filters |= {" counted": _counted, " joined": _joined}
    return made


environment = _environment()
_GLOBALS = tuple(environment.globals.values())
