"""Tiny models of every causal language-model type of the installed transformers, from its own configuration class.

Sizes shrink, everything that decides how tokens are mixed (layer kinds, windows, routing, position tables) stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

VOCABULARY = 97

# What an attribute of this name becomes, where the configuration has it as a number.
SIZES: dict[str, int] = {
    **dict.fromkeys(
        ["hidden_size", "d_model", "n_embd", "dim", "embedding_size", "emb_dim", "n_embed", "word_embed_proj_dim",
         "hidden_size_global", "adapter_in_dim", "adapter_out_dim", "adapter_input_size"], 48
    ),
    **dict.fromkeys(
        ["intermediate_size", "ffn_dim", "ffn_hidden_size", "decoder_ffn_dim", "encoder_ffn_dim", "n_inner",
         "feed_forward_size", "d_inner", "dim_ff", "moe_intermediate_size", "shared_expert_intermediate_size",
         "shared_intermediate_size", "dense_intermediate_size", "intermediate_size_mlp", "attention_hidden_size",
         "mlp_hidden_size", "block_ff_dim", "d_ff", "dff", "prefix_dense_intermediate_size", "expert_ffn_hidden_size",
         "shared_experts_intermediate_size", "router_hidden_size"],
        64,
    ),
    **dict.fromkeys(
        ["num_attention_heads", "n_head", "n_heads", "decoder_attention_heads", "encoder_attention_heads",
         "num_heads", "num_global_query_heads", "swa_num_attention_heads"], 4
    ),
    **dict.fromkeys(["num_key_value_heads", "num_global_key_value_heads", "swa_num_key_value_heads"], 2),
    **dict.fromkeys(["head_dim", "attention_head_dim", "global_head_dim", "d_kv", "swa_head_dim"], 12),
    **dict.fromkeys(
        ["vocab_size", "vocab_size_per_layer_input", "n_words", "cls_vocab_size", "encoder_hash_byte_group_vocab",
         "pronunciation_vocab_size", "shape_vocab_size"], VOCABULARY
    ),
    **dict.fromkeys(["q_lora_rank", "kv_lora_rank", "o_lora_rank"], 16),
    **dict.fromkeys(["qk_rope_head_dim"], 8),
    **dict.fromkeys(["qk_nope_head_dim", "v_head_dim"], 12),
    **dict.fromkeys(
        ["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts"], 4
    ),
    **dict.fromkeys(["num_experts_per_tok", "moe_k", "top_k_experts", "moe_top_k", "moe_topk",
                     "num_experts_per_token"], 2),
    **dict.fromkeys(["n_group", "topk_group", "n_groups_moe"], 1),
    **dict.fromkeys(["mamba_d_state", "state_size", "mamba_d_conv"], 4),
    **dict.fromkeys(["linear_num_key_heads", "linear_num_value_heads", "linear_num_heads"], 2),
    **dict.fromkeys(["linear_key_head_dim", "linear_value_head_dim", "linear_head_dim"], 8),
    **dict.fromkeys(["index_n_heads"], 2),
    **dict.fromkeys(["index_head_dim"], 16),
    **dict.fromkeys(["lru_width"], 48),
    **dict.fromkeys(["hidden_size_per_layer_input"], 8),
    **dict.fromkeys(["pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "sep_token_id",
                     "forced_eos_token_id", "cls_token_id"], 1),
}  # fmt: skip
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "decoder_layers", "encoder_layers", "num_layers", "num_blocks")


MLA = {"num_key_value_heads": 4, "head_dim": 8}

# What a type needs beside that to be built small and to work: entries that must fit each other.
CHANGES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        ["axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa", "kimi_linear",
         "longcat_flash", "minicpm3", "youtu", "bailing_hybrid"], MLA,
    ),
    "bailing_hybrid": {**MLA, "head_dim": 12, "layer_types": None, "mlp_layer_types": None, "layer_group_size": 2,
                       "num_expert_group": 1},
    "bamba": {"mamba_n_heads": 4, "mamba_d_head": 24, "attn_layer_indices": [1, 3]},
    "granitemoehybrid": {"mamba_n_heads": 4, "mamba_d_head": 24},
    "mamba2": {"num_heads": 4, "head_dim": 24, "n_groups": 1},
    "codegen": {"rotary_dim": 8},
    "gptj": {"rotary_dim": 8},
    "deepseek_v2": {**MLA, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1},
    "dots3_note_text": {
        "num_key_value_heads": 4, "head_dim": 20, "layer_types": ["indexed_attention", "sliding_attention"] * 2,
        "per_layer_config": {str(layer): {
            "num_attention_heads": 4, "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "head_dim": 20,
            "qk_nope_head_dim": 12, "v_head_dim": 12, "qk_rope_head_dim": 8,
        } for layer in (1, 3)},
    },
    "longcat_flash": {**MLA, "qk_head_dim": 20, "zero_expert_num": 2},
    "stablelm": {"head_dim": None,
                 "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": 1},
    "falcon_h1": {"mamba_n_heads": 4, "mamba_d_head": 12, "mamba_d_ssm": 48, "mlp_multipliers": [0.8, 1.2],
                  "ssm_multipliers": [0.9, 1.1, 0.8, 1.2, 1.0]},
    "hunyuan_v1_dense": {"head_dim": 12, "num_key_value_heads": 2},
    "hunyuan_v1_moe": {"head_dim": 12, "num_key_value_heads": 2, "num_experts": 4, "moe_topk": 2},
    "ministral": {"head_dim": 12},
    "nemotron": {"head_dim": 12, "num_key_value_heads": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "dbrx": {"attn_config": {"clip_qkv": 8.0, "kv_n_heads": 2, "rope_theta": 10000.0},
             "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2}},
    "qwen4_exp_text": {"layer_types": ["linear_attention", "indexed_attention"] * 2, "ple_layer_ids": [],
                       "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16, "indexer_budget": 256,
                       "indexer_compress_ratio": 4, "hc_lowrank": 8},
    "reformer": {"is_decoder": True, "attn_layers": ["local", "lsh", "local", "lsh"], "num_hashes": 1,
                 "axial_pos_embds": False, "num_buckets": 4},
    "xlnet": {"d_head": 12},
    "xlstm": {"embedding_dim": 48},
    "zamba2": {"n_mamba_heads": 4, "mamba_headdim": 24, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
               "hybrid_layer_ids": [1, 3],
               "num_key_value_heads": 4, "kv_channels": 12, "attention_head_dim": 24, "attention_hidden_size": 96},
    "laguna": {"num_attention_heads_per_layer": [4] * 4},
    "gemma3n_text": {"intermediate_size": [64] * 4, "num_kv_shared_layers": 2,
                     "layer_types": ["sliding_attention", "full_attention"] * 2,
                     "activation_sparsity_pattern": [0.0] * 4, "laurel_rank": 8, "altup_num_inputs": 2},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "zamba": {"num_hidden_layers": 5, "num_key_value_heads": 4, "attention_hidden_size": 96, "attention_head_dim": 24,
              "layers_block_type": ["linear_attention", "linear_attention", "hybrid", "linear_attention", "hybrid"]},
    **{kind: {"is_decoder": True} for kind in (
        "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert",
        "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl",
    )},
    "xmod": {"is_decoder": True, "default_language": "en_XX"},
}  # fmt: skip

_DRAFTS = "it drafts for another model, whose states and keys it takes in place of tokens"
_AUDIO = "it writes audio codes of several codebooks, not text"

# Types of the causal mapping that no model of tokens can be built of here, and why.
NOT_BUILT = {
    "gemma3n": "its vision tower needs timm (its text part, gemma3n_text, is tried)",
    "gemma4_assistant": _DRAFTS,
    "gemma4_unified_assistant": _DRAFTS,
    "musicgen": _AUDIO,
    "musicgen_melody": _AUDIO,
}


def shrink(config: Any, n_layers: int) -> None:
    """Make a configuration small in place, sub-configurations too."""
    for name, value in list(vars(config).items()):
        if hasattr(value, "to_dict") and hasattr(value, "model_type"):
            shrink(value, n_layers)
        elif isinstance(value, bool) or not isinstance(value, int):
            continue
        elif name in SIZES and value > SIZES[name]:
            setattr(config, name, SIZES[name])
        elif name in LAYERS and value > n_layers:
            setattr(config, name, n_layers)


def tiny_config(model_type: str, changes: Mapping[str, Any] | None = None, n_layers: int = 4) -> Any:
    """The configuration of a small model of ``model_type``; ``changes`` are set on its text part."""
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[model_type]
    config = kind()
    shrink(config, n_layers)
    fields = _plain(config.to_dict())
    for part in [fields, *[v for v in fields.values() if isinstance(v, dict)]]:
        layers = next((part[name] for name in LAYERS if name in part), None)
        for name, value in part.items():
            if isinstance(value, list) and layers and len(value) > layers:
                part[name] = _shorter(value, layers)
            elif name == "per_layer_config" and isinstance(value, dict):
                # By layer: what a later layer says is said by the last one.
                part[name] = {str(min(int(k), layers - 1)): v for k, v in list(value.items())[:1]}
    text = config.get_text_config()
    target = fields
    if text is not config:
        target = next(v for k, v in fields.items() if isinstance(v, dict) and v.get("model_type") == text.model_type)
    for more in (CHANGES.get(text.model_type, {}), changes or {}):
        rotary = _rotary(target.get("rope_parameters"), more.get("rope_parameters"))
        target.update(more, **rotary)
    fields.pop("model_type", None)
    return kind(**fields)


def _rotary(own: Any, more: Any) -> dict[str, Any]:
    """The rotary settings with ``more`` in them; where layers of a kind have their own, in each."""
    if not more or not own:
        return {}
    kinds = [name for name, value in own.items() if isinstance(value, dict)]
    if kinds and not any(isinstance(value, dict) for value in more.values()):
        return {"rope_parameters": {name: {**own[name], **more} for name in kinds}}
    return {"rope_parameters": {**own, **more}}


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    dropped = ("transformers_version", "architectures", "dtype", "torch_dtype")
    return {k: _plain(v) if isinstance(v, dict) else v for k, v in fields.items() if k not in dropped}


def _shorter(values: list[Any], n: int) -> list[Any]:
    """A per-layer list of ``n`` entries in which every kind that occurs stays, in its first order."""
    kinds = list(dict.fromkeys(map(str, values)))
    kept = values[:n]
    missing = [kind for kind in kinds if kind not in set(map(str, kept))]
    for place, kind in zip(range(n - 1, -1, -1), reversed(missing), strict=False):
        kept[place] = next(v for v in values if str(v) == kind)
    return kept


def build(config: Any, seed: int = 0) -> Any:
    """A model with weights large enough that logits differ by nats, in fp32 and eval mode."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                scale = 1.5 / parameter.shape[-1] ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
            elif "norm" in name.lower() and name.endswith("weight"):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.eos_token_id = None
    return model
