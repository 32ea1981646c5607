"""System calls that no program needs and that reach out of its sandbox: the seccomp filter that refuses them."""

from __future__ import annotations

import errno
import platform
import struct

from traitscope.errors import TraitscopeError

# Name -> its number on x86_64 and on aarch64 (of 424 and above both have one).
DENIED = {
    # Memory that counts for no process's limit.
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180), "memfd_create": (319, 279), "memfd_secret": (447, 447), "vmsplice": (278, 75),
    "inotify_add_watch": (254, 27),
    # Whoever is not the program itself; and what a connection holds is bounded for the whole machine alone.
    "socket": (41, 198),
    # The keyrings of whoever started it.
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # New namespaces, in which a program would have every right, and mounts.
    "unshare": (272, 97), "setns": (308, 268), "chroot": (161, 51), "pivot_root": (155, 41), "mount": (165, 40),
    "umount2": (166, 39), "open_tree": (428, 428), "open_tree_attr": (467, 467), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    # Other processes.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "pidfd_getfd": (438, 438),
    # Wide ways into the kernel.
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # The machine itself.
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "quotactl": (179, 60), "syslog": (103, 116),
}  # fmt: skip
# Refused by some arguments alone; clone3 hides them, and without it the C library takes clone.
CLONE, CLONE3 = (56, 220), (435, 435)
SOCKETPAIR, SETSOCKOPT = (53, 199), (54, 208)
# mount, cgroup, uts, ipc, user, pid and net.
NEW_NAMESPACES = 0x7E020000
# Pairs of unix streams have one sender each, and asyncio needs them.
UNIX, NOT_STREAM = 1, 2
# Sizes of what the kernel keeps of a socket, which no limit of a process counts: SNDBUF, RCVBUF and both by FORCE.
SOL_SOCKET, BUFFERS = 1, (7, 8, 32, 33)

# As linux/audit.h calls the machines whose numbers these are.
_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_OF_X32 = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
# Where a call's number, its machine and the lower halves of its first arguments stand.
_NUMBER, _MACHINE, _FIRST, _SECOND, _THIRD = 0, 4, 16, 24, 32


def keyctl_number(machine: str | None = None) -> int:
    """The number of ``keyctl`` on a machine, by default this one.

    Raises:
        TraitscopeError: the machine's numbers are not known.
    """
    return DENIED["keyctl"][_place(machine or platform.machine())]


def denying_filter(machine: str | None = None) -> bytes:
    """The filter for a machine (by default this one), as classic BPF: calls of ``DENIED`` end with EPERM.

    So do new namespaces by ``clone`` and pairs of sockets that are no unix streams. Asking for larger buffers of a
    socket succeeds and changes nothing, as the kernel answers whoever asks for more than its own bound. Calls by
    another table of numbers (32 bits, x32) end the process.

    Raises:
        TraitscopeError: the machine's numbers are not known.
    """
    machine = machine or platform.machine()
    place = _place(machine)
    deny, no_such, kill = ((_RETURN, 0, 0, what) for what in (_ERROR | errno.EPERM, _ERROR | errno.ENOSYS, _KILL))
    first, second, third = ((_LOAD, 0, 0, at) for at in (_FIRST, _SECOND, _THIRD))
    allow, done = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERROR)
    # Each step is a code, how many steps are left out where it holds and where it does not, and a number.
    steps = [(_LOAD, 0, 0, _MACHINE), (_EQUAL, 1, 0, _MACHINES[machine]), kill]
    steps += [(_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _OF_X32), kill]
    for numbers in DENIED.values():
        steps += [(_EQUAL, 0, 1, numbers[place]), deny]
    steps += [(_EQUAL, 0, 1, CLONE3[place]), no_such]
    steps += [(_EQUAL, 0, 4, CLONE[place]), first, (_ANY_BIT, 0, 1, NEW_NAMESPACES), deny, allow]
    steps += [(_EQUAL, 0, 6, SOCKETPAIR[place]), first, (_EQUAL, 0, 2, UNIX), second, (_ANY_BIT, 0, 1, NOT_STREAM)]
    steps += [deny, allow]
    steps += [(_EQUAL, 0, 9, SETSOCKOPT[place]), second, (_EQUAL, 0, 5, SOL_SOCKET), third]
    steps += [*((_EQUAL, left, 0, what) for left, what in zip((4, 3, 2, 1), BUFFERS, strict=True)), allow, done]
    return b"".join(struct.pack("=HBBI", *step) for step in (*steps, allow))


def _place(machine: str) -> int:
    if machine not in _MACHINES:
        raise TraitscopeError(
            f"the system calls of a {machine} are not known here",
            where="running generated code",
            fix="judge on a Linux machine of one of: " + ", ".join(_MACHINES),
        )
    return list(_MACHINES).index(machine)
