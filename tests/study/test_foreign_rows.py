"""Adapters and models that were made elsewhere, as rows: what PEFT says of a task by hand is what the cells hold."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import foreign
import pytest
import tiny
import torch
import yaml
from foreign import MERGED, SIDE_BY_SIDE

from traitscope.config import StudyConfig
from traitscope.errors import TraitscopeError
from traitscope.store import merged as store_merged
from traitscope.store import peft_fields
from traitscope.study import Study
from traitscope.study.checking import check_study
from traitscope.study.progress import Silent
from traitscope.study.roles import study_roles
from traitscope.study.unwritten import unwritten_study

KINDS = [*SIDE_BY_SIDE, *MERGED]
STUDY = """\
study: rows
base: {{model: {base}, dtype: fp32}}
tasks:
  tone:
    data: {{path: {{eval: tone-eval.jsonl}}, eval: 6}}
    prompt: "{{{{ text }}}} is"
    answer: {{choice: [" bad", " good"], gold: "{{{{ label }}}}"}}
compute: {{device: cpu, threads: 1, workers: 1}}
"""


@pytest.fixture(scope="module")
def rows(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of one adapter of every kind, run."""
    folder = tmp_path_factory.mktemp("rows")
    file = tiny.make_study(folder, base, STUDY)
    for kind in KINDS:
        foreign.make_adapter(kind, base, folder / kind)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TRAITSCOPE_CACHE", str(folder / "cache"))
        named = ", ".join(f"{kind}-row: {kind}" for kind in KINDS)
        file.write_text(f"{file.read_text()}models: {{{named}}}\n")
        study = Study.open(file)
        check_study(study)
        study.run()
        assert Study.open(file).run() is None
    return study


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_answers_as_pefts_own_model_does(kind: str, rows: Study, base: Path) -> None:
    root, records = rows.config.root, rows.records(f"{kind}-row", "tone")
    prompts = foreign.tone_prompts(root, records["id"])
    theirs = foreign.option_logprobs(*foreign.peft_model(base, root / kind), prompts, [" bad", " good"])
    ours = records["logprobs"]
    for mine, wanted in zip(ours, theirs, strict=True):
        assert list(mine) == pytest.approx(wanted, abs=2e-4)
    alone = rows.records("base", "tone")["logprobs"]
    assert max(abs(a - b) for one, two in zip(ours, alone, strict=True) for a, b in zip(one, two, strict=True)) > 0.003


def answers(study: Study, name: str) -> list[float]:
    return [value for row in study.records(name, "tone")["logprobs"] for value in row]


def test_models_merged_by_their_users_answer_as_the_adapters_do(rows: Study, base: Path, tmp_path: Path) -> None:
    file = tiny.make_study(tmp_path, base, STUDY)
    for kind in ("plain", "dora", "added-tokens"):
        foreign.merged_model(base, rows.config.root / kind, tmp_path / f"whole-{kind}")
    file.write_text(f"{file.read_text()}models: {{one: whole-plain, two: whole-dora, three: whole-added-tokens}}\n")
    study = Study.open(file)
    study.run()
    for name, kind in (("one", "plain"), ("two", "dora"), ("three", "added-tokens")):
        assert answers(study, name) == pytest.approx(answers(rows, f"{kind}-row"), abs=2e-4)


def test_full_models_of_another_size_and_with_a_head_of_their_own_are_rows(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = tiny.make_study(tmp_path, base, STUDY)
    model = AutoModelForCausalLM.from_pretrained(base)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach() * 1.5)
    model.save_pretrained(tmp_path / "untied")
    tiny.make_base(tmp_path / "deeper", seed=3, layers=3)
    shutil.copy(base / "tokenizer.json", tmp_path / "untied")
    shutil.copy(base / "tokenizer_config.json", tmp_path / "untied")
    file.write_text(f"{file.read_text()}models: {{untied: untied, deeper: deeper}}\n")
    study = Study.open(file)
    study.run()
    for name in ("untied", "deeper"):
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / name, dtype=torch.float32).eval()
        prompts = foreign.tone_prompts(tmp_path, study.records(name, "tone")["id"])
        wanted = foreign.option_logprobs(theirs, AutoTokenizer.from_pretrained(base), prompts, [" bad", " good"])
        assert answers(study, name) == pytest.approx([v for row in wanted for v in row], abs=2e-4)


