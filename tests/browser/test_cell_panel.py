"""The panel of a cell as a person uses it, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from browser.conftest import Opener, violations
from report import digs
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.report.digging import Digger
from traitscope.report.links import address
from traitscope.report.page import render_page

FOUND = digs.findings(digs.by_hand())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("panel") / "report.html"
    place.write_text(render_page(FOUND, [], []), encoding="utf-8")
    return place


def panel(page: Any) -> Any:
    page.locator("#cell-panel .cell-examples, #cell-panel .cell-note").first.wait_for()
    return page.locator("#cell-panel")


def cell(page: Any, model: str, task: str) -> Any:
    return page.locator(f'td[data-model="{model}"][data-task="{task}"]').first


def test_a_click_opens_a_cell_with_its_numbers_and_examples(report: Path, open_page: Opener) -> None:
    page = open_page(report)
    cell(page, "tone-s0", "tone").click()
    shown = panel(page)
    dug = Digger(FOUND).dig("tone-s0", "tone", 20)
    assert page.url.endswith(address("tone-s0", "tone"))
    assert shown.locator("h2").inner_text() == "tone-s0 on tone"
    first = shown.locator(".cell-scores tbody tr").first.inner_text()
    told = dug.changes[0].to_json()
    assert told["gain"] in first and told["span"] in first
    counts = shown.locator(".cell-confusion").nth(1).locator("td").all_inner_texts()
    assert [int(count) for count in counts] == [n for row in dug.confusion.model for n in row]
    tabs = shown.locator("[role=tab]").all_inner_texts()
    assert tabs == [f"{tab.label} {tab.total}" for tab in dug.tabs]
    ids = shown.locator(".cell-example h4").all_inner_texts()
    assert ids == [one.id for one in dug.tabs[0].shown]
    assert dug.tabs[0].shown[0].prompt in shown.locator(".cell-example").first.inner_text()


def test_answers_are_marked_as_their_records_say(report: Path, open_page: Opener) -> None:
    shown = panel(open_page(report, address("sums-s0", "tone")))
    gain = shown.locator(".cell-scores tbody tr").first.locator("td").nth(2)
    # Right in 0.8 of the examples against 0.4, which holds.
    assert gain.inner_text().startswith("+") and gain.get_attribute("class") == "number cell-up"
    known = {m: {r.id: r for r in FOUND.cells.records(m, "tone")} for m in ("base", "sums-s0")}
    for tab in ("won", "lost"):
        shown.locator(f"#cell-tab-{tab}").click()
        one = shown.locator(".cell-example").first
        id = one.locator("h4").inner_text()
        marks = one.locator(".cell-mark").all_inner_texts()
        assert marks == ["✓ right" if rows[id].correct else "✗ wrong" for rows in known.values()]
        best = one.locator(".cell-options td.cell-best").all_inner_texts()
        assert sorted(best) == sorted(f"{max(rows[id].logprobs):.2f}".replace("-", "−") for rows in known.values())


def test_a_cell_stands_beside_its_own_base(tmp_path: Path, open_page: Opener) -> None:
    said = {"one/base": "good", "one/tone": "so-so", "two/base": "bad", "two/tone": "so-so"}
    cells = {(row, "tone"): [digs.record(f"t{i}", "so-so", pred) for i in range(4)] for row, pred in said.items()}
    lines = [
        {"base": row[:3], "model": row[4:], "source": None if row.endswith("base") else "tone", "task": "tone"}
        for row in said
    ]
    scores = ScoreMatrix.from_long(pd.DataFrame(lines).assign(value=[0.0, 1.0, 0.0, 1.0], status="measured"))
    found = digs.Cells({**cells, ("base", "tone"): cells["one/base", "tone"]})
    place = tmp_path / "report.html"
    place.write_text(render_page(Findings(name="two", scores=scores, cells=found), [], []), encoding="utf-8")
    for name, answer in (("one", "good"), ("two", "bad")):
        shown = panel(open_page(place, address(f"{name}/tone", "tone")))
        told = shown.locator(".cell-example").first.locator(".cell-answers > div").nth(1)
        assert answer in told.inner_text().split()


def test_enter_opens_and_escape_closes_and_the_focus_comes_back(report: Path, open_page: Opener) -> None:
    page = open_page(report)
    at = cell(page, "sums-s0", "sums")
    at.focus()
    page.keyboard.press("Enter")
    assert panel(page).is_visible()
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash")
    assert not page.locator("#cell-panel").is_visible()
    assert at.evaluate("one => one === document.activeElement")


def test_an_address_opens_a_cell_and_back_closes_it(report: Path, open_page: Opener) -> None:
    page = open_page(report, address("base", "sums"))
    assert panel(page).locator("h2").inner_text() == "base on sums"
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash")
    cell(page, "tone-s0", "sums").click()
    assert panel(page).is_visible()
    page.go_back()
    page.wait_for_function("!document.getElementById('cell-panel').open")
    page.go_forward()
    assert panel(page).locator("h2").inner_text() == "tone-s0 on sums"


@pytest.mark.parametrize("where", ["#cell/nobody/tone", "#cell/tone-s0", "#cell/%E0%A4%A/x"])
def test_an_address_of_no_cell_says_so(report: Path, open_page: Opener, where: str) -> None:
    page = open_page(report, where)
    shown = panel(page)
    assert shown.locator("h2").inner_text() == "No such cell"
    told = "This report has no cell of nobody on tone." if "nobody" in where else "This address names no cell"
    assert shown.locator(".cell-note").inner_text().startswith(told)
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash && !document.getElementById('cell-panel').open")
    cell(page, "tone-s0", "tone").click()
    assert panel(page).locator("h2").inner_text() == "tone-s0 on tone"


def test_the_address_of_a_section_opens_no_panel(report: Path, open_page: Opener) -> None:
    assert not open_page(report, "#cells").locator("#cell-panel").is_visible()


def test_tabs_go_by_arrow_keys(report: Path, open_page: Opener) -> None:
    page = open_page(report, address("tone-s0", "sums"))
    tabs = panel(page).locator("[role=tab]")
    tabs.first.focus()
    page.keyboard.press("ArrowRight")
    assert tabs.nth(1).get_attribute("aria-selected") == "true"
    page.keyboard.press("End")
    last = tabs.last
    assert last.get_attribute("aria-selected") == "true" and last.evaluate("one => one === document.activeElement")
    assert [tabs.nth(k).get_attribute("tabindex") for k in range(tabs.count())].count("0") == 1
    # Those that cannot be parsed are counted here, and listed by a command.
    command = panel(page).locator(".cell-command").inner_text()
    assert re.fullmatch(r"traitscope ls examples \. --task sums --model tone-s0 --invalid -n \d+", command)


def test_the_next_and_the_previous_cell_are_a_button_away(report: Path, open_page: Opener) -> None:
    page = open_page(report, address("base", FOUND.scores.tasks[0]))
    assert panel(page).locator('[data-step="model -1"]').is_disabled()
    for step, model, task in (("model 1", 1, 0), ("task 1", 1, 1), ("model -1", 0, 1), ("task -1", 0, 0)):
        page.locator(f'[data-step="{step}"]').click()
        name = f"{FOUND.scores.models[model]} on {FOUND.scores.tasks[task]}"
        page.wait_for_function("name => document.getElementById('cell-title').textContent === name", arg=name)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("fragment", [address("tone-s0", "tone"), address("sums-s0", "sums"), address("base", "story")])
def test_axe_finds_nothing_serious(report: Path, open_page: Opener, fragment: str, scheme: str) -> None:
    page = open_page(report, fragment, color_scheme=scheme)
    panel(page)
    assert violations(page, context="#cell-panel") == []


def test_on_a_narrow_screen_nothing_is_wider_than_the_panel(report: Path, open_page: Opener) -> None:
    for fragment in (address("tone-s0", "tone"), address("sums-s0", "sums"), address("tone-s0", "story")):
        page = open_page(report, fragment, viewport={"width": 400, "height": 800})
        panel(page)
        body = page.locator("#cell-body")
        assert body.evaluate("one => one.scrollWidth <= one.clientWidth")


def test_a_panel_is_not_printed(report: Path, open_page: Opener) -> None:
    page = open_page(report, address("tone-s0", "tone"))
    panel(page)
    page.emulate_media(media="print")
    assert not page.locator("#cell-panel").is_visible()


def test_a_browser_that_cannot_unpack_says_so(report: Path, open_page: Opener) -> None:
    page = open_page(report)
    page.evaluate("delete window.DecompressionStream")
    cell(page, "tone-s0", "tone").click()
    assert "cannot unpack" in panel(page).locator(".cell-note").inner_text()


def test_names_that_are_read_from_right_to_left_move_no_number(tmp_path: Path, open_page: Opener) -> None:
    name = "\u0645\u0647\u0645\u0629"
    scores = ScoreMatrix.from_wide(pd.DataFrame({name: [0.5, 0.7]}, index=["base", f"{name} 2"]))
    place = tmp_path / "report.html"
    place.write_text(render_page(Findings(name=name, scores=scores), [], []), encoding="utf-8")
    page = open_page(place, address(f"{name} 2", name))
    assert panel(page).locator("h2").inner_html() == f"<bdi>{name}</bdi> 2 on <bdi>{name}</bdi>"
    assert page.locator("h1").inner_html() == f"<bdi>{name}</bdi>"
