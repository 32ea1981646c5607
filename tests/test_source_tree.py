"""The page of the source tree is the source tree; every module says what it is for."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

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


def test_planted_bugs_are_about_this_tree() -> None:
    """Every bug's text stands exactly once where it is to be planted, and the tests that should notice it exist."""
    for file, entry in yaml.safe_load((ROOT / "tools" / "mutants.yaml").read_text(encoding="utf-8")).items():
        text = (ROOT / "src" / "traitscope" / file).read_text(encoding="utf-8")
        for mutant in entry["mutants"]:
            assert text.count(mutant["old"]) == 1, (file, mutant["why"])
            for test in mutant.get("tests", entry["tests"]):
                path, _, name = test.partition("::")
                held = (ROOT / path).exists() if not name else f"def {name.split('[')[0]}(" in (ROOT / path).read_text()
                assert held, (file, test)
