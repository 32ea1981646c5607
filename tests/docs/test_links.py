"""Every link and anchor of the documents leads somewhere; what they say of the public names is complete."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from blocks import DOCS, FENCE, PAGES, ROOT, page_name

import traitscope

LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")


def slug(title: str) -> str:
    """The anchor of a heading, as Markdown's toc extension and GitHub both make it of plain words."""
    plain = re.sub(r"<[^>]+>|`|\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", plain.lower()).strip())


@cache
def anchors(path: Path) -> frozenset[str]:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    return frozenset({slug(title) for title in HEADING.findall(text)} | set(re.findall(r'<a id="([^"]+)">', text)))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    text = CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
    for link in LINK.findall(text):
        if re.match(r"https?://|mailto:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        # On the site there is nothing beside docs/.
        assert DOCS not in page.parents or DOCS in target.parents, link
        assert not anchor or anchor in anchors(target), link


def test_the_api_page_has_every_public_name_once() -> None:
    text = (DOCS / "api.md").read_text()
    named = re.findall(r"^::: traitscope\.(?:[\w.]+\.)?(\w+)$", text, flags=re.MULTILINE)
    assert sorted(named) == traitscope.__all__
    homes = re.findall(r"^::: traitscope\.(?:([\w.]+)\.)?(\w+)$", text, flags=re.MULTILINE)
    assert {name: home for home, name in homes} == traitscope._HOMES


def test_the_readme_fits_a_screen_and_leads_to_the_documents() -> None:
    text = (ROOT / "README.md").read_text()
    assert "(docs/index.md)" in text and len(text.splitlines()) <= 70
