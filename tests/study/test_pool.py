"""Several processes of one machine share a run: how many pay, how jobs are dealt out, what is lost when one is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import tiny
from processes import snapshot

from traitscope.compute import Event, Lost, Train, TrainingPlan, pool, processes, worker
from traitscope.compute.jobs import split
from traitscope.config import ComputeConfig
from traitscope.errors import TraitscopeError
from traitscope.store.models import ModelSource
from traitscope.study import Stopped, Study


@dataclass
class Job:
    name: str
    n_tokens: int


def test_jobs_are_dealt_out_by_tokens() -> None:
    jobs = [Job("a", 10), Job("b", 50), Job("c", 30), Job("d", 15), Job("e", 5)]
    groups = split(jobs, 2)
    assert sorted(i for group in groups for i in group) == [0, 1, 2, 3, 4]
    assert [sum(jobs[i].n_tokens for i in group) for group in groups] == [55, 55]
    assert split(jobs[:1], 3) == [[0]]


def test_only_work_that_is_worth_a_process_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 2)
    monkeypatch.setattr(processes, "_has_gpu", lambda: False)
    many, few = {"trained": 3_000_000, "evaluated": 3_000_000}, {"trained": 70, "evaluated": 70}
    size = processes.processes_for
    assert size("auto", "auto", "embedded", **many) == 2
    assert size("auto", "auto", "embedded", **few) == 1
    assert size("auto", "cuda", "embedded", **many) == 1
    assert size(3, "auto", "embedded", **few) == 3
    monkeypatch.setattr(processes, "_has_gpu", lambda: True)
    assert size("auto", "auto", "embedded", **many) == 1


def test_a_trained_token_costs_twice_an_evaluated_one_and_large_models_have_one_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """20 s of 4e10 operations, of which a token of 4 characters takes 4 or 2 for every parameter."""
    shape = SimpleNamespace(parameters=1_000_000)
    monkeypatch.setattr(processes, "cores", lambda: 2)
    monkeypatch.setattr(processes, "_has_gpu", lambda: False)
    monkeypatch.setattr(processes, "model_shape", lambda model: shape)

    def size(trained: int, evaluated: int) -> int:
        return processes.processes_for("auto", "cpu", "m", trained=trained, evaluated=evaluated)

    assert [size(n, 0) for n in (800_000, 800_001)] == [1, 2]
    assert [size(0, n) for n in (1_600_000, 1_600_001)] == [1, 2]
    shape.parameters = 200_000_001
    assert size(10**9, 0) == 1


@pytest.fixture
def two(study_file: Path) -> Path:
    """The tiny study, to be run by two processes."""
    study_file.write_text(study_file.read_text().replace("threads: 1", "threads: 1, workers: 2"))
    return study_file


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """The folder that two processes fill when nothing happens to them, started beside files named like modules."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = tiny.make_study(folder / "study", base)
    path.write_text(path.read_text().replace("threads: 1", "threads: 1, workers: 2"))
    for module in ("json", "types", "torch", "traitscope"):
        (folder / f"{module}.py").write_text("raise SystemExit('a file of the working directory was imported')\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        work = Study.open(path, folder / "run").run()
    assert work is not None and (len(work.trained), len(work.evaluated)) == (4, 15)
    return folder / "run"


def test_two_processes_share_a_run(two: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Every unit is there once, whoever made it; the numbers are those of one process."""
    study = Study.open(two, undisturbed)
    plan = study.plan()
    assert plan.complete
    assert len(list((undisturbed / "plan").glob("bank-*.json"))) == 2
    log = [json.loads(line) for line in (undisturbed / "run.jsonl").read_text().splitlines()]
    assert sum(entry["event"] == "adapter" for entry in log) == plan.n_adapters
    assert sum(entry["event"] == "cell" for entry in log) == plan.n_cells
    two.write_text(two.read_text().replace("workers: 2", "workers: 1"))
    alone = Study.open(two, tmp_path / "one")
    alone.run()
    one, other = alone.score_table(), study.score_table()
    assert one.drop(columns="value").equals(other.drop(columns="value"))
    assert (one["value"] - other["value"]).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [", dtype: fp32", ""])
def test_processes_that_cannot_start_are_told_and_the_work_is_done(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """Whether the base's precision is known, or a process would have to be asked for it."""
    two.write_text(two.read_text().replace(", dtype: fp32", dtype))
    monkeypatch.setattr(pool, "command", lambda handle: [sys.executable, "-c", "raise SystemExit('no luck')"])
    notes: list[str] = []
    study = Study.open(two, tmp_path / "one")
    monkeypatch.setattr(study.report_to, "note", notes.append)
    assert study.run() is not None
    assert study.plan().complete
    assert any("exit status 1: no luck" in note and "goes on alone" in note for note in notes)


@pytest.mark.verify
def test_a_question_that_its_process_does_not_live_to_answer_is_asked_again(
    two: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def command(handle: int) -> list[str]:
        started.append(handle)
        return ["/bin/false"] if len(started) == 1 else list(real(handle))

    real = pool.command
    monkeypatch.setattr(pool, "command", command)
    study = Study.open(two, tmp_path / "out")
    notes: list[str] = []
    monkeypatch.setattr(study.report_to, "note", notes.append)
    study.run()
    assert len(started) == 3 and notes == []
    assert snapshot(tmp_path / "out") == snapshot(undisturbed)


def _children(of: int) -> list[int]:
    return [child.pid for child in psutil.Process(of).children()]


def _start(study: Path, out: Path) -> subprocess.Popen[bytes]:
    code = "import sys; from traitscope.study import Study; Study.open(sys.argv[1], sys.argv[2]).run()"
    return subprocess.Popen([sys.executable, "-c", code, str(study), str(out)])


def _wait_for(what: str, found: object, seconds: float = 60.0) -> None:
    assert callable(found)
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f"no {what} in {seconds} s"
        time.sleep(0.02)


def test_a_run_that_is_killed_leaves_no_process_behind(two: Path, tmp_path: Path) -> None:
    run = _start(two, tmp_path / "out")
    _wait_for("worker", lambda: len(_children(run.pid)) == 2)
    workers = _children(run.pid)
    run.send_signal(signal.SIGKILL)
    run.wait()
    _wait_for("end of the workers", lambda: not any(_runs(pid) for pid in workers), 20.0)


HOLDS = """\
import ctypes, os, pathlib
pathlib.Path(__file__).with_name(f"holding-{os.getpid()}").touch()
ctypes.PyDLL(None).sleep(60)
"""


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], list[int]]]]:
    """A run whose processes do not get beyond their imports: one holds the interpreter's lock, as a library may."""
    (tmp_path / "holds.py").write_text(HOLDS)
    ask = f"""
import sys, threading, time
from pathlib import Path
from traitscope.compute import Train, TrainingPlan, pool
from traitscope.config import ComputeConfig
from traitscope.store.models import ModelSource
asked = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), asked.set()), daemon=True).start()
plan = TrainingPlan(jobs=(), threads=1, device="cpu", bank={{}})
order = Train(key="bank", model=ModelSource("embedded"), jobs=(), plan=plan, checkpoint=None, every_s=60.0)
with pool.Pool(ComputeConfig(), 2, plugins=["holds.py"], root=Path({str(tmp_path)!r})) as backend:
    backend.work([order], lambda order, event: print(event), lambda order: asked.is_set())
"""
    run = subprocess.Popen([sys.executable, "-c", ask], stdin=subprocess.PIPE)

    def holding() -> list[int]:
        return [int(path.name.removeprefix("holding-")) for path in tmp_path.glob("holding-*")]

    _wait_for("process that holds the lock", lambda: len(holding()) == 2, 30.0)
    yield run, holding
    run.kill()
    for pid in holding():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_run_that_is_killed_at_its_start_leaves_no_process_behind(starting) -> None:
    run, holding = starting
    run.kill()
    _wait_for("end of the workers", lambda: not any(_runs(pid) for pid in holding()), 5.0)


