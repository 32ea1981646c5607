"""How a number is read out of a text."""

from __future__ import annotations

import re
from decimal import Decimal

# A sign counts only where no number or closing bracket stands before it: "10-5" ends in 5, "is -5" in -5.
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w.)\]])[-−])?[$£€]?(?P<sign2>(?<=[$£€])[-−])?"
    r"(?P<digits>(?<![A-Za-z_\d.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])\.\d+)"
)


def final_number(text: str) -> str | None:
    """The number behind the last ``####``, else the last number of the text, in plain decimal form.

    Thousands commas and currency signs are taken away, a percent sign behind the number is ignored, ``3.50``
    is ``3.5`` and ``-0`` is ``0``.
    """
    if "####" in text:
        found = list(_NUMBER.finditer(text.rsplit("####", 1)[1]))[:1]
    else:
        found = list(_NUMBER.finditer(text))[-1:]
    if not found:
        return None
    number = Decimal(found[0]["digits"].replace(",", ""))
    if (found[0]["sign"] or found[0]["sign2"]) and number:
        number = -number
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
