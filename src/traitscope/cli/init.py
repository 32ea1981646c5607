"""``traitscope init``: a commented study file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from traitscope.cli.common import JsonOption, friendly
from traitscope.cli.output import say, say_json
from traitscope.errors import TraitscopeError


@friendly
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a commented study file that runs as it stands, on the built-in base and three built-in tasks."""
    from importlib.resources import files

    from traitscope.store import put_if_absent, write_atomic

    text = files("traitscope").joinpath("presets/study.yaml").read_bytes()
    if path.is_dir():
        raise TraitscopeError("is a folder", where=str(path), fix=f"name the file: {path / 'study.yaml'}")
    if force:
        write_atomic(path, text)
    elif not put_if_absent(path, text):
        raise TraitscopeError("is there already", where=str(path), fix="name another file, or add --force")
    if json:
        say_json({"written": str(path)})
    else:
        say(f"{path} written; `traitscope check {path}` validates it, `traitscope run {path}` fills its folder")
