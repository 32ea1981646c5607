"""Runs on a real Ray cluster of several nodes that do not see the run's disk: the same bytes, whatever is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import snapshot
from rays import Rays, can_hide, wait_for

from traitscope.compute import BackendLost, Checkpoint, cluster, ray_session
from traitscope.compute.cluster import Cluster, Worker
from traitscope.compute.worker import Happened
from traitscope.errors import TraitscopeError
from traitscope.study import Stopped, Study
from traitscope.study.progress import Silent

OneProcess = Callable[[Study], dict[str, str]]


class Notes(Silent):
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def connected(rays: Rays, monkeypatch: pytest.MonkeyPatch) -> Rays:
    """The cluster as ``--on ray`` finds it."""
    monkeypatch.setenv("RAY_ADDRESS", rays.address)
    return rays


def begun(folder: Path) -> bool:
    return any(folder.glob("checkpoints/*/*")) or any(folder.glob("adapters/*/unit.json"))


def test_machines_without_the_disk_of_the_run_give_the_bytes_of_one_process_that_has_it(
    connected: Rays, study_file: Path, driver: Path, one_process: OneProcess
) -> None:
    """Training, scoring and captures; the base is sent once for each machine, adapters to whom they are scored by."""
    before = signal.getsignal(signal.SIGTERM)
    study = Study.open(study_file, driver / "ray", on="ray")
    work = study.run()
    assert work is not None and (len(work.trained), len(work.evaluated), len(work.captured)) == (4, 15, 4)
    assert len(list((driver / "ray" / "plan").glob("bank-*.json"))) == 2
    assert snapshot(driver / "ray") == one_process(study)
    assert signal.getsignal(signal.SIGTERM) is before
    config = json.loads((driver / "ray" / "adapters" / "tone-s0" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(driver / "base")
    if can_hide():
        (sent,) = connected.cache.glob("shipped/*/base/config.json")
        assert sent.read_bytes() == (driver / "base" / "config.json").read_bytes()
    # Nothing is left to do, and no cluster is asked for it.
    assert Study.open(study_file, driver / "ray", on="ray://127.0.0.1:1").run() is None
    # Nor is anything left on the machines but the base.
    assert [path.name for path in connected.cache.glob("shipped/.tmp-*")] == []


@pytest.mark.verify
def test_a_machine_that_is_killed_costs_its_unit_alone_and_the_folder_is_the_same(
    connected: Rays, study_file: Path, driver: Path, one_process: OneProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine of the first worker that has handed over a state, while that training goes on."""
    killed: list[str] = []

    def take(self: Cluster, worker: Worker, said: object, *rest: Any) -> None:
        if not killed and isinstance(said, Happened) and isinstance(said.event, Checkpoint):
            killed.append(worker.host)
            pid = int(worker.host.split()[1])
            (node,) = [n for n in connected.nodes if pid in {p.pid for p in psutil.Process(n.pid).children(True)}]
            connected.kill(node)
        real(self, worker, said, *rest)

    real = Cluster._take
    monkeypatch.setattr(Cluster, "_take", take)
    report = Notes()
    changes = ["recipe.epochs=30"]
    study = Study.open(study_file, driver / "killed", on="ray", report=report, every_s=0.0, changes=changes)
    try:
        study.run()
    finally:
        connected.add()
    assert snapshot(driver / "killed") == one_process(study)
    (lost,) = [note for note in report.notes if "is gone" in note]
    assert lost.startswith("bank-") and killed[0] in lost


@pytest.mark.verify
def test_a_client_elsewhere_stops_in_order_and_the_next_run_goes_on(
    connected: Rays, study_file: Path, driver: Path, one_process: OneProcess
) -> None:
    """Through ``ray://``, with the states of the trainings handed over; what is left is done by the next run."""
    folder = driver / "client"
    study = Study.open(study_file, folder, on=connected.client, every_s=0.0, changes=["recipe.epochs=30"])
    with pytest.raises(Stopped):
        study.run(stop=lambda: begun(folder))
    assert any(folder.glob("checkpoints/*/*")) and not study.plan().complete
    study.run()
    assert snapshot(folder) == one_process(study)


