"""The parts of a page that the live page compares: a hash each, of what the part holds and of nothing else."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import synthetic

from traitscope.findings import Findings
from traitscope.report.page import render_page, render_waiting


@pytest.fixture(scope="module")
def contents() -> Findings:
    found = {name: getattr(synthetic, name)() for name in ("traits", "effects", "stats", "layers")}
    return Findings(name="synthetic", scores=synthetic.matrix(), **found)


def parts(page: str) -> dict[str, str]:
    found = re.findall(r'data-part="([^"]+)" data-hash="([0-9a-f]{16})"', page)
    assert len(found) == len(dict(found))
    return dict(found)


def test_the_same_findings_give_the_same_hashes_whatever_the_revision(contents: Findings) -> None:
    first = parts(render_page(contents, [], [], revision=1))
    assert first == parts(render_page(contents, [], [], revision=7)) and {"header", "first", "cells"} <= first.keys()
    file = parts(render_page(contents, [], ["cells"]))
    # The files beside it are a file's alone.
    assert {name for name in file if file[name] != first[name]} == {"configuration"} and file.keys() == first.keys()


def test_a_change_shows_in_the_parts_that_hold_it_alone(contents: Findings) -> None:
    contents = replace(contents, config="study: one")
    before = parts(render_page(contents, [], []))
    after = parts(render_page(replace(contents, warnings=("a <b> warning",)), [], []))
    assert {name for name in before if before[name] != after[name]} == {"warnings"}
    after = parts(render_page(replace(contents, config="study: other"), [], []))
    assert {name for name in before if before[name] != after[name]} == {"configuration"}


def test_parts_do_not_lie_in_one_another(contents: Findings) -> None:
    from html.parser import HTMLParser

    class Reader(HTMLParser):
        open: list[bool] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            is_part = any(name == "data-part" for name, _ in attrs)
            assert not (is_part and any(self.open)), tag
            if tag in ("div", "section", "header", "main", "nav"):
                self.open.append(is_part)

        def handle_endtag(self, tag: str) -> None:
            if tag in ("div", "section", "header", "main", "nav"):
                self.open.pop()

    reader = Reader()
    reader.feed(render_page(contents, [], []))
    assert reader.open == []


def test_nothing_of_the_live_page_is_in_the_file(contents: Findings) -> None:
    file, live = render_page(contents, [], []), render_page(contents, [], [], revision=3)
    assert '<body data-live="3">' in live and 'id="live"' in live
    assert "<body>" in file and 'id="live"' not in file
    assert "<b>" not in render_waiting("a <b>", 1, begun=False).replace("<body", "")
