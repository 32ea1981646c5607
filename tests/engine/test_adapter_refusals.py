"""What no adapter of ours can be: refused by the key that asks for it, with what PEFT offers instead."""

from __future__ import annotations

import copy
import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_kinds import ARCHITECTURES, SOME, agree, edited, enlarge, logprobs, made, ours, refused
from helpers import TinyTokenizer, known_model, tiny_model
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.config import (
    ArrowConfig,
    BdLoraConfig,
    CordaConfig,
    KasaConfig,
    LoraGAConfig,
    MontecloraConfig,
    VeloraConfig,
)
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.lora.loraga import preprocess_loraga
from safetensors.torch import load_file

from traitscope.engine import Adapter
from traitscope.errors import TraitscopeError
from traitscope.store.peft_fields import HONOURED, REFUSED, WITHOUT_EFFECT

CHANGED_BASE = ("pissa", "pissa_niter_4", "olora")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("start", CHANGED_BASE)
def test_starts_that_change_the_base_are_refused_until_peft_has_converted_them(
    start: str, architecture: str, tmp_path: Path
) -> None:
    if (start, architecture) == ("olora", "gpt2"):
        pytest.skip("PEFT does not make it")
    model, peft = made(architecture, init_lora_weights=start)
    fresh = tmp_path / "fresh"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = get_peft_model(
            copy.deepcopy(model),
            LoraConfig(target_modules=SOME[architecture], r=4, lora_alpha=8, init_lora_weights=start),
        )
    again.peft_config["default"].init_lora_weights = True
    again.save_pretrained(fresh)
    # The same start as the trained one: its own weights less what `enlarge` put on them.
    peft.save_pretrained(tmp_path / "as-trained")
    refused(model, tmp_path / "as-trained", "init_lora_weights", "path_initial_model_for_weight_conversion")
    if start == "pissa_niter_4":
        return  # its decomposition is drawn at random: no second one is the same
    peft.save_pretrained(tmp_path / "converted", path_initial_model_for_weight_conversion=str(fresh))
    mine, _ = ours(model, tmp_path / "converted")
    assert mine == pytest.approx(logprobs(peft), abs=2e-3)
    agree(model, tmp_path / "converted")


def test_loftq_is_refused(tmp_path: Path) -> None:
    model, peft = made("llama")
    peft.save_pretrained(tmp_path)
    edited(tmp_path, init_lora_weights="loftq", loftq_config={"loftq_bits": 4, "loftq_iter": 1})
    refused(model, tmp_path, "init_lora_weights: loftq", "merge it in PEFT")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_corda_is_refused(architecture: str, tmp_path: Path) -> None:
    model = tiny_model(architecture, torch.float32)
    changed = copy.deepcopy(model)
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=SOME[architecture], init_lora_weights="corda", corda_config=CordaConfig()
    )
    # PEFT's hook takes batches of one.
    ids = torch.randint(1, 97, (1, 64), generator=torch.Generator().manual_seed(0))
    preprocess_corda(changed, config, run_model=lambda: changed(input_ids=ids))
    peft = get_peft_model(changed, config)
    peft.save_pretrained(tmp_path)
    refused(model, tmp_path, "init_lora_weights: corda", "path_initial_model_for_weight_conversion")


def test_lora_ga_is_refused(tmp_path: Path) -> None:
    model = tiny_model("llama", torch.float32)
    changed = copy.deepcopy(model)
    config = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights="lora_ga", lora_ga_config=LoraGAConfig())
    ids = torch.randint(1, 97, (4, 20), generator=torch.Generator().manual_seed(0))
    preprocess_loraga(changed, config, train_step=lambda: changed(input_ids=ids, labels=ids).loss.backward())
    get_peft_model(changed, config).save_pretrained(tmp_path)
    refused(model, tmp_path, "init_lora_weights: lora_ga", "path_initial_model_for_weight_conversion")


