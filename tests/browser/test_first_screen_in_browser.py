"""The first screen as a person uses it, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from browser.conftest import Opener, violations
from report.test_first_screen import found
from traitscope.effects import measure_effects
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.report.page import render_page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page") / "report.html"
    place.write_text(render_page(found(), [], []), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def two_metrics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``pick`` is tested by accuracy and has a loss beside it, ``tale`` by loss; of ``open`` the base is not known."""
    scores = {
        ("pick", "accuracy"): (0.5, np.nan, 0.9, 0.6),
        ("pick", "loss"): (1.0, np.nan, 1.4, 0.7),
        ("tale", "loss"): (2.0, 2.6, 1.5, 1.9),
        ("open", "accuracy"): (np.nan, 0.2, 0.4, 0.3),
    }
    names = ("base", "c", "a", "b")
    lines = [
        {"model": m, "source": None if m == "base" else m, "task": task, "metric": metric, "value": value}
        for (task, metric), values in scores.items()
        for m, value in zip(names, values, strict=True)
    ]
    frame = pd.DataFrame(lines).assign(stderr=0.02, higher_is_better=lambda f: f["metric"] != "loss")
    matrix = ScoreMatrix.from_long(frame, metric={"pick": "accuracy", "tale": "loss", "open": "accuracy"})
    place = tmp_path_factory.mktemp("metrics") / "report.html"
    page = render_page(Findings(name="m", scores=matrix, effects=measure_effects(matrix)), [], [])
    place.write_text(page, encoding="utf-8")
    return place


def sources(page: Any) -> str:
    return "".join(page.locator("#gains tbody tr.source th").all_inner_texts())


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


def test_what_is_not_known_stands_last_and_the_order_is_of_what_is_shown(two_metrics: Path, open_page: Opener) -> None:
    page = open_page(two_metrics)
    head = page.locator("#gains thead th").nth(columns(page).index("pick") + 1)
    head.locator("button").click()
    assert sources(page) == "abc"
    page.locator("#metric").select_option("loss")
    assert sources(page) == "bac" and head.get_attribute("aria-sort") == "descending"
    head.locator("button").click()
    assert sources(page) == "abc" and head.get_attribute("aria-sort") == "ascending"
    # Without a gain there is an order of scores alone.
    page.locator("#metric").select_option("")
    page.locator("#gains thead button", has_text="open").click()
    assert sources(page) == "cab"
    page.get_by_label("score", exact=True).check()
    assert sources(page) == "abc"


def test_another_metric_is_tested_where_it_is_the_first(two_metrics: Path, open_page: Opener) -> None:
    page = open_page(two_metrics)
    page.locator("#metric").select_option("loss")
    assert (
        page.locator("#unit-note").inner_text()
        == "Gain over the base by loss, tested on tale alone; above 0 is better."
    )
    first, other = (page.locator(f'#gains td[data-model="a"][data-task="{task}"]') for task in ("tale", "pick"))
    assert first.locator("b").is_visible() and not other.locator("b").is_visible()
    assert (first.locator(".g").inner_text(), other.locator(".g").inner_text()) == ("+0.5", "−0.4")
    for cell, untested in ((first, False), (other, True)):
        cell.hover()
        assert ("which is not tested here" in page.locator("#tip").inner_text()) == untested
    page.locator("#metric").select_option("")
    assert other.locator("b").is_visible() and other.locator(".g").inner_text() == "+40.0"


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
    other = page.locator("button.chip:not([data-flag=missing])").first
    other.click()
    assert page.locator("button.chip[aria-pressed=true]").all_inner_texts() == [other.inner_text()]
    other.click()
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
