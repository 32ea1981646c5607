"""The measure of what is broken finds each kind of fault on a page made of them, and nothing on a sound one."""

from __future__ import annotations

from typing import Any

import pytest

from browser.faults import clipped, empty, unfold

SOUND = """<main><section id="s"><h2>Title</h2><h3>Part</h3><p>Some words.</p>
<details><summary>More</summary><table><tbody><tr><td>1</td></tr></tbody></table></details>
<div style="overflow: auto; width: 90px"><p style="width: 300px; margin: 0">scrolled</p></div>
<b title="a long name" style="display: block; width: 30px; overflow: hidden; white-space: nowrap">a long name</b>
<svg width="90" height="30"><rect width="9" height="9"/><text x="9" y="20">in</text></svg></section></main>"""
CUT = {
    "cut off: b": '<b style="display: block; width: 30px; overflow: hidden; white-space: nowrap">a long name</b>',
    "cut off: i": '<i style="display: block; height: 9px; overflow: clip">low</i>',
    "text beside its box: p": '<p style="width: 30px; white-space: nowrap">beyond</p>',
    "outside of its card: div": '<div style="position: relative; left: -300px">far</div>',
    "text beside its figure": '<svg width="50" height="20"><text x="40" y="15">a label</text></svg>',
    "cut off: s": '<details><summary>x</summary><s style="display: flex; width: 9px; overflow: clip">folded</s>',
}
LACKING = {
    "nothing below: Title": "<h2>Title</h2>",
    "nothing below: First": "<h2>T</h2><h3>First</h3><h3>Second</h3><p>words</p>",
    "nothing below: More": "<p>words</p><details><summary>More</summary></details>",
    "nothing below: Only": "<details><summary>More</summary><p>words</p><h3>Only</h3></details>",
    "a table without rows": "<table id='t'><thead><tr><th>head</th></tr></thead><tbody></tbody></table>",
    "a list without lines": "<ul></ul>",
    "an empty figure": "<svg width='9' height='9'></svg>",
}


@pytest.fixture(scope="module")
def page(browser: Any) -> Any:
    return browser.new_page(viewport={"width": 600, "height": 400})


def test_a_sound_page_has_no_fault(page: Any) -> None:
    page.set_content(SOUND)
    unfold(page)
    assert (clipped(page), empty(page)) == ([], [])


@pytest.mark.parametrize("fault", CUT)
def test_what_is_cut_off_is_found(page: Any, fault: str) -> None:
    page.set_content(f"<main><section id='s'>{CUT[fault]}</section></main>")
    unfold(page)
    assert [one[: len(fault)] for one in clipped(page)] == [fault]


@pytest.mark.parametrize("fault", LACKING)
def test_what_is_empty_is_found(page: Any, fault: str) -> None:
    page.set_content(f"<main><section id='s'>{LACKING[fault]}</section></main>")
    unfold(page)
    assert [one[: len(fault)] for one in empty(page)] == [fault]
