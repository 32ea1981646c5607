"""Programs that mean harm: each is kept from it, ends in time, and leaves nothing behind. In every way."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.programs import OPEN, RIGHT, TESTS, became, children, command_lines, until
from traitscope.errors import TraitscopeError
from traitscope.sandbox import Isolation, Limits, Program, run_programs
from traitscope.sandbox import run as run_module
from traitscope.sandbox.isolation import interpreter

# ---- what it may use


def test_fork_bomb_ends_with_its_time(way: Isolation) -> None:
    started, megabytes = time.monotonic(), 256 + os.getpid() % 100
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    found = became(way, bomb, memory_mb=megabytes)
    assert found in ("timeout", "exited")
    assert time.monotonic() - started < 15
    # The limit stands on the command line of every process of the run.
    assert f" {megabytes << 20} " not in command_lines()


def test_number_of_processes_is_limited(way: Isolation) -> None:
    solution = (
        "import os, time\nmade = 0\n"
        "for _ in range(200):\n"
        "    try: pid = os.fork()\n"
        "    except OSError: break\n"
        "    if not pid: time.sleep(30); os._exit(0)\n"
        "    made += 1\n"
        "def answer(): return made"
    )
    assert became(way, solution, f"assert 0 <= answer() < {run_module.PROCESSES}, answer()") == "passed"


def test_threads_are_limited_too(way: Isolation) -> None:
    solution = (
        "import threading\nstop = threading.Event()\n"
        "for _ in range(500): threading.Thread(target=stop.wait, daemon=True).start()\n" + RIGHT
    )
    assert became(way, solution) in ("error: RuntimeError", "error: MemoryError")


def test_big_files_are_cut_off(way: Isolation) -> None:
    one = "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nopen('/tmp/x', 'wb').write(bytes(17 << 20))"
    many = "for n in range(100): open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))"
    assert became(way, one) == "error: OSError"
    assert became(way, many) == "error: OSError"


def test_output_without_end_costs_nothing_but_its_time(way: Isolation) -> None:
    assert (
        became(way, "import sys\nwhile True: sys.stdout.write('x' * 100000); sys.stderr.write('y' * 100000)")
        == "timeout"
    )
    assert became(way, "import os\nos.write(1, b'\\xff\\xfe' * 1000)\nos.write(2, b'\\x00\\xff')\n" + RIGHT) == "passed"


def test_answer_without_end_is_not_read(way: Isolation) -> None:
    flood = "import os\nwhile True:\n    for n in range(3, 64):\n        try: os.write(n, b'x' * 65536)\n        except OSError: pass"
    assert became(way, flood) in ("timeout", "exited", "error: Exception")


def test_signals_cannot_be_ignored(way: Isolation) -> None:
    deaf = "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
    started = time.monotonic()
    assert became(way, deaf + "while True: pass") in ("timeout", "exited")
    assert time.monotonic() - started < 8


def test_nothing_is_read_from_standard_input(way: Isolation) -> None:
    assert became(way, "input()") == "error: EOFError"


def test_number_of_open_files_is_limited(way: Isolation) -> None:
    solution = "held = []\ntry:\n    while True: held.append(open('/dev/null'))\nexcept OSError: pass"
    assert became(way, solution, f"assert 50 < len(held) < {run_module.FILES}, len(held)") == "passed"


def test_limits_cannot_be_raised(way: Isolation) -> None:
    for what in ("RLIMIT_CORE", "RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_FSIZE", "RLIMIT_CPU", "RLIMIT_NOFILE"):
        raised = f"import resource\nresource.setrlimit(resource.{what}, (1 << 40, 1 << 40))"
        assert became(way, raised) in ("error: ValueError", "error: PermissionError"), what


# ---- what it may reach


def test_files_of_the_user_are_not_there(way: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "token"
    secret.write_text("hf_secret")
    secret.chmod(0o644)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    home = str(Path.home())
    solution = (
        "import os\n"
        f"paths = [{str(secret)!r}, {str(Path(__file__))!r}, '/etc/passwd', '/etc/shadow', '/proc/1/environ',\n"
        f"         '/proc/self/environ', '/sys', '/home', {home + '/.ssh'!r}, {home + '/.cache'!r}, '/var',\n"
        "         '/dev/shm', '/run']\n"
        "seen = [p for p in paths if os.path.exists(p)] + [v for v in os.environ.values() if 'secret' in v]\n"
        "top = sorted(os.listdir('/tmp'))"
    )
    assert became(way, solution, "assert seen == [] and top == [], (seen, top)") == "passed"


def test_nothing_outside_is_written_or_deleted(way: Isolation, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("whole")
    solution = (
        "import os, shutil\n"
        "for top in (os.path.dirname(os.__file__) + '/json', '/usr/bin', '/etc'): shutil.rmtree(top, ignore_errors=True)\n"
        f"made = []\nfor path in ('/usr/mine', '/mine', '/etc/mine', {str(kept)!r}, {os.path.dirname(os.__file__) + '/mine'!r}):\n"
        "    try: open(path, 'w').write('x'); made.append(path)\n"
        "    except OSError: pass\n"
        "open('/tmp/own', 'w').write('mine')"
    )
    assert became(way, solution, "assert made == [] and open('/tmp/own').read() == 'mine', made") == "passed"
    assert kept.read_text() == "whole"
    assert (Path(os.__file__).parent / "json" / "decoder.py").exists()
    assert not os.path.exists("/tmp/own")


def test_links_lead_nowhere(way: Isolation, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    solution = (
        f"import os\nos.symlink({str(secret)!r}, '/tmp/a')\nos.symlink('/proc/1/root', '/tmp/b')\n"
        "os.symlink('../../../../../..', '/tmp/up')\n"
        "found = [p for p in ('/tmp/a', '/tmp/b', '/tmp/up" + str(secret) + "') if os.path.exists(p)]"
    )
    assert became(way, solution, "assert found == [], found") == "passed"


def test_a_run_leaves_nothing_to_the_next(way: Isolation) -> None:
    assert became(way, "open('/tmp/left', 'w').write('x')\n" + RIGHT) == "passed"
    assert became(way, "import os\ndef answer(): return 42 if not os.listdir('/tmp') else 0") == "passed"


@pytest.mark.parametrize("filtered", [True, False])
def test_no_network_not_even_to_this_machine(way: Isolation, filtered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the filter, and by a network of its own where the filter lets sockets be made."""
    if not filtered:
        monkeypatch.setattr(run_module, "denying_filter", lambda: OPEN)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        solution = (
            "import socket\nreached = []\n"
            f"for address in (('127.0.0.1', {port}), ('8.8.8.8', 53)):\n"
            "    try: socket.create_connection(address, timeout=.3); reached.append(address)\n"
            "    except OSError: pass\n"
            "try: socket.socket(type=2).sendto(b'x', ('8.8.8.8', 53)); reached.append('udp')\n"
            "except OSError: pass\n"
        )
        assert became(way, solution, "assert reached == [], reached") == "passed"
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


