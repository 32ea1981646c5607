"""What a harness task is made of, told without importing the harness: its version and the user's own files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from traitscope.config.lm_eval import LmEvalConfig
from traitscope.errors import TraitscopeError

_YAML = (".yaml", ".yml")
# Raised when what is made of a harness task's documents or answers changes.
VERSION = 1


def harness_version(where: str) -> str:
    """The version of lm-evaluation-harness that is installed.

    Raises:
        TraitscopeError: there is none.
    """
    try:
        return version("lm_eval")
    except PackageNotFoundError:
        raise TraitscopeError(
            "a task of lm-evaluation-harness needs lm-eval, which is not installed",
            where=where,
            fix="pip install 'traitscope[lm-eval]'",
        ) from None


def yaml_file(spec: LmEvalConfig, root: Path) -> Path | None:
    """The YAML file that the task is named by; None where it is a name."""
    path = root / Path(spec.task).expanduser()
    return path if path.suffix in _YAML else None


def own_folders(spec: LmEvalConfig, root: Path) -> list[Path]:
    """The folders with tasks of the user's own."""
    return [root / Path(folder).expanduser() for folder in spec.include_path]


def own_files(spec: LmEvalConfig, root: Path) -> dict[str, Path]:
    """Every YAML and Python file of the user's own that the task may be made of, by its name in the study.

    For a YAML file that is named itself these are all of its folder, since it may include them.
    """
    named = yaml_file(spec, root)
    places = own_folders(spec, root) + ([named.parent] if named is not None else [])
    found: dict[str, Path] = {}
    for place in places:
        pattern = "**/*" if place in own_folders(spec, root) else "*"
        for path in sorted(place.glob(pattern)):
            if path.suffix in (*_YAML, ".py") and path.is_file():
                name = path.relative_to(root) if path.is_relative_to(root) else path.relative_to(place)
                found[name.as_posix()] = path
    return found


def data_files(spec: LmEvalConfig, root: Path) -> list[Path]:
    """Files of this disk that the user's own YAML files name as data.

    Relative ones start from the working directory, where the harness looks for them.
    """
    found: dict[Path, None] = {}
    for path in own_files(spec, root).values():
        if path.suffix in _YAML:
            for text in _texts(_content(path, path.stat().st_mtime_ns)):
                named = Path(text)
                if named.is_file():
                    found[named] = None
                elif named.is_dir() and named.parts:
                    found.update(dict.fromkeys(child for child in sorted(named.rglob("*")) if child.is_file()))
    return list(found)


def mark(spec: LmEvalConfig, root: Path, where: str) -> dict[str, Any]:
    """What stands for the task's definition: the harness' version, and the user's own files by their SHA-256.

    Raises:
        TraitscopeError: lm-eval is not installed.
    """
    own = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in own_files(spec, root).items()}
    return {"version": VERSION, "lm_eval": harness_version(where), "files": own}


class _Loader(yaml.SafeLoader):
    """YAML whose tags stand for nothing: ``!function`` is text here."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: str(getattr(node, "value", "")))


@lru_cache(maxsize=256)
def _content(path: Path, changed: int) -> Any:
    try:
        with path.open(encoding="utf-8") as file:
            found = yaml.load(file, Loader=_Loader)
    except (OSError, ValueError, yaml.YAMLError):
        return None  # the harness says what is wrong with it, if it reads it
    return (found or {}).get("dataset_kwargs") if isinstance(found, dict) else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
