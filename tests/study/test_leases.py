"""Leases with real processes: one owner at a time, taken over from the dead and the silent only."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from backends import Changed

from traitscope.compute import Checkpoint, Done, Event, Order, Train
from traitscope.errors import TraitscopeError
from traitscope.store import LeaseLost, Leases, RunFolder, leases
from traitscope.store.files import temporary
from traitscope.study import Stopped, Study

WORKER = Path(__file__).with_name("lease_worker.py")


def start(folder: Path, mode: str, name: str, stale_s: float = 60.0) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(WORKER), str(folder), mode, name, str(stale_s)])


def wait_for(path: Path, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} never came"
        time.sleep(0.01)


def test_a_unit_has_one_owner(tmp_path: Path) -> None:
    with Leases(tmp_path) as one, Leases(tmp_path) as two:
        assert one.acquire("cells/base/t")
        assert not two.acquire("cells/base/t")
        assert list(two.busy()) == ["cells/base/t"] and one.busy() == {}
        one.release("cells/base/t")
        assert two.acquire("cells/base/t")


def test_the_owner_of_a_killed_process_is_replaced_at_once(tmp_path: Path) -> None:
    worker = start(tmp_path, "hold", "w")
    wait_for(tmp_path / "w.holding")
    with Leases(tmp_path / "leases") as ours:
        assert not ours.acquire("unit")
        os.kill(worker.pid, signal.SIGKILL)
        time.sleep(0.1)  # not waited for: a zombie counts as dead
        assert ours.acquire("unit")
    worker.wait()


def test_nothing_of_a_killed_process_stays_in_the_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    worker = start(tmp_path, "hold", "w")
    wait_for(tmp_path / "w.holding")
    half_written = tmp_path / "leases" / temporary(Path("unit.json")).name.replace(str(os.getpid()), str(worker.pid))
    half_written.touch()
    with folder.leases() as ours:
        folder.prepare()
        assert half_written.exists() and list(ours.busy()) == ["unit"]
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    folder.prepare()
    with folder.leases():
        pass
    assert [path.name for path in (tmp_path / "leases").iterdir()] == [".guard"]


def test_a_stopped_process_loses_its_lease_and_cannot_commit(tmp_path: Path) -> None:
    worker = start(tmp_path, "hold", "w", stale_s=0.5)
    wait_for(tmp_path / "w.holding")
    with Leases(tmp_path / "leases", beat_s=0.05, stale_s=0.5) as ours:
        os.kill(worker.pid, signal.SIGSTOP)
        assert not ours.acquire("unit")
        time.sleep(0.7)
        assert ours.acquire("unit")
        (tmp_path / "w.go").touch()
        os.kill(worker.pid, signal.SIGCONT)
        assert worker.wait(20) == 0
        assert (tmp_path / "w.lost").exists() and not (tmp_path / "w.committed").exists()
        with ours.commit("unit"):
            pass


def test_a_lock_that_a_stopped_process_keeps_is_told_and_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "GUARD_S", 0.1)
    with Leases(tmp_path).alone(), pytest.raises(TraitscopeError, match="was stopped"), Leases(tmp_path).alone():
        pass
    with Leases(tmp_path).alone():
        pass


def test_a_heartbeat_keeps_a_lease_much_longer_than_the_stale_time(tmp_path: Path) -> None:
    worker = start(tmp_path, "hold", "w", stale_s=0.4)
    wait_for(tmp_path / "w.holding")
    with Leases(tmp_path / "leases", stale_s=0.4) as ours:
        for _ in range(10):
            assert not ours.acquire("unit")
            time.sleep(0.1)
    (tmp_path / "w.go").touch()
    assert worker.wait(20) == 0
    assert (tmp_path / "w.committed").exists()


def test_a_lost_lease_is_noticed_by_the_heartbeat(tmp_path: Path) -> None:
    with Leases(tmp_path, beat_s=0.02) as ours:
        ours.acquire("unit")
        assert not ours.lost("unit")
        ours.path("unit").unlink()
        end = time.monotonic() + 5
        while not ours.lost("unit") and time.monotonic() < end:
            time.sleep(0.01)
        assert ours.lost("unit")
        with pytest.raises(LeaseLost), ours.commit("unit"):
            pass


def test_several_processes_do_every_unit_exactly_once(tmp_path: Path) -> None:
    workers = [start(tmp_path, "fill", f"w{i}") for i in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    done = collections.Counter(line.split()[0] for line in (tmp_path / "log").read_text().splitlines())
    assert done == {f"cells/m/{i}": 1 for i in range(40)}
    assert [p.name for p in (tmp_path / "leases").iterdir()] == [".guard"]


@pytest.mark.parametrize("content", [b"", b"5", b"null", b"{}", b"\xff\xfe", b'{"id": 3'])
def test_a_damaged_lease_holds_nothing(tmp_path: Path, content: bytes) -> None:
    with Leases(tmp_path) as ours:
        ours.path("unit").write_bytes(content)
        assert ours.busy() == {}
        assert ours.acquire("unit")


@pytest.mark.parametrize("ahead_s", [-3600.0, 3600.0])
def test_a_time_far_from_now_holds_a_lease_neither_for_ever(tmp_path: Path, ahead_s: float) -> None:
    """Of another machine, whose process cannot be looked at."""
    with Leases(tmp_path) as ours, Leases(tmp_path) as theirs:
        theirs.owner = replace(theirs.owner, machine="another")
        assert theirs.acquire("unit")
        assert not ours.acquire("unit")
        then = time.time() + ahead_s
        os.utime(ours.path("unit"), (then, then))
        assert ours.busy() == {} and ours.acquire("unit")


def test_a_checkpoint_is_removed_by_several_at_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for number in range(60):
            for bank in ("one", "two"):
                folder.write_checkpoint(bank, b"x" * 1000)
            calls = [pool.submit(folder.drop_checkpoint, ("one", "two")[i % 2]) for i in range(8)]
            for call in calls:
                call.result()
            assert not (tmp_path / "checkpoints").exists(), number


def test_a_woken_process_does_not_write_over_its_successors_checkpoint(study_file: Path, tmp_path: Path) -> None:
    """It was stopped past its lease; another process took its bank over and is far ahead."""
    out = tmp_path / "out"
    successors: list[Leases] = []

    def instead(order: Order) -> list[Event] | None:
        if not isinstance(order, Train):
            return None
        successors.append(RunFolder(out).leases())
        os.utime(successors[0].path(order.key), (0, 0))
        assert successors[0].acquire(order.key)
        with successors[0].commit(order.key):
            RunFolder(out).write_checkpoint(order.key, b"step 31")
        return [Checkpoint(b"step 6"), Done(stopped=True)]

    with pytest.raises(Stopped):
        Study.open(study_file, out, backend=Changed(instead)).train(stop=lambda: bool(successors))
    (state,) = out.glob("checkpoints/*/*.safetensors")
    assert state.read_bytes() == b"step 31"
    successors[0].close()
