"""The Jinja environment of templates: only text and numbers come out of it, in bounded time and size."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, wraps
from typing import Any

import regex
from jinja2 import StrictUndefined, nodes, pass_context, pass_eval_context
from jinja2.filters import do_join, make_attrgetter
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEscapeFormatter, SandboxedFormatter
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from traitscope.config.bounds import (
    MOST_BITS,
    MOST_ITEMS,
    Lazy,
    TooMuch,
    check_call,
    check_percent,
    check_width,
    current,
    drained,
    measured,
    plain,
    printable,
    room,
)

# Filters that would write out whatever they are given.
_OF_TEXT = {
    *("string", "upper", "lower", "trim", "replace", "title", "capitalize", "center", "escape", "e", "forceescape"),
    *("safe", "indent", "truncate", "wordcount", "wordwrap", "striptags", "urlize", "regex_findall", "pprint"),
}
# Values of Jinja's own that may be called and handed on, but neither printed nor put into lists.
_OPAQUE = (Namespace, Cycler, Joiner, Macro, LoopContext)
# Methods of text, lists and mappings that take all that an iterator gives.
_TAKING = {"join", "extend", "update"}


def bounded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that takes and gives plain values only; text is made of what may be printed."""
    first = 1 if hasattr(call, "jinja_pass_arg") else 0

    @wraps(call)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        current.get().step()
        given = [plain(a) for a in (*args[first:], *kwargs.values())]
        of = given[0] if given else None
        if name in _OF_TEXT:
            of = str(printable(of))
            for value in given[1:3] if name == "replace" else ():
                printable(value)
        check_call(name, of, tuple(given[1:]))
        out = call(*args, **kwargs)
        # A method is checked where it is called.
        return out if name == "attr" and callable(out) else plain(drained(out))

    return filtered


@pass_context
def _finalize(context: Context, value: Any) -> Any:
    text = str(printable(value))
    current.get().step(len(text))
    return text


def _each(items: Iterable[Any]) -> Iterator[Any]:
    used = current.get()
    for item in items:
        used.step()
        yield item


def _static(text: str) -> str:
    current.get().step(len(text))
    return text


