"""Answers without what models wrap them in: markdown, LaTeX, full-width characters."""

from __future__ import annotations

import re

_WIDE = {0xFF01 + i: 0x21 + i for i in range(94)} | {0x3000: " "}
_STYLED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|operatorname|mbox)\s*\{([^{}]*)\}")
_NOTHING = re.compile(r"\\(?:left|right|displaystyle|big|Big)(?![A-Za-z])|\\[()\[\]]")
# LaTeX's thin spaces; {,} is its comma without a space behind.
_THIN = re.compile(r"\\[,;:! ]|(?<=\d)~(?=\d)")
_EMPHASIS = re.compile(r"(?<!\d)\*\*|\*\*(?!\d)|(?<![\w*])\*([^*\n]+)\*(?![\w*])|(?<!\w)_+([^_\n]+)_+(?!\w)|~~|`")


def boxed(text: str) -> str | None:
    r"""What stands in the last ``\boxed{...}``, braces balanced: the answer in MATH (arXiv 2103.03874); or None."""
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    open_at = text.find("{", start) if start >= 0 else -1
    if open_at < 0:
        return None
    depth = 0
    for place in range(open_at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[open_at + 1 : place]
    return text[open_at + 1 :]


def plain(text: str) -> str:
    """A text without markdown's emphasis and LaTeX's fonts and spaces; full-width characters as ordinary ones."""
    text = text.translate(_WIDE).replace("{,}", ",").replace("\\$", "$").replace("\\%", "%")
    text = _NOTHING.sub(" ", _THIN.sub("\u2009", text))
    while (bare := _STYLED.sub(r"\1", text)) != text:
        text = bare
    return _EMPHASIS.sub(lambda found: found[1] or found[2] or "", text)
