"""The first screen as a person uses it, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from browser.conftest import Opener, violations
from report.test_first_screen import found
from traitscope.report.page import render_page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page") / "report.html"
    place.write_text(render_page(found(), [], []), encoding="utf-8")
    return place


def rows(page: Any) -> list[str]:
    return page.locator("#gains tbody th").all_inner_texts()


def columns(page: Any) -> list[str]:
    return page.locator("#gains thead th button span").all_inner_texts()


def test_four_answers_and_the_matrix_are_seen_at_once(report: Path, open_page: Opener) -> None:
    page = open_page(report)
    for name in ("matrix", "answer-helps", "answer-changes", "answer-why", "answer-layers"):
        box = page.locator(f"#{name}").bounding_box()
        assert box["y"] + box["height"] <= 900, name


def test_a_column_sorts_both_ways_and_back(report: Path, open_page: Opener) -> None:
    page = open_page(report)
    first = rows(page)
    button = page.locator("#gains thead button").nth(2)
    for way, sign in (("descending", -1), ("ascending", 1)):
        button.click()
        assert page.locator("#gains thead th").nth(2).get_attribute("aria-sort") == way
        gains = [
            float(text.replace("−", "-"))
            for text in page.locator("#gains tbody tr:not(.chance):not(.base) td:nth-child(3) .g").all_inner_texts()
        ]
        assert [sign * gain for gain in gains] == sorted(sign * gain for gain in gains)
    assert rows(page)[:2] == ["base", "chance (constant answer)"]
    page.locator("#gains thead button").first.click()
    assert rows(page) == first


def test_alike_rows_and_columns_stand_together_and_apart_again(report: Path, open_page: Opener) -> None:
    page = open_page(report)
    before = rows(page), columns(page)
    cell = page.locator('td[data-model="imdb-s0"][data-task="gsm8k"] .g')
    text = cell.inner_text()
    page.locator("#cluster").click()
    assert (rows(page), columns(page)) != before and sorted(columns(page)) == sorted(before[1])
    assert cell.inner_text() == text
    page.locator("#cluster").click()
    assert (rows(page), columns(page)) == before


def test_a_chip_shows_its_cells(report: Path, open_page: Opener) -> None:
    page = open_page(report)
    chip = page.locator("button.chip[data-flag=missing]")
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    assert page.locator("#gains.filtered td.shown").count() == 1
    chip.click()
    assert page.locator("#gains.filtered").count() == 0


def test_modes_change_what_cells_show(report: Path, open_page: Opener) -> None:
    page = open_page(report)
    cell = page.locator('td[data-model="imdb-s0"][data-task="imdb"]')
    gain = cell.inner_text()
    page.get_by_label("score", exact=True).check()
    assert cell.inner_text() != gain and "+" not in cell.inner_text()
    page.get_by_label("class shares").check()
    assert cell.locator(".c i").count() == 2 and cell.locator(".c").bounding_box()["width"] > 20
    # Colours have names, and marks of gains are not shown beside shares.
    assert "imdb, mnli: negative neutral flipkart, paws:" in " ".join(page.locator(".classes").inner_text().split())
    assert page.locator("#gains td:has(.c) b:visible").count() == page.locator(".marks:visible").count() == 0
    assert page.locator("#unit-note").inner_text().startswith("How often each class is answered")
    assert violations(page) == []
    page.get_by_label("gain", exact=True).check()
    page.get_by_label("hide own").check()
    assert (
        cell.locator(".g").is_hidden() or cell.locator(".g").evaluate("e => getComputedStyle(e).visibility") == "hidden"
    )


def test_another_metric_has_no_chance_and_keys_pass_over_it(report: Path, open_page: Opener) -> None:
    page = open_page(report)
    page.evaluate("document.querySelector('#gains').classList.add('untested')")
    page.locator('#gains td[tabindex="0"]').focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.model") == "imdb-s0"


def test_arrow_keys_move_and_tell_gain_interval_q_won_and_lost(report: Path, open_page: Opener) -> None:
    page = open_page(report)
    page.locator('#gains td[tabindex="0"]').focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    at = page.evaluate("[document.activeElement.dataset.model, document.activeElement.dataset.task]")
    assert at == ["imdb-s0", "mnli"]
    told = page.locator("#tip").inner_text()
    for word in ("imdb-s0 on mnli", "gain ", " points [", "examples won", " lost", "hold"):
        assert word in told
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


# The whole page is seen by axe in test_whole_page.py.
@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 400)])
def test_nothing_serious_by_axe_and_nothing_beside_the_page(
    report: Path, open_page: Opener, scheme: str, width: int
) -> None:
    page = open_page(report, color_scheme=scheme, viewport={"width": width, "height": 900})
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert violations(page) == []


def test_what_is_saved_and_looked_for_has_hyphens(report: Path, open_page: Opener) -> None:
    page = open_page(report)
    table = page.locator("#every-cell")
    assert "−" in table.inner_text()
    with page.expect_download() as saved:
        page.locator('[data-csv="cells.csv"]').click()
    text = Path(saved.value.path()).read_text(encoding="utf-8")
    assert "−" not in text and ",-" in text
    page.locator('.picks[data-for="every-cell"] [data-pick=text]').fill("flipkart -")
    assert 0 < table.locator("tbody tr:visible").count() < table.locator("tbody tr").count()
