"""Calls of the harness and of what its tasks bring: quiet, templates in a sandbox, one error for any failure."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import traceback
import warnings
from collections.abc import Callable, Iterator

from jinja2.exceptions import SecurityError

from traitscope.config.bounds import TooMuch, Unprintable
from traitscope.errors import TraitscopeError
from traitscope.store.hub_errors import NotOnThisDisk, is_lost
from traitscope.tasks.harness.templates import templates

Where = Callable[..., str]

_LONGEST = 300
_SANDBOX = (
    "templates of a task run in a sandbox (docs/lm-eval.md); write it as Python beside the YAML file, "
    "doc_to_text: !function file.name"
)


@contextlib.contextmanager
def _sandboxed() -> Iterator[None]:
    """The templates of a task's YAML run in a sandbox: in the harness' own environment they reach all of Python."""
    from lm_eval import utils

    before = utils.env
    utils.env = templates
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

    Whatever of its Python changes the working folder, it is the same afterwards: paths of the study start from it.

    Args:
        doing: what is done, as in "lm-evaluation-harness cannot <doing>".
        where: gives the place of a key below ``lm_eval``.
        fix: what to do where it fails.

    Raises:
        TraitscopeError: as it was raised within; made of whatever else was raised, a ``sys.exit`` too, but for
            a KeyboardInterrupt.
    """
    try:
        with contextlib.chdir(os.curdir), _quiet(), _sandboxed():
            yield
    except (TraitscopeError, KeyboardInterrupt):
        raise
    except BaseException as error:
        # A task's Python may end the process, and raise errors of a kind of its own.
        text, lost = words(error), is_lost(error)
        if isinstance(error, TooMuch | Unprintable | SecurityError):
            fix = _SANDBOX
        elif lost:
            fix = "connect to the Hub once (without HF_HUB_OFFLINE), or name a task whose data is on this disk"
        kind = NotOnThisDisk if lost else TraitscopeError
        raise kind(f"lm-evaluation-harness cannot {doing}: {text}", where=where("task"), fix=fix) from error


def words(error: BaseException) -> str:
    """What an error of the harness says; where it says nothing, the function that raised it."""
    text = " ".join(str(error).split())[:_LONGEST]
    if isinstance(error, TooMuch):
        return f"a template {text}"
    if isinstance(error, Unprintable) and error.kind == "generator":
        return "a template writes a generator (of map, select, reverse and the like), and no text: add |list or |join"
    if isinstance(error, Unprintable):
        return f"a template uses an object ({text}) where text, a number or a list is due"
    if isinstance(error, SecurityError):
        return f"a template does what templates may not: {text}"
    if isinstance(error, SystemExit):
        return f"its Python ends the process (SystemExit: {text})"
    frames = traceback.extract_tb(error.__traceback__)
    kind = type(error).__name__
    if not frames:
        return f"{kind}: {text}"
    if isinstance(error, LookupError) and frames[-1].line:
        # Its own words do not say what was looked up.
        return f"{kind}: {text} (in {frames[-1].name}: {frames[-1].line})"
    return f"{kind}: {text}" if text else f"{kind} in {frames[-1].name}"
