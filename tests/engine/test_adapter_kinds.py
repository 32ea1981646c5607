"""Every kind of adapter that PEFT's LoraConfig can make, on a Llama and on GPT-2: the same here, or refused by name.

PEFT makes and saves each; what PEFT computes after loading it is what the engine must compute.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TinyTokenizer, tiny_model
from peft import EvaConfig, LoftQConfig, LoraConfig, PeftModel, get_peft_model, initialize_lora_eva_weights
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
from safetensors.torch import load_file, save_file

from traitscope.engine import Adapter, Bank, score_options, wrap_model
from traitscope.engine.peft_folder import HONOURED, REFUSED, WITHOUT_EFFECT
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow

ROW = OptionRow((7, 8, 9, 3, 1), ((11, 12, 40), (13,), (60, 2)))
ARCHITECTURES = ("llama", "gpt2")
SOME = {"llama": ["q_proj", "down_proj"], "gpt2": ["c_attn", "mlp.c_proj"]}
ONE = {"llama": "q_proj", "gpt2": "c_attn"}
LAYERS = {"llama": "layers", "gpt2": "h"}
FIRST = {"llama": "model.layers.0.self_attn.q_proj", "gpt2": "transformer.h.0.attn.c_attn"}


def made(architecture: str, **given: Any) -> tuple[torch.nn.Module, PeftModel]:
    """A base and an adapter on a copy of it whose update is large: logits move by nats."""
    model = tiny_model(architecture, torch.float32)
    given = {"target_modules": SOME[architecture], "r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", **given}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = get_peft_model(copy.deepcopy(model), LoraConfig(**given)).eval()
    enlarge(peft)
    return model, peft


def enlarge(peft: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)


def logprobs(model: torch.nn.Module) -> list[float]:
    """Log-likelihoods of the options' tokens, each option a row of its own."""
    out: list[float] = []
    for option in ROW.options:
        ids = torch.tensor([[*ROW.context, *option]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0].log_softmax(-1)
        out += [float(logits[len(ROW.context) - 1 + i, token]) for i, token in enumerate(option)]
    return out


def ours(model: torch.nn.Module, folder: Path, name: str = "") -> tuple[list[float], list[float]]:
    """The same of the engine, for the adapter and for the base."""
    base = wrap_model(copy.deepcopy(model), TinyTokenizer(), name=name or type(model).__name__)
    with Bank(base, {"a": Adapter.load(folder, base), "base": None}) as bank:
        scores = score_options(bank, [ROW])
    return tuple([float(x) for option in scores[who][0] for x in option] for who in ("a", "base"))  # type: ignore


def agree(model: torch.nn.Module, folder: Path) -> None:
    """The engine computes what PEFT computes after loading the folder, which is far from the base."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = logprobs(PeftModel.from_pretrained(copy.deepcopy(model), folder).eval())
    mine, alone = ours(model, folder)
    assert mine == pytest.approx(theirs, abs=1e-4)
    assert max(abs(a - b) for a, b in zip(mine, alone, strict=True)) > 0.3
    # Loaded and saved again, PEFT computes the same.
    base = wrap_model(copy.deepcopy(model), TinyTokenizer(), name="tiny")
    Adapter.load(folder, base).save(folder / "again", base)
    again = logprobs(PeftModel.from_pretrained(copy.deepcopy(model), folder / "again").eval())
    assert again == pytest.approx(theirs, abs=1e-4)
    assert Adapter.load(folder / "again", base).fingerprint == Adapter.load(folder, base).fingerprint


def edited(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# What PEFT computes with these is plain LoRA on linear layers of the decoder.
EXACT: dict[str, Any] = {
    "plain": {},
    "one suffix": lambda a: {"target_modules": [ONE[a]]},
    "full names": lambda a: {"target_modules": [FIRST[a]]},
    "all-linear": {"target_modules": "all-linear"},
    "default targets": {"target_modules": None},
    "regex": lambda a: {"target_modules": rf".*\.{LAYERS[a]}\.[02]\..*(q_proj|down_proj|c_attn|c_fc)"},
    "exclude suffix": lambda a: {"exclude_modules": [SOME[a][1]]},
    "exclude regex": lambda a: {"exclude_modules": rf".*\.{LAYERS[a]}\.1\..*"},
    "some layers": {"layers_to_transform": [0, 2]},
    "one layer": {"layers_to_transform": 1},
    "layers by pattern": lambda a: {"layers_to_transform": [1], "layers_pattern": LAYERS[a]},
    "layers by patterns": lambda a: {"layers_to_transform": [0, 1], "layers_pattern": ["blocks", LAYERS[a]]},
    "rslora": {"use_rslora": True, "r": 3},
    "fractional alpha": {"lora_alpha": 5.5},
    "alpha over rank": {"lora_alpha": 3, "r": 7},
    "negative alpha": {"lora_alpha": -8},
    "dropout": {"lora_dropout": 0.3},
    "rank pattern": lambda a: {"rank_pattern": {SOME[a][1]: 2}},
    "rank pattern by regex": lambda a: {"rank_pattern": {rf"^.*\.{LAYERS[a]}\.[01]\..*": 6}},
    "alpha pattern": lambda a: {"alpha_pattern": {SOME[a][1]: 40}},
    "alpha pattern by full name": lambda a: {"alpha_pattern": {"^" + FIRST[a]: 33}},
    "both patterns": lambda a: {"rank_pattern": {SOME[a][1]: 2}, "alpha_pattern": {ONE[a]: 17, SOME[a][1]: 1}},
    "patterns that overlap": lambda a: {"alpha_pattern": {rf".*\.1\..*{ONE[a]}": 20, ONE[a]: 3}},
    "patterns and rslora": lambda a: {
        "rank_pattern": {SOME[a][1]: 2}, "alpha_pattern": {ONE[a]: 17}, "use_rslora": True,
    },
    "patterns of nothing": {"rank_pattern": {"nowhere": 2}, "alpha_pattern": {"nowhere": 99}},
    "fan_in_fan_out": lambda a: {"fan_in_fan_out": a == "gpt2"},
    "fan_in_fan_out the wrong way": lambda a: {"fan_in_fan_out": a == "llama"},
    "random start": {"init_lora_weights": False},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "mica": {"init_lora_weights": "mica"},
    "eva": {"init_lora_weights": "eva"},
    "without a task": {"task_type": None},
    "for inference": {"inference_mode": True},
    "a revision": {"revision": "main"},
    "tied weights asked for": {"ensure_weight_tying": True},
    "qalora's group alone": {"qalora_group_size": 8},
    "megatron's module alone": {"megatron_core": "megatron.other"},
    "eva's settings alone": {"eva_config": EvaConfig(rho=1.5)},
    "corda's settings alone": {"corda_config": CordaConfig()},
    "lora-ga's settings alone": {"lora_ga_config": LoraGAConfig()},
    "loftq's settings alone": {"loftq_config": LoftQConfig()},
    "more names than PEFT keeps": lambda a: {"target_modules": [
        n for n, m in tiny_model(a).named_modules() if type(m).__name__ in ("Linear", "Conv1D") and n != "lm_head"
    ]},
}  # fmt: skip


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", list(EXACT))
def test_the_same_function_as_in_peft(kind: str, architecture: str, tmp_path: Path) -> None:
    given = EXACT[kind]
    model, peft = made(architecture, **(given(architecture) if callable(given) else given))
    peft.save_pretrained(tmp_path)
    agree(model, tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_kept_in_another_precision(dtype: torch.dtype, tmp_path: Path) -> None:
    model, peft = made("llama")
    peft.save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    save_file({key: value.to(dtype) for key, value in load_file(path).items()}, path)
    agree(model, tmp_path)


def test_weights_of_two_precisions_lose_none_of_the_finer_one(tmp_path: Path) -> None:
    model, peft = made("llama")
    peft.save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    mixed = {k: v.to(torch.float16 if "lora_A" in k else torch.float32) for k, v in load_file(path).items()}
    save_file(mixed, path)
    base = wrap_model(copy.deepcopy(model), TinyTokenizer(), name="tiny")
    assert torch.equal(
        Adapter.load(tmp_path, base).tensors()[next(k for k in mixed if "lora_B" in k)],
        mixed[next(k for k in mixed if "lora_B" in k)],
    )
    agree(model, tmp_path)


def test_a_module_that_is_targeted_and_has_no_weights_is_left_as_it_is(tmp_path: Path) -> None:
    """PEFT starts it at zero."""
    model, peft = made("llama")
    peft.save_pretrained(tmp_path)
    edited(tmp_path, target_modules=["q_proj", "down_proj", "o_proj"])
    agree(model, tmp_path)


def test_ranks_that_eva_has_redistributed(tmp_path: Path) -> None:
    model = tiny_model("llama", torch.float32)
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights="eva",
        eva_config=EvaConfig(rho=2.0, use_label_mask=False), task_type="CAUSAL_LM",
    )  # fmt: skip
    peft = get_peft_model(copy.deepcopy(model), config)
    data = [{"input_ids": torch.randint(1, 97, (8, 20), generator=torch.Generator().manual_seed(i))} for i in range(8)]
    initialize_lora_eva_weights(peft, data, show_progress_bar=False)
    assert len({layer.r["default"] for layer in peft.modules() if hasattr(layer, "lora_alpha")}) > 1
    enlarge(peft)
    peft.save_pretrained(tmp_path)
    agree(model, tmp_path)


def test_patterns_whose_order_peft_has_lost_are_refused(tmp_path: Path) -> None:
    """PEFT sorts them as it saves them: it cannot load this one either."""
    model, peft = made("llama", rank_pattern={r"^.*\.layers\.[01]\..*": 6, ".*": 3})
    peft.save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="size mismatch"):
        PeftModel.from_pretrained(copy.deepcopy(model), tmp_path)
    refused(model, tmp_path, "rank 6, the configuration says 3", "save the adapter again")


def test_a_bare_weight_of_a_linear_layer_is_the_layer(tmp_path: Path) -> None:
    model, peft = made("llama", target_modules=["q_proj"], target_parameters=["down_proj.weight"])
    peft.save_pretrained(tmp_path)
    agree(model, tmp_path)


def test_a_bare_weight_that_lies_transposed_is_refused(tmp_path: Path) -> None:
    """It is square, so that its shape does not tell."""
    model, peft = made("gpt2", target_modules=[], target_parameters=["attn.c_proj.weight"])
    peft.save_pretrained(tmp_path)
    refused(model, tmp_path, "target_parameters", "target_modules")


def refused(model: torch.nn.Module, folder: Path, key: str, fix: str) -> None:
    """The error names the key that asks for what is not done, and says what to do instead."""
    base = wrap_model(copy.deepcopy(model), TinyTokenizer(), name="tiny")
    with pytest.raises(TraitscopeError) as caught:
        Adapter.load(folder, base)
    assert key in caught.value.what
    assert fix in caught.value.fix
    assert str(folder) in caught.value.where


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
    base = wrap_model(copy.deepcopy(model), TinyTokenizer(), name="someone/model", revision="b" * 40)
    with pytest.raises(TraitscopeError, match=r"(?s)revision a{40}.*b{40}.*revision: a{40}"):
        Adapter.load(tmp_path, base)
    same = wrap_model(copy.deepcopy(model), TinyTokenizer(), name="someone/model", revision="a" * 40)
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
    model = AutoModelForCausalLM.from_config(config).eval()
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
        Adapter.load(tmp_path, wrap_model(tiny_model("llama"), TinyTokenizer(), name="llama"))