# key -> how PEFT is asked for it where it makes it on these models, else how the configuration is edited.
OTHERWISE: dict[str, Any] = {
    "use_dora": {"use_dora": True},
    "lora_bias": {"lora_bias": True},
    "modules_to_save": {"modules_to_save": ["lm_head"]},
    "layer_replication": {"layer_replication": [[0, 2], [1, 3]]},
    "trainable_token_indices": {"trainable_token_indices": [3, 4]},
    "alora_invocation_tokens": {"alora_invocation_tokens": [9]},
    "arrow_config": {"arrow_config": ArrowConfig()},
    "use_bdlora": {
        "use_bdlora": BdLoraConfig(target_modules_bd_a=["q_proj"], target_modules_bd_b=["down_proj"], nblocks=2)
    },
    "monteclora_config": {"monteclora_config": MontecloraConfig()},
    "kasa_config": {"kasa_config": KasaConfig()},
    "bias": {"bias": "all"},
    "bias: lora_only": {"bias": "lora_only"},
}  # fmt: skip


@pytest.mark.parametrize("kind", list(OTHERWISE))
def test_what_is_not_plain_lora_is_refused(kind: str, tmp_path: Path) -> None:
    key = kind.split(":")[0]
    architecture = "gpt2" if key == "bias" else "llama"
    if key in ("layer_replication", "arrow_config"):
        # PEFT makes the one from a larger base and the other from several adapters.
        model, peft = made(architecture)
        peft.save_pretrained(tmp_path)
        value = OTHERWISE[kind][key]
        edited(tmp_path, **{key: dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value})
    else:
        model, peft = made(architecture, **OTHERWISE[kind])
        peft.save_pretrained(tmp_path)
    refused(model, tmp_path, kind if ":" in kind else key, "plain LoRA" if key != "bias" else "bias: none")


@pytest.mark.parametrize(("key", "value"), [("use_qalora", True), ("megatron_config", {"hidden_size": 8})])
def test_options_for_layers_that_no_base_here_has_are_refused(key: str, value: Any, tmp_path: Path) -> None:
    model, peft = made("llama")
    peft.save_pretrained(tmp_path)
    edited(tmp_path, **{key: value})
    refused(model, tmp_path, key, f"without {key}")


def test_velora_changes_the_backward_pass_alone(tmp_path: Path) -> None:
    model, peft = made("llama", velora_config=VeloraConfig(num_groups=4))
    peft.save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    if any("velora" in key for key in load_file(path)):
        refused(model, tmp_path, "velora", "plain LoRA")
    else:
        agree(model, tmp_path)


@pytest.mark.parametrize(
    ("targets", "name"),
    [(["lm_head"], "lm_head"), (["embed_tokens"], "embed_tokens"), (["q_proj", "lm_head"], "lm_head")],
)
def test_weights_outside_the_decoder_are_refused(targets: list[str], name: str, tmp_path: Path) -> None:
    model, peft = made("llama", target_modules=targets)
    peft.save_pretrained(tmp_path)
    refused(model, tmp_path, name, "")


@pytest.mark.parametrize("task", ["SEQ_CLS", "SEQ_2_SEQ_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"])
def test_adapters_for_other_tasks_are_refused(task: str, tmp_path: Path) -> None:
    model, peft = made("llama")
    peft.save_pretrained(tmp_path)
    edited(tmp_path, task_type=task)
    refused(model, tmp_path, f"task_type: {task}", "CAUSAL_LM")


@pytest.mark.parametrize("method", ["LOHA", "ADALORA", "IA3", "PREFIX_TUNING", "VERA", None])
def test_other_methods_are_refused(method: str | None, tmp_path: Path) -> None:
    model, peft = made("llama")
    peft.save_pretrained(tmp_path)
    edited(tmp_path, peft_type=method)
    refused(model, tmp_path, "peft_type", "LoRA")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    model, peft = made("llama")
    peft.save_pretrained(tmp_path, safe_serialization=False)
    refused(model, tmp_path, "adapter_model.bin", "safe_serialization=True")


