"""``org/name@revision``: a repository of the Hub and its revision in one text."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitscope.config.problems import Problem
from traitscope.texts import shown

_NAMED = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)@(?P<revision>[^@\s]+)")


def split_revision(name: str, root: Path | str | None = ".") -> tuple[str, str | None]:
    """The Hub id and the revision of ``org/name@revision``; any other name, and what lies here under it, as it is.

    Args:
        name: a Hub id, a path, or a built-in name.
        root: the folder that relative paths start from; None: no path is meant.
    """
    found = _NAMED.fullmatch(name)
    # pathlib raises for a name that is too long.
    here = root is not None and os.path.exists(Path(root) / name)  # noqa: PTH110
    if found is None or name.lower().endswith(".gguf") or here:
        return name, None
    return found["id"], found["revision"]


def with_revision(said: Any, key: str, root: Path | None) -> Any:
    """A section of a study file with the revision in ``key`` under a key of its own.

    Raises:
        Problem: ``revision`` names another one.
    """
    if not isinstance(said, Mapping) or not isinstance(said.get(key), str):
        return said
    name, revision = split_revision(said[key], root)
    if revision is None:
        return said
    beside = said.get("revision")
    if beside not in (None, revision):
        raise Problem(
            f"two revisions are named: {shown(revision)} in {shown(said[key])}, and {shown(beside)}",
            fix=f"write {key}: {name} with revision: {revision}, or with the other one",
            keys=("revision",),
        )
    return {**said, key: name, "revision": revision}
