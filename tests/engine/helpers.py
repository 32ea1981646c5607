"""Tiny models of several architectures, and the plain PEFT loops that the engine is held against."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from traitscope.engine import Base, wrap_model

COMMON = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
WIDE = {"intermediate_size": 48, "max_position_embeddings": 128}
GROUPED = {"num_key_value_heads": 2}

CONFIGS = {
    "llama": {"model_type": "llama", **COMMON, **WIDE, **GROUPED},
    "qwen3": {"model_type": "qwen3", **COMMON, **WIDE, **GROUPED, "head_dim": 8},
    "gpt2": {
        "model_type": "gpt2", "vocab_size": 97, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128,
        "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
    },
    "gemma2": {
        "model_type": "gemma2", **COMMON, **WIDE, **GROUPED, "head_dim": 8, "sliding_window": 16,
        "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8,
    },
    "phi3": {"model_type": "phi3", **COMMON, **WIDE, **GROUPED, "pad_token_id": 0, "sliding_window": 12},
    "gpt_neox": {"model_type": "gpt_neox", **COMMON, **WIDE, "rotary_pct": 0.5},
    "bloom": {"model_type": "bloom", "vocab_size": 97, "hidden_size": 32, "n_layer": 3, "n_head": 4},
}  # fmt: skip


def deep_model() -> torch.nn.Module:
    """A bf16 Llama of thirty layers and large weights: rounding moves its own gradients by more than a fifth."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97, hidden_size=32, num_hidden_layers=30, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, max_position_embeddings=128, initializer_range=0.2,
    )  # fmt: skip
    return LlamaForCausalLM(config).to(torch.bfloat16).eval()


def tiny_model(name: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.nn.Module:
    """A random model of an architecture; eager attention, so that its softmax is the one in its own source."""
    config = AutoConfig.for_model(**CONFIGS[name])
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", trust_remote_code=False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            # Larger than the default initialisation, so that attention and adapters matter.
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15)
    return model.to(dtype).eval()


def known_model(model: torch.nn.Module, tokenizer: Any, **named: Any) -> Base:
    """Wrapped as a model of a folder is, whose content is known: proven once by all tests, for this engine's source."""
    content = hashlib.sha256(f"{model!r} {model.config!r}".encode())
    for name, tensor in model.state_dict().items():
        content.update(name.encode() + tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return wrap_model(model, tokenizer, fingerprint=content.hexdigest(), **named)


class TinyTokenizer:
    """As much of a tokenizer as generation asks for: ids as letters, so that stop strings can be tested."""

    eos_token_id = 5

    def decode(self, ids, skip_special_tokens: bool = False) -> str:
        ids = [int(i) for i in ids]
        return "".join(chr(40 + i) for i in ids if not (skip_special_tokens and i == self.eos_token_id))


def random_adapters(base, seed: int = 0) -> dict:
    """Four models of different shape: the base, a wide, a narrow and an upper-layer adapter, with non-zero updates."""
    from traitscope.engine import Adapter, LoraSpec

    narrow = {"gpt2": ("c_attn",), "phi3": ("qkv_proj",), "gpt_neox": ("dense",), "bloom": ("dense",)}
    specs = {
        "wide": LoraSpec(4, 8.0),
        "narrow": LoraSpec(2, 6.0, narrow.get(base.name, ("q_proj", "v_proj"))),
        "upper": LoraSpec(3, 9.0, layers=(1, 2)),
    }
    models = {"base": None}
    for number, (name, spec) in enumerate(specs.items()):
        adapter = Adapter.init(base, spec, seed + number)
        generator = torch.Generator().manual_seed(seed + 100 + number)
        adapter.flat.copy_(torch.randn(adapter.flat.shape, generator=generator, dtype=adapter.flat.dtype) * 0.2)
        models[name] = adapter
    return models


def peft_of(model, adapter):
    """The same adapter in PEFT, on a copy of the model."""
    import copy

    from peft import LoraConfig, get_peft_model

    model = copy.deepcopy(model)
    if adapter is None:
        return model
    config = LoraConfig(
        r=adapter.spec.rank, lora_alpha=adapter.spec.alpha, target_modules=[p.name for p in adapter.pieces]
    )
    peft_model = get_peft_model(model, config, autocast_adapter_dtype=False)
    parameters = dict(peft_model.named_parameters())
    with torch.no_grad():
        for key, value in adapter.tensors().items():
            parameters[key.replace(".weight", ".default.weight")].copy_(value)
    return peft_model.eval()
