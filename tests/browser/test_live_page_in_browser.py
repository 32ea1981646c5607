"""The live page in a real browser: a run fills it without a reload, examples are searched, strangers are refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.conftest import Opener
from traitscope.study import Study
from view.conftest import Served, tiny

ENOUGH_MS = 90_000


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that nothing was made of; the first test fills it."""
    return tiny.make_study(tmp_path_factory.mktemp("live"), tiny.make_base(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def served(browser: Any, study_file: Path) -> Iterator[Served]:
    pytest.importorskip("uvicorn", reason="the extra view is not installed")
    made = Served(study_file)
    yield made
    made.process.kill()
    made.process.communicate()


def run(study_file: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "traitscope", "run", str(study_file), "-q"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_whoever_lacks_the_token_is_refused_in_words(served: Served, browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    for address in (f"{served.home}/?token=wrong", f"{served.home}/", f"{served.home}/state"):
        answer = page.goto(address)
        assert answer.status == 403 and "open the address that traitscope view printed" in page.inner_text("body")
    assert context.cookies() == []
    context.close()


def test_cells_appear_while_a_run_goes_on_and_are_searched_without_a_reload(
    served: Served, study_file: Path, open_page: Opener
) -> None:
    page = open_page(served.address)
    # The token is out of the address, and of the history.
    assert page.url == f"{served.home}/" and "No cell yet" in page.inner_text("main")
    page.evaluate("window.notReloaded = true")
    running = run(study_file)
    try:
        page.locator("#gains td[data-model][data-task]").first.wait_for(timeout=ENOUGH_MS)
        page.locator("#live-says", has_text="All 4 adapters and 15 cells are there").wait_for(timeout=ENOUGH_MS)
        assert running.wait(60) == 0
    finally:
        running.kill()
        running.wait()
    page.locator('#gains td[data-model="tone-s0"][data-task="tone"]').click(timeout=ENOUGH_MS)
    panel = page.locator("#cell-panel")
    search = panel.get_by_label("Search the examples")
    tabs = panel.locator("[role=tab]")
    search.wait_for()
    before = tabs.all_inner_texts()
    assert all(re.fullmatch(r"\D+ \d+", text) for text in before)
    search.fill("warm")
    panel.locator("[role=tab]", has_text=" of ").first.wait_for()
    held = {text.rsplit(" ", 3)[0]: [int(n) for n in re.findall(r"\d+", text)] for text in tabs.all_inner_texts()}
    prompts = [example.prompt for example in Study.open(study_file).examples("tone")["eval"]]
    wanted = sum("warm" in prompt for prompt in prompts)
    shares = [counts for name, counts in held.items() if name != "Not parsed"]
    assert [sum(column) for column in zip(*shares, strict=True)] == [wanted, len(prompts)] and 0 < wanted < len(prompts)
    for tab in tabs.all():
        tab.click()
        panel.locator("[role=tab][aria-selected=true]", has_text=tab.inner_text()).wait_for()
        count = int(re.findall(r"\d+", tab.inner_text())[0])
        panel.get_by_text(re.compile(rf"^{count} of \d+ hold these words")).wait_for()
        assert ["warm" in text for text in panel.locator(".cell-example").all_inner_texts()] == [True] * count
    search.fill("")
    panel.get_by_text(re.compile(r"^\d+ examples?\.$")).wait_for()
    assert tabs.all_inner_texts() == before
    assert page.evaluate("window.notReloaded") is True
