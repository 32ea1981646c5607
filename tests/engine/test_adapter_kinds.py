"""Every kind of adapter that PEFT's LoraConfig can make, on a Llama and on GPT-2: the same here, or refused by name.

PEFT makes and saves each; what PEFT computes after loading it is what the engine must compute.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_kinds import ARCHITECTURES, FIRST, LAYERS, ONE, SOME, agree, edited, enlarge, made, refused
from helpers import TinyTokenizer, known_model, tiny_model
from peft import EvaConfig, LoftQConfig, LoraConfig, PeftModel, get_peft_model, initialize_lora_eva_weights
from peft.tuners.lora.config import (
    CordaConfig,
    LoraGAConfig,
)
from safetensors.torch import load_file, save_file

from traitscope.engine import Adapter

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
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name="tiny")
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
