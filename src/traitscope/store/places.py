"""Where a run folder may lie, and what may lie in it."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from traitscope.errors import TraitscopeError
from traitscope.store.files import TEMPORARY, disk_problem, refuse_not_utf8

_OTHER = "name another run folder with --out"
FOLDERS = (
    *("plan", "tasks", "adapters", "hidden", "gradients", "analysis", "layers", "leases"),
    *("figures", "tables", "belt", "cells", "checkpoints", "probes", "new"),
)
STARTED = ("lock.json", "plan", "cells", "adapters", "bases")
# All that is ever written right into a run folder; the first of it is found elsewhere too.
COMMON = {"study.yaml", "report.html", "figures", "tables", "tasks"}
OWN = COMMON | {*FOLDERS, *STARTED, "local.json", "run.jsonl", "tracking", "quarantine", "replaced"}


def refuse_place(root: Path) -> None:
    """Refuses a path that can be no run folder, and a folder with links out of it: what is written must not land there.

    Raises:
        TraitscopeError: it is no UTF-8, a link that leads nowhere, or a file or in one; or it holds a link out of it.
    """
    refuse_not_utf8(root, _OTHER)
    for path in [root, *root.parents]:
        if path.is_symlink() and not path.exists():
            raise TraitscopeError(
                f"is a link that leads nowhere ({path.readlink()})",
                where=str(path),
                fix="make the folder that it leads to, remove the link, or name another run folder with --out",
            )
    if any(path.exists() and not path.is_dir() for path in (root, *root.parents)):
        raise TraitscopeError("is a file, or lies in one, and no folder", where=str(root), fix=_OTHER)
    for entry in os.scandir(root) if root.is_dir() else ():
        if entry.is_symlink() and not Path(os.path.realpath(entry)).is_relative_to(os.path.realpath(root)):
            raise TraitscopeError(
                f"is a link that leads out of the run folder, to {os.path.realpath(entry)}",
                where=entry.path,
                fix="put what it leads to in its place; the run folder itself may be a link",
            )


def refuse_foreign(root: Path) -> None:
    """Refuses a folder of other things: a run would write over them, or put them aside as damage.

    Raises:
        TraitscopeError: neither it nor a base model's folder in it has a lock, and it holds what no run writes, or
            nothing that only a run writes.
    """
    # Of several base models each has a lock of its own.
    if not root.is_dir() or (root / "lock.json").exists() or any(root.glob("bases/*/lock.json")):
        return
    names = {path.name for path in root.iterdir() if not path.name.startswith(".")}
    if names - OWN or (names and names <= COMMON):
        raise TraitscopeError(
            "is not empty and no run folder", where=str(root), fix="name a new or an empty folder with --out"
        )


def check_writable(root: Path) -> None:
    """Sees whether ``RunFolder.prepare`` would go through; what it makes for that it removes.

    Raises:
        TraitscopeError: the folder cannot be made, or not be written.
    """
    above = next(path for path in (root, *root.absolute().parents) if path.is_dir())
    try:
        with TemporaryDirectory(prefix=TEMPORARY, dir=above):
            pass
    except OSError as error:
        told = disk_problem(error, root, elsewhere=_OTHER)
        what = f"cannot be made ({error.strerror})"
        raise told or TraitscopeError(what, where=str(root), fix=_OTHER) from error
