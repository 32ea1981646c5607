"""Adapters and models that were made elsewhere, as rows: what PEFT says of a task by hand is what the cells hold."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import foreign
import pytest
import tiny
import torch
import yaml
from foreign import MERGED, SIDE_BY_SIDE
from safetensors.torch import load_file, save_file

from traitscope.config import StudyConfig
from traitscope.errors import TraitscopeError
from traitscope.store import merged as store_merged
from traitscope.store import peft_fields
from traitscope.store.models import ModelSource, base_identity, model_identity
from traitscope.store.weights import read_header
from traitscope.study import Study
from traitscope.study.checking import check_study
from traitscope.study.progress import Silent
from traitscope.study.roles import study_roles
from traitscope.study.unwritten import unwritten_study

# Every way to merge once; all methods of PEFT are for ``make verify``.
QUICK = [*SIDE_BY_SIDE, "dora", "both", "tokens", "lora-on-embedding", "lora-on-tied-head", "added-tokens", "ia3"]
REST = [kind for kind in MERGED if kind not in QUICK]
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
    """A study of one adapter of every way, run."""
    return study_of(QUICK, base, tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def more_rows(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The same of all other kinds."""
    return study_of(REST, base, tmp_path_factory.mktemp("rows"))


def study_of(kinds: list[str], base: Path, folder: Path) -> Study:
    file = tiny.make_study(folder, base, STUDY)
    for kind in kinds:
        foreign.make_adapter(kind, base, folder / kind)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TRAITSCOPE_CACHE", str(folder / "cache"))
        named = ", ".join(f"{kind}-row: {kind}" for kind in kinds)
        file.write_text(f"{file.read_text()}models: {{{named}}}\n")
        study = Study.open(file)
        check_study(study)
        study.run()
        assert Study.open(file).run() is None
    return study


