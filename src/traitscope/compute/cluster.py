"""A Ray cluster as a backend: one worker for each GPU or each few CPUs, the base loaded once in each.

Orders and what they name travel through Ray, results come back the same way, and the run alone reads and writes its
folder: the machines share no disk with it.
"""

from __future__ import annotations

import math
import pickle
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from traitscope.compute.asking import Asking
from traitscope.compute.backend import BackendLost, ModelFacts, Receive, ShouldStop
from traitscope.compute.host import Assignment, Begin, Close, Lacks, Ready, Said, Supply, Told, refuse_unlike
from traitscope.compute.orders import (
    Adapter,
    Capture,
    Evaluate,
    Final,
    Lost,
    Order,
    ScoringPlan,
    Train,
    TrainingPlan,
)
from traitscope.compute.pool import WIND_DOWN_S, PoolStopped, error_of
from traitscope.compute.ray_session import Session, read_place, words_of, worker_class
from traitscope.compute.shares import Node, share_for, unborne
from traitscope.compute.shipping import Packer, Parcel, addressed
from traitscope.compute.worker import Answer, Failed, Happened, Question, Start, Stop
from traitscope.config import ComputeConfig
from traitscope.plugins import plugin_hashes, plugin_places
from traitscope.store.models import ModelSource, locate

# How long a worker's call waits for something to say, and how long the run waits for a call to end.
WORKER_S, POLL_S = 0.5, 0.1
# How often the cluster's machines are looked at.
LOOK_S = 2.0
# How long a run waits for a machine that bears a worker, and for room on machines that others use.
JOIN_S, PLACE_S = 60.0, 600.0
# So many workers in a row that end before they are ready are taken for the cluster's fault.
MOST_FAILED = 4
# Of adapters that were put into the cluster's memory this much stays there for other workers.
KEPT_BYTES = 1 << 30


@dataclass(eq=False)
class Worker:
    """One worker as the run sees it.

    Attributes:
        call: the reference that its next words come through; None while it is idle.
        outbox: what it is told in its next calls.
        model, models: what it has loaded last.
        at_work: whether it has told anything of its order.
        heard: when it last told something of its order.
    """

    actor: Any
    call: Any
    began: bool = False
    ready: bool = False
    host: str = ""
    outbox: list[tuple[Told, Sequence[Any]]] = field(default_factory=list)
    parcels: dict[str, Parcel] = field(default_factory=dict)
    order: Order | None = None
    asked: bool = False
    stopping: bool = False
    at_work: bool = False
    heard: float = 0.0
    model: ModelSource | None = None
    models: tuple[str, ...] = ()


