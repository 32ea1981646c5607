"""What becomes of a program: its outcomes, and passes that are none. In every way that keeps programs apart."""

from __future__ import annotations

import pytest

from sandbox.programs import RIGHT, TESTS, became
from traitscope.sandbox import Isolation, Limits, Program, run_programs
from traitscope.sandbox import run as run_module

# ---- what a run is for


@pytest.mark.parametrize(
    ("solution", "outcome"),
    [
        (RIGHT, "passed"),
        ("def answer(): return 41", "failed"),
        ("def answer(): raise KeyError(1)", "error: KeyError"),
        ("def other(): return 42", "error: NameError"),
        ("def answer(:", "error: SyntaxError"),
        ("import numpy\n" + RIGHT, "error: ModuleNotFoundError"),
        ("def answer(): return answer()", "error: RecursionError"),
        ("x = bytearray(1 << 33)\n" + RIGHT, "error: MemoryError"),
        ("def answer(): return int('9' * 10**6)", "error: ValueError"),
        ("def answer(): return 9**9**9", "timeout"),
        ("while True: pass", "timeout"),
        ("import time\ntime.sleep(60)", "timeout"),
        ("class Odd(Exception): pass\nOdd.__name__ = 'passed\\n'\nraise Odd", "error: Exception"),
        (
            "class Of(type):\n    __name__ = property(lambda c: 1 / 0)\nclass Odd(Exception, metaclass=Of): pass\nraise Odd",
            "error: Odd",
        ),
        ("class Odd(Exception):\n    __class__ = property(lambda e: 1 / 0)\nraise Odd", "error: Odd"),
        ("class Odd(Exception):\n    __class__ = AssertionError\nraise Odd", "error: Odd"),
        ("class Odd(SystemExit):\n    __class__ = ValueError\nraise Odd", "exited"),
        (
            "from multiprocessing.shared_memory import SharedMemory\nSharedMemory(create=True, size=9)",
            "error: FileNotFoundError",
        ),
        ("import multiprocessing\nmultiprocessing.Lock()", "error: FileNotFoundError"),
        ("import heapq, re, math, collections, itertools, functools, string, datetime\n" + RIGHT, "passed"),
        (
            "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: 'int' = 42\ndef answer(): return A().x",
            "passed",
        ),
    ],
)
def test_outcome_names_what_became_of_a_program(way: Isolation, solution: str, outcome: str) -> None:
    assert became(way, solution) == outcome


@pytest.mark.parametrize(
    "solution",
    [
        "# coding: latin-1\ndef answer(): return 41 + len('\u00e9')",
        "# This is my coding: it adds\n" + RIGHT,
        "#!/usr/bin/python\n# Encoding: the caesar way\n" + RIGHT,
        "# vim: set fileencoding=none :\n" + RIGHT,
        "# -*- coding: utf-7 -*-\n" + RIGHT + "#+AAo-def answer(): return 7",
        "\ufeff" + RIGHT,
        "x = 1\0",
        "x = '\ud800'",
        "\u00e9 = 42\ndef answer(): return \u00e9",
        "def answer():\r\n    return 42\r\n",
    ],
)
def test_source_means_what_exec_of_the_text_means(way: Isolation, solution: str) -> None:
    """As human-eval and its peers run it: comments are no encodings."""
    try:
        exec(solution, names := {})
        exec(TESTS, names)
        outcome = "passed"
    except (SyntaxError, ValueError) as error:
        outcome = f"error: {type(error).__name__}"
    assert became(way, solution) == outcome


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (b"E" + b"A" * 4000, "error: " + "A" * 60),
        (b"EValueError\n", "error: Exception"),
        (b"E", "error: Exception"),
        (b"E1x", "error: Exception"),
        (b"E\xff\xfe", "error: Exception"),
        (b"EA b", "error: Exception"),
        (b"passed", "exited"),
    ],
)
def test_name_of_an_error_is_a_short_identifier_whoever_gives_it(way: Isolation, said: bytes, outcome: str) -> None:
    told = run_module.FILES - 2
    assert became(way, f"import os\nos.write({told}, {said!r})\nos._exit(1)") == outcome


@pytest.mark.parametrize(
    "solution",
    [
        "import subprocess, sys\ndef answer(): return int(subprocess.check_output([sys.executable, '-c', 'print(42)']))",
        "from concurrent.futures import ThreadPoolExecutor as P\ndef answer(): return list(P(2).map(int, ['42']))[0]",
        "import asyncio\nasync def f(): return 42\ndef answer(): return asyncio.run(f())",
        "import os\nif os.fork() == 0: os._exit(0)\ndef answer(): return 40 + 2 * (os.wait()[1] == 0)",
        "import tempfile\ndef answer(): return tempfile.TemporaryFile().write(b'x' * 42)",
        "import subprocess as s\ndef answer(): return 42 + s.call(['true'], stdin=s.DEVNULL, stdout=s.DEVNULL)",
        "import os\nassert os.path.expanduser('~') == '/tmp'\ndef answer(): return 42",
        "import locale\nassert locale.getpreferredencoding() == 'UTF-8'\ndef answer(): return 42",
    ],
    ids=["process", "threads", "event loop", "fork", "file", "null", "home", "language"],
)
def test_ordinary_means_stay(way: Isolation, solution: str) -> None:
    assert became(way, solution) == "passed"


def test_tests_are_not_traced_by_the_solution(way: Isolation) -> None:
    """A trace may choose the line that is next, and so leave out the tests."""
    solution = (
        "import sys\n"
        "def trace(frame, event, arg):\n"
        "    if event == 'line' and frame.f_code.co_filename == 'tests.py': frame.f_lineno = 3\n"
        "    return trace\n"
        "sys.setprofile(lambda *a: None)\nsys.settrace(trace)\ndef answer(): return 41"
    )
    assert became(way, solution, "import sys\nassert answer() == 42\nlast = 1") == "failed"
    assert became(way, solution, "assert sys.gettrace() is None and sys.getprofile() is None") == "passed"


def test_wall_clock_is_four_times_the_processors(way: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other programs run beside it: what sleeps longer than its limit has not used it."""
    monkeypatch.undo()
    assert became(way, "import time\ntime.sleep(2)\n" + RIGHT, timeout_s=0.6) == "passed"


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
    "builtins of its own": "import builtins\n__builtins__ = dict(vars(builtins), abs=lambda x: 0)\ndef answer(): return 41",
    "a module of builtins": (
        "import builtins, types\n__builtins__ = types.ModuleType('b')\n"
        "vars(__builtins__).update(vars(builtins), abs=lambda x: 0)\ndef answer(): return 41"
    ),
    "an abs behind the judge's back": (
        "import __main__, builtins\nbuiltins.abs = lambda x: 0\n"
        "__main__.builtins = __main__.sys = __main__.os = None\ndef answer(): return 41"
    ),
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
