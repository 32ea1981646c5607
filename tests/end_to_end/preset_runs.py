"""The papers' presets, and how one goes from ``init`` to ``report`` in a test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

import traitscope
from traitscope.config import StudyConfig, load_config

if TYPE_CHECKING:
    from test_hub import Verbs

PRESETS = Path(traitscope.__file__).parent / "presets"
PAPERS = ("latent-traits", "layer-by-layer")
ALL = tuple(name + small for name in PAPERS for small in ("", "-small"))


def preset(name: str) -> StudyConfig:
    """A preset as it ships."""
    return load_config(PRESETS / f"{name}.yaml")


def shortened(file: Path, rows: int = 8, generated: int = 6) -> list[str]:
    """A preset's settings, short enough for a test and steep enough that a tiny model answers otherwise behind it."""
    changes = ["base.dtype=fp32", "recipe.lr=0.03", "recipe.epochs=3", "recipe.batch=4", f"layers.examples={rows}"]
    changes += ["compute.device=cpu", "compute.threads=1", "compute.workers=1"]
    for name, task in yaml.safe_load(file.read_text())["tasks"].items():
        data = task["data"]
        parts = data.get("splits", data.get("files"))
        changes += [f"tasks.{name}.data.{part}={rows}" for part in ("train", "eval") if part in parts or part in data]
        if "generate" in task["answer"]:
            changes.append(f"tasks.{name}.answer.generate.max_tokens={generated}")
    return [part for change in changes for part in ("--set", change)]


def filled(verbs: Verbs, folder: Path, name: str, *more: str) -> Path:
    """The run folder of a preset that went from ``init`` to ``report``, with ``more`` of its keys changed."""
    file = folder / "study.yaml"
    paper, few = name.removesuffix("-small"), ["--small"] if name.endswith("-small") else []
    assert verbs("init", file, "--preset", paper, *few)[0] == 0
    changes = [*shortened(file), *(part for change in more for part in ("--set", change))]
    for verb, *arguments in (
        ["check", file, "--no-prompts", *changes],
        ["run", file, "--limit", "8", *changes],
        ["traits", folder / "runs" / name, "--rows", "all", "--own", "include"],
        ["layers", folder / "runs" / name],
        ["report", folder / "runs" / name],
    ):
        status, _, err = verbs(verb, *arguments)
        assert status == 0, f"{verb}: {err}"
    return folder / "runs" / name
