"""The site: it builds without a warning, opens from its folder, and loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import DOCS, ROOT

LOADED = re.compile(r"""<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=["']?(https?:)?//""")


@pytest.mark.verify
def test_it_builds_strictly_and_is_whole_by_itself(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("the extra docs is not installed (pip install -e '.[docs]')")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for page in DOCS.rglob("*.md"):
        made = tmp_path / page.relative_to(DOCS).with_suffix(".html")
        assert made.is_file(), page
    for made in tmp_path.rglob("*.html"):
        text = re.sub(r'<link[^>]*rel="?canonical"?[^>]*>', "", made.read_text(encoding="utf-8"))
        assert LOADED.search(text) is None, made
    for style in tmp_path.rglob("*.css"):
        assert not re.search(r"""(url\(|@import)\s*["']?(https?:)?//""", style.read_text(encoding="utf-8")), style
    # The picture is inside, and so is the search index.
    assert (tmp_path / "concepts.svg").is_file() and (tmp_path / "search" / "search_index.json").is_file()
    assert "signature" in (tmp_path / "api.html").read_text(encoding="utf-8")
