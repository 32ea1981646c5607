"""JSON files that end with the hash of what stands before it, so that a changed digit is found.

Files of format 1 are older than the seal and have none; from format 2 on a file without a whole seal is damaged.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError

FORMAT = 2
_SEAL = b',\n  "sha256": "'
_END = b'"\n}\n'


class Damaged(TraitscopeError):
    """A file of the run folder is not what was written."""


def sealed(value: Mapping[str, Any], of: str, *, indent: int | None = 2) -> bytes:
    """JSON for people, keys in the order given, ``format`` first and the SHA-256 of all that stands before it last.

    ``of`` is the name of the file, so that it is not taken for another one that is whole too.
    """
    told = {"format": FORMAT, "file": of, **{key: value[key] for key in value if key not in ("format", "file")}}
    text = json.dumps(told, indent=indent, ensure_ascii=False, allow_nan=False)
    body = text.encode().removesuffix(b"}").rstrip()
    return body + _SEAL + hashlib.sha256(body).hexdigest().encode() + _END


def unseal(data: bytes, of: str, *, where: str, fix: str) -> dict[str, Any]:
    """What ``sealed`` was given, with its ``format``.

    Raises:
        Damaged: it is not JSON, no object, not what was sealed, or another file; ``fix`` says what to do about it.
        TraitscopeError: it was written by a later traitscope.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"is damaged: not JSON ({error})", where=where, fix=fix) from None
    if not isinstance(found, dict):
        raise Damaged(f"is damaged: it holds {str(found)[:20]!r}, no object", where=where, fix=fix)
    version = found.get("format")
    body, _, seal = data.rpartition(_SEAL)
    told, name = found.pop("sha256", None), found.pop("file", None)
    if version == 1 and told is None:
        return found
    if seal != hashlib.sha256(body).hexdigest().encode() + _END:
        raise Damaged("is damaged: not what was written (sha256 differs)", where=where, fix=fix)
    if version != FORMAT:
        raise TraitscopeError(
            f"has format {version!r}, this traitscope reads {FORMAT}",
            where=where,
            fix="use the traitscope version that lock.json names, or start a new run folder (--out)",
        )
    if name != of:
        raise Damaged(f"is damaged: it is {name} in the place of {of}", where=where, fix=fix)
    return found


def read_sealed(path: Path, *, fix: str) -> dict[str, Any]:
    """``unseal`` for a file.

    Raises:
        FileNotFoundError: it is not there.
        Damaged, TraitscopeError: as ``unseal``.
    """
    try:
        # One look: a file may be put in its place between two.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Damaged("is damaged: what is in its place is no file", where=str(path), fix=fix)
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror})", where=str(path), fix=fix) from None
    return unseal(data, path.name, where=str(path), fix=fix)
