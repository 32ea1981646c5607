"""Where traitscope keeps what it made once and may make again: one folder for all runs of a user."""

from __future__ import annotations

import errno
import fcntl
import functools
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from traitscope.store.files import disk_errors, json_bytes, move_folder, sweep, temporary, user_path, write_atomic
from traitscope.store.fingerprints import hash_file

log = logging.getLogger("traitscope")

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


def made_once(folder: Path, make: Callable[[Path], None], about: Mapping[str, Any], say: str) -> Path:
    """A folder of the cache; made on the first call, and anew where files of it are missing or changed.

    Several processes may ask at once: one makes it.

    Args:
        folder: named by all that its content depends on.
        make: writes the files into the empty folder that it is given.
        about: what the folder was made from, for whoever looks at the cache.
        say: what is logged before it is made.
    """
    if _complete(folder):
        return folder
    with only_one(folder.with_name(f"{folder.name}.lock")):
        if _complete(folder):
            return folder
        log.warning("%s", say)
        with disk_errors(folder, elsewhere=ELSEWHERE):
            sweep(folder.parent)
            _mark(folder).unlink(missing_ok=True)
            remove_damaged(folder)
            made = temporary(folder)
            try:
                make(made)
                mark = json_bytes({**about, "files": _files(made)})
                move_folder(made, folder)
                write_atomic(_mark(folder), mark)
            finally:
                shutil.rmtree(made, ignore_errors=True)
    return folder


def remove_damaged(folder: Path) -> None:
    """Removes a folder of the cache, if it is there, in one step for whoever looks at it meanwhile."""
    if folder.exists():
        damaged = temporary(folder)
        folder.rename(damaged)
        shutil.rmtree(damaged)


def _mark(folder: Path) -> Path:
    """The file that says what a folder holds: beside it, for every file in it counts in a model's fingerprint."""
    return folder.with_name(f"{folder.name}.json")


def _files(folder: Path) -> dict[str, Any]:
    """The size, time and hash of a folder's files."""
    files = {}
    for path in sorted(folder.iterdir()):
        stat = path.stat()
        files[path.name] = [stat.st_size, stat.st_mtime_ns, hash_file(path)]
    return files


def _complete(folder: Path) -> bool:
    """Whether a folder's files are those that were written; their content is read only where a time has changed."""
    try:
        files = json.loads(_mark(folder).read_bytes())["files"]
        for name, (size, time_ns, digest) in files.items():
            stat = (folder / name).stat()
            if stat.st_size != size or (stat.st_mtime_ns != time_ns and hash_file(folder / name) != digest):
                return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return True


@contextmanager
def no_bars() -> Iterator[None]:
    """Without the progress bars of loading and saving models, which would break a live line."""
    from tqdm.auto import tqdm

    # transformers' own switch leaves the bar of unpacking on.
    start = tqdm.__init__
    tqdm.__init__ = functools.partialmethod(start, disable=True)
    try:
        yield
    finally:
        tqdm.__init__ = start
