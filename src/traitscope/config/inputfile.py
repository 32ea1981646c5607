"""Files that a user names: read only where they are files, of bounded size, and unpacked within bounds."""

from __future__ import annotations

import gzip
import stat
import zlib
from pathlib import Path

from traitscope.errors import TraitscopeError

MOST_BYTES = 2**30
"""Bytes that one file may hold, unpacked."""

_MOST_TIMES = 200
_KINDS = {
    stat.S_IFDIR: ("a folder, not a file", "name a file in it"),
    stat.S_IFIFO: ("a named pipe, not a file", "write what comes out of it into a file, and name that"),
    stat.S_IFSOCK: ("a socket, not a file", "name a file"),
    stat.S_IFCHR: ("a device, not a file", "name a file"),
    stat.S_IFBLK: ("a device, not a file", "name a file"),
}


def check_file(path: Path, where: str, *, most: int = MOST_BYTES) -> None:
    """Refuses what is no regular file, and one that is too large: reading it would not end, or fill the memory.

    Raises:
        FileNotFoundError: there is none. TraitscopeError: as above, or it cannot be reached.
    """
    try:
        info = path.stat()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TraitscopeError(f"the file cannot be read: {reason}", where=where, fix="check the path") from None
    if not stat.S_ISREG(info.st_mode):
        what, fix = _KINDS.get(stat.S_IFMT(info.st_mode), ("no file", "name a file"))
        raise TraitscopeError(f"this is {what}", where=where, fix=fix)
    if info.st_size > most:
        raise TraitscopeError(
            f"the file has {info.st_size / 1e6:,.0f} MB; at most {most / 1e6:,.0f} MB are read",
            where=where,
            fix="keep what is needed, or split it into several files",
        )


def read_input(path: Path, where: str, *, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file, unpacked where its name ends in ``.gz``.

    Raises:
        FileNotFoundError: there is none.
        TraitscopeError: it is no regular file, cannot be read, is damaged, or holds more than ``most`` bytes (packed:
            more than ``most_unpacked``).
    """
    check_file(path, where, most=most)
    try:
        if path.suffix.lower() != ".gz":
            return path.read_bytes()
        return _unpacked(path, where, min(most, most_unpacked(path)))
    except (OSError, EOFError, zlib.error) as error:
        raise TraitscopeError(f"the file cannot be read: {error}", where=where, fix="check the file") from None


def most_unpacked(path: Path) -> int:
    """Bytes that a packed file may hold: 200 times its size or 200 MiB, at most ``MOST_BYTES``.

    Text shrinks to a tenth or so; what shrinks to less than that share was made to.
    """
    return min(MOST_BYTES, _MOST_TIMES * max(path.stat().st_size, 2**20))


def _unpacked(path: Path, where: str, most: int) -> bytes:
    parts, size = [], 0
    with gzip.open(path) as file:
        while part := file.read(2**20):
            size += len(part)
            if size > most:
                raise TraitscopeError(
                    f"the file unpacks to more than {most / 1e6:,.0f} MB",
                    where=where,
                    fix="unpack it with gunzip, look at it, and name the unpacked file or a part of it",
                )
            parts.append(part)
    return b"".join(parts)
