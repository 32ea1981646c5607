"""A bound on the time of code that is not ours and takes none: the chat templates that tokenizers bring."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from traitscope.config.bounds import SECONDS

_POLL_S = 0.2


class TookTooLong(BaseException):
    """Raised in the middle of what did not end in time; no ``except Exception`` of its own holds it up."""


class _Watch:
    """One thread that looks at the others' deadlines now and then: so many renderings are not worth one each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[int, float] = {}
        self._running = False

    @contextmanager
    def over(self, seconds: float) -> Iterator[None]:
        thread = threading.get_ident()
        with self._lock:
            self._ends[thread] = time.monotonic() + seconds
            if not self._running:
                self._running = True
                threading.Thread(target=self._look, name="traitscope-deadline", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                in_time = self._ends.pop(thread, None) is not None
            if not in_time:
                # It may be on its way still: it must not arrive in what follows.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)

    def _look(self) -> None:
        while True:
            time.sleep(_POLL_S)
            now = time.monotonic()
            with self._lock:
                for thread in [thread for thread, end in self._ends.items() if end < now]:
                    del self._ends[thread]
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TookTooLong))
                if not self._ends:
                    self._running = False
                    return


_WATCH = _Watch()


@contextmanager
def within(seconds: float = SECONDS) -> Iterator[None]:
    """What runs inside is ended after so many seconds, as soon as it is Python again.

    Raises:
        TookTooLong: it did not end by itself.
    """
    with _WATCH.over(seconds):
        yield
