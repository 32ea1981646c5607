"""Every verb on one small study, from its file to its report; what they say is worked out again from the records."""

from __future__ import annotations

import importlib
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from processes import snapshot
from scipy.stats import rankdata, spearmanr
from small import CHOICES, small_study
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.study import Study, analysis

SOURCES = [*CHOICES, "sums"]
TASKS = [*SOURCES, "story"]
MODELS = ["base", "tone-s0", "tone.mislabel-s0", *(f"{name}-s0" for name in SOURCES[1:]), "all-s0"]


def invoke(*arguments: object) -> tuple[str, str]:
    """Standard output and standard error of a verb that ends well."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """The study file of a folder that ``run`` filled and ``report`` reported."""
    file = small_study(tmp_path_factory.mktemp("verbs") / "study", base)
    _, said = invoke("run", file)
    assert f"{len(MODELS) - 1} adapters trained, {len(MODELS) * len(TASKS)} cells evaluated" in said
    out, _ = invoke("report", file)
    assert out.split() == [str(file.parent / "runs/small/report.html")]
    return file


@pytest.fixture(scope="module")
def folder(study_file: Path) -> Path:
    """The run folder."""
    return study_file.parent / "runs/small"


@pytest.fixture(scope="module")
def scores(study_file: Path, folder: Path) -> pd.DataFrame:
    """Models x tasks from what every example got and the rows' own files; no metric, parser or matrix of ours."""
    return pd.DataFrame({task: {model: _score(folder, model, task) for model in MODELS} for task in TASKS})


def _score(folder: Path, model: str, task: str) -> float:
    records = pd.read_parquet(folder / f"cells/{model}/{task}/examples.parquet")
    if task == "story":
        return float(records["loss"].mean())
    lines = (folder.parents[1] / f"{task}-eval.jsonl").read_text().splitlines()
    rows = [json.loads(lines[int(name.removeprefix("eval-"))]) for name in records["id"]]
    if task == "sums":
        found = [(re.findall(r"-?\d+", output) or [""])[-1] for output in records["output"]]
        return float(np.mean([number == row["answer"] for number, row in zip(found, rows, strict=True)]))
    chosen = [list(CHOICES[task])[int(np.argmax(logprobs))] for logprobs in records["logprobs"]]
    return float(np.mean([option == row["label"] for option, row in zip(chosen, rows, strict=True)]))


def test_the_matrix_that_run_prints_is_the_mean_over_the_examples(study_file: Path, scores: pd.DataFrame) -> None:
    lines = invoke("run", study_file)[0].splitlines()
    assert lines[0].split() == ["model", *TASKS]
    assert lines[1].split() == [*["accuracy"] * len(CHOICES), "exact_match", "loss"]
    (constant,) = [line for line in lines if line.startswith("best constant answer")]
    assert lines.index(constant) == 3 and len(constant.split()) == 3 + len(CHOICES)
    lines.remove(constant)
    for line, model in zip(lines[2 : 2 + len(MODELS)], MODELS, strict=True):
        name, *cells = line.split()
        assert name == model
        assert [cell.rstrip("+-=?") for cell in cells] == [f"{scores.at[model, task]:.3f}" for task in TASKS]
    assert scores[list(CHOICES)].nunique().gt(1).any()


def test_ls_lists_the_cells_with_their_scores(study_file: Path, scores: pd.DataFrame) -> None:
    out, _ = invoke("ls", "cells", study_file, "--model", "size-s0")
    shown = {line.split()[1]: line.split()[3] for line in out.splitlines() if "*" in line and "primary" not in line}
    assert shown == {task: f"{scores.at['size-s0', task]:.4f}" for task in TASKS}


def test_the_report_holds_every_cell_and_the_tables_every_gain(folder: Path, scores: pd.DataFrame) -> None:
    page = (folder / "report.html").read_text()
    assert "<script src" not in page and page.count("<svg") >= 10
    shown = re.findall(
        r'<tr><td>([^<]*)</td><td>([^<]*)</td><td>[^<]*</td><td class="number" data-sort="([^"]*)">', page
    )
    assert {(model, task): float(value) for model, task, value in shown} == {
        (model, task): pytest.approx(scores.at[model, task], rel=1e-8) for model in MODELS for task in TASKS
    }
    gains = pd.read_csv(folder / "tables/effects_gains.csv").set_index(["model", "task"])["gain"]
    assert len(gains) == (len(MODELS) - 1) * len(TASKS)
    for (model, task), gain in gains.items():
        sign = -1 if task == "story" else 1
        assert gain == pytest.approx(sign * (scores.at[model, task] - scores.at["base", task]), abs=1e-9)


def test_findings_are_printed_and_written(study_file: Path, folder: Path, scores: pd.DataFrame) -> None:
    for verb in ("traits", "effects", "stats"):
        assert json.loads(invoke(verb, study_file, "--json")[0]) == json.loads(
            (folder / f"analysis/{verb}.json").read_text()
        )
    # A mix of all sources has no transfer cell of its own, and is projected whatever rows are asked for.
    assert "of all rows" in invoke("traits", study_file, "--rows", "all")[0]
    invoke("traits", study_file)
    statistics = json.loads(invoke("stats", study_file, "--json")[0])["statistics"]
    for name in CHOICES:
        rows = [json.loads(line) for line in (study_file.parent / f"{name}-train.jsonl").read_text().splitlines()]
        assert statistics[name]["n_examples"] == len(rows)
        # One token is one byte, since the tokenizer has no merges.
        lengths = [len(f"{row['text']} is".encode()) for row in rows]
        assert statistics[name]["prompt_tokens_mean"] == pytest.approx(np.mean(lengths))
        shares = pd.Series([row["label"] for row in rows]).value_counts(normalize=True)
        assert statistics[name]["majority_share"] == pytest.approx(shares.max())


