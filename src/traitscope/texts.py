"""Small pieces of plain text that many rooms print."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence


def count_of(number: int, one: str, many: str | None = None) -> str:
    """``1 mix``, ``2 mixes``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def text_lines(text: str) -> list[str]:
    """The lines of a text, which end at ``\\n``, ``\\r\\n`` or ``\\r`` alone, not at U+2028 or a form feed."""
    lines = re.split(r"\r\n|\r|\n", text)
    return lines if lines[-1] else lines[:-1]


def table_text(rows: Sequence[Sequence[str]], *, right: Collection[int] | None = None, indent: str = "") -> str:
    """Rows of equal length as aligned text.

    Args:
        rows: of cells; the header is one of them.
        right: columns that are set flush right; by default all but the first.
        indent: stands before every line.
    """
    flush = range(1, len(rows[0])) if right is None else right
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [c.rjust(w) if i in flush else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append(indent + "  ".join(cells).rstrip())
    return "\n".join(lines)
