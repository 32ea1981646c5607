"""Progress of passes that run through a known number of tokens."""

from __future__ import annotations

import time
from collections.abc import Callable

from traitscope.engine.base import Base
from traitscope.engine.peak import share_of_peak
from traitscope.records import Progress


class Pace:
    """Counts tokens and reports speed, share of the machine's peak and time left."""

    def __init__(
        self, base: Base, total: int, *, flops_per_parameter: int, report: Callable[[Progress], None] | None
    ) -> None:
        self.base = base
        self.total = total
        self.flops = flops_per_parameter
        self.report = report
        self.done = 0
        self.began = time.monotonic()

    def add(self, tokens: int) -> None:
        self.done += tokens
        if self.report is None:
            return
        speed = self.done / max(time.monotonic() - self.began, 1e-9)
        share = share_of_peak(self.base, speed, flops_per_parameter=self.flops)
        left = max(0, self.total - self.done) / speed
        self.report(Progress(self.done, max(self.total, self.done), speed, share, left))
