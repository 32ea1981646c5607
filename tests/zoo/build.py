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
        ["hidden_size", "d_model", "n_embd", "dim", "embedding_size", "emb_dim", "n_embed", "word_embed_proj_dim"], 48
    ),
    **dict.fromkeys(
        ["intermediate_size", "ffn_dim", "ffn_hidden_size", "decoder_ffn_dim", "encoder_ffn_dim", "n_inner",
         "feed_forward_size", "d_inner", "dim_ff", "moe_intermediate_size", "shared_expert_intermediate_size",
         "shared_intermediate_size", "dense_intermediate_size", "intermediate_size_mlp", "attention_hidden_size",
         "mlp_hidden_size", "block_ff_dim", "d_ff", "dff", "prefix_dense_intermediate_size", "expert_ffn_hidden_size"],
        64,
    ),
    **dict.fromkeys(
        ["num_attention_heads", "n_head", "n_heads", "decoder_attention_heads", "encoder_attention_heads",
         "num_heads", "num_global_query_heads"], 4
    ),
    **dict.fromkeys(["num_key_value_heads", "num_global_key_value_heads"], 2),
    **dict.fromkeys(["head_dim", "attention_head_dim", "global_head_dim", "d_kv"], 12),
    **dict.fromkeys(
        ["vocab_size", "vocab_size_per_layer_input", "n_words", "cls_vocab_size"], VOCABULARY
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
    **dict.fromkeys(["linear_num_key_heads", "linear_num_value_heads"], 2),
    **dict.fromkeys(["linear_key_head_dim", "linear_value_head_dim"], 8),
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
    "bailing_hybrid": {**MLA, "head_dim": 12, "layer_types": None, "mlp_layer_types": None, "layer_group_size": 2},
    "bamba": {"mamba_n_heads": 4, "mamba_d_head": 24, "attn_layer_indices": [1, 3]},
    "granitemoehybrid": {"mamba_n_heads": 4, "mamba_d_head": 24},
    "mamba2": {"num_heads": 4, "head_dim": 24, "n_groups": 1},
    "codegen": {"rotary_dim": 8},
    "gptj": {"rotary_dim": 8},
    "stablelm": {"partial_rotary_factor": 0.5, "head_dim": None},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": 1},
    "falcon_h1": {"mamba_n_heads": 4, "mamba_d_head": 12, "mamba_d_ssm": 48, "mlp_multipliers": [1.0, 1.0]},
    "hunyuan_v1_dense": {"head_dim": 12, "num_key_value_heads": 2},
    "hunyuan_v1_moe": {"head_dim": 12, "num_key_value_heads": 2, "num_experts": 4, "moe_topk": 2},
    "ministral": {"head_dim": 12},
    "nemotron": {"head_dim": 12, "num_key_value_heads": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "model_type": ""},
             "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2, "model_type": ""}},
    "qwen4_exp_text": {"layer_types": ["linear_attention", "full_attention"] * 2, "ple_layer_ids": []},
    "reformer": {"is_decoder": True, "attn_layers": ["local", "lsh", "local", "lsh"], "num_hashes": 1,
                 "axial_pos_embds": False, "num_buckets": 4},
    "xlnet": {"d_head": 12},
    "xlstm": {"embedding_dim": 48},
    "xmod": {"default_language": "en_XX"},
    "zamba2": {"n_mamba_heads": 4, "mamba_headdim": 24, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
               "num_key_value_heads": 4, "kv_channels": 12, "attention_head_dim": 24, "attention_hidden_size": 96},
    "gemma3n_text": {"num_kv_shared_layers": 2, "layer_types": ["sliding_attention", "full_attention"] * 2,
                     "activation_sparsity_pattern": [0.0] * 4, "laurel_rank": 8, "altup_num_inputs": 2},
    "cohere_compass_text": {},
    **{kind: {"is_decoder": True} for kind in (
        "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert",
        "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod",
    )},
}  # fmt: skip


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
    target.update(CHANGES.get(text.model_type, {}))
    target.update(changes or {})
    fields.pop("model_type", None)
    return kind(**fields)


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
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
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
