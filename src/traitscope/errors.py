"""The one error type for what a user can cause and can mend."""

from __future__ import annotations


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
        super().__init__(f"{head}\n  fix: {fix}" if fix else head)
