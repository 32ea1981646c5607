"""Reading an adapter folder that PEFT wrote: every key of its configuration is honoured or refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from traitscope.engine.linear import original_linear
from traitscope.errors import TraitscopeError
from traitscope.store.adapters import WEIGHTS
from traitscope.store.patterns import ending, matched
from traitscope.store.peft_fields import check_folder
from traitscope.store.targets import Decoder

PREFIX = "base_model.model."
_SAVE_AGAIN = "save the adapter again"


@dataclass(frozen=True)
class Saved:
    """What a PEFT folder says.

    Attributes:
        config: PEFT's ``LoraConfig``, as PEFT itself takes it for this base.
        pairs: module name -> A [R, D_in], B [D_out, R], in the model's order.
    """

    config: Any
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor]]


def read_folder(folder: Path, base: Decoder) -> Saved:
    """The configuration and weights of a LoRA folder made for ``base``.

    Raises:
        TraitscopeError: no LoRA folder, an option that is not implemented, or weights that do not belong to linear
            layers of the base's decoder as the configuration targets them.
    """
    from safetensors.torch import load_file

    where = f"adapter {folder}"
    fields = check_folder(folder)
    try:
        tensors = load_file(folder / WEIGHTS)
    except Exception as error:
        raise TraitscopeError(f"cannot be read: {error}", where=where, fix=_SAVE_AGAIN) from error
    _refuse_other_revision(fields, base, where)
    try:
        config, tensors = _as_peft_takes_it(fields, tensors, base, where)
    except TraitscopeError:
        raise
    except Exception as error:  # PEFT checks what belongs together, with errors of its own
        raise TraitscopeError(
            f"PEFT does not take it on {base.name}: {error}", where=where, fix="save the adapter again, with this base"
        ) from error
    return Saved(config, _in_order(_pairs(tensors, where), config, base, where))


def _refuse_other_revision(fields: Mapping[str, Any], base: Decoder, where: str) -> None:
    """Two commits of one Hub model are two bases; a branch or tag says nothing that could be compared."""
    theirs, ours = fields.get("revision"), base.revision
    commits = all(isinstance(r, str) and len(r) == 40 for r in (theirs, ours))
    if commits and theirs != ours and fields.get("base_model_name_or_path") == base.name:
        raise TraitscopeError(
            f"was trained on revision {theirs} of {base.name}; the base is {ours} (revision)",
            where=where,
            fix=f"write base: {{model: {base.name}, revision: {theirs}}}",
        )


def _as_peft_takes_it(
    fields: Mapping[str, Any], tensors: dict[str, torch.Tensor], base: Decoder, where: str
) -> tuple[Any, dict[str, torch.Tensor]]:
    """Configuration and weights after what PEFT does to both while loading: targets and names of other versions."""
    from peft import LoraConfig
    from peft.utils.transformers_weight_conversion import (
        convert_peft_adapter_state_dict_for_transformers,
        convert_peft_config_for_transformers,
    )

    known = LoraConfig.__dataclass_fields__.keys() - {"runtime_config"}
    with warnings.catch_warnings():
        # PEFT warns of settings that take no effect.
        warnings.simplefilter("ignore")
        config = LoraConfig(**{key: value for key, value in fields.items() if key in known})
        config.r, config.lora_alpha = int(config.r), float(config.lora_alpha)
        _write_out(config, base, where)
        convert_peft_config_for_transformers(config, base.model, None)
        tensors = convert_peft_adapter_state_dict_for_transformers(base.model, config, tensors)
    return config, tensors


def _write_out(config: Any, base: Decoder, where: str) -> None:
    """Puts the names that they match in the place of regular expressions, which PEFT would search without end.

    Raises:
        TraitscopeError: one is none, or takes too long.
    """
    names = [name for named in (base.model.named_modules(), base.model.named_parameters()) for name, _ in named]
    for key in ("target_modules", "exclude_modules"):
        pattern = getattr(config, key)
        if isinstance(pattern, str) and not (key == "target_modules" and pattern.lower() == "all-linear"):
            setattr(config, key, matched(pattern, names, f"{where}, {key}"))
    for key in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(config, key) or {}:
            matched(ending(pattern), base.linear_names, f"{where}, {key}")


def _pairs(tensors: Mapping[str, torch.Tensor], where: str) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    ends = (".lora_A.weight", ".lora_B.weight")
    found: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        end = next((e for e in ends if key.endswith(e)), None)
        if end is None or not key.startswith(PREFIX) or tensor.ndim != 2 or not tensor.is_floating_point():
            raise TraitscopeError(
                f"holds {key} ({tensor.dtype}, {tuple(tensor.shape)}), which is no LoRA weight of a linear layer",
                where=where,
                fix="train a plain LoRA",
            )
        found.setdefault(key[len(PREFIX) : -len(end)], {})[end] = tensor
    broken = [name for name, parts in found.items() if len(parts) != 2]
    if broken or not found:
        what = f"{broken[0]} has only one of A and B" if broken else "holds no weights"
        raise TraitscopeError(what, where=where, fix="save the adapter again")
    return {name: (parts[ends[0]], parts[ends[1]]) for name, parts in found.items()}


def _in_order(
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor]], config: Any, base: Decoder, where: str
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """The pairs in the model's order, each of a linear layer that the configuration targets."""
    order = {name: number for number, name in enumerate(base.linear_names)}
    modules = dict(base.model.named_modules())
    other_base = f"use the base that the adapter was trained on ({config.base_model_name_or_path})"
    for name in pairs:
        if name not in order:
            own = name.removesuffix(".base_layer") in modules
            raise TraitscopeError(
                f"it adapts {name}, which is no linear layer inside the decoder of {base.name}",
                where=where,
                fix="train it on linear layers of the decoder; heads, embeddings, routers, experts in one tensor and "
                "vision towers are not supported beside other adapters"
                if own
                else other_base,
            )
        if not targets(config, name, base):
            raise TraitscopeError(
                f"it holds weights of {name}, which its configuration does not target (target_modules, "
                "target_parameters, exclude_modules, layers_to_transform): PEFT would leave them out",
                where=where,
                fix="save the adapter again in PEFT",
            )
        linear = original_linear(modules[name])
        if _is_parameter(config, name) and type(linear).__name__ == "Conv1D":
            raise TraitscopeError(
                f"it adapts the bare weight of {name}, which lies transposed (target_parameters)",
                where=where,
                fix="train it with target_modules",
            )
    return {name: pairs[name] for name in sorted(pairs, key=order.__getitem__)}


def targets(config: Any, name: str, base: Decoder) -> bool:
    """Whether PEFT adapts the linear layer ``name`` of ``base`` under this configuration."""
    from peft.tuners.tuners_utils import check_target_module_exists
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS

    if _is_parameter(config, name):
        return True
    if isinstance(config.target_modules, str) and config.target_modules.lower() == "all-linear":
        return name in base.linear_names
    if config.target_modules is None:
        config.target_modules = set(DEFAULTS.get(base.model.config.model_type, ()))
    return bool(check_target_module_exists(config, name))


def _is_parameter(config: Any, name: str) -> bool:
    weight = f"{name}.weight"
    return any(weight == target or weight.endswith(f".{target}") for target in config.target_parameters or ())
