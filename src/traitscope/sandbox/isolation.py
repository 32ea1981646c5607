"""How a program is kept apart on this machine: by bubblewrap, or by the same namespaces of Linux set up here."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Bytes of the folder that a program may write to.
TMP_BYTES = 64 << 20

_LAUNCH = Path(__file__).with_name("launch.py")
# The machine, as a program sees it.
_NAME = "sandbox"
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# What a command is to be started with: nothing of the user's environment, which may hold tokens.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
ENVIRONMENT |= dict.fromkeys(("HOME", "TMPDIR", "PWD"), "/tmp")


@dataclass(frozen=True, slots=True)
class Isolation:
    """One way to keep a program apart. ``kind`` is ``bubblewrap`` or ``namespaces``; ``bwrap`` the former's program."""

    kind: str
    bwrap: str | None = None

    def command(self, python: list[str]) -> list[str]:
        """The command line that runs ``python`` (the interpreter with its arguments) apart, under ``ENVIRONMENT``."""
        read, links = _system()
        if self.bwrap is None:
            given = {
                "parent": os.getpid(), "name": _NAME, "read": read, "devices": _DEVICES, "links": links,
                "tmp": TMP_BYTES, "command": python,
            }  # fmt: skip
            return [interpreter(), "-I", "-S", "-c", _LAUNCH.read_text(), json.dumps(given)]
        apart = [
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-uts",
            "--hostname",
            _NAME,
            "--die-with-parent",
        ]
        rights = ["--cap-drop", "ALL"]
        if os.geteuid() == 0:
            # The program itself becomes a user without rights: the number of a root's processes cannot be limited.
            rights += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        else:
            rights += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
        # Folders that bubblewrap makes on the way to one are closed to others than their owner.
        above = sorted({str(folder) for path in (*read, *_DEVICES) for folder in Path(path).parents} - {"/"})
        files = [part for path in above for part in ("--perms", "755", "--dir", path)]
        files += [part for path in read for part in ("--ro-bind", path, path)]
        files += [part for path in _DEVICES for part in ("--dev-bind", path, path)]
        files += [part for path, target in links for part in ("--symlink", target, path)]
        own = ["--perms", "1777", "--size", str(TMP_BYTES), "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp"]
        return [self.bwrap, *apart, *rights, *files, *own, "--", *python]


def python_command(source: str, *arguments: str) -> list[str]:
    """The interpreter that runs ``source``: the one beneath a virtual environment, with the standard library alone."""
    return [interpreter(), "-I", "-S", "-B", "-c", source, *arguments]


@cache
def interpreter() -> str:
    """The Python that programs are run with: the one beneath a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


@cache
def _system() -> tuple[list[str], list[tuple[str, str]]]:
    """Folders and files that an interpreter reads, and links between them."""
    read, links = ["/usr"], []
    for name in ("/lib", "/lib32", "/lib64", "/bin"):
        path = Path(name)
        if path.is_symlink():
            links.append((name, str(path.readlink())))
        elif path.is_dir():
            read.append(name)
    prefixes = {os.path.realpath(sys.base_prefix), str(Path(interpreter()).parent.parent)}
    for prefix in sorted(prefixes):
        # Of a store all parts may be needed.
        prefix = "/nix/store" if prefix.startswith("/nix/store/") else prefix
        if prefix != "/" and not prefix.startswith("/usr") and prefix not in read:
            read.append(prefix)
    read += [name for name in ("/etc/ld.so.cache",) if Path(name).is_file()]
    return read, links
