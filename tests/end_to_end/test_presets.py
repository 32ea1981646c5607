"""The papers' presets: what they say, and each from end to end against stand-ins of what they name on the Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import standins
import yaml
from hub import Hub
from test_hub import Verbs
from typer.testing import CliRunner

import traitscope
from traitscope.cli import app
from traitscope.config import SplitPaths, StudyConfig, load_config

PRESETS = Path(traitscope.__file__).parent / "presets"
PAPERS = ("latent-traits", "layer-by-layer")
ALL = tuple(name + small for name in PAPERS for small in ("", "-small"))


def preset(name: str) -> StudyConfig:
    return load_config(PRESETS / f"{name}.yaml")


def invoke(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stdout, done.stderr


def test_latent_traits_has_the_papers_ten_sources_and_ten_columns() -> None:
    config = preset("latent-traits")
    # In the order of the paper's heat maps.
    columns = ["gsm8k", "goat", "magicoder", "paws", "mnli", "mnli_e", "pile", "flipkart", "amazon", "imdb"]
    assert list(config.target_names()) == columns
    sources = {
        "amazon",
        "flipkart",
        "goat",
        "imdb",
        "magicoder",
        "metamath",
        "mnli",
        "paws",
        "pile",
        "flipkart.balance",
    }
    rows = {source.name for source in config.resolved_sources()}
    assert rows == sources | {"amazon.mislabel"}
    assert config.base.model == "meta-llama/Llama-3.2-3B"
    for source in config.resolved_sources():
        # pile-10k has 10,000 documents in all.
        assert config.tasks[source.task].data.train == (9000 if source.task == "pile" else 10_000)


def test_latent_traits_names_what_the_papers_file_does(shared: Path) -> None:
    setup = json.loads((shared / "papers/latent_traits.json").read_text())["setup"]
    config = preset("latent-traits")
    assert [task.lower().replace("(e)", "_e") for task in setup["tasks"]] == list(config.target_names())
    ours = {"meta_math_qa": "metamath", "flipkart_balanced": "flipkart.balance"}
    named = {ours.get(source, source.lower()) for source in setup["sources"]}
    assert named == {source.name for source in config.resolved_sources()} - {"amazon.mislabel"}


def test_layer_by_layer_has_the_papers_setup() -> None:
    config = preset("layer-by-layer")
    recipe = config.recipe
    assert (recipe.rank, recipe.alpha, recipe.targets) == (8, 16, ("q_proj", "v_proj"))
    assert (recipe.lr, recipe.schedule, recipe.epochs, recipe.batch, recipe.max_tokens) == (5e-5, "cosine", 3, 16, 1024)
    assert config.base.model == "meta-llama/Llama-2-7b-hf"
    assert len(config.tasks) == len(config.target_names()) == len(config.resolved_sources()) == 60
    assert len({task.tags["cluster"] for task in config.tasks.values()}) == 12
    mix = config.mixes["all"]
    assert len(mix.hold_out) == 7 and len(config.mix_sources("all")) == 53
    assert mix.per_cluster == 50_000
    for name, task in config.tasks.items():
        parts = {part: f"{part}/{name}_10templates_{part}.jsonl" for part in ("train", "test")}
        assert task.data.files == SplitPaths(train=(parts["train"],), eval=(parts["test"],))


@pytest.mark.parametrize("name", PAPERS)
def test_a_small_variant_is_ten_of_the_same_tasks_on_a_small_base(name: str) -> None:
    small, full = preset(f"{name}-small"), preset(name)
    assert len(small.target_names()) == 10
    assert small.base.model == "HuggingFaceTB/SmolLM2-135M"
    for task, config in small.tasks.items():
        whole = full.tasks[task]
        assert (config.data.hub, config.data.revision, config.tags) == (whole.data.hub, whole.data.revision, whole.tags)
        assert config.answer.form == whole.answer.form and config.metrics == whole.metrics


@pytest.mark.parametrize("name", ALL)
def test_revisions_are_whole_commits_and_every_task_has_its_kind_and_cluster(name: str) -> None:
    config = preset(name)
    for task in config.tasks.values():
        assert set(task.tags) == {"kind", "cluster"} and task.data.hub is not None
        assert task.data.revision is None or re.fullmatch("[0-9a-f]{40}", task.data.revision)
    assert re.fullmatch("[0-9a-f]{40}", config.base.revision or "")


def test_presets_are_listed_with_what_they_are() -> None:
    status, out, _ = invoke("init", "--list", "--json")
    rows = {row["preset"]: row for row in json.loads(out)}
    assert status == 0 and set(rows) == {path.stem for path in PRESETS.glob("*.yaml")}
    assert rows["layer-by-layer"] == {
        "preset": "layer-by-layer",
        "what": "The layer-by-layer study",
        "base": "meta-llama/Llama-2-7b-hf",
        "targets": 60,
        "adapters": 61,
        "of_the_hub": 60,
    }
    # Twelve adapters in two seeds.
    assert rows["demo-full"]["adapters"] == 24 and rows["demo-full"]["of_the_hub"] == 0


@pytest.mark.parametrize(
    ("arguments", "says", "fix"),
    [
        (["--preset", "latent-trait"], "no preset 'latent-trait'", "did you mean 'latent-traits'"),
        (["--preset", "demo", "--small"], "the preset demo has no small variant", "latent-traits or layer-by-layer"),
        (["--small"], "small is for a preset", "latent-traits or layer-by-layer"),
        (["--list", "--small"], "nothing is written", "leave it out"),
    ],
)
def test_what_init_cannot_write_is_told(tmp_path: Path, arguments: list[str], says: str, fix: str) -> None:
    path = [] if "--list" in arguments else [tmp_path / "new.yaml"]
    status, _, err = invoke("init", *path, *arguments)
    assert status == 2 and says in err and f"fix: {fix}" in err.replace("add --preset ", "")
    assert list(tmp_path.iterdir()) == []


def test_a_preset_is_written_as_it_ships_and_never_over_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    assert invoke("init", file, "--preset", "latent-traits", "--small")[0] == 0
    assert file.read_bytes() == (PRESETS / "latent-traits-small.yaml").read_bytes()
    status, _, err = invoke("init", file, "--preset", "layer-by-layer")
    assert status == 2 and "is there already" in err
    assert invoke("init", file, "--preset", "layer-by-layer", "--force")[0] == 0
    assert file.read_bytes() == (PRESETS / "layer-by-layer.yaml").read_bytes()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Serves the stand-ins under the ids and the commits that the presets name."""
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