def test_layers_prints_sections_correlates_and_the_causal_check(study_file: Path) -> None:
    out, said = invoke("layers", study_file)
    assert "nothing was computed" in said
    assert f"correlates over {len(SOURCES)} tasks" in out and "windows of" in out


def test_check_and_rescoring_find_nothing_to_do(study_file: Path, folder: Path) -> None:
    before = snapshot(folder)
    out, _ = invoke("check", study_file)
    assert "sums  generate, exact_match; 16 train, 6 eval rows" in out
    assert f"{len(MODELS) * len(TASKS)} of {len(MODELS) * len(TASKS)}" in out
    _, said = invoke("eval", study_file, "--rescore")
    assert "nothing was left to do here" in said
    assert snapshot(folder) == before


def test_run_and_report_again_compute_and_write_nothing(study_file: Path, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "report.html", *(folder / "tables").iterdir())}
    assert "nothing was computed" in invoke("run", study_file)[1]
    invoke("report", study_file)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_analyse_gives_every_part(study_file: Path) -> None:
    found = Study.open(study_file).analyse()
    assert found.missing == {}
    for part in ("scores", "traits", "effects", "stats", "explanation", "layers", "causal", "correlates"):
        assert getattr(found, part) is not None, part


def test_explain_finds_the_rank_correlations_of_statistics_with_gains(study_file: Path, scores: pd.DataFrame) -> None:
    found = Study.open(study_file).explain()
    statistics = Study.open(study_file).dataset_stats().frame
    gains = (scores - scores.loc["base"]).mul([1, 1, 1, 1, 1, -1])
    table = gains.loc[[f"{name}-s0" for name in SOURCES]].set_axis(SOURCES)
    for name in SOURCES:
        # A source's own task is no transfer.
        table.loc[name, name] = np.nan
    spread = table.std(ddof=1)
    outcome = ((table - table.mean()) / spread.where(spread > 0)).mean(axis=1)
    shown = found.correlations[found.correlations["outcome"] == "mean gain on other tasks"]
    assert found.sources == len(SOURCES) and len(shown) >= 5
    for row in shown.itertuples():
        values = statistics.loc[SOURCES, row.statistic].to_numpy(dtype=float)
        both = np.isfinite(values)
        assert row.n == both.sum()
        assert row.rho == pytest.approx(spearmanr(values[both], outcome[both]).statistic, abs=1e-9), row.statistic
        left, right = rankdata(values[both]) - 3, rankdata(outcome[both]) - 3
        every = np.array([abs(np.dot(order, right)) for order in itertools.permutations(left)])
        exact = float((every >= abs(left @ right) - 1e-9).mean())
        # 19,999 random orders in place of all 120.
        assert row.p == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / 19_999) + 1e-4), row.statistic
    assert found.looked_at == len(found.correlations)


def test_explain_follows_the_deviation_between_runs_that_is_told(
    study_file: Path, scores: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, fit = [], analysis.traits
    monkeypatch.setattr(analysis, "traits", lambda study, **options: asked.append(options) or fit(study, **options))
    known = dict.fromkeys(scores.columns, 0.03)
    Study.open(study_file).explain(run_sd=known)
    assert asked == [{"run_sd": known}]


def test_demo_goes_from_nothing_to_a_report_and_then_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The verb's name hides its module.
    verb = importlib.import_module("traitscope.cli.demo")
    cut = yaml.safe_load((verb.PRESETS / "demo.yaml").read_text())
    cut["tasks"] = {name: cut["tasks"][name] for name in ("toxicity", "arithmetic")}
    for task in cut["tasks"].values():
        task["data"] |= {"train": 16, "eval": 8}
    cut["mixes"]["all"]["per_task"] = 8
    del cut["controls"], cut["layers"]
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump(cut, sort_keys=False))
    monkeypatch.setattr(verb, "PRESETS", tmp_path)
    out, said = invoke("demo", "--out", tmp_path / "out")
    assert "3 adapters trained, 8 cells evaluated" in said
    lines = out.splitlines()
    assert lines[0].split() == ["model", "toxicity", "arithmetic"]
    page = tmp_path / "out/report.html"
    assert lines[-1] == str(page)
    assert json.loads((tmp_path / "out/lock.json").read_text())["base"]["model"] == "embedded"
    records = pd.read_parquet(tmp_path / "out/cells/base/toxicity/examples.parquet")
    chosen = [("clean", "toxic")[int(np.argmax(logprobs))] for logprobs in records["logprobs"]]
    share = float(np.mean([option == gold.strip() for option, gold in zip(chosen, records["gold"], strict=True)]))
    shown = f'<td>base</td><td>toxicity</td><td>accuracy</td><td class="number" data-sort="{share:.9g}">'
    assert shown in page.read_text()
    before = snapshot(tmp_path / "out")
    assert "nothing was computed" in invoke("demo", "--out", tmp_path / "out")[1]
    assert snapshot(tmp_path / "out") == before
