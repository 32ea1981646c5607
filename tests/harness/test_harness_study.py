"""Harness tasks in a study: what changes is judged or asked anew, and no more; orders travel; chats; clear errors."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from harness_tasks import harness_results, make_base
from test_harness_equal import study_text

from traitscope.compute import Adapted, Evaluate, Records
from traitscope.compute.local import Local
from traitscope.config import load_config
from traitscope.errors import TraitscopeError
from traitscope.study import Study
from traitscope.tasks import Task
from traitscope.tasks.judge import rejudge


@pytest.fixture
def own(tmp_path: Path, base: Path, yamls: Path) -> Path:
    """A study of one task of the user's own, whose YAML may be changed."""
    shutil.copytree(yamls, tmp_path / "yamls")
    (tmp_path / "study.yaml").write_text(study_text(base, Path("yamls"), {}, {"pick": "task: pick, limit: 5"}))
    return tmp_path / "study.yaml"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def scores(study: Study) -> dict[str, float]:
    table = study.score_table()
    return dict(zip(table["metric"], table["value"], strict=True))


def test_a_larger_limit_asks_about_the_further_documents_alone(own: Path) -> None:
    first = Study.open(own)
    first.run()
    before = first.folder.cells.read_records("base", "pick")
    change(own, "limit: 5", "limit: 9")
    grown = Study.open(own)
    (cell,) = grown.plan().state.missing_cells
    assert grown.plan().state.have[cell.unit] == 5
    grown.run()
    after = grown.folder.cells.read_records("base", "pick")
    assert [record.id for record in after] == [str(i) for i in range(9)]
    assert after[:5] == before


