"""Adapters whose training came to nothing: written down under their fingerprint, so that a run ends and tells it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from traitscope.errors import TraitscopeError
from traitscope.store import RunFolder, write_atomic
from traitscope.store.seal import read_sealed, sealed
from traitscope.study.units import AdapterUnit

_FIX = "delete it: the adapter is then trained again"
# Adapters that an error names.
MOST = 6


def failure_path(folder: RunFolder, name: str) -> Path:
    """Where it is written that an adapter's training came to nothing."""
    return folder.root / "plan" / f"failed-{name}.json"


def write_failure(folder: RunFolder, name: str, fingerprint: str, what: str, fix: str) -> None:
    """Records why the training of the adapter with this fingerprint came to nothing."""
    content = {"adapter": name, "fingerprint": fingerprint, "what": what, "fix": fix}
    path = failure_path(folder, name)
    write_atomic(path, sealed(content, path.name))


def failure(folder: RunFolder, name: str, fingerprint: str) -> TraitscopeError | None:
    """Why an adapter could not be trained; None where nothing is known of that, or of other settings alone.

    Raises:
        TraitscopeError: the record is damaged.
    """
    try:
        found = read_sealed(failure_path(folder, name), fix=_FIX)
    except FileNotFoundError:
        return None
    if found.get("fingerprint") != fingerprint:
        return None
    return TraitscopeError(str(found.get("what")), where=f"training {name}", fix=str(found.get("fix")))


def settled(folder: RunFolder, name: str, fingerprint: str) -> bool:
    """Whether nothing is left to train of an adapter: it is there, or came to nothing."""
    return folder.adapter(name) is not None or failure(folder, name, fingerprint) is not None


def refuse_failed(folder: RunFolder, units: Iterable[AdapterUnit]) -> None:
    """Raises TraitscopeError where trainings came to nothing, once all else is done."""
    told = {
        u.name: e for u in units if folder.adapter(u.name) is None and (e := failure(folder, u.name, u.fingerprint))
    }
    if not told:
        return
    lines = [f"{name} {error.what}" for name, error in list(told.items())[:MOST]]
    more = f"; and {len(told) - MOST} more" if len(told) > MOST else ""
    first = next(iter(told.values()))
    raise TraitscopeError(
        f"{len(told)} of the adapters came to nothing, all else is done: {'; '.join(lines)}{more}",
        where=str(folder.root),
        fix=f"{first.fix}; a source may have its own: sources: [{{name: {{lr: 1.0e-4}}}}]",
    )
