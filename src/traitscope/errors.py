"""The one error type for what a user can cause and can mend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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


# How libraries in C++ say that an allocation failed, on a CPU too.
_NO_MEMORY = (
    *("out of memory", "not enough memory", "std::bad_alloc", "bad allocation", "cannot allocate memory"),
    *("failed to map segment", "could not create a primitive", "cannot create a primitive"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice, in whatever way a library says it."""
    if isinstance(error, TraitscopeError):
        return False
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError | OSError | ImportError) and any(
        words in str(error).lower() for words in _NO_MEMORY
    )


@contextmanager
def memory_errors(where: str) -> Iterator[None]:
    """Turns an error of memory that does not suffice into one of ours."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise no_memory(where) from error


def no_memory(where: str) -> TraitscopeError:
    """The error for memory that does not suffice."""
    return TraitscopeError(
        "there is not enough memory",
        where=where,
        fix="lower compute.tokens_per_pass, compute.slots or compute.workers, or take a machine with more memory; "
        "every finished unit is kept",
    )


def several(errors: Sequence[TraitscopeError]) -> TraitscopeError:
    """The first of some errors of one kind of thing; the others are counted, and four of them told behind it."""
    first, *rest = errors
    if not rest:
        return first
    told = "; ".join(f"{error.where}: {error.what}" if error.where else error.what for error in rest[:4])
    more = f"; and {len(rest) - 4} more" if len(rest) > 4 else ""
    return TraitscopeError(f"{first.what} (and {len(rest)} more: {told}{more})", where=first.where, fix=first.fix)


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


def check_shares(where: str, **given: float) -> None:
    """Refuses a level (of a test, of an interval) that is not between 0 and 1.

    Raises:
        TraitscopeError: one is not; it names which.
    """
    for name, value in given.items():
        if isinstance(value, bool) or not 0.0 < value < 1.0:
            raise TraitscopeError(f"{name}={value!r}", where=where, fix="write a number between 0 and 1")
