"""What the sweep tries: every causal type as it is by default, and what changes how its tokens are mixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from zoo.build import NOT_BUILT, build, tiny_config
from zoo.judge import Verdict, judge, judge_half

TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)

# Prompts on both sides of every window, chunk, top-k and original length below.
LENGTHS = (9, 23, 41, 70, 12, 5)
W = 16


@dataclass(frozen=True)
class Case:
    """A configuration to hold to the model itself; ``name`` is the type, and behind a colon what is changed."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    lengths: Sequence[int] = LENGTHS
    targets: Any = "all-linear"
    half: bool = False
    n_layers: int = 4

    def verdict(self, device: str = "cpu") -> Verdict:
        try:
            model = build(tiny_config(self.name.split(":")[0], self.changes, self.n_layers))
        except Exception as error:
            return Verdict("not built", f"{type(error).__name__}: {(str(error).splitlines() or [''])[-1][:200]}")
        try:
            if self.half:
                return judge_half(model.to(torch.bfloat16), list(self.lengths), device)
            return judge(model, list(self.lengths), targets=self.targets, device=device)
        except Exception as error:
            return Verdict(
                "", errors={"judge": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"}
            )


def words(text: str) -> list[str]:
    return text.split()


FULL, SLIDING = "full_attention", "sliding_attention"
MIXED = [SLIDING, FULL, SLIDING, FULL]
REVERSED = [FULL, SLIDING, FULL, SLIDING]

# A window by itself, where the type's own layer pattern or its mask says who has it.
WINDOWED = words(
    "afmoe beam cohere2 cohere2_moe cwm deepseek_v4 doge dots3_note_text exaone4 exaone_moe flint gemma2 "
    "gemma3 gemma3_text gemma3n_text gemma4 gemma4_text gemma4_unified gemma4_unified_text gpt_oss "
    "granite_swa granitemoe_swa kolibri1 laguna lfm3 mimo_v2_flash minimax ministral ministral3 mistral "
    "mixtral modernbert-decoder moshi nemotron_h olmo3 phi3 phi4_multimodal phimoe starcoder2 vaultgemma zaya"
)
# Kinds of layers that the configuration lists.
PATTERNED = words(
    "afmoe cohere2 cohere2_moe cohere_compass_text cwm dots1 exaone4 exaone_moe gemma2 gemma3_text gpt_oss "
    "granite_swa granitemoe_swa kolibri1 ministral olmo3 qwen2 qwen2_moe qwen3 smollm3 vaultgemma"
)
SWITCHED = ("got_ocr2", "moss_transcribe_diarize", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3")

# Half the rotated dimensions of a head of 12, where they are not 6.
PAIRS = {
    **dict.fromkeys(("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa",
                     "minicpm3", "youtu", "hy_v4", "longcat_flash"), 4),
    **dict.fromkeys(("glm", "glm4", "glm4_moe", "nemotron", "persimmon", "phi", "stablelm", "laguna",
                     "lfm3"), 3),
    **dict.fromkeys(("gpt_neox", "mimo_v2_flash", "qwen3_next"), 2),
}  # fmt: skip
ROTARY = words(
    "apertus arcee bitnet cohere cohere2 dbrx deepseek_v2 deepseek_v3 diffllama ernie4_5 exaone4 falcon gemma "
    "gemma2 glm glm4 glm4_moe gpt_neox gpt_oss granite granitemoe helium hunyuan_v1_dense internlm3 jais2 "
    "lfm2 llama llama4_text minicpm3 ministral ministral3 mistral mixtral nemotron olmo olmo2 olmoe persimmon "
    "phi phi3 phi4_multimodal phimoe qwen2 qwen2_moe qwen3 qwen3_moe qwen3_next seed_oss smollm3 stablelm "
    "starcoder2 youtu"
)
NESTED = ("gemma3_text", "gemma4_text", "olmo3", "modernbert-decoder", "mimo_v2_flash", "laguna", "lfm3", "mellum")
ORIGINAL = 32


def rope(kind: str, pairs: int = 6) -> dict[str, Any]:
    """Rotary positions whose table depends on rows or is stretched, with ``ORIGINAL`` original positions."""
    extra: dict[str, dict[str, Any]] = {
        "linear": {"factor": 4.0},
        "dynamic": {"factor": 4.0, "original_max_position_embeddings": ORIGINAL},
        "yarn": {"factor": 4.0, "original_max_position_embeddings": ORIGINAL, "beta_fast": 32.0, "beta_slow": 1.0},
        "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                   "original_max_position_embeddings": ORIGINAL},
        "longrope": {"factor": 6.0, "original_max_position_embeddings": ORIGINAL,
                     "short_factor": [1.0] * pairs, "long_factor": [1.0 + 1.7 * n for n in range(pairs)]},
    }  # fmt: skip
    return {"rope_type": kind, **extra[kind]}


def scaled(kind: str, name: str) -> dict[str, Any]:
    changes: dict[str, Any] = {"rope_parameters": rope(kind, PAIRS.get(name, 6)), "max_position_embeddings": 200}
    if name in ("phi3", "phi4_multimodal"):
        changes["original_max_position_embeddings"] = ORIGINAL
    if name == "phimoe":
        changes["rope_parameters"] |= {"short_mscale": 1.0, "long_mscale": 1.3}
    if name in ("mixtral", "stablelm"):
        changes["head_dim"] = 12
    return changes


def _cases() -> Iterator[Case]:
    yield from (Case(name) for name in TYPES if name not in NOT_BUILT)
    yield from (Case(f"{name}:window", {"sliding_window": W}) for name in WINDOWED)
    for name in SWITCHED:
        # "Windows from this layer on": all, or the upper two.
        yield from (
            Case(f"{name}:windows from {first}",
                 {"use_sliding_window": True, "sliding_window": W, "max_window_layers": first, "layer_types": None})
            for first in (0, 2)
        )  # fmt: skip
    for name in PATTERNED:
        kinds = {"mixed": MIXED, "reversed": REVERSED}
        if name in ("gemma2", "qwen2_moe", "cohere2", "gpt_oss"):
            kinds |= {"all windows": [SLIDING] * 4, "full": [FULL] * 4}
        for label, layers in kinds.items():
            switch = {"use_sliding_window": True} if name in SWITCHED else {}
            yield Case(f"{name}:{label}", {"sliding_window": W, "layer_types": layers, **switch})
    for kind in ("longrope", "dynamic"):
        yield from (Case(f"{name}:{kind}", scaled(kind, name)) for name in (*ROTARY, *NESTED))
    # Tables that are stretched once and for all.
    for kind in ("yarn", "linear"):
        for name in words(
            "llama phi3 phimoe minicpm3 qwen2 mistral deepseek_v2 deepseek_v3 gemma3_text gpt_oss gpt_neox falcon"
        ):
            yield Case(f"{name}:{kind}", scaled(kind, name))
    yield from (
        Case(f"{name}:llama3", scaled("llama3", name)) for name in ("llama", "qwen2", "gemma2", "smollm3", "phimoe")
    )
    for name in ("llama", "phi3", "phimoe", "qwen2_moe", "minicpm3", "mistral", "deepseek_v3"):
        # All rows on one side of the original length, and rows that cross it while they are continued.
        yield Case(f"{name}:longrope, short rows", scaled("longrope", name), (5, 9, 14, 20))
        yield Case(f"{name}:longrope, long rows", scaled("longrope", name), (40, 48, 70, 55))
        yield Case(f"{name}:longrope, across", scaled("longrope", name), (27, 28, 29, 30, 31, 32, 33))
        yield Case(f"{name}:dynamic, across", scaled("dynamic", name), (27, 28, 29, 30, 31, 32, 33))
    for name in ("mistral", "phi3", "phimoe", "qwen2_moe", "starcoder2"):
        both = {**scaled("longrope", name), "sliding_window": W}
        if name in SWITCHED:
            both |= {"use_sliding_window": True, "layer_types": MIXED}
        yield Case(f"{name}:window and longrope", both)
    yield from _chunks_and_caps()
    yield from _heads()
    yield from _sparse()
    yield from _mixed_layers()
    yield from _adapters()


def _chunks_and_caps() -> Iterator[Case]:
    for name in ("llama4", "llama4_text"):
        for size in (7, 16):
            yield Case(f"{name}:chunks of {size}", {"attention_chunk_size": size})
        yield Case(f"{name}:no rotation anywhere", {"no_rope_layers": [0] * 4, "layer_types": None})
        yield Case(
            f"{name}:rotation everywhere", {"no_rope_layers": [1] * 4, "layer_types": None, "attention_chunk_size": W}
        )
        yield Case(f"{name}:temperature", {"attn_temperature_tuning": True, "floor_scale": 8, "attn_scale": 0.5})
        yield Case(f"{name}:dense and sparse", {"interleave_moe_layer_step": 2, "moe_layers": None})
    caps = ("gemma2", "gemma3_text", "gemma3n_text", "gemma4_text", "vaultgemma")
    for name in caps:
        yield Case(
            f"{name}:caps of 5", {"final_logit_softcapping": 5.0, "attn_logit_softcapping": 5.0, "sliding_window": W}
        )
        yield Case(f"{name}:bf16, cap 30", {"final_logit_softcapping": 30.0, "sliding_window": W}, half=True)
        yield Case(f"{name}:bf16, cap 5", {"final_logit_softcapping": 5.0, "sliding_window": W}, half=True)
    for name in ("gemma2", "vaultgemma"):
        yield Case(f"{name}:no caps", {"final_logit_softcapping": None, "attn_logit_softcapping": None})
    yield Case("recurrent_gemma:cap 5", {"logits_soft_cap": 5.0})
    yield Case("nanochat:cap 5", {"final_logit_softcapping": 5.0})
    for name in words(
        "llama qwen2 qwen3_moe mistral gpt2 gpt_neox phi phimoe mixtral cohere granite deepseek_v3 llama4_text "
        "gpt_oss starcoder2 olmo2 opt bloom mamba nanochat"
    ):
        yield Case(f"{name}:bf16", half=True)
    yield Case("phimoe:bf16, window", {"sliding_window": W}, half=True)
    yield Case("llama:bf16, longrope", scaled("longrope", "llama"), half=True)


def _heads() -> Iterator[Case]:
    tied = words(
        "llama qwen2 qwen3 qwen3_moe mistral mixtral phi3 phimoe gpt_neox gptj codegen olmo2 stablelm deepseek_v3 "
        "granite diffllama glm4 minimax mamba2 nemotron seed_oss arcee"
    )
    yield from (Case(f"{name}:tied", {"tie_word_embeddings": True}) for name in tied)
    untied = words("gemma gemma2 gpt2 opt bloom cohere falcon starcoder2 smollm3 mamba gemma4_text bart")
    yield from (Case(f"{name}:untied", {"tie_word_embeddings": False}) for name in untied)
    for n, label in ((1, "one key head"), (4, "all key heads")):
        for name in words(
            "llama qwen2 qwen3 mistral gemma2 phi3 phimoe gpt_oss olmo2 stablelm starcoder2 glm4 cohere granite "
            "diffllama"
        ):
            yield Case(f"{name}:{label}", {"num_key_value_heads": n})
    for name in words(
        "llama apertus arcee bitnet cohere deepseek_v3 diffllama exaone_moe gemma gemma2 glm4_moe granite "
        "internlm3 olmo2 olmoe phimoe qwen3 qwen3_moe smollm3 nemotron"
    ):
        yield Case(f"{name}:biases", {"attention_bias": True, "mlp_bias": True})
    for name in ("gpt_oss", "glm", "gpt_neox", "seed_oss"):
        yield Case(f"{name}:no biases", {"attention_bias": False})
    yield Case("falcon:alibi", {"alibi": True})
    yield Case("falcon:new decoder", {"new_decoder_architecture": True, "num_kv_heads": 2})
    yield Case("falcon:serial", {"parallel_attn": False, "bias": True})
    yield Case("falcon:many heads", {"multi_query": False})
    yield Case("gpt_bigcode:many heads", {"multi_query": False})
    yield Case("gpt2:by layer", {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True})
    yield Case("gpt2:unscaled", {"scale_attn_weights": False})
    yield Case("gpt_neox:serial", {"use_parallel_residual": False})
    yield Case("stablelm:parallel", {"use_parallel_residual": True, "qk_layernorm": True, "use_qkv_bias": True})
    yield Case("phi:normed", {"qk_layernorm": True})
    yield Case("persimmon:not normed", {"qk_layernorm": False})
    yield Case("cohere:normed", {"use_qk_norm": True, "logit_scale": 0.5})
    yield Case("llama4_text:not normed", {"use_qk_norm": False})
    yield Case("olmo:clipped", {"clip_qkv": 0.5})
    yield Case("olmoe:clipped", {"clip_qkv": 0.5})
    yield Case(
        "gpt_neo:local", {"attention_types": [[["local"], 4]], "attention_layers": ["local"] * 4, "window_size": W}
    )
    yield Case("gpt_neo:mixed", {"attention_layers": ["global", "local"] * 2, "window_size": W})
    yield Case("smollm3:rotation nowhere", {"no_rope_layers": [0] * 4})
    yield Case("smollm3:rotation everywhere", {"no_rope_layers": [1] * 4})
    scales = {
        "attention_multiplier": 0.2,
        "residual_multiplier": 0.3,
        "embedding_multiplier": 3.0,
        "logits_scaling": 2.0,
    }
    yield Case("granite:multipliers", scales)
    yield Case("cohere2:logit scale 1", {"logit_scale": 1.0})
    yield Case("opt:norm behind", {"do_layer_norm_before": False})
    yield Case("opt:projected", {"word_embed_proj_dim": 24})
    yield Case("xglm:scaled", {"scale_embedding": True})
    yield Case("gemma3_text:scaled attention", {"query_pre_attn_scalar": 7})
    for name in ("phi", "stablelm", "glm", "nemotron", "glm4_moe", "persimmon", "minimax"):
        for share in (0.34, 1.0):
            yield Case(f"{name}:rotates {share}", {"rope_parameters": {"partial_rotary_factor": share}})
    for name in ("mistral", "llama", "qwen2", "gemma2"):
        yield Case(f"{name}:heads of 20", {"head_dim": 20})


def _sparse() -> Iterator[Case]:
    """Top-k attention with fewer keys than the rows have, and experts in some of the layers only."""
    for name in ("axk2", "deepseek_v32", "deepseek_v4", "dots3_note_text", "glm_moe_dsa", "hy_v4"):
        yield Case(f"{name}:top 8", {"index_topk": 8})
        yield Case(f"{name}:top 32", {"index_topk": 32})
    yield Case("qwen4_exp_text:top 8", {"indexer_budget": 8})
    yield Case("qwen4_exp_text:top 32", {"indexer_budget": 32})
    yield Case("doge:top 8", {"keep_window_size": 8})
    yield Case("minimax_m3_vl_text:blocks of 4", {"index_block_size": 4, "index_topk_blocks": 2})
    yield Case("qwen4_exp_text:n-grams", {"ple_layer_ids": [1], "ple_embed_dim": 32, "ngram_vocab_size_base": 50,
                                          "heads_per_ngram": 2, "split_ngram_parts": 1, "eos_token_id": 1,
                                          "make_ngram_vocab_size_divisible_by": 1})  # fmt: skip
    for name in ("inkling_text", "inkling2_text"):
        yield Case(f"{name}:window", {"sliding_window_size": W})
        yield Case(f"{name}:near", {"rel_extent": W})
    for name in ("big_bird", "bigbird_pegasus"):
        # Full below 14 tokens, blocks from there on.
        yield Case(f"{name}:small blocks", {"block_size": 4, "num_random_blocks": 2})
    yield Case("reformer:short buckets", {"local_attn_chunk_length": 8, "lsh_attn_chunk_length": 8})
    for name in ("qwen2_moe", "qwen3_moe", "qwen3_next"):
        yield Case(f"{name}:every second", {"decoder_sparse_step": 2})
        yield Case(f"{name}:dense 0 and 3", {"mlp_only_layers": [0, 3]})
        yield Case(f"{name}:normed", {"norm_topk_prob": True})
    for name in ("deepseek_v2", "deepseek_v3", "deepseek_v32", "dots1", "exaone_moe", "glm4_moe", "glm_moe_dsa"):
        yield Case(f"{name}:all sparse", {"first_k_dense_replace": 0, "mlp_layer_types": ["sparse"] * 4})
        yield Case(f"{name}:all dense", {"first_k_dense_replace": 4, "mlp_layer_types": ["dense"] * 4})
    for name in ("axk1", "beam", "cohere2_moe", "glm4_moe_lite", "hy_v3", "laguna", "mellum", "mimo_v2_flash"):
        yield Case(f"{name}:dense below", {"mlp_layer_types": ["dense", "dense", "sparse", "sparse"]})
    for name in ("deepseek_v2", "deepseek_v3", "glm4_moe", "dots1"):
        yield Case(f"{name}:groups", {"n_group": 2, "topk_group": 1, "topk_method": "group_limited_greedy"})
    for name in ("mixtral", "phimoe", "qwen2_moe", "olmoe", "gpt_oss", "granitemoe", "jetmoe", "minimax_m2"):
        top = "num_experts_per_tok"
        yield Case(f"{name}:one expert", {top: 1})
    yield Case("mixtral:jitter", {"router_jitter_noise": 0.1})
    yield Case("deepseek_v3:plain queries", {"q_lora_rank": None})
    yield Case("deepseek_v2:plain queries", {"q_lora_rank": None})
    yield Case("ernie4_5_moe:dense below", {"moe_layer_start_index": 2, "moe_layer_end_index": 3})
    yield Case("gemma4_text:experts", {"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2,
                                       "moe_intermediate_size": 32})  # fmt: skip
    for name in ("llama4_text", "deepseek_v3", "qwen3_moe"):
        yield Case(f"{name}:eight layers", {}, n_layers=8)


def _mixed_layers() -> Iterator[Case]:
    for name in ("gemma4_text", "gemma4_unified_text", "gemma4"):
        yield Case(f"{name}:shared keys", {"num_kv_shared_layers": 2, "layer_types": MIXED, "sliding_window": W})
    yield Case(
        "gemma4_text:double wide", {"num_kv_shared_layers": 2, "layer_types": MIXED, "use_double_wide_mlp": True}
    )
    yield Case("gemma4_text:keys are values", {"attention_k_eq_v": True, "layer_types": MIXED})
    yield Case("gemma4_text:no inputs by layer", {"hidden_size_per_layer_input": 0})
    yield Case("gemma3n_text:shared keys, window", {"num_kv_shared_layers": 2, "sliding_window": W})
    yield Case("gemma3n_text:no shared keys", {"num_kv_shared_layers": 0})
    yield Case("gemma3n_text:sparse", {"activation_sparsity_pattern": [0.5, 0.5, 0.0, 0.0]})
    linear = "linear_attention"
    for name in ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text", "olmo_hybrid", "kimi_linear", "minimax"):
        yield Case(f"{name}:full below", {"layer_types": [FULL, linear, FULL, linear]})
        yield Case(f"{name}:all full", {"layer_types": [FULL] * 4})
    for name in ("lfm2", "lfm2_moe"):
        yield Case(f"{name}:convolutions", {"layer_types": ["conv"] * 4, "full_attn_idxs": None})
        yield Case(f"{name}:half convolutions", {"layer_types": ["conv", FULL] * 2, "full_attn_idxs": None})
    yield Case("granitemoehybrid:attention", {"layer_types": ["attention"] * 4})
    yield Case("granitemoehybrid:half", {"layer_types": ["mamba", "attention"] * 2})
    yield Case(
        "granitemoehybrid:rotated", {"layer_types": ["mamba", "attention"] * 2, "position_embedding_type": "rope"}
    )
    yield Case("bamba:one attention", {"attn_layer_indices": [2]})
    yield Case("nemotron_h:attention", {"layers_block_type": ["attention", "mlp"] * 2})
    yield Case("recurrent_gemma:window", {"attention_window_size": W})
    yield Case("zamba2:rotated", {"use_mem_rope": True, "use_shared_attention_adapter": True, "adapter_rank": 4})
    yield Case("big_bird:full", {"attention_type": "original_full"})
    yield Case("bigbird_pegasus:full", {"attention_type": "original_full"})
    for name in ("bert", "roberta", "electra", "xlm-roberta", "megatron-bert"):
        yield Case(f"{name}:encoder", {"is_decoder": False})
    yield Case("mpt:alibi off", {"attn_config": {"alibi": False}})
    yield Case("mpt:clipped", {"attn_config": {"clip_qkv": 1.0, "qk_ln": False}})
    yield Case("mpt:rescaled", {"logit_scale": "inv_sqrt_d_model"})
    yield Case("openai-gpt:two layers", {}, n_layers=2)
    yield Case("ctrl:two layers", {}, n_layers=2)


def _adapters() -> Iterator[Case]:
    """Adapters on parts of a model."""
    attention = ["q_proj", "k_proj", "v_proj", "o_proj"]
    for name in words("llama mistral gemma2 phimoe deepseek_v3 qwen3_moe mixtral gpt_oss gemma4_text diffllama"):
        if name != "deepseek_v3":
            yield Case(f"{name}:adapter on q and v", targets=["q_proj", "v_proj"])
        yield Case(f"{name}:adapter on o", targets=["o_proj"])
    for name in ("llama", "gemma3_text", "qwen2", "bitnet", "lfm2"):
        yield Case(f"{name}:adapter on the last", targets=["layers.3.self_attn.q_proj"])
    yield Case("llama:adapter on the mlp", targets=["gate_proj", "up_proj", "down_proj"])
    yield Case("deepseek_v3:adapter on latents", targets=["kv_b_proj", "q_a_proj"])
    yield Case("qwen2_moe:adapter on shared expert", targets=["shared_expert.gate_proj", "shared_expert.down_proj"])
    yield Case("qwen3_next:adapter on attention", targets=attention)
    yield Case("gpt2:adapter on c_attn", targets=["c_attn"])
    yield Case("falcon:adapter on qkv", targets=["query_key_value"])
    yield Case("mamba:adapter on x", targets=["x_proj"])
    yield Case("bloom:adapter on the mlp", targets=["dense_h_to_4h"])
    yield Case("opt:adapter on fc", targets=["fc1", "fc2"])


CASES = {case.name: case for case in _cases()}
