"""What the steps of a run share: study, folder, leases, data, where it computes and whom it tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from traitscope.compute import Local
from traitscope.config import StudyConfig
from traitscope.store import Leases, RunFolder
from traitscope.study.data import StudyData
from traitscope.study.progress import Reporter, Stopped
from traitscope.study.state import State, Units, find_state


@dataclass
class Work:
    """One process filling one run folder.

    Attributes:
        every_s: seconds between checkpoints of a bank.
        workers: processes of this machine that share the run.
        asked_to_stop: asked between units and after every step.
        trained, evaluated, rescored, captured: units that this process committed.
        tokens: trained by this process.
    """

    config: StudyConfig
    folder: RunFolder
    leases: Leases
    data: StudyData
    units: Units
    place: Local
    report: Reporter
    every_s: float = 60.0
    workers: int = 1
    asked_to_stop: Callable[[], bool] = lambda: False
    trained: list[str] = field(default_factory=list)
    evaluated: list[str] = field(default_factory=list)
    rescored: list[str] = field(default_factory=list)
    captured: list[str] = field(default_factory=list)
    tokens: int = 0

    def state(self) -> State:
        """Where the study stands at this moment."""
        return find_state(self.units, self.folder, self.data)

    def stop_if_asked(self) -> None:
        """Ends the run between two units.

        Raises:
            Stopped: somebody asked for it.
        """
        if self.asked_to_stop():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleeps, but not through a request to stop."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.stop_if_asked()
            time.sleep(min(0.1, max(0.0, end - time.monotonic())))

    def progress(self, unit: str = "tokens") -> Callable[[Any], None]:
        """A callback for the engine that passes its progress on and ends a scoring pass that should stop."""

        def passed_on(progress: Any) -> None:
            share = progress.share_of_peak
            note = progress.note or (f"{share:.0%} of peak" if share is not None else "")
            self.report.progress(
                progress.done_tokens,
                progress.total_tokens,
                unit=unit,
                per_s=progress.tokens_per_s,
                seconds_left=progress.seconds_left,
                note=note,
            )

        return passed_on
