"""The one error type for what a user can cause and can mend."""

from __future__ import annotations

from traitscope.texts import safe


class TraitscopeError(ValueError):
    """What went wrong, where, and what to write or do instead.

    Every error of a user's making is one of these: the command line prints its message without a
    traceback. ``where`` is a file, a key of the study file or a unit; ``fix`` is an instruction.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        head = f"{where}: {what}" if where else what
        message = f"{head}\n  fix: {fix}" if fix else head
        super().__init__(safe(message))


def check_count(value: object, where: str, or_word: str | None = None) -> None:
    """Refuses what is no whole number of 1 or more, nor the word that may stand in its place.

    Raises:
        TraitscopeError: it is neither.
    """
    # A truth value is an int in Python.
    if value == or_word is not None or (hasattr(value, "__index__") and not isinstance(value, bool) and value >= 1):  # type: ignore[operator]
        return
    also = f', or "{or_word}"' if or_word is not None else ""
    raise TraitscopeError(f"{value!r} is no number of 1 or more", where=where, fix=f"give a whole number{also}")
