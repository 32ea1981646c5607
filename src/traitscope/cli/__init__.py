"""The command line: one short file per verb. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import typer

from traitscope.cli.belt import belt
from traitscope.cli.check import check
from traitscope.cli.demo import demo
from traitscope.cli.effects import effects
from traitscope.cli.evaluate import evaluate
from traitscope.cli.init import init
from traitscope.cli.layers import layers
from traitscope.cli.ls import ls
from traitscope.cli.plan import plan
from traitscope.cli.predict import predict
from traitscope.cli.report import report
from traitscope.cli.run import run
from traitscope.cli.stats import stats
from traitscope.cli.train import train
from traitscope.cli.traits import traits
from traitscope.cli.verify import verify

app = typer.Typer(
    name="traitscope",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which dataset helps which task, what else it changes, why, and in which layers of the model.",
    epilog="A study is a study file, or the run folder that it filled. `traitscope demo` shows all of it.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from traitscope._version import __version__

        typer.echo(f"traitscope {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


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
    stats,
    predict,
    belt,
    layers,
    report,
    ls,
    verify,
):
    app.command("eval" if _verb is evaluate else None)(_verb)


def main() -> None:
    """Entry point of the ``traitscope`` command."""
    app()


__all__ = ["app", "main"]
