"""A tiny base for the studies that run through every verb, and a Hub that serves it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "study"))
import tiny
from hub import Hub
from hub_study import HUB_DATA, Verbs, serve, write_study


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random Llama, of four layers."""
    return tiny.make_base(tmp_path_factory.mktemp("base"), layers=4)


@pytest.fixture(scope="session")
def here(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """The study file of the same study from folders, filled; its adapter is what the Hub serves."""
    from traitscope.study import Study

    folder = tmp_path_factory.mktemp("here")
    first = write_study(folder / "first", base, base, revision="")
    Study.open(first).train()
    file = write_study(folder / "study", base, first.parent / "runs/hub/adapters/tone-s0", revision="")
    Study.open(file).run()
    return file


@pytest.fixture(scope="session")
def _served(tmp_path_factory: pytest.TempPathFactory, base: Path, here: Path) -> Iterator[Hub]:
    served = serve(tmp_path_factory.mktemp("served"), base, here)
    yield served
    served.close()


@pytest.fixture(scope="session")
def _verbs(tmp_path_factory: pytest.TempPathFactory, _served: Hub) -> Iterator[Verbs]:
    found = Verbs(_served.url, tmp_path_factory.mktemp("verbs"))
    yield found
    found.close()


@pytest.fixture
def hub(_served: Hub) -> Iterator[Hub]:
    """The Hub, as it was before: what a test moved, broke or wrote is undone."""
    holds = _served.holds
    folders = {kind: dict(repositories) for kind, repositories in holds.folders.items()}
    commits, refs, private = dict(holds.commits), dict(holds.refs), set(holds.private)
    _served.asked.clear()
    _served.heard.clear()
    yield _served
    _served.mend()
    _served.moved.clear()
    holds.folders.clear()
    holds.folders.update(folders)
    holds.commits, holds.refs, holds.private = commits, refs, private


@pytest.fixture
def verbs(_verbs: Verbs) -> Iterator[Verbs]:
    """Verbs of one Hub and one cache."""
    yield _verbs
    _verbs.impatient = False


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, _verbs: Verbs) -> Path:
    """The study file of a folder filled from the Hub."""
    file = write_study(tmp_path_factory.mktemp("there") / "study", "org/tiny-base", "org/tiny-adapter", HUB_DATA)
    status, _, said = _verbs("run", file)
    assert status == 0, said
    assert "1 adapter trained, 3 cells evaluated" in said
    return file


@pytest.fixture
def filled_copy(filled: Path, tmp_path: Path) -> Path:
    """A copy of it, of which a test may break what it likes."""
    import shutil

    shutil.copytree(filled.parent, tmp_path / "copy")
    return tmp_path / "copy/study.yaml"


@pytest.fixture(scope="session")
def preset_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Serves the stand-ins under the ids and the commits that the presets name."""
    import standins
    from preset_runs import ALL, preset

    folder = tmp_path_factory.mktemp("standins")
    base = standins.make_base(folder / "base")
    datasets = standins.make_datasets(folder, preset("layer-by-layer").tasks)
    served = Hub(dict.fromkeys(standins.BASES, base), datasets)
    for config in map(preset, ALL):
        served.holds.refs["models", config.base.model, str(config.base.revision)] = base
        for task in config.tasks.values():
            assert task.data.hub is not None
            served.holds.refs["datasets", task.data.hub, str(task.data.revision)] = datasets[task.data.hub]
    yield served
    served.close()


@pytest.fixture(scope="session")
def preset_verbs(tmp_path_factory: pytest.TempPathFactory, preset_hub: Hub) -> Iterator[Verbs]:
    """Verbs in processes that know that Hub."""
    found = Verbs(preset_hub.url, tmp_path_factory.mktemp("verbs"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def preset_run(tmp_path_factory: pytest.TempPathFactory, preset_verbs: Verbs) -> Path:
    """The run folder of a part of ``latent-traits --small``, from its file to its report; its mix never saw paws."""
    from preset_runs import filled

    fewer = ["sources=[goat, paws, flipkart]", "controls={flipkart: [balance]}", "mixes.all.hold_out=[paws]"]
    fewer.append("targets=[gsm8k, goat, paws, mnli_e, pile, flipkart]")
    return filled(preset_verbs, tmp_path_factory.mktemp("preset"), "latent-traits-small", *fewer)
