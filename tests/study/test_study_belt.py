"""The belt of a study, from its cells to a folder that is loaded again, routes prompts and answers them."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from backends import Changed, Idle

import traitscope as ts
from traitscope import compute
from traitscope.compute import Capture
from traitscope.errors import TraitscopeError
from traitscope.study import Study, belting, merging
from traitscope.study.belt_answers import class_codes, study_split
from traitscope.study.belt_file import vllm_command
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

    model = AutoModelForCausalLM.from_pretrained(base, trust_remote_code=False)
    model = model if adapter is None else PeftModel.from_pretrained(model, str(adapter))
    return model.eval(), AutoTokenizer.from_pretrained(base, trust_remote_code=False)


def update(base: Path, adapter: Path) -> torch.Tensor:
    """What an adapter adds to one module, by PEFT."""
    model, _ = alone(base, adapter)
    name = "base_model.model.model.layers.1.self_attn.q_proj"
    return model.get_submodule(name).get_delta_weight("default").detach()


def test_halves_hold_what_the_records_say(study_file: Path) -> None:
    halved = study_split(Study.open(study_file), 0)
    assert halved.models == ("base", "tone-s0", "sums-s0", "all-s0")
    assert halved.kinds == ("base", "source", "source", "mix")
    assert any("tone.mislabel-s0" in note for note in halved.notes)
    folder = study_file.parent / "runs/tiny/cells"
    for one in halved.answers:
        for i, model in enumerate(halved.models):
            frame = pd.read_parquet(folder / model / one.task / "examples.parquet").set_index("id").loc[list(one.ids)]
            wanted = -frame["loss"] if one.task == "story" else frame["correct"]
            np.testing.assert_allclose(one.values_IS[i], wanted.to_numpy(dtype=float))
            if one.task != "story":
                n = halved.tasks.index(one.task)
                assert halved.choose_IN[i, n] == pytest.approx(100 * wanted[one.choosing_S].mean())
                assert halved.judge_IN[i, n] == pytest.approx(100 * wanted[~one.choosing_S].mean())


def test_merged_adapters_are_further_models_and_peft_loads_them(
    study_file: Path, found: ts.BeltFindings, base: Path
) -> None:
    folder = study_file.parent / "runs/tiny"
    linear, ties = found.merged
    assert linear.startswith("merged-linear-") and ties.startswith("merged-ties-")
    assert {f"merged {name}" for name in found.merged} < set(found.choice.alternatives["what"])
    shares = found.merged[linear]
    assert sum(shares.values()) == pytest.approx(1)
    parts = [update(base, folder / "adapters" / part) for part in shares]
    total = sum(share * part for share, part in zip(shares.values(), parts, strict=True))
    torch.testing.assert_close(update(base, folder / "belt" / linear), total, atol=1e-7, rtol=1e-5)
    # TIES by its paper: the larger half of each update, the majority's sign, the mean of what agrees; then the rank.
    kept = [torch.where(part.abs() >= part.abs().flatten().median(), part, 0.0) for part in parts]
    sign = torch.sign(sum(kept))
    agree = [(torch.sign(part) == sign) & (part != 0) for part in kept]
    total = sum(torch.where(where, part, 0.0) for where, part in zip(agree, kept, strict=True))
    mean = total / sum(where.double() for where in agree).clamp(min=1)
    u, s, v = torch.linalg.svd(mean.double())
    best = u[:, :4] @ torch.diag(s[:4]) @ v[:4]
    found_update = update(base, folder / "belt" / ties).double()
    # PEFT keeps one entry more or less at the median.
    assert torch.linalg.norm(found_update - best) < 0.05 * torch.linalg.norm(best)


def test_what_was_found_is_found_again_without_a_model(study_file: Path, found: ts.BeltFindings) -> None:
    again = Study.open(study_file, backend=Idle()).belt(size=2, merge=("linear", "ties"))
    assert again.to_json() == found.to_json() == ts.BeltFindings.from_json(found.to_json()).to_json()


def test_a_merged_adapter_that_is_gone_is_made_again(study_file: Path, tmp_path: Path) -> None:
    shutil.copytree(study_file.parent, tmp_path / "copy")
    study = Study.open(tmp_path / "copy/study.yaml")
    (name,) = study.belt(size=2).merged
    weights = study.folder.root / "belt" / name / "adapter_model.safetensors"
    before = weights.read_bytes()
    shutil.rmtree(study.folder.root / "belt")
    study.belt(size=2)
    assert weights.read_bytes() == before


def test_no_router_needs_no_model(study_file: Path) -> None:
    choice = Study.open(study_file, backend=Idle()).belt(rule=None, merge=()).choice
    assert choice.basis == "rows" and set(choice.serves) == {"tone", "sums", "story"}


def test_a_merge_by_gain_leaves_out_who_gains_nothing() -> None:
    from traitscope.belt import SplitScores

    scores_IN = np.array([[10.0, 10], [30, 10], [10, 20], [0, 10]])
    evidence = SplitScores(("base", "a", "b", "c"), ("base", *["source"] * 3), ("t", "u"), scores_IN, scores_IN, "rows")
    assert merging.merge_weights(evidence, [1, 2, 3], "gain") == pytest.approx([2 / 3, 1 / 3, 0])
    assert merging.merge_weights(evidence, [1, 3], "equal") == [0.5, 0.5]


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


def test_merged_adapters_are_evaluated_row_by_row_as_the_others_are(
    study_file: Path, found: ts.BeltFindings, base: Path
) -> None:
    """Each task's rows in their order: answers and losses of the merged adapter by PEFT."""
    study = Study.open(study_file)
    name = next(iter(found.merged))
    halved = merging.with_merged(study, study_split(study, 0), [name])
    assert halved.kinds[-1] == "merged"
    model, tokenizer = alone(base, merging.merged_path(study, name))
    story = next(one for one in halved.answers if one.task == "story")
    by_id = {example.id: example for example in study.data.load("story").eval}
    for row, example_id in enumerate(story.ids):
        ids = tokenizer(by_id[example_id].answer, return_tensors="pt")["input_ids"]
        ids = torch.cat([torch.tensor([[tokenizer.bos_token_id]]), ids[ids != tokenizer.bos_token_id][None]], dim=1)
        with torch.no_grad():
            loss = model(input_ids=ids, labels=ids).loss.item()
        assert story.values_IS[-1, row] == pytest.approx(-loss, abs=0.02)
    tone = next(one for one in halved.answers if one.task == "tone")
    rows = {example.id: example for example in study.data.load("tone").eval}
    for row, example_id in enumerate(tone.ids):
        example = rows[example_id]
        scores = []
        for option in (" bad", " good"):
            ids = tokenizer(example.prompt + option, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                logits = model(input_ids=ids).logits.log_softmax(-1)
            n = len(option)
            scores.append(logits[0, -n - 1 : -1].gather(1, ids[0, -n:, None]).sum().item())
        assert tone.values_IS[-1, row] == float(int(np.argmax(scores)) == example.gold)


def test_another_seed_and_other_weights_are_another_belt(study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study.open(study_file)
    monkeypatch.setattr(
        belting, "merge_weights", lambda found, chosen, how: [0.5, 0.5] if how == "equal" else [0.7, 0.3]
    )
    plain = {"size": 2, "merge": ("dare",), "rule": None}
    # One finding is kept: each call must tell itself from the one before.
    gain, first, second = study.belt(**plain, weights="gain"), study.belt(**plain), study.belt(**plain, seed=3)
    assert len({next(iter(one.merged)) for one in (first, second)}) == 2
    assert not first.choice.tasks.equals(second.choice.tasks)
    shares = [list(next(iter(one.merged.values())).values()) for one in (gain, first, second)]
    assert shares == [[0.7, 0.3], [0.5, 0.5], [0.5, 0.5]]
    # All of them lie side by side: what is held may be exported after another was made.
    for one in (first, second, gain):
        assert all((merging.merged_path(study, name) / "adapter_model.safetensors").is_file() for name in one.merged)
    one, other = (
        (merging.merged_path(study, next(iter(f.merged))) / "adapter_model.safetensors").read_bytes()
        for f in (first, second)
    )
    assert one != other


def test_an_adapter_without_weights_is_left_out_by_name(study_file: Path, tmp_path: Path) -> None:
    shutil.copytree(study_file.parent, tmp_path / "copy")
    study = Study.open(tmp_path / "copy/study.yaml")
    shutil.rmtree(study.folder.adapter_path("sums-s0"))
    halved = study_split(study, 0)
    assert "sums-s0" not in halved.models
    assert any("without their weights: sums-s0" in note for note in halved.notes)


def test_an_invalid_answer_is_of_no_class() -> None:
    frame = pd.DataFrame({"pred": [" bad", None, "good ", "maybe"]})
    assert class_codes(frame, {"bad": 0, "good": 1}).tolist() == [0, 2, 1, 2]


def test_places_are_made_of_training_rows_and_read_without_labels(study_file: Path) -> None:
    seen: dict[str, list[object]] = {}

    def look(order: object) -> None:
        if isinstance(order, Capture):
            seen.setdefault(order.key, []).append((order.examples, order.layers, order.position))

    study = Study.open(study_file, backend=Changed(look))
    halved = study_split(study, 0)
    belting.read_prompts(study, halved, [], "states")
    sources = {source.name: source for source in study.config.resolved_sources() if source.control is None}
    read = {key: [example.id for example in examples] for key, calls in seen.items() for examples, *_ in calls[:1]}
    for name, source in sources.items():
        assert read[f"prompts of {name}"] == [row.id for row in study.data.train(source)]
    # The rows of the tasks are read behind them.
    for one in halved.answers:
        assert [example.id for example in seen[f"prompts of {one.task}"][-1][0]] == list(one.ids)


def test_tasks_can_be_left_out(study_file: Path) -> None:
    study = Study.open(study_file, backend=Idle())
    choice = study.belt(tasks=["sums", "tone"], merge=(), rule=None).choice
    assert set(choice.serves) == {"tone", "sums"}
    with pytest.raises(TraitscopeError, match="no target is named tune"):
        study.belt(tasks=["tune"])


def test_the_router_is_loaded_as_it_was_made(study_file: Path, found: ts.BeltFindings, tmp_path: Path) -> None:
    # Each place has a model of its own.
    made = replace(found.routers["centroid"], serves=found.choice.models)
    export_belt(Study.open(study_file), replace(found, routers={"centroid": made}), tmp_path / "belt")
    loaded = ts.Belt.load(tmp_path / "belt").router
    assert (loaded.rule, loaded.places, loaded.serves, loaded.fallback) == (
        made.rule,
        made.places,
        made.serves,
        made.fallback,
    )
    assert loaded.far == made.far < 2
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)


@pytest.mark.parametrize("name", ["link", "up"])
def test_no_file_says_where_the_base_lies_however_it_was_named(base: Path, tmp_path: Path, name: str) -> None:
    """A base behind a symbolic link, and one by a path with dots."""
    secret = tmp_path / "secret place"
    secret.mkdir()
    shutil.copytree(base, secret / "weights")
    if name == "link":
        (secret / "link").symlink_to(secret / "weights")
        named = secret / "link"
    else:
        named = Path("..") / "secret place" / "weights"
    (tmp_path / "work").mkdir()
    study = Study.open(tiny.make_study(tmp_path / "work", named))
    study.run()
    export_belt(study, study.belt(size=1, merge=(), rule=None), tmp_path / "belt")
    for path in (tmp_path / "belt").rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            assert "secret" not in path.read_text() and ".." not in path.read_text().replace("...", ""), path


def test_what_cannot_be_written_is_one_message_and_the_old_belt_stays(
    study_file: Path, found: ts.BeltFindings, tmp_path: Path
) -> None:
    study = Study.open(study_file)
    (tmp_path / "file").write_text("x")
    with pytest.raises(TraitscopeError, match="cannot be written"):
        export_belt(study, found, tmp_path / "file" / "belt")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    with pytest.raises(TraitscopeError, match="is no belt"):
        export_belt(study, found, tmp_path / "mine")
    export_belt(study, found, tmp_path / "belt")
    before = {path: path.read_bytes() for path in (tmp_path / "belt").rglob("*") if path.is_file()}
    broken = replace(found, choice=replace(found.choice, models=("sums-s0", "gone")))
    with pytest.raises(TraitscopeError, match="weights are gone"):
        export_belt(study, broken, tmp_path / "belt")
    assert {path: path.read_bytes() for path in (tmp_path / "belt").rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["belt", "file", "mine"]


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("adapters",), {}, "key adapters"),
        (("adapters", "sums-s0"), {"rank": "8"}, r"key adapters\.sums-s0"),
        (("adapters", "base"), {"folder": "x", "files": {"a": "b"}, "rank": 8, "serves": []}, "the base's name"),
        (("adapters", "sums-s0", "files"), {"../x": "b"}, "lies outside the belt"),
        (("router", "far"), float("nan"), r"key router\.far"),
        (("adapters", "sums-s0", "folder"), "../../etc", "lies outside the belt"),
        (("base", "files"), None, r"key base\.files"),
        (("base",), [], "key base"),
        (("router", "serves"), ["sums-s0"], "1 models for 2 places"),
        (("router", "serves"), ["sums-s0", "else"], "else is no model of this belt"),
        (("router", "fallback"), "else", "else is no model of this belt"),
        (("router", "arrays"), "../router.safetensors", "no name of a file"),
        (("router", "far"), "near", r"key router\.far"),
        (("router", "rule"), "gone", "'gone' is not registered"),
        (("format",), 99, "of another format"),
    ],
)
def test_a_damaged_belt_says_which_key(
    shipped: Path, tmp_path: Path, place: tuple[str, ...], value: object, words: str
) -> None:
    shutil.copytree(shipped, tmp_path / "belt")
    content = json.loads((tmp_path / "belt/belt.json").read_text())
    part = content
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    (tmp_path / "belt/belt.json").write_text(json.dumps(content))
    with pytest.raises(TraitscopeError, match=words):
        _ = ts.Belt.load(tmp_path / "belt").router


