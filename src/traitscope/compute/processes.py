"""How many processes of this machine a run is worth, and which GPU each of them has."""

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
# The same of one GPU: a third of what an H100 reaches (docs/performance.md).
GPU_FLOPS = 1e14


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
    devices = gpus() if device in ("auto", "cuda") else 0
    if devices == 1 or device not in ("auto", "cuda", "cpu") or (not devices and cores() == 1):
        return 1
    if not devices and (device == "cuda" or (device == "auto" and _has_gpu())):
        return 1
    shape = model_shape(model)
    if shape is None or (not devices and shape.parameters > SMALL_PARAMETERS):
        # A model that was not loaded yet is worth its GPUs.
        return max(1, devices)
    operations = shape.parameters * (4 * trained + 2 * evaluated) / CHARACTERS_PER_TOKEN
    seconds = operations / (GPU_FLOPS if devices else SLOW_FLOPS)
    return (devices or cores()) if seconds > WORTH_S else 1


def gpus() -> int:
    """CUDA devices that this process sees."""
    if not _has_gpu() or sys.platform == "darwin":
        return 0
    import torch

    return torch.cuda.device_count()


def visible(device: int) -> str:
    """What ``CUDA_VISIBLE_DEVICES`` must say for one of the devices that this process sees."""
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[device] if named else str(device)


def _has_gpu() -> bool:
    return Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists() or sys.platform == "darwin"
