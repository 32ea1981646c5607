"""The page of the source tree is the source tree; every module says what it is for."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import tree  # noqa: E402


def test_the_architecture_page_is_up_to_date() -> None:
    assert tree.PAGE.read_text() == tree.page(), "run `python tools/tree.py`"


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "src").rglob("*.py")
        if path.stat().st_size and not tree.first_line(path)
    ]
    assert silent == []