@pytest.mark.parametrize(
    "file", ["router.safetensors", "adapters/sums-s0/adapter_model.safetensors", "adapters/sums-s0/adapter_config.json"]
)
def test_a_damaged_file_is_one_message(shipped: Path, base: Path, tmp_path: Path, file: str) -> None:
    shutil.copytree(shipped, tmp_path / "belt")
    models = None if "router" in file else ["sums-s0"] * 4
    content = bytearray((tmp_path / "belt" / file).read_bytes())
    content[-5] ^= 1
    (tmp_path / "belt" / file).write_bytes(content)
    with pytest.raises(TraitscopeError, match="is damaged"):
        ts.Belt.load(tmp_path / "belt", base=base).generate(PROMPTS, 4, models=models)
    (tmp_path / "belt" / file).unlink()
    with pytest.raises(TraitscopeError, match="cannot be read"):
        ts.Belt.load(tmp_path / "belt", base=base).generate(PROMPTS, 4, models=models)


def test_prompts_are_lists_of_texts_of_any_kind(shipped: Path, base: Path) -> None:
    belt = ts.Belt.load(shipped, base=base)
    wanted = belt.route(PROMPTS)
    assert belt.route(np.array(PROMPTS)) == belt.route(pd.Series(PROMPTS)) == belt.route(iter(PROMPTS)) == wanted
    for wrong, words in (("hello", "one text"), ([b"hello"], "bytes in place"), (["a", None], "number 1: NoneType")):
        with pytest.raises(TraitscopeError, match=words):
            belt.route(wrong)
        with pytest.raises(TraitscopeError, match=words):
            belt.generate(wrong, 4)
    for number in (0, -1, 1.5, True):
        with pytest.raises(TraitscopeError, match="max_new_tokens"):
            belt.generate(PROMPTS, number)
    for models, words in ((["base"], "1 for 4 prompts"), (["base"] * 3 + ["else"], "is named else")):
        with pytest.raises(TraitscopeError, match=words):
            belt.generate(PROMPTS, 4, models=models)


