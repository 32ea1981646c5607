"""Which files of a run folder are what was written: read once, then told by size, time and inode."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def sha256_of(data: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()


class Checked:
    """Files that were found whole, by path from ``root``.

    Args:
        root: the run folder.
        known: what an earlier process found, as ``to_json`` gave it; None where all is to be read, sizes and times or
            not (``anew``).
    """

    def __init__(self, root: Path, known: Mapping[str, Any] | None = None) -> None:
        self.root = root
        self.anew = known is None
        self._known = dict(known or {})
        self._begins = len(str(root)) + 1

    def fault(self, path: Path | str, expected: str, hash_of: Callable[[bytes], str] = sha256_of) -> str | None:
        """What is wrong with a file; None where it is what was written.

        Args:
            path: the file. expected: its hash. hash_of: gives it from the file's bytes.
        """
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                if not self.inside(path):
                    return "is a link that leads out of the run folder"
                status = Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return "is missing"
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        if not stat.S_ISREG(status.st_mode):
            return "is no file"
        key = str(path)[self._begins :]
        mark = [status.st_size, status.st_mtime_ns, status.st_ino, expected]
        if self._known.get(key) == mark:
            return None
        self._known.pop(key, None)
        try:
            if hash_of(Path(path).read_bytes()) != expected:
                return "is not the file that was written (sha256 differs)"
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        self._known[key] = mark
        return None

    def inside(self, path: Path | str) -> bool:
        """Whether a path, its links followed, lies in the folder."""
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.root))

    def to_json(self) -> dict[str, Any]:
        """What a later process may rely on."""
        return dict(sorted(self._known.items()))
