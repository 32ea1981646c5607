"""Which run folder is of which of several base models; that of a study of one is taken over as its part."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from traitscope.config import StudyConfig
from traitscope.errors import TraitscopeError
from traitscope.store import RunFolder, fingerprint
from traitscope.store.files import disk_errors
from traitscope.store.models import locate, locked, shared_name
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


def refuse_same(config: StudyConfig) -> None:
    """Refuses one model under one recipe as two base models, however each is written: it would count as a replication.

    Raises:
        TraitscopeError: there are such two.
    """
    seen: dict[str, int] = {}
    for index, one in enumerate(config.by_base().values()):
        first = seen.setdefault(fingerprint(_what(one)), index)
        if first != index:
            raise TraitscopeError(
                f"{shared_name(one.base.model)} is the model of place {first} under the same recipe",
                where=config.where("bases", index),
                fix="remove one of the two, or give them other revisions of the Hub, precisions or recipes",
            )


def refuse_renamed(folder: RunFolder, parts: Mapping[str, Context]) -> None:
    """Refuses base models under other names than their folders': their runs would be made anew, or mistaken.

    Raises:
        TraitscopeError: the run of one lies under another name.
    """
    root = folder.root / BASES
    places = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if all(name in parts for name in places) and len(places) <= 1:
        return
    wanted = {name: _what(part.config) for name, part in parts.items()}
    known = {}
    for place in places:
        part = parts.get(place) or Context(next(iter(parts.values())).config, root / place)
        if (recorded := part.recorded_config()) is not None and recorded.bases is None:
            known[place] = _what(recorded)
    lost = {name: what for name, what in wanted.items() if known.get(name) != what}
    for name, what in lost.items():
        for place, found in known.items():
            if found == what and place != name and wanted.get(place) != found:
                model = parts[name].config.base.model
                raise TraitscopeError(
                    f"the run on {shared_name(model)}, which the study calls {name}, lies in {BASES}/{place}",
                    where=str(folder.root),
                    fix=f"write {{model: {model}, name: {place}}} among bases, or rename that folder to {name}",
                )


def _what(config: StudyConfig) -> list[Any]:
    """A base model and its recipe, the same however they are written."""
    base, place = config.base, _place(config)
    # A folder has no revisions; the Hub tells no capitals apart.
    named = [str(place), None] if isinstance(place, Path) else [place.lower(), base.revision]
    return [*named, base.dtype, config.recipe.model_dump(mode="json")]


def _place(config: StudyConfig) -> str | Path:
    """Where the base model lies; what the study calls it where that is not known."""
    with suppress(TraitscopeError):  # whoever needs it says what is wrong with it
        return locate(config.base.model, config.root.resolve())
    return config.base.model


def owner_of(folder: RunFolder, parts: Mapping[str, Context]) -> str | None:
    """The base model whose run, of a study of it alone, lies in the folder; None where none does.

    Raises:
        TraitscopeError: it is of a base model that the study does not name.
    """
    if not (folder.root / "lock.json").exists():
        return None
    entry = (folder.read_lock() or {}).get("base", {})
    for name, part in parts.items():
        asked = part.asked(part.config.base)
        # The lock has of a folder its name alone.
        recorded = Context(part.config, folder.root).recorded_config()
        places = [_place(one) for one in (part.config, recorded) if one is not None]
        another = len({place for place in places if isinstance(place, Path)}) > 1
        if locked(entry, asked) is not None and not another:
            return name
    raise TraitscopeError(
        f"is the run folder of a study on {shared_name(str(entry.get('model', 'another base model')))}",
        where=str(folder.root),
        fix="name that base model among bases, so that its run is taken over, or another run folder with --out",
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
    owner = owner_of(folder, parts)
    if owner is None:
        return
    place = parts[owner].folder.root
    with folder.leases(stale_s=stale_s) as leases, leases.alone(), disk_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        names = sorted(OWN - {BASES, "leases", "lock.json"})
        for name in (*names, "lock.json"):
            if (folder.root / name).exists() and not (place / name).exists():
                (folder.root / name).rename(place / name)
    report.note(f"the run of {owner} that lay in {folder.root} is now in {BASES}/{owner}")
