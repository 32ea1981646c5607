"""What a shell completes: study files and the names that stand in them. Only YAML is read, nothing is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer


def study_files(incomplete: str) -> Iterator[str]:
    """Study files, matrix files and folders that begin so."""
    # As a shell has it: what is completed keeps its ~.
    home = str(Path.home()) if incomplete.startswith("~/") else ""
    typed = Path(home + incomplete[1:] if home else incomplete)
    parent = typed if incomplete.endswith("/") else typed.parent
    for path in sorted(parent.glob("*")) if parent.is_dir() else ():
        shown = str(path) + ("/" if path.is_dir() else "")
        shown = f"~{shown[len(home) :]}" if home else shown
        if shown.startswith(incomplete) and (
            path.is_dir() or path.suffix in (".yaml", ".yml", ".csv", ".tsv", ".parquet")
        ):
            yield shown


def tasks_of(ctx: typer.Context, incomplete: str) -> list[str]:
    """Tasks of the study that stands on the command line."""
    return _begin(list(_mapping(_study(ctx), "tasks")), incomplete)


def models_of(ctx: typer.Context, incomplete: str) -> list[str]:
    """The rows of its matrix: the base, sources with their seeds, mixes, further models."""
    study = _study(ctx)
    named = study.get("sources")
    entries = (
        named if isinstance(named, list) else [name for name, task in _mapping(study, "tasks").items() if _trains(task)]
    )
    sources = [str(one.get("name")) if isinstance(one, dict) else str(one) for one in entries]
    controls = _mapping(study, "controls")
    sources = [one for name in sources for one in (name, *(f"{name}.{c}" for c in _listed(controls.get(name))))]
    seeds = _mapping(study, "recipe").get("seeds", [0])
    trained = [*sources, *_mapping(study, "mixes")]
    rows = [f"{name}-s{seed}" for name in trained for seed in (seeds if isinstance(seeds, list) else [0])]
    return _begin(["base", *rows, *_mapping(study, "models")], incomplete)


def preset_names(incomplete: str) -> list[str]:
    """The study files that ship with traitscope."""
    from importlib.resources import files

    found = (file.name for file in files("traitscope").joinpath("presets").iterdir())
    return sorted(name[:-5] for name in found if name.endswith(".yaml") and name.startswith(incomplete))


def words(*choices: str) -> Callable[[str], list[str]]:
    """What completes an option that takes one of some words, or several with commas."""
    return lambda incomplete: _begin(list(choices), incomplete)


def _trains(task: Any) -> bool:
    """Whether a task of a study file has rows to train on."""
    data = _mapping(task if isinstance(task, dict) else {}, "data")
    parts = [found for key in ("path", "splits", "files") if (found := _mapping(data, key))]
    return data.get("train") != 0 and all("train" in part for part in parts)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _begin(names: list[str], incomplete: str) -> list[str]:
    """Those that begin like what stands behind the last comma."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in map(str, names) if str(name).startswith(last)]


def _study(ctx: Any) -> dict[str, Any]:
    import yaml

    given = ctx.params.get("study") or ctx.params.get("source") or "study.yaml"
    path = Path(given)
    path = path / "study.yaml" if path.is_dir() else path
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _mapping(study: dict[str, Any], key: str) -> dict[str, Any]:
    found = study.get(key)
    return found if isinstance(found, dict) else {}
