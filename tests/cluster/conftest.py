"""One cluster for all tests of this folder, on machines that do not see the disk of the run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

# The tiny study and the comparison of folders are those of the study's tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "study"))

import tiny
from processes import snapshot
from rays import Rays

from traitscope.compute import TrainingJob, TrainingPlan
from traitscope.compute.local import Local
from traitscope.config import ComputeConfig
from traitscope.store.models import ModelSource
from traitscope.study import Study


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk of the run: base, study, run folders. The cluster's machines find it empty."""
    folder = tmp_path_factory.mktemp("driver")
    tiny.make_base(folder / "base")
    return folder


@pytest.fixture(scope="session")
def study_file(driver: Path) -> Path:
    """The tiny study, to be run by two workers of one thread."""
    path = tiny.make_study(driver / "study", driver / "base")
    path.write_text(path.read_text().replace("threads: 1", "threads: 1, workers: 2"))
    return path


@pytest.fixture(scope="session")
def rays(driver: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rays]:
    """Head and two nodes of one CPU; ``RAY_ADDRESS`` is not set."""
    cluster = Rays(driver, tmp_path_factory.mktemp("cache"))
    try:
        for _ in range(2):
            cluster.add()
        yield cluster
    finally:
        cluster.close()


class Recorded(Local):
    """One process that trains by the plans of another folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(ComputeConfig(device="cpu", threads=1))
        self.folder = folder

    def plan_training(self, model: ModelSource, jobs: Sequence[TrainingJob]) -> list[TrainingPlan]:
        files = [json.loads(path.read_text()) for path in sorted((self.folder / "plan").glob("bank-*.json"))]
        return [
            TrainingPlan(jobs=tuple(f["adapters"]), threads=f["threads"], device=f["device"], bank=f["bank"])
            for f in files
        ]


@pytest.fixture
def one_process(tmp_path: Path) -> Callable[[Study], dict[str, str]]:
    """What one process makes of a study by the plans in its folder, as ``snapshot`` gives it."""

    def made(study: Study) -> dict[str, str]:
        again = Study(study.config, tmp_path / "one", text=study.text, backend=Recorded(study.folder.root))
        again.run()
        return snapshot(tmp_path / "one")

    return made
