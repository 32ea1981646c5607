"""What a reader would call broken, measured in the browser: text that is cut off, boxes that stick out, empty parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MEASURE = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def unfold(page: Any) -> None:
    """Opens everything that is folded, so that what lies in it is looked at too."""
    page.evaluate("for (const fold of document.querySelectorAll('main details')) fold.open = true")


def clipped(page: Any) -> list[str]:
    """Texts that are cut off with no way to read them, and whatever sticks out of its card or its figure."""
    found: list[str] = page.evaluate(f"{MEASURE.strip()}.clipped()")
    return found


def empty(page: Any) -> list[str]:
    """Headings and folds with nothing below, tables without rows, lists without lines, figures that show nothing."""
    found: list[str] = page.evaluate(f"{MEASURE.strip()}.empty()")
    return found
