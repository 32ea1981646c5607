"""One program and what became of it, and what this machine's processes are."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from traitscope.sandbox import Isolation, Limits, Program, run_programs

TESTS = "assert answer() == 42"
RIGHT = "def answer(): return 42\n"
# A filter that allows every system call.
OPEN = struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)


def became(way: Isolation, solution: str, tests: str = TESTS, *, timeout_s: float = 1.0, memory_mb: int = 256) -> str:
    limits = Limits(timeout_s=timeout_s, memory_mb=memory_mb)
    (found,) = run_programs([Program(solution, tests)], limits, isolation=way)
    return found


def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def command_lines() -> str:
    return "\n".join(each_process("cmdline"))


def each_process(name: str) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            yield (path / name).read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue


def children() -> list[str]:
    return [text.split()[0] for text in each_process("stat") if text.rsplit(")", 1)[-1].split()[1] == str(os.getpid())]
