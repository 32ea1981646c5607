"""TensorBoard: event files, a folder for each model, so that its curves lie over one another."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from traitscope.tracking.seam import Entry, TrackedRun

# Each has a thread and an open file; a model that is told of again gets another file in its folder.
MOST_OPEN = 64
FLUSH_S = 15


class TensorBoard:
    """Writes under ``tensorboard/<name>-<id>/`` of the folder; ``tensorboard --logdir`` shows it while it grows."""

    def __init__(self) -> None:
        self._root = Path()
        self._writers: OrderedDict[str, SummaryWriter] = OrderedDict()

    def start(self, run: TrackedRun) -> None:
        """See ``Tracker``."""
        self._root = run.folder / "tensorboard" / f"{run.name}-{run.id}"
        lines = [f"| {key} | {value} |" for key, value in run.config.items()]
        self._writer("").add_text("study", "\n".join(["| | |", "| --- | --- |", *lines]), 0)

    def log(self, entries: Sequence[Entry]) -> None:
        """See ``Tracker``."""
        for entry in entries:
            # What a killed process told beyond the place from which this one goes on is told again.
            begins = entry.step if "train/loss" in entry.values else None
            writer = self._writer(entry.model, begins)
            for name, value in entry.values.items():
                writer.add_scalar(name, value, entry.step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
        """See ``Tracker``."""
        shown = [["" if v is None else v if isinstance(v, str) else f"{v:.4g}" for v in row] for row in rows]
        lines = [" | ".join(line) for line in (columns, ["---"] * len(columns), *shown)]
        self._writer("").add_text(name, "\n".join(f"| {line} |" for line in lines), 0)

    def flush(self) -> None:
        """See ``Tracker``."""
        for writer in self._writers.values():
            writer.flush()

    def finish(self, *, failed: bool) -> None:
        """See ``Tracker``."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, model: str, begins: int | None = None) -> SummaryWriter:
        writer = self._writers.pop(model, None)
        if writer is None:
            writer = SummaryWriter(str(self._root / model), purge_step=begins, flush_secs=FLUSH_S)
        self._writers[model] = writer
        if len(self._writers) > MOST_OPEN:
            self._writers.popitem(last=False)[1].close()
        return writer
