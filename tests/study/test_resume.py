"""A killed and resumed study ends with the same bytes; several processes share a folder without doing a unit twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from processes import Forks, log_of, snapshot

from traitscope.store import Leases


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, base: Path, forks: Forks) -> tuple[Path, Path, float]:
    """Study file, undisturbed folder and the seconds it took."""
    import tiny

    folder = tmp_path_factory.mktemp("reference")
    study = tiny.make_study(folder, base)
    start = time.monotonic()
    assert forks.wait(forks.start(study, folder / "out", every_s=60.0)) == 0
    return study, folder / "out", time.monotonic() - start


@pytest.mark.parametrize("kills", [2, pytest.param(100, marks=pytest.mark.verify)])
def test_kills_at_random_moments_leave_the_bytes_of_an_undisturbed_run(
    tmp_path: Path, forks: Forks, reference: tuple[Path, Path, float], kills: int
) -> None:
    study, undisturbed, seconds = reference
    # The first two kills of this seed fall into one run.
    rng = random.Random(8)
    done = trial = 0
    while done < kills:
        out = tmp_path / f"trial-{trial}"
        trial += 1
        for _ in range(rng.randint(1, 4)):
            pid = forks.start(study, out)
            if forks.wait(pid, rng.uniform(0.02, 1.1) * seconds) is not None:
                break
            forks.kill(pid)
            done += 1
        assert forks.wait(forks.start(study, out)) == 0
        assert snapshot(out) == snapshot(undisturbed), f"trial {trial} after {done} kills"


@pytest.mark.verify
def test_five_processes_of_which_four_are_killed_leave_the_same_bytes(
    tmp_path: Path, forks: Forks, reference: tuple[Path, Path, float]
) -> None:
    study, undisturbed, seconds = reference
    rng = random.Random(3)
    for trial in range(12):
        out = tmp_path / f"trial-{trial}"
        pids = [forks.start(study, out, stale_s=1.0) for _ in range(5)]
        for pid in pids[:4]:
            if forks.wait(pid, rng.uniform(0.02, 0.8) * seconds) is None:
                forks.kill(pid)
        assert forks.wait(pids[4]) == 0
        # What the killed ones left half-written goes with the next run, which finds nothing else to do.
        units = {event: len(log_of(out, event)) for event in ("adapter", "cell")}
        assert forks.wait(forks.start(study, out)) == 0
        assert {event: len(log_of(out, event)) for event in units} == units
        assert snapshot(out) == snapshot(undisturbed), f"trial {trial}"


@pytest.mark.parametrize("n", [2, pytest.param(5, marks=pytest.mark.verify)])
def test_several_processes_fill_one_folder_and_do_every_unit_once(
    tmp_path: Path, forks: Forks, reference: tuple[Path, Path, float], n: int
) -> None:
    study, undisturbed, _ = reference
    pids = [forks.start(study, tmp_path / "out") for _ in range(n)]
    assert [forks.wait(pid) for pid in pids] == [0] * n
    assert snapshot(tmp_path / "out") == snapshot(undisturbed)
    for event in ("adapter", "cell"):
        expected = Counter(log_of(undisturbed, event))
        assert Counter(log_of(tmp_path / "out", event)) == expected
        assert set(expected.values()) == {1}


def test_a_second_process_takes_over_from_a_killed_one(
    tmp_path: Path, forks: Forks, reference: tuple[Path, Path, float]
) -> None:
    study, undisturbed, seconds = reference
    first = forks.start(study, tmp_path / "out")
    time.sleep(0.4 * seconds)
    second = forks.start(study, tmp_path / "out")
    time.sleep(0.1 * seconds)
    if forks.wait(first, 0.0) is None:
        forks.kill(first)
    assert forks.wait(second) == 0
    assert snapshot(tmp_path / "out") == snapshot(undisturbed)


@pytest.mark.parametrize("moment", [0.35, 0.75])
def test_a_stopped_process_that_wakes_up_after_its_units_were_taken_over_does_no_harm(
    tmp_path: Path, forks: Forks, reference: tuple[Path, Path, float], moment: float
) -> None:
    study, undisturbed, seconds = reference
    first = forks.start(study, tmp_path / "out", stale_s=1.0)
    if forks.wait(first, moment * seconds) is None:
        with Leases(tmp_path / "out" / "leases").alone():  # else it may be stopped with the lock in its hands
            os.kill(first, signal.SIGSTOP)
        second = forks.start(study, tmp_path / "out", stale_s=1.0)
        assert forks.wait(second) == 0
        os.kill(first, signal.SIGCONT)
        assert forks.wait(first) == 0
    assert snapshot(tmp_path / "out") == snapshot(undisturbed)


def test_at_most_one_cell_and_no_finished_adapter_is_made_again_after_a_kill(
    tmp_path: Path, forks: Forks, reference: tuple[Path, Path, float]
) -> None:
    study, _, seconds = reference
    pid = forks.start(study, tmp_path / "out")
    if forks.wait(pid, 0.7 * seconds) is None:
        forks.kill(pid)
    assert forks.wait(forks.start(study, tmp_path / "out")) == 0
    for event in ("adapter", "cell"):
        assert max(Counter(log_of(tmp_path / "out", event)).values()) == 1
