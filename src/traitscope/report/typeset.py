"""The page's signs: true minuses before numbers, and names that are read from right to left kept from moving them."""

from __future__ import annotations

import re

from traitscope.texts import RIGHT_TO_LEFT, isolated, minus

# What is nobody's prose, tags, and what stands between them.
_PIECES = re.compile(r"<(script|style|pre|code|svg)\b.*?</\1>|<[^>]*>|[^<]+", re.S)
_TOLD = re.compile(r'(?<= )(title|data-tip|aria-label)="([^"]*)"')


def typeset(page: str) -> str:
    """A page of markup with true minuses in its prose and its columns of numbers, and ``<bdi>`` around what is read
    from right to left; in attributes that are told (titles, tips) marks do the same. Columns of names stay as they are.
    """
    made, named = [], False
    for found in _PIECES.finditer(page):
        piece = found[0]
        if piece[0] != "<":
            text = piece if named else minus(piece)
            made.append(RIGHT_TO_LEFT.sub(r"<bdi>\g<0></bdi>", text))
            continue
        if piece.startswith(("<td", "<th")) and piece[3] in " >":
            named = not re.search(r'class="[^"]*(?:number|long)', piece)
        elif piece in ("</td>", "</th>"):
            named = False
        made.append(piece if found[1] else _TOLD.sub(_tell, piece))
    return "".join(made)


def _tell(found: re.Match[str]) -> str:
    return f'{found[1]}="{isolated(minus(found[2]))}"'