class Cluster(Asking):
    """A backend of workers on the machines of a Ray cluster. To be used in a ``with`` block.

    Args:
        place: ``ray`` for the cluster that runs on this machine (or ``$RAY_ADDRESS``), ``ray://host:port``.
        config: ``workers`` is how many are asked for (auto: as many as the machines bear; more than there are GPUs
            share them), ``threads`` the CPUs of each.
        base: the model, by whose size CPUs are divided; None for small ones.
        plugins, root: as of ``Pool``; plugins that are files are sent, modules must be installed everywhere.
        should_stop: asked while an answer or a machine is waited for.
        note: told what is waited for.
        verbose: let Ray say what it says.

    Raises:
        TraitscopeError: on entering: no Ray, no cluster, or no machine that bears a worker.
    """

    def __init__(
        self,
        place: str,
        config: ComputeConfig | None = None,
        *,
        base: str | Path | None = None,
        plugins: Sequence[str] = (),
        root: Path = Path(),
        should_stop: Callable[[], bool] | None = None,
        note: Callable[[str], None] | None = None,
        verbose: bool = False,
    ) -> None:
        self._address = read_place(place)
        self._config = config or ComputeConfig()
        self._base = base
        self._plugins, self._root = tuple(plugins), root.resolve()
        self._should_stop = should_stop or (lambda: False)
        self._note = note or (lambda _: None)
        self._verbose = verbose
        self._packer = Packer()
        self._workers: list[Worker] = []
        self._put: OrderedDict[str, tuple[Parcel, tuple[str, ...], list[Any], int]] = OrderedDict()
        self._failed = 0
        self._looked = self._alone_since = -math.inf
        self._noted = ""
        self.size = 0

    def __enter__(self) -> Cluster:
        self._session = Session(self._address, verbose=self._verbose)
        try:
            nodes = self._first_nodes()
            self._share = share_for(self._config, nodes, self._base)
            self.size = self._wanted(nodes)
            self._class = worker_class(self._session.ray)
            self._begin = self._beginning()
            self._match(nodes)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ray = self._session.ray
        with suppress(Exception):
            idle = [w for w in self._workers if w.ready and w.call is None]
            calls = [w.actor.exchange.remote(pickle.dumps(Close()), [], 0.0) for w in idle]
            if calls:
                ray.wait(calls, num_returns=len(calls), timeout=2.0)
        for worker in list(self._workers):
            self._end(worker)
        self._put.clear()
        self._session.close()

    def work(self, orders: Iterable[Order], receive: Receive, should_stop: ShouldStop) -> None:
        """See ``Backend``."""
        waiting, more = iter(orders), True
        try:
            while True:
                more = more and self._hand_out(waiting)
                busy = self._busy()
                if not busy and (not more or self._should_stop()):
                    return
                self._tend(receive)
                self._ask_to_stop(receive, should_stop)
        except Exception:
            self._wind_down(receive)
            raise
        finally:
            # What is still under way would answer into the next call.
            for worker in self._busy():
                self._end(worker)

    # ---- orders

    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.order is not None]

    def _hand_out(self, orders: Iterator[Order]) -> bool:
        """Gives every idle worker an order; False once there are no more."""
        while idle := [w for w in self._workers if w.ready and w.order is None and w.call is None]:
            order = next(orders, None)
            if order is None:
                return False
            worker = max(idle, key=lambda w: fit(w, order))
            worker.order, worker.stopping, worker.at_work, worker.heard = order, False, False, time.monotonic()
            worker.model, worker.models = order.model, _models_of(order)
            self._assign(worker, order)
        return True

    def _assign(self, worker: Worker, message: Order | Question) -> None:
        made, parcels = addressed(message, self._packer)
        worker.parcels = {parcel.mark: parcel for parcel in parcels}
        self._tell(worker, Assignment(made, tuple(parcels)))

    def _tell(self, worker: Worker, told: Told, references: Sequence[Any] = ()) -> None:
        worker.outbox.append((told, references))
        if worker.call is None:
            self._call(worker)

    def _call(self, worker: Worker) -> None:
        told, references = worker.outbox.pop(0) if worker.outbox else (None, ())
        packed = None if told is None else pickle.dumps(told, protocol=5)
        worker.call = worker.actor.exchange.remote(packed, list(references), WORKER_S)

    def _ask(self, question: Question) -> ModelFacts | list[TrainingPlan] | ScoringPlan:
        """The first ready worker's answer; of another one where it does not live to give it."""
        answers: list[Answer] = []
        asked: Worker | None = None
        while not answers:
            if self._should_stop():
                if asked is not None:
                    self._end(asked)
                raise PoolStopped
            if asked is None or asked not in self._workers:
                asked = next((w for w in self._workers if w.ready and w.order is None and w.call is None), None)
                if asked is not None:
                    asked.asked, asked.model = True, question.model
                    self._assign(asked, question)
            self._tend(lambda order, event: None, answers.append)
        return answers[0].value

    # ---- what the workers say

    def _tend(self, receive: Receive, answered: Callable[[Answer], None] = lambda _: None) -> None:
        """Hears what workers have said meanwhile, and keeps as many of them as the machines bear."""
        ray = self._session.ray
        calls = {worker.call: worker for worker in self._workers if worker.call is not None}
        if not calls:
            time.sleep(POLL_S)
        else:
            try:
                done, _ = ray.wait(list(calls), timeout=POLL_S)
                if done:
                    done, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0)
            except Exception as error:
                raise BackendLost(
                    f"the connection to the cluster is lost: {words_of(error)}",
                    where="--on ray",
                    fix="see that the cluster runs, then run the same command again: finished units are kept",
                ) from error
            for call in done:
                if calls[call] in self._workers:
                    self._hear(calls[call], receive, answered)
        self._look()

    def _hear(self, worker: Worker, receive: Receive, answered: Callable[[Answer], None]) -> None:
        ray, call = self._session.ray, worker.call
        worker.call = None
        try:
            found = ray.get(call)
        except ray.exceptions.RayTaskError as error:
            # Outside of what an order does: a fault of ours, which another worker would have too.
            raise RuntimeError(f"in a worker of the cluster:\n{error}") from error
        except Exception as error:
            self._gone(worker, words_of(error), receive)
            return
        if not worker.began:
            refuse_unlike(found)
            worker.began, worker.host = True, f"process {found['pid']} on {found['host']}"
            self._tell(worker, self._begin)
            return
        said: list[Said] = pickle.loads(found)
        for one in said:
            self._take(worker, one, receive, answered)
        if worker.call is None and (worker.outbox or worker.order is not None or worker.asked or not worker.ready):
            self._call(worker)

    def _take(self, worker: Worker, said: Said, receive: Receive, answered: Callable[[Answer], None]) -> None:
        order = worker.order
        match said:
            case Ready():
                worker.ready, self._failed = True, 0
            case Lacks(mark):
                parcel = worker.parcels.get(mark) or next(p for p in self._begin.parcels if p.mark == mark)
                names, references = self._supply(parcel)
                self._tell(worker, Supply(mark, names), references)
            case Answer():
                worker.asked = False
                answered(said)
            case Failed():
                worker.order, worker.asked = None, False
                raise error_of(said, "a worker of the cluster")
            case Happened(event):
                assert order is not None
                worker.at_work, worker.heard = True, time.monotonic()
                if isinstance(event, Final):
                    worker.order = None
                if isinstance(event, Adapter):
                    # Where PEFT finds the base is a place of the run's machine.
                    named = {"base_model_name_or_path": str(locate(order.model.model, order.model.root))}
                    event = replace(event, config={**event.config, **named})
                receive(order, event)

    def _supply(self, parcel: Parcel) -> tuple[tuple[str, ...], list[Any]]:
        """A parcel's pieces in the cluster's memory, from where every machine takes them once."""
        if parcel.mark not in self._put:
            names, references, size = [], [], 0
            for name, data in parcel.pieces():
                names.append(name)
                references.append(self._session.ray.put(data))
                size += len(data)
            self._put[parcel.mark] = parcel, tuple(names), references, size
            adapters = [mark for mark, (other, *_) in self._put.items() if other.kind == "adapter"]
            while len(adapters) > 1 and sum(self._put[mark][3] for mark in adapters) > KEPT_BYTES:
                del self._put[adapters.pop(0)]
        _, found, kept, _ = self._put[parcel.mark]
        return found, kept

    # ---- stops and losses

    def _gone(self, worker: Worker, how: str, receive: Receive) -> None:
        self._workers.remove(worker)
        if not worker.ready:
            self._failed += 1
        where = f" ({worker.host})" if worker.host else ""
        if worker.order is not None:
            receive(worker.order, Lost(f"a worker of the cluster{where} is gone: {how}"))
        if self._failed >= MOST_FAILED:
            raise BackendLost(
                f"{MOST_FAILED} workers in a row ended before they began, the last one{where}: {how}",
                where="--on ray",
                fix="see Ray's logs on that machine (/tmp/ray/session_latest/logs), and its memory",
            )

    def _end(self, worker: Worker) -> None:
        """Ends a worker, whatever it is doing."""
        self._workers.remove(worker)
        with suppress(Exception):
            self._session.ray.kill(worker.actor)

    def _ask_to_stop(self, receive: Receive, should_stop: ShouldStop) -> None:
        for worker in self._busy():
            order = worker.order
            assert order is not None
            hangs = worker.stopping and time.monotonic() - worker.heard > WIND_DOWN_S
            if not should_stop(order) or (worker.stopping and not hangs):
                continue
            if isinstance(order, Train) and worker.at_work and not worker.stopping:
                worker.stopping, worker.heard = True, time.monotonic()
                self._tell(worker, Stop())
            else:
                # It has nothing to hand over, or does not answer: not waited for.
                self._end(worker)
                receive(order, Lost("it was asked to stop"))

    def _wind_down(self, receive: Receive) -> None:
        """After an error: the trainings under way hand over their states, so that nothing is lost but the fault."""
        end = time.monotonic() + WIND_DOWN_S
        with suppress(Exception):  # the first error is the one that is raised
            self._ask_to_stop(receive, lambda _: True)
            while self._busy() and time.monotonic() < end:
                self._tend(receive)

    # ---- the cluster's machines

    def _first_nodes(self) -> list[Node]:
        """The machines, once one of them has a CPU: those of an allocation join one by one."""
        end = time.monotonic() + JOIN_S
        while True:
            nodes = self._session.nodes()
            if any(node.cpus >= 1 for node in nodes):
                return nodes
            if time.monotonic() > end:
                raise unborne("1 CPU", nodes)
            self._tell_once("waiting for the machines of the cluster: none of them has a CPU for Ray yet")
            if self._should_stop():
                raise PoolStopped
            time.sleep(POLL_S)

    def _wanted(self, nodes: Sequence[Node]) -> int:
        """How many workers are asked for: those of the study, which may be more than there is room for by now."""
        if self._config.workers != "auto":
            return int(self._config.workers)
        return sum(self._share.on(node) for node in nodes)

    def _match(self, nodes: Sequence[Node]) -> None:
        wanted = self._wanted(nodes)
        self.size = max(self.size, wanted)
        while len(self._workers) < wanted:
            options = {"num_cpus": self._share.cpus, "num_gpus": self._share.gpus}
            actor = self._class.options(**options).remote()
            self._workers.append(Worker(actor, actor.about.remote()))
        # Those that wait for a machine that has left.
        for worker in [w for w in self._workers if not w.began][: max(0, len(self._workers) - wanted)]:
            self._end(worker)

    def _look(self) -> None:
        """Workers for machines that joined; an end where none is left, or none to be had."""
        now = time.monotonic()
        if any(worker.began for worker in self._workers):
            self._alone_since = math.inf
        elif self._alone_since in (math.inf, -math.inf):
            self._alone_since = now
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        nodes = self._session.nodes()
        self._match(nodes)
        waited = now - self._alone_since
        if waited < LOOK_S:
            return
        borne = any(self._share.on(node) for node in nodes)
        if waited > (PLACE_S if borne else JOIN_S):
            raise unborne(str(self._share), nodes, waited_s=PLACE_S if borne else None)
        what = "is free" if borne else "is there"
        self._tell_once(f"waiting for the cluster: no machine with {self._share} {what}")

    def _tell_once(self, what: str) -> None:
        if what != self._noted:
            self._noted = what
            self._note(what)

    def _beginning(self) -> Begin:
        threads = self._share.cpus if self._config.threads == "auto" else self._config.threads
        device = "cuda" if self._config.device.startswith("cuda") else self._config.device
        config = self._config.model_copy(update={"threads": threads, "device": device})
        places = plugin_places(self._plugins, self._root)
        parcels = tuple(self._packer.parcel("plugin", place) for place in places.values())
        names = tuple(str(places.get(name, name)) for name in self._plugins)
        return Begin(Start(config, names, tuple(plugin_hashes()), self._root, self._share.gpus), parcels)


def fit(worker: Worker, order: Order) -> tuple[bool, bool]:
    """How well an order fits an idle worker: the base is loaded there, and the same models on it."""
    return worker.model == order.model, worker.models == _models_of(order)


def _models_of(order: Order) -> tuple[str, ...]:
    return tuple(order.models) if isinstance(order, Evaluate | Capture) else ()
