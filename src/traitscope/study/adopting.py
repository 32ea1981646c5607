"""Which run folder is of which of several base models; that of a study of one is taken over as its part."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from traitscope.config import StudyConfig
from traitscope.errors import TraitscopeError
from traitscope.store import RunFolder
from traitscope.store.files import disk_errors
from traitscope.store.fingerprints import fingerprint_folder
from traitscope.store.models import locate, locked, shared_name
from traitscope.store.places import OWN
from traitscope.store.seal import Damaged
from traitscope.study.context import Context
from traitscope.study.progress import Reporter

BASES = "bases"
STRAY = "lies beside bases/, in which every base model has a lock of its own"


class _What(NamedTuple):
    """A base model and its recipe, the same however they are written."""

    model: tuple[str | None, ...]
    dtype: str
    recipe: dict[str, Any]

    def alike(self, other: _What) -> bool:
        """Whether the two give the same results, or may: ``auto`` is another precision on another machine."""
        same = self.dtype == other.dtype or "auto" in (self.dtype, other.dtype)
        return same and self.model == other.model and self.recipe == other.recipe


def is_of_several(folder: RunFolder) -> bool:
    """Whether a folder is of several base models, each with a lock of its own; not before they are taken over."""
    return (folder.root / BASES).is_dir() and (not (folder.root / "lock.json").exists() or _has_locks(folder))


def _has_locks(folder: RunFolder) -> bool:
    return any(folder.root.glob(f"{BASES}/*/lock.json"))


def refuse_several(folder: RunFolder) -> None:
    """Refuses a folder of several base models for a study of one.

    Raises:
        TraitscopeError: it is one.
    """
    if is_of_several(folder):
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
    _refuse_alike(config, {name: _what(one) for name, one in config.by_base().items()})


def refuse_copies(config: StudyConfig, parts: Mapping[str, Context]) -> None:
    """The same of models of two names that hold the same bytes, as far as locks and folders tell.

    A model of the Hub is told from another once both were loaded.

    Raises:
        TraitscopeError: there are such two.
    """
    found = {}
    for name, part in parts.items():
        with suppress(TraitscopeError):  # whoever needs the model or the lock says what is wrong with it
            asked = part.asked(part.config.base)
            kept = locked(part.lock.get("base"), asked)
            if kept is not None:
                found[name] = _What((kept.fingerprint,), kept.dtype, _recipe(part.config))
            elif isinstance(place := asked.located(), Path) and place.is_dir():
                found[name] = _What((fingerprint_folder(place),), asked.dtype, _recipe(part.config))
    _refuse_alike(config, found)


def _refuse_alike(config: StudyConfig, found: Mapping[str, _What]) -> None:
    for (first, one), (second, other) in combinations(found.items(), 2):
        if one.alike(other):
            auto = " (write both out: auto may be the other's)" if one.dtype != other.dtype else ""
            raise TraitscopeError(
                f"{second} is the model of {first} under the same recipe",
                where=config.where("bases", list(config.by_base()).index(second)),
                fix=f"remove one of the two, or give them other revisions of the Hub, precisions{auto} or recipes",
            )


def run_folders(folder: RunFolder) -> list[Path]:
    """The base models' own run folders; what else lies beside them is left alone."""
    places = (folder.root / BASES).iterdir() if (folder.root / BASES).is_dir() else ()
    return sorted(path for path in places if path.is_dir() and RunFolder(path).holds_any())


def refuse_renamed(folder: RunFolder, parts: Mapping[str, Context]) -> None:
    """Refuses base models under other names than their folders': their runs would be left out, made anew or mistaken.

    Raises:
        TraitscopeError: the run of one lies under another name.
    """
    places = {path.name: path for path in run_folders(folder)}
    if all(name in parts for name in places) and len(places) <= 1:
        return
    known = {}
    for place, path in places.items():
        part = parts.get(place) or Context(next(iter(parts.values())).config, path)
        if (recorded := part.recorded_config()) is not None and recorded.bases is None:
            known[place] = _what(recorded)
    moved = {}
    for name, part in parts.items():
        wanted = _what(part.config)
        if known.get(name) != wanted and (at := next((place for place, what in known.items() if what == wanted), None)):
            moved[name] = at
    if not moved:
        return
    told = []
    for name, place in moved.items():
        model = shared_name(parts[name].config.base.model)
        told.append(f"the run on {model}, which the study calls {name}, lies in {BASES}/{place}")
    # Nobody can rename a folder to what another one is called.
    free = not any((folder.root / BASES / name).exists() for name in moved)
    rename = ", ".join(f"{BASES}/{place} to {name}" for name, place in moved.items())
    raise TraitscopeError(
        "; ".join(told),
        where=str(folder.root),
        fix="among bases write "
        + ", ".join(f"name: {place} for {name}" for name, place in moved.items())
        + " and leave the rest of each entry as it is"
        + (f", or rename {rename}" if free else ""),
    )


def _what(config: StudyConfig) -> _What:
    base, place = config.base, _place(config)
    # A folder has no revisions; the Hub tells no capitals apart.
    model: tuple[str | None, ...] = (str(place),) if isinstance(place, Path) else (place.lower(), base.revision)
    return _What(model, base.dtype, _recipe(config))


def _recipe(config: StudyConfig) -> dict[str, Any]:
    return config.recipe.model_dump(mode="json")


def _place(config: StudyConfig) -> str | Path:
    """Where the base model lies; what the study calls it where that is not known."""
    with suppress(TraitscopeError):  # whoever needs it says what is wrong with it
        return locate(config.base.model, config.root.resolve())
    return config.base.model


def owner_of(folder: RunFolder, parts: Mapping[str, Context]) -> str | None:
    """The base model whose run, of a study of it alone, lies in the folder; None where none does.

    Raises:
        TraitscopeError: it is of a base model that the study does not name, or its lock is damaged, or lies beside
            those of the base models.
    """
    lock = folder.root / "lock.json"
    # In this order: another process may move the lock at this moment.
    if _has_locks(folder) and lock.exists():
        raise TraitscopeError(STRAY, where=str(lock), fix="move it away")
    try:
        kept = folder.read_lock()
    except Damaged as error:
        fix = "run the study on the base model whose run lies there (base: for bases:) first, which writes it again"
        raise TraitscopeError(error.what, where=str(lock), fix=fix) from None
    if kept is None:
        return None
    entry = kept.get("base", {})
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
