"""Damage of a run folder: named by ``verify``, put aside before a run builds on it, so that the run makes it anew."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from traitscope.errors import TraitscopeError
from traitscope.store import RunFolder, write_atomic
from traitscope.store.adapters import CARD
from traitscope.store.checked import Checked
from traitscope.store.damage import Damage, find_damage, read_findings
from traitscope.store.files import read_file
from traitscope.store.log import log_line
from traitscope.store.seal import sealed
from traitscope.study.adopting import STRAY, run_folders
from traitscope.study.context import Context
from traitscope.study.probes import FOLDER as PROBES
from traitscope.texts import count_of

SHOWN = 5
OTHER_STUDY = "is not the study file that lock.json was written with"


def verify(folder: RunFolder) -> list[Damage]:
    """Reads all of a run folder and names every file that is not what was written; no content is changed.

    Raises:
        TraitscopeError: there is no run folder.
    """
    if not folder.holds_any():
        raise TraitscopeError(
            "this folder holds no study", where=str(folder.root), fix="name a run folder, or the study file of one"
        )
    found = list(_all_damage(folder))
    for damage in found:
        # A run reads what has another time than it knows: damage that kept size and time is found by it then.
        with suppress(OSError):
            os.utime(folder.root / damage.path, follow_symlinks=False)
    return found


def verify_whole(folder: RunFolder) -> list[Damage]:
    """The same of a folder of several base models: of every one's own folder, and of the findings of all.

    Raises:
        TraitscopeError: there is no run folder.
    """
    if os.path.lexists(folder.root / "lock.json"):
        # What it says of the folder is not so.
        found = [Damage("lock.json", STRAY, "lock.json", "a run asks you to move it away")]
    else:
        found = [one for one in find_damage(folder, Checked(folder.root)) if one.path != "lock.json"]
    for place in run_folders(folder):
        inner = place.relative_to(folder.root).as_posix()
        for damage in verify(RunFolder(place)):
            found.append(replace(damage, path=f"{inner}/{damage.path}", unit=f"{inner}/{damage.unit}"))
    return found


def _all_damage(folder: RunFolder) -> Iterator[Damage]:
    yield from _study_file(folder)
    yield from find_damage(folder, Checked(folder.root))
    inner = [PROBES, *(f"new/{path.name}" for path in sorted((folder.root / "new").glob("*")))]
    for place in (place for place in inner if (folder.root / place).is_dir()):
        for damage in _all_damage(RunFolder(folder.root / place)):
            yield replace(damage, path=f"{place}/{damage.path}", unit=f"{place}/{damage.unit}")


def _study_file(folder: RunFolder) -> Iterator[Damage]:
    """The copy of the study file; an edited one is the study from the next run on."""
    heals = "written again by a run of the study file"
    try:
        text = read_file(folder.study_file)
    except OSError:
        yield Damage("study.yaml", "is missing", "study.yaml", heals)
        return
    try:
        known = (folder.read_lock() or {}).get("study_file")
    except TraitscopeError:
        return
    if known is not None and known != hashlib.sha256(text).hexdigest():
        yield Damage("study.yaml", OTHER_STUDY, "study.yaml", heals)


def heal(study: Context) -> list[Damage]:
    """Puts what is damaged under ``quarantine/``; a run then makes it anew. Returns what was found.

    Raises:
        TraitscopeError: something is damaged and the folder cannot be written.
    """
    folder = study.folder
    if not folder.root.is_dir() or not any(find_damage(folder, folder.checked)):
        return []
    folder.prepare()
    with folder.leases(stale_s=study.stale_s) as leases, leases.alone():
        # Looked at once more where nobody can commit: what another process replaces has no mark for a moment.
        found = list(find_damage(folder, folder.checked))
        if found:
            _put_aside(folder, found)
    for damage in found[:SHOWN]:
        study.report_to.note(f"{damage.path} {damage.what}: {damage.unit} is put aside, to be {damage.heals}")
    if len(found) > SHOWN:
        study.report_to.note(f"and {count_of(len(found) - SHOWN, 'damage')} more, as traitscope verify names them")
    return found


def _put_aside(folder: RunFolder, found: Sequence[Damage]) -> None:
    lines = [line for line in folder.read_lines() if log_line(line) is not None]
    units = dict.fromkeys(damage.unit for damage in found)
    # A state of training fits its own plan alone.
    banks = [unit.removesuffix(".json").replace("plan/", "checkpoints/") for unit in units if unit.startswith("plan/")]
    aside = folder.set_aside([*units, *banks], "quarantine")
    if "run.jsonl" in units:
        write_atomic(folder.root / "run.jsonl", b"".join(line + b"\n" for line in lines))
    for unit in units:
        kind, name, *file = unit.split("/")[:3] if "/" in unit else (unit, "")
        if kind == "adapters" and file == [CARD] and (head := folder.adapter(name)) is not None:
            write_atomic(folder.root / unit, head.card.encode())
    forget_findings(folder, {damage.finding for damage in found})
    folder.log("quarantine", units=list(units), where=aside.relative_to(folder.root).as_posix())


def forget_findings(folder: RunFolder, names: set[str | None]) -> None:
    """Findings that are to be made again, whatever they were made from."""
    known = read_findings(folder)
    if gone := known.keys() & names:
        # The report shows all of them.
        kept = {name: finding for name, finding in known.items() if name not in {*gone, "report"}}
        write_atomic(folder.analysis / "inputs.json", sealed({"findings": kept}, "inputs.json"))
