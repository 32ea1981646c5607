"""How many processes of this machine a run is worth."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from traitscope.store.shapes import model_shape

# A second process has to load torch and the base; below this many seconds of work it does not pay.
WORTH_S = 20.0
# What one core of a slow machine reaches in a frozen model's passes; only the order of magnitude matters.
SLOW_FLOPS = 4e10
# Models above this size are left to one process: its matrix products fill all cores, and every process holds a copy.
SMALL_PARAMETERS = 200_000_000
CHARACTERS_PER_TOKEN = 4


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes_for(asked: int | str, device: str, model: str | Path, *, trained: int, evaluated: int) -> int:
    """How many processes a run is worth.

    Args:
        asked: ``compute.workers``.
        device: ``compute.device``.
        model: the base: its folder, or its Hub id.
        trained, evaluated: characters of every row that passes through the model, as often as it does.
    """
    if asked != "auto":
        return int(asked)
    if device not in ("auto", "cpu") or cores() == 1 or (device == "auto" and _has_gpu()):
        return 1
    shape = model_shape(model)
    if shape is None or shape.parameters > SMALL_PARAMETERS:
        return 1
    seconds = shape.parameters * (4 * trained + 2 * evaluated) / CHARACTERS_PER_TOKEN / SLOW_FLOPS
    return cores() if seconds > WORTH_S else 1


def _has_gpu() -> bool:
    return Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists() or sys.platform == "darwin"
