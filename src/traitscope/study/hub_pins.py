"""What of the Hub a run folder holds on to in ``lock.json``: commits of datasets, and new names of repositories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from traitscope.config import DataConfig, StudyConfig
from traitscope.store.hub_files import is_commit, moved_to


def dataset_entry(data: DataConfig, commit: str | None) -> dict[str, Any]:
    """What ``lock.json`` holds of a task's Hub dataset; nothing for rows from elsewhere."""
    if data.hub is None:
        return {}
    entry = {"id": data.hub, "asked": data.revision, "commit": commit}
    moved = moved_to(data.hub, "dataset")
    return {"hub": {**entry, "moved_to": moved} if moved else entry}


def pinned_datasets(config: StudyConfig, lock: Mapping[str, Any]) -> dict[str, str]:
    """The commits of Hub datasets that the lock holds, by task; where the study asks for the same ones still."""
    found = {}
    for name, task in config.tasks.items():
        entry = lock.get("tasks", {}).get(name, {}).get("hub") or {}
        same = task.data.hub is not None and task.data.hub in (entry.get("id"), entry.get("moved_to"))
        if same and entry.get("asked") == task.data.revision and is_commit(entry.get("commit")):
            found[name] = str(entry["commit"])
    return found


def renamed(old: Mapping[str, Any], lock: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about repositories that the Hub has under a new name, where the earlier lock did not know it."""
    known = dict(_moves(old))
    for name, new in _moves(lock):
        if known.get(name) != new:
            yield f"{name} is called {new} on the Hub now; the old name leads there, but better write the new one"


def _moves(lock: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    entries = [(one.get("model"), one) for one in (lock.get("base") or {}, *lock.get("models", {}).values())]
    hubs = [one.get("hub") or {} for one in lock.get("tasks", {}).values()]
    for name, entry in [*entries, *((one.get("id"), one) for one in hubs)]:
        if name and entry.get("moved_to"):
            yield str(name), str(entry["moved_to"])
