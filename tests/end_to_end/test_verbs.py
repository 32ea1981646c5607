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
        r'<tr data-model="([^"]*)" data-task="([^"]*)"[^>]*><td><a[^>]*>[^<]*</a></td><td>[^<]*</td><td>[^<]*</td>'
        r'<td class="number " data-sort="([^"]*)">',
        page[page.index('<section id="cells"') :],
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


def test_belt_covers_all_tasks_and_exports_what_it_chose(study_file: Path, folder: Path, tmp_path: Path) -> None:
    out, _ = invoke("belt", study_file, "--loss", "5", "--out", tmp_path / "belt")
    kept = json.loads((folder / "analysis/belt.json").read_text())
    assert json.loads(invoke("belt", study_file, "--loss", "5", "--json")[0]) == kept
    assert set(kept["serves"]) == set(TASKS) and set(kept["serves"].values()) <= {*kept["models"], "base"}
    for name in kept["models"]:
        assert name in out and (tmp_path / "belt/adapters" / name / "adapter_model.safetensors").is_file()
    assert "vllm serve" in out and "router: centroid" in out and "router: arrow" in out
    sizes = dict(zip(kept["tables"]["sizes"]["columns"], kept["tables"]["sizes"]["data"], strict=True))
    within = dict(zip(sizes["size"], sizes["chosen_worst"], strict=True))
    assert within[len(kept["models"])] <= 5 < within.get(len(kept["models"]) - 1, 6)


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
    # Other verbs may have left a forecast since, which a report shows.
    invoke("report", study_file)
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
    row = re.search(r'<tr[^>]* data-model="base" data-task="toxicity".*?</tr>', page.read_text())
    assert row is not None and f'data-sort="{share:.9g}"' in row[0]
    before = snapshot(tmp_path / "out")
    assert "nothing was computed" in invoke("demo", "--out", tmp_path / "out")[1]
    assert snapshot(tmp_path / "out") == before


def test_predict_ranks_measured_and_predicted_sources_and_keeps_them(study_file: Path, folder: Path) -> None:
    out, _ = invoke("predict", study_file, "--task", "tone", "--evidence", "text", "--explain")
    lines = [line.split() for line in out.splitlines() if re.search(r"\d +measured", line)]
    table = pd.DataFrame([line[:2] for line in lines], columns=["s", "gain"])
    assert set(table["s"]) == set(SOURCES) - {"tone"}
    for source, gain in zip(table["s"], table["gain"].astype(float), strict=True):
        ours, base = (_score(folder, model, "tone") for model in (f"{source}-s0", "base"))
        assert gain == pytest.approx(ours - base, abs=6e-4)
    assert "held-out cells" in out
    kept = json.loads((folder / "analysis/forecast.json").read_text())
    assert {row["status"] for row in kept["rankings"]["tone"]} == {"measured"}


def test_predict_of_a_new_dataset_has_an_interval_for_every_target(study_file: Path, tmp_path: Path) -> None:
    rows = tmp_path / "mood.jsonl"
    rows.write_text("".join(json.dumps({"text": f"m{i} dull day", "label": " bad"}) + "\n" for i in range(12)))
    out, _ = invoke("predict", study_file, "--new", rows, "--like", "tone", "--evidence", "text,base", "--quiet")
    lines = [line for line in out.splitlines() if re.search(r"\[[+-][\d.]+, [+-][\d.]+\]", line)]
    assert [line.split()[0] for line in lines if "saves" not in line] != []
    assert {line.split()[0] for line in lines} >= set(TASKS) - {"story"}
    for arguments, says in (
        (["--new", rows], "add --like"),
        (["--new", rows, "--like", "tonne"], "did you mean 'tone'"),
        (["--new", tmp_path / "none.jsonl", "--like", "tone"], "no such file"),
        (["--evidence", "texts"], "no evidence is called 'texts'"),
    ):
        done = CliRunner().invoke(app, ["predict", str(study_file), *map(str, arguments)])
        assert done.exit_code == 2 and says in done.stderr, done.output


def test_predict_of_a_new_dataset_with_a_short_training(study_file: Path, tmp_path: Path) -> None:
    task = {"data": {"path": {"train": "mood2.jsonl"}}, "prompt": "{{ text }} is"}
    task["answer"] = {"choice": [" bad", " good"], "gold": "{{ label }}"}
    (tmp_path / "mood2.yaml").write_text(yaml.safe_dump(task))
    rows = [{"text": f"m{i} dull day", "label": " bad" if i % 2 else " good"} for i in range(12)]
    (tmp_path / "mood2.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ("predict", study_file, "--new", tmp_path / "mood2.yaml", "--probe", "--evidence", "text,probe", "--quiet")
    out, _ = invoke(*asked)
    probes = study_file.parent / "runs/small/new/mood2/probes"
    assert (probes / "adapters/mood2-s0/adapter_model.safetensors").is_file()
    before = snapshot(probes / "cells")
    again, _ = invoke(*asked)
    assert again == out and snapshot(probes / "cells") == before


def test_a_mix_that_was_chosen_can_be_trained_as_it_is_printed(study_file: Path, tmp_path: Path, base: Path) -> None:
    out, _ = invoke(
        "predict", study_file, "--mix-rows", "20", "--evidence", "text", "-t", "tone", "-t", "heat", "--quiet"
    )
    (line,) = [line for line in out.splitlines() if line.startswith("mixes: ")]
    mixes = yaml.safe_load(line)["mixes"]
    rows = mixes["chosen"]["rows"]
    assert 0 < sum(rows.values()) <= 20 and set(rows) <= set(SOURCES)
    file = small_study(tmp_path / "study", base)
    content = yaml.safe_load(file.read_text())
    content["mixes"] = mixes
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    study = Study.open(file)
    assert {part.name: len(examples) for part, examples in study.data.mix("chosen")} == rows


def test_plan_says_what_is_missing_and_the_first_round(study_file: Path, tmp_path: Path, base: Path) -> None:
    assert "nothing is missing" in invoke("plan", study_file)[0]
    file = small_study(tmp_path / "study", base)
    assert f"adapters  0 of {len(MODELS) - 1} trained" in invoke("plan", file)[0]
    # Six to nine steps are no more than a short training has.
    assert f"full ones of {len(SOURCES)}" in invoke("plan", file, "--budget", "100%")[0]
    assert not (tmp_path / "study/runs").exists()
    for share in ("0", "101%", "much"):
        done = CliRunner().invoke(app, ["plan", str(file), "--budget", share])
        assert done.exit_code == 2 and "write a share such as 25%" in done.stderr


def test_plan_of_a_matrix_names_open_transfer_cells(tmp_path: Path) -> None:
    lines = ["model,t1,t2,s3", "base,50,40,30", "s1,60,45,", "s2,,44,31", "s3,52,,99"]
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    out, _ = invoke("plan", tmp_path / "m.csv", "--unit", "percent", "--budget", "100%")
    assert set(out.splitlines()[1:]) == {"s1 on s3", "s2 on t1", "s3 on t2"}
    assert "5 of 8 transfer cells are measured" in out
