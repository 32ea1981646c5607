"""The harness' templates in a sandbox: they give the harness' text or an error, never another text."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Template
from jinja2.exceptions import SecurityError
from jinja2.sandbox import modifies_known_mutable

from traitscope.config.bounds import budget, room
from traitscope.config.sandbox import TemplateEnvironment, bounded


class _Bounded(Template):
    def render(self, *args: Any, **kwargs: Any) -> str:
        with budget(strict=False):
            return super().render(*args, **kwargs)


def _regex_replace(string: Any, pattern: Any, repl: Any, count: int = 0) -> Any:
    """``lm_eval.utils.regex_replace``, whose text stays bounded."""
    # What is wrong with the pattern or the replacement is told where nothing matches, too.
    re.sub(pattern, repl, string[:0])
    made = 0

    def put(match: re.Match[Any]) -> Any:
        nonlocal made
        text = match.expand(repl)
        made += len(text)
        room(made)
        return text

    return re.sub(pattern, put, string, count=count)


def _at_random(*_: Any, **__: Any) -> Any:
    raise SecurityError("it draws at random, so that a prompt is another one at every start (random, lipsum)")


class _Templates(TemplateEnvironment):
    """The study's own sandbox with the filters of the harness; documents may be changed, as they are there."""

    template_class = _Bounded

    def __init__(self) -> None:
        super().__init__()
        del self.filters["prefix"], self.filters["regex_findall"]
        self.filters |= {"regex_replace": bounded("regex_replace", _regex_replace), "random": _at_random}
        self.globals["lipsum"] = _at_random

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        changes = isinstance(obj, list | dict | set) and modifies_known_mutable(obj, attr)
        return changes or super().is_safe_attribute(obj, attr, value)


templates = _Templates()
