"""``lock.json``: the exact versions, revisions and fingerprints a run folder was filled with."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitscope._version import __version__
from traitscope.compute.software import packages
from traitscope.config import StudyConfig
from traitscope.store.checked import sha256_of
from traitscope.store.fingerprints import model_files
from traitscope.store.models import Identity
from traitscope.study.data import StudyData
from traitscope.study.hub_pins import dataset_entry
from traitscope.study.state import Units
from traitscope.study.units import component_versions


def make_lock(
    config: StudyConfig, units: Units, data: StudyData, text: bytes, rows: Mapping[str, str]
) -> dict[str, Any]:
    """The lock of a study on this machine; it holds no times and no paths but those the study file names.

    Args:
        text: the study file's. rows: SHA-256 of ``tasks/<task>.parquet``, by task.
    """
    models = {"base": units.base, **{name: other for name, other in units.identities.items() if not other.adapter}}
    return {
        "study": config.study,
        "study_file": sha256_of(text),
        "traitscope": __version__,
        "python": platform.python_version(),
        "packages": packages(),
        "date": data.day.isoformat(),
        "dated": sorted(name for name, identity in models.items() if data.printed_day(name, identity.source())),
        "base": units.base.to_json(),
        "models": {name: identity.to_json() for name, identity in units.identities.items()},
        "files": {name: _files(identity) for name, identity in models.items()},
        "tasks": {
            name: {**data.marks(name), "sha256": rows[name], **dataset_entry(task.data, data.commit(name))}
            for name, task in config.tasks.items()
        },
        "recipe": config.recipe.model_dump(mode="json"),
        "results": component_versions(config, data.formats()),
        "adapters": {unit.name: unit.fingerprint for unit in units.adapters},
    }


def changed_files(old: dict[str, Any], units: Units) -> list[str]:
    """Which files of local models differ from those that the lock knows: ``base: tokenizer_config.json``."""
    lines = []
    for name, before in old.get("files", {}).items():
        identity = units.base if name == "base" else units.identities.get(name)
        if identity is not None and before and (now := _files(identity)):
            changed = sorted(file for file in {*before, *now} if before.get(file) != now.get(file))
            lines += [f"{name}: the file {file} of {identity.model}" for file in changed]
    return lines


def _files(identity: Identity) -> dict[str, str] | None:
    """SHA-256 of the files of a local model; None for a Hub model, which its commit names."""
    target = identity.source().resolved()
    return model_files(target) if isinstance(target, Path) else None


def changed_packages(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs in the software, for a note: results then agree to rounding, not to the bit."""
    before = {"traitscope": old.get("traitscope"), **old.get("packages", {})}
    after = {"traitscope": new["traitscope"], **new["packages"]}
    return [f"{name} {before.get(name)} -> {after[name]}" for name in after if before.get(name) != after[name]]
