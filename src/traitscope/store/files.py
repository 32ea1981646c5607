"""Writing files so that a reader, or the next run after a kill, sees all of one or none of it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError

TEMPORARY = ".tmp-"
_FOREIGN_TEMPORARY_S = 3600.0
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = {
    *(*_NO_SPACE, errno.EFBIG),
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
}
_NUMBER = re.compile(r"(?:os error|[Ee]rrno:?) ?(\d+)")
_FREE = "free some space and run the same command again: every finished unit is kept"
_ELSEWHERE = "make the run folder writable, or copy it elsewhere and work there (--out)"

FilesMark = tuple[tuple[str, int, int, int], ...]


def user_path(root: str | Path, name: str | Path) -> Path:
    """The path of a name, from ``root`` or, where it starts with ``~``, a home folder; a file named so is itself."""
    path = Path(root) / name
    try:
        # pathlib raises for a name that is too long.
        return path if os.path.exists(path) else Path(root) / Path(name).expanduser()  # noqa: PTH110
    except RuntimeError:
        # There is no such user.
        return path


def machine() -> str:
    """Name of this machine's process table: processes with the same name can see each other's ids."""
    parts = [os.uname().nodename]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(str(Path(path).readlink()) if path.endswith("pid") else Path(path).read_text().strip())
        except OSError:
            parts.append("-")
    return uuid.uuid5(uuid.NAMESPACE_OID, "|".join(parts)).hex[:12]


def process_start(pid: int) -> str | None:
    """When a process of this machine started, in clock ticks since boot; None if it is not running.

    A killed process that its parent has not collected yet (a zombie) counts as not running. Where there is no
    ``/proc`` the answer is ``"unknown"`` for a live process.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return None if after_name[0] in "ZX" else after_name[19]
    except (OSError, IndexError):
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


@contextmanager
def disk_errors(path: Path, *, elsewhere: str = _ELSEWHERE) -> Iterator[None]:
    """Turns a full disk, a quota or a folder that cannot be written into one clear error.

    ``elsewhere`` says what to do about a folder that cannot be written.
    """
    try:
        yield
    except Exception as error:
        told = disk_problem(error, path, elsewhere=elsewhere)
        if told is None:
            raise
        raise told from error


def disk_problem(error: BaseException, path: Path | str, *, elsewhere: str = _ELSEWHERE) -> TraitscopeError | None:
    """The error of ours for one of a disk that is full, or a place that cannot be written; None for any other."""
    number = None if isinstance(error, TraitscopeError) else _disk_fault(error)
    if number is None:
        return None
    if number in _NO_SPACE:
        what, fix = f"no space left on the disk ({os.strerror(number)})", _FREE
    elif number == errno.EFBIG:
        what = "the file is larger than this process may write"
        fix = "raise the limit (ulimit -f) and run the same command again"
    elif number == errno.ENOTDIR and elsewhere == _ELSEWHERE:
        what, fix = f"cannot be written ({os.strerror(number)})", "move away the file that stands in a folder's place"
    else:
        what, fix = f"cannot be written ({os.strerror(number)})", elsewhere
    return TraitscopeError(what, where=str(path), fix=fix)


def _disk_fault(error: BaseException) -> int | None:
    """The system's number of what a disk refused; libraries in Rust and C++ give it in words, or as a cause."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        seen.append(found)
        if isinstance(found, OSError) and found.errno is not None:
            return found.errno if found.errno in _REFUSED else None
        words = str(found)
        if (said := _NUMBER.search(words)) is not None and int(said[1]) in _REFUSED:
            return int(said[1])
        if (number := next((n for n in (*_NO_SPACE, errno.EFBIG) if os.strerror(n) in words), None)) is not None:
            return number
        found = found.__cause__ or found.__context__
    return None


def refuse_not_utf8(path: Path, fix: str) -> None:
    """Raises TraitscopeError where a path cannot be written into a file of text."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise TraitscopeError("the path is not UTF-8", where=str(path.absolute()), fix=fix) from None


def read_file(path: Path) -> bytes:
    """The content of a regular file.

    Raises:
        FileNotFoundError: there is none: nothing, or a folder or a pipe in its place, which would be waited for.
    """
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    return path.read_bytes()


