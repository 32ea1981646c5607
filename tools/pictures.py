"""``python tools/pictures.py RUN PICTURE [--at cell/MODEL/TASK] [--dark]``: what a reader sees of a run's report first.

The first screen of ``RUN/report.html``, or what its address with a fragment shows, 1440 x 900 points. Needs the extra
``test`` and a Chromium. ``runs/ten-kinds docs/first-screen.png`` is the README's and the tutorial's, whose other is
``runs/ten-kinds docs/tutorial/cell.png --at cell/amazon.mislabel-s0/yelp --height 770``,
which shows no row of the data.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 1440, 900


def take(page: Path, picture: Path, fragment: str, dark: bool, height: int) -> None:
    """Opens the page in a Chromium of this machine and writes the picture."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        # As root Chromium has no sandbox of its own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        size: Any = {"width": WIDTH, "height": height}
        shown = browser.new_page(viewport=size, color_scheme="dark" if dark else "light")
        shown.goto(f"{page.resolve().as_uri()}#{fragment}" if fragment else page.resolve().as_uri())
        shown.wait_for_timeout(500)
        picture.parent.mkdir(parents=True, exist_ok=True)
        shown.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder with a report.html")
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    parser.add_argument("--at", default="", metavar="FRAGMENT", help="of the page's address: cell/<model>/<task>")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--height", type=int, default=HEIGHT, help="in points; a lower one leaves out the examples")
    args = parser.parse_args()
    take(args.run / "report.html", args.picture, args.at, args.dark, args.height)