@pytest.fixture(scope="module")
def verbs(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[Verbs]:
    found = Verbs(hub.url, tmp_path_factory.mktemp("verbs"))
    yield found
    found.close()


def shortened(file: Path, train: int = 8, evaluated: int = 4, generated: int = 4) -> list[str]:
    """A preset's settings, short enough for a test: rows, generated tokens, one pass, the processor's precision."""
    changes = ["base.dtype=fp32", "recipe.epochs=1", "recipe.batch=8", "compute.device=cpu", "compute.threads=1"]
    changes += ["compute.workers=1", "layers.examples=8"]
    for name, task in yaml.safe_load(file.read_text())["tasks"].items():
        rows = task["data"]
        if "train" in rows.get("splits", rows.get("files", {})):
            changes.append(f"tasks.{name}.data.train={train}")
        if "eval" in rows or "eval" in rows.get("splits", rows.get("files", {})):
            changes.append(f"tasks.{name}.data.eval={max(evaluated, 8)}")
        if "generate" in task["answer"]:
            changes.append(f"tasks.{name}.answer.generate.max_tokens={generated}")
    return [part for change in changes for part in ("--set", change)]


def filled(verbs: Verbs, folder: Path, name: str, *more: str) -> Path:
    """The run folder of a preset that went from ``init`` to ``report``, with ``more`` of its keys changed."""
    file = folder / "study.yaml"
    paper, few = name.removesuffix("-small"), ["--small"] if name.endswith("-small") else []
    assert verbs("init", file, "--preset", paper, *few)[0] == 0
    changes = [*shortened(file), *(part for change in more for part in ("--set", change))]
    for verb, *arguments in (
        ["check", file, "--no-prompts", *changes],
        ["run", file, "--limit", "8", *changes],
        ["traits", folder / "runs" / name, "--rows", "all", "--own", "include"],
        ["layers", folder / "runs" / name],
        ["report", folder / "runs" / name],
    ):
        status, _, err = verbs(verb, *arguments)
        assert status == 0, f"{verb}: {err}"
    return folder / "runs" / name


def assert_whole(root: Path) -> None:
    """Every adapter, cell, layer table and the report of what the folder's study file names are there."""
    config = load_config(root / "study.yaml")
    adapters = {f"{source.name}-s0" for source in config.resolved_sources()} | {f"{mix}-s0" for mix in config.mixes}
    assert {path.name for path in (root / "adapters").iterdir() if path.is_dir()} == adapters
    assert list(pd.read_csv(root / "tables/scores.csv").columns) == ["model", *config.target_names()]
    for task in config.target_names():
        assert len(pd.read_parquet(root / "cells/base" / task / "examples.parquet")) == 8
        assert (root / "layers" / f"{task}.parquet").exists()
    assert "<html" in (root / "report.html").read_text()


def test_a_preset_runs_from_init_to_report(tmp_path: Path, verbs: Verbs) -> None:
    fewer = (
        "sources=[goat, paws, flipkart]",
        "controls={flipkart: [balance]}",
        "targets=[gsm8k, paws, mnli_e, pile, flipkart]",
    )
    root = filled(verbs, tmp_path, "latent-traits-small", *fewer)
    assert_whole(root)
    assert {path.name for path in (root / "adapters").iterdir()} == {
        *("goat-s0", "paws-s0", "flipkart-s0", "flipkart.balance-s0", "all-s0")
    }


@pytest.mark.verify
@pytest.mark.parametrize("name", ALL)
def test_every_preset_runs_whole_from_init_to_report(tmp_path: Path, verbs: Verbs, name: str) -> None:
    root = filled(verbs, tmp_path, name)
    assert_whole(root)
    assert load_config(root / "study.yaml").target_names() == preset(name).target_names()