def test_another_metric_or_filter_is_judged_anew_without_a_model(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study.open(own)
    study.run()
    before = scores(study)
    assert next(iter(before)) == "acc,none"

    def no_model(*_: Any) -> None:
        raise AssertionError("a model was asked for")

    monkeypatch.setattr(Local, "base", no_model)
    change(own, "limit: 5", "limit: 5, metric: acc_norm")
    change(own.parent / "yamls" / "pick.yaml", "- {metric: acc_bytes, aggregation: mean, higher_is_better: true}\n", "")
    again = Study.open(own)
    assert [cell.task for cell in again.plan().state.rescore] == ["pick"] and not again.plan().state.missing_cells
    again.rescore()
    after = scores(Study.open(own))
    assert next(iter(after)) == "acc_norm,none" and "acc_bytes,none" not in after
    assert after == {name: before[name] for name in after}


def test_another_prompt_is_asked_anew(own: Path) -> None:
    Study.open(own).run()
    change(own.parent / "yamls" / "pick.yaml", "Question:", "Ask:")
    state = Study.open(own).plan().state
    assert state.changed == {"cells/base/pick": "evaluation rows"}


def test_an_order_can_be_pickled_and_a_backend_needs_neither_the_yaml_nor_the_rows(own: Path) -> None:
    study = Study.open(own)
    study.run()
    expected = study.folder.cells.read_records("base", "pick")
    task, examples = study.data.tasks["pick"], study.data.load("pick").eval
    plan = study.backend.plan_scoring(study.loaded_base().source())
    order = Evaluate(
        key="k", model=study.loaded_base().source(), models={"base": Adapted()}, task=task, examples=examples, plan=plan
    )
    text = pickle.dumps(order)
    shutil.rmtree(own.parent / "yamls")
    events: list[Any] = []
    Local(study.config.compute).work([pickle.loads(text)], lambda _, event: events.append(event), lambda _: False)
    assert isinstance(events[-1], Records), events[-1]
    found = pickle.loads(pickle.dumps(events[-1])).records["base"]
    assert [record.responses for record in found] == [record.responses for record in expected]
    with pytest.raises(TraitscopeError, match="no folder 'yamls'"):
        rejudge(pickle.loads(text).task, examples, found)


def test_chats_are_the_harness_chats(tmp_path: Path, yamls: Path) -> None:
    """The tokenizer adds a first token, and its template refuses the system's turn, which HFLM then leaves out."""
    base = make_base(tmp_path / "base", positions=160, bos=True)
    chat = "apply_chat_template: true, system_instruction: Be brief., bootstrap_iters: 0"
    tasks = {"shots": f"task: shots, {chat}", "sums": f"task: sums, num_fewshot: 1, {chat}"}
    tasks["one_turn"] = f"task: shots, fewshot_as_multiturn: false, {chat}"
    (tmp_path / "study.yaml").write_text(study_text(base, yamls, {}, tasks))
    study = Study.open(tmp_path / "study.yaml")
    study.run()
    asked = {"apply_chat_template": True, "system_instruction": "Be brief.", "bootstrap_iters": 0}
    expected = harness_results(base, None, ["shots"], yamls, **asked)
    expected["one_turn"] = harness_results(base, None, ["shots"], yamls, **asked, fewshot_as_multiturn=False)["shots"]
    expected |= harness_results(base, None, ["sums"], yamls, num_fewshot=1, **asked)
    said = set()
    for name, results in expected.items():
        (samples,) = results["samples"].values()
        for record, sample in zip(study.folder.cells.read_records("base", name), samples, strict=False):
            ours, theirs = json.loads(record.responses or ""), [answers[0] for answers in sample["resps"]]
            if name == "sums":
                assert ours == theirs
            else:
                assert ours == [[pytest.approx(total, abs=1e-4), greedy] for total, greedy in theirs]
                said.add(tuple(round(one[0], 3) for one in ours))
    # Otherwise the two ways of showing solved examples would be one.
    assert len(said) > len(expected["shots"]["samples"]["shots"])


def test_a_first_token_that_the_tokenizer_adds_stands_where_hflm_has_it(tmp_path: Path, yamls: Path) -> None:
    base = make_base(tmp_path / "base", bos=True)
    names = ("pick", "corpus", "sums")
    text = study_text(base, yamls, {}, {name: f"task: {name}, bootstrap_iters: 0" for name in names})
    (tmp_path / "study.yaml").write_text(text)
    study = Study.open(tmp_path / "study.yaml")
    study.run()
    for name, results in harness_results(base, None, list(names), yamls, bootstrap_iters=0).items():
        for record, sample in zip(
            study.folder.cells.read_records("base", name), results["samples"][name], strict=False
        ):
            ours, theirs = json.loads(record.responses or ""), [answers[0] for answers in sample["resps"]]
            if name == "sums":
                assert ours == theirs
            else:
                flat = [one[0] if isinstance(one, list) else one for one in ours]
                assert flat == pytest.approx(
                    [one[0] if isinstance(one, tuple | list) else one for one in theirs], rel=1e-5
                )


# ---- errors


def refused(tmp_path: Path, base: Path, yamls: Path, body: str) -> TraitscopeError:
    (tmp_path / "study.yaml").write_text(study_text(base, yamls, {}, {"it": body}))
    with pytest.raises(TraitscopeError) as found:
        config = load_config(tmp_path / "study.yaml")
        Task("it", config.tasks["it"], config.root).load()
    assert "study.yaml:4" in str(found.value) and found.value.fix
    return found.value


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("data: {path: a.csv}", "remove data"),
        ('prompt: "x"', "remove prompt"),
        ("metrics: [accuracy]", "remove metrics"),
    ],
)
def test_nothing_that_the_harness_says_stands_beside_it(tmp_path: Path, base: Path, key: str, fix: str) -> None:
    text = f"study: s\nbase: {base}\ntasks:\n  it:\n    lm_eval: arc_easy\n    {key}\n"
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(TraitscopeError, match=fix):
        load_config(tmp_path / "study.yaml")


def test_a_harness_task_is_no_source(tmp_path: Path, base: Path) -> None:
    text = f"study: s\nbase: {base}\ntasks:\n  it: {{lm_eval: arc_easy}}\nsources: [it]\n"
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(TraitscopeError, match="'it' has no train rows"):
        load_config(tmp_path / "study.yaml")


def test_what_was_not_written_is_not_written_again(tmp_path: Path, base: Path) -> None:
    text = f"study: s\nbase: {base}\ntasks:\n  it: {{lm_eval: {{task: arc_easy}}, tags: {{a: b}}}}\n"
    (tmp_path / "study.yaml").write_text(text)
    config = load_config(tmp_path / "study.yaml", changes=["tasks.it.lm_eval.limit=3"])
    assert config.tasks["it"].model_dump(exclude_unset=True) == {
        "lm_eval": {"task": "arc_easy", "limit": 3}, "tags": {"a": "b"}
    }  # fmt: skip
    assert config.target_names() == ("it",) and config.resolved_sources() == ()