class _Guards(NodeTransformer):
    """Puts the guards into a template: around what is looped over, built, joined and written again and again."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _guard(node.iter, "_each")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [_guard(part, "_printable") for part in node.nodes]
        return _guard(node, "_plain")

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [
            _guard(nodes.Const(n.data), "_static") if isinstance(n, nodes.TemplateData) else n for n in node.nodes
        ]
        return node

    def _built(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        return node if getattr(node, "ctx", "load") != "load" else _guard(node, "_plain")

    visit_List = visit_Tuple = visit_Dict = _built


def _guard(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with bounds; nothing is worked out before a row is there."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            finalize=_finalize,
            autoescape=False,
            optimized=False,
        )
        # Another text at every start.
        del self.filters["random"], self.globals["lipsum"]
        self.filters |= {"regex_replace": _regex_replace, "regex_findall": _regex_findall, "prefix": _prefix}
        self.filters["join"] = _join
        self.filters = {name: bounded(name, call) for name, call in self.filters.items()}
        self.filters |= {"_each": _each, "_static": _static, "_plain": plain, "_printable": printable}

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        guarded = _Guards().visit(source)
        guarded.set_environment(self)
        return super()._generate(guarded, *args, **kwargs)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr not in ("translate", "to_bytes", "from_bytes") and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if super().wrap_str_format(value) is None:
            return None
        text: str = value.__self__

        def formatted(*args: Any, **kwargs: Any) -> str:
            if value.__name__ == "format_map":
                args, kwargs = (), *args
            given = {key: plain(v) for key, v in kwargs.items()}
            return type(text)(_formatter(self, text).vformat(text, tuple(map(plain, args)), given))

        return formatted

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        current.get().step()
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            if left.bit_length() * max(right, 0) > MOST_BITS:
                raise TooMuch("makes a number of more than 19,000 digits")
        elif operator == "*":
            for many, times in ((left, right), (right, left)):
                if hasattr(many, "__len__") and isinstance(times, int):
                    room(len(many) * times)
                    if not isinstance(many, str | bytes) and len(many) * times > MOST_ITEMS:
                        raise TooMuch(f"makes a list of more than {MOST_ITEMS:,} items")
        elif operator == "%" and isinstance(left, str):
            check_percent(left, right if isinstance(right, tuple) else (right,))
            plain(right)
        return plain(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        current.get().step()
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if name in _TAKING:
            args = tuple(list(given) if isinstance(given, Lazy) else given for given in args)
        size = sum(measured(given) for given in (*args, *kwargs.values()) if not isinstance(given, _OPAQUE))
        if isinstance(owner, list | dict | set):
            # It may keep what it is given.
            current.get().step(size)
        check_call(name, owner, args)
        try:
            out = drained(super().call(__context, __obj, *args, **kwargs))
        except OverflowError as error:
            # Jinja's own bound of range().
            raise TooMuch(f"goes too far: {error}") from None
        return out if isinstance(out, _OPAQUE) else plain(out)


class _Bounded(SandboxedFormatter):
    """``str.format`` with the widths as they are once what stands inside them has been put in."""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return super().convert_field(printable(value), conversion)

    def format_field(self, value: Any, format_spec: str) -> str:
        check_width(format_spec)
        made = super().format_field(value, format_spec)
        current.get().step(len(made))
        return made


class _BoundedEscaping(_Bounded, SandboxedEscapeFormatter):
    pass


def _formatter(environment: TemplateEnvironment, text: str) -> SandboxedFormatter:
    return _BoundedEscaping(environment, escape=text.escape) if isinstance(text, Markup) else _Bounded(environment)


@pass_eval_context
def _join(context: Any, value: Any, d: Any = "", attribute: Any = None) -> str:
    """Jinja's ``join``, of items that may be printed."""
    if attribute is not None:
        value = map(make_attrgetter(context.environment, attribute), value)
    items = [printable(item) for item in value]
    room(len(items) * len(str(printable(d))))
    return do_join(context, items, d)


def _prefix(value: Any, text: str) -> Any:
    """Puts ``text`` before a value, or before every item of a list."""
    if isinstance(value, list | tuple):
        room(len(value) * len(text))
        return [f"{text}{printable(v)}" for v in value]
    return f"{text}{printable(value)}"


@lru_cache(maxsize=256)
def _pattern(text: str) -> Any:
    # The library writes counted repeats out, each inside the other.
    counts = [int(n[-9:]) for n in re.findall(r"\{(?:\d*,)?(\d+)\}", text)]
    if len(text) > 5_000 or math.prod(counts) > 100_000:
        raise TooMuch("holds a regular expression that is too large: shorten it or its {counted} repeats")
    try:
        return regex.compile(text)
    except RecursionError:
        raise TooMuch("holds a regular expression that is nested too deep") from None


def _matching(pattern: str, call: Callable[[Any, float], Any]) -> Any:
    try:
        return call(_pattern(pattern), min(1.0, current.get().left()))
    except (TimeoutError, MemoryError):
        raise TooMuch(f"holds a regular expression that takes too long on this text: {pattern[:80]!r}") from None


def _regex_replace(value: Any, pattern: str, replacement: str = "") -> Any:
    """Replaces a regular expression in a text, or in every item of a list."""
    if isinstance(value, list | tuple):
        return [_regex_replace(v, pattern, replacement) for v in value]
    made = 0

    def put(match: Any) -> str:
        nonlocal made
        text: str = match.expand(replacement)
        made += len(text)
        room(made)
        return text

    return _matching(pattern, lambda p, seconds: p.sub(put, str(printable(value)), timeout=seconds))


def _regex_findall(value: Any, pattern: str) -> list[str]:
    """All matches of a regular expression (of its first group, where it has one)."""
    found = _matching(pattern, lambda p, seconds: list(p.finditer(str(printable(value)), timeout=seconds)))
    return [m.group(1) if m.re.groups else m.group(0) for m in found]