def test_a_commit_of_the_base_other_than_the_one_loaded_is_refused(tmp_path: Path) -> None:
    model, peft = made("llama")
    peft.save_pretrained(tmp_path)
    edited(tmp_path, base_model_name_or_path="someone/model", revision="a" * 40)
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name="someone/model", revision="b" * 40)
    with pytest.raises(TraitscopeError, match=r"(?s)revision a{40}.*b{40}.*revision: a{40}"):
        Adapter.load(tmp_path, base)
    same = known_model(copy.deepcopy(model), TinyTokenizer(), name="someone/model", revision="a" * 40)
    assert Adapter.load(tmp_path, same).pieces


@pytest.mark.parametrize(
    ("changes", "key", "fix"),
    [
        ({"target_modules": ["q_proj"]}, "down_proj, which its configuration does not target", "again in PEFT"),
        ({"exclude_modules": ["down_proj"]}, "down_proj, which its configuration does not target", "save"),
        ({"layers_to_transform": [0]}, "layers.1.mlp.down_proj, which its configuration does not target", "save"),
        ({"r": 8}, "rank 4, the configuration says 8 (r, rank_pattern)", "save"),
        ({"rank_pattern": {"q_proj": 2}}, "rank 4, the configuration says 2", "save"),
        ({"r": "four"}, "r is 'four', no number", "save"),
        ({"target_modules": ".*q_proj", "layers_to_transform": [0]}, "PEFT does not take it", "save"),
        ({"new_option": True}, "the key new_option", "without new_option"),
        ({"new_config": {"x": 1}}, "the key new_config", "without new_config"),
        ({"init_lora_weights": "newest"}, "init_lora_weights: 'newest'", "gaussian"),
    ],
)  # fmt: skip
def test_configurations_that_do_not_fit_the_weights_or_are_unknown(
    changes: dict, key: str, fix: str, tmp_path: Path
) -> None:
    model, peft = made("llama")
    peft.save_pretrained(tmp_path)
    edited(tmp_path, **changes)
    refused(model, tmp_path, key, fix)


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
def test_an_unknown_key_that_says_nothing_is_harmless(value: Any, tmp_path: Path) -> None:
    model, peft = made("llama")
    peft.save_pretrained(tmp_path)
    edited(tmp_path, of_a_newer_peft=value)
    agree(model, tmp_path)


def test_keys_that_an_older_peft_did_not_write_have_its_defaults(tmp_path: Path) -> None:
    model, peft = made("llama", r=8, lora_alpha=8)
    peft.save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    kept = {k: v for k, v in json.loads(path.read_text()).items() if k in ("peft_type", "target_modules")}
    path.write_text(json.dumps(kept))
    agree(model, tmp_path)


def test_every_key_of_peft_is_known() -> None:
    """A new PEFT brings keys that must be looked at before they are let in."""
    fields = {field.name for field in dataclasses.fields(LoraConfig)}
    assert fields == HONOURED | WITHOUT_EFFECT | set(REFUSED)
    assert not HONOURED & WITHOUT_EFFECT and not (HONOURED | WITHOUT_EFFECT) & set(REFUSED)
    variants = {field.name for field in dataclasses.fields(LoraConfig) if field.metadata.get("is_lora_variant")}
    assert variants - set(REFUSED) == {"velora_config"}


def test_experts_and_other_parameters_are_refused(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        "mixtral", vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=4,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, trust_remote_code=False).eval()
    peft = get_peft_model(
        copy.deepcopy(model), LoraConfig(r=2, target_modules=[], target_parameters=["experts.down_proj"])
    )
    enlarge(peft)
    peft.save_pretrained(tmp_path)
    refused(model, tmp_path, "mlp.experts, which is no linear layer", "experts")


@pytest.mark.parametrize(("key", "value"), [("r", "4"), ("lora_alpha", "8"), ("lora_alpha", None)])
def test_a_rank_or_alpha_that_is_no_number(key: str, value: object, tmp_path: Path) -> None:
    _model, peft = made("llama", r=4, lora_alpha=8)
    peft.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(TraitscopeError, match=f"{key} is .*, no number"):
        Adapter.load(tmp_path, known_model(tiny_model("llama"), TinyTokenizer(), name="llama"))
