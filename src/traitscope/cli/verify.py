"""``traitscope verify``: every file of a run folder against the hash that was recorded of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from traitscope.cli.common import DEFAULT_STUDY, JsonOption, OutOption, friendly, open_study
from traitscope.cli.output import say, say_json


@friendly
def verify(
    study: Annotated[Path, typer.Argument(help="A run folder, or a study file.", metavar="STUDY")] = DEFAULT_STUDY,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Read all of a run folder and name every damage; exit status 1 if there is any.

    Nothing is changed. `traitscope run` puts what is damaged under quarantine/ and makes it anew.
    """
    from traitscope.store import RunFolder
    from traitscope.study.adopting import is_of_several
    from traitscope.study.healing import verify as find
    from traitscope.study.healing import verify_whole

    # A folder is read as it is: its study file may be what is damaged.
    folder = RunFolder(study) if study.is_dir() and out is None else open_study(study, out, quiet=True)[0].folder
    found = verify_whole(folder) if is_of_several(folder) else find(folder)
    if json:
        say_json([asdict(damage) for damage in found])
    else:
        for damage in found:
            say(f"{damage.path}: {damage.what} ({damage.heals})")
        say(f"{folder.root}: {len(found) or 'no'} damage{'s' if len(found) > 1 else ''}", err=True)
    raise typer.Exit(bool(found))