def temporary(path: Path) -> Path:
    """A name beside ``path`` that says which process writes it, so that leftovers can be told from work."""
    return path.parent / f"{TEMPORARY}{machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}"


def sync_folder(folder: Path) -> None:
    """Makes renames in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_temporary(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = temporary(path)
    try:
        with written.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    return written


def write_atomic(path: Path, data: bytes) -> None:
    """Writes or replaces a file in one step.

    Raises:
        TraitscopeError: the disk is full or the folder cannot be written, or there is a device; what was there is then
            untouched.
    """
    with disk_errors(path):
        _refuse_device(path)
        written = _write_temporary(path, data)
        try:
            written.replace(path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _refuse_device(path: Path) -> None:
    mode = path.stat().st_mode if path.exists() else 0
    # A rename would put a file in its place, for the whole machine.
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise TraitscopeError("is a device, not a file", where=str(path), fix="name a file")


class Staged:
    """Files of one folder, written under temporary names and ready to be committed together.

    The last one is the commit mark. ``commit`` removes the old mark before the first file is replaced: a
    reader that finds the mark finds the files that belong to it. A full disk shows while staging, when
    nothing has been changed yet.
    """

    def __init__(self, files: dict[Path, bytes]) -> None:
        self._written: dict[Path, Path] = {}
        with disk_errors(next(reversed(files))):
            try:
                for path, data in files.items():
                    self._written[path] = _write_temporary(path, data)
            except BaseException:
                self.drop()
                raise

    def commit(self) -> None:
        """Puts the files under their names, the mark last."""
        *others, mark = self._written
        with disk_errors(mark):
            if others:
                mark.unlink(missing_ok=True)
            for path in others:
                self._written[path].replace(path)
            sync_folder(mark.parent)
            self._written[mark].replace(mark)
            sync_folder(mark.parent)

    def drop(self) -> None:
        """Removes what was staged and not committed."""
        for written in self._written.values():
            written.unlink(missing_ok=True)


def put_if_absent(path: Path, data: bytes) -> bool:
    """Creates a file with its whole content in one step; False if there is one already (it is left alone)."""
    with disk_errors(path):
        written = _write_temporary(path, data)
        try:
            os.link(written, path)
        except FileExistsError:
            return False
        finally:
            written.unlink(missing_ok=True)
        sync_folder(path.parent)
        return True


def move_folder(made: Path, final: Path) -> bool:
    """Commits a finished folder under its name; False (and ``made`` is removed) if the name is taken."""
    with disk_errors(final):
        for file in sorted(made.rglob("*")):
            if file.is_file():
                handle = os.open(file, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
        try:
            made.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(made, ignore_errors=True)
            return False
        sync_folder(final.parent)
        return True


def sweep(folder: Path) -> int:
    """Removes what killed processes left half-written in ``folder``; returns how many.

    A temporary of this machine goes when its process no longer runs, one of another machine after an hour.
    """
    removed = 0
    if not folder.is_dir():
        return 0
    here = machine()
    for entry in list(os.scandir(folder)):
        if not entry.name.startswith(TEMPORARY):
            continue
        owner, pid, *_ = [*entry.name.removeprefix(TEMPORARY).split("-"), "", ""]
        try:
            if owner == here and pid.isdigit():
                dead = process_start(int(pid)) is None
            else:
                dead = time.time() - entry.stat().st_mtime > _FOREIGN_TEMPORARY_S
            if dead:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    Path(entry.path).unlink()
                removed += 1
        except OSError:
            continue
    return removed


def json_bytes(value: Any) -> bytes:
    """JSON for people: two-space indentation, keys in the order given, a newline at the end."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path, *, fix: str) -> Any:
    """Reads a JSON file of the run folder.

    Raises:
        TraitscopeError: the file is not JSON; ``fix`` says what to do about it.
    """
    try:
        return json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TraitscopeError(f"is damaged: not JSON ({error})", where=str(path), fix=fix) from None


def files_mark(place: str | Path | None) -> FilesMark:
    """Name, size, time and inode of a file, or of a folder's files: what was loaded from it holds while they stay.

    Empty where there is none (a Hub id names a commit, which does not change).
    """
    path = None if place is None else Path(place)
    if path is None or not path.exists():
        return ()
    if path.is_file():
        stats = [(path.name, path.stat())]
    else:
        with os.scandir(path) as entries:
            stats = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats))
