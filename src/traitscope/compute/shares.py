"""What the machines of a cluster offer, and what of it one worker takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from traitscope.compute.backend import BackendLost
from traitscope.compute.processes import SMALL_PARAMETERS
from traitscope.config import ComputeConfig
from traitscope.store.shapes import model_shape
from traitscope.texts import count_of

MOST_THREADS = 8


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of a cluster: its name, and what it has in all."""

    name: str
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker takes of a machine: whole CPUs, and GPUs or a part of one."""

    cpus: int
    gpus: float

    def on(self, node: Node) -> int:
        """How many workers a machine bears."""
        found = int(node.cpus // self.cpus)
        return min(found, int(node.gpus / self.gpus + 1e-9)) if self.gpus else found

    def __str__(self) -> str:
        cpus = f"{self.cpus} CPU{'s' if self.cpus > 1 else ''}"
        return cpus if not self.gpus else f"{cpus} and {self.gpus:g} GPU{'s' if self.gpus > 1 else ''}"


def share_for(config: ComputeConfig, nodes: Sequence[Node], base: str | Path | None) -> Share:
    """What one worker takes: a GPU where there are some; else one CPU for a small model, a machine's for a larger one.

    Raises:
        TraitscopeError: a GPU is asked for and no machine has one.
    """
    asked = None if config.workers == "auto" else int(config.workers)
    threads = None if config.threads == "auto" else int(config.threads)
    gpus = sum(int(node.gpus) for node in nodes) if config.device in ("auto", "cuda") or ":" in config.device else 0
    if gpus:
        # More workers than GPUs share them evenly.
        each = math.ceil(asked / gpus) if asked is not None and asked > gpus else 1
        fair = min(int(node.cpus // (int(node.gpus) * each)) for node in nodes if node.gpus >= 1)
        return Share(threads or max(1, min(fair, MOST_THREADS)), math.floor(1e4 / each) / 1e4)
    if config.device.startswith("cuda"):
        raise unborne("a GPU", nodes)
    if threads is not None:
        return Share(threads, 0)
    bearing = [int(node.cpus) for node in nodes if node.cpus >= 1]
    if asked is not None:
        return Share(max(1, min(*bearing, sum(bearing) // asked) if bearing else 1), 0)
    shape = None if base is None else model_shape(base)
    small = base is None or (shape is not None and shape.parameters <= SMALL_PARAMETERS)
    return Share(1 if small or not bearing else min(bearing), 0)


def unborne(what: str, nodes: Sequence[Node], *, waited_s: float | None = None) -> BackendLost:
    """The error where no machine bears a worker; with ``waited_s``, where others use those that would."""
    found = ", ".join(f"{node.name}: {node.cpus:g} CPU, {node.gpus:g} GPU" for node in nodes[:6])
    more = f" and {len(nodes) - 6} more" if len(nodes) > 6 else ""
    if waited_s is not None:
        return BackendLost(
            f"no machine had {what} to spare in {waited_s / 60:g} minutes ({found}{more})",
            where="--on ray",
            fix="wait for the other jobs of the cluster, or lower compute.threads",
        )
    return BackendLost(
        f"no machine of the cluster has {what} ({count_of(len(nodes), 'machine')}: {found or 'none'}{more})",
        where="--on ray",
        fix="start machines that have it (`ray start --address=...`), or ask for less with compute.threads or "
        "compute.device",
    )
