"""Which units a change of the study touches, and what of a study reaches the engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from forged import forge

import traitscope.engine
from traitscope.errors import TraitscopeError
from traitscope.study import Study

MODELS = ["base", "tone-s0", "tone.mislabel-s0", "sums-s0", "all-s0"]
TASKS = ["tone", "sums", "story"]


def cells(models: list[str], tasks: list[str]) -> set[str]:
    return {f"cells/{model}/{task}" for model in models for task in tasks}


TONE = {"adapters/tone-s0", "adapters/tone.mislabel-s0", "adapters/all-s0"}
TONE_CELLS = cells(["tone-s0", "tone.mislabel-s0", "all-s0"], TASKS) | cells(MODELS, ["tone"])
SUMS = {"adapters/sums-s0", "adapters/all-s0"}
EVERYTHING = {f"adapters/{m}" for m in MODELS[1:]} | cells(MODELS[1:], TASKS)
GOLD = 'gold: "{{ label }}"}'


@pytest.mark.parametrize(
    ("old", "new", "touched"),
    [
        ("metrics: [accuracy, macro_f1]", "metrics: [accuracy, macro_f1]\n    overlong: cut", TONE | TONE_CELLS),
        ("{{ text }} is", "{{ text }} was", TONE | TONE_CELLS),
        (GOLD, GOLD[:-1] + ", normalise: tokens}", cells(MODELS, ["tone"])),
        ("max_tokens: 4, ", "max_tokens: 5, ", cells(MODELS, ["sums"])),
        ('stop: ["\\n"]', 'stop: [";"]', cells(MODELS, ["sums"])),
        ("lr: 0.01", "lr: 0.02", EVERYTHING),
        ("alpha: 4", "alpha: 5", EVERYTHING),
        ("alpha: 4", "alpha: 4, dropout: 0.1", EVERYTHING),
        ("alpha: 4", "alpha: 4, rslora: true", EVERYTHING),
        ("alpha: 4", "alpha: 4, dropout: 0, rslora: false", set()),
        ("per_task: 6", "per_task: 6, lr: 0.1", {"adapters/all-s0"} | cells(["all-s0"], TASKS)),
        ("per_task: 6", "per_task: 7", {"adapters/all-s0"} | cells(["all-s0"], TASKS)),
        ("sums-train.jsonl, eval: sums-eval.jsonl}, train: 12", "sums-train.jsonl, eval: sums-eval.jsonl}, train: 11",
         {"adapters/sums-s0"} | cells(["sums-s0"], TASKS)),
    ],
)  # fmt: skip
def test_a_change_touches_what_depends_on_it_and_nothing_else(
    copy: Path, old: str, new: str, touched: set[str]
) -> None:
    tiny.change(copy, old, new)
    assert set(Study.open(copy).plan().state.changed) == touched


@pytest.mark.parametrize(("old", "new"), [("[exact_match]", "[number_match]"), ("final_number", "last_line")])
def test_judging_is_no_part_of_what_a_cell_is_made_from(copy: Path, old: str, new: str) -> None:
    tiny.change(copy, old, new)
    state = Study.open(copy).plan().state
    assert not state.changed and not state.missing_cells
    assert {cell.unit for cell in state.rescore} == cells(MODELS, ["sums"])


def test_dropout_and_rank_stabilised_scaling_reach_the_engine_and_the_folder(copy: Path) -> None:
    tiny.change(copy, "alpha: 4", "alpha: 4, dropout: 0.25, rslora: true")
    tiny.change(copy, "per_task: 6", "per_task: 6, dropout: 0")
    study = Study.open(copy, copy.parent / "other")
    study.train()
    adapters = copy.parent / "other/adapters"
    configs = {path.parent.name: json.loads(path.read_text()) for path in adapters.glob("*/adapter_config.json")}
    assert {name: config["lora_dropout"] for name, config in configs.items()} == {
        "tone-s0": 0.25, "tone.mislabel-s0": 0.25, "sums-s0": 0.25, "all-s0": 0.0,
    }  # fmt: skip
    assert all(config["use_rslora"] for config in configs.values())
    # The base is a folder: it is named so that the adapter loads from anywhere.
    named = {config["base_model_name_or_path"] for config in configs.values()}
    assert all(Path(name).is_absolute() and (Path(name) / "config.json").is_file() for name in named)
    assert "| dropout | 0.25 |" in (adapters / "sums-s0/README.md").read_text()
    plain = pd.read_parquet(copy.parent / "runs/tiny/adapters/sums-s0/train.parquet")
    assert not np.allclose(pd.read_parquet(adapters / "sums-s0/train.parquet")["loss"], plain["loss"], atol=1e-4)


def test_a_mix_is_trained_by_its_own_recipe(copy: Path) -> None:
    tiny.change(copy, "per_task: 6", "per_task: 6, epochs: 1, batch: 2, seeds: [3]")
    text = copy.read_text()
    copy.write_text(text.replace("controls: {tone: [mislabel]}\n", ""))
    study = Study.open(copy, copy.parent / "other")
    study.train()
    history = pd.read_parquet(copy.parent / "other/adapters/all-s3/train.parquet")
    # 6 + 6 rows in batches of 2, once; the study's own recipe would be two epochs in batches of 4.
    assert len(history) == 6
    assert len(pd.read_parquet(copy.parent / "other/adapters/tone-s0/train.parquet")) == 6
    assert sorted(path.name for path in (copy.parent / "other/adapters").iterdir()) == ["all-s3", "sums-s0", "tone-s0"]


def test_rows_that_changed_are_noticed_when_a_cell_would_grow(copy: Path) -> None:
    path = copy.parent / "tone-eval.jsonl"
    path.write_text(path.read_text().replace("eval ", "evaluation "))
    tiny.change(copy, "train: 12, eval: 8", "train: 12, eval: 10")
    with pytest.raises(TraitscopeError, match="5 cells in this folder"):
        Study.open(copy).run()
    state = Study.open(copy).plan().state
    assert state.changed == dict.fromkeys(sorted(cells(MODELS, ["tone"])), "evaluation rows")
    assert not state.have


def test_recorded_groups_stay_together(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = copy.parent / "runs/tiny/plan/scoring.json"
    groups = [["base", "all-s0"], ["sums-s0", "tone-s0"], ["tone.mislabel-s0"]]
    forge(plan, models_per_pass=3, models_per_generation=3, groups=groups)
    for unit in ("base/story", "tone-s0/tone", "sums-s0/tone"):
        shutil.rmtree(copy.parent / "runs/tiny/cells" / unit)
    opened: list[list[str]] = []

    class Watched(traitscope.engine.Bank):
        def __init__(self, base: Any, models: Any) -> None:
            opened.append(list(models))
            super().__init__(base, models)

    monkeypatch.setattr(traitscope.engine, "Bank", Watched)
    Study.open(copy).run()
    assert [group for group in opened if group != ["base"]] == [["base", "all-s0"], ["sums-s0", "tone-s0"]]
    assert json.loads(plan.read_text())["groups"] == groups


def test_windows_of_the_causal_check_count_layers_from_one(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny.make_base(tmp_path_factory.mktemp("six-layers"), layers=6)
    text = tiny.STUDY + "layers: {{examples: 8, causal: 2}}\n"
    path = tiny.make_study(tmp_path_factory.mktemp("gates"), base, text)
    study = Study.open(path)
    study.run()
    windows: list[tuple[str, tuple[int, int]]] = []

    class Watched(traitscope.engine.Gated):
        def __post_init__(self) -> None:
            super().__post_init__()
            windows.append(("on", self.on) if self.on is not None else ("off", self.off))

    monkeypatch.setattr(traitscope.engine, "Gated", Watched)
    study.layers()
    # Six layers in windows of two, half a width apart: 1-2, 2-3, ... 5-6, which are the engine's 0-1 ... 4-5.
    wanted = [(first, first + 1) for first in range(5)]
    for kind in ("on", "off"):
        assert sorted({window for name, window in windows if name == kind}) == wanted
