"""Small pieces of plain text that many rooms print: safe for a terminal, and tables that fit its width."""

from __future__ import annotations

import html
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import Any

_WIDTH: ContextVar[int | None] = ContextVar("width of the terminal", default=None)
_GAP = "  "
_DOTS = "…"
# Characters of a value that a message repeats.
MOST_SHOWN = 100
# Fewer columns of a name tell nobody which one is meant.
_LEAST = 10
_NUMBER = re.compile(r"[-+<>=~±]?[\d.][\d.,%eE\s\[\]()*=?±/+-]*")
# What moves the cursor, changes the order of what is read, or is no character: C0 but for tab and newline, DEL, C1,
# separators of lines, marks of direction, lone surrogates, byte order marks and tags.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)
# Signs that are read from right to left, and names made of them: words, with what joins words between them.
_RTL = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010cff\U00010d00-\U00010fff\U0001e800-\U0001eeff"
RIGHT_TO_LEFT = re.compile(f"[{_RTL}]+(?:[ _\u200c'-]+[{_RTL}]+)*")

# A hyphen before a number; what stands behind a word, a quote or a path is part of a name.
_BEFORE = r"(?<![\w.'\"“‘`;/#=&?-])"
_HYPHEN = re.compile(rf"{_BEFORE}-(?=\.?\d)")
_ZERO = re.compile(rf"{_BEFORE}-(?=0(?:\.0+)?(?![\d.]))")


