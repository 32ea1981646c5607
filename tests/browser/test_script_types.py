"""The page's script is typed by its JSDoc comments; TypeScript's compiler checks them where it is at hand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "src/traitscope/report/templates/js"


def compiler() -> str:
    own = ROOT / "build/node/node_modules/.bin/tsc"
    found = str(own) if own.exists() else shutil.which("tsc")
    if found is None:
        pytest.skip("no TypeScript here: npm install --prefix build/node typescript")
    return found


def test_every_script_is_checked_and_has_no_error_of_types() -> None:
    files = sorted(SCRIPTS.glob("*.js"))
    assert files and all("// @ts-check" in file.read_text().splitlines()[:2] for file in files)
    options = (
        "--allowJs",
        "--checkJs",
        "--noEmit",
        "--strict",
        "--target",
        "es2022",
        "--lib",
        "dom,dom.iterable,es2022",
    )
    done = subprocess.run([compiler(), *options, *map(str, files)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
