"""The belt of a study, from its cells to a folder that is loaded again, routes prompts and answers them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from backends import Idle

import traitscope as ts
from traitscope.errors import TraitscopeError
from traitscope.study import Study, belting
from traitscope.study.belt_answers import study_evidence
from traitscope.study.exporting import export_belt

PROMPTS = ["eval 3 dull rude is", "e5: 12+7=", "story 2: the warm day", "eval 4 fine kind is"]


@pytest.fixture(scope="module")
def study_file(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled study of this module's own."""
    folder = tmp_path_factory.mktemp("belt") / "study"
    shutil.copytree(filled, folder)
    return folder / "study.yaml"


@pytest.fixture(scope="module")
def found(study_file: Path) -> ts.BeltFindings:
    """A belt of two adapters, whatever they are worth."""
    return Study.open(study_file).belt(size=2, merge=("linear", "ties"))


@pytest.fixture(scope="module")
def shipped(study_file: Path, found: ts.BeltFindings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "belt"
    export_belt(Study.open(study_file), found, out)
    return out


def alone(base: Path, adapter: Path | None):
    """The base in transformers, with an adapter in PEFT, and the tokenizer."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base)
    model = model if adapter is None else PeftModel.from_pretrained(model, str(adapter))
    return model.eval(), AutoTokenizer.from_pretrained(base)


def test_halves_hold_what_the_records_say(study_file: Path) -> None:
    evidence = study_evidence(Study.open(study_file), 0)
    assert evidence.models == ("base", "tone-s0", "sums-s0", "all-s0")
    assert evidence.kinds == ("base", "source", "source", "mix")
    assert any("tone.mislabel-s0" in note for note in evidence.notes)
    folder = study_file.parent / "runs/tiny/cells"
    for one in evidence.answers:
        for i, model in enumerate(evidence.models):
            frame = pd.read_parquet(folder / model / one.task / "examples.parquet").set_index("id").loc[list(one.ids)]
            wanted = -frame["loss"] if one.task == "story" else frame["correct"]
            np.testing.assert_allclose(one.values_IS[i], wanted.to_numpy(dtype=float))
            if one.task != "story":
                n = evidence.tasks.index(one.task)
                assert evidence.choose_IN[i, n] == pytest.approx(100 * wanted[one.choosing_S].mean())
                assert evidence.judge_IN[i, n] == pytest.approx(100 * wanted[~one.choosing_S].mean())


def test_merged_adapters_are_further_models_and_peft_loads_them(
    study_file: Path, found: ts.BeltFindings, base: Path
) -> None:
    folder = study_file.parent / "runs/tiny"
    assert set(found.merged) == {"merged-linear", "merged-ties"}
    assert {f"merged {name}" for name in found.merged} < set(found.choice.alternatives["what"])
    shares = found.merged["merged-linear"]
    assert sum(shares.values()) == pytest.approx(1)
    merged, _ = alone(base, folder / "belt/merged-linear")
    name = "model.layers.1.self_attn.q_proj"
    total = 0.0
    for part, share in shares.items():
        model, _ = alone(base, folder / "adapters" / part)
        total = total + share * model.get_submodule(f"base_model.model.{name}").get_delta_weight("default")
    update = merged.get_submodule(f"base_model.model.{name}").get_delta_weight("default")
    torch.testing.assert_close(update, total, atol=1e-7, rtol=1e-5)


def test_what_was_found_is_found_again_without_a_model(study_file: Path, found: ts.BeltFindings) -> None:
    again = Study.open(study_file, backend=Idle()).belt(size=2, merge=("linear", "ties"))
    assert again.to_json() == found.to_json() == ts.BeltFindings.from_json(found.to_json()).to_json()


def test_a_merged_adapter_that_is_gone_is_made_again(study_file: Path, tmp_path: Path) -> None:
    shutil.copytree(study_file.parent, tmp_path / "copy")
    study = Study.open(tmp_path / "copy/study.yaml")
    study.belt(size=2)
    weights = study.folder.root / "belt/merged-linear/adapter_model.safetensors"
    before = weights.read_bytes()
    shutil.rmtree(study.folder.root / "belt")
    study.belt(size=2)
    assert weights.read_bytes() == before


def test_no_router_needs_no_model(study_file: Path) -> None:
    choice = Study.open(study_file, backend=Idle()).belt(rule=None, merge=()).choice
    assert choice.basis == "rows" and set(choice.serves) == {"tone", "sums", "story"}


def test_a_merge_by_gain_leaves_out_who_gains_nothing() -> None:
    from traitscope.belt import Evidence

    scores_IN = np.array([[10.0, 10], [30, 10], [10, 20], [0, 10]])
    evidence = Evidence(("base", "a", "b", "c"), ("base", *["source"] * 3), ("t", "u"), scores_IN, scores_IN, "rows")
    assert belting._shares(evidence, [1, 2, 3], "gain") == pytest.approx([2 / 3, 1 / 3, 0])
    assert belting._shares(evidence, [1, 3], "equal") == [0.5, 0.5]


def test_the_folder_holds_peft_adapters_and_no_path_of_this_machine(
    shipped: Path, found: ts.BeltFindings, base: Path
) -> None:
    content = json.loads((shipped / "belt.json").read_text())
    assert list(content["adapters"]) == list(found.choice.models)
    assert content["base"]["local"] and content["base"]["model"] == base.name
    assert {path.suffix for path in shipped.rglob("*") if path.is_file()} == {".json", ".md", ".safetensors"}
    for path in [*shipped.rglob("*.json"), *shipped.rglob("*.md")]:
        assert str(base.parent) not in path.read_text() and str(shipped.parent) not in path.read_text(), path
    served = {task: name for name, part in content["adapters"].items() for task in part["serves"]}
    assert served == {task: name for task, name in found.choice.serves.items() if name != "base"}


def test_the_command_for_vllm_names_every_adapter_and_a_rank_that_is_enough(shipped: Path) -> None:
    command = ts.Belt.load(shipped).vllm_command
    words = command.replace("\\\n", " ").split()
    assert words[:3] == ["vllm", "serve", "BASE"] and "--enable-lora" in words
    modules = dict(word.split("=") for word in words[words.index("--lora-modules") + 1 :])
    ranks = []
    for folder in modules.values():
        config = json.loads((shipped / folder / "adapter_config.json").read_text())
        ranks += [config["r"], *config["rank_pattern"].values()]
    assert int(words[words.index("--max-lora-rank") + 1]) >= max(ranks)
    assert command in (shipped / "README.md").read_text()


def test_prompts_are_routed_by_the_states_that_transformers_gives(
    shipped: Path, found: ts.BeltFindings, base: Path
) -> None:
    model, tokenizer = alone(base, None)
    states = []
    for prompt in PROMPTS:
        with torch.no_grad():
            out = model(**tokenizer(prompt, return_tensors="pt"), output_hidden_states=True)
        states.append(out.hidden_states[1][0].mean(dim=0).double().numpy())
    router = found.routers["centroid"]
    scaled = (np.array(states) - router.arrays["centre_D"]) / router.arrays["spread_D"]
    centroids = router.arrays["centroids_PD"]
    cosines = scaled @ centroids.T / np.linalg.norm(scaled, axis=1)[:, None] / np.linalg.norm(centroids, axis=1)
    routed = ts.Belt.load(shipped, base=base).route([f"{prompt} " for prompt in PROMPTS])
    for one, cosine_P in zip(routed, cosines, strict=True):
        place = int(cosine_P.argmax())
        assert one.place == router.places[place] == ("tone", "sums")[place]
        assert one.distance == pytest.approx(1 - cosine_P.max(), abs=1e-5)
        assert one.model == (router.serves[place] if one.distance <= router.far else "base")


@pytest.mark.parametrize("routed", [True, False])
def test_every_prompt_is_answered_as_peft_alone_answers_it(shipped: Path, base: Path, routed: bool) -> None:
    belt = ts.Belt.load(shipped, base=base)
    first, second = belt.models[:2]
    models = [one.model for one in belt.route(PROMPTS)] if routed else [first, second, "base", first]
    made = belt.generate(PROMPTS, 8) if routed else belt.generate(PROMPTS, 8, models=models)
    for prompt, name, answer in zip(PROMPTS, models, made, strict=True):
        model, tokenizer = alone(base, None if name == "base" else shipped / "adapters" / name)
        ids = tokenizer(prompt, return_tensors="pt")
        out = model.generate(**ids, max_new_tokens=8, do_sample=False, pad_token_id=1)[0, ids["input_ids"].shape[1] :]
        assert list(answer.ids) == [token for token in out.tolist() if token != tokenizer.eos_token_id]
    assert belt.generate([], 8) == [] and belt.route([]) == []


def test_arrow_is_exported_and_routes_by_the_adapters_alone(study_file: Path, base: Path, tmp_path: Path) -> None:
    study = Study.open(study_file)
    found = study.belt(size=2, rule="arrow", merge=())
    assert set(found.routers["arrow"].places) == set(found.choice.models)
    export_belt(study, found, tmp_path / "belt")
    routed = ts.Belt.load(tmp_path / "belt", base=base).route(PROMPTS)
    assert {one.place for one in routed} <= set(found.choice.models)
    assert all(np.isfinite(one.distance) for one in routed)


def test_another_base_is_refused(shipped: Path, tmp_path: Path) -> None:
    other = tiny.make_base(tmp_path / "other", seed=1)
    with pytest.raises(TraitscopeError, match="another base"):
        ts.Belt.load(shipped, base=other).route(PROMPTS)
    with pytest.raises(TraitscopeError, match="its base is a folder"):
        ts.Belt.load(shipped).route(PROMPTS)


def test_what_is_no_belt_is_refused_and_never_overwritten(
    study_file: Path, found: ts.BeltFindings, shipped: Path, tmp_path: Path
) -> None:
    with pytest.raises(TraitscopeError, match=r"belt\.json: cannot be read"):
        ts.Belt.load(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TraitscopeError, match="is no belt"):
        export_belt(Study.open(study_file), found, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    before = (shipped / "belt.json").read_bytes()
    export_belt(Study.open(study_file), found, shipped)
    assert (shipped / "belt.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rule": "nearest"}, "unknown router 'nearest'"),
        ({"weights": "best"}, "unknown weights 'best'"),
        ({"size": 2, "merge": ("mean",)}, "unknown way to merge 'mean'"),
        ({"size": 7}, "7 of 3 adapters"),
    ],
)
def test_unknown_options_are_refused(study_file: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(TraitscopeError, match=words):
        Study.open(study_file).belt(**options)


def test_an_export_never_removes_what_it_did_not_write(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled, tmp_path / "copy")
    study = Study.open(tmp_path / "copy" / "study.yaml")
    found = study.belt(size=1, merge=(), rule=None)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "belt.json").write_text("{}")
    (tmp_path / "out" / "thesis.txt").write_text("x")
    with pytest.raises(TraitscopeError, match="is no belt"):
        export_belt(study, found, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "x"