def count_of(number: int, one: str, many: str | None = None) -> str:
    """``1 mix``, ``2 mixes``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def minus(text: str) -> str:
    """A text whose numbers have true minus signs (U+2212); zero has none. Files keep the hyphen, which reads back."""
    return _HYPHEN.sub("−", _ZERO.sub("", text)) if "-" in text else text


def isolated(text: str) -> str:
    """The text with marks (U+2068, U+2069) around what is read from right to left, so that it moves no number."""
    return RIGHT_TO_LEFT.sub("\u2068\\g<0>\u2069", text)


def short(name: str, width: int) -> str:
    """A name that is safe to print, in at most ``width`` columns, cut in its middle."""
    return different([safe(name, line=True)], [width])[0]


def shown(value: object) -> str:
    """``repr`` of a value for a message; of a long one the beginning, the end and its length."""
    text = repr(value)
    return (
        text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 20]}{_DOTS}{text[-10:]} ({len(text):,} characters)"
    )


def safe(text: str, *, line: bool = False) -> str:
    """``text`` as it may go to a terminal: what would steer it stands there by its escape, ``\\x1b`` for ESC.

    Args:
        text: of data, names or messages.
        line: tabs and newlines too, so that it stays one line.
    """
    if line:
        text = text.replace("\r\n", "\n").translate({9: "\\t", 10: "\\n"})
    return _UNSAFE.sub(_escape, text)


def safe_json(text: str) -> str:
    """The same for JSON text, which stays the same JSON."""
    return _UNSAFE.sub(lambda found: _utf16(found[0]), text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    # Bytes of a path that are no UTF-8 come as lone surrogates.
    code = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _utf16(sign: str) -> str:
    data = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(data[i : i + 2]):04x}" for i in range(0, len(data), 2))


@contextmanager
def fitted(width: int | None) -> Iterator[None]:
    """Tables that are made while this lasts are at most ``width`` columns wide; None: as wide as they are."""
    before = _WIDTH.set(width)
    try:
        yield
    finally:
        _WIDTH.reset(before)


def text_lines(text: str) -> list[str]:
    """The lines of a text, which end at ``\\n``, ``\\r\\n`` or ``\\r`` alone, not at U+2028 or a form feed."""
    lines = re.split(r"\r\n|\r|\n", text)
    return lines if lines[-1] else lines[:-1]


def table_text(rows: Sequence[Sequence[str]], *, right: Collection[int] | None = None, indent: str = "") -> str:
    """Rows of equal length as aligned text.

    Where a width was set (``fitted``), names are cut in their middle so that they stay different, then the last columns
    are left out, which is said; numbers are never cut.

    Args:
        rows: of cells; the header is one of them.
        right: columns that are set flush right; by default all but the first.
        indent: stands before every line.
    """
    flush = range(1, len(rows[0])) if right is None else right
    everything = "".join(cell for row in rows for cell in row)
    # Of a hundred thousand rows that need no care none is taken.
    plain = everything.isascii() and everything.isprintable()
    cells = [list(row) if plain else [safe(cell, line=True) for cell in row] for row in rows]
    length, pad = (len, _pad_plain) if plain else (display_width, _pad)
    width = _WIDTH.get()
    hidden: list[str] = []
    if width is not None:
        cells, hidden = _fit(cells, width - len(indent))
    columns = list(zip(*cells, strict=True))
    if width is not None:
        length, pad = display_width, _pad  # a name that was cut has dots in it
    widths = [max(map(length, column)) for column in columns]
    padded = [
        [pad(cell, width, i in flush) for cell in column]
        for i, (column, width) in enumerate(zip(columns, widths, strict=True))
    ]
    lines = [indent + _GAP.join(row).rstrip() for row in zip(*padded, strict=True)]
    if hidden:
        named = ", ".join(hidden[:3]) + (", ..." if len(hidden) > 3 else "")
        lines.append(f"{indent}({count_of(len(hidden), 'column')} more: {named}; a wider terminal, a file or --json")
        lines[-1] += f" shows {'it' if len(hidden) == 1 else 'them'})"
    return "\n".join(lines)


def frame_text(
    frame: Any, form: str = "{}", *, missing: str = "", indent: str = "", most: tuple[int, int] | None = None
) -> str:
    """A data frame with its index as aligned text.

    Args:
        frame: of pandas. form: how a number is written; what is no number is written as it is.
        missing: stands for NaN. indent: stands before every line. most: rows and columns that are shown.
    """
    shown = frame if most is None else frame.iloc[: most[0], : most[1]]
    rows = [[str(frame.index.name or ""), *map(str, shown.columns)]]
    for label, row in zip(shown.index, shown.itertuples(index=False), strict=True):
        rows.append([str(label), *(_cell(value, form, missing) for value in row)])
    cut = shown.shape != frame.shape
    return table_text(rows, indent=indent) + (
        f"\n{indent}... {frame.shape[0]} x {frame.shape[1]} in all" if cut else ""
    )


def _cell(value: Any, form: str, missing: str) -> str:
    if value is None or value != value:
        return missing
    return form.format(value) if isinstance(value, float) else str(value)


def _fit(cells: list[list[str]], width: int) -> tuple[list[list[str]], list[str]]:
    """The cells in at most ``width`` columns, and the headers of the table's columns that have no room."""
    columns = list(zip(*cells, strict=True))
    natural = [max(map(display_width, column)) for column in columns]
    least = [
        max([min(n, _LEAST), *(display_width(c) for c in column if _NUMBER.fullmatch(c.strip()))])
        for n, column in zip(natural, columns, strict=True)
    ]
    kept = len(columns)
    while kept > 1 and sum(least[:kept]) + len(_GAP) * (kept - 1) > width:
        kept -= 1
    room = width - len(_GAP) * (kept - 1)
    widths = list(natural[:kept])
    while sum(widths) > room and (over := [i for i in range(kept) if widths[i] > least[i]]):
        # Those that are widest give first, down to the next one.
        widest = max(widths[i] for i in over)
        top = [i for i in over if widths[i] == widest]
        below = max([least[i] for i in top] + [widths[i] for i in over if widths[i] < widest])
        step = max(1, min(widest - below, -(-(sum(widths) - room) // len(top))))
        for i in top:
            widths[i] = max(least[i], widths[i] - step)
    n_head = next((k for k, row in enumerate(cells) if any(_NUMBER.fullmatch(c.strip()) for c in row[1:])), 1)
    shown = [different(row[:kept], widths) for row in cells[:n_head]]
    body = [different([row[i] for row in cells[n_head:]], [widths[i]] * (len(cells) - n_head)) for i in range(kept)]
    shown += [list(row) for row in zip(*body, strict=True)]
    heads = [next((c for c in column[:n_head] if c), f"column {i + 1}") for i, column in enumerate(columns)]
    return shown, heads[kept:]


def different(names: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Names cut in their middle to some widths, so that different ones stay different."""
    made = {name: name for name, width in zip(names, widths, strict=True) if display_width(name) <= width}
    taken = set(made.values())
    out = []
    for name, width in zip(names, widths, strict=True):
        if name not in made:
            made[name] = next(cut for cut in _cuts(name, width) if cut not in taken)
            taken.add(made[name])
        # The same name may stand in columns of several widths.
        out.append(made[name] if display_width(made[name]) <= width else next(_cuts(name, width)))
    return out


def _cuts(name: str, width: int) -> Iterator[str]:
    """Ways to cut a name: in the middle first, then elsewhere, then numbered."""
    room = max(width - 1, 0)
    # Of a sentence its beginning says most.
    best = 0 if name.count(" ") > 2 else room // 2
    for behind in sorted(range(room + 1), key=lambda k: abs(k - best)):
        yield _head(name, room - behind) + _DOTS + (_head(name[::-1], behind)[::-1] if behind else "")
    for number in count(2):
        yield f"{_head(name, max(room - len(str(number)), 0))}{_DOTS}{number}"


def _head(text: str, width: int) -> str:
    if text.isascii():
        return text[:width]
    end = next((k for k in range(len(text)) if display_width(text[: k + 1]) > width), len(text))
    return text[:end]


def display_width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _pad_plain(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _pad(text: str, width: int, right: bool) -> str:
    blank = " " * (width - display_width(text))
    return blank + text if right else text + blank


class Shown(ABC):
    """A result as a notebook and an interpreter show it: a headline, and the text that the terminal has."""

    __slots__ = ()

    @abstractmethod
    def headline(self) -> str:
        """What it is of, in a few words."""

    def shown_text(self) -> str:
        """What a notebook shows below the headline: the terminal's text, where a result has that."""
        return str(self.render())  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {safe(self.headline(), line=True)}>"

    def _repr_html_(self) -> str:
        head = f"<strong>{type(self).__name__}</strong>: {html.escape(safe(self.headline(), line=True))}"
        return f"<div>{head}<pre>{html.escape(safe(self.shown_text()))}</pre></div>"


_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")


def guarded(text: str) -> str:
    """A text cell that no spreadsheet takes for a formula: an apostrophe stands before what would begin one."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """The text that ``guarded`` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
