"""One program in its sandbox, from its start to what became of it; and many of them, several at once."""

from __future__ import annotations

import math
import os
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from traitscope.errors import TraitscopeError
from traitscope.sandbox.isolation import ENVIRONMENT, Isolation, python_command
from traitscope.sandbox.syscalls import denying_filter, keyctl_number

# Raised when the same program may come to another outcome.
VERSION = 3

PASSED, FAILED, TIMEOUT, EXITED = "passed", "failed", "timeout", "exited"

# Processes and threads of one run, files it may have open, bytes of one file.
PROCESSES, FILES, FILE_BYTES = 24, 64, 16 << 20
# Bytes of an answer that are read at most; a right one has 33. Characters of an exception's name that are kept.
ANSWER, NAME = 4096, 60
# Wall clock seconds for one of processor time: other programs run beside it.
PATIENCE = 4.0
# Seconds in which a run that was killed must be gone.
GONE_S = 10.0

_INSIDE = Path(__file__).with_name("inside.py")
_ERROR = re.compile(r"[^\W\d]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Program:
    """A solution and what tests it, both Python source; the tests run behind it and see its names."""

    solution: str
    tests: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run may use.

    Attributes:
        timeout_s: seconds of processor time; of wall clock four times as many.
        memory_mb: megabytes (2**20 bytes) of address space of every process of the run.
    """

    timeout_s: float = 5.0
    memory_mb: int = 512


def run_programs(
    programs: Sequence[Program],
    limits: Limits,
    *,
    isolation: Isolation | None = None,
    jobs: int | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> list[str]:
    """What becomes of every program: equal ones are run once.

    Args:
        programs: to be run, each in a sandbox of its own.
        limits: of each.
        isolation: how they are kept apart; by default ``find_isolation``.
        jobs: how many at once; by default as many as this process has cores.
        on_done: told, in the caller's thread, how many of how many have ended; an error of it ends all.

    Returns:
        For each program ``passed``, ``failed`` (an assertion did not hold), ``timeout``, ``exited`` (it ended before
        its tests did), or ``error: `` with the name of the exception that ended it.

    Raises:
        TraitscopeError: programs cannot be kept apart here, or a sandbox does not start.
    """
    distinct = list(dict.fromkeys(programs))
    if not distinct:
        return []
    way = isolation or find_isolation()
    found: dict[Program, str] = {}
    with ThreadPoolExecutor(jobs or len(os.sched_getaffinity(0))) as pool:
        waiting = {pool.submit(_run, program, limits, way): program for program in distinct}
        try:
            left = set(waiting)
            while left:
                ended, left = wait(left, timeout=1.0, return_when=FIRST_COMPLETED)
                found.update((waiting[one], one.result()) for one in ended)
                if on_done is not None:
                    on_done(len(found), len(distinct))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [found[program] for program in programs]


@cache
def find_isolation() -> Isolation:
    """The first way that works here: bubblewrap where it is on the PATH, else namespaces.

    Each is tried on a program that must run, must not see a file of the user's nor reach a socket of the machine, and
    must be refused a system call that the filter denies.

    Raises:
        TraitscopeError: none does.
    """
    found = shutil.which("bwrap")
    ways = [Isolation("bubblewrap", found)] if found else []
    problems = [] if found else ["there is no bwrap on the PATH"]
    if sys.platform == "linux":
        ways.append(Isolation("namespaces"))
    for way in ways:
        problem = fault_of(way)
        if problem is None:
            return way
        problems.append(f"{way.kind}: {problem}")
    raise TraitscopeError(
        f"programs cannot be kept apart on this machine ({'; '.join(problems)})",
        where="running generated code",
        fix="install bubblewrap (apt install bubblewrap), allow user namespaces (in a container: "
        "--security-opt seccomp=unconfined), or judge on a Linux machine (x86_64, aarch64) that has either",
    )


def fault_of(way: Isolation) -> str | None:
    """Why a way to keep programs apart does not work on this machine; None where it does."""
    hidden = (str(Path(__file__)), str(Path.home()), "/proc/1/environ", "/etc/passwd")
    tests = (
        "import os, socket\n"
        f"assert not any(os.path.isfile(p) or os.path.isdir(p) and os.listdir(p) for p in {hidden!r})\n"
        "assert answer() == 42 and os.getuid() != 0 and os.getcwd() == '/tmp'\n"
        "def refused(error, call, given):\n"
        "    try: call(given)\n"
        "    except error: return True\n"
        "assert refused(PermissionError, os.memfd_create, 'x')\n"
    )
    inner = Path.home() if Path(os.path.realpath(os.__file__)).is_relative_to(Path.home()) else None
    if inner is not None:
        # The interpreter itself lies there: its folder is all that may be seen.
        tests = tests.replace(repr(str(inner)), repr(str(inner / ".ssh")))
    try:
        with socket.create_server(("127.0.0.1", 0)) as outside:
            tests += f"assert refused(OSError, socket.create_connection, {outside.getsockname()!r})\n"
            became = _run(Program("def answer(): return 42", tests), Limits(), way)
    except TraitscopeError as error:
        return error.what
    return None if became == PASSED else f"a program that must pass is {became}"


class _Over(Exception):
    """The time is up."""


class _Channel:
    """Both ways to a process, every step within its time. What is written to one that is gone is lost."""

    def __init__(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.out, self.into, self.deadline = process.stdin.fileno(), process.stdout.fileno(), deadline
        self.got = b""
        os.set_blocking(self.out, False)

    def _wait(self, handle: int, event: int) -> None:
        poll = select.poll()
        poll.register(handle, event)
        if not poll.poll(max(0.0, self.deadline - time.monotonic()) * 1000):
            raise _Over

    def send(self, data: bytes) -> None:
        while data:
            self._wait(self.out, select.POLLOUT)
            try:
                data = data[os.write(self.out, data) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return

    def read(self, n: int) -> bool:
        """Reads on until ``n`` bytes are there; False where the other end is closed before."""
        while len(self.got) < n:
            self._wait(self.into, select.POLLIN)
            part = os.read(self.into, n - len(self.got))
            if not part:
                return False
            self.got += part
        return True


def _run(program: Program, limits: Limits, way: Isolation) -> str:
    seconds = math.ceil(limits.timeout_s)
    # A user that nobody else is, where the run begins as root: the limit of its processes is its own.
    uid, keyctl = 1 << 30 | secrets.randbits(29), keyctl_number()
    numbers = (uid, seconds, limits.memory_mb << 20, PROCESSES, FILE_BYTES, FILES, keyctl)
    command = way.command(python_command(_INSIDE.read_text(), *map(str, numbers), denying_filter().hex()))
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT, cwd="/", start_new_session=True
        )
    except OSError as error:
        raise _no_start(f"{command[0]}: {error.strerror}") from None
    with process:
        channel = _Channel(process, time.monotonic() + limits.timeout_s * PATIENCE)
        try:
            became = _judge(program, channel, process)
        except _Over:
            became = TIMEOUT
        finally:
            if process.poll() is None:
                # The whole group: a child that was begun this moment does not know yet that it ends with its parent.
                os.killpg(process.pid, signal.SIGKILL)
            _wait_until_gone(channel)
    return became


def _judge(program: Program, channel: _Channel, process: subprocess.Popen[bytes]) -> str:
    nonce = secrets.token_hex(16).encode()
    channel.send(_framed(program.solution))
    if channel.read(1) and channel.got == b"L":
        channel.send(_framed(program.tests) + nonce)
        channel.got = b""
        channel.read(ANSWER)
        # Only whoever read on behind the tests can know it.
        if channel.got == nonce:
            return PASSED
    else:
        channel.read(ANSWER)
    try:
        # It may go on writing what nobody reads.
        status = process.wait(max(0.0, channel.deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _Over from None
    said = channel.got.decode("utf-8", "replace")
    if said.startswith("E"):
        name = said[1 : 1 + NAME]
        return FAILED if name == FAILED else f"error: {name}" if _ERROR.fullmatch(name) else "error: Exception"
    if status in (-signal.SIGXCPU, 128 + signal.SIGXCPU):
        return TIMEOUT
    assert process.stderr is not None
    if not said and (problem := process.stderr.read(2000).decode("utf-8", "replace").strip()):
        # The code inside has no standard error: this is the sandbox's own.
        raise _no_start(problem.splitlines()[-1])
    return EXITED


def _no_start(problem: str) -> TraitscopeError:
    return TraitscopeError(
        f"the sandbox does not start: {problem}",
        where="running generated code",
        fix="see docs/code.md for what it needs",
    )


def _framed(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8, "big") + data


def _wait_until_gone(channel: _Channel) -> None:
    """Until nothing of the run holds the channel any more, which ends with its last process."""
    channel.deadline = time.monotonic() + GONE_S
    try:
        while channel.read(ANSWER):
            channel.got = b""
    except _Over:
        raise TraitscopeError(
            "a program that was killed does not end",
            where="running generated code",
            fix="look for its processes, and tell how it came about",
        ) from None