def test_abstract_sockets_of_this_machine_are_not_there(way: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the filter lets unix sockets be made."""
    monkeypatch.setattr(run_module, "denying_filter", lambda: OPEN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0traitscope-test")
        server.listen()
        solution = "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0traitscope-test')"
        assert became(way, solution) == "error: ConnectionRefusedError"


def test_processes_of_this_machine_are_not_there(way: Isolation) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        solution = (
            "import os, signal\nkilled = []\n"
            f"for pid in ({other.pid}, {os.getpid()}, os.getppid(), 1, -1):\n"
            "    try: os.kill(pid, signal.SIGKILL if pid > 1 else 0); killed.append(pid)\n"
            "    except (ProcessLookupError, PermissionError): pass\n"
        )
        tests = f"assert not {{{other.pid}, {os.getpid()}}} & set(killed), killed"
        assert became(way, solution, tests) in ("passed", "exited")
        assert other.poll() is None
        other.kill()


def test_daemons_end_with_their_run(way: Isolation) -> None:
    """A process that left its parents and its session, and ignores what can be ignored."""
    mark = f"traitscope-daemon-{os.getpid()}"
    solution = (
        "import os, signal, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"        os.execv({interpreter()!r}, ['python', '-c', 'import time; time.sleep(300)', {mark!r}])\n"
        "    os._exit(0)\n"
        "time.sleep(.2)\n" + RIGHT
    )
    assert became(way, solution) == "passed"
    assert mark not in command_lines()


def test_no_rights_are_left_to_gain(way: Isolation) -> None:
    solution = (
        "import os\nheld = []\n"
        "for name in ('setuid', 'setgid'):\n"
        "    try: getattr(os, name)(0); held.append(name)\n"
        "    except OSError: pass\n"
        "for name, call in (('chroot', lambda: os.chroot('/tmp')), ('mknod', lambda: os.mknod('/tmp/d', 0o60600, 2048)),\n"
        "                   ('nice', lambda: os.nice(-5)), ('name', lambda: __import__('socket').sethostname('x'))):\n"
        "    try: call(); held.append(name)\n"
        "    except OSError: pass\n"
        "held += ['root'] if 0 in (os.getuid(), os.geteuid()) else []"
    )
    assert became(way, solution, "assert held == [], held") == "passed"


# ---- what it leaves behind


def test_no_process_and_no_handle_stays(way: Isolation) -> None:
    became(way, RIGHT)
    before = set(children())  # of other tests
    handles = len(os.listdir("/proc/self/fd"))
    run_programs([Program(f"x = {n}\n" + RIGHT, TESTS) for n in range(20)], Limits(), isolation=way)
    assert len(os.listdir("/proc/self/fd")) == handles
    assert set(children()) <= before


def test_an_interrupt_ends_the_runs(way: Isolation) -> None:
    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    programs = [Program(f"x = {n}\nimport time\ntime.sleep(.2)", "") for n in range(100)]
    with pytest.raises(KeyboardInterrupt):
        run_programs(programs, Limits(), isolation=way, jobs=2, on_done=stop)
    assert time.monotonic() - started < 5


def test_a_run_ends_with_whoever_started_it(way: Isolation) -> None:
    mark = f"traitscope-orphan-{os.getpid()}"
    solution = f"import os\nos.execv({interpreter()!r}, ['python', '-c', 'import time; time.sleep(300)', {mark!r}])"
    script = (
        "from traitscope.sandbox import *\n"
        f"run_programs([Program({solution!r}, '')], Limits(timeout_s=60), isolation={way!r})"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as starter:
        until(lambda: mark in command_lines().replace(script, ""))
        starter.kill()
    until(lambda: mark not in command_lines())


def test_where_nothing_isolates_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module.shutil, "which", lambda name: None)
    monkeypatch.setattr(run_module.sys, "platform", "darwin")
    run_module.find_isolation.cache_clear()
    try:
        with pytest.raises(TraitscopeError, match="cannot be kept apart") as caught:
            run_module.find_isolation()
    finally:
        run_module.find_isolation.cache_clear()
    assert "bubblewrap" in str(caught.value.fix)


def test_a_sandbox_that_does_not_start_is_no_outcome(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: no permission' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(TraitscopeError, match="no permission"):
        became(Isolation("bubblewrap", str(broken)), RIGHT)


def test_an_interpreter_that_cannot_be_started_is_no_outcome(tmp_path: Path) -> None:
    (tmp_path / "bwrap").write_text("")
    for name in ("bwrap", "gone"):
        with pytest.raises(TraitscopeError, match=r"the sandbox does not start: .*(denied|No such file)"):
            became(Isolation("bubblewrap", str(tmp_path / name)), RIGHT)


def test_a_sandbox_that_keeps_nothing_apart_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    fake.chmod(0o755)
    assert run_module.fault_of(Isolation("bubblewrap", str(fake))) is not None
