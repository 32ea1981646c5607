"""The whole page in a real browser, of studies of several kinds: its controls, nothing empty or clipped, paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import kinds
from browser.conftest import Opener, opened, violations
from browser.faults import clipped, empty, unfold
from traitscope.report.sections import layers

NARROW = {"width": 400, "height": 900}


def written(folder: Path, name: str, page: str) -> Path:
    place = folder / f"{name}.html"
    place.write_text(page, encoding="utf-8")
    return place


# With all its figures; those of other kinds are drawn by the same hands.
@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"), "demo", kinds.page(kinds.like_the_demo()))


@pytest.fixture(scope="module")
def page(browser: Any, report: Path) -> Iterator[Any]:
    """One page for the tests of single sections, each of which leaves the others alone."""
    with opened(browser, report.as_uri()) as one:
        yield one


def table_of(page: Any, section: str) -> Any:
    return page.locator(f"#{section} table[data-sortable]").first


def test_a_table_sorts_by_words_and_by_numbers_and_back(page: Any) -> None:
    table = table_of(page, "transfer")
    rows = table.locator("tbody tr").count()
    heads = table.locator("thead th")
    numbers = next(k for k in range(heads.count()) if "number" in (heads.nth(k).get_attribute("class") or ""))
    for column, first, then in ((0, "ascending", "descending"), (numbers, "descending", "ascending")):
        for way in (first, then):
            heads.nth(column).locator("button").click()
            assert heads.nth(column).get_attribute("aria-sort") == way
            cells = table.locator(f"tbody tr td:nth-child({column + 1})")
            keys = [one.get_attribute("data-sort") if column else one.inner_text().lower() for one in cells.all()]
            # What is not known comes last, whichever way.
            known = [float(key) if column else key for key in keys if key]
            assert known == sorted(known, reverse=way == "descending") and keys[len(known) :] == [""] * (
                len(keys) - len(known)
            )
            assert len(keys) == rows
    assert table.locator("th[aria-sort]").count() == 1


def test_words_a_flag_and_the_interval_pick_rows_of_all_cells(page: Any) -> None:
    section = page.locator("#cells")
    shown, told = section.locator("tbody tr:visible"), section.locator("[data-count]")
    every = shown.count()
    assert told.inner_text() == f"{every} rows"
    section.get_by_label(re.compile("Filter by words")).fill("imdb-s0 mnli")
    assert 0 < shown.count() < every and told.inner_text() == f"{shown.count()} of {every} rows"
    assert all("imdb-s0" in text and "mnli" in text for text in shown.all_inner_texts())
    section.get_by_label(re.compile("Filter by words")).fill("")
    flag = section.locator("select[data-pick=flag]")
    name = flag.locator("option").nth(1).get_attribute("value")
    flag.select_option(name)
    assert 0 < shown.count() < every
    flags = shown.evaluate_all("rows => rows.map((row) => row.dataset.flags.split(' '))")
    assert all(name in one for one in flags)
    flag.select_option("")
    known = section.locator("tbody tr[data-half]").evaluate_all("rows => rows.map((row) => Number(row.dataset.half))")
    most = sorted(known)[len(known) // 4]
    section.get_by_label(re.compile("Largest half of the interval")).fill(str(most))
    assert 0 < shown.count() == sum(half <= most for half in known) < len(known)


def test_shown_rows_are_saved_as_csv(page: Any) -> None:
    section = page.locator("#cells")
    section.get_by_label(re.compile("Filter by words")).fill("gsm8k-s0")
    with page.expect_download() as caught:
        section.locator("[data-csv]").click()
    lines = Path(caught.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + section.locator("tbody tr:visible").count()
    assert all("gsm8k-s0" in line for line in lines[1:])


def test_a_chip_leaves_its_cells_alone_in_the_matrix(page: Any) -> None:
    chip = page.locator("button.chip").first
    chip.click()
    flag = chip.get_attribute("data-flag")
    shown = page.locator("#gains td.shown")
    assert shown.count() == page.locator(f'#gains td[data-flags~="{flag}"]').count() > 0
    faint = page.locator("#gains.filtered td:not(.shown)").first
    assert float(faint.evaluate("one => getComputedStyle(one).opacity")) < 0.5


def test_the_slider_goes_through_the_layers(page: Any) -> None:
    slider, told = page.locator("#layer"), page.locator("#layer-told")
    steps = layers.view(kinds.like_the_demo()).points["layers"]
    assert int(slider.get_attribute("max")) == len(steps) - 1 > 0
    panels = page.locator("#points-chart svg")
    seen = []
    slider.focus()
    for step in steps[:3]:
        assert told.inner_text() == str(step["layer"])
        assert panels.count() == len(step["panels"])
        seen.append(panels.first.inner_html())
        page.keyboard.press("ArrowRight")
    assert len(set(seen)) == len(seen) > 1
    names = page.locator("#points-legend li").all_inner_texts()
    page.locator("#colour").select_option("cluster")
    assert page.locator("#points-legend li").all_inner_texts() != names


def test_another_measure_draws_other_curves(page: Any) -> None:
    choice, chart = page.locator("#measure"), page.locator("#measure-chart svg")
    names = choice.locator("option").all_inner_texts()
    drawn = []
    for k, name in enumerate(names):
        choice.select_option(index=k)
        assert chart.get_attribute("aria-label") == f"{name}, layer by layer"
        assert chart.locator("polyline").count() == page.locator("#measure-chart li").count() > 0
        drawn.append(chart.inner_html())
    assert len(set(drawn)) == len(names) > 1


def test_the_slider_for_k_shows_so_many_traits(page: Any) -> None:
    slider, told = page.locator("#k"), page.locator("#k-told")
    most = int(slider.get_attribute("max"))
    for k in (1, most):
        slider.fill(str(k))
        assert told.inner_text().startswith(f"{k} trait")
        for table in page.locator("table.heat").all():
            assert table.locator("thead th.number:visible").count() == k
    assert most > 1


def test_a_question_mark_opens_its_method(page: Any) -> None:
    mark = page.locator("#traits a.what").first
    method = page.locator(mark.get_attribute("href"))
    assert not method.locator("p").first.is_visible()
    mark.click()
    method.locator("p").first.wait_for(state="visible")


def whole(page: Any) -> None:
    """Nothing clipped, empty or beside the page, folded or not."""
    assert clipped(page) == []
    unfold(page)
    assert (clipped(page), empty(page)) == ([], [])
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_everything_opened_nothing_is_clipped_empty_or_beside_the_page(report: Path, open_page: Opener) -> None:
    whole(open_page(report, viewport=NARROW))
    page = open_page(report)
    whole(page)
    # Ten thousand marks inside of figures, each of which is one image to a reader, take it half of a minute.
    page.evaluate("for (const svg of document.querySelectorAll('.drawing svg')) svg.replaceChildren()")
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, options={"runOnly": ["color-contrast"]}) == []


def test_dark_is_dark_and_figures_are_too(report: Path, open_page: Opener) -> None:
    def light(page: Any, selector: str, what: str) -> float:
        colour = page.locator(selector).first.evaluate(f"one => getComputedStyle(one).{what}")
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3]))

    day, night = open_page(report, color_scheme="light"), open_page(report, color_scheme="dark")
    for selector in ("body", ".card"):
        assert light(day, selector, "backgroundColor") > 600 and light(night, selector, "backgroundColor") < 200
    for selector in ("body", "#transfer .drawing svg text"):
        what = "fill" if "svg" in selector else "color"
        assert light(day, selector, what) < 200 and light(night, selector, what) > 600


def test_paper_takes_at_most_eight_pages(report: Path, open_page: Opener, tmp_path: Path) -> None:
    page = open_page(report, color_scheme="dark")
    printed = page.pdf(path=tmp_path / "report.pdf", format="A4", prefer_css_page_size=True)
    assert 2 < len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) <= 8
    page.emulate_media(media="print")
    assert page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible() and not page.locator(".picks").first.is_visible()


@pytest.mark.parametrize("kind", [name for name in kinds.KINDS if name != "like the demo"])
def test_of_every_kind_of_study_nothing_is_empty_or_clipped(kind: str, tmp_path: Path, open_page: Opener) -> None:
    place = written(tmp_path, "page", kinds.page(kinds.KINDS[kind](), figures=kind == "one task"))
    whole(open_page(place, viewport=NARROW))
    page = open_page(place, color_scheme="dark")
    whole(page)
    assert violations(page) == []


@pytest.mark.verify
def test_sixty_by_sixty_is_small_smooth_and_whole(tmp_path: Path, open_page: Opener) -> None:
    place = written(tmp_path, "large", kinds.page(kinds.large()))
    assert place.stat().st_size < 15_000_000
    page = open_page(place)
    assert page.locator("#gains tbody td[data-task]").count() >= 3600
    timing = "performance.getEntriesByType('navigation')[0]"
    assert page.evaluate(f"{timing}.domContentLoadedEventEnd - {timing}.responseEnd") < 5000
    for action in ("page.locator('#cluster').click()", "page.locator('#gains thead button').nth(5).click()"):
        began = page.evaluate("performance.now()")
        exec(action, {"page": page})
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert page.evaluate("performance.now()") - began < 2500, action
    whole(page)
    # Of thousands of rows that are alike, and of marks inside of figures, a few stand for all.
    page.evaluate(
        "for (const one of document.querySelectorAll('tbody')) [...one.rows].slice(20).map((row) => row.remove())"
    )
    page.evaluate("for (const svg of document.querySelectorAll('.drawing svg')) svg.replaceChildren()")
    assert violations(page) == []
