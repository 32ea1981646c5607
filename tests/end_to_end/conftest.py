"""A tiny base for the studies that run through every verb."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "study"))
import tiny

if TYPE_CHECKING:
    from hub import Hub
    from test_hub import Verbs


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random Llama, of four layers."""
    return tiny.make_base(tmp_path_factory.mktemp("base"), layers=4)


@pytest.fixture(scope="session")
def preset_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Serves the stand-ins under the ids and the commits that the presets name."""
    import standins
    from hub import Hub
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
    from test_hub import Verbs

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
