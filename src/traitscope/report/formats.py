"""The formats that figures are written in; nothing here draws, so that every command may look at it."""

from __future__ import annotations

from collections.abc import Sequence

from traitscope.errors import TraitscopeError

FORMATS = ("svg", "pdf")


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats, each once, in one order.

    Raises:
        TraitscopeError: one is not known.
    """
    given = [formats] if isinstance(formats, str) else list(formats)
    for name in given:
        if name not in FORMATS:
            fix = f"choose from {', '.join(FORMATS)}"
            raise TraitscopeError(f"there is no format {name!r} of figures", where="figures", fix=fix)
    return tuple(name for name in FORMATS if name in given)
