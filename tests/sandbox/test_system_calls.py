"""The filter of system calls, against the kernel's own headers and in the sandbox itself."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
from pathlib import Path

import pytest

from sandbox.programs import OPEN, became
from traitscope.errors import TraitscopeError
from traitscope.sandbox import Isolation
from traitscope.sandbox import run as run_module
from traitscope.sandbox.syscalls import (
    CLONE,
    CLONE3,
    DENIED,
    SETSOCKOPT,
    SOCKETPAIR,
    denying_filter,
    keyctl_number,
)

HEADERS = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PLACES = list(enumerate(MACHINES))
ALLOWED, DONE, EPERM, ENOSYS, KILLED = 0x7FFF0000, 0x00050000, 0x00050001, 0x00050026, 0x80000000
BY_ARGUMENT = {"clone": CLONE, "socketpair": SOCKETPAIR, "setsockopt": SETSOCKOPT}
REFUSED = """
    shmget shmat shmctl semget msgget mq_open memfd_create memfd_secret vmsplice inotify_add_watch socket add_key request_key keyctl unshare setns
    chroot pivot_root mount umount2 open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr
    name_to_handle_at open_by_handle_at fanotify_init ptrace process_vm_readv process_vm_writev kcmp process_madvise
    pidfd_getfd bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register kexec_load
    kexec_file_load init_module finit_module delete_module reboot swapon swapoff acct quotactl syslog
"""
HERE = list(MACHINES).index(platform.machine()) if platform.machine() in MACHINES else 0
LIBC = "import ctypes, os, socket\nlibc = ctypes.CDLL(None, use_errno=True)\n"


def verdict(steps: bytes, call: int, machine: int, *given: int) -> int:
    """What a kernel makes of a call: the steps of classic BPF that the filter has."""
    data = struct.pack("=iIQ6Q", call, machine, 0, *given, *[0] * (6 - len(given)))
    held, at = 0, 0
    while True:
        code, yes, no, number = struct.unpack_from("=HBBI", steps, 8 * at)
        at += 1
        if code == 0x20:
            (held,) = struct.unpack_from("=I", data, number)
        elif code == 0x06:
            return int(number)
        else:
            at += yes if {0x15: held == number, 0x35: held >= number, 0x45: bool(held & number)}[code] else no


@pytest.mark.parametrize(("place", "machine"), PLACES)
def test_numbers_are_the_kernels(place: int, machine: str) -> None:
    header = Path("/usr/include") / HEADERS[machine]
    if not header.is_file():
        pytest.skip("no headers of the kernel (linux-libc-dev)")
    known = dict(re.findall(r"#define __NR_(\w+)\s+(\d+)", header.read_text()))
    ours = {**DENIED, **BY_ARGUMENT, "clone3": CLONE3}
    found = {name: numbers[place] for name, numbers in ours.items() if name in known}
    assert len(found) > len(ours) - 4  # of an old header
    assert found == {name: int(known[name]) for name in found}


@pytest.mark.parametrize(("place", "machine"), PLACES)
def test_filter_refuses_what_it_names_and_nothing_else(place: int, machine: str) -> None:
    steps, here = denying_filter(machine), MACHINES[machine]
    assert set(DENIED) == set(REFUSED.split())
    special = {numbers[place] for numbers in (CLONE3, *DENIED.values())}
    for call in range(600):
        wanted = EPERM if call in special - {CLONE3[place]} else ENOSYS if call == CLONE3[place] else ALLOWED
        if call not in [numbers[place] for numbers in BY_ARGUMENT.values()]:
            assert verdict(steps, call, here) == wanted, call
    flags = 0x80800  # close-on-exec and non-blocking
    found = {(f, k): verdict(steps, SOCKETPAIR[place], here, f, k | flags) for f in range(50) for k in range(8)}
    assert {given for given, what in found.items() if what == ALLOWED} == {(1, k) for k in (0, 1, 4, 5)}
    assert set(found.values()) == {ALLOWED, EPERM}
    for level in range(300):
        found = {(level, what): verdict(steps, SETSOCKOPT[place], here, 1000, level, what) for what in range(80)}
        done = {(1, what) for what in (7, 8, 32, 33)} if level == 1 else set()
        assert found == {given: DONE if given in done else ALLOWED for given in found}
    for flags, wanted in ((0x1200011, ALLOWED), (0x3D0F00, ALLOWED), *((1 << n, EPERM) for n in (17, *range(25, 31)))):
        assert verdict(steps, CLONE[place], here, flags) == wanted, hex(flags)
    others = (0x40000003, MACHINES["aarch64" if machine == "x86_64" else "x86_64"])
    assert verdict(steps, 0x40000000, here) == verdict(steps, 0, 0x40000003) == verdict(steps, 0, others[1]) == KILLED


def test_every_call_is_refused_inside(way: Isolation) -> None:
    calls = {name: numbers[HERE] for name, numbers in DENIED.items()}
    solution = (
        f"{LIBC}answered = {{}}\n"
        f"for name, number in {calls!r}.items():\n"
        "    found = libc.syscall(number, 0, 0, 0, 0, 0)\n"
        "    if (found, ctypes.get_errno()) != (-1, 1): answered[name] = found, ctypes.get_errno()\n"
    )
    assert became(way, solution, "assert answered == {}, answered") == "passed"


@pytest.mark.parametrize(
    "attack",
    [
        "os.memfd_create('x')",
        "os.mkfifo('/tmp/f') or libc.shmget(0, ctypes.c_size_t(1 << 24), 0o1600) < 0 and fail()",
        "libc.unshare(0x10000000) and fail()",
        "libc.unshare(0x10020000) and fail()",
        "socket.socket(socket.AF_UNIX)",
        "socket.socketpair(type=socket.SOCK_DGRAM)",
        "socket.socket()",
        "socket.socket(10, socket.SOCK_DGRAM)",
        "socket.socket(40)",  # a virtual machine's host
        "socket.socket(16, socket.SOCK_RAW)",
        "socket.socket(17, socket.SOCK_RAW)",
        "socket.socket(38, socket.SOCK_SEQPACKET)",
    ],
)
def test_memory_rights_and_sockets_beyond_the_sandbox_are_refused(way: Isolation, attack: str) -> None:
    fail = "def fail(): raise OSError(ctypes.get_errno(), '')\n"
    assert became(way, LIBC + fail + attack) == "error: PermissionError"


def test_buffers_of_sockets_stay_as_they_are(way: Isolation) -> None:
    """Memory of the kernel's that counts for no process: asking for more is answered as where the kernel has a bound."""
    solution = (
        "import socket\nsizes, held = set(), 0\n"
        "pairs = [socket.socketpair(), socket.socketpair(type=socket.SOCK_SEQPACKET)]\n"
        "for one in sum(map(list, pairs), []):\n"
        "    for what in (socket.SO_SNDBUF, socket.SO_RCVBUF, 32, 33):\n"
        "        size = one.getsockopt(socket.SOL_SOCKET, what % 25)\n"
        "        one.setsockopt(socket.SOL_SOCKET, what, 1 << 21)\n"
        "        sizes.add(one.getsockopt(socket.SOL_SOCKET, what % 25) == size)\n"
        "pairs[0][0].setblocking(False)\n"
        "try:\n    while True: held += pairs[0][0].send(bytes(10000))\n"
        "except BlockingIOError: pass\n"
        "one.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)"
    )
    tests = "assert sizes == {True} and 1e4 < held < 1e6 and one.getsockopt(1, socket.SO_PASSCRED) == 1, (sizes, held)"
    assert became(way, solution, tests) == "passed"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another table of numbers is known of x86_64")