def test_a_mirror_of_a_hub_base_is_told_by_its_files(shipped: Path, base: Path, tmp_path: Path) -> None:
    """A belt of a Hub base, with a folder that holds its files in place of the Hub."""
    shutil.copytree(shipped, tmp_path / "belt")
    content = json.loads((tmp_path / "belt/belt.json").read_text())
    content["base"] |= {"local": False, "model": "someone/tiny", "revision": "0" * 40}
    (tmp_path / "belt/belt.json").write_text(json.dumps(content))
    shutil.copytree(base, tmp_path / "mirror")
    (tmp_path / "mirror" / "extra.json").write_text("{}")
    assert ts.Belt.load(tmp_path / "belt", base=tmp_path / "mirror").route(PROMPTS)
    config = json.loads((tmp_path / "mirror/config.json").read_text())
    (tmp_path / "mirror/config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    with pytest.raises(TraitscopeError, match=r"another base .*config\.json"):
        ts.Belt.load(tmp_path / "belt", base=tmp_path / "mirror").route(PROMPTS)


def test_a_belt_is_chosen_anew_when_an_adapter_is_gone(study_file: Path, tmp_path: Path) -> None:
    shutil.copytree(study_file.parent, tmp_path / "copy")
    study = Study.open(tmp_path / "copy/study.yaml")
    options = {"size": 1, "merge": (), "rule": None}
    (first,) = study.belt(**options).choice.models
    shutil.rmtree(study.folder.adapter_path(first))
    again = study.belt(**options).choice
    assert first not in again.models and any(first in note for note in again.notes)


def test_a_merged_adapter_of_other_weights_has_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of the same names that were trained anew; the same parts give the same name, whatever seed linear has."""
    marks = {"a": "1", "b": "2"}
    study = MagicMock()
    study.folder.root = tmp_path
    study.folder.adapter.side_effect = lambda name: MagicMock(fingerprint=marks[name])
    made = compute.Adapter("merged", {}, {"x": np.zeros(1, dtype=np.float32)}, ())
    monkeypatch.setattr(merging, "answer", lambda *_: made)
    shares = {"a": 0.5, "b": 0.5}
    first, again = (merging.merge_parts(study, shares, "linear", seed) for seed in (0, 1))
    marks["b"] = "3"
    assert first == again != merging.merge_parts(study, shares, "linear", 0)
    assert merging.merge_parts(study, shares, "dare", 0) != merging.merge_parts(study, shares, "dare", 1)


def test_the_highest_rank_of_an_adapter_is_told(study_file: Path, found: ts.BeltFindings, tmp_path: Path) -> None:
    shutil.copytree(study_file.parent, tmp_path / "copy")
    study = Study.open(tmp_path / "copy/study.yaml")
    file = study.folder.adapter_path("tone-s0") / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "rank_pattern": {"q_proj": 24}}))
    export_belt(study, replace(found, routers={}), str(tmp_path / "belt"))
    belt = ts.Belt.load(tmp_path / "belt")
    assert belt.content["adapters"]["tone-s0"]["rank"] == 24
    assert "--max-lora-rank 32" in belt.vllm_command


def test_odd_arguments_are_one_message(study_file: Path, shipped: Path, base: Path, tmp_path: Path) -> None:
    study = Study.open(study_file, backend=Idle())
    for options, words in (
        ({"merge": None}, "no list"),
        ({"merge": "linear"}, "no list"),
        ({"tasks": [3]}, "no target is named 3"),
    ):
        with pytest.raises(TraitscopeError, match=words):
            study.belt(**options)
    with pytest.raises(TraitscopeError, match="cannot be written"):
        export_belt(Study.open(study_file), study.belt(size=1, merge=(), rule=None), tmp_path / "a\0b")
    belt = ts.Belt.load(shipped, base=base)
    for models in ([None] * 4, [3] * 4, [["base"]] * 4):
        with pytest.raises(TraitscopeError, match="no model of this belt"):
            belt.generate(PROMPTS, 2, models=models)
    assert len(belt.generate(PROMPTS, 2, models=(name for name in ["base"] * 4))) == 4
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "belt.json").write_text("[" * 100_000)
    with pytest.raises(TraitscopeError, match="cannot be read"):
        ts.Belt.load(tmp_path / "deep")
    shutil.copytree(shipped, tmp_path / "belt")
    content = json.loads((tmp_path / "belt/belt.json").read_text())
    content["router"]["rule"] = "arrow"
    (tmp_path / "belt/belt.json").write_text(json.dumps(content))
    with pytest.raises(TraitscopeError, match="place tone is no adapter"):
        ts.Belt.load(tmp_path / "belt", base=base).route(PROMPTS)


@pytest.mark.parametrize("way", [".", "adapters/..", "link"])
def test_a_belt_is_replaced_whole_however_its_folder_is_named(
    study_file: Path, found: ts.BeltFindings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    study = Study.open(study_file)
    export_belt(study, found, tmp_path / "belt")
    (tmp_path / "link").symlink_to(tmp_path / "belt")
    out = tmp_path / "link" if way == "link" else Path(way)
    monkeypatch.chdir(tmp_path / "belt")
    export_belt(study, replace(found, routers={}), out)
    assert ts.Belt.load(tmp_path / "belt").content["router"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["belt", "link"]


@pytest.mark.parametrize("mine", ["adapters/mine.txt", "adapters/run/weights.bin", "adapters/sums-s0/notes.md", "a/b"])
def test_a_file_that_no_export_wrote_keeps_a_belt_from_being_replaced(
    study_file: Path, found: ts.BeltFindings, tmp_path: Path, mine: str
) -> None:
    export_belt(Study.open(study_file), found, tmp_path / "belt")
    (tmp_path / "belt" / mine).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "belt" / mine).write_text("mine")
    with pytest.raises(TraitscopeError, match="is no belt"):
        export_belt(Study.open(study_file), found, tmp_path / "belt")
    assert (tmp_path / "belt" / mine).read_text() == "mine"


@pytest.mark.parametrize("content", ["mine", '{"not": "a belt"}', "[]"])
def test_any_belt_json_makes_no_belt(study_file: Path, found: ts.BeltFindings, tmp_path: Path, content: str) -> None:
    (tmp_path / "belt.json").write_text(content)
    with pytest.raises(TraitscopeError, match="is no belt"):
        export_belt(Study.open(study_file), found, tmp_path)
    assert (tmp_path / "belt.json").read_text() == content


def test_names_that_a_shell_would_run_are_quoted(shipped: Path) -> None:
    belt = ts.Belt.load(shipped)
    name = "x; rm -rf ~"
    content = {**belt.content, "adapters": {name: next(iter(belt.content["adapters"].values()))}}
    words = shlex.split(vllm_command(content).replace("\\\n", " "))
    assert words[-1].startswith(f"{name}=adapters/")


def test_weights_beside_a_base_make_it_another(shipped: Path, base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "mirror")
    (tmp_path / "mirror" / "adapter_config.json").write_text("{}")
    with pytest.raises(TraitscopeError, match=r"another base .*adapter_config\.json"):
        ts.Belt.load(shipped, base=tmp_path / "mirror").route(PROMPTS)


def test_odd_stops_prompts_and_bases_are_one_message(shipped: Path, base: Path) -> None:
    belt = ts.Belt.load(shipped, base=base)
    for stop in ("ab", None, [3]):
        with pytest.raises(TraitscopeError, match="no list of texts"):
            belt.generate(PROMPTS, 2, stop=stop)
    with pytest.raises(TraitscopeError, match="no list of texts"):
        belt.route(None)
    for named in ("", 3):
        with pytest.raises(TraitscopeError, match="names no base"):
            ts.Belt.load(shipped, base=named).route(PROMPTS)
