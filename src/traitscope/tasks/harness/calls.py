"""Calls of the harness and of what its tasks bring: quiet, templates in a sandbox, one error for any failure."""

from __future__ import annotations

import contextlib
import io
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import Template, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context

from traitscope.config.bounds import TooMuch, Unprintable, budget, current, plain
from traitscope.config.sandbox import TemplateEnvironment
from traitscope.errors import TraitscopeError
from traitscope.store.hub_errors import NotOnThisDisk, is_lost

Where = Callable[..., str]

_LONGEST = 300


class _Bounded(Template):
    def render(self, *args: Any, **kwargs: Any) -> str:
        with budget():
            return super().render(*args, **kwargs)


@pass_context
def _printed(context: Context, value: Any) -> str:
    text = str(plain(value))
    current.get().step(len(text))
    return text


class _Templates(TemplateEnvironment):
    """The study's own sandbox; lists and missing values are written as the harness writes them."""

    template_class = _Bounded
    strict = False

    def __init__(self) -> None:
        super().__init__()
        self.finalize = _printed


_templates = _Templates()


@contextlib.contextmanager
def _sandboxed() -> Iterator[None]:
    """The templates of a task's YAML run in a sandbox: in the harness' own environment they reach all of Python."""
    from lm_eval import utils

    before = utils.env
    utils.env = _templates
    try:
        yield
    finally:
        utils.env = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The harness prints, logs and shows bars; an outcome of ours is told by us."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets", "evaluate")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        nowhere = io.StringIO()
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def harness_call(doing: str, where: Where, fix: str) -> Iterator[None]:
    """Around every call of the harness, which runs the templates and the Python of its tasks.

    Args:
        doing: what is done, as in "lm-evaluation-harness cannot <doing>".
        where: gives the place of a key below ``lm_eval``.
        fix: what to do where it fails.

    Raises:
        TraitscopeError: as it was raised within; made of whatever else was raised, a ``sys.exit`` too.
    """
    try:
        with _quiet(), _sandboxed():
            yield
    except TraitscopeError:
        raise
    except (Exception, SystemExit) as error:
        text, lost = words(error), is_lost(error)
        if lost:
            fix = "connect to the Hub once (without HF_HUB_OFFLINE), or name a task whose data is on this disk"
        kind = NotOnThisDisk if lost else TraitscopeError
        raise kind(f"lm-evaluation-harness cannot {doing}: {text}", where=where("task"), fix=fix) from error


def words(error: BaseException) -> str:
    """What an error of the harness says; where it says nothing, the function that raised it."""
    text = " ".join(str(error).split())[:_LONGEST]
    if isinstance(error, TooMuch):
        return f"a template {text}"
    if isinstance(error, Unprintable):
        return f"a template uses an object ({text}) where text, a number or a list is due"
    if isinstance(error, SecurityError):
        return f"a template does what templates may not: {text}"
    if isinstance(error, SystemExit):
        return f"its Python ends the process (SystemExit: {text})"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {text}" if text or not frames else f"{type(error).__name__} in {frames[-1].name}"
