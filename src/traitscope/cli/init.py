"""``traitscope init``: a commented study file to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from traitscope.cli.common import JsonOption, friendly
from traitscope.cli.matrixfile import STUDY_ENDINGS
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
    if path.suffix.lower() not in STUDY_ENDINGS and not path.is_dir():
        fix = f"name it {path.with_suffix('.yaml').name}, say"
        raise TraitscopeError("a study file ends in .yaml or .yml", where=str(path), fix=fix)
    if path.is_dir():
        raise TraitscopeError("is a folder", where=str(path), fix=f"name the file: {path / 'study.yaml'}")
    if force:
        write_atomic(path, text)
    elif not put_if_absent(path, text):
        raise TraitscopeError("is there already", where=str(path), fix="name another file, or add --force")
    if json:
        say_json({"written": str(path)})
    else:
        typed = shlex.quote(str(path))
        say(f"{path} written; `traitscope check {typed}` validates it, `traitscope run {typed}` fills its folder")
