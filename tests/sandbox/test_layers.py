"""Each layer of the sandbox by itself: what the isolation gives a bare interpreter, and how runs end."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox.programs import RIGHT, became, command_lines, until
from traitscope.sandbox import Isolation, Limits, Program, isolation, run_programs
from traitscope.sandbox import run as run_module
from traitscope.sandbox.isolation import python_command


def inside(way: Isolation, source: str) -> Any:
    """What an expression of Python is in the sandbox, without filter and limits."""
    command = way.command(python_command(f"import ctypes, json, os\nlibc = ctypes.CDLL(None)\n{source}"))
    return json.loads(
        subprocess.run(command, capture_output=True, check=True, env=isolation.ENVIRONMENT, timeout=10).stdout
    )


def test_mounts_carry_no_rights_and_only_tmp_is_written_to(way: Isolation) -> None:
    found = inside(way, "print(json.dumps({p: os.statvfs(p).f_flag for p in ('/', '/usr', '/tmp')}))")
    assert {path: flags & (os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV) for path, flags in found.items()} == {
        "/": os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV,
        "/usr": os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV,
        "/tmp": os.ST_NOSUID | os.ST_NODEV,
    }


def test_programs_see_the_same_machine_in_every_way(way: Isolation) -> None:
    """Or a right program would be one by bubblewrap and none by namespaces."""
    found = inside(way, "print(json.dumps([dict(os.environ), os.getcwd(), sorted(os.listdir('/dev'))]))")
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    environment |= dict.fromkeys(("HOME", "TMPDIR", "PWD"), "/tmp")
    assert found == [environment, "/tmp", ["null", "random", "urandom", "zero"]]


def test_number_of_files_is_limited(way: Isolation) -> None:
    if way.kind == "bubblewrap":
        pytest.skip("bubblewrap limits their bytes alone")
    assert inside(way, "print(os.statvfs('/tmp').f_files)") == 2000


def test_no_new_rights_before_the_filter(way: Isolation) -> None:
    assert inside(way, "print(libc.prctl(39, 0, 0, 0, 0))") == 1


def test_the_machines_name_is_not_seen(way: Isolation) -> None:
    assert inside(way, "print(json.dumps(os.uname().nodename))") == "sandbox" != os.uname().nodename


def test_semaphores_of_the_machine_are_not_there(way: Isolation) -> None:
    libc, key = ctypes.CDLL(None), 0x7A170000 | os.getpid() & 0xFFFF
    made = libc.semget(key, 1, 0o1666)
    if made < 0:
        pytest.skip("no semaphores here")
    try:
        assert libc.semget(key, 0, 0) == made
        assert inside(way, f"print(libc.semget({key}, 0, 0))") == -1
    finally:
        libc.semctl(made, 0, 0)


def test_groups_of_the_starter_are_left() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may join groups")
    script = (
        "from traitscope.sandbox import *\n"
        "tests = 'import os\\nassert os.getgroups() == [], os.getgroups()'\n"
        "print(run_programs([Program('', tests)], Limits()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, extra_groups=[4242], timeout=30
    )
    if "cannot be kept apart" in run.stderr:
        pytest.skip("no sandbox on this machine")
    assert run.stdout == "['passed']\n", run.stderr


def test_no_core_is_dumped(way: Isolation) -> None:
    tests = "import resource\nassert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)"
    assert became(way, RIGHT, tests) == "passed"


def test_nothing_is_left_in_the_folder_of_temporary_files(
    way: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even by a process that ends at once, as workers do."""
    script = f"import os\nfrom traitscope.sandbox import *\nrun_programs([Program('', '')], Limits(), isolation={way!r})\nos._exit(7)"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert subprocess.run([sys.executable, "-c", script], timeout=30).returncode == 7
    assert list(tmp_path.iterdir()) == []


# ---- how it ends


def test_signals_to_its_own_group_reach_no_launcher(way: Isolation) -> None:
    solution = "import os, signal\nsignal.signal(15, signal.SIG_IGN)\nos.killpg(0, 15)\n" + RIGHT
    assert became(way, solution, "assert answer() == 42 and os.getsid(0) == os.getpgrp() == os.getpid()") == "passed"


def launched(mark: str) -> list[str]:
    return Isolation("namespaces").command(python_command("import time; time.sleep(60)", mark))


def test_whose_starter_is_gone_does_not_start() -> None:
    *command, given = launched("")
    orphan = json.dumps({**json.loads(given), "parent": 1})
    done = subprocess.run([*command, orphan], capture_output=True, timeout=10)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_whose_launcher_ends_between_fork_and_its_first_step_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    if run_module.fault_of(Isolation("namespaces")) is not None:
        pytest.skip("no namespaces on this machine")
    mark = f"traitscope-between-{os.getpid()}"
    python, *flags, source, given = launched(mark)
    slow = source.replace(
        "def begin_child(parent_there: int) -> None:\n",
        "def begin_child(parent_there: int) -> None:\n    import time; time.sleep(.5)\n",
    )
    assert slow != source
    with subprocess.Popen([python, *flags, slow, given], env={}) as launcher:
        until(lambda: command_lines().count(mark) == 2)
        launcher.kill()
    assert mark in command_lines()
    time.sleep(0.6)
    until(lambda: mark not in command_lines(), 2.0)


def test_what_a_launcher_began_ends_with_its_group(tmp_path: Path) -> None:
    """Between fork and its first step a child knows of no parent: here one that never asks."""
    slow = tmp_path / "bwrap"
    slow.write_text("#!/bin/sh\nsleep 60 &\nwait\n")
    slow.chmod(0o755)
    started = time.monotonic()
    assert became(Isolation("bubblewrap", str(slow)), RIGHT, timeout_s=0.1) == "timeout"
    assert time.monotonic() - started < run_module.GONE_S / 2


@pytest.mark.parametrize("timeout_s", [1e-9, 0.01, pytest.param(0.015, marks=pytest.mark.verify)])
def test_runs_that_end_while_they_start_leave_nothing(way: Isolation, timeout_s: float) -> None:
    megabytes = 200 + os.getpid() % 100
    programs = [Program(f"x = {n}\nimport time\ntime.sleep(25)", "") for n in range(40)]
    limits = Limits(timeout_s=timeout_s, memory_mb=megabytes)
    assert set(run_programs(programs, limits, isolation=way)) == {"timeout"}
    assert f" {megabytes << 20} " not in command_lines()


def test_launcher_is_told_what_it_reads() -> None:
    assert json.loads(launched("")[-1])["parent"] == os.getpid()
