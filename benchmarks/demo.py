"""The embedded study at a benchmark's size: the demo's ten tasks and recipe, fewer rows, no mix, control or layers."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml

from traitscope.config import StudyConfig, load_config
from traitscope.tasks.task import Task


def write_study(
    folder: Path, *, train_share: float = 1.0, n_eval: int | None = None, epochs: int | None = None
) -> Path:
    """Write a reduced copy of the demo's study file: that share of every train split, ``n_eval`` evaluation rows."""
    study = yaml.safe_load(files("traitscope").joinpath("presets/demo.yaml").read_text(encoding="utf-8"))
    for key in ("controls", "mixes", "layers"):
        study.pop(key, None)
    study["base"] = {"model": "embedded", "dtype": "fp32"}
    for task in study["tasks"].values():
        task["data"]["train"] = max(8, round(train_share * task["data"]["train"]))
        if n_eval is not None:
            task["data"]["eval"] = n_eval
    if epochs is not None:
        study["recipe"]["epochs"] = epochs
    # One process on each side of a comparison.
    study["compute"] = {"device": "cpu", "workers": 1}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def read_study(path: Path) -> tuple[StudyConfig, dict[str, Task]]:
    """The configuration and its tasks."""
    config = load_config(path)
    return config, {name: Task(name, task, config.root) for name, task in config.tasks.items()}
