"""The examples of docs/layers.md run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "layers.md"


def test_the_examples_of_the_page_run_and_say_what_it_promises() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    # A process of its own: the page registers a measure.
    done = subprocess.run([sys.executable, "-c", "\n".join(blocks)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "shared 1-5" in done.stdout
    assert "n = 50 examples per task, D = 24, n/D = 2.08" in done.stdout
    assert "adapters gated in windows" in done.stdout
