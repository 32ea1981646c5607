"""Several processes of this machine as a backend: one for each GPU; on a CPU they use its cores better than threads."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType

from traitscope.compute.asking import Asking
from traitscope.compute.backend import BackendLost, ModelFacts, Receive, ShouldStop
from traitscope.compute.orders import Final, Lost, Order, ScoringPlan, Train, TrainingPlan
from traitscope.compute.processes import cores, gpus, visible
from traitscope.compute.worker import (
    Answer,
    Failed,
    Happened,
    Message,
    Question,
    Reply,
    Start,
    Stop,
    command,
)
from traitscope.config import ComputeConfig
from traitscope.errors import TraitscopeError
from traitscope.plugins import plugin_hashes

# How long the pool waits for a sign of its processes before it asks whether to stop.
POLL_S = 0.1
# A process that is gone is replaced this often in all; then it is taken for the machine's fault.
REPLACED = 2
# How long a process that was asked to stop may be silent: a training hands over its state after the step under way.
WIND_DOWN_S = 60.0
# Of what a process writes to its standard error while it starts, this many bytes are kept.
LAST_WORDS = 4096


class PoolStopped(Exception):
    """The run was asked to stop while it waited for an answer."""


class Worker:
    """One process and the pipe to it; ``device`` is the GPU that it alone sees."""

    def __init__(self, start: Start, threads: int, device: str | None = None) -> None:
        self.device = device
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C reaches the run, which then asks its processes to stop.
            self.process = subprocess.Popen(
                command(theirs.fileno()),
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": str(threads),
                    **({} if device is None else {"CUDA_VISIBLE_DEVICES": device}),
                    # What this process can import, that one can, and in the same order.
                    "PYTHONPATH": os.pathsep.join(_import_path()),
                },
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        self.pipe = Connection(ours.detach())
        self.order: Order | None = None
        self.stopping = False
        # Whether it has told anything of its order: before that it has nothing that is not in the folder already.
        self.at_work = False
        self.heard = time.monotonic()
        self._words = b""
        # Read as it comes: a process whose words nobody reads comes to a halt.
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        self.send(start)

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as said:
            while more := os.read(said.fileno(), LAST_WORDS):
                self._words = (self._words + more)[-LAST_WORDS:]

    def send(self, message: Message) -> None:
        """Gives the process a message; one that is gone is found out when its answer is waited for."""
        with suppress(OSError):
            self.pipe.send(message)

    def receive(self) -> Reply | None:
        """The next reply; None if the process is gone."""
        try:
            reply: Reply = self.pipe.recv()
        except (EOFError, OSError):
            return None
        self.heard = time.monotonic()
        return reply

    def ask_to_stop(self) -> None:
        """Has a training hand over its state."""
        self.stopping, self.heard = True, time.monotonic()
        self.send(Stop())

    @property
    def hangs(self) -> bool:
        """Whether it was asked to stop and has been silent since."""
        return self.stopping and time.monotonic() - self.heard > WIND_DOWN_S

    def close(self) -> str:
        """Ends the process, if it has not ended; how it ended, with its last words if it never got to work."""
        self.pipe.close()
        try:
            status = self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reader.join(0.5)  # a process of its own making may hold the pipe open
        words = self._words.decode(errors="replace").strip().splitlines()
        how = f"exit status {status}" if status >= 0 else f"signal {-status}"
        return f"{how}: {words[-1]}" if words else how


class Pool(Asking):
    """A backend of several processes, each a ``Local``. To be used in a ``with`` block, which starts and ends them.

    Args:
        config: device, threads and portions; threads ``auto`` divides the cores.
        size: how many processes.
        plugins, root: what the processes load beside what comes with traitscope, and as this process has loaded it.
        should_stop: asked while an answer is waited for: the processes import torch first, which takes seconds.
    """

    def __init__(
        self,
        config: ComputeConfig,
        size: int,
        *,
        plugins: Sequence[str] = (),
        root: Path = Path(),
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        threads = max(1, cores() // size) if config.threads == "auto" else config.threads
        self.size = size
        self._threads = threads
        devices = gpus() if size > 1 and config.device in ("auto", "cuda") else 0
        self._devices = [visible(k % devices) if devices else None for k in range(size)]
        # Processes that share a GPU divide it evenly.
        part = 1 / math.ceil(size / devices) if devices else 0.0
        portions = config.model_copy(update={"threads": threads})
        self._start = Start(portions, tuple(plugins), tuple(plugin_hashes()), root.resolve(), part)
        self._should_stop = should_stop or (lambda: False)
        self._workers: list[Worker] = []
        self._to_replace = REPLACED

    def __enter__(self) -> Pool:
        self._workers = [Worker(self._start, self._threads, device) for device in self._devices]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.close()

    def work(self, orders: Iterable[Order], receive: Receive, should_stop: ShouldStop) -> None:
        """See ``Backend``."""
        waiting = iter(orders)
        try:
            more = self._hand_out(waiting)
            while self._busy():
                self._hear(receive)
                self._ask_to_stop(receive, should_stop)
                more = more and self._hand_out(waiting)
        except Exception:
            self._wind_down(receive)
            raise
        finally:
            # What is still under way would answer into the next call.
            for worker in self._busy():
                self._replace(worker, asked=True)

    def _hand_out(self, orders: Iterator[Order]) -> bool:
        """Gives every idle process an order; False once there are no more."""
        for worker in self._workers:
            if worker.order is None:
                order = next(orders, None)
                if order is None:
                    return False
                worker.order, worker.stopping, worker.at_work = order, False, False
                worker.send(order)
        return True

    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.order is not None]

    def _wind_down(self, receive: Receive) -> None:
        """After an error: the trainings under way hand over their states, so that nothing is lost but the fault."""
        end = time.monotonic() + WIND_DOWN_S
        self._ask_to_stop(receive, lambda _: True)
        while self._busy() and time.monotonic() < end:
            try:
                self._hear(receive)
            except Exception:  # the first error is the one that is raised
                return

    def _hear(self, receive: Receive) -> None:
        busy = {worker.pipe: worker for worker in self._busy()}
        for pipe in wait(list(busy), POLL_S):
            assert isinstance(pipe, Connection)
            worker = busy[pipe]
            order = worker.order
            assert order is not None
            match worker.receive():
                case Happened(event):
                    worker.at_work = True
                    if isinstance(event, Final):
                        worker.order = None
                    receive(order, event)
                case Failed() as failed:
                    worker.order = None
                    raise error_of(failed)
                case _:
                    how = self._replace(worker, asked=worker.stopping)
                    receive(order, Lost(f"a process of this run ended early: {how}"))
                    if not self._workers:
                        raise _all_gone(how)

    def _ask_to_stop(self, receive: Receive, should_stop: ShouldStop) -> None:
        for worker in list(self._workers):
            order = worker.order
            if order is None or not should_stop(order) or (worker.stopping and not worker.hangs):
                continue
            if isinstance(order, Train) and worker.at_work and not worker.stopping:
                worker.ask_to_stop()
            else:
                # It has nothing to hand over, or does not answer: not waited for.
                self._replace(worker, asked=True)
                receive(order, Lost("it was asked to stop"))

    def _replace(self, worker: Worker, *, asked: bool) -> str:
        """Ends a process and starts another, unless too many have ended unasked; how it ended."""
        how = worker.close()
        self._workers.remove(worker)
        if asked or self._to_replace > 0:
            self._to_replace -= 0 if asked else 1
            self._workers.append(Worker(self._start, self._threads, worker.device))
        return how

    def _ask(self, question: Question) -> ModelFacts | list[TrainingPlan] | ScoringPlan:
        """The first process's answer."""
        how = "none was started"
        while self._workers:
            worker = self._workers[0]
            worker.send(question)
            while not worker.pipe.poll(POLL_S):
                if self._should_stop():
                    raise PoolStopped
            match worker.receive():
                case Answer(value):
                    return value
                case Failed() as failed:
                    raise error_of(failed)
                case _:
                    how = self._replace(worker, asked=False)
        raise _all_gone(how)


def _all_gone(how: str) -> BackendLost:
    return BackendLost(
        f"every process of this run ended early, the last one with {how}",
        where="compute.workers",
        fix="set compute: {workers: 1}, or give the machine more memory",
    )


def _import_path() -> list[str]:
    """Where this process imports from; a working directory that is gone is left out."""
    found = []
    for path in sys.path:
        with suppress(FileNotFoundError):
            found.append(path or str(Path.cwd()))
    return found


def error_of(failed: Failed, place: str = "a process of this run") -> Exception:
    """An error of a user's making as it was; anything else is a fault of ours, with the traceback from there."""
    if failed.fix is None:
        return RuntimeError(f"in {place}:\n{failed.what}")
    return TraitscopeError(failed.what, where=failed.where, fix=failed.fix)
