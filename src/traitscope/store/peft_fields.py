"""The keys of a PEFT configuration: each is honoured, has no effect on saved weights, or is refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.records import LEAST_ALPHA, MOST_ALPHA, MOST_RANK
from traitscope.store.adapters import CONFIG, WEIGHTS
from traitscope.store.weights import read_header, refuse_no_numbers, refuse_pointer
from traitscope.texts import shown

PICKLED = "adapter_model.bin"
_SAVE_AGAIN = "save the adapter again"

# The keys that decide which modules are adapted, and how.
HONOURED = frozenset(
    {
        "peft_type", "task_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern",
        "target_modules", "target_parameters", "exclude_modules", "layers_to_transform", "layers_pattern",
        "init_lora_weights", "bias", "lora_dropout", "revision", "base_model_name_or_path",
    }
)  # fmt: skip

# How the adapter was trained, kept or started, never what its saved weights compute: ``fan_in_fan_out`` is set by PEFT
# from the module itself, VeLoRA changes the backward pass alone, the sub-configurations of initialisations act only
# with ``init_lora_weights``, tied adapters have weights of embeddings, which are refused as such.
WITHOUT_EFFECT = frozenset(
    {
        "auto_mapping", "peft_version", "inference_mode", "fan_in_fan_out", "megatron_core",
        "qalora_group_size", "runtime_config", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
        "velora_config", "ensure_weight_tying",
    }
)  # fmt: skip

# What changes the function and is not implemented.
REFUSED = {
    "use_dora": "DoRA",
    "modules_to_save": "fully trained modules",
    "layer_replication": "layer replication",
    "trainable_token_indices": "trainable tokens",
    "alora_invocation_tokens": "activated LoRA",
    "use_bdlora": "block-diagonal LoRA",
    "arrow_config": "Arrow routing",
    "lora_bias": "biases inside the adapter",
    "megatron_config": "Megatron's parallel layers",
    "use_qalora": "QA-LoRA, which pools the inputs",
    "monteclora_config": "MonteCLoRA, which samples weights",
    "kasa_config": "KaSA, which truncates the base's weights",
}

# Of these what PEFT can merge into the weights of the base: under ``models:`` such an adapter is a model of its own.
MERGED = frozenset({"use_dora", "modules_to_save", "trainable_token_indices", "lora_bias"})

# Methods other than LoRA that change weights, so that PEFT can merge them.
MERGED_METHODS = frozenset(
    {
        "ADALORA", "ADAMSS", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT", "FROD", "GLORA", "GRALORA", "HIRA", "HRA",
        "IA3", "LN_TUNING", "LOHA", "LOKR", "MISS", "OFT", "OSF", "PEANUT", "PSOFT", "PVERA", "RANDLORA", "ROAD",
        "SHIRA", "SUPERTUNING", "TINYLORA", "TRAINABLE_TOKENS", "UNILORA", "VBLORA", "VERA", "WAVEFT",
    }
)  # fmt: skip

_MERGE = (
    "merge it in PEFT (merge_and_unload, then save_pretrained of model and tokenizer) "
    "and name the merged model's folder"
)

# Starts that change A and B alone, and those that change the base's weights too (with PEFT's own spelling rules).
PLAIN_STARTS = ("gaussian", "orthogonal", "eva", "mica")
BASE_CHANGING_STARTS = ("pissa", "corda", "olora", "loftq", "lora_ga")


def refuse(fields: Mapping[str, Any], where: str, *, merged: bool = False) -> None:
    """Refuses what the engine does not implement, by the key that asks for it.

    Args:
        fields: the adapter's configuration. where: the adapter.
        merged: it is merged into the base's weights by PEFT, which can do more than run beside other adapters.
    """
    kind = fields.get("peft_type")
    if kind != "LORA" and not (merged and kind in MERGED_METHODS):
        can = kind in MERGED_METHODS
        raise TraitscopeError(
            f"is of PEFT type {kind} (peft_type), which {'must' if can else 'cannot'} be merged into its base",
            where=where,
            fix="name it under models:, or train a LoRA" if can else "train a LoRA, or what docs/models.md names",
        )
    task = fields.get("task_type")
    if task not in (None, "CAUSAL_LM"):
        raise TraitscopeError(
            f"was trained for another task than a causal language model's (task_type: {task})",
            where=where,
            fix="train it with task_type CAUSAL_LM",
        )
    if kind != "LORA":
        return
    for option, what in REFUSED.items():
        if fields.get(option) and not (merged and option in MERGED):
            can = option in MERGED or option == "layer_replication"
            raise TraitscopeError(
                f"uses {what} ({option}), which is not supported",
                where=where,
                fix=f"train a plain LoRA, without {option}{f'; or {_MERGE}' if can else ''}",
            )
    _refuse_values(fields, where)
    if fields.get("bias", "none") != "none" and not merged:
        raise TraitscopeError(
            f"trains biases (bias: {fields['bias']}), which is not supported",
            where=where,
            fix=f"train with bias: none; or {_MERGE}",
        )
    _refuse_start(fields.get("init_lora_weights", True), where)
    for key in fields:
        if key not in HONOURED | WITHOUT_EFFECT | REFUSED.keys() and fields[key] not in (None, False, 0, "", [], {}):
            raise TraitscopeError(
                f"{CONFIG} has the key {key}, of which nothing is known here (its value: {shown(fields[key])})",
                where=where,
                fix=f"train it without {key}; or update traitscope, which knows the keys of peft 0.21",
            )


def check_folder(folder: Path, *, merged: bool = False) -> dict[str, Any]:
    """The configuration of an adapter's folder whose files are whole; its weights are looked at, not loaded.

    Args:
        folder: as PEFT's ``save_pretrained`` writes it. merged: as in ``refuse``.

    Raises:
        TraitscopeError: files are missing or damaged, or an option is not implemented.
    """
    where = f"adapter {folder}"
    for name in (CONFIG, WEIGHTS):
        if (folder / name).is_file():
            refuse_pointer(folder / name)
            continue
        if name == WEIGHTS and (folder / PICKLED).is_file():
            raise TraitscopeError(
                f"its weights are pickled ({PICKLED}), which is not read",
                where=where,
                fix="load it in PEFT and write it again with save_pretrained(folder, safe_serialization=True)",
            )
        raise TraitscopeError(f"no {name}", where=where, fix="name a folder that PEFT's save_pretrained wrote")
    try:
        fields = json.loads((folder / CONFIG).read_text())
    except (ValueError, RecursionError) as error:
        raise TraitscopeError(f"{CONFIG} cannot be read: {error}", where=where, fix=_SAVE_AGAIN) from error
    if not isinstance(fields, dict):
        raise TraitscopeError(f"{CONFIG} is no mapping of keys to values", where=where, fix=_SAVE_AGAIN)
    refuse(fields, where, merged=merged)
    refuse_no_numbers(folder / WEIGHTS, read_header(folder / WEIGHTS))
    return fields


def _refuse_values(fields: Mapping[str, Any], where: str) -> None:
    """Refuses numbers that cannot be, and lists and names in the place of one another."""
    ranks, alphas = (fields.get(key) or {} for key in ("rank_pattern", "alpha_pattern"))
    kinds: dict[str, tuple[type, ...]] = {
        **dict.fromkeys(("rank_pattern", "alpha_pattern"), (dict,)),
        **dict.fromkeys(("target_modules", "exclude_modules", "layers_pattern"), (str, list)),
        "layers_to_transform": (int, list),
        "target_parameters": (list,),
        "use_rslora": (bool,),
    }
    for key, kind in kinds.items():
        value = fields.get(key)
        parts = value if isinstance(value, list) else ()
        inner = int if key == "layers_to_transform" else str
        plain = key != "layers_pattern" or all(
            str(part).replace(".", "").isidentifier() for part in ([value] if isinstance(value, str) else parts)
        )
        if (
            (value is not None and not isinstance(value, kind))
            or not all(isinstance(p, inner) for p in parts)
            or not plain
        ):
            raise TraitscopeError(f"{key} is {shown(value)}, which cannot be", where=where, fix=_SAVE_AGAIN)
    numbers = [
        ("r", fields.get("r", 8), 1, MOST_RANK),
        *((f"rank_pattern {name[:80]}", value, 1, MOST_RANK) for name, value in ranks.items()),
        ("lora_alpha", fields.get("lora_alpha", 8), LEAST_ALPHA, MOST_ALPHA),
        *((f"alpha_pattern {name[:80]}", value, LEAST_ALPHA, MOST_ALPHA) for name, value in alphas.items()),
        ("lora_dropout", fields.get("lora_dropout") or 0, 0, math.nextafter(1, 0)),
    ]
    for key, value, least, most in numbers:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TraitscopeError(f"{key} is {shown(value)}, no number", where=where, fix=_SAVE_AGAIN)
        # A negative alpha takes away what the adapter learnt.
        size = abs(value) if key.startswith(("lora_alpha", "alpha")) else value
        if not least <= size <= most or (most == MOST_RANK and value != int(value)):
            whole = "a whole number" if most == MOST_RANK else "a number"
            raise TraitscopeError(
                f"{key} is {value}, and not {whole} of {least:g} to {most:g}", where=where, fix=_SAVE_AGAIN
            )


def _refuse_start(start: Any, where: str) -> None:
    """Refuses initialisations after which the adapter belongs to other base weights than the base's own."""
    if isinstance(start, bool):
        return
    if not isinstance(start, str) or not start.lower().startswith((*PLAIN_STARTS, *BASE_CHANGING_STARTS)):
        raise TraitscopeError(
            f"was started in an unknown way (init_lora_weights: {start!r})",
            where=where,
            fix=f"train it with init_lora_weights true, false or one of {', '.join(PLAIN_STARTS)}",
        )
    if start.lower() == "loftq":
        raise TraitscopeError(
            "belongs to base weights that LoftQ has changed (init_lora_weights: loftq)",
            where=where,
            fix="merge it in PEFT into the base it was trained on and name the merged model; or train a plain LoRA",
        )
    if start.lower().startswith(BASE_CHANGING_STARTS):
        raise TraitscopeError(
            f"belongs to base weights that its initialisation has changed (init_lora_weights: {start})",
            where=where,
            fix="convert it in PEFT to an adapter of the unchanged base: save_pretrained(folder, "
            "path_initial_model_for_weight_conversion=<the adapter as it was saved before training>)",
        )
