"""Namespaces of its own for one command, where no bubblewrap is at hand. Run by ``isolation``, never imported.

The process that this starts sees a root of its own (read-only but for ``/tmp``), no other process, no network,
no shared memory; it ends with whoever started it, and all that it started ends with it.
"""

import ctypes
import json
import os
import signal
import sys
from typing import Any

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PDEATHSIG, NO_NEW_PRIVS = 1, 38
DETACH, HERE, RECURSIVE, MOUNT_SETATTR = 2, -100, 0x8000, 442

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    given = [a.encode() if isinstance(a, str) else ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if getattr(libc, name)(*given) < 0:
        problem = ctypes.get_errno()
        raise OSError(problem, f"{name}: {os.strerror(problem)}")


def die_with_parent() -> None:
    call("prctl", PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def begin_child(parent_there: int) -> None:
    """Ends with the parent, and at once where that is gone already: the other end of the pipe is the parent's alone."""
    die_with_parent()
    os.set_blocking(parent_there, False)
    try:
        os.read(parent_there, 1)
        os._exit(1)
    except BlockingIOError:
        pass


def bind(source: str, target: str, flags: int) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    call("mount", source, target, None, BIND | REC, None)
    attributes = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)
    call("syscall", MOUNT_SETATTR, HERE, target, RECURSIVE, ctypes.byref(attributes), ctypes.sizeof(attributes))


def make_root(given: dict[str, Any]) -> None:
    # Nothing that is bound lies there, and only this process sees what is mounted on it.
    root = "/proc"
    call("mount", None, "/", None, REC | PRIVATE, None)
    call("mount", "tmpfs", root, "tmpfs", NOSUID | NODEV, "size=1m,mode=755")
    for path in given["read"]:
        bind(path, root + path, RDONLY | NOSUID | NODEV)
    for path in given["devices"]:
        bind(path, root + path, NOSUID)
    for path, target in given["links"]:
        os.symlink(target, root + path)
    os.mkdir(root + "/tmp")
    call("mount", "tmpfs", root + "/tmp", "tmpfs", NOSUID | NODEV, f"size={given['tmp']},nr_inodes=2000,mode=1777")
    call("mount", None, root, None, REMOUNT | BIND | RDONLY | NOSUID | NODEV, None)
    os.chdir(root)
    call("pivot_root", ".", ".")
    call("umount2", ".", DETACH)
    os.chdir("/tmp")


def ended(child: int) -> int:
    """Waits for a child, and for whatever else comes to be ours; its exit status as a shell gives it."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def main() -> None:
    given = json.loads(sys.argv[1])
    die_with_parent()
    if os.getppid() != given["parent"]:
        os._exit(1)
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", NEWNS | NEWPID | NEWNET | NEWIPC | NEWUTS | (NEWUSER if uid else 0))
    if uid:
        for name, line in (("setgroups", "deny"), ("uid_map", f"65534 {uid} 1"), ("gid_map", f"65534 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
    call("sethostname", given["name"], len(given["name"]))
    parent_there, held = os.pipe()
    first = os.fork()
    if first:
        os._exit(ended(first))
    os.close(held)
    begin_child(parent_there)
    make_root(given)
    call("prctl", NO_NEW_PRIVS, 1, 0, 0, 0)
    code = os.fork()
    if code:
        # The first process of the namespace: with its end the kernel ends all others.
        os._exit(ended(code))
    # What the start needed of rights ends here: the user is not the namespace's root.
    os.execv(given["command"][0], given["command"])


if __name__ == "__main__":
    main()
