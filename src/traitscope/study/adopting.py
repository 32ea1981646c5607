"""From one base model to several: the run folder of the one is taken over as its part."""

from __future__ import annotations

from collections.abc import Mapping

from traitscope.errors import TraitscopeError
from traitscope.store import RunFolder
from traitscope.store.files import disk_errors
from traitscope.store.models import locked, shared_name
from traitscope.store.places import OWN
from traitscope.study.context import Context
from traitscope.study.progress import Reporter

BASES = "bases"


def refuse_several(folder: RunFolder) -> None:
    """Refuses a folder of several base models for a study of one.

    Raises:
        TraitscopeError: it is one.
    """
    if (folder.root / BASES).is_dir() and not (folder.root / "lock.json").exists():
        raise TraitscopeError(
            "is the run folder of a study of several base models",
            where=str(folder.root),
            fix=f"name another run folder with --out, or one of {folder.root / BASES}",
        )


def adopt(folder: RunFolder, parts: Mapping[str, Context], report: Reporter, *, stale_s: float = 60.0) -> None:
    """Moves what a study of one base model left in the folder into that base's own, ``bases/<name>/``.

    Done again after a kill it moves the rest; the lock goes last.

    Args:
        folder: of the whole. parts: the study on each base model. report: whom to tell.
        stale_s: seconds without a sign of life after which another process counts as gone.

    Raises:
        TraitscopeError: the folder is of a base model that the study does not name, or another process works in it.
    """
    if not (folder.root / "lock.json").exists():
        return
    entry = (folder.read_lock() or {}).get("base", {})
    owners = (name for name, part in parts.items() if locked(entry, part.asked(part.config.base)) is not None)
    owner = next(owners, None)
    if owner is None:
        raise TraitscopeError(
            f"is the run folder of a study on {shared_name(str(entry.get('model', 'another base model')))}",
            where=str(folder.root),
            fix="name that base model among bases, so that its run is taken over, or another run folder with --out",
        )
    place = parts[owner].folder.root
    with folder.leases(stale_s=stale_s) as leases, leases.alone(), disk_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        names = sorted(OWN - {BASES, "leases", "lock.json"})
        for name in (*names, "lock.json"):
            if (folder.root / name).exists() and not (place / name).exists():
                (folder.root / name).rename(place / name)
    report.note(f"the run of {owner} that lay in {folder.root} is now in {BASES}/{owner}")
