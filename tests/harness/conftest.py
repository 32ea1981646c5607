"""The tiny base with two adapters and the tasks, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness_tasks import make_adapter, make_base, write_tasks


@pytest.fixture(scope="session")
def yamls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the tasks' YAML files."""
    return write_tasks(tmp_path_factory.mktemp("yamls"))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base."""
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def adapters(tmp_path_factory: pytest.TempPathFactory, base: Path) -> dict[str, Path]:
    """Two adapters of the base."""
    folder = tmp_path_factory.mktemp("adapters")
    return {name: make_adapter(base, folder / name, seed) for seed, name in enumerate(("one", "two"), 1)}


@pytest.fixture(scope="session", autouse=True)
def no_inventory() -> Iterator[None]:
    """The harness lists the machine's hardware and packages behind every result, which takes longer than the result."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.utils.collect_env.get_pretty_env_info", lambda: "not listed")
        yield
