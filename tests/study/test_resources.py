"""Disks and memory that do not suffice are one message, whoever says it and how; nothing that was made is lost."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.compute import Evaluate, Order, Train
from traitscope.compute.local import Local
from traitscope.compute.worker import failure
from traitscope.errors import TraitscopeError, is_out_of_memory
from traitscope.store.files import disk_errors
from traitscope.study import Study

FULL = "no space left on the disk"


class SafetensorError(Exception):
    """As safetensors names its own."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


DISKS: dict[str, tuple[Exception, str]] = {
    "a full disk": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), FULL),
    "a quota": (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), FULL),
    "a file-size limit": (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), "larger than this process may write"),
    "a folder that is read only": (OSError(errno.EROFS, os.strerror(errno.EROFS)), "cannot be written"),
    "safetensors": (SafetensorError("I/O error: No space left on device (os error 28)"), FULL),
    "safetensors under a quota": (SafetensorError(f"I/O error: x (os error {errno.EDQUOT})"), FULL),
    "pyarrow": (OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"), FULL),
    "pyarrow under a limit": (ValueError("ArrowInvalid: [errno 27] File too large"), "larger than this process may"),
    "huggingface_hub": (caused(RuntimeError("the download failed"), OSError(errno.ENOSPC, "full")), FULL),
    "a library's own words": (RuntimeError("write failed: Disk quota exceeded"), FULL),
}


@pytest.mark.parametrize("name", DISKS)
def test_a_disk_that_refuses_is_one_message(name: str, tmp_path: Path) -> None:
    error, says = DISKS[name]
    with pytest.raises(TraitscopeError, match=says) as caught, disk_errors(tmp_path / "file"):
        raise error
    assert caught.value.where == str(tmp_path / "file") and caught.value.fix


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), ValueError("row 28"), KeyError("os error")])
def test_other_errors_stay_what_they_are(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)), disk_errors(tmp_path):
        raise error


MEMORY: dict[str, Exception] = {
    "Python": MemoryError(),
    "torch on a CPU": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: not enough memory: you tried to allocate 9"
    ),
    "C++": RuntimeError("std::bad_alloc"),
    "the system": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "a driver": RuntimeError("CUDA error: out of memory"),
}


@pytest.mark.parametrize("name", MEMORY)
@pytest.mark.parametrize("kind", [Train, Evaluate])
def test_memory_that_does_not_suffice_ends_a_run_with_one_message(
    name: str, kind: type, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_out_of_memory(MEMORY[name])
    part = {Train: "_train", Evaluate: "_evaluate"}[kind]

    def fail(local: Local, order: Order, *_: Any) -> Any:
        raise MEMORY[name]

    with monkeypatch.context() as patched:
        patched.setattr(Local, part, fail)
        with pytest.raises(TraitscopeError, match="there is not enough memory"):
            Study.open(study_file).run()
    told = failure(MEMORY[name])
    assert told.what == "there is not enough memory" and told.fix


@pytest.mark.parametrize("error", [*MEMORY.values(), OSError(errno.ENOSPC, "full")], ids=[*MEMORY, "a full disk"])
def test_a_verb_tells_it_wherever_it_comes_from(
    error: Exception, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(Study, "plan", fail)
    done = CliRunner().invoke(app, ["plan", str(study_file)])
    assert done.exit_code == 2 and isinstance(done.exception, SystemExit)
    assert ("not enough memory" if is_out_of_memory(error) else FULL) in done.output and "fix:" in done.output


def child(code: str, limit: Callable[[], None] | None = None, timeout: int = 200) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], preexec_fn=limit, capture_output=True, text=True, timeout=timeout
    )


def run_in(study: Path) -> str:
    return f"from traitscope.cli import app; app(['run', {str(study)!r}, '--quiet'])"


@pytest.mark.parametrize("size", [2_000, 30_000])
def test_a_limit_of_file_sizes_is_told_and_what_is_there_is_kept(size: int, study_file: Path) -> None:
    stopped = child(run_in(study_file), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    assert stopped.returncode == 2 and "Traceback" not in stopped.stderr, stopped.stderr
    assert "larger than this process may write" in stopped.stderr and "ulimit -f" in stopped.stderr
    study = Study.open(study_file)
    assert not study.folder.exists() or not study.verify()
    study.run()
    assert study.plan().complete and not study.verify()


SCARCE = """
import resource, sys
sys.path[:0] = [{here!r}]
import tiny
from pathlib import Path
from traitscope.engine import Bank, load_base, score_options
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow
import numpy as np
base = load_base({base!r}, dtype="fp32", device="cpu")
rows = [OptionRow(tuple([0, *((7 * i + j) % 250 for j in range(100))]), ((5, 6), (9,))) for i in range(256)]
with Bank(base, {{"base": None}}) as bank:
    whole = score_options(bank, rows, share_prefix=False)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + {room}, used + {room}))
    try:
        cut = score_options(bank, rows, tokens_per_pass=10**6, share_prefix=False)
    except TraitscopeError as error:
        print("TOLD", error)
    else:
        apart = max(abs(np.concatenate(a) - np.concatenate(b)).max() for a, b in zip(whole["base"], cut["base"]))
        print("SAME" if apart < 1e-4 else "OTHER", apart)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited as on Linux")
@pytest.mark.parametrize("room", [24 << 20, 1 << 20])
def test_little_memory_on_a_cpu_makes_smaller_passes_or_one_message(room: int, base: Path) -> None:
    done = child(SCARCE.format(here=str(Path(tiny.__file__).parent), base=str(base), room=room))
    assert done.stdout.startswith(("SAME", "TOLD")), done.stdout + done.stderr[-2000:]


def modes(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*")}


@pytest.mark.parametrize("mask", [0o022, 0o007, 0o077])
def test_every_file_of_a_run_folder_has_the_mode_that_the_user_wants(mask: int, study_file: Path) -> None:
    before = os.umask(mask)
    try:
        study = Study.open(study_file)
        study.run()
        study.report()
        study.run()
    finally:
        os.umask(before)
    for name, mode in modes(study.folder.root).items():
        wanted = 0o777 if (study.folder.root / name).is_dir() else 0o666
        assert mode == wanted & ~mask, (name, oct(mode))


def test_a_limit_that_the_libraries_do_not_fit_in_is_said_before_they_are_loaded(tmp_path: Path, base: Path) -> None:
    study = tiny.make_study(tmp_path, base)
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
        "from traitscope.cli import main\n"
        f"sys.argv = ['traitscope', sys.argv[1], {str(study)!r}]\n"
        "main()"
    )
    for verb in ("run", "check"):
        done = subprocess.run([sys.executable, "-c", code, verb], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and "ulimit -v" in done.stderr and "Traceback" not in done.stderr
