"""Where traitscope keeps what it made once and may make again: one folder for all runs of a user."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from traitscope.store.files import disk_errors, user_path

VARIABLE = "TRAITSCOPE_CACHE"
ELSEWHERE = f"set the environment variable {VARIABLE} to a folder with room that can be written"


def cache_folder() -> Path:
    """``$TRAITSCOPE_CACHE``, else ``traitscope`` in ``$HF_HOME``, where Hugging Face's libraries keep models.

    That is where a user has room for them. It may be deleted at any time.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return user_path(Path(), named).absolute()
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME).expanduser().absolute() / "traitscope"


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """One process at a time is inside, the others wait; the kernel lets go for one that was killed."""
    with disk_errors(lock, elsewhere=ELSEWHERE):
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:
            # Some file systems, such as /proc, say so of folders that cannot be made.
            raise PermissionError(errno.EACCES, error.strerror) from error
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
