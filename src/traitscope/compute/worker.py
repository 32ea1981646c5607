"""A process of the pool: a Local backend that takes orders from a pipe.

It ends at once when the other end of the pipe is closed, whatever it is doing: a run that is killed leaves none behind.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from traitscope.compute.backend import ModelFacts
from traitscope.compute.orders import Event, Order, ScoringPlan, TrainingJob, TrainingPlan
from traitscope.config import ComputeConfig
from traitscope.errors import TraitscopeError, is_out_of_memory, no_memory
from traitscope.plugins import load_plugins
from traitscope.store.models import ModelSource

if TYPE_CHECKING:
    from traitscope.compute.local import Local


@dataclass(frozen=True, slots=True)
class Start:
    """The first message: what to compute with, and the plugins that may be asked for with their hashes.

    ``gpus`` is the part of its GPU that the worker may fill; 0 where it has none.
    """

    config: ComputeConfig
    plugins: tuple[str, ...]
    hashes: tuple[str, ...]
    root: Path
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Inspect:
    """Asks for ModelFacts."""

    model: ModelSource


@dataclass(frozen=True, slots=True)
class PlanBanks:
    """Asks for training plans."""

    model: ModelSource
    jobs: tuple[TrainingJob, ...]
    parts: int


@dataclass(frozen=True, slots=True)
class PlanScoring:
    """Asks for a ScoringPlan."""

    model: ModelSource


@dataclass(frozen=True, slots=True)
class Stop:
    """The order under way is to be given up; a training hands over its state first."""


Question = Inspect | PlanBanks | PlanScoring
Message = Start | Question | Order | Stop


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question was answered with."""

    value: ModelFacts | list[TrainingPlan] | ScoringPlan


@dataclass(frozen=True, slots=True)
class Failed:
    """A question cannot be answered; or, with no fix, the traceback of what should not have happened."""

    what: str
    where: str | None
    fix: str | None


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the order under way."""

    event: Event


# On Linux the kernel ends it with the run, even while a library is imported and no other thread gets a turn.
_START = """\
import os, sys
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != {parent}:
    os._exit(1)
from traitscope.compute.worker import main
main({handle})
"""

Reply = Answer | Failed | Happened


def main(handle: int) -> None:
    """Works off what comes in on the pipe with this file handle."""
    pipe = Connection(handle)
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    stop = threading.Event()

    def listen() -> None:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                os._exit(1)
            if isinstance(message, Stop):
                stop.set()
            else:
                # Here, not where an order is taken up: a stop may come before that, while libraries are imported.
                stop.clear()
                messages.put(message)

    threading.Thread(target=listen, daemon=True).start()
    start = messages.get()
    assert isinstance(start, Start)
    try:
        load_same_plugins(start)
        # It imports torch, which takes seconds: the listener is there already.
        local = local_of(start)
        # What is said from here on is told through the pipe; nobody reads the other one while the work goes on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    except Exception as error:
        pipe.send(failure(error))
        return
    while True:
        attend(local, messages.get(), pipe.send, stop.is_set)


def local_of(start: Start) -> Local:
    """The backend of this process; where processes share a GPU, each plans with its part of the memory."""
    # Imports torch.
    from traitscope.compute.local import Local

    if 0 < start.gpus < 1:
        import torch

        torch.cuda.set_per_process_memory_fraction(start.gpus)
    return Local(start.config)


def attend(local: Local, message: Message, say: Callable[[Reply], None], should_stop: Callable[[], bool]) -> None:
    """Answers a question or carries out an order; what goes wrong is a reply too."""
    try:
        match message:
            case Inspect(model):
                say(Answer(local.inspect(model)))
            case PlanBanks(model, jobs, parts):
                say(Answer(local.plan_banks(model, jobs, parts)))
            case PlanScoring(model):
                say(Answer(local.plan_scoring(model)))
            case Start() | Stop():
                raise AssertionError(message)
            case order:
                local.carry_out(order, lambda event: say(Happened(event)), should_stop)
    except Exception as error:
        say(failure(error))


def load_same_plugins(start: Start) -> None:
    """The plugins, if they are still what the run began with: its records are stamped with their hashes."""
    for plugin in load_plugins(start.plugins, start.root):
        if plugin.sha256 not in start.hashes:
            raise TraitscopeError(
                "was changed while the run went on", where=f"plugin {plugin.name}", fix="run the same command again"
            )


def failure(error: Exception) -> Failed:
    """What is told of an error: one of a user's making as it is, any other as a fault of ours with its traceback."""
    if is_out_of_memory(error):
        error = no_memory("compute")
    if isinstance(error, TraitscopeError):
        return Failed(error.what, error.where, error.fix or "see above")
    return Failed("".join(traceback.format_exception(error)).rstrip(), None, None)


def command(handle: int) -> Sequence[str]:
    """The command line that starts a worker of this process on a file handle it inherits."""
    return [sys.executable, "-P", "-c", _START.format(parent=os.getpid(), handle=handle)]
