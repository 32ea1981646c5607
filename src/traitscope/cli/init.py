"""``traitscope init``: a commented study file to start from, or one of the papers' studies."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from traitscope.cli.common import JsonOption, friendly, refuse_unused
from traitscope.cli.completion import preset_names
from traitscope.cli.matrixfile import STUDY_ENDINGS
from traitscope.cli.output import say, say_json
from traitscope.errors import TraitscopeError

PLAIN, SMALL = "study", "-small"


@friendly
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.yaml"),
    preset: Annotated[
        str,
        typer.Option(metavar="NAME", help="Which study; --list names them.", autocompletion=preset_names),
    ] = PLAIN,
    small: Annotated[bool, typer.Option("--small", help="A paper's study on ten tasks and a small base.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the presets and write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a commented study file that runs as it stands, on the built-in base and three built-in tasks.

    `--preset latent-traits` and `--preset layer-by-layer` write the two papers' studies, with models and datasets of
    the Hub; `--small` their small variants.
    """
    if listed:
        given = [(path != Path("study.yaml"), "PATH"), (preset != PLAIN, "--preset"), (small, "--small")]
        refuse_unused([*given, (force, "--force")], "nothing is written with --list")
        _list(json=json)
        return
    from traitscope.store import put_if_absent, write_atomic

    text = _text(preset, small=small)
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


def _text(preset: str, *, small: bool) -> bytes:
    from importlib.resources import files

    from traitscope.registry import did_you_mean

    known = sorted(preset_names(""))
    with_small = [name for name in known if name + SMALL in known]
    if preset not in known:
        raise TraitscopeError(
            f"there is no preset {preset!r}", where="--preset", fix=did_you_mean(preset, known) + " (init --list)"
        )
    if small and preset not in with_small:
        what = f"the preset {preset} has no small variant" if preset != PLAIN else "small is for a preset"
        raise TraitscopeError(what, where="--small", fix=f"add --preset {' or '.join(with_small)}, or leave it out")
    name = preset + SMALL if small else preset
    return files("traitscope").joinpath(f"presets/{name}.yaml").read_bytes()


def _list(*, json: bool) -> None:
    from traitscope.cli.listing import rows_text

    rows = list(_rows())
    if json:
        say_json(rows)
    else:
        say(rows_text(rows))


def _rows() -> Iterator[dict[str, Any]]:
    """Every preset: its name, what it is, its base, how many of what."""
    from importlib.resources import files

    from traitscope.config import load_config

    for name in preset_names(""):
        path = Path(str(files("traitscope").joinpath(f"presets/{name}.yaml")))
        config = load_config(path)
        first = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        recipes = [source.recipe for source in config.resolved_sources()]
        recipes += [config.recipe.changed(mix.change) for mix in config.mixes.values()]
        yield {
            "preset": name,
            "what": re.split("[:.]", first)[0],
            "base": config.base.model,
            "targets": len(config.target_names()),
            "adapters": sum(len(recipe.seeds) for recipe in recipes),
            "of_the_hub": sum(task.data.hub is not None for task in config.tasks.values()),
        }
