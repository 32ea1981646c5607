"""The papers' presets: what they say, and each from end to end against stand-ins of what they name on the Hub."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from hub_study import Verbs
from preset_runs import ALL, PAPERS, PRESETS, filled, preset, shortened
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.config import SplitPaths, load_config


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


# Label numbers as the cards of the datasets on the Hub name them; Amazon's are its stars less one.
LABELS = {
    "paws": {0: " no", 1: " yes"},
    "mnli": {0: " entailment", 1: " neutral", 2: " contradiction"},
    "mnli_e": {0: " yes", 1: " no", 2: " no"},
    "amazon": {0: " negative", 1: " negative", 2: " neutral", 3: " positive", 4: " positive"},
    "imdb": {0: " negative", 1: " positive"},
}
COPIES = {
    "latent-traits": {"mnli_e": "mnli"},
    "layer-by-layer": {"mnli_mismatched": "mnli_matched", "squad_v1": "squad_v2"},
}


@pytest.mark.parametrize("name", ["latent-traits", "latent-traits-small"])
def test_labels_are_the_datasets_own(name: str) -> None:
    tasks = preset(name).tasks
    found = {task: dict(one.answer.labels) for task, one in tasks.items() if getattr(one.answer, "labels", None)}
    assert {task: {str(k): v for k, v in one.items()} for task, one in found.items()} == {
        task: {str(k): v for k, v in one.items()} for task, one in LABELS.items()
    }


@pytest.mark.parametrize("name", PAPERS)
def test_the_same_questions_asked_twice_are_copies(name: str) -> None:
    assert {task: one.copy_of for task, one in preset(name).tasks.items() if one.copy_of} == COPIES[name]


def test_what_layer_by_layer_leaves_silent_is_its_trainers_default() -> None:
    assert preset("layer-by-layer").recipe.warmup == 0


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


def test_a_preset_runs_from_init_to_report(preset_run: Path) -> None:
    assert_whole(preset_run)
    trained = {path.name for path in (preset_run / "adapters").iterdir()}
    assert trained == {"goat-s0", "paws-s0", "flipkart-s0", "flipkart.balance-s0", "all-s0"}


def test_a_file_that_the_hub_does_not_have_is_named(preset_verbs: Verbs, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    text = (PRESETS / "layer-by-layer-small.yaml").read_text()
    file.write_text(text.replace("test/rte_10templates_test", "test/rate_10templates_test"))
    status, _, err = preset_verbs("check", file, "--no-prompts", *shortened(file))
    assert status == 2 and "Traceback" not in err
    assert "dataset Muennighoff/flan has no test/rate_10templates_test.jsonl" in " ".join(err.split())
    assert "tasks.rte.data.files" in err and "fix: " in err


@pytest.mark.verify
@pytest.mark.parametrize("name", ALL)
def test_every_preset_runs_whole_from_init_to_report(tmp_path: Path, preset_verbs: Verbs, name: str) -> None:
    root = filled(preset_verbs, tmp_path, name)
    assert_whole(root)
    assert load_config(root / "study.yaml").target_names() == preset(name).target_names()
