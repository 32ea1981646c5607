"""``traitscope verify``: every file of a run folder against the hash that was recorded of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, friendly, open_study


@friendly
def verify(
    study: Annotated[Path, typer.Argument(help="A run folder, or a study file.", metavar="STUDY")] = DEFAULT_STUDY,
    out: OutOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read all of a run folder and name every damage; exit status 1 if there is any.

    Nothing is changed. `traitscope run` puts what is damaged under quarantine/ and makes it anew.
    """
    from traitscope.store import RunFolder
    from traitscope.study.healing import verify as find

    # A folder is read as it is: its study file may be what is damaged.
    folder = RunFolder(study) if study.is_dir() and out is None else open_study(study, out, quiet=True)[0].folder
    found = find(folder)
    if as_json:
        typer.echo(json.dumps([asdict(damage) for damage in found], indent=1, ensure_ascii=False))
    else:
        for damage in found:
            typer.echo(f"{damage.path}: {damage.what} ({damage.heals})")
        typer.echo(f"{folder.root}: {len(found) or 'no'} damage{'s' if len(found) > 1 else ''}", err=True)
    raise typer.Exit(bool(found))
