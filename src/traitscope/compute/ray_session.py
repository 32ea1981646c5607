"""The connection to a Ray cluster: found or refused within seconds, quiet, and what its machines offer."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from traitscope.compute.shares import Node
from traitscope.errors import TraitscopeError

CLIENT_PORT = 10001
# How long a machine may take to answer at all.
ANSWER_S = 5.0
_START = "start one with `ray start --head --disable-usage-stats`, or name it: --on ray://HOST:10001"


def read_place(text: str) -> str:
    """What ``--on`` names, as Ray takes it: ``ray`` is the running cluster, ``ray://host`` one elsewhere.

    Raises:
        TraitscopeError: it is neither.
    """
    if text == "ray":
        return os.environ.get("RAY_ADDRESS") or "auto"
    match = re.fullmatch(r"ray://(\[[0-9a-fA-F:]+\]|[^/:\s]+)(?::(\d{1,5}))?/?", text)
    if match is None or int(match[2] or CLIENT_PORT) > 65535:
        raise TraitscopeError(f"cannot read {text!r}", where="--on", fix="write ray, or ray://HOST:PORT")
    return f"ray://{match[1]}:{match[2] or CLIENT_PORT}"


class Session:
    """A cluster that this process is connected to.

    Args:
        address: as ``read_place`` gives it.
        verbose: let Ray say what it says.

    Raises:
        TraitscopeError: Ray is not installed, there is no cluster, or it does not answer.
    """

    def __init__(self, address: str, *, verbose: bool = False) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if not verbose:
            os.environ.setdefault("RAY_SCHEDULER_EVENTS", "0")
            os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
            # Which a driver without GPUs is told about at every start.
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        with _same_signals():
            try:
                import ray
            except ImportError as error:
                raise TraitscopeError(
                    "Ray is not installed", where="--on ray", fix="run `pip install 'traitscope[ray]'`"
                ) from error
            self.ray: Any = ray
            # A notebook or a program of the user's own may be connected already: its connection is used, and stays.
            self.ours = not ray.is_initialized()
            if self.ours:
                _refuse_silent(address)
                level = logging.INFO if verbose else logging.CRITICAL
                try:
                    with nullcontext() if verbose else _without_words():
                        ray.init(address=address, logging_level=level, log_to_driver=verbose)
                except Exception as error:
                    raise _unreached(address, error) from error

    def nodes(self) -> list[Node]:
        """The machines that are there at this moment."""
        found = []
        for node in self.ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                name = node.get("NodeManagerHostname") or node["NodeID"]
                found.append(Node(name, has.get("CPU", 0.0), has.get("GPU", 0.0)))
        return found

    def close(self) -> None:
        """Leaves the cluster."""
        if self.ours:
            with _same_signals(), suppress(Exception):
                self.ray.shutdown()


def _refuse_silent(address: str) -> None:
    """Asks the port first: Ray itself waits a minute for a machine that is not there, then ends the process."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        raise TraitscopeError(f"cannot read {address!r}", where="RAY_ADDRESS", fix="write HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except OSError as error:
        raise _unreached(address, error) from error


def _unreached(address: str, error: Exception) -> TraitscopeError:
    words = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if address == "auto":
        return TraitscopeError("no Ray cluster runs on this machine", where="--on ray", fix=_START)
    if "ray[client]" in str(error) or ("grpc" in str(error).lower() and isinstance(error, ImportError)):
        return TraitscopeError(words, where=f"--on {address}", fix="run `pip install 'traitscope[ray]'`")
    fix = (
        "see that it runs, that this port can be reached from here, that Python and Ray are the same versions, "
        "and that RAY_AUTH_MODE and RAY_AUTH_TOKEN are the cluster's"
    )
    return TraitscopeError(f"cannot be reached: {words}", where=f"--on {address}", fix=fix)


@contextmanager
def _without_words() -> Iterator[None]:
    """What Ray's C++ side says past Python while it starts, such as where it takes its log level from, is left out."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        sys.stderr.flush()
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _same_signals() -> Iterator[None]:
    """Ray puts a handler of its own for SIGTERM in the place of the run's, which stops in order."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            # Only the main thread has handlers, and Ray sets none elsewhere.
            with suppress(ValueError):
                signal.signal(number, handler)


def worker_class(ray: Any) -> Any:
    """The actor that every worker is. It is sent as it stands here, so that it can tell where traitscope is missing."""

    class TraitscopeWorker:
        def __init__(self) -> None:
            self._host: Any = None

        def about(self) -> dict[str, str | None]:
            import os

            try:
                from traitscope.compute import host
            except Exception as error:
                named = {"host": os.uname().nodename, "pid": str(os.getpid()), "error": str(error)}
                try:
                    from traitscope._version import __version__
                except Exception:
                    return {**named, "traitscope": None}
                return {**named, "traitscope": __version__}
            import ray as here

            self._host = host.Host(lambda reference: here.get(reference))
            return host.about()

        def exchange(self, packed: bytes | None, references: Sequence[Any], wait_s: float) -> bytes:
            return self._host.exchange(packed, references, wait_s)

    return ray.remote(max_restarts=0, max_task_retries=0)(TraitscopeWorker)


def words_of(error: BaseException) -> str:
    """Why a worker is gone, in a line."""
    text = " ".join(str(getattr(error, "error_msg", None) or error).split())
    for pattern in (
        r"(The actor is dead because .*?)(?: Node Id:| The actor never ran|$)",
        r"(The actor's node .*?)(?:\.|$)",
        r"(Worker exit detail: .*)",
    ):
        if found := re.search(pattern, text):
            return found[1].rstrip(". ")[:300]
    return text[:300]