def test_another_table_of_numbers_ends_the_program(way: Isolation) -> None:
    assert became(way, LIBC + "libc.syscall(0x40000000 + 39)\n", "") == "exited"


def test_keyring_of_the_starter_is_left(way: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the filter does not stand before it."""
    monkeypatch.setattr(run_module, "denying_filter", lambda: OPEN)
    libc, add, session = ctypes.CDLL(None), DENIED["add_key"][HERE], -3
    name = f"traitscope-{os.getpid()}".encode()
    key = libc.syscall(add, b"user", name, b"secret", 6, session)
    if key < 0:
        pytest.skip("no keyrings here")
    try:
        look = f"{LIBC}found = libc.syscall({keyctl_number()}, 10, -3, b'user', {name!r}, 0)"
        assert became(way, look, "assert found < 0 and ctypes.get_errno() == 126, ctypes.get_errno()") == "passed"
    finally:
        libc.syscall(keyctl_number(), 9, key, session)


def test_a_sandbox_without_the_filter_is_not_taken(way: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "denying_filter", lambda: OPEN)
    assert run_module.fault_of(way) == "a program that must pass is failed"
    monkeypatch.setattr(run_module, "denying_filter", lambda: struct.pack("=HBBI", 0xFF, 0, 0, 0))
    assert "seccomp" in (run_module.fault_of(way) or "")


def test_a_machine_of_unknown_numbers_is_refused(way: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "riscv64" in (run_module.fault_of(way) or "")
    with pytest.raises(TraitscopeError, match="x86_64, aarch64"):
        denying_filter()
