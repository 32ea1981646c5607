"""Weights & Biases: one run, in which every model has steps of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from traitscope.tracking.seam import Entry, TrackedRun

# Read when it is imported: by default it reports its own errors to its makers, offline too.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import wandb

# A service that does not answer is waited for this long; what was not sent stays on the disk for ``wandb sync``.
START_S, FINISH_S = 30.0, 60.0
# Where a version has them.
_PRIVATE: dict[str, Any] = {
    "finish_timeout": FINISH_S,
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "host": "traitscope",
    "program": "traitscope",
}


class WeightsAndBiases:
    """One W&B run, in ``wandb/`` of the folder; its own variables (WANDB_MODE, WANDB_PROJECT, ...) are heeded.

    Without WANDB_MODE it is online for who is logged in and offline for others. It tells the service nothing of the
    machine, the program, git or what is printed.
    """

    def __init__(self) -> None:
        self._run: Any = None
        self._known: set[str] = set()

    def start(self, run: TrackedRun) -> None:
        """See ``Tracker``."""
        (run.folder / "wandb").mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "traitscope",
            id=run.id,
            name=run.name,
            group=run.group,
            config=dict(run.config),
            dir=str(run.folder),
            resume="allow",
            settings=wandb.Settings(
                mode=_mode(),
                silent=True,
                console="off",
                # A run of the caller's own stays what it is.
                reinit="create_new",
                init_timeout=START_S,
                **{name: value for name, value in _PRIVATE.items() if name in wandb.Settings.model_fields},
            ),
        )

    def log(self, entries: Sequence[Entry]) -> None:
        """See ``Tracker``; numbers of different models go out together."""
        together: dict[str, float] = {}
        seen: set[str] = set()
        for entry in entries:
            if entry.model in seen:
                self._run.log(together)
                together, seen = {}, set()
            if entry.model not in self._known:
                self._known.add(entry.model)
                self._run.define_metric(f"{entry.model}/step", hidden=True)
                self._run.define_metric(f"{entry.model}/*", step_metric=f"{entry.model}/step")
            seen.add(entry.model)
            together[f"{entry.model}/step"] = entry.step
            together |= {f"{entry.model}/{name}": value for name, value in entry.values.items()}
        if together:
            self._run.log(together)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
        """See ``Tracker``."""
        self._run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    def flush(self) -> None:
        """See ``Tracker``; another process holds what was logged."""

    def finish(self, *, failed: bool) -> None:
        """See ``Tracker``."""
        if self._run is not None:
            self._run.finish(exit_code=int(failed))


def _mode() -> Any:
    """WANDB_MODE; else online where a login is known. It is looked for, never asked for."""
    told = os.environ.get("WANDB_MODE")
    if told:
        return told
    wandb.setup(settings=wandb.Settings(silent=True))
    return "online" if wandb.login(prompt=False, verify=False) else "offline"
