"""A real Ray cluster of several machines' worth of processes, none of which sees the disk of the run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

# A node that is killed refuses to be asked and is missed within seconds. One that is slow is not missed: on a busy
# machine both nodes once took longer to answer than they were given.
HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 60000,
    "health_check_failure_threshold": 3,
}
STORE = 80 * 2**20
RAY = Path(sys.executable).with_name("ray")
HIDE = 'mount -t tmpfs none "$1" && shift && exec "$@"'


def can_hide() -> bool:
    """Whether a process may have a view of the disk of its own here."""
    probe = ["unshare", "-m", "sh", "-c", HIDE, "sh", "/mnt", "true"]
    return shutil.which("unshare") is not None and subprocess.run(probe, capture_output=True).returncode == 0


class Rays:
    """A head without CPUs, which the run is connected to, and nodes of one CPU each.

    Args:
        hidden: a folder that the nodes find empty, where the system allows it.
        cache: traitscope's cache on the nodes.
    """

    def __init__(self, hidden: Path, cache: Path) -> None:
        from ray.cluster_utils import Cluster

        # Its sockets' paths must be short.
        self.scratch = Path(tempfile.mkdtemp(prefix="ts-ray-", dir="/tmp"))
        self.hidden, self.cache = hidden, cache
        self.environment = {
            **os.environ,
            "RAY_TMPDIR": str(self.scratch),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_memory_monitor_refresh_ms": "0",
            "TRAITSCOPE_CACHE": str(cache),
        }
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.client_port = _free_port()
        kept = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False, "_system_config": HEALTH}
            self.head: Any = Cluster(
                initialize_head=True, head_node_args={**head, "ray_client_server_port": self.client_port}
            )
        finally:
            for name, value in kept.items():
                if value is None:
                    os.environ.pop(name)
                else:
                    os.environ[name] = value
        self.address: str = self.head.address
        self.client = f"ray://127.0.0.1:{self.client_port}"

    def add(self) -> subprocess.Popen[bytes]:
        """Starts a node and waits until it has joined: two that start at once on one machine may take the same port."""
        start = [str(RAY), "start", f"--address={self.address}", "--num-cpus=1", "--block", "--disable-usage-stats"]
        hide = ["unshare", "-m", "sh", "-c", HIDE, "sh", str(self.hidden)] if can_hide() else []
        said = self.scratch / f"node-{time.monotonic_ns()}"
        with said.open("wb") as output:
            node = subprocess.Popen(
                [*hide, *start, f"--object-store-memory={STORE}"],
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.nodes.append(node)
        wait_for("node", lambda: b"Ray runtime started" in said.read_bytes() or node.poll() is not None, 90.0)
        assert node.poll() is None, said.read_text()
        return node

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """Ends all processes of a node at once, as a power cut would."""
        _kill_all(node.pid)
        node.wait(10)
        self.nodes.remove(node)

    def close(self) -> None:
        """Ends everything; nothing is left, on the disk either."""
        for node in list(self.nodes):
            self.kill(node)
        self.head.shutdown()
        wait_for("end of Ray's processes", lambda: not self.processes(), 20.0)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def processes(self) -> list[int]:
        """Processes of this cluster that still run."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "status"]):
            named = any(str(self.scratch) in word for word in process.info["cmdline"] or ())
            if named and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.info["pid"])
        return found


def _kill_all(pid: int) -> None:
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, found: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits until ``found`` gives something true."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f"no {what} in {seconds} s"
        time.sleep(0.02)