def test_an_adapter_is_merged_once_and_anew_when_its_files_change(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    file = tiny.make_study(tmp_path, base, STUDY)
    foreign.make_adapter("dora", base, tmp_path / "dora")
    made = []
    merge = store_merged._merge_into
    monkeypatch.setattr(store_merged, "_merge_into", lambda *given: (made.append(given[1].name), merge(*given)))
    file.write_text(f"{file.read_text()}models: {{other: dora}}\n")
    Study.open(file).run()
    Study.open(file).run()
    assert made == ["dora"]
    (folder,) = [path for path in (tmp_path / "cache/merged").iterdir() if path.is_dir()]
    (folder / "model.safetensors").unlink()
    assert Study.open(file).run() is None and made == ["dora", "dora"]
    foreign.make_adapter("head", base, tmp_path / "dora")
    with pytest.raises(TraitscopeError, match="the study changed since 1 cell"):
        Study.open(file).run()
    study = Study.open(file)
    study.run(replace=True)
    prompts = foreign.tone_prompts(tmp_path, study.records("other", "tone")["id"])
    theirs = foreign.option_logprobs(*foreign.peft_model(base, tmp_path / "dora"), prompts, [" bad", " good"])
    assert answers(study, "other") == pytest.approx([value for row in theirs for value in row], abs=2e-4)


def test_tokens_that_an_adapter_added_are_read_as_tokens(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    file = tiny.make_study(tmp_path, base, STUDY.replace("}}}} is", "}}}}<think> is"))
    foreign.make_adapter("added-tokens", base, tmp_path / "thinks")
    file.write_text(f"{file.read_text()}models: {{other: thinks}}\n")
    study = Study.open(file)
    study.run()
    prompts = foreign.tone_prompts(tmp_path, study.records("other", "tone")["id"])
    model, tokenizer = foreign.peft_model(base, tmp_path / "thinks")
    thinking = [prompt.replace(" is", "<think> is") for prompt in prompts]
    assert len(tokenizer(thinking[0]).input_ids) == len(tokenizer(prompts[0]).input_ids) + 1
    theirs = foreign.option_logprobs(model, tokenizer, thinking, [" bad", " good"])
    assert answers(study, "other") == pytest.approx([value for row in theirs for value in row], abs=2e-4)


UNMERGEABLE = {
    "a prompt": ({"peft_type": "PROMPT_TUNING"}, "PEFT type PROMPT_TUNING", "cannot be merged: train a LoRA"),
    "an unknown method": ({"peft_type": "POLY"}, "PEFT type POLY", "merge it in PEFT"),
    "layers twice": ({"layer_replication": [[0, 2], [1, 2]]}, "layer replication", "merge it in PEFT"),
    "biases without a bias": ({"lora_bias": True}, "cannot merge it into", "train it as a plain LoRA"),
    "another task": ({"use_dora": True, "task_type": "SEQ_CLS"}, "task_type: SEQ_CLS", "CAUSAL_LM"),
    "base-changing start": ({"use_dora": True, "init_lora_weights": "olora"}, "init_lora_weights: olora", "convert it"),
    "a search without end": (
        {"use_dora": True, "target_modules": r"(.|\w)+(?<=5)"}, "takes too long", "write the modules' names",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNMERGEABLE)
def test_what_can_neither_run_nor_be_merged_is_refused_before_anything_is_made(
    name: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("traitscope.store.patterns.SECONDS", 0.2)
    changes, what, fix = UNMERGEABLE[name]
    file = tiny.make_study(tmp_path, base, STUDY)
    foreign.make_adapter("plain", base, tmp_path / "other")
    path = tmp_path / "other/adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    file.write_text(f"{file.read_text()}models: {{other: other}}\n")
    for act in (lambda: check_study(Study.open(file)), lambda: Study.open(file).run()):
        with pytest.raises(TraitscopeError) as caught:
            act()
        assert what in caught.value.what and fix in str(caught.value), caught.value
        assert "other" in str(caught.value.where) or "other" in caught.value.what
    assert not (tmp_path / "runs").exists()
    assert not [path for path in (tmp_path / "cache").glob("merged/*") if path.is_dir()]


def test_a_merge_that_is_another_function_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    foreign.make_adapter("lora-on-head", base, tmp_path / "other")
    # Without it the tied embedding takes up what was trained on the head.
    monkeypatch.setattr(store_merged, "_part", lambda model: None)
    with pytest.raises(TraitscopeError, match="another function: log-probabilities differ by"):
        store_merged.merged(tmp_path / "other", base)


def test_an_adapter_of_another_base_is_told_and_scored(base: Path, tmp_path: Path) -> None:
    heard = []
    reporter = type("Heard", (Silent,), {"note": lambda self, text: heard.append(text)})()
    tiny.make_base(tmp_path / "elsewhere", seed=5)
    for name, place in (("same", base), ("strange", tmp_path / "elsewhere")):
        foreign.make_adapter("plain", place, tmp_path / name)
    file = tiny.make_study(tmp_path, base, STUDY)
    file.write_text(f"{file.read_text()}models: {{one: same, two: strange}}\n")
    study = Study.open(file, report=reporter)
    study.run()
    assert [text for text in heard if "trained on" in text] == [
        f"two was trained on {tmp_path / 'elsewhere'}, and is scored on {base}"
    ]
    assert len(study.score_table().model.unique()) == 3


def test_a_folder_of_several_adapters_is_refused_with_their_names(base: Path, tmp_path: Path) -> None:
    file = tiny.make_study(tmp_path, base, STUDY)
    for name in ("default", "second"):
        foreign.make_adapter("plain", base, tmp_path / "loras" / name)
    text = file.read_text()
    file.write_text(f"{text}models: {{other: loras}}\n")
    with pytest.raises(TraitscopeError, match=r"one of the adapters in it \(default, second\)"):
        check_study(Study.open(file))
    file.write_text(f"{text}models: {{other: loras/second}}\n")
    check_study(Study.open(file))


def test_the_page_names_every_way_and_its_examples_are_read(base: Path, tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/models.md").read_text()
    others = page[page.index("## Adapters and models of others") : page.index("## GGUF files")]
    row = re.search(r"^\| LoRA with DoRA.*$", others, re.MULTILINE)
    assert row is not None and all(f"`{key}`" in row[0] for key in peft_fields.MERGED)
    for method in peft_fields.MERGED_METHODS:
        assert method.replace("_", " ").lower() in others.lower(), method
    models, tasks = re.findall(r"```yaml\n(.*?)```", others, re.DOTALL)
    tiny.make_tasks(tmp_path)
    study = {"study": "s", "tasks": {"gsm8k": {"data": {"path": "x.jsonl"}, "answer": {"loss": "{{ text }}"}}}}
    config = StudyConfig(**study, **yaml.safe_load(models))
    assert study_roles(config)["maths"].own == {"gsm8k"} and "chat" not in study_roles(config)
    (tmp_path / "t.yaml").write_text(tasks)
    (tmp_path / "lora").mkdir()
    foreign.make_adapter("plain", base, tmp_path / "lora/one")
    found = unwritten_study(tmp_path / "t.yaml", base=str(base), adapters=[str(tmp_path / "lora")], out=None)
    assert list(found.config.tasks) == ["reviews"] and found.rows == ("one",)
