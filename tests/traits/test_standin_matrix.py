"""What is done with the published matrix, on a generated one of the same layout: no file from elsewhere is needed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from standin_matrix import BASES, DATA, TASKS, write_matrix
from traitscope.effects import measure_effects
from traitscope.matrix import ScoreMatrix
from traitscope.matrix.options import read_typed
from traitscope.traits import fit_traits, render

PAGE = Path(__file__).resolve().parents[2] / "docs" / "traits.md"
SETTING = ["data_size=0,1000", "lr_strategy=cosine,NA", "lora=False,NA"]
SHOWN = [task for task in TASKS if task.endswith("-0shot") and not task.startswith("LongBench")]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_matrix(tmp_path_factory.mktemp("matrix") / "massive_sft.csv")


def test_one_base_model_is_cut_out_by_its_settings(table: Path) -> None:
    scores = ScoreMatrix.read(
        table, rows="data_name", values=SHOWN, base="pretrain", where=["model_name=Qwen2.5-7B", *SETTING]
    )
    assert scores.scores_IN.shape == (len(DATA), 10) and not np.isnan(scores.scores_IN).any()
    assert set(scores.units.values()) == {"percent"}
    assert any("dropped the first column" in note for note in scores.notes)
    traits = fit_traits(scores, scale=True, permutations=199, replicates=0)
    assert traits.count.permutation is not None and traits.count.permutation.count == 2
    assert traits.count.statement.startswith("at least 2")
    assert "no standard errors" in render(traits)


def test_every_base_model_has_its_own_base_row_and_copied_rows_are_noticed(table: Path) -> None:
    scores = ScoreMatrix.read(
        table, rows="data_name", values=SHOWN, base="pretrain", family="model_name", where=SETTING
    )
    assert len(scores.models) == len(BASES) * len(DATA)
    assert len(set(scores.base_index_I.tolist())) == len(BASES) and (scores.base_index_I >= 0).all()
    assert sum("identical scores" in note for note in scores.notes) == 1
    traits = fit_traits(scores, view="gain", scale=True, permutations=99, replicates=0)
    assert traits.models == scores.models


def test_the_command_on_the_page_reads_a_file_of_this_layout(table: Path) -> None:
    code = re.search(r"```\n(traitscope traits .*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    words = shlex.split(code[1].replace("\\\n", " "))[2:]
    options: dict[str, list[str]] = {}
    for name, value in zip(words[1::2], words[2::2], strict=True):
        options.setdefault(name.removeprefix("--"), []).append(value)
    where = options.pop("where")
    scores = read_typed(
        table.with_name(words[0]),
        where=where,
        **{k: v[0] for k, v in options.items()},  # type: ignore[arg-type]
    )
    assert len(scores.models) == 11 and scores.base_name == "pretrain" and list(scores.tasks) == SHOWN


def test_effects_without_records_give_gains_and_surprises_and_say_what_is_missing(table: Path) -> None:
    matrix = ScoreMatrix.read(
        table, rows=["data_name"], family="model_name", base="pretrain", where=SETTING, values=SHOWN
    )
    effects = measure_effects(matrix)
    cells = len(matrix.models) * len(SHOWN) - len(BASES) * len(SHOWN)
    gains = effects.tables["gains"]
    assert len(gains) == cells and gains["p"].isna().all()
    row = gains.set_index(["model", "task"]).loc[("Qwen2.5-7B/lima", "gsm8k-0shot")]
    at = matrix.models.index("Qwen2.5-7B/lima"), matrix.tasks.index("gsm8k-0shot")
    assert row["gain"] == pytest.approx(matrix.gains().values_IN[at])
    said = " ".join(effects.notes)
    for part in (f"no example records for {cells} of {cells} cells", "have no standard error,"):
        assert part in said
    assert "Surprises against an additive model: no test was possible" in effects.render()
