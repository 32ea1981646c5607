"""Programs that mean harm: each is kept from it, ends in time, and leaves nothing behind. In every way."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from traitscope.errors import TraitscopeError
from traitscope.sandbox import Isolation, Limits, Program, run_programs
from traitscope.sandbox import run as run_module
from traitscope.sandbox.isolation import interpreter

WAYS = [Isolation("namespaces"), *([Isolation("bubblewrap", found)] if (found := shutil.which("bwrap")) else [])]
TESTS = "assert answer() == 42"
RIGHT = "def answer(): return 42\n"


@pytest.fixture(params=WAYS, ids=[way.kind for way in WAYS])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Isolation:
    found: Isolation = request.param
    if run_module.fault_of(found) is not None:
        pytest.skip(f"no {found.kind} on this machine")
    monkeypatch.setattr(run_module, "PATIENCE", 1.7)
    return found


def became(way: Isolation, solution: str, tests: str = TESTS, *, timeout_s: float = 1.0, memory_mb: int = 256) -> str:
    limits = Limits(timeout_s=timeout_s, memory_mb=memory_mb)
    (found,) = run_programs([Program(solution, tests)], limits, isolation=way)
    return found


# ---- what a run is for


@pytest.mark.parametrize(
    ("solution", "outcome"),
    [
        (RIGHT, "passed"),
        ("def answer(): return 41", "failed"),
        ("def answer(): raise KeyError(1)", "error: KeyError"),
        ("def other(): return 42", "error: NameError"),
        ("def answer(:", "error: SyntaxError"),
        ("x = 1\0", "error: SyntaxError"),
        ("x = '\ud800'", "error: SyntaxError"),
        ("import numpy\n" + RIGHT, "error: ModuleNotFoundError"),
        ("def answer(): return answer()", "error: RecursionError"),
        ("x = bytearray(1 << 33)\n" + RIGHT, "error: MemoryError"),
        ("def answer(): return int('9' * 10**6)", "error: ValueError"),
        ("def answer(): return 9**9**9", "timeout"),
        ("while True: pass", "timeout"),
        ("import time\ntime.sleep(60)", "timeout"),
        ("class Odd(Exception): pass\nOdd.__name__ = 'passed\\n'\nraise Odd", "error: Exception"),
        ("import heapq, re, math, collections, itertools, functools, string, datetime\n" + RIGHT, "passed"),
        (
            "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: 'int' = 42\ndef answer(): return A().x",
            "passed",
        ),
    ],
)
def test_outcome_names_what_became_of_a_program(way: Isolation, solution: str, outcome: str) -> None:
    assert became(way, solution) == outcome


def test_tests_see_what_the_solution_defined(way: Isolation) -> None:
    solution = "import math\nBASE = 40\ndef answer(): return BASE + 2\nif __name__ == '__main__': raise SystemExit"
    assert became(way, solution, "assert math.floor(answer()) == BASE + 2") == "passed"


def test_equal_programs_are_run_once_and_order_is_kept(way: Isolation) -> None:
    told: list[tuple[int, int]] = []
    programs = [Program(RIGHT, TESTS), Program("", TESTS), Program(RIGHT, TESTS)] * 3
    found = run_programs(programs, Limits(), isolation=way, on_done=lambda done, of: told.append((done, of)))
    assert found == ["passed", "error: NameError", "passed"] * 3
    assert told[-1] == (2, 2)


def test_no_program_needs_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "find_isolation", lambda: pytest.fail("looked for one"))
    assert run_programs([], Limits()) == []


# ---- passes that are none

FAKES = {
    "exit before the tests": "import sys\nsys.exit(0)",
    "exit of the process before the tests": "import os\nos._exit(0)",
    "exit inside the tests": "import os\ndef answer(): os._exit(0)",
    "SystemExit inside the tests": "def answer(): raise SystemExit(0)",
    "KeyboardInterrupt": "def answer(): raise KeyboardInterrupt",
    "signal to itself": "import os\ndef answer(): os.kill(os.getpid(), 9)",
    "said on standard output": "import os\nprint('passed')\nos.write(1, b'passed')\ndef answer(): return 41",
    "said on every file": (
        "import os\n"
        "for n in range(3, 64):\n"
        "    try: os.write(n, b'L' + b'0' * 32)\n"
        "    except OSError: pass\n"
        "os._exit(0)"
    ),
    "a loaded mark twice": (
        "import os\ndef answer():\n"
        "    for n in range(3, 64):\n"
        "        try: os.write(n, b'L')\n"
        "        except OSError: pass\n"
        "    os._exit(0)"
    ),
    "another assert": "import builtins\nbuiltins.AssertionError = None\ndef answer(): return 41",
    "an abs of its own": "import builtins\nbuiltins.abs = lambda x: 0\ndef answer(): return 41",
    "another exec": "import builtins\nbuiltins.exec = lambda *a: None\nbuiltins.compile = lambda *a: ''\ndef answer(): return 1",
    "another os": "import os\nos.write = lambda *a: 1\nos.read = lambda *a: b''\nos._exit = lambda *a: 0\ndef answer(): return 1",
    "a trace": (
        "import sys\n"
        "def trace(frame, event, arg):\n"
        "    frame.f_trace = trace\n"
        "    return trace\n"
        "sys.settrace(trace)\ndef answer(): return 41"
    ),
    "a hook at the end": "import sys\nsys.excepthook = lambda *a: __import__('os')._exit(0)\ndef answer(): return 41",
    "at exit": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef answer(): return 41",
    "a thread that ends it": (
        "import threading, os, time\n"
        "threading.Thread(target=lambda: (time.sleep(.05), os._exit(0)), daemon=True).start()\n"
        "def answer():\n    time.sleep(1)\n    return 42"
    ),
    "a child that goes on alone": "import os\ndef answer():\n    if os.fork(): os._exit(0)\n    return 41",
}


@pytest.mark.parametrize("name", FAKES)
def test_a_pass_cannot_be_faked_from_outside_the_tests(way: Isolation, name: str) -> None:
    tests = "assert abs(answer() - 42) < 1e-6"
    assert became(way, FAKES[name], tests) in ("exited", "failed")


def test_the_proof_is_not_there_while_the_solution_loads(way: Isolation) -> None:
    """All that a solution could look through for the number: frames, objects, arguments, environment."""
    solution = (
        "import gc, os, sys, re\n"
        "texts = [repr(sys.argv), repr(sys.orig_argv[5:]), repr(dict(os.environ))]\n"
        "frame = sys._getframe()\n"
        "while frame: texts.append(repr(frame.f_locals)[:20000]); frame = frame.f_back\n"
        "texts += [repr(o) for o in gc.get_objects() if type(o) in (dict, list, tuple) and len(o) < 50]\n"
        "found = re.findall(r'\\b[0-9a-f]{32}\\b', ' '.join(texts))\n"
        "def answer(): return len(found)\n"
    )
    assert became(way, solution, "assert answer() == 0") == "passed"


# ---- what it may use


def test_fork_bomb_ends_with_its_time(way: Isolation) -> None:
    started, megabytes = time.monotonic(), 256 + os.getpid() % 100
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    found = became(way, bomb, memory_mb=megabytes)
    assert found in ("timeout", "exited")
    assert time.monotonic() - started < 15
    # The limit stands on the command line of every process of the run.
    assert f" {megabytes << 20} " not in _command_lines()


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


def test_limits_cannot_be_raised(way: Isolation) -> None:
    for what in ("RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_FSIZE", "RLIMIT_CPU", "RLIMIT_NOFILE"):
        raised = f"import resource\nresource.setrlimit(resource.{what}, (1 << 40, 1 << 40))"
        assert became(way, raised) in ("error: ValueError", "error: PermissionError"), what


# ---- what it may reach


def test_files_of_the_user_are_not_there(way: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "token"
    secret.write_text("hf_secret")
    secret.chmod(0o644)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    solution = (
        "import os\n"
        f"paths = [{str(secret)!r}, {str(Path(__file__))!r}, '/etc/passwd', '/etc/shadow', '/proc/1/environ',\n"
        "         '/proc/self/environ', '/sys', '/home', '/root/.ssh', '/root/.cache', '/var', '/dev/shm', '/run']\n"
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


def test_no_network_not_even_to_this_machine(way: Isolation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        solution = (
            "import socket\nreached = []\n"
            f"for address in (('127.0.0.1', {port}), ('8.8.8.8', 53)):\n"
            "    try: socket.create_connection(address, timeout=.3); reached.append(address)\n"
            "    except OSError: pass\n"
            "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "try: udp.sendto(b'x', ('8.8.8.8', 53)); reached.append('udp')\n"
            "except OSError: pass\n"
        )
        assert became(way, solution, "assert reached == [], reached") == "passed"
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


def test_abstract_sockets_of_this_machine_are_not_there(way: Isolation) -> None:
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
    assert mark not in _command_lines()


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
    before = set(_children())  # of other tests
    handles = len(os.listdir("/proc/self/fd"))
    run_programs([Program(f"x = {n}\n" + RIGHT, TESTS) for n in range(20)], Limits(), isolation=way)
    assert len(os.listdir("/proc/self/fd")) == handles
    assert set(_children()) <= before


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
        _until(lambda: mark in _command_lines().replace(script, ""))
        starter.kill()
    _until(lambda: mark not in _command_lines())


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


def test_a_sandbox_that_keeps_nothing_apart_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    fake.chmod(0o755)
    assert run_module.fault_of(Isolation("bubblewrap", str(fake))) is not None


def _until(holds: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def _command_lines() -> str:
    return "\n".join(_each_process("cmdline"))


def _each_process(name: str) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            yield (path / name).read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue


def _children() -> list[str]:
    return [text.split()[0] for text in _each_process("stat") if text.rsplit(")", 1)[-1].split()[1] == str(os.getpid())]
