"""trackio: one run, whose metrics begin with the model's name, in trackio's own folder (TRACKIO_DIR)."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from inspect import signature
from typing import Any

import pandas as pd
import trackio

from traitscope.tracking.seam import Entry, TrackedRun


class Trackio:
    """The run ``<name>-<id>`` of the project TRACKIO_PROJECT (by default ``traitscope``); ``trackio show`` shows it."""

    def __init__(self) -> None:
        self._run: Any = None

    def start(self, run: TrackedRun) -> None:
        """See ``Tracker``."""
        # Readings of the machine and a page in a notebook, where this version has them.
        unasked = {"auto_log_gpu": False, "auto_log_cpu": False, "embed": False}
        takes = signature(trackio.init).parameters
        with redirect_stdout(io.StringIO()):
            self._run = trackio.init(
                project=os.environ.get("TRACKIO_PROJECT") or "traitscope",
                name=f"{run.name}-{run.id}",
                group=run.group,
                config=dict(run.config),
                resume="allow",
                **{name: value for name, value in unasked.items() if name in takes},
            )

    def log(self, entries: Sequence[Entry]) -> None:
        """See ``Tracker``."""
        for entry in entries:
            self._run.log({f"{entry.model}/{name}": value for name, value in entry.values.items()}, step=entry.step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
        """See ``Tracker``."""
        frame = pd.DataFrame([list(row) for row in rows], columns=list(columns), dtype=object)
        self._run.log({name: trackio.Table(dataframe=frame)})

    def flush(self) -> None:
        """See ``Tracker``; trackio writes twice a second by itself."""

    def finish(self, *, failed: bool) -> None:
        """See ``Tracker``."""
        if self._run is not None:
            with redirect_stdout(io.StringIO()):
                # Not the run's own ``finish``: what is still the current run when the process ends says so then.
                trackio.finish()
