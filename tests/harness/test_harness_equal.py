"""Scores of harness tasks are those of lm-eval's ``simple_evaluate`` with HFLM and PEFT, to the last digit in fp32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness_tasks import harness_results, write_tasks

from traitscope.records import ExampleRecord
from traitscope.study import Study
from traitscope.tasks.harness.requests import Asked
from traitscope.tasks.judge import summarise

TASKS = ("pick", "shots", "last", "corpus", "sums", "blank", "both", "even")
# More than the harness takes of metrics that are slow to draw.
DRAWS = 120


def study_text(base: Path, yamls: Path, adapters: dict[str, Path], tasks: dict[str, str]) -> str:
    bodies = "".join(f"  {name}: {{lm_eval: {{include_path: {yamls}, {body}}}}}\n" for name, body in tasks.items())
    models = "".join(f"  {name}: {path}\n" for name, path in adapters.items())
    return (
        f"study: harness\nbase: {{model: {base}, dtype: fp32}}\ntasks:\n{bodies}"
        + (f"models:\n{models}" if models else "")
        + "compute: {device: cpu, threads: 1, workers: 1}\n"
    )


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, base: Path, yamls: Path, adapters: dict[str, Path]) -> Study:
    """A study of all tasks, the base and two adapters, run to its end."""
    folder = tmp_path_factory.mktemp("study")
    text = study_text(base, yamls, adapters, {name: f"task: {name}, bootstrap_iters: {DRAWS}" for name in TASKS})
    (folder / "study.yaml").write_text(text)
    study = Study.open(folder / "study.yaml")
    study.run()
    return study


@pytest.fixture(scope="session")
def truth(base: Path, yamls: Path, adapters: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """What lm-eval says of the base and of the last adapter."""
    models = {"base": None, "two": adapters["two"]}
    with pytest.MonkeyPatch.context() as patch:
        # Its bootstrap in one process, which draws the same.
        patch.setenv("DISABLE_MULTIPROC", "1")
        return {
            name: harness_results(base, adapter, list(TASKS), yamls, bootstrap_iters=DRAWS)
            for name, adapter in models.items()
        }


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_and_its_error_is_the_harness_own(
    filled: Study, truth: dict[str, dict[str, Any]], task: str
) -> None:
    table = filled.score_table()
    for model, results in truth.items():
        said = {name: value for name, value in results[task]["results"][task].items() if "," in name}
        expected = {name: value for name, value in said.items() if "_stderr," not in name}
        ours = table[(table["model"] == model) & (table["task"] == task) & (table["metric"] != "loss")]
        assert dict(zip(ours["metric"], ours["value"], strict=True)) == pytest.approx(expected, rel=1e-6, abs=1e-9)
        errors = [said[name.replace(",", "_stderr,")] for name in ours["metric"]]
        errors = [float("nan") if error == "N/A" else error for error in errors]
        assert list(ours["stderr"]) == pytest.approx(errors, rel=1e-5, abs=1e-9, nan_ok=True)
        assert list(ours["primary"]) == [True] + [False] * (len(ours) - 1)


def test_models_and_tasks_differ_so_that_equality_says_something(filled: Study) -> None:
    table = filled.score_table()
    for task, metric in (("pick", "acc,none"), ("last", "perplexity,none"), ("sums", "exact_match,most-often")):
        values = table[(table["task"] == task) & (table["metric"] == metric)]["value"]
        assert len(set(values)) > 1, (task, list(values))


def _samples(results: dict[str, Any], task: str) -> dict[int, Any]:
    return {sample["doc_id"]: sample["resps"] for sample in results[task]["samples"][task]}


@pytest.mark.parametrize("task", ["pick", "shots", "last", "blank"])
def test_every_log_likelihood_and_greedy_flag_is_hflms(
    filled: Study, truth: dict[str, dict[str, Any]], task: str
) -> None:
    for model, results in truth.items():
        expected = _samples(results, task)
        for record in filled.folder.cells.read_records(model, task):
            ours = json.loads(record.responses or "")
            theirs = [answers[0] for answers in expected[int(record.id)]]
            assert [one[0] for one in ours] == pytest.approx([one[0] for one in theirs], abs=1e-5 * 20)
            assert [one[1] for one in ours] == [one[1] for one in theirs]


def test_rolling_texts_longer_than_the_positions_are_cut_into_the_harness_windows(
    filled: Study, truth: dict[str, dict[str, Any]]
) -> None:
    longest = 0
    for model, results in truth.items():
        expected = _samples(results, "corpus")
        for record in filled.folder.cells.read_records(model, "corpus"):
            (ours,) = json.loads(record.responses or "")
            ((theirs,),) = expected[int(record.id)]
            assert ours == pytest.approx(theirs, rel=1e-6)
            longest = max(longest, record.n_gold)
    assert longest > 48


def test_generated_texts_are_hflms(filled: Study, truth: dict[str, dict[str, Any]]) -> None:
    lengths = set()
    for model, results in truth.items():
        expected = _samples(results, "sums")
        for record in filled.folder.cells.read_records(model, "sums"):
            (ours,) = json.loads(record.responses or "")
            # The harness asked twice, and greedy answers repeat.
            assert [[ours, ours]] == expected[int(record.id)]
            lengths.add((record.n_output, record.finish))
    assert len(lengths) > 2


def test_records_say_which_option_was_right_and_which_was_taken(
    filled: Study, truth: dict[str, dict[str, Any]]
) -> None:
    for model, results in truth.items():
        samples = {one["doc_id"]: one for one in results["pick"]["samples"]["pick"]}
        records: list[ExampleRecord] = filled.folder.cells.read_records(model, "pick")
        for record in records:
            sample = samples[int(record.id)]
            options, gold = sample["doc"]["options"], sample["doc"]["gold"]
            assert record.gold == options[gold]
            assert record.correct == sample["acc"] == float(record.pred == record.gold)
        assert sum(record.correct or 0 for record in records) / len(records) == pytest.approx(
            results["pick"]["results"]["pick"]["acc,none"]
        )


def test_tasks_with_the_same_options_have_classes_and_a_confusion_matrix(filled: Study) -> None:
    cell = filled.folder.cells.read("one", "shots")
    assert cell.summary["classes"] == ["no", "yes"]
    assert sum(map(sum, cell.summary["confusion"])) == len(cell.records)
    assert "classes" not in filled.folder.cells.read("one", "pick").summary


def test_a_group_has_its_aggregate_and_the_scores_of_its_tasks(filled: Study, truth: dict[str, dict[str, Any]]) -> None:
    cell = filled.folder.cells.read("two", "both")
    results = truth["two"]["both"]["results"]
    assert set(cell.summary["subtasks"]) == {"pick", "shots"}
    for name, scores in cell.summary["subtasks"].items():
        assert scores["acc,none"] == pytest.approx(results[name]["acc,none"])
    assert {record.tags["task"] for record in cell.records} == {"pick", "shots"}
    assert [record.id for record in cell.records][:4] == ["pick/0", "shots/0", "pick/1", "shots/1"]


def test_records_in_another_order_are_judged_alike(filled: Study) -> None:
    """A bootstrapped error depends on the documents' order."""
    task, cell = filled.data.tasks["last"], filled.folder.cells.read("one", "last")
    examples = filled.data.load("last").eval
    told = [summarise(task, records, examples)[0] for records in (cell.records, cell.records[::-1])]
    assert told[0] == told[1] and told[0][0].stderr


def test_what_a_task_draws_while_it_is_loaded_is_what_the_harness_draws(base: Path, tmp_path: Path) -> None:
    """The harness keeps a Python file that it has read, so each has a copy of its own."""
    for name in ("ours", "theirs"):
        write_tasks(tmp_path / name, 3)
    theirs = harness_results(base, None, ["blank"], tmp_path / "theirs", limit=1, bootstrap_iters=0)["blank"]
    (tmp_path / "study.yaml").write_text(study_text(base, tmp_path / "ours", {}, {"blank": "task: blank, limit: 1"}))
    (example,) = Study.open(tmp_path / "study.yaml").data.load("blank").eval
    said = [(request.prompt.text, request.text) for request in Asked.from_json(example.requests).requests]
    assert said == [tuple(one) for one in theirs["samples"]["blank"][0]["arguments"]]
