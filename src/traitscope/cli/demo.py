"""``traitscope demo``: the embedded study from start to report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from traitscope.cli.common import JsonOption, QuietOption, SetOption, friendly, working
from traitscope.cli.output import say
from traitscope.errors import TraitscopeError

if TYPE_CHECKING:
    from traitscope.config import StudyConfig

PRESETS = Path(__file__).parents[1] / "presets"
BUILT_IN = "embedded"
REAL = "smollm2-135m"


@friendly
def demo(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run folder. [default: runs/demo, runs/demo-full, ...]")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Two seeds, more rows on both sides.")] = False,
    base: Annotated[
        str, typer.Option("--base", help="Another model: smollm2-135m, a folder, a GGUF file or a Hub id.")
    ] = BUILT_IN,
    changes: SetOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """The embedded study, start to report: ten generated tasks on a small built-in model, without a network.

    Run again it takes seconds and computes nothing. On another model (--base) it has fewer rows: with smollm2-135m, a
    real one of 135 million parameters, two cores take about 25 minutes.
    """
    from traitscope.cli.run import fill

    if full and base != BUILT_IN:
        raise TraitscopeError("--full is for the embedded base", fix="leave out --full or --base")
    name = f"demo-{_plain(base)}" if base != BUILT_IN else "demo-full" if full else "demo"
    source = PRESETS / f"{name}.yaml" if base in (BUILT_IN, REAL) else _on(base, name)
    opened = fill(
        source,
        out or Path("runs") / name,
        quiet,
        lambda study, stop: study.run(stop=stop),
        changes=changes,
        json=json,
    )
    with working(opened.report_to):
        page = opened.report()
    say(page, wrap=False, err=json)


def _on(base: str, name: str) -> StudyConfig:
    """The real model's study on another one; a relative path starts from the working directory."""
    from traitscope.config import StudyConfig
    from traitscope.config.yamlfile import read_yaml
    from traitscope.store.models import locate

    study, _ = read_yaml(PRESETS / f"demo-{REAL}.yaml")
    return StudyConfig(**{**study, "study": name, "base": str(locate(base))})


def _plain(base: str) -> str:
    """The last part of a model's name, as a study may be called."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(base).name).strip("-.") or "model"
