"""``traitscope view``: the report as a live page, while the run goes on."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    BaseOption,
    OutOption,
    SetOption,
    StudyArgument,
    friendly,
    open_study,
    split_names,
)
from traitscope.cli.matrixfile import is_matrix
from traitscope.cli.output import say
from traitscope.errors import TraitscopeError


@friendly
def view(
    study: StudyArgument = DEFAULT_STUDY,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="The port. [default: a free one]", metavar="N")
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser; the address is printed.")] = False,
    out: OutOption = None,
    bases: BaseOption = None,
    changes: SetOption = None,
) -> None:
    """Serve the report as a live page, on this machine alone: progress, losses and cells as they land, every example.

    It may be started before the run, and beside it. Whoever has the printed address can read the page; nothing in it
    changes the study. Ctrl-C ends it.
    """
    from traitscope.study import BasesStudy, Study
    from traitscope.view import serve
    from traitscope.view.serving import check_extra

    check_extra()
    if is_matrix(study):
        what, fix = "is a matrix file: there is no run to look on", f"traitscope report {study} writes its report"
        if study.suffix.lower() in (".html", ".htm"):
            what, fix = "is a page, and needs no server", "open it in a browser; or name the study, or its run folder"
        raise TraitscopeError(what, where=str(study), fix=fix)
    first, _ = open_study(study, out, quiet=True, changes=changes, bases=bases, without_models=True)
    names = split_names(bases, "--base")

    def told(address: str) -> None:
        say(address, wrap=False)
        say("Ctrl-C ends it.", err=True)
        if not no_open:
            _open(address)

    def opened() -> Study:
        found = Study.open(study, out, changes=changes or ())
        return found.only(names) if names is not None and isinstance(found, BasesStudy) else found

    serve(opened, first, port, told)
    # A look, or an answer, is left in its middle: where its thread is in C++, Python's own end would abort the process,
    # and take a second or two to look through all that the libraries hold.
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def _open(address: str) -> None:
    """Opens the address in the user's browser, where there is one; it is not waited for."""
    import threading
    import webbrowser

    def go() -> None:
        try:
            webbrowser.open(address)
        except (webbrowser.Error, OSError):
            return

    threading.Thread(target=go, name="traitscope-browser", daemon=True).start()
