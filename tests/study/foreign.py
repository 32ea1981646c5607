"""Adapters of every kind that PEFT makes on the tiny base, as other people's folders, and what PEFT says of a task."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import peft
import torch
from peft import PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from transformers import AutoModelForCausalLM, AutoTokenizer

SOME = ["q_proj", "down_proj"]
NEW = ["<think>", "</think>"]


def lora(**given: Any) -> peft.LoraConfig:
    return peft.LoraConfig(**{"r": 2, "lora_alpha": 4, "target_modules": SOME, "task_type": "CAUSAL_LM", **given})


def other(method: str, **given: Any) -> Any:
    return PEFT_TYPE_TO_CONFIG_MAPPING[method](task_type="CAUSAL_LM", target_modules=SOME, **given)


# These run side by side in one pass.
SIDE_BY_SIDE: dict[str, Callable[[], Any]] = {
    "plain": lora,
    "rslora": lambda: lora(use_rslora=True, r=3),
    "patterns": lambda: lora(rank_pattern={"down_proj": 4}, alpha_pattern={"q_proj": 16}),
    "two-layers": lambda: lora(target_modules=["v_proj", "up_proj"], layers_to_transform=[1]),
}
# These cannot: PEFT merges them.
MERGED: dict[str, Callable[[], Any]] = {
    "dora": lambda: lora(use_dora=True),
    "head": lambda: lora(modules_to_save=["lm_head"]),
    "embedding": lambda: lora(modules_to_save=["embed_tokens"]),
    "both": lambda: lora(modules_to_save=["embed_tokens", "lm_head"]),
    "norm": lambda: lora(modules_to_save=["input_layernorm"]),
    "tokens": lambda: lora(trainable_token_indices=[5, 6]),
    "lora-on-head": lambda: lora(target_modules=["q_proj", "lm_head"]),
    "lora-on-embedding": lambda: lora(target_modules=["q_proj", "embed_tokens"]),
    "lora-on-tied-head": lambda: lora(target_modules=["q_proj", "lm_head"], ensure_weight_tying=True),
    "lora-on-tied-embedding": lambda: lora(target_modules=["q_proj", "embed_tokens"], ensure_weight_tying=True),
    "added-tokens": lora,
    "ia3": lambda: peft.IA3Config(
        task_type="CAUSAL_LM", target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "loha": lambda: peft.LoHaConfig(task_type="CAUSAL_LM", r=2, alpha=4, target_modules=SOME),
    "lokr": lambda: peft.LoKrConfig(task_type="CAUSAL_LM", r=2, alpha=4, target_modules=SOME),
    "adalora": lambda: peft.AdaLoraConfig(
        task_type="CAUSAL_LM", init_r=2, target_r=2, total_step=9, tinit=1, tfinal=1, target_modules=SOME
    ),
    "vera": lambda: peft.VeraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"]),
    "oft": lambda: peft.OFTConfig(task_type="CAUSAL_LM", oft_block_size=4, r=0, target_modules=SOME),
    "boft": lambda: peft.BOFTConfig(task_type="CAUSAL_LM", boft_block_size=4, target_modules=SOME),
    "hra": lambda: peft.HRAConfig(task_type="CAUSAL_LM", r=2, target_modules=SOME),
    "miss": lambda: peft.MissConfig(task_type="CAUSAL_LM", r=2, target_modules=SOME),
    "norms": lambda: peft.LNTuningConfig(task_type="CAUSAL_LM", target_modules=["input_layernorm"]),
    "trainable-tokens": lambda: peft.TrainableTokensConfig(task_type="CAUSAL_LM", token_indices=[5, 6]),
    "fourierft": lambda: other("FOURIERFT", n_frequency=20),
    "c3a": lambda: other("C3A", block_size=16),
    "vblora": lambda: other("VBLORA", num_vectors=8, vector_length=16, topk=2),
    "waveft": lambda: other("WAVEFT", n_frequency=20),
    "shira": lambda: other("SHIRA", r=1),
    "road": lambda: other("ROAD", group_size=16),
}
# PEFT's further methods, with their defaults.
MERGED |= {
    name.lower(): partial(other, name)
    for name in (
        *("ADAMSS", "DEFT", "DELORA", "FROD", "GLORA", "GRALORA", "HIRA", "OSF", "PEANUT", "PSOFT", "PVERA"),
        *("RANDLORA", "SUPERTUNING", "TINYLORA", "UNILORA"),
    )
}


def make_adapter(kind: str, base: Path, folder: Path) -> None:
    """Trains nothing: what the method trains is moved far from its start."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    if kind == "added-tokens":
        tokenizer.add_tokens(NEW)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Some methods draw their start.
        torch.manual_seed(0)
        made = get_peft_model(model, {**SIDE_BY_SIDE, **MERGED}[kind]())
        generator = torch.Generator().manual_seed(1)
        far = 10.0 if kind in ("vera", "hra") else 0.3
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * far)
            if kind == "added-tokens":
                weight = made.get_input_embeddings().weight
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
        made.save_pretrained(folder)
    if kind == "added-tokens":
        tokenizer.save_pretrained(folder)


def peft_model(base: Path, folder: Path) -> tuple[Any, Any]:
    """The adapter as PEFT loads it beside its base, and the tokenizer that it reads with."""
    own = (folder / "tokenizer_config.json").is_file()
    tokenizer = AutoTokenizer.from_pretrained(folder if own else base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if own:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(model, folder).eval(), tokenizer


def option_logprobs(model: Any, tokenizer: Any, prompts: list[str], options: list[str]) -> list[list[float]]:
    """The log-likelihood of every option behind every prompt, each a row of its own, by the model's own forward."""
    found = []
    for prompt in prompts:
        context = tokenizer(prompt).input_ids
        row = []
        for option in options:
            answer = tokenizer(option, add_special_tokens=False).input_ids
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*context, *answer]])).logits[0].double().log_softmax(-1)
            row.append(sum(float(logits[len(context) - 1 + i, token]) for i, token in enumerate(answer)))
        found.append(row)
    return found


def tone_prompts(folder: Path, ids: Iterable[str]) -> list[str]:
    """The prompts of the tiny study's task ``tone``, from the lines of its file."""
    lines = (folder / "tone-eval.jsonl").read_text().splitlines()
    return [f"{json.loads(lines[int(name.removeprefix('eval-'))])['text']} is" for name in ids]


def merged_model(base: Path, folder: Path, out: Path) -> Path:
    """What a user does: PEFT merges the adapter, and model and tokenizer are saved."""
    model, tokenizer = peft_model(base, folder)
    copy.deepcopy(model).merge_and_unload().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out
