"""Chromium for tests of the page: Debian's own, driven by playwright; skipped where either is absent."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

Opener = Callable[..., Any]


# A module's: while playwright is there, nothing else in this thread can run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        # As root Chromium has no sandbox of its own.
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def opened(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """A page that must say nothing on its console and ask for nothing but itself; one of a server, nobody but that."""
    own = address.split("#")[0] if address.startswith("file:") else "/".join(address.split("/")[:3]) + "/"
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(own) else said.append(asked.url))
    page.goto(address)
    yield page
    context.close()
    assert [one for one in said if not one.startswith("data:")] == []


@pytest.fixture
def open_page(browser: Any) -> Iterator[Opener]:
    """Opens a page by path or address; keywords are those of a browser's context (viewport, color_scheme)."""
    with ExitStack() as stack:

        def open_it(place: Path | str, fragment: str = "", **options: Any) -> Any:
            address = (place.as_uri() if isinstance(place, Path) else place) + fragment
            return stack.enter_context(opened(browser, address, **options))

        yield open_it


def violations(page: Any, **options: Any) -> list[str]:
    """Serious and critical findings of axe: rule and the first element that breaks it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, **options).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:160]} ({len(one['nodes'])})"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
