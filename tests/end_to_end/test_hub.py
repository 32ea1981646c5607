"""Base, adapter and dataset from a Hub: the same numbers as from folders, pinned, and errors that say what to mend."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import tiny
from hub import Hub, commit_of

from traitscope.study import Study

STUDY = """\
study: hub
base: {{model: {base}{revision}, dtype: fp32}}
recipe: {{rank: 2, alpha: 4, lr: 0.01, epochs: 2, batch: 4, max_tokens: 64, seeds: [0]}}
tasks:
  tone:
    data: {{{data}, train: 12, eval: 8}}
    prompt: "{{{{ text }}}} is"
    answer: {{choice: [" bad", " good"], gold: "{{{{ label }}}}"}}
    metrics: [accuracy]
models: {{other: {other}}}
compute: {{device: cpu, threads: 1}}
"""
HUB_DATA = "hub: org/tiny-data, revision: main, splits: {train: train, eval: test}"
FILES = "path: {train: tone-train.jsonl, eval: tone-eval.jsonl}"


def write_study(
    folder: Path, base: Path | str, other: Path | str, data: str = FILES, revision: str = ", revision: main"
) -> Path:
    """Writes rows and study file; returns the study file."""
    folder.mkdir()
    tiny.make_tasks(folder)
    file = folder / "study.yaml"
    file.write_text(STUDY.format(base=base, other=other, data=data, revision=revision))
    return file


class Verbs:
    """Verbs in processes that know one Hub and an empty cache of their own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.said = folder
        self.impatient = False
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        # No proxy stands between a test and its own machine, and none leads out of it.
        kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
        own = {"HF_ENDPOINT": url, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        self._parent = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "forked_verbs.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**kept, **own, "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        assert self._parent.stdin is not None and self._parent.stdout is not None
        request = {"said": str(self.said), "impatient": self.impatient, "arguments": [str(a) for a in arguments]}
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        status = int(self._parent.stdout.readline())
        return status, (self.said / "out").read_text(), (self.said / "err").read_text()

    def close(self) -> None:
        """Ends the process."""
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        self._parent.wait(20)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """The study file of the same study from folders, filled; its adapter is what the Hub serves."""
    folder = tmp_path_factory.mktemp("here")
    first = write_study(folder / "first", base, base, revision="")
    Study.open(first).train()
    file = write_study(folder / "study", base, first.parent / "runs/hub/adapters/tone-s0", revision="")
    Study.open(file).run()
    return file


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, base: Path, here: Path) -> Iterator[Hub]:
    """Serves the base, an adapter, a dataset, and what nobody may read."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(here.parents[1] / "first/runs/hub/adapters/tone-s0", folder / "adapter")
    shutil.copytree(base, folder / "base")
    (folder / "data").mkdir()
    for split, name in (("train", "train"), ("eval", "test")):
        shutil.copy(here.parent / f"tone-{split}.jsonl", folder / f"data/{name}.jsonl")
    served = Hub(
        {"org/tiny-base": folder / "base", "org/tiny-adapter": folder / "adapter", "org/gated": folder / "base"},
        {"org/tiny-data": folder / "data", "org/gated": folder / "data"},
        gated=("org/gated",),
    )
    yield served
    served.close()


@pytest.fixture(scope="module")
def verbs(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[Verbs]:
    found = Verbs(hub.url, tmp_path_factory.mktemp("verbs"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, hub: Hub, verbs: Verbs) -> Path:
    """The study file of a folder filled from the Hub."""
    file = write_study(tmp_path_factory.mktemp("there") / "study", "org/tiny-base", "org/tiny-adapter", HUB_DATA)
    status, _, said = verbs("run", file)
    assert status == 0, said
    assert "1 adapter trained, 3 cells evaluated" in said
    return file


def test_a_study_from_the_hub_has_the_records_of_the_same_study_from_folders(filled: Path, here: Path) -> None:
    for model in ("base", "tone-s0", "other"):
        there, expected = (
            pd.read_parquet(file.parent / f"runs/hub/cells/{model}/tone/examples.parquet").drop(columns="logprobs")
            for file in (filled, here)
        )
        pd.testing.assert_frame_equal(there, expected)
    own, base = (
        pd.read_parquet(filled.parent / f"runs/hub/cells/{name}/tone/examples.parquet")["loss"]
        for name in ("other", "base")
    )
    assert (own != base).all()


def test_the_lock_pins_the_commits(filled: Path, hub: Hub) -> None:
    lock = json.loads((filled.parent / "runs/hub/lock.json").read_text())
    for entry, name in ((lock["base"], "org/tiny-base"), (lock["models"]["other"], "org/tiny-adapter")):
        assert entry["model"] == name
        assert entry["revision"] == commit_of(hub.repositories["models"][name])
    assert lock["models"]["other"]["adapter"] is True


def test_a_second_run_computes_nothing_and_asks_nothing(filled: Path, hub: Hub, verbs: Verbs) -> None:
    hub.asked.clear()
    status, _, said = verbs("run", filled)
    assert status == 0 and "nothing was computed" in said
    assert hub.asked == []


def test_an_adapter_that_moved_on_is_still_loaded_at_its_commit(filled: Path, hub: Hub, verbs: Verbs) -> None:
    folder = hub.repositories["models"]["org/tiny-adapter"]
    cell = filled.parent / "runs/hub/cells/other/tone"
    before = (cell / "examples.parquet").read_bytes()
    moved = folder.parent / "moved-adapter"
    shutil.copytree(folder, moved)
    config = json.loads((moved / "adapter_config.json").read_text())
    (moved / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 40}))
    hub.repositories["models"]["org/tiny-adapter"] = moved
    commits, hub.holds.commits = hub.holds.commits, {}
    shutil.rmtree(cell)
    try:
        # A commit that the Hub has lost is no reason to show the base's scores under the adapter's name.
        assert_refused(verbs, filled, "model org/tiny-adapter")
        hub.holds.commits = commits
        status, _, said = verbs("run", filled)
    finally:
        hub.repositories["models"]["org/tiny-adapter"], hub.holds.commits = folder, commits
    assert status == 0 and "1 cell evaluated" in said, said
    assert (cell / "examples.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("named", "other", "data", "says"),
    [
        ("org/absent", "org/tiny-adapter", FILES, "base model org/absent"),
        ("org/gated", "org/tiny-adapter", FILES, "base model org/gated"),
        ("org/tiny-base", "org/absent", FILES, "org/absent"),
        ("org/tiny-base", "org/gated", FILES, "model org/gated"),
        ("org/tiny-base", "org/tiny-adapter", HUB_DATA.replace("tiny-data", "absent"), "'org/absent'"),
        ("org/tiny-base", "org/tiny-adapter", HUB_DATA.replace("tiny-data", "gated"), "'org/gated'"),
        ("org/tiny-base", "org/tiny-adapter", HUB_DATA.replace("revision: main", "revision: v9"), "'org/tiny-data'"),
    ],
)
def test_what_the_hub_does_not_give_is_named_with_a_fix(
    tmp_path: Path, verbs: Verbs, named: str, other: str, data: str, says: str
) -> None:
    assert_refused(verbs, write_study(tmp_path / "study", named, other, data), says)


def assert_refused(verbs: Verbs, file: Path, names: str) -> None:
    start = time.monotonic()
    status, _, said = verbs("run", file)
    assert time.monotonic() - start < 20
    assert status == 2, said
    assert names in said and "fix: " in said and "Traceback" not in said, said


def test_with_the_hub_gone_what_is_done_stands_and_what_is_missing_is_refused(
    tmp_path: Path, base: Path, filled: Path, hub: Hub, verbs: Verbs
) -> None:
    hub.close()
    verbs.impatient = True
    status, _, said = verbs("run", filled)
    assert status == 0 and "nothing was computed" in said
    assert_refused(verbs, write_study(tmp_path / "a", "org/unseen", base), "org/unseen")
    assert_refused(verbs, write_study(tmp_path / "b", "org/tiny-base", "org/unseen"), "org/unseen")
    data = HUB_DATA.replace("tiny-data", "unseen")
    assert_refused(verbs, write_study(tmp_path / "c", base, base, data, revision=""), "org/unseen")