@pytest.mark.parametrize("kind", [*QUICK, *(pytest.param(kind, marks=pytest.mark.verify) for kind in REST)])
def test_a_row_answers_as_pefts_own_model_does(kind: str, base: Path, request: pytest.FixtureRequest) -> None:
    rows: Study = request.getfixturevalue("rows" if kind in QUICK else "more_rows")
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
    "a prompt": ({"peft_type": "PROMPT_TUNING"}, "PEFT type PROMPT_TUNING", "train a LoRA"),
    "an unknown method": ({"peft_type": "POLY"}, "POLY (peft_type), which cannot be merged", "train a LoRA"),
    "what PEFT cannot merge": ({"peft_type": "LILY"}, "LILY (peft_type), which cannot be merged", "train a LoRA"),
    "layers twice": ({"layer_replication": [[0, 2], [1, 2]]}, "layer replication", "merge it in PEFT"),
    "biases that are not there": ({"lora_bias": True}, "its file lacks 4 tensors", "save the adapter again"),
    "another task": ({"use_dora": True, "task_type": "SEQ_CLS"}, "task_type: SEQ_CLS", "CAUSAL_LM"),
    "base-changing start": ({"use_dora": True, "init_lora_weights": "olora"}, "init_lora_weights: olora", "convert it"),
    "a search without end": (
        {"use_dora": True, "target_modules": r"(.|\w)+(?<=5)"}, "takes too long", "write the modules' names",
    ),
    "one for ranks": (
        {"use_dora": True, "rank_pattern": {r"(.|\w)+(?<=5)": 4}}, "takes too long", "write the modules' names",
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


def weights(*dropped: str, **added: int) -> Callable[[Path], None]:
    """Takes all tensors out of an adapter in whose names one of these words is, and adds vectors of zeros."""

    def change(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        kept = {name: one for name, one in load_file(path).items() if not any(word in name for word in dropped)}
        save_file({**kept, **{name: torch.zeros(n) for name, n in added.items()}}, path, metadata={"format": "pt"})

    return change


def rows_of(word: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    """Changes all tensors of an adapter in whose names this word is."""

    def act(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        changed = {name: change(one) if word in name else one for name, one in load_file(path).items()}
        save_file({name: one.contiguous() for name, one in changed.items()}, path, metadata={"format": "pt"})

    return act


def more(rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([rows, rows[:8]])


DEEPER = "base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight"
DAMAGED = {
    "no A": ("dora", weights("lora_A"), "lacks 4 tensors"),
    "one A": ("dora", weights("layers.0.mlp.down_proj.lora_A"), "lacks 1 tensor of the adapter ('base_model.model."),
    "no B": ("dora", weights("lora_B"), "lacks 4 tensors"),
    "no magnitudes": ("dora", weights("magnitude"), "lacks 4 tensors"),
    "a vector": ("ia3", weights("layers.0.mlp.down_proj"), "lacks 1 tensor"),
    "a head": ("both", weights("lm_head"), "lacks 1 tensor of the adapter ('base_model.model.lm_head.weight')"),
    "tokens": ("tokens", weights("token_adapter"), "lacks 1 tensor"),
    "half of an embedding's": ("lora-on-embedding", weights("lora_embedding_A"), "lacks 1 tensor"),
    "a layer too many": ("dora", weights(**{DEEPER: 8}), f"no place for 1 tensor of the adapter ('{DEEPER}')"),
    "another tensor": ("plain", weights(whatever=2), "no place for 1 tensor of the adapter ('whatever')"),
    "rows of a head": ("both", rows_of("embed_tokens", more), "size mismatch"),
    "rows of a head alone": (
        "embedding",
        rows_of("embed_tokens", more),
        "lacks their rows of the head",
    ),
    "rows of an embedding": ("head", rows_of("lm_head", more), "lacks their rows of the embedding"),
    "rows for most tokens": ("embedding", rows_of("embed_tokens", lambda one: one[:100]), "100 rows of embedding"),
    "whole numbers": ("dora", rows_of("0.mlp.down_proj.lora_A", torch.Tensor.int), "as I32: whole numbers are no w"),
    "an embedding of them": ("added-tokens", rows_of("embed_tokens", torch.Tensor.int), "as I32: whole numbers"),
    "vectors of them": ("ia3", rows_of("layers.1", torch.Tensor.int), "as I32: whole numbers"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_a_file_lacks_is_not_drawn_at_random_and_what_it_has_is_not_dropped(
    name: str, base: Path, rows: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    kind, change, what = DAMAGED[name]
    if kind in QUICK:
        shutil.copytree(rows.config.root / kind, tmp_path / "other")
    else:
        foreign.make_adapter(kind, base, tmp_path / "other")
    change(tmp_path / "other")
    assert store_merged.must_be_merged(tmp_path / "other")
    with pytest.raises(TraitscopeError) as caught:
        store_merged.merged(tmp_path / "other", base)
    assert what in caught.value.what and ("save the adapter again" in str(caught.value) or "mismatch" in what)
    assert not [path for path in (tmp_path / "cache").glob("merged/*") if path.is_dir()]


@pytest.mark.parametrize(("lacking", "part"), [("lm_head", "head"), ("embed_tokens", "embedding")])
def test_where_a_file_has_one_of_two_that_are_tied_the_other_follows_as_in_peft(
    lacking: str, part: str, base: Path, rows: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    shutil.copytree(rows.config.root / "added-tokens", tmp_path / "other")
    weights(lacking)(tmp_path / "other")
    ids = torch.arange(200, 260)[None]
    beside, _ = foreign.peft_model(base, tmp_path / "other")
    ours = AutoModelForCausalLM.from_pretrained(store_merged.merged(tmp_path / "other", base), dtype=torch.float32)
    assert torch.allclose(ours(input_ids=ids).logits, beside(input_ids=ids).logits, atol=1e-4)
    # Of a base whose head is its own nobody can say what the missing rows are.
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach() * 1.5)
    shutil.copytree(base, tmp_path / "untied")
    model.save_pretrained(tmp_path / "untied")
    with pytest.raises(TraitscopeError, match=f"lacks their rows of the {part}"):
        store_merged.merged(tmp_path / "other", tmp_path / "untied")


def test_a_head_that_is_the_embedding_is_saved_once(
    base: Path, rows: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    for kind, own in (("dora", False), ("added-tokens", False), ("both", True)):
        made = store_merged.merged(rows.config.root / kind, base)
        assert ("lm_head.weight" in read_header(made / "model.safetensors")) == own, kind


@pytest.mark.parametrize(("kind", "what"), [("dora", "tensors"), ("ia3", "tensors"), ("norms", "tensor")])
def test_an_adapter_of_a_model_with_more_or_fewer_layers_is_refused(
    kind: str, what: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    three = tiny.make_base(tmp_path / "three", layers=3)
    for place, told in ((three, "its base has no place for"), (base, "its file lacks")):
        foreign.make_adapter(kind, place, tmp_path / place.name)
        with pytest.raises(TraitscopeError, match=rf"{told} \d {what} of the adapter .*layers\.2\."):
            store_merged.merged(tmp_path / place.name, base if place is three else three)


def test_a_plain_adapter_of_a_shallower_model_is_told_and_scored(base: Path, rows: Study, tmp_path: Path) -> None:
    heard = []
    reporter = type("Heard", (Silent,), {"note": lambda self, text: heard.append(text)})()
    deeper = tiny.make_base(tmp_path / "deeper", layers=3)
    file = tiny.make_study(tmp_path, deeper, STUDY)
    for kind in ("plain", "two-layers"):
        shutil.copytree(rows.config.root / kind, tmp_path / kind)
    file.write_text(f"{file.read_text()}models: {{one: plain, two: two-layers}}\n")
    check_study(Study.open(file, report=reporter))
    # The other one says which layers it adapts.
    assert [text.split(",")[0] for text in heard if "layers" in text] == [
        "one has no weights for 2 of the 6 linear layers that its configuration names (model.layers.2.self_attn.q_proj)"
    ]


@pytest.mark.parametrize(
    ("dropped", "told"), [("down_proj", "2 of the 4"), ("layers.0.self_attn.q_proj", "1 of the 4"), ("none", "")]
)
def test_a_plain_adapter_that_lost_weights_is_told(
    dropped: str, told: str, base: Path, rows: Study, tmp_path: Path
) -> None:
    heard = []
    reporter = type("Heard", (Silent,), {"note": lambda self, text: heard.append(text)})()
    file = tiny.make_study(tmp_path, base, STUDY)
    shutil.copytree(rows.config.root / "plain", tmp_path / "plain")
    weights(dropped)(tmp_path / "plain")
    file.write_text(f"{file.read_text()}models: {{one: plain, two: {rows.config.root / 'patterns'}}}\n")
    check_study(Study.open(file, report=reporter))
    found = [text for text in heard if "no weights" in text]
    assert [f"one has no weights for {told} linear" in text for text in found] == [True] * bool(told)


def test_adapters_of_experts_in_one_tensor_are_merged(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM, MixtralConfig

    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MixtralConfig(vocab_size=300, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "experts")
    for path in base.glob("token*"):
        shutil.copy(path, tmp_path / "experts")
    monkeypatch.setitem(MERGED, "experts", lambda: foreign.lora(target_modules="all-linear"))
    foreign.make_adapter("experts", tmp_path / "experts", tmp_path / "other")
    assert store_merged.must_be_merged(tmp_path / "other")
    ids = torch.arange(40)[None]
    beside, _ = foreign.peft_model(tmp_path / "experts", tmp_path / "other")
    alone = AutoModelForCausalLM.from_pretrained(tmp_path / "experts", dtype=torch.float32)
    made = store_merged.merged(tmp_path / "other", tmp_path / "experts")
    ours = AutoModelForCausalLM.from_pretrained(made, dtype=torch.float32)(input_ids=ids).logits
    assert torch.allclose(ours, beside(input_ids=ids).logits, atol=1e-4)
    assert not torch.allclose(ours, alone(input_ids=ids).logits, atol=1e-2)


def test_all_methods_that_are_merged_are_tried() -> None:
    tried = {str(getattr(make().peft_type, "value", make().peft_type)) for make in MERGED.values()}
    assert tried - {"LORA"} == peft_fields.MERGED_METHODS


def test_a_merged_model_is_of_its_base_and_its_tokenizer_too(
    base: Path, rows: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    other_base = tiny.make_base(tmp_path / "elsewhere", seed=5)
    folder = tmp_path / "thinks"
    shutil.copytree(rows.config.root / "added-tokens", folder)
    found = [store_merged.merged(folder, base), store_merged.merged(folder, other_base)]
    sources = [ModelSource(str(place), dtype="fp32") for place in (base, other_base)]
    identities = [model_identity(ModelSource(str(folder)), base_identity(one, None), None) for one in sources]
    assert all(one.onto is not None for one in identities) and len({one.fingerprint for one in identities}) == 2
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "added_by_a_test": 1}))
    found.append(store_merged.merged(folder, base))
    assert len(set(found)) == 3
    assert model_identity(ModelSource(str(folder)), base_identity(sources[0], None), None) != identities[0]


def test_a_merge_that_is_another_function_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    foreign.make_adapter("lora-on-head", base, tmp_path / "other")
    # Without it the tied embedding takes up what was trained on the head.
    with monkeypatch.context() as patched:
        patched.setattr(store_merged, "_part", lambda given, head: None)
        with pytest.raises(TraitscopeError, match="another function: log-probabilities differ by"):
            store_merged.merged(tmp_path / "other", base)
    # A hundredth off, as where a factor is rounded, is another function too.
    tell = store_merged._tell_ties
    monkeypatch.setattr(
        store_merged, "_tell_ties", lambda model: (model.model.norm.weight.data.mul_(1.01), tell(model))
    )
    with pytest.raises(TraitscopeError, match=r"log-probabilities differ by 0\.[01]\d+ nats"):
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
