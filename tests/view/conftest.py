"""A tiny study, filled and not, and the server of the live page as a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "study"))
import tiny

from traitscope.study import Study


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random Llama."""
    return tiny.make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """The study file of a filled study: not to be changed."""
    file = tiny.make_study(tmp_path_factory.mktemp("filled"), base)
    Study.open(file).run()
    return file


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    """The study file of a copy that a test may change."""
    shutil.copytree(filled.parent, tmp_path / "copy")
    return tmp_path / "copy" / filled.name


@pytest.fixture
def study_file(tmp_path: Path, base: Path) -> Path:
    """A study that nothing was made of."""
    return tiny.make_study(tmp_path / "study", base)


class Served:
    """``traitscope view`` in a process, and what a browser with its cookie reads from it."""

    def __init__(self, *arguments: object) -> None:
        # A shell that starts tests in the background has Ctrl-C ignored, and children inherit that.
        start = [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler); "]
        start[-1] += "import traitscope.cli as c; c.main()"
        command = [*start, "view", *map(str, arguments), "--no-open"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.home = self.address.split("/?")[0]
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def read(self, path: str = "") -> str:
        """What it answers."""
        with self._browser.open(self.home + path if path else self.address, timeout=30) as answer:
            return str(answer.read().decode())

    def until(self, holds: Callable[[], bool], seconds: float = 90.0) -> None:
        """Waits until something holds."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, self.read("/state")
            time.sleep(0.2)

    def end(self) -> tuple[int, float, str]:
        """Ctrl-C: exit status, seconds until the end, standard error."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, time.monotonic() - start, err


@pytest.fixture
def view() -> Iterator[Callable[..., Served]]:
    """Starts servers, which end with the test."""
    pytest.importorskip("starlette", reason="the extra view is not installed")
    pytest.importorskip("uvicorn", reason="the extra view is not installed")
    started: list[Served] = []

    def start(*arguments: object) -> Served:
        started.append(Served(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()
