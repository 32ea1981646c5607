"""The command line: one short file per verb. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from traitscope.cli.belt import belt
from traitscope.cli.check import check
from traitscope.cli.compare import compare
from traitscope.cli.demo import demo
from traitscope.cli.effects import effects
from traitscope.cli.evaluate import EvalVerb, evaluate
from traitscope.cli.init import init
from traitscope.cli.layers import layers
from traitscope.cli.ls import ls
from traitscope.cli.output import say
from traitscope.cli.parsing import Verb, Verbs
from traitscope.cli.plan import plan
from traitscope.cli.predict import predict
from traitscope.cli.push import push
from traitscope.cli.report import report
from traitscope.cli.run import run
from traitscope.cli.stats import stats
from traitscope.cli.train import train
from traitscope.cli.traits import traits
from traitscope.cli.verify import verify
from traitscope.cli.view import view

app = typer.Typer(
    name="traitscope",
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which dataset helps which task, what else it changes, why, and in which layers of the model.",
    epilog="A study is a study file, or the run folder that it filled. `traitscope demo` shows all of it.",
)

VERBOSE = "TRAITSCOPE_VERBOSE"
# What the libraries read when they are imported; their bars and warnings would break ours.
SILENCE = {
    "DATASETS_VERBOSITY": "error",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def _version(wanted: bool) -> None:
    if wanted:
        from traitscope._version import __version__

        say(f"traitscope {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    verbose: bool = typer.Option(False, "--verbose", help="Show what the libraries say as well."),
) -> None:
    if verbose:
        os.environ[VERBOSE] = "1"
    if not os.environ.get(VERBOSE):
        for name, value in SILENCE.items():
            os.environ.setdefault(name, value)


for _verb in (
    demo,
    init,
    check,
    plan,
    run,
    train,
    evaluate,
    traits,
    effects,
    compare,
    stats,
    predict,
    belt,
    layers,
    report,
    view,
    ls,
    verify,
    push,
):
    if _verb is evaluate:
        app.command("eval", cls=EvalVerb)(_verb)
    else:
        app.command(cls=Verb)(_verb)


def main() -> None:
    """Entry point of the ``traitscope`` command."""
    import gc
    import logging
    import warnings

    # A hundred thousand cells are no garbage: looking through them again and again takes two fifths of the time.
    gc.set_threshold(200_000, 50, 100)
    _open_streams()
    shown = warnings.showwarning

    def show(*args: Any, **kwargs: Any) -> None:
        if os.environ.get(VERBOSE):
            shown(*args, **kwargs)

    warnings.showwarning = show
    # Else what a library logs without a handler of its own goes to standard error.
    logging.lastResort = logging.NullHandler()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app()


def _open_streams() -> None:
    """Puts nothing in the place of a standard stream that whoever started this closed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest number that is free: the stream's own, unless a file took it, so that no later file does.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


__all__ = ["app", "main"]
