"""Edges of the store: zombies, quotas, whole prefixes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.store import RowsHash
from traitscope.store.files import disk_errors, process_start


def test_a_killed_process_that_was_not_collected_is_not_running() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert process_start(child.pid) is not None
    child.kill()
    deadline = time.monotonic() + 10
    while process_start(child.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process_start(child.pid) is None
    assert Path(f"/proc/{child.pid}/stat").exists()
    child.wait()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_quota_is_as_good_as_a_full_disk(number: int, tmp_path: Path) -> None:
    with pytest.raises(TraitscopeError, match="no space left on the disk"), disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))


def test_the_prefix_of_all_rows_is_the_whole() -> None:
    rows = RowsHash(Example(str(i), f"p{i}", "a", None, None, ("a",)) for i in range(3))
    assert rows.prefix(3) == rows.whole and rows.prefix(4) is None
    assert len({rows.prefix(n) for n in range(4)}) == 4