def test_a_stop_does_not_wait_for_the_imports_of_a_process(starting) -> None:
    run, _ = starting
    run.stdin.close()
    assert run.wait(10) == 0


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_killed_worker_costs_its_unit_alone_and_the_folder_is_the_same(
    two: Path, undisturbed: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    run = _start(two, killed)
    _wait_for("checkpoint", lambda: any(killed.glob("checkpoints/*/*")) or any(killed.glob("adapters/*/unit.json")))
    for pid in _children(run.pid)[:1]:
        os.kill(pid, signal.SIGKILL)
    assert run.wait(120) == 0
    assert snapshot(killed) == snapshot(undisturbed)


def test_a_stop_hands_the_state_over_and_the_next_run_goes_on(two: Path, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    study = Study.open(two, folder)

    def training() -> bool:
        return any(folder.glob("checkpoints/*/*")) or any(folder.glob("adapters/*/unit.json"))

    with pytest.raises(Stopped):
        study.run(stop=training)
    assert not study.plan().complete
    study.run()
    assert snapshot(folder) == snapshot(undisturbed)


@pytest.mark.verify
def test_an_error_of_a_worker_is_the_runs_error(two: Path, tmp_path: Path) -> None:
    two.write_text(two.read_text().replace("rank: 2", "rank: 2, layers: [0, 7]"))
    with pytest.raises(ValueError, match="layers 0-7 are not inside"):
        Study.open(two, tmp_path / "out").run()


class Frozen:
    """A process that was stopped by a signal: its pipe takes what is sent, and nothing comes back."""

    def __init__(self, start: object, threads: int, device: str | None = None) -> None:
        self.device = device
        self.ours, self.theirs = Pipe()
        self.pipe, self.order, self.stopping, self.heard = self.ours, None, False, time.monotonic()
        self.at_work = False
        self.process = SimpleNamespace(poll=lambda: None)

    send, ask_to_stop, hangs, receive = (
        pool.Worker.send,
        pool.Worker.ask_to_stop,
        pool.Worker.hangs,
        pool.Worker.receive,
    )

    def close(self) -> str:
        return "signal 9"


def test_a_process_that_hangs_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "Worker", Frozen)
    monkeypatch.setattr(pool, "WIND_DOWN_S", 0.2)
    plan = TrainingPlan(jobs=(), threads=1, device="cpu", bank={})
    model = ModelSource("embedded", None, "fp32")
    order = Train(key="bank", model=model, jobs=(), plan=plan, checkpoint=None, every_s=60.0)
    told: list[Event] = []
    with pool.Pool(ComputeConfig(), 1, should_stop=lambda: True) as backend:
        backend.work([order], lambda _, event: told.append(event), lambda _: True)
        assert told == [Lost("it was asked to stop")]
        with pytest.raises(pool.PoolStopped):
            backend.inspect(model)


def test_a_process_takes_no_plugin_that_was_changed_while_the_run_went_on(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n")
    start = worker.Start(ComputeConfig(), ("./mine.py",), ("0" * 64,), tmp_path)
    with pytest.raises(TraitscopeError, match=r"plugin \./mine\.py: was changed while the run went on"):
        worker.load_same_plugins(start)


def test_a_machine_with_several_gpus_has_a_process_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 s of 1e14 operations a second are worth it; a model that was never loaded is."""
    shape = SimpleNamespace(parameters=1_000_000_000)
    monkeypatch.setattr(processes, "_has_gpu", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr(processes, "model_shape", lambda model: shape)
    size = processes.processes_for
    for device, wanted in {"auto": 4, "cuda": 4, "cuda:1": 1}.items():
        assert size("auto", device, "m", trained=2_000_001, evaluated=0) == wanted
        assert size("auto", device, "m", trained=2_000_000, evaluated=0) == 1
    monkeypatch.setattr(processes, "model_shape", lambda model: None)
    assert size("auto", "auto", "m", trained=1, evaluated=0) == 4
    assert size(2, "auto", "m", trained=1, evaluated=0) == 2
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert size("auto", "auto", "m", trained=10**9, evaluated=0) == 1


@pytest.mark.parametrize(
    ("size", "devices", "named", "seen", "part"),
    [
        (4, 4, None, ["0", "1", "2", "3"], 1.0),
        (2, 2, "3,GPU-8e1c", ["3", "GPU-8e1c"], 1.0),
        (3, 2, None, ["0", "1", "0"], 0.5),
        (2, 0, None, [None, None], 0.0),
        (1, 4, None, [None], 0.0),
    ],
)
def test_a_process_sees_its_own_gpu_alone_and_so_does_the_one_that_takes_its_place(
    monkeypatch: pytest.MonkeyPatch, size: int, devices: int, named: str | None, seen: list[str | None], part: float
) -> None:
    """What the processes are really started with; they say it and end."""
    monkeypatch.setattr(pool, "gpus", lambda: devices)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    says = "import os, sys; sys.exit(repr(os.environ.get('CUDA_VISIBLE_DEVICES')))"
    monkeypatch.setattr(pool, "command", lambda handle: [sys.executable, "-S", "-c", says])
    with pool.Pool(ComputeConfig(threads=1), size) as backend:
        assert backend._start.gpus == part
        assert [worker.device for worker in backend._workers] == seen
        first = backend._workers[0]
        first.process.wait(20)
        assert backend._replace(first, asked=False) == f"exit status 1: {seen[0]!r}"
        again = backend._workers[-1]
        again.process.wait(20)
        assert (again.device, again.close()) == (seen[0], f"exit status 1: {seen[0]!r}")


def test_processes_that_share_a_gpu_plan_with_their_part_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of 80 bytes, of which 10 are taken by this process and 30 by another one, which leave 40."""
    import torch

    from traitscope.engine import memory

    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (40, 80))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 10)
    for fraction, free in {1.0: 40, 0.5: 30, 0.125: 0}.items():
        monkeypatch.setattr("torch.cuda.get_per_process_memory_fraction", lambda device, f=fraction: f)
        assert memory.free_bytes(torch.device("cuda")) == free
    set_to: list[float] = []
    monkeypatch.setattr("torch.cuda.set_per_process_memory_fraction", set_to.append)
    for part in (0.0, 1.0, 0.5):
        worker.local_of(worker.Start(ComputeConfig(device="cpu"), (), (), Path(), part))
    assert set_to == [0.5]
