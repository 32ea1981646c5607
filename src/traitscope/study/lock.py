"""``lock.json``: the exact versions, revisions and fingerprints a run folder was filled with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from traitscope._version import __version__
from traitscope.config import StudyConfig
from traitscope.study.data import StudyData
from traitscope.study.state import Units
from traitscope.study.units import component_versions

FORMAT = 1
PACKAGES = ("torch", "transformers", "tokenizers", "peft", "safetensors", "datasets", "numpy", "pyarrow")


def make_lock(config: StudyConfig, units: Units, data: StudyData) -> dict[str, Any]:
    """The lock of a study on this machine; it holds no times and no paths but those the study file names."""
    return {
        "format": FORMAT,
        "study": config.study,
        "traitscope": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "base": units.base.to_json(),
        "models": {name: identity.to_json() for name, identity in units.identities.items()},
        "tasks": {name: data.marks(name) for name in config.tasks},
        "results": component_versions(config, data.formats()),
        "adapters": {unit.name: unit.fingerprint for unit in units.adapters},
    }


def changed_packages(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs in the software, for a note: results then agree to rounding, not to the bit."""
    before = {"traitscope": old.get("traitscope"), **old.get("packages", {})}
    after = {"traitscope": new["traitscope"], **new["packages"]}
    return [f"{name} {before.get(name)} -> {after[name]}" for name in after if before.get(name) != after[name]]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