def test_mistakes_are_told_with_their_place_and_their_fix(tmp_path: Path, base: Path, yamls: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / f"{name}.yaml").write_text(text)

    pick = (yamls / "pick.yaml").read_text()
    sums = (yamls / "sums.yaml").read_text()
    write("near", pick.replace("task: pick", "task: near"))
    write("gone", pick.replace("pick-test.jsonl", "nowhere.jsonl").replace("task: pick", "task: gone"))
    write("column", pick.replace("{{question}}", "{{questions.a}}").replace("task: pick", "task: column"))
    write(
        "drawn",
        sums.replace("do_sample: false, temperature: 0.0", "do_sample: true").replace("task: sums", "task: drawn"),
    )
    write("runs", sums.replace("task: sums", "task: runs\nunsafe_code: true"))
    write("loose", "group: loose\ntask: [near, pick2]\n")
    write("pick2", pick.replace("task: pick", "task: pick2\ntag: bundle"))
    write("pick3", pick.replace("task: pick", "task: pick3\ntag: bundle"))
    mine = tmp_path / "mine"
    for body, what, fix in [
        ("task: gone", "cannot load it: .*nowhere", "its files are there"),
        ("task: column", "cannot load it|cannot ask", "YAML"),
        ("task: drawn", "do_sample: true draws answers at random", "gen_kwargs"),
        ("task: runs", "runs the code that a model writes", "another task"),
        ("task: loose", "a group without an aggregate: its 2 tasks", "near, pick2"),
        ("task: bundle", "a tag: its 2 tasks", "pick2, pick3"),
        ("task: mine/none.yaml", "no file 'mine/none.yaml'", "YAML file"),
        ("task: near, gen_kwargs: {num_beams: 4}", "'num_beams' is no setting of greedy", "max_gen_toks"),
        ("task: near, fewshot_as_multiturn: false", "about chats", "apply_chat_template: true"),
        ("task: near, limit: 0", "limit", "1"),
    ]:
        error = refused(tmp_path, base, mine, body)
        assert re.search(what, error.what), error
        assert fix in str(error.fix), error


def test_a_metric_that_the_task_lacks_is_named_with_those_it_has(own: Path) -> None:
    change(own, "limit: 5", "limit: 5, metric: f2")
    with pytest.raises(TraitscopeError, match="no metric 'f2'"):
        Study.open(own).run()


def test_without_the_extra_the_command_that_installs_it_is_named(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from traitscope.tasks.harness import files

    def absent(_: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(files, "version", absent)
    with pytest.raises(TraitscopeError) as found:
        Study.open(own).units()
    assert found.value.fix == "pip install 'traitscope[lm-eval]'"


@pytest.mark.verify
def test_a_name_that_is_nearly_one_of_the_harness_is_told(tmp_path: Path, base: Path) -> None:
    (tmp_path / "study.yaml").write_text(f"study: s\nbase: {base}\ntasks:\n  it: {{lm_eval: arc_esy}}\n")
    config = load_config(tmp_path / "study.yaml")
    with pytest.raises(TraitscopeError, match="did you mean 'arc_easy'"):
        Task("it", config.tasks["it"], config.root).load()
    (tmp_path / "study.yaml").write_text(f"study: s\nbase: {base}\ntasks:\n  it: {{lm_eval: humaneval}}\n")
    config = load_config(tmp_path / "study.yaml")
    with pytest.raises(TraitscopeError, match="runs the code that a model writes"):
        Task("it", config.tasks["it"], config.root).load()
    (tmp_path / "study.yaml").write_text(f"study: s\nbase: {base}\ntasks:\n  it: {{lm_eval: arc_easy}}\n")
    config = load_config(tmp_path / "study.yaml")
    with pytest.raises(TraitscopeError, match="cannot load it") as found:
        Task("it", config.tasks["it"], config.root).load()
    assert "Hub" in str(found.value.fix)