@pytest.mark.verify
def test_a_run_that_is_killed_is_taken_up_by_the_next(
    connected: Rays, study_file: Path, driver: Path, one_process: OneProcess
) -> None:
    folder = driver / "driver-killed"
    code = "import sys; from traitscope.study import Study; Study.open(*sys.argv[1:], on='ray', every_s=0.0).run()"
    run = subprocess.Popen([sys.executable, "-c", code, str(study_file), str(folder)])
    wait_for("checkpoint", lambda: begun(folder), 90.0)
    run.kill()
    run.wait()
    study = Study.open(study_file, folder, on="ray")
    study.run()
    assert snapshot(folder) == one_process(study)


@pytest.mark.verify
def test_plugins_are_sent_and_what_a_worker_refuses_names_the_runs_own_path(
    connected: Rays, study_file: Path, driver: Path
) -> None:
    (study_file.parent / "mine.py").write_text("x = 1\n")
    text = study_file.read_text().replace("study: tiny", "study: tiny\nplugins: [./mine.py]")
    other = study_file.with_name("plugged.yaml")
    other.write_text(text)
    work = Study.open(other, driver / "plugged", on="ray").run(models=["base"], tasks=["story"])
    assert work is not None and work.evaluated == ["cells/base/story"]
    wrong = other.with_name("wrong.yaml")
    wrong.write_text(text.replace("rank: 2", "rank: 2, layers: [0, 7]"))
    with pytest.raises(TraitscopeError, match="layers 0-7 are not inside"):
        Study.open(wrong, driver / "wrong", on="ray").run()


def test_what_no_machine_bears_is_told_and_not_waited_for_for_ever(
    connected: Rays, study_file: Path, driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LOOK_S", 0.5)
    monkeypatch.setattr(cluster, "JOIN_S", 1.0)
    report = Notes()
    study = Study.open(study_file, driver / "large", on="ray", report=report, changes=["compute.threads=7"])
    start = time.monotonic()
    with pytest.raises(BackendLost, match=r"no machine of the cluster has 7 CPUs \(.*1 CPU, 0 GPU"):
        study.run()
    assert time.monotonic() - start < 15
    assert report.notes == ["waiting for the cluster: no machine with 7 CPUs is there"]


def test_a_gpu_is_looked_for_on_the_machines_of_the_cluster(connected: Rays, study_file: Path, driver: Path) -> None:
    study = Study.open(study_file, driver / "large", on="ray", changes=["compute.device=cuda"])
    with pytest.raises(TraitscopeError, match="no machine of the cluster has a GPU"):
        study.run()


def test_other_software_on_a_machine_is_refused_by_name(
    connected: Rays, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the worker really says of itself, held against a run of another version."""
    real = cluster.refuse_unlike
    seen: list[dict[str, Any]] = []

    def older(theirs: dict[str, Any]) -> None:
        seen.append(theirs)
        real({**theirs, "traitscope": "0.0.1"})

    monkeypatch.setattr(cluster, "refuse_unlike", older)
    with Cluster("ray") as backend, pytest.raises(TraitscopeError, match=r"traitscope .* here, 0\.0\.1 there"):
        backend.plan_scoring(Any)  # type: ignore[arg-type]
    assert seen[0]["host"] == os.uname().nodename and seen[0]["torch"]


def test_a_cluster_that_does_not_answer_is_told_within_seconds(rays: Rays, monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.monotonic()
    with pytest.raises(TraitscopeError, match=r"--on ray://127.0.0.1:9: cannot be reached: .*refused"):
        ray_session.Session("ray://127.0.0.1:9")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(TraitscopeError, match=r"127.0.0.1:9: cannot be reached"):
        Cluster("ray").__enter__()
    assert time.monotonic() - start < 5
